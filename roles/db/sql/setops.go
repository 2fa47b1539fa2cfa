package sql

import (
	"slices"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/analyzer"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/transform"
	"github.com/dolthub/go-mysql-server/sql/types"
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
			if query, ok := e.(*plan.Subquery); ok {
				return withQuery(query, func(n gms.Node) (gms.Node, transform.TreeIdentity, error) { return unifyPlan(ctx, n) })
			}
			return e, transform.SameTree, nil
		})
	})
}

// unifiedSetOp is the operation on sides whose columns have MySQL's types; nil where they have. The
// parts of a longer one are unified before: what the planner has found out of their types is old.
func unifiedSetOp(ctx *gms.Context, op *plan.SetOp) (gms.Node, error) {
	left, from, changedLeft := sideColumns(ctx, op.Left())
	right, of, changedRight := sideColumns(ctx, op.Right())
	if left == nil || right == nil || len(left) != len(right) {
		return nil, nil
	}
	l, r := make([]gms.Expression, len(left)), make([]gms.Expression, len(left))
	changed := changedLeft || changedRight
	for i := range l {
		both := unified(ctx, left[i].column, right[i].column)
		for j, e := range both { // NULL has the type of the other
			if other := both[1-j].Type(ctx); types.IsNullType(e.Type(ctx)) && !types.IsNullType(other) {
				both[j] = &inType{expression.UnaryExpressionStub{Child: e}, other}
			}
		}
		if !both[0].Type(ctx).Equals(both[1].Type(ctx)) {
			both = []gms.Expression{left[i].planners, right[i].planners}
		} else if both[0] != left[i].planners || both[1] != right[i].planners {
			changed = true
		}
		l[i] = expression.NewAlias(ctx, left[i].column.Name(), both[0])
		r[i] = expression.NewAlias(ctx, right[i].column.Name(), both[1])
	}
	if !changed {
		return nil, nil
	}
	other, err := op.WithChildren(ctx, plan.NewProject(ctx, l, from), plan.NewProject(ctx, r, of))
	if err != nil {
		return nil, err
	}
	sorted := *other.(*plan.SetOp)
	sorted.SortConditions = slices.Clone(sorted.SortConditions)
	for i, c := range sorted.SortConditions {
		if f, ok := c.Expr.(*expression.GetField); ok {
			for _, e := range l {
				if alias := e.(*expression.Alias); strings.EqualFold(alias.Name(), f.Name()) {
					sorted.SortConditions[i].Expr = retyped(f, alias.Type(ctx), f.IsNullable(ctx))
				}
			}
		}
	}
	return &sorted, nil
}

// sideColumn is a column of one side: as it is, and as the planner has made it for the operation.
type sideColumn struct {
	column   *expression.GetField
	planners gms.Expression
}

// sideColumns are the columns of a side and the node that they come from, nil where that is not known;
// changed says that their types are others than the planner saw.
func sideColumns(ctx *gms.Context, side gms.Node) (columns []sideColumn, from gms.Node, changed bool) {
	if inner, ok := side.(*plan.SetOp); ok {
		ids := firstColumns(inner)
		schema := inner.Schema(ctx)
		if len(ids) != len(schema) {
			return nil, nil, false
		}
		for i, c := range schema {
			f := expression.NewGetFieldWithTable(int(ids[i]), 0, c.Type, c.DatabaseSource, c.Source, c.Name, c.Nullable)
			columns = append(columns, sideColumn{f, f})
		}
		return columns, inner, false
	}
	project, ok := side.(*plan.Project)
	if !ok {
		return nil, nil, false
	}
	_, inner := project.Child.(*plan.SetOp)
	schema := project.Child.Schema(ctx)
	for i, e := range project.Projections {
		f := convertedColumn(e)
		if f == nil {
			return nil, nil, false
		}
		c := sideColumn{column: f, planners: e.(*expression.Alias).Child}
		if inner && len(schema) == len(project.Projections) && !schema[i].Type.Equals(f.Type(ctx)) {
			c.column = retyped(f, schema[i].Type, schema[i].Nullable)
			changed = true
		}
		columns = append(columns, c)
	}
	return columns, project.Child, changed
}

// firstColumns are the ids of the columns of the first part.
func firstColumns(n gms.Node) (ids []gms.ColumnId) {
	switch n := n.(type) {
	case *plan.SetOp:
		return firstColumns(n.Left())
	case *plan.Project:
		for _, e := range n.Projections {
			if e, ok := e.(gms.IdExpression); ok {
				ids = append(ids, e.Id())
			} else {
				ids = append(ids, 0)
			}
		}
	}
	return ids
}

// retyped is a column as one of another type.
func retyped(f *expression.GetField, t gms.Type, nullable bool) *expression.GetField {
	return expression.NewGetFieldWithTable(int(f.Id()), int(f.TableId()), t, f.Database(), f.Table(), f.Name(), nullable).WithIndex(f.Index()).(*expression.GetField)
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
