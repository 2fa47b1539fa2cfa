package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// Neither a file that cannot be synced nor one that is closed counts as synced, and the error says which it was.
func TestFdatasyncFails(t *testing.T) {
	r, w, err := os.Pipe() // the kernel has nothing to sync here
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	conn, err := w.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	check := func(want error) {
		t.Helper()
		err := fdatasync("the/pipe", conn)
		var path *os.PathError
		if !errors.As(err, &path) || path.Op != "fdatasync" || path.Path != "the/pipe" || want != nil && !errors.Is(err, want) {
			t.Errorf("%v, wanted %v", err, want)
		}
	}
	check(syscall.EINVAL)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	check(nil) // whatever the os package says of a closed file
}

// A signal does not fail a sync, which would end the process.
func TestFdatasyncGoesOnAfterASignal(t *testing.T) {
	for _, last := range []syscall.Errno{0, syscall.EIO} {
		answers := []syscall.Errno{syscall.EINTR, syscall.EINTR, last}
		err := untilDone(func() syscall.Errno {
			next := answers[0]
			answers = answers[1:]
			return next
		})
		if len(answers) != 0 || (err == nil) != (last == 0) || last != 0 && !errors.Is(err, last) {
			t.Errorf("%v: got %v with %d calls left", last, err, len(answers))
		}
	}
}

// The call goes around what the runtime does for calls: stacks that grow and collections meanwhile must not harm it.
func TestFdatasyncBesideCollections(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	conn, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 25 {
				deep(i*20, func() {
					if _, err := f.WriteAt([]byte("x"), int64(i)); err != nil {
						t.Error(err)
					}
					if err := fdatasync(f.Name(), conn); err != nil {
						t.Error(err)
					}
				})
				if i%5 == 0 {
					runtime.GC()
				}
			}
		})
	}
	all.Wait()
}

// deep calls f from a stack that has been grown.
func deep(n int, f func()) byte {
	var frame [512]byte
	if n == 0 {
		f()
		return frame[0]
	}
	frame[n%512] = deep(n-1, f)
	return frame[n%256]
}

// The operating system's own files are synced aside; those of file systems that tests put in between by themselves.
func TestLogIsSyncedWhereItIs(t *testing.T) {
	injected := errors.New("injected")
	for _, fs := range []vfs.FS{
		vfs.Default,
		errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind == errorfs.OpFileSyncData {
				return injected
			}
			return nil
		})),
		vfs.NewCrashableMem(),
	} {
		dir := t.TempDir()
		if err := fs.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		p := &pebbleFS{FS: fs, dir: dir}
		log := p.PathJoin(dir, "000001.log")
		f, err := p.Create(log, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		_, own := fs.(*errorfs.FS)
		if err := f.SyncData(); own && !errors.Is(err, injected) || !own && err != nil {
			t.Errorf("%T: %v", fs, err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if fs != vfs.Default {
			continue
		}
		var said lastWords
		var l pebble.Logger = &said
		p.failed.Store(&l)
		if err := f.SyncData(); err == nil || !strings.Contains(err.Error(), log) || !strings.Contains(string(said), err.Error()) {
			t.Errorf("a closed log gives %v, and the process says %q", err, said)
		}
	}
}

// lastWords is a logger that keeps what the process would end with.
type lastWords string

func (*lastWords) Infof(string, ...any)  {}
func (*lastWords) Errorf(string, ...any) {}
func (l *lastWords) Fatalf(format string, args ...any) {
	*l = lastWords(fmt.Sprintf(format, args...))
}
