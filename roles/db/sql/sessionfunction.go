package sql

import (
	gms "github.com/dolthub/go-mysql-server/sql"
)

// sessionFunction is a function that does something with the session, and gets its arguments as they are written.
type sessionFunction struct {
	ownFunction
	of func(ctx *gms.Context, s *Session, f *sessionFunction, row gms.Row) (any, error)
}

var (
	_ gms.FunctionExpression         = (*sessionFunction)(nil)
	_ gms.NonDeterministicExpression = (*sessionFunction)(nil)
)

// addSessionFunction makes a function known that has so many arguments, and so many more that may be left out.
func addSessionFunction(name string, args, more int, returns gms.Type, of func(*gms.Context, *Session, *sessionFunction, gms.Row) (any, error)) {
	ownFunctions[name] = gms.FunctionN{Name: name, Fn: func(_ *gms.Context, list ...gms.Expression) (gms.Expression, error) {
		if len(list) < args || len(list) > args+more {
			return nil, wrongCount(name)
		}
		return &sessionFunction{ownFunction{name: name, args: list, returns: always(returns)}, of}, nil
	}}
}

// IsNonDeterministic is true: the same call may answer otherwise the next time.
func (f *sessionFunction) IsNonDeterministic() bool { return true }

// WithChildren is the function of other arguments.
func (f *sessionFunction) WithChildren(ctx *gms.Context, children ...gms.Expression) (gms.Expression, error) {
	own, err := f.ownFunction.WithChildren(ctx, children...)
	if err != nil {
		return nil, err
	}
	return &sessionFunction{*own.(*ownFunction), f.of}, nil
}

// Eval computes the result.
func (f *sessionFunction) Eval(ctx *gms.Context, row gms.Row) (any, error) {
	s, err := sessionOf(ctx)
	if err != nil {
		return nil, err
	}
	return f.of(ctx, s, f, row)
}
