package sql

import (
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/analyzer"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/transform"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// oneRowEach is a rule for plans as they come from the statement. The planner makes a
// join of x = (SELECT …), which takes every row of the subquery where MySQL refuses more
// than one. It looks for the subquery on the right: what may have several rows is moved
// to the left, where it is evaluated once, and counted.
func oneRowEach(ctx *gms.Context, _ *analyzer.Analyzer, n gms.Node, _ *plan.Scope, _ analyzer.RuleSelector, _ *gms.QueryFlags) (gms.Node, transform.TreeIdentity, error) {
	return oneRowPlan(ctx, n)
}

func oneRowPlan(ctx *gms.Context, n gms.Node) (gms.Node, transform.TreeIdentity, error) {
	return transform.NodeWithOpaque(ctx, n, func(ctx *gms.Context, n gms.Node) (gms.Node, transform.TreeIdentity, error) {
		_, filter := n.(*plan.Filter)
		return transform.OneNodeExpressions(ctx, n, func(ctx *gms.Context, e gms.Expression) (gms.Expression, transform.TreeIdentity, error) {
			if query, ok := e.(*plan.Subquery); ok {
				inner, same, err := oneRowPlan(ctx, query.Query)
				if err != nil || same {
					return e, transform.SameTree, err
				}
				return query.WithQuery(inner), transform.NewTree, nil
			}
			if c, ok := e.(expression.Comparer); ok && filter {
				if turned := subqueryLeft(ctx, c); turned != nil {
					return turned, transform.NewTree, nil
				}
			}
			return e, transform.SameTree, nil
		})
	})
}

// subqueryLeft turns a comparison with a subquery that may have several rows; nil where
// there is nothing to turn.
func subqueryLeft(ctx *gms.Context, c expression.Comparer) gms.Expression {
	query, ok := c.Right().(*plan.Subquery)
	if !ok || atMostOneRow(ctx, query.Query) {
		return nil
	}
	l, r := c.Right(), c.Left()
	if _, both := r.(*plan.Subquery); both {
		r = expression.Tuple{r}
	}
	switch c.(type) {
	case *expression.Equals:
		return expression.NewEquals(l, r)
	case *expression.NullSafeEquals:
		return expression.NewNullSafeEquals(l, r)
	case *expression.GreaterThan:
		return expression.NewLessThan(l, r)
	case *expression.GreaterThanOrEqual:
		return expression.NewLessThanOrEqual(l, r)
	case *expression.LessThan:
		return expression.NewGreaterThan(l, r)
	case *expression.LessThanOrEqual:
		return expression.NewGreaterThanOrEqual(l, r)
	}
	return nil
}

// atMostOneRow says whether it shows from the query alone that it has one row or none:
// then the planner's join is right, and can use an index.
func atMostOneRow(ctx *gms.Context, n gms.Node) bool {
	switch n := n.(type) {
	case *plan.GroupBy:
		return len(n.GroupByExprs) == 0
	case *plan.Limit:
		if limit, ok := n.Limit.(*expression.Literal); ok {
			if v, _, err := types.Uint64.Convert(ctx, limit.Value()); err == nil && (v == uint64(0) || v == uint64(1)) {
				return true
			}
		}
		return atMostOneRow(ctx, n.Child)
	case *plan.Filter:
		return onePrimaryKey(ctx, n) || atMostOneRow(ctx, n.Child)
	case *plan.Project, *plan.Sort, *plan.Having, *plan.Distinct:
		return atMostOneRow(ctx, n.Children()[0])
	}
	return false
}

// onePrimaryKey says whether f allows one value of every column of a table's primary key.
func onePrimaryKey(ctx *gms.Context, f *plan.Filter) bool {
	switch f.Child.(type) {
	case *plan.ResolvedTable, *plan.TableAlias:
	default:
		return false
	}
	given := map[string]bool{}
	for _, e := range expression.SplitConjunction(ctx, f.Expression) {
		eq, ok := e.(*expression.Equals)
		if !ok {
			continue
		}
		l, r := eq.Left(), eq.Right()
		if _, ok := r.(*expression.GetField); ok {
			l, r = r, l
		}
		column, isColumn := l.(*expression.GetField)
		_, isValue := r.(*expression.Literal)
		if isColumn && isValue {
			given[column.Name()] = true
		}
	}
	key := 0
	for _, c := range f.Child.Schema(ctx) {
		if c.PrimaryKey {
			key++
			if !given[c.Name] {
				return false
			}
		}
	}
	return key > 0
}
