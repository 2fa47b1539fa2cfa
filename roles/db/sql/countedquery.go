package sql

import (
	"errors"
	"io"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/plan"
)

// countedQuery is a subquery of an expression whose rows count against db.query_memory.
func countedQuery(ctx *gms.Context, query *plan.Subquery) (*plan.Subquery, error) {
	s, err := sessionOf(ctx)
	if err != nil {
		return nil, err
	}
	return query.WithExecBuilder(queryBuilder{s.engine.gms.Analyzer.ExecBuilder, query.CanCacheResults()}), nil
}

// ofNoTable says whether a query has one row for want of a table.
func ofNoTable(n gms.Node) bool {
	for {
		switch node := n.(type) {
		case *plan.Project:
			n = node.Child
		case *plan.ResolvedTable:
			return plan.IsDualTable(node.Table)
		default:
			return false
		}
	}
}

// queryBuilder builds the query of an expression. The planner reads all of its rows before
// the expression has a value; what is the same each time it keeps until the statement ends.
type queryBuilder struct {
	gms.NodeExecBuilder
	same bool
}

// Build builds the query for the row of the query around it.
func (b queryBuilder) Build(ctx *gms.Context, n gms.Node, row gms.Row) (gms.RowIter, error) {
	rows, err := b.NodeExecBuilder.Build(ctx, n, row)
	if err != nil {
		return nil, err
	}
	kept, err := newKept(ctx)
	if err != nil {
		return nil, errors.Join(err, rows.Close(ctx))
	}
	return &queryRows{RowIter: rows, from: len(row), same: b.same, kept: kept}, nil
}

type queryRows struct {
	gms.RowIter
	from  int // where the query's own columns begin
	same  bool
	ended bool
	kept  kept
}

// Next returns the next row.
func (q *queryRows) Next(ctx *gms.Context) (gms.Row, error) {
	row, err := q.RowIter.Next(ctx)
	if err != nil {
		q.ended = errors.Is(err, io.EOF)
		return nil, err
	}
	if err := q.kept.add(memoryOf(row[q.from:]) + keyMemory); err != nil {
		return nil, err
	}
	return row, nil
}

// Close lets go of the rows where the planner does: EXISTS reads one and keeps none.
func (q *queryRows) Close(ctx *gms.Context) error {
	if !q.same || !q.ended {
		q.kept.forget()
	}
	return q.RowIter.Close(ctx)
}
