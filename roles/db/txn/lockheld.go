package txn

import (
	"bytes"
	"slices"
)

// held is what an owner holds in one space. It is changed under keys.mu.
type held struct {
	owner     *Owner
	keys      *keyLocks
	points    []*lockPoint // in the order of taking
	x, s      rangeSet
	exclusive bool // held something exclusively
	escalate  int  // number of points, or of ranges, at which to try one range again
}

// in is what the owner holds in a space, nil if nothing. Owners hold locks in few.
func (o *Owner) in(k *keyLocks) *held {
	for _, h := range o.held {
		if h.keys == k {
			return h
		}
	}
	return nil
}

// holdsPoint says whether the owner has a key in this mode or a stronger one.
func (h *held) holdsPoint(key []byte, mode LockMode) bool {
	if h.x.holds(key) || mode == Shared && h.s.holds(key) {
		return true
	}
	n := h.keys.points.find(key)
	if n == nil {
		return false
	}
	i := slices.IndexFunc(n.holders, func(x lockHolder) bool { return x.h == h })
	return i >= 0 && n.holders[i].mode >= mode
}

// covers says whether ranges of the owner hold all of [start, end) in this mode.
func (h *held) covers(start, end []byte, mode LockMode) bool {
	return h.x.covers(start, end) || mode == Shared && h.s.covers(start, end)
}

// conflicts says whether a lock of the owner excludes another owner's request.
func (h *held) conflicts(r *lockRequest) bool {
	if h.rangeConflicts(r) {
		return true
	}
	own := func(n *lockPoint) bool {
		return slices.ContainsFunc(n.holders, func(x lockHolder) bool { return x.h == h && !compatible(x.mode, r.mode) })
	}
	if r.point {
		n := h.keys.points.find(r.start)
		return n != nil && own(n)
	}
	for n := h.keys.points.seek(r.start); n != nil && bytes.Compare(n.key, r.end) < 0; n = n.next[0] {
		if own(n) {
			return true
		}
	}
	return false
}

func (h *held) rangeConflicts(r *lockRequest) bool {
	if r.point {
		return h.x.holds(r.start) || r.mode == Exclusive && h.s.holds(r.start)
	}
	return h.x.overlaps(r.start, r.end) || r.mode == Exclusive && h.s.overlaps(r.start, r.end)
}

// touches says whether the owner holds something in a range, or so many points that one may be.
func (h *held) touches(r keySpan) bool {
	const few = 64
	return len(h.points) > few || h.x.overlaps(r.start, r.end) || h.s.overlaps(r.start, r.end) ||
		slices.ContainsFunc(h.points, func(n *lockPoint) bool {
			return bytes.Compare(r.start, n.key) <= 0 && bytes.Compare(n.key, r.end) < 0
		})
}

func (h *held) addRange(start, end []byte, mode LockMode) {
	if len(h.x) == 0 && len(h.s) == 0 {
		h.keys.ranged = append(h.keys.ranged, h)
	}
	h.ranges(mode).add(start, end)
}

// ranges are those taken in a mode.
func (h *held) ranges(mode LockMode) *rangeSet {
	if mode == Exclusive {
		return &h.x
	}
	return &h.s
}

// dropPoint gives back a point; false where the owner has none of this key.
func (h *held) dropPoint(key []byte) bool {
	for i := len(h.points) - 1; i >= 0; i-- {
		if n := h.points[i]; bytes.Equal(n.key, key) {
			h.points = slices.Delete(h.points, i, i+1)
			h.letGo(n)
			return true
		}
	}
	return false
}

func (h *held) letGo(n *lockPoint) {
	n.holders = slices.DeleteFunc(n.holders, func(x lockHolder) bool { return x.h == h })
	if len(n.holders) == 0 {
		h.keys.points.remove(n)
	}
}

func (h *held) dropAll() {
	if h.alone() {
		h.keys.points.clear()
	} else {
		for _, n := range h.points {
			h.letGo(n)
		}
	}
	if len(h.x) > 0 || len(h.s) > 0 {
		k := h.keys
		k.ranged = slices.DeleteFunc(k.ranged, func(x *held) bool { return x == h })
	}
	h.points, h.x, h.s = nil, nil, nil
	if h.exclusive && h.owner.writes.Load() > 0 {
		h.keys.version.Add(1)
	}
}

// alone says whether all points of the space are the owner's and nobody else's, as those
// of a bulk load are.
func (h *held) alone() bool {
	if len(h.points) < 64 || len(h.points) != h.keys.points.count {
		return false // few are taken out one by one, and their memory is used again
	}
	return !slices.ContainsFunc(h.points, func(n *lockPoint) bool { return len(n.holders) != 1 })
}

// hull is the request for a range over all points of the owner, which it has.
func (h *held) hull() lockRequest {
	r := lockRequest{owner: h.owner, keys: h.keys, start: h.points[0].key, mode: Shared}
	last := h.points[0].key
	for _, n := range h.points {
		if bytes.Compare(n.key, r.start) < 0 {
			r.start = n.key
		}
		if bytes.Compare(n.key, last) > 0 {
			last = n.key
		}
		for _, x := range n.holders {
			if x.h == h {
				r.mode = max(r.mode, x.mode)
			}
		}
	}
	r.start, r.end = bytes.Clone(r.start), pointRange(last).End
	return r
}

// hullOf is the request for a range over all ranges of a mode that the owner has.
func (h *held) hullOf(mode LockMode) lockRequest {
	s := *h.ranges(mode)
	return lockRequest{
		owner: h.owner, keys: h.keys, start: bytes.Clone(s[0].start), end: bytes.Clone(s[len(s)-1].end), mode: mode,
	}
}

// absorb gives back the points that ranges of the owner hold as well.
func (h *held) absorb() {
	rest := h.points[:0]
	for _, n := range h.points {
		if h.x.holds(n.key) || len(n.holders) == 1 && n.holders[0].mode == Shared && h.s.holds(n.key) {
			h.letGo(n)
		} else {
			rest = append(rest, n)
		}
	}
	clear(h.points[len(rest):])
	h.points, h.escalate = rest, 0
}
