package lb

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"testing"

	"stack/appliance/config"
	"stack/appliance/supervise"
	"stack/roles/internal/upstream"
)

// successor starts another generation of the bench's role, as an upgrade or a restart
// after a crash would.
func (b *bench) successor(generation int) *Role {
	b.t.Helper()
	r, err := New(supervise.Env{Node: "lb1", Role: "lb", Generation: generation, Log: slog.New(slog.NewTextHandler(b.logs, nil))})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { r.Close() })
	ch, err := r.Prepare(context.Background(), b.node, b.sockets)
	if err != nil {
		b.t.Fatal(err)
	}
	ch.Commit()
	return r.(*Role)
}

func TestOperatorsSettingsOutliveTheProcess(t *testing.T) {
	dir := t.TempDir()
	lb, _ := simple(t, at("a", "127.0.0.1:9"), at("b", "127.0.0.1:9"), at("c", "127.0.0.1:9"))
	b := startOn(t, func(n *config.Node) { n.Process.RunDir = dir }, lb)
	path := settingsPath(b.node)
	for action, body := range map[string]string{"a/drain": "", "b/maint": "", "c/weight": `{"weight": 7}`} {
		if code, text := b.control("POST", "/v1/lb/servers/web/"+action, body); code != 200 {
			t.Fatal(text)
		}
	}
	check := func(r *Role, a, b upstream.Admin, weight int) {
		t.Helper()
		p := r.pools.Pool("web")
		if p.Server("a").Admin() != a || p.Server("b").Admin() != b || p.Server("c").Weight() != weight {
			t.Errorf("a %v, b %v, c weight %d; want %v %v %d", p.Server("a").Admin(), p.Server("b").Admin(), p.Server("c").Weight(), a, b, weight)
		}
	}
	check(b.successor(2), upstream.Drain, upstream.Maint, 7)

	// What is taken back is taken back for good.
	b.control("POST", "/v1/lb/servers/web/a/ready", "")
	check(b.successor(3), upstream.Ready, upstream.Maint, 7)

	// Another address is another server.
	moved := lb
	moved.Backends = []config.Backend{backend("web", at("a", "127.0.0.1:9"), at("b", "127.0.0.2:9"), at("c", "127.0.0.1:9"))}
	first := b.node
	n := node(moved)
	n.Process.RunDir = dir
	b.node = n
	check(b.successor(4), upstream.Ready, upstream.Ready, 7)
	b.node = first

	// A file that is damaged is told of and costs nothing else.
	if err := os.WriteFile(path, []byte(`[{"backend":"web","server":"a","admin":"asleep"}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	check(b.successor(5), upstream.Ready, upstream.Ready, 1)
	if !strings.Contains(b.logs.String(), "cannot be read") {
		t.Error("the damaged file was not told of")
	}

	// The start of the service begins afresh, and leaves no file of the time before.
	b.control("POST", "/v1/lb/servers/web/a/drain", "")
	check(b.successor(1), upstream.Ready, upstream.Ready, 1)
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the file of the time before is still there: %v", err)
	}
}

func FuzzParseSettings(f *testing.F) {
	for _, s := range []string{"", "[]", `[{"backend":"a","server":"b","admin":"drain","weight":3}]`, `[{"admin":"ready","weight":-1}]`, `{"a":1}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		list, err := parseSettings(text)
		if err != nil {
			return
		}
		for _, e := range list {
			if _, ok := upstream.ParseAdmin(e.Admin); !ok || e.Weight != nil && (*e.Weight < 0 || *e.Weight > 256) {
				t.Fatalf("%+v", e)
			}
		}
	})
}
