package sql

import (
	"errors"
	"io"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/iters"
	"github.com/dolthub/go-mysql-server/sql/plan"
)

// setOp builds UNION, INTERSECT and EXCEPT; nil for a UNION ALL whose rows stay as they come.
func (b distinctBuilder) setOp(ctx *gms.Context, n *plan.SetOp, row gms.Row) (gms.RowIter, error) {
	if n.SetOpType == plan.UnionType && !n.Distinct && len(n.SortConditions) == 0 {
		return nil, nil
	}
	rows, err := b.unordered(ctx, n, row)
	if err != nil {
		return nil, err
	}
	out, err := ordered(ctx, rows, n)
	if err != nil {
		return nil, errors.Join(err, rows.Close(ctx))
	}
	return out, nil
}

// unordered builds the rows of an operation without its ORDER BY and LIMIT.
func (b distinctBuilder) unordered(ctx *gms.Context, n *plan.SetOp, row gms.Row) (gms.RowIter, error) {
	key := distinctRows(n.Schema(ctx))
	if n.SetOpType == plan.UnionType {
		all := *n
		all.Distinct, all.Limit, all.Offset, all.SortConditions = false, nil, nil, nil
		rows, err := b.base.Build(ctx, &all, row)
		if err != nil || !n.Distinct {
			return rows, err
		}
		return newDistinctRows(ctx, rows, key)
	}
	left, err := b.base.Build(ctx, n.Left(), row)
	if err != nil {
		return nil, err
	}
	if n.Distinct {
		if left, err = newDistinctRows(ctx, left, key); err != nil {
			return nil, err
		}
	}
	right, err := b.base.Build(ctx, n.Right(), row)
	if err != nil {
		return nil, errors.Join(err, left.Close(ctx))
	}
	kept, err := newKept(ctx)
	return &commonRows{RowIter: left, right: right, key: key, except: n.SetOpType == plan.ExceptType, kept: kept}, err
}

// ordered gives rows the ORDER BY and LIMIT of an operation.
func ordered(ctx *gms.Context, rows gms.RowIter, n *plan.SetOp) (gms.RowIter, error) {
	var skip int64
	limit := int64(-1)
	var err error
	if n.Offset != nil {
		if skip, err = iters.GetInt64Value(ctx, n.Offset); err != nil {
			return nil, err
		}
	}
	if n.Limit != nil {
		if limit, err = iters.GetInt64Value(ctx, n.Limit); err != nil {
			return nil, err
		}
	}
	if len(n.SortConditions) > 0 {
		s, err := sessionOf(ctx)
		if err != nil {
			return nil, err
		}
		if limit >= 0 && skip+limit >= limit {
			rows = s.topRows(rows, n.SortConditions, skip+limit)
		} else {
			rows = iters.NewSortIter(n.SortConditions, s.keeping(rows, measureSort))
		}
	}
	if skip > 0 {
		rows = &skipIter{rows, skip}
	}
	if limit >= 0 {
		rows = &iters.LimitIter{Limit: limit, ChildIter: rows}
	}
	return rows, nil
}

// skipIter leaves out the first rows.
type skipIter struct {
	gms.RowIter
	left int64
}

// Next returns the next row after those.
func (s *skipIter) Next(ctx *gms.Context) (gms.Row, error) {
	for ; s.left > 0; s.left-- {
		if _, err := s.RowIter.Next(ctx); err != nil {
			s.left = 0
			return nil, err
		}
	}
	return s.RowIter.Next(ctx)
}

// commonRows are the rows of an INTERSECT or EXCEPT: those of the left side that the right one
// has as well, or has not. A row of the right side stands for one of the left.
type commonRows struct {
	gms.RowIter // the left side
	right       gms.RowIter
	key         distinctRows
	except      bool
	there       map[uint64]int // rows of the right side; nil: they were not read
	kept        kept
}

// Next returns the next row; the first call reads the right side.
func (c *commonRows) Next(ctx *gms.Context) (gms.Row, error) {
	if c.there == nil {
		if err := c.readRight(ctx); err != nil {
			return nil, err
		}
	}
	for {
		row, err := c.RowIter.Next(ctx)
		if err != nil {
			return nil, err
		}
		key, err := c.key.HashOf(ctx, row)
		if err != nil {
			return nil, err
		}
		found := c.there[key] > 0
		if found {
			c.there[key]--
		}
		if found != c.except {
			return row, nil
		}
	}
}

func (c *commonRows) readRight(ctx *gms.Context) error {
	c.there = map[uint64]int{}
	for {
		row, err := c.right.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		key, err := c.key.HashOf(ctx, row)
		if err != nil {
			return err
		}
		if c.there[key] == 0 {
			if err := c.kept.add(keyMemory + boxedNumber); err != nil {
				return err
			}
		}
		c.there[key]++
	}
}

// Close lets go of the keys.
func (c *commonRows) Close(ctx *gms.Context) error {
	c.kept.forget()
	return errors.Join(c.RowIter.Close(ctx), c.right.Close(ctx))
}
