package store

import (
	"fmt"

	"github.com/cockroachdb/apd/v3"
	"github.com/dolthub/go-mysql-server/sql"
)

// Bound is one end of a range of an index: values for its first columns. No values
// means unbounded. A nil value is NULL, which sorts below every other.
type Bound struct {
	Values    []any
	Inclusive bool
}

// Range is the keys of the index between two bounds, by value. Values need not fit
// the column's type exactly: 1.5 against an INT or 1.234 against DECIMAL(5,2) end
// the range between two keys, and what is beyond the type's range is beyond every key.
//
// It returns an empty range (Start ≥ End) where no key can match. An error means
// that a value cannot be compared with the column at all.
func (ix *Index) Range(lower, upper Bound) (KeyRange, error) {
	span := IndexSpan(SpaceRows, ix.Desc.ID)
	if n := max(len(lower.Values), len(upper.Values)); n > len(ix.columns) {
		return KeyRange{}, fmt.Errorf("index %s has %d columns, the range names %d", ix.Desc.Name, len(ix.columns), n)
	} else if n > 0 && ix.columns[n-1].desc {
		lower, upper = upper, lower
	}
	if len(lower.Values) > 0 {
		key, past, err := ix.appendBound(lower, false)
		if err != nil {
			return KeyRange{}, err
		}
		if past {
			if key = PrefixEnd(key); key == nil {
				key = span.End
			}
		}
		span.Start = key
	}
	if len(upper.Values) > 0 {
		key, past, err := ix.appendBound(upper, true)
		if err != nil {
			return KeyRange{}, err
		}
		if past {
			key = PrefixEnd(key)
		}
		if key != nil {
			span.End = key
		}
	}
	return span, nil
}

// appendBound encodes a bound. past says that the keys which begin with key lie
// below the cut: they are outside of a lower bound, inside of an upper one.
func (ix *Index) appendBound(b Bound, isUpper bool) (key []byte, past bool, err error) {
	key = AppendIndexPrefix(nil, SpaceRows, ix.Desc.ID)
	for i, v := range b.Values {
		c := &ix.columns[i]
		fitted, cut := c.codec.fit(v)
		next, err := c.codec.appendKey(key, fitted, c.prefix, c.desc)
		if err != nil {
			return nil, false, fmt.Errorf("range of index %s: %w", ix.Desc.Name, err)
		}
		key = next
		if cut != 0 {
			// The value lies between two keys: above the fitted one (cut > 0) or below it.
			return key, (cut > 0) != c.desc, nil
		}
		if c.cuts(fitted) {
			// Only the prefix is in the key: everything that shares it may match.
			return key, isUpper, nil
		}
	}
	return key, b.Inclusive == isUpper, nil
}

// cuts reports whether the column's prefix length drops a part of v.
func (c *indexColumn) cuts(v any) bool {
	if c.prefix == 0 {
		return false
	}
	switch v := v.(type) {
	case string:
		return len([]rune(v)) >= int(c.prefix)
	case []byte:
		return len(v) >= int(c.prefix)
	}
	return false
}

// fit returns the value of the column's type that is nearest to v and whether v is
// above it (1), below it (-1) or equal to it (0).
func (c *codec) fit(v any) (fitted any, cut int) {
	switch c.kind {
	case kindInt, kindUint, kindDecimal, kindYear, kindBit:
	case kindString:
		if b, ok := v.([]byte); ok {
			return string(b), 0
		}
		return v, 0
	case kindBytes:
		if s, ok := v.(string); ok {
			return []byte(s), 0
		}
		return v, 0
	default:
		return v, 0
	}
	if whole, ok := c.whole(v); ok {
		return whole, 0
	}
	d, ok := asDecimal(v)
	if !ok {
		return v, 0
	}
	scale := int32(0)
	if c.kind == kindDecimal {
		scale = int32(c.scale)
	}
	// Floor at the column's scale, then clamp to the type.
	floor := new(apd.Decimal)
	ctx := apd.Context{Precision: 200, MaxExponent: apd.MaxExponent, MinExponent: apd.MinExponent, Rounding: apd.RoundFloor}
	if _, err := ctx.Quantize(floor, d, -scale); err != nil || floor.Form != apd.Finite {
		return c.extreme(d.Negative), extremeCut(d.Negative)
	}
	low, high := c.limits()
	switch {
	case floor.Cmp(low) < 0:
		return c.extreme(true), -1
	case floor.Cmp(high) > 0:
		return c.extreme(false), 1
	}
	return c.fromDecimal(floor), d.Cmp(floor)
}

// whole is an int64 or uint64 that the column can have, as appendFixed takes it: by far
// the most bounds are one, and decimals are slow.
func (c *codec) whole(v any) (any, bool) {
	switch i := v.(type) {
	case int64:
		switch c.kind {
		case kindInt:
			return v, c.width == 8 || i < 1<<(8*c.width-1) && i >= -1<<(8*c.width-1)
		case kindUint:
			return uint64(i), i >= 0 && (c.width == 8 || i < 1<<(8*c.width))
		}
	case uint64:
		return v, c.kind == kindUint && (c.width == 8 || i < 1<<(8*c.width))
	}
	return nil, false
}

func extremeCut(negative bool) int {
	if negative {
		return -1
	}
	return 1
}

// limits are the smallest and largest value of an exact numeric type.
func (c *codec) limits() (low, high *apd.Decimal) {
	low, high = new(apd.Decimal), new(apd.Decimal)
	switch c.kind {
	case kindInt:
		low.SetInt64(-1 << (8*c.width - 1))
		high.SetInt64(1<<(8*c.width-1) - 1)
	case kindDecimal:
		high.Coeff.Exp(apd.NewBigInt(10), apd.NewBigInt(int64(c.precision)), nil)
		high.Coeff.Sub(&high.Coeff, apd.NewBigInt(1))
		high.Exponent = -int32(c.scale)
		low.Neg(high)
	case kindYear:
		high.SetInt64(1<<15 - 1)
	default: // BIT and unsigned integers; a shift by 64 leaves no bit
		high.Coeff.SetUint64(1<<(8*c.width) - 1)
	}
	return low, high
}

func (c *codec) extreme(lowest bool) any {
	low, high := c.limits()
	if lowest {
		return c.fromDecimal(low)
	}
	return c.fromDecimal(high)
}

// fromDecimal turns a decimal that fits into the Go type that appendFixed takes.
func (c *codec) fromDecimal(d *apd.Decimal) any {
	if c.kind == kindDecimal {
		return d
	}
	whole := new(apd.Decimal)
	if _, err := apd.BaseContext.WithPrecision(40).Quantize(whole, d, 0); err != nil {
		return d
	}
	switch c.kind {
	case kindInt:
		i, _ := whole.Int64()
		return i
	case kindYear:
		i, _ := whole.Int64()
		return int16(i)
	}
	return whole.Coeff.Uint64()
}

// asDecimal reads any number as an exact decimal; ok is false for NaN, infinities
// and what is no number.
func asDecimal(v any) (*apd.Decimal, bool) {
	d := new(apd.Decimal)
	if i, ok := asInt64(v); ok {
		return d.SetInt64(i), true
	}
	if u, ok := asUint64(v); ok {
		d.Coeff.SetUint64(u)
		return d, true
	}
	switch v := v.(type) {
	case *apd.Decimal:
		return v, v != nil && v.Form == apd.Finite
	case float32:
		_, err := d.SetFloat64(float64(v))
		return d, err == nil && d.Form == apd.Finite
	case float64:
		_, err := d.SetFloat64(v)
		return d, err == nil && d.Form == apd.Finite
	}
	return nil, false
}

// PointKey is the key of the primary index for these values of its columns; ok is
// false where no row can have them (a value does not fit the type).
func (t *Table) PointKey(values []any) (key []byte, ok bool, err error) {
	ix := t.Primary
	if !t.HasPrimaryKey() || len(values) != len(ix.columns) {
		return nil, false, fmt.Errorf("table %s.%s has no primary key of %d columns", t.Desc.Database, t.Desc.Name, len(values))
	}
	row := make(sql.Row, len(t.codecs))
	for i, v := range values {
		fitted, cut := ix.columns[i].codec.fit(v)
		if cut != 0 || fitted == nil {
			return nil, false, nil
		}
		row[ix.columns[i].at] = fitted
	}
	key, err = t.PrimaryKey(row)
	return key, err == nil, err
}
