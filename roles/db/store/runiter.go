package store

import (
	"bytes"
	"errors"
)

// ScratchIter walks the runs of a Scratch as they were when it was made, in one direction at a
// time: Next after First and SeekGE, Prev after Last.
type ScratchIter struct {
	c            *Scratch
	runs         []*run
	cursors      []cursor // of runs
	heap         []*cursor
	reverse      bool
	lower, upper []byte // nil: unbounded
	spare        [][]byte
	err          error
}

// NewIter makes an iterator over the keys in [lower, upper); nil is unbounded. Close must be
// called.
func (c *Scratch) NewIter(lower, upper []byte) *ScratchIter { return c.iter(c.runs, lower, upper) }

func (c *Scratch) iter(runs []*run, lower, upper []byte) *ScratchIter {
	it := &ScratchIter{c: c, runs: append([]*run(nil), runs...), lower: lower, upper: upper}
	for _, r := range it.runs {
		r.refs++
	}
	return it
}

// First moves to the first key.
func (it *ScratchIter) First() bool { return it.SeekGE(it.lower) }

// SeekGE moves to the first key ≥ key.
func (it *ScratchIter) SeekGE(key []byte) bool {
	if bytes.Compare(key, it.lower) < 0 {
		key = it.lower
	}
	return it.seek(key, false)
}

// Last moves to the last key.
func (it *ScratchIter) Last() bool { return it.seek(it.upper, true) }

// seek puts all cursors at key; nil is the beginning, or the end if reverse.
func (it *ScratchIter) seek(key []byte, reverse bool) bool {
	if it.err != nil {
		return false
	}
	if it.cursors == nil {
		it.cursors = make([]cursor, len(it.runs))
	}
	it.reverse, it.heap = reverse, it.heap[:0]
	for i := range it.cursors {
		c := &it.cursors[i]
		c.run = it.runs[i]
		ok := true
		switch {
		case key == nil && reverse:
			c.edge(len(c.run.blocks)-1, true)
		case key == nil:
			c.edge(0, false)
		default:
			if ok, it.err = c.seek(key, reverse, &it.c.packed); it.err != nil {
				return false
			}
		}
		if ok && it.within(c.key) {
			it.heap = append(it.heap, c)
		}
	}
	for i := len(it.heap)/2 - 1; i >= 0; i-- {
		it.down(i)
	}
	return it.top()
}

func (it *ScratchIter) within(key []byte) bool {
	if it.reverse {
		return bytes.Compare(key, it.lower) >= 0
	}
	return it.upper == nil || bytes.Compare(key, it.upper) < 0
}

// Next moves to the next key.
func (it *ScratchIter) Next() bool { return it.step() }

// Prev moves to the key before.
func (it *ScratchIter) Prev() bool { return it.step() }

func (it *ScratchIter) step() bool {
	if it.err != nil || len(it.heap) == 0 {
		return false
	}
	c := it.heap[0]
	ok, err := c.step(it.reverse)
	if err != nil {
		it.err = err
		return false
	}
	if !c.loaded || !ok {
		it.idle(c)
	}
	if !ok || !it.within(c.key) {
		last := len(it.heap) - 1
		it.heap[0] = it.heap[last]
		it.heap = it.heap[:last]
	}
	it.down(0)
	return it.top()
}

// idle keeps the memory of a cursor that has left its block for the next that reads one: runs
// that follow one another need no more than one.
func (it *ScratchIter) idle(c *cursor) {
	c.loaded = false
	if c.data != nil {
		it.spare = append(it.spare, c.data)
		c.data = nil
	}
}

// top reads the block of the first cursor, if it must be.
func (it *ScratchIter) top() bool {
	if len(it.heap) == 0 {
		return false
	}
	c := it.heap[0]
	if c.loaded {
		return true
	}
	if n := len(it.spare); n > 0 && c.data == nil {
		c.data, it.spare = it.spare[n-1], it.spare[:n-1]
	}
	it.err = c.settle(it.reverse, &it.c.packed)
	return it.err == nil
}

// down restores the order of the heap below i.
func (it *ScratchIter) down(i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(it.heap); child++ {
			if order := bytes.Compare(it.heap[child].key, it.heap[least].key); order < 0 != it.reverse && order != 0 {
				least = child
			}
		}
		if least == i {
			return
		}
		it.heap[i], it.heap[least] = it.heap[least], it.heap[i]
		i = least
	}
}

// Valid says that the iterator stands on an entry.
func (it *ScratchIter) Valid() bool { return it.err == nil && len(it.heap) > 0 }

// Key is valid until the next move.
func (it *ScratchIter) Key() []byte { return it.heap[0].key }

// Value is valid until the next move.
func (it *ScratchIter) Value() []byte { return it.heap[0].value }

// cut says that a group of keys ends with this entry in its run.
func (it *ScratchIter) cut() bool {
	c := it.heap[0]
	return c.pos == len(c.offsets)-1 && c.run.blocks[c.block].cut
}

// Err is why the iterator is not valid; nil at its end.
func (it *ScratchIter) Err() error { return it.err }

// Close gives up the runs, and returns Err.
func (it *ScratchIter) Close() error {
	err := it.err
	for _, r := range it.runs {
		err = errors.Join(err, r.release())
	}
	it.runs, it.heap, it.cursors = nil, nil, nil
	return err
}
