package backup

import (
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"stack/roles/db/store"
)

// What is restored from the backup of a server that follows another follows nobody.
func TestRestoreFollowsNobody(t *testing.T) {
	root := t.TempDir()
	s := start(t, vfs.Default, filepath.Join(root, "db"))
	s.fill(t, 10)
	keys := [][]byte{store.MetaSourceKey(), store.MetaSourcePositionKey(), store.MetaDivergedKey(), store.MetaCopiesKey()}
	for _, key := range keys {
		must(t, s.st.DB.Set(key, []byte("{}"), pebble.Sync))
	}
	dir, to := filepath.Join(root, "backup"), filepath.Join(root, "restored")
	_, err := Take(ctx, s.st, vfs.Default, dir, "8")
	must(t, err)
	s.stop(t)
	_, _, err = Restore(ctx, vfs.Default, dir, to, store.Options{Version: "8"}, nil)
	must(t, err)
	st, err := store.OpenReadOnly(store.Options{Dir: to})
	must(t, err)
	defer st.Close()
	for _, key := range keys {
		if v, err := store.Get(st.DB, key); err != nil || v != nil {
			t.Errorf("key %q is %q in the restored server, %v", key, v, err)
		}
	}
}
