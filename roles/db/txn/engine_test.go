package txn

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"

	"stack/roles/db/store"
)

// openMem opens an engine over fs and closes both at the end of the test.
func openMem(t testing.TB, fs vfs.FS, opts Options) (*Engine, func()) {
	t.Helper()
	st, err := store.Open(store.Options{Dir: "db", FS: fs, MemtableSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	e, err := Open(st, opts)
	if err != nil {
		t.Fatal(err)
	}
	done := false
	closeAll := func() {
		if done {
			return
		}
		done = true
		if err := errors.Join(e.Close(), st.Close()); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(closeAll)
	return e, closeAll
}

func columnType(t testing.TB, typ sql.Type) store.ColumnType {
	t.Helper()
	ct, err := store.ColumnTypeOf(typ)
	if err != nil {
		t.Fatal(err)
	}
	return ct
}

var (
	ctx     = context.Background()
	varchar = types.MustCreateString(types.Text.Type(), 200, sql.Collation_utf8mb4_unicode_520_ci)
)

// people is a table with a primary key, a unique, a plain and a prefix index.
func people(t testing.TB) *store.TableDesc {
	return &store.TableDesc{
		Database: "site", Name: "people", Collation: uint16(sql.Collation_utf8mb4_unicode_520_ci),
		Columns: []store.ColumnDesc{
			{ID: 1, Name: "id", Type: columnType(t, types.Int64), AutoIncrement: true},
			{ID: 2, Name: "mail", Type: columnType(t, varchar), Nullable: true},
			{ID: 3, Name: "age", Type: columnType(t, types.Int32), Nullable: true},
			{ID: 4, Name: "note", Type: columnType(t, types.LongText), Nullable: true},
		},
		Primary: store.IndexDesc{Name: "PRIMARY", Unique: true, Columns: []store.IndexColumnDesc{{Column: 1}}},
		Indexes: []store.IndexDesc{
			{Name: "mail", Unique: true, Columns: []store.IndexColumnDesc{{Column: 2}}},
			{Name: "age", Columns: []store.IndexColumnDesc{{Column: 3}}},
			{Name: "note", Columns: []store.IndexColumnDesc{{Column: 4, Prefix: 10}}},
			{Name: "words", FullText: true, Columns: []store.IndexColumnDesc{{Column: 2}}},
		},
	}
}

func createTable(t testing.TB, e *Engine, desc *store.TableDesc) *store.Table {
	t.Helper()
	tx := e.Begin(RepeatableRead)
	if tx.Catalog().Database(desc.Database) == nil {
		must(t, tx.PutDatabase(ctx, store.DatabaseDesc{Name: desc.Database}))
	}
	table, err := tx.CreateTable(ctx, desc)
	must(t, err)
	commit(t, tx)
	return table
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func person(id int64, mail string, age int32, note string) sql.Row {
	return sql.Row{id, mail, age, note}
}

// all reads rows as text, in the order of the scan.
func all(t testing.TB, tx *Txn, table *store.Table, s Scan) []string {
	t.Helper()
	rows, err := tx.Scan(ctx, table, s)
	must(t, err)
	defer rows.Close()
	out := []string{}
	for rows.Next() {
		out = append(out, fmt.Sprint(rows.Row()))
	}
	must(t, rows.Err())
	return out
}

func expect(t testing.TB, got []string, want ...string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func checkClean(t testing.TB, e *Engine) {
	t.Helper()
	r, err := e.Check(ctx, nil)
	must(t, err)
	if !r.OK() {
		t.Fatalf("check: %v (and %d more)", r.Problems, r.More)
	}
}

func TestRowsLiveOverRestart(t *testing.T) {
	fs := vfs.NewMem()
	e, stop := openMem(t, fs, Options{})
	table := createTable(t, e, people(t))
	tx := e.Begin(RepeatableRead)
	for i := range int64(5) {
		must(t, tx.InsertRow(ctx, table, person(i, fmt.Sprint("m", i), int32(40-i), "n")))
	}
	must(t, tx.Commit(ctx))
	if got := tx.Position().String(); got != e.store.Server+":1-2" {
		t.Fatalf("position %s", got)
	}
	stop()

	e, _ = openMem(t, fs, Options{})
	if got := e.Executed().Seq; got != 2 {
		t.Fatalf("executed %d after restart", got)
	}
	table = e.Catalog().Table("site", "people")
	tx = e.Begin(RepeatableRead)
	defer tx.Rollback()
	byAge := table.Index("AGE")
	r, err := byAge.Range(store.Bound{Values: []any{int32(37)}, Inclusive: true}, store.Bound{Values: []any{39.5}})
	must(t, err)
	expect(t, all(t, tx, table, Scan{Index: byAge, Range: r, Columns: []int{0, 2}}), "[3 <nil> 37 <nil>]", "[2 <nil> 38 <nil>]", "[1 <nil> 39 <nil>]")
	expect(t, all(t, tx, table, Scan{Index: byAge, Range: r, Reverse: true})[:1], "[1 m1 39 n]")
	row, err := tx.Get(ctx, table, []any{int64(4)}, nil, Consistent)
	must(t, err)
	if fmt.Sprint(row) != "[4 m4 36 n]" {
		t.Fatal(row)
	}
	checkClean(t, e)
}

func TestDuplicatesNameIndexAndRow(t *testing.T) {
	e, _ := openMem(t, vfs.NewMem(), Options{})
	table := createTable(t, e, people(t))
	tx := e.Begin(RepeatableRead)
	defer tx.Rollback()
	must(t, tx.InsertRow(ctx, table, person(1, "Ann", 1, "")))
	must(t, tx.InsertRow(ctx, table, sql.Row{int64(2), nil, nil, nil}))
	must(t, tx.InsertRow(ctx, table, sql.Row{int64(3), nil, nil, nil}))
	for _, c := range []struct {
		row   sql.Row
		index string
	}{
		{person(1, "other", 1, ""), "PRIMARY"},
		{person(9, "ANN", 1, ""), "mail"},
		{person(9, "ann   ", 1, ""), "mail"},
	} {
		var dup *DuplicateKeyError
		if err := tx.InsertRow(ctx, table, c.row); !errors.As(err, &dup) {
			t.Fatalf("%v: got %v", c.row, err)
		}
		if dup.Index.Desc.Name != c.index || dup.Existing[0] != int64(1) {
			t.Fatalf("%v: index %s, row %v", c.row, dup.Index.Desc.Name, dup.Existing)
		}
	}
	// The row itself is no conflict, and a new spelling of its own value is allowed.
	must(t, tx.UpdateRow(ctx, table, person(1, "Ann", 1, ""), person(1, "ANN ", 2, "x")))
	must(t, tx.InsertRow(ctx, table, person(9, "ann b", 1, "")))
	must(t, tx.InsertRow(ctx, table, person(10, "ann\tb", 1, "")))
	must(t, tx.Commit(ctx))
	checkClean(t, e)
}
