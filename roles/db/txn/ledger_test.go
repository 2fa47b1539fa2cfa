package txn

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"stack/roles/db/binlog"
	"stack/roles/db/binlog/event"
	"stack/roles/db/store"
)

const ledgerWriters = 4

// ledger is what clients have been told by a server, over its crashes. Each writer raises a
// counter of its own, the row with its number, and with each step writes rows that can
// be told from the counter: so a state of the table is right or wrong by itself.
type ledger struct {
	acked [ledgerWriters]atomic.Int64 // commits that were answered
	seen  [ledgerWriters]atomic.Int64 // counters that a reader has seen
	log   atomic.Int64                // number of the last transaction that a reader of the log has seen
}

// told is what a crash from now on must not take back.
type told struct {
	counters [ledgerWriters]int64
	log      int64
}

func (l *ledger) told() (t told) {
	for w := range t.counters {
		t.counters[w] = max(l.acked[w].Load(), l.seen[w].Load())
	}
	t.log = l.log.Load()
	return t
}

func raise(a *atomic.Int64, to int64) {
	for {
		if now := a.Load(); now >= to || a.CompareAndSwap(now, to) {
			return
		}
	}
}

func ledgerRow(w int, n, part int64) []any {
	id := n*100 + int64(w)*10 + part
	size := []int{10, 10, 300, 10, 3000, 10, 10, 20_000}[n%8]
	return person(id, fmt.Sprintf("%d.%d.%d", w, n, part), int32(n%5), strings.Repeat("n", size))
}

func ledgerCounter(w int, n int64) []any {
	return person(int64(w)+1, fmt.Sprint("counter ", w), int32(n), "")
}

// large says that step n does not fit in memory.
func large(n int64) bool { return n%16 == 9 }

// rows are those that a writer's counter stands for: one or, by a large step, nine for each
// step, of which every fifth step deletes those of three steps before.
func ledgerRows(w int, counter int64, into map[int64]string) {
	if counter > 0 {
		into[int64(w)+1] = rowText(ledgerCounter(w, counter))
	}
	for n := int64(1); n <= counter; n++ {
		if (n+3)%5 == 0 && n+3 <= counter {
			continue
		}
		for part := range ledgerParts(n) {
			row := ledgerRow(w, n, part)
			into[row[0].(int64)] = rowText(row)
		}
	}
}

func ledgerParts(n int64) int64 {
	if large(n) {
		return 9
	}
	return 1
}

// step does step n of a writer.
func ledgerStep(e *Engine, table *store.Table, w int, n int64) error {
	tx := e.Begin(RepeatableRead)
	defer tx.Rollback()
	if n%7 == 0 { // what is rolled back leaves nothing
		if err := tx.InsertRow(ctx, table, person(-n*10-int64(w), "undone", 1, "undone")); err != nil {
			return err
		}
		tx.Rollback()
		tx = e.Begin(RepeatableRead)
		defer tx.Rollback()
	}
	var err error
	if n == 1 {
		err = tx.InsertRow(ctx, table, ledgerCounter(w, 1))
	} else {
		err = tx.UpdateRow(ctx, table, ledgerCounter(w, n-1), ledgerCounter(w, n))
	}
	for part := range ledgerParts(n) {
		row := ledgerRow(w, n, part)
		if large(n) {
			// Bytes that stand in the write set and not in the table.
			big := append([]any(nil), row...)
			big[3] = strings.Repeat("big", 5000)
			err = errors.Join(err, tx.InsertRow(ctx, table, big), tx.UpdateRow(ctx, table, big, row))
			continue
		}
		err = errors.Join(err, tx.InsertRow(ctx, table, row))
	}
	if n%5 == 0 && n > 3 {
		for part := range ledgerParts(n - 3) {
			err = errors.Join(err, tx.DeleteRow(ctx, table, ledgerRow(w, n-3, part)))
		}
	}
	if err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// counters reads all counters in one view.
func ledgerCounters(e *Engine, table *store.Table) (c [ledgerWriters]int64, err error) {
	tx := e.Begin(RepeatableRead)
	defer tx.Rollback()
	for w := range c {
		row, err := tx.Get(ctx, table, []any{int64(w) + 1}, []int{2}, Consistent)
		if err != nil {
			return c, err
		}
		if row != nil {
			c[w] = int64(row[2].(int32))
		}
	}
	return c, nil
}

// run lets the writers and two kinds of readers work until until ends. A step that failed is
// looked at again: it may have happened.
func (l *ledger) run(until context.Context, e *Engine, failed func(error)) *sync.WaitGroup {
	table := e.Catalog().Table("site", "people")
	wait := &sync.WaitGroup{}
	repeat := func(f func() error) {
		wait.Go(func() {
			for until.Err() == nil {
				if err := f(); err != nil && until.Err() == nil {
					failed(err)
				}
			}
		})
	}
	for w := range ledgerWriters {
		repeat(func() error {
			at, err := ledgerCounters(e, table)
			if err != nil {
				return err
			}
			if err := ledgerStep(e, table, w, at[w]+1); err != nil {
				return err
			}
			raise(&l.acked[w], at[w]+1)
			return nil
		})
	}
	repeat(func() error {
		at, err := ledgerCounters(e, table)
		if err != nil {
			return err
		}
		for w := range at {
			raise(&l.seen[w], at[w])
		}
		return nil
	})
	repeat(func() error { return l.follow(until, e) })
	return wait
}

// follow reads the log as a replica would.
func (l *ledger) follow(until context.Context, e *Engine) error {
	rd, err := e.Binlog().Open(e.Binlog().Position())
	if err != nil {
		return err
	}
	defer rd.Close()
	for {
		ev, err := rd.Next(until)
		if err != nil {
			return err
		}
		if event.Type(ev.Bytes[4]) != event.TypeGTID {
			continue
		}
		g, err := event.ParseGTID(ev.Bytes)
		if err != nil {
			return err
		}
		raise(&l.log, g.Number)
	}
}

// check compares a server after a crash with what was told.
func (was told) check(t *testing.T, e *Engine) {
	t.Helper()
	table := e.Catalog().Table("site", "people")
	if table == nil {
		if was != (told{}) {
			t.Fatal("the table is gone")
		}
		return
	}
	checkClean(t, e)
	c, err := ledgerCounters(e, table)
	must(t, err)
	want := map[int64]string{}
	for w := range c {
		if c[w] < was.counters[w] {
			t.Fatalf("writer %d: a commit or reader was told of step %d, after the crash it stands at %d", w, was.counters[w], c[w])
		}
		ledgerRows(w, c[w], want)
	}
	got := map[int64]string{}
	tx := e.Begin(RepeatableRead)
	defer tx.Rollback()
	rows, err := tx.Scan(ctx, table, Scan{})
	must(t, err)
	defer rows.Close()
	for rows.Next() {
		got[rows.Row()[0].(int64)] = rowText(rows.Row())
	}
	must(t, rows.Err())
	if !maps.Equal(got, want) {
		t.Fatalf("counters %v stand for %d rows, there are %d, or they differ", c, len(want), len(got))
	}
	log := replay(t, e)
	if !maps.Equal(log.rows, got) {
		t.Fatalf("the log makes %d rows, the table holds %d, or they differ", len(log.rows), len(got))
	}
	if uint64(log.last) != e.Executed().Seq || log.last < was.log {
		t.Fatalf("the log ends with transaction %d, executed is %d, a reader of the log had %d", log.last, e.Executed().Seq, was.log)
	}
}

// openLedger opens a server whose memory is so small that all of its parts work.
func openLedger(fs vfs.FS, fatal func(reason string)) (*Engine, func() error, error) {
	st, err := store.Open(store.Options{Dir: "db", FS: fs, MemtableSize: 128 << 10, CacheBytes: 1 << 20, Fatal: fatal})
	if err != nil {
		return nil, nil, err
	}
	e, err := Open(st, Options{WriteSetLimit: 64 << 10, Binlog: binlog.Options{SealSize: 16 << 10, FileSize: 128 << 10}})
	if err != nil {
		return nil, nil, errors.Join(err, st.Close())
	}
	return e, func() error { return errors.Join(e.Close(), st.Close()) }, nil
}
