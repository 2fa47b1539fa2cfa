package sql

import (
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/analyzer"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/transform"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// wholeQueries is a rule for plans as they come from the statement. The planner takes conditions out of a
// query in EXISTS or IN that name the tables around it, as if the query then had no rows where they are
// not true. One with an aggregate and without GROUP BY has a row then too: COUNT(*) is 0. Such
// queries, EXISTS of one with a LIMIT, which it drops, and of one that joins derived tables are asked as they are.
func wholeQueries(ctx *gms.Context, _ *analyzer.Analyzer, n gms.Node, _ *plan.Scope, _ analyzer.RuleSelector, _ *gms.QueryFlags) (gms.Node, transform.TreeIdentity, error) {
	return askWhole(ctx, n)
}

func askWhole(ctx *gms.Context, n gms.Node) (gms.Node, transform.TreeIdentity, error) {
	return transform.NodeWithOpaque(ctx, n, func(ctx *gms.Context, n gms.Node) (gms.Node, transform.TreeIdentity, error) {
		n, same, err := transform.OneNodeExpressions(ctx, n, func(ctx *gms.Context, e gms.Expression) (gms.Expression, transform.TreeIdentity, error) {
			query, ok := e.(*plan.Subquery)
			if !ok {
				return e, transform.SameTree, nil
			}
			inner, same, err := askWhole(ctx, query.Query)
			if err != nil || same {
				return e, transform.SameTree, err
			}
			return query.WithQuery(inner), transform.NewTree, nil
		})
		if err != nil {
			return nil, transform.SameTree, err
		}
		switch n := n.(type) {
		case *plan.Filter:
			if e := wholeParts(ctx, n.Expression); e != nil {
				return plan.NewFilter(ctx, e, n.Child), transform.NewTree, nil
			}
		case *plan.JoinNode:
			if n.Filter != nil {
				if e := wholeParts(ctx, n.Filter); e != nil {
					return n.WithFilter(e), transform.NewTree, nil
				}
			}
		}
		return n, same, nil
	})
}

// wholeParts hides queries in the parts of a condition from the planner by asking whether the part is true,
// which is all that a condition asks; nil: there are none.
func wholeParts(ctx *gms.Context, e gms.Expression) gms.Expression {
	parts := expression.SplitConjunction(ctx, e)
	changed := false
	for i, part := range parts {
		asked := part
		if not, ok := part.(*expression.Not); ok {
			asked = not.Child
		}
		var whole bool
		switch e := asked.(type) {
		case *plan.ExistsSubquery:
			whole = oneWhole(ctx, e.Query.Query, true) || !e.Query.Correlated().Empty() && joinsDerived(e.Query.Query)
		case *plan.InSubquery:
			query, ok := e.RightChild.(*plan.Subquery)
			whole = ok && !query.Correlated().Empty() && oneWhole(ctx, query.Query, false)
		}
		if whole {
			parts[i], changed = expression.NewIsTrue(part), true
		}
	}
	if !changed {
		return nil
	}
	return expression.JoinAnd(parts...)
}

// oneWhole says whether a query has an aggregate over all its rows, or, where that is asked for, a LIMIT.
func oneWhole(ctx *gms.Context, n gms.Node, limits bool) bool {
	whole := false
	transform.InspectWithOpaque(ctx, n, func(ctx *gms.Context, n gms.Node) bool {
		switch n := n.(type) {
		case *plan.GroupBy:
			whole = whole || len(n.GroupByExprs) == 0
		case *plan.Limit:
			whole = whole || limits && !atLeastOne(ctx, n.Limit)
		}
		return !whole
	})
	return whole
}

// joinsDerived says whether a query joins a derived table. The planner moves conditions on it into it,
// and then takes EXISTS for a join whose right side names nothing of the left one.
func joinsDerived(n gms.Node) bool {
	derived := false
	transform.Inspect(n, func(n gms.Node) bool {
		if j, ok := n.(*plan.JoinNode); ok {
			transform.Inspect(j, func(n gms.Node) bool {
				_, ok := n.(*plan.SubqueryAlias)
				derived = derived || ok
				return !derived
			})
		}
		return !derived
	})
	return derived
}

// atLeastOne says whether a LIMIT is known to let a row through.
func atLeastOne(ctx *gms.Context, limit gms.Expression) bool {
	literal, ok := limit.(*expression.Literal)
	if !ok {
		return false
	}
	n, _, err := types.Int64.Convert(ctx, literal.Value())
	return err == nil && n.(int64) > 0
}
