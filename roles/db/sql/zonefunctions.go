package sql

import (
	"time"

	"github.com/cockroachdb/apd/v3"
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/expression/function"
	"github.com/dolthub/go-mysql-server/sql/types"

	"stack/roles/db/fit"
)

// The planner's functions of moments take a TIMESTAMP's value for UTC, and are an hour off near
// a change of the session's clock.

// zoneFunction is one of them, made right; nil for every other name.
func zoneFunction(name string) gms.Function {
	switch name {
	case "unix_timestamp":
		return gms.FunctionN{Name: name, Fn: newUnixTimestamp}
	case "from_unixtime":
		return gms.FunctionN{Name: name, Fn: newFromUnixTime}
	}
	return nil
}

// unixTimestamp is UNIX_TIMESTAMP(): seconds since 1970 of a date and time in the session's zone.
type unixTimestamp struct{ *function.UnixTimestamp }

func newUnixTimestamp(ctx *gms.Context, args ...gms.Expression) (gms.Expression, error) {
	e, err := function.NewUnixTimestamp(ctx, args...)
	if err != nil {
		return nil, err
	}
	return &unixTimestamp{e.(*function.UnixTimestamp)}, nil
}

// WithChildren is the function of another argument.
func (u *unixTimestamp) WithChildren(ctx *gms.Context, children ...gms.Expression) (gms.Expression, error) {
	return newUnixTimestamp(ctx, children...)
}

// Eval returns 0 for what is no TIMESTAMP.
func (u *unixTimestamp) Eval(ctx *gms.Context, row gms.Row) (any, error) {
	if u.Date == nil {
		return u.UnixTimestamp.Eval(ctx, row)
	}
	v, err := u.Date.Eval(ctx, row)
	if err != nil || v == nil {
		return nil, err
	}
	converted, _, err := types.DatetimeMaxPrecision.Convert(ctx, v)
	shown, ok := converted.(time.Time)
	if err != nil || !ok {
		return u.UnixTimestamp.Eval(ctx, row)
	}
	s, err := sessionOf(ctx)
	if err != nil {
		return nil, err
	}
	utc, _ := fit.ToUTC(shown, s.zone())
	micros := utc.UnixMicro()
	t, isDecimal := u.Type(ctx).(gms.DecimalType)
	switch {
	case micros > function.MaxUnixTimeMicroSecs, shown.Equal(types.ZeroTime):
		return int64(0), nil
	case micros < 1e6:
		return u.Type(ctx).Zero(), nil
	case !isDecimal:
		return micros / 1e6, nil
	}
	scale := int32(t.Scale())
	for range 6 - scale {
		micros /= 10
	}
	return apd.New(micros, -scale), nil
}

// fromUnixTime is FROM_UNIXTIME(seconds).
type fromUnixTime struct{ gms.FunctionExpression }

func newFromUnixTime(ctx *gms.Context, args ...gms.Expression) (gms.Expression, error) {
	e, err := function.NewFromUnixtime(ctx, args...)
	if err != nil {
		return nil, err
	}
	plain := &fromUnixTime{e.(gms.FunctionExpression)}
	if len(args) == 1 {
		return plain, nil
	}
	first, err := newFromUnixTime(ctx, args[0])
	if err != nil {
		return nil, err
	}
	return function.NewDateFormat(ctx, first, args[1]), nil
}

// WithChildren is the function of another argument.
func (f *fromUnixTime) WithChildren(ctx *gms.Context, children ...gms.Expression) (gms.Expression, error) {
	return newFromUnixTime(ctx, children...)
}

// Eval returns what the session's clock shows.
func (f *fromUnixTime) Eval(ctx *gms.Context, row gms.Row) (any, error) {
	v, err := f.Children()[0].Eval(ctx, row)
	if err != nil || v == nil {
		return nil, err
	}
	converted, _, err := types.Int64.Convert(ctx, v)
	seconds, ok := converted.(int64)
	if err != nil || !ok || seconds < 0 || seconds > function.MaxUnixTimeSecs {
		return f.FunctionExpression.Eval(ctx, row)
	}
	s, err := sessionOf(ctx)
	if err != nil {
		return nil, err
	}
	return fit.Shown(time.Unix(seconds, 0).UTC(), s.zone()), nil
}

// zonedNow is NOW() or SYSDATE() in a session whose clock is changed at times.
type zonedNow struct{ *function.Now }

// WithChildren is the function of another argument.
func (z *zonedNow) WithChildren(ctx *gms.Context, children ...gms.Expression) (gms.Expression, error) {
	if len(children) > 0 {
		return nil, gms.ErrInvalidChildrenNumber.New(z, len(children), 0)
	}
	return z, nil
}

// Children are none: the argument is a constant.
func (z *zonedNow) Children() []gms.Expression { return nil }

// Eval puts right what the planner takes for the difference to UTC.
func (z *zonedNow) Eval(ctx *gms.Context, row gms.Row) (any, error) {
	v, err := z.Now.Eval(ctx, row)
	shown, ok := v.(time.Time)
	if err != nil || !ok {
		return v, err
	}
	// SYSDATE() is a little later than the statement.
	s, err := sessionOf(ctx)
	if err != nil {
		return nil, err
	}
	right, _ := fit.Shown(ctx.QueryTime().UTC(), s.zone()).(time.Time)
	off := right.Sub(shown).Round(15 * time.Minute)
	return shown.Add(off), nil
}

// inZone gives NOW() the session's clock.
func inZone(ctx *gms.Context, now *function.Now) gms.Expression {
	s, err := sessionOf(ctx)
	if err != nil || s.zone() == nil {
		return nil
	}
	return &zonedNow{now}
}

// moment is a TIMESTAMP as a DATETIME: its own type refuses what clocks show at the ends of
// its range.
type moment struct{ expression.UnaryExpressionStub }

func (m *moment) String() string             { return m.Child.String() }
func (m *moment) Type(*gms.Context) gms.Type { return types.DatetimeMaxPrecision }
func (m *moment) Eval(ctx *gms.Context, row gms.Row) (any, error) {
	return m.Child.Eval(ctx, row)
}

// WithChildren is the moment of another column.
func (m *moment) WithChildren(_ *gms.Context, children ...gms.Expression) (gms.Expression, error) {
	if len(children) != 1 {
		return nil, gms.ErrInvalidChildrenNumber.New(m, len(children), 1)
	}
	return &moment{expression.UnaryExpressionStub{Child: children[0]}}, nil
}
