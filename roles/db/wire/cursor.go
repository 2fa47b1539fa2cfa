package wire

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
)

// spool holds the rows of a server-side cursor, encoded as they will be sent, each
// behind its length (4 bytes, little endian): the first Config.CursorMemory bytes in
// memory, more in a file that has no name.
type spool struct {
	c     *conn
	buf   []byte // what is not in the file: the tail when filling, a window when reading
	pos   int    // in buf, when reading
	file  *os.File
	read  int64 // how much of the file has been read
	size  int64 // of the file
	bytes int64 // of all rows
}

func newSpool(c *conn) *spool { return &spool{c: c} }

// add puts a row at the end.
func (s *spool) add(row []byte) error {
	n := int64(len(row)) + 4
	if s.c.cursorBytes+n > s.c.cfg.CursorLimit {
		return Errorf(erOutOfResources, "The open cursors of this connection hold more than %d MiB: "+
			"fetch without a cursor, or close some", s.c.cfg.CursorLimit>>20)
	}
	s.c.cursorBytes += n
	s.bytes += n
	s.buf = binary.LittleEndian.AppendUint32(s.buf, uint32(len(row)))
	s.buf = append(s.buf, row...)
	if len(s.buf) <= s.c.cfg.CursorMemory {
		return nil
	}
	return s.spill()
}

func (s *spool) spill() error {
	if s.file == nil {
		f, err := os.CreateTemp(s.c.cfg.CursorDir, "stack-cursor-*")
		if err != nil {
			return fmt.Errorf("making a cursor's temporary file: %w", err)
		}
		s.file = f
		// Without a name it is gone with the process, however that ends.
		if err := os.Remove(f.Name()); err != nil {
			return fmt.Errorf("making a cursor's temporary file: %w", err)
		}
		s.c.srv.stats.cursorFiles.Add(1)
	}
	n, err := s.file.Write(s.buf)
	s.size += int64(n)
	if err != nil {
		return fmt.Errorf("writing a cursor's temporary file: %w", err)
	}
	s.buf = s.buf[:0]
	return nil
}

// rewind ends the filling and readies the spool for next.
func (s *spool) rewind() error {
	if s.file == nil {
		return nil
	}
	if err := s.spill(); err != nil {
		return err
	}
	s.buf = nil
	return nil
}

// next returns the next row, valid until the call after, or nil at the end.
func (s *spool) next() ([]byte, error) {
	if s.atEnd() {
		return nil, nil
	}
	head, err := s.take(4)
	if err != nil {
		return nil, err
	}
	return s.take(int(binary.LittleEndian.Uint32(head)))
}

// take returns the next n bytes, reading more of the file where needed.
func (s *spool) take(n int) ([]byte, error) {
	if left := len(s.buf) - s.pos; left < n && s.file != nil {
		want := max(n-left, 64<<10)
		fresh := make([]byte, left, left+want)
		copy(fresh, s.buf[s.pos:])
		m, err := s.file.ReadAt(fresh[left:left+want], s.read)
		s.read += int64(m)
		if err != nil && err != io.EOF {
			return nil, err
		}
		s.buf, s.pos = fresh[:left+m], 0
	}
	if len(s.buf)-s.pos < n {
		return nil, io.ErrUnexpectedEOF
	}
	p := s.buf[s.pos : s.pos+n]
	s.pos += n
	return p, nil
}

// atEnd says that every row has been taken.
func (s *spool) atEnd() bool { return s.pos == len(s.buf) && s.read == s.size }

func (s *spool) close() {
	s.c.cursorBytes -= s.bytes
	s.bytes = 0
	s.buf = nil
	if s.file != nil {
		s.file.Close()
	}
}
