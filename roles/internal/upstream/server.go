package upstream

import (
	"crypto/tls"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"stack/roles/internal/exchange"
)

const cacheLine = 64

// Admin is what an operator asked of a server at run time.
type Admin int32

const (
	// Ready: in rotation as its health and weight say.
	Ready Admin = iota
	// Drain: keeps what it has, takes no new request or session; still checked.
	Drain
	// Maint: takes nothing and is not checked.
	Maint
)

// ParseAdmin reads what String wrote.
func ParseAdmin(s string) (a Admin, ok bool) {
	for _, a := range []Admin{Ready, Drain, Maint} {
		if a.String() == s {
			return a, true
		}
	}
	return Ready, false
}

func (a Admin) String() string {
	switch a {
	case Drain:
		return "drain"
	case Maint:
		return "maint"
	}
	return "ready"
}

// Target is where a server is reached: exactly one of the two is set.
type Target struct {
	Addr netip.AddrPort // TCP
	Path string         // unix stream socket
}

// Network and Address are the arguments of a net.Dialer.
func (t Target) Network() string {
	if t.Path != "" {
		return "unix"
	}
	return "tcp"
}

// Address is the second argument of a net.Dialer.
func (t Target) Address() string {
	if t.Path != "" {
		return t.Path
	}
	return t.Addr.String()
}

// Server is one member of a pool. It lives as long as the configuration holds a server
// of this name and address in this pool, over any number of reloads, so health,
// administrative state, in-flight count and counters survive them. All methods may be
// called from any goroutine.
type Server struct {
	pool    *Pool
	name    string
	address string // as written: host:port or unix:/path
	host    string // name to resolve; empty where address is an address already
	port    uint16
	stats   []loopStats

	target atomic.Pointer[Target]          // nil until the name was resolved once
	conn   atomic.Pointer[exchange.Server] // nil as long as target is

	// Read by every pick, written by operators and checks only.
	_          [cacheLine]byte
	up         atomic.Bool
	admin      atomic.Int32
	weight     atomic.Int64 // in effect
	maxconn    atomic.Int64
	backup     atomic.Bool
	resort     atomic.Bool  // taken only where nobody else is; see verdict
	complained atomic.Int64 // Unix time of the last complaint about TLS
	suspect    atomic.Bool  // the last connection could not be opened; retries avoid it
	_          [cacheLine]byte

	// Written by every pick and release.
	inflight atomic.Int64
	_        [cacheLine - 8]byte

	claim claim  // guarded by roles.mu of the pool
	but   string // the same: what was logged last as the reason why it is not used though it answers

	mu         sync.Mutex // guards what follows; never taken by a loop
	fileWeight int        // as in the file
	changes    uint64     // up ↔ down
	since      time.Time  // of the present up or down
	reason     string     // of the present up or down; where roles are asked for, what holds now
	lastCheck  CheckResult
	checks     checkCounters
	checker    *checker    // nil: not checked
	secret     *tls.Config // nil: plain
	wake       chan struct{}
	stop       func() // ends the resolver; nil if none
}

// Name is the server's name in the file.
func (s *Server) Name() string { return s.name }

// Pool is the pool that the server is in.
func (s *Server) Pool() *Pool { return s.pool }

// Address is the server's address as written: host:port or unix:/path.
func (s *Server) Address() string { return s.address }

// Target is where the server is now; false while its host name was never resolved.
func (s *Server) Target() (Target, bool) {
	if t := s.target.Load(); t != nil {
		return *t, true
	}
	return Target{}, false
}

// Up is what checks say (true where the pool has none).
func (s *Server) Up() bool { return s.up.Load() }

// Admin is what the operator asked for.
func (s *Server) Admin() Admin { return Admin(s.admin.Load()) }

// Weight is the weight in effect, 0..256.
func (s *Server) Weight() int { return int(s.weight.Load()) }

// InFlight is the number of slots taken: requests in HTTP mode, sessions in TCP mode.
func (s *Server) InFlight() int64 { return s.inflight.Load() }

// Overrides returns what was set at run time: the administrative state, and the weight
// where it is not the file's.
func (s *Server) Overrides() (admin Admin, weight int, weighted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.Weight()
	return s.Admin(), w, w != s.fileWeight
}

// takesNew reports whether the server may be picked.
func (s *Server) takesNew() bool {
	return s.up.Load() && Admin(s.admin.Load()) == Ready && s.weight.Load() > 0 && s.conn.Load() != nil
}

// acquire takes a slot. With a maxconn it compares and swaps instead of adding and
// taking back: an addition that is taken back would, for a moment, refuse another
// loop a slot that is free.
func (s *Server) acquire() bool {
	m := s.maxconn.Load()
	if m <= 0 {
		s.inflight.Add(1)
		return true
	}
	for {
		n := s.inflight.Load()
		if n >= m {
			return false
		}
		if s.inflight.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Release gives back the slot that Choose took.
func (s *Server) Release() { s.inflight.Add(-1) }

// ConnectFailed reports that a connection could not be opened. It is counted and the
// check runs at once; the check alone decides whether the server is down, so a lack of
// local ports does not empty the pool.
func (s *Server) ConnectFailed(loop int) {
	s.stats[loop].connectErrors.Add(1)
	s.suspect.Store(true)
	s.kick()
}

// reached notes that a connection to the server was opened.
func (s *Server) reached() {
	if s.suspect.Load() {
		s.suspect.Store(false)
	}
}

// Retried counts a request that was sent elsewhere after this server failed.
func (s *Server) Retried(loop int) { s.stats[loop].retries.Add(1) }

// setUp changes health; a change, which it reports, is logged and counted, and the pool's
// table is made anew. Called off the loops.
func (s *Server) setUp(up bool, reason string) (changed bool) {
	s.mu.Lock()
	if s.up.Load() == up {
		s.mu.Unlock()
		return false
	}
	s.up.Store(up)
	s.changes++
	s.since = time.Now()
	s.reason = reason
	s.mu.Unlock()
	s.pool.refresh()
	s.pool.set.changed(s, up, reason)
	return true
}

// SetAdmin changes the administrative state. It holds over reloads.
func (s *Server) SetAdmin(a Admin) {
	if Admin(s.admin.Swap(int32(a))) == a {
		return
	}
	s.pool.refresh()
	s.pool.set.log.Info("server set by the operator", "backend", s.pool.name, "server", s.name, "state", a.String())
	s.kick()
}

// SetWeight changes the weight in effect, 0..256, until the file gives the server
// another one.
func (s *Server) SetWeight(w int) {
	if int(s.weight.Swap(int64(w))) == w {
		return
	}
	s.pool.refresh()
	s.pool.set.log.Info("server weight set by the operator", "backend", s.pool.name, "server", s.name, "weight", w)
}

// kick makes the checker look at the server now.
func (s *Server) kick() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// configure applies what a reload may change in a server that stays.
func (s *Server) configure(weight int, backup bool, maxconn int) {
	s.mu.Lock()
	if s.fileWeight != weight {
		s.fileWeight = weight
		s.weight.Store(int64(weight))
	}
	s.mu.Unlock()
	s.backup.Store(backup)
	s.maxconn.Store(int64(maxconn))
}

// splitAddress reads host:port or unix:/path.
func splitAddress(address string) (target *Target, host string, port uint16, ok bool) {
	if path, isUnix := strings.CutPrefix(address, "unix:"); isUnix {
		return &Target{Path: path}, "", 0, strings.HasPrefix(path, "/") && len(path) <= 107
	}
	if ap, err := netip.ParseAddrPort(address); err == nil {
		return &Target{Addr: ap}, "", 0, ap.Port() != 0
	}
	host, port, ok = hostPort(address)
	return nil, host, port, ok
}
