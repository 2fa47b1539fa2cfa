package txn

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"stack/roles/db/store"
)

// LockMode says how a lock is shared.
type LockMode int

const (
	Shared    LockMode = iota // with other shared locks
	Exclusive                 // with none
)

// compatible says whether two owners may hold overlapping locks.
func compatible(a, b LockMode) bool { return a == Shared && b == Shared }

// noWait as a wait for a lock means: fail with ErrLocked instead of waiting.
const noWait time.Duration = -1

// escalateAt is how many points, or ranges of a mode, an owner may lock in one space before
// they become one range.
const escalateAt = 50_000

// lockSpace names an ordered set of keys in which locks are taken.
type lockSpace uint64

// indexSpace is the keys of an index: rows and entries, and the gaps between them.
func indexSpace(index uint32) lockSpace { return lockSpace(index) }

// tableSpace holds one point, the definition of a table.
func tableSpace(table uint32) lockSpace { return lockSpace(table) | 1<<32 }

// changeSpace holds one point, for which the statements that change a table's definition
// queue up: behind it, a change that takes long holds up no writer.
func changeSpace(table uint32) lockSpace { return lockSpace(table) | 3<<32 }

// catalogSpace holds one point, for which those who change the catalog queue up.
const catalogSpace lockSpace = 2 << 32

// ofTable says whether a space belongs to a table's definition.
func (s lockSpace) ofTable() bool { return s>>32 == 1 }

// ofChange says whether a space is that of the changes of a table's definition.
func (s lockSpace) ofChange() bool { return s>>32 == 3 }

// wholeKey is the only key of the spaces that hold one.
var wholeKey = []byte{}

// Owner is who holds locks: a transaction. One goroutine at a time uses it.
type Owner struct {
	held    []*held
	waiting atomic.Pointer[lockRequest] // what it waits for, nil if nothing
	writes  atomic.Int64                // rows written: the owner with the fewest is the victim of a deadlock
	spared  atomic.Bool                 // but not this one, where another can be
	client  *Client                     // nil: not known
}

// locks is the lock manager: points and ranges of keys in spaces, shared or exclusive,
// in fair queues. A request waits for every lock of another owner that it overlaps,
// unless both are shared, and for every request before it in the queue that it
// overlaps so; except for requests that wait for the asking owner itself, behind which
// it could only deadlock. Its methods may be called by many owners at a time.
type locks struct {
	spaces sync.Map   // lockSpace → *keyLocks
	search sync.Mutex // held by the one search for a deadlock that runs
	limit  int        // escalateAt, but in tests

	total        atomic.Uint64
	now          atomic.Int64
	tableWaiters atomic.Int64 // requests that wait in table spaces
	deadlocks    atomic.Uint64
	lastDeadlock atomic.Pointer[Deadlock]

	rowWaits                 atomic.Uint64 // of total, those for rows
	rowWait, rowWaitMost     atomic.Int64  // nanoseconds: all waits for rows so far, the longest
	tableWait, tableWaitMost atomic.Int64  // for definitions of tables and the catalog
}

func newLocks() *locks { return &locks{limit: escalateAt} }

// at returns a space's locks.
func (l *locks) at(space lockSpace) *keyLocks {
	if k, ok := l.spaces.Load(space); ok {
		return k.(*keyLocks)
	}
	k, _ := l.spaces.LoadOrStore(space, &keyLocks{space: space})
	return k.(*keyLocks)
}

// enter returns a space's locks with its mutex held.
func (l *locks) enter(space lockSpace) *keyLocks {
	for {
		k := l.at(space)
		if k.mu.Lock(); !k.dead {
			return k
		}
		k.mu.Unlock()
	}
}

// forget drops the memory of a space where nothing is locked. An index whose keys
// somebody may still read must not be forgotten: its version would begin anew.
func (l *locks) forget(space lockSpace) {
	k := l.enter(space)
	defer k.mu.Unlock()
	if k.first == nil && len(k.ranged) == 0 && k.points.seek(nil) == nil {
		k.dead = true
		l.spaces.Delete(space)
	}
}

// point locks one key until releaseAll. It returns whether the owner did not have the
// lock before, so that unlock may give it back. It waits up to wait in a fair queue.
// Errors, with which nothing was taken: ErrLockWaitTimeout, ErrLocked (noWait only),
// ErrDeadlock, ctx's.
func (l *locks) point(ctx context.Context, o *Owner, space lockSpace, key []byte, mode LockMode, wait time.Duration) (bool, error) {
	k := l.enter(space)
	h := o.in(k)
	if h != nil && h.holdsPoint(key, mode) {
		k.mu.Unlock()
		return false, nil
	}
	fresh, err := l.acquire(ctx, k, lockRequest{owner: o, keys: k, point: true, start: key, mode: mode}, wait)
	if err == nil && fresh {
		if h = o.in(k); h != nil && len(h.points) >= max(h.escalate, l.limit) {
			err = l.escalate(ctx, h, len(h.points), h.hull, wait)
		}
	}
	return fresh, err
}

// span locks the keys of a range, those that are there and those that are not, as point
// does one.
func (l *locks) span(ctx context.Context, o *Owner, space lockSpace, r store.KeyRange, mode LockMode, wait time.Duration) error {
	if bytes.Compare(r.Start, r.End) >= 0 {
		return nil
	}
	k := l.enter(space)
	if h := o.in(k); h != nil && h.covers(r.Start, r.End, mode) {
		k.mu.Unlock()
		return nil
	}
	_, err := l.acquire(ctx, k, lockRequest{owner: o, keys: k, start: r.Start, end: r.End, mode: mode}, wait)
	if err != nil {
		return err
	}
	h := o.in(k)
	n := len(*h.ranges(mode))
	if n < max(h.escalate, l.limit) {
		return nil
	}
	return l.escalate(ctx, h, n, func() lockRequest { return h.hullOf(mode) }, wait)
}

// acquire takes a lock that the owner lacks. k.mu is held and is given back. It reports
// whether a point is new: not one whose mode became stronger.
func (l *locks) acquire(ctx context.Context, k *keyLocks, r lockRequest, wait time.Duration) (bool, error) {
	b := k.blocker(&r)
	if b == nil {
		fresh := k.grant(&r)
		k.mu.Unlock()
		return fresh, nil
	}
	if wait == noWait || ctx.Err() != nil {
		k.mu.Unlock()
		if err := ctx.Err(); err != nil {
			return false, err
		}
		return false, ErrLocked
	}
	q := &r
	onlyTables := !slices.ContainsFunc(r.owner.held, func(h *held) bool { return !h.keys.space.ofTable() })
	nothing := len(r.owner.held) == 0
	q.start, q.end = append([]byte{}, r.start...), append([]byte(nil), r.end...)
	q.done, q.witness = make(chan struct{}), b
	k.enqueue(q)
	l.total.Add(1)
	l.now.Add(1)
	defer l.now.Add(-1)
	if k.space.ofTable() {
		l.tableWaiters.Add(1)
		defer l.tableWaiters.Add(-1)
	} else if k.space != catalogSpace {
		l.rowWaits.Add(1)
	}
	q.since = time.Now()
	defer func() { l.waited(q.owner, k.space, time.Since(q.since)) }()
	k.mu.Unlock()

	// Nobody waits for an owner that holds nothing that somebody could wait for.
	if !nothing && (!onlyTables || l.tableWaiters.Load() > 0) {
		l.breakDeadlocks(q)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	var err error
	select {
	case <-q.done:
		return q.fresh, q.err
	case <-ctx.Done():
		err = ctx.Err()
	case <-timer.C:
		err = ErrLockWaitTimeout
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if !q.ended() {
		k.leave(q, err)
	}
	return q.fresh, q.err // granted at the very moment of giving up: the lock is ours
}

// unlock gives back a point that point has just taken anew.
func (l *locks) unlock(o *Owner, space lockSpace, key []byte) {
	k := l.enter(space)
	defer k.mu.Unlock()
	if h := o.in(k); h != nil && h.dropPoint(key) {
		k.wake(o)
	}
}

// releaseAll gives back everything that an owner holds. What a writer held exclusively it
// may have changed: the versions of those spaces move.
func (l *locks) releaseAll(o *Owner) {
	for i, h := range o.held {
		k := h.keys
		k.mu.Lock()
		h.dropAll()
		k.wake(o)
		k.mu.Unlock()
		o.held[i] = nil
	}
	o.held = o.held[:0]
}

// waits is how many requests have had to wait so far, and how many wait now.
func (l *locks) waits() (total, now uint64) {
	return l.total.Load(), uint64(max(l.now.Load(), 0))
}

// escalate turns the n points, or ranges, that an owner holds in a space into one range from
// the first to the last, which hull asks for. Where others are in the way it goes on without,
// up to four times the limit; then it waits for them.
func (l *locks) escalate(ctx context.Context, h *held, n int, hull func() lockRequest, wait time.Duration) error {
	k := h.keys
	k.mu.Lock()
	r := hull()
	if k.blocker(&r) == nil {
		k.grant(&r)
		h.absorb()
		k.mu.Unlock()
		return nil
	}
	h.escalate = n + l.limit/10
	if n < 4*l.limit || wait == noWait {
		k.mu.Unlock()
		return nil
	}
	if _, err := l.acquire(ctx, k, r, wait); err != nil { // gives k.mu back
		return err
	}
	k.mu.Lock()
	h.absorb()
	k.mu.Unlock()
	return nil
}

// pointRange is the range that holds one key.
func pointRange(key []byte) store.KeyRange {
	return store.KeyRange{Start: key, End: append(append(make([]byte, 0, len(key)+1), key...), 0)}
}
