package userlock

import (
	"errors"
	"strings"
	"sync"
)

// MaxHeld is how many names one owner may hold at a time: each takes some hundred bytes.
const MaxHeld = 10_000

var (
	// ErrDeadlock is the answer to a request that would wait for its own owner.
	ErrDeadlock = errors.New("the request would wait for its own owner")
	// ErrTooMany is the answer to an owner of MaxHeld names that asks for another.
	ErrTooMany = errors.New("the owner holds as many user-level locks as it may: release some")
)

// Locks are the named locks of a server; the zero value has none. A name is kept only while its
// lock is held. The methods, and those of owners and requests, may be called from many goroutines.
type Locks struct {
	mu   sync.Mutex
	held map[string]*lock // by name; nil: none
}

// lock is one that is held.
type lock struct {
	name  string
	owner *Owner
	times int        // that the owner has taken it and not released it
	queue []*Request // who waits, in the order of asking
}

// Owner takes locks. It waits for one at most.
type Owner struct {
	id    uint32
	locks *Locks
	held  map[*lock]struct{} // nil: none
	waits *Request           // nil: it does not
}

// Owner makes an owner; id is what others are told of it.
func (l *Locks) Owner(id uint32) *Owner { return &Owner{id: id, locks: l} }

// HolderOf is the id of the owner of a lock, false if it is free.
func (l *Locks) HolderOf(name string) (id uint32, held bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.held[name]
	if k == nil {
		return 0, false
	}
	return k.owner.id, true
}

// Try takes a lock, or takes it once more, if that does not need waiting; taken says whether it has.
// The error is ErrTooMany.
func (o *Owner) Try(name string) (taken bool, err error) {
	o.locks.mu.Lock()
	defer o.locks.mu.Unlock()
	return o.try(name)
}

func (o *Owner) try(name string) (bool, error) {
	k := o.locks.held[name]
	switch {
	case k != nil && k.owner == o:
		k.times++
		return true, nil
	case len(o.held) >= MaxHeld:
		return false, ErrTooMany
	case k != nil:
		return false, nil
	}
	k = &lock{name: strings.Clone(name)} // a part of a statement would keep all of it
	if o.locks.held == nil {
		o.locks.held = map[string]*lock{}
	}
	o.locks.held[k.name] = k
	k.give(o)
	return true, nil
}

// give makes o, who does not hold it, the owner of the lock.
func (k *lock) give(o *Owner) {
	k.owner, k.times = o, 1
	if o.held == nil {
		o.held = map[*lock]struct{}{}
	}
	o.held[k] = struct{}{}
}

// Release gives a lock back once; released is false where o does not hold it, exists false where
// nobody does.
func (o *Owner) Release(name string) (released, exists bool) {
	o.locks.mu.Lock()
	defer o.locks.mu.Unlock()
	k := o.locks.held[name]
	if k == nil || k.owner != o {
		return false, k != nil
	}
	if k.times--; k.times == 0 {
		o.free(k)
	}
	return true, true
}

// ReleaseAll gives all locks of the owner back and returns how often they had been taken.
func (o *Owner) ReleaseAll() (times int) {
	o.locks.mu.Lock()
	defer o.locks.mu.Unlock()
	for k := range o.held {
		times += k.times
		o.free(k)
	}
	return times
}

// free gives a lock to the next in the queue, or forgets it. Maps that are empty are given up:
// they do not shrink.
func (o *Owner) free(k *lock) {
	if delete(o.held, k); len(o.held) == 0 {
		o.held = nil
	}
	if len(k.queue) > 0 {
		k.queue[0].grant()
		return
	}
	if delete(o.locks.held, k.name); len(o.locks.held) == 0 {
		o.locks.held = nil
	}
}
