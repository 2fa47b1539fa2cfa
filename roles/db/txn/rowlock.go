package txn

import (
	"bytes"
	"context"
	"errors"
	"slices"
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

// unlock gives a lock back before the end of the transaction.
func (t *Txn) unlock(space lockSpace, key []byte) {
	t.stored = storedValue{}
	t.e.locks.unlock(&t.owner, space, key)
}

// storedValue is what the store has under a key that the transaction has locked: the same until it lets the key go,
// since nobody else may write there and its own writes are not in the store before its end.
type storedValue struct {
	key   []byte
	value []byte // nil: nothing
}

// getLocked is get, of the newest state, for a key that the transaction has locked; fresh: just now. Statements read a row
// under its lock and then change it, so the last value from the store is kept. It must not be changed.
func (t *Txn) getLocked(key []byte, fresh bool) ([]byte, error) {
	if !t.set.empty() {
		switch value, deleted, found, err := t.set.get(key, t.set.seq); {
		case err != nil || deleted:
			return nil, err
		case found:
			return value, nil
		}
	}
	if !fresh && t.stored.key != nil && bytes.Equal(t.stored.key, key) {
		return t.stored.value, nil
	}
	value, err := store.Get(t.e.store.DB, key)
	if err != nil {
		return nil, err
	}
	t.stored = storedValue{key, value}
	return value, nil
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

// Keeps says whether the transaction keeps the definition of a table.
func (t *Txn) Keeps(table *store.Table) bool {
	k := t.e.locks.at(tableSpace(table.Desc.ID))
	k.mu.Lock()
	defer k.mu.Unlock()
	return t.owner.in(k) != nil
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

// Spare keeps the transaction from being the victim of a deadlock in which there is another
// that is not spared.
func (t *Txn) Spare() { t.owner.spared.Store(true) }

// LockCatalog makes the transaction the one that changes the catalog, until its end.
func (t *Txn) LockCatalog(ctx context.Context) error {
	t.newest = true
	_, err := t.point(ctx, catalogSpace, wholeKey, Exclusive, t.tableWait)
	return err
}

// LockChanges makes the transaction the one that changes the definitions of tables, until
// its end; writers go on. list gives the tables that a catalog has of them; those of the newest
// one are returned. Whoever locks a table for a change has this before.
func (t *Txn) LockChanges(ctx context.Context, list func(*store.Catalog) []*store.Table) ([]*store.Table, error) {
	return t.lockAll(ctx, list, func(tables []*store.Table) []lockSpace { return spacesOf(tables, changeSpace) })
}

// LockDefinitions locks tables as LockChanges does, then as LockTable does, and then the
// catalog. Nobody who has the catalog waits for the change of a table, so that of those who
// change definitions none can stand in a circle with the others; and waiting for a table's
// writers does not hold up the changes of other tables.
func (t *Txn) LockDefinitions(ctx context.Context, list func(*store.Catalog) []*store.Table) ([]*store.Table, error) {
	return t.lockAll(ctx, list, func(tables []*store.Table) []lockSpace {
		return append(append(spacesOf(tables, changeSpace), spacesOf(tables, tableSpace)...), catalogSpace)
	})
}

// lockAll takes the spaces of the tables that list gives, in order. Where the names mean other
// tables by then it lets go of all and begins anew, for waiting out of order could be a circle.
func (t *Txn) lockAll(ctx context.Context, list func(*store.Catalog) []*store.Table, spaces func([]*store.Table) []lockSpace) ([]*store.Table, error) {
	t.newest = true
	for {
		tables := list(t.Catalog())
		var taken []lockSpace
		for _, space := range spaces(tables) {
			fresh, err := t.point(ctx, space, wholeKey, Exclusive, t.tableWait)
			if err != nil {
				return nil, err
			}
			if fresh {
				taken = append(taken, space)
			}
		}
		now := list(t.Catalog())
		if !slices.ContainsFunc(now, func(n *store.Table) bool {
			return !slices.ContainsFunc(tables, func(t *store.Table) bool { return t.Desc.ID == n.Desc.ID })
		}) {
			return now, nil
		}
		t.giveBack(taken)
	}
}

// spacesOf are spaces of tables in an order that is everybody's.
func spacesOf(tables []*store.Table, space func(table uint32) lockSpace) []lockSpace {
	var list []lockSpace
	for _, t := range tables {
		list = append(list, space(t.Desc.ID))
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// giveBack gives back points that were taken anew.
func (t *Txn) giveBack(spaces []lockSpace) {
	for _, space := range spaces {
		t.unlock(space, wholeKey)
	}
}

// TryLockTables locks the catalog and then the tables, for whose writers it waits only so long:
// meanwhile new ones wait too. It reports whether it has all, or nothing. LockChanges comes before.
func (t *Txn) TryLockTables(ctx context.Context, tables []*store.Table, wait time.Duration) (bool, error) {
	t.newest = true
	var taken []lockSpace
	left := t.tableWait
	for _, space := range append([]lockSpace{catalogSpace}, spacesOf(tables, tableSpace)...) {
		began := time.Now()
		fresh, err := t.point(ctx, space, wholeKey, Exclusive, max(left, 0))
		switch {
		case errors.Is(err, ErrLockWaitTimeout) && space != catalogSpace:
			t.giveBack(taken)
			return false, nil
		case err != nil:
			return false, err
		case fresh:
			taken = append(taken, space)
		}
		if space == catalogSpace {
			left = min(wait, t.tableWait)
		} else {
			left -= time.Since(began)
		}
	}
	return true, nil
}
