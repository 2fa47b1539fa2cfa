package sql

import (
	"fmt"
	"slices"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/expression/function"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// storedFunction is a call of a stored function in an expression.
type storedFunction struct {
	r       *routine
	args    []gms.Expression
	definer *accountKey // of the view that calls it; nil: it is called for whom the statement runs as
	late    bool        // not to be computed before the statement runs
}

// notYet is something that the planner does not compute while it plans.
var notYet = expression.NewProcedureParam("", types.Null).WithParamReference(expression.NewProcedureReference())

var (
	_ gms.FunctionExpression         = (*storedFunction)(nil)
	_ gms.NonDeterministicExpression = (*storedFunction)(nil)
)

// builtIn holds the names of the planner's functions: a stored one of that name is not
// called.
var builtIn = func() map[string]bool {
	names := map[string]bool{}
	for _, f := range function.BuiltIns {
		names[strings.ToLower(f.FunctionName())] = true
	}
	return names
}()

// storedFunctionNamed finds a stored function of the current database for the planner,
// or of the named one.
func (s *Session) storedFunctionNamed(database, name string) (gms.Function, bool) {
	if database == "" {
		database = s.GetCurrentDatabase()
	}
	if database == "" || builtIn[strings.ToLower(name)] {
		return nil, false
	}
	r, err := s.routineNamed(objectFunction, database, name)
	if err != nil || r == nil {
		return nil, false
	}
	definer := s.calledInView(database, name)
	return gms.FunctionN{Name: r.name, Fn: func(_ *gms.Context, args ...gms.Expression) (gms.Expression, error) {
		if len(args) != len(r.params) {
			return nil, mysqlError(1318, "Incorrect number of arguments for FUNCTION %s.%s; expected %d, got %d", r.database, r.name, len(r.params), len(args))
		}
		return &storedFunction{r, args, definer, s.triggers}, nil
	}}, true
}

// writesByFunction says whether a statement calls a stored function that may write.
func (s *Session) writesByFunction(st sqlparser.SQLNode) bool {
	writes := false
	_ = sqlparser.Walk(func(n sqlparser.SQLNode) (bool, error) {
		f, ok := n.(*sqlparser.FuncExpr)
		if !ok || writes || builtIn[f.Name.Lowered()] {
			return !writes, nil
		}
		database := f.Qualifier.String()
		if database == "" {
			database = s.GetCurrentDatabase()
		}
		if r, err := s.routineNamed(objectFunction, database, f.Name.String()); database != "" && err == nil && r != nil {
			writes = s.mayWrite(r, map[string]bool{})
		}
		return !writes, nil
	}, st)
	return writes
}

// mayWrite looks through the functions that a routine calls.
func (s *Session) mayWrite(r *routine, seen map[string]bool) bool {
	if r.writes {
		return true
	}
	if seen[r.database+"."+r.name] {
		return false
	}
	seen[r.database+"."+r.name] = true
	writes := false
	_ = sqlparser.Walk(func(n sqlparser.SQLNode) (bool, error) {
		if f, ok := n.(*sqlparser.FuncExpr); ok && !writes && !builtIn[f.Name.Lowered()] {
			if inner, err := s.routineNamed(objectFunction, r.database, f.Name.String()); err == nil && inner != nil {
				writes = s.mayWrite(inner, seen)
			}
		}
		return !writes, nil
	}, r.body)
	return writes
}

// FunctionName is the function's name.
func (f *storedFunction) FunctionName() string { return f.r.name }

// Description says that it is a stored function.
func (f *storedFunction) Description() string { return "stored function" }

// IsNonDeterministic is true unless the function was declared DETERMINISTIC.
func (f *storedFunction) IsNonDeterministic() bool { return !f.r.deterministic }

// Resolved says whether the arguments are.
func (f *storedFunction) Resolved() bool {
	for _, a := range f.args {
		if !a.Resolved() {
			return false
		}
	}
	return true
}

func (f *storedFunction) String() string {
	args := make([]string, len(f.args))
	for i, a := range f.args {
		args[i] = a.String()
	}
	return fmt.Sprintf("%s(%s)", f.r.name, strings.Join(args, ", "))
}

// Type is what RETURNS says.
func (f *storedFunction) Type(*gms.Context) gms.Type { return f.r.returns }

// IsNullable is true: a body may return NULL.
func (f *storedFunction) IsNullable(*gms.Context) bool { return true }

// Children are the arguments.
func (f *storedFunction) Children() []gms.Expression {
	if f.late {
		return append(slices.Clip(f.args), notYet)
	}
	return f.args
}

// WithChildren is the call with other arguments.
func (f *storedFunction) WithChildren(_ *gms.Context, args ...gms.Expression) (gms.Expression, error) {
	if n := len(f.Children()); len(args) != n {
		return nil, gms.ErrInvalidChildrenNumber.New(f, len(args), n)
	}
	return &storedFunction{f.r, args[:len(f.args)], f.definer, f.late}, nil
}

// CollationCoercibility is that of a column.
func (f *storedFunction) CollationCoercibility(ctx *gms.Context) (gms.CollationID, byte) {
	if t, ok := f.r.returns.(gms.TypeWithCollation); ok {
		return t.Collation(), 4
	}
	return gms.Collation_binary, 5
}

// Eval calls the function within the running statement.
func (f *storedFunction) Eval(ctx *gms.Context, row gms.Row) (any, error) {
	s, err := sessionOf(ctx)
	if err != nil {
		return nil, err
	}
	if s.triggers { // the planner asks for values of an index, and does without
		return nil, fmt.Errorf("function %s.%s is not computed while triggers are planned", f.r.database, f.r.name)
	}
	if err := s.asDefiner(ctx, f.definer, func() error { return s.mayExecute(ctx, f.r) }); err != nil {
		return nil, err
	}
	call := &frame{s: s, r: f.r, inside: true}
	b := call.push()
	for i, p := range f.r.params {
		value, err := f.args[i].Eval(ctx, row)
		if err != nil {
			return nil, err
		}
		v := &variable{typ: f.r.types[i]}
		if err := call.assign(ctx, p.Name, v, value); err != nil {
			return nil, err
		}
		b.variables[strings.ToLower(p.Name)] = v
	}
	err = s.asDefiner(ctx, f.definer, func() error {
		return s.enter(ctx, f.r, func() error { return call.start(ctx) })
	})
	result, ok := err.(returned)
	if !ok {
		if err == nil {
			err = mysqlError(1321, "FUNCTION %s ended without RETURN", f.r.name)
		}
		return nil, err
	}
	v := &variable{typ: f.r.returns}
	if err := call.assign(ctx, f.r.name, v, result.value); err != nil {
		return nil, err
	}
	return v.value, nil
}

// mayExecute checks EXECUTE on a routine, its database or everywhere.
func (s *Session) mayExecute(ctx *gms.Context, r *routine) error {
	set := s.engine.accounts.db.UserActivePrivilegeSet(ctx)
	db := set.Database(r.database)
	if set.Has(gms.PrivilegeType_Execute) || set.Has(gms.PrivilegeType_Super) || db.Has(gms.PrivilegeType_Execute) ||
		db.Routine(r.name, r.kind == objectProcedure).Has(gms.PrivilegeType_Execute) {
		return nil
	}
	return mysqlError(1370, "execute command denied to user '%s'@'%s' for routine '%s.%s'", s.BaseSession.Client().User, s.BaseSession.Client().Address, r.database, r.name)
}
