package rounds

import (
	"context"
	"database/sql/driver"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

var (
	rounds = flag.Int("rounds", 0, "of all sites together; 0: 5 in the short run, 100 in the full one")
	seed   = flag.Int64("seed", 0, "of the rounds; 0: another one each time")
)

// trouble is what may happen to a server.
type trouble struct {
	name string
	do   func(s *site, victim string)
	undo func(s *site, victim string)
	// away: the other servers cannot ask it meanwhile, so it may be replaced.
	away bool
}

func nothing(*site, string) {}

// child signals the process of the database alone; its supervisor lives.
func child(signal syscall.Signal) func(*site, string) {
	return func(s *site, victim string) {
		if pid := s.nodes[victim].Child("stack-db"); pid > 0 {
			syscall.Kill(pid, signal)
		}
	}
}

// cut drops what goes from a server to these hosts, and back.
func cut(to, back bool, hosts func(s *site) []string) func(*site, string) {
	return func(s *site, victim string) {
		for _, host := range hosts(s) {
			if host == victim {
				continue
			}
			if to {
				s.must(s.lan.Cut(victim, host))
			}
			if back {
				s.must(s.lan.Cut(host, victim))
			}
		}
	}
}

func heal(s *site, _ string)        { s.must(s.lan.Heal()) }
func servers(s *site) []string      { return s.names }
func everybody(s *site) []string    { return append([]string{"lb1", "client"}, s.names...) }
func balancerOnly(s *site) []string { return []string{"lb1"} }

var troubles = []trouble{
	{"kill -9", func(s *site, victim string) { s.nodes[victim].Kill() }, func(s *site, victim string) { s.start(victim) }, true},
	{"kill -9", func(s *site, victim string) { s.nodes[victim].Kill() }, func(s *site, victim string) { s.start(victim) }, true},
	{"kill -9 of the process that has the store", child(syscall.SIGKILL), nothing, false},
	{"freeze", func(s *site, victim string) { s.freeze(victim, true) }, func(s *site, victim string) { s.freeze(victim, false) }, true},
	{"freeze", func(s *site, victim string) { s.freeze(victim, true) }, func(s *site, victim string) { s.freeze(victim, false) }, true},
	{"freeze of the process that has the store", child(syscall.SIGSTOP), child(syscall.SIGCONT), true},
	{"link down", func(s *site, victim string) { s.must(s.lan.SetLink(victim, false)) }, func(s *site, victim string) { s.must(s.lan.SetLink(victim, true)) }, true},
	{"partition", cut(true, true, everybody), heal, true},
	{"partition from the servers", cut(true, true, servers), heal, true},
	{"partition from the servers, and kill -9 of the process that has the store,", func(s *site, victim string) {
		cut(true, true, servers)(s, victim) // what waits for the others is in the log when it starts anew, alone
		child(syscall.SIGKILL)(s, victim)
	}, heal, true},
	{"not heard by the servers", cut(true, false, servers), heal, true},
	{"hears nothing of the servers", cut(false, true, servers), heal, true},
	{"partition from the balancer", cut(true, true, balancerOnly), heal, false},
}

// TestRounds lets random things happen to servers that clients write to, one after another, and judges after each. Sites with one,
// two and three replicas run beside each other.
func TestRounds(t *testing.T) {
	n, from := *rounds, *seed
	if n == 0 && testing.Short() {
		n = 5
	} else if n == 0 {
		n = 100
	}
	if from == 0 {
		from = time.Now().UnixNano()
	}
	t.Logf("%d rounds; -seed %d -rounds %d repeats what happens in them", n, from, n)
	for replicas := 1; replicas <= 3; replicas++ {
		t.Run(fmt.Sprintf("replicas=%d", replicas), func(t *testing.T) {
			t.Parallel()
			run(t, replicas, (n+3-replicas)/3, from)
		})
	}
}

// run is the rounds of one site.
func run(t *testing.T, replicas, n int, seed int64) {
	s := newSite(t, replicas)
	s.await("the endpoint leads to a primary", func() bool {
		for _, text := range tables {
			if _, err := s.pools["db1"].Exec(text); err != nil {
				return false
			}
		}
		return s.primary() != ""
	})
	h := newHistory()
	c := startClients(s, h)
	defer c.stop()
	for i := range n {
		r := &round{site: s, clients: c, history: h, random: rand.New(rand.NewPCG(uint64(seed), uint64(replicas<<32+i)))}
		begun := time.Now()
		r.run()
		h.judge(t)
		if t.Failed() {
			t.Fatalf("round %d of %d replicas, -seed %d: %s", i, replicas, seed, r.story())
		}
		ok, failed, unknown := h.counts()
		t.Logf("round %d in %v: %s; so far %d writes answered, %d refused, %d open", i, time.Since(begun).Round(100*time.Millisecond), r.story(), ok, failed, unknown)
	}
}

// round is one story.
type round struct {
	*site
	clients *clients
	history *history
	random  *rand.Rand
	told    []string
}

func (r *round) tell(format string, args ...any) {
	r.told = append(r.told, fmt.Sprintf(format, args...))
}
func (r *round) story() string { return strings.Join(r.told, "; ") }

// up to so many milliseconds.
func (r *round) upTo(ms int) time.Duration {
	return time.Duration(r.random.IntN(ms+1)) * time.Millisecond
}

func (r *round) run() {
	r.clients.round()
	aside := r.putAside()
	primary := r.settled()
	st, _ := r.state(primary)
	r.progress("clients write to "+primary, st.Epoch, 50)
	what, victim := troubles[r.random.IntN(len(troubles))], primary
	if r.random.IntN(3) == 0 {
		victim = r.other(primary)
	}
	lasts := r.upTo(2500)
	promotes := what.away && victim == primary && r.random.IntN(4) > 0
	switches := !promotes && r.random.IntN(3) == 0
	r.tell("%s of %s (primary %s), %v", what.name, victim, primary, lasts)
	if !switches && r.random.IntN(2) == 0 { // one that switches waits for replicas that have applied everything
		defer r.lag(primary, lasts)()
	}
	var switched chan string
	if switches {
		switched = r.switchover(primary)
		time.Sleep(r.upTo(60)) // the trouble comes in the midst of it, or behind it
	}
	what.do(r.site, victim)
	time.Sleep(lasts) // as long as it is chosen to last
	if promotes {
		r.promote(r.other(victim), true)
	} else if victim != primary && len(r.names) > 2 && !switches {
		r.progress("clients write while a replica is away", st.Epoch, 20)
	}
	what.undo(r.site, victim)
	if switches {
		r.tell("switchover: %s", <-switched)
	}
	after := r.settled()
	now, _ := r.state(after)
	r.progress("clients write to "+after, now.Epoch, 20)
	r.tell("primary %s, epoch %d", after, now.Epoch)
	r.judge()
	r.rejoined(aside)
}

// lag lets clients lock replicas until some time after the trouble: what these receive and acknowledge meanwhile is
// not applied. The result waits for their end.
func (r *round) lag(primary string, lasts time.Duration) (end func()) {
	var wait sync.WaitGroup
	for _, name := range r.names {
		if name == primary || r.random.IntN(3) == 0 {
			continue
		}
		holds := lasts + r.upTo(1500)
		r.tell("%s applies nothing for %v", name, holds)
		locked := make(chan struct{})
		wait.Go(func() {
			told := sync.OnceFunc(func() { close(locked) })
			defer told()
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			c, err := r.pools[name].Conn(ctx)
			if err != nil {
				return // it is the one that the trouble befalls
			}
			defer c.Close()
			defer c.Raw(func(any) error { return driver.ErrBadConn }) // ends the session, and its locks
			if _, err := c.ExecContext(ctx, "FLUSH TABLES WITH READ LOCK"); err != nil {
				return
			}
			told()
			time.Sleep(holds) // as long as it is chosen to last
		})
		<-locked
	}
	return wait.Wait
}

// other is any server but one.
func (r *round) other(name string) string {
	names := slices.DeleteFunc(slices.Clone(r.names), func(n string) bool { return n == name })
	return names[r.random.IntN(len(names))]
}

// switchover begins to switch the roles. The answer is what the command says.
func (r *round) switchover(primary string) chan string {
	told := make(chan string, 1)
	args := []string{"db", "switchover"}
	if r.random.IntN(2) == 0 {
		args = append(args, r.other(primary))
	}
	go func() {
		out, err := r.on(primary, args...)
		told <- fmt.Sprintf("%q %v", out, err)
	}()
	return told
}

// promote has a replica take the place of a primary that is away. An operator tries again until the replicas
// that are needed answer, or sees that the primary is back.
func (r *round) promote(on string, must bool) {
	r.t.Helper()
	var out string
	r.await("a promotion on "+on, func() bool {
		var err error
		out, err = r.on(on, "db", "promote")
		return err == nil || strings.Contains(out, "is alive and takes writes") || !must
	})
	r.tell("promote on %s: %q", on, out)
	if strings.Contains(out, "is the primary now") && !strings.Contains(out, "No commit that replicas have acknowledged is lost") {
		r.t.Errorf("the promotion does not say what it has proved: %s", out)
	}
}

// progress awaits that clients are answered in an epoch or later ones.
func (r *round) progress(what string, epoch uint64, n int) {
	r.t.Helper()
	before := r.history.answered(epoch)
	r.await(what, func() bool { return r.history.answered(epoch) >= before+n })
}

// leaderless is how long there may be no primary until the operator promotes one.
const leaderless = 6 * time.Second

// settled awaits that there is one primary and all others follow it, with what an operator does for that.
func (r *round) settled() (primary string) {
	r.t.Helper()
	since := time.Now()
	r.await("one server is the primary and the others follow it", func() bool {
		if primary = r.primary(); primary != "" {
			return true
		}
		leader := ""
		for _, name := range r.names {
			if st, ok := r.state(name); ok && st.Role == "primary" {
				leader = name
			}
		}
		switch {
		case leader != "":
			since = time.Now() // the others join again by themselves
		case time.Since(since) > leaderless:
			since = time.Now()
			r.promote(r.names[r.random.IntN(len(r.names))], false)
		}
		return false
	})
	return primary
}

// rejoined tells which servers have joined again since, and how.
func (r *round) rejoined(since map[string]bool) {
	for path := range r.putAside() {
		if !since[path] {
			r.tell("%s is there", path)
		}
	}
}

// judge compares what the servers have while nobody writes.
func (r *round) judge() {
	r.t.Helper()
	defer r.clients.hold()()
	primary := r.settled()
	var want string
	r.await("all servers have the same", func() bool {
		st, ok := r.state(primary)
		want = sorted(st.Executed)
		return ok && !slices.ContainsFunc(r.names, func(name string) bool {
			st, ok := r.state(name)
			return !ok || sorted(st.Executed) != want
		})
	})
	sums := asked(r, func() (string, error) { return r.checksums(primary) })
	for _, name := range r.names {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		lists := asked(r, func() (map[string]string, error) { return readLists(ctx, r.pools[name], "") })
		r.history.final(name, lists, asked(r, func() (map[int64]write, error) { return readRows(ctx, r.pools[name]) }))
		if own := asked(r, func() (string, error) { return r.checksums(name) }); own != sums {
			r.t.Errorf("%s has the checksums %s, the primary %s has %s", name, own, primary, sums)
		}
	}
}

// sorted is a GTID set in an order that does not depend on the server.
func sorted(set string) string {
	parts := strings.Split(set, ",")
	slices.Sort(parts)
	return strings.Join(parts, ",")
}

// asked is what a server answers. One that has just become a replica may still be ending the
// sessions that it had as a primary: these are asked anew.
func asked[T any](r *round, question func() (T, error)) (answer T) {
	r.t.Helper()
	r.await("a server answers", func() bool {
		var err error
		answer, err = question()
		if errors.Is(err, mysql.ErrInvalidConn) {
			return false
		}
		r.must(err)
		return true
	})
	return answer
}

// checksums are those of the tables on a server.
func (r *round) checksums(name string) (text string, err error) {
	rows, err := r.pools[name].Query("CHECKSUM TABLE lists, writes")
	if err != nil {
		return "", err
	}
	defer rows.Close()
	for rows.Next() {
		var table, sum string
		if err := rows.Scan(&table, &sum); err != nil {
			return "", err
		}
		text += table + " " + sum + " "
	}
	return text, rows.Err()
}
