package sql

import (
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/plan"
)

// foundRows builds a LIMIT under SQL_CALC_FOUND_ROWS with the OFFSET below it: the planner does not
// count the rows that are skipped.
func (b distinctBuilder) foundRows(ctx *gms.Context, n *plan.Limit, row gms.Row) (gms.RowIter, error) {
	limit, err := countOf(ctx, n.Limit)
	if err != nil {
		return nil, err
	}
	out, child := &foundRowsIter{limit: limit}, n.Child
	if offset, ok := child.(*plan.Offset); ok {
		if out.skip, err = countOf(ctx, offset.Offset); err != nil {
			return nil, err
		}
		child = offset.Child
	}
	out.RowIter, err = b.base.Build(ctx, child, row)
	return out, err
}

type foundRowsIter struct {
	gms.RowIter
	skip, limit int64
	found, told int64
}

// Next returns the next row, and counts the others.
func (f *foundRowsIter) Next(ctx *gms.Context) (gms.Row, error) {
	for {
		row, err := f.RowIter.Next(ctx)
		if err != nil {
			return nil, err
		}
		if f.found++; f.found > f.skip && f.told < f.limit {
			f.told++
			return row, nil
		}
	}
}

// Close tells how many there are.
func (f *foundRowsIter) Close(ctx *gms.Context) error {
	ctx.GetLastQueryInfo().FoundRows.Store(f.found)
	return f.RowIter.Close(ctx)
}
