package txn

import (
	"context"
	"errors"
	"time"

	"stack/roles/db/store"
)

// What transactions lock: the definition of each table that they write, or of which
// they read the newest rows, shared, so that it does not change under them; keys of
// indexes, which are rows, entries and places where some could be; and those who change
// the catalog lock it and the tables that they change. All until their end.

// usable says why the transaction cannot go on, nil if it can.
func (t *Txn) usable() error {
	switch {
	case t.ended:
		return ErrDone
	case t.doomed:
		return ErrDeadlock
	}
	return nil
}

// point locks one key and reports whether the transaction did not have it.
func (t *Txn) point(ctx context.Context, space lockSpace, key []byte, mode LockMode, wait time.Duration) (bool, error) {
	if err := t.usable(); err != nil {
		return false, err
	}
	fresh, err := t.e.locks.point(ctx, &t.owner, space, key, mode, wait)
	t.doomed = errors.Is(err, ErrDeadlock)
	return fresh, err
}

// span locks the keys of a range of an index.
func (t *Txn) span(ctx context.Context, index uint32, r store.KeyRange, mode LockMode, wait time.Duration) error {
	if err := t.usable(); err != nil {
		return err
	}
	err := t.e.locks.span(ctx, &t.owner, indexSpace(index), r, mode, wait)
	t.doomed = errors.Is(err, ErrDeadlock)
	return err
}

// lockKey locks a key of an index that is written, and reports whether it is fresh.
func (t *Txn) lockKey(ctx context.Context, ix *store.Index, key []byte) (bool, error) {
	return t.point(ctx, indexSpace(ix.Desc.ID), key, Exclusive, t.lockWait)
}

// lockTable keeps a table's definition as it is until the end of the transaction.
// ErrTableChanged where it is not the newest.
func (t *Txn) lockTable(ctx context.Context, table *store.Table) error {
	if t.locked == table || t.owns(table) {
		return nil
	}
	if _, err := t.point(ctx, tableSpace(table.Desc.ID), wholeKey, Shared, t.tableWait); err != nil {
		return err
	}
	if err := t.checkTable(table, t.e.Catalog()); err != nil {
		return err
	}
	t.locked = table
	return nil
}

// KeepTable keeps the definition of a table, whichever it is now, until the end of the
// transaction.
func (t *Txn) KeepTable(ctx context.Context, table *store.Table) error {
	_, err := t.point(ctx, tableSpace(table.Desc.ID), wholeKey, Shared, t.tableWait)
	return err
}

// LockTable keeps everybody else from writing a table and from changing its definition,
// until the end of the transaction. It waits for those that have begun to.
func (t *Txn) LockTable(ctx context.Context, table *store.Table) error {
	_, err := t.point(ctx, tableSpace(table.Desc.ID), wholeKey, Exclusive, t.tableWait)
	return err
}

// hasTable says whether nobody else can write the table.
func (t *Txn) hasTable(table *store.Table) bool {
	k := t.e.locks.at(tableSpace(table.Desc.ID))
	k.mu.Lock()
	defer k.mu.Unlock()
	h := t.owner.in(k)
	return h != nil && h.holdsPoint(wholeKey, Exclusive)
}

// LockCatalog makes the transaction the one that changes the catalog, until its end.
func (t *Txn) LockCatalog(ctx context.Context) error {
	t.newest = true
	_, err := t.point(ctx, catalogSpace, wholeKey, Exclusive, t.tableWait)
	return err
}

// LockChange makes the transaction the one that changes the definition of a table, until
// its end; writers go on. Whoever calls LockTable for a change has it before.
func (t *Txn) LockChange(ctx context.Context, table *store.Table) error {
	_, err := t.point(ctx, changeSpace(table.Desc.ID), wholeKey, Exclusive, t.tableWait)
	return err
}

// TryLockTable locks the catalog and then the table, for whose writers it waits only so long:
// meanwhile new ones wait too. It reports whether it has both, or neither.
func (t *Txn) TryLockTable(ctx context.Context, table *store.Table, wait time.Duration) (bool, error) {
	t.newest = true
	fresh, err := t.point(ctx, catalogSpace, wholeKey, Exclusive, t.tableWait)
	if err != nil {
		return false, err
	}
	_, err = t.point(ctx, tableSpace(table.Desc.ID), wholeKey, Exclusive, min(wait, t.tableWait))
	if !errors.Is(err, ErrLockWaitTimeout) {
		return err == nil, err
	}
	if fresh {
		t.e.locks.unlock(&t.owner, catalogSpace, wholeKey)
	}
	return false, nil
}
