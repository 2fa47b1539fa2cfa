package txn

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"

	"stack/roles/db/store"
)

// keysOf counts the keys of an index in the store itself.
func keysOf(t testing.TB, e *Engine, space store.Space, index uint32) (n int) {
	t.Helper()
	span := store.IndexSpan(space, index)
	it, err := e.store.DB.NewIter(&pebble.IterOptions{LowerBound: span.Start, UpperBound: span.End})
	must(t, err)
	for ok := it.First(); ok; ok = it.Next() {
		n++
	}
	must(t, it.Close())
	return n
}

func fill(t testing.TB, e *Engine, table *store.Table, from, to int64) {
	t.Helper()
	write(t, e, func(tx *Txn) error {
		for i := from; i < to; i++ {
			if err := tx.InsertRow(ctx, table, person(i, fmt.Sprint("m", i), int32(i%7), strings.Repeat("n", int(i%3)*9000))); err != nil {
				return err
			}
		}
		return nil
	})
}

func TestDropWaitsForOldViews(t *testing.T) {
	fs := vfs.NewMem()
	e, stop := openMem(t, fs, Options{})
	table := createTable(t, e, people(t))
	fill(t, e, table, 0, 20)
	reader := e.Begin(RepeatableRead)
	before := len(all(t, reader, table, Scan{}))
	write(t, e, func(tx *Txn) error { return tx.DropTable(ctx, table) })
	if e.Catalog().Table("site", "people") != nil || e.Stats().PendingDrops != 5 {
		t.Fatalf("after the drop: %+v", e.Stats())
	}
	if n := len(all(t, reader, table, Scan{Index: table.Index("age")})); n != before {
		t.Fatalf("the old view sees %d rows of %d", n, before)
	}
	reader.Rollback()
	must(t, waitFor(func() bool {
		return keysOf(t, e, store.SpaceRows, table.Primary.Desc.ID)+keysOf(t, e, store.SpaceLarge, table.Primary.Desc.ID) == 0
	}))
	checkClean(t, e)

	// A drop that a reader still held up at the end is finished by the next start.
	again := createTable(t, e, people(t))
	if again.Primary.Desc.ID <= table.Primary.Desc.ID {
		t.Fatal("an index id came again")
	}
	fill(t, e, again, 0, 20)
	reader = e.Begin(RepeatableRead)
	all(t, reader, again, Scan{})
	write(t, e, func(tx *Txn) error { return tx.DropTable(ctx, again) })
	clone := fs // plain memory: what was written is there
	reader.Rollback()
	stop()
	e, _ = openMem(t, clone, Options{})
	if n := keysOf(t, e, store.SpaceRows, again.Primary.Desc.ID); n != 0 {
		t.Fatalf("%d keys of a dropped table after restart", n)
	}
	checkClean(t, e)
}

func TestTruncateAndRename(t *testing.T) {
	e, _ := openMem(t, vfs.NewMem(), Options{})
	table := createTable(t, e, people(t))
	fill(t, e, table, 1, 10)
	reader := e.Begin(RepeatableRead)
	defer reader.Rollback()
	all(t, reader, table, Scan{})
	var fresh *store.Table
	write(t, e, func(tx *Txn) (err error) { fresh, err = tx.TruncateTable(ctx, table); return err })
	if next, err := e.PeekAutoIncrement(fresh); err != nil || next != 1 {
		t.Fatalf("next %d, %v", next, err)
	}
	// A statement planned for the table before does not write into the dropped ids,
	// and a view from before does not read the new ones as empty.
	tx := e.Begin(RepeatableRead)
	if err := tx.InsertRow(ctx, table, person(1, "a", 1, "")); !errors.Is(err, ErrTableChanged) {
		t.Fatalf("got %v", err)
	}
	tx.Rollback()
	if _, err := reader.Scan(ctx, fresh, Scan{}); !errors.Is(err, ErrTableChanged) {
		t.Fatalf("got %v", err)
	}
	if n := len(all(t, reader, table, Scan{})); n != 9 {
		t.Fatalf("the old view sees %d rows", n)
	}
	fill(t, e, fresh, 1, 3)
	write(t, e, func(tx *Txn) error {
		if err := tx.PutDatabase(ctx, store.DatabaseDesc{Name: "other"}); err != nil {
			return err
		}
		_, err := tx.RenameTable(ctx, fresh, "other", "folk")
		return err
	})
	moved := e.Catalog().Table("other", "folk")
	if moved == nil || e.Catalog().Table("site", "people") != nil || moved.Desc.ID != table.Desc.ID {
		t.Fatal("rename")
	}
	after := e.Begin(RepeatableRead)
	defer after.Rollback()
	if n := len(all(t, after, moved, Scan{})); n != 2 {
		t.Fatalf("%d rows after the rename", n)
	}
	checkClean(t, e)
}

func TestInstantAlter(t *testing.T) {
	e, _ := openMem(t, vfs.NewMem(), Options{})
	table := createTable(t, e, people(t))
	fill(t, e, table, 1, 3)
	missing, err := store.EncodeMissing(ctx, columnType(t, types.Int32), int32(42))
	must(t, err)
	desc := table.Desc.Clone()
	desc.Columns = append([]store.ColumnDesc{{Name: "score", Type: columnType(t, types.Int32), Missing: missing}}, desc.Columns[0], desc.Columns[1], desc.Columns[3])
	desc.Indexes = []store.IndexDesc{desc.Indexes[0], desc.Indexes[2]} // the one on age goes
	var altered *store.Table
	write(t, e, func(tx *Txn) (err error) { altered, err = tx.AlterTable(ctx, table, desc); return err })
	write(t, e, func(tx *Txn) error {
		return tx.InsertRow(ctx, altered, sql.Row{int32(7), int64(9), "new", nil})
	})
	tx := e.Begin(RepeatableRead)
	defer tx.Rollback()
	expect(t, all(t, tx, altered, Scan{Columns: []int{0, 1, 2}}), "[42 1 m1 <nil>]", "[42 2 m2 <nil>]", "[7 9 new <nil>]")
	checkClean(t, e)
	must(t, waitFor(func() bool { return keysOf(t, e, store.SpaceRows, table.Index("age").Desc.ID) == 0 }))

	for name, change := range map[string]func(d *store.TableDesc){
		"shorter text": func(d *store.TableDesc) { d.Columns[2].Type.Length-- },
		"other type":   func(d *store.TableDesc) { d.Columns[0].Type = columnType(t, types.Int64) },
		"not null":     func(d *store.TableDesc) { d.Columns[2].Nullable = false },
		"new index": func(d *store.TableDesc) {
			d.Indexes = append(d.Indexes, store.IndexDesc{Name: "n", Columns: []store.IndexColumnDesc{{Column: 1}}})
		},
		"primary key": func(d *store.TableDesc) { d.Primary.Columns = []store.IndexColumnDesc{{Column: 2}} },
		"index column dropped": func(d *store.TableDesc) {
			d.Columns = append(d.Columns[:2:2], d.Columns[3])
		},
	} {
		d := altered.Desc.Clone()
		change(d)
		tx := e.Begin(RepeatableRead)
		if _, err := tx.AlterTable(ctx, altered, d); err == nil {
			t.Errorf("%s was done without a rebuild", name)
		}
		tx.Rollback()
	}
}

func TestRebuildAndAddIndexes(t *testing.T) {
	fs := vfs.NewMem()
	e, stop := openMem(t, fs, Options{WriteSetLimit: 1 << 20})
	table := createTable(t, e, people(t))
	for i := range int64(3) {
		fill(t, e, table, i*100, i*100+100)
	}
	desc := table.Desc.Clone()
	desc.Primary.Columns = []store.IndexColumnDesc{{Column: 3}, {Column: 1}}
	var next *store.Table
	write(t, e, func(tx *Txn) (err error) {
		next, err = tx.Rebuild(ctx, table, desc, false, func(row sql.Row) (sql.Row, error) {
			row[1] = "x" + row[1].(string)
			return row, nil
		})
		return err
	})
	tx := e.Begin(RepeatableRead)
	expect(t, all(t, tx, next, Scan{Columns: []int{0, 1, 2}})[:2], "[0 xm0 0 <nil>]", "[7 xm7 0 <nil>]")
	tx.Rollback()
	if n, err := e.PeekAutoIncrement(next); err != nil || n != 300 {
		t.Fatalf("next AUTO_INCREMENT %d, %v", n, err)
	}
	checkClean(t, e)

	// A unique index that cannot be: an error, and nothing of it stays.
	desc = next.Desc.Clone()
	desc.Indexes = append(desc.Indexes, store.IndexDesc{Name: "age1", Unique: true, Columns: []store.IndexColumnDesc{{Column: 3}}})
	tx = e.Begin(RepeatableRead)
	var dup *DuplicateKeyError
	if _, err := tx.Rebuild(ctx, next, desc, false, nil); !errors.As(err, &dup) || dup.Index.Desc.Name != "age1" {
		t.Fatalf("got %v", err)
	}
	tx.Rollback()
	desc.Indexes[len(desc.Indexes)-1] = store.IndexDesc{Name: "agemail", Unique: true, Columns: []store.IndexColumnDesc{{Column: 3}, {Column: 2}}}
	write(t, e, func(tx *Txn) (err error) { next, err = tx.Rebuild(ctx, next, desc, false, nil); return err })
	tx = e.Begin(RepeatableRead)
	r, err := next.Index("agemail").Range(store.Bound{Values: []any{int32(6), "xm9"}, Inclusive: true}, store.Bound{Values: []any{int32(6)}, Inclusive: true})
	must(t, err)
	expect(t, all(t, tx, next, Scan{Index: next.Index("agemail"), Range: r, Columns: []int{0, 1}})[:2], "[90 xm90 <nil> <nil>]", "[97 xm97 <nil> <nil>]")
	tx.Rollback()
	must(t, waitFor(func() bool { return keysOf(t, e, store.SpaceRows, table.Primary.Desc.ID) == 0 }))
	checkClean(t, e)
	stop()

	// Killed in the middle of a rebuild: the old table is whole, nothing is orphaned.
	e, stop = openMem(t, fs, Options{})
	next = e.Catalog().Table("site", "people")
	tx = e.Begin(RepeatableRead)
	if _, err := tx.Rebuild(ctx, next, next.Desc, true, nil); err != nil {
		t.Fatal(err)
	}
	orphan := tx.built[0]
	tx.built = nil // as a process that ends here
	tx.Rollback()
	if keysOf(t, e, store.SpaceRows, orphan) == 0 {
		t.Fatal("the rebuild wrote nothing")
	}
	stop()
	e, _ = openMem(t, fs, Options{})
	if n := keysOf(t, e, store.SpaceRows, orphan); n != 0 {
		t.Fatalf("%d orphaned keys", n)
	}
	checkClean(t, e)
}

// Within the transaction that changes a table, it reads and writes the changed one.
func TestChangedTableWithinItsTransaction(t *testing.T) {
	e, _ := openMem(t, vfs.NewMem(), Options{})
	table := createTable(t, e, people(t))
	fill(t, e, table, 1, 4)
	tx := e.Begin(RepeatableRead)
	expect(t, all(t, tx, table, Scan{Columns: []int{0}}), "[1 <nil> <nil> <nil>]", "[2 <nil> <nil> <nil>]", "[3 <nil> <nil> <nil>]")
	next, err := tx.Rebuild(ctx, table, table.Desc, true, func(row sql.Row) (sql.Row, error) {
		row[2] = row[2].(int32) + 10
		return row, nil
	})
	must(t, err)
	must(t, tx.InsertRow(ctx, next, person(20, "new", 1, "")))
	for _, mode := range []ReadMode{Consistent, Latest, LockExclusive} {
		if got := all(t, tx, next, Scan{Columns: []int{0, 2}, Mode: mode}); len(got) != 4 || !strings.HasPrefix(got[0], "[1 <nil> 11") {
			t.Fatalf("mode %d: %v", mode, got)
		}
	}
	if err := tx.InsertRow(ctx, table, person(30, "old", 1, "")); !errors.Is(err, ErrTableChanged) {
		t.Fatalf("write to the table as it was: %v", err)
	}
	renamed := next.Desc.Clone()
	renamed.Name = "other"
	if _, err := tx.AlterTable(ctx, next, renamed); err == nil {
		t.Fatal("AlterTable took another name")
	}
	commit(t, tx)
	checkClean(t, e)
}

func TestCatalogRollsBackWithTheStatement(t *testing.T) {
	e, _ := openMem(t, vfs.NewMem(), Options{})
	tx := e.Begin(RepeatableRead)
	must(t, tx.PutDatabase(ctx, store.DatabaseDesc{Name: "kept"}))
	m := tx.Mark()
	must(t, tx.PutDatabase(ctx, store.DatabaseDesc{Name: "gone"}))
	must(t, tx.PutObject(ctx, store.Object{Kind: "view", Database: "gone", Name: "v", Data: []byte("select 1")}))
	tx.RollbackTo(m)
	if e.Catalog().Database("kept") != nil {
		t.Fatal("an uncommitted database is visible")
	}
	must(t, tx.PutObject(ctx, store.Object{Kind: "grants", Name: "all", Data: []byte{0, 1}}))
	commit(t, tx)
	c := e.Catalog()
	if c.Database("kept") == nil || c.Database("gone") != nil || len(c.Objects("view", "gone")) != 0 || string(c.Object("grants", "", "all").Data) != "\x00\x01" {
		t.Fatal("catalog after commit")
	}
	write(t, e, func(tx *Txn) error {
		if err := tx.PutObject(ctx, store.Object{Kind: "view", Database: "kept", Name: "v"}); err != nil {
			return err
		}
		return tx.DropDatabase(ctx, "kept")
	})
	if c := e.Catalog(); len(c.Databases()) != 0 || len(c.ObjectsOf("kept")) != 0 {
		t.Fatal("catalog after drop")
	}
}
