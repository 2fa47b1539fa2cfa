package txn

import (
	"bytes"
	"context"

	"github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/store"
)

// unique refuses a row whose entry in a unique index another row has: the same key,
// or under a PAD SPACE collation one that differs in trailing spaces only. self is
// the primary key of the row that is being changed, nil for a new one.
func (t *Txn) unique(ctx context.Context, table *store.Table, ix *store.Index, row sql.Row, key, self []byte) error {
	if err := t.lockEntry(ctx, ix, row, key); err != nil {
		return err
	}
	value, err := t.getUnique(ix, key)
	if err != nil {
		return err
	}
	if value != nil {
		if err := t.conflict(ctx, table, ix, key, value, self); err != nil {
			return err
		}
	}
	if !ix.Padded() {
		return nil
	}
	it, err := t.newIter(t.e.store.DB, store.IndexSpan(store.SpaceRows, ix.Desc.ID), false, t.set.seq)
	if err != nil {
		return err
	}
	defer it.close()
	return ix.PadEqual(row, func(k []byte) ([]byte, error) {
		if !it.seek(k) {
			return nil, it.err
		}
		return it.key, nil
	}, func(found []byte) error {
		// Another transaction may be about to remove it.
		found = bytes.Clone(found)
		if _, err := t.lockKey(ctx, ix, found); err != nil {
			return err
		}
		value, err := t.get(t.e.store.DB, found)
		if err != nil || value == nil {
			return err
		}
		return t.conflict(ctx, table, ix, found, value, self)
	})
}

// lockEntry locks the key of an entry of row that is added. Where trailing spaces do
// not count, it locks the spelling without them as well, so that two that add spellings of
// one value meet.
func (t *Txn) lockEntry(ctx context.Context, ix *store.Index, row sql.Row, key []byte) error {
	if ix.Padded() && (ix.Desc.Unique || ix.IsPrimary()) {
		trimmed, err := ix.TrimmedKey(row)
		if err != nil {
			return err
		}
		if trimmed != nil && !bytes.Equal(trimmed, key) {
			if _, err := t.lockKey(ctx, ix, trimmed); err != nil {
				return err
			}
		}
	}
	_, err := t.lockKey(ctx, ix, key)
	return err
}

// conflict returns a *DuplicateKeyError for an entry, unless it is the row's own.
func (t *Txn) conflict(ctx context.Context, table *store.Table, ix *store.Index, key, value, self []byte) error {
	primary := key
	if !ix.IsPrimary() {
		var err error
		if primary, err = ix.PrimaryKeyOf(key, value); err != nil {
			return err
		}
	}
	if bytes.Equal(primary, self) {
		return nil
	}
	// The caller may go on to change the row that is in the way.
	if _, err := t.lockKey(ctx, table.Primary, primary); err != nil {
		return err
	}
	existing, err := t.rowAt(ctx, t.e.store.DB, table, primary, nil)
	if err != nil {
		return err
	}
	return &DuplicateKeyError{Table: table, Index: ix, Existing: existing}
}
