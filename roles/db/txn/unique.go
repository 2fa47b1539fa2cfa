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
	if err := t.lock(ctx, pointRange(key), Exclusive); err != nil {
		return err
	}
	value, err := t.get(t.e.store.DB, key)
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
		return t.conflict(ctx, table, ix, found, it.value, self)
	})
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
	existing, err := t.rowAt(ctx, t.e.store.DB, table, primary, nil)
	if err != nil {
		return err
	}
	return &DuplicateKeyError{Table: table, Index: ix, Existing: existing}
}
