package txn

import (
	"cmp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// breakDeadlocks looks for circles of owners that wait for each other through q, which
// has just begun to wait. In each it ends the wait of one owner with ErrDeadlock: of those
// that are not spared, if there are any, the one that has written least. A circle that q
// does not close existed before, and was found then.
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
func findCircle(q *lockRequest) []*lockRequest { return findWay(q, q.owner) }

// findWay returns requests from q on, each of which waits for the owner of the next, the last for
// the owner that is looked for; nil if there are none.
func findWay(q *lockRequest, wanted *Owner) []*lockRequest {
	seen := map[*Owner]bool{}
	var path []*lockRequest
	var visit func(r *lockRequest) bool
	visit = func(r *lockRequest) bool {
		path = append(path, r)
		r.keys.mu.Lock()
		var next []*Owner
		if !r.ended() {
			next = r.keys.blockers(r, seen)
		}
		r.keys.mu.Unlock()
		if slices.Contains(next, wanted) {
			return true
		}
		// All of them are looked at from here: those that they lead to need not find them again.
		next = slices.DeleteFunc(next, func(o *Owner) bool {
			twice := seen[o]
			seen[o] = true
			return twice
		})
		for _, o := range next {
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

// WaitsFor says whether the transaction waits for another one, or for one that does. Both may be
// asked by anybody.
func (t *Txn) WaitsFor(other *Txn) bool {
	q := t.owner.waiting.Load()
	return q != nil && findWay(q, &other.owner) != nil
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
		if r.ended() || next.ended() || !r.keys.waitsFor(r, next.owner) {
			return nil
		}
		if r.owner.rather(victim.owner) {
			victim = r
		}
	}
	l.lastDeadlock.Store(newDeadlock(circle, victim))
	victim.keys.leave(victim, ErrDeadlock)
	l.deadlocks.Add(1)
	return victim
}

// rather says whether a deadlock should end with o and not with other: definitions are
// changed by one statement that clients do not run again, rows by transactions that they do.
func (o *Owner) rather(other *Owner) bool {
	if a, b := o.spared.Load(), other.spared.Load(); a != b {
		return b
	}
	return o.writes.Load() < other.writes.Load()
}

// Deadlock is the story of one: each of the requests waited for the owner of the next, the
// last for that of the first.
type Deadlock struct {
	At       time.Time
	Requests []DeadlockRequest
	Victim   int // index of the request that was ended
}

// DeadlockRequest is a request in a deadlock.
type DeadlockRequest struct {
	Client    uint32 // 0: not known
	Statement string // at most deadlockText bytes of it
	Writes    int64  // rows that its transaction had written
	Waited    time.Duration
	Lock      LockedKeys
}

// deadlockText bounds what is kept of a statement, in bytes.
const deadlockText = 1024

// newDeadlock tells of a circle. The locks of all spaces concerned are held, so that each of the
// owners stands where it waits.
func newDeadlock(circle []*lockRequest, victim *lockRequest) *Deadlock {
	d := &Deadlock{At: time.Now()}
	for i, r := range circle {
		if r == victim {
			d.Victim = i
		}
		q := DeadlockRequest{Writes: r.owner.writes.Load(), Waited: d.At.Sub(r.since), Lock: r.asked()}
		if c := r.owner.client; c != nil {
			q.Client = c.ID
			if text := c.Statement.Load(); text != nil {
				q.Statement = clip(*text, deadlockText)
			}
		}
		d.Requests = append(d.Requests, q)
	}
	return d
}

// clip cuts a text to n bytes, not within a character.
func clip(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return strings.Clone(text[:n])
}
