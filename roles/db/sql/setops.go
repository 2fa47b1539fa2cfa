package sql

import (
	"slices"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/analyzer"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/transform"
)

// unifyUnions is a rule for plans as they come from the statement. Of columns of two types a UNION
// makes one; the planner's knows no scale, so that 0 and 0.00 would be two rows, and no collation.
func unifyUnions(ctx *gms.Context, _ *analyzer.Analyzer, n gms.Node, _ *plan.Scope, _ analyzer.RuleSelector, _ *gms.QueryFlags) (gms.Node, transform.TreeIdentity, error) {
	return unifyPlan(ctx, n)
}

func unifyPlan(ctx *gms.Context, n gms.Node) (gms.Node, transform.TreeIdentity, error) {
	return transform.NodeWithOpaque(ctx, n, func(ctx *gms.Context, n gms.Node) (gms.Node, transform.TreeIdentity, error) {
		if op, ok := n.(*plan.SetOp); ok {
			if other, err := unifiedSetOp(ctx, op); other != nil || err != nil {
				return other, transform.NewTree, err
			}
			return n, transform.SameTree, nil
		}
		return transform.OneNodeExpressions(ctx, n, func(ctx *gms.Context, e gms.Expression) (gms.Expression, transform.TreeIdentity, error) {
			query, ok := e.(*plan.Subquery)
			if !ok {
				return e, transform.SameTree, nil
			}
			inner, same, err := unifyPlan(ctx, query.Query)
			if err != nil || same {
				return e, transform.SameTree, err
			}
			return query.WithQuery(inner), transform.NewTree, nil
		})
	})
}

// unifiedSetOp is the operation on sides whose columns have MySQL's types where the planner has
// converted them; nil where it has not.
func unifiedSetOp(ctx *gms.Context, op *plan.SetOp) (gms.Node, error) {
	left, ok := op.Left().(*plan.Project)
	if !ok {
		return nil, nil
	}
	right, ok := op.Right().(*plan.Project)
	if !ok || len(left.Projections) != len(right.Projections) {
		return nil, nil
	}
	l, r := make([]gms.Expression, len(left.Projections)), make([]gms.Expression, len(left.Projections))
	changed := false
	for i := range l {
		l[i], r[i] = left.Projections[i], right.Projections[i]
		a, b := convertedColumn(l[i]), convertedColumn(r[i])
		if a == nil || b == nil {
			continue
		}
		both := unified(ctx, a, b)
		if !both[0].Type(ctx).Equals(both[1].Type(ctx)) {
			continue
		}
		l[i] = expression.NewAlias(ctx, l[i].(*expression.Alias).Name(), both[0])
		r[i] = expression.NewAlias(ctx, r[i].(*expression.Alias).Name(), both[1])
		changed = true
	}
	if !changed {
		return nil, nil
	}
	other, err := op.WithChildren(ctx, plan.NewProject(ctx, l, left.Child), plan.NewProject(ctx, r, right.Child))
	if err != nil {
		return nil, err
	}
	sorted := *other.(*plan.SetOp)
	sorted.SortConditions = slices.Clone(sorted.SortConditions)
	for i, c := range sorted.SortConditions {
		if f, ok := c.Expr.(*expression.GetField); ok {
			for _, e := range l {
				if alias, ok := e.(*expression.Alias); ok && strings.EqualFold(alias.Name(), f.Name()) {
					sorted.SortConditions[i].Expr = retyped(f, alias.Type(ctx), f.IsNullable(ctx))
				}
			}
		}
	}
	return &sorted, nil
}

// retyped is a column as one of another type.
func retyped(f *expression.GetField, t gms.Type, nullable bool) gms.Expression {
	return expression.NewGetFieldWithTable(int(f.Id()), int(f.TableId()), t, f.Database(), f.Table(), f.Name(), nullable).WithIndex(f.Index())
}

// convertedColumn is a column that the planner has converted, or has found to be right as it is;
// nil for what is no such thing.
func convertedColumn(e gms.Expression) *expression.GetField {
	alias, ok := e.(*expression.Alias)
	if !ok {
		return nil
	}
	e = alias.Child
	if convert, ok := e.(*expression.Convert); ok {
		e = convert.Child
	}
	if member, ok := e.(*expression.EnumToString); ok {
		e = member.Children()[0]
	}
	field, _ := e.(*expression.GetField)
	return field
}
