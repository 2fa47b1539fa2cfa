package vip

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
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
	engine *engine
	ready  bool // of the balancer
}

// New makes the role; Prepare starts it.
func New(env supervise.Env) (supervise.Role, error) {
	return &Role{env: env, counts: newCounts(env.Metrics)}, nil
}

// Needed tells whether a node has virtual addresses to share.
func Needed(node *config.Node) bool { return len(node.VIP) > 0 && !node.Dev }

// Probe derives the virtual routers without opening anything.
func Probe(node *config.Node) error {
	_, err := plans(node)
	return err
}

// Prepare implements supervise.Role. A config with the same virtual routers changes
// nothing, so a reload does not move an address.
func (r *Role) Prepare(_ context.Context, node *config.Node, _ *sockets.Set) (supervise.Change, error) {
	next, err := plans(node)
	if err != nil {
		return supervise.Change{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.engine != nil && reflect.DeepEqual(r.plans, next) {
		return supervise.Change{Commit: func() {}, Abort: func() {}}, nil
	}
	groups, err := r.open(next)
	if err != nil {
		return supervise.Change{}, err
	}
	abort := func() {
		for _, g := range groups {
			g.close()
		}
	}
	return supervise.Change{Commit: func() { r.replace(next, groups) }, Abort: abort}, nil
}

func (r *Role) open(list []plan) ([]*group, error) {
	var groups []*group
	for _, p := range list {
		g, err := openGroup(p, r.env.Log, r.counts)
		if err != nil {
			for _, opened := range groups {
				opened.close()
			}
			return nil, err
		}
		groups = append(groups, g)
	}
	return groups, nil
}

func (r *Role) replace(list []plan, groups []*group) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.engine != nil {
		if err := r.engine.release("new config"); err != nil {
			r.env.Log.Error("release virtual addresses", "err", err)
		}
	}
	started, err := startEngine(groups, r.env.Log)
	if err != nil {
		r.env.Log.Error("virtual addresses are not served", "err", err)
		r.engine = nil
		return
	}
	r.plans, r.engine = list, started
	if r.ready {
		started.setReady(true, "the balancer is ready")
	}
}

// RolesChanged implements supervise.Watcher.
func (r *Role) RolesChanged(ready map[string]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ready == ready["lb"] {
		return
	}
	r.ready = ready["lb"]
	if r.engine == nil {
		return
	}
	reason := "the balancer is ready"
	if !r.ready {
		reason = "the balancer is not ready"
	}
	r.engine.setReady(r.ready, reason)
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
	if late := time.Since(time.Unix(0, e.turned.Load())); late > time.Second {
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
