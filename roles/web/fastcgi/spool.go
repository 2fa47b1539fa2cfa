package fastcgi

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// memorySpool is how many bytes of a chunked body stay in memory.
const memorySpool = 64 << 10

// errTooLarge is answered with 413.
var errTooLarge = errors.New("the request body is larger than limits.body_bytes")

// spool holds a request body whose length must be known before it is passed on. The
// first bytes stay in memory, more go to a file that has no name. Loop side: add and
// end; worker side: write and read, one at a time.
type spool struct {
	dir    string
	max    int64
	size   int64
	memory []byte // not in the file yet
	file   *os.File
	stored int64 // bytes in the file
}

func newSpool(dir string, max int64) *spool { return &spool{dir: dir, max: max} }

// add takes a piece. full says that write must be called before more is added.
func (s *spool) add(p []byte) (full bool, err error) {
	if s.size += int64(len(p)); s.max > 0 && s.size > s.max {
		return false, errTooLarge
	}
	s.memory = append(s.memory, p...)
	return len(s.memory) > memorySpool, nil
}

// write moves what is in memory to the file. It blocks.
func (s *spool) write() error {
	if s.file == nil {
		// No name from the start where the file system can do that: nothing is left
		// behind, whatever happens.
		fd, err := unix.Open(s.dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
		if err == nil {
			s.file = os.NewFile(uintptr(fd), "request body")
		} else {
			if s.file, err = os.CreateTemp(s.dir, "stack-body-"); err != nil {
				return fmt.Errorf("a file for a request body: %w", err)
			}
			_ = os.Remove(s.file.Name())
		}
	}
	n, err := s.file.WriteAt(s.memory, s.stored)
	s.stored += int64(n)
	if err != nil {
		return fmt.Errorf("a request body of %d bytes: %w", s.size, err)
	}
	s.memory = s.memory[:0]
	return nil
}

// read reads the next piece from off into b. It blocks. What is in memory comes last.
func (s *spool) read(b []byte, off int64) (int, error) {
	if off < s.stored {
		return s.file.ReadAt(b[:min(int64(len(b)), s.stored-off)], off)
	}
	return copy(b, s.memory[off-s.stored:]), nil
}

func (s *spool) close() {
	if s.file != nil {
		_ = s.file.Close()
		s.file = nil
	}
	s.memory = nil
}
