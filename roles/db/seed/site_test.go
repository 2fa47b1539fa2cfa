package seed

import (
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"stack/roles/db/store"
	"stack/roles/db/store/crashfs"
)

// mark is a key of the test in every store.
var mark = []byte("\x7fmark")

func openMem(t *testing.T, fs vfs.FS, dir, value string) *store.Store {
	t.Helper()
	st, err := store.Open(store.Options{Dir: dir, FS: fs})
	must(t, err)
	if value != "" {
		must(t, st.DB.Set(mark, []byte(value), pebble.Sync))
	}
	return st
}

// fetched is a file system with a server in "db" that has a whole copy of another one beside its data.
func fetched(t *testing.T) *vfs.MemFS {
	t.Helper()
	fs := vfs.NewCrashableMem()
	donor := openMem(t, fs, "donor", "new")
	must(t, fs.MkdirAll("taken", 0o700))
	must(t, donor.Checkpoint(t.Context(), "taken"))
	must(t, donor.Close())
	st := openMem(t, fs, "db", "old")
	s, err := st.BeginSeeding()
	must(t, err)
	names, err := store.CopyFiles(fs, "taken")
	must(t, err)
	for _, name := range names {
		must(t, vfs.Copy(fs, filepath.Join("taken", filepath.FromSlash(name)), s.Path(name)))
	}
	r := &recipient{seeding: s, fs: s.FS(), opts: Options{Progress: func(Progress) {}}, state: state{ID: strings.Repeat("a", 32), From: "donor", Files: []File{{Name: "FORMAT"}}, Site: true}}
	if ready, _, _, err := Ready(fs, "db"); err != nil || ready {
		t.Fatalf("a copy that is not whole is ready: %v", err)
	}
	must(t, r.finish(t.Context()))
	must(t, s.Close())
	must(t, st.DB.Set(mark, []byte("older"), pebble.Sync)) // the server goes on meanwhile
	must(t, st.Close())
	return fs
}

// carried writes what must not be lost of the old content.
func carried(st *store.Store) error {
	return st.DB.Set(store.MetaEpochKey(), store.AppendU64(nil, 77), pebble.Sync)
}

// The machine stops at every step of putting a copy in place. The start that follows comes to its end: the copy is there
// with what it must carry, and the old data is whole beside it.
func TestInstallSurvivesEveryStep(t *testing.T) {
	for step := int64(1); ; step++ {
		fs := crashfs.Of(fetched(t))
		var n atomic.Int64
		var cut atomic.Pointer[vfs.MemFS]
		hooked := errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && n.Add(1) == step {
				cut.Store(fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: int(step%3) * 50, RNG: rand.New(rand.NewPCG(uint64(step), 5))}))
			}
			return nil
		}))
		_, err := Install(hooked, "db", store.Options{}, carried)
		must(t, err)
		after := cut.Load()
		if after == nil {
			t.Logf("%d steps", step-1)
			return
		}
		ready, _, _, err := Ready(after, "db")
		must(t, err)
		if ready {
			if _, err := Install(after, "db", store.Options{}, carried); err != nil {
				t.Fatalf("step %d: again: %v", step, err)
			}
		}
		if ready, _, _, err := Ready(after, "db"); err != nil || ready {
			t.Fatalf("step %d: it is to be done once more: %v", step, err)
		}
		st := openMem(t, after, "db", "")
		value, err := store.Get(st.DB, mark)
		must(t, err)
		epoch, err := store.Get(st.DB, store.MetaEpochKey())
		must(t, err)
		if n, ok := store.U64(epoch); string(value) != "new" || !ok || n != 77 {
			t.Fatalf("step %d: the data is %q in epoch %d", step, value, n)
		}
		must(t, st.Close())
		all, automatic, err := store.Replaced(after, "db")
		must(t, err)
		if len(all) != 1 || len(automatic) != 1 {
			t.Fatalf("step %d: kept are %v, %v", step, all, automatic)
		}
		old := openMem(t, after, automatic[0], "")
		if value, err := store.Get(old.DB, mark); err != nil || string(value) != "older" {
			t.Fatalf("step %d: the old data is %q, %v", step, value, err)
		}
		must(t, old.Close())
	}
}

// A copy that somebody has begun by hand is not put in place by a start.
func TestOnlyItsOwnCopyIsReady(t *testing.T) {
	fs := fetched(t)
	if ready, begun, _, err := Ready(fs, "db"); err != nil || !ready || begun {
		t.Errorf("ready %v, begun %v, %v", ready, begun, err)
	}
	path := filepath.Join(store.SeedingDir("db"), stateFile)
	s, err := readState(fs, path)
	must(t, err)
	s.Site = false
	must(t, writeState(fs, path, s))
	if ready, _, _, err := Ready(fs, "db"); err != nil || ready {
		t.Errorf("a clone by hand is ready: %v", err)
	}
}

// The machine stops at every step of the removal of a copy: no part of one is taken for a whole one.
func TestRemoveSurvivesEveryStep(t *testing.T) {
	for step := int64(1); ; step++ {
		fs := crashfs.Of(fetched(t))
		var n atomic.Int64
		var cut atomic.Pointer[vfs.MemFS]
		hooked := errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && n.Add(1) == step {
				cut.Store(fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: int(step%3) * 50, RNG: rand.New(rand.NewPCG(uint64(step), 5))}))
			}
			return nil
		}))
		must(t, Remove(hooked, "db"))
		after := cut.Load()
		if after == nil {
			t.Logf("%d steps", step-1)
			return
		}
		if ready, _, _, err := Ready(after, "db"); err != nil {
			t.Fatal(err)
		} else if ready {
			st, err := store.Open(store.Options{Dir: store.SeedingDir("db"), FS: after})
			if err != nil {
				t.Fatalf("step %d: what is left is taken for a copy: %v", step, err)
			}
			must(t, st.Close())
		}
		must(t, Remove(after, "db"))
	}
}
