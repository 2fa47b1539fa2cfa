package vip

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"stack/appliance/config"
	"stack/appliance/sockets"
	"stack/appliance/supervise"
)

// Role is the net child. What the supervisor asks for at any time waits for no lock that
// is held over the disk or the kernel: it would take the role for one that stands still.
type Role struct {
	env    supervise.Env
	counts *counts
	trust  *trust
	hooks  *hooks
	failed *prometheus.GaugeVec

	engine atomic.Pointer[engine] // nil: none runs. Set with mu held
	begun  atomic.Bool            // the engine was started, or never will be

	health  sync.Mutex                  // of others alone
	others  map[string]supervise.Health // as told last
	changed chan struct{}               // has one when others has changed

	mu       sync.Mutex
	node     *config.Node // committed last
	plans    []plan
	groups   []*group      // of plans
	tracker  *tracker      // of engine
	told     chan struct{} // closed when the hooks know all that engine has done
	patience *time.Timer   // bounds the wait for the process before
	idle     *engine       // started during that wait, for begin
}

// NewChild is New in a process that has no other role: it is a real-time one as a whole.
func NewChild(env supervise.Env) (supervise.Role, error) {
	if err := realtimeProcess(); err != nil {
		env.Log.Debug("the process is an ordinary one", "err", err) // the engine warns
	}
	return New(env)
}

// New makes the role; Prepare starts it.
func New(env supervise.Env) (supervise.Role, error) {
	// A collection takes every idle processor of the Go scheduler. The memory limit of Process
	// starts one, rarely.
	debug.SetGCPercent(-1)
	return &Role{env: env, counts: newCounts(env.Metrics), trust: newTrust(env.Log, env.Node),
		hooks: newHooks(env.Log, env.Node, env.Metrics), failed: newTrackedMetric(env.Metrics),
		others: map[string]supervise.Health{}, changed: make(chan struct{}, 1)}, nil
}

// Process is what the role gets: a processor for each of its two threads beside what
// hooks and metrics need, so that an advert never waits for the Go scheduler, and room
// for the garbage of some hundred scrapes.
func Process(*config.Node) supervise.Process {
	return supervise.Process{MaxProcs: 4, MemoryLimit: 64 << 20}
}

// Needed tells whether a node shares virtual addresses with others.
func Needed(node *config.Node) bool {
	return len(node.VIP) > 0 && !node.Dev && slices.Contains(node.Roles, "lb")
}

// Probe derives the virtual routers without opening anything.
func Probe(node *config.Node) error {
	_, err := plans(node)
	return err
}

// Prepare implements supervise.Role. A virtual router that a config leaves as it is
// goes on, so that a reload does not move its addresses.
func (r *Role) Prepare(_ context.Context, node *config.Node, _ *sockets.Set) (supervise.Change, error) {
	next, err := plans(node)
	if err != nil {
		return supervise.Change{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	groups, opened, err := r.open(next)
	abort := func() {
		for _, g := range opened {
			g.close()
		}
	}
	if err != nil {
		abort()
		return supervise.Change{}, err
	}
	return supervise.Change{Commit: func() { r.replace(node, next, groups) }, Abort: abort}, nil
}

// open returns the groups of a list of plans, those that run already among them, and
// which it has opened, also with an error.
func (r *Role) open(list []plan) (all, opened []*group, err error) {
	for _, p := range list {
		if i := slices.IndexFunc(r.plans, p.same); i >= 0 && r.running() != nil {
			all = append(all, r.groups[i])
			continue
		}
		if p.keyUnused {
			r.env.Log.Warn("adverts are not authenticated although the site has a vrrp.key: peers outside of the file and version 2 cannot; auth: none says that this is meant", "vip", p.name)
		}
		g, err := openGroup(p, r.trust.authenticator(p), r.env.Log, r.counts)
		if err != nil {
			return nil, opened, err
		}
		all, opened = append(all, g), append(opened, g)
	}
	return all, opened, nil
}

func (r *Role) replace(node *config.Node, list []plan, groups []*group) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.node = node
	if r.running() == nil && r.env.Succeeds && !r.begun.Load() {
		r.await(list, groups)
		return
	}
	if r.running() == nil && !r.begin(handOver{}) {
		for _, g := range groups {
			g.close()
		}
		return
	}
	r.serve(list, groups, r.holding)
}

// begin starts the engine where the process before stood.
func (r *Role) begin(from handOver) bool {
	defer r.begun.Store(true) // after engine, for Alive
	if !r.warm() {
		return false
	}
	e := r.idle
	r.idle = nil
	e.call(func(time.Time) { e.resume = from.Engine })
	tracker := newTracker(r.env.Log, verdict(e.setGroupHealth).counted(r.failed), from.Tracked)
	states := map[string]string{}
	maps.Copy(states, from.States)
	for _, group := range from.Untold {
		states[group] = "" // is told again
	}
	r.told = e.onTransition(func(t Transition) {
		tracker.moved(t.Group, t.State == master.String())
		if states[t.Group] != t.State { // else nothing has changed for the outside
			r.hooks.tell(newsOf(t))
		}
		states[t.Group] = t.State
	})
	r.learn(from.Others)
	r.pass(e, tracker)
	r.tracker = tracker
	r.engine.Store(e)
	go r.follow(e, tracker)
	return true
}

// warm starts an engine without a group, unless there is one.
func (r *Role) warm() bool {
	if r.idle != nil {
		return true
	}
	e, err := startEngine(r.env.Log, r.counts, r.trust, savedState{})
	if err != nil {
		r.env.Log.Error("virtual addresses are not served", "err", err)
		return false
	}
	r.idle = e
	return true
}

// serve makes groups those that run. What they depend on is looked at first, so that a
// group does not begin well and fail a moment later. Those that holding names are held.
func (r *Role) serve(list []plan, groups []*group, holding func(group string) bool) {
	r.hooks.set(r.node.VIP)
	r.tracker.set(r.node.VIP, holding)
	r.running().exchange(groups)
	r.plans, r.groups = list, groups
}

// holding tells whether the engine holds a group.
func (r *Role) holding(group string) bool {
	return slices.ContainsFunc(*r.running().view.Load(), func(v View) bool { return v.Name == group && v.State == master.String() })
}

// RolesChanged implements supervise.Watcher.
func (r *Role) RolesChanged(others map[string]supervise.Health) {
	r.health.Lock()
	maps.Copy(r.others, others)
	r.health.Unlock()
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// learn takes what the process before knew of roles of which this one was not told.
func (r *Role) learn(before map[string]supervise.Health) {
	r.health.Lock()
	defer r.health.Unlock()
	for role, h := range before {
		if _, known := r.others[role]; !known {
			r.others[role] = h
		}
	}
}

// follow passes on how the balancer is as long as the engine runs.
func (r *Role) follow(e *engine, t *tracker) {
	for {
		select {
		case <-r.changed:
			r.pass(e, t)
		case <-e.stopped:
			return
		}
	}
}

// pass tells engine and tracker how the balancer is.
func (r *Role) pass(e *engine, t *tracker) {
	r.health.Lock()
	lb, known := r.others["lb"]
	r.health.Unlock()
	switch {
	case !known: // the engine begins with that
	case lb.Ready:
		e.setHealth("balancer", "", 0)
		t.impaired(lb.Impaired)
	default:
		e.setHealth("balancer", "the balancer "+lb.Reason, 0)
	}
}

// running is the engine, nil while there is none.
func (r *Role) running() *engine { return r.engine.Load() }

// Close implements supervise.Role.
func (r *Role) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begun.Store(true) // what an older process may still send comes too late
	e := r.running()
	if e == nil {
		for _, g := range r.groups {
			g.close()
		}
		r.groups = nil
		if r.idle != nil {
			r.idle.end()
			r.idle = nil
		}
		return nil
	}
	heard, last := e.numbers()
	err := e.release("stop")
	r.ended(heard, last)
	return err
}

// ended finishes what goes on beside the engine.
func (r *Role) ended(heard map[string]uint64, last uint64) {
	r.engine.Store(nil)
	r.groups = nil
	<-r.told
	r.tracker.close()
	r.trust.finish(heard, last)
}

// Alive implements supervise.Role.
func (r *Role) Alive() error {
	waiting, e := !r.begun.Load(), r.running() // in this order, see begin
	switch {
	case e == nil && waiting:
		return nil // the process before serves
	case e == nil:
		return errors.New("virtual addresses are not served")
	}
	return e.alive()
}

// Status implements supervise.Role.
func (r *Role) Status() supervise.Status {
	waiting, e := !r.begun.Load(), r.running()
	switch {
	case e == nil && waiting:
		return supervise.Status{Ready: true, Text: "takes over from the process before"}
	case e == nil:
		return supervise.Status{Text: "virtual addresses are not served"}
	}
	views := *e.view.Load()
	var parts []string
	for _, v := range views {
		text := fmt.Sprintf("%s %s (%s)", strings.Join(v.Addresses, " "), v.State, v.Reason)
		if v.Stranger != "" {
			text += ", but " + v.Stranger
		}
		parts = append(parts, text)
	}
	return supervise.Status{Ready: true, Text: strings.Join(parts, "; "), Detail: struct {
		VIPs []View `json:"vips"`
	}{views}}
}

// Control implements supervise.Role.
func (r *Role) Control() http.Handler { return newControl(r) }
