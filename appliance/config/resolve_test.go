package config

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

const sixNodes = `site: www.example.com
nodes:
  - {name: lb1, roles: [lb], address: 10.0.0.11}
  - {name: web1, roles: [lb, web], address: 10.0.0.21}
  - {name: db1, roles: [db], address: 10.0.0.31}
web:
  sites: [{root: /srv/www}]
`

// TestNodeTravels: a node is sent to the children as JSON and must arrive as it was.
func TestNodeTravels(t *testing.T) {
	for _, file := range cases(t, "good") {
		c, err := Load(nowhere(Options{File: file, ConfDir: "-"}))
		if err != nil {
			t.Fatal(err)
		}
		nodes, err := c.ResolveAll()
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range nodes {
			text, err := json.Marshal(n)
			if err != nil {
				t.Fatal(err)
			}
			back := &Node{}
			if err := json.Unmarshal(text, back); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(n, back) {
				t.Errorf("%s: %s is not the same after JSON", file, n.Name)
			}
			var b bytes.Buffer
			if err := gob.NewEncoder(&b).Encode(n); err != nil {
				t.Fatal(err)
			}
			back = &Node{}
			if err := gob.NewDecoder(&b).Decode(back); err != nil {
				t.Fatal(err)
			}
			again, err := json.Marshal(back)
			if err != nil {
				t.Fatal(err)
			}
			// gob does not tell an empty list from none.
			if a, b := strings.ReplaceAll(string(text), "[]", "null"), strings.ReplaceAll(string(again), "[]", "null"); a != b {
				t.Errorf("%s: %s is not the same after gob", file, n.Name)
			}
		}
	}
}

func TestSelf(t *testing.T) {
	host := func(name string) func() (string, error) { return func() (string, error) { return name, nil } }
	addrs := func(list ...string) func() ([]netip.Addr, error) {
		var out []netip.Addr
		for _, a := range list {
			out = append(out, netip.MustParseAddr(a))
		}
		return func() ([]netip.Addr, error) { return out, nil }
	}
	for _, c := range []struct {
		name string
		opt  Options
		want string // node, or the error
	}{
		{"named", Options{Node: "db1", Hostname: host("lb1"), Addrs: addrs()}, "db1"},
		{"named by the environment", Options{Environ: []string{"STACK_NODE=db1"}, Hostname: host("lb1"), Addrs: addrs()}, "db1"},
		{"named by both", Options{Node: "web1", Environ: []string{"STACK_NODE=db1"}, Hostname: host("lb1"), Addrs: addrs()}, "web1"},
		{"misnamed", Options{Node: "db2", Hostname: host("lb1"), Addrs: addrs()}, `no node has the name "db2", there are lb1, web1, db1; nearest is "db1"`},
		{"host", Options{Hostname: host("WEB1"), Addrs: addrs("10.0.0.31")}, "web1"},
		{"host with domain", Options{Hostname: host("lb1.example.com"), Addrs: addrs()}, "lb1"},
		{"address", Options{Hostname: host("vm"), Addrs: addrs("127.0.0.1", "10.0.0.31")}, "db1"},
		{"none", Options{Hostname: host("vm"), Addrs: addrs("127.0.0.1")}, "no node has this host's name (vm) or one of its addresses; say which of lb1, web1, db1 it is with --node"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.opt.File, c.opt.Text = "f", []byte(sixNodes)
			cfg, err := Load(c.opt)
			if err != nil {
				t.Fatal(err)
			}
			n, err := cfg.Resolve("")
			got := ""
			if err != nil {
				got = err.Error()
			} else {
				got = n.Name
			}
			if got != c.want {
				t.Errorf("got %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestRoles(t *testing.T) {
	load := func(text string, roles ...string) (*Node, error) {
		c, err := Load(nowhere(Options{File: "f", Text: []byte(text), Node: "web1", Roles: roles}))
		if err != nil {
			return nil, err
		}
		return c.Resolve("")
	}
	c, err := Load(nowhere(Options{File: "f", Text: []byte(sixNodes), Environ: []string{"STACK_NODE=web1", "STACK_ROLE=web"}}))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := c.Resolve(""); err != nil || n.LB != nil || n.Web == nil {
		t.Errorf("%+v, %v", n, err)
	}
	n, err := load(sixNodes, "web")
	if err != nil {
		t.Fatal(err)
	}
	if n.LB != nil || n.Web == nil || len(n.Binds) != 2 || !reflect.DeepEqual(n.Members[1].Roles, []string{"lb", "web"}) {
		t.Errorf("%+v", n)
	}
	for _, c := range []struct{ text, role, want string }{
		{sixNodes, "db", `f: --role: node web1 has no role "db" in the file, it has lb, web; nearest is "lb"`},
		{"web: {sites: [{root: /srv}]}\ndb: {}\n", "wbe", `f: --role: "wbe" is no role, allowed are lb, web and db; nearest is "web"`},
		{"web: {sites: [{root: /srv}]}\n", "db", `f: --role: the file has no section for the role "db", it has web`},
	} {
		if _, err := load(c.text, c.role); err == nil || err.Error() != c.want {
			t.Errorf("got %v\nwant %s", err, c.want)
		}
	}
	if n, err = load("web: {sites: [{root: /srv}]}\ndb: {}\n", "db"); err != nil || n.Web != nil || n.DB == nil {
		t.Errorf("%+v, %v", n, err)
	}
}

func TestResolveUnknownNode(t *testing.T) {
	c, err := Load(nowhere(Options{File: "f", Text: []byte(sixNodes)}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err = c.Resolve("lb2"); err == nil || !strings.Contains(err.Error(), `nearest is "lb1"`) {
		t.Errorf("%v", err)
	}
}

func TestNoFile(t *testing.T) {
	_, err := Load(Options{File: t.TempDir() + "/none.yaml"})
	if err == nil || !strings.Contains(err.Error(), "none.yaml: no such file or directory; name another file with --config") {
		t.Errorf("%v", err)
	}
}

func TestDev(t *testing.T) {
	flags := Flags()
	if err := flags.Parse([]string{"--lb.limits.connections=99"}); err != nil {
		t.Fatal(err)
	}
	c, err := Dev(DevOptions{Dir: "/tmp/x", Ports: PortsFrom(20000), Flags: flags})
	if err != nil {
		t.Fatal(err)
	}
	nodes, err := c.ResolveAll()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, n := range nodes {
		describeNode(&b, n)
		if !n.Dev {
			t.Errorf("%s is not marked as dev", n.Name)
		}
		if n.LB != nil && n.LB.Limits.Connections != 99 {
			t.Errorf("the flag does not hold for %s", n.Name)
		}
		for _, x := range n.Binds {
			if p := x.Addr.Port(); p < 20000 || p > 20006 || !x.Addr.Addr().IsLoopback() || x.Freebind {
				t.Errorf("%s: %+v", n.Name, x)
			}
		}
	}
	golden(t, "testdata/dev.want", b.String())
	if c, err = Dev(DevOptions{}); err != nil {
		t.Fatal(err)
	}
	n, err := c.Resolve("db1")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(n.DB.DataDir, "/.stack/data/db1") || n.Binds[0].Addr.Port() != DefaultPorts.DB {
		t.Errorf("%s, %v", n.DB.DataDir, n.Binds)
	}
}

// What commits wait for, and what happens when it does not come, follows from the number of database nodes, where it is not written.
func TestAcknowledgementsByDefault(t *testing.T) {
	for _, c := range []struct {
		nodes       int
		db          string
		ack, policy string
	}{
		{1, "", "none", "degrade"},
		{2, "", "one", "degrade"},
		{3, "", "one", "strict"},
		{3, "db: {ack: majority, ack_policy: degrade}\n", "majority", "degrade"},
		{2, "db: {ack: none}\n", "none", "degrade"},
	} {
		text := "site: www.example.com\n" + c.db + "nodes:\n"
		for n := range c.nodes {
			text += fmt.Sprintf("  - {name: db%d, roles: [db], address: 10.0.0.3%d}\n", n+1, n+1)
		}
		cfg, err := Load(nowhere(Options{File: "f", Text: []byte(text), Environ: []string{"STACK_NODE=db1"}}))
		if err != nil {
			t.Fatal(err)
		}
		n, err := cfg.Resolve("")
		if err != nil {
			t.Fatal(err)
		}
		if n.DB.Ack != c.ack || n.DB.AckPolicy != c.policy {
			t.Errorf("%d nodes, %q: ack %s, ack_policy %s; want %s, %s", c.nodes, c.db, n.DB.Ack, n.DB.AckPolicy, c.ack, c.policy)
		}
	}
}
