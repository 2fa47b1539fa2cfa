package sql

import (
	"container/heap"
	"errors"
	"io"
	"math"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/iters"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/sorters"

	"stack/roles/db/wire"
)

// topRows are the first rows by an order. The planner's keep as many as LIMIT says, however
// many those are.
type topRows struct {
	gms.RowIter
	by     gms.SortConditions
	limit  int64
	found  bool // FOUND_ROWS() counts all rows
	sorted *uint64
	budget budget

	read bool
	all  int64 // rows that were read
	top  rowHeap
	pos  int
}

// topN builds the rows of ORDER BY with LIMIT.
func (b distinctBuilder) topN(ctx *gms.Context, n *plan.TopN, row gms.Row) (gms.RowIter, error) {
	limit, err := countOf(ctx, n.Limit)
	if err != nil {
		return nil, err
	}
	rows, err := b.base.Build(ctx, n.Child, row)
	if err != nil {
		return nil, err
	}
	s, err := sessionOf(ctx)
	if err != nil {
		return nil, errors.Join(err, rows.Close(ctx))
	}
	top := s.topRows(rows, n.SortConditions, limit)
	top.found = n.CalcFoundRows
	return top, nil
}

// countOf is how many rows a sort keeps for LIMIT, and OFFSET: of the two together there may be
// more than any table has.
func countOf(ctx *gms.Context, e gms.Expression) (int64, error) {
	n, err := iters.GetInt64Value(ctx, e)
	var beyond *wire.Error
	if errors.As(err, &beyond) && beyond.Code == 1690 || err == nil && n < 0 {
		return math.MaxInt64, nil
	}
	return n, err
}

func (s *Session) topRows(rows gms.RowIter, by gms.SortConditions, limit int64) *topRows {
	return &topRows{RowIter: rows, by: by, limit: limit, sorted: &s.doing.Work.Sorted, budget: s.newBudget()}
}

// Next returns the next row; the first call reads all rows.
func (t *topRows) Next(ctx *gms.Context) (gms.Row, error) {
	if !t.read {
		t.read = true
		t.top.sorter = sorters.NewRowSorter(ctx, t.by)
		if err := t.readAll(ctx); err != nil {
			return nil, err
		}
	}
	if t.pos == len(t.top.rows) {
		return nil, io.EOF
	}
	row := t.top.rows[t.pos].row
	t.pos++
	return row, nil
}

func (t *topRows) readAll(ctx *gms.Context) error {
	for {
		row, err := t.RowIter.Next(ctx)
		if errors.Is(err, io.EOF) {
			return t.order()
		}
		if err != nil {
			return err
		}
		t.all++
		*t.sorted++
		if err := t.take(placedRow{row, t.all}); err != nil {
			return err
		}
	}
}

// take keeps a row if it is one of the first so far.
func (t *topRows) take(row placedRow) error {
	rows := t.top.rows
	if int64(len(rows)) < t.limit {
		heap.Push(&t.top, row)
		if err := t.top.sorter.GetError(); err != nil {
			return err
		}
		return t.budget.add(memoryOf(row.row))
	}
	if len(rows) == 0 || t.top.compare(row, rows[0]) > 0 {
		return t.top.sorter.GetError()
	}
	grown := memoryOf(row.row) - memoryOf(rows[0].row)
	rows[0] = row
	heap.Fix(&t.top, 0)
	if err := t.top.sorter.GetError(); err != nil {
		return err
	}
	return t.budget.add(grown)
}

// order puts the rows in order, where they are: a heap leaves its last row behind the others.
func (t *topRows) order() error {
	rows := t.top.rows
	for t.top.Len() > 0 {
		heap.Pop(&t.top)
	}
	t.top.rows = rows
	return t.top.sorter.GetError()
}

// Close lets go of the rows.
func (t *topRows) Close(ctx *gms.Context) error {
	t.top.rows, t.pos = nil, 0
	if t.found {
		ctx.GetLastQueryInfo().FoundRows.Store(t.all)
	}
	return t.RowIter.Close(ctx)
}

// placedRow is a row and its place among all: rows that are equal by the order stay as they came.
type placedRow struct {
	row gms.Row
	at  int64
}

// rowHeap has the last one of its rows by the order first.
type rowHeap struct {
	sorter *sorters.RowSorter
	rows   []placedRow
}

func (h *rowHeap) compare(a, b placedRow) int {
	if c := h.sorter.CompareRows(a.row, b.row); c != 0 {
		return c
	}
	return int(a.at - b.at)
}

func (h *rowHeap) Len() int           { return len(h.rows) }
func (h *rowHeap) Less(i, j int) bool { return h.compare(h.rows[i], h.rows[j]) > 0 }
func (h *rowHeap) Swap(i, j int)      { h.rows[i], h.rows[j] = h.rows[j], h.rows[i] }
func (h *rowHeap) Push(row any)       { h.rows = append(h.rows, row.(placedRow)) }

func (h *rowHeap) Pop() any {
	last := len(h.rows) - 1
	row := h.rows[last]
	h.rows = h.rows[:last]
	return row
}
