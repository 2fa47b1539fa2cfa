package event

import (
	"encoding/binary"
	"fmt"

	"stack/roles/db/store"
)

// A document of MySQL may have values that JSON has no type for: one byte of a column's type, their length as that of a text, and
// their bytes:
//
//	DECIMAL                    precision, scale, store.AppendDecimal
//	DATE, DATETIME, TIMESTAMP  i64 little endian: (year*13+month)<<46 | day<<41 | hour<<36 | minute<<30 | second<<24 | microseconds
//	TIME                       hour<<36 and on, negative as a whole
const (
	opaqueTimestamp = 7
	opaqueDate      = 10
	opaqueTime      = 11
	opaqueDatetime  = 12
	opaqueDecimal   = 246
)

// maxPrecision is MySQL's of DECIMAL.
const maxPrecision = 65

// readOpaque reads such a value as what MySQL shows it as: a number, or a text.
func readOpaque(b []byte) (any, error) {
	if len(b) == 0 {
		return nil, badJSON("a value is cut")
	}
	kind, b := b[0], b[1:]
	n, used := binary.Uvarint(b)
	if used <= 0 || used > 5 || n > uint64(len(b)-used) {
		return nil, badJSON("a value is cut")
	}
	b = b[used:][:n]
	switch kind {
	case opaqueDecimal:
		if len(b) < 2 || b[0] > maxPrecision || b[1] > b[0] {
			return nil, badJSON("a DECIMAL")
		}
		return store.ReadDecimal(b[2:], b[0], b[1])
	case opaqueDate, opaqueDatetime, opaqueTimestamp, opaqueTime:
		if len(b) != 8 {
			return nil, badJSON("a time")
		}
		return opaqueClock(kind, int64(little(b)))
	}
	return nil, fmt.Errorf("JSON: a value of the column type %d is not read: make it a text or a number in the document, where it comes from", kind)
}

// opaqueClock is a date, a time, or both, as a text.
func opaqueClock(kind byte, packed int64) (any, error) {
	sign, hours := "", int64(23)
	if kind == opaqueTime {
		hours = 838
		if packed < 0 {
			sign, packed = "-", -packed
		}
	}
	micro, second, minute := packed&(1<<24-1), packed>>24&63, packed>>30&63
	hour, day, months := packed>>36&31, packed>>41&31, packed>>46
	if kind == opaqueTime {
		hour, day, months = packed>>36, 0, 0
	}
	if packed < 0 || months/13 > 9999 || hour > hours || minute > 59 || second > 59 || micro > 999999 {
		return nil, badJSON("a time")
	}
	date := fmt.Sprintf("%04d-%02d-%02d", months/13, months%13, day)
	clock := fmt.Sprintf("%s%02d:%02d:%02d.%06d", sign, hour, minute, second, micro)
	switch kind {
	case opaqueTime:
		return clock, nil
	case opaqueDate:
		return date, nil
	}
	return date + " " + clock, nil
}
