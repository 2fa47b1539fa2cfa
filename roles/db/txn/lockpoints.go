package txn

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"sort"
)

// lockPoint is a locked key.
type lockPoint struct {
	key     []byte
	holders []lockHolder
	next    []*lockPoint
}

type lockHolder struct {
	h    *held
	mode LockMode
}

// lockPoints are locked keys in order: a skip list.
type lockPoints struct {
	head  lockPoint
	level int
	ends  [lockLevels]*lockPoint // the last point of each level, or the head
	// at are the last points below the key that was searched for last, by level: a key is searched
	// for when it is looked whether it is locked, by whom, and when it is put in.
	at    [lockLevels]*lockPoint
	count int
	free  []*lockPoint // for use again, of any height
}

const (
	lockLevels   = 12 // enough for 4^12 keys
	lockFreeList = 64
)

// seek returns the first locked key ≥ key.
func (p *lockPoints) seek(key []byte) *lockPoint {
	if p.behind(key) {
		return nil
	}
	p.path(key)
	return p.at[0].next[0]
}

// behind says whether a key comes after every other: those of new rows mostly do.
func (p *lockPoints) behind(key []byte) bool {
	return p.count == 0 || bytes.Compare(p.ends[0].key, key) < 0
}

// find returns a key's point, nil if it is not locked.
func (p *lockPoints) find(key []byte) *lockPoint {
	if n := p.seek(key); n != nil && bytes.Equal(n.key, key) {
		return n
	}
	return nil
}

// path makes p.at those of key.
func (p *lockPoints) path(key []byte) {
	if p.fits(key) {
		return
	}
	if p.behind(key) && p.count > 0 {
		p.at = p.ends
		return
	}
	x := &p.head
	for i := p.level - 1; i >= 0; i-- {
		for x.next[i] != nil && bytes.Compare(x.next[i].key, key) < 0 {
			x = x.next[i]
		}
		p.at[i] = x
	}
}

// fits says that p.at are those of key: between the two points where the key before was, there is
// nothing in any level.
func (p *lockPoints) fits(key []byte) bool {
	x := p.at[0]
	if x == nil || x != &p.head && bytes.Compare(x.key, key) >= 0 {
		return false
	}
	return x.next[0] == nil || bytes.Compare(x.next[0].key, key) >= 0
}

// findOrInsert returns a key's point, one without holders where it was not locked.
func (p *lockPoints) findOrInsert(key []byte) *lockPoint {
	p.path(key)
	if p.level > 0 {
		if n := p.at[0].next[0]; n != nil && bytes.Equal(n.key, key) {
			return n
		}
	}
	n := p.spare()
	n.key = append(n.key[:0], key...)
	for ; p.level < len(n.next); p.level++ {
		if len(p.head.next) <= p.level {
			p.head.next = append(p.head.next, nil)
		}
		p.at[p.level] = &p.head
	}
	for i := range n.next {
		if n.next[i] = p.at[i].next[i]; n.next[i] == nil {
			p.ends[i] = n
		}
		p.at[i].next[i] = n
	}
	p.count++
	return n
}

func (p *lockPoints) spare() *lockPoint {
	if last := len(p.free) - 1; last >= 0 {
		n := p.free[last]
		p.free[last] = nil
		p.free = p.free[:last]
		return n
	}
	height := 1
	for height < lockLevels && rand.Uint32()&3 == 0 {
		height++
	}
	return &lockPoint{next: make([]*lockPoint, height)}
}

// remove takes a point out.
func (p *lockPoints) remove(n *lockPoint) {
	p.path(n.key)
	for i := range n.next {
		if p.at[i].next[i] = n.next[i]; n.next[i] == nil {
			p.ends[i] = p.at[i]
		}
		n.next[i] = nil
	}
	p.count--
	if len(p.free) < lockFreeList && cap(n.key) <= 1024 {
		n.holders = n.holders[:0]
		p.free = append(p.free, n)
	}
}

// clear takes all points out.
func (p *lockPoints) clear() {
	*p = lockPoints{free: p.free}
}

// keySpan is the keys of [start, end).
type keySpan struct{ start, end []byte }

// rangeSet is a set of keys as ranges in order that do not touch.
type rangeSet []keySpan

// from is the place of the first range that ends after key.
func (s rangeSet) from(key []byte) int {
	return sort.Search(len(s), func(i int) bool { return bytes.Compare(s[i].end, key) > 0 })
}

func (s rangeSet) holds(key []byte) bool {
	i := s.from(key)
	return i < len(s) && bytes.Compare(s[i].start, key) <= 0
}

func (s rangeSet) covers(start, end []byte) bool {
	i := s.from(start)
	return i < len(s) && bytes.Compare(s[i].start, start) <= 0 && bytes.Compare(end, s[i].end) <= 0
}

func (s rangeSet) overlaps(start, end []byte) bool {
	i := s.from(start)
	return i < len(s) && bytes.Compare(s[i].start, end) < 0
}

// add puts [start, end) in, which it copies, and joins what it touches.
func (s *rangeSet) add(start, end []byte) {
	old := *s
	i := sort.Search(len(old), func(i int) bool { return bytes.Compare(old[i].end, start) >= 0 })
	j := i
	for j < len(old) && bytes.Compare(old[j].start, end) <= 0 {
		j++
	}
	if i == j {
		*s = slices.Insert(old, i, keySpan{append([]byte{}, start...), append([]byte{}, end...)})
		return
	}
	// The buffers of the set are its own: a scan's range grows without allocating.
	first, last := &old[i], &old[j-1]
	if bytes.Compare(start, first.start) < 0 {
		first.start = append(first.start[:0], start...)
	}
	if bytes.Compare(last.end, end) < 0 {
		first.end = append(first.end[:0], end...)
	} else {
		first.end = last.end
	}
	*s = slices.Delete(old, i+1, j)
}
