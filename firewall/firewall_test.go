package firewall

import (
	"errors"
	"flag"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"stack/appliance/config"
)

var rewrite = flag.Bool("rewrite", false, "accept what the code gives as the expected text")

func resolve(t *testing.T, file string) []*config.Node {
	t.Helper()
	c, err := config.Load(config.Options{File: file, ConfDir: "-", CPUs: 1,
		Hostname: func() (string, error) { return "alone", nil },
		Addrs:    func() ([]netip.Addr, error) { return nil, nil }})
	if err != nil {
		t.Fatal(err)
	}
	nodes, err := c.ResolveAll()
	if err != nil {
		t.Fatal(err)
	}
	return nodes
}

// TestGolden renders every node of every site under testdata.
func TestGolden(t *testing.T) {
	sites, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(sites) == 0 {
		t.Fatalf("no sites: %v", err)
	}
	var seen []string
	for _, site := range sites {
		for _, n := range resolve(t, site) {
			file := strings.TrimSuffix(site, ".yaml") + "." + n.Name + ".nft"
			seen = append(seen, file)
			t.Run(filepath.Base(file), func(t *testing.T) {
				text, err := Render(n)
				if err != nil {
					t.Fatal(err)
				}
				if *rewrite {
					if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if text != string(want) {
					t.Errorf("not as in %s (accept with -rewrite):\n%s", file, text)
				}
				everyRuleCounts(t, text)
			})
		}
	}
	golden, err := filepath.Glob("testdata/*.nft")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range golden {
		if !slices.Contains(seen, file) {
			t.Errorf("%s belongs to no node", file)
		}
	}
}

func everyRuleCounts(t *testing.T, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		isRule := strings.HasPrefix(line, "\t\t") && (strings.Contains(line, " accept") || strings.Contains(line, " drop") || strings.Contains(line, " jump")) &&
			!strings.Contains(line, "policy ") && !strings.HasPrefix(strings.TrimSpace(line), "#")
		if isRule && !(strings.Contains(line, "counter ") && strings.Contains(line, ` comment "`)) {
			t.Errorf("no counter or comment: %s", line)
		}
	}
	if strings.Contains(text, "flush ruleset") {
		t.Error("the ruleset is flushed")
	}
}

// TestAccepted asks nft about every golden text, twice in a row in one file, as an
// apply over an applied one.
func TestAccepted(t *testing.T) {
	nft, err := exec.LookPath("nft")
	if err != nil || os.Geteuid() != 0 {
		t.Skip("needs root and nft")
	}
	files, err := filepath.Glob("testdata/*.nft")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		check := func(text string) error {
			c := exec.Command(nft, "-c", "-f", "-")
			c.Stdin = strings.NewReader(text)
			out, err := c.CombinedOutput()
			if err != nil {
				return errors.New(string(out))
			}
			return nil
		}
		if err := check(string(text)); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		if err := check(string(text) + string(text)); err != nil {
			t.Errorf("%s, twice: %v", file, err)
		}
		if check(strings.Replace(string(text), "policy drop", "policy dorp", 1)) == nil {
			t.Fatal("nft accepts nonsense, so this test says nothing")
		}
	}
}

func TestRenderNoNode(t *testing.T) {
	if _, err := Render(&config.Node{}); err == nil {
		t.Error("a node without a name is rendered")
	}
}

func TestWarnings(t *testing.T) {
	root := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	active := func(unit string) {
		t.Helper()
		dir := filepath.Join(root, "run/systemd/units")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("5f3759df", filepath.Join(dir, "invocation:"+unit)); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(words ...string) {
		t.Helper()
		got := Warnings(root)
		if len(got) != len(words) {
			t.Fatalf("%d warnings, want %d: %q", len(got), len(words), got)
		}
		for i, w := range words {
			if !strings.HasPrefix(got[i], w) {
				t.Errorf("%q does not begin with %q", got[i], w)
			}
		}
	}
	expect()
	write("etc/ufw/ufw.conf", "# ENABLED=yes\nENABLED=no\n")
	write("etc/nftables.conf", "#!/usr/sbin/nft -f\n# flush ruleset\n")
	active("nftables.service")
	expect()
	write("etc/ufw/ufw.conf", "LOGLEVEL=low\nENABLED=yes\n")
	write("etc/nftables.conf", "#!/usr/sbin/nft -f\n\nflush  ruleset;\n")
	expect("ufw is enabled", "/etc/nftables.conf flushes")
	active("firewalld.service")
	expect("ufw is enabled", "firewalld is running", "/etc/nftables.conf flushes")
}
