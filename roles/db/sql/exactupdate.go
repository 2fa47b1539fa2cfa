package sql

import (
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/plan"

	"stack/roles/db/txn"
)

// except is a builder that leaves one node to the planner's own.
type except struct {
	node gms.Node
	rest distinctBuilder
}

// Build builds every node but that one.
func (e except) Build(ctx *gms.Context, n gms.Node, row gms.Row) (gms.RowIter, error) {
	if n == e.node {
		return nil, nil
	}
	return e.rest.Build(ctx, n, row)
}

// updates builds the rows of an UPDATE. The planner writes none whose new values equal
// the old by their collation: 'bob' would not become 'Bob'. Those are written here.
func (b distinctBuilder) updates(ctx *gms.Context, n *plan.UpdateSource, row gms.Row) (gms.RowIter, error) {
	own := *b.base
	own.PriorityBuilder = except{n, b}
	rows, err := own.Build(ctx, n, row)
	if err != nil {
		return nil, err
	}
	s, err := sessionOf(ctx)
	if err != nil {
		return nil, err
	}
	table, err := plan.GetUpdatable(n.Child)
	if err != nil { // a join
		return newDerivedInJoin(ctx, n, rows), nil
	}
	if s.start == (txn.Mark{}) {
		return rows, nil // a trigger may change the row once more
	}
	return &exactUpdates{rows, table.Updater(ctx), table.Schema(ctx)}, nil
}

// keyedUpdates builds the rows of an UPDATE of a table with foreign keys, of which the planner writes
// all by itself, those that are as they were too.
func (b distinctBuilder) keyedUpdates(ctx *gms.Context, n *plan.UpdateSource, row gms.Row) (gms.RowIter, error) {
	own := *b.base
	own.PriorityBuilder = except{n, b}
	return own.Build(ctx, n, row)
}

type exactUpdates struct {
	gms.RowIter
	updater gms.RowUpdater
	schema  gms.Schema
}

// Next returns the next old and new row.
func (e *exactUpdates) Next(ctx *gms.Context) (gms.Row, error) {
	row, err := e.RowIter.Next(ctx)
	if err != nil || len(row) != 2*len(e.schema) {
		return row, err
	}
	before, after := row[:len(e.schema)], row[len(e.schema):]
	differ := false
	for i, c := range e.schema {
		was, isText := before[i].(string)
		now, stillText := after[i].(string)
		if isText && stillText && was != now && collated(c.Type) {
			differ = true
		}
	}
	if !differ {
		return row, nil
	}
	if same, err := before.Equals(ctx, after, e.schema); err != nil || !same {
		return row, err
	}
	return row, e.updater.Update(ctx, before, after)
}
