package txn

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"stack/roles/db/store"
)

// A real file system fills up: commits are refused while the store still has room to
// work in, TRUNCATE gives the space back, and nothing that was answered is lost.
func TestRealDiskFillsUp(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting a small file system needs root")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=128m"); err != nil {
		t.Skipf("a small file system cannot be mounted: %v", err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	r := seeded(t)
	fatal := func(reason string) { panic(reason) }
	st, err := store.Open(store.Options{Dir: dir + "/db", MemtableSize: 2 << 20, Reserve: 8 << 20, Fatal: fatal})
	must(t, err)
	e, err := Open(st, Options{})
	must(t, err)
	table := createTable(t, e, people(t))
	fillUp := func(table *store.Table) (n int64) {
		for ; n < 10_000; n++ {
			tx := e.Begin(RepeatableRead)
			letters := make([]byte, 64<<10) // random: does not compress
			for i := range letters {
				letters[i] = 'a' + byte(r.IntN(26))
			}
			note := string(letters)
			must(t, tx.InsertRow(ctx, table, person(n, fmt.Sprint(n), 1, note)))
			if err := tx.Commit(ctx); errors.Is(err, ErrDiskFull) {
				return n
			} else if err != nil {
				t.Fatal(err)
			}
		}
		t.Fatal("the disk never filled up")
		return 0
	}
	n := fillUp(table)
	tx := e.Begin(RepeatableRead)
	if got := len(all(t, tx, table, Scan{Columns: []int{0}})); int64(got) != n {
		t.Fatalf("%d rows of %d", got, n)
	}
	tx.Rollback()
	checkClean(t, e)
	write(t, e, func(tx *Txn) (err error) { table, err = tx.TruncateTable(ctx, table); return err })
	must(t, waitFor(func() bool { return keysOf(t, e, store.SpaceLarge, table.Primary.Desc.ID-4) == 0 }))
	must(t, waitFor(func() bool { return st.CheckSpace(1<<20) == nil }))
	write(t, e, func(tx *Txn) error { return tx.InsertRow(ctx, table, person(1, "again", 1, "")) })
	must(t, errors.Join(e.Close(), st.Close()))
}
