package sql

import (
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/plan"
)

// derivedInJoin leaves the columns of a table's row that follow from others as they are where
// those that SET names do not change: the planner moves the times of ON UPDATE where any
// table's row of the join changes.
type derivedInJoin struct {
	gms.RowIter
	schema gms.Schema // of the join
	tables []joinDerived
}

// joinDerived are columns of a table, by their places in rows of the join.
type joinDerived struct{ assigned, derived []int }

// derivedInJoin builds the rows of an UPDATE of a join; those of a table are left to the planner.
func (b distinctBuilder) derivedInJoin(ctx *gms.Context, n *plan.UpdateSource, row gms.Row) (gms.RowIter, error) {
	if _, err := plan.GetUpdatable(n.Child); err == nil {
		return nil, nil
	}
	rows, err := b.plain(ctx, n, row)
	if err != nil {
		return nil, err
	}
	return newDerivedInJoin(ctx, n, rows), nil
}

// newDerivedInJoin returns rows where no column follows from others.
func newDerivedInJoin(ctx *gms.Context, n *plan.UpdateSource, rows gms.RowIter) gms.RowIter {
	if !n.UpdateExprs.HasDerivedUpdates() {
		return rows
	}
	schema := n.Child.Schema(ctx)
	places := func(list []gms.Expression) map[string][]int {
		out := map[string][]int{}
		for _, e := range list {
			set, ok := e.(*expression.SetField)
			if !ok {
				continue
			}
			field, ok := set.LeftChild.(*expression.GetField)
			if !ok {
				continue
			}
			for i, c := range schema {
				if strings.EqualFold(c.Source, field.Table()) && strings.EqualFold(c.Name, field.Name()) {
					out[assignedTable(e)] = append(out[assignedTable(e)], i)
				}
			}
		}
		return out
	}
	assigned := places(n.UpdateExprs.ExplicitUpdateExprs())
	iter := &derivedInJoin{RowIter: rows, schema: schema}
	for table, derived := range places(n.UpdateExprs.DerivedUpdateExprs()) {
		iter.tables = append(iter.tables, joinDerived{assigned[table], derived})
	}
	return iter
}

// Next returns the next old and new row.
func (d *derivedInJoin) Next(ctx *gms.Context) (gms.Row, error) {
	row, err := d.RowIter.Next(ctx)
	if err != nil || len(row) != 2*len(d.schema) {
		return row, err
	}
	before, after := row[:len(d.schema)], row[len(d.schema):]
	for _, table := range d.tables {
		changes := false
		for _, at := range table.assigned {
			differ, err := changed(ctx, d.schema[at], before[at], after[at])
			if err != nil {
				return nil, err
			}
			changes = changes || differ
		}
		for _, at := range table.derived {
			if !changes {
				after[at] = before[at]
			}
		}
	}
	return row, nil
}

// changed says whether a column's value becomes another, if only by case.
func changed(ctx *gms.Context, c *gms.Column, before, after any) (bool, error) {
	was, isText := before.(string)
	if now, stillText := after.(string); isText && stillText {
		return was != now, nil
	}
	same, err := gms.NewRow(before).Equals(ctx, gms.NewRow(after), gms.Schema{c})
	return !same, err
}
