package sql

import (
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/analyzer"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/expression/function/aggregation"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/transform"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// primaryEnds reads one row for MIN or MAX of the first column of a table's primary key: the one at that end
// of the key. It stands for a rule of the planner that puts the row in place of the aggregate: of an empty
// table there is then no row, where MIN and MAX are NULL.
func primaryEnds(ctx *gms.Context, _ *analyzer.Analyzer, n gms.Node, _ *plan.Scope, _ analyzer.RuleSelector, flags *gms.QueryFlags) (gms.Node, transform.TreeIdentity, error) {
	if !analyzer.FlagIsSet(flags, gms.QFlagAggregation) {
		return n, transform.SameTree, nil
	}
	return transform.Node(ctx, n, func(ctx *gms.Context, n gms.Node) (gms.Node, transform.TreeIdentity, error) {
		group, ok := n.(*plan.GroupBy)
		if !ok || len(group.SelectDeps) != 1 || len(group.GroupByExprs) > 0 {
			return n, transform.SameTree, nil
		}
		end, err := endOfKey(ctx, group.SelectDeps[0], group.Child)
		if err != nil || end == nil {
			return n, transform.SameTree, err
		}
		return plan.NewGroupBy(group.SelectDeps, nil, end), transform.NewTree, nil
	})
}

// endOfKey is the row of a table that an aggregate is one of, nil where no end of its primary key says which.
func endOfKey(ctx *gms.Context, aggregate gms.Expression, of gms.Node) (gms.Node, error) {
	var e gms.Expression
	last := false
	switch a := aggregate.(type) {
	case *aggregation.Min:
		e = a.Child
	case *aggregation.Max:
		e, last = a.Child, true
	}
	column, isColumn := e.(*expression.GetField)
	table, isTable := of.(*plan.ResolvedTable)
	if !isColumn || !isTable {
		return nil, nil
	}
	stored, ok := table.UnderlyingTable().(*Table)
	if !ok || len(stored.stored.Desc.Primary.Columns) == 0 {
		return nil, nil
	}
	key := newIndex(stored, stored.stored.Primary, "PRIMARY", true)
	if !strings.EqualFold(key.Expressions()[0], column.String()) || key.Order(ctx) == gms.IndexOrderNone {
		return nil, nil
	}
	lookup, err := gms.NewMySQLIndexBuilder(ctx, key).Build(ctx)
	if err != nil {
		return nil, err
	}
	lookup.IsReverse = last
	read, err := plan.NewStaticIndexedAccessForTableNode(ctx, table, lookup)
	if err != nil {
		return nil, err
	}
	return plan.NewLimit(expression.NewLiteral(int64(1), types.Int64), read), nil
}
