package backup

import (
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"stack/roles/db/store"
	"stack/roles/db/txn"
)

// waitsIn reports whether a goroutine waits for a lock in a function.
func waitsIn(function string) bool {
	stacks := make([]byte, 4<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	return slices.ContainsFunc(strings.Split(string(stacks), "\n\n"), func(g string) bool {
		return strings.Contains(g, "RWMutex") && strings.Contains(g, function)
	})
}

// What table files bring into the database in the middle of a backup is in it together with the commits that build on
// them, or none of it is. Other commits do not wait for the backup.
func TestBackupIsOfOneMoment(t *testing.T) {
	const (
		rows  = 60
		small = "UPDATE shop.item SET n = 99 WHERE id = 1"
		large = "INSERT INTO shop.item (n, note) SELECT n, REPEAT('y', 5000) FROM shop.item WHERE id <= 60"
	)
	for name, c := range map[string]struct {
		before string   // the backup
		during string   // committed first while it is taken
		text   string   // run then
		rows   []uint64 // that the backup may have; the last one is committed behind text
	}{
		"a rewritten table": {"", small, "ALTER TABLE shop.item MODIFY n BIGINT", []uint64{rows, rows + 1}},
		"a new index":       {"", small, "ALTER TABLE shop.item ADD INDEX both_of (n, code)", []uint64{rows, rows + 1}},
		// Behind another one, which has put the log into files: else that comes first, by a commit.
		"a large transaction": {large, "", large, []uint64{2 * rows, 3 * rows, 3*rows + 1}},
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			ended := make(chan error, 1)
			var s *server
			var once sync.Once
			var committed time.Time
			during := func() {
				if c.during != "" {
					must(t, s.e.Do(ctx, c.during))
				}
				committed = time.Now()
				go func() { ended <- s.e.Do(ctx, c.text, "INSERT INTO shop.pair VALUES (-1, -1)") }()
				for end := time.Now().Add(time.Minute); len(ended) == 0 && !waitsIn("store.(*Tables).Ingest"); time.Sleep(time.Millisecond) {
					if time.Now().After(end) {
						t.Error("the statement neither ends nor waits for the backup")
						return
					}
				}
			}
			armed := false
			s = startWith(t, errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
				if op.Kind == errorfs.OpLink && filepath.Dir(op.Path) == filepath.Join("db", "store") && armed {
					once.Do(during)
				}
				return nil
			})), "db", txn.Options{WriteSetLimit: 64 << 10})
			defer s.stop(t)
			s.fill(t, rows)
			if c.before != "" {
				must(t, s.e.Do(ctx, c.before))
			}
			must(t, s.db.Binlog().WaitSealed(ctx))
			must(t, s.st.DB.Flush()) // a table to link, and no commit in memory that table files would overlap
			armed = true
			m, err := Take(ctx, s.st, fs, "good", "8")
			must(t, err)
			once.Do(func() { t.Error("no table was linked: the test sees nothing") })
			must(t, <-ended)
			r, err := Backup(ctx, store.Options{Dir: "good", FS: fs})
			must(t, err)
			if !r.OK() || !slices.Contains(c.rows, r.Rows) {
				t.Errorf("the backup has %d rows, want one of %d; it has the problems %q", r.Rows, c.rows, r.Problems)
			}
			if m.Made.Before(committed) {
				t.Errorf("it was made at %s, and may have what was committed until %s", m.Made, committed)
			}
			if r, want := s.sound(t), c.rows[len(c.rows)-1]; r.Rows != want {
				t.Errorf("the database has %d rows, want %d", r.Rows, want)
			}
		})
	}
}

// A backup to another file system is copied there, and leaves nothing in the data directory.
func TestBackupToAnotherFileSystem(t *testing.T) {
	fs := vfs.NewMem()
	s := start(t, fs, "db")
	defer s.stop(t)
	s.fill(t, 60)
	must(t, s.st.DB.Flush())
	links := 0
	far := errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpLink {
			links++
			return errorfs.ErrInjected
		}
		return nil
	}))
	m, err := Take(ctx, s.st, far, "far", "8")
	must(t, err)
	if links != len(m.Files) {
		t.Errorf("%d of %d files were tried to be linked", links, len(m.Files))
	}
	if r, err := Backup(ctx, store.Options{Dir: "far", FS: fs}); err != nil || !r.OK() || r.Rows != 60 {
		t.Errorf("the backup: %+v, %v", r, err)
	}
	if left, err := fs.List(filepath.Join("db", "tmp")); err != nil || len(left) != 0 {
		t.Errorf("in the data directory there is %v, %v", left, err)
	}
}
