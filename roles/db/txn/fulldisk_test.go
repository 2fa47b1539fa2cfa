package txn

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"stack/roles/db/binlog/event"
	"stack/roles/db/store"
)

// With next to nothing left, nothing is written at all: not the counters of what was rolled
// back or refused, no sweep, and not what would give space back. The counters go on in memory,
// and are logged when there is space.
func TestNothingIsWrittenWithoutSpace(t *testing.T) {
	fs := vfs.NewMem()
	free := func(e *Engine, n uint64) {
		t.Helper()
		fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: n, TotalBytes: 20 << 30})
		if e != nil {
			must(t, waitFor(func() bool { free, _ := e.store.FreeSpace(); return free == n }))
		}
	}
	free(nil, 10<<30)
	e, _ := openMem(t, fs, Options{})
	desc := people(t)
	desc.Columns[0].AutoIncrement = true
	table := createTable(t, e, desc)
	other := createTable(t, e, func() *store.TableDesc { d := people(t); d.Name = "other"; return d }())
	held := e.Begin(RepeatableRead) // an old view: what is dropped stays
	all(t, held, other, Scan{})
	write(t, e, func(tx *Txn) (err error) { other, err = tx.TruncateTable(ctx, other); return err })

	waiting := e.sweeper.pending()
	free(e, 1<<19) // less than a memtable
	logged := func() uint64 { return e.store.DB.Metrics().WAL.BytesIn }
	before := logged()
	var last uint64
	for i := range 20 {
		tx := e.Begin(RepeatableRead)
		n, err := tx.NextAutoIncrement(table)
		must(t, err)
		if n <= last {
			t.Fatalf("%d was given out after %d", n, last)
		}
		last = n
		must(t, tx.InsertRow(ctx, table, person(int64(n), "a", 1, "")))
		if i%2 == 0 {
			tx.Rollback()
		} else if err := tx.Commit(ctx); !errors.Is(err, ErrDiskFull) {
			t.Fatalf("got %v", err)
		}
	}
	tx := e.Begin(RepeatableRead)
	must(t, tx.DropTable(ctx, other))
	tx.LogStatement(event.Query{Text: "DROP TABLE other", Database: "site"})
	if err := tx.Commit(ctx); !errors.Is(err, ErrDiskFull) {
		t.Errorf("a table was dropped: %v", err)
	}
	if err := e.RotateLog(ctx); !errors.Is(err, ErrDiskFull) {
		t.Errorf("the log was rotated: %v", err)
	}
	held.Rollback() // the sweeper could begin
	e.sweeper.sweep()
	if n := e.sweeper.pending(); n != waiting || n == 0 {
		t.Errorf("%d indexes wait for the sweeper, before %d", n, waiting)
	}
	if now := logged(); now != before {
		t.Errorf("%d bytes were written", now-before)
	}

	free(e, 10<<30)
	must(t, waitFor(func() bool { return e.sweeper.pending() == 0 }))
	write(t, e, func(tx *Txn) error {
		n, err := tx.NextAutoIncrement(table)
		if n <= last {
			t.Errorf("%d was given out after %d", n, last)
		}
		return errors.Join(err, tx.InsertRow(ctx, table, person(int64(n), "a", 1, "")))
	})
	b, err := store.Get(e.store.DB, store.MetaAutoIncrementKey(table.Primary.Desc.ID))
	must(t, err)
	if n, ok := store.U64(b); !ok || n <= last {
		t.Errorf("%d is logged, %d was given out", n, last)
	}
}

// A large transaction whose rows are on the disk already is not refused for the space that they take:
// the store only has to know them.
func TestLargeCommitNeedsNoSpaceAtItsEnd(t *testing.T) {
	disk := vfs.NewMem()
	var left atomic.Uint64 // free bytes once there is a table file
	e, _ := openMem(t, errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if n := left.Load(); n > 0 && op.Kind == errorfs.OpCreate && strings.HasSuffix(op.Path, ".sst") && strings.Contains(op.Path, "/tmp/") {
			disk.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: n, TotalBytes: 20 << 30})
		}
		return nil
	})), Options{WriteSetLimit: 64 << 10})
	table := createTable(t, e, people(t))
	disk.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 10 << 30, TotalBytes: 20 << 30})
	must(t, waitFor(func() bool { free, _ := e.store.FreeSpace(); return free == 10<<30 }))
	tx := e.Begin(RepeatableRead)
	for id := range int64(400) {
		must(t, tx.InsertRow(ctx, table, person(id, fmt.Sprint(id), 1, strings.Repeat("long ", 8000))))
	}
	_, reserve := e.store.FreeSpace()
	left.Store(reserve + uint64(tx.set.total()))
	must(t, tx.Commit(ctx))
	checkClean(t, e)
}
