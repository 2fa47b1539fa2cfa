package wire

import (
	"context"
	"math"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/apd/v3"
	"github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// testResults is a Results that writes nowhere.
func testResults(t testing.TB, binary bool, charset string, schema sql.Schema) *Results {
	t.Helper()
	ctx := sql.NewContext(context.Background(), sql.WithSession(sql.NewBaseSession()))
	if charset != "" {
		if err := ctx.SetSessionVariable(ctx, "character_set_results", charset); err != nil {
			t.Fatal(err)
		}
	}
	c := &conn{}
	c.bytesOut = new(atomic.Uint64)
	r := &Results{c: c, binary: binary, ctx: ctx, kind: resultRows}
	r.columns = appendColumns(nil, ctx, schema, collationUTF8mb4)
	return r
}

// TestValues writes values of every type in both protocols.
func TestValues(t *testing.T) {
	at := time.Date(2026, 11, 23, 4, 5, 6, 789012345, time.UTC)
	datetime := func(p int) sql.Type { return types.MustCreateDatetimeType(types.Datetime.Type(), p) }
	enum := types.MustCreateEnumType([]string{"a", "bé"}, sql.Collation_Default)
	set := types.MustCreateSetType([]string{"x", "y", "z"}, sql.Collation_Default)
	for name, c := range map[string]struct {
		typ          sql.Type
		v            any
		text, binary string // binary without the row's head; "" = as text, with its length
	}{
		"tiny":            {types.Int8, int8(-1), "-1", "\xff"},
		"tiny unsigned":   {types.Uint8, uint8(255), "255", "\xff"},
		"bool":            {types.Boolean, true, "1", "\x01"},
		"false":           {types.Boolean, false, "0", "\x00"},
		"short":           {types.Int16, int16(-2), "-2", "\xfe\xff"},
		"short unsigned":  {types.Uint16, uint16(65535), "65535", "\xff\xff"},
		"int24":           {types.Int24, int32(-8388608), "-8388608", "\x00\x00\x80\xff"},
		"uint24":          {types.Uint24, uint32(16777215), "16777215", "\xff\xff\xff\x00"},
		"long":            {types.Int32, int32(-3), "-3", "\xfd\xff\xff\xff"},
		"long unsigned":   {types.Uint32, uint32(4294967295), "4294967295", "\xff\xff\xff\xff"},
		"longlong":        {types.Int64, int64(math.MinInt64), "-9223372036854775808", "\x00\x00\x00\x00\x00\x00\x00\x80"},
		"ulonglong":       {types.Uint64, uint64(math.MaxUint64), "18446744073709551615", "\xff\xff\xff\xff\xff\xff\xff\xff"},
		"int as Go int":   {types.Int64, 7, "7", "\x07\x00\x00\x00\x00\x00\x00\x00"},
		"int from text":   {types.Int64, "42", "42", "\x2a\x00\x00\x00\x00\x00\x00\x00"},
		"int from float":  {types.Int32, 7.0, "7", "\x07\x00\x00\x00"},
		"float":           {types.Float32, float32(1.5), "1.5", "\x00\x00\xc0\x3f"},
		"float six":       {types.Float32, float32(3.1415926), "3.14159", "\xda\x0f\x49\x40"},
		"double":          {types.Float64, 0.1, "0.1", "\x9a\x99\x99\x99\x99\x99\xb9\x3f"},
		"double from int": {types.Float64, int64(2), "2", "\x00\x00\x00\x00\x00\x00\x00\x40"},
		"decimal":         {types.MustCreateDecimalType(10, 2), apd.New(1234, -2), "12.34", ""},
		"decimal small":   {types.MustCreateDecimalType(10, 4), apd.New(-12, -4), "-0.0012", ""},
		"decimal whole":   {types.MustCreateDecimalType(10, 0), apd.New(-12, 0), "-12", ""},
		"decimal round":   {types.MustCreateColumnDecimalType(10, 1), apd.New(1234, -3), "1.2", ""},
		"decimal digits":  {types.MustCreateDecimalType(40, 2), decimal("12345678901234567890123456789.05"), "12345678901234567890123456789.05", ""},
		"year":            {types.Year, int16(2026), "2026", "\xea\x07"},
		"year zero":       {types.Year, int16(0), "0000", "\x00\x00"},
		"date":            {types.Date, at, "2026-11-23", "\x04\xea\x07\x0b\x17"},
		"early date":      {types.Date, time.Date(7, 1, 2, 0, 0, 0, 0, time.UTC), "0007-01-02", "\x04\x07\x00\x01\x02"},
		"zero date":       {types.Date, types.ZeroTime, "0000-00-00", "\x00"},
		"datetime":        {datetime(0), at, "2026-11-23 04:05:07", "\x07\xea\x07\x0b\x17\x04\x05\x07"},
		"datetime(3)":     {datetime(3), at, "2026-11-23 04:05:06.789", "\x0b\xea\x07\x0b\x17\x04\x05\x06\x08\x0a\x0c\x00"},
		"datetime(6)":     {datetime(6), at, "2026-11-23 04:05:06.789012", "\x0b\xea\x07\x0b\x17\x04\x05\x06\x14\x0a\x0c\x00"},
		"midnight":        {datetime(0), at.Truncate(24 * time.Hour), "2026-11-23 00:00:00", "\x04\xea\x07\x0b\x17"},
		"zero datetime":   {datetime(2), types.ZeroTime, "0000-00-00 00:00:00.00", "\x00"},
		"datetime text":   {datetime(6), "2026-11-23 04:05:06.5", "2026-11-23 04:05:06.500000", "\x0b\xea\x07\x0b\x17\x04\x05\x06\x20\xa1\x07\x00"},
		"time":            {types.Time, types.Timespan(-45296500000), "-12:34:56.500000", "\x0c\x01\x00\x00\x00\x00\x0c\x22\x38\x20\xa1\x07\x00"},
		"long time":       {types.Time, types.Timespan(90000_000000), "25:00:00.000000", "\x08\x00\x01\x00\x00\x00\x01\x00\x00"},
		"zero time":       {types.Time, types.Timespan(0), "00:00:00.000000", "\x00"},
		"time text":       {types.Time, "01:02:03", "01:02:03.000000", "\x08\x00\x00\x00\x00\x00\x01\x02\x03"},
		"varchar":         {types.LongText, "Käse 🧀", "Käse 🧀", ""},
		"empty":           {types.LongText, "", "", ""},
		"bytes":           {types.LongBlob, []byte{0, 255}, "\x00\xff", ""},
		"text of float":   {types.LongText, -1.5, "-1.5", ""},
		"text of int":     {types.LongText, int64(-4), "-4", ""},
		"enum":            {enum, uint16(2), "bé", ""},
		"set":             {set, uint64(5), "x,z", ""},
		"bit":             {types.MustCreateBitType(12), uint64(2049), "\x08\x01", ""},
		"json":            {types.JSON, types.MustJSON(`{"a": [1, "b"]}`), `{"a": [1, "b"]}`, ""},
		"point":           {types.PointType{}, types.Point{X: 1, Y: 2}, "\x00\x00\x00\x00\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\xf0\x3f\x00\x00\x00\x00\x00\x00\x00\x40", ""},
		"long string":     {types.LongText, strings.Repeat("x", 70000), strings.Repeat("x", 70000), ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, isBinary := range []bool{false, true} {
				r := testResults(t, isBinary, "utf8mb4", sql.Schema{{Type: types.Int8, Nullable: true}, {Type: c.typ, Nullable: true}})
				encode, head := r.appendTextRow, "\xfb"
				if isBinary {
					encode, head = r.appendBinaryRow, "\x00\x04"
				}
				got, err := encode(nil, sql.Row{nil, c.v})
				if err != nil {
					t.Fatal(err)
				}
				want := head + string(appendLenString(nil, c.text))
				if isBinary && c.binary != "" {
					want = head + c.binary
				}
				if string(got) != want {
					t.Errorf("binary %v:\n got %.100q\nwant %.100q", isBinary, got, want)
				}
			}
		})
	}
}

func decimal(s string) *apd.Decimal {
	d, _, err := apd.NewFromString(s)
	if err != nil {
		panic(err)
	}
	return d
}

// TestManyNulls checks the bitmap over byte borders.
func TestManyNulls(t *testing.T) {
	for n := 1; n < 40; n++ {
		var schema sql.Schema
		var row sql.Row
		for i := range n {
			schema = append(schema, &sql.Column{Type: types.Int8, Nullable: true})
			if row = append(row, any(int8(i))); i%3 == 0 {
				row[i] = nil
			}
		}
		got, err := testResults(t, true, "", schema).appendBinaryRow(nil, row)
		if err != nil {
			t.Fatal(err)
		}
		values := got[1+(n+9)/8:]
		for i := range n {
			isNull := got[1+(i+2)/8]>>((i+2)%8)&1 == 1
			if isNull != (i%3 == 0) {
				t.Fatalf("%d columns: NULL of column %d is %v", n, i, isNull)
			}
			if !isNull {
				if values[0] != byte(i) {
					t.Fatalf("%d columns: column %d is %d", n, i, values[0])
				}
				values = values[1:]
			}
		}
		if len(values) != 0 {
			t.Fatalf("%d columns: %d bytes too many", n, len(values))
		}
	}
}

// TestResultCharset: text goes out in character_set_results, '?' for what it lacks;
// bytes go out as they are.
func TestResultCharset(t *testing.T) {
	schema := sql.Schema{{Name: "ä", Type: types.LongText}, {Type: types.LongBlob}}
	for charset, want := range map[string]struct {
		text, name string
		id         uint16
	}{
		"utf8mb4": {"ä€🧀", "ä", 45}, "utf8mb3": {"ä€?", "ä", 33}, "latin1": {"\xe4\x80?", "\xe4", 8},
		"binary": {"ä€🧀", "ä", 45}, "ascii": {"???", "?", 11},
	} {
		r := testResults(t, false, charset, schema)
		got, err := r.appendTextRow(nil, sql.Row{"ä€🧀", []byte("ä")})
		if err != nil {
			t.Errorf("%s: %v", charset, err)
			continue
		}
		if w := string(appendLenString(appendLenString(nil, want.text), "ä")); string(got) != w {
			t.Errorf("%s: got %q, want %q", charset, got, w)
		}
		if r.columns[0].name != want.name || r.columns[0].charset != want.id || r.columns[1].charset != collationBinary {
			t.Errorf("%s: column %q of collation %d", charset, r.columns[0].name, r.columns[0].charset)
		}
	}
}

// TestFloatText compares with what MySQL 8.0 prints for these values.
func TestFloatText(t *testing.T) {
	for f, want := range map[float64]string{
		0: "0", 1: "1", -1.5: "-1.5", 100: "100", 1e14: "100000000000000", 1e15: "1e15", 123456789012345680: "1.2345678901234568e17",
		0.1: "0.1", 0.00001: "0.00001", 1e-15: "0.000000000000001", 1e-16: "1e-16", 1.5e300: "1.5e300", -2.5e-20: "-2.5e-20",
		999999999999999: "999999999999999", 1.7976931348623157e308: "1.7976931348623157e308", math.Inf(1): "0",
	} {
		if got := string(appendFloat(nil, f, 64)); got != want {
			t.Errorf("%g: got %s, want %s", f, got, want)
		}
		if math.IsInf(f, 0) {
			continue
		}
		if back, err := strconv.ParseFloat(want, 64); err != nil || back != f {
			t.Errorf("%s reads back as %g", want, back)
		}
	}
	for f, want := range map[float32]string{16777216: "16777200", 3.1415926: "3.14159", 1e20: "1e20", 0.1: "0.1", 123456.7: "123457", 1.17549e-38: "1.17549e-38"} {
		if got := string(appendFloat(nil, float64(f), 32)); got != want {
			t.Errorf("float %g: got %s, want %s", f, got, want)
		}
	}
}

// TestNoAllocation holds the hot path to what its comment says.
func TestNoAllocation(t *testing.T) {
	for _, isBinary := range []bool{false, true} {
		r, row := benchRow(t, isBinary)
		buf := make([]byte, 0, 4096)
		encode := r.appendTextRow
		if isBinary {
			encode = r.appendBinaryRow
		}
		if n := testing.AllocsPerRun(100, func() {
			if _, err := encode(buf, row); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("binary %v: %v allocations a row", isBinary, n)
		}
	}
}

func benchRow(t testing.TB, isBinary bool) (*Results, sql.Row) {
	schema := sql.Schema{
		{Type: types.Int32}, {Type: types.Int64}, {Type: types.MustCreateStringWithDefaults(types.Text.Type(), 120)},
		{Type: types.LongBlob}, {Type: types.Datetime}, {Type: types.Float64}, {Type: types.Date}, {Type: types.Time},
		{Type: types.MustCreateColumnDecimalType(10, 2)},
	}
	at := time.Date(2026, 11, 23, 4, 5, 6, 0, time.UTC)
	row := sql.Row{int32(1), int64(123456789), strings.Repeat("c", 119), []byte("bytes"), at, 0.25, at, types.Timespan(1e9), apd.New(123456, -2)}
	return testResults(t, isBinary, "utf8mb4", schema), row
}

func BenchmarkTextRow(b *testing.B)   { benchmarkRow(b, false) }
func BenchmarkBinaryRow(b *testing.B) { benchmarkRow(b, true) }

func benchmarkRow(b *testing.B, isBinary bool) {
	r, row := benchRow(b, isBinary)
	buf := make([]byte, 0, 4096)
	encode := r.appendTextRow
	if isBinary {
		encode = r.appendBinaryRow
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := encode(buf, row); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPointSelect is a query and its one row over loopback, client included.
func BenchmarkPointSelect(b *testing.B) {
	_, addr := serve(b, Config{}, newStub())
	for _, prepared := range []bool{false, true} {
		name := "text"
		if prepared {
			name = "prepared"
		}
		b.Run(name, func(b *testing.B) {
			r := login1(b, addr, basicCaps|capDeprecateEOF)
			r.command(comStmtPrepare, []byte("one ?")...)
			for range 3 {
				r.read()
			}
			ask := append(packet(0, nil)[:4], append([]byte{comQuery}, "one"...)...)
			if prepared {
				ask = append(packet(0, nil)[:4], comStmtExecute, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 8, 0, 7, 0, 0, 0, 0, 0, 0, 0)
			}
			ask[0] = byte(len(ask) - 4)
			answer := make([]byte, 4096)
			r.nc.SetDeadline(time.Time{})
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.nc.Write(ask); err != nil {
					b.Fatal(err)
				}
				if _, err := r.nc.Read(answer); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
