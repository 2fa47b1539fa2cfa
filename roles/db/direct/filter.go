package direct

import "stack/roles/db/store"

// filter makes a predicate on stored rows of the conditions that each row of a large scan
// is checked for, so that rows are not decoded that do not meet it; rest are the conditions
// that it does not say. Where a key leads to few rows it would cost more than it saves.
func (w *where) filter(b bindings) (p *store.Predicate, rest []int) {
	if w.point || len(w.equal) > 0 || w.in >= 0 || len(w.rest) == 0 {
		return nil, w.rest
	}
	t := w.index.Table
	var all []*store.Predicate
	for _, i := range w.rest {
		c := &w.conditions[i]
		switch {
		case c.op == opNull:
			all = append(all, store.IsNull(c.column))
			continue
		case c.op == opNotNull:
			all = append(all, store.Not(store.IsNull(c.column)))
			continue
		case !c.lists() && !c.joined:
			if order, ok := t.OrderOf(c.column, b.values[i]); ok {
				op := c.op
				all = append(all, store.OfColumn(c.column, func(value []byte) (bool, error) { return op.accepts(order(value)), nil }))
				continue
			}
		}
		rest = append(rest, i)
	}
	if len(all) == 0 {
		return nil, rest
	}
	return store.And(all...), rest
}
