package sql

import (
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/analyzer"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/transform"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// dependent is a condition of a join with a query in it that names columns of the join's tables. The planner
// does not look into the query when it orders joins, and asked the condition where these tables were not
// yet read; it looked rows up by such a query too. As a dependent, the condition has the columns beside it.
type dependent struct {
	condition gms.Expression
	columns   []gms.Expression
}

var _ gms.CollationCoercible = (*dependent)(nil)

// nameDependents is a rule for plans whose joins are not ordered yet.
func nameDependents(ctx *gms.Context, _ *analyzer.Analyzer, n gms.Node, _ *plan.Scope, _ analyzer.RuleSelector, _ *gms.QueryFlags) (gms.Node, transform.TreeIdentity, error) {
	return transform.NodeWithOpaque(ctx, n, func(ctx *gms.Context, n gms.Node) (gms.Node, transform.TreeIdentity, error) {
		j, ok := n.(*plan.JoinNode)
		if !ok || j.Filter == nil {
			return n, transform.SameTree, nil
		}
		changed := false
		parts := expression.SplitConjunction(ctx, j.Filter)
		for i, part := range parts {
			if named, ok := part.(*dependent); ok {
				part = named.condition
			}
			if columns, named := namedInside(ctx, part, j); named {
				parts[i], changed = &dependent{part, columns}, true
			}
		}
		if !changed {
			return n, transform.SameTree, nil
		}
		return j.WithFilter(expression.JoinAnd(parts...)), transform.NewTree, nil
	})
}

// namedInside are the columns of a join's tables that queries in a condition name, and whether these name any
// outside of themselves.
func namedInside(ctx *gms.Context, e gms.Expression, j *plan.JoinNode) (columns []gms.Expression, outer bool) {
	var named gms.ColSet
	gms.Inspect(ctx, e, func(_ *gms.Context, e gms.Expression) bool {
		if query, ok := e.(*plan.Subquery); ok {
			named = named.Union(query.Correlated())
		}
		return true
	})
	if named.Empty() {
		return nil, false
	}
	transform.Inspect(j, func(n gms.Node) bool {
		table, ok := n.(plan.TableIdNode)
		if !ok {
			return true
		}
		for id, more := table.Columns().Intersection(named).Next(1); more; id, more = table.Columns().Intersection(named).Next(id + 1) {
			columns = append(columns, expression.NewGetFieldWithTable(int(id), int(table.Id()), types.Null, "", "", "", true))
		}
		return false
	})
	return columns, true
}

// Resolved says whether the condition is.
func (d *dependent) Resolved() bool { return d.condition.Resolved() }

// Type is that of the condition.
func (d *dependent) Type(ctx *gms.Context) gms.Type { return d.condition.Type(ctx) }

// IsNullable says whether the condition may be NULL.
func (d *dependent) IsNullable(ctx *gms.Context) bool { return d.condition.IsNullable(ctx) }

// String is that of the condition.
func (d *dependent) String() string { return d.condition.String() }

// CollationCoercibility is that of the condition.
func (d *dependent) CollationCoercibility(ctx *gms.Context) (gms.CollationID, byte) {
	return gms.GetCoercibility(ctx, d.condition)
}

// Eval returns what the condition is of a row.
func (d *dependent) Eval(ctx *gms.Context, row gms.Row) (any, error) {
	return d.condition.Eval(ctx, row)
}

// Children are the condition and the columns.
func (d *dependent) Children() []gms.Expression {
	return append([]gms.Expression{d.condition}, d.columns...)
}

// WithChildren returns another condition with other columns.
func (d *dependent) WithChildren(_ *gms.Context, children ...gms.Expression) (gms.Expression, error) {
	if len(children) != 1+len(d.columns) {
		return nil, gms.ErrInvalidChildrenNumber.New(d, len(children), 1+len(d.columns))
	}
	return &dependent{children[0], children[1:]}, nil
}
