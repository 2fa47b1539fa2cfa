package txn

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// A row that was read under its lock is changed without being read from the store again; what the
// transaction itself has written comes first, also after a part of it was taken back.
func TestARowIsReadOnceUnderItsLock(t *testing.T) {
	e, _ := openMem(t, vfs.NewMem(), Options{})
	table := createTable(t, e, people(t))
	write(t, e, func(tx *Txn) error { return tx.InsertRow(ctx, table, person(1, "a", 1, "")) })
	tx := e.Begin(RepeatableRead)
	defer tx.Rollback()
	get := func(want string) {
		t.Helper()
		row, err := tx.Get(ctx, table, []any{int64(1)}, nil, LockExclusive)
		must(t, err)
		if got := fmt.Sprint(row); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	get("[1 a 1 ]")
	// Nobody can do this without the lock: it shows whether the store is asked.
	key, err := table.PrimaryKey(person(1, "", 0, ""))
	must(t, err)
	must(t, e.store.DB.Delete(key, pebble.NoSync))
	m := tx.Mark()
	must(t, tx.UpdateRow(ctx, table, person(1, "a", 1, ""), person(1, "a", 2, "")))
	get("[1 a 2 ]")
	tx.RollbackTo(m)
	get("[1 a 1 ]")
	must(t, tx.DeleteRow(ctx, table, person(1, "a", 1, "")))
	get("[]")
}

// Where a lock was given back, others may have written: what was read under it is forgotten.
func TestARowIsReadAgainAfterItsLockWasGivenBack(t *testing.T) {
	e, _ := openMem(t, vfs.NewMem(), Options{})
	table := createTable(t, e, people(t))
	tx := e.Begin(ReadCommitted)
	defer tx.Rollback()
	if row, err := tx.Get(ctx, table, []any{int64(1)}, nil, LockExclusive); err != nil || row != nil {
		t.Fatalf("a row that is not there: %v, %v", row, err)
	}
	write(t, e, func(tx *Txn) error { return tx.InsertRow(ctx, table, person(1, "a", 1, "")) })
	expect(t, all(t, tx, table, Scan{Mode: LockExclusive}), "[1 a 1 ]")
	must(t, tx.UpdateRow(ctx, table, person(1, "a", 1, ""), person(1, "a", 2, "")))
	must(t, tx.Commit(ctx))
	checkClean(t, e)
}

// Statistics are of indexes: what changes none of them is not counted.
func TestUpdatesOfNoIndexAreNoChange(t *testing.T) {
	e, _ := openMem(t, vfs.NewMem(), Options{})
	table := createTable(t, e, people(t))
	old := person(1, "a", 1, "0123456789 and more")
	write(t, e, func(tx *Txn) error { return tx.InsertRow(ctx, table, old) })
	e.SettleChanges(table, e.ChangesOf(table))
	for i, row := range []struct {
		id      int64
		age     int32
		note    string
		changes uint64
	}{
		{1, 1, "0123456789 beyond the prefix", 0},
		{1, 2, "0123456789 beyond the prefix", 1},
		{2, 2, "0123456789 beyond the prefix", 2},
	} {
		after := person(row.id, "a", row.age, row.note)
		write(t, e, func(tx *Txn) error { return tx.UpdateRow(ctx, table, old, after) })
		if n := e.ChangesOf(table).Rows; n != row.changes {
			t.Errorf("update %d: %d changes, want %d", i+1, n, row.changes)
		}
		old = after
	}
}
