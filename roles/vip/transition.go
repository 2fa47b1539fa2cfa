package vip

import (
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Transition is a change of the state of one group.
type Transition struct {
	Group     string       `json:"group"`
	State     string       `json:"state"` // master, backup, fault
	Reason    string       `json:"reason"`
	Addresses []netip.Addr `json:"addresses"` // not to be changed
	At        time.Time    `json:"at"`
}

// maxTransitions are kept for a watcher that is slow; a group that flaps faster than
// that has its oldest changes dropped and counted.
const maxTransitions = 256

// watchers hands transitions to a function of another goroutine without ever blocking
// the engine.
type watchers struct {
	dropped prometheus.Counter

	mu    sync.Mutex
	queue []Transition
	wake  chan struct{}
}

// tell queues t; without a watcher it is dropped.
func (w *watchers) tell(t Transition) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.wake == nil {
		return
	}
	if len(w.queue) == maxTransitions {
		w.queue = w.queue[1:]
		w.dropped.Inc()
	}
	w.queue = append(w.queue, t)
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *watchers) take() []Transition {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := w.queue
	w.queue = nil
	return list
}

// onTransition has do called with each transition from now on, in order, in a goroutine
// of its own. What it returns is closed after the last call, which follows the engine's
// end. It is called once.
func (e *engine) onTransition(do func(Transition)) (ended chan struct{}) {
	ended = make(chan struct{})
	w := &e.watch
	w.mu.Lock()
	w.wake = make(chan struct{}, 1)
	w.mu.Unlock()
	go func() {
		defer close(ended)
		for {
			for _, t := range w.take() {
				do(t)
			}
			select {
			case <-w.wake:
			case <-e.stopped:
				for _, t := range w.take() {
					do(t)
				}
				return
			}
		}
	}()
	return ended
}

// tellFaults tells of the groups that are in the fault state and that states names: one that
// begins in it has made no transition.
func (e *engine) tellFaults(states map[string]string) {
	e.call(func(now time.Time) {
		for _, g := range e.groups {
			if _, named := states[g.name]; named && g.machine.state == initialize {
				e.watch.tell(Transition{Group: g.name, State: initialize.String(), Reason: g.machine.reason, Addresses: g.virtual, At: now})
			}
		}
	})
}
