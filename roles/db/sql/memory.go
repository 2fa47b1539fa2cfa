package sql

import (
	"time"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// SetQueryMemory changes Options.QueryMemory for what is planned from now on.
func (e *Engine) SetQueryMemory(bytes int64) { e.queryMemory.Store(bytes) }

// errQueryMemory is what a statement is told that keeps too much.
func errQueryMemory() error {
	return mysqlError(1038, "Out of sort memory: a sort, join, group, DISTINCT, subquery or cursor of the statement keeps more rows than fit into db.query_memory; "+
		"use an index or a LIMIT, select fewer columns, or raise it")
}

// kept is what a part of a statement keeps beside the rows of a node: keys, lists, the rows
// of a cursor. What all of them keep together is bounded by db.query_memory.
type kept struct {
	session *Session
	in      *int64 // the session's count of such
	bytes   int64
}

func newKept(ctx *gms.Context) (kept, error) {
	s, err := sessionOf(ctx)
	if err != nil {
		return kept{}, err
	}
	return kept{session: s, in: &s.kept}, nil
}

// add counts bytes more, or less, and fails where they are too many.
func (k *kept) add(bytes int64) error {
	s := k.session
	if limit := s.engine.queryMemory.Load(); bytes > 0 && limit > 0 && s.kept+s.cursors+bytes > limit {
		return errQueryMemory()
	}
	*k.in += bytes
	k.bytes += bytes
	return nil
}

// forget gives the memory back.
func (k *kept) forget() {
	if k.bytes != 0 {
		*k.in -= k.bytes
		k.bytes = 0
	}
}

// budget bounds what one node keeps by db.query_memory.
type budget struct {
	limit int64 // bytes, 0: any number
	bytes int64
}

func (s *Session) newBudget() budget { return budget{limit: s.engine.queryMemory.Load()} }

// add counts bytes more, or less, and fails where they are too many.
func (b *budget) add(bytes int64) error {
	if b.bytes += bytes; bytes > 0 && b.limit > 0 && b.bytes > b.limit {
		return errQueryMemory()
	}
	return nil
}

// measure says how the rows that come out of the node built next are kept by the one above
// it.
type measure uint8

const (
	measureNothing measure = iota
	measureAll             // every row, until the node above is done
	measureSort            // as measureAll, and rows that are sorted are counted as such
	measureKeys            // a key of every row
)

// measureOf is what a node keeps of the rows below it, where it has one such node.
func measureOf(n gms.Node) measure {
	switch n := n.(type) {
	case *plan.Sort:
		return measureSort
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
	return s.keeping(rows, how), nil
}

// keeping counts rows that are kept.
func (s *Session) keeping(rows gms.RowIter, how measure) *keptRows {
	k := &keptRows{RowIter: rows, how: how, budget: s.newBudget()}
	if how == measureSort {
		k.sorted = &s.doing.Work.Sorted
	}
	return k
}

// keptRows counts the rows that the node above keeps, and fails where they are more than
// db.query_memory.
type keptRows struct {
	gms.RowIter
	how    measure
	sorted *uint64 // counts the rows, if they are sorted
	budget budget
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
	if k.budget.limit == 0 {
		return row, nil
	}
	size := int64(keyMemory)
	if k.how != measureKeys {
		size = memoryOf(row)
	}
	if err := k.budget.add(size); err != nil {
		return nil, err
	}
	return row, nil
}

const (
	rowOverhead   = 24 // of a slice
	valueOverhead = 16 // of an interface
	boxedNumber   = 8
	boxedOther    = 48 // a decimal, a value of JSON or geometry: the least
	keyMemory     = 32 // the key of a row in a map
)

// memoryOf is about the memory that a row takes.
func memoryOf(row gms.Row) int64 {
	n := int64(rowOverhead)
	for _, v := range row {
		n += valueOverhead + memoryOfValue(v)
	}
	return n
}

// memoryOfValue is about the memory that a value takes beside its interface.
func memoryOfValue(v any) int64 {
	switch v := v.(type) {
	case nil, bool, int8, uint8:
		return 0
	case string:
		return valueOverhead + int64(len(v))
	case []byte:
		return rowOverhead + int64(len(v))
	case int16, uint16, int32, uint32, int64, uint64, int, uint, float32, float64:
		return boxedNumber
	case time.Time:
		return rowOverhead
	case *types.LazyJSONDocument:
		return boxedOther + int64(len(v.Bytes))
	case types.JSONDocument:
		return valueOverhead + memoryOfValue(v.Val)
	case []any:
		return memoryOf(v)
	case map[string]any:
		n := int64(rowOverhead)
		for key, member := range v {
			n += memberMemory(key, member)
		}
		return n
	case types.GeometryValue:
		return boxedOther + int64(len(v.Serialize()))
	}
	return boxedOther
}

// memberMemory is about the memory that a member of a JSON object takes.
func memberMemory(key string, v any) int64 {
	return 2*valueOverhead + keyMemory + int64(len(key)) + memoryOfValue(v)
}
