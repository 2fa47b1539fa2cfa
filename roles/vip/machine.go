package vip

import (
	"net/netip"
	"time"
)

// Router is the VRRP state machine of one virtual router and address family (RFC 9568
// section 6.4), without sockets or clocks: each method takes the time of the event
// and returns what to do. The caller wakes it at Deadline.
type Router struct {
	id       routerConfig
	state    state
	reason   string
	priority uint8 // as configured and weighed, or 0 in the fault state
	weight   int   // what health adds to the configured priority
	forced   bool  // taken over by command: it advertises 255 as long as it stays master
	forcedAt time.Time

	left           bool          // the master has said that it leaves
	heeded         netip.Addr    // the master, heard in this time as backup; not valid: none
	lowerSince     time.Time     // first advert of a master of lower priority, in this time as backup
	masterInterval time.Duration // the interval of the master, learned from its adverts
	deadline       time.Time     // of the advert timer (master) or the master-down timer (backup)
}

type routerConfig struct {
	version  int
	vrid     uint8
	priority uint8
	interval time.Duration
	preempt  bool
	delay    time.Duration // a master of lower priority is heeded for so long before it is preempted
	address  netip.Addr    // our own, which breaks ties between equal priorities
}

// state is Initialize, Backup or Master of RFC 9568 section 6.3.
type state int

const (
	initialize state = iota
	backup
	master
)

func (s state) String() string { return [...]string{"fault", "backup", "master"}[s] }

// act is what the caller has to do after an event.
type act struct {
	send    bool  // an advert with priority
	with    uint8 // the priority of that advert
	changed bool  // the state changed: become or cease to be the holder of the addresses
	heal    bool  // another holder was seen and yields: announce the addresses again
}

func newRouter(id routerConfig) *Router {
	return &Router{id: id, state: initialize, reason: "starting", masterInterval: id.interval}
}

// skew is the time by which a backup of lower priority waits longer: RFC 9568 section
// 6.1, ((256 - priority) * interval) / 256; RFC 3768 section 6.1, (256 - priority) / 256
// seconds.
func (r *Router) skew() time.Duration {
	unit := r.masterInterval
	if r.id.version == 2 {
		unit = time.Second
	}
	return time.Duration(256-int(r.priority)) * unit / 256
}

func (r *Router) masterDown() time.Duration { return 3*r.masterInterval + r.skew() }

// Ready tells whether the balancer behind the addresses works.
func (r *Router) Ready(now time.Time, ready bool, reason string) act {
	if !ready {
		if r.state == initialize {
			r.reason = reason
			return act{}
		}
		was := r.state
		r.move(initialize, reason)
		r.priority = 0
		// Priority 0 tells the backups to take over after their skew time alone.
		return act{changed: true, send: was == master, with: 0}
	}
	if r.state != initialize {
		return act{}
	}
	r.weigh()
	r.masterInterval = r.id.interval
	r.move(backup, reason)
	r.deadline = now.Add(r.masterDown())
	if r.id.priority == 255 {
		return r.become(now, "owner of the addresses")
	}
	return act{changed: true}
}

// Deadline is when Expire must be called; zero in the fault state.
func (r *Router) Deadline() time.Time {
	if r.state == initialize {
		return time.Time{}
	}
	return r.deadline
}

// Expire handles a deadline that has passed.
func (r *Router) Expire(now time.Time) act {
	if r.state == initialize || now.Before(r.deadline) {
		return act{}
	}
	if r.state == backup {
		// One that slept so long, or whose network did, has not heard what the master said
		// meanwhile.
		if now.Sub(r.deadline) > r.masterInterval {
			r.listenOn(now)
			return act{}
		}
		if r.left {
			return r.become(now, "the master left")
		}
		return r.become(now, "no advert from a master")
	}
	// A holder that slept through a whole master-down interval may have been replaced:
	// it listens before it speaks.
	if now.Sub(r.deadline)+r.id.interval > r.masterDown() {
		return r.listen(now)
	}
	// Late deadlines are skipped, not replayed.
	for !r.deadline.After(now) {
		r.deadline = r.deadline.Add(r.id.interval)
	}
	return act{send: true, with: r.priority}
}

// Slept handles a suspend of the machine, during which the clock of the timers stood
// still.
func (r *Router) Slept(now time.Time, d time.Duration) act {
	switch {
	case r.state == backup && d > r.masterInterval:
		r.listenOn(now)
	case r.state == master && d+r.id.interval > r.masterDown():
		return r.listen(now)
	}
	return act{}
}

// listenOn has a backup wait for a master as one that has just started.
func (r *Router) listenOn(now time.Time) {
	r.left, r.heeded = false, netip.Addr{}
	r.deadline = now.Add(r.masterDown())
}

func (r *Router) listen(now time.Time) act {
	r.move(backup, "slept longer than the master-down interval")
	r.deadline = now.Add(r.masterDown())
	return act{changed: true}
}

func (r *Router) become(now time.Time, reason string) act {
	r.move(master, reason)
	r.masterInterval = r.id.interval // by which the others judge it
	r.deadline = now.Add(r.id.interval)
	return act{send: true, with: r.priority, changed: true}
}

func (r *Router) move(to state, reason string) {
	r.state, r.reason, r.left, r.heeded, r.lowerSince = to, reason, false, netip.Addr{}, time.Time{}
	if to != master && r.forced {
		r.forced = false
		r.weigh()
	}
}

// weigh sets the priority that adverts carry: 1..254, which health raises and lowers;
// 255 is for the owner of the addresses and for who was forced.
func (r *Router) weigh() {
	switch {
	case r.forced || r.id.priority == 255:
		r.priority = 255
	default:
		r.priority = uint8(min(max(int(r.id.priority)+r.weight, 1), 254))
	}
}

// Weigh changes what health adds to the configured priority. A master tells it at once.
func (r *Router) Weigh(weight int) act {
	r.weight = weight
	if r.state == initialize {
		return act{}
	}
	before := r.priority
	r.weigh()
	return act{send: r.state == master && r.priority != before, with: r.priority}
}

// Force makes a backup master at once, by command. It advertises 255 as long as it stays
// master, so that whoever was master yields under the ordinary rule, and nobody takes
// the addresses back. It returns false in the fault state.
func (r *Router) Force(now time.Time) (act, bool) {
	if r.state == initialize {
		return act{}, false
	}
	was := r.state
	a := r.become(now, "forced")
	r.forced, r.forcedAt = true, now
	r.weigh()
	a.with, a.changed = r.priority, was != master
	return a, true
}

// Resume makes a router that has not started master at once, in the place of a process
// that was: nobody else may have become master since.
func (r *Router) Resume(now time.Time, forced bool) act {
	r.forced, r.forcedAt = forced, now
	r.weigh()
	return r.become(now, "resumed after an upgrade")
}

// Receive handles an advert of the same VRID from another router.
func (r *Router) Receive(now time.Time, a *Advert, from netip.Addr) act {
	switch r.state {
	case backup:
		return r.receiveBackup(now, a, from)
	case master:
		return r.receiveMaster(now, a, from)
	}
	return act{}
}

func (r *Router) receiveBackup(now time.Time, a *Advert, from netip.Addr) act {
	switch {
	case a.Priority == 0:
		// Only the master can leave. A packet that was held up on its way may come from one
		// that has not been master for long.
		if !r.heeded.IsValid() || r.heeded == from {
			r.left = true
			r.deadline = now.Add(r.skew())
		}
	case a.Priority >= r.priority:
		r.lowerSince = time.Time{}
		r.heed(now, a, from)
	case !r.id.preempt || r.delayed(now):
		r.heed(now, a, from)
	}
	// Else a master of lower priority: its adverts are not heeded, and the master-down
	// timer ends its time.
	return act{}
}

func (r *Router) heed(now time.Time, a *Advert, from netip.Addr) {
	r.left, r.heeded = false, from
	r.masterInterval = a.Interval
	r.deadline = now.Add(r.masterDown())
}

// delayed tells whether a master of lower priority, heard just now, has its time yet.
func (r *Router) delayed(now time.Time) bool {
	if r.lowerSince.IsZero() {
		r.lowerSince = now
	}
	return now.Sub(r.lowerSince) < r.id.delay
}

func (r *Router) receiveMaster(now time.Time, a *Advert, from netip.Addr) act {
	switch {
	case a.Priority == 0:
		// Another holder leaves: make sure that all know who stays.
		r.deadline = now.Add(r.id.interval)
		return act{send: true, with: r.priority, heal: true}
	case a.Priority == 255 && r.forced && r.id.priority != 255 && now.Sub(r.forcedAt) >= r.masterDown():
		// Another one was forced later. We fall back to our own priority and say so; its
		// next advert makes us yield, unless it has fallen back too.
		r.forced = false
		r.weigh()
		r.deadline = now.Add(r.id.interval)
		return act{send: true, with: r.priority}
	case a.Priority > r.priority, a.Priority == r.priority && from.Compare(r.id.address) > 0:
		r.move(backup, "a master of higher priority")
		r.heed(now, a, from)
		// One last advert: the other may never have heard us, and then does not know that
		// the neighbours have learned our address. Hearing us it announces its own.
		return act{changed: true, send: true, with: r.priority}
	}
	// Two masters, and we are the one that stays: RFC 9568 section 6.4.3 answers at
	// once, so that the other yields, and switches learn again where the address is.
	return act{send: true, with: r.priority, heal: true}
}

// Stop leaves: a master says so with priority 0.
func (r *Router) Stop(reason string) act {
	was := r.state
	r.move(initialize, reason)
	return act{changed: was != initialize, send: was == master, with: 0}
}
