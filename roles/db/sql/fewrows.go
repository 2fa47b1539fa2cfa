package sql

import (
	"errors"
	"io"
	"slices"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/iters"
	"github.com/dolthub/go-mysql-server/sql/plan"
)

// into builds SELECT … INTO variables. The planner reads all rows before it refuses more than
// one: it gets two.
func (b distinctBuilder) into(ctx *gms.Context, n *plan.Into, row gms.Row) (gms.RowIter, error) {
	rows, err := b.base.Build(ctx, n.Child, row)
	if err != nil {
		return nil, err
	}
	own := *b.base
	own.PriorityBuilder = instead{n, n.Child, &iters.LimitIter{Limit: 2, ChildIter: rows}, b}
	return own.Build(ctx, n, row)
}

// block builds the statements of a block in a trigger. The planner keeps all rows that one of
// them has changed, and takes the last: it gets that.
func (b distinctBuilder) block(ctx *gms.Context, n *plan.Block, row gms.Row) (gms.RowIter, error) {
	own := *b.base
	own.PriorityBuilder = blockBuilder{b, n}
	return own.Build(ctx, n, row)
}

type blockBuilder struct {
	rest  distinctBuilder
	block *plan.Block
}

// Build builds every node but the block.
func (l blockBuilder) Build(ctx *gms.Context, n gms.Node, row gms.Row) (gms.RowIter, error) {
	if n == l.block {
		return nil, nil
	}
	if !slices.Contains(l.block.Children(), n) {
		return l.rest.Build(ctx, n, row)
	}
	rows, err := l.rest.base.Build(ctx, n, row)
	if err != nil {
		return nil, err
	}
	if _, ok := rows.(plan.BlockRowIter); ok { // of a block inside, which has done the same
		return rows, nil
	}
	return &lastRow{RowIter: rows}, nil
}

// lastRow is the last one of rows.
type lastRow struct {
	gms.RowIter
	ended bool
}

// Next returns the row.
func (l *lastRow) Next(ctx *gms.Context) (gms.Row, error) {
	var last gms.Row
	for !l.ended {
		row, err := l.RowIter.Next(ctx)
		if errors.Is(err, io.EOF) {
			l.ended = true
			break
		}
		if err != nil {
			return nil, err
		}
		last = row
	}
	if last == nil {
		return nil, io.EOF
	}
	return last, nil
}
