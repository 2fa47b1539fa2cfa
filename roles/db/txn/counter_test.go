package txn

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/binlog/event"
	"stack/roles/db/store"
	"stack/roles/db/store/crashfs"
)

func next(t testing.TB, tx *Txn, table *store.Table) uint64 {
	t.Helper()
	n, err := tx.NextAutoIncrement(table)
	must(t, err)
	return n
}

// A value that somebody may have seen does not come again: not after a rollback, a
// restart or a crash that loses everything unsynced.
func TestAutoIncrementIsNeverReused(t *testing.T) {
	fs := crashfs.New()
	e, _ := openMem(t, fs, Options{})
	table := createTable(t, e, people(t))
	tx := e.Begin(RepeatableRead)
	if n := next(t, tx, table); n != 1 {
		t.Fatal(n)
	}
	must(t, tx.InsertRow(ctx, table, person(1, "a", 1, "")))
	must(t, tx.Commit(ctx))
	tx = e.Begin(RepeatableRead)
	next(t, tx, table)
	next(t, tx, table) // 3, shown to the client, then taken back
	tx.Rollback()

	crashed := fs.CrashClone(vfs.CrashCloneCfg{})
	after, stop := openMem(t, crashed, Options{})
	tx = after.Begin(RepeatableRead)
	if n := next(t, tx, after.Catalog().Table("site", "people")); n != 4 {
		t.Fatalf("after a crash: %d, want 4", n)
	}
	tx.Rollback()
	stop()

	// Values that rows bring themselves raise the counter, also by an UPDATE.
	write(t, e, func(tx *Txn) error { return tx.InsertRow(ctx, table, person(100, "b", 1, "")) })
	write(t, e, func(tx *Txn) error {
		return tx.UpdateRow(ctx, table, person(100, "b", 1, ""), person(200, "b", 1, ""))
	})
	write(t, e, func(tx *Txn) error { return tx.InsertRow(ctx, table, person(-5, "c", 1, "")) })
	if n, err := e.PeekAutoIncrement(table); err != nil || n != 201 {
		t.Fatalf("%d, %v", n, err)
	}
	tx = e.Begin(RepeatableRead)
	must(t, tx.SetAutoIncrement(table, 150))
	tx.LogStatement(event.Query{Text: "ALTER TABLE people AUTO_INCREMENT = 150", Database: "site"})
	must(t, tx.Commit(ctx))
	after, _ = openMem(t, fs.CrashClone(vfs.CrashCloneCfg{}), Options{})
	if n, err := after.PeekAutoIncrement(after.Catalog().Table("site", "people")); err != nil || n != 150 {
		t.Fatalf("%d, %v", n, err)
	}
	tx = e.Begin(RepeatableRead)
	defer tx.Rollback()
	must(t, tx.RaiseAutoIncrement(table, math.MaxUint64))
	if _, err := tx.NextAutoIncrement(table); !errors.Is(err, ErrAutoIncrementExhausted) {
		t.Fatalf("got %v", err)
	}
}

// Rows without primary key are found by value; equal rows are as good as each other.
func TestTablesWithoutPrimaryKey(t *testing.T) {
	fs := crashfs.New()
	e, _ := openMem(t, fs, Options{})
	desc := people(t)
	desc.Primary = store.IndexDesc{}
	desc.Columns[0].AutoIncrement = false
	desc.Indexes = desc.Indexes[1:]
	table := createTable(t, e, desc)
	if table.HasPrimaryKey() || table.Index("PRIMARY") != nil {
		t.Fatal("a primary key appeared")
	}
	big := make([]byte, 20_000)
	for i := range big {
		big[i] = 'a' + byte(i%26)
	}
	write(t, e, func(tx *Txn) error {
		for range 3 {
			if err := tx.InsertRow(ctx, table, person(1, "same", 1, string(big))); err != nil {
				return err
			}
		}
		return tx.InsertRow(ctx, table, sql.Row{int64(2), nil, nil, nil})
	})
	// Read with a lock, then changed by value: the scan's memory finds the rows.
	tx := e.Begin(RepeatableRead)
	rows, err := tx.Scan(ctx, table, Scan{Mode: LockExclusive})
	must(t, err)
	for rows.Next() {
		if old := rows.Row(); old[0] == int64(1) {
			changed := append(sql.Row(nil), old...)
			changed[2] = int32(7)
			must(t, tx.UpdateRow(ctx, table, old, changed))
		}
	}
	must(t, rows.Close())
	must(t, tx.Commit(ctx))
	checkClean(t, e)

	// Without having been read in this statement: found by a scan.
	tx = e.Begin(RepeatableRead)
	must(t, tx.DeleteRow(ctx, table, person(1, "same", 7, string(big))))
	must(t, tx.DeleteRow(ctx, table, sql.Row{int64(2), nil, nil, nil}))
	if err := tx.DeleteRow(ctx, table, person(1, "same", 1, string(big))); !errors.Is(err, ErrRowNotFound) {
		t.Fatalf("got %v", err)
	}
	must(t, tx.Commit(ctx))
	e, _ = openMem(t, fs.CrashClone(vfs.CrashCloneCfg{}), Options{})
	table = e.Catalog().Table("site", "people")
	write(t, e, func(tx *Txn) error { return tx.InsertRow(ctx, table, person(3, "new", 3, "")) })
	tx = e.Begin(RepeatableRead)
	defer tx.Rollback()
	if got := all(t, tx, table, Scan{Columns: []int{0, 2}}); len(got) != 3 || got[2] != "[3 <nil> 3 <nil>]" {
		t.Fatal(got)
	}
	checkClean(t, e)
}

// A large commit that fails, with the process going on, takes no counter with it: values that others
// have taken and commit behind it do not come again after a restart.
func TestCountersOfAFailedCommitAreLoggedByTheNext(t *testing.T) {
	disk := crashfs.New()
	var broken atomic.Bool
	e, _ := openMem(t, errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if broken.Load() && op.Kind == errorfs.OpRename && strings.HasSuffix(op.Path, ".part") {
			return errorfs.ErrInjected
		}
		return nil
	})), Options{WriteSetLimit: 64 << 10})
	table := createTable(t, e, people(t))
	desc := people(t)
	desc.Name, desc.Primary, desc.Columns[0].AutoIncrement, desc.Indexes = "plain", store.IndexDesc{}, false, nil
	plain := createTable(t, e, desc)
	large := e.Begin(RepeatableRead)
	for id := range int64(200) {
		must(t, large.InsertRow(ctx, table, person(id, fmt.Sprint(id), 1, strings.Repeat("long ", 2000))))
	}
	small := e.Begin(RepeatableRead)
	must(t, small.InsertRow(ctx, plain, person(1, "a", 1, "")))
	last := next(t, small, table)
	broken.Store(true)
	if err := large.Commit(ctx); !errors.Is(err, errorfs.ErrInjected) {
		t.Fatalf("the large commit: %v", err)
	}
	broken.Store(false)
	must(t, small.Commit(ctx))

	after, _ := openMem(t, disk.CrashClone(vfs.CrashCloneCfg{}), Options{})
	if n, err := after.PeekAutoIncrement(after.Catalog().Table("site", "people")); err != nil || n <= last {
		t.Errorf("%d comes again (%v)", n, err)
	}
	plain = after.Catalog().Table("site", "plain")
	write(t, after, func(tx *Txn) error { return tx.InsertRow(ctx, plain, person(2, "b", 1, "")) })
	expect(t, ids(t, after, plain), "[1 a 1 ]", "[2 b 1 ]")
}
