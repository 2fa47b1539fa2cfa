package sql

import (
	"errors"
	"io"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression/function/aggregation"
	"github.com/dolthub/go-mysql-server/sql/hash"
	"github.com/dolthub/go-mysql-server/sql/plan"
)

// groupRows are the rows of a GROUP BY. The planner's own reads rows in one goroutine and
// groups them in another: both evaluate expressions, and with subqueries in them both read
// through the transaction, which serves one at a time. Nor does its reader stop where a row
// cannot be grouped.
type groupRows struct {
	child gms.RowIter
	// What is shown of each group, and what it is told by.
	shown, by []gms.Expression
	key       distinctRows // of the values of by
	groups    [][]gms.AggregationBuffer
	read      bool
	pos       int
	budget    budget
	long      []bool // of shown: a value that it keeps may be of any length
}

// What a group takes beside such values.
const (
	groupOverhead  = 96  // in the map and the list
	bufferOverhead = 128 // of what is shown of it: a buffer, and a value in it
)

// grouped builds the rows of a GROUP BY.
func (b distinctBuilder) grouped(ctx *gms.Context, n *plan.GroupBy, row gms.Row) (gms.RowIter, error) {
	child, err := b.base.Build(ctx, n.Child, row)
	if err != nil {
		return nil, err
	}
	s, err := sessionOf(ctx)
	if err != nil {
		return nil, errors.Join(err, child.Close(ctx))
	}
	g := groupRows{child: child, shown: n.SelectDeps, by: n.GroupByExprs, budget: s.newBudget(), long: make([]bool, len(n.SelectDeps))}
	for i, e := range g.shown {
		g.long[i] = keepsLongValue(ctx, e)
	}
	if last := len(g.by) - 1; isMark(g.by[last]) {
		g.by = g.by[:last]
		return newRollupRows(ctx, g), nil
	}
	g.key = distinctRows(hash.ExprsToSchema(ctx, g.by...))
	return &g, nil
}

// Next returns the next group; the first call reads all rows.
func (g *groupRows) Next(ctx *gms.Context) (gms.Row, error) {
	if !g.read {
		g.read = true
		if err := g.readAll(ctx); err != nil {
			return nil, err
		}
	}
	if g.pos == len(g.groups) {
		return nil, io.EOF
	}
	group := g.groups[g.pos]
	g.pos++
	row := make(gms.Row, len(group))
	for i, buffer := range group {
		var err error
		if row[i], err = buffer.Eval(ctx); err != nil {
			return nil, err
		}
	}
	return row, nil
}

func (g *groupRows) readAll(ctx *gms.Context) error {
	at := map[uint64][]gms.AggregationBuffer{}
	values := make(gms.Row, len(g.by))
	return g.eachRow(ctx, func(row gms.Row) error {
		if err := g.evaluate(ctx, row, values); err != nil {
			return err
		}
		key, err := g.key.HashOf(ctx, values)
		if err != nil {
			return err
		}
		group := at[key]
		if group == nil {
			if group, err = g.newGroup(ctx); err != nil {
				return err
			}
			at[key] = group
		}
		for _, buffer := range group {
			if err := buffer.Update(ctx, row); err != nil {
				return err
			}
		}
		return nil
	})
}

// eachRow does something with each row that is to be grouped.
func (g *groupRows) eachRow(ctx *gms.Context, do func(gms.Row) error) error {
	for {
		row, err := g.child.Next(ctx)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := do(row); err != nil {
			return err
		}
	}
}

// evaluate puts what a row's group is told by into values.
func (g *groupRows) evaluate(ctx *gms.Context, row, values gms.Row) (err error) {
	for i, e := range g.by {
		if values[i], err = e.Eval(ctx, row); err != nil {
			return err
		}
	}
	return nil
}

// newGroup is a group without rows; what is no aggregate is that of its first row.
func (g *groupRows) newGroup(ctx *gms.Context) ([]gms.AggregationBuffer, error) {
	if err := g.budget.add(groupOverhead + bufferOverhead*int64(len(g.shown))); err != nil {
		return nil, err
	}
	group := make([]gms.AggregationBuffer, len(g.shown))
	for i, e := range g.shown {
		aggregate, ok := e.(gms.Aggregation)
		if !ok {
			aggregate = aggregation.NewFirst(e)
		}
		buffer, err := aggregate.NewBuffer(ctx)
		if err != nil {
			return nil, err
		}
		if g.long[i] {
			buffer = &longValue{AggregationBuffer: buffer, budget: &g.budget}
		}
		group[i] = buffer
	}
	g.groups = append(g.groups, group)
	return group, nil
}

// Close ends the rows.
func (g *groupRows) Close(ctx *gms.Context) error {
	for _, group := range g.groups {
		for _, buffer := range group {
			buffer.Dispose(ctx)
		}
	}
	g.groups, g.pos = nil, 0
	return g.child.Close(ctx)
}
