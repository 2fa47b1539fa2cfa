package vip

import (
	"net/netip"
	"sync"
	"time"
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
	mu      sync.Mutex
	queue   []Transition
	dropped int
	wake    chan struct{}
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
		w.dropped++
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
// of its own. It is called once.
func (e *engine) onTransition(do func(Transition)) {
	w := &e.watch
	w.mu.Lock()
	w.wake = make(chan struct{}, 1)
	w.mu.Unlock()
	go func() {
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
}
