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

	"golang.org/x/sys/unix"

	"stack/appliance/config"
	"stack/appliance/sockets"
	"stack/appliance/supervise"
)

// Role is the net child.
type Role struct {
	env    supervise.Env
	counts *counts

	mu     sync.Mutex
	plans  []plan
	groups []*group // of plans
	engine *engine
	ready  bool // of the balancer
}

// New makes the role; Prepare starts it.
func New(env supervise.Env) (supervise.Role, error) {
	return &Role{env: env, counts: newCounts(env.Metrics)}, nil
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
	return supervise.Change{Commit: func() { r.replace(next, groups) }, Abort: abort}, nil
}

// open returns the groups of a list of plans, those that run already among them, and
// which it has opened, also with an error.
func (r *Role) open(list []plan) (all, opened []*group, err error) {
	for _, p := range list {
		if i := slices.IndexFunc(r.plans, p.same); i >= 0 && r.engine != nil {
			all = append(all, r.groups[i])
			continue
		}
		g, err := openGroup(p, r.env.Log, r.counts)
		if err != nil {
			return nil, opened, err
		}
		all, opened = append(all, g), append(opened, g)
	}
	return all, opened, nil
}

func (r *Role) replace(list []plan, groups []*group) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.engine == nil {
		var err error
		if r.engine, err = startEngine(r.env.Log, r.counts, savedState{}); err != nil {
			r.env.Log.Error("virtual addresses are not served", "err", err)
			for _, g := range groups {
				g.close()
			}
			return
		}
		if r.ready {
			r.engine.setHealth("balancer", "", 0)
		}
	}
	r.engine.exchange(list, groups)
	r.plans, r.groups = list, groups
}

// RolesChanged implements supervise.Watcher.
func (r *Role) RolesChanged(others map[string]supervise.Health) {
	r.mu.Lock()
	defer r.mu.Unlock()
	lb := others["lb"]
	if r.ready == lb.Ready {
		return
	}
	r.ready = lb.Ready
	if r.engine == nil {
		return
	}
	fault := ""
	if !r.ready {
		fault = "the balancer " + lb.Reason
	}
	r.engine.setHealth("balancer", fault, 0)
}

// Drain gives the addresses away.
func (r *Role) Drain(context.Context, *sockets.Passage) error { return r.Close() }

// Adopt implements supervise.Role: the net child has no connections.
func (r *Role) Adopt(fd int, _ []byte) { unix.Close(fd) }

// Close implements supervise.Role.
func (r *Role) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.engine == nil {
		return nil
	}
	err := r.engine.release("stop")
	r.engine = nil
	return err
}

// Alive implements supervise.Role.
func (r *Role) Alive() error {
	r.mu.Lock()
	e := r.engine
	r.mu.Unlock()
	if e == nil {
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
	e := r.engine
	r.mu.Unlock()
	if e == nil {
		return supervise.Status{Text: "virtual addresses are not served"}
	}
	views := *e.view.Load()
	var parts []string
	for _, v := range views {
		parts = append(parts, fmt.Sprintf("%s %s (%s)", strings.Join(v.Addresses, " "), v.State, v.Reason))
	}
	return supervise.Status{Ready: true, Text: strings.Join(parts, "; "), Detail: struct {
		VIPs []View `json:"vips"`
	}{views}}
}

// Control implements supervise.Role.
func (r *Role) Control() http.Handler { return nil }
