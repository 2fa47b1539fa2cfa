package config

import (
	"net/netip"
	"slices"
	"strconv"
)

// plan holds the ports of what is derived. A server uses the standard ones; stack
// dev, which runs a whole site on one machine without root, high ones.
type plan struct {
	http, https, mysql uint16       // of the balancers
	mysqlRead          uint16       // of the balancers where there are replicas; 0: none
	web, db, admin     uint16       // of each node
	front              []netip.Addr // stack dev: the shared address that stands in for the VIP
}

var standardPlan = plan{http: 80, https: 443, mysql: 3306, mysqlRead: 3307, web: 8080, db: 3306, admin: 9180}

// Names of what is derived for a balancer.
const (
	FrontendHTTP      = "http"
	FrontendHTTPS     = "https"
	FrontendMySQL     = "mysql"
	FrontendMySQLRead = "mysql-read"
	BackendWeb        = "web"
	BackendPrimary    = "mysql-primary"
	BackendReplicas   = "mysql-replicas"
)

// derivedSource is the file of derived nodes: they come from no file.
const derivedSource = "derived"

// databaseTunnel bounds the silence of sessions with a database, as far as that goes: the server itself ends those that are idle, by
// wait_timeout, and a statement may take hours without a byte.
const databaseTunnel = "30d"

// Builders of derived trees.
func leaf(text string) *node { return &node{file: derivedSource, value: text, quoted: true} }

func seq(items ...*node) *node { return &node{file: derivedSource, kind: list, items: items} }

func keyed(pairs ...any) *node {
	n := &node{file: derivedSource, kind: mapping}
	for i := 0; i < len(pairs); i += 2 {
		v, ok := pairs[i+1].(*node)
		if !ok {
			v = leaf(pairs[i+1].(string))
		}
		n.entries = append(n.entries, entry{pairs[i].(string), v, v})
	}
	return n
}

// deriveLB is the layer below the file for a balancer: the frontends and pools that
// follow from the nodes. written is the node's tree, which decides what is left out.
func (s *sources) deriveLB(self member, written *node) *node {
	front := s.front(self)
	frontends, backends := seq(), seq()
	binds := func(addrs []netip.Addr, port uint16) *node {
		l := seq()
		for _, a := range addrs {
			l.items = append(l.items, leaf(netip.AddrPortFrom(a, port).String()))
		}
		return l
	}
	if web := s.having("web"); len(web) > 0 {
		http := keyed("name", FrontendHTTP, "bind", binds(front, s.plan.http), "https_port", strconv.Itoa(int(s.plan.https)))
		if w := writtenFrontend(written, FrontendHTTP); w.get("routes") == nil && w.get("backend") == nil {
			http = http.with("redirect_https", leaf("true"))
		}
		https := keyed("name", FrontendHTTPS, "bind", binds(front, s.plan.https), "tls", keyed("certificates", "auto"))
		if w := writtenFrontend(written, FrontendHTTPS); w.get("backend") == nil {
			https = https.with("routes", seq(keyed("match", keyed(), "backend", BackendWeb)))
		}
		frontends.items = append(frontends.items, http, https)
		pool := keyed("name", BackendWeb, "mode", "http",
			"servers", webServers(web), "check", keyed("type", "http", "path", web[0].cfg.Web.HealthPath))
		if web[0].cfg.Web.ProxyFrom != nil {
			// ssl: the web servers see the client as their peer and believe no X-Forwarded-Proto.
			pool = pool.with("send_proxy", leaf("v2")).with("send_proxy_options", seq(leaf("ssl")))
		}
		backends.items = append(backends.items, pool)
	}
	if db := s.having("db"); len(db) > 0 {
		if slices.Contains(self.decl.Roles, "db") {
			front = slices.DeleteFunc(slices.Clone(front), func(a netip.Addr) bool { return a == self.decl.Address })
		}
		if len(front) > 0 {
			frontends.items = append(frontends.items, keyed("name", FrontendMySQL, "mode", "tcp",
				"bind", binds(front, s.plan.mysql), "backend", BackendPrimary))
		}
		// Of a check whose type is written the role would be left over.
		asks := func(pool string) bool {
			return len(db) > 1 && writtenBackend(written, pool).get("check").get("type") == nil
		}
		writers, check := db[:1], keyed("type", "tcp") // who is the primary when the site begins
		if asks(BackendPrimary) {
			writers, check = db, keyed("type", "mysql", "role", "primary")
		}
		pool := func(name string, servers []member, check *node) *node {
			p := keyed("name", name, "mode", "tcp", "servers", databases(servers), "check", check)
			if !slices.ContainsFunc(db, func(m member) bool { return m.cfg.DB.ProxyFrom == nil }) {
				p = p.with("send_proxy", leaf("v2"))
			}
			if written.get("lb").get("timeouts").get("tunnel") == nil {
				p = p.with("timeouts", keyed("tunnel", databaseTunnel))
			}
			return p
		}
		backends.items = append(backends.items, pool(BackendPrimary, writers, check))
		if len(db) > 1 && s.plan.mysqlRead != 0 {
			check := keyed("type", "tcp")
			if asks(BackendReplicas) {
				check = keyed("type", "mysql", "role", "replica")
			}
			frontends.items = append(frontends.items, keyed("name", FrontendMySQLRead, "mode", "tcp",
				"bind", binds(s.front(self), s.plan.mysqlRead), "backend", BackendReplicas))
			backends.items = append(backends.items, pool(BackendReplicas, db, check))
		}
	}
	return keyed("lb", keyed("frontends", frontends, "backends", backends))
}

// front lists the addresses a balancer serves: the shared ones, then its own.
func (s *sources) front(self member) []netip.Addr {
	var out []netip.Addr
	for _, v := range self.cfg.VIP {
		out = append(out, v.Addresses...)
	}
	return append(append(out, s.plan.front...), self.decl.Address)
}

func writtenFrontend(tree *node, name string) *node { return writtenIn(tree, "frontends", name) }

func writtenBackend(tree *node, name string) *node { return writtenIn(tree, "backends", name) }

func writtenIn(tree *node, list, name string) *node {
	if l := tree.get("lb").get(list); l != nil {
		for _, item := range l.items {
			if item.name() == name {
				return item
			}
		}
	}
	return nil
}

func webServers(web []member) *node {
	l := seq()
	for _, m := range web {
		l.items = append(l.items, keyed("name", m.decl.Name, "address", reachable(m, m.cfg.Web.Bind), "weight", strconv.Itoa(m.decl.Weight)))
	}
	return l
}

// databaseNames are the nodes of the role db.
func (s *sources) databaseNames() (names []string) {
	for _, m := range s.having("db") {
		names = append(names, m.decl.Name)
	}
	return names
}

func databases(db []member) *node {
	l := seq()
	for _, m := range db {
		l.items = append(l.items, keyed("name", m.decl.Name, "address", reachable(m, m.cfg.DB.Bind)))
	}
	return l
}

// reachable is the address by which another node reaches one of m's plain listeners.
func reachable(m member, binds []Listen) string {
	for _, l := range binds {
		a := l.Addr.Addr()
		switch {
		case l.TLS:
		case !a.IsValid() || a.IsUnspecified() && a.Is4() == m.decl.Address.Is4():
			return netip.AddrPortFrom(m.decl.Address, l.Addr.Port()).String()
		case !a.IsUnspecified() && (!a.IsLoopback() || m.decl.Address.IsLoopback()):
			return l.Addr.String()
		}
	}
	return ""
}

// inheritTimeouts lays the timeouts of a pool over those of its role, key by key.
func inheritTimeouts(tree *node) *node {
	below := func(n *node, key string, change func(*node) *node) *node {
		v := n.get(key)
		if v == nil {
			return n
		}
		if v.kind != list {
			return n.with(key, change(v))
		}
		out := *v
		out.items = make([]*node, len(v.items))
		for i, item := range v.items {
			out.items[i] = change(item)
		}
		return n.with(key, &out)
	}
	inherit := func(role *node) func(*node) *node {
		return func(pool *node) *node {
			own := pool.get("timeouts")
			if base := role.get("timeouts"); own != nil && own.kind == mapping && base != nil && base.kind == mapping {
				return pool.with("timeouts", merge(base, own))
			}
			return pool
		}
	}
	tree = below(tree, "lb", func(lb *node) *node { return below(lb, "backends", inherit(lb)) })
	return below(tree, "web", func(web *node) *node {
		return below(web, "sites", func(site *node) *node {
			return below(site, "locations", func(loc *node) *node { return below(loc, "proxy", inherit(web)) })
		})
	})
}
