package txn

import (
	"bytes"
	"math/rand/v2"
)

// writeSet is what a transaction has written and not committed: an ordered map from
// key to value or tombstone. Every entry keeps the older values that a live mark or
// an open iterator may still need, so that undo and stable iteration need no copies.
//
// It is a skip list: nodes are never unlinked (an undone one has no versions), so an
// iterator stays valid whatever is written beside it.
type writeSet struct {
	head  node
	tail  *node // last node, for iteration backwards
	level int
	seq   uint64 // number of the last write
	size  int64  // bytes held, bookkeeping included
	limit int64
	log   []logEntry // writes since the oldest live mark, for undo
	marks []mark     // live, oldest first
	iters map[*setIter]struct{}
	live  int // nodes with a version
}

type node struct {
	key      []byte
	versions []version // oldest first
	next     []*node
	prev     *node
}

type version struct {
	seq     uint64
	value   []byte
	deleted bool
}

type logEntry struct {
	n   *node
	seq uint64
}

const (
	maxLevel     = 16
	nodeOverhead = 120 // bytes of a node and its links, rounded up by the allocator
	versionBytes = 40
	logBytes     = 16
)

// newWriteSet makes an empty set. A transaction that only reads costs no more than this:
// the rest is made by the first write.
func newWriteSet(limit int64) *writeSet { return &writeSet{limit: limit, level: 1} }

// empty reports whether nothing would be written at commit.
func (w *writeSet) empty() bool { return w.live == 0 }

// set writes a value; it takes key and value over. It fails, changing nothing, where
// the set would grow over its limit. An empty value is one that exists: never nil.
func (w *writeSet) set(key, value []byte) error {
	if value == nil {
		value = []byte{}
	}
	return w.put(key, value, false)
}

// delete writes a tombstone.
func (w *writeSet) delete(key []byte) error { return w.put(key, nil, true) }

func (w *writeSet) put(key, value []byte, deleted bool) error {
	if w.size+int64(len(key)+len(value)+nodeOverhead+logBytes) > w.limit {
		return ErrWriteSetFull
	}
	n := w.findOrInsert(key)
	w.seq++
	if last := len(n.versions) - 1; last >= 0 && w.protected() < n.versions[last].seq {
		// Nobody can look at the value in between: overwrite it. The old number stays,
		// it is the one that the undo log knows.
		v := &n.versions[last]
		w.size += int64(len(value) - len(v.value))
		v.value, v.deleted = value, deleted
		return nil
	}
	if len(n.versions) >= 4 {
		w.prune(n)
	}
	if len(n.versions) == 0 {
		w.live++
	}
	n.versions = append(n.versions, version{w.seq, value, deleted})
	w.log = append(w.log, logEntry{n, w.seq})
	w.size += int64(len(value) + versionBytes + logBytes)
	return nil
}

// protected is the newest write number whose state somebody may still look at.
func (w *writeSet) protected() uint64 {
	var p uint64
	if n := len(w.marks); n > 0 {
		p = w.marks[n-1].seq
	}
	for it := range w.iters {
		p = max(p, it.seq)
	}
	return p
}

// prune drops the versions of n that no live mark and no open iterator can reach.
func (w *writeSet) prune(n *node) {
	keep := n.versions[:0]
	last := len(n.versions) - 1
	for i, v := range n.versions {
		if i == last || w.wanted(v.seq, n.versions[i+1].seq) {
			keep = append(keep, v)
		} else {
			w.size -= int64(len(v.value) + versionBytes)
		}
	}
	clear(n.versions[len(keep):])
	n.versions = keep
}

// wanted reports whether a mark or an iterator stands at from ≤ seq < to.
func (w *writeSet) wanted(from, to uint64) bool {
	for i := range w.marks {
		if s := w.marks[i].seq; from <= s && s < to {
			return true
		}
	}
	for it := range w.iters {
		if from <= it.seq && it.seq < to {
			return true
		}
	}
	return false
}

// undo takes back every write after number seq, which a live mark must stand at.
func (w *writeSet) undo(seq uint64) {
	i := len(w.log)
	for ; i > 0 && w.log[i-1].seq > seq; i-- {
		n := w.log[i-1].n
		last := len(n.versions) - 1
		if last < 0 || n.versions[last].seq != w.log[i-1].seq {
			continue // pruned before
		}
		w.size -= int64(len(n.versions[last].value) + versionBytes)
		n.versions[last] = version{}
		if n.versions = n.versions[:last]; last == 0 {
			w.live--
		}
	}
	w.size -= int64((len(w.log) - i) * logBytes)
	clear(w.log[i:])
	w.log = w.log[:i]
}

// trimLog forgets the undo log where no mark needs it.
func (w *writeSet) trimLog() {
	if len(w.marks) > 0 || len(w.log) == 0 {
		return
	}
	w.size -= int64(len(w.log) * logBytes)
	clear(w.log)
	w.log = w.log[:0]
}

// get returns the newest version of key with a number up to seq.
func (w *writeSet) get(key []byte, seq uint64) (value []byte, deleted, found bool) {
	n := w.seekGE(key)
	if n == nil || !bytes.Equal(n.key, key) {
		return nil, false, false
	}
	v := n.at(seq)
	if v == nil {
		return nil, false, false
	}
	return v.value, v.deleted, true
}

func (n *node) at(seq uint64) *version {
	for i := len(n.versions) - 1; i >= 0; i-- {
		if n.versions[i].seq <= seq {
			return &n.versions[i]
		}
	}
	return nil
}

// seekGE returns the first node with a key ≥ key.
func (w *writeSet) seekGE(key []byte) *node {
	x := &w.head
	if x.next == nil {
		return nil
	}
	for i := w.level - 1; i >= 0; i-- {
		for x.next[i] != nil && bytes.Compare(x.next[i].key, key) < 0 {
			x = x.next[i]
		}
	}
	return x.next[0]
}

// seekLT returns the last node with a key < key.
func (w *writeSet) seekLT(key []byte) *node {
	n := w.seekGE(key)
	if n == nil {
		return w.tail
	}
	return n.prev
}

func (w *writeSet) findOrInsert(key []byte) *node {
	var before [maxLevel]*node
	x := &w.head
	if x.next == nil {
		x.next = make([]*node, maxLevel)
	}
	for i := w.level - 1; i >= 0; i-- {
		for x.next[i] != nil && bytes.Compare(x.next[i].key, key) < 0 {
			x = x.next[i]
		}
		before[i] = x
	}
	if n := x.next[0]; n != nil && bytes.Equal(n.key, key) {
		return n
	}
	level := 1
	for level < maxLevel && rand.Uint32()&3 == 0 {
		level++
	}
	for ; w.level < level; w.level++ {
		before[w.level] = &w.head
	}
	n := &node{key: key, next: make([]*node, level)}
	if before[0] != &w.head {
		n.prev = before[0]
	}
	for i := range level {
		n.next[i] = before[i].next[i]
		before[i].next[i] = n
	}
	if n.next[0] != nil {
		n.next[0].prev = n
	} else {
		w.tail = n
	}
	w.size += int64(len(key) + nodeOverhead)
	return n
}

func (w *writeSet) first() *node {
	if w.head.next == nil {
		return nil
	}
	return w.head.next[0]
}

// each calls f for the newest version of every key, in key order.
func (w *writeSet) each(f func(key []byte, v *version) error) error {
	for n := w.first(); n != nil; n = n.next[0] {
		if last := len(n.versions) - 1; last >= 0 {
			if err := f(n.key, &n.versions[last]); err != nil {
				return err
			}
		}
	}
	return nil
}

// setIter walks the write set as it was when the iterator was opened.
type setIter struct {
	set     *writeSet
	seq     uint64
	n       *node
	version *version
	reverse bool
	bound   []byte // exclusive upper bound, or inclusive lower bound if reverse
}

// iter opens an iterator at the first (last if reverse) key of [start, end); end nil
// means unbounded. close must be called.
func (w *writeSet) iter(start, end []byte, reverse bool, seq uint64) *setIter {
	it := &setIter{set: w, seq: seq, reverse: reverse}
	if w.iters == nil {
		w.iters = map[*setIter]struct{}{}
	}
	w.iters[it] = struct{}{}
	switch {
	case !reverse:
		it.bound, it.n = end, w.seekGE(start)
	case end == nil:
		it.bound, it.n = start, w.tail
	default:
		it.bound, it.n = start, w.seekLT(end)
	}
	it.settle()
	return it
}

// seek moves a forward iterator to the first key ≥ key.
func (it *setIter) seek(key []byte) {
	it.n = it.set.seekGE(key)
	it.settle()
}

// settle moves on to the nearest visible entry within the bound.
func (it *setIter) settle() {
	for ; it.n != nil; it.step() {
		if it.reverse && bytes.Compare(it.n.key, it.bound) < 0 ||
			!it.reverse && it.bound != nil && bytes.Compare(it.n.key, it.bound) >= 0 {
			it.n = nil
			return
		}
		if it.version = it.n.at(it.seq); it.version != nil {
			return
		}
	}
}

func (it *setIter) step() {
	if it.reverse {
		it.n = it.n.prev
	} else {
		it.n = it.n.next[0]
	}
}

func (it *setIter) next() {
	it.step()
	it.settle()
}

func (it *setIter) close() { delete(it.set.iters, it) }
