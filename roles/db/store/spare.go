package store

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// spareFile, beside Pebble's files, takes space that nobody else can take. It is no part of
// the data, of copies or backups.
const spareFile = "SPARE"

const (
	// spareSlice is how much is given back at least, bytes: small, since others on the file
	// system may take what is left of it.
	spareSlice = 256 << 10
	// spacePause is how long background work waits that has found no space. Pebble begins it
	// again at once.
	spacePause = time.Second
)

// spare is the part of the reserve that is held in a file whose blocks are allocated. The
// rest of the reserve is only hoped for: another program may fill the file system to the last
// byte. Then a write that the process cannot do without takes from here: the write-ahead log,
// the manifest, what a start writes.
type spare struct {
	path string
	log  *slog.Logger

	mu   sync.Mutex
	want int64 // bytes; 0: none is held
	held int64
}

// spareShare is the part of Options.Reserve that is held in a file, and what the file may be
// at most, in memtables: a start may have to write as many.
const (
	spareShare     = 8
	spareMemtables = 4
)

// spareSize is how many bytes are held.
func (o *Options) spareSize() uint64 {
	return min(o.Reserve/spareShare, spareMemtables*o.MemtableSize)
}

// open finds what is held already. Only the operating system's file system can hold any.
func (s *spare) open(opts *Options, path string) {
	if !onDisk(opts.FS) {
		return
	}
	s.path, s.log, s.want = path, opts.Log, int64(opts.spareSize())
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return
	}
	// A copy of the directory may have holes.
	s.held = min(st.Size, st.Blocks*512, s.want)
	if st.Size != s.held && os.Truncate(path, s.held) != nil {
		s.held = 0
	}
}

// SpareBytes is how many bytes of the free ones are held in a file, so that the store can go
// on where nothing else is free.
func (s *Store) SpareBytes() uint64 { return s.pebbleFS.spare.bytes() }

// bytes is how much is held.
func (s *spare) bytes() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return uint64(s.held)
}

// give gives back enough for n bytes and reports whether there was any left.
func (s *spare) give(n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held == 0 {
		return false
	}
	if s.held == s.want {
		s.log.Error("the file system is full: the store goes on with the space that it has kept; free some at once",
			"file", s.path, "bytes", s.held)
	}
	left := max(0, s.held-max(spareSlice, 2*int64(n)))
	if err := os.Truncate(s.path, left); err != nil {
		s.log.Error("the kept space cannot be used: " + err.Error())
		s.held = 0
		return false
	}
	s.held = left
	return true
}

// take allocates what is missing, but half of what is free at most.
func (s *spare) take(available uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(s.want-s.held, int64(min(available/2, 1<<40)))
	if n < s.want-s.held {
		n -= n % spareSlice
	}
	if n <= 0 {
		return
	}
	err := s.grow(s.held + n)
	if err == nil {
		s.held += n
		return
	}
	if !noSpace(err) {
		s.want, s.held = 0, 0
		err = errors.Join(err, os.Remove(s.path))
		s.log.Warn("no space can be kept for a full disk, on which the server may then end: " + err.Error())
	}
}

func (s *spare) grow(size int64) error {
	f, err := os.OpenFile(s.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	for err = unix.EINTR; err == unix.EINTR; { // a signal comes at any time
		err = unix.Fallocate(int(f.Fd()), 0, s.held, size-s.held)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("allocate %d bytes for %s: %w", size, s.path, err), f.Truncate(s.held))
	}
	return nil
}

func noSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// spared repeats what finds no space as long as some is given back.
func (s *spare) spared(size int, try func() error) error {
	for {
		if err := try(); !noSpace(err) || !s.give(size) {
			return err
		}
	}
}

// sparedFile is a file of the store that takes from the spare where the disk is full.
type sparedFile struct {
	vfs.File
	spare *spare
}

func (f sparedFile) Write(b []byte) (n int, err error) {
	err = f.spare.spared(len(b), func() error {
		m, err := f.File.Write(b[n:])
		n += m
		return err
	})
	return n, err
}

// patientFile is one that background work writes: where the disk is full, the work is begun again
// after a while.
type patientFile struct{ vfs.File }

func (f patientFile) Write(b []byte) (int, error) {
	n, err := f.File.Write(b)
	waitIfFull(err)
	return n, err
}

func waitIfFull(err error) {
	if noSpace(err) {
		time.Sleep(spacePause)
	}
}
