package store

import (
	"errors"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// seedSource makes a store with one key and a checkpoint of it, in memory.
func seedSource(t *testing.T, fs vfs.FS, value string) (server string) {
	t.Helper()
	s, err := Open(Options{Dir: "from", FS: fs})
	if err == nil {
		err = errors.Join(s.DB.Set([]byte("k"), []byte(value), pebble.Sync), fs.MkdirAll("taken", 0o700))
	}
	if err == nil {
		err = errors.Join(s.Checkpoint(t.Context(), "taken"), s.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	return s.Server
}

// fillSeeding copies the checkpoint into a seeding and finishes that.
func fillSeeding(t *testing.T, fs vfs.FS, s *Seeding) {
	t.Helper()
	names, err := CopyFiles(fs, "taken")
	for _, name := range names {
		err = errors.Join(err, vfs.Copy(fs, filepath.Join("taken", filepath.FromSlash(name)), s.Path(name)))
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Finish(Options{}, nil); err != nil {
		t.Fatal(err)
	}
}

// valueIn opens a data directory and reads the key.
func valueIn(fs vfs.FS, dir string) (value, server string, err error) {
	s, err := Open(Options{Dir: dir, FS: fs})
	if err != nil {
		return "", "", err
	}
	b, err := Get(s.DB, []byte("k"))
	return string(b), s.Server, errors.Join(err, s.Close())
}

// A switch fails, or the machine stops, at every single step of it. Until it is begun the old
// data is whole; from then on nothing opens the directory; another call ends it. Then the
// copy is in place and the old data is beside it.
func TestSeedingSwitchSurvivesEveryStep(t *testing.T) {
	for _, had := range []bool{false, true} {
		finished := false
		for step := 0; !finished; step++ {
			fs := vfs.NewCrashableMem()
			from := seedSource(t, fs, "new")
			if had {
				s, err := Open(Options{Dir: "db", FS: fs})
				if err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(s.DB.Set([]byte("k"), []byte("old"), pebble.Sync), s.Close()); err != nil {
					t.Fatal(err)
				}
			}
			n := 0
			armed := false
			failing := errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
				if armed && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
					if n++; n > step {
						return errors.New("the disk has gone")
					}
				}
				return nil
			}))
			s, err := BeginSeeding(failing, "db", had)
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := valueIn(fs, "db"); err == nil {
				t.Fatal("a directory that is being seeded is in use, and was opened")
			}
			fillSeeding(t, failing, s)
			armed = true
			if _, err = s.Switch(); err == nil {
				finished = true
			} else if !strings.Contains(err.Error(), "run stack db clone again") {
				t.Fatal(err)
			}
			after := fs.CrashClone(vfs.CrashCloneCfg{}) // what was not synced is lost
			if had && step == 0 {
				if v, _, err := valueIn(fs.CrashClone(vfs.CrashCloneCfg{}), "db"); err != nil || v != "old" {
					t.Fatalf("before the first step the old data is %q, %v", v, err)
				}
			}
			again, err := BeginSeeding(after, "db", had)
			switch {
			case finished:
				if err == nil && !had {
					t.Fatalf("step %d: a directory with data was taken", step)
				}
				if err == nil {
					err = again.Close()
				}
				if had && err != nil {
					t.Fatal(err)
				}
			case err != nil:
				t.Fatalf("had %v, step %d: %v", had, step, err)
			default:
				if !again.Whole() {
					t.Fatalf("had %v, step %d: the copy is not whole any more", had, step)
				}
				aside, err := again.Switch()
				if err = errors.Join(err, again.Close()); err != nil || (aside != "") != had {
					t.Fatalf("had %v, step %d: again %q, %v", had, step, aside, err)
				}
			}
			v, server, err := valueIn(after, "db")
			if err != nil || v != "new" || server == from {
				t.Fatalf("had %v, step %d: the directory holds %q of server %s, %v", had, step, v, server, err)
			}
			if had {
				aside, _, err := Replaced(after, "db")
				if err != nil || len(aside) != 1 {
					t.Fatalf("step %d: the old data is in %v, %v", step, aside, err)
				}
				if v, _, err := valueIn(after, aside[0]); err != nil || v != "old" {
					t.Fatalf("step %d: the old data is %q, %v", step, v, err)
				}
			}
		}
	}
}

// The process is killed, or the machine stops, at every step of the beginning of a clone into an empty directory: another
// call begins there.
func TestSeedingBeginSurvivesEveryStep(t *testing.T) {
	for _, replace := range []bool{false, true} {
		for _, lost := range []bool{false, true} { // what was not synced
			begun := false
			for step := 0; !begun; step++ {
				fs := vfs.NewCrashableMem()
				n := 0
				failing := errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
					if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
						if n++; n > step {
							return errors.New("the disk has gone")
						}
					}
					return nil
				}))
				s, err := BeginSeeding(failing, "db", replace)
				if begun = err == nil; begun {
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
				}
				after := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 2))})
				if lost {
					after = fs.CrashClone(vfs.CrashCloneCfg{})
				}
				again, err := BeginSeeding(after, "db", replace)
				if err != nil {
					t.Fatalf("replace %v, lost %v, step %d: %v", replace, lost, step, err)
				}
				if again.Whole() {
					t.Fatalf("replace %v, lost %v, step %d: nothing is taken for a copy", replace, lost, step)
				}
				if err := again.Close(); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	// A restore may begin there too.
	fs := vfs.NewMem()
	if err := fs.MkdirAll("db", 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := fs.Create(filepath.Join("db", restoreNew), vfs.WriteCategoryUnspecified)
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	r, err := BeginRestore(fs, "db")
	if err == nil {
		err = r.Abort()
	}
	if err != nil {
		t.Error(err)
	}
}

func TestSeedingRefuses(t *testing.T) {
	fs := vfs.NewMem()
	if err := errors.Join(fs.MkdirAll("foreign/photos", 0o700), fs.MkdirAll("restoring", 0o700), fs.MkdirAll("given-up/replaced-2026", 0o700)); err != nil {
		t.Fatal(err)
	}
	r, err := BeginRestore(fs, "restoring")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Abort(); err != nil {
		t.Fatal(err)
	}
	s, err := BeginSeeding(fs, "seeding", false)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for want, begin := range map[string]func() error{
		"is not empty (photos)":                func() error { _, err := BeginSeeding(fs, "foreign", false); return err },
		"something else than a database":       func() error { _, err := BeginSeeding(fs, "foreign", true); return err },
		"run stack db restore again":           func() error { _, err := BeginSeeding(fs, "restoring", false); return err },
		"a clone into data directory seeding ": func() error { _, err := BeginRestore(fs, "seeding"); return err },
		"run stack db clone again":             func() error { _, err := Open(Options{Dir: "seeding", FS: fs}); return err },
		"is one that was put aside":            func() error { _, err := Open(Options{Dir: "given-up", FS: fs}); return err },
	} {
		if err := begin(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
	}
}
