package sql

import (
	"slices"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/hash"
)

// rollupRows are the rows of a GROUP BY … WITH ROLLUP: the groups, and behind those that begin with
// the same values one for all of them, up to the one for all rows. They come in the order of what
// they are told by.
type rollupRows struct {
	groupRows
	keys []distinctRows // of the first values of by, by their number
	told []gms.Row      // what each group is told by
}

func newRollupRows(ctx *gms.Context, g groupRows) *rollupRows {
	r := &rollupRows{groupRows: g}
	for level := range len(g.by) + 1 {
		r.keys = append(r.keys, distinctRows(hash.ExprsToSchema(ctx, g.by[:level]...)))
	}
	return r
}

// Next returns the next group; the first call reads all rows.
func (r *rollupRows) Next(ctx *gms.Context) (gms.Row, error) {
	if !r.read {
		r.read = true
		if err := r.readAll(ctx); err != nil {
			return nil, err
		}
		if err := r.sort(ctx); err != nil {
			return nil, err
		}
	}
	return r.groupRows.Next(ctx)
}

// readAll adds each row to its group at each level, which is how many of the values tell it.
func (r *rollupRows) readAll(ctx *gms.Context) error {
	at := make([]map[uint64][]gms.AggregationBuffer, len(r.keys))
	for level := range at {
		at[level] = map[uint64][]gms.AggregationBuffer{}
	}
	values := make(gms.Row, len(r.by))
	return r.eachRow(ctx, func(row gms.Row) error {
		if err := r.evaluate(ctx, row, values); err != nil {
			return err
		}
		for level := range at {
			key := uint64(0)
			if level > 0 {
				var err error
				if key, err = r.keys[level].HashOf(ctx, values[:level]); err != nil {
					return err
				}
			}
			group := at[level][key]
			if group == nil {
				var err error
				if group, err = r.newLevelGroup(ctx, slices.Clone(values[:level])); err != nil {
					return err
				}
				at[level][key] = group
			}
			for _, buffer := range group {
				if err := buffer.Update(ctx, row); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// newLevelGroup is newGroup where fewer values may tell the group than are grouped by: the others
// are NULL in it.
func (r *rollupRows) newLevelGroup(ctx *gms.Context, values gms.Row) ([]gms.AggregationBuffer, error) {
	group, err := r.newGroup(ctx)
	if err == nil {
		err = r.budget.add(memoryOf(values))
	}
	if err != nil {
		return nil, err
	}
	r.told = append(r.told, values)
	for i, buffer := range group {
		if b, ok := buffer.(levelBuffer); ok {
			b.setLevel(len(values))
			continue
		}
		column, ok := r.shown[i].(*expression.GetField)
		if !ok {
			continue
		}
		for _, e := range r.by[len(values):] {
			if by, ok := e.(*expression.GetField); ok && by.Id() == column.Id() {
				buffer.Dispose(ctx)
				group[i] = noValue{}
			}
		}
	}
	return group, nil
}

// sort brings the groups into order; one for all that begin with the same values is behind them.
func (r *rollupRows) sort(ctx *gms.Context) error {
	var failed error
	order := make([]int, len(r.groups))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int {
		c, err := r.compare(ctx, r.told[i], r.told[j])
		if err != nil && failed == nil {
			failed = err
		}
		return c
	})
	groups := make([][]gms.AggregationBuffer, len(order))
	for to, from := range order {
		groups[to] = r.groups[from]
	}
	r.groups = groups
	return failed
}

func (r *rollupRows) compare(ctx *gms.Context, a, b gms.Row) (int, error) {
	for i, e := range r.by {
		switch {
		case i == len(a) && i == len(b):
			return 0, nil
		case i == len(a):
			return 1, nil
		case i == len(b):
			return -1, nil
		case a[i] == nil && b[i] == nil:
			continue
		case a[i] == nil:
			return -1, nil
		case b[i] == nil:
			return 1, nil
		}
		if c, err := e.Type(ctx).Compare(ctx, a[i], b[i]); c != 0 || err != nil {
			return c, err
		}
	}
	return 0, nil
}

// levelBuffer depends on how many values tell its group.
type levelBuffer interface{ setLevel(level int) }

// noValue is the buffer of what is NULL in a group.
type noValue struct{}

// Update does nothing.
func (noValue) Update(*gms.Context, gms.Row) error { return nil }

// Eval is NULL.
func (noValue) Eval(*gms.Context) (any, error) { return nil, nil }

// Dispose does nothing.
func (noValue) Dispose(*gms.Context) {}
