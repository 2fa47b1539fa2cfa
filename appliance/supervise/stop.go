package supervise

import (
	"context"
	"sync"
	"time"
)

// stop drains every role in the reverse order of the start, closes what is not done at
// the deadline, and leaves no process behind. A role that is not done after its share of
// the time goes on draining while the next begins: in a process with several roles it may
// wait for just that one, as a balancer waits for database sessions that web keeps open.
func (s *supervisor) stop() error {
	s.tasks.Wait() // s.ctx is done: nothing starts any more
	return s.exclusive(context.Background(), func() error {
		for _, sl := range s.slots() {
			if err := sl.take(context.Background()); err != nil {
				return err
			}
			defer sl.give()
		}
		limit := time.Duration(0)
		for _, n := range s.nodeList() {
			limit = max(limit, stopTimeout(n.Config()))
		}
		deadline := time.Now().Add(limit)
		var all sync.WaitGroup
		for i := len(s.opt.Specs) - 1; i >= 0; i-- {
			done := s.stopRole(&s.opt.Specs[i], deadline)
			all.Go(func() { <-done })
			share := time.NewTimer(time.Until(deadline) / time.Duration(i+1))
			select {
			case <-done:
			case <-share.C:
			}
			share.Stop()
		}
		all.Wait()
		for _, n := range s.nodeList() {
			n.stopAdmin()
		}
		return nil
	})
}

// stopRole begins to end one role in all nodes; done is closed when it has ended.
func (s *supervisor) stopRole(spec *Spec, deadline time.Time) (done chan struct{}) {
	done = make(chan struct{})
	var wg sync.WaitGroup
	for _, sl := range s.slots() {
		if sl.spec.Name != spec.Name {
			continue
		}
		sl.mu.Lock()
		sl.removed = true
		sl.mu.Unlock()
		current := sl.serving()
		for _, c := range sl.living() {
			wg.Go(func() { stopChild(c, c == current, deadline) })
		}
	}
	go func() {
		wg.Wait()
		close(done)
	}()
	return done
}

func stopChild(c *child, drain bool, deadline time.Time) {
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	if drain {
		c.drain(time.Until(deadline), nil)
	}
	c.finish(ctx)
}

// killAll ends every process at once.
func (s *supervisor) killAll() {
	var wg sync.WaitGroup
	for _, sl := range s.slots() {
		sl.mu.Lock()
		sl.removed = true
		sl.mu.Unlock()
		for _, c := range sl.living() {
			c.retired.Store(true)
			wg.Go(c.kill)
		}
	}
	wg.Wait()
}
