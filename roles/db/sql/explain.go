package sql

import (
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/transform"
)

// explain answers EXPLAIN without FORMAT as MySQL does in form: a row for each table that the plan reads, with the index
// and the number of rows that it is expected to find, which programs multiply. The planner's answer is one row of the
// text NULL. It returns nil where the plan itself is asked for.
func explain(ctx *gms.Context, n *plan.DescribeQuery) (gms.RowIter, error) {
	if n.Format.Plan || n.Format.Analyze {
		return nil, nil
	}
	var rows []gms.Row
	var failed error
	transform.InspectWithOpaque(ctx, n.Child, func(_ *gms.Context, n gms.Node) bool {
		switch n := n.(type) {
		case *plan.TableAlias:
			rows, failed = explained(ctx, rows, n.Name(), n.Child, failed)
			return false
		case *plan.ResolvedTable, *plan.IndexedTableAccess:
			rows, failed = explained(ctx, rows, n.(gms.Nameable).Name(), n, failed)
			return false
		}
		return true
	})
	if failed != nil {
		return nil, failed
	}
	if rows == nil {
		rows = []gms.Row{{uint64(1), "SIMPLE", nil, nil, nil, nil, nil, nil, nil, nil, nil, "No tables used"}}
	}
	return gms.RowsToRowIter(rows...), nil
}

// explained adds the row of a table, which the plan calls by a name.
func explained(ctx *gms.Context, rows []gms.Row, name string, n gms.Node, failed error) ([]gms.Row, error) {
	table, ok := n.(gms.TableNode)
	if !ok || failed != nil || plan.IsDualTable(table.UnderlyingTable()) {
		return rows, failed
	}
	found, err := tableRows(ctx, table.UnderlyingTable())
	if err != nil {
		return rows, err
	}
	how, index := "ALL", any(nil)
	if by, ok := n.(*plan.IndexedTableAccess); ok {
		index = by.Index().ID()
		if how, found, err = indexRows(ctx, by, found); err != nil {
			return rows, err
		}
	}
	return append(rows, gms.Row{uint64(1), "SIMPLE", name, nil, how, index, index, nil, nil, found, float64(100), nil}), nil
}

// tableRows is about how many rows a table has, at least one.
func tableRows(ctx *gms.Context, t gms.Table) (uint64, error) {
	stored := storedTable(t)
	if stored == nil {
		return 1, nil
	}
	n, _, err := stored.RowCount(ctx)
	return max(n, 1), err
}

// indexRows says in MySQL's words how an index is read of a table with so many rows, and about how many of them are
// found at a time.
func indexRows(ctx *gms.Context, by *plan.IndexedTableAccess, rows uint64) (how string, found uint64, err error) {
	index := by.Index()
	whole := index.IsUnique() && len(index.PrefixLengths()) == 0
	if !by.IsStatic() {
		n := len(by.Expressions())
		if whole && n == len(index.Expressions()) {
			return "eq_ref", 1, nil
		}
		return "ref", alike(ctx, index, n, rows), nil
	}
	lookup, _, err := by.GetLookup(ctx, nil)
	if err != nil {
		return "", 0, err
	}
	ranges, ok := lookup.Ranges.(gms.MySQLRangeCollection)
	if !ok {
		return "fulltext", 1, nil
	}
	for _, r := range ranges {
		n, rest, err := pointsOf(ctx, r)
		if err != nil {
			return "", 0, err
		}
		switch {
		case whole && n == len(index.Expressions()):
			how, found = "const", found+1
		case n == 0 && !rest:
			how, found = "index", rows
		case !rest:
			how, found = "ref", found+alike(ctx, index, n, rows)
		default:
			how, found = "range", found+max(alike(ctx, index, n, rows)/3, 1)
		}
	}
	if len(ranges) > 1 {
		how = "range"
	}
	return how, min(max(found, 1), rows), nil
}

// pointsOf counts the leading columns of a range that have one value, and says whether there are bounds behind them.
func pointsOf(ctx *gms.Context, r gms.MySQLRange) (n int, rest bool, err error) {
	for _, c := range r {
		from, closed := c.LowerBound.(gms.Below)
		to, ends := c.UpperBound.(gms.Above)
		order := 1
		if closed && ends {
			if order, err = c.Typ.Compare(ctx, from.Key, to.Key); err != nil {
				return 0, false, err
			}
		}
		if order != 0 {
			return n, c.HasLowerBound() || c.HasUpperBound(), nil
		}
		n++
	}
	return n, false, nil
}

// alike is about how many rows have the same values in so many leading columns of an index.
func alike(ctx *gms.Context, index gms.Index, columns int, rows uint64) uint64 {
	x, ok := index.(*Index)
	s, err := sessionOf(ctx)
	if !ok || err != nil || columns == 0 {
		return rows
	}
	if known := s.engine.statistics.of(x.index); known != nil && columns <= len(known.Distinct) {
		return max(known.Rows/max(known.Distinct[columns-1], 1), 1)
	}
	return max(rows/10, 1) // as MySQL without statistics
}
