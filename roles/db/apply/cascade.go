package apply

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/store"
	"stack/roles/db/txn"
)

// InnoDB does what foreign keys ask for below the log: MySQL and MariaDB log the row that a
// statement changed, and not those that the change took with it. Servers of this kind log all,
// and say so in a flag of the event. The rest does as InnoDB does.

// reference is a foreign key that acts on changes of its parent.
type reference struct {
	name               string
	child              *store.Table
	columns, parent    []int // positions in child and parent
	index              *store.Index
	onDelete, onUpdate action
}

type action int

const (
	actNot action = iota
	actCascade
	actSetNull
)

func actionOf(text string) action {
	switch strings.ToUpper(strings.TrimSpace(text)) {
	case "CASCADE":
		return actCascade
	case "SET NULL":
		return actSetNull
	}
	return actNot
}

// references are those of a catalog by parent.
type references struct {
	catalog *store.Catalog
	of      map[uint32][]*reference
}

// referencesTo are the foreign keys that act on changes of a table.
func (a *Applier) referencesTo(cat *store.Catalog, table *store.Table) []*reference {
	if a.refs.catalog != cat {
		a.refs = references{cat, map[uint32][]*reference{}}
		for _, d := range cat.Databases() {
			for _, child := range cat.Tables(d.Name) {
				for i := range child.Desc.ForeignKeys {
					a.refs.add(child, &child.Desc.ForeignKeys[i])
				}
			}
		}
	}
	return a.refs.of[table.Desc.ID]
}

func (r *references) add(child *store.Table, f *store.ForeignKeyDesc) {
	ref := &reference{name: f.Name, child: child, onDelete: actionOf(f.OnDelete), onUpdate: actionOf(f.OnUpdate)}
	if ref.onDelete == actNot && ref.onUpdate == actNot {
		return
	}
	parent := findTable(r.catalog, f.ParentDatabase, f.ParentTable)
	if parent == nil {
		return
	}
	ref.columns, ref.parent = positions(child, f.Columns), positions(parent, f.ParentColumns)
	for _, ix := range append([]*store.Index{child.Primary}, child.Indexes...) {
		at := ix.ColumnPositions()
		if len(at) >= len(ref.columns) && !ix.Desc.FullText && slices.Equal(at[:len(ref.columns)], ref.columns) {
			ref.index = ix
			break
		}
	}
	r.of[parent.Desc.ID] = append(r.of[parent.Desc.ID], ref)
}

func findTable(cat *store.Catalog, database, name string) *store.Table {
	if t := cat.Table(database, name); t != nil {
		return t
	}
	for _, d := range cat.Databases() {
		if !strings.EqualFold(d.Name, database) {
			continue
		}
		for _, t := range cat.Tables(d.Name) {
			if strings.EqualFold(t.Desc.Name, name) {
				return t
			}
		}
	}
	return nil
}

func positions(t *store.Table, names []string) []int {
	at := make([]int, 0, len(names))
	for _, n := range names {
		for i, c := range t.Desc.Columns {
			if strings.EqualFold(c.Name, n) {
				at = append(at, i)
			}
		}
	}
	return at
}

const (
	cascadeDepth = 15 // as InnoDB's FK_MAX_CASCADE_DEL
	cascadeRows  = 1000
)

// cascade does what foreign keys ask for after a change of a row; after is nil where it was
// deleted.
func (a *Applier) cascade(ctx context.Context, tx *txn.Txn, table *store.Table, before, after sql.Row, depth int) error {
	for _, ref := range a.referencesTo(tx.Catalog(), table) {
		act := ref.onDelete
		if after != nil {
			if act = ref.onUpdate; !changed(table, ref.parent, before, after) {
				continue
			}
		}
		if act == actNot {
			continue
		}
		if depth == cascadeDepth {
			return fmt.Errorf("foreign key %s of %s.%s: more than %d tables act on each other", ref.name, ref.child.Desc.Database, ref.child.Desc.Name, cascadeDepth)
		}
		if err := a.act(ctx, tx, ref, act, before, after, depth); err != nil {
			return err
		}
	}
	return nil
}

// changed reports whether columns of a key have other values.
func changed(t *store.Table, columns []int, before, after sql.Row) bool {
	return slices.ContainsFunc(columns, func(i int) bool { return differ(t.Types[i], before[i], after[i]) })
}

// differ compares as InnoDB does to know what has changed: texts by their bytes, also where their collation calls them equal.
func differ(typ sql.Type, a, b any) bool {
	if _, text := a.(string); text || a == nil || b == nil {
		return a != b
	}
	n, err := typ.Compare(context.Background(), a, b)
	return err != nil || n != 0
}

// act changes the rows of a child that name a row of the parent.
func (a *Applier) act(ctx context.Context, tx *txn.Txn, ref *reference, act action, before, after sql.Row, depth int) error {
	child := ref.child
	if ref.index == nil || len(ref.columns) != len(ref.parent) {
		return fmt.Errorf("foreign key %s of %s.%s has no index", ref.name, child.Desc.Database, child.Desc.Name)
	}
	values := make([]any, len(ref.parent))
	for i, at := range ref.parent {
		if values[i] = before[at]; values[i] == nil {
			return nil // NULL names no row
		}
	}
	bound := store.Bound{Values: values, Inclusive: true}
	keys, err := ref.index.Range(bound, bound)
	if err != nil {
		return err
	}
	var left func(sql.Row) (bool, error)   // which rows are to be changed; nil: all
	if act == actCascade && after != nil { // those that are changed are in the range still, where the collation calls both keys equal
		left = func(row sql.Row) (bool, error) {
			for i, at := range ref.columns {
				if differ(child.Types[at], row[at], after[ref.parent[i]]) {
					return true, nil
				}
			}
			return false, nil
		}
	}
	for {
		rows, err := found(ctx, tx, ref, keys, left)
		if err != nil || len(rows) == 0 {
			return err
		}
		for _, row := range rows {
			if act == actCascade && after == nil {
				if err = tx.DeleteRow(ctx, child, row); err == nil {
					err = a.cascade(ctx, tx, child, row, nil, depth+1)
				}
			} else {
				next := slices.Clone(row)
				for i, at := range ref.columns {
					if next[at] = nil; act == actCascade {
						next[at] = after[ref.parent[i]]
					}
				}
				if err = tx.UpdateRow(ctx, child, row, next); err == nil {
					err = a.cascade(ctx, tx, child, row, next, depth+1)
				}
			}
			if err != nil {
				return fmt.Errorf("foreign key %s of %s.%s: %w", ref.name, child.Desc.Database, child.Desc.Name, err)
			}
		}
		if len(rows) < cascadeRows {
			return nil
		}
	}
}

// found reads some of the rows in a range that are left to be changed.
func found(ctx context.Context, tx *txn.Txn, ref *reference, keys store.KeyRange, left func(sql.Row) (bool, error)) ([]sql.Row, error) {
	scan, err := tx.Scan(ctx, ref.child, txn.Scan{Index: ref.index, Range: keys, Mode: txn.Latest, Accept: left})
	if err != nil {
		return nil, err
	}
	defer scan.Close()
	var rows []sql.Row
	for len(rows) < cascadeRows && scan.Next() {
		rows = append(rows, scan.Row())
	}
	return rows, scan.Err()
}
