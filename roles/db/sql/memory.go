package sql

import (
	"time"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/plan"
)

// SetQueryMemory changes Options.QueryMemory for what is planned from now on.
func (e *Engine) SetQueryMemory(bytes int64) { e.queryMemory.Store(bytes) }

// measure says how the rows that come out of the node built next are kept by the one above
// it.
type measure uint8

const (
	measureNothing measure = iota
	measureAll             // every row, until the node above is done
	measureSort            // as measureAll, and rows that are sorted are counted as such
	measureTop             // as many as a LIMIT says: they are only counted
)

// measureOf is what a node keeps of the rows below it. A sort with a LIMIT keeps as many
// rows as that and is not measured.
func measureOf(n gms.Node) measure {
	switch n := n.(type) {
	case *plan.Sort:
		return measureSort
	case *plan.TopN:
		return measureTop
	case *plan.Window:
		return measureAll
	case *plan.HashLookup:
		if n.Lookup == nil {
			return measureAll
		}
	case *plan.CachedResults:
		if !n.IsFinalized() {
			return measureAll
		}
	}
	return measureNothing
}

// measured builds the rows of n, which the node above keeps, and counts them. The planner
// builds the one node below such a node right after that node itself; so the session notes
// what comes next. It returns nil where nothing is to be counted.
func (b distinctBuilder) measured(ctx *gms.Context, n gms.Node, row gms.Row) (gms.RowIter, error) {
	s, err := sessionOf(ctx)
	if err != nil {
		return nil, err
	}
	how := s.measure
	if s.measure = measureNothing; how == measureNothing {
		s.measure = measureOf(n)
		return nil, nil
	}
	rows, err := b.base.Build(ctx, n, row)
	if err != nil {
		return nil, err
	}
	k := &keptRows{RowIter: rows, how: how, limit: s.engine.queryMemory.Load()}
	if how == measureSort || how == measureTop {
		k.sorted = &s.doing.Work.Sorted
	}
	return k, nil
}

// keptRows counts the rows that the node above keeps, and fails where they are more than
// db.query_memory.
type keptRows struct {
	gms.RowIter
	how    measure
	sorted *uint64 // counts the rows, if they are sorted
	limit  int64
	bytes  int64
}

// Next returns the next row.
func (k *keptRows) Next(ctx *gms.Context) (gms.Row, error) {
	row, err := k.RowIter.Next(ctx)
	if err != nil {
		return row, err
	}
	if k.sorted != nil {
		*k.sorted++
	}
	if k.limit == 0 || k.how == measureTop {
		return row, nil
	}
	if k.bytes += memoryOf(row); k.bytes <= k.limit {
		return row, nil
	}
	return nil, errQueryMemory()
}

const (
	rowOverhead   = 24 // of a slice
	valueOverhead = 16 // of an interface
	boxedNumber   = 8
	boxedOther    = 48 // a decimal, a value of JSON or geometry: the least
)

// memoryOf is about the memory that a row takes.
func memoryOf(row gms.Row) int64 {
	n := int64(rowOverhead)
	for _, v := range row {
		n += valueOverhead
		switch v := v.(type) {
		case nil, bool, int8, uint8:
		case string:
			n += valueOverhead + int64(len(v))
		case []byte:
			n += rowOverhead + int64(len(v))
		case int16, uint16, int32, uint32, int64, uint64, int, uint, float32, float64:
			n += boxedNumber
		case time.Time:
			n += rowOverhead
		default:
			n += boxedOther
		}
	}
	return n
}
