package upstream

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"stack/appliance/config"
)

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// newPool commits one pool "p" of an unchecked set.
func newPool(t testing.TB, loops int, b config.Backend) (*Set, *Pool) {
	t.Helper()
	set := NewSet(loops, quiet(), nil)
	t.Cleanup(set.Close)
	b.Name = "p"
	commit(t, set, b)
	return set, set.Pool("p")
}

func commit(t testing.TB, set *Set, b ...config.Backend) {
	t.Helper()
	ch, err := set.Prepare(context.Background(), b)
	if err != nil {
		t.Fatal(err)
	}
	ch.Commit()
}

func server(name string, weight int) config.Server {
	return config.Server{Name: name, Address: "127.0.0.1:9", Weight: weight}
}

// choose picks n times and gives the slots back; the result is the names joined.
func choose(t *testing.T, p *Pool, n int) string {
	t.Helper()
	var b strings.Builder
	for range n {
		s, err := p.Choose(0, nil)
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(s.Name())
		s.Release()
	}
	return b.String()
}

func TestRoundRobinIsSmooth(t *testing.T) {
	for _, c := range []struct {
		weights map[string]int
		want    string
	}{
		{map[string]int{"a": 1, "b": 1, "c": 1}, "abcabc"},
		{map[string]int{"a": 5, "b": 1, "c": 1}, "aabacaa" + "aabacaa"},
		{map[string]int{"a": 2, "b": 1}, "abaaba"},
		{map[string]int{"a": 100, "b": 50}, "abaaba"},
		{map[string]int{"a": 3, "b": 2}, "ababa" + "ababa"},
		{map[string]int{"a": 1, "b": 0}, "aaa"},
	} {
		var servers []config.Server
		for _, n := range []string{"a", "b", "c"} {
			if w, ok := c.weights[n]; ok {
				servers = append(servers, server(n, w))
			}
		}
		_, p := newPool(t, 1, config.Backend{Servers: servers})
		if got := choose(t, p, len(c.want)); got != c.want {
			t.Errorf("weights %v: %s, want %s", c.weights, got, c.want)
		}
	}
}

// Over any run of picks, by any number of loops, each server's share is within one
// round's rounding of its weight.
func TestRoundRobinIsProportionalOverLoops(t *testing.T) {
	const loops, each = 4, 2500
	var servers []config.Server
	total := 0
	for i, w := range []int{7, 3, 10, 1, 4} {
		servers = append(servers, server(fmt.Sprint("s", i), w))
		total += w
	}
	_, p := newPool(t, loops, config.Backend{Servers: servers})
	var wg sync.WaitGroup
	for l := range loops {
		wg.Go(func() {
			for range each {
				s, err := p.Choose(l, nil)
				if err != nil {
					t.Error(err)
					return
				}
				s.Release()
			}
		})
	}
	wg.Wait()
	for _, s := range p.Servers() {
		got, want := float64(s.Counters().Picks), float64(loops*each*s.Weight())/float64(total)
		if got < want-1 || got > want+1 {
			t.Errorf("%s of weight %d: %v picks, want %.1f ± 1", s.Name(), s.Weight(), got, want)
		}
	}
}

// Within every prefix of the sequence a server is never further from its share than
// the number of servers: that is what "smooth" buys.
func TestSequenceStaysNearTheShare(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	for range 50 {
		w := make([]int, 1+r.IntN(12))
		total := 0
		for i := range w {
			w[i] = 1 + r.IntN(256)
			total += w[i]
		}
		seq := smoothSequence(w)
		seen := make([]int, len(w))
		for i, k := range seq {
			seen[k]++
			for j := range w {
				share := float64((i+1)*w[j]) / float64(total)
				if d := float64(seen[j]) - share; d > float64(len(w)) || d < -float64(len(w)) {
					t.Fatalf("weights %v: after %d picks server %d has %d, its share is %.1f", w, i+1, j, seen[j], share)
				}
			}
		}
		for j := range w {
			if seen[j]*total != w[j]*len(seq) {
				t.Fatalf("weights %v: server %d appears %d times of %d", w, j, seen[j], len(seq))
			}
		}
	}
}

func TestHugePoolsAreBounded(t *testing.T) {
	w := make([]int, 3000)
	for i := range w {
		w[i] = 1 + i%256
	}
	seq := smoothSequence(w)
	if len(seq)*len(w) > maxSequenceWork {
		t.Fatalf("sequence of %d for %d servers", len(seq), len(w))
	}
	seen := make([]bool, len(w))
	for _, k := range seq {
		seen[k] = true
	}
	for i, ok := range seen {
		if !ok {
			t.Fatalf("server %d of weight %d is never picked", i, w[i])
		}
	}
}

func TestLeastConn(t *testing.T) {
	_, p := newPool(t, 1, config.Backend{Algorithm: "leastconn", Servers: []config.Server{server("a", 1), server("b", 1), server("c", 2)}})
	take := func() *Server {
		s, err := p.Choose(0, nil)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	held := map[string][]*Server{}
	for range 40 {
		s := take()
		held[s.Name()] = append(held[s.Name()], s)
	}
	if len(held["a"]) != 10 || len(held["b"]) != 10 || len(held["c"]) != 20 {
		t.Fatalf("40 sessions spread as a=%d b=%d c=%d, want 10 10 20", len(held["a"]), len(held["b"]), len(held["c"]))
	}
	for range 5 {
		held["b"][0].Release()
		held["b"] = held["b"][1:]
	}
	for range 4 {
		if s := take(); s.Name() != "b" {
			t.Fatalf("picked %s while b has the fewest", s.Name())
		}
	}
}

// Equals take turns: an idle pool does not send everything to its first server.
func TestLeastConnRotatesEquals(t *testing.T) {
	_, p := newPool(t, 1, config.Backend{Algorithm: "leastconn", Servers: []config.Server{server("a", 1), server("b", 1), server("c", 1)}})
	choose(t, p, 300)
	for _, s := range p.Servers() {
		if n := s.Counters().Picks; n != 100 {
			t.Errorf("%s was picked %d times of 300", s.Name(), n)
		}
	}
}

func TestBackups(t *testing.T) {
	backup := func(n string) config.Server { s := server(n, 1); s.Backup = true; return s }
	servers := []config.Server{server("a", 1), server("b", 1), backup("x"), backup("y")}
	for _, c := range []struct {
		all  bool
		down string
		want string // picked over four picks, sorted by first appearance
	}{
		{false, "", "ab"}, {false, "a", "b"}, {false, "ab", "x"}, {false, "abx", "y"},
		{true, "", "ab"}, {true, "ab", "xy"}, {true, "abx", "y"},
	} {
		_, p := newPool(t, 1, config.Backend{AllBackups: c.all, Servers: servers})
		for _, n := range c.down {
			p.Server(string(n)).setUp(false, "test")
		}
		got := ""
		for _, n := range choose(t, p, 8) {
			if !strings.ContainsRune(got, n) {
				got += string(n)
			}
		}
		if len(got) != len(c.want) || strings.Trim(got, c.want) != "" {
			t.Errorf("all_backups %v, down %q: picked %q, want %q", c.all, c.down, got, c.want)
		}
		for _, n := range c.down {
			p.Server(string(n)).setUp(true, "test")
		}
		if s := choose(t, p, 8); strings.ContainsAny(s, "xy") {
			t.Errorf("backups still used after the primaries came back: %s", s)
		}
	}
	_, p := newPool(t, 1, config.Backend{Servers: servers})
	for _, s := range p.Servers() {
		s.setUp(false, "test")
	}
	if _, err := p.Choose(0, nil); err != ErrNoServer || p.Usable() {
		t.Errorf("all down: %v, usable %v", err, p.Usable())
	}
}

func TestMaxConnIsExact(t *testing.T) {
	const loops, limit = 4, 7
	for _, alg := range []string{"roundrobin", "leastconn"} {
		a, b := server("a", 3), server("b", 1)
		a.MaxConn, b.MaxConn = limit, limit
		_, p := newPool(t, loops, config.Backend{Algorithm: alg, Servers: []config.Server{a, b}})
		var now [2]atomic.Int64
		var full, served atomic.Int64
		var wg sync.WaitGroup
		for l := range loops {
			wg.Go(func() {
				var held []*Server
				r := rand.New(rand.NewPCG(1, uint64(l)))
				give := func() {
					s := held[0]
					held = held[1:]
					now[s.Name()[0]-'a'].Add(-1)
					s.Release()
				}
				for range 20000 {
					if len(held) > 0 && r.IntN(2) == 0 {
						give()
						continue
					}
					s, err := p.Choose(l, nil)
					if err == ErrFull {
						full.Add(1)
						continue
					} else if err != nil {
						t.Error(err)
						return
					}
					served.Add(1)
					if n := now[s.Name()[0]-'a'].Add(1); n > limit {
						t.Errorf("%s: %d at once, maxconn %d", s.Name(), n, limit)
					}
					held = append(held, s)
				}
				for len(held) > 0 {
					give()
				}
			})
		}
		wg.Wait()
		for _, s := range p.Servers() {
			if s.InFlight() != 0 {
				t.Errorf("%s: %d in flight at the end", s.Name(), s.InFlight())
			}
		}
		if full.Load() == 0 || served.Load() == 0 {
			t.Errorf("%s: %d full, %d served: the test did not reach the bound", alg, full.Load(), served.Load())
		}
	}
}

// With every slot but one taken by others, the one is never refused.
func TestMaxConnNeverRefusesAFreeSlot(t *testing.T) {
	a := server("a", 1)
	a.MaxConn = 2
	_, p := newPool(t, 2, config.Backend{Servers: []config.Server{a}})
	var wg sync.WaitGroup
	for l := range 2 {
		wg.Go(func() {
			for range 50000 {
				s, err := p.Choose(l, nil)
				if err != nil {
					t.Errorf("refused with at most two at once: %v", err)
					return
				}
				s.Release()
			}
		})
	}
	wg.Wait()
}

func TestFullGoesToTheNext(t *testing.T) {
	a := server("a", 10)
	a.MaxConn = 1
	_, p := newPool(t, 1, config.Backend{Servers: []config.Server{a, server("b", 1)}})
	got := ""
	for range 4 {
		s, err := p.Choose(0, nil)
		if err != nil {
			t.Fatal(err)
		}
		got += s.Name()
	}
	if got != "abbb" {
		t.Errorf("picked %s, want abbb", got)
	}
}

func TestRetryAvoidsWhatFailed(t *testing.T) {
	_, p := newPool(t, 1, config.Backend{Servers: []config.Server{server("a", 1), server("b", 1), server("c", 1)}})
	a, b := p.Server("a"), p.Server("b")
	a.ConnectFailed(0)
	b.ConnectFailed(0)
	for range 9 {
		s, err := p.Choose(0, b)
		if err != nil || s.Name() != "c" {
			t.Fatalf("%v, %v; a and b have just failed", s.Name(), err)
		}
		s.Release()
	}
	p.Server("c").SetAdmin(Maint)
	if s, err := p.Choose(0, b); err != nil || s == nil {
		t.Fatalf("nothing but failed servers is left: one of them must be tried, got %v", err)
	}
}

func TestAdminAndWeight(t *testing.T) {
	_, p := newPool(t, 1, config.Backend{Servers: []config.Server{server("a", 1), server("b", 1)}})
	a := p.Server("a")
	for _, st := range []Admin{Drain, Maint} {
		a.SetAdmin(st)
		if got := choose(t, p, 4); got != "bbbb" {
			t.Errorf("%v: picked %s", st, got)
		}
		a.SetAdmin(Ready)
		if got := choose(t, p, 4); strings.Count(got, "a") != 2 {
			t.Errorf("ready again: picked %s", got)
		}
	}
	a.SetWeight(3)
	if got := choose(t, p, 8); strings.Count(got, "a") != 6 {
		t.Errorf("weight 3 of 4: picked %s", got)
	}
	a.SetWeight(0)
	if got := choose(t, p, 4); got != "bbbb" {
		t.Errorf("weight 0: picked %s", got)
	}
}

func TestPickAllocatesNothing(t *testing.T) {
	for _, alg := range []string{"roundrobin", "leastconn"} {
		_, p := newPool(t, 1, config.Backend{Algorithm: alg, Servers: []config.Server{server("a", 3), server("b", 2)}})
		if n := testing.AllocsPerRun(1000, func() {
			s, _ := p.Choose(0, nil)
			s.Response(0, 200, 1)
			s.Release()
		}); n != 0 {
			t.Errorf("%s: %v allocations a pick", alg, n)
		}
	}
}

func BenchmarkChoose(b *testing.B) {
	for _, alg := range []string{"roundrobin", "leastconn"} {
		b.Run(alg, func(b *testing.B) {
			var servers []config.Server
			for i := range 8 {
				servers = append(servers, server(fmt.Sprint("s", i), 1+i%3))
			}
			_, p := newPool(b, 1, config.Backend{Algorithm: alg, Servers: servers})
			for b.Loop() {
				s, _ := p.Choose(0, nil)
				s.Release()
			}
		})
	}
}
