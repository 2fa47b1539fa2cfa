package direct

import (
	"bytes"
	"context"
	"slices"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/vitess/go/vt/sqlparser"

	"stack/roles/db/store"
)

// op is how a condition compares a column.
type op uint8

const (
	opEqual op = iota
	opLess
	opLessEqual
	opGreater
	opGreaterEqual
	opNotEqual
	opIn
	opNotIn
	opNull
	opNotNull
)

var ops = map[string]op{
	sqlparser.EqualStr: opEqual, sqlparser.LessThanStr: opLess, sqlparser.LessEqualStr: opLessEqual,
	sqlparser.GreaterThanStr: opGreater, sqlparser.GreaterEqualStr: opGreaterEqual, sqlparser.NotEqualStr: opNotEqual,
}

// condition compares a column with a literal, with the members of a list, with a column
// of another table, or with NULL: only the first two have a placeholder.
type condition struct {
	column      int
	op          op
	class       class
	typ         gms.Type
	placeholder int
	more        []int // of a list that is written as several conditions joined by OR
	joined      bool
	outer       int // place of the other table's column, where joined
}

// lists says whether the column is compared with the members of a list.
func (c *condition) lists() bool { return c.op == opIn || c.op == opNotIn }

// null says whether the column is compared with NULL.
func (c *condition) null() bool { return c.op == opNull || c.op == opNotNull }

// where is a conjunction of conditions and how the rows are found that meet it.
type where struct {
	conditions []condition
	index      *store.Index
	// Of the conditions: those that the leading columns of the index are equal to, then
	// one list or the ends of a range on the column behind, -1 if there is none.
	equal                []int
	in, lower, upper     int
	rest                 []int // to be checked on each row
	point                bool  // one row at most
	columns, constant    []int // that rest needs; that have one value in all rows
	positions            []int // of the index's columns
	prefixed, descending bool
	never                bool // a constant condition is false
}

// compileWhere reads a WHERE clause; where is nil for none.
func (p *Plan) compileWhere(s scope, clause *sqlparser.Where) Reason {
	p.where = &where{}
	if clause == nil {
		return None
	}
	reason := p.conjunction(s, clause.Expr)
	if reason == None && p.where.never && p.Writes() {
		return Shape
	}
	return reason
}

func (p *Plan) conjunction(s scope, e sqlparser.Expr) Reason {
	switch e := e.(type) {
	case *sqlparser.AndExpr:
		if reason := p.conjunction(s, e.Left); reason != None {
			return reason
		}
		return p.conjunction(s, e.Right)
	case *sqlparser.ParenExpr:
		return p.conjunction(s, e.Expr)
	case *sqlparser.OrExpr:
		return p.disjunction(s, e)
	case *sqlparser.ComparisonExpr:
		if p.where.constantly(e) {
			return None
		}
		return p.comparison(s, e)
	case *sqlparser.RangeCond:
		if e.Operator != sqlparser.BetweenStr {
			return Shape
		}
		if reason := p.condition(s, e.Left, opGreaterEqual, e.From); reason != None {
			return reason
		}
		return p.condition(s, e.Left, opLessEqual, e.To)
	case *sqlparser.IsExpr:
		return p.isNull(s, e)
	}
	return Shape
}

func (p *Plan) isNull(s scope, e *sqlparser.IsExpr) Reason {
	column, ok := s.column(e.Expr)
	if !ok {
		return Shape
	}
	c := condition{column: column, typ: s.table.Types[column], placeholder: -1}
	switch e.Operator {
	case sqlparser.IsNullStr:
		c.op = opNull
	case sqlparser.IsNotNullStr:
		c.op = opNotNull
	default:
		return Shape
	}
	p.where.conditions = append(p.where.conditions, c)
	return None
}

func (p *Plan) comparison(s scope, e *sqlparser.ComparisonExpr) Reason {
	if e.Escape != nil {
		return Shape
	}
	if e.Operator == sqlparser.InStr || e.Operator == sqlparser.NotInStr {
		list, ok := e.Right.(sqlparser.ValTuple)
		if !ok || len(list) != 1 {
			return Shape
		}
		o := opIn
		if e.Operator == sqlparser.NotInStr {
			o = opNotIn
		}
		return p.condition(s, e.Left, o, list[0])
	}
	o, ok := ops[e.Operator]
	if !ok {
		return Shape
	}
	return p.condition(s, e.Left, o, e.Right)
}

func (p *Plan) condition(s scope, left sqlparser.Expr, o op, right sqlparser.Expr) Reason {
	column, ok := s.column(left)
	if !ok {
		return Shape
	}
	n, ok := placeholder(right)
	if !ok {
		return Shape
	}
	typ := s.table.Types[column]
	c := classOf(typ)
	if c == classNone {
		return Column
	}
	p.where.conditions = append(p.where.conditions, condition{column: column, op: o, class: c, typ: typ, placeholder: n})
	return None
}

// finish chooses the way to the rows: a key that allows one row, else the planner's
// index, whose order they come in.
func (w *where) finish(t *store.Table, planned *store.Index) Reason {
	w.index = planned
	if w.index == nil {
		// The planner reads the whole table; it may only have met values out of range.
		w.index = w.best(t)
	}
	for _, ix := range append([]*store.Index{t.Primary}, t.Indexes...) {
		if (ix.IsPrimary() || ix.Desc.Unique) && !ix.Prefixed() && w.allEqual(ix.ColumnPositions()) {
			w.index, w.point = ix, true
			break
		}
	}
	w.prefixed = w.index.Prefixed()
	for _, c := range w.index.Desc.Columns {
		w.descending = w.descending || c.Desc
	}
	if w.descending {
		return Index
	}
	w.positions = w.index.ColumnPositions()
	w.in, w.lower, w.upper = -1, -1, -1
	used := make([]bool, len(w.conditions))
	take := func(column int, ops ...op) int {
		for i, c := range w.conditions {
			if c.column == column && !used[i] && slices.Contains(ops, c.op) {
				used[i] = !w.prefixed // what shares a prefix need not be equal
				return i
			}
		}
		return -1
	}
	for _, column := range w.positions {
		if i := take(column, opEqual, opNull); i >= 0 {
			w.equal = append(w.equal, i)
			w.constant = append(w.constant, column)
			continue
		}
		if w.in = take(column, opIn); w.in < 0 {
			w.lower = take(column, opGreater, opGreaterEqual)
			w.upper = take(column, opLess, opLessEqual)
		}
		break
	}
	for i, c := range w.conditions {
		if !used[i] {
			w.rest = append(w.rest, i)
			w.columns = append(w.columns, c.column)
		}
	}
	return None
}

// best is the index with the most leading columns that conditions are equal to or,
// failing that, the first one with any condition on its first column; the primary one
// where there is none.
func (w *where) best(t *store.Table) *store.Index {
	best, most := t.Primary, 0
	for _, ix := range append([]*store.Index{t.Primary}, t.Indexes...) {
		if !searchable(ix) {
			continue
		}
		n := 0
		for _, column := range ix.ColumnPositions() {
			if w.has(column, opEqual, opNull) {
				n += 2
				continue
			}
			if w.has(column, opIn, opLess, opLessEqual, opGreater, opGreaterEqual) {
				n++
			}
			break
		}
		if n > most {
			best, most = ix, n
		}
	}
	return best
}

// searchable says whether the entries of an index are its columns' values, in ascending
// order: those of a FULLTEXT index are words.
func searchable(ix *store.Index) bool {
	return !ix.Desc.FullText && !slices.ContainsFunc(ix.Desc.Columns, func(c store.IndexColumnDesc) bool { return c.Desc })
}

// has says whether there is a condition of one of these kinds on a column.
func (w *where) has(column int, ops ...op) bool {
	return slices.ContainsFunc(w.conditions, func(c condition) bool { return c.column == column && slices.Contains(ops, c.op) })
}

func (w *where) allEqual(columns []int) bool {
	for _, column := range columns {
		if !w.has(column, opEqual) {
			return false
		}
	}
	return len(columns) > 0
}

// bound values of a run: by condition, one each, and those of the list.
type bindings struct {
	values []any
	list   []any // of the condition that the index is searched by
	lists  [][]any
	sets   []*members // of long lists that rows are checked for
}

// bind brings the literals to the columns' types.
func (w *where) bind(t *Text) (bindings, bool) {
	b, ok := w.bound(t)
	if !ok {
		return b, false
	}
	for _, i := range w.rest {
		c := &w.conditions[i]
		if list := w.listOf(b, i); c.lists() && len(list) > fewMembers {
			if b.sets == nil {
				b.sets = make([]*members, len(w.conditions))
			}
			if b.sets[i], ok = newMembers(w.index.Table, c, list); !ok {
				return b, false
			}
		}
	}
	return b, true
}

// listOf is the list of condition i, nil where that has none.
func (w *where) listOf(b bindings, i int) []any {
	switch {
	case i == w.in:
		return b.list
	case b.lists == nil:
		return nil
	}
	return b.lists[i]
}

// bound is bind without what long lists need.
func (w *where) bound(t *Text) (bindings, bool) {
	b := bindings{values: make([]any, len(w.conditions))}
	for i := range w.conditions {
		c := &w.conditions[i]
		if c.null() || c.joined {
			continue
		}
		if !c.lists() {
			v, ok := t.one(c.placeholder)
			if ok {
				b.values[i], ok = v.comparable(c.class)
			}
			if !ok {
				return b, false
			}
			continue
		}
		list, ok := c.list(t)
		if !ok {
			return b, false
		}
		if i == w.in {
			b.list = list
			continue
		}
		if b.lists == nil {
			b.lists = make([][]any, len(w.conditions))
		}
		b.lists[i] = list
	}
	return b, true
}

// spans are the ranges of the index that hold the rows, in the order of the index.
func (w *where) spans(b bindings) ([]store.KeyRange, error) {
	equal := make([]any, len(w.equal), len(w.equal)+1)
	for i, c := range w.equal {
		equal[i] = b.values[c]
	}
	if w.in < 0 {
		lower, upper := store.Bound{Values: equal, Inclusive: true}, store.Bound{Values: equal, Inclusive: true}
		if w.lower >= 0 {
			lower = store.Bound{Values: append(equal[:len(equal):len(equal)], b.values[w.lower]), Inclusive: w.conditions[w.lower].op == opGreaterEqual}
		} else if w.upper >= 0 {
			// NULL is below every value, and less than none.
			lower = store.Bound{Values: append(equal[:len(equal):len(equal)], nil)}
		}
		if w.upper >= 0 {
			upper = store.Bound{Values: append(equal[:len(equal):len(equal)], b.values[w.upper]), Inclusive: w.conditions[w.upper].op == opLessEqual}
		}
		r, err := w.index.Range(lower, upper)
		if err != nil || bytes.Compare(r.Start, r.End) >= 0 {
			return nil, err
		}
		return []store.KeyRange{r}, nil
	}
	ranges := make([]store.KeyRange, 0, len(b.list))
	for _, v := range b.list {
		bound := store.Bound{Values: append(equal[:len(equal):len(equal)], v), Inclusive: true}
		r, err := w.index.Range(bound, bound)
		if err != nil {
			return nil, err
		}
		if bytes.Compare(r.Start, r.End) < 0 {
			ranges = append(ranges, r)
		}
	}
	slices.SortFunc(ranges, func(a, b store.KeyRange) int { return bytes.Compare(a.Start, b.Start) })
	return slices.CompactFunc(ranges, func(a, b store.KeyRange) bool { return bytes.Equal(a.Start, b.Start) }), nil
}

// holds checks on a row what the ranges have not decided.
func (w *where) holds(ctx context.Context, b bindings, row gms.Row) (bool, error) {
	return w.all(ctx, w.rest, b, row)
}

// all checks some of the conditions on a row.
func (w *where) all(ctx context.Context, conditions []int, b bindings, row gms.Row) (bool, error) {
	for _, i := range conditions {
		c := &w.conditions[i]
		v := row[c.column]
		if c.null() {
			if (v == nil) != (c.op == opNull) {
				return false, nil
			}
			continue
		}
		if v == nil {
			return false, nil
		}
		if c.lists() {
			found, err := w.member(ctx, b, i, v)
			if err != nil || found == (c.op == opNotIn) {
				return false, err
			}
			continue
		}
		n, err := c.compare(ctx, v, b.values[i])
		if err != nil || !c.op.accepts(n) {
			return false, err
		}
	}
	return true, nil
}

// member says whether v is in the list of condition i.
func (w *where) member(ctx context.Context, b bindings, i int, v any) (bool, error) {
	c := &w.conditions[i]
	if b.sets != nil && b.sets[i] != nil {
		return b.sets[i].has(w.index.Table, c, v)
	}
	for _, x := range w.listOf(b, i) {
		if n, err := c.compare(ctx, v, x); err != nil || n == 0 {
			return err == nil, err
		}
	}
	return false, nil
}

func (c *condition) compare(ctx context.Context, v, with any) (int, error) {
	if c.class == classInt {
		return compareInts(v, with), nil
	}
	return c.typ.Compare(ctx, v, with)
}

// accepts says whether the order of a value and a literal is what is asked for.
func (o op) accepts(n int) bool {
	switch o {
	case opEqual:
		return n == 0
	case opLess:
		return n < 0
	case opLessEqual:
		return n <= 0
	case opGreater:
		return n > 0
	case opGreaterEqual:
		return n >= 0
	case opNotEqual:
		return n != 0
	}
	return false
}
