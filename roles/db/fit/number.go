package fit

import (
	"math"
	"strings"

	"github.com/cockroachdb/apd/v3"
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/sqltypes"
)

// largestExponent is beyond every number that a column holds: a longer one is not written out.
const largestExponent = 400

// exact computes with all digits that DECIMAL may have, and the few of a text beyond them.
var exact = apd.Context{Precision: 2000, MaxExponent: 2 * largestExponent, MinExponent: -2 * largestExponent, Rounding: apd.RoundHalfUp}

const space = " \t\n\v\f\r"

// leadingNumber splits a text into the number that it begins with and what is left.
func leadingNumber(text string) (number, rest string) {
	text = strings.TrimLeft(text, space)
	at, digits := 0, 0
	count := func() {
		for at < len(text) && text[at] >= '0' && text[at] <= '9' {
			at++
			digits++
		}
	}
	if at < len(text) && (text[at] == '-' || text[at] == '+') {
		at++
	}
	count()
	if at < len(text) && text[at] == '.' {
		at++
		count()
	}
	if digits == 0 {
		return "", text
	}
	if end := at; at < len(text) && (text[at] == 'e' || text[at] == 'E') {
		at++
		if at < len(text) && (text[at] == '-' || text[at] == '+') {
			at++
		}
		digits = 0
		if count(); digits == 0 {
			at = end
		}
	}
	return text[:at], text[at:]
}

// decimalOf is the number that a text begins with, and what was wrong with the text.
func decimalOf(text, kind string) (*apd.Decimal, *Problem) {
	number, rest := leadingNumber(text)
	if number == "" {
		return new(apd.Decimal), noNumber(kind, text)
	}
	var problem *Problem
	if strings.Trim(rest, space) != "" {
		problem = cut()
	}
	mantissa, exponent, scaled := strings.Cut(strings.ToLower(number), "e")
	if point := strings.IndexByte(mantissa, '.'); point >= 0 && len(mantissa)-point > largestExponent {
		mantissa = mantissa[:point+largestExponent] // what follows rounds nothing that is stored
	}
	d, _, err := apd.NewFromString(strings.TrimSuffix(strings.TrimPrefix(mantissa, "+"), "."))
	if err != nil {
		return new(apd.Decimal), noNumber(kind, text)
	}
	if scaled {
		move := int32(0)
		for _, c := range strings.TrimLeft(exponent, "+-") {
			move = min(move*10+c-'0', 4*largestExponent)
		}
		if strings.HasPrefix(exponent, "-") {
			move = -move
		}
		d.Exponent += move
	}
	return bounded(d), problem
}

// bounded is d, with an exponent that it is no work to write out.
func bounded(d *apd.Decimal) *apd.Decimal {
	if d.IsZero() {
		return new(apd.Decimal)
	}
	switch top := int64(d.Exponent) + d.NumDigits(); {
	case top > largestExponent:
		big := apd.New(1, largestExponent)
		big.Negative = d.Negative
		return big
	case top < -largestExponent:
		return new(apd.Decimal)
	}
	return d
}

// rounded is d with so many digits behind the point, half away from zero, and whether
// digits were lost.
func rounded(d *apd.Decimal, scale int32) (*apd.Decimal, bool) {
	out := new(apd.Decimal)
	status, err := exact.Quantize(out, d, -scale)
	if err != nil {
		return bounded(d), false // more digits than any type holds
	}
	return out, status.Inexact()
}

// bounds are the least and the largest integer of a type.
func bounds(t gms.Type) (least, most *apd.Decimal) {
	signed := func(bits uint) (*apd.Decimal, *apd.Decimal) {
		return apd.New(-1<<(bits-1), 0), apd.New(1<<(bits-1)-1, 0)
	}
	switch t.Type() {
	case sqltypes.Int8:
		return signed(8)
	case sqltypes.Int16:
		return signed(16)
	case sqltypes.Int24:
		return signed(24)
	case sqltypes.Int32:
		return signed(32)
	case sqltypes.Uint8:
		return new(apd.Decimal), apd.New(math.MaxUint8, 0)
	case sqltypes.Uint16:
		return new(apd.Decimal), apd.New(math.MaxUint16, 0)
	case sqltypes.Uint24:
		return new(apd.Decimal), apd.New(1<<24-1, 0)
	case sqltypes.Uint32:
		return new(apd.Decimal), apd.New(math.MaxUint32, 0)
	case sqltypes.Uint64:
		return new(apd.Decimal), maxUint64
	}
	return signed(64)
}

var maxUint64, _, _ = apd.NewFromString("18446744073709551615")

// clip keeps d between two bounds.
func clip(d, least, most *apd.Decimal) (*apd.Decimal, *Problem) {
	switch {
	case d.Cmp(least) < 0:
		return least, outside()
	case d.Cmp(most) > 0:
		return most, outside()
	}
	return d, nil
}

// first is the problem that is told: one is told for a value.
func first(list ...*Problem) *Problem {
	for _, p := range list {
		if p != nil {
			return p
		}
	}
	return nil
}

func (c *converter) integer(v any) (any, *Problem, error) {
	least, most := bounds(c.to)
	d, wrong, err := c.decimal(v, "integer", true)
	if err != nil {
		return nil, nil, err
	}
	d, _ = rounded(d, 0)
	d, clipped := clip(d, least, most)
	var whole any
	if i, err := d.Int64(); err == nil {
		whole = i
	} else {
		whole = d.Coeff.MathBigInt().Uint64()
	}
	out, _, err := c.to.Convert(c.ctx, whole)
	return out, first(clipped, wrong), err
}

// decimal is v as an exact number, and what was wrong with a text. whole says that it
// becomes an integer: of a DOUBLE the nearest even one, as the processor rounds.
func (c *converter) decimal(v any, kind string, whole bool) (*apd.Decimal, *Problem, error) {
	switch v := v.(type) {
	case *apd.Decimal:
		return bounded(v), nil, nil
	case string:
		d, p := decimalOf(v, kind)
		return d, p, nil
	case float32:
		return decimalOfFloat(float64(v), 32, whole), nil, nil
	case float64:
		return decimalOfFloat(v, 64, whole), nil, nil
	}
	if i, ok := Int64(v); ok {
		return apd.New(i, 0), nil, nil
	}
	n, _, err := types.InternalDecimalType.Convert(c.ctx, v)
	if err != nil {
		return nil, nil, err
	}
	d, ok := n.(*apd.Decimal)
	if !ok {
		return nil, nil, gms.ErrInvalidValue.New(v, c.to)
	}
	return bounded(d), nil, nil
}

func (c *converter) exact(v any) (any, *Problem, error) {
	t := c.to.(gms.DecimalType)
	d, wrong, err := c.decimal(v, "decimal", false)
	if err != nil {
		return nil, nil, err
	}
	scale := int32(t.Scale())
	if c.unsigned && d.Negative && !d.IsZero() {
		return apd.New(0, -scale), outside(), nil
	}
	d, lost := rounded(d, scale)
	most := new(apd.Decimal)
	if _, err := exact.Sub(most, apd.New(1, int32(t.Precision())-scale), apd.New(1, -scale)); err != nil {
		return nil, nil, err
	}
	least := new(apd.Decimal).Neg(most)
	d, clipped := clip(d, least, most)
	var note *Problem
	if _, isFloat := v.(float64); lost && !isFloat {
		note = noteOfCut()
	}
	d, _ = rounded(d, scale)
	out, _, err := c.to.Convert(c.ctx, d)
	return out, first(clipped, wrong, note), err
}

func (c *converter) float(v any) (any, *Problem, error) {
	var f float64
	var wrong *Problem
	switch v := v.(type) {
	case string:
		f, wrong = floatOf(v)
	default:
		n, _, err := types.Float64.Convert(c.ctx, v)
		if err != nil {
			return nil, nil, err
		}
		f, _ = n.(float64)
	}
	var clipped *Problem
	limit := math.MaxFloat64
	if c.to.Type() == sqltypes.Float32 {
		limit = math.MaxFloat32
	}
	switch {
	case f != f:
		f, clipped = 0, outside()
	case f > limit:
		f, clipped = limit, outside()
	case f < -limit:
		f, clipped = -limit, outside()
	}
	out, _, err := c.to.Convert(c.ctx, f)
	return out, first(clipped, wrong), err
}
