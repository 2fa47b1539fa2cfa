package config

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
)

// fresh is a T with all its defaults.
func fresh[T any]() *T {
	p := new(T)
	setDefaults(reflect.ValueOf(p).Elem())
	return p
}

// fillBinds fills in the listeners that the file leaves out and splits ":port" into
// its two families.
func (s *sources) fillBinds(m member, c *Config) {
	at := func(port uint16) Listen { return Listen{Addr: netip.AddrPortFrom(m.decl.Address, port)} }
	any := func(port uint16, tls bool) Listen {
		return Listen{Addr: netip.AddrPortFrom(netip.Addr{}, port), TLS: tls}
	}
	site := m.decl.Address.IsValid()
	loopback := func(port uint16) Listen {
		return Listen{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)}
	}
	if w := c.Web; w != nil && len(w.Bind) == 0 {
		behind := site && s.balanced(c)
		if behind {
			w.Bind = append(w.Bind, at(s.plan.web))
		}
		if !behind || w.Public {
			w.Bind = append(w.Bind, any(s.plan.http, false), any(s.plan.https, true))
		}
	}
	if d := c.DB; d != nil && len(d.Bind) == 0 {
		d.Bind = []Listen{loopback(s.plan.db)}
		if site {
			d.Bind = []Listen{at(s.plan.db)}
		}
	}
	if len(c.Admin.Bind) == 0 {
		c.Admin.Bind = []Listen{loopback(s.plan.admin)}
		if site {
			c.Admin.Bind = []Listen{at(s.plan.admin)}
		}
	}
	c.Admin.Bind = bothFamilies(c.Admin.Bind)
	if c.LB != nil {
		for i := range c.LB.Frontends {
			c.LB.Frontends[i].Bind = bothFamilies(c.LB.Frontends[i].Bind)
		}
	}
	if c.Web != nil {
		c.Web.Bind = bothFamilies(c.Web.Bind)
	}
	if c.DB != nil {
		c.DB.Bind = bothFamilies(c.DB.Bind)
	}
}

// balanced says whether the site has a balancer.
func (s *sources) balanced(c *Config) bool {
	return slices.ContainsFunc(c.Nodes, func(d NodeDecl) bool { return slices.Contains(d.Roles, "lb") })
}

func bothFamilies(in []Listen) []Listen {
	var out []Listen
	for _, l := range in {
		if l.Addr.Addr().IsValid() {
			out = append(out, l)
			continue
		}
		for _, a := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
			out = append(out, Listen{Addr: netip.AddrPortFrom(a, l.Addr.Port()), TLS: l.TLS})
		}
	}
	return out
}

// fill makes the config of a node complete: what the tags cannot say.
func (s *sources) fill(m member, c *Config) {
	if c.Admin.Socket == "" {
		c.Admin.Socket = s.adminSocket(m.decl.Name, c)
	}
	if balancers := s.having("lb"); len(balancers) > 0 {
		for i := range c.VIP {
			if c.VIP[i].Prefer == "" {
				c.VIP[i].Prefer = balancers[0].decl.Name
			}
		}
	}
	fillVRIDs(c.VIP)
	for _, p := range serverPools(c) {
		p.tls.complete(&c.TLS)
	}
	if c.LB != nil {
		s.fillLB(c.LB)
	}
	if c.Web != nil {
		s.fillWeb(c.Web)
	}
	if d := c.DB; d != nil {
		if d.TLS == nil {
			d.TLS = &BindTLS{Auto: true}
		}
		if d.ProxyFrom == nil {
			d.ProxyFrom = s.addressesOf("lb")
		}
		s.fillAck(d)
	}
}

// fillAck chooses what commits wait for where that is not written.
func (s *sources) fillAck(d *DB) {
	replicas := len(s.having("db")) - 1
	if d.Ack == "" {
		d.Ack = "none"
		if replicas > 0 {
			d.Ack = "one"
		}
	}
	if d.AckPolicy == "" {
		d.AckPolicy = "degrade"
		if replicas > 1 {
			d.AckPolicy = "strict"
		}
	}
}

// fillVRIDs numbers the groups that name no identifier in the order of the file, which is
// the same on every node.
func fillVRIDs(list []VIP) {
	const first = 51
	next := first
	taken := func(id int) bool { return slices.ContainsFunc(list, func(v VIP) bool { return v.VRID == id }) }
	for i := range list {
		if list[i].VRID != 0 {
			continue
		}
		for taken(next) && next < 255 {
			next++
		}
		list[i].VRID = next
	}
}

func (s *sources) fillLB(lb *LB) {
	if lb.Loops == 0 {
		lb.Loops = s.opt.CPUs
	}
	s.fillMemory(&lb.Limits)
	for i := range lb.Backends {
		b := &lb.Backends[i]
		if b.Servers == nil {
			for _, m := range s.having("web") {
				b.Servers = append(b.Servers, Server{Name: m.decl.Name, Address: reachable(m, m.cfg.Web.Bind), Weight: m.decl.Weight})
			}
		}
		if b.Mode == "" {
			b.Mode = modeOf(lb, b.Name)
		}
		if b.Timeouts == nil {
			t := lb.Timeouts
			b.Timeouts = &t
		}
		fillCheck(&b.Check)
	}
}

// modeOf is the mode of the first frontend that uses the pool.
func modeOf(lb *LB, backend string) string {
	for _, f := range lb.Frontends {
		if f.Backend == backend || slices.ContainsFunc(f.Routes, func(r Route) bool { return r.Backend == backend }) {
			return f.Mode
		}
	}
	return "http"
}

func fillCheck(c *Check) {
	if c.Type == "http" && c.Path == "" {
		c.Path = "/"
	}
}

func (s *sources) fillWeb(w *Web) {
	if w.Loops == 0 {
		w.Loops = s.opt.CPUs
	}
	s.fillMemory(&w.Limits)
	if w.TLS == nil {
		w.TLS = &BindTLS{Auto: true}
	}
	if w.TrustedProxies == nil {
		w.TrustedProxies = s.addressesOf("lb")
	}
	for i := range w.Sites {
		site := &w.Sites[i]
		if site.PHP != "" {
			fillPHP(site)
		}
		for j := range site.Locations {
			if p := site.Locations[j].Proxy; p != nil {
				fillCheck(&p.Check)
				if p.Timeouts == nil {
					t := w.Timeouts
					p.Timeouts = &t
				}
			}
		}
	}
}

// phpRegex takes scripts and what follows them (/index.php/about); the FastCGI
// handler splits the two by looking for the file.
const phpRegex = `\.php(/|$)`

// fillPHP writes the short form "php: X" out.
func fillPHP(site *WebSite) {
	if !slices.Contains(site.Index, "index.php") {
		site.Index = append(slices.Clone(site.Index), "index.php")
	}
	if last := len(site.TryFiles) - 1; last < 0 || !endsTries(site.TryFiles[last]) {
		site.TryFiles = append(slices.Clone(site.TryFiles), "/index.php")
	}
	if slices.ContainsFunc(site.Locations, func(l Location) bool { return l.Regex == phpRegex }) {
		return
	}
	site.Locations = append(slices.Clone(site.Locations),
		Location{Regex: phpRegex, FastCGI: &FastCGI{Address: site.PHP, Index: "index.php"}})
}

// endsTries says of the last entry of try_files that it leaves nothing to
// /index.php: a status, or a path with the query of the request, which can only be
// the last one.
func endsTries(last string) bool {
	return last == "/index.php" || strings.HasPrefix(last, "=") || strings.HasSuffix(last, "?$args")
}

// binds lists every socket of n in a stable order.
func binds(n *Node, front []netip.Addr) []Bind {
	shared := slices.Clone(front)
	for _, v := range n.VIP {
		shared = append(shared, v.Addresses...)
	}
	var out []Bind
	add := func(role, owner string, l []Listen, group int) {
		for _, x := range l {
			out = append(out, Bind{Role: role, Owner: owner, Addr: x.Addr, Group: group,
				Freebind: slices.Contains(shared, x.Addr.Addr()) && !slices.Contains(front, x.Addr.Addr())})
		}
	}
	if n.LB != nil {
		for _, f := range n.LB.Frontends {
			add("lb", f.Name, f.Bind, n.LB.Loops)
		}
	}
	if n.Web != nil {
		add("web", "web", n.Web.Bind, n.Web.Loops)
	}
	if n.DB != nil {
		add("db", "db", n.DB.Bind, 1)
	}
	add("admin", "admin", n.Admin.Bind, 1)
	return out
}
