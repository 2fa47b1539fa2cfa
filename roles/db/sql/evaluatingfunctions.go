package sql

import (
	"strings"

	"github.com/cockroachdb/apd/v3"
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// rowFunction is an own function that evaluates its arguments itself: some of them more
// often than once, or one of them may be NULL.
type rowFunction struct {
	ownFunction
	of func(ctx *gms.Context, f *rowFunction, row gms.Row) (any, error)
}

var _ gms.FunctionExpression = (*rowFunction)(nil)

func init() {
	addRowFunction("benchmark", 2, 2, benchmark)
	addRowFunction(intervalRead, 2, 1<<16, interval)
}

func addRowFunction(name string, least, most int, of func(*gms.Context, *rowFunction, gms.Row) (any, error)) {
	ownFunctions[name] = gms.FunctionN{Name: name, Fn: func(_ *gms.Context, args ...gms.Expression) (gms.Expression, error) {
		if len(args) < least || len(args) > most {
			return nil, wrongCount(name)
		}
		return &rowFunction{ownFunction{name: name, args: args, returns: always(types.Int64)}, of}, nil
	}}
}

// WithChildren is the function of other arguments.
func (f *rowFunction) WithChildren(ctx *gms.Context, children ...gms.Expression) (gms.Expression, error) {
	own, err := f.ownFunction.WithChildren(ctx, children...)
	if err != nil {
		return nil, err
	}
	return &rowFunction{*own.(*ownFunction), f.of}, nil
}

// String is the call, as it is said.
func (f *rowFunction) String() string {
	if f.name != intervalRead {
		return f.ownFunction.String()
	}
	return intervalFunction + strings.TrimPrefix(f.ownFunction.String(), f.name)
}

// Eval computes the result.
func (f *rowFunction) Eval(ctx *gms.Context, row gms.Row) (any, error) { return f.of(ctx, f, row) }

// benchmark is BENCHMARK(): it evaluates an expression so often. KILL ends it.
func benchmark(ctx *gms.Context, f *rowFunction, row gms.Row) (any, error) {
	v, err := f.args[0].Eval(ctx, row)
	if err != nil || v == nil {
		return nil, err
	}
	times, err := integerOf(ctx, v)
	if err != nil {
		return nil, err
	}
	if times < 0 {
		ctx.Warn(1411, "Incorrect count value: '%d' for function benchmark", times)
		return nil, nil
	}
	for i := range times {
		if i%1024 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if _, err := f.args[1].Eval(ctx, row); err != nil {
			return nil, err
		}
	}
	return int64(0), nil
}

// interval is INTERVAL(): how many of the numbers behind the first it reaches, -1 for NULL.
func interval(ctx *gms.Context, f *rowFunction, row gms.Row) (any, error) {
	exact := true
	for _, a := range f.args {
		exact = exact && isExact(a.Type(ctx))
	}
	var first any
	for i, a := range f.args {
		v, err := a.Eval(ctx, row)
		if err != nil {
			return nil, err
		}
		to := gms.Type(types.Float64)
		if exact {
			to = types.InternalDecimalType
		}
		if v, _, err = to.Convert(ctx, v); err != nil && !gms.ErrTruncatedIncorrect.Is(err) {
			return nil, err
		}
		switch {
		case i == 0 && v == nil:
			return int64(-1), nil
		case i == 0:
			first = v
		case v != nil && less(first, v):
			return int64(i - 1), nil
		}
	}
	return int64(len(f.args) - 1), nil
}

// less compares two DOUBLEs or two DECIMALs.
func less(a, b any) bool {
	if x, ok := a.(*apd.Decimal); ok {
		return x.Cmp(b.(*apd.Decimal)) < 0
	}
	return a.(float64) < b.(float64)
}
