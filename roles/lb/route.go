package lb

import (
	"slices"
	"strings"

	"stack/appliance/config"
	"stack/roles/internal/exchange"
	"stack/roles/internal/http1"
)

// route is a prepared config.Route: immutable, matched without allocation.
type route struct {
	host    string   // lower case; with a leading dot for "*.": any name below it
	path    string   // exact; empty = any
	prefix  string   // without a slash at its end; empty = any
	methods []string // empty = any
	pass    *exchange.Pass
}

func newRoute(m config.Match, pass *exchange.Pass) route {
	r := route{host: strings.ToLower(strings.TrimSuffix(m.Host, ".")), methods: m.Methods, pass: pass}
	r.host = strings.TrimPrefix(r.host, "*")
	// Written paths and paths of requests are compared in the same form.
	if m.Path != "" {
		r.path = string(cleanPath(nil, []byte(m.Path)))
	}
	if m.PathPrefix != "" {
		r.prefix = strings.TrimSuffix(string(cleanPath(nil, []byte(m.PathPrefix))), "/")
	}
	return r
}

// looksAtPath says whether the route has a condition on the path.
func (r *route) looksAtPath() bool { return r.path != "" || r.prefix != "" }

// matches reports whether all conditions hold. host is hostName's result, path is clean.
func (r *route) matches(method, host, path []byte) bool {
	if r.host != "" && !matchHost(r.host, host) {
		return false
	}
	if r.path != "" && string(path) != r.path {
		return false
	}
	if r.prefix != "" && !hasSegments(path, r.prefix) {
		return false
	}
	if len(r.methods) == 0 {
		return true
	}
	for _, m := range r.methods {
		if string(method) == m {
			return true
		}
	}
	return false
}

// hasSegments reports whether path begins with the whole segments of prefix: "/api"
// takes "/api", "/api/" and "/api/x" but not "/apix".
func hasSegments(path []byte, prefix string) bool {
	return len(path) >= len(prefix) && string(path[:len(prefix)]) == prefix &&
		(len(path) == len(prefix) || path[len(prefix)] == '/')
}

// matchHost compares host without regard to case with want, which is a lower-case name
// or ".suffix".
func matchHost(want string, host []byte) bool {
	if want[0] == '.' {
		if len(host) <= len(want) {
			return false
		}
		host = host[len(host)-len(want):]
	}
	return http1.EqualFold(host, want)
}

// hostName cuts the port and the dot at the end off an authority: "www.example.com.:80"
// gives "www.example.com", "[::1]:80" gives "[::1]".
func hostName(authority []byte) []byte {
	for i := len(authority) - 1; i >= 0 && authority[i] != ']'; i-- {
		if authority[i] == ':' {
			authority = authority[:i]
			break
		}
	}
	if n := len(authority); n > 0 && authority[n-1] == '.' {
		authority = authority[:n-1]
	}
	return authority
}

// router is the Handler of an HTTP frontend. Immutable apart from its scratch buffers,
// of which each loop has its own.
type router struct {
	routes   []route // in the order of the file; the first that matches wins
	byPath   bool    // some route looks at the path
	fallback *exchange.Pass
	scratch  []scratch
}

// scratch is a loop's buffer, on cache lines of its own.
type scratch struct {
	b []byte
	_ [40]byte
}

func newRouter(routes []route, fallback *exchange.Pass, loops int) *router {
	r := &router{routes: routes, fallback: fallback, scratch: make([]scratch, loops)}
	// A last route that takes everything needs no matching.
	if n := len(routes); n > 0 {
		if last := &routes[n-1]; last.host == "" && !last.looksAtPath() && len(last.methods) == 0 {
			r.routes, r.fallback = routes[:n-1], last.pass
		}
	}
	r.byPath = slices.ContainsFunc(r.routes, func(r route) bool { return r.looksAtPath() })
	return r
}

// Serve implements exchange.Handler: it forwards to the pool of the first route that
// matches and answers 404 where none does.
func (r *router) Serve(x *exchange.Exchange) {
	pass := r.fallback
	if len(r.routes) > 0 {
		path := x.Req.Path()
		if r.byPath && needsCleaning(path) {
			s := &r.scratch[x.Worker().Index()]
			s.b = cleanPath(s.b, path)
			path = s.b
		}
		pass = r.choose(x.Req.Method(), hostName(x.Req.Host()), path)
	}
	if pass == nil {
		x.Error(404, exchange.None)
		return
	}
	x.Forward(pass)
}

// choose is Serve's decision, apart from the exchange. Guarded by BenchmarkChoose.
func (r *router) choose(method, host, path []byte) *exchange.Pass {
	for i := range r.routes {
		if rt := &r.routes[i]; rt.matches(method, host, path) {
			return rt.pass
		}
	}
	return r.fallback
}
