package web

import (
	"fmt"
	"slices"
	"strings"

	"stack/appliance/supervise"
	"stack/roles/internal/upstream"
	stacktls "stack/tls"
)

// Detail is the role's part of `stack status --json`.
type Detail struct {
	Sites       []SiteDetail        `json:"sites"`
	Connections int                 `json:"connections"`
	Pools       []upstream.PoolView `json:"pools,omitempty"`
}

// SiteDetail is one site.
type SiteDetail struct {
	Name  string   `json:"name"`
	Hosts []string `json:"hosts,omitempty"`
	Root  string   `json:"root,omitempty"`
	App   string   `json:"app,omitempty"`
}

// Status implements supervise.Role.
func (r *Role) Status() supervise.Status {
	g := r.current.Load()
	if g == nil {
		return supervise.Status{Text: "starting"}
	}
	d := Detail{Connections: r.set.Open(), Pools: r.pools.View()}
	names := make([]string, 0, len(g.sites))
	for i, s := range g.sites {
		names = append(names, s.name)
		d.Sites = append(d.Sites, SiteDetail{Name: s.name, Hosts: s.hosts, Root: g.node.Web.Sites[i].Root, App: g.node.Web.Sites[i].App})
	}
	if len(names) > 3 {
		names = append(names[:3], fmt.Sprintf("and %d more", len(g.sites)-3))
	}
	text := fmt.Sprintf("serves %s, %d connections", strings.Join(names, ", "), d.Connections)
	if r.draining.Load() {
		text = fmt.Sprintf("drains, %d connections", d.Connections)
	}
	return supervise.Status{Ready: !r.draining.Load(), Text: text, Detail: d}
}

func (r *Role) certificates() []stacktls.Info {
	if g := r.current.Load(); g != nil && g.certs != nil {
		return g.certs.List()
	}
	return nil
}

func (r *Role) allStats() []*siteStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]*siteStats, 0, len(r.stats))
	for _, s := range r.stats {
		all = append(all, s)
	}
	return all
}

func (r *Role) allPoints() []*listener {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.points)
}
