package sql

import (
	"time"

	"github.com/cockroachdb/apd/v3"
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/analyzer"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/transform"
	"github.com/dolthub/go-mysql-server/sql/types"

	"stack/roles/db/fit"
)

// exactDecimals is a rule for plans as they come from the statement. The planner rounds a
// number to the scale of the DECIMAL column that it is compared with, and looks it up in
// the column's index so: 1.101 would find 1.10, and 1.099 not be less than it. A
// comparison with a number that the column cannot hold is made one with the next number
// below, which is exact. So is one of a DATE column with a date that has a time of day.
// Columns of different collations are told by which to compare (compareMixed).
func exactDecimals(ctx *gms.Context, _ *analyzer.Analyzer, n gms.Node, _ *plan.Scope, _ analyzer.RuleSelector, _ *gms.QueryFlags) (gms.Node, transform.TreeIdentity, error) {
	return eachExpression(ctx, n, func(ctx *gms.Context, e gms.Expression) (gms.Expression, transform.TreeIdentity, error) {
		if literal, ok := bareLiteral(e); ok {
			return literal, transform.NewTree, nil
		}
		if mixed, err := compareMixed(ctx, e); mixed != nil || err != nil {
			return mixed, transform.NewTree, err
		}
		same := transform.SameTree
		dated, err := comparedDates(ctx, e)
		if err != nil {
			return nil, transform.SameTree, err
		}
		if dated != nil {
			e, same = dated, transform.NewTree
		}
		turned, err := exactComparison(ctx, e)
		if err != nil || turned == nil {
			return e, same, err
		}
		return turned, transform.NewTree, nil
	})
}

// exactComparison is e in exact terms, nil if it is so already.
func exactComparison(ctx *gms.Context, e gms.Expression) (gms.Expression, error) {
	switch e := e.(type) {
	case *expression.Between:
		low, high := between(ctx, e.Val, e.Lower), between(ctx, e.Val, e.Upper)
		if low == nil && high == nil {
			return nil, nil
		}
		l, err := inExactTerms(ctx, expression.NewGreaterThanOrEqual(e.Val, e.Lower))
		if err != nil {
			return nil, err
		}
		h, err := inExactTerms(ctx, expression.NewLessThanOrEqual(e.Val, e.Upper))
		if err != nil {
			return nil, err
		}
		return expression.NewAnd(l, h), nil
	case *expression.InTuple:
		list, ok := e.Right().(expression.Tuple)
		if !ok {
			return nil, nil
		}
		found := false
		equals := make([]gms.Expression, len(list))
		for i, v := range list {
			found = found || between(ctx, e.Left(), v) != nil
			var err error
			if equals[i], err = inExactTerms(ctx, expression.NewEquals(e.Left(), v)); err != nil {
				return nil, err
			}
		}
		if !found {
			return nil, nil
		}
		return anyOf(equals), nil
	case *expression.Equals, *expression.NullSafeEquals, *expression.LessThan, *expression.LessThanOrEqual,
		*expression.GreaterThan, *expression.GreaterThanOrEqual:
		return compareExactly(ctx, e.(expression.Comparer))
	}
	return nil, nil
}

func inExactTerms(ctx *gms.Context, c expression.Comparer) (gms.Expression, error) {
	e, err := compareExactly(ctx, c)
	if e == nil {
		return c, err
	}
	return e, err
}

// anyOf is a OR b …, as a tree whose depth grows with the logarithm of the list.
func anyOf(list []gms.Expression) gms.Expression {
	if len(list) == 1 {
		return list[0]
	}
	half := len(list) / 2
	return expression.NewOr(anyOf(list[:half]), anyOf(list[half:]))
}

// maxScale is how many digits behind the point a literal has in MySQL: it is rounded to them.
const maxScale = 30

// gap is where a value lies that a column cannot hold: between below and the next one that
// it can. Beyond the column's values below is the largest of them, or nil.
type gap struct {
	below gms.Expression
	none  bool // the column can hold it, but it has to be written otherwise
}

// between is nil where column is none of DECIMALs or DATEs, or value no constant, or one
// that the column can hold.
func between(ctx *gms.Context, column, value gms.Expression) *gap {
	field, ok := column.(*expression.GetField)
	if !ok {
		return nil
	}
	if types.IsDateType(field.Type(ctx)) {
		return betweenDates(ctx, value)
	}
	t, ok := field.Type(ctx).(types.DecimalType_)
	if !ok {
		return nil
	}
	d := constantNumber(value)
	if d == nil || d.Form != apd.Finite {
		return nil
	}
	exact := apd.BaseContext.WithPrecision(400)
	long := d.Exponent < -maxScale
	if long {
		exact.Rounding = apd.RoundHalfUp
		if _, err := exact.Quantize(d, d, -maxScale); err != nil {
			return nil
		}
	}
	exact.Rounding = apd.RoundFloor
	floor, most := new(apd.Decimal), new(apd.Decimal)
	if _, err := exact.Sub(most, apd.New(1, int32(t.Precision())-int32(t.Scale())), apd.New(1, -int32(t.Scale()))); err != nil {
		return nil
	}
	switch {
	case d.Cmp(most) > 0:
		return &gap{below: expression.NewLiteral(most, t)}
	case d.Cmp(new(apd.Decimal).Neg(most)) < 0:
		return &gap{}
	}
	if _, err := exact.Quantize(floor, d, -int32(t.Scale())); err != nil {
		return nil
	}
	same := floor.Cmp(d) == 0
	if same && !long {
		return nil
	}
	return &gap{expression.NewLiteral(floor, t), same}
}

// betweenDates is the gap of a date with a time of day between two dates.
func betweenDates(ctx *gms.Context, value gms.Expression) *gap {
	if cast, ok := value.(*expression.Convert); ok {
		if _, ok := cast.Child.(*expression.Literal); !ok {
			return nil
		}
	} else if _, ok := value.(*expression.Literal); !ok {
		return nil
	}
	v, err := value.Eval(ctx, nil)
	if err != nil || v == nil {
		return nil
	}
	switch v.(type) {
	case string, time.Time:
	default:
		return nil
	}
	v, problem, err := fit.Value(ctx, types.DatetimeMaxPrecision, v, nil, fit.Mode{})
	at, ok := v.(time.Time)
	if err != nil || problem != nil || !ok {
		return nil
	}
	day := at.Truncate(24 * time.Hour)
	if day.Equal(at) || at.Equal(types.ZeroTime) {
		return nil
	}
	return &gap{below: expression.NewLiteral(day, types.Date)}
}

// constantNumber is the number that an expression without columns stands for; nil if it is none.
func constantNumber(e gms.Expression) *apd.Decimal {
	negative := false
	for {
		minus, ok := e.(*expression.UnaryMinus)
		if !ok {
			break
		}
		e, negative = minus.Child, !negative
	}
	literal, ok := e.(*expression.Literal)
	if !ok {
		return nil
	}
	d, ok := literal.Value().(*apd.Decimal)
	if !ok {
		whole, ok := integer(literal.Value())
		if _, isBool := literal.Value().(bool); !ok || isBool {
			return nil
		}
		d = apd.NewWithBigInt(new(apd.BigInt).SetMathBigInt(whole), 0)
	}
	copied := new(apd.Decimal).Set(d)
	copied.Negative = d.Negative != negative
	return copied
}

// compareExactly is a comparison of a column with a value that it cannot hold in
// terms of one that it can; nil for others.
func compareExactly(ctx *gms.Context, c expression.Comparer) (gms.Expression, error) {
	column, at, turned := c.Left(), between(ctx, c.Left(), c.Right()), false
	if at == nil {
		if column, at, turned = c.Right(), between(ctx, c.Right(), c.Left()), true; at == nil {
			return nil, nil
		}
	}
	if at.none && turned {
		return c.WithChildren(ctx, at.below, column)
	} else if at.none {
		return c.WithChildren(ctx, column, at.below)
	}
	less := false
	switch c.(type) {
	case *expression.Equals:
		return never(column), nil
	case *expression.NullSafeEquals:
		return expression.NewLiteral(false, types.Boolean), nil
	case *expression.LessThan, *expression.LessThanOrEqual:
		less = !turned
	case *expression.GreaterThan, *expression.GreaterThanOrEqual:
		less = turned
	default:
		return nil, nil
	}
	switch {
	case at.below == nil && less:
		return never(column), nil
	case at.below == nil:
		return expression.NewNot(never(column)), nil
	case less:
		return expression.NewLessThanOrEqual(column, at.below), nil
	}
	return expression.NewGreaterThan(column, at.below), nil
}

// never is false, or NULL where the column is.
func never(column gms.Expression) gms.Expression {
	return expression.NewAnd(expression.NewIsNull(column), expression.NewLiteral(nil, types.Null))
}

// exactDecimal gives a DECIMAL column a type that does not round what is compared with it.
type exactDecimal struct {
	expression.UnaryExpressionStub
	typ gms.Type
}

func newExactDecimal(ctx *gms.Context, e gms.Expression) gms.Expression {
	t, ok := e.Type(ctx).(types.DecimalType_)
	if !ok {
		return e
	}
	return &exactDecimal{expression.UnaryExpressionStub{Child: e}, types.CreateLiteralDecimalType(t.Precision(), t.Scale())}
}

func (d *exactDecimal) String() string             { return d.Child.String() }
func (d *exactDecimal) Type(*gms.Context) gms.Type { return d.typ }
func (d *exactDecimal) WithChildren(_ *gms.Context, children ...gms.Expression) (gms.Expression, error) {
	if len(children) != 1 {
		return nil, gms.ErrInvalidChildrenNumber.New(d, len(children), 1)
	}
	return &exactDecimal{expression.UnaryExpressionStub{Child: children[0]}, d.typ}, nil
}

// Eval returns the column's value.
func (d *exactDecimal) Eval(ctx *gms.Context, row gms.Row) (any, error) {
	return d.Child.Eval(ctx, row)
}

// compareColumns makes a comparison of two DECIMALs of different scales exact; nil for others.
func compareColumns(ctx *gms.Context, e gms.Expression) (gms.Expression, error) {
	switch e.(type) {
	case *expression.Equals, *expression.NullSafeEquals, *expression.LessThan, *expression.LessThanOrEqual,
		*expression.GreaterThan, *expression.GreaterThanOrEqual:
	default:
		return nil, nil
	}
	c := e.(expression.Comparer)
	l, okL := c.Left().Type(ctx).(types.DecimalType_)
	r, okR := c.Right().Type(ctx).(types.DecimalType_)
	if !okL || !okR || l.Scale() == r.Scale() {
		return nil, nil
	}
	return c.WithChildren(ctx, newExactDecimal(ctx, c.Left()), newExactDecimal(ctx, c.Right()))
}
