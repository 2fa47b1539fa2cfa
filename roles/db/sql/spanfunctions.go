package sql

import (
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression/function"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// The planner's functions of times take a TIME for a moment of the first day, so that
// '-00:00:01' is a second before midnight and 30 hours are 6, and text for a date.

// spanFunction is one of them, made right; nil for every other name.
func spanFunction(name string) gms.Function {
	f := spanPart{}
	var planner func(*gms.Context, gms.Expression) gms.Expression
	switch name {
	case "time_to_sec":
		planner, f.typ, f.part = function.NewTimeToSec, types.Int64, func(micros int64) any { return micros / 1_000_000 }
	case "hour":
		planner, f.typ, f.part = function.NewHour, types.Int32, func(micros int64) any { return int32(abs(micros) / 3_600_000_000) }
	case "minute":
		planner, f.typ, f.part = function.NewMinute, types.Int32, func(micros int64) any { return int32(abs(micros) / 60_000_000 % 60) }
	case "second":
		planner, f.typ, f.part = function.NewSecond, types.Int32, func(micros int64) any { return int32(abs(micros) / 1_000_000 % 60) }
	case "microsecond":
		planner, f.typ, f.part = function.NewMicrosecond, types.Int32, func(micros int64) any { return int32(abs(micros) % 1_000_000) }
	default:
		return nil
	}
	return gms.Function1{Name: name, Fn: func(ctx *gms.Context, arg gms.Expression) gms.Expression {
		f := f
		f.FunctionExpression = planner(ctx, arg).(gms.FunctionExpression)
		return &f
	}}
}

func abs(n int64) int64 { return max(n, -n) }

// spanPart is a function of one TIME.
type spanPart struct {
	gms.FunctionExpression // the planner's, for dates
	typ                    gms.Type
	part                   func(micros int64) any
}

// Type is a number's.
func (f *spanPart) Type(*gms.Context) gms.Type { return f.typ }

// WithChildren is the function of another argument.
func (f *spanPart) WithChildren(ctx *gms.Context, children ...gms.Expression) (gms.Expression, error) {
	e, err := f.FunctionExpression.WithChildren(ctx, children...)
	if err != nil {
		return nil, err
	}
	other := *f
	other.FunctionExpression = e.(gms.FunctionExpression)
	return &other, nil
}

// Eval returns the part of a TIME, or of text in its form.
func (f *spanPart) Eval(ctx *gms.Context, row gms.Row) (any, error) {
	v, err := f.Children()[0].Eval(ctx, row)
	if err != nil || v == nil {
		return nil, err
	}
	text, isText := v.(string)
	if isText && strings.Contains(text, ":") && !strings.ContainsAny(strings.TrimPrefix(text, "-"), "-/ T") {
		if span, err := types.Time.ConvertToTimespan(text); err == nil {
			v = span
		}
	}
	if span, ok := v.(types.Timespan); ok {
		return f.part(int64(span)), nil
	}
	v, err = f.FunctionExpression.Eval(ctx, row)
	if err != nil || v == nil {
		return nil, err
	}
	v, _, err = f.typ.Convert(ctx, v)
	return v, err
}
