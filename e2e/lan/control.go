package lan

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Control sleeps to the beats of a fixed interval and notes how late it wakes. What it
// was late by, any program on the machine may have been: a bound on one counts from there.
type Control struct {
	stop atomic.Bool
	done chan struct{}

	mu   sync.Mutex
	late []lateness
}

type lateness struct {
	due  int64 // clock
	late time.Duration
}

// maxBeats bounds what a control or probe remembers: a quarter of an hour of milliseconds.
const maxBeats = 1 << 20

// StartControl sleeps on a thread of its own, an ordinary one, or one with real-time
// priority if realtime is set and allowed.
func StartControl(interval time.Duration, realtime bool) *Control {
	c := &Control{done: make(chan struct{})}
	go c.run(int64(interval), realtime)
	return c
}

func (c *Control) run(interval int64, realtime bool) {
	defer close(c.done)
	runtime.LockOSThread() // never unlocked: its priority ends with it
	if realtime {
		punctual()
	}
	for due := clock() + interval; !c.stop.Load(); due += interval {
		at := unix.NsecToTimespec(due)
		for unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &at, nil) == unix.EINTR {
		}
		now := clock()
		c.mu.Lock()
		if len(c.late) < maxBeats {
			c.late = append(c.late, lateness{due, time.Duration(now - due)})
		}
		c.mu.Unlock()
		due += (now - due) / interval * interval // beats that were slept through are skipped
	}
}

// Stop ends it; what it saw can still be asked for.
func (c *Control) Stop() {
	c.stop.Store(true)
	<-c.done
}

// Late returns how late it woke for each beat since a time, sorted.
func (c *Control) Late(since time.Time) []time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	from := clockOf(since)
	var list []time.Duration
	for _, l := range c.late {
		if l.due >= from {
			list = append(list, l.late)
		}
	}
	slices.Sort(list)
	return list
}

// Worst is the longest of Late.
func (c *Control) Worst(since time.Time) time.Duration {
	if list := c.Late(since); len(list) > 0 {
		return list[len(list)-1]
	}
	return 0
}
