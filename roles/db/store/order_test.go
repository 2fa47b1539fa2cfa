package store

import (
	"math/rand/v2"
	"testing"

	"github.com/dolthub/go-mysql-server/sql"
)

// Values in their stored form are ordered as the column's type orders them.
func TestOrderOf(t *testing.T) {
	r, table := rng(t), wideTable(t)
	types := rowTypes()
	ordered := 0
	for range 4000 {
		at := r.IntN(len(types))
		a, b := types[at].make(r), types[at].make(r)
		var with any
		c := &table.codecs[at]
		switch c.kind {
		case kindInt:
			with, _ = asInt64(b)
		case kindUint:
			with, _ = asUint64(b)
		case kindString:
			with = b
		default:
			if _, ok := table.OrderOf(at, "x"); ok {
				t.Fatalf("%s is ordered with a text", types[at].name)
			}
			continue
		}
		order, ok := table.OrderOf(at, with)
		if !ok {
			t.Fatalf("%s is not ordered with a %T", types[at].name, with)
		}
		row := make(sql.Row, len(types))
		row[at] = a
		value, err := c.encoded(t.Context(), nil, a)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := order(value), compare(t, c.typ, a, b); got != want {
			t.Fatalf("%s: %v and %v: %d, want %d", types[at].name, a, b, got, want)
		}
		ordered++
	}
	if ordered < 500 {
		t.Fatalf("%d values", ordered)
	}
	for _, c := range []struct {
		typ  string
		v    any
		want int
	}{{"INT8", int64(200), -1}, {"INT8", int64(-200), 1}, {"UINT8", int64(-1), 1}, {"UINT8", uint64(300), -1}, {"INT64", uint64(1 << 63), -1}} {
		for at := range types {
			if table.Desc.Columns[at].Type.Base != c.typ {
				continue
			}
			v, err := table.codecs[at].encoded(t.Context(), nil, types[at].make(rand.New(rand.NewPCG(1, 1))))
			if err != nil {
				t.Fatal(err)
			}
			order, ok := table.OrderOf(at, c.v)
			if !ok || order(v) != c.want {
				t.Errorf("%s and %v: %v %d", c.typ, c.v, ok, order(v))
			}
		}
	}
}
