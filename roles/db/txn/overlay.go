package txn

import "bytes"

// overlay walks a write set, in memory and out of it, as it was when the iterator was
// opened. key, value and deleted are those of the current entry while valid.
type overlay struct {
	memory  *setIter
	spill   *spillIter // nil: everything is in memory
	seq     uint64
	reverse bool

	valid, fromMemory, fromSpill bool
	key, value                   []byte
	deleted                      bool
}

// iter opens an iterator at the first (last if reverse) key of [start, end); end nil
// means unbounded. It sees the writes up to number seq. close must be called.
func (w *writeSet) iter(start, end []byte, reverse bool, seq uint64) *overlay {
	o := &overlay{memory: w.memory(start, end, reverse, seq), seq: seq, reverse: reverse}
	if w.spill != nil {
		o.spill = w.spill.iter(start, end, reverse, seq)
	}
	o.settle()
	return o
}

// settle picks the entry that comes first; on equal keys what is in memory is newer.
func (o *overlay) settle() {
	o.fromMemory, o.fromSpill = o.memory.n != nil, o.spill != nil && o.spill.valid
	if o.fromMemory && o.fromSpill {
		order := bytes.Compare(o.memory.n.key, o.spill.key)
		if o.reverse {
			order = -order
		}
		o.fromMemory, o.fromSpill = order <= 0, order >= 0
	}
	o.valid = o.fromMemory || o.fromSpill
	switch {
	case o.fromMemory:
		o.key, o.value, o.deleted = o.memory.n.key, o.memory.version.value, o.memory.version.deleted
	case o.fromSpill:
		o.key, o.value, o.deleted = o.spill.key, o.spill.value, o.spill.deleted
	}
	if o.err() != nil {
		o.valid = false
	}
}

func (o *overlay) next() {
	if o.fromMemory {
		o.memory.next()
	}
	if o.fromSpill {
		o.spill.next()
	}
	o.settle()
}

// seek moves a forward iterator to the first key ≥ key.
func (o *overlay) seek(key []byte) {
	o.memory.seek(key)
	if o.spill != nil {
		o.spill.seek(key)
	}
	o.settle()
}

// err is why the iterator is not valid, nil at its end.
func (o *overlay) err() error {
	if o.spill == nil {
		return nil
	}
	return o.spill.err
}

func (o *overlay) close() error {
	o.memory.close()
	if o.spill == nil {
		return nil
	}
	return o.spill.close()
}
