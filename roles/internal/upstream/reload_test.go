package upstream

import (
	"context"
	"strings"
	"testing"
	"time"

	"stack/appliance/config"
	"stack/roles/internal/exchange"
)

func TestReloadKeepsStateByNameAndAddress(t *testing.T) {
	a, b := server("a", 1), server("b", 2)
	set, p := newPool(t, 1, config.Backend{Servers: []config.Server{a, b}})
	sa, sb := p.Server("a"), p.Server("b")
	sa.setUp(false, "test")
	sb.SetAdmin(Drain)
	sb.SetWeight(9)
	sb.ConnectFailed(0)

	commit(t, set, config.Backend{Name: "p", Algorithm: "leastconn", Servers: []config.Server{b, a, server("c", 1)}})
	if set.Pool("p") != p || p.Server("a") != sa || p.Server("b") != sb {
		t.Fatal("pool or servers were made anew")
	}
	if sa.Up() || sb.Admin() != Drain || sb.Weight() != 9 || sb.Counters().ConnectErrors != 1 {
		t.Errorf("state lost: a up %v, b %v weight %d", sa.Up(), sb.Admin(), sb.Weight())
	}
	if v := p.View(); v.Algorithm != "leastconn" || len(v.Servers) != 3 || v.Servers[0].Name != "b" {
		t.Errorf("the new file is not in effect: %+v", v)
	}
	if got := choose(t, p, 3); got != "ccc" {
		t.Errorf("picked %s, want the only server in rotation", got)
	}

	// The file names another weight: it wins over the operator's.
	b.Weight = 4
	commit(t, set, config.Backend{Name: "p", Servers: []config.Server{a, b}})
	if sb.Weight() != 4 {
		t.Errorf("weight %d, the file says 4", sb.Weight())
	}

	// Another address is another server.
	a.Address = "127.0.0.2:9"
	commit(t, set, config.Backend{Name: "p", Servers: []config.Server{a, b}})
	if p.Server("a") == sa || !p.Server("a").Up() {
		t.Error("a server with a new address inherited the old one's state")
	}
}

func TestReloadRemovesPoolsAndServers(t *testing.T) {
	var forgotten []string
	set := NewSet(1, quiet(), func(s *exchange.Server) { forgotten = append(forgotten, s.Name) })
	defer set.Close()
	check := config.Check{Type: "tcp", Interval: time.Hour, Timeout: time.Second, Rise: 1, Fall: 1}
	live := config.Server{Name: "c", Address: startOrigin(t).addr, Weight: 1}
	commit(t, set, config.Backend{Name: "p", Servers: []config.Server{server("a", 1), server("b", 1)}, Check: check},
		config.Backend{Name: "q", Servers: []config.Server{live}, Check: check})
	p, q := set.Pool("p"), set.Pool("q")
	commit(t, set, config.Backend{Name: "p", Servers: []config.Server{server("b", 1)}})
	if set.Pool("q") != nil || len(set.Pools()) != 1 || len(p.Servers()) != 1 {
		t.Errorf("pools %d, servers %d", len(set.Pools()), len(p.Servers()))
	}
	if s, err := q.Choose(0, nil); err != nil || s.Name() != "c" {
		t.Errorf("a request of the old generation got %v from a pool that is gone", err)
	}
	if c := q.Server("c"); c != nil && c.checker != nil {
		t.Error("the server of a pool that is gone is still checked")
	}
	if got := strings.Join(forgotten, ""); got != "ac" {
		t.Errorf("idle connections closed for %q, want a and c", got)
	}
	if b := p.Server("b"); !b.Up() || b.checker != nil {
		t.Error("b is still checked although the new file has no check")
	}
}

func TestPrepareChangesNothing(t *testing.T) {
	set, p := newPool(t, 1, config.Backend{Servers: []config.Server{server("a", 1)}})
	ch, err := set.Prepare(context.Background(), []config.Backend{{Name: "p", Servers: []config.Server{server("b", 1)}}, {Name: "new", Servers: []config.Server{server("c", 1)}}})
	if err != nil {
		t.Fatal(err)
	}
	if ch.Pool("p") != p || ch.Pool("new") == nil || ch.Pool("none") != nil {
		t.Error("the prepared pools cannot be found")
	}
	if got := choose(t, p, 2); got != "aa" || set.Pool("new") != nil {
		t.Errorf("picked %s before commit", got)
	}
}

func TestPrepareRefuses(t *testing.T) {
	ok := config.Check{Type: "http", Path: "/", Interval: time.Second, Timeout: time.Second, Rise: 1, Fall: 1}
	mod := func(f func(*config.Check)) config.Check { c := ok; f(&c); return c }
	for _, c := range []struct {
		b    config.Backend
		want string
	}{
		{config.Backend{Algorithm: "random"}, `backend p: algorithm "random" is not known; use roundrobin or leastconn`},
		{config.Backend{Servers: []config.Server{server("a", 1), server("a", 1)}}, `backend p: server 2: the name "a" is empty or written twice; give each a name of its own`},
		{config.Backend{Servers: []config.Server{server("a", 257)}}, `backend p: server a: weight 257 is out of range; use 0 to 256`},
		{config.Backend{Servers: []config.Server{{Name: "a", Address: "nonsense"}}}, `backend p: server a: address "nonsense" is not host:port or unix:/path`},
		{config.Backend{Servers: []config.Server{{Name: "a", Address: "unix:relative"}}}, `backend p: server a: address "unix:relative" is not host:port or unix:/path`},
		{config.Backend{Servers: []config.Server{{Name: "a", Address: "h:0"}}}, `backend p: server a: address "h:0" is not host:port or unix:/path`},
		{config.Backend{Servers: []config.Server{{Name: "a", Address: "h:1", MaxConn: -1}}}, `backend p: server a: maxconn -1 is negative; use 0 for no bound`},
		{config.Backend{Check: mod(func(c *config.Check) { c.Type = "redis" })}, `backend p: check.type "redis" is not known; use none, tcp, http or mysql`},
		{config.Backend{Check: mod(func(c *config.Check) { c.Role = "primary" })}, `backend p: check.role "primary" is not known; with check.type mysql use primary or replica`},
		{config.Backend{Check: mod(func(c *config.Check) { c.Interval = 0 })}, `backend p: check.interval 0s is too short; use 10ms or more`},
		{config.Backend{Check: mod(func(c *config.Check) { c.Timeout = 0 })}, `backend p: check.timeout 0s must be greater than 0`},
		{config.Backend{Check: mod(func(c *config.Check) { c.Rise = 0 })}, `backend p: check.rise 0 and check.fall 1 must be 1 or more`},
		{config.Backend{Check: mod(func(c *config.Check) { c.Path = "/a b" })}, `backend p: check.path "/a b" must begin with / and hold no space or control character`},
		{config.Backend{Check: mod(func(c *config.Check) { c.Host = "a\r\nb" })}, `backend p: check.host "a\r\nb" holds a space or a control character`},
		{config.Backend{Check: mod(func(c *config.Check) { c.Expect.Status = []int{99} })}, `backend p: check.expect.status 99 is not an HTTP status; use 100 to 599`},
	} {
		set := NewSet(1, quiet(), nil)
		c.b.Name = "p"
		_, err := set.Prepare(context.Background(), []config.Backend{c.b})
		if err == nil || err.Error() != c.want {
			t.Errorf("got  %v\nwant %s", err, c.want)
		}
		set.Close()
	}
}
