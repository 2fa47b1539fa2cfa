package store

import (
	"runtime"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A server that has started writes into memtables of full size from the first commit on.
func TestMemtablesAreGrown(t *testing.T) {
	for _, size := range []uint64{4 << 20, 12345678, 32 << 20} {
		st, err := Open(Options{Dir: "db", FS: vfs.NewMem(), MemtableSize: size})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if err := st.GrowMemtables(); err != nil {
			t.Fatal(err)
		}
		t.Log(size, time.Since(start))
		for end := time.Now().Add(10 * time.Second); st.DB.Metrics().MemTable.Count > 1; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("the small memtables are not flushed", st.DB.Metrics().String())
			}
		}
		if got := st.DB.Metrics().MemTable.Size; got != size {
			t.Errorf("the memtable has %d bytes of %d", got, size)
		}
		// The next one is in memory that is there.
		before := allocated()
		if err := st.DB.Flush(); err != nil {
			t.Fatal(err)
		}
		if n := allocated() - before; n > size/2 {
			t.Errorf("%d bytes were allocated for the next memtable of %d", n, size)
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// allocated is how many bytes were allocated since the process began.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}
