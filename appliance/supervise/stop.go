package supervise

import (
	"context"
	"sync"
	"time"
)

// stop drains every role in the reverse order of the start, closes what is not done at
// the deadline, and leaves no process behind.
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
		for i := len(s.opt.Specs) - 1; i >= 0; i-- {
			s.stopRole(&s.opt.Specs[i], deadline)
		}
		for _, n := range s.nodeList() {
			n.stopAdmin()
		}
		s.log.Info("stopped")
		return nil
	})
}

// stopRole ends one role in all nodes.
func (s *supervisor) stopRole(spec *Spec, deadline time.Time) {
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
	wg.Wait()
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
