package upstream

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"stack/appliance/config"
	"stack/roles/internal/dbcheck"
	"stack/roles/internal/exchange"
	"stack/roles/internal/freeport"
	stacktls "stack/tls"
)

func open(name string, epoch uint64) claim {
	return claim{name: name, heard: true, said: &dbcheck.State{Name: name, Epoch: epoch, Primary: name, Open: true}}
}

func follower(name, primary string, epoch uint64, lag time.Duration) claim {
	return claim{name: name, heard: true, said: &dbcheck.State{Name: name, Epoch: epoch, Primary: primary, Follows: true, Lag: lag, LagKnown: true}}
}

func silent(c claim) claim {
	c.heard = false
	return c
}

func closed(c claim) claim {
	s := *c.said
	s.Open, s.Follows = false, false
	c.said = &s
	return c
}

// without is a server that does not know how far it is behind.
func without(c claim) claim {
	s := *c.said
	s.LagKnown = false
	c.said = &s
	return c
}

// Verdicts are written u up, r up as the last resort, d down, c down with its sessions ended.
func TestDecide(t *testing.T) {
	up, resort := verdict{up: true}, verdict{up: true, resort: true}
	for _, c := range []struct {
		name              string
		claims            []claim
		before            []verdict
		primary, replicas string
	}{
		{"a primary and its replicas", []claim{open("a", 0), follower("b", "a", 0, 0), follower("c", "a", 0, time.Second)}, nil, "ucc", "ruu"},
		{"nothing is known yet", []claim{{name: "a"}, {name: "b"}}, nil, "dd", "dd"},
		{"one replica is far behind", []claim{open("a", 64), follower("b", "a", 64, 11*time.Second), follower("c", "a", 64, 10*time.Second)}, nil, "ucc", "rdu"},
		{"no replica follows", []claim{open("a", 64), closed(follower("b", "a", 64, 0))}, nil, "uc", "rd"},
		{"an old primary says that it is one", []claim{open("a", 0), open("b", 65), follower("c", "b", 65, 0)}, nil, "cuc", "cru"},
		{"a replica does not know its lag", []claim{open("a", 64), without(follower("b", "a", 64, 0))}, nil, "uc", "rd"},
		{"a replica has accepted a higher epoch", []claim{open("a", 0), without(closed(follower("b", "", 65, 0)))}, nil, "cc", "cd"},
		{"the primary of the highest epoch is gone, an old one is back", []claim{open("a", 0), silent(open("b", 65))}, nil, "cd", "cd"},
		{"the primary is silent, nobody took over", []claim{silent(open("a", 0)), follower("b", "a", 0, 0)}, []verdict{resort, up}, "dc", "du"},
		{"and a server that lagged before", []claim{silent(open("a", 0)), closed(follower("b", "a", 0, 5*time.Second)), closed(follower("c", "a", 0, 16*time.Second))}, []verdict{resort, up, {}}, "dcc", "dud"},
		{"and one that was silent for a moment", []claim{silent(open("a", 0)), closed(follower("b", "a", 0, 5*time.Second)), closed(follower("c", "a", 0, 15*time.Second))}, []verdict{resort, up, {}}, "dcc", "duu"},
		{"and one that was started anew", []claim{silent(open("a", 0)), closed(follower("b", "a", 0, 5*time.Second)), without(closed(follower("c", "a", 0, 0)))}, []verdict{resort, up, {}}, "dcc", "dud"},
		{"the balancer begins while there is no primary", []claim{{name: "a"}, closed(follower("b", "a", 0, time.Hour)), closed(follower("c", "a", 0, 2*time.Hour))}, []verdict{{}, {}, {}}, "dcc", "dud"},
		{"only the primary was used by readers when it died", []claim{silent(open("a", 0)), follower("b", "a", 0, time.Minute)}, []verdict{resort, {}}, "dc", "du"},
		{"the primary was closed, nobody took over", []claim{closed(open("a", 64)), follower("b", "a", 64, 0)}, []verdict{resort, up}, "cc", "du"},
		{"the primary is silent, another took over", []claim{silent(open("a", 0)), open("b", 65)}, nil, "cu", "dr"},
		{"a replica of the epoch before", []claim{open("a", 64), follower("b", "a", 0, 0)}, nil, "uc", "rd"},
	} {
		for role, want := range map[string]string{rolePrimary: c.primary, roleReplica: c.replicas} {
			before := c.before
			if before == nil || role == rolePrimary {
				before = make([]verdict, len(c.claims))
			}
			list, _ := decide(role, 10*time.Second, c.claims, before)
			got := ""
			for _, v := range list {
				switch {
				case v.up && v.cut:
					got += "?"
				case v.up && v.resort:
					got += "r"
				case v.up:
					got += "u"
				case v.cut:
					got += "c"
				default:
					got += "d"
				}
			}
			if got != want {
				t.Errorf("%s: role %s: %s, want %s", c.name, role, got, want)
			}
		}
	}
}

// Whatever servers say, the pool of the primary has one at most, which says that it is one, and no
// server that ever told of itself a higher epoch than that one.
func TestOnePrimaryAtMost(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	found := 0
	for range 20000 {
		claims := make([]claim, 1+rng.IntN(4))
		for i := range claims {
			name := string(rune('a' + i))
			switch claims[i].name = name; rng.IntN(4) {
			case 0:
			case 1:
				claims[i] = open(name, rng.Uint64N(3))
			case 2:
				claims[i] = follower(name, "a", rng.Uint64N(3), 0)
			case 3:
				claims[i] = silent(open(name, rng.Uint64N(3)))
			}
		}
		list, primary := decide(rolePrimary, time.Second, claims, make([]verdict, len(claims)))
		for i, v := range list {
			if v.up != (i == primary) {
				t.Fatalf("%+v: server %d is up: %v, the primary is %d", claims, i, v.up, primary)
			}
		}
		if primary < 0 {
			continue
		}
		found++
		p := claims[primary]
		if !p.heard || !p.said.Open {
			t.Fatalf("%+v: %s is the primary", claims, p.name)
		}
		for _, c := range claims {
			if c.said != nil && c.said.Epoch > p.said.Epoch {
				t.Fatalf("%+v: %s is the primary, but %s is in a higher epoch", claims, p.name, c.name)
			}
		}
	}
	if found < 1000 {
		t.Errorf("only %d rounds had a primary", found)
	}
}

func TestDecideSaysWho(t *testing.T) {
	list, _ := decide(rolePrimary, 0, []claim{open("a", 0), silent(open("b", 65))}, make([]verdict, 2))
	if !strings.Contains(list[0].text, "b has accepted epoch 65") {
		t.Errorf("%q", list[0].text)
	}
}

// rolesPool is a pool whose servers are asked for their roles, and say what the test has them say alone: nobody answers, and after
// the first checks nobody asks. cut has the names of those whose sessions were ended.
func rolesPool(t *testing.T, role string, names ...string) (set *Set, b config.Backend, cut *[]string) {
	t.Helper()
	dir := t.TempDir()
	if _, err := stacktls.InitSecrets(dir, ""); err != nil {
		t.Fatal(err)
	}
	set = NewSet(1, quiet(), nil)
	t.Cleanup(set.Close)
	set.SecretsDir(dir)
	cut = new([]string)
	set.Cut(func(s *exchange.Server) { *cut = append(*cut, s.Name) })
	b = config.Backend{Name: "p", Mode: "tcp", Check: config.Check{Type: "mysql", Role: role, MaxLag: 10 * time.Second, Interval: time.Hour, Timeout: time.Second, Rise: 2, Fall: 100}}
	for _, name := range names {
		b.Servers = append(b.Servers, config.Server{Name: name, Address: fmt.Sprint("127.0.0.1:", freeport.TCP(t)), Weight: 1})
	}
	commit(t, set, b)
	set.Close()
	return set, b, cut
}

// say is what the check of a server finds.
func (p *Pool) say(c claim) {
	p.hear(p.Server(c.name), CheckResult{OK: true, Text: c.said.String(), said: c.said}, false)
}

// Who looks at a pool sees which servers answer, and why those that do are not used; the log has it once.
func TestWhyServersAreNotUsed(t *testing.T) {
	set, _, _ := rolesPool(t, rolePrimary, "a", "b", "c")
	var log strings.Builder
	set.log = slog.New(slog.NewTextHandler(&log, nil))
	p := set.Pool("p")
	shown := func() string {
		var list []string
		for _, s := range p.View().Servers {
			state := map[bool]string{true: "up", false: "down"}[s.Up]
			if s.InRotation {
				state = "used"
			}
			list = append(list, s.Name+" "+state+" "+s.Reason)
		}
		return strings.Join(list, "; ")
	}
	p.say(open("a", 0))
	p.say(follower("b", "a", 0, 0))
	p.say(follower("c", "a", 0, 0))
	if got := shown(); got != "a used primary of epoch 0; b up replica of a, epoch 0, lag 0s; c up replica of a, epoch 0, lag 0s" {
		t.Error(got)
	}
	p.say(follower("b", "c", 129, 0)) // and is never heard again
	for _, gone := range []string{"a", "b"} {
		p.hear(p.Server(gone), CheckResult{Text: "connection refused"}, true)
	}
	p.say(open("a", 64)) // a backup of before was restored
	p.say(open("a", 64))
	why := "primary of epoch 64, but b has accepted epoch 129"
	if got := shown(); got != "a up "+why+"; b down connection refused; c up replica of a, epoch 0, lag 0s" {
		t.Error(got)
	}
	if n := strings.Count(log.String(), why); n != 1 {
		t.Errorf("%d lines of the log say why:\n%s", n, &log)
	}
}

// A replica that is back and lags is not taken for one that does not answer.
func TestLagIsShown(t *testing.T) {
	set, _, _ := rolesPool(t, roleReplica, "a", "b", "c")
	p := set.Pool("p")
	p.say(open("a", 0))
	p.say(follower("c", "a", 0, 0))
	p.hear(p.Server("b"), CheckResult{Text: "no answer within 2s"}, true)
	p.say(follower("b", "a", 0, 20*time.Second))
	if v := p.Server("b").view(); !v.Up || v.Reason != "replica of a, epoch 0, lag 20s, more than check.max_lag 10s" {
		t.Errorf("%+v", v)
	}
	if got := choose(t, p, 2); got != "cc" {
		t.Errorf("picked %s", got)
	}
}

// A server that left the configuration, or has another address there, loses its sessions as soon as another one is the primary, and
// not by the reload.
func TestSessionsOfServersThatLeft(t *testing.T) {
	set, b, cut := rolesPool(t, rolePrimary, "a", "b")
	p := set.Pool("p")
	p.say(open("a", 0))
	p.say(follower("b", "a", 0, 0))
	session, err := p.Choose(0, nil)
	if err != nil || session.Name() != "a" {
		t.Fatal(session, err)
	}
	b.Servers[0].Address = fmt.Sprint("127.0.0.1:", freeport.TCP(t)) // another machine takes its place
	commit(t, set, b)
	p.say(open("a", 0))
	if len(*cut) != 0 {
		t.Fatalf("sessions of %v were ended: it may be the same server", *cut)
	}
	p.hear(p.Server("a"), CheckResult{Text: "connection refused"}, true)
	p.say(open("b", 65))
	if fmt.Sprint(*cut) != "[a]" {
		t.Errorf("sessions of %v were ended, not of a", *cut)
	}
	session.Release()
	p.say(open("b", 65))
	if len(*cut) != 1 || len(p.roles.left) != 0 {
		t.Errorf("%v were cut, %d servers are remembered", *cut, len(p.roles.left))
	}
}

// A reload from one database server to two, before these run by it, would leave the pool without the server that it has.
func TestRolesAreNotAskedForTooEarly(t *testing.T) {
	set, b, _ := rolesPool(t, rolePrimary, "a", "b")
	b.Name, b.Servers[0].Address = "q", greeter(t, "\x17\x00\x00\x00\xff\x10\x04Too many connections") // it serves, and tells no role
	single := b
	single.Check = config.Check{Type: "tcp", Interval: time.Hour, Timeout: time.Second, Rise: 1, Fall: 1}
	single.Servers = b.Servers[:1]
	commit(t, set, single)
	_, err := set.Prepare(t.Context(), []config.Backend{b})
	want := "backend q: check.role primary would leave no server in rotation (a: refused by the server"
	if err == nil || !strings.HasPrefix(err.Error(), want) || !strings.HasSuffix(err.Error(), "; restart the database servers with this configuration first, then reload the balancers") {
		t.Errorf("%v, want %s", err, want)
	}
	if p := set.Pool("q"); p.wants() != "" || choose(t, p, 2) != "aa" {
		t.Error("the pool is not what it was")
	}
	// A pool of which nothing can be used loses nothing.
	set.Pool("q").Server("a").setUp(false, "test")
	if _, err := set.Prepare(t.Context(), []config.Backend{b}); err != nil {
		t.Error(err)
	}
}

// A pool follows what its servers say, ends the sessions of the one that was replaced, and forgets a server
// that the operator took out.
func TestPoolFollowsRoles(t *testing.T) {
	dir := t.TempDir()
	if _, err := stacktls.InitSecrets(dir, ""); err != nil {
		t.Fatal(err)
	}
	set := NewSet(1, quiet(), nil)
	t.Cleanup(set.Close)
	set.SecretsDir(dir)
	var cut atomic.Pointer[string]
	set.Cut(func(s *exchange.Server) { cut.Store(&s.Name) })
	dead := fmt.Sprint("127.0.0.1:", freeport.TCP(t)) // the checks find nobody, for as long as the test runs
	check := config.Check{Type: "mysql", Role: "primary", Interval: time.Hour, Timeout: time.Second, Rise: 2, Fall: 100}
	b := config.Backend{Name: "p", Mode: "tcp", Check: check, Servers: []config.Server{
		{Name: "a", Address: dead, Weight: 1}, {Name: "b", Address: dead, Weight: 1}}}
	commit(t, set, b)
	p := set.Pool("p")
	if p.Usable() {
		t.Fatal("a server is used before it was asked")
	}
	servers := p.Servers()
	say := func(i int, c claim) {
		p.hear(servers[i], CheckResult{OK: true, Text: c.said.String(), said: c.said}, false)
	}
	say(0, open("a", 0))
	if got := choose(t, p, 3); got != "aaa" {
		t.Errorf("picked %s, a is the primary", got)
	}
	session, err := p.Choose(0, nil)
	if err != nil {
		t.Fatal(err)
	}
	say(1, follower("b", "a", 0, 0))
	if cut.Load() != nil {
		t.Error("sessions of the primary were ended")
	}
	say(1, open("b", 65))
	if got := choose(t, p, 3); got != "bbb" {
		t.Errorf("picked %s, b took over", got)
	}
	if n := cut.Load(); n == nil || *n != "a" {
		t.Errorf("sessions of %v were ended, not of a", n)
	}
	session.Release()
	commit(t, set, b)
	if got := choose(t, p, 3); got != "bbb" {
		t.Errorf("picked %s after a reload", got)
	}
	p.hear(servers[1], CheckResult{Text: "connection refused"}, true)
	say(0, open("a", 0))
	if p.Usable() {
		t.Error("the old primary is used, as the new one is gone")
	}
	servers[1].SetAdmin(Maint)
	eventually(t, "the lost server is forgotten", func() bool { return servers[0].Up() })
	b.Check.Role = ""
	commit(t, set, b)
	if p.wants() != "" || servers[0].claim.said != nil {
		t.Error("roles are left over")
	}
}

// greeter is the address of a server that says this to everybody, and no more.
func greeter(t *testing.T, greeting string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			c.Write([]byte(greeting))
			c.Close()
		}
	}()
	return ln.Addr().String()
}

func TestMySQLCheckWithoutRole(t *testing.T) {
	for greeting, want := range map[string]string{
		"\x1c\x00\x00\x00\x0a8.0.36\x00\x01\x00\x00\x00abcdefgh\x00\xff\xf7\x2d\x02\x00\xff\x81": "greeted by 8.0.36",
		"\x17\x00\x00\x00\xff\x10\x04Too many connections":                                       "error 1040",
		"SSH-2.0-x\r\n": "does not greet",
	} {
		_, p := newPool(t, 1, config.Backend{Mode: "tcp", Check: quick("mysql"), Servers: []config.Server{{Name: "a", Address: greeter(t, greeting), Weight: 1}}})
		good := strings.HasPrefix(want, "greeted")
		eventually(t, want, func() bool {
			v := p.Server("a").view()
			return v.Up == good && v.LastCheck != nil && strings.Contains(v.LastCheck.Text, want)
		})
	}
}
