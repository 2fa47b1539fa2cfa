package txn

import (
	"bytes"
	"math/rand/v2"

	"stack/roles/db/store"
)

// writeSet is what a transaction has written and not committed: an ordered map from
// key to value or tombstone. Every entry keeps the older values that a live mark or
// an open iterator may still need, so that undo and stable iteration need no copies.
//
// What is in memory is a skip list: nodes are never unlinked (an undone one has no
// versions), so an iterator stays valid whatever is written beside it. When it has grown to
// the limit it is moved to temporary storage as a whole (spill) and a new list begins.
type writeSet struct {
	*list
	own   list       // the first one
	seq   uint64     // number of the last write
	size  int64      // bytes held in memory, bookkeeping included
	limit int64      // of size, before the list is moved out
	all   *allSets   // that this one is one of; nil: none
	told  int64      // of size, that all knows of
	log   []logEntry // writes since the oldest live mark, for undo; those in memory
	marks []mark     // live, oldest first
	iters map[*setIter]struct{}
	live  int // nodes with a version, of those in memory

	room  room
	spill *spill // nil: everything is in memory
}

// room makes temporary storage the first time it is asked, and answers each time whether
// there is room for so many bytes more.
type room interface {
	scratch(bytes int64) (*store.Scratch, error)
}

// list is a skip list of nodes.
type list struct {
	head  node
	tail  *node // last node, for iteration backwards
	level int
	ends  []*node // last node of each level
	// places are where keys were put in last, by index: rows mostly come in ascending order, and
	// entries of other indexes between them.
	places [4]place
}

// place is what lies before a key at each level: right before it in the lowest, anywhere before in
// the others.
type place [maxLevel]*node

type node struct {
	key      []byte
	versions []version // oldest first
	next     []*node
	prev     *node
	// The memory of versions and next, for most nodes.
	one  [1]version
	link [1]*node
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

// newWriteSet makes an empty set that keeps limit bytes in memory. A transaction that only
// reads costs no more than this: the rest is made by the first write.
func newWriteSet(limit int64, room room) *writeSet {
	w := &writeSet{limit: limit, room: room}
	w.own.level = 1
	w.list = &w.own
	return w
}

func newList() *list { return &list{level: 1} }

// renew begins a new list. Iterators that are open go on in the old one, which nothing else keeps.
func (w *writeSet) renew() {
	if w.list == &w.own {
		old := w.own
		old.places = [len(old.places)]place{} // they point to the head of the other
		for it := range w.iters {
			if it.list == &w.own {
				it.list = &old
			}
		}
		w.own = list{}
	}
	w.list, w.log, w.size, w.live = newList(), nil, 0, 0
}

// empty reports whether nothing would be written at commit.
func (w *writeSet) empty() bool { return w.live == 0 && w.spill == nil }

// set writes a value; it takes key and value over. It fails, changing nothing, where
// there is no room for more. An empty value is one that exists: never nil.
func (w *writeSet) set(key, value []byte) error {
	if value == nil {
		value = []byte{}
	}
	return w.put(key, value, false)
}

// delete writes a tombstone.
func (w *writeSet) delete(key []byte) error { return w.put(key, nil, true) }

func (w *writeSet) put(key, value []byte, deleted bool) error {
	if w.size+int64(len(key)+len(value)+nodeOverhead+logBytes) > w.limit || w.all.crowded(w.told) {
		if err := w.moveOut(); err != nil {
			return err
		}
	}
	n, made := w.findOrInsert(key)
	if made {
		w.size += int64(len(key) + nodeOverhead)
	}
	w.seq++
	if last := len(n.versions) - 1; last >= 0 && w.protected() < n.versions[last].seq {
		// Nobody can look at the value in between: overwrite it. The old number stays,
		// it is the one that the undo log knows.
		v := &n.versions[last]
		w.size += int64(len(value) - len(v.value))
		v.value, v.deleted = value, deleted
		w.tell()
		return nil
	}
	if len(n.versions) >= 4 {
		w.prune(n)
	}
	if len(n.versions) == 0 {
		w.live++
	}
	if n.versions == nil {
		n.versions = n.one[:0]
	}
	n.versions = append(n.versions, version{w.seq, value, deleted})
	w.log = append(w.log, logEntry{n, w.seq})
	w.size += int64(len(value) + versionBytes + logBytes)
	w.tell()
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
	if w.spill != nil {
		w.spill.undo(seq)
	}
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

// get returns the newest version of key with a number up to seq. The value may not be
// changed.
func (w *writeSet) get(key []byte, seq uint64) (value []byte, deleted, found bool, err error) {
	if n := w.seekGE(key); n != nil && bytes.Equal(n.key, key) {
		if v := n.at(seq); v != nil {
			return v.value, v.deleted, true, nil
		}
	}
	if w.spill == nil {
		return nil, false, false, nil
	}
	return w.spill.get(key, seq)
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
func (l *list) seekGE(key []byte) *node {
	x := &l.head
	if l.behind(key) {
		return nil
	}
	if at := l.place(key); l.fits(at, key, 1) {
		return at[0].next[0]
	}
	for i := l.level - 1; i >= 0; i-- {
		for x.next[i] != nil && bytes.Compare(x.next[i].key, key) < 0 {
			x = x.next[i]
		}
	}
	return x.next[0]
}

// behind says whether a key comes after every other.
func (l *list) behind(key []byte) bool {
	return l.tail == nil || bytes.Compare(l.tail.key, key) < 0
}

// seekLT returns the last node with a key < key.
func (l *list) seekLT(key []byte) *node {
	n := l.seekGE(key)
	if n == nil {
		return l.tail
	}
	return n.prev
}

func (l *list) findOrInsert(key []byte) (n *node, made bool) {
	var before place
	if l.head.next == nil {
		both := make([]*node, 2*maxLevel)
		l.head.next, l.ends = both[:maxLevel:maxLevel], both[maxLevel:]
	}
	level := 1
	for level < maxLevel && rand.Uint32()&3 == 0 {
		level++
	}
	at := l.place(key)
	switch {
	case l.fits(at, key, min(level, l.level)):
		copy(before[:l.level], at[:])
	case l.tail != nil && l.behind(key):
		copy(before[:l.level], l.ends)
	default:
		x := &l.head
		for i := l.level - 1; i >= 0; i-- {
			for x.next[i] != nil && bytes.Compare(x.next[i].key, key) < 0 {
				x = x.next[i]
			}
			before[i] = x
		}
	}
	if n := before[0].next[0]; n != nil && bytes.Equal(n.key, key) {
		return n, false
	}
	for ; l.level < level; l.level++ {
		before[l.level] = &l.head
	}
	n = &node{key: key}
	if n.next = n.link[:]; level > 1 {
		n.next = make([]*node, level)
	}
	if before[0] != &l.head {
		n.prev = before[0]
	}
	for i := range level {
		if n.next[i] = before[i].next[i]; n.next[i] == nil {
			l.ends[i] = n
		}
		before[i].next[i] = n
		before[i] = n
	}
	if n.next[0] != nil {
		n.next[0].prev = n
	} else {
		l.tail = n
	}
	copy(at[:l.level], before[:])
	return n, true
}

// place is where a key of the same index was put in last, or of another that shares the memory.
func (l *list) place(key []byte) *place {
	if len(key) < store.IndexPrefixLen {
		return &l.places[0]
	}
	return &l.places[key[store.IndexPrefixLen-1]%byte(len(l.places))]
}

// fits says that in the lowest levels a key goes right behind a place.
func (l *list) fits(p *place, key []byte, levels int) bool {
	if p[0] == nil || p[0] != &l.head && bytes.Compare(p[0].key, key) >= 0 {
		return false
	}
	for i := range levels {
		if p[i] == nil { // the list had fewer levels
			p[i] = &l.head
		}
		if n := p[i].next[i]; n != nil && bytes.Compare(n.key, key) < 0 {
			return false
		}
	}
	return true
}

func (l *list) first() *node {
	if l.head.next == nil {
		return nil
	}
	return l.head.next[0]
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

// setIter walks the part of the write set in memory as it was when the iterator was opened.
type setIter struct {
	set     *writeSet
	list    *list // that was the set's when the iterator was opened
	seq     uint64
	n       *node
	version *version
	reverse bool
	bound   []byte // exclusive upper bound, or inclusive lower bound if reverse
}

// memory opens an iterator at the first (last if reverse) key of [start, end); end nil
// means unbounded. close must be called.
func (w *writeSet) memory(start, end []byte, reverse bool, seq uint64) *setIter {
	it := &setIter{set: w, list: w.list, seq: seq, reverse: reverse}
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
	it.n = it.list.seekGE(key)
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
