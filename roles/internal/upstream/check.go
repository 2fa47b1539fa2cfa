package upstream

import (
	"context"
	"math/rand/v2"
	"time"
)

// checkCounters are the checks of a server since it joined.
type checkCounters struct {
	Passed  uint64
	Failed  uint64
	Seconds float64
}

// checker is the goroutine that checks one server with one spec. A reload that changes
// the spec ends it and starts another, which inherits the server's health.
type checker struct {
	s      *Server
	spec   checkSpec
	cancel context.CancelFunc

	decided bool // a first result has been seen
	streak  int  // results in a row that disagree with the state
}

// begin takes the result of a check made before the server was in service.
func (s *Server) begin(r CheckResult) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note(r)
	if !r.OK && s.up.Load() {
		s.up.Store(false)
		s.changes++
		s.since = r.At
		s.reason = r.Text
	}
}

// note counts a result; s.mu must be held.
func (s *Server) note(r CheckResult) {
	s.lastCheck = r
	s.checks.Seconds += r.Duration.Seconds()
	if r.OK {
		s.checks.Passed++
	} else {
		s.checks.Failed++
	}
}

// startCheck begins checking s by spec; s.mu must be held. decided says that the
// present state is the result of a check, later that the first check has time.
func (s *Server) startCheck(ctx context.Context, spec checkSpec, decided, later bool) {
	ctx, cancel := context.WithCancel(ctx)
	c := &checker{s: s, spec: spec, cancel: cancel, decided: decided}
	s.checker = c
	s.pool.set.running.Add(1)
	go func() {
		defer s.pool.set.running.Done()
		defer cancel()
		wait := time.Duration(0)
		if later {
			wait = c.next()
		}
		c.run(ctx, wait)
	}()
}

func (c *checker) run(ctx context.Context, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	var last time.Time
	for {
		woken := false
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-c.s.wake:
			woken = true
		}
		if c.s.Admin() == Maint {
			// Not checked; the way out of maintenance wakes this goroutine, and then
			// the first result decides again.
			c.decided, c.streak = false, 0
			timer.Stop()
			if c.spec.role != "" {
				c.s.pool.unhear(c.s)
			}
			continue
		}
		if wait := c.spec.fast() - time.Since(last); woken && wait > 0 {
			timer.Reset(wait)
			continue
		}
		last = time.Now()
		t, resolved := c.s.Target()
		r := CheckResult{Text: "the host name has no address yet", At: last}
		if resolved {
			r = c.spec.check(ctx, t, c.s.checkTLS(), c.s.name)
		}
		if ctx.Err() != nil {
			return
		}
		c.result(r)
		timer.Reset(c.next())
	}
}

// next is the wait before the next check: ±10 % so that many balancers and servers do
// not fall into step.
func (c *checker) next() time.Duration {
	d := c.spec.interval
	if c.streak > 0 {
		d = c.spec.fast()
	}
	return time.Duration(float64(d) * (0.9 + 0.2*rand.Float64()))
}

// result counts one result and changes the state when enough agree.
func (c *checker) result(r CheckResult) {
	s := c.s
	s.mu.Lock()
	if s.checker != c {
		s.mu.Unlock()
		return // replaced while the check ran
	}
	s.note(r)
	s.mu.Unlock()
	if r.OK {
		s.reached()
	}
	if c.spec.role != s.pool.wants() {
		return // a reload is about to replace this checker
	}

	if c.spec.role != "" {
		// What a server says decides at once; only silence has to last.
		if r.OK {
			c.streak = 0
		} else {
			c.streak++
		}
		gone := !c.decided || c.streak >= c.spec.fall
		c.decided = true
		s.pool.hear(s, r, gone)
		return
	}
	if r.OK == s.Up() {
		c.decided, c.streak = true, 0
		return
	}
	c.streak++
	need := c.spec.fall
	if r.OK {
		need = c.spec.rise
	}
	if c.decided && c.streak < need {
		return
	}
	c.decided, c.streak = true, 0
	s.setUp(r.OK, r.Text)
}
