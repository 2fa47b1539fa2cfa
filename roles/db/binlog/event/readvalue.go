package event

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/sqltypes"

	"stack/roles/db/fit"
	"stack/roles/db/store"
)

// read reads a value that is not NULL off b, as the type that the store takes. The
// layouts are those of append.
func (c *column) read(ctx context.Context, b []byte) (v any, rest []byte, err error) {
	n := c.size(b)
	if n < 0 || n > len(b) {
		return nil, nil, fmt.Errorf("%d bytes of a value of %s: %w", len(b), c.typ, ErrCorrupt)
	}
	v, err = c.value(ctx, b[:n])
	return v, b[n:], err
}

// size is the length of the value that b begins with; -1 where b is too short to say.
func (c *column) size(b []byte) int {
	switch c.code {
	case typeTiny, typeShort, typeInt24, typeLong, typeLongLong, typeBit:
		return c.width
	case typeFloat:
		return 4
	case typeDouble:
		return 8
	case typeDecimal:
		return store.DecimalWidth(c.precision, c.scale)
	case typeDate:
		return 3
	case typeYear:
		return 1
	case typeTimestamp:
		return 4 + (c.digits+1)/2
	case typeDatetime:
		return 5 + (c.digits+1)/2
	case typeTime:
		return 3 + (c.digits+1)/2
	}
	if c.real != 0 {
		return c.width
	}
	if len(b) < c.width {
		return -1
	}
	return c.width + int(little(b[:c.width]))
}

func (c *column) value(ctx context.Context, b []byte) (any, error) {
	switch c.code {
	case typeTiny, typeShort, typeInt24, typeLong, typeLongLong:
		return c.number(little(b)), nil
	case typeFloat:
		return math.Float32frombits(binary.LittleEndian.Uint32(b)), nil
	case typeDouble:
		return math.Float64frombits(binary.LittleEndian.Uint64(b)), nil
	case typeDecimal:
		return store.ReadDecimal(b, c.precision, c.scale)
	case typeDate:
		d := little(b)
		if d == 0 {
			return types.ZeroTime, nil
		}
		return civil(int(d>>9), int(d>>5&15), int(d&31), 0, 0)
	case typeDatetime:
		return c.datetime(big(b[:5]), c.fraction(b[5:]))
	case typeTimestamp:
		seconds, micro := big(b[:4]), c.fraction(b[4:])
		if seconds == 0 && micro == 0 {
			return types.ZeroTime, nil
		}
		return time.Unix(int64(seconds), micro*1000).UTC(), nil
	case typeTime:
		return c.span(b)
	case typeYear:
		if b[0] == 0 {
			return int16(0), nil
		}
		return int16(b[0]) + 1900, nil
	case typeBit:
		return big(b), nil
	}
	switch {
	case c.real == typeEnum:
		return uint16(little(b)), nil
	case c.real == typeSet:
		return little(b), nil
	}
	return c.text(ctx, b[c.width:])
}

// number is an integer as its column's type has it.
func (c *column) number(u uint64) any {
	shift := 64 - 8*c.width
	i := int64(u<<shift) >> shift
	switch c.typ.Type() {
	case sqltypes.Int8:
		return int8(i)
	case sqltypes.Int16:
		return int16(i)
	case sqltypes.Int24, sqltypes.Int32:
		return int32(i)
	case sqltypes.Int64:
		return i
	case sqltypes.Uint8:
		return uint8(u)
	case sqltypes.Uint16:
		return uint16(u)
	case sqltypes.Uint24, sqltypes.Uint32:
		return uint32(u)
	}
	return u
}

// fraction is microseconds from as many digits as the column has, two to a byte.
func (c *column) fraction(b []byte) int64 {
	micro := int64(big(b))
	for range 3 - len(b) {
		micro *= 100
	}
	return micro
}

func (c *column) datetime(packed uint64, micro int64) (any, error) {
	packed -= 1 << 39
	if packed == 0 && micro == 0 {
		return types.ZeroTime, nil
	}
	if packed >= 1<<39 {
		return nil, fmt.Errorf("a value of %s before the year 0: %w", c.typ, ErrCorrupt)
	}
	months, clock := int(packed>>22), int(packed&(1<<17-1))
	return civil(months/13, months%13, int(packed>>17&31), clock, micro)
}

// civil is a date, and a time of hour<<12 | minute<<6 | second.
func civil(year, month, day, clock int, micro int64) (any, error) {
	hour, minute, second := clock>>12, clock>>6&63, clock&63
	t := time.Date(year, time.Month(month), day, hour, minute, second, int(micro)*1000, time.UTC)
	if year > 9999 || month < 1 || month > 12 || day < 1 || t.Day() != day || hour > 23 || minute > 59 || second > 59 || micro > 999999 {
		return nil, fmt.Errorf("%04d-%02d-%02d %02d:%02d:%02d.%06d cannot be stored", year, month, day, hour, minute, second, micro)
	}
	return t, nil
}

// span reads a TIME. The fraction is part of one number with the whole: negative ones
// are complemented together.
func (c *column) span(b []byte) (any, error) {
	frac := len(b) - 3
	packed := int64(big(b)) - 1<<(8*len(b)-1)
	negative := packed < 0
	if negative {
		packed = -packed
	}
	micro, clock := packed&(1<<(8*frac)-1), packed>>(8*frac)
	for range 3 - frac {
		micro *= 100
	}
	minute, second := clock>>6&63, clock&63
	if minute > 59 || second > 59 || micro > 999999 || clock>>12 > 838 {
		return nil, fmt.Errorf("TIME % x: %w", b, ErrCorrupt)
	}
	total := (clock>>12*3600+minute*60+second)*1e6 + micro
	if negative {
		total = -total
	}
	return types.Timespan(total), nil
}

// text reads what stands behind a length.
func (c *column) text(ctx context.Context, b []byte) (any, error) {
	switch t := c.typ.(type) {
	case types.StringType:
		if types.IsBinaryType(t) {
			out := append(make([]byte, 0, len(b)), b...)
			if t.Type() == sqltypes.Binary { // zeros at its end are not logged by others
				for int64(len(out)) < t.MaxByteLength() {
					out = append(out, 0)
				}
			}
			return out, nil
		}
		if c.encode == nil {
			return string(b), nil
		}
		s, ok := t.Collation().CharacterSet().Encoder().Decode(b)
		if !ok {
			return nil, fmt.Errorf("% x is not text of %s", b[:min(len(b), 40)], t)
		}
		return string(s), nil
	case types.JsonType:
		if c.code == typeBlob {
			if document, ok := fit.JSON(b); ok { // with all digits of its integers
				return document, nil
			}
			v, _, err := c.typ.Convert(ctx, string(b))
			return v, err
		}
		return readJSON(b)
	case types.VectorType:
		return append([]byte(nil), b...), nil
	case sql.SpatialColumnType:
		if err := checkGeometry(b); err != nil {
			return nil, err
		}
		v, _, err := c.typ.Convert(ctx, append([]byte(nil), b...))
		return v, err
	}
	return nil, fmt.Errorf("a value of %s: %w", c.typ, ErrCorrupt)
}

// checkGeometry walks a geometry (SRID u32, WKB) before the planner's parser, which
// trusts the counts in it.
func checkGeometry(b []byte) error {
	bad := fmt.Errorf("a geometry of %d bytes: %w", len(b), ErrCorrupt)
	if len(b) < 4 {
		return bad
	}
	rest, ok := skipWKB(b[4:], 0)
	if !ok || len(rest) > 0 {
		return bad
	}
	return nil
}

const (
	wkbHeader = 5  // byte order, kind u32
	wkbPoint  = 16 // two doubles
	wkbDepth  = 32 // of collections in collections
)

// skipWKB skips one geometry: byte order, kind, then a point; points; rings of points; or
// geometries.
func skipWKB(b []byte, depth int) (rest []byte, ok bool) {
	if len(b) < wkbHeader || b[0] > 1 || depth > wkbDepth {
		return nil, false
	}
	var order binary.ByteOrder = binary.BigEndian
	if b[0] == 1 {
		order = binary.LittleEndian
	}
	kind := order.Uint32(b[1:])
	b = b[wkbHeader:]
	if kind == 1 {
		return after(b, wkbPoint)
	}
	if kind > 7 || len(b) < 4 {
		return nil, false
	}
	n := order.Uint32(b)
	b = b[4:]
	if kind == 2 {
		return after(b, uint64(n)*wkbPoint)
	}
	for ok = true; n > 0 && ok; n-- {
		if kind != 3 {
			b, ok = skipWKB(b, depth+1)
			continue
		}
		if len(b) < 4 {
			return nil, false
		}
		b, ok = after(b[4:], uint64(order.Uint32(b))*wkbPoint)
	}
	return b, ok
}

func after(b []byte, n uint64) ([]byte, bool) {
	if n > uint64(len(b)) {
		return nil, false
	}
	return b[n:], true
}

func big(b []byte) (v uint64) {
	for _, x := range b {
		v = v<<8 | uint64(x)
	}
	return v
}
