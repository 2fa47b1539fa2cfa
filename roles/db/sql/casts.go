package sql

import (
	"math"
	"reflect"
	"strconv"
	"strings"

	"github.com/cockroachdb/apd/v3"
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// sayDigits says the digits of a CAST to DECIMAL that says none: ten, as in MySQL. The planner
// casts so for itself, to any number of digits.
func sayDigits(c *sqlparser.ConvertExpr) {
	if c.Type != nil && c.Type.Length == nil && strings.EqualFold(c.Type.Type, "decimal") {
		c.Type.Length = sqlparser.NewIntVal([]byte("10"))
	}
}

// exactCast is a CAST to DECIMAL without digits behind the point, which the planner leaves all
// that there are, one of a DOUBLE to an integer, where it rounds halves away from zero, or one to
// SIGNED of what may be over 2⁶³; nil for every other.
func exactCast(ctx *gms.Context, c *expression.Convert) gms.Expression {
	v := reflect.ValueOf(c).Elem()
	switch v.FieldByName("castToType").String() {
	case expression.ConvertToDecimal:
		digits := v.FieldByName("typeLength").Int()
		if digits == 0 || v.FieldByName("typeScale").Int() > 0 {
			return nil
		}
		t, err := types.CreateDecimalType(uint8(min(digits, types.DecimalTypeMaxPrecision)), 0)
		if err != nil {
			return nil
		}
		return &wholeDecimal{expression.UnaryExpressionStub{Child: expression.NewConvert(c.Child, expression.ConvertToDecimal)}, t, c.String()}
	case expression.ConvertToSigned, expression.ConvertToUnsigned:
		if _, done := c.Child.(*adjusted); done {
			return nil
		}
		child := c.Child
		switch t := child.Type(ctx); {
		case types.IsFloat(t):
			child = evenFloat(child)
		case v.FieldByName("castToType").String() == expression.ConvertToSigned && (types.IsUnsigned(t) || types.IsTextOnly(t)):
			child = complement(child)
		default:
			return nil
		}
		e, err := c.WithChildren(ctx, child)
		if err != nil {
			return nil
		}
		return e
	}
	return nil
}

// complement is an integer, or a text of one, with those over 2⁶³ as the negative numbers of the
// same bits, as a CAST to SIGNED shows them. The planner clips them, and gives 0 for texts.
func complement(e gms.Expression) gms.Expression {
	return &adjusted{expression.UnaryExpressionStub{Child: e}, func(v any) any {
		switch v := v.(type) {
		case uint64:
			return int64(v)
		case string:
			digits := strings.TrimLeft(v, " ")
			digits = digits[:len(digits)-len(strings.TrimLeft(digits, "0123456789"))]
			// More than there is gives the most there is, with an error.
			if n, _ := strconv.ParseUint(digits, 10, 64); n > math.MaxInt64 {
				return strconv.FormatInt(int64(n), 10)
			}
		}
		return v
	}}
}

// wholeDecimal is a number as a DECIMAL without digits behind the point.
type wholeDecimal struct {
	expression.UnaryExpressionStub
	typ  gms.DecimalType
	text string
}

func (w *wholeDecimal) String() string             { return w.text }
func (w *wholeDecimal) Type(*gms.Context) gms.Type { return w.typ }

// CollationCoercibility is that of a number.
func (w *wholeDecimal) CollationCoercibility(*gms.Context) (gms.CollationID, byte) {
	return gms.Collation_binary, 5
}

// WithChildren is another number.
func (w *wholeDecimal) WithChildren(_ *gms.Context, children ...gms.Expression) (gms.Expression, error) {
	if len(children) != 1 {
		return nil, gms.ErrInvalidChildrenNumber.New(w, len(children), 1)
	}
	return &wholeDecimal{expression.UnaryExpressionStub{Child: children[0]}, w.typ, w.text}, nil
}

// Eval rounds, and clips what is out of range with a warning.
func (w *wholeDecimal) Eval(ctx *gms.Context, row gms.Row) (any, error) {
	v, err := w.Child.Eval(ctx, row)
	d, ok := v.(*apd.Decimal)
	if err != nil || !ok {
		return v, err
	}
	c := *wide
	c.Rounding = apd.RoundHalfUp
	whole := new(apd.Decimal)
	if _, err := c.Quantize(whole, d, 0); err != nil {
		return nil, err
	}
	if whole.NumDigits() > int64(w.typ.Precision()) {
		ctx.Warn(1264, "Out of range value for column '%s' at row 1", w.text)
		most := apd.New(1, int32(w.typ.Precision()))
		if _, err := c.Sub(most, most, apd.New(1, 0)); err != nil {
			return nil, err
		}
		most.Negative = whole.Negative
		return most, nil
	}
	return withoutSign(whole), nil
}

// evenFloat is a DOUBLE rounded as MySQL rounds it to an integer: halves to the even one.
func evenFloat(e gms.Expression) gms.Expression {
	return &adjusted{expression.UnaryExpressionStub{Child: e}, func(v any) any {
		switch n := v.(type) {
		case float64:
			return math.RoundToEven(n)
		case float32:
			return float32(math.RoundToEven(float64(n)))
		}
		return v
	}}
}

// freshDecimal is a value that may be changed: the planner's CEIL and FLOOR round the number that
// they are given, which is the one in the row.
func freshDecimal(e gms.Expression) gms.Expression {
	return &adjusted{expression.UnaryExpressionStub{Child: e}, func(v any) any {
		if d, ok := v.(*apd.Decimal); ok {
			return new(apd.Decimal).Set(d)
		}
		return v
	}}
}

// adjusted is another value of the same type, and called the same.
type adjusted struct {
	expression.UnaryExpressionStub
	adjust func(v any) any
}

func (a *adjusted) String() string                 { return a.Child.String() }
func (a *adjusted) Type(ctx *gms.Context) gms.Type { return a.Child.Type(ctx) }

// CollationCoercibility is that of the value.
func (a *adjusted) CollationCoercibility(ctx *gms.Context) (gms.CollationID, byte) {
	return gms.GetCoercibility(ctx, a.Child)
}

// WithChildren adjusts another value.
func (a *adjusted) WithChildren(_ *gms.Context, children ...gms.Expression) (gms.Expression, error) {
	if len(children) != 1 {
		return nil, gms.ErrInvalidChildrenNumber.New(a, len(children), 1)
	}
	return &adjusted{expression.UnaryExpressionStub{Child: children[0]}, a.adjust}, nil
}

// Eval returns the value, adjusted.
func (a *adjusted) Eval(ctx *gms.Context, row gms.Row) (any, error) {
	v, err := a.Child.Eval(ctx, row)
	if err != nil {
		return nil, err
	}
	return a.adjust(v), nil
}
