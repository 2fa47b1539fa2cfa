package store

import (
	"bytes"
	"testing"

	"github.com/cockroachdb/apd/v3"
	"github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// oneColumn is a table whose single column is indexed under the given prefix length.
func oneColumn(t testing.TB, typ sql.Type, prefix uint32) *Index {
	t.Helper()
	ct, err := ColumnTypeOf(typ)
	if err != nil {
		t.Fatal(err)
	}
	table, err := NewTable(&TableDesc{ID: 1, Database: "d", Name: "t", Primary: IndexDesc{ID: 2},
		Columns: []ColumnDesc{{ID: 1, Name: "c", Type: ct}},
		Layouts: []Layout{{Version: 1, Columns: []LayoutColumn{{1, ct}}}},
		Indexes: []IndexDesc{{ID: 3, Name: "i", Columns: []IndexColumnDesc{{Column: 1, Prefix: prefix}}}}})
	if err != nil {
		t.Fatal(err)
	}
	return table.Indexes[0]
}

func (r KeyRange) contains(key []byte) bool {
	return bytes.Compare(key, r.Start) >= 0 && bytes.Compare(key, r.End) < 0
}

// A range holds exactly the entries whose values lie between its bounds; under a
// prefix index it may hold more, never fewer.
func TestRangesHoldWhatLiesBetween(t *testing.T) {
	r := rng(t)
	for _, tc := range keyTypes() {
		for _, prefix := range []uint32{0, 2} {
			ix := oneColumn(t, tc.typ, prefix)
			if prefix > 0 && !ix.Prefixed() {
				continue
			}
			for range 200 {
				lo, hi, v := tc.make(r), tc.make(r), tc.make(r)
				lower, upper := Bound{[]any{lo}, r.IntN(2) == 0}, Bound{[]any{hi}, r.IntN(2) == 0}
				if r.IntN(5) == 0 {
					lower = Bound{}
				} else if r.IntN(5) == 0 {
					upper = Bound{}
				}
				if r.IntN(3) == 0 {
					v = lo
				}
				key, _, _, err := ix.Entry(sql.Row{v}, ix.Table.RowIDKey(r.Uint64()))
				if err != nil {
					t.Fatal(err)
				}
				got, err := ix.Range(lower, upper)
				if err != nil {
					t.Fatal(err)
				}
				want := true
				if len(lower.Values) > 0 {
					c := compare(t, tc.typ, v, lo)
					want = want && (c > 0 || c == 0 && lower.Inclusive)
				}
				if len(upper.Values) > 0 {
					c := compare(t, tc.typ, v, hi)
					want = want && (c < 0 || c == 0 && upper.Inclusive)
				}
				if has := got.contains(key); has != want && (prefix == 0 || want) {
					t.Fatalf("%s, prefix %d: %v in %v..%v is %v, want %v", tc.name, prefix, v, lower, upper, has, want)
				}
			}
		}
	}
}

func dec(s string) *apd.Decimal {
	d, _, err := apd.NewFromString(s)
	if err != nil {
		panic(err)
	}
	return d
}

// Bounds that no value of the type can have fall between the keys.
func TestRangesTakeForeignValues(t *testing.T) {
	for _, c := range []struct {
		typ   sql.Type
		value any
		bound any
		below bool // value < bound, else value > bound
	}{
		{types.Int8, int8(1), 1.5, true},
		{types.Int8, int8(2), 1.5, false},
		{types.Int8, int8(-2), -1.5, true},
		{types.Int8, int8(-1), dec("-1.5"), false},
		{types.Int8, int8(127), int64(1000), true},
		{types.Int8, int8(-128), -1e300, false},
		{types.Uint8, uint8(0), int64(-1), false},
		{types.Uint64, ^uint64(0), 1e30, true},
		{types.Int64, int64(5), uint64(1 << 63), true},
		{decimalType(5, 2), dec("1.23"), dec("1.234"), true},
		{decimalType(5, 2), dec("1.24"), dec("1.234"), false},
		{decimalType(5, 2), dec("-1.24"), dec("-1.234"), true},
		{decimalType(5, 2), dec("-1.23"), dec("-1.234"), false},
		{decimalType(5, 2), dec("999.99"), int64(1000), true},
		{decimalType(5, 2), dec("-999.99"), dec("-99999"), false},
	} {
		ix := oneColumn(t, c.typ, 0)
		key, _, _, err := ix.Entry(sql.Row{c.value}, ix.Table.RowIDKey(1))
		if err != nil {
			t.Fatal(err)
		}
		for _, inclusive := range []bool{true, false} {
			b := Bound{[]any{c.bound}, inclusive}
			from, err1 := ix.Range(b, Bound{})
			to, err2 := ix.Range(Bound{}, b)
			at, err3 := ix.Range(Bound{[]any{c.bound}, true}, Bound{[]any{c.bound}, true})
			if err1 != nil || err2 != nil || err3 != nil {
				t.Fatal(err1, err2, err3)
			}
			if from.contains(key) == c.below || to.contains(key) != c.below || at.contains(key) {
				t.Errorf("%s %v against %v (inclusive %v): from %v, to %v, equal %v", c.typ, c.value, c.bound, inclusive, from.contains(key), to.contains(key), at.contains(key))
			}
		}
	}
	ix := oneColumn(t, types.Date, 0)
	if _, err := ix.Range(Bound{Values: []any{"no date"}}, Bound{}); err == nil {
		t.Error("a DATE was compared with text")
	}
	if _, err := ix.Range(Bound{Values: []any{nil, nil}}, Bound{}); err == nil {
		t.Error("a bound of two columns was accepted for an index of one")
	}
}

func TestNullIsBelowEveryValue(t *testing.T) {
	ix := oneColumn(t, types.Int32, 0)
	null, _, _, err := ix.Entry(sql.Row{nil}, ix.Table.RowIDKey(1))
	if err != nil {
		t.Fatal(err)
	}
	least, _, _, _ := ix.Entry(sql.Row{int32(-1 << 31)}, ix.Table.RowIDKey(1))
	isNull, _ := ix.Range(Bound{[]any{nil}, true}, Bound{[]any{nil}, true})
	notNull, _ := ix.Range(Bound{[]any{nil}, false}, Bound{})
	if !isNull.contains(null) || isNull.contains(least) || notNull.contains(null) || !notNull.contains(least) {
		t.Error("NULL and the smallest value are not kept apart")
	}
}
