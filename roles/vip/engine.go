package vip

import (
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// engine runs every group in one goroutine: timers, packets, health and commands come
// in one at a time, so nothing in a group needs a lock.
type engine struct {
	log    *slog.Logger
	groups []*group
	ready  bool
	reason string

	packets  chan received
	commands chan func(now time.Time)
	lost     <-chan lost
	stop     chan struct{}
	stopped  chan struct{}
	readers  sync.WaitGroup

	turned atomic.Int64 // Unix nanoseconds of the last turn
	view   atomic.Pointer[[]View]
}

// received is a packet for a group; buffer goes back to the pool.
type received struct {
	to     *group
	packet arrival
	buffer *[]byte
}

// maxPacket is more than any advert of 32 IPv6 addresses; a longer packet is cut and
// then rejected for its length.
const maxPacket = 1024

var buffers = sync.Pool{New: func() any { b := make([]byte, maxPacket); return &b }}

// aliveEvery bounds a turn, so that Alive can tell a stall.
const aliveEvery = 250 * time.Millisecond

func startEngine(groups []*group, log *slog.Logger) (*engine, error) {
	e := &engine{log: log, groups: groups, reason: "the balancer is not ready yet",
		packets: make(chan received, 256), commands: make(chan func(time.Time)), stop: make(chan struct{}), stopped: make(chan struct{})}
	var err error
	complain := func(err error) {
		if !e.stopping() {
			log.Error("watch addresses", "err", err)
		}
	}
	if e.lost, err = watchLost(e.stop, complain); err != nil {
		return nil, err
	}
	// What an owner that was killed left behind is not ours until we are elected.
	for _, g := range groups {
		if err := g.addresses.release(); err != nil {
			close(e.stop)
			return nil, err
		}
	}
	for _, g := range groups {
		e.read(g)
	}
	e.show()
	go e.run()
	return e, nil
}

// read moves packets of g to the engine until its transport is closed.
func (e *engine) read(g *group) {
	e.readers.Go(func() {
		for {
			buffer := buffers.Get().(*[]byte)
			p, err := g.transport.receive(*buffer)
			if err != nil {
				buffers.Put(buffer)
				if e.stopping() {
					return
				}
				g.log.Error("receive adverts", "err", err)
				select { // an interface that is down answers every read at once
				case <-e.stop:
					return
				case <-time.After(100 * time.Millisecond):
				}
				continue
			}
			select {
			case e.packets <- received{g, p, buffer}:
			case <-e.stop:
				return
			}
		}
	})
}

func (e *engine) stopping() bool {
	select {
	case <-e.stop:
		return true
	default:
		return false
	}
}

func (e *engine) run() {
	defer close(e.stopped)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		now := time.Now()
		for _, g := range e.groups {
			g.wake(now)
		}
		e.show()
		e.turned.Store(now.UnixNano())
		timer.Reset(time.Until(e.next(now)))
		select {
		case <-e.stop:
			return
		case <-timer.C:
		case r := <-e.packets:
			r.to.receive(time.Now(), r.packet)
			buffers.Put(r.buffer)
		case l := <-e.lost:
			for _, g := range e.groups {
				g.restore(l)
			}
		case do := <-e.commands:
			do(time.Now())
		}
	}
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

// setReady tells whether the balancer behind the addresses serves.
func (e *engine) setReady(ready bool, reason string) {
	e.call(func(now time.Time) {
		e.ready, e.reason = ready, reason
		for _, g := range e.groups {
			g.do(now, g.machine.Ready(now, ready, reason))
		}
	})
}

// release gives every address away and ends; the addresses are gone when it returns.
func (e *engine) release(reason string) error {
	e.call(func(now time.Time) {
		for _, g := range e.groups {
			g.do(now, g.machine.Stop(reason))
		}
	})
	close(e.stop)
	<-e.stopped
	var failed []error
	for _, g := range e.groups {
		failed = append(failed, g.addresses.release(), g.close())
	}
	e.readers.Wait()
	return errors.Join(failed...)
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
	old := e.view.Load()
	list := make([]View, 0, len(e.groups))
	for i, g := range e.groups {
		v := View{Name: g.name, Family: g.family(), VRID: g.router.vrid, State: g.machine.state.String(), Reason: g.machine.reason,
			Priority: g.machine.priority, Interface: g.device.Name, Since: time.Now().Unix()}
		for _, a := range g.addresses.list {
			v.Addresses = append(v.Addresses, a.String())
		}
		if old != nil && (*old)[i].State == v.State {
			v.Since = (*old)[i].Since
		}
		g.counts.state.WithLabelValues(g.name, g.family()).Set(float64(g.machine.state))
		g.counts.since.WithLabelValues(g.name, g.family()).Set(float64(v.Since))
		list = append(list, v)
	}
	if old != nil && slices.EqualFunc(*old, list, func(a, b View) bool { return a.State == b.State && a.Reason == b.Reason }) {
		return
	}
	e.view.Store(&list)
}
