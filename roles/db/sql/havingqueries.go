package sql

import (
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/analyzer"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/transform"
)

// columnsOfHavings is a rule for plans as they come from the statement: groups have also the columns
// that only subqueries in HAVING name. The planner left them out, and gave the subquery the value of
// another column:
//
//	SELECT name FROM t GROUP BY id, name HAVING COUNT(*) = (SELECT COUNT(*) FROM u WHERE u.t = t.id)
func columnsOfHavings(ctx *gms.Context, _ *analyzer.Analyzer, n gms.Node, _ *plan.Scope, _ analyzer.RuleSelector, _ *gms.QueryFlags) (gms.Node, transform.TreeIdentity, error) {
	return columnsOfHavingsIn(ctx, n)
}

func columnsOfHavingsIn(ctx *gms.Context, n gms.Node) (gms.Node, transform.TreeIdentity, error) {
	return transform.NodeWithOpaque(ctx, n, func(ctx *gms.Context, n gms.Node) (gms.Node, transform.TreeIdentity, error) {
		n, same, err := transform.OneNodeExpressions(ctx, n, func(ctx *gms.Context, e gms.Expression) (gms.Expression, transform.TreeIdentity, error) {
			query, ok := e.(*plan.Subquery)
			if !ok {
				return e, transform.SameTree, nil
			}
			return withQuery(query, func(n gms.Node) (gms.Node, transform.TreeIdentity, error) { return columnsOfHavingsIn(ctx, n) })
		})
		if err != nil {
			return nil, transform.SameTree, err
		}
		having, ok := n.(*plan.Having)
		if !ok {
			return n, same, nil
		}
		fields := namedInQueries(ctx, having.Cond)
		if len(fields) == 0 {
			return n, same, nil
		}
		child, err := withFields(ctx, having.Child, fields)
		if err != nil || child == nil {
			return n, same, err
		}
		n, err = having.WithChildren(ctx, child)
		return n, transform.NewTree, err
	})
}

// namedInQueries are the columns around them that subqueries of an expression name.
func namedInQueries(ctx *gms.Context, e gms.Expression) (fields []*expression.GetField) {
	seen := map[gms.ColumnId]bool{}
	gms.Inspect(ctx, e, func(ctx *gms.Context, e gms.Expression) bool {
		query, ok := e.(*plan.Subquery)
		if exists, yes := e.(*plan.ExistsSubquery); yes {
			query, ok = exists.Query, true
		}
		if !ok {
			return true
		}
		named := query.Correlated()
		transform.InspectExpressionsWithNode(ctx, query.Query, func(_ *gms.Context, _ gms.Node, e gms.Expression) bool {
			if f, ok := e.(*expression.GetField); ok && named.Contains(f.Id()) && !seen[f.Id()] {
				seen[f.Id()] = true
				fields = append(fields, f)
			}
			return true
		})
		return true
	})
	return fields
}

// withFields brings columns of grouped tables up to a HAVING; nil where all of them are there.
func withFields(ctx *gms.Context, n gms.Node, fields []*expression.GetField) (gms.Node, error) {
	switch n := n.(type) {
	case *plan.GroupBy:
		own := columnsBelow(n.Child)
		deps := withoutKnown(n.SelectDeps, fields, own)
		if len(deps) == 0 {
			return nil, nil
		}
		return plan.NewGroupBy(append(n.SelectDeps[:len(n.SelectDeps):len(n.SelectDeps)], deps...), n.GroupByExprs, n.Child), nil
	case *plan.Project:
		child, err := withFields(ctx, n.Child, fields)
		if err != nil || child == nil {
			return nil, err
		}
		deps := withoutKnown(n.Projections, fields, columnsBelow(n.Child))
		project := plan.NewProject(ctx, append(n.Projections[:len(n.Projections):len(n.Projections)], deps...), child)
		return project.WithAliasDeps(n.AliasDeps), nil
	case *plan.Sort:
		child, err := withFields(ctx, n.Child, fields)
		if err != nil || child == nil {
			return nil, err
		}
		return n.WithChildren(ctx, child)
	}
	return nil, nil
}

// withoutKnown are the columns among own that a list lacks.
func withoutKnown(list []gms.Expression, fields []*expression.GetField, own gms.ColSet) (lacking []gms.Expression) {
	var known gms.ColSet
	for _, e := range list {
		if f, ok := e.(*expression.GetField); ok {
			known.Add(f.Id())
		}
	}
	for _, f := range fields {
		if own.Contains(f.Id()) && !known.Contains(f.Id()) {
			lacking = append(lacking, f)
		}
	}
	return lacking
}

// columnsBelow are the columns of the tables of a plan.
func columnsBelow(n gms.Node) (all gms.ColSet) {
	transform.Inspect(n, func(n gms.Node) bool {
		if t, ok := n.(plan.TableIdNode); ok {
			all = all.Union(t.Columns())
		}
		return true
	})
	return all
}
