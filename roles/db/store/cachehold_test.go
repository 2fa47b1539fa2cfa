package store

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// What is read while there is temporary storage does not fill a cold cache, and what is read after
// it does.
func TestCacheIsHeld(t *testing.T) {
	st, err := Open(Options{Dir: "db", FS: vfs.NewMem(), MemtableSize: 1 << 20, CacheBytes: 256 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	value := make([]byte, 64<<10)
	for i := range 2 * holdGrowth / len(value) {
		for j := range value[:len(value)/4] {
			value[4*j] = byte(i * j * j >> 3)
		}
		if err := st.DB.Set(fmt.Appendf(nil, "key%06d", i), value, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := st.DB.Flush(); err != nil {
		t.Fatal(err)
	}
	read := func() int64 {
		it, err := st.DB.NewIter(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer it.Close()
		for ok := it.First(); ok; ok = it.Next() {
			if _, err := it.ValueAndErr(); err != nil {
				t.Fatal(err)
			}
		}
		return st.cache.Size()
	}
	before := st.cache.Size()
	var held []*Scratch
	for range 2 {
		c, err := st.NewScratch()
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
	}
	if err := held[0].Close(); err != nil {
		t.Fatal(err)
	}
	if size := read(); size > before+holdGrowth+(8<<20) || size < before+holdGrowth/2 {
		t.Errorf("the cache has grown from %d to %d MiB", before>>20, size>>20)
	}
	if err := held[1].Close(); err != nil {
		t.Fatal(err)
	}
	if size := read(); size < before+holdGrowth*3/2 {
		t.Errorf("the cache stays at %d MiB", size>>20)
	}
}
