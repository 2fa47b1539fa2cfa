package store

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// A disk that fails under temporary storage fails what uses it, not the process.
func TestBrokenTemporaryStorage(t *testing.T) {
	var broken atomic.Value
	broken.Store("")
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		part := broken.Load().(string)
		if part != "" && strings.Contains(op.Path, "/tmp/") && strings.Contains(op.Path, part) && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			return errors.New("input/output error")
		}
		return nil
	}))
	s, err := Open(Options{Dir: "db", FS: fs, Fatal: func(reason string) { t.Errorf("the process ends: %s", reason) }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	scratch, err := s.NewScratch()
	if err != nil {
		t.Fatal(err)
	}
	defer scratch.Close()
	fill := func(n uint64) error {
		return scratch.Add(func(w *RunWriter) error { return w.Set([]byte(versioned(fmt.Sprint("key", n, "."), n)), []byte("v")) })
	}
	if err := fill(1); err != nil {
		t.Fatal(err)
	}
	broken.Store("run")
	if err := fill(100); err == nil {
		t.Error("a run that cannot be written was taken")
	}
	broken.Store("")
	if err := fill(101); err != nil {
		t.Errorf("after the disk is well again: %v", err)
	}
	for n, want := range map[uint64]bool{1: true, 100: false, 101: true} {
		there := false
		err := scratch.Find(fmt.Appendf(nil, "key%d.", n), func(_, _ []byte) (bool, error) { there = true; return true, nil })
		if there != want || err != nil {
			t.Errorf("key %d is there: %v (%v)", n, there, err)
		}
	}
}

// A block that could not be read is read again, and is not taken for the one before it.
func TestScratchReadsAgain(t *testing.T) {
	var broken atomic.Bool
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if broken.Load() && strings.HasSuffix(op.Path, ".run") && op.Kind.ReadOrWrite() == errorfs.OpIsRead {
			return errors.New("input/output error")
		}
		return nil
	}))
	s, err := Open(Options{Dir: "db", FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	scratch, err := s.NewScratch()
	if err != nil {
		t.Fatal(err)
	}
	defer scratch.Close()
	err = scratch.Add(func(w *RunWriter) error {
		for _, key := range []string{"a1.", "a5.", "b1.", "b3.", "b5."} {
			if key == "b1." {
				if err := w.Cut(); err != nil {
					return err
				}
			}
			if err := w.Set([]byte(versioned(key, 1)), []byte("v")); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	find := func(key string) (there bool, err error) {
		err = scratch.Find([]byte(key), func(_, _ []byte) (bool, error) { there = true; return true, nil })
		return there, err
	}
	if there, err := find("a1."); !there || err != nil {
		t.Fatalf("a1 is there: %v (%v)", there, err)
	}
	broken.Store(true)
	if _, err := find("b3."); err == nil {
		t.Fatal("a block that cannot be read was read")
	}
	broken.Store(false)
	if there, err := find("b3."); !there || err != nil {
		t.Errorf("b3 is there: %v (%v)", there, err)
	}
}

// Runs that cannot be merged stay, all of them: what was to be added fails, is not there, and comes
// in when the disk is well again.
func TestScratchMergesAgain(t *testing.T) {
	merged := fmt.Sprintf("/%d.run", mergeAtOnce+1)
	for name, fails := range map[string]func(op errorfs.Op) bool{
		"read":  func(op errorfs.Op) bool { return op.Kind == errorfs.OpFileReadAt && strings.HasSuffix(op.Path, ".run") },
		"write": func(op errorfs.Op) bool { return op.Kind == errorfs.OpFileWrite && strings.HasSuffix(op.Path, merged) },
	} {
		t.Run(name, func(t *testing.T) {
			var broken atomic.Bool
			fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
				if broken.Load() && fails(op) {
					return errors.New("input/output error")
				}
				return nil
			}))
			s, err := Open(Options{Dir: "db", FS: fs})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			scratch, err := s.NewScratch()
			if err != nil {
				t.Fatal(err)
			}
			defer scratch.Close()
			var want []string
			add := func(n uint64) error {
				key := versioned(fmt.Sprintf("key%04d.", n), n)
				err := scratch.Add(func(w *RunWriter) error { return w.Set([]byte(key), nil) })
				if err == nil {
					want = append(want, key)
				}
				return err
			}
			broken.Store(true)
			var n uint64
			for n = 1; add(n) == nil; n++ {
				if n > 2*mergeAtOnce {
					t.Fatal("it was never merged")
				}
			}
			broken.Store(false)
			whole := func() {
				it := scratch.NewIter(nil, nil)
				walk(t, it, it.First(), it.Next, want, map[string]string{})
				if err := it.Close(); err != nil {
					t.Error(err)
				}
			}
			whole()
			if err := add(n); err != nil {
				t.Errorf("after the disk is well again: %v", err)
			}
			if len(scratch.runs) > 2 {
				t.Errorf("%d runs are not merged", len(scratch.runs))
			}
			whole()
		})
	}
}

// A filter that could not be filled is filled again: until then it would deny what is there.
func TestScratchFillsFiltersAgain(t *testing.T) {
	var broken atomic.Bool
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if broken.Load() && op.Kind == errorfs.OpFileReadAt && strings.HasSuffix(op.Path, ".run") {
			return errors.New("input/output error")
		}
		return nil
	}))
	s, err := Open(Options{Dir: "db", FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	scratch, err := s.NewScratch()
	if err != nil {
		t.Fatal(err)
	}
	defer scratch.Close()
	if err := scratch.Add(func(w *RunWriter) error { return w.Set([]byte(versioned("key.", 1)), nil) }); err != nil {
		t.Fatal(err)
	}
	find := func() (there bool, err error) {
		err = scratch.Find([]byte("key."), func(_, _ []byte) (bool, error) { there = true; return true, nil })
		return there, err
	}
	broken.Store(true)
	if _, err := find(); err == nil {
		t.Fatal("a run that cannot be read was read")
	}
	broken.Store(false)
	if there, err := find(); !there || err != nil {
		t.Errorf("the key is there: %v (%v)", there, err)
	}
}
