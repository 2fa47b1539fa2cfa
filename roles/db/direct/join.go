package direct

import (
	"slices"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/vitess/go/vt/sqlparser"

	"stack/roles/db/store"
)

// mostTables is how many tables a join has; the orders to read them in are tried for each
// that may be first.
const mostTables = 6

// join is a SELECT over several tables that are met by columns equal to one another: one
// table is read by its conditions, the next by an index for each row of those before.
type join struct {
	tables scopes
	wheres []*where // of each table the conditions with literals
	edges  []edge
	outers []*outer    // by table; nil: it is joined by an inner join
	orders []joinOrder // those that indexes allow, the best first as far as can be told without data
}

// edge says that two columns, told by their places, are equal.
type edge struct{ left, right int }

// joinOrder is an order to read the tables in.
type joinOrder struct {
	steps []joinStep
	rank  rank // of the first table
}

// joinStep is how one table is read.
type joinStep struct {
	table  int
	where  *where // with the conditions on columns of tables before it
	needed []int  // columns to decode, by position
}

// rank is how few rows of the first table there may be.
type rank uint8

const (
	rankPoint rank = iota // one
	rankList              // as many as a list has members
	rankEqual             // those that have a value in a column
	rankRange
	rankNone // no index leads to them
)

// compileJoin reads the FROM and WHERE clauses of inner joins and LEFT JOINs.
func (p *Plan) compileJoin(st *sqlparser.Select, lookup Lookup) (scopes, Reason) {
	j := &join{}
	p.join = j
	var conditions []sqlparser.Expr
	for _, t := range st.From {
		if reason := p.joined(t, lookup, &conditions); reason != None {
			return nil, reason
		}
	}
	p.Table = j.tables[0].table
	if st.Where != nil {
		conditions = append(conditions, st.Where.Expr)
	}
	conditions, reason := j.settleOuters(conditions)
	if reason != None {
		return nil, reason
	}
	for table := range j.outers {
		if reason := p.outerConditions(table); reason != None {
			return nil, reason
		}
	}
	for _, c := range conditions {
		if reason := p.joinCondition(c); reason != None {
			return nil, reason
		}
	}
	return j.tables, None
}

// joined reads a part of a FROM clause.
func (p *Plan) joined(t sqlparser.TableExpr, lookup Lookup, conditions *[]sqlparser.Expr) Reason {
	if both, ok := t.(*sqlparser.JoinTableExpr); ok {
		left := both.Join == sqlparser.LeftJoinStr
		if both.Join != sqlparser.JoinStr && !left || len(both.Condition.Using) > 0 {
			return Shape
		}
		if reason := p.joined(both.LeftExpr, lookup, conditions); reason != None {
			return reason
		}
		if reason := p.joined(both.RightExpr, lookup, conditions); reason != None {
			return reason
		}
		if left {
			return p.join.leftJoin(both)
		}
		if both.Condition.On != nil {
			*conditions = append(*conditions, both.Condition.On)
		}
		return None
	}
	j := p.join
	if len(j.tables) == mostTables {
		return Shape
	}
	s, reason := p.source(t, lookup, false)
	if reason != None {
		return reason
	}
	if len(j.tables) > 0 {
		s.first = j.tables.width()
	}
	j.tables, j.wheres, j.outers = append(j.tables, s), append(j.wheres, &where{}), append(j.outers, nil)
	return None
}

// joinCondition gives each part of a conjunction to the table whose columns it is about,
// or makes it an edge between two.
func (p *Plan) joinCondition(e sqlparser.Expr) Reason {
	switch e := e.(type) {
	case *sqlparser.AndExpr:
		if reason := p.joinCondition(e.Left); reason != None {
			return reason
		}
		return p.joinCondition(e.Right)
	case *sqlparser.ParenExpr:
		return p.joinCondition(e.Expr)
	case *sqlparser.ComparisonExpr:
		if left, ok := e.Left.(*sqlparser.ColName); ok {
			if right, ok := e.Right.(*sqlparser.ColName); ok {
				return p.edge(left, right, e)
			}
		}
	}
	j := p.join
	tables, known := j.tablesOf(e)
	if !known || len(tables) > 1 {
		return Shape
	}
	table := 0 // a condition without columns: any
	if len(tables) == 1 {
		table = tables[0]
	}
	if j.outers[table] != nil {
		return j.afterwards(table, e)
	}
	p.where = j.wheres[table]
	defer func() { p.where = nil }()
	return p.conjunction(j.tables[table], e)
}

// edge takes over an equality of columns whose comparison is the same from both sides.
func (p *Plan) edge(left, right *sqlparser.ColName, e *sqlparser.ComparisonExpr) Reason {
	found, reason := p.edgeOf(left, right, e)
	if reason == None {
		p.join.edges = append(p.join.edges, found)
	}
	return reason
}

func (p *Plan) edgeOf(left, right *sqlparser.ColName, e *sqlparser.ComparisonExpr) (edge, Reason) {
	s := p.join.tables
	l, okLeft := s.column(left)
	r, okRight := s.column(right)
	if !okLeft || !okRight || e.Operator != sqlparser.EqualStr || s.of(l) == s.of(r) {
		return edge{}, Shape
	}
	c := classOf(s.typeOf(l))
	if c == classNone || c != classOf(s.typeOf(r)) {
		return edge{}, Column
	}
	if c == classText && s.typeOf(l).(gms.StringType).Collation() != s.typeOf(r).(gms.StringType).Collation() {
		return edge{}, Column
	}
	return edge{l, r}, None
}

// finishJoin finds the orders in which the tables can be read.
func (p *Plan) finishJoin(planned Planned) Reason {
	j, r := p.join, p.read
	if reason := r.finishColumns(j.tables, planned); reason != None {
		return reason
	}
	r.inMemory = len(r.order) > 0
	for first := range j.tables {
		if o, ok := p.order(first); ok {
			j.orders = append(j.orders, o)
		}
	}
	if len(j.orders) == 0 {
		return Index
	}
	slices.SortStableFunc(j.orders, func(a, b joinOrder) int { return int(a.rank) - int(b.rank) })
	return None
}

// order begins with a table and goes on with whichever an index leads to best.
func (p *Plan) order(first int) (joinOrder, bool) {
	j := p.join
	placed := make([]bool, len(j.tables))
	o := joinOrder{}
	if j.outers[first] != nil {
		return o, false
	}
	w, rank := j.first(first)
	if o.rank = rank; rank == rankNone {
		return o, false
	}
	o.steps, placed[first] = append(o.steps, joinStep{table: first, where: w}), true
	for len(o.steps) < len(j.tables) {
		next, most := joinStep{table: -1}, 0
		for table := range j.tables {
			if placed[table] || !j.outers[table].ready(placed) {
				continue
			}
			if w, n := j.next(table, placed); n > most {
				next, most = joinStep{table: table, where: w}, n
			}
		}
		if next.table < 0 {
			return o, false
		}
		o.steps, placed[next.table] = append(o.steps, next), true
	}
	for i := range o.steps {
		o.steps[i].needed = p.needed(&o, i)
	}
	return o, true
}

// first is how a table is read that comes first.
func (j *join) first(table int) (*where, rank) {
	t := j.tables[table].table
	w := &where{conditions: slices.Clone(j.wheres[table].conditions), never: j.wheres[table].never}
	if w.finish(t, w.best(t)) != None {
		return nil, rankNone
	}
	switch {
	case w.point:
		return w, rankPoint
	case w.in >= 0 && w.index.Desc.Unique && !w.prefixed && len(w.equal)+1 == len(w.positions):
		return w, rankList
	case w.in >= 0 || len(w.equal) > 0:
		return w, rankEqual
	case w.lower >= 0 || w.upper >= 0:
		return w, rankRange
	}
	return nil, rankNone
}

// next is how a table is read for each row of those that are placed, and how well: 0 for
// not at all.
func (j *join) next(table int, placed []bool) (*where, int) {
	t := j.tables[table].table
	w := &where{conditions: slices.Clone(j.wheres[table].conditions), never: j.wheres[table].never}
	edges := j.edges
	if o := j.outers[table]; o != nil {
		edges = o.edges
	}
	for _, e := range edges {
		own, other := e.left, e.right
		if j.tables.of(own) != table {
			own, other = other, own
		}
		if j.tables.of(own) != table || !placed[j.tables.of(other)] {
			continue
		}
		at := own - j.tables[table].first
		typ := t.Types[at]
		w.conditions = append(w.conditions, condition{column: at, op: opEqual, class: classOf(typ), typ: typ, joined: true, outer: other})
	}
	ix, score := w.bestJoined(t)
	if ix == nil || w.finish(t, ix) != None {
		return nil, 0
	}
	if w.point {
		score = 1 << 16
	}
	return w, score
}

// bestJoined is the index with the most leading columns that conditions are equal to,
// those with a column of another table among them; nil if there is none.
func (w *where) bestJoined(t *store.Table) (best *store.Index, most int) {
	for _, ix := range append([]*store.Index{t.Primary}, t.Indexes...) {
		if !searchable(ix) {
			continue
		}
		n, joined := 0, false
		for _, column := range ix.ColumnPositions() {
			if !w.has(column, opEqual, opNull) {
				if w.has(column, opIn, opLess, opLessEqual, opGreater, opGreaterEqual) {
					n++
				}
				break
			}
			n += 2
			joined = joined || slices.ContainsFunc(w.conditions, func(c condition) bool { return c.column == column && c.joined })
		}
		if joined && n > most {
			best, most = ix, n
		}
	}
	return best, most
}

// needed are the columns of a step that the result, its order, conditions on the row and
// later steps need.
func (p *Plan) needed(o *joinOrder, step int) []int {
	j, r := p.join, p.read
	table := o.steps[step].table
	columns := append([]int{}, o.steps[step].where.columns...)
	add := func(place int) {
		if place >= 0 && j.tables.of(place) == table {
			columns = append(columns, place-j.tables[table].first)
		}
	}
	if o := j.outers[table]; o != nil {
		columns = append(columns, o.null...)
	}
	for _, place := range r.columns {
		add(place)
	}
	for _, by := range r.order {
		add(by.column)
	}
	for _, later := range o.steps[step+1:] {
		for _, c := range later.where.conditions {
			if c.joined {
				add(c.outer)
			}
		}
	}
	slices.Sort(columns)
	return slices.Compact(columns)
}
