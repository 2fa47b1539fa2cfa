package sql

import (
	"errors"
	"io"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/hash"
	"github.com/dolthub/go-mysql-server/sql/plan"
)

// keptJoin builds a join whose iterator keeps something of the rows below it; nil for others.
func (b distinctBuilder) keptJoin(ctx *gms.Context, n *plan.JoinNode, row gms.Row) (gms.RowIter, error) {
	own := *b.base
	switch {
	case n.Op.IsRange():
		heap, ok := n.Right().(*plan.RangeHeap)
		if !ok {
			return nil, nil
		}
		own.PriorityBuilder = &joinBuilder{rest: b, join: n, sides: []gms.Node{heap.Child}, how: measureAll}
	case n.Op.IsFullOuter():
		own.PriorityBuilder = &joinBuilder{rest: b, join: n, sides: []gms.Node{n.Left(), n.Right()}, how: measureKeys, once: true}
	default:
		return nil, nil
	}
	return own.Build(ctx, n, row)
}

// joinBuilder leaves a join to the planner's own builder, and counts what the join keeps of its
// sides: of a range join the rows whose ranges are open, of a full one the keys of those that have met.
type joinBuilder struct {
	rest  distinctBuilder
	join  gms.Node
	sides []gms.Node
	how   measure
	once  bool // a side that is read again has the same rows
}

// Build builds every node but the join.
func (j *joinBuilder) Build(ctx *gms.Context, n gms.Node, row gms.Row) (gms.RowIter, error) {
	if n == j.join {
		return nil, nil
	}
	for i, side := range j.sides {
		if n != side {
			continue
		}
		if j.once {
			j.sides[i] = nil
		}
		s, err := sessionOf(ctx)
		if err != nil {
			return nil, err
		}
		rows, err := j.rest.base.Build(ctx, n, row)
		if err != nil {
			return nil, err
		}
		return s.keeping(rows, j.how), nil
	}
	return j.rest.Build(ctx, n, row)
}

// concat builds the rows of two look-ups of a join: those of the second that the first has not
// given. The planner's keep the keys of the first without a bound.
func (b distinctBuilder) concat(ctx *gms.Context, n *plan.Concat, row gms.Row) (gms.RowIter, error) {
	first, err := b.base.Build(ctx, n.Left(), row)
	if err != nil {
		return nil, err
	}
	keys, err := newDistinctKeys(ctx)
	return &concatRows{RowIter: first, keys: keys, second: func(ctx *gms.Context) (gms.RowIter, error) {
		return b.base.Build(ctx, n.Right(), row)
	}}, err
}

type concatRows struct {
	gms.RowIter
	keys   *distinctKeys                           // of the first look-up's rows
	second func(*gms.Context) (gms.RowIter, error) // nil: it has begun
}

// Next returns the next row.
func (c *concatRows) Next(ctx *gms.Context) (gms.Row, error) {
	for {
		row, err := c.RowIter.Next(ctx)
		if errors.Is(err, io.EOF) && c.second != nil {
			if err := c.goOn(ctx); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		key, err := hash.HashOf(ctx, nil, row)
		if err != nil {
			return nil, err
		}
		if c.second != nil {
			if _, err := c.keys.add(key); err != nil {
				return nil, err
			}
			return row, nil
		}
		if _, given := c.keys.seen[key]; !given {
			return row, nil
		}
	}
}

// goOn begins the second look-up.
func (c *concatRows) goOn(ctx *gms.Context) (err error) {
	if err := c.RowIter.Close(ctx); err != nil {
		return err
	}
	c.RowIter, err = c.second(ctx)
	c.second = nil
	return err
}

// Close lets go of the keys.
func (c *concatRows) Close(ctx *gms.Context) error {
	c.keys.forget()
	if c.RowIter == nil { // the second look-up has failed
		return nil
	}
	return c.RowIter.Close(ctx)
}

// updatedKeyMemory is what a key of a row of a join takes that an UPDATE changes: in the planner's
// own map and in that of updatedRows.
const updatedKeyMemory = 3 * keyMemory

// updateJoin builds an UPDATE of a join. The planner keeps a key of each row that is changed: they
// are counted here.
func (b distinctBuilder) updateJoin(ctx *gms.Context, n *plan.UpdateJoin, row gms.Row) (gms.RowIter, error) {
	rows, err := b.base.Build(ctx, n.Child, row)
	if err != nil {
		return nil, err
	}
	schema := schemaOfJoin(ctx, n)
	counted := &updatedRows{RowIter: rows, width: len(schema)}
	for table := range n.UpdateTargets {
		keys, err := newDistinctKeys(ctx)
		if err != nil {
			return nil, errors.Join(err, rows.Close(ctx))
		}
		keys.each = updatedKeyMemory
		counted.tables, counted.keys = append(counted.tables, newJoinPart(schema, table)), append(counted.keys, keys)
	}
	own := *b.base
	own.PriorityBuilder = instead{n, n.Child, counted, b}
	return own.Build(ctx, n, row)
}

type updatedRows struct {
	gms.RowIter
	width  int // of the join
	tables []joinPart
	keys   []*distinctKeys
}

// Next returns the next old and new row.
func (u *updatedRows) Next(ctx *gms.Context) (gms.Row, error) {
	row, err := u.RowIter.Next(ctx)
	if err != nil || len(row) != 2*u.width {
		return row, err
	}
	for i, table := range u.tables {
		if _, err := table.fresh(ctx, row[:u.width], u.keys[i]); err != nil {
			return nil, err
		}
	}
	return row, nil
}

// Close lets go of the keys.
func (u *updatedRows) Close(ctx *gms.Context) error {
	for _, keys := range u.keys {
		keys.forget()
	}
	return u.RowIter.Close(ctx)
}
