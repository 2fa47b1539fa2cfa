package txn

import (
	"bytes"
	"encoding/binary"
	"sync/atomic"
	"time"

	"stack/roles/db/store"
)

// captureLimit is how many bytes of keys a capture keeps; beyond, it only knows between
// which keys something has changed.
const captureLimit = 16 << 20

// captureEntry is what a key takes besides its bytes.
const captureEntry = 64

// capture collects which rows of some tables commits change, while a Build copies the first.
// The leader notes them, all those of a commit before it is published; so what a cut gives
// is exactly what has changed between the view of the cut and that of the one before.
type capture struct {
	primaries []uint32
	prefixes  [][]byte
	limit     int
	changed   []changes    // of each; the leader's
	rest      atomic.Int64 // ns that a writer rests after its commit
	closed    atomic.Bool
}

func newCapture(limit int, primaries ...uint32) *capture {
	c := &capture{primaries: primaries, limit: limit, changed: make([]changes, len(primaries))}
	for _, id := range primaries {
		c.prefixes = append(c.prefixes, store.AppendIndexPrefix(nil, store.SpaceRows, id))
	}
	return c
}

// changes are the rows that may have changed between two views: these keys or, if they
// are none, everything in a range.
type changes struct {
	keys map[string]struct{}
	size int
	span store.KeyRange
}

func (c *changes) empty() bool { return len(c.keys) == 0 && c.span.Start == nil }

func (c *changes) add(key []byte, limit int) {
	if c.span.Start != nil {
		c.addSpan(pointRange(key))
		return
	}
	if _, ok := c.keys[string(key)]; ok {
		return
	}
	if c.keys == nil {
		c.keys = map[string]struct{}{}
	}
	c.keys[string(key)] = struct{}{}
	if c.size += len(key) + captureEntry; c.size > limit {
		c.addSpan(pointRange(key))
	}
}

// addSpan makes the range reach over r and the keys, which go.
func (c *changes) addSpan(r store.KeyRange) {
	c.extend(r)
	for key := range c.keys {
		c.extend(pointRange([]byte(key)))
	}
	c.keys, c.size = nil, 0
}

func (c *changes) extend(r store.KeyRange) {
	if c.span.Start == nil || bytes.Compare(r.Start, c.span.Start) < 0 {
		c.span.Start = bytes.Clone(r.Start)
	}
	if bytes.Compare(r.End, c.span.End) > 0 {
		c.span.End = bytes.Clone(r.End)
	}
}

// note takes note of the rows that a request changes.
func (c *capture) note(r *commitRequest) error {
	if r.large != nil {
		for i, id := range c.primaries {
			if span, ok := r.large.spans[id]; ok {
				c.changed[i].addSpan(span)
				c.slow(r)
			}
		}
		return nil
	}
	return r.set.each(func(key []byte, _ *version) error {
		for i, prefix := range c.prefixes {
			if bytes.HasPrefix(key, prefix) {
				c.changed[i].add(key, c.limit)
				c.slow(r)
			}
		}
		return nil
	})
}

// slow has the writer of a request rest.
func (c *capture) slow(r *commitRequest) { r.rest = max(r.rest, time.Duration(c.rest.Load())) }

// spans are the first and the last key of each index that a large set writes.
type spans map[uint32]store.KeyRange

// add takes the keys of space 03 in order.
func (s spans) add(key []byte) {
	id := binary.BigEndian.Uint32(key[1:])
	r := s[id]
	if r.Start == nil {
		r.Start = bytes.Clone(key)
	}
	r.End = append(append(r.End[:0], key...), 0)
	s[id] = r
}

// cut returns a view and what has changed in each table since the cut before. The first one
// of a capture begins it. The view is the caller's.
func (e *Engine) cut(c *capture) (*view, []changes, error) {
	r := &commitRequest{capture: c}
	if err := e.queue.commit(r); err != nil {
		if r.view != nil { // cut, and answered by a higher epoch before it was published
			e.releaseView(r.view)
		}
		return nil, nil, err
	}
	return r.view, r.changed, nil
}
