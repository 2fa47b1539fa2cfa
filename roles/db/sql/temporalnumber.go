package sql

import (
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/expression/function/aggregation"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// temporalNumber is a date or time as the number that its digits make: 20240131101112 or
// 101112. The planner counts seconds, or nothing.
type temporalNumber struct {
	*temporalText
	typ gms.Type
}

// takesNumbers says whether an expression computes with its arguments.
func takesNumbers(e gms.Expression) bool {
	switch e.(type) {
	case *expression.Arithmetic, *expression.Div, *expression.IntDiv, *expression.Mod, *expression.UnaryMinus, *aggregation.Sum, *aggregation.Avg:
		return true
	}
	return false
}

// numberOf is a date or time as a number, nil for what is no such thing. How many digits a
// TIME has the planner does not know: its number is a DOUBLE.
func numberOf(ctx *gms.Context, e gms.Expression) gms.Expression {
	t := e.Type(ctx)
	typ := gms.Type(types.Int64)
	switch {
	case types.IsTimespan(t):
		typ = types.Float64
	case types.IsDateType(t):
	case types.IsTime(t):
		digits, known := secondDigits(ctx, e)
		if !known {
			return nil
		}
		if digits > 0 {
			typ = types.MustCreateDecimalType(uint8(14+digits), uint8(digits))
		}
	default:
		return nil
	}
	text, ok := textOf(ctx, e, asNumber).(*temporalText)
	if !ok {
		return nil
	}
	return &temporalNumber{text, typ}
}

// Type is a number's.
func (t *temporalNumber) Type(*gms.Context) gms.Type { return t.typ }

// WithChildren is the number of another expression.
func (t *temporalNumber) WithChildren(ctx *gms.Context, children ...gms.Expression) (gms.Expression, error) {
	text, err := t.temporalText.WithChildren(ctx, children...)
	if err != nil {
		return nil, err
	}
	return &temporalNumber{text.(*temporalText), t.typ}, nil
}

// Eval returns the number, NULL or 0 for the zero date.
func (t *temporalNumber) Eval(ctx *gms.Context, row gms.Row) (any, error) {
	v, err := t.temporalText.Eval(ctx, row)
	if err != nil || v == nil {
		return nil, err
	}
	digits, ok := v.(string)
	if !ok {
		digits = "0"
	}
	out, _, err := t.typ.Convert(ctx, digits)
	return out, err
}
