package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"

	"stack/roles/db/fit"
)

// wideTable has a column of every type.
func wideTable(t testing.TB) *Table {
	t.Helper()
	desc := &TableDesc{ID: 1, Database: "d", Name: "wide", Primary: IndexDesc{ID: 2}}
	l := Layout{Version: 7}
	for i, tc := range rowTypes() {
		ct, err := ColumnTypeOf(tc.typ)
		if err != nil {
			t.Fatal(err)
		}
		desc.Columns = append(desc.Columns, ColumnDesc{ID: uint16(i + 1), Name: tc.name, Type: ct, Nullable: true})
		l.Columns = append(l.Columns, LayoutColumn{ID: uint16(i + 1), Type: ct})
	}
	desc.Layouts = []Layout{l}
	table, err := NewTable(desc)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func randomRow(r *rand.Rand) sql.Row {
	row := sql.Row{}
	for _, tc := range rowTypes() {
		if r.IntN(5) == 0 {
			row = append(row, nil)
		} else {
			row = append(row, tc.make(r))
		}
	}
	return row
}

// same compares by type, where it can, and by what a client would see.
func same(t testing.TB, typ sql.Type, a, b any) bool {
	t.Helper()
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	if _, ok := typ.(types.JsonType); ok {
		x, _ := fit.DocumentText(context.Background(), a.(sql.JSONWrapper))
		y, _ := fit.DocumentText(context.Background(), b.(sql.JSONWrapper))
		return string(x) == string(y)
	}
	if _, ok := a.(types.GeometryValue); ok {
		return reflect.DeepEqual(a, b)
	}
	return compare(t, typ, a, b) == 0 && reflect.TypeOf(a) == reflect.TypeOf(b)
}

func TestRowsComeBack(t *testing.T) {
	r, table := rng(t), wideTable(t)
	for range 300 {
		row := randomRow(r)
		data, large, err := table.EncodeRow(t.Context(), row)
		if err != nil {
			t.Fatal(err)
		}
		byColumn := map[uint16][]byte{}
		for _, v := range large {
			byColumn[v.Column] = v.Bytes
		}
		asked := 0
		read := func(_ []byte, ref LargeRef) ([]byte, error) {
			asked++
			return byColumn[ref.Column], nil
		}
		back := make(sql.Row, len(row))
		if err := table.DecodeRow(t.Context(), []byte("k"), data, nil, read, back); err != nil {
			t.Fatal(err)
		}
		if asked != len(large) {
			t.Fatalf("%d large values, %d read", len(large), asked)
		}
		for i := range row {
			if !same(t, table.Types[i], row[i], back[i]) {
				t.Fatalf("%s: %v came back as %v", table.Types[i], row[i], back[i])
			}
		}
		// One column alone gives the same and reads no other's large value.
		asked = 0
		at := r.IntN(len(row) - 1)
		one := make(sql.Row, len(row))
		if err := table.DecodeRow(t.Context(), []byte("k"), data, []int{at}, read, one); err != nil {
			t.Fatal(err)
		}
		if !same(t, table.Types[at], row[at], one[at]) || asked > 1 {
			t.Fatalf("column %d alone: %v, want %v; %d large values read", at, one[at], row[at], asked)
		}
		refs, err := table.LargeRefs(data)
		if err != nil || len(refs) != len(large) {
			t.Fatalf("%d references (%v), want %d", len(refs), err, len(large))
		}
	}
}

// The row that docs/db-storage.md shows, byte by byte.
func TestRowHasTheDocumentedBytes(t *testing.T) {
	desc := &TableDesc{ID: 1, Database: "d", Name: "t", Primary: IndexDesc{ID: 2, Columns: []IndexColumnDesc{{Column: 1}}}}
	l := Layout{Version: 1}
	for i, typ := range []sql.Type{types.Int32, textType(sql.Collation_utf8mb4_unicode_520_ci), types.Date, types.Blob} {
		ct, _ := ColumnTypeOf(typ)
		desc.Columns = append(desc.Columns, ColumnDesc{ID: uint16(i + 1), Name: fmt.Sprint("c", i), Type: ct})
		l.Columns = append(l.Columns, LayoutColumn{ID: uint16(i + 1), Type: ct})
	}
	desc.Layouts = []Layout{l}
	table, err := NewTable(desc)
	if err != nil {
		t.Fatal(err)
	}
	day, _, _ := types.Date.Convert(t.Context(), "2026-11-23")
	row := sql.Row{int32(5), "hi", day, nil}
	data, _, err := table.EncodeRow(t.Context(), row)
	if err != nil {
		t.Fatal(err)
	}
	want := "01 00 00 00 01 08 80 00 00 05 0f d5 77 00 00 00 02 00 00 00 02 68 69"
	if got := fmt.Sprintf("% x", data); got != want {
		t.Errorf("row  %s\nwant %s", got, want)
	}
	key, err := table.PrimaryKey(row)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprintf("% x", key), "03 00 00 00 02 01 80 00 00 05"; got != want {
		t.Errorf("key  %s\nwant %s", got, want)
	}
}

// An instant ALTER reads old rows under the new descriptor.
func TestOldLayoutsReadUnderNewColumns(t *testing.T) {
	i32, _ := ColumnTypeOf(types.Int32)
	text, _ := ColumnTypeOf(types.Text)
	old := &TableDesc{ID: 1, Database: "d", Name: "t", Primary: IndexDesc{ID: 2},
		Columns: []ColumnDesc{{ID: 1, Name: "a", Type: i32}, {ID: 2, Name: "b", Type: text}},
		Layouts: []Layout{{Version: 1, Columns: []LayoutColumn{{1, i32}, {2, text}}}}}
	before, err := NewTable(old)
	if err != nil {
		t.Fatal(err)
	}
	data, _, err := before.EncodeRow(t.Context(), sql.Row{int32(1), "two"})
	if err != nil {
		t.Fatal(err)
	}
	missing, err := EncodeMissing(t.Context(), text, "")
	if err != nil {
		t.Fatal(err)
	}
	now := old.Clone()
	now.Columns = []ColumnDesc{{ID: 3, Name: "new", Type: text, Missing: missing}, {ID: 2, Name: "renamed", Type: text}, {ID: 4, Name: "null", Type: i32}}
	now.Layouts = append(now.Layouts, Layout{Version: 2, Columns: []LayoutColumn{{3, text}, {2, text}, {4, i32}}})
	// Through the catalog's encoding, which must keep "" apart from NULL.
	encoded, err := EncodeDesc(now)
	if err != nil {
		t.Fatal(err)
	}
	c := newCatalog()
	if err := c.load(TableKey(1), encoded); err != nil {
		t.Fatal(err)
	}
	row := make(sql.Row, 3)
	if err := c.TableByID(1).DecodeRow(t.Context(), nil, data, nil, nil, row); err != nil {
		t.Fatal(err)
	}
	if want := (sql.Row{"", "two", nil}); !reflect.DeepEqual(row, want) {
		t.Fatalf("%#v, want %#v", row, want)
	}
}

// Rows read from disk may be anything: an error, never a panic or a huge allocation.
func FuzzRowDecode(f *testing.F) {
	table := wideTable(f)
	for i := range uint64(8) {
		data, _, err := table.EncodeRow(f.Context(), randomRow(rand.New(rand.NewPCG(3, i))))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		row := make(sql.Row, len(table.Types))
		large := func(_ []byte, ref LargeRef) ([]byte, error) { return nil, ErrCorrupt }
		err := table.DecodeRow(context.Background(), []byte("k"), data, nil, large, row)
		if err != nil && !errors.Is(err, ErrCorrupt) {
			t.Fatalf("error without ErrCorrupt: %v", err)
		}
		if _, err := table.LargeRefs(data); err != nil && !errors.Is(err, ErrCorrupt) {
			t.Fatalf("error without ErrCorrupt: %v", err)
		}
	})
}

func FuzzCatalogLoad(f *testing.F) {
	desc, err := EncodeDesc(wideTable(f).Desc)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(TableKey(1), desc)
	f.Add(DatabaseKey("d"), []byte(`{"name":"d","collation":224}`))
	f.Add(ObjectKey("view", "d", "v"), []byte(`{"kind":"view","database":"d","name":"v","data":"AQI="}`))
	f.Fuzz(func(t *testing.T, key, value []byte) {
		_ = newCatalog().load(key, value) // an error or a catalog, never a panic
	})
}
