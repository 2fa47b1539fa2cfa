package txn

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// run makes a transaction that does not fit in memory: half of the rows are changed, a
// quarter deleted, as many added.
func (g *largeChange) run(t *testing.T, e *Engine, tx *Txn) {
	t.Helper()
	table := e.Catalog().Table("site", "people")
	for id := int64(0); id < g.rows; id += 2 {
		must(t, tx.UpdateRow(ctx, table, g.row(id, "old"), g.row(id, "new")))
	}
	for id := int64(1); id < g.rows; id += 4 {
		must(t, tx.DeleteRow(ctx, table, g.row(id, "old")))
		must(t, tx.InsertRow(ctx, table, g.row(id+g.rows, "new")))
	}
	if tx.set.spill == nil {
		t.Fatal("the transaction fits in memory")
	}
}

type largeChange struct{ rows int64 }

func (g *largeChange) row(id int64, what string) []any {
	return person(id, fmt.Sprint(what, id), int32(id%5), strings.Repeat(what, int(id%11)*1000+10))
}

// state counts the rows of each kind; before the transaction all are old.
func (g *largeChange) state(t *testing.T, e *Engine) string {
	t.Helper()
	tx := e.Begin(RepeatableRead)
	defer tx.Rollback()
	rows, err := tx.Scan(ctx, e.Catalog().Table("site", "people"), Scan{})
	must(t, err)
	defer rows.Close()
	n := map[string]int{}
	for rows.Next() {
		n[rows.Row()[3].(string)[:3]]++
	}
	must(t, rows.Err())
	return fmt.Sprint(n["old"], " ", n["new"])
}

// The power fails at every step of the commit of a large transaction, of which the table
// files and their place in the store are the longest. All of it is there afterwards, or
// nothing; if it was answered, all. Temporary files go.
func TestCrashInLargeCommit(t *testing.T) {
	r := seeded(t)
	fs := newCrashMem()
	type crash struct {
		fs       *vfs.MemFS
		answered bool
	}
	var mu sync.Mutex
	var clones []crash
	var armed, answered bool
	hooked := errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if armed && op.Kind.ReadOrWrite() == errorfs.OpIsWrite && r.IntN(10) == 0 {
			clones = append(clones, crash{fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50 * r.IntN(3), RNG: rand.New(rand.NewPCG(r.Uint64(), 3))}), answered})
		}
		return nil
	}))
	e, stop := openMem(t, hooked, Options{WriteSetLimit: 64 << 10})
	g := &largeChange{rows: 200}
	table := createTable(t, e, people(t))
	for id := range g.rows {
		write(t, e, func(tx *Txn) error { return tx.InsertRow(ctx, table, g.row(id, "old")) })
	}
	before := e.Executed().Seq
	arm := func(on bool) { mu.Lock(); armed = on; mu.Unlock() }
	tx := e.Begin(RepeatableRead)
	arm(true)
	g.run(t, e, tx)
	must(t, tx.Commit(ctx))
	mu.Lock()
	answered = true
	mu.Unlock()
	write(t, e, func(tx *Txn) error {
		return tx.InsertRow(ctx, e.Catalog().Table("site", "people"), person(9999, "z", 1, "zzz"))
	})
	arm(false)
	checkClean(t, e)
	if got := g.state(t, e); got != "50 150" {
		t.Fatalf("after the commit: %s", got)
	}
	stop()
	clones = append(clones, crash{fs.CrashClone(vfs.CrashCloneCfg{}), true})
	done := 0
	for i, c := range clones {
		e, stop := openMem(t, c.fs, Options{})
		checkClean(t, e)
		got, seq := g.state(t, e), e.Executed().Seq
		switch {
		case got == "200 0" && seq == before && !c.answered:
		case got == "50 150" && seq > before:
			done++
		default:
			t.Fatalf("crash %d of %d (answered: %v): rows %s, position %d after %d", i, len(clones), c.answered, got, seq, before)
		}
		if got := replay(t, e); uint64(got.last) != seq {
			t.Fatalf("crash %d: the log ends with transaction %d, executed is %d", i, got.last, seq)
		}
		if names, err := c.fs.List("db/tmp"); err == nil && len(names) > 0 {
			t.Fatalf("temporary files are left: %v", names)
		}
		stop()
	}
	t.Logf("%d crashes, %d behind the commit", len(clones), done)
	if len(clones) < 10 || done == len(clones) || done == 0 {
		t.Errorf("%d crashes, %d behind the commit: the test sees nothing", len(clones), done)
	}
}

// A disk that fails while a large transaction is written or moved out makes it fail, and
// nothing of it is there.
func TestLargeTransactionMeetsErrors(t *testing.T) {
	var left atomic.Int64
	left.Store(-1)
	errDisk := errors.New("the disk fails")
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && strings.Contains(op.Path, "/tmp/") && !strings.Contains(op.Path, "/db/") &&
			op.Kind != errorfs.OpRemove && op.Kind != errorfs.OpRemoveAll && left.Load() >= 0 && left.Add(-1) < 0 {
			left.Store(0)
			return errDisk
		}
		return nil
	}))
	e, _ := openMem(t, fs, Options{WriteSetLimit: 64 << 10})
	g := &largeChange{rows: 100}
	table := createTable(t, e, people(t))
	for id := range g.rows {
		write(t, e, func(tx *Txn) error { return tx.InsertRow(ctx, table, g.row(id, "old")) })
	}
	failed := 0
	for step := int64(0); ; step++ {
		left.Store(step)
		tx := e.Begin(RepeatableRead)
		var err error
		for id := int64(0); id < g.rows && err == nil; id++ {
			err = tx.UpdateRow(ctx, table, g.row(id, "old"), g.row(id, "new"))
		}
		if err == nil {
			err = tx.Commit(ctx)
		}
		tx.Rollback()
		left.Store(-1)
		if err == nil {
			break
		}
		failed++
		if !errors.Is(err, errDisk) {
			t.Fatalf("step %d: %v", step, err)
		}
		if got := g.state(t, e); got != "100 0" {
			t.Fatalf("step %d: rows %s after %v", step, got, err)
		}
		if step > 500 {
			t.Fatal("it never succeeds")
		}
	}
	if failed < 5 {
		t.Errorf("only %d steps failed", failed)
	}
	if got := g.state(t, e); got != "0 100" {
		t.Errorf("rows %s", got)
	}
	checkClean(t, e)
	if names, err := fs.List("db/tmp"); err != nil || len(names) > 0 {
		t.Errorf("temporary files are left: %v, %v", names, err)
	}
}

// While a large transaction commits others go on, readers see it whole or not at all, and
// a view from before does not change.
func TestLargeCommitBesideOthers(t *testing.T) {
	e, _ := openMem(t, vfs.NewMem(), Options{WriteSetLimit: 64 << 10})
	g := &largeChange{rows: 400}
	table := createTable(t, e, people(t))
	for id := range g.rows {
		write(t, e, func(tx *Txn) error { return tx.InsertRow(ctx, table, g.row(id, "old")) })
	}
	view := e.Begin(RepeatableRead)
	view.StartSnapshot()
	defer view.Rollback()
	var stop atomic.Bool
	var wait sync.WaitGroup
	var commits atomic.Int64
	wait.Go(func() {
		for id := int64(100_000); !stop.Load(); id++ {
			tx := e.Begin(RepeatableRead)
			if err := errors.Join(tx.InsertRow(ctx, table, person(id, fmt.Sprint(id), 1, "zzz")), tx.Commit(ctx)); err != nil {
				t.Error(err)
				return
			}
			commits.Add(1)
		}
	})
	wait.Go(func() {
		for !stop.Load() {
			if got := g.state(t, e); got != "400 0" && got != "100 300" {
				t.Errorf("a reader sees rows %s", got)
				return
			}
		}
	})
	must(t, waitFor(func() bool { return commits.Load() > 20 }))
	tx := e.Begin(RepeatableRead)
	g.run(t, e, tx)
	must(t, tx.Commit(ctx))
	after := commits.Load()
	must(t, waitFor(func() bool { return commits.Load() > after+20 }))
	stop.Store(true)
	wait.Wait()
	if got := g.state(t, e); got != "100 300" {
		t.Errorf("rows %s", got)
	}
	rows := all(t, view, table, Scan{Columns: []int{0}})
	if len(rows) != int(g.rows) {
		t.Errorf("the view from before has %d rows now", len(rows))
	}
	checkClean(t, e)
}
