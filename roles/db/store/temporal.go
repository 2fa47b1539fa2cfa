package store

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/dolthub/go-mysql-server/sql/types"
)

// Temporal values in MySQL's sortable packed form:
//
//	DATE      3 bytes  year<<9 | month<<5 | day
//	DATETIME, 8 bytes  (year*13+month)<<46 | day<<41 | hour<<36 | minute<<30 | second<<24 | microsecond
//	TIMESTAMP
//	TIME      8 bytes  microseconds, sign bit flipped
//
// The zero date '0000-00-00' is all zero bits, below every other. Times are kept in
// UTC; what is finer than a microsecond is not kept (MySQL has none).
func (c *codec) appendTemporal(dst []byte, v any) ([]byte, error) {
	if c.kind == kindTime {
		span, ok := v.(types.Timespan)
		if !ok {
			return nil, c.mismatch(v)
		}
		return binary.BigEndian.AppendUint64(dst, uint64(span)^1<<63), nil
	}
	t, ok := v.(time.Time)
	if !ok {
		return nil, c.mismatch(v)
	}
	t = t.UTC()
	year, month, day := t.Date()
	if t.Equal(types.ZeroTime) {
		year, month, day = 0, 0, 0
	} else if year < 0 || year > 9999 {
		return nil, fmt.Errorf("year %d is out of range for %s (0 to 9999)", year, c.typ)
	}
	if c.kind == kindDate {
		packed := uint32(year)<<9 | uint32(month)<<5 | uint32(day)
		return append(dst, byte(packed>>16), byte(packed>>8), byte(packed)), nil
	}
	hour, minute, second := t.Clock()
	packed := uint64(year*13+int(month))<<46 | uint64(day)<<41 | uint64(hour)<<36 |
		uint64(minute)<<30 | uint64(second)<<24 | uint64(t.Nanosecond()/1000)
	return binary.BigEndian.AppendUint64(dst, packed), nil
}

func (c *codec) temporal(b []byte) (any, error) {
	switch c.kind {
	case kindTime:
		return types.Timespan(binary.BigEndian.Uint64(b) ^ 1<<63), nil
	case kindDate:
		p := uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2])
		if p == 0 {
			return types.ZeroTime, nil
		}
		return civil(int(p>>9), int(p>>5&15), int(p&31), 0, 0, 0, 0)
	}
	p := binary.BigEndian.Uint64(b)
	if p == 0 {
		return types.ZeroTime, nil
	}
	months := int(p >> 46)
	return civil(months/13, months%13, int(p>>41&31), int(p>>36&31), int(p>>30&63), int(p>>24&63), int(p&(1<<24-1)))
}

func civil(year, month, day, hour, minute, second, micro int) (any, error) {
	t := time.Date(year, time.Month(month), day, hour, minute, second, micro*1000, time.UTC)
	if year > 9999 || month < 1 || month > 12 || day < 1 || t.Day() != day || hour > 23 || minute > 59 || second > 59 || micro > 999999 {
		return nil, fmt.Errorf("date and time %d-%d-%d %d:%d:%d.%d: %w", year, month, day, hour, minute, second, micro, ErrCorrupt)
	}
	return t, nil
}
