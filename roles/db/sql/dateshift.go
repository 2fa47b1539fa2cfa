package sql

import (
	"math"
	"slices"
	"strings"
	"time"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/expression/function"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/sqltypes"
	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// dateShift is DATE_ADD, DATE_SUB, or + and - with an INTERVAL, of as many digits of a second as
// MySQL gives it: those of the date, six where microseconds are added. The planner drops them
// behind + and has six otherwise, and takes a TIME for a moment of today.
type dateShift struct {
	said   gms.Expression // what the statement says
	date   gms.Expression
	amount gms.Expression
	unit   string
	minus  bool
	first  bool // the interval stands before the date
}

// Names of the functions that sums of dates and intervals are made into, which no statement says.
const (
	plusInterval  = "+ interval"
	minusInterval = "- interval"
)

// shiftCall is the call for a sum, nil for what is none. Of a sum the planner takes the type for a
// DATETIME's, and columns of derived tables have it.
func shiftCall(b *sqlparser.BinaryExpr) sqlparser.Expr {
	name, date, span := minusInterval, b.Left, b.Right
	switch b.Operator {
	case sqlparser.MinusStr:
	case sqlparser.PlusStr:
		name = plusInterval
		if _, first := date.(*sqlparser.IntervalExpr); first {
			date, span = span, date
		}
	default:
		return nil
	}
	if _, ok := span.(*sqlparser.IntervalExpr); !ok {
		return nil
	}
	return &sqlparser.FuncExpr{Name: sqlparser.NewColIdent(name), Exprs: sqlparser.SelectExprs{&sqlparser.AliasedExpr{Expr: date}, &sqlparser.AliasedExpr{Expr: span}}}
}

// shiftFunction finds them, DATE_ADD and DATE_SUB for the planner.
func shiftFunction(name string) (gms.Function, bool) {
	var planners func(*gms.Context, ...gms.Expression) (gms.Expression, error)
	switch name {
	case "date_add":
		planners = function.NewDateAdd
	case "date_sub":
		planners = function.NewDateSub
	case plusInterval:
		planners = func(_ *gms.Context, args ...gms.Expression) (gms.Expression, error) {
			return expression.NewPlus(args[0], args[1]), nil
		}
	case minusInterval:
		planners = func(_ *gms.Context, args ...gms.Expression) (gms.Expression, error) {
			return expression.NewMinus(args[0], args[1]), nil
		}
	default:
		return nil, false
	}
	return gms.FunctionN{Name: name, Fn: func(ctx *gms.Context, args ...gms.Expression) (gms.Expression, error) {
		e, err := planners(ctx, args...)
		if err != nil {
			return nil, err
		}
		if shift := shiftOf(e); shift != nil && shift.Resolved() {
			return shift, nil
		}
		return e, nil
	}}, true
}

// shiftOf is such an expression of the planner's, nil for every other.
func shiftOf(e gms.Expression) *dateShift {
	switch e := e.(type) {
	case *function.DateAdd:
		return &dateShift{e, e.Date, e.Interval.Child, e.Interval.Unit, false, false}
	case *function.DateSub:
		return &dateShift{e, e.Date, e.Interval.Child, e.Interval.Unit, true, false}
	case *expression.Arithmetic:
		if i, ok := e.RightChild.(*expression.Interval); ok && (e.Op == sqlparser.PlusStr || e.Op == sqlparser.MinusStr) {
			return &dateShift{e, e.LeftChild, i.Child, i.Unit, e.Op == sqlparser.MinusStr, false}
		}
		if i, ok := e.LeftChild.(*expression.Interval); ok && e.Op == sqlparser.PlusStr {
			return &dateShift{e, e.RightChild, i.Child, i.Unit, false, true}
		}
	}
	return nil
}

// String is what the statement says.
func (d *dateShift) String() string               { return d.said.String() }
func (d *dateShift) Resolved() bool               { return d.date.Resolved() && d.amount.Resolved() }
func (d *dateShift) IsNullable(*gms.Context) bool { return true }
func (d *dateShift) Children() []gms.Expression   { return []gms.Expression{d.date, d.amount} }
func (d *dateShift) Type(ctx *gms.Context) gms.Type {
	if t := d.exactType(ctx); t != nil {
		return t
	}
	return d.planners(ctx).Type(ctx)
}

// WithChildren is the sum of others.
func (d *dateShift) WithChildren(ctx *gms.Context, children ...gms.Expression) (gms.Expression, error) {
	if len(children) != 2 {
		return nil, gms.ErrInvalidChildrenNumber.New(d, len(children), 2)
	}
	other := *d
	other.date, other.amount = children[0], children[1]
	said := []gms.Expression{other.date, expression.NewInterval(other.amount, d.unit)}
	if d.first {
		said[0], said[1] = said[1], said[0]
	}
	var err error
	other.said, err = d.said.WithChildren(ctx, said...)
	return &other, err
}

// CollationCoercibility is that of a date.
func (d *dateShift) CollationCoercibility(ctx *gms.Context) (gms.CollationID, byte) {
	return gms.GetCoercibility(ctx, d.planners(ctx))
}

// planners is the planner's function. It reads whole seconds only.
func (d *dateShift) planners(ctx *gms.Context) gms.Expression {
	amount, unit := d.amount, d.unit
	if d.fractions(ctx) {
		amount, unit = expression.NewArithmetic(amount, expression.NewLiteral(int64(1_000_000), types.Int64), sqlparser.MultStr), "MICROSECOND"
	}
	if d.minus {
		return &function.DateSub{Date: d.date, Interval: expression.NewInterval(amount, unit)}
	}
	return &function.DateAdd{Date: d.date, Interval: expression.NewInterval(amount, unit)}
}

// fractions says whether the seconds that are added may have a fraction.
func (d *dateShift) fractions(ctx *gms.Context) bool {
	return d.unit == "SECOND" && !types.IsInteger(d.amount.Type(ctx))
}

// exactType is MySQL's type; nil where the planner's is right, or the digits are not known.
func (d *dateShift) exactType(ctx *gms.Context) gms.Type {
	t := d.date.Type(ctx)
	digits := 0
	switch {
	case types.IsTimespan(t):
		if d.ofClock() {
			return types.Time
		}
		return nil
	case isDay(ctx, d.date):
		if !d.ofClock() {
			return types.Date
		}
	case types.IsTime(t):
		known := false
		if digits, known = secondDigits(ctx, d.date); !known {
			return nil
		}
	default:
		return nil
	}
	if strings.HasSuffix(d.unit, "MICROSECOND") || d.fractions(ctx) {
		digits = 6
	}
	return types.MustCreateDatetimeType(sqltypes.Datetime, digits)
}

// ofClock says whether the unit has no parts of a date but days that others follow.
func (d *dateShift) ofClock() bool {
	switch d.unit {
	case "YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "YEAR_MONTH":
		return false
	}
	return true
}

// isDay says whether a date has no time of day. STR_TO_DATE says so by its format.
func isDay(ctx *gms.Context, e gms.Expression) bool {
	if parsed, ok := e.(*function.StrToDate); ok {
		format, ok := parsed.Format.(*expression.Literal)
		return ok && !containsAny(format.String(), "%H", "%k", "%h", "%I", "%l", "%i", "%s", "%S", "%f", "%T", "%r", "%p")
	}
	return types.IsDateType(e.Type(ctx))
}

func containsAny(text string, parts ...string) bool {
	return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(text, part) })
}

// secondDigits is how many digits of a second a date and time has; of what the planner computes it is not known.
func secondDigits(ctx *gms.Context, e gms.Expression) (digits int, known bool) {
	t, ok := e.Type(ctx).(gms.DatetimeType)
	if !ok {
		return 0, false
	}
	switch e := e.(type) {
	case *inType:
		return t.Precision(), true
	case *function.If, *function.IfNull, *function.Coalesce, *expression.Case:
		return t.Precision(), slices.ContainsFunc(e.Children(), func(e gms.Expression) bool { // of one type, see unified
			digits, known := secondDigits(ctx, e)
			return known && digits == t.Precision()
		})
	case *expression.GetField:
		return t.Precision(), e.Database() != ""
	case *dateShift:
		return t.Precision(), e.exactType(ctx) != nil
	case *function.StrToDate:
		if l, ok := e.Format.(*expression.Literal); ok {
			if strings.Contains(l.String(), "%f") {
				return 6, true
			}
			return 0, true
		}
	case *function.Now:
		if len(e.Children()) == 0 {
			return 0, true
		}
		if l, ok := e.Children()[0].(*expression.Literal); ok {
			n, err := integerOf(ctx, l.Value())
			return int(n), err == nil
		}
	}
	return 0, false
}

// Eval returns the sum.
func (d *dateShift) Eval(ctx *gms.Context, row gms.Row) (any, error) {
	to := d.exactType(ctx)
	if to == nil {
		return d.moment(ctx, row)
	}
	if types.IsTimespan(to) {
		return d.clock(ctx, row)
	}
	v, err := d.moment(ctx, row)
	if err != nil || v == nil {
		return nil, err
	}
	v, _, err = to.Convert(ctx, v)
	return v, err
}

// unitSeconds are units whose amounts the planner counts in nanoseconds, which are enough for 292 years.
var unitSeconds = map[string]float64{"HOUR": 3600, "MINUTE": 60, "SECOND": 1, "MICROSECOND": 1e-6}

const (
	daySeconds = 24 * 3600
	mostDays   = 4e6 // more than a date can be shifted by
)

// moment is what the planner makes of the sum. Of many hours, minutes or seconds it is told the days
// apart; a date plus more than there are dates is NULL.
func (d *dateShift) moment(ctx *gms.Context, row gms.Row) (any, error) {
	if strings.Contains(d.unit, "_") {
		return d.planners(ctx).Eval(ctx, row)
	}
	amount, err := d.amount.Eval(ctx, row)
	if err != nil || amount == nil {
		return nil, err
	}
	once := *d
	once.amount = expression.NewLiteral(amount, d.amount.Type(ctx))
	n, _, err := types.Float64.Convert(ctx, amount)
	many, ok := n.(float64)
	if err != nil || !ok {
		return once.planners(ctx).Eval(ctx, row) // which says what is wrong with it
	}
	seconds := unitSeconds[d.unit]
	if seconds > 0 {
		many *= seconds / daySeconds
	}
	switch {
	case math.Abs(many) > mostDays:
		ctx.Warn(1441, "Datetime function: datetime field overflow")
		return nil, nil
	case seconds == 0 || math.Abs(many) < 365:
		return once.planners(ctx).Eval(ctx, row)
	}
	days := once
	days.unit, days.amount = "DAY", expression.NewLiteral(int64(many), types.Int64)
	rest := once
	rest.date = days.planners(ctx)
	rest.amount = expression.NewArithmetic(once.amount, expression.NewLiteral(int64(many)*int64(daySeconds/seconds), types.Int64), sqlparser.MinusStr)
	return rest.planners(ctx).Eval(ctx, row)
}

// clock shifts a TIME, which may be longer than a day, and negative. What no TIME holds is NULL.
func (d *dateShift) clock(ctx *gms.Context, row gms.Row) (any, error) {
	v, err := d.date.Eval(ctx, row)
	if err != nil || v == nil {
		return nil, err
	}
	span, ok := v.(types.Timespan)
	if !ok {
		return d.planners(ctx).Eval(ctx, row)
	}
	// From a day of its own the sum cannot leave the years that there are.
	const day = "2000-01-01"
	from, _ := time.Parse(time.DateOnly, day)
	moved := *d
	moved.date = expression.NewLiteral(from, types.DatetimeMaxPrecision)
	sum, err := moved.moment(ctx, row)
	at, ok := sum.(time.Time)
	if err != nil || !ok {
		return nil, err
	}
	micros := int64(span) + at.Sub(from).Microseconds()
	if abs(micros) > mostMicros {
		ctx.Warn(1441, "Datetime function: time field overflow")
		return nil, nil
	}
	return types.Timespan(micros), nil
}
