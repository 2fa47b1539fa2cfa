package relay

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// ErrDamaged: what should be in the relay log cannot be read.
var ErrDamaged = errors.New("the relay log is damaged")

// readAhead is how many bytes are read at once, where there are as many.
const readAhead = 256 << 10

// cursor reads the frames of a segment, up to a limit that may grow. What it returns is not written over later.
type cursor struct {
	file   vfs.File
	number uint64
	at     int64  // of the next frame
	buf    []byte // what was read from at on
}

// next is the payload of the next frame that ends at limit or before, nil where there is none.
func (c *cursor) next(limit int64) ([]byte, error) {
	if err := c.load(frameHead, limit); err != nil {
		return nil, ended(err)
	}
	size, err := frameSize(c.buf, c.number)
	if err != nil {
		return nil, err
	}
	if err := c.load(size, limit); err != nil {
		return nil, ended(err)
	}
	p, err := payload(c.buf[:size])
	if err != nil {
		return nil, err
	}
	c.buf, c.at = c.buf[size:], c.at+int64(size)
	return p, nil
}

// ended makes the end no error.
func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// load has n bytes in buf, io.EOF where limit comes before.
func (c *cursor) load(n int, limit int64) error {
	if len(c.buf) >= n {
		return nil
	}
	left := limit - c.at
	if left < int64(n) {
		return io.EOF
	}
	buf := make([]byte, max(int64(n), min(left, readAhead)))
	have := copy(buf, c.buf)
	if _, err := c.file.ReadAt(buf[have:], c.at+int64(have)); err != nil {
		if errors.Is(err, io.EOF) {
			return io.EOF
		}
		return fmt.Errorf("read the relay log: %w", err)
	}
	c.buf = buf
	return nil
}

// torn says whether the frames of the newest segment end where a crash has left them: ErrDamaged where a frame behind that place was
// written after what is there was durable.
func (c *cursor) torn() error {
	info, err := c.file.Stat()
	if err != nil {
		return err
	}
	end := c.at
	unreadable := func(err error) error {
		if err = ended(err); err != nil {
			err = fmt.Errorf("%w: %w", err, ErrDamaged)
		}
		return err
	}
	c.buf = nil
	for ; ; c.at, c.buf = c.at+1, c.buf[1:] {
		if err := c.load(frameHead, info.Size()); err != nil {
			return unreadable(err)
		}
		if binary.LittleEndian.Uint64(c.buf[8:]) != c.number || syncedBefore(c.buf) <= end {
			continue
		}
		size, err := frameSize(c.buf, c.number)
		if err != nil || int64(size) > info.Size()-c.at {
			continue
		}
		if err := c.load(size, info.Size()); err != nil {
			return unreadable(err)
		}
		if _, err := payload(c.buf[:size]); err == nil {
			return fmt.Errorf("at %d: what was durable up to %d is not there: %w", end, syncedBefore(c.buf), ErrDamaged)
		}
	}
}
