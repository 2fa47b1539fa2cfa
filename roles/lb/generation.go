package lb

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"stack/appliance/config"
	"stack/appliance/sockets"
	"stack/roles/internal/accesslog"
	"stack/roles/internal/exchange"
	"stack/roles/internal/upstream"
	stacktls "stack/tls"
)

// generation is one configuration, built whole and not changed afterwards.
type generation struct {
	node      *config.Node
	pools     *upstream.Change
	log       *accesslog.Change
	fronts    []*front
	certs     []*stacktls.Certificates
	maintain  context.CancelFunc // ends the certificates' upkeep
	listeners *sockets.Set
}

// front is a frontend of one generation.
type front struct {
	*exchange.Frontend
	mode  string
	tls   bool
	addrs []netip.AddrPort
}

// builder is what a generation is built from and for.
type builder struct {
	node  *config.Node
	loops int
	// pools prepares the backends: upstream.Set.Prepare, or Plan to open nothing.
	pools func([]config.Backend) (*upstream.Change, error)
}

// build makes everything that the configuration asks for, changing nothing that
// serves. The error names the place in the file and the cure.
func (b *builder) build() (*generation, error) {
	lb := b.node.LB
	g := &generation{node: b.node}
	var err error
	if g.pools, err = b.pools(lb.Backends); err != nil {
		return nil, fmt.Errorf("lb: %w", err)
	}
	edit := newEditor(b.node.Name, b.loops, lb.TrustedProxies)
	passes := make(map[string]*exchange.Pass, len(lb.Backends))
	for i := range lb.Backends {
		passes[lb.Backends[i].Name] = b.pass(g, &lb.Backends[i], edit)
	}
	for i := range lb.Frontends {
		f, err := b.frontend(g, &lb.Frontends[i], passes)
		if err != nil {
			return nil, fmt.Errorf("lb: frontend %s: %w", lb.Frontends[i].Name, err)
		}
		g.fronts = append(g.fronts, f)
	}
	return g, nil
}

// pass prepares how requests or connections reach a pool.
func (b *builder) pass(g *generation, backend *config.Backend, edit *editor) *exchange.Pass {
	pool := g.pools.Pool(backend.Name)
	p := &exchange.Pass{Picker: pool, Name: backend.Name, Timeouts: b.node.LB.Timeouts}
	if backend.Timeouts != nil {
		p.Timeouts = *backend.Timeouts
	}
	if slices.Contains(backend.Retries.When, "connect") {
		p.Attempts = backend.Retries.Attempts
	}
	if backend.SendProxy != "" {
		p.Preamble = proxyHeader(backend).Append
	}
	if backend.Mode == "tcp" && backend.Check.Type == "mysql" {
		p.Refusal = mysqlRefusal(backend.Name)
	}
	if backend.Mode != "tcp" {
		p.HTTP2 = backend.HTTP == "h2"
		p.Edit = edit
		p.Forwarded = true
		p.Trusted = b.node.LB.TrustedProxies
	}
	return p
}

// proxyHeader is what the servers of a pool are told of the client.
func proxyHeader(b *config.Backend) *exchange.ProxyHeader {
	has := func(o string) bool { return slices.Contains(b.SendProxyOptions, o) }
	h := &exchange.ProxyHeader{Version: 1}
	if b.SendProxy == "v2" {
		h = &exchange.ProxyHeader{Version: 2, Checksum: has("crc32c"), SSL: has("ssl"), CommonName: has("cert_cn"), Authority: has("authority"), ALPN: has("alpn")}
	}
	return h
}

func (b *builder) frontend(g *generation, c *config.Frontend, passes map[string]*exchange.Pass) (*front, error) {
	lb := b.node.LB
	f := &front{mode: c.Mode, tls: c.TLS != nil, Frontend: &exchange.Frontend{
		Name: c.Name, HTTP2: c.Mode != "tcp" && slices.Contains(c.HTTP, "h2"), Timeouts: lb.Timeouts, Limits: lb.Limits, ErrorPage: errorPage,
		Connections: c.Connections, Trusted: lb.TrustedProxies, ProxyFrom: c.ProxyFrom, HalfClose: c.HalfClose,
	}}
	for _, l := range c.Bind {
		f.addrs = append(f.addrs, l.Addr)
	}
	find := func(name string) (*exchange.Pass, error) {
		if p := passes[name]; p != nil {
			return p, nil
		}
		return nil, fmt.Errorf("there is no backend %q; write it under lb.backends", name)
	}
	var fallback *exchange.Pass
	var err error
	if c.Backend != "" {
		if fallback, err = find(c.Backend); err != nil {
			return nil, err
		}
	}
	switch {
	case c.Mode == "tcp" && fallback == nil:
		return nil, fmt.Errorf("mode tcp needs a backend")
	case c.Mode == "tcp":
		f.TCP = fallback
	case c.RedirectHTTPS:
		f.Handler = newRedirect(c.HTTPSPort, b.loops)
	default:
		var routes []route
		for _, r := range c.Routes {
			pass, err := find(r.Backend)
			if err != nil {
				return nil, err
			}
			routes = append(routes, newRoute(r.Match, pass))
		}
		f.Handler = newRouter(routes, fallback, b.loops)
	}
	if c.TLS != nil {
		certs, err := stacktls.New(c.TLS, b.node)
		if err != nil {
			return nil, fmt.Errorf("tls: %w", err)
		}
		g.certs = append(g.certs, certs)
		var protocols []string
		switch {
		case c.Mode == "tcp":
		case f.HTTP2:
			protocols = []string{"h2", "http/1.1"}
		default:
			protocols = []string{"http/1.1"}
		}
		f.TLS = certs.Config(protocols...)
	}
	return f, nil
}

// Probe checks, without serving anything, that a node's configuration can be built:
// pools, routes, certificates and the access log's format and directory.
func Probe(node *config.Node) error {
	pools := upstream.NewSet(1, discard, nil)
	defer pools.Close()
	pools.SecretsDir(node.TLS.SecretsDir)
	b := builder{node: node, loops: 1, pools: pools.Plan}
	if _, err := b.build(); err != nil {
		return err
	}
	if err := accesslog.Check(node.LB.AccessLog); err != nil {
		return fmt.Errorf("lb: %w", err)
	}
	return nil
}
