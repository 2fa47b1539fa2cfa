package lb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"

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

var discard = slog.New(slog.DiscardHandler)

// Role is the balancer of one node. It implements supervise.Role.
type Role struct {
	env   supervise.Env
	loops int // 0 until the first Prepare

	group *loop.Group
	set   *exchange.Set
	pools *upstream.Set
	log   *accesslog.Log

	current  atomic.Pointer[generation]
	draining atomic.Bool

	mu        sync.Mutex
	frontends map[string]*frontend
	keeping   sync.WaitGroup // certificate upkeep
	saving    sync.Mutex     // orders writes of the settings file
	closed    bool
}

// New makes the role; nothing runs until the first Prepare.
func New(env supervise.Env) (supervise.Role, error) {
	r := &Role{env: env, frontends: make(map[string]*frontend)}
	if env.Metrics != nil {
		if err := env.Metrics.Register(newCollector(r)); err != nil {
			return nil, fmt.Errorf("lb: register metrics: %w", err)
		}
		if err := env.Metrics.Register(stacktls.NewCollector(r.certificates)); err != nil {
			return nil, fmt.Errorf("lb: register certificate metrics: %w", err)
		}
	}
	return r, nil
}

// Process says what the role's process needs: two threads beside the loops for what
// runs off them, memory above what connections may hold, and as long to drain as the
// longest-lived connection may take.
func Process(node *config.Node) supervise.Process {
	return supervise.Process{MaxProcs: node.LB.Loops + 2, MemoryLimit: exchange.ProcessMemory(node.LB.Limits), Drain: max(node.LB.Timeouts.Drain, node.LB.Timeouts.TunnelDrain)}
}

// Prepare implements supervise.Role.
func (r *Role) Prepare(ctx context.Context, node *config.Node, listeners *sockets.Set) (supervise.Change, error) {
	if node.LB == nil {
		return supervise.Change{}, errors.New("lb: this node does not have the role lb; give it in nodes or start without --role=lb")
	}
	first := r.loops == 0
	if first {
		if err := r.start(node.LB.Loops); err != nil {
			return supervise.Change{}, err
		}
	} else if node.LB.Loops != r.loops {
		return supervise.Change{}, fmt.Errorf("lb.loops: %d event loops run, the file asks for %d; `stack upgrade` changes the number", r.loops, node.LB.Loops)
	}
	g, err := r.prepare(ctx, node, listeners)
	if err != nil {
		if first {
			r.undo()
		}
		return supervise.Change{}, err
	}
	return supervise.Change{
		Commit: func() { r.commit(g) },
		Abort: func() {
			g.log.Abort()
			if first {
				r.undo()
			}
		},
	}, nil
}

func (r *Role) start(loops int) error {
	if loops < 1 {
		return fmt.Errorf("lb.loops: %d event loops; use 1 or more", loops)
	}
	group, err := loop.Start(loops)
	if err != nil {
		return fmt.Errorf("lb: start event loops: %w", err)
	}
	r.loops, r.group = loops, group
	r.set = exchange.NewSet(group)
	r.set.LogTo(r.env.Log, "lb")
	r.pools = upstream.NewSet(loops, r.env.Log, r.set.Forget)
	r.pools.Cut(r.set.CutServer)
	r.log = accesslog.New(loops, os.Stdout, r.env.Log)
	return nil
}

func (r *Role) prepare(ctx context.Context, node *config.Node, listeners *sockets.Set) (*generation, error) {
	r.pools.SecretsDir(node.TLS.SecretsDir)
	b := builder{node: node, loops: r.loops, pools: func(l []config.Backend) (*upstream.Change, error) { return r.pools.Prepare(ctx, l) }}
	g, err := b.build()
	if err != nil {
		return nil, err
	}
	for _, f := range g.fronts {
		for _, a := range f.addrs {
			if len(listeners.Get(a)) == 0 {
				return nil, fmt.Errorf("lb: frontend %s: no listening socket for %s was handed over", f.Name, a)
			}
		}
	}
	g.listeners = listeners
	if g.log, err = r.log.Prepare(node.LB.AccessLog); err != nil {
		return nil, fmt.Errorf("lb: %w", err)
	}
	return g, nil
}

// commit swaps g in: pools first, so that what the new routes name is there; then all
// frontends in one step; then the listening points that came and went.
func (r *Role) commit(g *generation) {
	g.log.Commit()
	g.pools.Commit()
	if r.current.Load() == nil && r.env.Generation > 1 {
		r.takeSettings(settingsPath(g.node))
	}

	r.mu.Lock()
	swap := make(map[*exchange.Point]*exchange.Frontend)
	wanted := make(map[*exchange.Point]bool)
	type fresh struct {
		f    *frontend
		to   *front
		addr netip.AddrPort
	}
	var added []fresh
	for _, to := range g.fronts {
		f := r.frontends[to.Name]
		if f == nil {
			f = newFrontend(to.Name, r.loops, r.log)
			r.frontends[to.Name] = f
		}
		to.Log = f
		for _, addr := range to.addrs {
			if p := f.points[addr]; p != nil {
				swap[p], wanted[p] = to.Frontend, true
			} else {
				added = append(added, fresh{f, to, addr})
			}
		}
	}
	r.mu.Unlock()
	r.set.Swap(swap)
	r.removePoints(func(p *exchange.Point) bool { return !wanted[p] })
	for _, n := range added {
		p := r.set.Point(pointName(n.f.name, n.addr), n.to.Frontend)
		p.CountIn(&n.f.open)
		if err := p.Listen(g.listeners.Get(n.addr)); err != nil {
			r.env.Log.Error("frontend does not listen", "frontend", n.f.name, "address", n.addr, "error", err)
			p.Remove()
			continue
		}
		r.mu.Lock()
		n.f.points[n.addr] = p
		r.mu.Unlock()
	}
	r.maintainCertificates(g)
	old := r.current.Swap(g)
	if old != nil {
		old.maintain()
	}
	for _, w := range g.node.Warnings() {
		if strings.HasPrefix(w, "lb.") {
			r.env.Log.Warn(w)
		}
	}
	r.keepSettings()
}

// removePoints ends the points that gone says, keeping what they counted.
func (r *Role) removePoints(gone func(*exchange.Point) bool) {
	r.mu.Lock()
	var removed []*exchange.Point
	for _, f := range r.frontends {
		for addr, p := range f.points {
			if gone(p) {
				f.remember(p.Counters())
				delete(f.points, addr)
				removed = append(removed, p)
			}
		}
	}
	r.mu.Unlock()
	for _, p := range removed {
		p.Remove()
	}
}

func (r *Role) maintainCertificates(g *generation) {
	ctx, cancel := context.WithCancel(context.Background())
	g.maintain = cancel
	for _, c := range g.certs {
		r.keeping.Go(func() { c.Maintain(ctx, r.env.Log) })
	}
}

// certificates lists what is served now.
func (r *Role) certificates() (list []stacktls.Info) {
	if g := r.current.Load(); g != nil {
		for _, c := range g.certs {
			list = append(list, c.List()...)
		}
	}
	return list
}

// Drain implements supervise.Role.
func (r *Role) Drain(ctx context.Context, next *sockets.Passage) error {
	r.draining.Store(true)
	g := r.current.Load()
	if g == nil {
		return nil
	}
	return r.set.HandOver(ctx, next, g.node.LB.Timeouts)
}

// Adopt implements supervise.Role. A connection whose listening point is not in this
// generation's configuration any more is closed.
func (r *Role) Adopt(fd int, meta []byte) {
	name, addr, ok := parsePointName(exchange.PointOf(meta))
	r.mu.Lock()
	var p *exchange.Point
	if f := r.frontends[name]; ok && f != nil {
		p = f.points[addr]
	}
	r.mu.Unlock()
	if p == nil {
		unix.Close(fd)
		return
	}
	p.Adopt(fd, meta)
}

// Close implements supervise.Role.
func (r *Role) Close() error {
	if r.loops == 0 || r.closed {
		return nil
	}
	r.closed = true
	r.draining.Store(true)
	if g := r.current.Load(); g != nil {
		g.maintain()
	}
	r.keeping.Wait()
	return r.stop()
}

// stop ends what start began, in the order in which one part stands on another.
func (r *Role) stop() error {
	err := r.set.Close()
	r.pools.Close()
	err = errors.Join(err, r.group.Close())
	r.log.Close()
	return err
}

// undo takes a start back that was not committed, so that Prepare may be called anew.
func (r *Role) undo() {
	if err := r.stop(); err != nil {
		r.env.Log.Error("balancer does not stop cleanly", "error", err)
	}
	r.loops = 0
}

// Alive implements supervise.Role.
func (r *Role) Alive() error {
	if r.current.Load() == nil {
		return nil // not started yet: the start has a deadline of its own
	}
	return r.group.Alive()
}

// Control implements supervise.Role.
func (r *Role) Control() http.Handler { return newControl(r) }
