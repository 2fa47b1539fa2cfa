package upstream

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"stack/appliance/config"
	"stack/roles/internal/exchange"
	stacktls "stack/tls"
)

// Set is all pools of a role. Prepare, Commit and Close are called by one goroutine;
// everything else from any.
type Set struct {
	loops    int
	log      *slog.Logger
	resolver Resolver
	every    time.Duration // between two lookups of a name

	ctx     context.Context // of checks and lookups
	cancel  context.CancelFunc
	forget  func(*exchange.Server)
	cut     func(*exchange.Server) // nil: sessions are never ended
	secrets string                 // directory of the site's secrets
	running sync.WaitGroup

	pools atomic.Pointer[[]*Pool] // in file order

	followingTLS sync.Once
}

// NewSet makes an empty set for a role with that many event loops (1 or more). Changes
// of state are logged to log. forget, if not nil, is told of each server that leaves
// the configuration, so that its idle connections are closed (exchange.Set.Forget); it
// is called from Commit.
func NewSet(loops int, log *slog.Logger, forget func(*exchange.Server)) *Set {
	s := &Set{loops: max(1, loops), log: log, forget: forget, resolver: net.DefaultResolver, every: resolveEvery}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.pools.Store(&[]*Pool{})
	return s
}

// Cut has cut told of each server that must not be used by those who are connected to it, since
// another is the primary in its place, so that its sessions are ended (exchange.Set.CutServer). Called
// before the first Prepare; cut is called by goroutines that are no loops.
func (s *Set) Cut(cut func(*exchange.Server)) { s.cut = cut }

// SecretsDir says where the secrets are by which database servers are asked for their roles. It
// takes effect with the next Prepare or Plan.
func (s *Set) SecretsDir(dir string) { s.secrets = dir }

// Pools returns the committed pools in file order. The slice must not be changed.
func (s *Set) Pools() []*Pool { return *s.pools.Load() }

// Pool finds a committed pool; nil if there is none.
func (s *Set) Pool(name string) *Pool {
	for _, p := range s.Pools() {
		if p.name == name {
			return p
		}
	}
	return nil
}

// Close ends checks and lookups and waits for them. Picks go on working.
func (s *Set) Close() {
	s.cancel()
	s.running.Wait()
}

// changed logs a server's change of health, with how many are left.
func (s *Set) changed(sv *Server, up bool, reason string) {
	left := 0
	if t := sv.pool.table.Load(); t != nil {
		left = len(t.servers)
	}
	log := s.log.With("backend", sv.pool.name, "server", sv.name, "reason", reason, "servers_in_rotation", left)
	switch {
	case up:
		log.Info("server up")
	case sv.pool.asks() && left > 0:
		log.Info("server not used") // as most replicas most of the time
	case left == 0:
		log.Error("server down; the backend has no server left")
	default:
		log.Warn("server down")
	}
}

// poolPlan is what Commit does to one pool.
type poolPlan struct {
	pool       *Pool
	algorithm  Algorithm
	allBackups bool
	attempts   int
	check      checkSpec
	secret     *stacktls.Client // nil: plain
	protocol   string
	servers    []serverPlan
}

// serverPlan is what Commit does to one server.
type serverPlan struct {
	server  *Server
	isNew   bool
	weight  int
	backup  bool
	maxconn int
	first   *CheckResult // of the check made by Prepare; nil if there was none
}

// Change is a prepared set of pools. Nothing of it serves until Commit; a Change that
// is not committed needs no clean-up.
type Change struct {
	set   *Set
	plans []poolPlan
}

// Pool finds a pool of the prepared configuration; nil if there is none. The pointer
// is the one that serves after Commit.
func (c *Change) Pool(name string) *Pool {
	for i := range c.plans {
		if c.plans[i].pool.name == name {
			return c.plans[i].pool
		}
	}
	return nil
}

// Prepare reads backends, resolves the host names that are new and checks the servers
// that are new, once: for at most 2 s and 1 s. A name without address and a server that
// does not answer are no errors: they stay out of rotation. A server that has not
// answered in time is trusted until its check decides, but where roles are asked for. An
// error, which names the backend, the server and the cure, is also that a pool in use would be
// left without a server because its servers are asked for roles now.
func (s *Set) Prepare(ctx context.Context, backends []config.Backend) (*Change, error) {
	c, err := s.Plan(backends)
	if err != nil {
		return nil, err
	}
	c.each(ctx, resolveAtStart, func(ctx context.Context, _ *poolPlan, sp *serverPlan) {
		if sp.isNew && sp.server.host != "" {
			sp.server.lookup(ctx, s.resolver) // the resolver goroutine reports what stays unresolved
		}
	})
	c.each(ctx, checkAtStart, func(ctx context.Context, p *poolPlan, sp *serverPlan) {
		t, resolved := sp.server.Target()
		if !sp.isNew && !p.newRole() || p.check.kind == "none" || !resolved {
			return
		}
		r := p.check.check(ctx, t, secretFor(p.secret, p.protocol, sp.server.address), sp.server.name)
		// Not ctx.Err: the connection's own deadline may fire a moment earlier.
		if end, _ := ctx.Deadline(); time.Now().Before(end) {
			sp.first = &r
		}
	})
	for i := range c.plans {
		if err := c.plans[i].keepsServing(); err != nil {
			return nil, fmt.Errorf("backend %s: %w", c.plans[i].pool.name, err)
		}
	}
	return c, nil
}

// checkAtStart bounds how long a start or reload waits for the first checks.
const checkAtStart = time.Second

// each calls f for every server, all at once, and waits; ctx ends after limit.
func (c *Change) each(ctx context.Context, limit time.Duration, f func(context.Context, *poolPlan, *serverPlan)) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var wg sync.WaitGroup
	for i := range c.plans {
		p := &c.plans[i]
		for j := range p.servers {
			wg.Go(func() { f(ctx, p, &p.servers[j]) })
		}
	}
	wg.Wait()
}

// Plan is Prepare without look-ups and checks: it reads backends and opens nothing.
func (s *Set) Plan(backends []config.Backend) (*Change, error) {
	c := &Change{set: s}
	for _, b := range backends {
		plan, err := s.plan(b)
		if err != nil {
			return nil, fmt.Errorf("backend %s: %w", b.Name, err)
		}
		if c.Pool(b.Name) != nil {
			return nil, fmt.Errorf("backend %s is written twice; give each a name of its own", b.Name)
		}
		c.plans = append(c.plans, plan)
	}
	return c, nil
}

func (s *Set) plan(b config.Backend) (poolPlan, error) {
	old := s.Pool(b.Name)
	plan := poolPlan{pool: old, allBackups: b.AllBackups, attempts: max(0, b.Retries.Attempts), protocol: protocolOf(&b)}
	if old == nil {
		plan.pool = &Pool{name: b.Name, set: s, refused: make([]refusals, s.loops)}
	}
	var ok bool
	if plan.algorithm, ok = ParseAlgorithm(b.Algorithm); !ok {
		return plan, fmt.Errorf("algorithm %q is not known; use roundrobin or leastconn", b.Algorithm)
	}
	var err error
	if plan.check, err = parseCheck(b.Check); err != nil {
		return plan, err
	}
	if plan.check.role != "" {
		if plan.check.site, err = readSite(s.secrets); err != nil {
			return plan, fmt.Errorf("check: %w", err)
		}
	}
	plan.check.http2 = plan.protocol == "h2"
	if plan.secret, err = s.planTLS(old, &b); err != nil {
		return plan, fmt.Errorf("tls: %w", err)
	}
	plan.check.preface = preface(b.SendProxy)
	seen := map[string]bool{}
	for i, cs := range b.Servers {
		if seen[cs.Name] || cs.Name == "" {
			return plan, fmt.Errorf("server %d: the name %q is empty or written twice; give each a name of its own", i+1, cs.Name)
		}
		seen[cs.Name] = true
		if cs.Weight < 0 || cs.Weight > 256 {
			return plan, fmt.Errorf("server %s: weight %d is out of range; use 0 to 256", cs.Name, cs.Weight)
		}
		if cs.MaxConn < 0 {
			return plan, fmt.Errorf("server %s: maxconn %d is negative; use 0 for no bound", cs.Name, cs.MaxConn)
		}
		target, host, port, ok := splitAddress(cs.Address)
		if !ok {
			return plan, fmt.Errorf("server %s: address %q is not host:port or unix:/path", cs.Name, cs.Address)
		}
		sp := serverPlan{weight: cs.Weight, backup: cs.Backup, maxconn: cs.MaxConn}
		if old != nil {
			sp.server = old.Server(cs.Name)
		}
		if sp.server == nil || sp.server.address != cs.Address {
			sp.isNew = true
			sp.server = &Server{pool: plan.pool, name: cs.Name, address: cs.Address, host: host, port: port,
				stats: make([]loopStats, s.loops), wake: make(chan struct{}, 1), since: time.Now(), fileWeight: -1}
			sp.server.up.Store(plan.check.role == "") // a role is never taken on trust
			if target != nil {
				if err := sp.server.setTarget(*target); err != nil {
					return plan, fmt.Errorf("server %s: %w", cs.Name, err)
				}
			}
		}
		plan.servers = append(plan.servers, sp)
	}
	return plan, nil
}

// Commit puts the prepared pools into service: servers that stay keep their state, new
// ones start as up with a check under way, those that left their pool take nothing new.
// A pool that is gone is not checked any more but still answers Choose as it last did:
// requests of the configuration before may still come to it.
func (c *Change) Commit() {
	before := c.set.Pools()
	pools := make([]*Pool, 0, len(c.plans))
	for i := range c.plans {
		c.plans[i].commit()
		pools = append(pools, c.plans[i].pool)
	}
	for _, p := range before {
		if c.Pool(p.name) == nil {
			for _, s := range p.Servers() {
				s.retire()
			}
		}
	}
	c.set.pools.Store(&pools)
}

func (plan *poolPlan) commit() {
	p := plan.pool
	p.mu.Lock()
	before := p.servers
	p.servers = nil
	for _, sp := range plan.servers {
		sp.server.configure(sp.weight, sp.backup, sp.maxconn)
		if sp.first != nil && (sp.isNew || plan.check.role == "") {
			sp.server.begin(*sp.first)
		}
		p.servers = append(p.servers, sp.server)
	}
	p.algorithm, p.allBackups, p.attempts, p.check = plan.algorithm, plan.allBackups, plan.attempts, plan.check
	if plan.secret != p.secret || plan.protocol != p.protocol {
		p.setTLS(plan.secret, plan.protocol)
	} else {
		for _, sp := range plan.servers {
			if sp.isNew {
				sp.server.secure(secretFor(plan.secret, plan.protocol, sp.server.address))
			}
		}
	}
	p.rebuild()
	p.mu.Unlock()
	p.commitRoles(plan)
	if plan.secret != nil {
		p.set.followTLS()
	}

	for _, s := range before {
		if !plan.has(s) {
			s.retire()
			p.leave(s)
		}
	}
	for _, sp := range plan.servers {
		sp.server.follow(plan.check, sp.first != nil)
		if sp.first != nil && !sp.first.OK && sp.isNew {
			p.set.changed(sp.server, false, sp.first.Text)
		}
	}
}

func (plan *poolPlan) has(s *Server) bool {
	for _, sp := range plan.servers {
		if sp.server == s {
			return true
		}
	}
	return false
}

// follow starts what the server needs: a resolver for a name, a checker by spec. What
// runs already and still fits goes on undisturbed. checked says that the first check
// has been made, so that the next one is due an interval later.
func (s *Server) follow(spec checkSpec, checked bool) {
	set := s.pool.set
	s.mu.Lock()
	if s.host != "" && s.stop == nil {
		ctx, cancel := context.WithCancel(set.ctx)
		s.stop = cancel
		set.running.Add(1)
		go func() {
			defer set.running.Done()
			s.resolveLoop(ctx, set.resolver, set.every)
		}()
	}
	trust := false
	switch {
	case s.checker != nil && s.checker.spec.equal(spec):
	case spec.kind == "none":
		if s.checker != nil {
			s.checker.cancel()
			s.checker = nil
			trust = true
		}
	default:
		inherits := s.checker != nil
		if inherits {
			s.checker.cancel()
		}
		s.startCheck(set.ctx, spec, inherits || checked, checked)
	}
	s.mu.Unlock()
	if trust {
		s.setUp(true, "not checked any more")
	}
}

// retire ends the goroutines of a server that left the configuration.
func (s *Server) retire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.checker != nil {
		s.checker.cancel()
		s.checker = nil
	}
	if s.stop != nil {
		s.stop()
		s.stop = nil
	}
	if conn := s.conn.Load(); conn != nil && s.pool.set.forget != nil {
		s.pool.set.forget(conn)
	}
}
