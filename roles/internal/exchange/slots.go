package exchange

import "sync"

// slots are the right to compute: as many handshakes as there are loops do so at a time,
// the others wait here. Handshakes that have waited for their peer, and those with
// servers, come first, in order. Of the new ones the newest is next: in a flood of them
// somebody who comes now is served now, and not behind thousands that will never answer;
// what waits for too long is stopped by its deadline. Goroutines use it, loops never.
type slots struct {
	mu    sync.Mutex
	free  int
	begun queue
	fresh queue
}

// queue is a list of those that wait, linked so that any can leave.
type queue struct{ first, last *turn }

// turn is the place of one handshake in a queue.
type turn struct {
	in         *queue // nil: in none
	prev, next *turn
	granted    chan struct{} // holds 1
}

func newSlots(n int) *slots { return &slots{free: n} }

// take waits for a slot; false: quit was closed before there was one.
func (s *slots) take(t *turn, begun bool, quit <-chan struct{}) bool {
	s.mu.Lock()
	if s.free > 0 {
		s.free--
		s.mu.Unlock()
		return true
	}
	q := &s.fresh
	if begun {
		q = &s.begun
	}
	q.add(t)
	s.mu.Unlock()
	select {
	case <-t.granted:
		return true
	case <-quit:
		s.leave(t)
		return false
	}
}

// leave takes t out of its queue, or gives back the slot that it got at the same moment.
func (s *slots) leave(t *turn) {
	s.mu.Lock()
	waiting := t.in != nil
	if waiting {
		t.in.remove(t)
	}
	s.mu.Unlock()
	if !waiting {
		<-t.granted
		s.give()
	}
}

// give hands a slot to the next one.
func (s *slots) give() {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.begun.first
	if next == nil {
		next = s.fresh.last
	}
	if next == nil {
		s.free++
		return
	}
	next.in.remove(next)
	next.granted <- struct{}{}
}

func (q *queue) add(t *turn) {
	t.in, t.prev = q, q.last
	if q.last != nil {
		q.last.next = t
	} else {
		q.first = t
	}
	q.last = t
}

func (q *queue) remove(t *turn) {
	if t.prev != nil {
		t.prev.next = t.next
	} else {
		q.first = t.next
	}
	if t.next != nil {
		t.next.prev = t.prev
	} else {
		q.last = t.prev
	}
	t.in, t.prev, t.next = nil, nil, nil
}
