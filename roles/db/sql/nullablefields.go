package sql

import (
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/analyzer"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/transform"
)

// nullableFields is a rule for plans as they come from the statement. A column that is NOT NULL
// is NULL where a LEFT JOIN finds no row of its table; the planner takes it for one that never
// is, and makes conditions simpler that then are not the same. It says so of these columns.
func nullableFields(ctx *gms.Context, _ *analyzer.Analyzer, n gms.Node, _ *plan.Scope, _ analyzer.RuleSelector, _ *gms.QueryFlags) (gms.Node, transform.TreeIdentity, error) {
	nullable := map[gms.TableId]bool{}
	addNullable(ctx, n, nullable)
	if len(nullable) == 0 {
		return n, transform.SameTree, nil
	}
	return eachExpression(ctx, n, func(ctx *gms.Context, e gms.Expression) (gms.Expression, transform.TreeIdentity, error) {
		if f, ok := e.(*expression.GetField); ok && nullable[f.TableId()] && !f.IsNullable(ctx) {
			return retyped(f, f.Type(ctx), true), transform.NewTree, nil
		}
		return e, transform.SameTree, nil
	})
}

// addNullable adds the tables on the right of LEFT JOINs, in subqueries too.
func addNullable(ctx *gms.Context, n gms.Node, nullable map[gms.TableId]bool) {
	transform.InspectWithOpaque(ctx, n, func(ctx *gms.Context, n gms.Node) bool {
		if j, ok := n.(*plan.JoinNode); ok && (j.Op.IsLeftOuter() || j.Op.IsFullOuter()) {
			for _, id := range tablesIn(j.Right()) {
				nullable[id] = true
			}
			if j.Op.IsFullOuter() {
				for _, id := range tablesIn(j.Left()) {
					nullable[id] = true
				}
			}
		}
		if e, ok := n.(gms.Expressioner); ok {
			for _, e := range e.Expressions() {
				transform.InspectExpr(ctx, e, func(ctx *gms.Context, e gms.Expression) bool {
					if query, ok := e.(*plan.Subquery); ok {
						addNullable(ctx, query.Query, nullable)
					}
					return false
				})
			}
		}
		return true
	})
}
