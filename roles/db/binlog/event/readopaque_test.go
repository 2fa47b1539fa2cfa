package event

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/apd/v3"
	"github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"

	"stack/roles/db/fit"
	"stack/roles/db/store"
)

// opaqueCase is a value that JSON has no type for.
type opaqueCase struct {
	kind  byte
	bytes []byte
	want  string // in the text of the document
	other string // as go-mysql shows it
}

var opaqueCases = []opaqueCase{
	{10, packed(2015, 1, 15, 0, 0, 0, 0), `"2015-01-15"`, "2015-01-15 00:00:00.000000"},
	{12, packed(2015, 1, 15, 23, 24, 25, 0), `"2015-01-15 23:24:25.000000"`, "2015-01-15 23:24:25.000000"},
	{12, packed(9999, 12, 31, 23, 59, 59, 999999), `"9999-12-31 23:59:59.999999"`, "9999-12-31 23:59:59.999999"},
	{7, packed(2026, 2, 3, 4, 5, 6, 7), `"2026-02-03 04:05:06.000007"`, "2026-02-03 04:05:06.000007"},
	{12, packed(2026, 0, 0, 0, 0, 0, 1), `"2026-00-00 00:00:00.000001"`, "2026-00-00 00:00:00.000001"},
	{10, packed(0, 0, 0, 0, 0, 0, 0), `"0000-00-00"`, "0000-00-00 00:00:00"},
	{11, packed(0, 0, 0, 23, 24, 25, 12), `"23:24:25.000012"`, "23:24:25.000012"},
	{11, negated(packed(0, 0, 0, 838, 59, 59, 0)), `"-838:59:59.000000"`, "-838:59:59.000000"},
	{246, decimalBytes("3.14", 3, 2), `3.14`, "3.14"},
	{246, decimalBytes("-12345.5", 10, 3), `-12345.5`, "-12345.500"},
	{246, decimalBytes("18446744073709551615", 20, 0), `18446744073709551615`, "18446744073709551615"},
	{246, decimalBytes("0", 1, 0), `0`, "0"},
}

// packed is a time as MySQL packs it (my_time.cc), in multiplications.
func packed(year, month, day, hour, minute, second, micro uint64) []byte {
	n := ((((year*13+month)*32+day)*32+hour)*64+minute)*64 + second
	return binary.LittleEndian.AppendUint64(nil, n*0x1000000+micro)
}

func negated(b []byte) []byte {
	return binary.LittleEndian.AppendUint64(nil, -binary.LittleEndian.Uint64(b))
}

func decimalBytes(text string, precision, scale uint8) []byte {
	d, _, err := apd.NewFromString(text)
	if err != nil {
		panic(err)
	}
	b, err := store.AppendDecimal([]byte{precision, scale}, d, precision, scale)
	if err != nil {
		panic(err)
	}
	return b
}

func (c *opaqueCase) document() []byte {
	return append([]byte{jsonOpaque, c.kind, byte(len(c.bytes))}, c.bytes...)
}

// Values of MySQL's documents that JSON has no type for are what MySQL shows them as, alone and in containers; another reader
// finds the same in them.
func TestOpaqueValues(t *testing.T) {
	ctx := context.Background()
	of := table(t, 1, columnType(t, types.Int64), columnType(t, types.JSON))
	for _, c := range opaqueCases {
		document := c.document()
		in := append([]byte{jsonSmallArray, 1, 0, byte(7 + len(document) - 1), 0, jsonOpaque, 7, 0}, document[1:]...)
		for b, want := range map[string]string{string(document): c.want, string(in): "[" + c.want + "]"} {
			v, err := readJSON([]byte(b))
			if err != nil {
				t.Errorf("% x: %v", b, err)
				continue
			}
			if text, err := fit.DocumentText(ctx, v.(sql.JSONWrapper)); err != nil || string(text) != want {
				t.Errorf("% x is %s, %v, want %s", b, text, err, want)
			}
		}
		// In the place of a text of the same length.
		place := strings.Repeat("x", len(c.bytes)+1)
		events := insert(t, of, sql.Row{int64(1), types.NewLazyJSONDocument([]byte(`"` + place + `"`))})
		events = bytes.Replace(events, append([]byte{jsonString, byte(len(place))}, place...), document, 1)
		if got := strings.Trim(fmt.Sprintf("%s", rowsOf(t, events)[0][1]), `"`); got != c.other {
			t.Errorf("another reader finds %s in % x, want %s", got, document, c.other)
		}
	}
	for _, bad := range [][]byte{
		{}, {12}, {12, 9, 1}, {12, 7, 1, 1, 1, 1, 1, 1, 1}, {246, 0}, {246, 2, 66, 0}, {246, 3, 2, 3, 0x80},
		append([]byte{12, 8}, packed(10000, 1, 1, 0, 0, 0, 0)...), append([]byte{12, 8}, packed(2000, 1, 1, 24, 0, 0, 0)...),
		append([]byte{12, 8}, negated(packed(2000, 1, 1, 0, 0, 0, 0))...), append([]byte{11, 8}, packed(0, 0, 0, 1024, 0, 0, 0)...),
		append([]byte{11, 8}, packed(0, 0, 0, 1, 60, 0, 0)...),
	} {
		if v, err := readJSON(append([]byte{jsonOpaque}, bad...)); !errors.Is(err, ErrCorrupt) && !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("% x is %v, %v", bad, v, err)
		}
	}
	if _, err := readJSON([]byte{jsonOpaque, 252, 1, 'x'}); err == nil || !strings.Contains(err.Error(), "column type 252") {
		t.Errorf("a BLOB: %v", err)
	}
}
