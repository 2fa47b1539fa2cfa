package txn

import (
	"cmp"
	"slices"
)

// breakDeadlocks looks for circles of owners that wait for each other through q, which
// has just begun to wait. In each it ends the wait of the owner that has written least
// with ErrDeadlock. A circle that q does not close existed before, and was found then.
func (l *locks) breakDeadlocks(q *lockRequest) {
	l.search.Lock()
	defer l.search.Unlock()
	for {
		circle := findCircle(q)
		if circle == nil {
			return
		}
		if l.breakCircle(circle) == q {
			return
		}
	}
}

// findCircle returns requests each of which waits for the owner of the next, the last
// for that of the first, which is q; nil if there are none. Others take and release
// locks meanwhile: what it finds must be looked at again.
func findCircle(q *lockRequest) []*lockRequest {
	seen := map[*Owner]bool{}
	var path []*lockRequest
	var visit func(r *lockRequest) bool
	visit = func(r *lockRequest) bool {
		path = append(path, r)
		r.keys.mu.Lock()
		var next []*Owner
		if !r.ended() {
			next = r.keys.blockers(r)
		}
		r.keys.mu.Unlock()
		for _, o := range next {
			if o == q.owner {
				return true
			}
			if seen[o] {
				continue
			}
			seen[o] = true
			if w := o.waiting.Load(); w != nil && visit(w) {
				return true
			}
		}
		path = path[:len(path)-1]
		return false
	}
	if visit(q) {
		return path
	}
	return nil
}

// breakCircle ends one of the requests if all still wait for each other, and returns
// it. It holds the locks of all spaces concerned at once, which nobody else does.
func (l *locks) breakCircle(circle []*lockRequest) *lockRequest {
	var spaces []*keyLocks
	for _, r := range circle {
		if !slices.Contains(spaces, r.keys) {
			spaces = append(spaces, r.keys)
		}
	}
	slices.SortFunc(spaces, func(a, b *keyLocks) int { return cmp.Compare(a.space, b.space) })
	for _, k := range spaces {
		k.mu.Lock()
		defer k.mu.Unlock()
	}
	victim := circle[0]
	for i, r := range circle {
		next := circle[(i+1)%len(circle)]
		if r.ended() || next.ended() || !slices.Contains(r.keys.blockers(r), next.owner) {
			return nil
		}
		if r.owner.writes.Load() < victim.owner.writes.Load() {
			victim = r
		}
	}
	victim.keys.leave(victim, ErrDeadlock)
	l.deadlocks.Add(1)
	return victim
}
