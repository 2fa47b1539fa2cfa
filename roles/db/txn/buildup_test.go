package txn

import (
	"errors"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"

	"stack/roles/db/store"
)

// narrow is a table of two integers.
func narrow(t testing.TB) *store.TableDesc {
	return &store.TableDesc{
		Database: "site", Name: "narrow", Collation: uint16(sql.Collation_utf8mb4_bin),
		Columns: []store.ColumnDesc{
			{ID: 1, Name: "id", Type: columnType(t, types.Int64)},
			{ID: 2, Name: "n", Type: columnType(t, types.Int64)},
		},
		Primary: store.IndexDesc{Name: "PRIMARY", Unique: true, Columns: []store.IndexColumnDesc{{Column: 1}}},
	}
}

// steps is what a scan of a table passes in the store at the published view, and the rows that
// it gives.
func steps(t testing.TB, e *Engine, table *store.Table) (steps uint64, rows int) {
	t.Helper()
	v := e.currentView()
	defer e.releaseView(v)
	r := store.IndexSpan(store.SpaceRows, table.Primary.Desc.ID)
	it, err := v.snap.NewIter(&pebble.IterOptions{LowerBound: r.Start, UpperBound: r.End})
	must(t, err)
	for ok := it.First(); ok; ok = it.Next() {
		rows++
	}
	s := it.Stats()
	must(t, it.Close())
	return s.InternalStats.PointCount, rows
}

// scanUntil scans the table, as clients do, until a scan passes at most limit entries.
func scanUntil(t testing.TB, e *Engine, table *store.Table, limit uint64) error {
	t.Helper()
	return waitFor(func() bool {
		tx := e.Begin(RepeatableRead)
		defer tx.Rollback()
		all(t, tx, table, Scan{})
		n, _ := steps(t, e, table)
		return n <= limit
	})
}

// A row that is changed over and over leaves versions in memory. The first scan that has to
// pass them has them flushed, also while a view from before the changes is open, which goes on
// seeing what it saw.
func TestHotRowIsFlushed(t *testing.T) {
	for _, held := range []bool{false, true} {
		t.Run(fmt.Sprintf("held %v", held), func(t *testing.T) { hotRowIsFlushed(t, held) })
	}
}

// hotRowIsFlushed has an engine of its own: a report that is left over from other reads would
// have it flush halfway.
func hotRowIsFlushed(t *testing.T, held bool) {
	const rows, changes = 100, 3000
	e := openRoomy(t)
	table := createTable(t, e, narrow(t))
	write(t, e, func(tx *Txn) error {
		for id := range int64(rows) {
			if err := tx.InsertRow(ctx, table, sql.Row{id, int64(0)}); err != nil {
				return err
			}
		}
		return nil
	})
	old := e.Begin(RepeatableRead)
	before := all(t, old, table, Scan{})
	if !held {
		old.Rollback()
	}
	flushes := e.Stats().Flushes
	for range changes {
		write(t, e, func(tx *Txn) error { return increment(tx, table, rows/2) })
	}
	if n, _ := steps(t, e, table); n < changes {
		t.Fatalf("%d entries are passed by a scan: the test shows nothing", n)
	}
	if err := scanUntil(t, e, table, 2*rows); err != nil {
		n, _ := steps(t, e, table)
		t.Fatalf("a scan still passes %d entries", n)
	}
	// One flush removes them all; it counts when it has ended.
	must(t, waitFor(func() bool { return e.Stats().Flushes == flushes+1 }))
	if held {
		expect(t, all(t, old, table, Scan{}), before...)
		old.Rollback()
	}
	checkClean(t, e)
}

func increment(tx *Txn, table *store.Table, id int64) error {
	old, err := tx.Get(ctx, table, []any{id}, nil, LockExclusive)
	if err != nil {
		return err
	}
	return tx.UpdateRow(ctx, table, old, sql.Row{id, old[1].(int64) + 1})
}

// openRoomy opens an engine whose memory takes what the tests here write.
func openRoomy(t testing.TB) *Engine {
	t.Helper()
	st, err := store.Open(store.Options{Dir: "db", FS: vfs.NewMem(), MemtableSize: 8 << 20})
	must(t, err)
	e, err := Open(st, Options{Durability: SyncSecond})
	must(t, err)
	t.Cleanup(func() { must(t, errors.Join(e.Close(), st.Close())) })
	for range 6 { // Pebble begins small and doubles
		flush(t, e)
	}
	return e
}

// flush writes what is in memory to a table.
func flush(t testing.TB, e *Engine) {
	t.Helper()
	done, err := e.store.DB.AsyncFlush()
	must(t, err)
	<-done
}

// What is deleted at the head of a table does not slow down who looks for its first row.
func TestConsumedQueueIsFlushed(t *testing.T) {
	const jobs, left = 3000, 20
	e := openRoomy(t)
	table := createTable(t, e, narrow(t))
	write(t, e, func(tx *Txn) error {
		for id := range int64(jobs) {
			if err := tx.InsertRow(ctx, table, sql.Row{id, id}); err != nil {
				return err
			}
		}
		return nil
	})
	flush(t, e) // the rows are in a table: the flush of the marks alone does not do away with them
	write(t, e, func(tx *Txn) error {
		for id := range int64(jobs - left) {
			if err := tx.DeleteRow(ctx, table, sql.Row{id, id}); err != nil {
				return err
			}
		}
		return nil
	})
	first := func() []string {
		tx := e.Begin(RepeatableRead)
		defer tx.Rollback()
		rows, err := tx.Scan(ctx, table, Scan{Mode: LockExclusive, Waiting: SkipLocked})
		must(t, err)
		defer rows.Close()
		if !rows.Next() {
			t.Fatalf("no row: %v", rows.Err())
		}
		return []string{fmt.Sprint(rows.Row())}
	}
	if n, _ := steps(t, e, table); n < jobs {
		t.Fatalf("%d entries are passed by a scan: the test shows nothing", n)
	}
	must(t, waitFor(func() bool {
		expect(t, first(), fmt.Sprintf("[%d %d]", jobs-left, jobs-left))
		n, _ := steps(t, e, table)
		return n <= 2*left
	}))
	must(t, waitFor(func() bool { return e.Stats().Flushes == 1 }))
	checkClean(t, e)
}

// Reads that return what they pass, however much, are no reason for work.
func TestReadsThatAreNotSlowAreNotReported(t *testing.T) {
	e := openRoomy(t)
	table := createTable(t, e, narrow(t))
	write(t, e, func(tx *Txn) error {
		for id := range int64(5000) {
			if err := tx.InsertRow(ctx, table, sql.Row{id, id}); err != nil {
				return err
			}
		}
		return nil
	})
	tx := e.Begin(RepeatableRead)
	defer tx.Rollback()
	for _, reverse := range []bool{false, true} {
		it, err := tx.newIter(e.store.DB, store.IndexSpan(store.SpaceRows, table.Primary.Desc.ID), reverse, 0)
		must(t, err)
		for it.next() {
		}
		if slow(it.base.Stats()) {
			t.Errorf("reverse %v: a plain scan counts as slow: %s", reverse, new(pebble.IteratorStats))
		}
		must(t, it.close())
	}
}

// A flush that would not help is not made: what is in the way is on disk.
func TestFlushHelpsAgainstWhatIsInMemory(t *testing.T) {
	read := func(rows int, points uint64) (s pebble.IteratorStats) {
		s.ForwardStepCount[pebble.InterfaceCall] = rows
		s.InternalStats.PointCount = points
		return s
	}
	for _, c := range []struct {
		all, onDisk pebble.IteratorStats
		want        bool
	}{
		{read(1, 50_000), read(1, 1), true},            // versions of one row
		{read(1, 50_000), read(40_000, 40_000), true},  // marks over rows that are on disk
		{read(1, 50_000), read(1, 49_000), false},      // marks on disk
		{read(100, 90_000), read(100, 30_000), true},   // some of both
		{read(100, 90_000), read(100, 60_000), false},  //
		{read(5000, 60_000), read(5000, 49_000), true}, // what is on disk is not slow by itself
	} {
		if got := flushHelps(c.all, c.onDisk); got != c.want {
			t.Errorf("%d points, %d on disk: %v", c.all.InternalStats.PointCount, c.onDisk.InternalStats.PointCount, got)
		}
	}
}
