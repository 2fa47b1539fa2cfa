package lan

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Control is a process that sleeps to the beats of a fixed interval and notes how late it
// wakes. What it was late by, any program on the machine may have been: a bound on one
// counts from there.
type Control struct{ *helper }

// StartControl starts an ordinary process, or one with real-time priority if realtime is
// set and allowed.
func StartControl(interval time.Duration, realtime bool) (*Control, error) {
	class := "ordinary"
	if realtime {
		class = "realtime"
	}
	h, err := startHelper("control " + interval.String() + " " + class)
	return &Control{h}, err
}

// beat sleeps to absolute deadlines; beats that were slept through are skipped.
func beat(interval int64, stop *atomic.Bool, report func(record)) {
	for due := clock() + interval; !stop.Load(); due += interval {
		at := unix.NsecToTimespec(due)
		for unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &at, nil) == unix.EINTR {
		}
		now := clock()
		report(record{due, now})
		due += (now - due) / interval * interval
	}
}

// Woke returns when it woke since a time.
func (c *Control) Woke(since time.Time) (list []time.Time) {
	for _, r := range c.since(since) {
		list = append(list, timeOf(r.done))
	}
	return list
}

// Worst is the longest that it was late since a time.
func (c *Control) Worst(since time.Time) (worst time.Duration) {
	for _, r := range c.since(since) {
		worst = max(worst, time.Duration(r.done-r.begun))
	}
	return worst
}
