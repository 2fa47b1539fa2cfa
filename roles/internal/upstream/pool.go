package upstream

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	stacktls "stack/tls"
)

// Why Choose found nobody. Both are answered with 503.
var (
	// ErrNoServer says that no server of the pool may take new work: all are down,
	// drained, in maintenance or of weight 0, and no backup is usable either.
	ErrNoServer = errors.New("no server of the pool is up")
	// ErrFull says that servers are up but each one is at its maxconn.
	ErrFull = errors.New("every server of the pool is at its maxconn")
)

// Algorithm is a balancing algorithm.
type Algorithm uint8

const (
	// RoundRobin is smooth weighted round robin.
	RoundRobin Algorithm = iota
	// LeastConn picks the least (in-flight + 1) / weight.
	LeastConn
)

// ParseAlgorithm reads config.Backend.Algorithm; empty means roundrobin.
func ParseAlgorithm(s string) (Algorithm, bool) {
	switch s {
	case "", "roundrobin":
		return RoundRobin, true
	case "leastconn":
		return LeastConn, true
	}
	return 0, false
}

func (a Algorithm) String() string {
	if a == LeastConn {
		return "leastconn"
	}
	return "roundrobin"
}

// Pool is a set of servers that are interchangeable. It lives as long as its name is
// in the configuration: a reload changes the pool's table and never the Pool, so a
// pointer to it can be kept by routes of any generation. All methods may be called
// from any goroutine; Choose, Pick, Done and everything on a *Server that takes a loop number are
// free of locks and allocations.
type Pool struct {
	name    string
	set     *Set
	refused []refusals // per loop

	// table is what Choose reads: swapped whole, never changed in place.
	table atomic.Pointer[table]

	_      [cacheLine]byte
	cursor atomic.Uint64 // next place in the sequence, shared so that the share of each server is exact over all loops
	_      [cacheLine - 8]byte

	mu         sync.Mutex // guards what follows; never taken by a loop
	servers    []*Server  // in file order
	algorithm  Algorithm
	allBackups bool
	check      checkSpec
	attempts   int
	secret     *stacktls.Client // nil: plain
	protocol   string           // as protocolOf

	complained time.Time // of refreshTLS alone

	roles roles
}

// Name is the backend's name in the file.
func (p *Pool) Name() string { return p.name }

// Attempts is how many further servers may be tried for a connection that could not
// be opened (retries.attempts).
func (p *Pool) Attempts() int {
	if t := p.table.Load(); t != nil {
		return t.attempts
	}
	return 0
}

// Usable reports whether Choose could answer anything but ErrNoServer now.
func (p *Pool) Usable() bool {
	t := p.table.Load()
	return t != nil && len(t.servers) > 0
}

// Choose picks a server for one request or session and takes one of its slots: the
// caller gives it back with Server.Release exactly once. After a connection that could
// not be opened the caller names that server as failed: it and every other server whose
// last connection failed are passed over unless nothing else is left. The error is
// ErrNoServer or ErrFull.
//
// Hot path: guarded by BenchmarkChoose.
func (p *Pool) Choose(loop int, failed *Server) (*Server, error) {
	t := p.table.Load()
	if t == nil || len(t.servers) == 0 {
		return nil, ErrNoServer
	}
	var s *Server
	n := p.cursor.Add(1) - 1
	if t.algorithm == LeastConn {
		s = t.pickLeast(n, failed)
	} else {
		s = t.pickNext(n, failed)
	}
	if s == nil && failed != nil {
		// A server that failed a moment ago is better than an error for certain.
		s = t.pickNext(n, nil)
	}
	if s == nil {
		return nil, ErrFull
	}
	s.stats[loop].picks.Add(1)
	return s, nil
}

// rebuild makes the table anew from the servers' present state. Called off the loops
// whenever a state or weight changes. p.mu must be held.
func (p *Pool) rebuild() {
	p.table.Store(buildTable(p.servers, p.algorithm, p.allBackups, p.attempts))
}

// refresh is rebuild for callers that do not hold p.mu.
func (p *Pool) refresh() {
	p.mu.Lock()
	p.rebuild()
	p.mu.Unlock()
}

// Servers returns the pool's servers in file order.
func (p *Pool) Servers() []*Server {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]*Server(nil), p.servers...)
}

// Server finds a server by name; nil if there is none.
func (p *Pool) Server(name string) *Server {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.servers {
		if s.name == name {
			return s
		}
	}
	return nil
}
