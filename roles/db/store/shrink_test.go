package store

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func TestRemoveLarge(t *testing.T) {
	for _, size := range []int64{0, 1, shrinkStep, 3*shrinkStep + 7} {
		dir := t.TempDir()
		path := filepath.Join(dir, "file")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
		// Whoever has it open sees what is left of it: nothing but the first step.
		open, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := RemoveLarge(vfs.Default, path); err != nil {
			t.Fatal(err)
		}
		info, err := open.Stat()
		open.Close()
		if err != nil || info.Size() > shrinkStep {
			t.Errorf("%d bytes were removed at once, %v", info.Size(), err)
		}
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("%d bytes: %v is left", size, left)
		}
	}
	if err := RemoveLarge(vfs.Default, filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	fs := vfs.NewMem()
	if f, err := fs.Create("file", vfs.WriteCategoryUnspecified); err != nil || f.Close() != nil {
		t.Fatal(err)
	}
	if err := RemoveLarge(fs, "file"); err != nil {
		t.Error(err)
	}
}
