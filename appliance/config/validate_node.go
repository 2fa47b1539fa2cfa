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
	for i, b := range n.Binds {
		for _, a := range n.Binds[:i] {
			if overlap(a.Addr, b.Addr) {
				v.at(bindKey(b), "node %s: %s listens on %s, where %s listens on %s already%s",
					n.Name, speaker(b), b.Addr, speaker(a), a.Addr, v.derivedCure(a, b))
				break
			}
		}
	}
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

// overlap says whether one host cannot listen on both: "any address" takes every
// address of its family.
func overlap(a, b netip.AddrPort) bool {
	if a.Port() != b.Port() || a.Addr().Is4() != b.Addr().Is4() {
		return false
	}
	return a.Addr() == b.Addr() || a.Addr().IsUnspecified() || b.Addr().IsUnspecified()
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
			_, places := decode(s.tree(n.Name, false), &problems{})
			newValidator(p, places).at(bindKey(b), "node %s: %s listens on %s, where %s of node %s listens already; set the address per node with nodes[%s].set, or write \":%d\"",
				n.Name, speaker(b), b.Addr, h.what, h.node, n.Name, b.Addr.Port())
		}
	}
}
