package exchange

import (
	"sync"
	"sync/atomic"
)

// shakers are goroutines that have done a handshake and wait for another. Their stacks
// have grown to what crypto/tls needs; that of a new goroutine is copied four times on
// the way there.
type shakers struct {
	next  chan *secure // unbuffered: a send succeeds only if one waits
	ended chan struct{}
	once  sync.Once
	free  atomic.Int64 // how many more may wait
}

// shakersPerLoop bounds the goroutines that wait, about 32 KiB each.
const shakersPerLoop = 32

func newShakers(loops int) *shakers {
	s := &shakers{next: make(chan *secure), ended: make(chan struct{})}
	s.free.Store(int64(loops * shakersPerLoop))
	return s
}

// end lets those that wait return.
func (s *shakers) end() { s.once.Do(func() { close(s.ended) }) }

// wait returns the next handshake, or nil if the goroutine is not needed any more.
func (s *shakers) wait() *secure {
	defer s.free.Add(1)
	if s.free.Add(-1) < 0 {
		return nil
	}
	select {
	case next := <-s.next:
		return next
	case <-s.ended:
		return nil
	}
}

// shake starts a handshake. Called on a loop.
func (s *Set) shake(h *secure) {
	s.goroutines.Add(1) // counted are those that work
	select {
	case s.shakers.next <- h:
	default:
		go func() {
			for next := h; next != nil; next = s.shakers.wait() {
				next.handshake()
				s.goroutines.Done()
			}
		}()
	}
}
