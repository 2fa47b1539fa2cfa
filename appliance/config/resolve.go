package config

import (
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
)

// member is a node of the site and its config.
type member struct {
	decl NodeDecl
	cfg  *Config
}

func (m member) has(role string) bool { return slices.Contains(m.decl.Roles, role) }

func (s *sources) having(role string) []member {
	var out []member
	for _, m := range s.members {
		if m.has(role) {
			out = append(out, m)
		}
	}
	return out
}

// Resolve derives everything that the named node needs; "" is the node that this
// process is. The environment and flags hold for it. The error is of type Errors,
// or says that there is no such node.
func (c *Config) Resolve(name string) (*Node, error) {
	if name == "" {
		var err error
		if name, err = c.src.self(c); err != nil {
			return nil, err
		}
	}
	return c.src.resolveErr(c, name, true)
}

// ResolveAll derives every node of the site, in the order of the file; without
// nodes the one server there is. The environment and flags hold for the node that
// this process is, if it is one of them.
func (c *Config) ResolveAll() ([]*Node, error) {
	self, _ := c.src.self(c)
	names := []string{self}
	if len(c.Nodes) > 0 {
		names = nil
		for _, n := range c.Nodes {
			names = append(names, n.Name)
		}
	}
	var out []*Node
	for _, name := range names {
		n, err := c.src.resolveErr(c, name, name == self || c.src.dev)
		if err != nil {
			return nil, err
		}
		out = append(out, n)
	}
	return out, nil
}

// Fingerprint names the content of the files, as 16 hex digits.
func (c *Config) Fingerprint() string { return c.src.fingerprint() }

func (s *sources) resolveErr(c *Config, name string, own bool) (*Node, error) {
	m, err := s.find(c, name)
	if err != nil {
		return nil, err
	}
	var p problems
	n := s.resolve(m, own, &p)
	if err := p.err(s.order); err != nil {
		return nil, err
	}
	return n, nil
}

func (s *sources) find(c *Config, name string) (member, error) {
	if len(c.Nodes) == 0 {
		return member{decl: NodeDecl{Name: name, Roles: written(c)}}, nil
	}
	for _, d := range c.Nodes {
		if d.Name == name {
			return member{decl: d}, nil
		}
	}
	t := *s
	t.opt.Node = name
	_, err := t.self(c)
	return member{}, err
}

// written lists the roles that have a section.
func written(c *Config) []string {
	var out []string
	for _, r := range []struct {
		name string
		on   bool
	}{{"lb", c.LB != nil}, {"web", c.Web != nil}, {"db", c.DB != nil}} {
		if r.on {
			out = append(out, r.name)
		}
	}
	return out
}

// checkNodes resolves the whole site once: every node as the others see it, then
// this process's node with its environment and flags.
func (s *sources) checkNodes(c *Config, p *problems) {
	for _, d := range c.Nodes {
		m := member{decl: d}
		m.cfg, _ = s.effective(m, s.tree(d.Name, s.dev), &problems{}) // reported by resolve below
		s.members = append(s.members, m)
	}
	before := len(p.list)
	var all []*Node
	for _, m := range s.members {
		if n := s.resolve(m, s.dev, p); n != nil {
			all = append(all, n)
		}
	}
	if len(p.list) == before {
		s.acrossNodes(all, p)
	}
	if self, err := s.self(c); err == nil {
		if m, err := s.find(c, self); err == nil {
			s.resolve(m, true, p)
		}
	}
}

// checkSections checks what does not depend on the nodes, when those are wrong.
func (s *sources) checkSections(v *validator, c *Config) {
	s.fillBinds(member{}, c)
	s.fill(member{}, c)
	v = newValidator(v.p, v.places)
	v.site, v.balanced, v.databases = len(c.Nodes) > 0, s.balanced(c), s.databaseNames()
	if c.Web != nil {
		v.web(c.Web)
	}
	if c.DB != nil {
		v.db(c.DB)
	}
}

// effective decodes a node's tree and fills in where it listens, which is what
// other nodes need to know of it.
func (s *sources) effective(m member, tree *node, p *problems) (*Config, map[string]*node) {
	c, places := decode(inheritTimeouts(tree), p)
	if m.has("lb") && c.LB == nil {
		c.LB = fresh[LB]()
	}
	if m.has("web") && c.Web == nil {
		c.Web = fresh[Web]()
	}
	if m.has("db") && c.DB == nil {
		c.DB = fresh[DB]()
	}
	s.fillBinds(m, c)
	return c, places
}

// resolve derives the node m. It returns nil after adding to p.
func (s *sources) resolve(m member, own bool, p *problems) *Node {
	before := len(p.list)
	roles := m.decl.Roles
	if own && len(s.opt.Roles) > 0 {
		roles = s.opt.Roles
		for _, r := range roles {
			if !slices.Contains(m.decl.Roles, r) {
				p.add(Error{File: s.opt.File, Key: "--role", Text: s.missingRole(m, r)})
			}
		}
	}
	tree := s.tree(m.decl.Name, own)
	m.cfg, _ = s.effective(m, tree, &problems{})
	if m.has("lb") && len(s.members) > 0 && m.cfg.LB.Derived {
		tree = merge(s.deriveLB(m, tree), tree)
	}
	c, places := s.effective(m, tree, p)
	s.fill(m, c)
	v := newValidator(p, places)
	v.site, v.balanced, v.databases = len(s.members) > 0, s.balanced(c), s.databaseNames()
	v.node(m, c)
	n := &Node{
		Name: m.decl.Name, Site: c.Site, Hosts: s.hosts(c), Roles: slices.Clone(roles), Address: m.decl.Address,
		VIP: c.VIP, TLS: c.TLS, Firewall: c.Firewall, Admin: c.Admin, Log: c.Log, Process: c.Process,
		Members: s.memberList(m), Fingerprint: s.fingerprint(), Dev: s.dev,
	}
	for _, r := range roles {
		switch r {
		case "lb":
			n.LB = c.LB
		case "web":
			n.Web = c.Web
		case "db":
			n.DB = c.DB
		}
	}
	n.Binds = binds(n, s.plan.front)
	if len(p.list) == before {
		v.collisions(n)
	}
	if len(p.list) > before {
		return nil
	}
	return n
}

func (s *sources) missingRole(m member, role string) string {
	if known := []string{"lb", "web", "db"}; !slices.Contains(known, role) {
		return quote(role) + " is no role, allowed are lb, web and db" + hint(role, known)
	}
	if len(s.members) > 0 {
		return "node " + m.decl.Name + " has no role " + quote(role) + " in the file, it has " + strings.Join(m.decl.Roles, ", ") + hint(role, m.decl.Roles)
	}
	return "the file has no section for the role " + quote(role) + ", it has " + orNone(m.decl.Roles) + hint(role, m.decl.Roles)
}

func orNone(words []string) string {
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ", ")
}

func (s *sources) memberList(self member) []Member {
	if len(s.members) == 0 {
		return []Member{{Name: self.decl.Name, Roles: self.decl.Roles, Weight: 1}}
	}
	var out []Member
	for _, m := range s.members {
		x := Member{Name: m.decl.Name, Roles: m.decl.Roles, Address: m.decl.Address, Weight: m.decl.Weight}
		if m.has("db") {
			x.DB, _ = netip.ParseAddrPort(reachable(m, m.cfg.DB.Bind)) // "" where no other node reaches it
		}
		out = append(out, x)
	}
	return out
}

// hosts lists the site's name and every host name of its web sites, each once.
func (s *sources) hosts(own *Config) []string {
	configs := []*Config{own}
	if len(s.members) > 0 {
		if s.names != nil {
			return s.names
		}
		configs = nil
		for _, m := range s.members {
			configs = append(configs, m.cfg)
		}
	}
	seen := map[string]bool{"": true}
	out := []string{}
	add := func(h string) {
		if !seen[h] {
			seen[h] = true
			out = append(out, h)
		}
	}
	add(own.Site)
	for _, c := range configs {
		if c.Web == nil {
			continue
		}
		for _, site := range c.Web.Sites {
			for _, h := range site.Hosts {
				add(h)
			}
		}
	}
	if len(s.members) > 0 {
		s.names = out
	}
	return out
}

// addressesOf lists the addresses of the nodes of a role as networks of one.
func (s *sources) addressesOf(role string) []netip.Prefix {
	out := []netip.Prefix{}
	for _, m := range s.having(role) {
		out = append(out, netip.PrefixFrom(m.decl.Address, m.decl.Address.BitLen()))
	}
	return out
}

func (s *sources) adminSocket(name string, c *Config) string {
	return filepath.Join(c.Process.RunDir, name+".sock")
}
