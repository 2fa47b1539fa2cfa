package sql

import (
	"errors"
	"reflect"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/store"
)

func sameRow(row gms.Row) (gms.Row, error) { return row, nil }

// rebuild writes the table anew under desc, each row turned by change.
func (t *Table) rebuild(ctx *gms.Context, desc *store.TableDesc, change func(gms.Row) (gms.Row, error)) error {
	s, err := sessionOf(ctx)
	if err != nil {
		return err
	}
	if _, err = s.tx.Rebuild(ctx, t.stored, desc, change); err != nil {
		return t.editor(ctx).duplicate(err, nil)
	}
	return t.refresh(ctx)
}

// ShouldRewriteTable says whether a change of a column needs every row written anew.
func (t *Table) ShouldRewriteTable(ctx *gms.Context, _, _ gms.PrimaryKeySchema, old, changed *gms.Column) bool {
	switch {
	case old == nil: // ADD COLUMN: the planner itself asks for what a NULL does not do
		return false
	case changed == nil: // DROP COLUMN
		at := columnNamed(t.stored.Desc, old.Name)
		return at < 0 || indexed(t.stored.Desc, t.stored.Desc.Columns[at].ID)
	}
	before, err := columnDesc(ctx, old)
	if err != nil {
		return true
	}
	after, err := columnDesc(ctx, changed)
	if err != nil {
		return true
	}
	return !reflect.DeepEqual(before.Type, after.Type) || before.Virtual != after.Virtual ||
		!sameExpr(before.Generated, after.Generated) || !before.AutoIncrement && after.AutoIncrement
}

func sameExpr(a, b *store.Expr) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Text == b.Text
}

func indexed(desc *store.TableDesc, id uint16) bool {
	if inPrimary(desc, id) {
		return true
	}
	for i := range desc.Indexes {
		if holdsColumn(&desc.Indexes[i], id) {
			return true
		}
	}
	return false
}

// RewriteInserter takes every row of the table, in order and in its new form, and
// replaces the table by them when closed.
func (t *Table) RewriteInserter(ctx *gms.Context, _, schema gms.PrimaryKeySchema, old, changed *gms.Column, primary []gms.IndexColumn) (gms.RowInserter, error) {
	desc, err := t.rewritten(ctx, schema, old, changed, primary)
	if err != nil {
		return nil, err
	}
	return newRewriter(ctx, t, desc), nil
}

// rewritten is the descriptor of the table under a new schema. Columns are the same
// when their names are, or when old was renamed to changed.
func (t *Table) rewritten(ctx *gms.Context, schema gms.PrimaryKeySchema, old, changed *gms.Column, primary []gms.IndexColumn) (*store.TableDesc, error) {
	was := t.stored.Desc
	desc := was.Clone()
	desc.Columns = nil
	kept := map[uint16]bool{}
	for _, c := range schema.Schema {
		cd, err := columnDesc(ctx, c)
		if err != nil {
			return nil, err
		}
		name := c.Name
		if old != nil && changed != nil && strings.EqualFold(name, changed.Name) {
			name = old.Name
		}
		if at := columnNamed(was, name); at >= 0 {
			cd.ID = was.Columns[at].ID
			kept[cd.ID] = true
		}
		desc.Columns = append(desc.Columns, cd)
	}
	if err := numberColumns(desc, schema, gms.IndexDef{Columns: primary}); err != nil {
		return nil, err
	}
	indexes := desc.Indexes
	desc.Indexes = nil
	for _, ix := range indexes {
		columns := ix.Columns
		ix.Columns = nil
		for _, c := range columns {
			if kept[c.Column] {
				ix.Columns = append(ix.Columns, c)
			}
		}
		// As in MySQL, an index ends with its last column.
		if len(ix.Columns) > 0 {
			desc.Indexes = append(desc.Indexes, ix)
		}
	}
	return desc, nil
}

// rewriter joins two loops: the planner pushes new rows, the store pulls them while it
// reads the old ones. Both read the old table in the same order, so the n-th pushed row
// belongs to the n-th pulled one. They take turns: whoever runs, the other waits, for
// a transaction is used by one goroutine at a time. The store begins with the first row
// pushed: once it has read the last one, the old table can no longer be opened.
type rewriter struct {
	editor
	origin *Table
	desc   *store.TableDesc
	begun  bool
	push   chan gms.Row
	turn   chan struct{} // the store waits for a row
	done   chan error
	ended  bool
	result error
}

var errRewriteStopped = errors.New("the table's rewrite was stopped")

func newRewriter(ctx *gms.Context, t *Table, desc *store.TableDesc) *rewriter {
	e := t.editor(ctx)
	r := &rewriter{
		editor: *e,
		origin: t,
		desc:   desc,
		push:   make(chan gms.Row),
		turn:   make(chan struct{}),
		done:   make(chan error, 1),
	}
	target := *t
	target.full = tableColumns(desc)
	r.Table = &target
	e.session.rewriter = r
	return r
}

// begin lets the store read; it waits until the store wants a row or has ended.
func (r *rewriter) begin(ctx *gms.Context) {
	r.begun = true
	tx, stored, desc := r.session.tx, r.origin.stored, r.desc
	go func() {
		_, err := tx.Rebuild(ctx, stored, desc, func(gms.Row) (gms.Row, error) {
			r.turn <- struct{}{}
			row, ok := <-r.push
			if !ok {
				return nil, errRewriteStopped
			}
			return row, nil
		})
		r.done <- err
	}()
	r.await()
}

// tableColumns are a descriptor's columns as far as a value's check needs them.
func tableColumns(desc *store.TableDesc) gms.Schema {
	schema := make(gms.Schema, len(desc.Columns))
	for i := range desc.Columns {
		typ, err := desc.Columns[i].Type.SQL()
		if err != nil {
			// columnDesc made this type from one of the planner's just now.
			panic(err)
		}
		schema[i] = &gms.Column{
			Name: desc.Columns[i].Name, Type: typ,
			Nullable: desc.Columns[i].Nullable, Virtual: desc.Columns[i].Virtual,
		}
	}
	return schema
}

// await waits until the store wants a row or has ended.
func (r *rewriter) await() {
	select {
	case <-r.turn:
	case err := <-r.done:
		r.ended, r.result = true, r.duplicate(err, nil)
	}
}

// Insert hands one row over and waits until the store wants the next or has ended.
func (r *rewriter) Insert(ctx *gms.Context, row gms.Row) error {
	if err := r.check(ctx, row); err != nil {
		return err
	}
	if !r.begun {
		r.begin(ctx)
	}
	if r.ended {
		if r.result != nil {
			return r.result
		}
		return errRewriteStopped
	}
	r.push <- row
	r.await()
	return r.result
}

// Close makes the new table the table, or stops a rewrite that lacks rows.
func (r *rewriter) Close(ctx *gms.Context) error {
	if !r.begun && !r.ended {
		r.begin(ctx) // there are no rows
	}
	r.stop()
	if r.result != nil {
		return r.result
	}
	return r.origin.refresh(ctx)
}

// stop ends the store's loop. The session calls it at the end of each statement: the
// planner forgets to close on some errors.
func (r *rewriter) stop() {
	if r.session.rewriter == r {
		r.session.rewriter = nil
	}
	switch {
	case r.ended:
	case !r.begun:
		r.ended, r.result = true, errRewriteStopped
	default:
		close(r.push)
		r.ended, r.result = true, <-r.done
	}
}

// ShouldBuildIndex is false: CreateIndex has filled the index.
func (t *Table) ShouldBuildIndex(*gms.Context, gms.IndexDef) (bool, error) { return false, nil }

// BuildIndex takes the rows of a unique index, which the planner sends in any case; the
// index is complete already.
func (t *Table) BuildIndex(ctx *gms.Context, _ gms.IndexDef) (gms.RowInserter, error) {
	return &builtIndex{t.editor(ctx)}, nil
}

type builtIndex struct{ *editor }

func (b *builtIndex) Insert(*gms.Context, gms.Row) error { return nil }
