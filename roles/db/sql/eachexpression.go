package sql

import (
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/transform"
)

// eachExpression changes the expressions of a plan, in derived tables and subqueries too.
func eachExpression(ctx *gms.Context, n gms.Node, change transform.ExprFunc) (gms.Node, transform.TreeIdentity, error) {
	return transform.NodeWithOpaque(ctx, n, func(ctx *gms.Context, n gms.Node) (gms.Node, transform.TreeIdentity, error) {
		return transform.OneNodeExpressions(ctx, n, func(ctx *gms.Context, e gms.Expression) (gms.Expression, transform.TreeIdentity, error) {
			if query, ok := e.(*plan.Subquery); ok {
				return withQuery(query, func(n gms.Node) (gms.Node, transform.TreeIdentity, error) {
					return eachExpression(ctx, n, change)
				})
			}
			return change(ctx, e)
		})
	})
}

// withQuery is a subquery with another plan.
func withQuery(query *plan.Subquery, change func(gms.Node) (gms.Node, transform.TreeIdentity, error)) (gms.Expression, transform.TreeIdentity, error) {
	inner, same, err := change(query.Query)
	if err != nil || same {
		return query, transform.SameTree, err
	}
	return query.WithQuery(inner), transform.NewTree, nil
}
