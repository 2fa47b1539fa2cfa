package binlog

import (
	"sort"
	"sync"

	"stack/roles/db/binlog/event"
)

// ringHalf is the size of each of the two halves of a ring, bytes.
const ringHalf = 1 << 20

// ring is the events of recent groups in memory, for readers that keep up: they need not
// ask the store. One half is filled behind the other, so between one and two halves are
// there. Its memory is taken with the first group that is added.
type ring struct {
	mu    sync.Mutex
	halfs [2]half
	now   int // the half that is being filled
}

// half is groups one behind another without a gap, all of one file.
type half struct {
	space  []byte // their events
	chunks []ringChunk
}

// ringChunk is the events of a group: where they are in the log, and in the half.
type ringChunk struct {
	from Position
	end  uint64 // offset in the file
	at   int
}

// last is where the newest chunk ends; the zero Position where there is none.
func (h *half) last() Position {
	if n := len(h.chunks); n > 0 {
		return Position{h.chunks[n-1].from.File, h.chunks[n-1].end}
	}
	return Position{}
}

func (h *half) clear() { h.space, h.chunks = h.space[:0], h.chunks[:0] }

// add notes the events of a group, which end at an offset of the same file.
func (r *ring) add(from Position, end uint64, events []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := &r.halfs[r.now]
	if len(events) > ringHalf {
		h.clear()
		return // readers find it in the store
	}
	if h.last() != from || len(h.space)+len(events) > ringHalf {
		r.now = 1 - r.now
		h = &r.halfs[r.now]
		h.clear()
	}
	if h.space == nil {
		h.space = make([]byte, 0, ringHalf)
	}
	h.chunks = append(h.chunks, ringChunk{from, end, len(h.space)})
	h.space = append(h.space, events...)
}

// read appends events to dst, beginning with the one at a position and ending before the
// offset limit, most bytes of them at most unless one group has more. It appends none
// where they are not in the ring.
func (r *ring) read(dst []byte, at Position, limit uint64, most int) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.halfs {
		if got, ok := r.halfs[i].read(dst, at, limit, most); ok {
			return got
		}
	}
	return dst
}

func (h *half) read(dst []byte, at Position, limit uint64, most int) ([]byte, bool) {
	if len(h.chunks) == 0 || h.chunks[0].from.File != at.File {
		return dst, false
	}
	i := sort.Search(len(h.chunks), func(i int) bool { return h.chunks[i].end > at.Offset })
	if i == len(h.chunks) || h.chunks[i].from.Offset > at.Offset || h.chunks[i].end > limit {
		return dst, false
	}
	events := h.bytes(i)
	for offset := h.chunks[i].from.Offset; offset < at.Offset; {
		_, size, rest, err := event.Next(events)
		if err != nil || offset+size > at.Offset {
			return dst, false // the store tells what is wrong
		}
		offset, events = offset+size, rest
	}
	dst = append(dst, events...)
	for i++; i < len(h.chunks) && h.chunks[i].end <= limit; i++ {
		more := h.bytes(i)
		if len(dst)+len(more) > most {
			break
		}
		dst = append(dst, more...)
	}
	return dst, true
}

// bytes is the events of a chunk.
func (h *half) bytes(i int) []byte {
	if i+1 < len(h.chunks) {
		return h.space[h.chunks[i].at:h.chunks[i+1].at]
	}
	return h.space[h.chunks[i].at:]
}
