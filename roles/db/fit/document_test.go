package fit

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/cockroachdb/apd/v3"
	"github.com/dolthub/go-mysql-server/sql/types"
)

func TestDocumentText(t *testing.T) {
	decimal, _, err := apd.NewFromString("1.50")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		value any
		want  string
	}{
		{nil, "null"}, {true, "true"}, {1.0, "1"}, {-0.5, "-0.5"}, {float64(1 << 52), "4503599627370496"}, {-1e17, "-1e17"}, {1.5e121, "1.5e121"}, {1e-7, "1e-7"}, {1e-17, "1e-17"}, {math.Copysign(0, -1), "0"},
		{float32(0.1), "0.1"}, {int64(math.MinInt64), "-9223372036854775808"}, {uint64(math.MaxUint64), "18446744073709551615"}, {int8(-3), "-3"},
		{decimal, "1.5"}, {apd.New(9007199254740993, 0), "9007199254740993"}, {apd.New(12, 0), "12"}, {apd.New(-5, 3), "-5000"}, {time.Date(2026, 12, 1, 8, 0, 0, 1000, time.UTC), `"2026-12-01 08:00:00.000001"`},
		{[]any{}, "[]"}, {map[string]any{}, "{}"},
		{map[string]any{"bb": []any{1.0, "x"}, "c": nil, "a": map[string]any{"k": false}}, `{"a": {"k": false}, "c": null, "bb": [1, "x"]}`},
		{types.JSONDocument{Val: []any{types.JSONDocument{Val: "in"}}}, `["in"]`},
		{"a\"b\\c\b\f\n\r\t\x01</é😀", `"a\"b\\c\b\f\n\r\t\u0001</é😀"`}, {"\xff", "\"\ufffd\""}, {"", `""`},
	} {
		got, err := DocumentText(t.Context(), types.JSONDocument{Val: c.value})
		if err != nil || string(got) != c.want {
			t.Errorf("%#v is %s, %v; want %s", c.value, got, err, c.want)
		}
		if !json.Valid(got) {
			t.Errorf("%s is not JSON", got)
		}
	}
	if got, err := DocumentText(t.Context(), types.JSONDocument{Val: math.Inf(1)}); err == nil {
		t.Errorf("infinity is %s", got)
	}
	stored := []byte(`{"b":1,"a":2}`)
	if got, err := DocumentText(t.Context(), types.NewLazyJSONDocument(stored)); err != nil || !bytes.Equal(got, stored) {
		t.Errorf("a stored document is %s, %v", got, err)
	}
}

// A document that is printed and read again is the same.
func FuzzDocumentText(f *testing.F) {
	f.Add([]byte(`{"a": [1, 2.5, 1e300, "x\u0000", null, true, 9007199254740993], "": {}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		document, ok := JSON(text)
		if !ok {
			return
		}
		printed, err := DocumentText(t.Context(), document)
		if err != nil {
			t.Fatal(err)
		}
		again, ok := JSON(printed)
		if !ok || !reflect.DeepEqual(again.Val, document.Val) {
			t.Errorf("%s is printed as %s", text, printed)
		}
		if twice, err := DocumentText(t.Context(), again); err != nil || !bytes.Equal(twice, printed) {
			t.Errorf("%s is printed as %s, then as %s", text, printed, twice)
		}
	})
}
