package sql

import (
	"fmt"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// callInside runs CALL in a trigger, which the planner has planned: the procedure runs
// here as those of functions do, inside the statement and undone with it. row is what the trigger has of
// its table.
func callInside(ctx *gms.Context, n *plan.Call, row gms.Row) (gms.RowIter, error) {
	s, err := sessionOf(ctx)
	if err != nil {
		return nil, err
	}
	database := s.GetCurrentDatabase()
	if d, ok := any(n).(gms.Databaser); ok && d.Database() != nil {
		database = d.Database().Name()
	}
	r, err := s.routineNamed(objectProcedure, database, n.Name)
	if err != nil {
		return nil, err
	}
	if r == nil {
		return nil, gms.ErrStoredProcedureDoesNotExist.New(n.Name)
	}
	if len(n.Params) != len(r.params) {
		return nil, gms.ErrCallIncorrectParameterCount.New(r.name, len(r.params), len(n.Params))
	}
	caller := &frame{s: s, r: &routine{}, inside: true}
	scope := caller.push()
	call := &sqlparser.Call{ProcName: sqlparser.ProcedureName{Name: sqlparser.NewColIdent(r.name), Qualifier: sqlparser.NewTableIdent(database)}}
	call.Auth = sqlparser.AuthInformation{AuthType: sqlparser.AuthType_CALL, TargetType: sqlparser.AuthTargetType_Ignore, TargetNames: []string{database, r.name, fmt.Sprint(len(n.Params))}}
	variables := make([]*variable, len(n.Params))
	for i, p := range n.Params {
		v := &variable{typ: r.types[i]}
		if _, isUser := p.(*expression.UserVar); !isUser && r.params[i].Direction != sqlparser.ProcedureParamDirection_In {
			return nil, mysqlError(1414, "OUT or INOUT argument %d for routine %s.%s is not a variable", i+1, database, r.name)
		}
		value, err := p.Eval(ctx, row)
		if err != nil {
			return nil, err
		}
		name := fmt.Sprint("argument", i)
		if err := caller.assign(ctx, name, v, value); err != nil {
			return nil, err
		}
		scope.variables[name], variables[i] = v, v
		call.Params = append(call.Params, &sqlparser.ColName{Name: sqlparser.NewColIdent(name)})
	}
	if err := s.call(ctx, call, caller, nil); err != nil {
		return nil, err
	}
	for i, p := range n.Params {
		user, ok := p.(*expression.UserVar)
		if !ok || r.params[i].Direction == sqlparser.ProcedureParamDirection_In {
			continue
		}
		if err := ctx.SetUserVariable(ctx, strings.TrimPrefix(user.Name, "@"), variables[i].value, variables[i].typ); err != nil {
			return nil, err
		}
	}
	return gms.RowsToRowIter(), nil
}
