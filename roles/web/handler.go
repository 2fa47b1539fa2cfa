package web

import (
	"stack/roles/internal/exchange"
	"stack/roles/web/static"
	"stack/roles/web/target"
)

// Serve decides what answers a request. On the loop. Hot path: guarded by
// BenchmarkServeHit, which must not allocate.
func (g *generation) Serve(x *exchange.Exchange) {
	ls := g.role.loops[x.Worker().Index()]
	if ls.seen != g {
		ls.seen = g
		ls.cache.Keep(g.owns)
		ls.loop.Store(x.Worker().Loop())
	}
	r := ls.take()
	x.Data = r
	path := x.Req.Path()
	if string(path) == g.health {
		g.serveHealth(x, r)
		return
	}
	r.identify(x, g.trusted)
	r.site = g.hosts.find(r.host, x.Req.Host())
	if len(path) == 1 && path[0] == '*' {
		g.allow(x)
		return
	}
	t, err := target.Decode(r.path[:0], path)
	if err != nil {
		g.role.log.Debug("bad request target", "target", string(path), "error", err)
		x.Error(400, exchange.BadRequest)
		return
	}
	if cap(t.Path) > cap(r.path) {
		r.path = t.Path[:0]
	}
	r.at = static.At{Cache: ls.cache, Now: x.Now()}
	a, known, prior := r.site.resolve(&r.at, t.Path, x.Req.Query(), t.EncodedSlash, &r.scratch)
	if known {
		g.act(x, r, &a)
		return
	}
	g.look(x, r, t, prior)
}

// lookup is a decision that a worker makes. It holds copies: the request may end, and
// its memory be used again, while the worker is at it.
type lookup struct {
	loader  static.Loader
	scratch scratch
	action  action
}

// look decides in a worker, since a path is not in the cache.
func (g *generation) look(x *exchange.Exchange, r *request, t target.Target, prior *static.Entry) {
	l := &lookup{}
	if prior != nil {
		prior.Retain()
		l.loader.Prior = prior
	}
	site, ls := r.site, r.loop
	path := append([]byte(nil), t.Path...)
	query := append([]byte(nil), x.Req.Query()...)
	begun := x.Now()
	x.Offload(func() {
		l.action, _, _ = site.resolve(&l.loader, path, query, t.EncodedSlash, &l.scratch)
	}, func(x *exchange.Exchange) {
		e := l.action.entry
		if e != nil {
			e.Retain()
		}
		l.loader.Into(ls.cache, begun)
		ls.report()
		if x != nil {
			g.act(x, x.Data.(*request), &l.action)
		}
		if e != nil {
			e.Release()
		}
	})
}

// act does what was decided.
func (g *generation) act(x *exchange.Exchange, r *request, a *action) {
	switch a.verb {
	case giveFile:
		g.serveFile(x, a)
	case giveDirectory:
		g.redirect(x, a)
	case runScript:
		g.runScript(x, r, a)
	case runProxy:
		x.Forward(a.loc.pass)
	case runApp:
		r.site.app.Serve(x, r)
	default:
		g.giveStatus(x, a.status)
	}
}

// giveStatus answers with a status alone; with a page from 400 on.
func (g *generation) giveStatus(x *exchange.Exchange, status int) {
	if status >= 400 {
		x.Error(status, exchange.None)
		return
	}
	x.Start(status)
	x.End(nil)
}

// serveHealth answers the reserved path: 200 while the role takes requests, 503 as soon
// as it drains, so that balancers look elsewhere.
func (g *generation) serveHealth(x *exchange.Exchange, r *request) {
	r.quiet = true
	status, text := 200, "ready\n"
	if g.role.draining.Load() {
		status, text = 503, "draining\n"
	}
	h := x.Start(status)
	h.Raw("Content-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\n")
	x.End([]byte(text))
}

const allowed = "GET, HEAD, OPTIONS"

// allow answers OPTIONS for what is only read.
func (g *generation) allow(x *exchange.Exchange) {
	h := x.Start(204)
	h.Field("Allow", allowed)
	x.End(nil)
}

// readable answers what is neither GET nor HEAD and reports whether to go on.
func (g *generation) readable(x *exchange.Exchange) bool {
	switch string(x.Req.Method()) {
	case "GET", "HEAD":
		return true
	case "OPTIONS":
		g.allow(x)
		return false
	}
	contentType, body := g.errorPage(x, 405)
	h := x.Start(405)
	h.Field("Allow", allowed)
	h.Field("Content-Type", contentType)
	x.End(body)
	return false
}

// redirect sends the client to the directory's path with its slash, so that relative
// links in the page work. The reference is relative: what scheme, name and port the
// client used in front of the balancer need not be known (RFC 9110 section 10.2.2).
func (g *generation) redirect(x *exchange.Exchange, a *action) {
	if !g.readable(x) {
		return
	}
	location := target.AppendEscaped(make([]byte, 0, 256), a.path)
	location = append(location, '/')
	if x.Req.HasQuery() {
		location = append(append(location, '?'), x.Req.Query()...)
	}
	contentType, body := builtinPage(301)
	h := x.Start(301)
	h.Value("Location", location)
	h.Field("Content-Type", contentType)
	x.End(body)
}

// runScript hands the request to the location's application server.
func (g *generation) runScript(x *exchange.Exchange, r *request, a *action) {
	o := &r.options
	o.Timeouts, o.MaxBody, o.Spool = g.options.timeouts, g.options.maxBody, g.options.spool
	env := &o.Env
	env.Software = g.options.software
	env.Extra = a.loc.fcgiParams
	env.Root = a.loc.root.Path()
	env.Script = append(env.Script[:0], a.script...)
	env.Info = append(env.Info[:0], a.info...)
	env.Query = append(env.Query[:0], a.query...)
	env.RequestURI = originForm(&x.Req)
	env.Client, env.ForwardedFor = r.client, r.forwarded
	env.Server = x.Local()
	env.HTTPS = r.https
	env.Certificate, env.Asked = x.ClientCertificate()
	env.Believe = !env.Asked && g.trusted.contains(x.Client().Addr().Unmap())
	env.ServerName = string(hostName(x.Req.Host()))
	if env.ServerName == "" {
		env.ServerName = r.site.name
	}
	a.loc.fcgi.Serve(x, o)
}

// serveFile answers with a file, or the part of it that is asked for.
func (g *generation) serveFile(x *exchange.Exchange, a *action) {
	if !g.readable(x) {
		return
	}
	static.Serve(x, a.entry, a.loc.cacheControl, func(status int) (string, []byte) { return g.errorPage(x, status) })
}
