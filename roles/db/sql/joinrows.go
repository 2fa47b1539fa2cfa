package sql

import (
	"errors"
	"io"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/transform"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// joinRows are the old and new rows of a join that an UPDATE changes where triggers may
// fire, each row of a table changed once. The planner knows a row again by all its values: not one
// that it has changed before, which the join may read where triggers do. And it drops rows that
// stay as they are, for which triggers fire too.
type joinRows struct {
	plan.UnaryNode // the planner's UpdateJoin
	counts         *joinCounts
}

// joinCounts are what an UPDATE of a join answers.
type joinCounts struct{ matched, changed int }

// joinUpdate runs an UPDATE over joinRows to its end.
type joinUpdate struct {
	plan.UnaryNode
	counts *joinCounts
	join   *plan.UpdateJoin
}

// withJoinRows has n, the child of an UPDATE, give joinRows.
func withJoinRows(ctx *gms.Context, n gms.Node, counts *joinCounts) (gms.Node, error) {
	if _, ok := n.(*plan.UpdateJoin); ok {
		return &joinRows{plan.UnaryNode{Child: n}, counts}, nil
	}
	children := n.Children()
	if len(children) == 0 {
		return n, nil
	}
	first, err := withJoinRows(ctx, children[0], counts)
	if err != nil {
		return nil, err
	}
	return n.WithChildren(ctx, append([]gms.Node{first}, children[1:]...)...)
}

// fitJoin has an UPDATE of a join, whose new rows child gives, run its triggers once for each
// row of theirs.
func fitJoin(ctx *gms.Context, n *plan.Update, f *fitting, child gms.Node, join *plan.UpdateJoin) (gms.Node, error) {
	counts := &joinCounts{}
	child, err := withJoinRows(ctx, child, counts)
	if err != nil {
		return nil, err
	}
	if child, err = newJoinGenerated(ctx, f, child, join); err != nil {
		return nil, err
	}
	update, err := n.WithChildren(ctx, child)
	if err != nil {
		return nil, err
	}
	return &joinUpdate{plan.UnaryNode{Child: update}, counts, join}, nil
}

func hasJoinRows(n gms.Node) (found bool) {
	transform.Inspect(n, func(n gms.Node) bool {
		_, ok := n.(*joinRows)
		found = found || ok
		return !found
	})
	return found
}

// haveTriggers says whether a database that rows come from has triggers.
func haveTriggers(ctx *gms.Context, schema gms.Schema) bool {
	s, err := sessionOf(ctx)
	if err != nil {
		return false
	}
	for i, c := range schema {
		if (i == 0 || c.DatabaseSource != schema[i-1].DatabaseSource) && len(s.catalog().Objects(objectTrigger, c.DatabaseSource)) > 0 {
			return true
		}
	}
	return false
}

// behindTriggers puts a joinUpdate above the triggers that run after it.
func behindTriggers(ctx *gms.Context, n *plan.TriggerExecutor) (gms.Node, error) {
	update, ok := n.Left().(*joinUpdate)
	if !ok {
		return n, nil
	}
	child, err := n.WithChildren(ctx, update.Child, n.Right())
	if err != nil {
		return nil, err
	}
	return update.WithChildren(ctx, child)
}

func (n *joinRows) Schema(ctx *gms.Context) gms.Schema { return n.Child.Schema(ctx) }
func (n *joinRows) IsReadOnly() bool                   { return n.Child.IsReadOnly() }
func (n *joinRows) String() string                     { return n.Child.String() }

// WithChildren gives those of another join.
func (n *joinRows) WithChildren(_ *gms.Context, children ...gms.Node) (gms.Node, error) {
	if len(children) != 1 {
		return nil, gms.ErrInvalidChildrenNumber.New(n, len(children), 1)
	}
	return &joinRows{plan.UnaryNode{Child: children[0]}, n.counts}, nil
}

func (b distinctBuilder) joinRows(ctx *gms.Context, n *joinRows, row gms.Row) (gms.RowIter, error) {
	join := n.Child.(*plan.UpdateJoin)
	rows, err := b.base.Build(ctx, join.Child, row)
	if err != nil {
		return nil, err
	}
	iter := &joinRowsIter{RowIter: rows, counts: n.counts, width: len(schemaOfJoin(ctx, join))}
	for table := range join.UpdateTargets {
		keys, err := newDistinctKeys(ctx)
		if err != nil {
			return nil, err
		}
		iter.tables = append(iter.tables, newJoinPart(schemaOfJoin(ctx, join), table))
		iter.keys = append(iter.keys, keys)
	}
	return iter, nil
}

type joinRowsIter struct {
	gms.RowIter
	counts *joinCounts
	tables []joinPart      // that are changed
	keys   []*distinctKeys // of their rows that were changed
	width  int             // of the join
}

// Next returns the next old and new row that has a row of a table to change.
func (j *joinRowsIter) Next(ctx *gms.Context) (gms.Row, error) {
	for {
		row, err := j.RowIter.Next(ctx)
		if err != nil || len(row) != 2*j.width {
			return row, err
		}
		before, after := row[:j.width], row[j.width:]
		wanted := false
		for i, table := range j.tables {
			fresh, err := table.fresh(ctx, before, j.keys[i])
			if err != nil {
				return nil, err
			}
			if fresh {
				wanted = true
				j.counts.matched++
				continue
			}
			for _, at := range table.columns {
				after[at] = before[at]
			}
		}
		if wanted {
			return row, nil
		}
	}
}

// Close forgets which rows there were.
func (j *joinRowsIter) Close(ctx *gms.Context) error {
	for _, keys := range j.keys {
		keys.forget()
	}
	return j.RowIter.Close(ctx)
}

func (n *joinUpdate) Schema(*gms.Context) gms.Schema { return types.OkResultSchema }
func (n *joinUpdate) IsReadOnly() bool               { return false }
func (n *joinUpdate) String() string                 { return n.Child.String() }

// WithChildren runs another UPDATE.
func (n *joinUpdate) WithChildren(_ *gms.Context, children ...gms.Node) (gms.Node, error) {
	if len(children) != 1 {
		return nil, gms.ErrInvalidChildrenNumber.New(n, len(children), 1)
	}
	return &joinUpdate{plan.UnaryNode{Child: children[0]}, n.counts, n.join}, nil
}

func (b distinctBuilder) joinUpdate(ctx *gms.Context, n *joinUpdate, row gms.Row) (gms.RowIter, error) {
	*n.counts = joinCounts{}
	rows, err := b.base.Build(ctx, n.Child, row)
	if err != nil {
		return nil, err
	}
	iter := &joinUpdateIter{RowIter: rows, counts: n.counts, schema: schemaOfJoin(ctx, n.join)}
	for table := range n.join.UpdateTargets {
		iter.tables = append(iter.tables, newJoinPart(iter.schema, table))
	}
	return iter, nil
}

type joinUpdateIter struct {
	gms.RowIter
	counts *joinCounts
	schema gms.Schema
	tables []joinPart
	done   bool
}

// Next changes all rows and returns how many there were.
func (j *joinUpdateIter) Next(ctx *gms.Context) (gms.Row, error) {
	if j.done {
		return nil, io.EOF
	}
	for {
		row, err := j.RowIter.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if _, ignored := err.(gms.IgnorableError); ignored {
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := j.count(ctx, row); err != nil {
			return nil, err
		}
	}
	j.done = true
	info := ctx.GetLastQueryInfo()
	info.FoundRows.Store(int64(j.counts.matched))
	info.RowCount.Store(int64(j.counts.changed))
	return gms.NewRow(types.OkResult{
		RowsAffected: uint64(j.counts.changed), Info: plan.UpdateInfo{Matched: j.counts.matched, Updated: j.counts.changed},
	}), nil
}

// count counts the rows of tables that a row of the join has changed.
func (j *joinUpdateIter) count(ctx *gms.Context, row gms.Row) error {
	if len(row) != 2*len(j.schema) {
		return nil
	}
	before, after := row[:len(j.schema)], row[len(j.schema):]
	for _, table := range j.tables {
		for _, at := range table.columns {
			differ, err := changed(ctx, j.schema[at], before[at], after[at])
			if err != nil {
				return err
			}
			if differ {
				j.counts.changed++
				break
			}
		}
	}
	return nil
}
