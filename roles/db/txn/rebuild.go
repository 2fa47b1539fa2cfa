package txn

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/store"
)

// Convert makes a row of a table into one of its changed definition, or says why that
// cannot be. Where rows stay as they are it gets them in the form of the new definition and
// only looks at them. Columns of the primary key whose type stays keep their values. It keeps
// nothing.
type Convert func(sql.Row) (sql.Row, error)

// Build fills the indexes that a definition has and the table lacks, while others write
// it: Fill copies a view, CatchUp what has changed since, again and again; then, with the
// table locked, CatchUp once more, and Adopt stages the definition. The new keys go to the
// store past the write set, under ids that are marked as being built; without a commit
// they are deleted, after a crash by the next Open.
type Build struct {
	t          *Txn
	from, to   *store.Table
	read       *store.Table // decodes the rows there are
	convert    Convert      // nil: none
	columns    []int        // positions to decode; nil: all
	rewrite    bool         // all rows are written anew
	keys       keyMaking
	references []*reference
	given      uint32         // id under which the fresh keys of old ones are, 0: nowhere
	indexes    []*store.Index // of to, to be filled
	capture    *capture       // of the table and the parents; nil: nobody else writes the table
	view       *view          // up to which everything is built; nil: snap is
	snap       *pebble.Snapshot
	batch      *pebble.Batch
	progress   func(rows int)
}

// keyMaking is how a rewritten row gets its key.
type keyMaking int

const (
	keysStay   keyMaking = iota // the bytes of the old one, under the new id
	keysOfRows                  // its primary key
	keysFresh                   // the next row id
)

// NeedsBuild reports whether to has indexes that nothing has filled.
func NeedsBuild(from, to *store.Table) bool { return len(unbuilt(from, to)) > 0 }

func unbuilt(from, to *store.Table) []uint32 {
	have := idsOf(from.Desc)
	return slices.DeleteFunc(idsOf(to.Desc), func(id uint32) bool { return slices.Contains(have, id) })
}

// CanBuildOnline says whether rows can be followed from one definition to the other while
// they change: what is counted anew must be counted in the order of the rows, by replicas too,
// and the columns of a primary key must come from the old rows.
func CanBuildOnline(from, to *store.Table) bool {
	if at := to.AutoIncrementColumn(); at >= 0 && !hasColumn(from, to.Desc.Columns[at].ID, false) {
		return false
	}
	return keyMakingOf(from, to) != keysOfRows || !slices.ContainsFunc(to.Desc.Primary.Columns, func(c store.IndexColumnDesc) bool {
		return !hasColumn(from, c.Column, false)
	})
}

// hasColumn says whether the table has the column, an AUTO_INCREMENT one if counted.
func hasColumn(table *store.Table, id uint16, counted bool) bool {
	c, _ := table.Desc.Column(id)
	return c != nil && (c.AutoIncrement || !counted)
}

func keyMakingOf(from, to *store.Table) keyMaking {
	old, primary := from.Desc.Primary.Columns, to.Desc.Primary.Columns
	switch {
	case len(primary) == 0 && len(old) == 0:
		return keysStay
	case len(primary) == 0:
		return keysFresh
	case !slices.Equal(primary, old):
		return keysOfRows
	}
	for _, c := range primary {
		was, _ := from.Desc.Column(c.Column)
		is, _ := to.Desc.Column(c.Column)
		if !is.Type.Equal(was.Type) || is.Generated != nil || is.AutoIncrement && !was.AutoIncrement {
			return keysOfRows
		}
	}
	return keysStay
}

// NewBuild begins to fill what to lacks; convert may be nil where rows stay. online: others
// write from, and the parents of references, meanwhile; else the transaction has them for
// itself. The references are those that CanFollow. progress, if not nil, hears now and then how
// many rows have been copied. Close must be called.
func (t *Txn) NewBuild(ctx context.Context, from, to *store.Table, convert Convert, references []*Reference, online bool, progress func(rows int)) (*Build, error) {
	b := &Build{
		t: t, from: from, to: to, read: to, convert: convert, progress: progress,
		rewrite: from.Primary.Desc.ID != to.Primary.Desc.ID, keys: keyMakingOf(from, to),
	}
	if b.rewrite {
		b.read = from
	}
	ids := unbuilt(from, to)
	for _, ix := range to.Indexes {
		if slices.Contains(ids, ix.Desc.ID) {
			b.indexes = append(b.indexes, ix)
		}
	}
	tables := []*store.Table{from}
	for _, r := range references {
		x, ok := newReference(from, to, r)
		if !ok {
			return nil, fmt.Errorf("foreign key %s of table %s.%s cannot be followed", r.Name, to.Desc.Database, to.Desc.Name)
		}
		b.references, tables = append(b.references, x), append(tables, r.Parent)
	}
	if !b.rewrite && convert == nil {
		b.columns = []int{}
		for _, ix := range b.indexes {
			b.columns = append(b.columns, ix.ColumnPositions()...)
		}
		for _, r := range b.references {
			b.columns = append(b.columns, r.columns...)
		}
	}
	if online && b.keys == keysFresh {
		b.given = t.newID()
		ids = append(ids, b.given)
		t.drops = append(t.drops, b.given) // nobody needs it after the commit
	}
	if err := t.markBuilding(to, ids); err != nil {
		return nil, err
	}
	b.batch = t.e.store.DB.NewIndexedBatch()
	if !online {
		b.snap = t.e.store.DB.NewSnapshot()
		return b, nil
	}
	var primaries []uint32
	for _, table := range tables {
		primaries = append(primaries, table.Primary.Desc.ID)
	}
	b.capture = newCapture(t.e.captureLimit, primaries...)
	var err error
	if b.view, _, err = t.e.cut(b.capture); err != nil {
		return nil, also(err, b.Close())
	}
	for _, table := range tables {
		if err := t.checkTable(table, b.view.catalog); err != nil {
			return nil, also(err, b.Close())
		}
	}
	return b, ctx.Err()
}

// markBuilding marks ids as being built, durably and before the first key under them: after
// a crash the next Open deletes what is there.
func (t *Txn) markBuilding(table *store.Table, ids []uint32) error {
	if len(ids) == 0 {
		return nil
	}
	if slices.ContainsFunc(ids, func(id uint32) bool { return slices.Contains(t.givenUp, id) }) {
		return fmt.Errorf("table %s.%s: to be built under ids whose keys are being deleted", table.Desc.Database, table.Desc.Name)
	}
	if err := t.e.store.CheckSpace(fillSpace); err != nil {
		return err
	}
	marks := t.e.store.DB.NewBatch()
	defer marks.Close()
	err := marks.Set(store.MetaNextIDKey(), binary.BigEndian.AppendUint32(nil, t.e.nextID.Load()), nil)
	for _, id := range ids {
		err = errors.Join(err, marks.Set(store.MetaBuildingKey(id), nil, nil))
	}
	if err = errors.Join(err, marks.Commit(pebble.Sync)); err != nil {
		return fmt.Errorf("begin the rebuild of table %s.%s: %w", table.Desc.Database, table.Desc.Name, err)
	}
	t.built = append(t.built, ids...)
	return nil
}

// Close ends the build: nothing follows the table's changes any more.
func (b *Build) Close() error {
	if b.capture != nil {
		b.capture.closed.Store(true)
	}
	if b.view != nil {
		b.t.e.releaseView(b.view)
		b.view = nil
	}
	var err error
	if b.snap != nil {
		err, b.snap = b.snap.Close(), nil
	}
	if b.batch != nil {
		err, b.batch = errors.Join(err, b.batch.Close()), nil
	}
	return err
}

// Adopt stages the definition that has been built in place of the one that the statement
// has staged, which must be the same but for the ids. The transaction has the table and the
// catalog for itself, and the last CatchUp came after that. ErrTableChanged where the table
// is no longer what the build began with.
func (t *Txn) Adopt(ctx context.Context, b *Build) (*store.Table, error) {
	catalog, err := t.beginDDL(ctx)
	if err == nil {
		err = t.LockTable(ctx, b.from)
	}
	if err != nil {
		return nil, err
	}
	id := b.from.Desc.ID
	published, staged := t.e.Catalog().TableByID(id), catalog.TableByID(id)
	if published != nil && published.Desc.Version != b.from.Desc.Version || staged == nil || !sameButIDs(b.from, staged, b.to) {
		return nil, fmt.Errorf("%s.%s: %w", b.from.Desc.Database, b.from.Desc.Name, ErrTableChanged)
	}
	for _, r := range b.references {
		if now := t.e.Catalog().TableByID(r.Parent.Desc.ID); now == nil || now.Desc.Version != r.Parent.Desc.Version {
			return nil, fmt.Errorf("%s.%s: %w", r.Parent.Desc.Database, r.Parent.Desc.Name, ErrTableChanged)
		}
	}
	if b.rewrite {
		if err := t.carryCounters(b.from, b.to); err != nil {
			return nil, err
		}
	}
	desc := b.to.Desc.Clone()
	desc.Version = staged.Desc.Version
	t.dropMissing(b.from.Desc, desc)
	return t.putTable(catalog, desc)
}

// sameButIDs says whether two definitions made of one differ only in ids that it lacks.
func sameButIDs(from, a, b *store.Table) bool {
	have := idsOf(from.Desc)
	bare := func(t *store.Table) string {
		desc := t.Desc.Clone()
		desc.Version = 0
		for _, ix := range append([]*store.IndexDesc{&desc.Primary}, pointers(desc.Indexes)...) {
			if !slices.Contains(have, ix.ID) {
				ix.ID = 0
			}
		}
		text, err := store.EncodeDesc(desc)
		if err != nil {
			return err.Error()
		}
		return string(text)
	}
	return bare(a) == bare(b)
}

func pointers(list []store.IndexDesc) []*store.IndexDesc {
	var out []*store.IndexDesc
	for i := range list {
		out = append(out, &list[i])
	}
	return out
}

// carryCounters begins the counters of the new ids where the old ones stand.
func (t *Txn) carryCounters(from, to *store.Table) error {
	c := &t.e.counters
	keys := []func(uint32) []byte{store.MetaRowIDKey}
	if at := to.AutoIncrementColumn(); at >= 0 && hasColumn(from, to.Desc.Columns[at].ID, true) {
		keys = append(keys, store.MetaAutoIncrementKey)
	}
	for _, key := range keys {
		next, err := c.peek(key(from.Primary.Desc.ID))
		if err == nil {
			err = c.raise(key(to.Primary.Desc.ID), next)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Rebuild changes a table at once, with its writers waiting.
func (t *Txn) Rebuild(ctx context.Context, table *store.Table, desc *store.TableDesc, rewrite bool, convert Convert) (*store.Table, error) {
	to, err := t.Define(ctx, table, desc, rewrite)
	if err == nil {
		err = t.FillDefined(ctx, table, to, convert)
	}
	return to, err
}

// FillDefined fills at once what Define has made of a table, with its writers waiting, and
// shows its rows to convert in any case, if that is not nil. Errors as Fill's.
func (t *Txn) FillDefined(ctx context.Context, from, to *store.Table, convert Convert) error {
	if !NeedsBuild(from, to) && convert == nil {
		return nil
	}
	// A new table has nothing to fill, and no ids to find again after a crash.
	rows, err := t.hasRows(from)
	if err != nil {
		return err
	}
	if rows {
		b, err := t.NewBuild(ctx, from, to, convert, nil, false, nil)
		if err != nil {
			return err
		}
		if err := also(b.Fill(ctx), b.Close()); err != nil {
			return err
		}
	}
	if from.Primary.Desc.ID == to.Primary.Desc.ID {
		return nil
	}
	return t.carryCounters(from, to)
}

// hasRows says whether the table, which the transaction has for itself, has any.
func (t *Txn) hasRows(table *store.Table) (bool, error) {
	it, err := t.newIter(t.e.store.DB, store.IndexSpan(store.SpaceRows, table.Primary.Desc.ID), false, t.set.seq)
	if err != nil {
		return false, err
	}
	found := it.next()
	return found, also(it.err, it.close())
}
