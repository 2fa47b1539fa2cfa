// Package web is the web server role: virtual hosts and locations, static files,
// FastCGI and proxied applications, error pages, on the event loops of
// roles/internal. It owns sites, roots, the open-file caches and the connections to
// applications; it never binds a socket, never writes below a root, and knows nothing
// of the other roles. Sources: RFC 9110, RFC 9112, RFC 3875.
package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"stack/appliance/config"
	"stack/appliance/sockets"
	"stack/appliance/supervise"
	"stack/roles/internal/accesslog"
	"stack/roles/internal/exchange"
	"stack/roles/internal/loop"
	"stack/roles/internal/upstream"
	stacktls "stack/tls"
)

// Role is the web server of one node. It implements supervise.Role.
type Role struct {
	env   supervise.Env
	log   *slog.Logger
	group *loop.Group // nil until the first Prepare
	set   *exchange.Set
	pools *upstream.Set
	// poolMetrics is registered while the pools are there.
	poolMetrics prometheus.Collector
	loops       []*loopState

	access   *accesslog.Log
	current  atomic.Pointer[generation]
	draining atomic.Bool

	mu       sync.Mutex // guards what follows; never taken by a loop
	points   []*listener
	stats    map[string]*siteStats
	stopping context.CancelFunc // of upkeep
	upkeep   sync.WaitGroup
}

// listener is one address that the role listens on.
type listener struct {
	name  string // "web" or "web-tls", and the address
	addr  netip.AddrPort
	tls   bool
	point *exchange.Point
}

// New makes the role; nothing runs until the first Prepare.
func New(env supervise.Env) (supervise.Role, error) {
	r := &Role{env: env, log: env.Log, stats: map[string]*siteStats{}}
	if env.Metrics != nil {
		if err := env.Metrics.Register(newCollector(r)); err != nil {
			return nil, fmt.Errorf("web: register metrics: %w", err)
		}
		if err := env.Metrics.Register(stacktls.NewCollector(r.certificates)); err != nil {
			return nil, fmt.Errorf("web: register certificate metrics: %w", err)
		}
	}
	return r, nil
}

// Process says what the role's process needs: two threads beside the loops, and memory
// above what connections may hold.
func Process(node *config.Node) supervise.Process {
	return supervise.Process{MaxProcs: node.Web.Loops + 2, MemoryLimit: exchange.ProcessMemory(node.Web.Limits), Drain: max(node.Web.Timeouts.Drain, node.Web.Timeouts.TunnelDrain)}
}

// Prepare implements supervise.Role.
func (r *Role) Prepare(ctx context.Context, node *config.Node, listeners *sockets.Set) (supervise.Change, error) {
	if node.Web == nil {
		return supervise.Change{}, errors.New("web: this node does not have the role web; give it in nodes or start without --role=web")
	}
	first := r.group == nil
	if first {
		if err := r.start(node.Web.Loops); err != nil {
			return supervise.Change{}, err
		}
	} else if node.Web.Loops != len(r.loops) {
		return supervise.Change{}, fmt.Errorf("web.loops: %d event loops run, the file asks for %d; `stack upgrade` changes the number", len(r.loops), node.Web.Loops)
	}
	g, err := r.prepare(ctx, node, listeners)
	if err != nil {
		if first {
			err = errors.Join(err, r.stop())
		}
		return supervise.Change{}, err
	}
	return supervise.Change{
		Commit: func() { r.commit(g) },
		Abort: func() {
			g.log.Abort()
			r.drop(g, r.current.Load())
			if first {
				_ = r.stop()
			}
		},
	}, nil
}

func (r *Role) start(loops int) error {
	if loops < 1 {
		return fmt.Errorf("web.loops: %d event loops; use 1 or more", loops)
	}
	group, err := loop.Start(loops)
	if err != nil {
		return fmt.Errorf("web: start event loops: %w", err)
	}
	r.group = group
	r.set = exchange.NewSet(group)
	r.set.LogTo(r.log, "web")
	r.pools = upstream.NewSet(loops, r.log, r.set.Forget)
	r.access = accesslog.New(loops, os.Stdout, r.log)
	r.loops = nil
	for i := range loops {
		r.loops = append(r.loops, newLoopState(i))
	}
	if r.env.Metrics != nil {
		r.poolMetrics = upstream.NewCollector(r.pools, "stack_web")
		if err := r.env.Metrics.Register(r.poolMetrics); err != nil {
			return errors.Join(fmt.Errorf("web: register metrics: %w", err), r.stop())
		}
	}
	return nil
}

func (r *Role) prepare(ctx context.Context, node *config.Node, listeners *sockets.Set) (*generation, error) {
	b := builder{node: node, loops: len(r.loops), pools: r.pools, log: r.log, old: r.current.Load()}
	g, err := b.generation(ctx)
	if err != nil {
		return nil, err
	}
	for _, l := range node.Web.Bind {
		if len(listeners.Get(l.Addr)) == 0 {
			r.drop(g, b.old)
			return nil, fmt.Errorf("web: no listening socket for %s was handed over", l.Addr)
		}
	}
	g.role, g.listeners = r, listeners
	g.plain.Log = r
	if g.secure != nil {
		g.secure.Log = r
	}
	if g.log, err = r.access.Prepare(node.Web.AccessLog); err != nil {
		r.drop(g, b.old)
		return nil, fmt.Errorf("web: %w", err)
	}
	return g, nil
}

// commit swaps g in: pools first, so that what the new locations name is there; then
// all listeners in one step; then those that came and went.
func (r *Role) commit(g *generation) {
	g.log.Commit()
	g.pools.Commit()
	r.mu.Lock()
	for _, s := range g.sites {
		if r.stats[s.name] == nil {
			r.stats[s.name] = &siteStats{name: s.name, loops: make([]loopStats, len(r.loops))}
		}
		s.stats = r.stats[s.name]
	}
	swap := map[*exchange.Point]*exchange.Frontend{}
	var kept, gone []*listener
	for _, l := range r.points {
		if f := g.frontend(l.addr); f != nil && l.tls == (f.TLS != nil) {
			swap[l.point] = f
			kept = append(kept, l)
		} else {
			gone = append(gone, l)
		}
	}
	r.mu.Unlock()
	r.set.Swap(swap)
	for _, l := range gone {
		l.point.Remove()
	}
	for _, b := range g.node.Web.Bind {
		if slices.ContainsFunc(kept, func(l *listener) bool { return l.addr == b.Addr }) {
			continue
		}
		f := g.frontend(b.Addr)
		l := &listener{name: pointName(b), addr: b.Addr, tls: b.TLS}
		l.point = r.set.Point(l.name, f)
		if err := l.point.Listen(g.listeners.Get(b.Addr)); err != nil {
			r.log.Error("web does not listen", "address", b.Addr, "error", err)
			l.point.Remove()
			continue
		}
		kept = append(kept, l)
	}
	r.mu.Lock()
	r.points = kept
	r.mu.Unlock()
	for _, w := range g.node.Warnings() {
		if strings.HasPrefix(w, "web.") {
			r.log.Warn(w)
		}
	}
	old := r.current.Swap(g)
	r.maintain(g)
	if old != nil {
		r.drop(old, g)
	}
}

func pointName(l config.Listen) string {
	if l.TLS {
		return "web-tls " + l.Addr.String()
	}
	return "web " + l.Addr.String()
}

// drop releases what g has and keeper has not. Requests of g that still run keep what
// they use: roots close when nobody refers to them, applications only lose their idle
// connections, and the demo application waits for its own.
func (r *Role) drop(g, keeper *generation) {
	for key, a := range g.apps {
		if keeper == nil || keeper.apps[key] != a {
			r.set.Forget(a.Server())
		}
	}
	for key, d := range g.demos {
		if keeper == nil || keeper.demos[key] != d {
			go d.Close()
		}
	}
}

// Log implements exchange.AccessLog: the end of every request, on its loop.
func (r *Role) Log(rec *exchange.Record) {
	req, ok := rec.Data.(*request)
	if !ok {
		// No complete head: counted by the listener, and logged.
		r.access.Append(rec.Loop, rec)
		return
	}
	rec.Data = nil
	if !req.quiet {
		if req.site != nil {
			req.site.stats.add(req.loop.index, rec)
		}
		if req.forwarded {
			rec.Client = req.client
		}
		r.access.Append(req.loop.index, rec)
	}
	req.loop.give(req)
}

// Drain implements supervise.Role.
func (r *Role) Drain(ctx context.Context, next *sockets.Passage) error {
	r.draining.Store(true)
	g := r.current.Load()
	if g == nil {
		return nil
	}
	return r.set.HandOver(ctx, next, g.node.Web.Timeouts)
}

// Adopt implements supervise.Role. A connection whose listener this generation does not
// have is closed.
func (r *Role) Adopt(fd int, meta []byte) {
	r.mu.Lock()
	i := slices.IndexFunc(r.points, func(l *listener) bool { return l.name == exchange.PointOf(meta) })
	var p *exchange.Point
	if i >= 0 {
		p = r.points[i].point
	}
	r.mu.Unlock()
	if p == nil {
		_ = unix.Close(fd)
		return
	}
	p.Adopt(fd, meta)
}

// Close implements supervise.Role.
func (r *Role) Close() error {
	r.draining.Store(true)
	if r.stopping != nil {
		r.stopping()
	}
	r.upkeep.Wait()
	g := r.current.Swap(nil)
	err := r.stop()
	r.mu.Lock()
	r.points = nil // with their frontends, roots are free to close
	r.mu.Unlock()
	if g != nil {
		for _, d := range g.demos {
			d.Close()
		}
	}
	return err
}

// stop ends what start began.
func (r *Role) stop() error {
	if r.group == nil {
		return nil
	}
	if r.poolMetrics != nil {
		r.env.Metrics.Unregister(r.poolMetrics)
		r.poolMetrics = nil
	}
	err := r.set.Close()
	r.pools.Close()
	err = errors.Join(err, r.group.Close())
	r.access.Close()
	for _, ls := range r.loops {
		ls.cache.Keep(nobody) // the loops have ended
	}
	r.group, r.loops = nil, nil
	return err
}

// Alive implements supervise.Role.
func (r *Role) Alive() error {
	if r.current.Load() == nil {
		return nil // not started yet: the start has a deadline of its own
	}
	return r.group.Alive()
}

// Control implements supervise.Role: the web role has no run-time commands yet.
func (r *Role) Control() http.Handler { return nil }
