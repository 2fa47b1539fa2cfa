package txn

import (
	"bytes"
	"sync"
	"sync/atomic"
	"time"
)

// keyLocks are the locks in one space and the queue for them.
type keyLocks struct {
	space lockSpace
	// version moves when an owner that may have changed keys of the space lets go of
	// them: what was read before may be out of date.
	version atomic.Uint64

	mu          sync.Mutex
	dead        bool // forgotten: another has taken its place
	points      lockPoints
	ranged      []*held // owners that hold ranges
	first, last *lockRequest
	wide        int     // requests in the queue that are for ranges
	hull        keySpan // over them, and over those before since the queue had none
}

// lockRequest is a lock that is asked for.
type lockRequest struct {
	owner      *Owner
	keys       *keyLocks
	point      bool
	start, end []byte // end is exclusive, nil for a point
	mode       LockMode

	// While it waits, under keys.mu:
	prev, next *lockRequest
	witness    *Owner // one of those that it waits for
	since      time.Time
	done       chan struct{} // closed at the end
	fresh      bool          // granted, and the point is new
	err        error
}

// ended is called under keys.mu.
func (r *lockRequest) ended() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// conflicts says whether two requests of different owners exclude each other.
func (r *lockRequest) conflicts(o *lockRequest) bool {
	if compatible(r.mode, o.mode) {
		return false
	}
	switch {
	case r.point && o.point:
		return bytes.Equal(r.start, o.start)
	case r.point:
		return bytes.Compare(o.start, r.start) <= 0 && bytes.Compare(r.start, o.end) < 0
	case o.point:
		return bytes.Compare(r.start, o.start) <= 0 && bytes.Compare(o.start, r.end) < 0
	}
	return bytes.Compare(r.start, o.end) < 0 && bytes.Compare(o.start, r.end) < 0
}

// hides says whether everything that conflicts with o conflicts with r as well.
func (r *lockRequest) hides(o *lockRequest) bool {
	if r.mode != Exclusive {
		return false
	}
	if r.point {
		return o.point
	}
	end := o.end
	if o.point {
		return bytes.Compare(r.start, o.start) <= 0 && bytes.Compare(o.start, r.end) < 0
	}
	return bytes.Compare(r.start, o.start) <= 0 && bytes.Compare(end, r.end) <= 0
}

// blocker returns an owner that r, queued or not, has to wait for; nil if there is
// none. It is the nearest one before r in the queue, so that of many who wait for one
// key each has its predecessor and the end of one wakes one.
func (k *keyLocks) blocker(r *lockRequest) *Owner {
	for w := k.before(r); w != nil; w = w.prev {
		if k.inTheWay(w, r) {
			return w.owner
		}
	}
	var found *Owner
	k.holders(r, func(o *Owner) bool { found = o; return false })
	return found
}

// blockers returns owners that r waits for and that are not known: enough of them that, with
// those that these and the known wait for in turn, none is missing.
func (k *keyLocks) blockers(r *lockRequest, known map[*Owner]bool) []*Owner {
	var list []*Owner
	for w := k.before(r); w != nil; w = w.prev {
		if known[w.owner] {
			if !w.conflicts(r) {
				continue
			}
		} else {
			if !k.inTheWay(w, r) {
				continue
			}
			list = append(list, w.owner)
		}
		// What w waits for hides the rest, unless w jumps over some of it.
		if w.hides(r) && !k.jumps(w, r) {
			return list
		}
	}
	k.holders(r, func(o *Owner) bool {
		if !known[o] {
			list = append(list, o)
		}
		return true
	})
	return list
}

// jumps says whether w, which hides r, may go before a request before it that r must stay behind: one
// that waits for a lock of w's owner.
func (k *keyLocks) jumps(w, r *lockRequest) bool {
	h := w.owner.in(k)
	if h == nil {
		return false
	}
	return r.point && h.holdsPoint(r.start, Shared) || k.wide > 0 && h.touches(k.hull)
}

// waitsFor says whether r waits for an owner itself.
func (k *keyLocks) waitsFor(r *lockRequest, o *Owner) (found bool) {
	for w := k.before(r); w != nil; w = w.prev {
		if w.owner == o && k.inTheWay(w, r) {
			return true
		}
	}
	k.holders(r, func(x *Owner) bool { found = x == o; return !found })
	return found
}

func (k *keyLocks) before(r *lockRequest) *lockRequest {
	if r.done == nil {
		return k.last
	}
	return r.prev
}

// inTheWay says whether r must stay behind w in the queue: not where w waits for a lock
// that r's owner holds.
func (k *keyLocks) inTheWay(w, r *lockRequest) bool {
	if w.owner == r.owner || !w.conflicts(r) {
		return false
	}
	if h := r.owner.in(k); h != nil && h.conflicts(w) {
		return false
	}
	return true
}

// holders calls each for the owners whose locks exclude r, until it returns false. An
// owner may come more than once.
func (k *keyLocks) holders(r *lockRequest, each func(*Owner) bool) {
	if r.point {
		if n := k.points.find(r.start); n != nil && !n.excluding(r, each) {
			return
		}
	} else {
		for n := k.points.seek(r.start); n != nil && bytes.Compare(n.key, r.end) < 0; n = n.next[0] {
			if !n.excluding(r, each) {
				return
			}
		}
	}
	for _, h := range k.ranged {
		if h.owner != r.owner && h.rangeConflicts(r) && !each(h.owner) {
			return
		}
	}
}

func (n *lockPoint) excluding(r *lockRequest, each func(*Owner) bool) bool {
	for _, x := range n.holders {
		if x.h.owner != r.owner && !compatible(x.mode, r.mode) && !each(x.h.owner) {
			return false
		}
	}
	return true
}

// grant gives the lock to its owner and reports whether it is a point that the owner
// did not hold in any mode.
func (k *keyLocks) grant(r *lockRequest) bool {
	h := r.owner.in(k)
	if h == nil {
		h = &held{owner: r.owner, keys: k}
		r.owner.held = append(r.owner.held, h)
	}
	if r.mode == Exclusive {
		h.exclusive = true
	}
	if !r.point {
		h.addRange(r.start, r.end, r.mode)
		return false
	}
	n := k.points.findOrInsert(r.start)
	for i := range n.holders {
		if n.holders[i].h == h {
			n.holders[i].mode = max(n.holders[i].mode, r.mode)
			return false
		}
	}
	n.holders = append(n.holders, lockHolder{h, r.mode})
	h.points = append(h.points, n)
	return true
}

func (k *keyLocks) enqueue(q *lockRequest) {
	q.prev = k.last
	if k.last != nil {
		k.last.next = q
	} else {
		k.first = q
	}
	k.last = q
	if !q.point {
		k.widen(q)
	}
	q.owner.waiting.Store(q)
}

// widen counts a request for a range.
func (k *keyLocks) widen(q *lockRequest) {
	if k.wide++; k.wide == 1 {
		k.hull = keySpan{q.start, q.end}
		return
	}
	if bytes.Compare(q.start, k.hull.start) < 0 {
		k.hull.start = q.start
	}
	if bytes.Compare(q.end, k.hull.end) > 0 {
		k.hull.end = q.end
	}
}

func (k *keyLocks) remove(q *lockRequest) {
	if q.prev != nil {
		q.prev.next = q.next
	} else {
		k.first = q.next
	}
	if q.next != nil {
		q.next.prev = q.prev
	} else {
		k.last = q.prev
	}
	q.prev, q.next = nil, nil
	if !q.point {
		k.wide--
	}
	q.owner.waiting.Store(nil)
}

// leave ends a waiting request with an error.
func (k *keyLocks) leave(q *lockRequest, err error) {
	k.remove(q)
	q.err = err
	close(q.done)
	k.wake(q.owner)
}

// wake grants, in order, what waited for an owner and waits for nobody any more.
func (k *keyLocks) wake(o *Owner) {
	for w, next := k.first, (*lockRequest)(nil); w != nil; w = next {
		next = w.next
		if w.witness != o {
			continue
		}
		if w.witness = k.blocker(w); w.witness == nil {
			k.remove(w)
			w.fresh = k.grant(w)
			close(w.done)
		}
	}
}
