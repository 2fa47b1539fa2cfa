package txn

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/store"
)

// Reference is a foreign key that a table gets while others write it and its parent.
type Reference struct {
	Name    string
	Parent  *store.Table // as it is; it may be the table itself
	Columns []string     // of the table as it becomes
	Named   []string     // the parent's
}

// ReferenceError is a row without a parent.
type ReferenceError struct {
	Reference *Reference
	Values    []any
}

func (e *ReferenceError) Error() string {
	return fmt.Sprintf("foreign key %s: table %s.%s has no row %v", e.Reference.Name, e.Reference.Parent.Desc.Database, e.Reference.Parent.Desc.Name, e.Values)
}

// reference is a Reference that a Build looks after: each of its rows, and each row that the
// parent loses.
type reference struct {
	*Reference
	columns  []int        // positions in the rows of the table as it becomes, in the order of index
	index    *store.Index // of the parent: begins with the columns that are named
	named    []int        // positions in the parent's rows, in the order of children
	children *store.Index // of the table as it becomes: begins with the columns
	building bool         // children is not yet in any view

	it    *pebble.Iterator // over index, while a Fill runs
	found []any            // the last values that the parent had
}

// CanFollow says whether a Build can look after a reference: values must have one form in both
// tables, and both an index by which they are found.
func CanFollow(from, to *store.Table, r *Reference) bool {
	_, ok := newReference(from, to, r)
	return ok
}

func newReference(from, to *store.Table, r *Reference) (*reference, bool) {
	x := &reference{Reference: r}
	columns, named := make([]int, len(r.Columns)), make([]int, len(r.Columns)) // in the order of the foreign key
	for i, name := range r.Columns {
		columns[i], named[i] = columnNamed(to, name), columnNamed(r.Parent, r.Named[i])
		if columns[i] < 0 || named[i] < 0 || !sameForm(to.Desc.Columns[columns[i]].Type, r.Parent.Desc.Columns[named[i]].Type) {
			return nil, false
		}
		if r.Parent.Desc.ID == from.Desc.ID && !staysAs(to, r.Named[i], &from.Desc.Columns[named[i]]) {
			return nil, false
		}
	}
	var order []int
	if x.index, order = beginningWith(r.Parent, named); x.index == nil {
		return nil, false
	}
	x.columns = inOrderOf(columns, order)
	if x.children, order = beginningWith(to, columns); x.children == nil {
		return nil, false
	}
	x.named = inOrderOf(named, order)
	x.building = slices.Contains(unbuilt(from, to), x.children.Desc.ID)
	return x, true
}

// staysAs says whether rows keep their values of a column, which is read as it was, under a name.
func staysAs(to *store.Table, name string, was *store.ColumnDesc) bool {
	at := columnNamed(to, name)
	if at < 0 {
		return false
	}
	is := &to.Desc.Columns[at]
	return is.ID == was.ID && is.Type.Equal(was.Type) && is.Generated == nil && was.Generated == nil && is.AutoIncrement == was.AutoIncrement
}

func columnNamed(t *store.Table, name string) int {
	return slices.IndexFunc(t.Desc.Columns, func(c store.ColumnDesc) bool { return strings.EqualFold(c.Name, name) })
}

// sameForm says whether equal values of two types are stored alike, however long they may be.
func sameForm(a, b store.ColumnType) bool {
	if a.Base != "TIME" { // whose length are its digits
		a.Length = b.Length
	}
	return a.Equal(b)
}

// beginningWith is an index of whole columns that begins with these in any order, and where in
// the list each of its own stands.
func beginningWith(t *store.Table, columns []int) (*store.Index, []int) {
	for _, ix := range append([]*store.Index{t.Primary}, t.Indexes...) {
		at := ix.ColumnPositions()
		if ix.Desc.FullText || ix.Prefixed() || len(at) < len(columns) {
			continue
		}
		var order []int
		for _, c := range at[:len(columns)] {
			if i := slices.Index(columns, c); i >= 0 {
				order = append(order, i)
			}
		}
		if len(order) == len(columns) {
			return ix, order
		}
	}
	return nil, nil
}

func inOrderOf(list, order []int) []int {
	out := make([]int, len(order))
	for i, at := range order {
		out[i] = list[at]
	}
	return out
}

// valuesAt are a row's values at positions; ok is false where one is NULL: it refers to nothing.
func valuesAt(row sql.Row, positions []int) (values []any, ok bool) {
	values = make([]any, len(positions))
	for i, at := range positions {
		if values[i] = row[at]; values[i] == nil {
			return nil, false
		}
	}
	return values, true
}

// has says whether an index has keys that begin with values.
func has(it *pebble.Iterator, ix *store.Index, values []any) (bool, error) {
	bound := store.Bound{Values: values, Inclusive: true}
	r, err := ix.Range(bound, bound)
	if err != nil {
		return false, err
	}
	found := it.SeekGE(r.Start) && string(it.Key()) < string(r.End)
	return found, it.Error()
}

// iterOver begins to read an index.
func iterOver(from pebble.Reader, ix *store.Index) (*pebble.Iterator, error) {
	span := store.IndexSpan(store.SpaceRows, ix.Desc.ID)
	it, err := from.NewIter(&pebble.IterOptions{LowerBound: span.Start, UpperBound: span.End})
	if err != nil {
		return nil, fmt.Errorf("read index %s of table %s.%s: %w", ix.Desc.Name, ix.Table.Desc.Database, ix.Table.Desc.Name, err)
	}
	return it, nil
}

// refer looks for the parents of a row in a state. Between openReferences and
// closeReferences it is the state of the first call.
func (b *Build) refer(from pebble.Reader, row sql.Row) error {
	for _, r := range b.references {
		values, ok := valuesAt(row, r.columns)
		if !ok || r.it != nil && slices.EqualFunc(values, r.found, equalValues) {
			continue
		}
		found, err := r.hasParent(from, values)
		if err != nil {
			return err
		}
		if !found {
			return &ReferenceError{Reference: r.Reference, Values: values}
		}
		r.found = values
	}
	return nil
}

// equalValues knows two values to be equal that Go can compare.
func equalValues(a, b any) bool {
	switch a.(type) {
	case int8, int16, int32, int64, uint8, uint16, uint32, uint64, string:
		return a == b
	}
	return false
}

func (r *reference) hasParent(from pebble.Reader, values []any) (found bool, err error) {
	it := r.it
	if it == nil {
		if it, err = iterOver(from, r.index); err != nil {
			return false, err
		}
		defer func() { err = also(err, it.Close()) }()
	}
	return has(it, r.index, values)
}

// openReferences makes refer read one state, faster.
func (b *Build) openReferences(from pebble.Reader) (err error) {
	for _, r := range b.references {
		if r.it, err = iterOver(from, r.index); err != nil {
			return err
		}
	}
	return nil
}

func (b *Build) closeReferences() (err error) {
	for _, r := range b.references {
		if r.it != nil {
			err = also(err, r.it.Close())
		}
		r.it, r.found = nil, nil
	}
	return err
}

// followParents looks whether rows that parents have lost since the last state leave children in
// the next, up to which the build's own changes are written. It returns how many parents changed.
func (b *Build) followParents(ctx context.Context, changed []changes, next *view) (n int, err error) {
	for i, r := range b.references {
		if changed[i].empty() {
			continue
		}
		err := b.eachChange(ctx, &changed[i], next, func(key, old, _ []byte) error {
			n++
			if old == nil {
				return nil
			}
			return b.lost(ctx, r, key, old, next)
		})
		if err != nil {
			return 0, err
		}
	}
	return n, nil
}

// lost looks after a row that the parent had.
func (b *Build) lost(ctx context.Context, r *reference, key, old []byte, next *view) (err error) {
	row := make(sql.Row, len(r.Parent.Types))
	large := func(primary []byte, ref store.LargeRef) ([]byte, error) {
		return readLarge(ref, primary, func(key []byte) ([]byte, error) { return store.Get(b.view.snap, key) })
	}
	if err := r.Parent.DecodeRow(ctx, key, old, r.named, large, row); err != nil {
		return err
	}
	values, ok := valuesAt(row, r.named)
	if !ok {
		return nil
	}
	var from pebble.Reader = next.snap
	if r.building {
		from = b.batch
	}
	it, err := iterOver(from, r.children)
	if err != nil {
		return err
	}
	defer func() { err = also(err, it.Close()) }()
	if found, err := has(it, r.children, values); err != nil || !found {
		return err
	}
	again, _ := valuesAt(row, r.index.ColumnPositions()[:len(r.named)])
	if found, err := r.hasParent(next.snap, again); err != nil || found {
		return err
	}
	return &ReferenceError{Reference: r.Reference, Values: values}
}
