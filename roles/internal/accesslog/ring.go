package accesslog

import (
	"io"
	"sync/atomic"
)

const (
	// ringSize bounds the lines of one loop that wait for the disk; a power of two.
	ringSize = 1 << 20
	// flushAt is how many waiting bytes wake the writer at once.
	flushAt = 64 << 10
)

// ring is a queue of bytes from one loop to the writer. put is called by the loop
// only, drain by the writer only. Positions grow for ever; the place is position
// modulo the size.
type ring struct {
	buf []byte // made at the first line, so that an unused log costs nothing

	_       [64]byte
	head    atomic.Uint64 // written by the loop: end of what is there
	dropped atomic.Uint64 // lines
	lines   atomic.Uint64 // lines taken
	_       [64]byte
	tail    atomic.Uint64 // written by the writer: start of what is there
	_       [56]byte

	// The loop's, for formatting.
	scratch []byte
	stamp   stamp
}

// put appends a whole line or nothing. It returns how many bytes wait now and waited
// before; ok is false when there was no room.
func (r *ring) put(line []byte) (before, now int, ok bool) {
	if r.buf == nil {
		r.buf = make([]byte, ringSize)
	}
	head, tail := r.head.Load(), r.tail.Load()
	before = int(head - tail)
	if len(line) > ringSize-before {
		r.dropped.Add(1)
		return before, before, false
	}
	at := int(head % ringSize)
	n := copy(r.buf[at:], line)
	copy(r.buf, line[n:])
	r.lines.Add(1)
	r.head.Store(head + uint64(len(line)))
	return before, before + len(line), true
}

// drain writes what is there to w. What could not be written is given up and
// returned as lost; the ring is empty of it afterwards in every case.
func (r *ring) drain(w io.Writer) (lost []byte, err error) {
	for {
		head, tail := r.head.Load(), r.tail.Load()
		if head == tail {
			return nil, nil
		}
		at := int(tail % ringSize)
		piece := r.buf[at:min(ringSize, at+int(head-tail))]
		n, err := w.Write(piece)
		if err != nil {
			lost = append(lost, piece[n:]...)
			r.tail.Store(tail + uint64(len(piece)))
			return lost, err
		}
		r.tail.Store(tail + uint64(len(piece)))
	}
}
