package store

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// Part of the reserve is a file whose blocks are the store's own. It counts as free, is
// given back bit by bit, and is whole again when there is space.
func TestPartOfTheReserveIsHeld(t *testing.T) {
	dir := t.TempDir()
	open := func() *Store {
		t.Helper()
		s, err := Open(Options{Dir: dir, Reserve: 64 << 20, MemtableSize: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	path, want := filepath.Join(dir, pebbleDir, spareFile), int64(4<<20) // as many as 4 memtables
	allocated := func() int64 {
		t.Helper()
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			t.Fatal(err)
		}
		return st.Blocks * 512
	}
	s := open()
	if n := allocated(); n < want {
		t.Fatalf("%d bytes are allocated, want %d", n, want)
	}
	held := &s.pebbleFS.spare
	if n := s.SpareBytes(); n != uint64(want) {
		t.Fatalf("%d are held, want %d", n, want)
	}
	s.space.stop() // which would fill it up
	for left := want - spareSlice; left >= 0; left -= spareSlice {
		if !held.give(10) || held.bytes() != uint64(left) || allocated() > left+spareSlice/2 {
			t.Fatalf("%d are held and %d allocated, want %d", held.bytes(), allocated(), left)
		}
	}
	if held.give(1) {
		t.Error("there was more than is held")
	}
	held.take(3 << 20) // half of it, in whole slices
	if n := held.bytes(); n != 3<<19 {
		t.Errorf("%d are held of 3 MiB free, want half", n)
	}
	// A copy of the file has holes.
	if err := os.Truncate(path, want); err != nil {
		t.Fatal(err)
	}
	s.watchSpace()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open()
	defer s.Close()
	if n := allocated(); n < want {
		t.Errorf("%d bytes are allocated after the next start, want %d", n, want)
	}
}

// fullFile takes what room there is, and then nothing.
type fullFile struct {
	vfs.File
	room    int
	written bytes.Buffer
}

func (f *fullFile) Write(b []byte) (int, error) {
	n := min(f.room, len(b))
	f.room -= n
	f.written.Write(b[:n])
	if n < len(b) {
		return n, &os.PathError{Op: "write", Path: "log", Err: syscall.ENOSPC}
	}
	return n, nil
}

// A write that finds no space goes on where it ended, with what is given back.
func TestWriteTakesFromWhatIsHeld(t *testing.T) {
	path := filepath.Join(t.TempDir(), spareFile)
	opts := Options{Reserve: 8 << 20}
	opts.setDefaults()
	held := &spare{}
	held.open(&opts, path)
	held.take(1 << 30)
	full := &fullFile{room: 3}
	tries := 0
	n := 0
	err := held.spared(7, func() error {
		tries++
		m, err := full.Write([]byte("written")[n:])
		n += m
		full.room += 2 // what comes free
		return err
	})
	if err != nil || full.written.String() != "written" || tries != 3 {
		t.Errorf("%q in %d tries, %v", full.written.String(), tries, err)
	}
	full = &fullFile{room: 3}
	if n, err := (sparedFile{full, held}).Write([]byte("written")); n != 3 || !noSpace(err) {
		t.Errorf("%d, %v", n, err)
	}
	if held.bytes() != 0 {
		t.Errorf("%d bytes were not tried", held.bytes())
	}
}

// Data that a copy has replaced is kept beside it, and holds no space.
func TestReplacedDataHoldsNothing(t *testing.T) {
	fs := vfs.NewMem()
	seedSource(t, fs, "new")
	old, err := Open(Options{Dir: "db", FS: fs})
	if err == nil {
		err = old.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	f, err := fs.Create(filepath.Join("db", pebbleDir, spareFile), vfs.WriteCategoryUnspecified)
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	s, err := BeginSeeding(fs, "db", true)
	if err != nil {
		t.Fatal(err)
	}
	fillSeeding(t, fs, s)
	aside, err := s.Switch()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fs.Stat(filepath.Join(aside, pebbleDir)); err != nil {
		t.Errorf("the old data is not there: %v", err)
	}
	if _, err := fs.Stat(filepath.Join(aside, pebbleDir, spareFile)); !os.IsNotExist(err) {
		t.Errorf("it still holds space: %v", err)
	}
}
