package vip

import (
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// engine runs every group on one thread: timers, packets, health and commands come in
// one at a time, so nothing in a group needs a lock. What may wait (netlink, the log,
// hooks) is done elsewhere.
type engine struct {
	log     *slog.Logger
	endLog  func()
	counts  *counts
	groups  []*group
	sources map[string]health
	resume  savedState
	watch   watchers
	poller  *poller
	keeper  *keeper
	trust   *trust
	clock   unix.Timespec // scratch

	inbox   chan func(now time.Time)
	stop    chan struct{} // ends the watch of addresses
	stopped chan struct{}
	ending  bool

	asleep  time.Duration // for how long the machine was suspended since it booted
	keepAt  time.Time     // of the next look at what to remember over a restart
	started time.Time
	turned  atomic.Int64 // of the last turn, nanoseconds after started: no step of the clock counts
	view    atomic.Pointer[[]View]
}

const (
	// maxPacket is more than any advert of 32 IPv6 addresses with its trailer; a longer
	// packet is cut and then rejected for its length.
	maxPacket = 1024
	// aliveEvery bounds a turn, so that Alive can tell a stall.
	aliveEvery = 250 * time.Millisecond
	// maxPackets are taken from one socket in a turn, and no more for restAfter where more
	// wait: a flood must neither hold up adverts nor occupy a core.
	maxPackets = 32
	restAfter  = time.Millisecond
)

// startEngine begins with no group. saved is the state of a process that is replaced, or
// empty.
func startEngine(log *slog.Logger, counts *counts, trust *trust, saved savedState) (*engine, error) {
	poller, err := newPoller()
	if err != nil {
		return nil, err
	}
	keeper, err := startKeeper(log)
	if err != nil {
		poller.close()
		return nil, err
	}
	e := &engine{counts: counts, trust: trust, sources: map[string]health{"balancer": {fault: "the balancer is not ready yet"}}, resume: saved, watch: watchers{dropped: counts.dropped},
		poller: poller, keeper: keeper, started: time.Now(), inbox: make(chan func(time.Time), 256), stop: make(chan struct{}), stopped: make(chan struct{})}
	e.log, e.endLog = queueLog(log)
	e.asleep = e.suspended()
	e.show()
	go e.run()
	if err := watchChanges(e.stop, e.log, e.changed); err != nil {
		e.end()
		return nil, err
	}
	return e, nil
}

// exchange makes groups those that run. One that ran before goes on as it is.
func (e *engine) exchange(groups []*group) {
	e.call(func(now time.Time) {
		heard, _ := e.heard() // also since the new ones were made
		e.remember()
		before := e.groups
		e.groups = groups
		for _, g := range before {
			if !slices.Contains(groups, g) {
				g.leave(now, "new config")
				e.counts.forget(g)
			}
		}
		for _, g := range groups {
			if slices.Contains(before, g) {
				continue
			}
			if g.auth != nil {
				g.auth.learn(g.router.vrid, heard)
			}
			g.join(now, e)
			if e.resumeGroup(now, g) {
				continue
			}
			// What an owner that was killed left behind is not ours until we are elected.
			g.clean()
			e.judge(now, g)
		}
		e.resume = savedState{}
		e.show()
	})
}

// changed takes a change of the machine's interfaces and addresses.
func (e *engine) changed(c change) {
	e.call(func(now time.Time) {
		for _, g := range e.groups {
			g.changedOutside(now, c)
		}
	})
}

func (e *engine) run() {
	defer close(e.stopped)
	realtime(e.log, advertPriority)
	for !e.ending {
		now := time.Now()
		e.wake(now)
		e.turned.Store(int64(now.Sub(e.started)))
		ready := e.poller.wait(time.Until(e.next(now)))
		// The timers first: one who slept must know before it answers for addresses that
		// may have moved.
		now = time.Now()
		e.wake(now)
		for i := range ready {
			for _, g := range e.groups {
				if g.transport.fd == int(ready[i].Fd) {
					g.read(now)
				}
			}
		}
		e.work()
		if slices.ContainsFunc(e.groups, func(g *group) bool { return g.moved }) {
			e.show()
		}
	}
}

// work does what other threads have asked for.
func (e *engine) work() {
	for {
		select {
		case do := <-e.inbox:
			do(time.Now())
		default:
			return
		}
	}
}

func (e *engine) wake(now time.Time) {
	if asleep := e.suspended(); asleep != e.asleep {
		for _, g := range e.groups {
			g.do(now, g.machine.Slept(now, asleep-e.asleep))
		}
		e.asleep = asleep
	}
	for _, g := range e.groups {
		g.wake(now)
	}
	if !e.keepAt.After(now) {
		e.keepAt = now.Add(rememberEvery)
		e.remember()
	}
}

// remember keeps the numbers of the adverts heard, without waiting for the disk.
func (e *engine) remember() {
	if heard, last := e.heard(); last > 0 {
		go e.trust.keep(heard, last)
	}
}

// suspended is for how long the machine was suspended since it booted, by which the two
// clocks differ. Readings apart by less than a millisecond are one.
func (e *engine) suspended() time.Duration {
	read := func(clock int32) time.Duration {
		if err := unix.ClockGettime(clock, &e.clock); err != nil {
			return 0 // cannot happen: both clocks exist since Linux 2.6.39
		}
		return time.Duration(e.clock.Nano())
	}
	difference := read(unix.CLOCK_BOOTTIME) - read(unix.CLOCK_MONOTONIC)
	if d := difference - e.asleep; d > -time.Millisecond && d < 5*time.Millisecond {
		return e.asleep
	}
	return difference
}

// alive returns an error if one of the two threads does not go on. The keeper has time: while
// it waits for the kernel the groups are in fault, and a new process would have to wait too.
func (e *engine) alive() error {
	if late := time.Since(e.started) - time.Duration(e.turned.Load()); late > time.Second {
		return fmt.Errorf("the VRRP timers stand still for %s", late.Round(time.Millisecond))
	}
	if late := e.keeper.behind(); late > 5*lifetime {
		return fmt.Errorf("the kernel has not answered netlink for %s", late.Round(time.Millisecond))
	}
	return nil
}

func (e *engine) next(now time.Time) time.Time {
	at := now.Add(aliveEvery)
	for _, g := range e.groups {
		if next := g.next(); !next.IsZero() && next.Before(at) {
			at = next
		}
	}
	return at
}

// post has do run on the engine's thread soon.
func (e *engine) post(do func(now time.Time)) {
	select {
	case e.inbox <- do:
		e.poller.bell.ring()
	case <-e.stopped:
	}
}

// call runs do on the engine's thread and waits for it.
func (e *engine) call(do func(now time.Time)) {
	done := make(chan struct{})
	e.post(func(now time.Time) { do(now); close(done) })
	select {
	case <-done:
	case <-e.stopped:
	}
}

// release gives every address away and ends; the addresses are gone when it returns.
func (e *engine) release(reason string) error {
	var mu sync.Mutex
	var failed []error
	e.call(func(now time.Time) {
		for _, g := range e.groups {
			g.onLeft = func(err error) {
				mu.Lock()
				defer mu.Unlock()
				failed = append(failed, err)
			}
			g.leave(now, reason)
		}
		e.groups = nil
	})
	e.end()
	return errors.Join(failed...)
}

// end returns when the keeper has done its last job and the thread has ended.
func (e *engine) end() {
	e.keeper.flush()
	e.call(func(time.Time) {}) // what the keeper has reported comes before
	e.keeper.close()
	e.call(func(time.Time) { e.ending = true })
	<-e.stopped
	close(e.stop)
	e.poller.close()
	e.endLog()
}

// View is what the status shows of one virtual router.
type View struct {
	Name      string   `json:"name"`
	Family    string   `json:"family"`
	VRID      uint8    `json:"vrid"`
	State     string   `json:"state"` // master, backup, fault
	Reason    string   `json:"reason"`
	Priority  uint8    `json:"priority"`
	Interface string   `json:"interface"`
	Addresses []string `json:"addresses"`
	Since     int64    `json:"since"`              // Unix seconds
	Stranger  string   `json:"stranger,omitempty"` // who holds an address too
}

// show publishes the state for readers of other goroutines.
func (e *engine) show() {
	since := map[string]View{}
	old := e.view.Load()
	if old != nil {
		for _, v := range *old {
			since[v.Name] = v
		}
	}
	list := make([]View, 0, len(e.groups))
	for _, g := range e.groups {
		g.moved = false
		v := View{Name: g.name, Family: g.family(), VRID: g.router.vrid, State: g.machine.state.String(), Reason: g.machine.reason,
			Priority: g.machine.priority, Interface: g.device.Name, Since: time.Now().Unix(), Stranger: g.stranger}
		for _, a := range g.virtual {
			v.Addresses = append(v.Addresses, a.String())
		}
		if before, ok := since[v.Name]; ok && before.State == v.State {
			v.Since = before.Since
		}
		g.counters.state.Set(float64(g.machine.state))
		g.counters.since.Set(float64(v.Since))
		list = append(list, v)
	}
	if old == nil || !reflect.DeepEqual(*old, list) {
		e.view.Store(&list)
	}
}
