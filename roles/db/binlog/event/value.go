package event

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/cockroachdb/apd/v3"
	"github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"

	"stack/roles/db/store"
)

// appendRow appends a row image: the bitmap of NULL columns, then the others' values.
func (t *Table) appendRow(ctx context.Context, dst []byte, row sql.Row) ([]byte, error) {
	if len(row) != len(t.columns) {
		return dst, fmt.Errorf("a row of %d values for %d columns", len(row), len(t.columns))
	}
	nulls := len(dst)
	for range t.bitmap {
		dst = append(dst, 0)
	}
	var err error
	for i := range t.columns {
		if row[i] == nil {
			dst[nulls+i/8] |= 1 << (i % 8)
			continue
		}
		if dst, err = t.columns[i].append(ctx, dst, row[i]); err != nil {
			return dst, fmt.Errorf("log column %s: %w", t.columns[i].name, err)
		}
	}
	return dst, nil
}

// append appends a value that is not NULL.
//
//	integers        little endian            FLOAT, DOUBLE  IEEE, little endian
//	DECIMAL         store.AppendDecimal      YEAR           year - 1900, one byte; 0 is 0
//	DATE            day | month<<5 | year<<9, 3 bytes little endian
//	DATETIME        5 bytes big endian, below; fraction
//	TIMESTAMP       seconds, u32 big endian; fraction
//	TIME            3 to 6 bytes big endian, below
//	BIT             big endian               ENUM, SET      little endian
//	CHAR, VARCHAR, BINARY, VARBINARY, BLOB, TEXT, JSON, VECTOR, spatial
//	                length, little endian; bytes
func (c *column) append(ctx context.Context, dst []byte, v any) ([]byte, error) {
	switch c.code {
	case typeTiny, typeShort, typeInt24, typeLong, typeLongLong:
		u, ok := integer(v)
		if !ok {
			return dst, c.mismatch(v)
		}
		return appendLittle(dst, u, c.width), nil
	case typeFloat:
		if f, ok := v.(float32); ok {
			return binary.LittleEndian.AppendUint32(dst, math.Float32bits(f)), nil
		}
	case typeDouble:
		if f, ok := v.(float64); ok {
			return binary.LittleEndian.AppendUint64(dst, math.Float64bits(f)), nil
		}
	case typeDecimal:
		if d, ok := v.(*apd.Decimal); ok {
			return store.AppendDecimal(dst, d, c.precision, c.scale)
		}
	case typeDate, typeDatetime, typeTimestamp:
		if t, ok := v.(time.Time); ok {
			return c.appendTime(dst, t)
		}
	case typeTime:
		if s, ok := v.(types.Timespan); ok {
			return appendSpan(dst, int64(s), c.digits), nil
		}
	case typeYear:
		if y, ok := v.(int16); ok {
			return append(dst, byte(max(y, 1900)-1900)), nil
		}
	case typeBit:
		if u, ok := v.(uint64); ok {
			return appendBig(dst, u, c.width), nil
		}
	case typeJSON:
		if j, ok := v.(sql.JSONWrapper); ok {
			return c.appendJSON(ctx, dst, j)
		}
	case typeGeometry:
		if g, ok := v.(types.GeometryValue); ok {
			return c.appendBytes(dst, g.Serialize())
		}
	default:
		return c.appendString(dst, v)
	}
	return dst, c.mismatch(v)
}

// appendString appends text, bytes, and the numbers of ENUM and SET.
func (c *column) appendString(dst []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case uint16:
		if c.real == typeEnum {
			return appendLittle(dst, uint64(v), c.width), nil
		}
	case uint64:
		if c.real == typeSet {
			return appendLittle(dst, v, c.width), nil
		}
	case string:
		if c.real != 0 {
			break
		}
		if c.encode == nil {
			if err := c.fits(len(v)); err != nil {
				return dst, err
			}
			return append(appendLittle(dst, uint64(len(v)), c.width), v...), nil
		}
		b, ok := c.encode([]byte(v))
		if !ok {
			return dst, fmt.Errorf("%q is not text of %s", v, c.typ)
		}
		return c.appendBytes(dst, b)
	case []byte:
		if c.real == 0 {
			return c.appendBytes(dst, v)
		}
	}
	return dst, c.mismatch(v)
}

func (c *column) appendBytes(dst, b []byte) ([]byte, error) {
	if err := c.fits(len(b)); err != nil {
		return dst, err
	}
	return append(appendLittle(dst, uint64(len(b)), c.width), b...), nil
}

func (c *column) fits(n int) error {
	if uint64(n) >= 1<<(8*c.width) {
		return fmt.Errorf("%d bytes for a value of %s", n, c.typ)
	}
	return nil
}

// appendTime appends a DATE, DATETIME or TIMESTAMP. The zero date is all zero, but for
// the sign bit of DATETIME.
func (c *column) appendTime(dst []byte, t time.Time) ([]byte, error) {
	t = t.UTC()
	zero := t.Equal(types.ZeroTime)
	year, month, day := t.Date()
	if zero {
		year, month, day = 0, 0, 0
	}
	micro := uint64(t.Nanosecond() / 1000)
	switch c.code {
	case typeDate:
		return appendLittle(dst, uint64(day|int(month)<<5|year<<9), 3), nil
	case typeTimestamp:
		seconds := t.Unix()
		if zero {
			seconds, micro = 0, 0
		}
		if seconds < 0 || seconds > math.MaxUint32 {
			return dst, fmt.Errorf("%s is out of range for %s", t, c.typ)
		}
		return appendFraction(appendBig(dst, uint64(seconds), 4), micro, c.digits), nil
	}
	hour, minute, second := t.Clock()
	packed := uint64((year*13+int(month))<<5|day)<<17 | uint64(hour<<12|minute<<6|second)
	return appendFraction(appendBig(dst, packed+1<<39, 5), micro, c.digits), nil
}

// appendFraction appends microseconds with as many digits as the column has, two to a
// byte.
func appendFraction(dst []byte, micro uint64, digits int) []byte {
	n := (digits + 1) / 2
	for range 3 - n {
		micro /= 100
	}
	if digits%2 == 1 {
		micro -= micro % 10
	}
	return appendBig(dst, micro, n)
}

// appendSpan appends a TIME: sign and hour<<12 | minute<<6 | second in 3 bytes, behind them
// the fraction, two digits to a byte, as one number, negative ones complemented.
func appendSpan(dst []byte, micros int64, digits int) []byte {
	abs := micros
	if abs < 0 {
		abs = -abs
	}
	seconds := abs / 1e6
	n := (digits + 1) / 2
	fraction := abs % 1e6
	for range 3 - n {
		fraction /= 100
	}
	packed := (seconds/3600<<12|seconds/60%60<<6|seconds%60)<<(8*n) | fraction
	if micros < 0 {
		packed = -packed
	}
	return appendBig(dst, uint64(packed+1<<(23+8*n)), 3+n)
}

// mismatch is the error for a value whose Go type is not the column's.
func (c *column) mismatch(v any) error {
	return fmt.Errorf("a %T cannot be logged as %s", v, c.typ)
}

func integer(v any) (uint64, bool) {
	switch v := v.(type) {
	case int8:
		return uint64(v), true
	case int16:
		return uint64(v), true
	case int32:
		return uint64(v), true
	case int64:
		return uint64(v), true
	case int:
		return uint64(v), true
	case uint8:
		return uint64(v), true
	case uint16:
		return uint64(v), true
	case uint32:
		return uint64(v), true
	case uint64:
		return v, true
	case uint:
		return uint64(v), true
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	}
	return 0, false
}
