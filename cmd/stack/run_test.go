package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stack/appliance/supervise"
)

// writeSite writes the config of a web server alone.
func writeSite(t *testing.T, root string) (file string) {
	t.Helper()
	dir := t.TempDir()
	file = filepath.Join(dir, "stack.yaml")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	// It stays open: a probe must not need the port.
	t.Cleanup(func() { l.Close() })
	text := "web:\n  bind: [\"" + l.Addr().String() + "\"]\n  sites:\n    - root: " + root + "\n" +
		"admin:\n  bind: [\"127.0.0.1:1\"]\n  socket: " + filepath.Join(dir, "s") + "\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestProbeTakesTheArgumentsOfTheSupervisor(t *testing.T) {
	good := writeSite(t, t.TempDir())
	child := []string{"child", "--probe=1", "--", "--config", good, "--role", "web"}
	if err := Run(context.Background(), child); err != nil {
		t.Errorf("a good site: %v", err)
	}
	child[1] = "--probe=99"
	if err := Run(context.Background(), child); err == nil || !strings.Contains(err.Error(), "hands over state version 99") {
		t.Errorf("another hand-over: %v", err)
	}
	gone := writeSite(t, filepath.Join(t.TempDir(), "gone"))
	err := Run(supervise.WithProbe(context.Background(), 1), []string{"--config", gone})
	if err == nil || !strings.Contains(err.Error(), "role web of ") || !strings.Contains(err.Error(), "gone") {
		t.Errorf("a root that is not there: %v", err)
	}
}

func TestWrongCommandLines(t *testing.T) {
	site := filepath.Join(t.TempDir(), "site.yaml")
	text := "site: www.example.com\nnodes: [{name: web1, roles: [web], address: 192.0.2.1}]\nweb: {sites: [{root: /srv}]}\n"
	if err := os.WriteFile(site, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ args, want string }{
		{"child", "child: needs one role"},
		{"child mail", `child: no role "mail" in this binary`},
		{"--rol=web", "unknown flag: --rol"},
		{"serve", `unknown command "serve"`},
		{"--config /nowhere/stack.yaml", "/nowhere/stack.yaml"},
		{"lb weight web web1 many", `"many" is not a weight: a whole number from 0 to 256`},
		{"lb weight web web1 257", `"257" is not a weight`},
		{"check --node wbe1 " + site, `no node has the name "wbe1", there are web1`},
	} {
		err := Run(context.Background(), strings.Fields(c.args))
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("stack %s: %v, want one line with %q", c.args, err, c.want)
		}
	}
}

func TestRolesStartInOrder(t *testing.T) {
	var names []string
	scores := map[string]int{}
	for _, s := range roles() {
		names = append(names, s.Name)
		scores[s.Name] = s.OOMScoreAdj
		if s.New == nil || s.Probe == nil {
			t.Errorf("%s cannot be started or probed", s.Name)
		}
		if caps := strings.Join(s.Capabilities, " "); (s.Name == "net") != (caps == "CAP_NET_ADMIN CAP_NET_RAW CAP_SYS_NICE") {
			t.Errorf("%s keeps %q", s.Name, caps)
		}
	}
	if got := strings.Join(names, " "); got != "db web lb net" {
		t.Errorf("order %s", got)
	}
	if !(scores["db"] < scores["net"] && scores["net"] < scores["lb"] && scores["lb"] < scores["web"]) {
		t.Errorf("scores %v: the database must go last", scores)
	}
}
