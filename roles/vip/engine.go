package vip

import (
	"bytes"
	"errors"
	"log/slog"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// engine runs every group in one goroutine: timers, packets, health and commands come
// in one at a time, so nothing in a group needs a lock.
type engine struct {
	log     *slog.Logger
	counts  *counts
	groups  []*group
	sources map[string]health
	resume  savedState
	watch   watchers

	packets  chan received
	commands chan func(now time.Time)
	lost     <-chan lost
	stop     chan struct{}
	stopped  chan struct{}
	readers  sync.WaitGroup

	started time.Time
	turned  atomic.Int64 // of the last turn, nanoseconds after started: no step of the clock counts
	view    atomic.Pointer[[]View]
}

// received is an advert for a group.
type received struct {
	to     *group
	advert *Advert
	from   netip.Addr
}

// maxPacket is more than any advert of 32 IPv6 addresses; a longer packet is cut and
// then rejected for its length.
const maxPacket = 1024

// aliveEvery bounds a turn, so that Alive can tell a stall.
const aliveEvery = 250 * time.Millisecond

// startEngine begins with no group. saved is the state of a process that is replaced, or
// empty.
func startEngine(log *slog.Logger, counts *counts, saved savedState) (*engine, error) {
	e := &engine{log: log, counts: counts, sources: map[string]health{"balancer": {fault: "the balancer is not ready yet"}}, resume: saved, started: time.Now(),
		packets: make(chan received, 256), commands: make(chan func(time.Time)), stop: make(chan struct{}), stopped: make(chan struct{})}
	var err error
	if e.lost, err = watchLost(e.stop, log); err != nil {
		return nil, err
	}
	e.show()
	go e.run()
	return e, nil
}

// exchange makes groups those that run. One that ran before goes on as it is; list has
// the interface of each as it is now.
func (e *engine) exchange(list []plan, groups []*group) {
	e.call(func(now time.Time) {
		before := e.groups
		e.groups = groups
		for _, g := range before {
			if !slices.Contains(groups, g) {
				e.complain(g, g.leave(now, "new config"))
				e.counts.forget(g)
			}
		}
		for i, g := range groups {
			if slices.Contains(before, g) {
				if !bytes.Equal(g.device.HardwareAddr, list[i].device.HardwareAddr) {
					e.complain(g, g.reopen()) // or the announcements would name the old one
				}
				continue
			}
			g.follow, g.changed = e.read, e.watch.tell
			e.read(g)
			if e.resumeGroup(now, g) {
				continue
			}
			// What an owner that was killed left behind is not ours until we are elected.
			e.complain(g, g.addresses.release())
			e.judge(now, g)
		}
		e.resume = savedState{}
		e.show()
	})
}

func (e *engine) complain(g *group, err error) {
	if err != nil {
		g.log.Error("virtual address", "err", err)
	}
}

// read moves adverts of g to the engine until its transport is closed.
func (e *engine) read(g *group) {
	t := g.transport
	e.readers.Go(func() {
		buffer := make([]byte, maxPacket)
		for {
			p, err := t.receive(buffer)
			if err != nil {
				select { // an interface that is down answers every read at once
				case <-t.closed:
					return
				case <-time.After(100 * time.Millisecond):
				}
				continue
			}
			a := g.admit(p)
			if a == nil {
				continue
			}
			select {
			case e.packets <- received{g, a, p.from}:
			case <-t.closed:
				return
			}
		}
	})
}

func (e *engine) run() {
	defer close(e.stopped)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		now := time.Now()
		e.wake(now)
		e.show()
		e.turned.Store(int64(now.Sub(e.started)))
		timer.Reset(time.Until(e.next(now)))
		select {
		case <-e.stop:
			return
		case <-timer.C:
		case r := <-e.packets:
			// The timers first: one who slept must know before it answers for addresses
			// that may have moved.
			now := time.Now()
			e.wake(now)
			r.to.receive(now, r.advert, r.from)
		case l := <-e.lost:
			now := time.Now()
			e.wake(now)
			for _, g := range e.groups {
				g.restore(now, l)
			}
		case do := <-e.commands:
			do(time.Now())
		}
	}
}

func (e *engine) wake(now time.Time) {
	for _, g := range e.groups {
		g.wake(now)
	}
}

// still is for how long no turn has ended.
func (e *engine) still() time.Duration {
	return time.Since(e.started) - time.Duration(e.turned.Load())
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

// call runs do in the engine's goroutine and waits for it.
func (e *engine) call(do func(now time.Time)) {
	done := make(chan struct{})
	select {
	case e.commands <- func(now time.Time) { do(now); close(done) }:
		<-done
	case <-e.stopped:
	}
}

// release gives every address away and ends; the addresses are gone when it returns.
func (e *engine) release(reason string) error {
	var failed []error
	e.call(func(now time.Time) {
		for _, g := range e.groups {
			failed = append(failed, g.leave(now, reason))
		}
		e.groups = nil
	})
	e.end()
	return errors.Join(failed...)
}

func (e *engine) end() {
	close(e.stop)
	<-e.stopped
	e.readers.Wait()
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
	Since     int64    `json:"since"` // Unix seconds
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
		v := View{Name: g.name, Family: g.family(), VRID: g.router.vrid, State: g.machine.state.String(), Reason: g.machine.reason,
			Priority: g.machine.priority, Interface: g.device.Name, Since: time.Now().Unix()}
		for _, a := range g.addresses.list {
			v.Addresses = append(v.Addresses, a.String())
		}
		if before, ok := since[v.Name]; ok && before.State == v.State {
			v.Since = before.Since
		}
		g.counts.state.WithLabelValues(g.name, g.family()).Set(float64(g.machine.state))
		g.counts.since.WithLabelValues(g.name, g.family()).Set(float64(v.Since))
		list = append(list, v)
	}
	if old == nil || !reflect.DeepEqual(*old, list) {
		e.view.Store(&list)
	}
}
