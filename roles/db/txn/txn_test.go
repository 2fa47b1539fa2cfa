package txn

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/binlog/event"
	"stack/roles/db/store"
)

// write commits one transaction that runs f.
func write(t testing.TB, e *Engine, f func(tx *Txn) error) {
	t.Helper()
	tx := e.Begin(RepeatableRead)
	if err := f(tx); err != nil {
		tx.Rollback()
		t.Fatal(err)
	}
	commit(t, tx)
}

// commit commits with a statement for the log, which a change of the catalog needs.
func commit(t testing.TB, tx *Txn) {
	t.Helper()
	tx.LogStatement(event.Query{Text: "the statement", Database: "site"})
	must(t, tx.Commit(ctx))
}

func TestIsolationLevels(t *testing.T) {
	e, _ := openMem(t, vfs.NewMem(), Options{})
	table := createTable(t, e, people(t))
	write(t, e, func(tx *Txn) error { return tx.InsertRow(ctx, table, person(1, "a", 1, "")) })

	rr, rc := e.Begin(RepeatableRead), e.Begin(ReadCommitted)
	defer rr.Rollback()
	defer rc.Rollback()
	expect(t, all(t, rr, table, Scan{}), "[1 a 1 ]")
	expect(t, all(t, rc, table, Scan{}), "[1 a 1 ]")
	write(t, e, func(tx *Txn) error {
		return errors.Join(tx.UpdateRow(ctx, table, person(1, "a", 1, ""), person(1, "a", 2, "")), tx.InsertRow(ctx, table, person(2, "b", 2, "")))
	})
	expect(t, all(t, rc, table, Scan{}), "[1 a 1 ]") // the same statement
	rr.NewStatement()
	rc.NewStatement()
	expect(t, all(t, rr, table, Scan{}), "[1 a 1 ]")
	expect(t, all(t, rc, table, Scan{}), "[1 a 2 ]", "[2 b 2 ]")
	expect(t, all(t, rr, table, Scan{Mode: Latest}), "[1 a 2 ]", "[2 b 2 ]")
	// A locking read sees the newest state, a consistent one still the view.
	expect(t, all(t, rr, table, Scan{Mode: LockExclusive}), "[1 a 2 ]", "[2 b 2 ]")
	expect(t, all(t, rr, table, Scan{}), "[1 a 1 ]")
	// Own writes are part of every read, over the view too.
	must(t, rr.InsertRow(ctx, table, person(3, "c", 3, "")))
	expect(t, all(t, rr, table, Scan{}), "[1 a 1 ]", "[3 c 3 ]")
	expect(t, all(t, rr, table, Scan{Mode: LockShared}), "[1 a 2 ]", "[2 b 2 ]", "[3 c 3 ]")
	if rr.Rollback(); e.Stats().LockWaiting != 0 {
		t.Error("somebody waits")
	}
}

// A transaction that has read nothing yet takes its view at the first read, not when
// a statement before it looked at the catalog.
func TestViewIsTakenAtTheFirstRead(t *testing.T) {
	e, _ := openMem(t, vfs.NewMem(), Options{})
	table := createTable(t, e, people(t))
	tx := e.Begin(RepeatableRead)
	defer tx.Rollback()
	tx.Catalog()
	tx.NewStatement()
	write(t, e, func(tx *Txn) error { return tx.InsertRow(ctx, table, person(1, "a", 1, "")) })
	expect(t, all(t, tx, table, Scan{}), "[1 a 1 ]")

	snap := e.Begin(RepeatableRead)
	defer snap.Rollback()
	snap.StartSnapshot()
	snap.NewStatement()
	write(t, e, func(tx *Txn) error { return tx.InsertRow(ctx, table, person(2, "b", 1, "")) })
	expect(t, all(t, snap, table, Scan{}), "[1 a 1 ]")
}

func TestIteratorsDoNotSeeWhatComesAfter(t *testing.T) {
	e, _ := openMem(t, vfs.NewMem(), Options{})
	table := createTable(t, e, people(t))
	write(t, e, func(tx *Txn) error {
		for i := range int64(4) {
			if err := tx.InsertRow(ctx, table, person(i, fmt.Sprint(i), int32(i), strings.Repeat("x", 9000))); err != nil {
				return err
			}
		}
		return nil
	})
	for _, reverse := range []bool{false, true} {
		tx := e.Begin(RepeatableRead)
		must(t, tx.InsertRow(ctx, table, person(100, "own", 50, "")))
		// Every row found by age moves ahead of the scan: each must come exactly once.
		rows, err := tx.Scan(ctx, table, Scan{Index: table.Index("age"), Mode: LockExclusive, Reverse: reverse})
		must(t, err)
		n := 0
		for rows.Next() {
			old := rows.Row()
			next := append(sql.Row(nil), old...)
			next[2] = old[2].(int32) + 100
			if reverse {
				next[2] = old[2].(int32) - 100
			}
			next[3] = "changed"
			must(t, tx.UpdateRow(ctx, table, old, next))
			n++
		}
		must(t, rows.Err())
		if n != 5 {
			t.Fatalf("%d rows, want 5", n)
		}
		must(t, rows.Close())
		tx.Rollback()
	}
	checkClean(t, e)
}

func TestMarksAndSavepoints(t *testing.T) {
	e, _ := openMem(t, vfs.NewMem(), Options{})
	table := createTable(t, e, people(t))
	write(t, e, func(tx *Txn) error { return tx.InsertRow(ctx, table, person(1, "a", 1, "")) })
	tx := e.Begin(RepeatableRead)
	must(t, tx.InsertRow(ctx, table, person(2, "b", 1, "")))
	tx.Savepoint("S1")
	must(t, tx.DeleteRow(ctx, table, person(1, "a", 1, "")))
	statement := tx.Mark()
	must(t, tx.UpdateRow(ctx, table, person(2, "b", 1, ""), person(2, "b", 7, "")))
	must(t, tx.UpdateRow(ctx, table, person(2, "b", 7, ""), person(3, "b", 8, "")))
	row := tx.Mark()
	must(t, tx.InsertRow(ctx, table, person(4, "d", 1, "")))
	if !tx.RollbackTo(row) {
		t.Fatal("mark is gone")
	}
	expect(t, all(t, tx, table, Scan{}), "[3 b 8 ]")
	if !tx.RollbackTo(statement) || tx.RollbackTo(row) {
		t.Fatal("marks are not nested")
	}
	expect(t, all(t, tx, table, Scan{}), "[2 b 1 ]")
	tx.Savepoint("s2")
	tx.Release(statement) // leaves what was set after it
	must(t, tx.InsertRow(ctx, table, person(5, "e", 1, "")))
	if !tx.RollbackToSavepoint("S2") || !tx.RollbackToSavepoint("s2") {
		t.Fatal("savepoint is gone")
	}
	expect(t, all(t, tx, table, Scan{Index: table.Index("mail")}), "[2 b 1 ]")
	if !tx.RollbackToSavepoint("s1") || tx.RollbackToSavepoint("s2") || tx.ReleaseSavepoint("s2") || tx.RollbackTo(statement) {
		t.Fatal("rollback to s1 kept what came later")
	}
	expect(t, all(t, tx, table, Scan{}), "[1 a 1 ]", "[2 b 1 ]")
	if !tx.ReleaseSavepoint("s1") || tx.RollbackToSavepoint("s1") {
		t.Fatal("released savepoint is still there")
	}
	must(t, tx.Commit(ctx))
	if err := tx.InsertRow(ctx, table, person(9, "z", 1, "")); !errors.Is(err, ErrDone) {
		t.Fatalf("write after commit: %v", err)
	}
	checkClean(t, e)
}

type noRoom struct{}

func (noRoom) scratch(int64) (*store.Scratch, error) { return nil, ErrDiskFull }

func TestFailedWritesLeaveNothing(t *testing.T) {
	e, _ := openMem(t, vfs.NewMem(), Options{WriteSetLimit: 64 << 10})
	table := createTable(t, e, people(t))
	tx := e.Begin(RepeatableRead)
	must(t, tx.InsertRow(ctx, table, person(1, "a", 1, "")))
	// No room for what has to leave memory.
	tx.set.room = noRoom{}
	if err := tx.InsertRow(ctx, table, person(2, "b", 2, strings.Repeat("x", 100<<10))); !errors.Is(err, ErrDiskFull) {
		t.Fatalf("got %v", err)
	}
	if err := tx.UpdateRow(ctx, table, person(1, "a", 1, ""), person(3, "b", 2, strings.Repeat("x", 100<<10))); !errors.Is(err, ErrDiskFull) {
		t.Fatalf("got %v", err)
	}
	tx.set.room = tx
	if err := tx.DeleteRow(ctx, table, person(9, "a", 1, "")); !errors.Is(err, ErrRowNotFound) {
		t.Fatalf("got %v", err)
	}
	// A row that changes ten thousand times stays one row in memory.
	old := person(1, "a", 1, "")
	for i := range int32(10_000) {
		m := tx.Mark()
		next := person(1, "a", i%2+5, "")
		must(t, tx.UpdateRow(ctx, table, old, next))
		old = next
		tx.Release(m)
	}
	must(t, tx.Commit(ctx))
	read := e.Begin(ReadCommitted)
	defer read.Rollback()
	expect(t, all(t, read, table, Scan{}), "[1 a 6 ]")
	checkClean(t, e)
}

func TestCatalogQueuesFairlyWithDeadline(t *testing.T) {
	e, _ := openMem(t, vfs.NewMem(), Options{})
	first := e.Begin(RepeatableRead)
	must(t, first.LockCatalog(ctx))
	late := e.Begin(RepeatableRead)
	defer late.Rollback()
	late.SetTableWaitTimeout(10 * time.Millisecond)
	if err := late.LockCatalog(ctx); !errors.Is(err, ErrLockWaitTimeout) {
		t.Fatalf("got %v", err)
	}
	killed, kill := context.WithCancel(ctx)
	go func() {
		for e.Stats().LockWaiting == 0 {
			time.Sleep(time.Millisecond)
		}
		kill()
	}()
	late.SetTableWaitTimeout(time.Minute)
	if err := late.LockCatalog(killed); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	var mu sync.Mutex
	var order []int
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			tx := e.Begin(RepeatableRead)
			defer tx.Rollback()
			if err := tx.LockCatalog(ctx); err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			order = append(order, i)
			mu.Unlock()
		})
		for e.Stats().LockWaiting <= uint64(i) {
			time.Sleep(time.Millisecond)
		}
	}
	first.Rollback() // as a connection that ends
	wait.Wait()
	if fmt.Sprint(order) != "[0 1 2 3 4 5 6 7]" {
		t.Errorf("served in the order %v", order)
	}
	must(t, late.LockCatalog(ctx))
}

func TestReadOnlyAndFullDiskRefuseCommits(t *testing.T) {
	fs := vfs.NewMem()
	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 10 << 30, TotalBytes: 20 << 30})
	e, _ := openMem(t, fs, Options{})
	table := createTable(t, e, people(t))
	other := createTable(t, e, func() *store.TableDesc { d := people(t); d.Name = "other"; return d }())
	pending := e.Begin(RepeatableRead)
	must(t, pending.InsertRow(ctx, table, person(1, "a", 1, "")))
	e.SetReadOnly(true)
	if err := pending.Commit(ctx); !errors.Is(err, ErrReadOnly) {
		t.Fatalf("got %v", err)
	}
	tx := e.Begin(RepeatableRead)
	if err := tx.InsertRow(ctx, table, person(1, "a", 1, "")); !errors.Is(err, ErrReadOnly) {
		t.Fatalf("got %v", err)
	}
	if err := tx.PutDatabase(ctx, store.DatabaseDesc{Name: "x"}); !errors.Is(err, ErrReadOnly) {
		t.Fatalf("got %v", err)
	}
	tx.Rollback()
	e.SetReadOnly(false)

	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 100 << 20, TotalBytes: 20 << 30})
	must(t, waitFor(func() bool { free, _ := e.store.FreeSpace(); return free == 100<<20 }))
	tx = e.Begin(RepeatableRead)
	must(t, tx.InsertRow(ctx, table, person(1, "a", 1, "")))
	if err := tx.Commit(ctx); !errors.Is(err, ErrDiskFull) {
		t.Fatalf("got %v", err)
	}
	// What gives space back is allowed.
	write(t, e, func(tx *Txn) error { _, err := tx.TruncateTable(ctx, table); return err })
	write(t, e, func(tx *Txn) error { return tx.DropTable(ctx, other) })
	if got := e.Executed().Seq; got != 4 {
		t.Errorf("executed %d, want 4: refused commits must not move it", got)
	}
}

func TestClosedEngineRefuses(t *testing.T) {
	e, stop := openMem(t, vfs.NewMem(), Options{})
	table := createTable(t, e, people(t))
	stop()
	tx := e.Begin(RepeatableRead)
	defer tx.Rollback()
	if tx.Catalog().Table("site", "people") == nil {
		t.Error("the catalog is gone")
	}
	for _, mode := range []ReadMode{Consistent, Latest} {
		if _, err := tx.Scan(ctx, table, Scan{Mode: mode}); !errors.Is(err, ErrClosed) {
			t.Errorf("mode %d: %v", mode, err)
		}
	}
	if _, err := e.Check(ctx, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("check: %v", err)
	}
}

// waitFor polls for a state that another goroutine reaches.
func waitFor(cond func() bool) error {
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if cond() {
			return nil
		}
	}
	return errors.New("the awaited state was not reached in 30 s")
}
