package rewind

import (
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"stack/roles/db/store/crashfs"
)

// crashAt takes back on fs and returns it as a crash in the operation with number at leaves it, nil where there are
// fewer, and how many there are. The start behind it is part of what may be cut.
func crashAt(t *testing.T, fs *crashfs.Mem, at int64, primary string, how vfs.CrashCloneCfg) (clone *vfs.MemFS, total int64) {
	t.Helper()
	var operations atomic.Int64
	var cut atomic.Pointer[vfs.MemFS]
	hooked := errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && operations.Add(1) == at {
			cut.Store(fs.CrashClone(how))
		}
		return nil
	}))
	if _, err := rewind(hooked, primary, 0); err != nil {
		t.Fatal(err)
	}
	start(t, hooked).stop()
	return cut.Load(), operations.Load()
}
