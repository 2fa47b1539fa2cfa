package config

import (
	"net/netip"
	"slices"
	"strings"
)

func (v *validator) lb(lb *LB) {
	v.absolute("lb.access_log.path", lb.AccessLog.Path)
	v.memory("lb.limits.memory", lb.Limits.Memory)
	if len(lb.Frontends) == 0 {
		v.at("lb.frontends", "the balancer has no frontend, and none follows from the nodes")
	}
	var pools []string
	for i, b := range lb.Backends {
		pools = append(pools, b.Name)
		v.name(join(v.item("lb.backends", i, b.Name), "name"), b.Name)
	}
	used := map[string]string{}
	v.used = used
	for i := range lb.Frontends {
		f := &lb.Frontends[i]
		key := v.item("lb.frontends", i, f.Name)
		v.name(join(key, "name"), f.Name)
		v.certificates(join(key, "tls"), f.TLS)
		v.proxyFrom(join(key, "proxy_from"), f.ProxyFrom)
		if len(f.Bind) == 0 {
			v.at(join(key, "bind"), "the frontend listens nowhere; write an address such as %s", listenForms)
		}
		if most := lb.Limits.Connections; f.Connections > most {
			v.at(join(key, "connections"), "%d connections are never reached: lb.limits.connections bounds all frontends together to %d", f.Connections, most)
		}
		v.frontend(key, f, pools, used)
	}
	lb.Backends = slices.DeleteFunc(lb.Backends, func(b Backend) bool {
		place := v.places[v.item("lb.backends", 0, b.Name)]
		return used[b.Name] == "" && place != nil && place.file == derivedSource
	})
	for i := range lb.Backends {
		b := &lb.Backends[i]
		key := v.item("lb.backends", i, b.Name)
		if used[b.Name] == "" {
			v.at(key, "no frontend and no route uses this pool; remove it, or name it in one")
		}
		v.backend(key, b)
	}
}

func (v *validator) frontend(key string, f *Frontend, pools []string, used map[string]string) {
	use := func(at, pool string) {
		switch {
		case pool == "":
			v.at(at, "the name of a pool is missing, there are %s", orNone(pools))
		case !slices.Contains(pools, pool) && v.known.about("lb.backends"):
			// Perhaps the name that is missing stands in what could not be read.
		case !slices.Contains(pools, pool):
			v.at(at, "there is no pool %s, there are %s%s", quote(pool), orNone(pools), hint(pool, pools))
		case used[pool] == "":
			used[pool] = f.Mode
		case used[pool] != f.Mode:
			v.at(at, "the pool %s serves a frontend of mode %s already; one pool has one mode", quote(pool), used[pool])
		}
	}
	if v.written(join(key, "https_port")) && !f.RedirectHTTPS {
		v.at(join(key, "https_port"), "the key is for redirect_https: true only")
	}
	v.versions(join(key, "http"), f.HTTP)
	if f.Mode == "tcp" {
		if v.written(join(key, "http")) {
			v.at(join(key, "http"), "the key is for mode http")
		}
		if f.HalfClose {
			v.at(join(key, "half_close"), "the key is for mode http; mode tcp always passes a half-close on")
		}
		switch {
		case len(f.Routes) > 0:
			v.at(join(key, "routes"), "routes need requests, and mode tcp passes bytes; use backend")
		case f.RedirectHTTPS:
			v.at(join(key, "redirect_https"), "a redirect needs requests, and mode tcp passes bytes")
		default:
			use(join(key, "backend"), f.Backend)
		}
		return
	}
	given := 0
	for _, on := range []bool{f.RedirectHTTPS, len(f.Routes) > 0, f.Backend != ""} {
		if on {
			given++
		}
	}
	switch {
	case given == 0:
		v.at(key, "the frontend does nothing with requests: write one of routes, backend and redirect_https")
	case given > 1:
		v.at(key, "only one of routes, backend and redirect_https may be there")
	case f.RedirectHTTPS && f.TLS != nil:
		v.at(join(key, "redirect_https"), "the frontend speaks TLS, so the redirect would lead to itself")
	case f.Backend != "":
		use(join(key, "backend"), f.Backend)
	}
	for i, r := range f.Routes {
		at := v.item(join(key, "routes"), i, "")
		v.match(join(at, "match"), r.Match)
		use(join(at, "backend"), r.Backend)
		for j, before := range f.Routes[:i] {
			if covers(before.Match, r.Match) {
				v.at(at, "no request reaches this route: route %d before it takes all of them", j)
				break
			}
		}
	}
}

// versions checks which versions of HTTP clients may speak.
func (v *validator) versions(key string, list []string) {
	if !slices.Contains(list, "h1") {
		v.at(key, "h1 must be there: clients that know nothing newer, and health checks, speak it")
	}
}

func (v *validator) match(key string, m Match) {
	if m.Host != "" {
		v.host(join(key, "host"), m.Host, true)
	}
	if m.Path != "" && m.PathPrefix != "" {
		v.at(join(key, "path_prefix"), "only one of path and path_prefix may be there")
	}
	for _, p := range []struct{ key, value string }{{"path", m.Path}, {"path_prefix", m.PathPrefix}} {
		if p.value != "" {
			v.urlPath(join(key, p.key), p.value)
		}
	}
	v.methods(join(key, "methods"), m.Methods)
}

func (v *validator) urlPath(key, p string) {
	switch {
	case !strings.HasPrefix(p, "/"):
		v.at(key, "%s does not begin with /", quote(p))
	case strings.ContainsAny(p, "?# %"):
		v.at(key, "%s holds one of ? # %% or a space; a path is written decoded, without a query", quote(p))
	}
}

var methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"}

func (v *validator) methods(key string, list []string) {
	for i, m := range list {
		at := v.item(key, i, "")
		switch {
		case m == "" || strings.IndexFunc(m, func(r rune) bool {
			return (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
		}) >= 0:
			v.at(at, "%s is not a request method, which is written in capitals such as GET%s", missing(m), hint(strings.ToUpper(m), methods))
		case slices.Contains(list[:i], m):
			v.at(at, "%s is there twice", m)
		}
	}
}

// covers says whether every request that b takes is taken by a.
func covers(a, b Match) bool {
	return coversHost(a.Host, b.Host) && coversPath(a, b) && coversMethods(a.Methods, b.Methods)
}

func coversHost(a, b string) bool {
	if a == "" || a == b {
		return true
	}
	suffix, wild := strings.CutPrefix(a, "*")
	return wild && strings.HasSuffix(strings.TrimPrefix(b, "*"), suffix) && b != ""
}

func coversPath(a, b Match) bool {
	switch {
	case a.Path != "":
		return a.Path == b.Path
	case a.PathPrefix != "":
		// By whole segments; a slash at the end of a prefix makes no difference.
		prefix, target := strings.TrimSuffix(a.PathPrefix, "/"), b.Path
		if b.Path == "" {
			target = strings.TrimSuffix(b.PathPrefix, "/")
		}
		return target == prefix || strings.HasPrefix(target, prefix+"/")
	}
	return true
}

func coversMethods(a, b []string) bool {
	if len(a) == 0 {
		return true
	}
	return len(b) > 0 && !slices.ContainsFunc(b, func(m string) bool { return !slices.Contains(a, m) })
}

func (v *validator) backend(key string, b *Backend) {
	v.mode(key, b)
	if b.Mode == "tcp" && v.written(join(key, "http")) {
		v.at(join(key, "http"), "the key is for mode http")
	}
	v.servers(key, b.Servers)
	v.serverTLS(join(key, "tls"), b.TLS, b.Servers)
	v.check(join(key, "check"), b.Check, b.Mode)
	v.checkRole(key, b)
	v.retries(join(key, "retries"), b.Retries)
	v.poolTimeouts(key, "lb", b.Mode)
	v.sendProxy(key, b)
	if b.AllBackups && !slices.ContainsFunc(b.Servers, func(s Server) bool { return s.Backup }) {
		v.at(join(key, "all_backups"), "the pool has no backup server")
	}
}

// proxyFrom refuses an empty list, by which nobody could connect.
func (v *validator) proxyFrom(key string, list []netip.Prefix) {
	if list != nil && len(list) == 0 {
		v.at(key, "the list is empty, so every connection would be refused; name the proxies, or remove the key")
	}
}

func (v *validator) sendProxy(key string, b *Backend) {
	if b.SendProxy != "" && b.HTTP == "h2" && b.Mode == "http" {
		v.at(join(key, "send_proxy"), "a connection with a PROXY header is for one client, and one of http: h2 carries the requests of many; use http: h1")
	}
	at := join(key, "send_proxy_options")
	if len(b.SendProxyOptions) > 0 && b.SendProxy != "v2" {
		v.at(at, "the options are for send_proxy: v2; version 1 has addresses only")
	}
	for i, o := range b.SendProxyOptions {
		if slices.Contains(b.SendProxyOptions[:i], o) {
			v.at(v.item(at, i, ""), "%s is there twice", quote(o))
		}
		if o == "alpn" && b.Mode == "http" {
			v.at(v.item(at, i, ""), "the option names the protocol of the bytes that are passed on, and mode http speaks one of its own with the servers; remove it")
		}
	}
}

// mode refuses a written mode that the frontends of the pool do not have.
func (v *validator) mode(key string, b *Backend) {
	if mode := v.used[b.Name]; mode != "" && mode != b.Mode {
		v.at(join(key, "mode"), "%s, but the frontends that use the pool have mode %s", quote(b.Mode), mode)
	}
}

func (v *validator) servers(key string, list []Server) {
	if len(list) == 0 {
		v.at(join(key, "servers"), "the pool has no server; write them, or give a node the role web")
	}
	for i, s := range list {
		at := v.item(join(key, "servers"), i, s.Name)
		v.name(join(at, "name"), s.Name)
		switch {
		case s.Address == "" && !v.written(join(at, "address")) && !v.written(at):
			v.at("web.bind", "node %s has no address without TLS that the balancers can reach; add one such as \":8080\"", s.Name)
		default:
			v.serverAddress(join(at, "address"), s.Address)
		}
	}
}

func (v *validator) check(key string, c Check, mode string) {
	if c.Type == "http" {
		if mode == "tcp" {
			v.at(join(key, "type"), "the pool has mode tcp; its check is mysql, tcp or none")
		}
		v.urlPath(join(key, "path"), c.Path)
		return
	}
	for _, k := range []string{"path", "host", "expect"} {
		if v.written(join(key, k)) {
			v.at(join(key, k), "the key is for a check of type http, and this one is %s", c.Type)
		}
	}
	if c.Type == "mysql" && mode != "tcp" {
		v.at(join(key, "type"), "the check is for pools of mode tcp, and this one has mode http")
	}
	if c.Role != "" && c.Type != "mysql" {
		v.at(join(key, "role"), "the key is for a check of type mysql, and this one is %s", c.Type)
	}
	if c.Role != "replica" && v.written(join(key, "max_lag")) {
		v.at(join(key, "max_lag"), "the key is for role: replica")
	}
	if c.Role != "" && c.Type == "mysql" && v.written(join(key, "rise")) {
		v.at(join(key, "rise"), "the key has no meaning with a role: what a server says of its role decides at once")
	}
	if c.Type == "none" {
		for _, k := range []string{"interval", "timeout", "rise", "fall"} {
			if v.written(join(key, k)) {
				v.at(join(key, k), "the key needs a check, and its type is none")
			}
		}
	}
}

// checkRole checks that the servers whose roles are asked for are such of the site.
func (v *validator) checkRole(key string, b *Backend) {
	at := join(key, "check")
	if b.Check.Type == "mysql" && b.TLS != nil {
		v.at(join(key, "tls"), "MySQL begins TLS by itself behind its greeting, which a check of type mysql reads first; remove tls, or use type: tcp")
	}
	if b.Check.Role == "" || b.Check.Type != "mysql" {
		return
	}
	if len(v.databases) < 2 {
		v.at(join(at, "role"), "roles are those of several nodes of the role db, and there are %d; remove the key", len(v.databases))
		return
	}
	for i, s := range b.Servers {
		if !slices.Contains(v.databases, s.Name) {
			v.at(join(v.item(join(key, "servers"), i, s.Name), "name"), "with check.role the servers are nodes of the role db by their names, there are %s%s",
				strings.Join(v.databases, ", "), hint(s.Name, v.databases))
		}
	}
}

func (v *validator) retries(key string, r Retries) {
	if r.Attempts > 0 && len(r.When) == 0 {
		v.at(join(key, "when"), "the list is empty; write [connect], or attempts: 0")
	}
}
