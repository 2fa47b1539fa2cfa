package txn

import (
	"context"
	"sync"
	"time"

	"stack/roles/db/store"
)

// LockMode says how a lock is shared.
type LockMode int

const (
	Shared    LockMode = iota // with other shared locks
	Exclusive                 // with none
)

// Owner is who holds locks: a transaction. One goroutine at a time uses it.
type Owner struct {
	holds bool
}

// Locks is the lock manager. Implementations are safe for concurrent use by
// different owners.
type Locks interface {
	// Lock takes the keys of r (a point where End is Start plus a zero byte) for owner
	// until ReleaseAll. Taking what the owner has is free. It waits in a fair queue and
	// returns ErrLockWaitTimeout after wait, or ctx's error when ctx ends; then nothing
	// was taken.
	Lock(ctx context.Context, owner *Owner, r store.KeyRange, mode LockMode, wait time.Duration) error
	// ReleaseAll gives back everything that owner holds.
	ReleaseAll(owner *Owner)
	// Waits is how many calls of Lock have had to wait so far, and how many wait now.
	Waits() (total, now uint64)
}

// SerialLocks lets one owner at a time hold locks, whatever the keys: writers run one
// after another, in the order in which they asked.
type SerialLocks struct {
	mu    sync.Mutex
	taken bool
	queue []*waiter
	total uint64
}

type waiter struct {
	granted chan struct{} // closed under mu when the lock is handed over
	done    bool          // granted or gone
}

// NewSerialLocks makes the lock manager under which writers run one at a time.
func NewSerialLocks() *SerialLocks { return &SerialLocks{} }

// Lock implements Locks.
func (l *SerialLocks) Lock(ctx context.Context, owner *Owner, _ store.KeyRange, _ LockMode, wait time.Duration) error {
	if owner.holds {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	l.mu.Lock()
	if !l.taken {
		l.taken, owner.holds = true, true
		l.mu.Unlock()
		return nil
	}
	w := &waiter{granted: make(chan struct{})}
	l.queue = append(l.queue, w)
	l.total++
	l.mu.Unlock()

	timer := time.NewTimer(wait)
	defer timer.Stop()
	err := error(nil)
	select {
	case <-w.granted:
	case <-ctx.Done():
		err = ctx.Err()
	case <-timer.C:
		err = ErrLockWaitTimeout
	}
	if err != nil && l.leave(w) {
		return err
	}
	// Granted, perhaps at the very moment of giving up: the lock is ours either way.
	owner.holds = true
	if err != nil {
		l.ReleaseAll(owner)
	}
	return err
}

// leave takes w out of the queue; false: the lock has been handed to it already.
func (l *SerialLocks) leave(w *waiter) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w.done {
		return false
	}
	for i, x := range l.queue {
		if x == w {
			l.queue = append(l.queue[:i], l.queue[i+1:]...)
			break
		}
	}
	w.done = true
	return true
}

// ReleaseAll implements Locks: the longest waiting owner gets the lock.
func (l *SerialLocks) ReleaseAll(owner *Owner) {
	if !owner.holds {
		return
	}
	owner.holds = false
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		l.taken = false
		return
	}
	w := l.queue[0]
	l.queue[0] = nil
	l.queue = l.queue[1:]
	w.done = true
	close(w.granted)
}

// Waits implements Locks.
func (l *SerialLocks) Waits() (total, now uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total, uint64(len(l.queue))
}

// pointRange is the range that holds one key.
func pointRange(key []byte) store.KeyRange {
	return store.KeyRange{Start: key, End: append(append(make([]byte, 0, len(key)+1), key...), 0)}
}
