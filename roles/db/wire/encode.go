package wire

import (
	"encoding/binary"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/cockroachdb/apd/v3"
	"github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// appendTextRow writes a row of the text protocol: each value a length-encoded string,
// or 0xfb for NULL.
func (r *Results) appendTextRow(b []byte, row sql.Row) ([]byte, error) {
	var err error
	for i := range r.columns {
		c, v := &r.columns[i], row[i]
		if v == nil {
			b = append(b, 0xfb)
			continue
		}
		// Numbers and temporal values are shorter than 251 bytes: their length is one
		// byte, filled in when it is known.
		at := len(b)
		b = append(b, 0)
		var ok bool
		if b, ok = c.appendShortText(b, v); ok {
			b[at] = byte(len(b) - at - 1)
			continue
		}
		if b, err = r.appendLong(b[:at], c, v); err != nil {
			return b, err
		}
	}
	return b, nil
}

// appendShortText writes values of fixed small size as text. It answers false for what
// is a string, and for a value that the column's own type has to convert.
func (c *column) appendShortText(b []byte, v any) ([]byte, bool) {
	switch c.typ {
	case typeTiny, typeShort, typeInt24, typeLong, typeLongLong, typeYear:
		switch v := v.(type) {
		case int64:
			return strconv.AppendInt(b, v, 10), true
		case int32:
			return strconv.AppendInt(b, int64(v), 10), true
		case uint64:
			return strconv.AppendUint(b, v, 10), true
		case uint32:
			return strconv.AppendUint(b, uint64(v), 10), true
		case int8:
			return strconv.AppendInt(b, int64(v), 10), true
		case uint8:
			return strconv.AppendUint(b, uint64(v), 10), true
		case int16:
			if c.typ == typeYear && v == 0 {
				return append(b, "0000"...), true
			}
			return strconv.AppendInt(b, int64(v), 10), true
		case uint16:
			return strconv.AppendUint(b, uint64(v), 10), true
		case int:
			return strconv.AppendInt(b, int64(v), 10), true
		case bool:
			if v {
				return append(b, '1'), true
			}
			return append(b, '0'), true
		}
	case typeDouble:
		switch v := v.(type) {
		case float64:
			return appendFloat(b, v, 64), true
		case float32:
			return appendFloat(b, float64(v), 64), true
		}
	case typeFloat:
		switch v := v.(type) {
		case float32:
			return appendFloat(b, float64(v), 32), true
		case float64:
			return appendFloat(b, v, 32), true
		}
	case typeDate, typeDatetime, typeTimestamp:
		if t, ok := v.(time.Time); ok {
			return c.appendTime(b, t)
		}
	case typeTime:
		if t, ok := v.(types.Timespan); ok {
			b = t.AppendBytes(b) // with six digits
			if c.decimals < 6 {
				if b = b[:len(b)-6+int(c.decimals)]; c.decimals == 0 {
					b = b[:len(b)-1]
				}
			}
			return b, true
		}
	case typeNewDecimal:
		if d, ok := v.(*apd.Decimal); ok {
			return appendDecimal(b, d, int(c.decimals))
		}
	}
	return b, false
}

// appendDecimal writes a decimal of up to 19 digits that has the column's scale; others
// are for the column's type to round.
func appendDecimal(b []byte, d *apd.Decimal, scale int) ([]byte, bool) {
	if d.Form != apd.Finite || int(d.Exponent) != -scale || !d.Coeff.IsUint64() {
		return b, false
	}
	n := d.Coeff.Uint64()
	if d.Negative && n != 0 {
		b = append(b, '-')
	}
	start := len(b)
	b = strconv.AppendUint(b, n, 10)
	if scale == 0 {
		return b, true
	}
	for len(b)-start <= scale {
		b = slices.Insert(b, start, '0')
	}
	return slices.Insert(b, len(b)-scale, '.'), true
}

// appendLong writes a length-encoded string: what text and binary rows share.
func (r *Results) appendLong(b []byte, c *column, v any) ([]byte, error) {
	switch c.typ {
	case typeVarString, typeString, typeBlob:
		if c.flags&(flagEnum|flagSet) != 0 {
			break
		}
		asIs := c.utf8 || c.flags&flagBinary != 0
		switch v := v.(type) {
		case string:
			if asIs || c.narrow && !beyondBMP(v) {
				return appendLenString(b, v), nil
			}
			if c.encoder != nil {
				return appendLenString(b, c.encoder.EncodeReplaceUnknown([]byte(v))), nil
			}
		case []byte:
			if asIs || c.narrow && !beyondBMP(v) {
				return appendLenString(b, v), nil
			}
			if c.encoder != nil {
				return appendLenString(b, c.encoder.EncodeReplaceUnknown(v)), nil
			}
		case float64:
			r.scratch = strconv.AppendFloat(r.scratch[:0], v, 'f', -1, 64)
			return appendLenString(b, r.scratch), nil
		case float32:
			r.scratch = strconv.AppendFloat(r.scratch[:0], float64(v), 'f', -1, 32)
			return appendLenString(b, r.scratch), nil
		}
	}
	text, err := r.convert(c, v)
	if err != nil {
		return b, err
	}
	if text == nil {
		return append(b, 0xfb), nil
	}
	return appendLenString(b, text), nil
}

// beyondBMP says whether UTF-8 text has a character of four bytes.
func beyondBMP[T string | []byte](s T) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0xf0 {
			return true
		}
	}
	return false
}

// convert lets the column's type write the value as text; nil for NULL. The answer is
// valid until the next call.
func (r *Results) convert(c *column, v any) ([]byte, error) {
	val, err := c.sqlType.SQL(r.ctx, r.scratch[:0], v)
	if err != nil {
		return nil, err
	}
	if val.IsNull() {
		return nil, nil
	}
	text := val.ToBytes()
	if text == nil {
		text = []byte{}
	}
	return text, nil
}

// appendBinaryRow writes a row of the binary protocol:
//
//	1 byte   0x00
//	bytes    bitmap of the NULLs, from bit 2 on
//	values   each by its column's type
func (r *Results) appendBinaryRow(b []byte, row sql.Row) ([]byte, error) {
	b = append(b, 0)
	nulls := len(b)
	for range (len(r.columns) + 9) / 8 {
		b = append(b, 0)
	}
	var err error
	for i := range r.columns {
		c, v := &r.columns[i], row[i]
		isNull := v == nil || c.typ == typeNull
		if !isNull {
			if b, isNull, err = r.appendBinary(b, c, v); err != nil {
				return b, err
			}
		}
		if isNull {
			b[nulls+(i+2)/8] |= 1 << ((i + 2) % 8)
		}
	}
	return b, nil
}

// appendBinary writes one value that is not nil; null says that the column's type made
// NULL of it.
func (r *Results) appendBinary(b []byte, c *column, v any) (_ []byte, null bool, err error) {
	switch c.typ {
	case typeTiny, typeShort, typeInt24, typeLong, typeLongLong, typeYear:
		n, ok := integer(v)
		if !ok {
			text, err := r.convert(c, v)
			if err != nil || text == nil {
				return b, text == nil, err
			}
			n = parseInteger(text)
		}
		return appendInteger(b, c.typ, n), false, nil
	case typeFloat, typeDouble:
		f, ok := float(v)
		if !ok {
			text, err := r.convert(c, v)
			if err != nil || text == nil {
				return b, text == nil, err
			}
			f, _ = strconv.ParseFloat(string(text), 64)
		}
		if c.typ == typeFloat {
			return appendU32(b, math.Float32bits(float32(f))), false, nil
		}
		return appendU64(b, math.Float64bits(f)), false, nil
	case typeDate, typeDatetime, typeTimestamp:
		t, ok := v.(time.Time)
		if ok {
			if b, ok = c.appendBinaryTime(b, t); ok {
				return b, false, nil
			}
		}
		text, err := r.convert(c, v)
		if err != nil || text == nil {
			return b, text == nil, err
		}
		return appendBinaryDatetimeText(b, text), false, nil
	case typeTime:
		t, ok := v.(types.Timespan)
		if !ok {
			text, err := r.convert(c, v)
			if err != nil || text == nil {
				return b, text == nil, err
			}
			if t, err = types.Time.ConvertToTimespan(string(text)); err != nil {
				return b, false, err
			}
		}
		return appendBinaryDuration(b, int64(t)), false, nil
	}
	at := len(b)
	if c.typ == typeNewDecimal {
		var ok bool
		if b, ok = c.appendShortText(append(b, 0), v); ok {
			b[at] = byte(len(b) - at - 1)
			return b, false, nil
		}
		b = b[:at]
	}
	b, err = r.appendLong(b, c, v)
	if err == nil && len(b) == at+1 && b[at] == 0xfb {
		return b[:at], true, nil
	}
	return b, false, err
}

func integer(v any) (uint64, bool) {
	switch v := v.(type) {
	case int64:
		return uint64(v), true
	case int32:
		return uint64(v), true
	case uint64:
		return v, true
	case uint32:
		return uint64(v), true
	case int8:
		return uint64(v), true
	case uint8:
		return uint64(v), true
	case int16:
		return uint64(v), true
	case uint16:
		return uint64(v), true
	case int:
		return uint64(v), true
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	}
	return 0, false
}

func float(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case float32:
		return float64(v), true
	}
	return 0, false
}

// parseInteger reads the text of an integer of 64 bits, signed or not.
func parseInteger(text []byte) uint64 {
	if len(text) > 0 && text[0] == '-' {
		n, _ := strconv.ParseInt(string(text), 10, 64)
		return uint64(n)
	}
	n, _ := strconv.ParseUint(string(text), 10, 64)
	return n
}

func appendInteger(b []byte, typ byte, n uint64) []byte {
	switch typ {
	case typeTiny:
		return append(b, byte(n))
	case typeShort, typeYear:
		return binary.LittleEndian.AppendUint16(b, uint16(n))
	case typeInt24, typeLong:
		return binary.LittleEndian.AppendUint32(b, uint32(n))
	}
	return binary.LittleEndian.AppendUint64(b, n)
}
