package userlock

import "slices"

// Request is one for a lock that another owner held when it was made.
type Request struct {
	owner   *Owner
	lock    *lock
	granted chan struct{}
}

// Ask takes a lock like Try, or queues for it: then it returns a request, else nil. An owner
// that waits asks for nothing else before Leave. The error is ErrDeadlock or ErrTooMany.
func (o *Owner) Ask(name string) (*Request, error) {
	o.locks.mu.Lock()
	defer o.locks.mu.Unlock()
	taken, err := o.try(name)
	if taken || err != nil {
		return nil, err
	}
	k := o.locks.held[name]
	if k.owner.last() == o {
		return nil, ErrDeadlock
	}
	r := &Request{owner: o, lock: k, granted: make(chan struct{})}
	k.queue = append(k.queue, r)
	o.waits = r
	return r, nil
}

// last follows the owners, each of whom waits for the next, to the one who waits for nobody. They make no
// circle: the request that would close one is refused, and who gets a lock no longer waits.
func (o *Owner) last() *Owner {
	for o.waits != nil {
		o = o.waits.lock.owner
	}
	return o
}

// Granted is closed when the owner gets the lock.
func (r *Request) Granted() <-chan struct{} { return r.granted }

// Behind is the id of the owner for whom the request waits in the end: the one that holds the lock or, if
// that waits too, for whom it does; false if the lock has been granted.
func (r *Request) Behind() (id uint32, waits bool) {
	r.owner.locks.mu.Lock()
	defer r.owner.locks.mu.Unlock()
	if r.owner.waits != r {
		return 0, false
	}
	return r.owner.last().id, true
}

// Leave ends the wait; taken says whether the lock was granted before.
func (r *Request) Leave() (taken bool) {
	r.owner.locks.mu.Lock()
	defer r.owner.locks.mu.Unlock()
	if r.owner.waits != r {
		return true
	}
	r.owner.waits = nil
	i := slices.Index(r.lock.queue, r)
	r.lock.queue = slices.Delete(r.lock.queue, i, i+1)
	return false
}

// grant gives the first request of the queue the lock.
func (r *Request) grant() {
	r.owner.waits = nil
	r.lock.queue = slices.Delete(r.lock.queue, 0, 1)
	r.lock.give(r.owner)
	close(r.granted)
}
