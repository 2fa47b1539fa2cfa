package replica

import (
	"sync"
	"time"
)

// sourceClock tells the time that the source's clock shows. It goes on from what that showed once by this machine's
// monotonic clock, so that it does not matter where the clock of this machine is set anew. Until it was set it is the
// clock of this machine.
type sourceClock struct {
	mu       sync.Mutex
	shown    time.Time // by the source
	when     time.Time // here, with the monotonic reading
	measured bool
}

// set says what the source's clock has shown at a moment here.
func (c *sourceClock) set(shown, when time.Time) {
	c.mu.Lock()
	c.shown, c.when, c.measured = shown, when, true
	c.mu.Unlock()
}

func (c *sourceClock) now() time.Time {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.measured {
		return now
	}
	return c.shown.Add(now.Sub(c.when))
}

// heard tells when the source has committed what has just come. That is in the past, so where it is not, the
// clock of the source was set forward. That it was set back is not seen before the next connection.
func (c *sourceClock) heard(committed time.Time) {
	if committed.After(c.now()) {
		c.set(committed, time.Now())
	}
}
