package sql

import (
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/analyzer"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/transform"
)

// queriesOfDuplicates is a rule for finished plans, for the queries in ON DUPLICATE KEY UPDATE a = (SELECT …).
// The planner leaves them as they are where all values are literals; prepare are its rules for them.
// And it counts the positions of their columns without those of the row that is there already and of the row
// that is added, which come before them: only columns without an id are found by their names.
func queriesOfDuplicates(prepare ...analyzer.RuleFunc) analyzer.RuleFunc {
	return func(ctx *gms.Context, a *analyzer.Analyzer, n gms.Node, scope *plan.Scope, sel analyzer.RuleSelector, flags *gms.QueryFlags) (gms.Node, transform.TreeIdentity, error) {
		insert, ok := n.(*plan.InsertInto)
		if !ok || !asks(ctx, insert.OnDupExprs.AllExpressions()) {
			return n, transform.SameTree, nil
		}
		if insert.LiteralValueSource {
			for _, rule := range prepare {
				var err error
				if n, _, err = rule(ctx, a, n, scope, sel, flags); err != nil {
					return nil, transform.SameTree, err
				}
			}
		}
		return transform.OneNodeExpressions(ctx, n, queriesByName)
	}
}

// asks says whether there is a query in expressions.
func asks(ctx *gms.Context, list []gms.Expression) bool {
	for _, e := range list {
		if transform.InspectExpr(ctx, e, func(_ *gms.Context, e gms.Expression) bool {
			_, ok := e.(*plan.Subquery)
			return ok
		}) {
			return true
		}
	}
	return false
}

// queriesByName takes the ids off the columns in a query.
func queriesByName(ctx *gms.Context, e gms.Expression) (gms.Expression, transform.TreeIdentity, error) {
	query, ok := e.(*plan.Subquery)
	if !ok {
		return e, transform.SameTree, nil
	}
	inner, _, err := transform.NodeExprsWithOpaque(ctx, query.Query, func(ctx *gms.Context, e gms.Expression) (gms.Expression, transform.TreeIdentity, error) {
		if field, ok := e.(*expression.GetField); ok {
			return field.WithId(0).(gms.Expression), transform.NewTree, nil
		}
		return queriesByName(ctx, e)
	})
	return query.WithQuery(inner), transform.NewTree, err
}
