package sql

import (
	"errors"
	"io"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/hash"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/rowexec"
)

// maxRecursion is how often a recursive common table expression begins anew, as the planner's.
const maxRecursion = 10_001

// recursiveRows are the rows of a recursive common table expression. The planner's keep those
// of a round, and the keys of all, without a bound.
type recursiveRows struct {
	base *rowexec.BaseBuilder
	n    *plan.RecursiveCte
	row  gms.Row // of the query around it

	gms.RowIter               // of the running round, nil before the first
	rounds      int           // that were begun after the first
	next        []gms.Row     // what the next round reads
	kept        kept          // them and those that this round reads
	last        int64         // bytes of those that this round reads
	seen        *distinctKeys // of UNION DISTINCT
}

// recursive builds a recursive common table expression.
func (b distinctBuilder) recursive(ctx *gms.Context, n *plan.RecursiveCte, row gms.Row) (gms.RowIter, error) {
	kept, err := newKept(ctx)
	if err != nil {
		return nil, err
	}
	rows := &recursiveRows{base: b.base, n: n, row: row, kept: kept}
	if n.Union().Distinct {
		if rows.seen, err = newDistinctKeys(ctx); err != nil {
			return nil, err
		}
	}
	return ordered(ctx, rows, n.Union())
}

// Next returns the next row; it begins the next round where the running one has ended.
func (r *recursiveRows) Next(ctx *gms.Context) (gms.Row, error) {
	if r.RowIter == nil {
		if err := r.begin(ctx, r.n.Left()); err != nil {
			return nil, err
		}
	}
	for {
		row, err := r.RowIter.Next(ctx)
		if errors.Is(err, io.EOF) && len(r.next) > 0 {
			if err := r.again(ctx); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		fresh, err := r.fresh(ctx, row)
		if err != nil {
			return nil, err
		}
		if !fresh {
			continue
		}
		if err := r.kept.add(memoryOf(row)); err != nil {
			return nil, err
		}
		r.next = append(r.next, row)
		return row, nil
	}
}

func (r *recursiveRows) begin(ctx *gms.Context, n gms.Node) (err error) {
	r.RowIter, err = r.base.Build(ctx, n, r.row)
	return err
}

// again begins a round that reads the rows of the one before.
func (r *recursiveRows) again(ctx *gms.Context) error {
	if r.rounds++; r.rounds > maxRecursion {
		return gms.ErrCteRecursionLimitExceeded.New()
	}
	if err := r.RowIter.Close(ctx); err != nil {
		return err
	}
	if err := r.kept.add(-r.last); err != nil {
		return err
	}
	r.last = r.kept.bytes
	r.n.Working.Buf, r.next = r.next, nil
	return r.begin(ctx, r.n.Right())
}

// fresh says whether a row is one of the result.
func (r *recursiveRows) fresh(ctx *gms.Context, row gms.Row) (bool, error) {
	if r.seen == nil {
		return true, nil
	}
	key, err := hash.HashOf(ctx, nil, row)
	if err != nil {
		return false, err
	}
	return r.seen.add(key)
}

// Close lets go of the rows.
func (r *recursiveRows) Close(ctx *gms.Context) error {
	r.n.Working.Buf, r.next = nil, nil
	r.kept.forget()
	if r.seen != nil {
		r.seen.forget()
	}
	if r.RowIter == nil {
		return nil
	}
	return r.RowIter.Close(ctx)
}
