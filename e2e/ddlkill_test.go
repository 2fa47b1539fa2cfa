package e2e

import (
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

var (
	ddlKills = flag.Int("ddl-kills", 0, "of TestKillDuringDDL, and half as many of TestKillReplicaDuringDDL; 0: 4 in the short run, 60 in the full one")
	ddlSeed  = flag.Uint64("ddl-seed", 0, "of these two; 0: another one each time")
)

// ddlStates are what the process list says while a statement reads and writes rows beside the writers.
var ddlStates = []string{" of about ", "following changes", "waiting for the table's writers", "switching"}

// ddlRun is a server with DDL and clients that write, of which it, or its replica, is killed again and again.
type ddlRun struct {
	t       *testing.T
	random  *rand.Rand
	deck    *ddlDeck
	books   *books
	primary *ddlServer
	took    map[string]time.Duration // by kind
	tally   map[string]int           // how many statements were found done and undone after a kill
}

func newDDLRun(t *testing.T) (r *ddlRun, kills int) {
	seed := *ddlSeed
	if kills = *ddlKills; kills == 0 {
		if kills = 60; testing.Short() {
			kills = 4
		}
	}
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("repeat with -args -ddl-seed=%d -ddl-kills=%d", seed, kills)
	random := rand.New(rand.NewPCG(seed, 5))
	r = &ddlRun{t: t, random: random, deck: newDDLDeck(random), books: newBooks(t), took: map[string]time.Duration{}, tally: map[string]int{}}
	r.primary = newDDLServer(t, newDBSite(t), 0)
	r.primary.start()
	return r, kills
}

// moment is when a server is killed: at a share of the time that the statement took before, or when it is in a state.
type moment struct {
	after time.Duration
	state string // empty: none is awaited
}

func (m moment) String() string {
	if m.state == "" {
		return m.after.Round(100 * time.Microsecond).String()
	}
	return fmt.Sprintf("%v behind %q", m.after.Round(100*time.Microsecond), strings.TrimSpace(m.state))
}

func (r *ddlRun) moment(s ddlStep) moment {
	took := r.took[s.kind]
	if took == 0 {
		took = 50 * time.Millisecond
	}
	share := func(n float64) time.Duration { return time.Duration(r.random.Float64() * n * float64(took)) }
	if s.follows && r.random.IntN(3) > 0 {
		return moment{share(0.3), ddlStates[r.random.IntN(len(ddlStates))]}
	}
	return moment{share(1.1), ""}
}

// wait returns at the moment, or when done is closed.
func (m moment) wait(db *sql.DB, done <-chan struct{}) {
	for m.state != "" {
		var n int
		err := db.QueryRow("SELECT COUNT(*) FROM information_schema.processlist WHERE state LIKE ?", "altering%"+m.state+"%").Scan(&n)
		if err != nil || n > 0 {
			break
		}
		select {
		case <-done:
			return
		default:
		}
	}
	select {
	case <-done:
	case <-time.After(m.after): // as long as it is chosen to last
	}
}

// run runs a step to its end, which must be a good one.
func (r *ddlRun) run(k *ddlServer, s ddlStep) {
	r.t.Helper()
	begun := time.Now()
	k.exec(s.text)
	r.took[s.kind] = time.Since(begun)
}

// answer says whether a statement was answered before the server was killed.
func (r *ddlRun) answer(text string, err error) bool {
	r.t.Helper()
	var refused *mysql.MySQLError
	if errors.As(err, &refused) && refused.Number != 1053 {
		r.t.Errorf("%s: %v", text, err)
	}
	return err == nil
}

// TestKillDuringDDL kills the server at random moments of statements of all kinds, while clients write the table that is
// changed. Each of them is there wholly or not at all, those that were answered are there, and so are the rows; nothing is
// left over, and the binary log says the same.
func TestKillDuringDDL(t *testing.T) {
	r, kills := newDDLRun(t)
	victim := r.primary
	// The model runs the same statements, on empty tables and in peace: it tells what comes out.
	model := newDDLServer(t, victim.site, 1)
	model.start()
	for _, k := range []*ddlServer{model, victim} {
		openDDLTables(k)
		r.books.open(k)
	}
	r.books.fill(victim)
	backup := victim.site.path("backup")
	must(t, victim.site.dir, "db", "backup", backup, "--socket", victim.socket())
	r.books.start(victim.db)
	old := model.schema()
	for kill := 0; kill < kills; {
		s := r.deck.next()
		for _, k := range []*ddlServer{model, victim} {
			k.exec(s.before...)
		}
		if len(s.before) > 0 {
			old = model.schema()
		}
		model.exec(s.text)
		changed := model.schema()
		if changed == old {
			t.Fatalf("%s: changes nothing", s.text)
		}
		if r.random.IntN(3) == 0 {
			r.run(victim, s)
		} else {
			kill++
			r.killDuring(victim, s, old, changed)
		}
		if t.Failed() {
			t.Fatalf("kill %d: %s", kill, s.text)
		}
		old = changed
	}
	r.books.stop()
	t.Logf("%d statements were done and %d undone; %d were answered", r.tally["done"], r.tally["undone"], r.tally["answered"])
	if !testing.Short() && (r.tally["done"] == 0 || r.tally["undone"] == 0) {
		t.Error("the kills are not spread over the statements")
	}
	victim.check()
	sums := victim.sums(victim.tables(false))
	victim.stop()
	restored := newDDLServer(t, victim.site, 2)
	must(t, victim.site.dir, "db", "restore", backup, "--binlog", victim.site.path(victim.name()), "--config", restored.file())
	restored.start()
	if got := restored.schema(); got != old {
		t.Errorf("the binary log has made\n%s\nwant\n%s", got, old)
	}
	if got := restored.sums(restored.tables(false)); got != sums {
		t.Errorf("the binary log has made\n%s\nthe server had\n%s", got, sums)
	}
}

// killDuring kills the server in the middle of a statement, and judges what it has after a restart.
func (r *ddlRun) killDuring(k *ddlServer, s ddlStep, old, changed string) {
	r.t.Helper()
	m := r.moment(s)
	file, offset := k.position()
	answered, done := make(chan bool, 1), make(chan struct{})
	go func() {
		begun := time.Now()
		_, err := k.db.Exec(s.text)
		if err == nil {
			r.took[s.kind] = time.Since(begun)
		}
		close(done)
		answered <- r.answer(s.text, err)
	}()
	m.wait(k.db, done)
	k.kill()
	ok := <-answered
	r.books.stop()
	if r.random.IntN(2) == 0 {
		k.checkStore() // before anything that the start does
	}
	k.start()
	if left := k.scratch(); len(left) > 0 {
		r.t.Errorf("left over: %v", left)
	}
	k.check()
	outcome, want := "undone", 0
	switch got := k.schema(); {
	case got == changed:
		outcome, want = "done", 1
	case got != old:
		r.t.Errorf("%s: there is neither all nor nothing of it:\n%s\nbefore:\n%s\nbehind it:\n%s", s.text, got, old, changed)
	case ok:
		r.t.Errorf("%s: was answered, and is undone", s.text)
	}
	if n := k.logged(s.logged, file, offset); n != want {
		r.t.Errorf("%s is %s, and %d times in the binary log", s.text, outcome, n)
	}
	table := r.deck.table
	if outcome == "undone" && strings.HasPrefix(s.text, "RENAME TABLE acct") {
		table = strings.Fields(s.text)[2]
	}
	r.books.judge(k, table)
	r.tally[outcome]++
	if ok {
		r.tally["answered"]++
	}
	r.t.Logf("killed %v: %s, answered %v, %s", m, s.text, ok, outcome)
	r.books.start(k.db)
	if outcome == "done" || r.t.Failed() {
		return
	}
	r.run(k, s)
	if got := k.schema(); got != changed {
		r.t.Errorf("%s, run again:\n%s\nwant\n%s", s.text, got, changed)
	}
	if n := k.logged(s.logged, file, offset); n != 1 {
		r.t.Errorf("%s, run again, is %d times in the binary log", s.text, n)
	}
}
