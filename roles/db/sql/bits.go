package sql

import (
	"math"
	"strconv"
	"strings"

	"github.com/cockroachdb/apd/v3"
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// bitOperation computes with the 64 bits of integers. The planner's makes a DOUBLE of a signed one
// beside an unsigned one, which has 53.
type bitOperation struct{ *expression.BitOp }

// ofIntegers says whether an operation is one of integers; of others the planner warns, and knows dates.
func ofIntegers(ctx *gms.Context, bits *expression.BitOp) bool {
	return bits.Resolved() && types.IsInteger(bits.LeftChild.Type(ctx)) && types.IsInteger(bits.RightChild.Type(ctx))
}

// WithChildren computes with others.
func (b *bitOperation) WithChildren(ctx *gms.Context, children ...gms.Expression) (gms.Expression, error) {
	e, err := b.BitOp.WithChildren(ctx, children...)
	if err != nil {
		return nil, err
	}
	return &bitOperation{e.(*expression.BitOp)}, nil
}

// Eval computes the result.
func (b *bitOperation) Eval(ctx *gms.Context, row gms.Row) (any, error) {
	var bits [2]uint64
	for i, e := range b.Children() {
		v, err := e.Eval(ctx, row)
		if err != nil {
			return nil, err
		}
		if v, err = gms.UnwrapAny(ctx, v); err != nil || v == nil {
			return nil, err
		}
		var ok bool
		if bits[i], ok = bitsOf(v); !ok { // a date, a JSON
			return b.BitOp.Eval(ctx, row)
		}
	}
	switch left, right := bits[0], bits[1]; b.Op {
	case sqlparser.BitAndStr:
		return left & right, nil
	case sqlparser.BitOrStr:
		return left | right, nil
	case sqlparser.BitXorStr:
		return left ^ right, nil
	case sqlparser.ShiftLeftStr:
		return left << right, nil
	case sqlparser.ShiftRightStr:
		return left >> right, nil
	}
	return b.BitOp.Eval(ctx, row)
}

// bitsOf are the bits of a number, rounded, or of the integer at the beginning of a text.
func bitsOf(v any) (bits uint64, ok bool) {
	switch v := v.(type) {
	case bool:
		if v {
			bits = 1
		}
	case int8:
		bits = uint64(v)
	case int16:
		bits = uint64(v)
	case int32:
		bits = uint64(v)
	case int64:
		bits = uint64(v)
	case int:
		bits = uint64(v)
	case uint8:
		bits = uint64(v)
	case uint16:
		bits = uint64(v)
	case uint32:
		bits = uint64(v)
	case uint64:
		bits = v
	case uint:
		bits = uint64(v)
	case float32:
		return floatBits(float64(v)), true
	case float64:
		return floatBits(v), true
	case *apd.Decimal:
		return decimalBits(v), true
	case string:
		return textBits(v), true
	default:
		return 0, false
	}
	return bits, true
}

func floatBits(f float64) uint64 {
	switch f = math.RoundToEven(f); {
	case f >= math.MaxUint64:
		return math.MaxUint64
	case f >= 0:
		return uint64(f)
	}
	return uint64(int64(max(f, math.MinInt64)))
}

func decimalBits(d *apd.Decimal) uint64 {
	c := *wide
	c.Rounding = apd.RoundHalfUp
	whole := new(apd.Decimal)
	if _, err := c.Quantize(whole, d, 0); err != nil {
		f, _ := d.Float64()
		return floatBits(f)
	}
	return textBits(whole.Text('f'))
}

// textBits clips what is out of range.
func textBits(text string) uint64 {
	text = strings.TrimLeft(text, " ")
	digits, negative := strings.CutPrefix(text, "-")
	digits = digits[:len(digits)-len(strings.TrimLeft(digits, "0123456789"))]
	if negative {
		n, _ := strconv.ParseInt("-"+digits, 10, 64)
		return uint64(n)
	}
	n, _ := strconv.ParseUint(digits, 10, 64)
	return n
}
