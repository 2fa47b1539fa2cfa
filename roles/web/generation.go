package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"stack/appliance/config"
	"stack/appliance/sockets"
	"stack/roles/internal/accesslog"
	"stack/roles/internal/exchange"
	"stack/roles/internal/upstream"
	"stack/roles/web/demo"
	"stack/roles/web/fastcgi"
	"stack/roles/web/static"
	stacktls "stack/tls"
)

// generation is one configuration, built whole and not changed once it serves. It is
// the Handler of its frontends: a request keeps the generation that it began with.
type generation struct {
	role      *Role
	node      *config.Node
	sites     []*site
	hosts     *hostTable
	trusted   trusted
	health    string
	options   scriptOptions
	roots     map[rootKey]*static.Root
	apps      map[appKey]*fastcgi.App
	demos     map[config.Demo]*demo.App
	pools     *upstream.Change
	log       *accesslog.Change
	certs     *stacktls.Certificates
	listeners *sockets.Set
	plain     *exchange.Frontend
	secure    *exchange.Frontend // nil without a listener that speaks TLS
}

// What is carried over a reload, with its caches and connections, is known by these.
type (
	rootKey struct {
		path     string
		symlinks static.Symlinks
		scripts  string // what counts as a script below it
	}
	appKey struct {
		address string
		keep    int
	}
)

// scriptOptions are what all FastCGI requests of a generation share.
type scriptOptions struct {
	timeouts config.Timeouts
	maxBody  int64
	spool    string
	software string
}

// frontend is what is done at an address; nil if the generation does not listen there.
func (g *generation) frontend(addr netip.AddrPort) *exchange.Frontend {
	for _, l := range g.node.Web.Bind {
		if l.Addr == addr {
			if l.TLS {
				return g.secure
			}
			return g.plain
		}
	}
	return nil
}

// owns reports whether the generation serves files below root.
func (g *generation) owns(root *static.Root) bool {
	for _, r := range g.roots {
		if r == root {
			return true
		}
	}
	return false
}

func nobody(*static.Root) bool { return false }

// refresh looks at what may have changed on disk. It blocks.
func (g *generation) refresh(log *slog.Logger) {
	for _, r := range g.roots {
		r.Refresh()
	}
	for _, s := range g.sites {
		for _, p := range s.pages {
			if err := p.read(); err != nil && !p.stale {
				p.stale = true
				log.Warn("an error page cannot be read; the last good one stays in use", "site", s.name, "error", err)
			} else if err == nil {
				p.stale = false
			}
		}
	}
}

// builder makes a generation. It changes nothing that serves.
type builder struct {
	node  *config.Node
	loops int
	pools *upstream.Set
	log   *slog.Logger
	old   *generation // nil at the start

	g        *generation
	backends []config.Backend
	proxies  []func() // to be run when the pools are prepared
}

// generation builds everything that the node asks for. The error is one sentence for
// each thing that is wrong, with its place and its cure.
func (b *builder) generation(ctx context.Context) (*generation, error) {
	web := b.node.Web
	g := &generation{
		node: b.node, trusted: web.TrustedProxies, health: web.HealthPath,
		roots: map[rootKey]*static.Root{}, apps: map[appKey]*fastcgi.App{}, demos: map[config.Demo]*demo.App{},
		options: scriptOptions{timeouts: web.Timeouts, maxBody: web.Limits.BodyBytes, spool: spoolDir(), software: "stack"},
	}
	b.g = g
	var problems []error
	problem := func(err error) {
		if err != nil {
			problems = append(problems, err)
		}
	}
	if len(web.Sites) == 0 {
		problem(errors.New("web.sites: is empty; name at least one site"))
	}
	for i := range web.Sites {
		s, err := b.build(&web.Sites[i])
		if err != nil {
			problem(fmt.Errorf("web.sites[%d] (%s): %w", i, siteName(&web.Sites[i]), err))
			continue
		}
		g.sites = append(g.sites, s)
	}
	if len(problems) == 0 {
		var err error
		g.hosts, err = newHostTable(g.sites)
		if err != nil {
			problem(fmt.Errorf("web.sites: %w", err))
		}
		problem(b.proxyPools(ctx))
	}
	if !strings.HasPrefix(web.HealthPath, "/") {
		problem(fmt.Errorf("web.health_path: %q does not begin with /", web.HealthPath))
	}
	problem(b.frontends())
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return g, nil
}

// spoolDir is where request bodies wait whose length must be known: on a disk, if there
// is one for it, since /tmp is often memory.
func spoolDir() string {
	const disk = "/var/tmp"
	if unix.Access(disk, unix.W_OK|unix.X_OK) == nil {
		return disk
	}
	return "/tmp"
}

func (b *builder) frontends() error {
	web := b.node.Web
	front := func(name string) *exchange.Frontend {
		return &exchange.Frontend{Name: name, Handler: b.g, HTTP2: slices.Contains(web.HTTP, "h2"), Timeouts: web.Timeouts, Limits: web.Limits, Trusted: web.TrustedProxies, ErrorPage: b.g.errorPage, Server: "stack",
			ProxyFrom: web.ProxyFrom, HalfClose: web.HalfClose}
	}
	b.g.plain = front("web")
	if !slices.ContainsFunc(web.Bind, func(l config.Listen) bool { return l.TLS }) {
		return nil
	}
	if web.TLS == nil {
		return errors.New("web.tls: is missing, and an address speaks TLS; name its certificates")
	}
	var err error
	if b.g.certs, err = stacktls.New(web.TLS, b.node); err != nil {
		return fmt.Errorf("web.tls: %w", err)
	}
	b.g.secure = front("web-tls")
	protocols := []string{"http/1.1"}
	if b.g.secure.HTTP2 {
		protocols = []string{"h2", "http/1.1"}
	}
	b.g.secure.TLS = b.g.certs.Config(protocols...)
	return nil
}

// root opens a directory, or takes the one that is open for the same purpose.
func (b *builder) root(path string, symlinks static.Symlinks, c *claims) (*static.Root, error) {
	key := rootKey{path, symlinks, c.String()}
	if r := b.g.roots[key]; r != nil {
		return r, nil
	}
	if b.old != nil && b.old.roots[key] != nil {
		r := b.old.roots[key]
		if err := r.Check(); err != nil {
			return nil, err
		}
		b.g.roots[key] = r
		return r, nil
	}
	r, err := static.OpenRoot(path, symlinks)
	if err != nil {
		return nil, err
	}
	r.Source = func(path, name string) bool { return c.source(path) || c.source(name) }
	r.Denied = denied(b.log, path)
	b.g.roots[key] = r
	return r, nil
}

// denied logs files that permissions keep from visitors, at most one a second: a flood
// of requests must not become one of the log.
func denied(log *slog.Logger, root string) func(path string) {
	var last atomic.Int64
	return func(path string) {
		now := time.Now().Unix()
		if before := last.Load(); before != now && last.CompareAndSwap(before, now) {
			log.Warn("a file may not be read; give the user that stack runs as permission on it and the directories above", "root", root, "path", path)
		}
	}
}

func (b *builder) application(address string, keep int) (*fastcgi.App, error) {
	key := appKey{address, keep}
	if a := b.g.apps[key]; a != nil {
		return a, nil
	}
	if b.old != nil && b.old.apps[key] != nil {
		b.g.apps[key] = b.old.apps[key]
		return b.g.apps[key], nil
	}
	a, err := fastcgi.New(address, keep, b.loops, b.log)
	if err == nil {
		b.g.apps[key] = a
	}
	return a, err
}

func (b *builder) demo(c *config.WebSite) (*demo.App, error) {
	settings := config.Demo{}
	if c.Demo != nil {
		settings = *c.Demo
	}
	if d := b.g.demos[settings]; d != nil {
		return d, nil
	}
	if b.old != nil && b.old.demos[settings] != nil {
		b.g.demos[settings] = b.old.demos[settings]
		return b.g.demos[settings], nil
	}
	d, err := demo.New(settings, b.node.Name, b.log)
	if err == nil {
		b.g.demos[settings] = d
	}
	return d, err
}

// proxy notes a pool for a proxied location; its Pass is complete after proxyPools.
func (b *builder) proxy(name string, c *config.Proxy) (*exchange.Pass, error) {
	if len(c.Servers) == 0 {
		return nil, errors.New("proxy.servers: is empty; name at least one server")
	}
	web := b.node.Web
	pass := &exchange.Pass{Name: name, HTTP2: c.HTTP == "h2", Timeouts: web.Timeouts, Forwarded: true, Trusted: web.TrustedProxies, Edit: editor{web.TrustedProxies}}
	if c.Timeouts != nil {
		pass.Timeouts = *c.Timeouts
	}
	if slices.Contains(c.Retries.When, "connect") {
		pass.Attempts = c.Retries.Attempts
	}
	b.backends = append(b.backends, config.Backend{Name: name, Mode: "http", HTTP: c.HTTP, Algorithm: c.Algorithm, Servers: c.Servers,
		TLS: c.TLS, Check: c.Check, Retries: c.Retries, Timeouts: c.Timeouts})
	b.proxies = append(b.proxies, func() { pass.Picker = b.g.pools.Pool(name) })
	return pass, nil
}

func (b *builder) proxyPools(ctx context.Context) (err error) {
	if b.g.pools, err = b.pools.Prepare(ctx, b.backends); err != nil {
		return fmt.Errorf("web: %w", err)
	}
	for _, finish := range b.proxies {
		finish()
	}
	return nil
}

// Probe checks, without serving anything, that a node's configuration can be built:
// roots, sites, expressions, certificates, addresses and the access log.
func Probe(node *config.Node) error {
	if node.Web == nil {
		return nil
	}
	log := slog.New(slog.DiscardHandler)
	pools := upstream.NewSet(1, log, nil)
	defer pools.Close()
	b := builder{node: node, loops: max(1, node.Web.Loops), pools: pools, log: log}
	g, err := b.generation(context.Background())
	if err != nil {
		return err
	}
	for _, d := range g.demos {
		d.Close()
	}
	if err := accesslog.Check(node.Web.AccessLog); err != nil {
		return fmt.Errorf("web: %w", err)
	}
	return nil
}
