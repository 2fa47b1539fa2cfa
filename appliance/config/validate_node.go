package config

import (
	"net/netip"
	"slices"
)

// node checks the complete config of one node.
func (v *validator) node(m member, c *Config) {
	if m.has("lb") {
		v.lb(c.LB)
	}
	if m.has("web") {
		v.web(c.Web)
	}
	if m.has("db") {
		v.db(c.DB)
	}
	v.socketPath("admin.socket", c.Admin.Socket, c.Admin.Socket)
	v.absolute("process.run_dir", c.Process.RunDir)
	v.absolute("tls.secrets_dir", c.TLS.SecretsDir)
}

// bindKey is the config key that a socket comes from.
func bindKey(b Bind) string {
	switch b.Role {
	case "lb":
		return itemKey("lb.frontends", 0, b.Owner) + ".bind"
	case "web":
		return "web.bind"
	case "db":
		return "db.bind"
	}
	return "admin.bind"
}

// collisions refuses two listeners of one node on the same address and port.
func (v *validator) collisions(n *Node) {
	var taken listeners
	for _, b := range n.Binds {
		if a, ok := taken.add(b); ok {
			v.at(bindKey(b), "node %s: %s listens on %s, where %s listens on %s already%s",
				n.Name, speaker(b), b.Addr, speaker(a), a.Addr, v.derivedCure(a, b))
		}
	}
}

// listeners are those of one host. "Any address" takes every address of its family.
type listeners struct {
	exact map[netip.AddrPort]Bind
	any   map[netip.AddrPort]Bind // by unspecified address: the first on that port and family
}

// add returns the listener that stands where b would.
func (l *listeners) add(b Bind) (Bind, bool) {
	if l.exact == nil {
		l.exact, l.any = map[netip.AddrPort]Bind{}, map[netip.AddrPort]Bind{}
	}
	whole := netip.AddrPortFrom(netip.IPv6Unspecified(), b.Addr.Port())
	if b.Addr.Addr().Is4() {
		whole = netip.AddrPortFrom(netip.IPv4Unspecified(), b.Addr.Port())
	}
	for _, a := range []netip.AddrPort{b.Addr, whole} {
		if first, ok := l.exact[a]; ok {
			return first, true
		}
	}
	if first, ok := l.any[whole]; ok && b.Addr.Addr().IsUnspecified() {
		return first, true
	}
	l.exact[b.Addr] = b
	if _, ok := l.any[whole]; !ok {
		l.any[whole] = b
	}
	return Bind{}, false
}

func (v *validator) derivedCure(binds ...Bind) string {
	for _, b := range binds {
		if b.Role == "lb" && v.places[bindKey(b)] != nil && v.places[bindKey(b)].file == derivedSource {
			return "; " + b.Owner + " follows from the nodes: write your own under that name, or set lb.derived to false"
		}
	}
	return ""
}

func speaker(b Bind) string {
	if b.Role == "lb" {
		return "frontend " + b.Owner
	}
	return map[string]string{"web": "the web server", "db": "the database", "admin": "the admin interface"}[b.Role]
}

// acrossNodes refuses an address that is written for all nodes of a role while
// only one of them can hold it.
func (s *sources) acrossNodes(all []*Node, p *problems) {
	type holder struct{ node, what string }
	first := map[netip.AddrPort]holder{}
	for _, n := range all {
		for _, b := range n.Binds {
			a := b.Addr.Addr()
			if b.Freebind || a.IsUnspecified() || a.IsLoopback() && !s.dev || slices.Contains(s.plan.front, a) {
				continue
			}
			h, taken := first[b.Addr]
			if !taken {
				first[b.Addr] = holder{n.Name, speaker(b)}
				continue
			}
			_, places := decode(s.tree(n.Name, s.dev), &problems{})
			newValidator(p, places).at(bindKey(b), "node %s: %s listens on %s, where %s of node %s listens already; set the address per node with nodes[%s].set, or write \":%d\"",
				n.Name, speaker(b), b.Addr, h.what, h.node, n.Name, b.Addr.Port())
		}
	}
}
