package sql

import (
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/iters"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// noteUsed tells the scan below a Filter which columns the node above it reads: the others
// it need not decode where it decides the whole condition.
func noteUsed(ctx *gms.Context, f *plan.Filter, above []gms.Expression) {
	c, ok := f.Expression.(*scanned)
	if !ok || c.rest != nil {
		return
	}
	t := readTable(filteredNode(f))
	if t == nil {
		return
	}
	unused := make([]bool, len(t.full))
	for i := range unused {
		unused[i] = true
	}
	schema := f.Schema(ctx)
	known := true
	for _, e := range above {
		gms.Inspect(ctx, e, func(_ *gms.Context, e gms.Expression) bool {
			switch e := e.(type) {
			case *plan.Subquery:
				known = false
			case *expression.GetField:
				switch at := e.Index(); {
				case at < 0 || at >= len(schema) || !strings.EqualFold(schema[at].Name, e.Name()):
					known = false // the row of an outer query stands before this one
				case t.projected != nil:
					unused[t.columns[at]] = false
				default:
					unused[at] = false
				}
			}
			return known
		})
	}
	if known {
		c.unused = unused
	}
}

// filtered builds a Filter whose scan decides its condition, or a part of it; nil for
// others.
func (b distinctBuilder) filtered(ctx *gms.Context, n *plan.Filter, row gms.Row) (gms.RowIter, error) {
	c, ok := n.Expression.(*scanned)
	if !ok {
		return nil, nil
	}
	node := filteredNode(n)
	t := readTable(node)
	s, err := sessionOf(ctx)
	if err != nil {
		return nil, err
	}
	// A table of DDL is read as it has become meanwhile.
	if t == nil || t.stored != c.table || s.kind == kindDDL {
		return nil, nil
	}
	below := *t
	below.where = c.where
	switch {
	case c.rest == nil:
		below.unused = c.unused
		if c.skip > 0 {
			skip := c.skip
			below.skip = &skip
		}
	case t.lock != nil && repeatable(ctx, c.rest, len(n.Child.Schema(ctx))):
		below.filter = conditionOf(c.rest)
	}
	rows, err := b.rowsOf(ctx, &below, node, row)
	if err != nil || rows == nil || c.rest == nil {
		return rows, err
	}
	return plan.NewFilterIter(c.rest, rows), nil
}

// rowsOf reads a table in the way that node does; nil where it is not one of the store's
// ways.
func (b distinctBuilder) rowsOf(ctx *gms.Context, t *Table, node gms.Node, row gms.Row) (gms.RowIter, error) {
	var parts gms.PartitionIter
	var err error
	switch node := node.(type) {
	case *plan.ResolvedTable:
		parts, err = t.Partitions(ctx)
	case *plan.IndexedTableAccess:
		lookup, found, e := lookupOf(ctx, node, row)
		if e != nil {
			return nil, e
		}
		if !found {
			return gms.RowsToRowIter(), nil
		}
		parts, err = (&IndexedTable{Table: t, lookup: lookup}).LookupPartitions(ctx, lookup)
	default:
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return gms.NewTableRowIter(ctx, t, parts), nil
}

// conditionOf says whether a condition is true of a row.
func conditionOf(e gms.Expression) func(*gms.Context, gms.Row) (bool, error) {
	return func(ctx *gms.Context, row gms.Row) (bool, error) {
		v, err := gms.EvaluateCondition(ctx, e, row)
		return gms.IsTrue(v), err
	}
}

// offset builds an OFFSET over columns of a table, filtered or not: the scan leaves the
// rows out before it decodes them. Rows that are locked are so whether they are skipped or
// not, and are left to the planner, as is all else: nil.
func (b distinctBuilder) offset(ctx *gms.Context, n *plan.Offset, row gms.Row) (gms.RowIter, error) {
	s, err := sessionOf(ctx)
	if err != nil || s.kind == kindDDL {
		return nil, err
	}
	skip, err := iters.GetInt64Value(ctx, n.Offset)
	if err != nil || skip <= 0 {
		return nil, nil
	}
	below := s.skipping(ctx, n.Child, skip)
	if below == nil {
		return nil, nil
	}
	return b.base.Build(ctx, below, row)
}

// skipping is a node without its first rows, nil where the scan below it cannot leave them
// out.
func (s *Session) skipping(ctx *gms.Context, n gms.Node, skip int64) gms.Node {
	switch n := n.(type) {
	case *plan.Project:
		for _, e := range n.Projections {
			if alias, ok := e.(*expression.Alias); ok {
				e = alias.Child
			}
			switch e.(type) {
			case *expression.GetField, *expression.Literal:
			default:
				return nil // it may fail, or do something
			}
		}
		child := s.skipping(ctx, n.Child, skip)
		if child == nil {
			return nil
		}
		below, err := n.WithChildren(ctx, child)
		if err != nil {
			return nil
		}
		return below
	case *plan.Filter:
		c, ok := n.Expression.(*scanned)
		t := readTable(filteredNode(n))
		if !ok || c.rest != nil || !s.skippable(t) {
			return nil
		}
		after := *c
		after.skip = skip
		return plan.NewFilter(ctx, &after, n.Child)
	case *plan.TableAlias, *plan.ResolvedTable, *plan.IndexedTableAccess:
		all := plan.NewFilter(ctx, nil, n)
		t := readTable(filteredNode(all))
		if !s.skippable(t) {
			return nil
		}
		all.Expression = &scanned{Expression: expression.NewLiteral(true, types.Boolean), table: t.stored, skip: skip}
		return all
	}
	return nil
}

func (s *Session) skippable(t *Table) bool {
	return t != nil && s.consistent(t) && !t.empty && !hasVirtual(t)
}
