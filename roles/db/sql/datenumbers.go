package sql

import (
	"fmt"
	"time"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/sqltypes"
)

// comparedDates is a comparison of a date with a number as MySQL makes it, nil where e is none: a
// constant that has the digits of a date is that date, with any other number the date is compared
// by its own digits. The planner takes such numbers for none, or for errors.
func comparedDates(ctx *gms.Context, e gms.Expression) (gms.Expression, error) {
	switch e := e.(type) {
	case *expression.Equals, *expression.NullSafeEquals, *expression.LessThan, *expression.LessThanOrEqual, *expression.GreaterThan, *expression.GreaterThanOrEqual:
		c := e.(expression.Comparer)
		if l, r, ok := dateAndNumber(ctx, c.Left(), c.Right()); ok {
			return c.WithChildren(ctx, l, r)
		}
		if r, l, ok := dateAndNumber(ctx, c.Right(), c.Left()); ok {
			return c.WithChildren(ctx, l, r)
		}
	case *expression.Between:
		low, lower, isLow := dateAndNumber(ctx, e.Val, e.Lower)
		high, upper, isHigh := dateAndNumber(ctx, e.Val, e.Upper)
		if isLow || isHigh {
			return expression.NewAnd(expression.NewGreaterThanOrEqual(low, lower), expression.NewLessThanOrEqual(high, upper)), nil
		}
	case *expression.InTuple:
		list, ok := e.Right().(expression.Tuple)
		if !ok || !hasDays(ctx, e.Left()) {
			return nil, nil
		}
		found := false
		equals := make([]gms.Expression, len(list))
		for i, v := range list {
			l, r, ok := dateAndNumber(ctx, e.Left(), v)
			found = found || ok
			equals[i] = expression.NewEquals(l, r)
		}
		if found {
			return anyOf(equals), nil
		}
	}
	return nil, nil
}

// hasDays says whether an expression is a date made of columns.
func hasDays(ctx *gms.Context, e gms.Expression) bool {
	return e.Resolved() && types.IsTime(e.Type(ctx)) && !types.IsTimespan(e.Type(ctx)) && namesColumn(ctx, e)
}

// dateAndNumber are both sides as they are compared; false where they are no date and a number.
func dateAndNumber(ctx *gms.Context, date, number gms.Expression) (l, r gms.Expression, ok bool) {
	if !hasDays(ctx, date) || !number.Resolved() || !types.IsNumber(number.Type(ctx)) {
		return date, number, false
	}
	if d := constantNumber(number); d != nil {
		if n, err := d.Int64(); err == nil {
			if text, ok := dateOfNumber(n); ok {
				return date, expression.NewLiteral(text, types.MustCreateStringWithDefaults(sqltypes.VarChar, int64(len(text)))), true
			}
		}
	}
	if f, ok := date.(*expression.GetField); !ok || f.Database() == "" { // DATE() gives text, digits are known of columns
		date = &inType{expression.UnaryExpressionStub{Child: date}, date.Type(ctx)}
	}
	if digits := numberOf(ctx, date); digits != nil {
		return digits, number, true
	}
	return date, number, false
}

// dateOfNumber is the date, or date and time, that has these digits, with two or four of the year; 0 is
// the zero date (MySQL's number_to_datetime).
func dateOfNumber(n int64) (text string, ok bool) {
	moment := int64(0)
	switch {
	case n == 0:
		return "0000-00-00", true
	case n < 101:
		return "", false
	case n <= 691231:
		moment = (n + 20000000) * 1000000
	case n < 700101:
		return "", false
	case n <= 991231:
		moment = (n + 19000000) * 1000000
	case n < 10000101:
		return "", false
	case n <= 99991231:
		moment = n * 1000000
	case n < 101000000:
		return "", false
	case n <= 691231235959:
		moment = n + 20000000000000
	case n < 700101000000:
		return "", false
	case n <= 991231235959:
		moment = n + 19000000000000
	default:
		moment = n
	}
	at, err := time.Parse("20060102150405", fmt.Sprintf("%014d", moment))
	if err != nil {
		return "", false
	}
	if at.Equal(at.Truncate(24 * time.Hour)) {
		return at.Format(time.DateOnly), true
	}
	return at.Format(time.DateTime), true
}
