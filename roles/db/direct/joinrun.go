package direct

import (
	gms "github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/txn"
)

// mostDived is how many entries of an index are counted to find out which table has the
// fewest rows.
const mostDived = 1000

// joinRun is what a run of a join keeps.
type joinRun struct {
	order    *joinOrder
	bindings []bindings // by step
	row      gms.Row    // a row of each table, side by side
	met      []bool     // by step: the LEFT JOIN has found a row
}

// bindJoin brings the literals to the columns' types and chooses the order of tables.
func (s *selection) bindJoin(t *Text) (bool, error) {
	j := s.plan.join
	s.join.row, s.join.met = make(gms.Row, j.tables.width()), make([]bool, len(j.tables))
	fewest := -1
	var first bindings
	for i := range j.orders {
		o := &j.orders[i]
		b, ok := o.steps[0].where.bind(t)
		if !ok {
			return false, nil
		}
		if i == 0 && (o.rank == rankPoint || len(j.orders) == 1) {
			s.join.order, first = o, b
			break
		}
		limit := mostDived
		if fewest >= 0 {
			limit = fewest
		}
		n, err := s.dive(o, b, limit)
		if err != nil {
			return false, err
		}
		if fewest < 0 || n < fewest {
			fewest, s.join.order, first = n, o, b
		}
	}
	s.join.bindings = make([]bindings, len(s.join.order.steps))
	s.join.bindings[0] = first
	for k := 1; k < len(s.join.bindings); k++ {
		var ok bool
		if s.join.bindings[k], ok = s.join.order.steps[k].where.bind(t); !ok {
			return false, nil
		}
	}
	return true, nil
}

// dive counts the entries that the first table of an order is read by, up to limit.
func (s *selection) dive(o *joinOrder, b bindings, limit int) (n int, err error) {
	w := o.steps[0].where
	if o.rank == rankPoint {
		return 1, nil
	}
	if o.rank == rankList {
		return min(len(b.list), limit), nil
	}
	spans, err := w.spans(b)
	if err != nil {
		return 0, err
	}
	for _, span := range spans {
		rows, err := s.tx.Scan(s.ctx, w.index.Table, txn.Scan{Index: w.index, Range: span, Mode: txn.Consistent, Columns: []int{}, Reuse: true})
		if err != nil {
			return 0, err
		}
		for n < limit && rows.Next() {
			n++
		}
		if err := rows.Close(); err != nil {
			return 0, err
		}
		if err := rows.Err(); err != nil || n >= limit {
			return n, err
		}
	}
	return n, nil
}

func (s *selection) scanJoin() error {
	if s.left == 0 && !s.plan.read.found {
		return nil
	}
	for _, w := range s.plan.join.wheres {
		if w.never {
			return nil
		}
	}
	_, err := s.step(0)
	return err
}

// step reads a table for the rows of those before it; false: no more rows are wanted.
//
// Hot path: BenchmarkWordPressHome of package sql.
func (s *selection) step(at int) (more bool, err error) {
	outer := s.plan.join.outers[s.join.order.steps[at].table]
	if outer == nil {
		return s.stepInner(at)
	}
	s.join.met[at] = false
	if more, err := s.stepInner(at); err != nil || !more || s.join.met[at] {
		return more, err
	}
	step := &s.join.order.steps[at]
	first := s.plan.join.tables[step.table].first
	for _, column := range step.needed {
		s.join.row[first+column] = nil
	}
	return s.stepped(at)
}

func (s *selection) stepInner(at int) (more bool, err error) {
	step, b := &s.join.order.steps[at], s.join.bindings[at]
	w := step.where
	table := s.plan.join.tables[step.table].table
	for i := range w.conditions {
		c := &w.conditions[i]
		if !c.joined {
			continue
		}
		if b.values[i] = outerValue(s.join.row[c.outer]); b.values[i] == nil {
			return true, nil // NULL is equal to nothing
		}
	}
	if w.point && w.index.IsPrimary() {
		values := make([]any, len(w.equal))
		for i, c := range w.equal {
			values[i] = b.values[c]
		}
		row, err := s.tx.Get(s.ctx, table, values, step.needed, txn.Consistent)
		if err != nil || row == nil {
			return true, err
		}
		return s.stepRow(at, row)
	}
	spans, err := w.spans(b)
	if err != nil {
		return false, err
	}
	for _, span := range spans {
		if more, err := s.stepSpan(at, txn.Scan{Index: w.index, Range: span, Mode: txn.Consistent, Columns: step.needed, Reuse: true}); err != nil || !more {
			return more, err
		}
	}
	return true, nil
}

// stepSpan reads one range of a table's index.
func (s *selection) stepSpan(at int, scan txn.Scan) (more bool, err error) {
	step := &s.join.order.steps[at]
	rows, err := s.tx.Scan(s.ctx, s.plan.join.tables[step.table].table, scan)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	for rows.Next() {
		if more, err := s.stepRow(at, rows.Row()); err != nil || !more {
			return false, err
		}
		if step.where.point {
			break
		}
	}
	return true, rows.Err()
}

// stepRow takes a row of a table: to the next one, or to the result behind the last.
func (s *selection) stepRow(at int, row gms.Row) (more bool, err error) {
	step := &s.join.order.steps[at]
	if len(step.where.rest) > 0 {
		if ok, err := step.where.holds(s.ctx, s.join.bindings[at], row); err != nil || !ok {
			return true, err
		}
	}
	if outer := s.plan.join.outers[step.table]; outer != nil {
		s.join.met[at] = true
		for _, column := range outer.null {
			if row[column] != nil {
				return true, nil
			}
		}
	}
	first := s.plan.join.tables[step.table].first
	for _, column := range step.needed {
		s.join.row[first+column] = row[column]
	}
	return s.stepped(at)
}

// stepped goes on where a table has its row.
func (s *selection) stepped(at int) (more bool, err error) {
	if at+1 == len(s.join.order.steps) {
		return s.emit(s.join.row)
	}
	return s.step(at + 1)
}

// outerValue is a column's value as conditions compare with one: as Value.comparable
// makes literals.
func outerValue(v any) any {
	switch v := v.(type) {
	case nil, string:
		return v
	case []byte:
		return string(v)
	}
	i, u, big := split(v)
	if big {
		return u
	}
	return i
}
