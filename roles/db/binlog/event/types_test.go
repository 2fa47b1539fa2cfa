package event

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/apd/v3"
	"github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/sqltypes"
	"github.com/dolthub/vitess/go/vt/proto/query"
	"github.com/go-mysql-org/go-mysql/replication"

	"stack/roles/db/store"
)

var (
	int32Type   = types.Int32
	varcharType = types.MustCreateString(sqltypes.VarChar, 60, sql.Collation_utf8mb4_unicode_520_ci)
)

func columnType(t testing.TB, typ sql.Type) store.ColumnType {
	t.Helper()
	ct, err := store.ColumnTypeOf(typ)
	must(t, err)
	return ct
}

func decimal(t testing.TB, text string) *apd.Decimal {
	t.Helper()
	d, _, err := apd.NewFromString(text)
	must(t, err)
	return d
}

func text(base query.Type, n int64, c sql.CollationID) sql.Type {
	return types.MustCreateString(base, n, c)
}

func members(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("m%d", i)
	}
	return list
}

// typeCase is a type with values and what go-mysql's parser makes of each.
type typeCase struct {
	name   string
	typ    sql.Type
	values []any
	want   []any
}

func typeCases(t testing.TB) []typeCase {
	date := func(s string) time.Time {
		v, err := time.Parse("2006-01-02 15:04:05.999999", s)
		must(t, err)
		return v
	}
	datetime := func(base query.Type, digits int) sql.Type { return types.MustCreateDatetimeType(base, digits) }
	utf8, latin1 := sql.Collation_utf8mb4_unicode_520_ci, sql.Collation_latin1_swedish_ci
	long := strings.Repeat("é", 300)
	point := types.Point{SRID: 4326, X: 1, Y: 2}
	return []typeCase{
		{"tinyint", types.Int8, []any{int8(-128), int8(127)}, []any{int8(-128), int8(127)}},
		{"tinyint unsigned", types.Uint8, []any{uint8(255)}, []any{int8(-1)}},
		{"smallint", types.Int16, []any{int16(-32768)}, []any{int16(-32768)}},
		{"smallint unsigned", types.Uint16, []any{uint16(65535)}, []any{int16(-1)}},
		{"mediumint", types.Int24, []any{int32(-8388608), int32(8388607)}, []any{int32(-8388608), int32(8388607)}},
		{"mediumint unsigned", types.Uint24, []any{uint32(1<<24 - 1)}, []any{int32(-1)}},
		{"int", types.Int32, []any{int32(math.MinInt32)}, []any{int32(math.MinInt32)}},
		{"int unsigned", types.Uint32, []any{uint32(math.MaxUint32)}, []any{int32(-1)}},
		{"bigint", types.Int64, []any{int64(math.MinInt64)}, []any{int64(math.MinInt64)}},
		{"bigint unsigned", types.Uint64, []any{uint64(math.MaxUint64)}, []any{int64(-1)}},
		{"float", types.Float32, []any{float32(-1.5)}, []any{float32(-1.5)}},
		{"double", types.Float64, []any{math.Pi}, []any{math.Pi}},
		{"decimal", types.MustCreateColumnDecimalType(14, 4), []any{decimal(t, "-1234567890.1234"), decimal(t, "0.5")}, []any{"-1234567890.1234", "0.5000"}},
		{"wide decimal", types.MustCreateColumnDecimalType(65, 30), []any{decimal(t, "99999999999999999999999999999999999.000000000000000000000000000001")}, []any{"99999999999999999999999999999999999.000000000000000000000000000001"}},
		{"whole decimal", types.MustCreateColumnDecimalType(5, 0), []any{decimal(t, "-7")}, []any{"-7"}},
		{"date", types.Date, []any{date("2026-11-29 00:00:00"), types.ZeroTime}, []any{"2026-11-29", "0000-00-00"}},
		{"datetime", datetime(sqltypes.Datetime, 0), []any{date("9999-12-31 23:59:59"), types.ZeroTime}, []any{"9999-12-31 23:59:59", "0000-00-00 00:00:00"}},
		{"datetime(1)", datetime(sqltypes.Datetime, 1), []any{date("2026-01-02 03:04:05.7")}, []any{"2026-01-02 03:04:05.7"}},
		{"datetime(3)", datetime(sqltypes.Datetime, 3), []any{date("2026-01-02 03:04:05.078")}, []any{"2026-01-02 03:04:05.078"}},
		{"datetime(6)", datetime(sqltypes.Datetime, 6), []any{date("0001-01-01 00:00:00.000001")}, []any{"0001-01-01 00:00:00.000001"}},
		{"timestamp", datetime(sqltypes.Timestamp, 0), []any{date("2026-11-29 08:00:00"), types.ZeroTime}, []any{"2026-11-29 08:00:00", "0000-00-00 00:00:00"}},
		{"timestamp(2)", datetime(sqltypes.Timestamp, 2), []any{date("1970-01-01 00:00:01.25")}, []any{"1970-01-01 00:00:01.25"}},
		{"timestamp(6)", datetime(sqltypes.Timestamp, 6), []any{date("2038-01-19 03:14:07.999999")}, []any{"2038-01-19 03:14:07.999999"}},
		{"time", types.Time, []any{types.Timespan(3723000004), types.Timespan(-1), types.Timespan(-3020399000000), types.Timespan(0)},
			[]any{"01:02:03.000004", "-00:00:00.000001", "-838:59:59", "00:00:00"}},
		{"year", types.Year, []any{int16(2026), int16(1901), int16(2155), int16(0)}, []any{2026, 1901, 2155, 0}},
		{"bit(1)", types.MustCreateBitType(1), []any{uint64(1)}, []any{int64(1)}},
		{"bit(17)", types.MustCreateBitType(17), []any{uint64(1<<16 | 5)}, []any{int64(1<<16 | 5)}},
		{"bit(64)", types.MustCreateBitType(64), []any{uint64(math.MaxUint64)}, []any{int64(-1)}},
		{"enum", types.MustCreateEnumType(members(255), utf8), []any{uint16(255)}, []any{int64(255)}},
		{"large enum", types.MustCreateEnumType(members(256), utf8), []any{uint16(256)}, []any{int64(256)}},
		{"set", types.MustCreateSetType(members(3), utf8), []any{uint64(5), uint64(0)}, []any{int64(5), int64(0)}},
		{"set of 40", types.MustCreateSetType(members(40), utf8), []any{uint64(1 << 39)}, []any{int64(1 << 39)}},
		{"char", text(sqltypes.Char, 255, utf8), []any{"ab", strings.Repeat("🐘", 255)}, []any{"ab", strings.Repeat("🐘", 255)}},
		{"char latin1", text(sqltypes.Char, 10, latin1), []any{"é"}, []any{"\xe9"}},
		{"varchar", text(sqltypes.VarChar, 60, utf8), []any{"", "naïve"}, []any{"", "naïve"}},
		{"long varchar", text(sqltypes.VarChar, 2000, utf8), []any{long}, []any{long}},
		{"varchar latin1", text(sqltypes.VarChar, 300, latin1), []any{"é€"}, []any{"\xe9\x80"}},
		{"varchar utf16", text(sqltypes.VarChar, 10, sql.Collation_utf16_general_ci), []any{"a"}, []any{"\x00a"}},
		{"binary", text(sqltypes.Binary, 4, sql.Collation_binary), []any{[]byte{1, 0, 2, 0}}, []any{"\x01\x00\x02\x00"}},
		{"varbinary", text(sqltypes.VarBinary, 400, sql.Collation_binary), []any{[]byte{0, 0xff}}, []any{"\x00\xff"}},
		{"tinytext", types.TinyText, []any{"x"}, []any{[]byte("x")}},
		{"text", types.Text, []any{long}, []any{[]byte(long)}},
		{"longtext", types.LongText, []any{strings.Repeat("x", 70000)}, []any{[]byte(strings.Repeat("x", 70000))}},
		{"tinyblob", types.TinyBlob, []any{[]byte{}}, []any{[]byte{}}},
		{"blob", types.Blob, []any{[]byte{0}}, []any{[]byte{0}}},
		{"mediumblob", types.MediumBlob, []any{[]byte{7}}, []any{[]byte{7}}},
		{"longblob", types.LongBlob, []any{[]byte{8}}, []any{[]byte{8}}},
		{"json", types.JSON, []any{types.NewLazyJSONDocument([]byte(`{"b": [1, -2, 70000, 5000000000, 18446744073709551615, 1.5, null, true, false], "a": {"é": "ü"}}`))},
			[]any{`{"a":{"é":"ü"},"b":[1,-2,70000,5000000000,18446744073709551615,1.5,null,true,false]}`}},
		{"geometry", types.GeometryType{}, []any{point}, []any{point.Serialize()}},
		{"point", types.PointType{}, []any{point}, []any{point.Serialize()}},
		{"vector", vectorType(t), []any{[]byte{0, 0, 128, 63, 0, 0, 0, 64}}, []any{[]byte{0, 0, 128, 63, 0, 0, 0, 64}}},
	}
}

// Every type, alone and in tables with many columns and random NULLs, is read by
// another implementation as what was written.
func TestEveryTypeIsReadByAnother(t *testing.T) {
	cases := typeCases(t)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			of := table(t, 1, columnType(t, types.Int64), columnType(t, c.typ))
			var rows []sql.Row
			for i, v := range append([]any{nil}, c.values...) {
				rows = append(rows, sql.Row{int64(i), v})
			}
			got := rowsOf(t, insert(t, of, rows...))
			for i, want := range append([]any{nil}, c.want...) {
				compare(t, c.name, got[i][1], want)
			}
		})
	}
}

func TestWideRowsWithNULLs(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	cases := typeCases(t)
	for range 40 {
		columns := []store.ColumnType{columnType(t, types.Int64)}
		picked := []typeCase{{}}
		for range 1 + r.IntN(60) {
			c := cases[r.IntN(len(cases))]
			picked, columns = append(picked, c), append(columns, columnType(t, c.typ))
		}
		of := table(t, 1, columns...)
		var rows []sql.Row
		var wants [][]any
		for id := range 1 + r.IntN(5) {
			row, want := sql.Row{int64(id)}, []any{int64(id)}
			for _, c := range picked[1:] {
				if i := r.IntN(len(c.values) + 1); i < len(c.values) {
					row, want = append(row, c.values[i]), append(want, c.want[i])
				} else {
					row, want = append(row, nil), append(want, nil)
				}
			}
			rows, wants = append(rows, row), append(wants, want)
		}
		got := rowsOf(t, insert(t, of, rows...))
		for i := range wants {
			for j := range wants[i] {
				compare(t, fmt.Sprintf("row %d, column %d (%s)", i, j, picked[j].name), got[i][j], wants[i][j])
			}
		}
	}
}

func rowsOf(t testing.TB, events []byte) (rows [][]any) {
	t.Helper()
	for _, e := range read(t, finished(t, events)) {
		if r, ok := e.Event.(*replication.RowsEvent); ok {
			rows = append(rows, r.Rows...)
		}
	}
	return rows
}

func compare(t testing.TB, what string, got, want any) {
	t.Helper()
	if text, ok := want.(string); ok && strings.HasPrefix(text, "{") {
		var a, b any
		must(t, json.Unmarshal([]byte(fmt.Sprintf("%s", got)), &a))
		must(t, json.Unmarshal([]byte(text), &b))
		got, want = a, b
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got %#v, want %#v", what, got, want)
	}
}

// The table map tells names, signs, collations, members, key and kinds of geometry.
func TestTableMapMetadata(t *testing.T) {
	utf8 := sql.Collation_utf8mb4_unicode_520_ci
	of := table(t, 2,
		columnType(t, types.Uint32), columnType(t, varcharType), columnType(t, types.Int8),
		columnType(t, types.MustCreateEnumType([]string{"x", "y"}, utf8)),
		columnType(t, types.MustCreateSetType([]string{"p", "é"}, sql.Collation_latin1_swedish_ci)),
		columnType(t, types.PointType{}), columnType(t, types.Blob))
	desc := of.Desc.Clone()
	desc.Columns[6].Hidden = true
	of, err := store.NewTable(desc)
	must(t, err)
	events := insert(t, of, sql.Row{uint32(1), "k", nil, nil, nil, nil, nil})
	for _, e := range read(t, finished(t, events)) {
		m, ok := e.Event.(*replication.TableMapEvent)
		if !ok {
			continue
		}
		for _, c := range []struct{ what, got, want string }{
			{"table", string(m.Schema) + "." + string(m.Table), "site.things"},
			{"names", fmt.Sprint(m.ColumnNameString()), "[c1 c2 c3 c4 c5 c6 c7]"},
			{"unsigned", fmt.Sprint(m.UnsignedMap()), "map[0:true 2:false]"},
			{"collations", fmt.Sprint(m.CollationMap()), fmt.Sprintf("map[1:%d 6:63]", utf8)},
			{"collations of ENUM and SET", fmt.Sprint(m.EnumSetCollationMap()), fmt.Sprintf("map[3:%d 4:8]", utf8)},
			{"ENUM", fmt.Sprint(m.EnumStrValueMap()), "map[3:[x y]]"},
			{"SET", fmt.Sprintf("%q", m.SetStrValueMap()[4]), `["p" "\xe9"]`},
			{"geometry", fmt.Sprint(m.GeometryTypeMap()), "map[5:1]"},
			{"key", fmt.Sprint(m.PrimaryKey), "[0 1]"},
			{"visible", fmt.Sprint(m.VisibilityMap()), "map[0:true 1:true 2:true 3:true 4:true 5:true 6:false]"},
		} {
			if c.got != c.want {
				t.Errorf("%s: got %s, want %s", c.what, c.got, c.want)
			}
		}
		for i := range 7 {
			if _, nullable := m.Nullable(i); nullable != (i >= 2) {
				t.Errorf("column %d may be NULL: %v", i, nullable)
			}
		}
		return
	}
	t.Fatal("there is no table map")
}

// Documents of every size, small and large, are read as what they were.
func TestJSONIsReadByAnother(t *testing.T) {
	deep := strings.Repeat("[", 90) + strings.Repeat("]", 90)
	many := make([]string, 70000)
	for i := range many {
		many[i] = fmt.Sprint(i * 3)
	}
	docs := []string{
		`null`, `true`, `"text"`, `-5`, `32768`, `-32769`, `4294967295`, `1e300`, `[]`, `{}`, deep,
		`"` + strings.Repeat("x", 127) + `"`, `"` + strings.Repeat("x", 128) + `"`, `"` + strings.Repeat("x", 20000) + `"`,
		`{"a": "` + strings.Repeat("y", 65500) + `"}`, `{"a": "` + strings.Repeat("y", 65600) + `", "b": [1, -1, 70000, null]}`,
		`[` + strings.Join(many, ",") + `]`,
		`{"longer": 1, "b": {"x": [{"y": 1.25}]}, "": 2}`,
	}
	of := table(t, 1, columnType(t, types.Int64), columnType(t, types.JSON))
	var rows []sql.Row
	for i, d := range docs {
		rows = append(rows, sql.Row{int64(i), types.NewLazyJSONDocument([]byte(d))})
	}
	got := rowsOf(t, insert(t, of, rows...))
	for i, d := range docs {
		var a, b any
		must(t, json.Unmarshal([]byte(fmt.Sprintf("%s", got[i][1])), &a))
		must(t, json.Unmarshal([]byte(d), &b))
		if !reflect.DeepEqual(a, b) {
			t.Errorf("document %d, %.60s, was read as %.60s", i, d, got[i][1])
		}
	}
}

func vectorType(t testing.TB) sql.Type {
	v, err := types.CreateVectorType(2)
	must(t, err)
	return v
}
