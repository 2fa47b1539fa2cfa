package exchange

import (
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"

	"stack/roles/internal/loop"
)

// Server is an address that connections are opened to, with the idle connections
// that each loop keeps to it. Made by NewServer, shared by all loops and by
// successive configurations (carry it over a reload by a stable key to keep its
// connections); given to Set.Forget when it is no longer used.
type Server struct {
	// Name appears in log records.
	Name string
	// Address as configured.
	Address string
	// Data is free for the one who picks.
	Data any

	target atomic.Pointer[target]
	tls    atomic.Pointer[serverTLS]
	bound  int // idle connections per loop
	idle   []idlePool
	// forgotten: no connection is kept any more.
	forgotten atomic.Bool
}

// NewServer makes a server for loops event loops. address is "ip:port" or
// "unix:/path"; a host name is resolved by the caller, who then calls Move. At most
// maxIdle idle connections are kept over all loops (0 = 1024).
func NewServer(name, address string, loops, maxIdle int) (*Server, error) {
	if maxIdle == 0 {
		maxIdle = 1024
	}
	s := &Server{Name: name, Address: address, bound: max(1, maxIdle/max(1, loops)), idle: make([]idlePool, loops)}
	t, err := parseTarget(address)
	if err != nil {
		return nil, err
	}
	s.target.Store(t)
	return s, nil
}

// Move gives the server another address (its name resolves elsewhere now). New
// connections go there, idle ones to the old address are not used again. Any goroutine.
func (s *Server) Move(address string) error {
	t, err := parseTarget(address)
	if err != nil {
		return err
	}
	s.target.Store(t)
	return nil
}

// target is one address of a server.
type target struct{ addr loop.Address }

// idlePool holds the idle connections of one loop to a server; the last one used is
// the first to be used again. Padded, since loops share the slice.
type idlePool struct {
	list  []*Stream
	links []*link // HTTP/2 connections, in use or not
	_     [16]byte
}

func parseTarget(address string) (*target, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		if path == "" || len(path) > 107 {
			return nil, fmt.Errorf("address %q: a unix socket path has 1 to 107 bytes", address)
		}
		return &target{loop.UnixAddress(path)}, nil
	}
	ap, err := netip.ParseAddrPort(address)
	if err != nil || ap.Port() == 0 {
		return nil, fmt.Errorf("address %q: want ip:port or unix:/path", address)
	}
	return &target{loop.TCPAddress(ap)}, nil
}

// pop takes an idle connection to the present address, made with the present TLS.
func (s *Server) pop(w *Worker) *Stream {
	pool := &s.idle[w.index]
	now, secret := s.target.Load(), s.tls.Load()
	for n := len(pool.list); n > 0; n = len(pool.list) {
		c := pool.list[n-1]
		pool.list = pool.list[:n-1]
		if c.target == now && c.secret == secret {
			return c
		}
		c.end()
	}
	return nil
}

// push keeps an idle connection; false: there are enough, or the server is not used
// any more.
func (s *Server) push(c *Stream) bool {
	pool := &s.idle[c.w.index]
	if len(pool.list) >= s.bound || s.forgotten.Load() || c.target != s.target.Load() || c.secret != s.tls.Load() {
		return false
	}
	pool.list = append(pool.list, c)
	return true
}

// forget takes c out of the idle ones.
func (s *Server) forget(c *Stream) {
	pool := &s.idle[c.w.index]
	for i := len(pool.list) - 1; i >= 0; i-- {
		if pool.list[i] == c {
			pool.list = append(pool.list[:i], pool.list[i+1:]...)
			return
		}
	}
}
