package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/cockroachdb/apd/v3"
	"github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/sqltypes"

	"stack/roles/db/fit"
)

// ErrCorrupt is wrapped by every error about stored bytes that do not decode.
var ErrCorrupt = errors.New("stored bytes are damaged")

// appendFixed appends the order-preserving bytes of a fixed kind: bytes.Compare of
// two results is Type.Compare of the values.
//
//	integers   big endian, sign bit flipped where signed
//	floats     IEEE bits big endian; negative: all bits flipped, else the sign bit
//	DECIMAL    decimal.go        temporal    temporal.go
//	YEAR, ENUM u16, BIT, SET u64, big endian
func (c *codec) appendFixed(dst []byte, v any) ([]byte, error) {
	switch c.kind {
	case kindInt:
		i, ok := asInt64(v)
		if !ok {
			return nil, c.mismatch(v)
		}
		if c.width < 8 && (i >= 1<<(8*c.width-1) || i < -1<<(8*c.width-1)) {
			return nil, fmt.Errorf("%d is out of range for %s", i, c.typ)
		}
		return appendUint(dst, uint64(i)^(1<<(8*c.width-1)), c.width), nil
	case kindUint:
		u, ok := asUint64(v)
		if !ok {
			return nil, c.mismatch(v)
		}
		if c.width < 8 && u >= 1<<(8*c.width) {
			return nil, fmt.Errorf("%d is out of range for %s", u, c.typ)
		}
		return appendUint(dst, u, c.width), nil
	case kindFloat32:
		f, ok := v.(float32)
		if !ok || f != f {
			return nil, c.mismatch(v)
		}
		return binary.BigEndian.AppendUint32(dst, flip32(math.Float32bits(f))), nil
	case kindFloat64:
		f, ok := v.(float64)
		if !ok || f != f {
			return nil, c.mismatch(v)
		}
		return binary.BigEndian.AppendUint64(dst, flip64(math.Float64bits(f))), nil
	case kindDecimal:
		d, ok := v.(*apd.Decimal)
		if !ok {
			return nil, c.mismatch(v)
		}
		return AppendDecimal(dst, d, c.precision, c.scale)
	case kindDate, kindDatetime, kindTime:
		return c.appendTemporal(dst, v)
	case kindYear:
		y, ok := v.(int16)
		if !ok || y < 0 {
			return nil, c.mismatch(v)
		}
		return binary.BigEndian.AppendUint16(dst, uint16(y)), nil
	case kindEnum:
		e, ok := v.(uint16)
		if !ok {
			return nil, c.mismatch(v)
		}
		return binary.BigEndian.AppendUint16(dst, e), nil
	case kindBit, kindSet:
		u, ok := v.(uint64)
		if !ok {
			return nil, c.mismatch(v)
		}
		return binary.BigEndian.AppendUint64(dst, u), nil
	}
	return nil, c.mismatch(v)
}

// fixed decodes what appendFixed wrote; b has exactly c.width bytes.
func (c *codec) fixed(b []byte) (any, error) {
	if len(b) != c.width {
		return nil, fmt.Errorf("%s of %d bytes: %w", c.typ, len(b), ErrCorrupt)
	}
	switch c.kind {
	case kindInt:
		shift := 64 - 8*c.width
		i := int64((readUint(b)^(1<<(8*c.width-1)))<<shift) >> shift
		switch c.typ.Type() {
		case sqltypes.Int8:
			return int8(i), nil
		case sqltypes.Int16:
			return int16(i), nil
		case sqltypes.Int24, sqltypes.Int32:
			return int32(i), nil
		}
		return i, nil
	case kindUint:
		u := readUint(b)
		switch c.typ.Type() {
		case sqltypes.Uint8:
			return uint8(u), nil
		case sqltypes.Uint16:
			return uint16(u), nil
		case sqltypes.Uint24, sqltypes.Uint32:
			return uint32(u), nil
		}
		return u, nil
	case kindFloat32:
		return math.Float32frombits(unflip32(binary.BigEndian.Uint32(b))), nil
	case kindFloat64:
		return math.Float64frombits(unflip64(binary.BigEndian.Uint64(b))), nil
	case kindDecimal:
		return ReadDecimal(b, c.precision, c.scale)
	case kindDate, kindDatetime, kindTime:
		return c.temporal(b)
	case kindYear:
		y := binary.BigEndian.Uint16(b)
		if y > math.MaxInt16 {
			return nil, fmt.Errorf("year %d: %w", y, ErrCorrupt)
		}
		return int16(y), nil
	case kindEnum:
		return binary.BigEndian.Uint16(b), nil
	}
	return binary.BigEndian.Uint64(b), nil
}

// castagnoli guards geometry values: go-mysql-server's parser trusts the counts in
// them and must see nothing that it has not written.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// variable returns the bytes under which a value of a variable kind is stored in rows.
func (c *codec) variable(ctx context.Context, v any) ([]byte, error) {
	switch c.kind {
	case kindString:
		if s, ok := v.(string); ok {
			return []byte(s), nil
		}
	case kindBytes, kindVector:
		if b, ok := v.([]byte); ok {
			return b, nil
		}
	case kindJSON:
		if j, ok := v.(sql.JSONWrapper); ok {
			return fit.DocumentText(ctx, j)
		}
	case kindGeometry:
		if g, ok := v.(types.GeometryValue); ok {
			b := g.Serialize()
			return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli)), nil
		}
	}
	return nil, c.mismatch(v)
}

// value decodes the row bytes of a variable kind. b is copied where it is kept.
func (c *codec) value(ctx context.Context, b []byte) (any, error) {
	switch c.kind {
	case kindString:
		return string(b), nil
	case kindJSON:
		return types.NewLazyJSONDocument(append([]byte(nil), b...)), nil
	case kindGeometry:
		end := len(b) - 4
		if end < 0 || binary.BigEndian.Uint32(b[end:]) != crc32.Checksum(b[:end], castagnoli) {
			return nil, fmt.Errorf("geometry value: checksum: %w", ErrCorrupt)
		}
		v, _, err := c.typ.Convert(ctx, append([]byte(nil), b[:end]...))
		if err != nil {
			return nil, fmt.Errorf("geometry value: %w: %w", ErrCorrupt, err)
		}
		return v, nil
	}
	return append(make([]byte, 0, len(b)), b...), nil
}

func appendUint(dst []byte, u uint64, width int) []byte {
	for shift := 8 * (width - 1); shift >= 0; shift -= 8 {
		dst = append(dst, byte(u>>shift))
	}
	return dst
}

func readUint(b []byte) (u uint64) {
	for _, x := range b {
		u = u<<8 | uint64(x)
	}
	return u
}

func flip32(bits uint32) uint32 {
	if bits>>31 == 1 {
		return ^bits
	}
	return bits | 1<<31
}

func unflip32(bits uint32) uint32 {
	if bits>>31 == 1 {
		return bits &^ (1 << 31)
	}
	return ^bits
}

func flip64(bits uint64) uint64 {
	if bits>>63 == 1 {
		return ^bits
	}
	return bits | 1<<63
}

func unflip64(bits uint64) uint64 {
	if bits>>63 == 1 {
		return bits &^ (1 << 63)
	}
	return ^bits
}

func asInt64(v any) (int64, bool) {
	switch v := v.(type) {
	case int8:
		return int64(v), true
	case int16:
		return int64(v), true
	case int32:
		return int64(v), true
	case int64:
		return v, true
	case int:
		return int64(v), true
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	}
	return 0, false
}

func asUint64(v any) (uint64, bool) {
	switch v := v.(type) {
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
	}
	return 0, false
}
