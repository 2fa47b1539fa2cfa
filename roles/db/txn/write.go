package txn

import (
	"bytes"
	"context"
	"fmt"

	"github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/store"
)

// entry is one index entry of a row.
type entry struct {
	index    *store.Index
	key      []byte
	value    []byte
	enforced bool // no other row may have it
}

// entriesOf are the entries of a row in the secondary indexes, without those of FULLTEXT
// indexes.
func entriesOf(table *store.Table, row sql.Row, primary []byte) ([]entry, error) {
	entries := make([]entry, 0, len(table.Indexes))
	for _, ix := range table.Indexes {
		if ix.Desc.FullText {
			continue
		}
		key, value, enforced, err := ix.Entry(row, primary)
		if err != nil {
			return nil, err
		}
		entries = append(entries, entry{ix, key, value, enforced})
	}
	return entries, nil
}

// mayWrite says why the transaction may change nothing now.
func (t *Txn) mayWrite() error {
	if t.e.ReadOnly() && !t.applies {
		return t.e.readOnlyError(t.admitted)
	}
	t.admitted = true
	return nil
}

// readOnlyError is why a write is refused, of a transaction that was admitted to write before or not.
func (e *Engine) readOnlyError(admitted bool) error {
	if admitted && e.shut.Load() {
		return ErrRoleLost
	}
	return ErrReadOnly
}

// beginWrite checks and locks what every change of a row needs.
func (t *Txn) beginWrite(ctx context.Context, table *store.Table) error {
	if err := t.usable(); err != nil {
		return err
	}
	if err := t.mayWrite(); err != nil {
		return err
	}
	if err := t.lockTable(ctx, table); err != nil {
		return err
	}
	t.newest = true
	t.owner.writes.Add(1)
	return nil
}

// InsertRow adds a row (a value per column of the table, those of virtual columns
// included) and its index entries, and raises the AUTO_INCREMENT counter over its
// value. *DuplicateKeyError: a unique index has these values already; nothing was
// changed.
func (t *Txn) InsertRow(ctx context.Context, table *store.Table, row sql.Row) error {
	if err := t.beginWrite(ctx, table); err != nil {
		return err
	}
	key, err := t.newKey(table, row)
	if err != nil {
		return err
	}
	entries, err := entriesOf(table, row, key)
	if err != nil {
		return err
	}
	if table.HasPrimaryKey() {
		if err := t.unique(ctx, table, table.Primary, row, key, nil); err != nil {
			return err
		}
	} else if _, err := t.lockKey(ctx, table.Primary, key); err != nil {
		return err
	}
	for i := range entries {
		if entries[i].enforced {
			if err := t.unique(ctx, table, entries[i].index, row, entries[i].key, nil); err != nil {
				return err
			}
		}
	}
	if at := table.AutoIncrementColumn(); at >= 0 {
		if err := t.noteAutoIncrement(table, row[at]); err != nil {
			return err
		}
	}
	if _, err := t.noteBehind(key, nil); err != nil {
		return err
	}
	return t.atomically(func() error {
		if err := t.putRow(ctx, table, key, row, nil); err != nil {
			return err
		}
		for i := range entries {
			if err := t.putEntry(ctx, &entries[i]); err != nil {
				return err
			}
		}
		if err := t.putWords(table, row, key); err != nil {
			return err
		}
		t.touched.add(table.Primary.Desc.ID, 1, 1)
		t.countWritten(inserted)
		return t.logInsert(ctx, table, row)
	})
}

// newKey is the primary key of a new row; a table without one gives a new row id.
func (t *Txn) newKey(table *store.Table, row sql.Row) ([]byte, error) {
	if table.HasPrimaryKey() {
		return table.PrimaryKey(row)
	}
	id, err := t.e.counters.take(store.MetaRowIDKey(table.Primary.Desc.ID), 1)
	if err != nil {
		return nil, err
	}
	return table.RowIDKey(id), nil
}

// atomically runs writes of one row; a failure in between takes them all back.
func (t *Txn) atomically(write func() error) error {
	m := t.Mark()
	defer t.Release(m)
	if err := write(); err != nil {
		t.RollbackTo(m)
		return err
	}
	return nil
}

// UpdateRow changes a row; old is the whole row as it is now. Index entries and
// large values that stay the same are not touched. *DuplicateKeyError as InsertRow;
// ErrRowNotFound where old is not there, ErrRowChanged where the transaction has
// changed it since old was read.
func (t *Txn) UpdateRow(ctx context.Context, table *store.Table, old, row sql.Row) error {
	if err := t.beginWrite(ctx, table); err != nil {
		return err
	}
	oldKey, oldData, fresh, err := t.locate(ctx, table, old)
	if err != nil {
		return err
	}
	if stale, err := t.stale(ctx, table, oldKey, oldData, old, fresh); err != nil {
		return err
	} else if stale != nil {
		if fresh {
			// Not read under the lock: what is read now is to be looked at as well.
			t.unlock(indexSpace(table.Primary.Desc.ID), oldKey)
		}
		return fmt.Errorf("table %s.%s, key % x: %w", table.Desc.Database, table.Desc.Name, oldKey, ErrRowChanged)
	}
	return t.changeRow(ctx, table, oldKey, oldData, old, row)
}

// changeRow changes the row that is stored, and locked, under oldKey as oldData.
func (t *Txn) changeRow(ctx context.Context, table *store.Table, oldKey, oldData []byte, old, row sql.Row) (err error) {
	key := oldKey
	if table.HasPrimaryKey() {
		if key, err = table.PrimaryKey(row); err != nil {
			return err
		}
	}
	oldEntries, err := entriesOf(table, old, oldKey)
	if err != nil {
		return err
	}
	entries, err := entriesOf(table, row, key)
	if err != nil {
		return err
	}
	moved := !bytes.Equal(key, oldKey)
	if moved {
		if err := t.unique(ctx, table, table.Primary, row, key, oldKey); err != nil {
			return err
		}
	}
	for i := range entries {
		if e := &entries[i]; e.enforced && !bytes.Equal(e.key, oldEntries[i].key) {
			if err := t.unique(ctx, table, e.index, row, e.key, oldKey); err != nil {
				return err
			}
		}
	}
	if at := table.AutoIncrementColumn(); at >= 0 && old[at] != row[at] {
		if err := t.noteAutoIncrement(table, row[at]); err != nil {
			return err
		}
	}
	all, err := t.noteBehind(oldKey, oldData)
	if err != nil {
		return err
	}
	if moved {
		if _, err := t.noteBehind(key, nil); err != nil {
			return err
		}
	}
	return t.atomically(func() error {
		if moved {
			if err := t.removeRow(ctx, table, oldKey, oldData); err != nil {
				return err
			}
			oldData = nil
		}
		if err := t.putRow(ctx, table, key, row, oldData); err != nil {
			return err
		}
		replaced, err := t.replaceEntries(ctx, oldEntries, entries, all)
		if err != nil {
			return err
		}
		if err := t.replaceWords(table, old, row, oldKey, key, all); err != nil {
			return err
		}
		if moved || replaced {
			t.touched.add(table.Primary.Desc.ID, 1, 0)
		}
		t.countWritten(updated)
		return t.logUpdate(ctx, table, old, row)
	})
}

// replaceEntries reports whether any are others than before. all writes the others as well: they are the row's,
// and locked with it.
func (t *Txn) replaceEntries(ctx context.Context, old, entries []entry, all bool) (replaced bool, err error) {
	for i := range entries {
		o, e := &old[i], &entries[i]
		if bytes.Equal(o.key, e.key) && bytes.Equal(o.value, e.value) {
			if all {
				if err := t.set.set(e.key, e.value); err != nil {
					return replaced, err
				}
			}
			continue
		}
		replaced = true
		if !bytes.Equal(o.key, e.key) {
			if err := t.removeEntry(ctx, o); err != nil {
				return replaced, err
			}
		}
		if err := t.putEntry(ctx, e); err != nil {
			return replaced, err
		}
	}
	return replaced, nil
}

// DeleteRow removes a row; old is the whole row as it was read, of which the primary
// key finds what it is now. ErrRowNotFound where it is not there.
func (t *Txn) DeleteRow(ctx context.Context, table *store.Table, old sql.Row) error {
	if err := t.beginWrite(ctx, table); err != nil {
		return err
	}
	key, data, fresh, err := t.locate(ctx, table, old)
	if err != nil {
		return err
	}
	if now, err := t.stale(ctx, table, key, data, old, fresh); err != nil {
		return err
	} else if now != nil {
		old = now
	}
	return t.takeRow(ctx, table, key, data, old)
}

// takeRow removes the row that is stored, and locked, under key as data.
func (t *Txn) takeRow(ctx context.Context, table *store.Table, key, data []byte, old sql.Row) error {
	entries, err := entriesOf(table, old, key)
	if err != nil {
		return err
	}
	if _, err := t.noteBehind(key, data); err != nil {
		return err
	}
	return t.atomically(func() error {
		if err := t.removeRow(ctx, table, key, data); err != nil {
			return err
		}
		for i := range entries {
			if err := t.removeEntry(ctx, &entries[i]); err != nil {
				return err
			}
		}
		if err := t.removeWords(table, old, key); err != nil {
			return err
		}
		t.touched.add(table.Primary.Desc.ID, 1, -1)
		t.countWritten(deleted)
		return t.logDelete(ctx, table, old)
	})
}

// locate finds the stored form of a row that the caller has read, and locks it. fresh
// says that the transaction had not locked it before.
func (t *Txn) locate(ctx context.Context, table *store.Table, row sql.Row) (key, data []byte, fresh bool, err error) {
	if !table.HasPrimaryKey() {
		key, data, err = t.locateByValue(ctx, table, row)
		return key, data, false, err
	}
	if key, err = table.PrimaryKey(row); err != nil {
		return nil, nil, false, err
	}
	if fresh, err = t.lockKey(ctx, table.Primary, key); err != nil {
		return nil, nil, false, err
	}
	if data, err = t.getLocked(key, fresh); err != nil {
		return nil, nil, false, err
	}
	if data == nil {
		return nil, nil, false, fmt.Errorf("table %s.%s, key % x: %w", table.Desc.Database, table.Desc.Name, key, ErrRowNotFound)
	}
	return key, data, fresh, nil
}

// stale returns the row as it is now if it has changed since old was read, else nil. The
// transaction itself may have changed it (an action of a foreign key, the row under
// another name); somebody else can have only where it was not locked before. Index
// entries made of a stale row would leave the real ones behind.
func (t *Txn) stale(ctx context.Context, table *store.Table, key, data []byte, old sql.Row, fresh bool) (sql.Row, error) {
	if !table.HasPrimaryKey() {
		return nil, nil // without a key rows are found by their value
	}
	if !fresh {
		if t.set.empty() {
			return nil, nil
		}
		if _, _, own, err := t.set.get(key, t.set.seq); err != nil || !own {
			return nil, err
		}
	}
	have, _, err := table.EncodeRow(ctx, old)
	if err != nil || bytes.Equal(have, data) {
		return nil, err
	}
	now, err := t.rowAt(ctx, t.e.store.DB, table, key, nil)
	if err != nil {
		return nil, err
	}
	// A row of an older layout is stored otherwise than it would be now.
	if data, _, err = table.EncodeRow(ctx, now); err != nil || bytes.Equal(have, data) {
		return nil, err
	}
	for i, c := range table.Desc.Columns {
		if c.Virtual {
			now[i] = old[i]
		}
	}
	return now, nil
}

func (t *Txn) putEntry(ctx context.Context, e *entry) error {
	if _, err := t.lockKey(ctx, e.index, e.key); err != nil {
		return err
	}
	if err := t.noteTaken(e); err != nil {
		return err
	}
	return t.set.set(e.key, e.value)
}

func (t *Txn) removeEntry(ctx context.Context, e *entry) error {
	if _, err := t.lockKey(ctx, e.index, e.key); err != nil {
		return err
	}
	return t.set.delete(e.key)
}

// putRow writes a row and its large values. old is the stored row that it replaces
// under the same key, nil if none: large values that are in both are left alone.
func (t *Txn) putRow(ctx context.Context, table *store.Table, key []byte, row sql.Row, old []byte) error {
	data, large, err := table.EncodeRow(ctx, row)
	if err != nil {
		return fmt.Errorf("table %s.%s: %w", table.Desc.Database, table.Desc.Name, err)
	}
	var had []store.LargeRef
	if old != nil {
		if had, err = table.LargeRefs(old); err != nil {
			return err
		}
	}
	for _, ref := range had {
		if !keeps(large, ref) {
			if err := t.removeLarge(key, ref); err != nil {
				return err
			}
		}
	}
	for _, v := range large {
		if holds(had, v.LargeRef) {
			continue
		}
		for chunk := range store.LargeChunks(v.Length) {
			from := uint64(chunk) * store.LargeChunkSize
			part := v.Bytes[from:min(from+store.LargeChunkSize, v.Length)]
			if err := t.set.set(store.LargeKey(key, v.Column, chunk), append([]byte(nil), part...)); err != nil {
				return err
			}
		}
	}
	if !table.HasPrimaryKey() {
		t.rowIDs.note(table, key, data)
	}
	return t.set.set(key, data)
}

// keeps reports whether the chunks of ref stay in use as they are or get overwritten
// by at least as many.
func keeps(large []store.LargeValue, ref store.LargeRef) bool {
	for i := range large {
		if large[i].Column == ref.Column && store.LargeChunks(large[i].Length) >= store.LargeChunks(ref.Length) {
			return true
		}
	}
	return false
}

func holds(refs []store.LargeRef, ref store.LargeRef) bool {
	for _, r := range refs {
		if r == ref {
			return true
		}
	}
	return false
}

func (t *Txn) removeRow(ctx context.Context, table *store.Table, key, data []byte) error {
	refs, err := table.LargeRefs(data)
	if err != nil {
		return err
	}
	for _, ref := range refs {
		if err := t.removeLarge(key, ref); err != nil {
			return err
		}
	}
	return t.set.delete(key)
}

func (t *Txn) removeLarge(key []byte, ref store.LargeRef) error {
	for chunk := range store.LargeChunks(ref.Length) {
		if err := t.set.delete(store.LargeKey(key, ref.Column, chunk)); err != nil {
			return err
		}
	}
	return nil
}
