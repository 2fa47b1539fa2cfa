package sql

import (
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/analyzer"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/transform"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// besideConstants lets variables and functions without arguments pass check, the planner's for
// ONLY_FULL_GROUP_BY: it takes whatever has no arguments for a column, and refused
// SELECT COUNT(*), @@x.
func besideConstants(check analyzer.RuleFunc) analyzer.RuleFunc {
	return func(ctx *gms.Context, a *analyzer.Analyzer, n gms.Node, scope *plan.Scope, sel analyzer.RuleSelector, flags *gms.QueryFlags) (gms.Node, transform.TreeIdentity, error) {
		if !analyzer.FlagIsSet(flags, gms.QFlagAggregation) {
			return n, transform.SameTree, nil
		}
		without, _, err := transform.NodeExprs(ctx, n, func(_ *gms.Context, e gms.Expression) (gms.Expression, transform.TreeIdentity, error) {
			switch e := e.(type) {
			case *expression.SystemVar, *expression.UserVar:
			case gms.FunctionExpression:
				if _, aggregate := e.(gms.Aggregation); aggregate || len(e.Children()) > 0 {
					return e, transform.SameTree, nil
				}
			default:
				return e, transform.SameTree, nil
			}
			return expression.NewLiteral(int8(1), types.Int8), transform.NewTree, nil
		})
		if err == nil {
			_, _, err = check(ctx, a, without, scope, sel, flags)
		}
		return n, transform.SameTree, err
	}
}
