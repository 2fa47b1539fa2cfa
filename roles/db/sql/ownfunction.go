package sql

import (
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// ownFunction is a function of MySQL's that the planner does not know, or has wrong. It is NULL where
// an argument is.
type ownFunction struct {
	name string
	args []gms.Expression
	// returns is the type by the arguments.
	returns func(ctx *gms.Context, args []gms.Expression) gms.Type
	eval    func(ctx *gms.Context, f *ownFunction, args []any) (any, error)
}

var (
	_ gms.FunctionExpression = (*ownFunction)(nil)
	_ gms.CollationCoercible = (*ownFunction)(nil)
)

// ownFunctions are these functions by their names, made by addFunction.
var ownFunctions = map[string]gms.Function{}

// addFunction makes a function of so many arguments known.
func addFunction(name string, args int, returns func(*gms.Context, []gms.Expression) gms.Type, eval func(*gms.Context, *ownFunction, []any) (any, error)) {
	ownFunctions[name] = gms.FunctionN{Name: name, Fn: func(_ *gms.Context, list ...gms.Expression) (gms.Expression, error) {
		if len(list) != args {
			return nil, wrongCount(name)
		}
		return &ownFunction{name, list, returns, eval}, nil
	}}
}

func wrongCount(name string) error {
	return mysqlError(1582, "Incorrect parameter count in the call to native function '%s'", strings.ToUpper(name))
}

// always is a type that no argument changes.
func always(t gms.Type) func(*gms.Context, []gms.Expression) gms.Type {
	return func(*gms.Context, []gms.Expression) gms.Type { return t }
}

// FunctionName is the name in small letters.
func (f *ownFunction) FunctionName() string { return f.name }

// Description says that it is MySQL's.
func (f *ownFunction) Description() string { return "MySQL's " + strings.ToUpper(f.name) }

// String is the call.
func (f *ownFunction) String() string {
	var args []string
	for _, a := range f.args {
		args = append(args, a.String())
	}
	return f.name + "(" + strings.Join(args, ",") + ")"
}

// Resolved says whether the arguments are.
func (f *ownFunction) Resolved() bool {
	for _, a := range f.args {
		if !a.Resolved() {
			return false
		}
	}
	return true
}

// IsNullable is true: what is no such value gives NULL.
func (f *ownFunction) IsNullable(*gms.Context) bool { return true }

// Type is that of the result.
func (f *ownFunction) Type(ctx *gms.Context) gms.Type { return f.returns(ctx, f.args) }

// Children are the arguments.
func (f *ownFunction) Children() []gms.Expression { return f.args }

// WithChildren is the function of other arguments.
func (f *ownFunction) WithChildren(_ *gms.Context, children ...gms.Expression) (gms.Expression, error) {
	if len(children) != len(f.args) {
		return nil, gms.ErrInvalidChildrenNumber.New(f, len(children), len(f.args))
	}
	other := *f
	other.args = children
	return &other, nil
}

// CollationCoercibility is that of a text that is made of values.
func (f *ownFunction) CollationCoercibility(ctx *gms.Context) (gms.CollationID, byte) {
	if types.IsText(f.Type(ctx)) {
		return ctx.GetCollation(), 4
	}
	return gms.Collation_binary, 5
}

// Eval computes the result.
func (f *ownFunction) Eval(ctx *gms.Context, row gms.Row) (any, error) {
	values := make([]any, len(f.args))
	for i, a := range f.args {
		v, err := a.Eval(ctx, row)
		if err != nil {
			return nil, err
		}
		if v, err = gms.UnwrapAny(ctx, v); err != nil || v == nil {
			return nil, err
		}
		values[i] = v
	}
	return f.eval(ctx, f, values)
}
