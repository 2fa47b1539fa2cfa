package txn

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/store"
)

const buildBatch = 4 << 20 // bytes written at once by a rebuild

// Rebuild writes every row of a table anew under new ids, as change makes it, and
// stages the result: the way to any ALTER TABLE that AlterTable refuses. desc is a
// changed Clone of table.Desc (new columns and indexes have id 0); change gets a row
// of table and returns the row of desc, which it may not keep. The size of the table
// is not bounded by the write set: the new keys go to the store directly and belong
// to nobody until the commit. Errors: *DuplicateKeyError (of the new table), what
// change returns.
func (t *Txn) Rebuild(ctx context.Context, table *store.Table, desc *store.TableDesc, change func(sql.Row) (sql.Row, error)) (*store.Table, error) {
	catalog, err := t.beginTable(ctx, table)
	if err != nil {
		return nil, err
	}
	if err := sameName(table.Desc, desc); err != nil {
		return nil, err
	}
	desc = desc.Clone()
	desc.ID, desc.Version, desc.Layouts = table.Desc.ID, table.Desc.Version+1, nil
	giveColumnIDs(desc)
	for i := range desc.Columns {
		desc.Columns[i].Missing = nil
	}
	t.giveIndexIDs(desc)
	giveLayout(desc)
	next, err := store.NewTable(desc)
	if err != nil {
		return nil, err
	}
	ids := []uint32{desc.Primary.ID}
	for _, ix := range desc.Indexes {
		ids = append(ids, ix.ID)
	}
	b, err := t.newBuilder(ctx, next, ids)
	if err != nil {
		return nil, err
	}
	defer b.close()
	if err := b.carryCounters(table); err != nil {
		return nil, err
	}
	err = b.copyRows(table, func(_ []byte, row sql.Row) error {
		row, err := change(row)
		if err != nil {
			return err
		}
		return b.insert(row)
	})
	if err != nil {
		return nil, err
	}
	t.dropIndexes(table)
	return t.putTable(catalog, desc)
}

// AddIndexes builds the indexes of desc that have id 0 from the rows of the table
// and stages desc; whatever else differs must be what AlterTable accepts, columns
// added or dropped excepted. virtual computes the virtual columns of a row, nil
// where there are none. *DuplicateKeyError: a unique index cannot hold the rows.
func (t *Txn) AddIndexes(ctx context.Context, table *store.Table, desc *store.TableDesc, virtual func(sql.Row) (sql.Row, error)) (*store.Table, error) {
	catalog, err := t.beginTable(ctx, table)
	if err != nil {
		return nil, err
	}
	if err := sameName(table.Desc, desc); err != nil {
		return nil, err
	}
	desc = desc.Clone()
	var ids []uint32
	kept := desc.Clone()
	kept.Indexes = nil
	for i := range desc.Indexes {
		if desc.Indexes[i].ID == 0 {
			desc.Indexes[i].ID = t.newID()
			ids = append(ids, desc.Indexes[i].ID)
		} else {
			kept.Indexes = append(kept.Indexes, desc.Indexes[i])
		}
	}
	if err := instant(table.Desc, kept); err != nil {
		return nil, fmt.Errorf("table %s.%s: %w", desc.Database, desc.Name, err)
	}
	if len(desc.Columns) != len(table.Desc.Columns) {
		return nil, fmt.Errorf("table %s.%s: columns cannot be added or dropped together with an index", desc.Database, desc.Name)
	}
	desc.Version = table.Desc.Version + 1
	next, err := store.NewTable(desc)
	if err != nil {
		return nil, err
	}
	b, err := t.newBuilder(ctx, next, ids)
	if err != nil {
		return nil, err
	}
	defer b.close()
	err = b.copyRows(table, func(key []byte, row sql.Row) error {
		if virtual != nil {
			var err error
			if row, err = virtual(row); err != nil {
				return err
			}
		}
		return b.insertEntries(key, row)
	})
	if err != nil {
		return nil, err
	}
	for _, ix := range table.Desc.Indexes {
		if !holdsIndex(desc.Indexes, ix.ID) {
			t.drops = append(t.drops, ix.ID)
		}
	}
	return t.putTable(catalog, desc)
}

func holdsIndex(indexes []store.IndexDesc, id uint32) bool {
	for i := range indexes {
		if indexes[i].ID == id {
			return true
		}
	}
	return false
}

// builder fills indexes that no descriptor names yet.
type builder struct {
	t     *Txn
	ctx   context.Context
	table *store.Table
	isNew map[uint32]bool
	batch *pebble.Batch
}

// newBuilder marks the ids as being built, durably and before the first key under
// them: after a crash the next Open deletes what is there.
func (t *Txn) newBuilder(ctx context.Context, table *store.Table, ids []uint32) (*builder, error) {
	b := &builder{t: t, ctx: ctx, table: table, isNew: map[uint32]bool{}}
	marks := t.e.store.DB.NewBatch()
	defer marks.Close()
	err := marks.Set(store.MetaNextIDKey(), binary.BigEndian.AppendUint32(nil, t.e.nextID.Load()), nil)
	for _, id := range ids {
		b.isNew[id] = true
		err = errors.Join(err, marks.Set(store.MetaBuildingKey(id), nil, nil))
	}
	if err = errors.Join(err, marks.Commit(pebble.Sync)); err != nil {
		return nil, fmt.Errorf("begin the rebuild of table %s.%s: %w", table.Desc.Database, table.Desc.Name, err)
	}
	t.built = append(t.built, ids...)
	b.batch = t.e.store.DB.NewIndexedBatch()
	return b, nil
}

func (b *builder) close() { b.batch.Close() }

// carryCounters begins the counters of the new ids where the old ones stand.
func (b *builder) carryCounters(old *store.Table) error {
	c := &b.t.e.counters
	from, to := old.Primary.Desc.ID, b.table.Primary.Desc.ID
	for _, key := range []func(uint32) []byte{store.MetaAutoIncrementKey, store.MetaRowIDKey} {
		next, err := c.peek(key(from))
		if err == nil {
			err = c.raise(key(to), next)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// copyRows calls each for every row of table and makes what it wrote durable. key is
// the row's key in the primary index of table.
func (b *builder) copyRows(table *store.Table, each func(key []byte, row sql.Row) error) error {
	rows, err := b.t.Scan(b.ctx, table, Scan{Mode: Latest})
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows.Key(), rows.Row()); err != nil {
			return err
		}
		if b.batch.Len() >= buildBatch {
			if err := b.flush(pebble.NoSync); err != nil {
				return err
			}
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return b.flush(pebble.Sync)
}

func (b *builder) flush(how *pebble.WriteOptions) error {
	if err := b.t.e.store.CheckSpace(uint64(b.batch.Len())); err != nil {
		return err
	}
	if err := b.batch.Commit(how); err != nil {
		return fmt.Errorf("write table %s.%s: %w", b.table.Desc.Database, b.table.Desc.Name, err)
	}
	b.batch.Close()
	b.batch = b.t.e.store.DB.NewIndexedBatch()
	return nil
}

// insert writes a row of the new table. Without a primary key it takes a new row id.
func (b *builder) insert(row sql.Row) error {
	var key []byte
	var err error
	if b.table.HasPrimaryKey() {
		if key, err = b.table.PrimaryKey(row); err == nil {
			err = b.unique(b.table.Primary, row, key)
		}
	} else {
		key, err = b.t.newKey(b.table, row)
	}
	if err != nil {
		return err
	}
	if at := b.table.AutoIncrementColumn(); at >= 0 {
		if err := b.t.noteAutoIncrement(b.table, row[at]); err != nil {
			return err
		}
	}
	data, large, err := b.table.EncodeRow(b.ctx, row)
	if err != nil {
		return fmt.Errorf("table %s.%s: %w", b.table.Desc.Database, b.table.Desc.Name, err)
	}
	for _, v := range large {
		for chunk := range store.LargeChunks(v.Length) {
			from := uint64(chunk) * store.LargeChunkSize
			part := v.Bytes[from:min(from+store.LargeChunkSize, v.Length)]
			if err := b.batch.Set(store.LargeKey(key, v.Column, chunk), part, nil); err != nil {
				return err
			}
		}
	}
	if err := b.batch.Set(key, data, nil); err != nil {
		return err
	}
	return b.insertEntries(key, row)
}

// insertEntries writes the entries of a row in the indexes that are being built.
func (b *builder) insertEntries(key []byte, row sql.Row) error {
	for _, ix := range b.table.Indexes {
		if !b.isNew[ix.Desc.ID] {
			continue
		}
		k, v, enforced, err := ix.Entry(row, key)
		if err != nil {
			return err
		}
		if enforced {
			if err := b.unique(ix, row, k); err != nil {
				return err
			}
		}
		if err := b.batch.Set(k, v, nil); err != nil {
			return err
		}
	}
	return nil
}

// unique refuses an entry that the index has already, up to trailing spaces where
// the collation ignores them.
func (b *builder) unique(ix *store.Index, row sql.Row, key []byte) error {
	duplicate := &DuplicateKeyError{Table: b.table, Index: ix, Existing: row}
	found, err := store.Get(b.batch, key)
	if err != nil {
		return err
	}
	if found != nil {
		return duplicate
	}
	if !ix.Padded() {
		return nil
	}
	span := store.IndexSpan(store.SpaceRows, ix.Desc.ID)
	it, err := b.batch.NewIter(&pebble.IterOptions{LowerBound: span.Start, UpperBound: span.End})
	if err != nil {
		return err
	}
	defer it.Close()
	return ix.PadEqual(row, func(k []byte) ([]byte, error) {
		if !it.SeekGE(k) {
			return nil, it.Error()
		}
		return it.Key(), nil
	}, func([]byte) error { return duplicate })
}
