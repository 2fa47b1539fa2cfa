package txn

import (
	"fmt"
	"runtime"
	"testing"
	"weak"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// What has left memory is gone from it, the first list of a write set as well, once nobody walks it
// any more.
func TestWhatLeftMemoryIsGoneFromIt(t *testing.T) {
	e, _ := openMem(t, vfs.NewMem(), Options{WriteSetLimit: 64 << 10})
	tx := e.Begin(RepeatableRead)
	defer tx.Rollback()
	w := tx.set
	must(t, w.set([]byte("\x03key 0"), []byte("first")))
	first := weak.Make(w.first())
	it := w.iter(nil, nil, false, w.seq)
	for i := 1; w.spill == nil; i++ {
		must(t, w.set(fmt.Appendf(nil, "\x03key %d", i), make([]byte, 1000)))
	}
	it.seek([]byte("\x03"))
	if !it.valid || string(it.key) != "\x03key 0" || string(it.value) != "first" {
		t.Errorf("the iterator stands at %q, %q", it.key, it.value)
	}
	if it.next(); it.valid {
		t.Errorf("the iterator sees %q, which was written later", it.key)
	}
	must(t, it.close())
	it = nil
	runtime.GC()
	if first.Value() != nil {
		t.Error("the list that has left memory is still there")
	}
	if value, _, found, err := w.get([]byte("\x03key 0"), w.seq); err != nil || !found || string(value) != "first" {
		t.Errorf("%q, %v, %v", value, found, err)
	}
}
