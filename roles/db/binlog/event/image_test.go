package event

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/cockroachdb/apd/v3"
	"github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"

	"stack/roles/db/store"
)

// pair is the row images of one change.
type pair struct{ before, after Image }

// readBack reads what Rows has collected with this package's own reader.
func readBack(t testing.TB, of *store.Table, events []byte) (list []pair) {
	t.Helper()
	var im *Images
	for len(events) > 0 {
		ev, _, rest, err := Next(events)
		must(t, err)
		if Type(ev[4]) == TypeTableMap {
			m, err := ParseTableMap(ev)
			must(t, err)
			if m.Database != of.Desc.Database || m.Name != of.Desc.Name {
				t.Fatalf("the map is of %s.%s", m.Database, m.Name)
			}
			im, err = m.Images(of)
			must(t, err)
		} else {
			must(t, im.ReadRows(context.Background(), ev, func(before, after Image) error {
				list = append(list, pair{before, after})
				return nil
			}))
		}
		events = rest
	}
	return list
}

// plainValue is a value that can be compared.
func plainValue(t testing.TB, v any) any {
	t.Helper()
	switch v := v.(type) {
	case *apd.Decimal:
		return v.Text('f')
	case sql.JSONWrapper:
		text, err := types.MarshallJson(context.Background(), v)
		must(t, err)
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		var x any
		must(t, d.Decode(&x))
		return fmt.Sprint(x)
	case types.GeometryValue:
		return fmt.Sprintf("%x", v.Serialize())
	}
	return v
}

// Every value that is logged is read as it was, in inserts, updates and deletes, with
// NULLs, and the image fits the row.
func TestEveryTypeIsReadBack(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 2))
	ctx := context.Background()
	for _, c := range typeCases(t) {
		of := table(t, 1, columnType(t, types.Int64), columnType(t, c.typ), columnType(t, c.typ))
		values := append([]any{nil}, c.values...)
		pick := func() any { return values[r.IntN(len(values))] }
		var want [][2]sql.Row
		rows := Rows{Server: testServer}
		for i, v := range values {
			a, b := sql.Row{int64(i), v, pick()}, sql.Row{int64(i + 1000), pick(), v}
			must(t, rows.Insert(ctx, of, a))
			must(t, rows.Update(ctx, of, a, b))
			must(t, rows.Delete(ctx, of, b))
			want = append(want, [2]sql.Row{a}, [2]sql.Row{a, b}, [2]sql.Row{b})
		}
		got := readBack(t, of, rows.Close())
		if len(got) != len(want) {
			t.Fatalf("%s: %d changes, want %d", c.name, len(got), len(want))
		}
		m, err := ParseTableMap(firstMap(t, of))
		must(t, err)
		im, err := m.Images(of)
		must(t, err)
		for i := range want {
			for j, image := range []Image{got[i].before, got[i].after} {
				if len(image.Row) != len(want[i][j]) {
					t.Fatalf("%s: image %d has %d values", c.name, j, len(image.Row))
				}
				for k := range want[i][j] {
					have, wanted := plainValue(t, image.Row[k]), plainValue(t, want[i][j][k])
					if !reflect.DeepEqual(have, wanted) && !sameNumber(c.typ, have, wanted) {
						t.Errorf("%s: %#v was read as %#v", c.name, wanted, have)
					}
				}
				if want[i][j] == nil {
					continue
				}
				same, err := im.Equal(ctx, want[i][j], image)
				must(t, err)
				other := append(sql.Row{}, want[i][j]...)
				other[0] = int64(77)
				different, err := im.Equal(ctx, other, image)
				must(t, err)
				if !same || different {
					t.Errorf("%s: the row fits its image: %v, another fits: %v", c.name, same, different)
				}
			}
		}
	}
}

// sameNumber: 1.0 and 1.0000 are one DECIMAL.
func sameNumber(typ sql.Type, a, b any) bool {
	if _, ok := typ.(types.DecimalType_); !ok || a == nil || b == nil {
		return false
	}
	x, _, err := apd.NewFromString(a.(string))
	if err != nil {
		return false
	}
	y, _, err := apd.NewFromString(b.(string))
	return err == nil && x.Cmp(y) == 0
}

func firstMap(t testing.TB, of *store.Table) []byte {
	t.Helper()
	tab, err := TableOf(of)
	must(t, err)
	return tab.appendMap(nil, testServer, 1)
}

// Lengths and fractions of another server are read; other columns are refused.
func TestOtherTablesAreRefused(t *testing.T) {
	ctx := context.Background()
	log := table(t, 1, columnType(t, int32Type), columnType(t, types.MustCreateString(varcharType.Type(), 400, sql.Collation_utf8mb4_unicode_520_ci)))
	here := table(t, 1, columnType(t, int32Type), columnType(t, varcharType))
	rows := insert(t, log, sql.Row{int32(1), "x"})
	ev, _, rest, err := Next(rows)
	must(t, err)
	m, err := ParseTableMap(ev)
	must(t, err)
	im, err := m.Images(here)
	must(t, err)
	must(t, im.ReadRows(ctx, rest, func(before, _ Image) error {
		if same, err := im.Equal(ctx, sql.Row{int32(1), "x"}, before); err != nil || !same {
			t.Errorf("the row does not fit: %v", err)
		}
		return nil
	}))
	for _, other := range []*store.Table{
		table(t, 1, columnType(t, int32Type)),
		table(t, 1, columnType(t, types.Int64), columnType(t, varcharType)),
		table(t, 1, columnType(t, int32Type), columnType(t, types.MustCreateEnumType([]string{"x"}, sql.Collation_utf8mb4_unicode_520_ci))),
	} {
		if _, err := m.Images(other); err == nil {
			t.Errorf("rows of a table with other columns were taken: %v", other.Types)
		}
	}
}

// What a statement depends on is read as it was written.
func TestQueryIsReadBack(t *testing.T) {
	for _, q := range []Query{
		{Text: "BEGIN"},
		{Text: "DROP TABLE x", Database: "site", Thread: 7, Client: 45, Connection: 246, Server: 8, Mode: 1<<32 | 5},
		{Text: "ALTER TABLE x ADD n INT", Database: "d", Client: 45, Connection: 45, Server: 45, NoForeignKeyChecks: true, NoUniqueChecks: true,
			Increment: 10, Offset: 3, TimeZone: "+02:00", User: "u", Host: "%", Begun: time.UnixMicro(1700000000123456)},
	} {
		for _, b := range [][]byte{AppendQuery(nil, 1, &q), AppendMariaQuery(nil, 1, &q)} {
			got, err := ParseQuery(b)
			must(t, err)
			if q.Begun.IsZero() {
				got.Begun = time.Time{}
			}
			if !got.Begun.Equal(q.Begun) {
				t.Errorf("%s: begun %v, was %v", q.Text, got.Begun, q.Begun)
			}
			got.Begun = q.Begun
			if *got != q {
				t.Errorf("%+v\nwas read as %+v", q, *got)
			}
		}
	}
}

// MariaDB 11.5 writes the collations of its character sets before all else; what is not known is told from what is damaged.
func TestQueryOfNewerMariaDB(t *testing.T) {
	whole := AppendQuery(nil, 1, &Query{Text: "DROP TABLE x", Database: "site", Client: 45, Connection: 246, Server: 8})
	with := func(variable ...byte) []byte {
		b := append([]byte(nil), whole[:HeaderSize+13]...)
		b[HeaderSize+11] += byte(len(variable))
		return append(append(b, variable...), whole[HeaderSize+13:]...)
	}
	for _, variable := range [][]byte{{131, 2, 33, 0, 0, 8, 45, 0, 0, 9}, {131, 0}} {
		q, err := ParseQuery(with(variable...))
		if err != nil || q.Text != "DROP TABLE x" || q.Database != "site" || q.Connection != 246 {
			t.Errorf("% x: %+v, %v", variable, q, err)
		}
	}
	if _, err := ParseQuery(with(250)); !errors.Is(err, ErrUnknown) || errors.Is(err, ErrCorrupt) {
		t.Errorf("an unknown variable: %v", err)
	}
	if _, err := ParseQuery(with(131, 200, 1)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a variable that is cut: %v", err)
	}
}

// Whatever a damaged file holds: errors, never a panic, and what is read can be written.
func FuzzRows(f *testing.F) {
	var columns []store.ColumnType
	var rows []sql.Row
	cases := typeCases(f)
	for _, c := range cases {
		columns = append(columns, columnType(f, c.typ))
	}
	for i := range 3 {
		row := make(sql.Row, len(cases))
		for j, c := range cases {
			if i < len(c.values) && c.name != "longtext" {
				row[j] = c.values[i]
			}
		}
		row[0] = int8(i)
		rows = append(rows, row)
	}
	of := table(f, 1, columns...)
	m, _, rest, err := Next(insert(f, of, rows...))
	must(f, err)
	for len(rest) > 0 {
		ev, _, after, err := Next(rest)
		must(f, err)
		f.Add(m, ev)
		rest = after
	}
	ctx := context.Background()
	f.Fuzz(func(t *testing.T, m, ev []byte) {
		tm, err := ParseTableMap(m)
		if err != nil {
			return
		}
		im, err := tm.Images(of)
		if err != nil {
			return
		}
		n := 0
		_ = im.ReadRows(ctx, ev, func(before, after Image) error {
			if n++; n > len(ev) {
				t.Fatal("more rows than bytes")
			}
			for _, image := range []Image{before, after} {
				if image.Row != nil {
					_, _ = im.Equal(ctx, image.Row, image)
				}
			}
			return nil
		})
	})
}

func FuzzJSON(f *testing.F) {
	c, err := newColumn(types.JSON)
	must(f, err)
	ctx := context.Background()
	for _, doc := range []string{`null`, `{"a": [1, -70000, 1.5, "x", {"b": true}]}`, `[18446744073709551615, 5000000000]`} {
		b, err := c.appendJSON(ctx, nil, types.NewLazyJSONDocument([]byte(doc)))
		must(f, err)
		f.Add(b[4:])
	}
	for _, c := range opaqueCases {
		f.Add(c.document())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := readJSON(b)
		if err != nil {
			return
		}
		out, err := c.appendJSON(ctx, nil, v.(sql.JSONWrapper))
		if err != nil {
			return // a key or document that is too long
		}
		back, err := readJSON(out[4:])
		if err != nil {
			t.Fatal(err)
		}
		again, err := c.appendJSON(ctx, nil, back.(sql.JSONWrapper))
		if err != nil || string(again) != string(out) {
			t.Fatalf("%x became %x, %v", out, again, err)
		}
	})
}

func FuzzQuery(f *testing.F) {
	f.Add(AppendQuery(nil, 1, &Query{Text: "x", Database: "d", Client: 1, TimeZone: "+01:00", User: "u", Begun: time.Now(), Increment: 2, Offset: 2}))
	f.Fuzz(func(t *testing.T, b []byte) { _, _ = ParseQuery(b) })
}
