package main

import (
	"encoding/json"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// TestWhoMayImportWhom holds the rules of docs/structure.md.
func TestWhoMayImportWhom(t *testing.T) {
	list := exec.Command("go", "list", "-tags", "gms_pure_go", "-json=ImportPath,Imports,TestImports,XTestImports", "stack/...")
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := 0
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath                         string
			Imports, TestImports, XTestImports []string
		}
		if err := dec.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		seen++
		for _, imported := range p.Imports {
			if why := forbidden(p.ImportPath, imported); why != "" {
				t.Errorf("%s imports %s: %s", p.ImportPath, imported, why)
			}
		}
		for _, imported := range append(p.TestImports, p.XTestImports...) {
			if role(p.ImportPath) != "" && role(imported) != "" && role(imported) != role(p.ImportPath) {
				t.Errorf("a test of %s imports %s: roles never import each other", p.ImportPath, imported)
			}
		}
	}
	if seen < 10 {
		t.Fatalf("only %d packages looked at: the test does not see the module", seen)
	}
}

// role names the role that a package belongs to: lb, web, db or vip.
func role(path string) string {
	rest, ok := strings.CutPrefix(path, "stack/roles/")
	if !ok || strings.HasPrefix(rest, "internal") {
		return ""
	}
	name, _, _ := strings.Cut(rest, "/")
	return name
}

func forbidden(from, to string) string {
	in := func(path string, roots ...string) bool {
		for _, root := range roots {
			if path == root || strings.HasPrefix(path, root+"/") {
				return true
			}
		}
		return false
	}
	switch {
	case in(from, "stack/appliance", "stack/firewall", "stack/tls") && in(to, "stack/roles"):
		return "the chassis knows no role"
	case in(from, "stack/roles/internal") && role(to) != "":
		return "what roles share knows no role"
	case role(from) != "" && role(to) != "" && role(from) != role(to):
		return "roles never import each other"
	case in(to, "stack/cmd"):
		return "nothing imports the command"
	case in(to, "github.com/spf13/viper", "go.yaml.in/yaml", "gopkg.in/yaml.v3") && from != "stack/appliance/config":
		return "only appliance/config knows YAML and viper"
	case in(from, "stack/roles") && in(to, "github.com/spf13/cobra"):
		return "only cmd knows commands"
	}
	layers := []string{"loop", "http1", "exchange"}
	for i, low := range layers {
		for _, high := range layers[i+1:] {
			if from == "stack/roles/internal/"+low && to == "stack/roles/internal/"+high {
				return low + " is below " + high
			}
		}
	}
	return ""
}
