package txn

import (
	"errors"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/store"
)

// A server that has just begun has small memtables, which Pebble leaves in memory until they are
// worth a table. Who takes in files, as each ALTER TABLE does, does not wait for that.
func TestSmallMemtablesHoldNobodyUp(t *testing.T) {
	st, err := store.Open(store.Options{Dir: "db", FS: vfs.NewMem(), MemtableSize: 64 << 20})
	must(t, err)
	e, err := Open(st, Options{Durability: SyncSecond})
	must(t, err)
	t.Cleanup(func() { must(t, errors.Join(e.Close(), st.Close())) })
	table := createTable(t, e, narrow(t))
	for id := int64(0); st.DB.Metrics().MemTable.Count <= memtablesFree; {
		if id > 200_000 {
			t.Fatal("the rows fit in the first memtables: the test shows nothing")
		}
		write(t, e, func(tx *Txn) error {
			for end := id + 1000; id < end; id++ {
				if err := tx.InsertRow(ctx, table, sql.Row{id, id}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	begin := time.Now()
	e.waitForMemtables()
	if n := st.DB.Metrics().MemTable.Count; n > memtablesFree {
		t.Errorf("after %v there are %d memtables still", time.Since(begin), n)
	}
}
