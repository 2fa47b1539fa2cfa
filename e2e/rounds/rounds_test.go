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
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

var (
	rounds = flag.Int("rounds", 0, "of all sites together; 0: 9 in the short run, 150 in the full one")
	seed   = flag.Int64("seed", 0, "of the rounds; 0: another one each time")
)

// TestRounds lets random things happen to servers that clients write to, one after another, and judges after each. Three sites
// at a time run beside each other.
func TestRounds(t *testing.T) {
	n, from := *rounds, *seed
	if n == 0 && testing.Short() {
		n = 9
	} else if n == 0 {
		n = 150
	}
	if from == 0 {
		from = time.Now().UnixNano()
	}
	t.Logf("%d rounds; -seed %d -rounds %d repeats what happens in them", n, from, n)
	for i, s := range settings {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			run(t, s, share(n, i), func(round int) *rand.Rand { return rand.New(rand.NewPCG(uint64(from), uint64(i<<32+round))) })
		})
	}
}

// run is the rounds of one site.
func run(t *testing.T, of setting, n int, random func(round int) *rand.Rand) {
	s := newSite(t, of)
	s.await("the endpoint leads to a primary", func() bool {
		for _, text := range tables {
			if _, err := s.pools["db1"].Exec(text); err != nil {
				return false
			}
		}
		return s.primary() != ""
	})
	h := newHistory(of.degrades())
	c := startClients(s, h)
	defer c.stop()
	for i := range n {
		r := &round{site: s, clients: c, history: h, random: random(i), heard: map[string]int{}}
		begun := time.Now()
		r.run()
		h.judge(t)
		if t.Failed() {
			t.Fatalf("round %d of %s: %s", i, of, r.story())
		}
		t.Logf("round %d in %v: %s; so far %s", i, time.Since(begun).Round(100*time.Millisecond), r.story(), h.counts())
	}
}

// round is one story.
type round struct {
	*site
	clients *clients
	history *history
	random  *rand.Rand
	told    []string
	heard   map[string]int // how much each node had printed when the round began
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
	for _, name := range r.names {
		r.heard[name] = len(r.said(name))
	}
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
	victims := []string{victim}
	if promotes {
		victims = append(victims, r.company(primary)...)
	}
	r.tell("%s of %s (primary %s), %v", what.name, strings.Join(victims, " and "), primary, lasts)
	if !switches && r.random.IntN(2) == 0 { // one that switches waits for replicas that have applied everything
		defer r.lag(primary, lasts)()
	}
	var switched chan string
	if switches {
		switched = r.switchover(primary)
		time.Sleep(r.upTo(60)) // the trouble comes in the midst of it, or behind it
	}
	what.do(r.site, victims)
	time.Sleep(lasts) // as long as it is chosen to last
	switch {
	case promotes && len(victims) > r.need():
		r.refused(victims)
	case promotes:
		r.promote(r.other(victims...), true)
	case switches:
	case victim != primary && (r.replicas > r.need() || r.degrades()):
		r.progress("clients write while a replica is away", st.Epoch, 20)
	case victim == primary && what.served && r.degrades():
		r.progress("clients write while the primary is alone", st.Epoch, 20)
		if st, _ := r.state(primary); st.Acks == nil || st.Acks.State != "degraded" || st.Acks.Unacked == "" {
			r.t.Errorf("%s, which is alone, says that its acknowledgements are %+v", primary, st.Acks)
		}
	}
	r.degradedAt(primary)
	what.undo(r.site, victims)
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

// company are replicas that the same befalls as the primary: as many as may be missing where a promotion is to lose
// nothing, or one more.
func (r *round) company(primary string) []string {
	most := min(r.need(), r.replicas-1)
	n := r.random.IntN(most + 1)
	if n == r.need() {
		n = r.random.IntN(most + 1) // more rarely: the promotion is refused
	}
	replicas := slices.DeleteFunc(slices.Clone(r.names), func(name string) bool { return name == primary })
	r.random.Shuffle(len(replicas), func(i, j int) { replicas[i], replicas[j] = replicas[j], replicas[i] })
	return replicas[:n]
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

// other is any server but these.
func (r *round) other(but ...string) string {
	names := slices.DeleteFunc(slices.Clone(r.names), func(n string) bool { return slices.Contains(but, n) })
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
	if must && strings.Contains(out, "is the primary now") && strings.Contains(out, "db.ack_policy: degrade") != r.degrades() {
		r.t.Errorf("the promotion says something else than that what only the old primary has is lost where it may be: %s", out)
	}
}

// refused: where too many are away to prove that nothing is lost, a promotion changes nothing, and names them.
func (r *round) refused(missing []string) {
	r.t.Helper()
	on := r.other(missing...)
	out, err := r.on(on, "db", "promote")
	r.tell("promote on %s: %q", on, out)
	if err == nil || !strings.Contains(out, "or promote with --force") || strings.Contains(out, "was begun") {
		r.t.Errorf("a promotion without %v: %q, %v", missing, out, err)
	}
	for _, name := range missing {
		if !strings.Contains(out, name) {
			r.t.Errorf("a promotion without %v does not name %s: %s", missing, name, out)
		}
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
	r.await("nobody says any more that commits were unacknowledged", func() bool {
		return !slices.ContainsFunc(r.names, func(name string) bool {
			st, ok := r.state(name)
			return !ok || st.Acks == nil || st.Acks.Unacked != ""
		})
	})
	r.history.excuse(r.excuses())
	sums := asked(r, func() (string, error) { return r.checksums(primary) })
	var lists map[string]string
	for _, name := range r.names {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		lists = asked(r, func() (map[string]string, error) { return readLists(ctx, r.pools[name], "") })
		r.history.final(name, lists, asked(r, func() (map[int64]write, error) { return readRows(ctx, r.pools[name]) }))
		if own := asked(r, func() (string, error) { return r.checksums(name) }); own != sums {
			r.t.Errorf("%s has the checksums %s, the primary %s has %s", name, own, primary, sums)
		}
	}
	r.history.next(lists)
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
