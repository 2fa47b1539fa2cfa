package seed

import (
	ctls "crypto/tls"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

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

// arrived is a file system with a server in "db", and beside its data all files of a copy of another one.
func arrived(t *testing.T) (fs *vfs.MemFS, st *store.Store) {
	t.Helper()
	fs = vfs.NewCrashableMem()
	donor := openMem(t, fs, "donor", "new")
	must(t, fs.MkdirAll("taken", 0o700))
	noise := make([]byte, 4<<10) // a block: to look for the bit that was flipped takes the square of it
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	for i := range byte(16) {
		must(t, donor.DB.Set(append([]byte("\x7fnoise"), i), noise, pebble.Sync))
	}
	must(t, donor.DB.Flush()) // into a table file
	must(t, donor.Checkpoint(t.Context(), "taken"))
	must(t, donor.Close())
	st = openMem(t, fs, "db", "old")
	s, err := st.BeginSeeding()
	must(t, err)
	names, err := store.CopyFiles(fs, "taken")
	must(t, err)
	for _, name := range names {
		must(t, vfs.Copy(fs, filepath.Join("taken", filepath.FromSlash(name)), s.Path(name)))
	}
	for _, dir := range []string{"store", "."} {
		must(t, syncDir(fs, s.Path(dir)))
	}
	must(t, writeState(fs, s.Path(stateFile), ofDonor))
	if ready, _, _, err := Ready(fs, "db"); err != nil || ready {
		t.Fatalf("a copy that is not whole is ready: %v", err)
	}
	must(t, s.Close())
	return fs, st
}

// ofDonor is what is known of a copy when its files are here.
var ofDonor = state{ID: strings.Repeat("a", 32), From: "donor:3306", Files: []File{{Name: "FORMAT"}}, Site: true, Finishing: true}

// finishing goes on with a copy whose files are here.
func finishing(t *testing.T, s *store.Seeding) error {
	t.Helper()
	r := &recipient{seeding: s, fs: s.FS()}
	r.opts.setDefaults()
	var err error
	r.state, err = readState(s.FS(), s.Path(stateFile))
	must(t, err)
	if !r.state.Finishing {
		t.Fatal("the copy is forgotten, and would be fetched anew")
	}
	return errors.Join(r.finish(t.Context()), s.Close())
}

// fetched is what is arrived, with a whole copy, while the server does not run.
func fetched(t *testing.T) *vfs.MemFS {
	t.Helper()
	fs, st := arrived(t)
	s, err := st.BeginSeeding()
	must(t, err)
	must(t, finishing(t, s))
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

// The machine stops at every step of the work on a copy whose files are all here. Another attempt goes on with it.
func TestFinishSurvivesEveryStep(t *testing.T) {
	for step := int64(1); ; step++ {
		mem, old := arrived(t)
		must(t, old.Close())
		fs := crashfs.Of(mem)
		var n atomic.Int64
		var cut atomic.Pointer[vfs.MemFS]
		hooked := errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && n.Add(1) == step {
				cut.Store(fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: int(step%3) * 50, RNG: rand.New(rand.NewPCG(uint64(step), 5))}))
			}
			return nil
		}))
		s, err := store.BeginSeeding(hooked, "db", true)
		must(t, err)
		must(t, finishing(t, s))
		after := cut.Load()
		if after == nil {
			t.Logf("%d steps", step-1)
			return
		}
		if s, err = store.BeginSeeding(after, "db", true); err != nil {
			t.Fatalf("step %d: %v", step, err)
		}
		if s.Whole() {
			must(t, s.Close())
		} else if err := finishing(t, s); err != nil {
			t.Fatalf("step %d: again: %v", step, err)
		}
		st, err := store.Open(store.Options{Dir: store.SeedingDir("db"), FS: after})
		must(t, err)
		if value, err := store.Get(st.DB, mark); err != nil || string(value) != "new" {
			t.Fatalf("step %d: the copy has %q, %v", step, value, err)
		}
		must(t, st.Close())
	}
}

// A copy whose files are here stays where there is no room to go on with it, and goes where one of them is damaged.
func TestOnlyADamagedCopyIsForgotten(t *testing.T) {
	t.Run("no room", func(t *testing.T) {
		for name, c := range map[string]struct {
			file string
			why  error
		}{"for a file": {"FORMAT.new", syscall.ENOSPC}, "to open one more": {".sst", syscall.EMFILE}} {
			mem, st := arrived(t)
			must(t, st.Close())
			full := true
			s, err := store.BeginSeeding(errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
				if full && (op.Kind == errorfs.OpCreate || op.Kind == errorfs.OpOpen) && strings.HasSuffix(op.Path, c.file) {
					return c.why
				}
				return nil
			})), "db", true)
			must(t, err)
			if err := finishing(t, s); !errors.Is(err, c.why) || strings.Contains(err.Error(), "the copy is damaged") {
				t.Errorf("%s: %v", name, err)
			}
			full = false
			s, err = store.BeginSeeding(mem, "db", true)
			must(t, err)
			if err := finishing(t, s); err != nil {
				t.Errorf("%s: with room again: %v", name, err)
			}
		}
	})
	t.Run("not even to begin", func(t *testing.T) {
		_, st := arrived(t)
		s, err := st.BeginSeeding()
		must(t, err)
		r := &recipient{seeding: s, fs: s.FS(), state: ofDonor}
		r.opts.setDefaults()
		r.opts.Room = func(int64) error { return store.ErrDiskFull }
		if err := r.finish(t.Context()); !errors.Is(err, store.ErrDiskFull) {
			t.Error(err)
		}
		if s, err := readState(s.FS(), s.Path(stateFile)); err != nil || !s.Finishing {
			t.Errorf("the copy is forgotten: %v", err)
		}
		must(t, errors.Join(s.Close(), st.Close()))
	})
	t.Run("damaged", func(t *testing.T) {
		fs, st := arrived(t)
		must(t, st.Close())
		s, err := store.BeginSeeding(fs, "db", true)
		must(t, err)
		names, err := fs.List(s.Path("store"))
		must(t, err)
		damaged := false
		for _, name := range names {
			if strings.HasSuffix(name, ".sst") {
				damage(t, fs, s.Path("store/"+name))
				damaged = true
			}
		}
		if !damaged {
			t.Fatal("the copy has no table file")
		}
		path := s.Path(stateFile)
		if err := finishing(t, s); err == nil || !strings.Contains(err.Error(), "the copy is damaged") {
			t.Errorf("a damaged block: %v", err)
		}
		if left, err := readState(fs, path); err != nil || left.ID != "" {
			t.Errorf("it is gone on with: %+v, %v", left, err)
		}
	})
}

// damage flips a bit in the last part of a table file, where there is noise alone.
func damage(t *testing.T, fs vfs.FS, path string) {
	t.Helper()
	f, err := fs.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	must(t, err)
	info, err := f.Stat()
	must(t, err)
	b := make([]byte, 1)
	_, err = f.ReadAt(b, info.Size()*3/4)
	must(t, err)
	b[0] ^= 1
	_, err = f.WriteAt(b, info.Size()*3/4)
	must(t, errors.Join(err, f.Close()))
}

// A clone goes on with what was fetched from the same address, whole or not, and with nothing else.
func TestCloneGoesOnWithItsOwn(t *testing.T) {
	const nobody = "127.0.0.1:1"
	for name, c := range map[string]struct {
		state state
		whole bool
		none  bool // there is no state
		done  bool // with what is here
	}{
		"its own":                 {state: state{From: nobody, Finishing: true}, done: true},
		"its own, whole":          {state: state{From: nobody, Finishing: true}, whole: true, done: true},
		"of another":              {state: state{From: "10.0.0.5:3306", Finishing: true}},
		"of another, whole":       {state: state{From: "10.0.0.5:3306", Finishing: true}, whole: true},
		"the server's own":        {state: state{From: nobody, Site: true, Finishing: true}},
		"the server's own, whole": {state: state{From: nobody, Site: true, Finishing: true}, whole: true},
		"being removed":           {whole: true, none: true},
	} {
		t.Run(name, func(t *testing.T) {
			fs, st := arrived(t)
			must(t, st.Close())
			if c.whole {
				s, err := store.BeginSeeding(fs, "db", true)
				must(t, err)
				must(t, finishing(t, s))
			}
			path := filepath.Join(store.SeedingDir("db"), stateFile)
			c.state.ID, c.state.Files, c.state.Begun = ofDonor.ID, ofDonor.Files, time.Unix(1e9, 0)
			must(t, writeState(fs, path, c.state))
			if c.none {
				must(t, fs.Remove(path))
			}
			r, err := Clone(t.Context(), Options{Address: nobody, Dir: "db", Replace: true, TLS: &ctls.Config{}, Store: store.Options{FS: fs}})
			if (err == nil) != c.done {
				t.Fatalf("cloned: %v", err)
			}
			if c.done && !r.Begun.Equal(c.state.Begun) {
				t.Errorf("the copy is said to be of %s", r.Begun)
			}
			if !c.done && !strings.Contains(err.Error(), "fetch the database from "+nobody) {
				t.Error(err)
			}
			if !c.done && store.WholeSeeding(fs, "db") {
				t.Error("the other copy is still there")
			}
			want := "old"
			if c.done {
				want = "new"
			}
			st = openMem(t, fs, "db", "")
			if value, err := store.Get(st.DB, mark); err != nil || string(value) != want {
				t.Errorf("the data is %q, %v, want %q", value, err, want)
			}
			must(t, st.Close())
		})
	}
}

// A copy of another server that is on its way in is brought there, and is not said to be the one that was asked for.
func TestCloneEndsAnotherSwitch(t *testing.T) {
	fs := fetched(t)
	failing := errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpRename && op.Path == filepath.Join(store.SeedingDir("db"), "store") {
			return errors.New("the disk has gone")
		}
		return nil
	}))
	if _, err := Install(failing, "db", store.Options{}, carried); err == nil {
		t.Fatal("the switch was not interrupted")
	}
	_, err := Clone(t.Context(), Options{Address: "127.0.0.1:1", Dir: "db", Replace: true, TLS: &ctls.Config{}, Store: store.Options{FS: fs}})
	if err == nil || !strings.Contains(err.Error(), "a copy of the data of donor:3306 was being put into data directory db, and now is there") {
		t.Errorf("cloned: %v", err)
	}
	st := openMem(t, fs, "db", "")
	if value, err := store.Get(st.DB, mark); err != nil || string(value) != "new" {
		t.Errorf("the data is %q, %v", value, err)
	}
	must(t, st.Close())
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
