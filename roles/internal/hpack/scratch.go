package hpack

import (
	"slices"
	"sync"
)

// scratchKept is the largest buffer that is kept for the next block.
const scratchKept = 64 << 10

// scratch holds the decoded strings of one field. It is taken from a pool for the
// blocks that need one: a buffer per connection would be idle most of the time.
type scratch struct {
	buf []byte
}

var scratches = sync.Pool{New: func() any { return &scratch{buf: make([]byte, 0, 4<<10)} }}

func (s *scratch) release() {
	if cap(s.buf) <= scratchKept {
		scratches.Put(s)
	}
}

// reuse forgets the strings of the field before.
func (r *reader) reuse() {
	if r.scratch != nil {
		r.scratch.buf = r.scratch.buf[:0]
	}
}

// room returns the scratch with capacity for n more octets.
func (r *reader) room(n int) []byte {
	if r.scratch == nil {
		r.scratch = scratches.Get().(*scratch)
		r.scratch.buf = r.scratch.buf[:0]
	}
	return slices.Grow(r.scratch.buf, n)
}
