package lb

import (
	"fmt"
	"slices"
	"strings"

	"stack/appliance/supervise"
	"stack/roles/internal/upstream"
	stacktls "stack/tls"
)

// Detail is the balancer's part of `stack status`.
type Detail struct {
	// Usable says whether at least one pool has a server in rotation.
	Usable       bool                `json:"usable"`
	Frontends    []FrontendView      `json:"frontends"`
	Backends     []upstream.PoolView `json:"backends"`
	Certificates []stacktls.Info     `json:"certificates,omitempty"`
}

// FrontendView is a frontend as `stack status` shows it.
type FrontendView struct {
	Name        string   `json:"name"`
	Mode        string   `json:"mode"`
	TLS         bool     `json:"tls"`
	Addresses   []string `json:"addresses"`
	Connections int64    `json:"connections"`
	Requests    uint64   `json:"requests"`
}

// Status implements supervise.Role.
func (r *Role) Status() supervise.Status {
	g := r.current.Load()
	if g == nil {
		return supervise.Status{Text: "starting"}
	}
	d := r.detail(g)
	up, all, connections := 0, 0, int64(0)
	var empty []string
	for _, p := range d.Backends {
		if !p.Usable {
			empty = append(empty, p.Name)
		}
		for _, s := range p.Servers {
			all++
			if s.Up && s.Admin != "maint" {
				up++
			}
		}
	}
	for _, f := range d.Frontends {
		connections += f.Connections
	}
	text := fmt.Sprintf("%d of %d servers up, %d connections", up, all, connections)
	if len(empty) > 0 {
		text += "; no server for " + strings.Join(empty, ", ")
	}
	var impaired []string
	for _, name := range empty {
		impaired = append(impaired, "backend "+name)
	}
	if r.draining.Load() {
		return supervise.Status{Text: "draining, " + text, Detail: d}
	}
	return supervise.Status{Ready: true, Text: text, Detail: d, Impaired: impaired}
}

func (r *Role) detail(g *generation) *Detail {
	d := &Detail{Backends: r.pools.View(), Certificates: r.certificates()}
	d.Usable = slices.ContainsFunc(d.Backends, func(p upstream.PoolView) bool { return p.Usable })
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range g.fronts {
		v := FrontendView{Name: f.Name, Mode: f.mode, TLS: f.tls}
		for _, a := range f.addrs {
			v.Addresses = append(v.Addresses, a.String())
		}
		if own := r.frontends[f.Name]; own != nil {
			c := own.counters()
			v.Connections, v.Requests = c.Open, c.Requests
		}
		d.Frontends = append(d.Frontends, v)
	}
	return d
}
