package sql

import (
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/expression/function/aggregation"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// deviationFunction finds STDDEV, VARIANCE and their kin for the planner, made with arguments
// that are DOUBLE as the result is. The planner's own have the type of their argument: those of
// integers were integers.
func deviationFunction(name string) (gms.Function, bool) {
	var made func(gms.Expression) gms.Expression
	switch name {
	case "std", "stddev", "stddev_pop":
		made = func(e gms.Expression) gms.Expression { return aggregation.NewStdDevPop(e) }
	case "stddev_samp":
		made = func(e gms.Expression) gms.Expression { return aggregation.NewStdDevSamp(e) }
	case "variance", "var_pop":
		made = func(e gms.Expression) gms.Expression { return aggregation.NewVarPop(e) }
	case "var_samp":
		made = func(e gms.Expression) gms.Expression { return aggregation.NewVarSamp(e) }
	default:
		return nil, false
	}
	return gms.Function1{Name: name, Fn: func(ctx *gms.Context, e gms.Expression) gms.Expression {
		if e.Resolved() && !types.IsFloat(e.Type(ctx)) {
			e = expression.NewConvert(e, expression.ConvertToDouble)
		}
		return made(e)
	}}, true
}
