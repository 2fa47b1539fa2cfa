package vip

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"stack/appliance/config"
	"stack/appliance/sockets"
	"stack/appliance/supervise"
)

// Role is the net child.
type Role struct {
	env    supervise.Env
	counts *counts
	trust  *trust

	mu     sync.Mutex
	node   *config.Node // committed last
	plans  []plan
	groups []*group // of plans
	engine *engine
	begun  bool                        // the engine was started, or never will be
	others map[string]supervise.Health // as told last

	hooks   *hooks
	tracker *tracker // of engine
	failed  *prometheus.GaugeVec
}

// New makes the role; Prepare starts it.
func New(env supervise.Env) (supervise.Role, error) {
	return &Role{env: env, counts: newCounts(env.Metrics), trust: newTrust(env.Log, env.Node),
		hooks: newHooks(env.Log, env.Node, env.Metrics), failed: newTrackedMetric(env.Metrics)}, nil
}

// Process is what the role gets: a processor for each of its two threads beside what
// hooks and metrics need, so that an advert never waits for the Go scheduler.
func Process(*config.Node) supervise.Process { return supervise.Process{MaxProcs: 4} }

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
		if i := slices.IndexFunc(r.plans, p.same); i >= 0 && r.engine != nil {
			all = append(all, r.groups[i])
			continue
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
	if r.engine == nil && r.env.Succeeds && !r.begun {
		r.await(list, groups)
		return
	}
	if r.engine == nil && !r.begin(handOver{}) {
		for _, g := range groups {
			g.close()
		}
		return
	}
	r.serve(list, groups, r.holding)
}

// begin starts the engine where the process before stood.
func (r *Role) begin(from handOver) bool {
	r.begun = true
	e, err := startEngine(r.env.Log, r.counts, r.trust, from.Engine)
	if err != nil {
		r.env.Log.Error("virtual addresses are not served", "err", err)
		return false
	}
	r.engine = e
	r.tracker = newTracker(r.env.Log, verdict(e.setGroupHealth).counted(r.failed), from.Failed)
	tracker := r.tracker
	e.onTransition(func(t Transition) {
		tracker.moved(t.Group, t.State == master.String())
		before := from.States[t.Group]
		delete(from.States, t.Group)
		if before != t.State { // else nothing has changed for the outside
			r.hooks.tell(newsOf(t))
		}
	})
	if r.others == nil {
		r.others = from.Others
	}
	r.pass(r.others)
	return true
}

// serve makes groups those that run. What they depend on is looked at first, so that a
// group does not begin well and fail a moment later. Those that holding names are held.
func (r *Role) serve(list []plan, groups []*group, holding func(group string) bool) {
	r.hooks.set(r.node.VIP)
	r.tracker.set(r.node.VIP, holding)
	r.engine.exchange(list, groups)
	r.plans, r.groups = list, groups
}

// holding tells whether the engine holds a group.
func (r *Role) holding(group string) bool {
	return slices.ContainsFunc(*r.engine.view.Load(), func(v View) bool { return v.Name == group && v.State == master.String() })
}

// RolesChanged implements supervise.Watcher.
func (r *Role) RolesChanged(others map[string]supervise.Health) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.others = others
	if r.engine != nil {
		r.pass(others)
	}
}

// pass tells engine and tracker how the balancer is.
func (r *Role) pass(others map[string]supervise.Health) {
	lb, known := others["lb"]
	switch {
	case !known: // the engine begins with that
	case lb.Ready:
		r.engine.setHealth("balancer", "", 0)
		r.tracker.impaired(lb.Impaired)
	default:
		r.engine.setHealth("balancer", "the balancer "+lb.Reason, 0)
	}
}

// running is the engine, nil while there is none.
func (r *Role) running() *engine {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.engine
}

// Close implements supervise.Role.
func (r *Role) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begun = true // what an older process may still send comes too late
	if r.engine == nil {
		for _, g := range r.groups {
			g.close()
		}
		r.groups = nil
		return nil
	}
	err := r.engine.release("stop")
	r.engine, r.groups = nil, nil
	r.tracker.close()
	return err
}

// Alive implements supervise.Role.
func (r *Role) Alive() error {
	r.mu.Lock()
	e, waiting := r.engine, !r.begun
	r.mu.Unlock()
	switch {
	case e == nil && waiting:
		return nil // the process before serves
	case e == nil:
		return errors.New("virtual addresses are not served")
	}
	if late := e.still(); late > time.Second {
		return fmt.Errorf("the VRRP timers stand still for %s", late.Round(time.Millisecond))
	}
	return nil
}

// Status implements supervise.Role.
func (r *Role) Status() supervise.Status {
	r.mu.Lock()
	e, waiting := r.engine, !r.begun
	r.mu.Unlock()
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
