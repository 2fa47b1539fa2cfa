package vip

import (
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// savedState is what a process that is replaced tells its successor, so that an upgrade
// moves no address.
type savedState struct {
	At     time.Duration `json:"at"` // on CLOCK_BOOTTIME, which counts a suspend too
	Groups []savedGroup  `json:"groups"`
}

type savedGroup struct {
	Name     string        `json:"name"`
	VRID     uint8         `json:"vrid"`
	Master   bool          `json:"master"`
	Forced   bool          `json:"forced"`
	Released time.Duration `json:"released"` // for how much longer
	Delayed  time.Duration `json:"delayed"`  // what is left of the start delay
}

// handOverInterval is the interval that a master announces when it is about to be replaced, unless
// its own is longer: backups wait for three of what they heard last (RFC 9568 section
// 6.4.2), and the successor's first advert tells them its own again.
const handOverInterval = 200 * time.Millisecond

// state exports who is master and what was commanded. The successor starts with it, and
// then abandon ends this engine.
func (e *engine) state() (saved savedState) {
	e.call(func(now time.Time) {
		saved.At = boottime()
		for _, g := range e.groups {
			saved.Groups = append(saved.Groups, savedGroup{Name: g.name, VRID: g.router.vrid, Master: g.machine.state == master,
				Forced: g.machine.forced, Released: max(0, g.released.Sub(now)), Delayed: max(0, g.startAt.Sub(now))})
			if g.machine.state == master && g.handOverInterval() > g.router.interval {
				g.advert.Interval = g.handOverInterval()
				g.send(now, g.machine.priority)
			}
		}
	})
	return saved
}

// resumeGroup puts a group where the process before had it. A mastership older than
// the master-down interval is not resumed: another node may have taken it.
func (e *engine) resumeGroup(now time.Time, g *group) bool {
	i := slices.IndexFunc(e.resume.Groups, func(s savedGroup) bool { return s.Name == g.name && s.VRID == g.router.vrid })
	if i < 0 {
		return false
	}
	s := e.resume.Groups[i]
	age := boottime() - e.resume.At
	if s.Released > age {
		g.standBack(now, s.Released-age)
	}
	g.startAt = time.Time{} // the delay is that of the first process
	if s.Delayed > age {
		g.startAt = now.Add(s.Delayed - age)
	}
	if !s.Master || age > 3*g.handOverInterval() {
		return false
	}
	g.do(now, g.machine.Resume(now, s.Forced))
	e.judge(now, g) // something may have failed meanwhile
	return true
}

// handOverInterval is the interval that holds during a hand-over. Version 2 has no other than the
// configured one.
func (g *group) handOverInterval() time.Duration {
	if g.router.version == 2 {
		return g.router.interval
	}
	return max(g.router.interval, handOverInterval)
}

// abandon ends silently: the addresses stay and no advert says that the master leaves,
// because a successor speaks already.
func (e *engine) abandon() {
	e.call(func(time.Time) {
		for _, g := range e.groups {
			g.close()
		}
		e.groups = nil
	})
	e.end()
}

// boottime is the time since the machine booted, suspended or not.
func boottime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return 0 // cannot happen: the clock exists since Linux 2.6.39
	}
	return time.Duration(t.Nano())
}
