package backup

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"stack/roles/db/store"
)

// A flipped bit on the disk is found and its file named, in a stopped database, one that
// runs, and a backup.
func TestCheckFindsDamagedBlocks(t *testing.T) {
	fs := vfs.NewMem()
	s := start(t, fs, "db")
	s.fill(t, 200)
	must(t, s.st.DB.Flush())
	s.stop(t)
	if r, err := Directory(ctx, store.Options{Dir: "db", FS: fs}); err != nil || !r.OK() || r.Rows != 200 || r.Entries != 400 || r.Files == 0 {
		t.Fatalf("a sound database: %+v, %v", r, err)
	}
	names, err := fs.List("db/store")
	must(t, err)
	table, size := "", 0
	for _, name := range names {
		if strings.HasSuffix(name, ".sst") {
			if n := len(content(t, fs, "db/store/"+name)); n > size {
				table, size = name, n
			}
		}
	}
	was := content(t, fs, "db/store/"+table)
	put(t, fs, "db/store/"+table, flip(was, size/3))
	r, err := Directory(ctx, store.Options{Dir: "db", FS: fs})
	must(t, err)
	if r.OK() || !strings.Contains(r.Problems[0], table) {
		t.Errorf("a damaged block of %s: %q", table, r.Problems)
	}
	running := start(t, fs, "db")
	r, err = Running(ctx, running.st, running.db)
	must(t, err)
	if r.OK() || !strings.Contains(r.Problems[0], table) {
		t.Errorf("a damaged block of %s of a running database: %q", table, r.Problems)
	}
	// A backup would have the same damage, with a sum that fits it.
	if _, err := Take(ctx, running.st, fs, "copy", "8"); err == nil || !strings.Contains(err.Error(), table) {
		t.Errorf("a backup of a database with a damaged block of %s: %v", table, err)
	}
	if _, err := fs.Stat("copy"); err == nil {
		t.Error("a backup that was refused leaves files")
	}
	// One that somebody removed: the server still has it open, and would not start again.
	must(t, fs.Remove("db/store/"+table))
	r, err = Running(ctx, running.st, running.db)
	must(t, err)
	if r.OK() || !strings.Contains(r.Problems[0], table) || !strings.Contains(r.Problems[0], "not exist") {
		t.Errorf("%s is gone from a running database: %q", table, r.Problems)
	}
	running.stop(t)
}

// A file that was being written when the process was killed is no damage: the next start removes it. Nor is one that
// is being written.
func TestCheckLeavesOutUnfinishedFiles(t *testing.T) {
	fs := vfs.NewMem()
	s := start(t, fs, "db")
	s.fill(t, 200)
	must(t, s.st.DB.Flush())
	put(t, fs, "db/store/999999.sst", "half of a block")
	r, err := Running(ctx, s.st, s.db)
	must(t, err)
	if !r.OK() || r.Files == 0 {
		t.Errorf("running: %+v", r)
	}
	s.stop(t)
	if r, err := Directory(ctx, store.Options{Dir: "db", FS: fs}); err != nil || !r.OK() || r.Files == 0 {
		t.Errorf("stopped: %+v, %v", r, err)
	}
}

// What a check of a stopped database must not do is change it.
func TestCheckChangesNothing(t *testing.T) {
	fs := vfs.NewMem()
	s := start(t, fs, "db")
	s.fill(t, 20)
	s.stop(t)
	before := everything(t, fs, "db")
	if r, err := Directory(ctx, store.Options{Dir: "db", FS: fs}); err != nil || !r.OK() || r.Rows != 20 {
		t.Fatalf("%+v, %v", r, err)
	}
	if after := everything(t, fs, "db"); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	if _, err := Directory(ctx, store.Options{Dir: "nothing", FS: fs}); err == nil {
		t.Error("a directory that does not exist is checked")
	}
	if _, err := fs.Stat("nothing"); err == nil {
		t.Error("the check has made a directory")
	}
}

func everything(t testing.TB, fs vfs.FS, dir string) string {
	t.Helper()
	var out strings.Builder
	for _, d := range []string{dir, dir + "/store", dir + "/binlog"} {
		names, err := fs.List(d)
		must(t, err)
		slices.Sort(names)
		for _, name := range names {
			if name != "store" && name != "binlog" && name != "LOCK" {
				fmt.Fprintf(&out, "%s/%s %x\n", d, name, sha256.Sum256([]byte(content(t, fs, d+"/"+name))))
			}
		}
	}
	return out.String()
}
