package fit

import (
	"math"
	"strings"

	"github.com/cockroachdb/apd/v3"
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// enum is the position of a member: by its name, by a number, or by a text that is one and
// no name. 0 is the text ” of what is no member.
func (c *converter) enum(v any) (any, *Problem, error) {
	t := c.to.(gms.EnumType)
	if c.from != nil {
		if at, ok := v.(uint16); ok && t.Equals(c.from) {
			return at, nil, nil
		}
	}
	v, err := c.memberText(v)
	if err != nil {
		return nil, nil, err
	}
	if s, ok := v.(string); ok {
		if at := t.IndexOf(strings.TrimRight(s, " ")); at > 0 {
			return uint16(at), nil, nil
		}
		number, rest := leadingNumber(s)
		if s == "0" {
			return uint16(0), nil, nil
		}
		if number == "" || rest != "" || strings.ContainsAny(number, ".eE") {
			return uint16(0), cut(), nil
		}
	}
	at, ok, err := c.position(v)
	if err != nil {
		return nil, nil, err
	}
	if !ok || at < 1 || at > int64(t.NumberOfElements()) {
		return uint16(0), cut(), nil
	}
	return uint16(at), nil, nil
}

// position is v as a whole number, without what is behind the point; false: it is beyond
// an int64.
func (c *converter) position(v any) (int64, bool, error) {
	d, _, err := c.decimal(c.numeric(v), "integer", false)
	if err != nil {
		return 0, false, err
	}
	floor := new(apd.Decimal)
	if _, err := towardsZero.Quantize(floor, d, 0); err != nil {
		return 0, false, nil
	}
	i, err := floor.Int64()
	return i, err == nil, nil
}

var towardsZero = func() apd.Context {
	c := exact
	c.Rounding = apd.RoundDown
	return c
}()

// set drops the names that are no members. A number, or a text that is one, has a bit for
// each member.
func (c *converter) set(v any) (any, *Problem, error) {
	t := c.to.(gms.SetType)
	v, err := c.memberText(v)
	if err != nil {
		return nil, nil, err
	}
	s, isText := v.(string)
	if isText {
		if out, _, err := t.Convert(c.ctx, s); err == nil {
			return out, nil, nil
		}
		var known []string
		for _, name := range strings.Split(s, ",") {
			if _, _, err := t.Convert(c.ctx, name); err == nil && name != "" {
				known = append(known, name)
			}
		}
		if number, rest := leadingNumber(s); len(known) > 0 || number == "" || rest != "" || strings.ContainsAny(number, ".eE") {
			out, _, err := t.Convert(c.ctx, strings.Join(known, ","))
			return out, cut(), err
		}
	}
	n, ok, err := c.position(v)
	if u, big := v.(uint64); big {
		n, ok = int64(u), true
	}
	if err != nil || !ok {
		return uint64(0), cut(), err
	}
	all := uint64(math.MaxUint64) >> (64 - t.NumberOfElements())
	if given := uint64(n); given&^all != 0 {
		return given & all, cut(), nil
	}
	return uint64(n), nil, nil
}

// bits is a number or bytes in a BIT column, all ones if that is too narrow.
func (c *converter) bits(v any) (any, *Problem, error) {
	width := c.to.(types.BitType_).NumberOfBits()
	all := uint64(math.MaxUint64) >> (64 - width)
	var n uint64
	text, isText := asText(v)
	if isText {
		text = strings.TrimLeft(text, "\x00")
		if len(text) > 8 {
			return all, cutBits(), nil
		}
		for i := range len(text) {
			n = n<<8 | uint64(text[i])
		}
	} else {
		if i, ok := Int64(v); ok {
			n = uint64(i) // a negative number is its bits
		} else if u, ok := v.(uint64); ok {
			n = u
		} else {
			d, _, err := c.decimal(c.numeric(v), "integer", true)
			if err != nil {
				return nil, nil, err
			}
			least, most := bounds(types.Int64)
			if d, _ = rounded(d, 0); !d.Negative {
				least, most = bounds(types.Uint64)
			}
			d, clipped := clip(d, least, most)
			if clipped != nil {
				return all, cutBits(), nil
			}
			if n = d.Coeff.MathBigInt().Uint64(); d.Negative {
				n = -n
			}
		}
	}
	if n > all {
		return all, cutBits(), nil
	}
	return n, nil, nil
}

// year takes two digits for a year from 1970 to 2069.
func (c *converter) year(v any) (any, *Problem, error) {
	d, wrong, err := c.decimal(v, "integer", true)
	if err != nil {
		return nil, nil, err
	}
	d, _ = rounded(d, 0)
	n, err := d.Int64()
	if err != nil {
		return int16(0), outside(), nil
	}
	text, isText := v.(string)
	switch {
	case wrong != nil && wrong.IsNumber():
		return int16(0), wrong, nil
	case n == 0 && isText && len(text) != 4: // '0' is 2000, '0000' and 0 are the zero year
		return int16(2000), wrong, nil
	case n == 0:
		return int16(0), wrong, nil
	case n >= 1 && n <= 69:
		return int16(2000 + n), wrong, nil
	case n >= 70 && n <= 99:
		return int16(1900 + n), wrong, nil
	case n >= 1901 && n <= 2155:
		return int16(n), wrong, nil
	}
	return int16(0), outside(), nil
}
