package sql

import (
	"maps"
	"slices"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/analyzer"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/transform"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// besideConstants lets variables, functions without arguments and subqueries pass check, the
// planner's for ONLY_FULL_GROUP_BY: it takes whatever has no arguments for a column, and refused
// SELECT COUNT(*), @@x and SELECT k, (SELECT 1) … GROUP BY k.
func besideConstants(check analyzer.RuleFunc) analyzer.RuleFunc {
	return func(ctx *gms.Context, a *analyzer.Analyzer, n gms.Node, scope *plan.Scope, sel analyzer.RuleSelector, flags *gms.QueryFlags) (gms.Node, transform.TreeIdentity, error) {
		if !analyzer.FlagIsSet(flags, gms.QFlagAggregation) || !gms.LoadSqlMode(ctx).OnlyFullGroupBy() {
			return n, transform.SameTree, nil
		}
		without, err := withDependencies(ctx, n)
		if err == nil {
			without, err = withoutConstants(ctx, without)
		}
		if err == nil {
			_, _, err = check(ctx, a, without, scope, sel, flags)
		}
		return n, transform.SameTree, err
	}
}

// withoutConstants is a plan for the check alone.
func withoutConstants(ctx *gms.Context, n gms.Node) (gms.Node, error) {
	own, aggregates := groupedColumns(ctx, n), aggregateColumns(ctx, n)
	aliases := aliasColumns(ctx, n, aggregates)
	without, _, err := transform.NodeWithOpaque(ctx, n, func(ctx *gms.Context, n gms.Node) (gms.Node, transform.TreeIdentity, error) {
		switch n.(type) { // what the check reads; others may be changed by WithExpressions themselves
		case *plan.GroupBy, *plan.Project, *plan.Sort, *plan.Having, *plan.Filter, *plan.JoinNode:
		default:
			return n, transform.SameTree, nil
		}
		with, known := n.(gms.Expressioner), aggregates
		if _, sorts := n.(*plan.Sort); sorts {
			known = aliases // they are looked at where they are shown
		}
		exprs, changed, err := standIns(ctx, with.Expressions(), own, known)
		if err != nil || !changed {
			return n, transform.SameTree, err
		}
		n, err = with.WithExpressions(ctx, exprs...)
		return n, transform.NewTree, err
	})
	return without, err
}

// standIns are expressions with constants and subqueries said as the check knows them.
func standIns(ctx *gms.Context, exprs []gms.Expression, own gms.ColSet, aggregates map[gms.ColumnId]string) (others []gms.Expression, changed bool, err error) {
	others = slices.Clone(exprs)
	for i, e := range exprs {
		if other := standIn(ctx, e, own, aggregates); other != nil {
			others[i], changed = other, true
			continue
		}
		if e == nil || len(e.Children()) == 0 {
			continue
		}
		children, inner, err := standIns(ctx, e.Children(), own, aggregates)
		if err != nil {
			return nil, false, err
		}
		if inner {
			if others[i], err = e.WithChildren(ctx, children...); err != nil {
				return nil, false, err
			}
			changed = true
		}
	}
	return others, changed, nil
}

// standIn is what the check is told of a constant or a subquery; nil for all else.
func standIn(ctx *gms.Context, e gms.Expression, own gms.ColSet, aggregates map[gms.ColumnId]string) gms.Expression {
	switch e := e.(type) {
	case *expression.SystemVar, *expression.UserVar:
		return anyConstant()
	case *expression.GetField:
		if text, ok := aggregates[e.Id()]; ok { // which the check finds by its text, that other rules change
			return &queryOfColumns{expression.NaryExpression{ChildExpressions: []gms.Expression{anyConstant()}}, text}
		}
	case *plan.Subquery:
		return ofColumns(ctx, e, e.String(), own)
	case *plan.ExistsSubquery:
		return ofColumns(ctx, e.Query, e.String(), own)
	case gms.FunctionExpression:
		if _, aggregate := e.(gms.Aggregation); !aggregate && len(e.Children()) == 0 {
			return anyConstant()
		}
	}
	return nil
}

func anyConstant() gms.Expression { return expression.NewLiteral(int8(1), types.Int8) }

// groupedColumns are the columns of the tables whose rows are grouped by something.
func groupedColumns(ctx *gms.Context, n gms.Node) gms.ColSet {
	var all gms.ColSet
	transform.InspectWithOpaque(ctx, n, func(ctx *gms.Context, n gms.Node) bool {
		group, ok := n.(*plan.GroupBy)
		if !ok || len(group.GroupByExprs) == 0 {
			return true
		}
		all = all.Union(columnsBelow(group.Child))
		return true
	})
	return all
}

// aggregateColumns are the columns that are aggregates, with these as texts.
func aggregateColumns(ctx *gms.Context, n gms.Node) map[gms.ColumnId]string {
	texts := map[gms.ColumnId]string{}
	transform.InspectWithOpaque(ctx, n, func(ctx *gms.Context, n gms.Node) bool {
		if group, ok := n.(*plan.GroupBy); ok {
			for _, e := range group.SelectDeps {
				if a, ok := e.(gms.Aggregation); ok && a.Id() > 0 {
					texts[a.Id()] = a.String()
				}
			}
		}
		return true
	})
	return texts
}

// aliasColumns are the aggregates, and what a HAVING's query shows under another name.
func aliasColumns(ctx *gms.Context, n gms.Node, aggregates map[gms.ColumnId]string) map[gms.ColumnId]string {
	texts := maps.Clone(aggregates)
	transform.InspectWithOpaque(ctx, n, func(ctx *gms.Context, n gms.Node) bool {
		having, ok := n.(*plan.Having)
		if !ok {
			return true
		}
		if project, ok := having.Child.(*plan.Project); ok {
			for _, e := range project.Projections {
				if alias, ok := e.(*expression.Alias); ok && alias.Id() > 0 {
					texts[alias.Id()] = alias.Name()
				}
			}
		}
		return true
	})
	return texts
}

// queryOfColumns stands for a subquery, or an aggregate, where only matters which columns around it
// it names.
type queryOfColumns struct {
	expression.NaryExpression
	text string
}

// ofColumns stands for a subquery, or what has it in it, among the columns own.
func ofColumns(ctx *gms.Context, s *plan.Subquery, text string, own gms.ColSet) gms.Expression {
	q := &queryOfColumns{text: text}
	named := s.Correlated().Intersection(own)
	transform.InspectExpressionsWithNode(ctx, s.Query, func(_ *gms.Context, _ gms.Node, e gms.Expression) bool {
		if f, ok := e.(*expression.GetField); ok && named.Contains(f.Id()) {
			q.ChildExpressions = append(q.ChildExpressions, f)
		}
		return true
	})
	if len(q.ChildExpressions) == 0 {
		q.ChildExpressions = []gms.Expression{anyConstant()}
	}
	return q
}

// String is that of the subquery, by which the planner finds it.
func (q *queryOfColumns) String() string { return q.text }

// Type is any.
func (q *queryOfColumns) Type(*gms.Context) gms.Type { return types.Null }

// IsNullable is true.
func (q *queryOfColumns) IsNullable(*gms.Context) bool { return true }

// Eval fails: the plan is checked, not run.
func (q *queryOfColumns) Eval(*gms.Context, gms.Row) (any, error) {
	return nil, mysqlError(1111, "Invalid use of group function")
}

// WithChildren stands for a subquery of other columns.
func (q *queryOfColumns) WithChildren(_ *gms.Context, children ...gms.Expression) (gms.Expression, error) {
	return &queryOfColumns{expression.NaryExpression{ChildExpressions: children}, q.text}, nil
}
