package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocumentedSitesAreGood checks every site that README and docs print whole.
func TestDocumentedSitesAreGood(t *testing.T) {
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, page := range append(pages, "../README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
			if !strings.HasPrefix(block[1], "site:") {
				continue // a part of a file
			}
			checked++
			file := filepath.Join(t.TempDir(), "stack.yaml")
			if err := os.WriteFile(file, []byte(block[1]), 0o644); err != nil {
				t.Fatal(err)
			}
			if out, code := run(t, t.TempDir(), "check", file); code != 0 {
				t.Errorf("%s: exit %d: %s\n%s", page, code, out, block[1])
			}
		}
	}
	if checked < 2 {
		t.Errorf("only %d sites found: README shows two", checked)
	}
}
