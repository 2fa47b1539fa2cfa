package direct

import (
	"context"
	"slices"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/vt/sqlparser"

	"stack/roles/db/store"
	"stack/roles/db/txn"
)

// sortLimit is how many rows a statement sorts here; more are left to the planner.
const sortLimit = 10_000

// aggregate is a function over all rows.
type aggregate uint8

const (
	countRows   aggregate = iota // COUNT(*)
	countValues                  // COUNT(column)
	sumInts                      // SUM(column) of integers
)

// read is what a SELECT returns of the rows found.
type read struct {
	columns    []int // of the result, by their places in the statement's tables; of aggregates the argument
	aggregates []aggregate
	distinct   bool
	order      []sortColumn
	limit      int // placeholders, -1 if there is none
	offset     int
	found      bool // SQL_CALC_FOUND_ROWS: rows beyond the limit are counted

	needed   []int // columns to decode
	identity bool  // the result's columns are all of the table's, in order
	reverse  bool  // the index is read backwards
	inMemory bool  // rows are sorted
}

type sortColumn struct {
	column int
	desc   bool
}

func (p *Plan) compileSelect(st *sqlparser.Select, lookup Lookup) Reason {
	q := st.QueryOpts
	if st.Into != nil || st.With != nil || st.Having != nil || st.Lock != nil && st.Lock.Type != "" || len(st.Window) > 0 ||
		len(st.Comments) > 0 || len(q.DistinctOn) > 0 || q.StraightJoinHint || q.SQLCache || q.SQLNoCache || q.All {
		return Shape
	}
	if len(st.From) == 0 {
		return p.compileSystem(st)
	}
	r := &read{limit: -1, offset: -1, distinct: q.Distinct, found: q.SQLCalcFoundRows}
	p.read = r
	s, reason := p.compileFrom(st, lookup)
	if reason != None {
		return reason
	}
	if reason := r.compileColumns(s, st.SelectExprs); reason != None {
		return reason
	}
	if len(r.aggregates) > 0 && (r.distinct || st.Limit != nil) {
		return Shape
	}
	if reason := r.compileGroup(s, st.SelectExprs, st.GroupBy); reason != None {
		return reason
	}
	for _, o := range st.OrderBy {
		if reason := r.compileOrder(s, st.SelectExprs, o); reason != None {
			return reason
		}
	}
	if st.Limit == nil {
		return None
	}
	var ok bool
	if r.limit, ok = placeholder(st.Limit.Rowcount); !ok {
		return Shape
	}
	if st.Limit.Offset != nil {
		if r.offset, ok = placeholder(st.Limit.Offset); !ok {
			return Shape
		}
	}
	return None
}

// compileFrom reads the FROM and WHERE clauses.
func (p *Plan) compileFrom(st *sqlparser.Select, lookup Lookup) (scopes, Reason) {
	if _, single := st.From[0].(*sqlparser.AliasedTableExpr); len(st.From) > 1 || !single {
		return p.compileJoin(st, lookup)
	}
	s, reason := p.from(st.From, lookup, false)
	if reason == None {
		reason = p.compileWhere(s, st.Where)
	}
	return scopes{s}, reason
}

func (r *read) compileColumns(s scopes, exprs sqlparser.SelectExprs) Reason {
	for _, e := range exprs {
		switch e := e.(type) {
		case *sqlparser.StarExpr:
			all := s.star(e.TableName)
			if len(all) == 0 {
				return Shape
			}
			r.columns = append(r.columns, all...)
		case *sqlparser.AliasedExpr:
			if f, ok := e.Expr.(*sqlparser.FuncExpr); ok {
				if reason := r.compileAggregate(s, f); reason != None {
					return reason
				}
				continue
			}
			column, ok := s.column(e.Expr)
			if !ok {
				return Shape
			}
			r.columns = append(r.columns, column)
		default:
			return Shape
		}
	}
	if len(r.aggregates) > 0 && len(r.aggregates) != len(r.columns) {
		return Shape
	}
	return None
}

func (r *read) compileAggregate(s scopes, f *sqlparser.FuncExpr) Reason {
	if f.Over != nil || !f.Qualifier.IsEmpty() || f.Distinct || len(f.Exprs) != 1 || len(r.aggregates) != len(r.columns) {
		return Shape
	}
	name := strings.ToLower(f.Name.String())
	if _, star := f.Exprs[0].(*sqlparser.StarExpr); star && name == "count" {
		r.aggregates, r.columns = append(r.aggregates, countRows), append(r.columns, -1)
		return None
	}
	arg, ok := f.Exprs[0].(*sqlparser.AliasedExpr)
	if !ok {
		return Shape
	}
	column, ok := s.column(arg.Expr)
	if !ok {
		return Shape
	}
	switch {
	case name == "count":
		r.aggregates = append(r.aggregates, countValues)
	case name == "sum" && classOf(s.typeOf(column)) == classInt:
		r.aggregates = append(r.aggregates, sumInts)
	default:
		return Shape
	}
	r.columns = append(r.columns, column)
	return None
}

func (r *read) compileOrder(s scopes, exprs sqlparser.SelectExprs, o *sqlparser.Order) Reason {
	column, ok := s.column(o.Expr)
	if !ok {
		return Shape
	}
	if s.hidden(column, exprs) {
		return Shape
	}
	if len(r.aggregates) > 0 {
		return None // there is one row
	}
	if r.distinct && !slices.Contains(r.columns, column) && !s.keyed(s.of(column), r.columns) {
		return Shape // rows that are one in the result may differ in it
	}
	if t, at := s.at(column); !t.Sortable(at) {
		return Column
	}
	r.order = append(r.order, sortColumn{column, o.Direction == sqlparser.DescScr})
	return None
}

func (r *read) finish(t *store.Table, w *where, planned Planned) Reason {
	if reason := r.finishColumns(scopes{{table: t}}, planned); reason != None {
		return reason
	}
	for _, column := range r.columns {
		if column >= 0 {
			r.needed = append(r.needed, column)
		}
	}
	r.needed = append(append([]int{}, r.needed...), w.columns...)
	for _, o := range r.order {
		r.needed = append(r.needed, o.column)
	}
	slices.Sort(r.needed)
	r.needed = slices.Compact(r.needed)
	if w.point || len(r.order) == 0 {
		return None
	}
	matches, desc, total := r.matchesIndex(t, w)
	switch {
	case matches && (!desc || total || !planned.Sorts):
		r.reverse = desc
	default:
		r.inMemory = true
	}
	return None
}

// finishColumns checks the result's columns against the planner's.
func (r *read) finishColumns(s scopes, planned Planned) Reason {
	if len(planned.Schema) != len(r.columns) {
		return Index
	}
	for i, a := range r.aggregates {
		if a == sumInts && !types.IsDecimal(planned.Schema[i].Type) {
			return Column // the planner adds up in another type than end answers with
		}
	}
	r.identity = len(r.aggregates) == 0 && len(r.columns) == s.width()
	for i, column := range r.columns {
		r.identity = r.identity && column == i
		if !r.distinct {
			continue
		}
		if t, at := s.at(column); !t.Sortable(at) {
			return Column
		}
	}
	return None
}

// matchesIndex says whether the index gives the rows in the order asked for, or its
// reverse, and whether no two rows are equal in that order.
func (r *read) matchesIndex(t *store.Table, w *where) (matches, desc, total bool) {
	if w.prefixed {
		return false, false, false
	}
	var order []sortColumn
	for _, o := range r.order {
		if !slices.Contains(w.constant, o.column) {
			order = append(order, o)
		}
	}
	if len(order) == 0 {
		return true, false, false
	}
	columns := slices.DeleteFunc(slices.Clone(w.positions), func(c int) bool { return slices.Contains(w.constant, c) })
	if !w.index.IsPrimary() && t.HasPrimaryKey() && !w.index.Desc.Unique {
		for _, c := range t.Primary.ColumnPositions() {
			if !slices.Contains(w.constant, c) && !slices.Contains(columns, c) {
				columns = append(columns, c)
			}
		}
	}
	if len(order) > len(columns) {
		return false, false, false
	}
	for i, o := range order {
		if o.column != columns[i] || o.desc != order[0].desc {
			return false, false, false
		}
	}
	total = len(order) == len(columns) && t.HasPrimaryKey() && (w.index.IsPrimary() || !w.index.Desc.Unique)
	return true, order[0].desc, total
}

// Out takes a statement's answer, as the planner gives it.
type Out interface {
	Columns(ctx *gms.Context, schema gms.Schema) error
	Row(row gms.Row) error
}

// Select runs a SELECT of the values in text as tx sees it; rows is what FOUND_ROWS() says
// next. Nothing was answered where a reason is returned. meta is for describing columns only; ctx bounds the work, and memory, unless 0, the bytes that keys of DISTINCT may take:
// ErrMemory.
//
// Hot path: BenchmarkDirectPoint, BenchmarkDirectRange of package sql.
func (p *Plan) Select(ctx context.Context, meta *gms.Context, tx *txn.Txn, text *Text, out Out, memory int64) (rows int64, reason Reason, err error) {
	r := p.read
	run := selection{plan: p, ctx: ctx, meta: meta, tx: tx, out: out, left: -1, memory: memory}
	if ok, err := run.bind(text); !ok || err != nil {
		return 0, Coerced, err
	}
	if r.limit >= 0 && !run.limits(text) {
		return 0, Coerced, nil
	}
	if len(r.aggregates) > 0 {
		run.counts, run.sums = make([]int64, len(r.columns)), make([]intSum, len(r.columns))
	}
	if !r.inMemory {
		if err := out.Columns(meta, p.Schema); err != nil {
			return 0, None, err
		}
	}
	if err := run.scan(); err != nil {
		return 0, None, err
	}
	if run.tooMany {
		return 0, Index, nil
	}
	err = run.end()
	if r.found {
		return run.found, None, err
	}
	return run.sent, None, err
}

// selection is one run of a SELECT.
type selection struct {
	plan     *Plan
	ctx      context.Context
	meta     *gms.Context
	tx       *txn.Txn
	out      Out
	bindings bindings
	rest     []int   // conditions that rows are checked for
	join     joinRun // in place of bindings, for several tables

	skip, left int64 // of OFFSET and LIMIT; -1: no limit
	sent       int64
	found      int64 // rows of the result and those beyond the limit
	result     gms.Row
	counts     []int64
	sums       []intSum
	seen       keySet
	key        []byte // scratch of first
	sorter     sorter
	tooMany    bool
	memory     int64
}

func (s *selection) limits(t *Text) bool {
	for i, at := range []int{s.plan.read.limit, s.plan.read.offset} {
		if at < 0 {
			continue
		}
		v, ok := t.one(at)
		if !ok || v.Kind != Int || v.Int < 0 {
			return false
		}
		if i == 0 {
			s.left = v.Int
		} else {
			s.skip = v.Int
		}
	}
	return true
}

// bind brings the literals to the columns' types; false: the planner has to.
func (s *selection) bind(t *Text) (ok bool, err error) {
	if s.plan.join != nil {
		return s.bindJoin(t)
	}
	s.bindings, ok = s.plan.where.bind(t)
	return ok, nil
}

func (s *selection) scan() error {
	if s.plan.join != nil {
		return s.scanJoin()
	}
	r, w, table := s.plan.read, s.plan.where, s.plan.Table
	if s.left == 0 && !r.found || w.never {
		return nil
	}
	if s.rest = w.rest; w.point && w.index.IsPrimary() {
		values := make([]any, len(w.equal))
		for i, c := range w.equal {
			values[i] = s.bindings.values[c]
		}
		row, err := s.tx.Get(s.ctx, table, values, r.needed, txn.Consistent)
		if err != nil || row == nil {
			return err
		}
		_, err = s.take(row)
		return err
	}
	spans, err := w.spans(s.bindings)
	if err != nil {
		return err
	}
	if r.reverse {
		slices.Reverse(spans)
	}
	var filter *store.Predicate
	filter, s.rest = w.filter(s.bindings)
	for _, span := range spans {
		scan := txn.Scan{Index: w.index, Range: span, Reverse: r.reverse, Mode: txn.Consistent, Columns: r.needed, Reuse: true}
		if filter != nil {
			scan.Where = table.NewTest(filter)
		}
		if len(s.rest) == 0 && len(r.aggregates) == 0 && !r.distinct && !r.inMemory && !r.found {
			scan.Skip = &s.skip
		}
		rows, err := s.tx.Scan(s.ctx, table, scan)
		if err != nil {
			return err
		}
		more := true
		for more && rows.Next() {
			if more, err = s.take(rows.Row()); err != nil {
				rows.Close()
				return err
			}
			more = more && !w.point
		}
		if err := rows.Close(); err != nil {
			return err
		}
		if err := rows.Err(); err != nil {
			return err
		}
		if !more {
			return nil
		}
	}
	return nil
}

// take takes a row of the table; false: no more are wanted.
func (s *selection) take(row gms.Row) (bool, error) {
	if len(s.rest) > 0 {
		if ok, err := s.plan.where.all(s.ctx, s.rest, s.bindings, row); err != nil || !ok {
			return true, err
		}
	}
	return s.emit(row)
}

// emit takes a row that meets all conditions: of the table, or of all tables joined.
func (s *selection) emit(row gms.Row) (bool, error) {
	r := s.plan.read
	if len(r.aggregates) > 0 {
		s.aggregate(row)
		return true, nil
	}
	if r.distinct {
		if fresh, err := s.first(row); err != nil || !fresh {
			return true, err
		}
		if s.memory > 0 && s.seen.bytes > s.memory {
			if !r.inMemory {
				return false, ErrMemory
			}
			s.tooMany = true
			return false, nil
		}
	}
	if s.found++; s.left == 0 {
		return r.found, nil
	}
	if r.inMemory {
		return s.keep(row)
	}
	more, err := s.send(row)
	return more || r.found, err
}

func (s *selection) aggregate(row gms.Row) {
	for i, a := range s.plan.read.aggregates {
		switch a {
		case countRows:
			s.counts[i]++
		case countValues:
			if row[s.plan.read.columns[i]] != nil {
				s.counts[i]++
			}
		case sumInts:
			v := row[s.plan.read.columns[i]]
			if v == nil {
				continue
			}
			s.counts[i]++
			s.sums[i].add(split(v))
		}
	}
}

// first says whether no row before had the same values.
func (s *selection) first(row gms.Row) (bool, error) {
	key := s.key[:0]
	var err error
	for _, column := range s.plan.read.columns {
		if key, err = s.plan.appendSortKey(key, column, row[column], false, 0); err != nil {
			return false, err
		}
	}
	s.key = key
	return s.seen.add(key), nil
}

// keep puts a row aside to be sorted; false: there are too many.
func (s *selection) keep(row gms.Row) (bool, error) {
	// Of a LIMIT only the first rows are kept, some more so that sorting them out is rare.
	if s.left >= 0 && s.left <= sortLimit/8 && s.skip <= sortLimit/8 {
		if wanted := int(s.skip + s.left); len(s.sorter.rows) >= 2*wanted && (len(s.sorter.rows) >= 128 || s.sorter.full()) {
			if err := s.sorter.keepFirst(s.plan, wanted); err != nil {
				return false, err
			}
		}
	}
	if s.sorter.full() {
		s.tooMany = true
		return false, nil
	}
	return true, s.sorter.add(s.plan, row)
}

// send answers with a row of the table; false: the limit is reached.
func (s *selection) send(row gms.Row) (bool, error) {
	r := s.plan.read
	if !r.identity {
		if s.result == nil {
			s.result = make(gms.Row, len(r.columns))
		}
		for i, column := range r.columns {
			s.result[i] = row[column]
		}
		row = s.result
	}
	return s.answer(row)
}

// answer answers with a row of the result; false: the limit is reached.
func (s *selection) answer(row gms.Row) (bool, error) {
	if s.skip > 0 {
		s.skip--
		return true, nil
	}
	s.sent++
	if s.left > 0 {
		s.left--
	}
	return s.left != 0, s.out.Row(row)
}

// end answers with what had to wait for the last row.
func (s *selection) end() error {
	r := s.plan.read
	if len(r.aggregates) > 0 {
		result := make(gms.Row, len(r.columns))
		for i, a := range r.aggregates {
			switch {
			case a != sumInts:
				result[i] = s.counts[i]
			case s.counts[i] > 0:
				result[i] = s.sums[i].decimal()
			}
		}
		s.sent, s.found = 1, 1
		return s.out.Row(result)
	}
	if !r.inMemory {
		return nil
	}
	s.tx.CountSorted(len(s.sorter.rows))
	if err := s.out.Columns(s.meta, s.plan.Schema); err != nil {
		return err
	}
	return s.sorter.each(s.plan, s.answer)
}
