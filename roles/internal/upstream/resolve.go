package upstream

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

const (
	resolveEvery   = 30 * time.Second
	resolveTimeout = 5 * time.Second
	// resolveAtStart bounds how long a start or reload waits for names; what is not
	// known by then is asked for in the background.
	resolveAtStart = 2 * time.Second
)

// Resolver looks up the addresses of a host; *net.Resolver is one. Safe for concurrent
// use; honours ctx.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// hostPort reads host:port where host is a name.
func hostPort(address string) (host string, port uint16, ok bool) {
	host, p, err := net.SplitHostPort(address)
	if err != nil || !validHost(host) {
		return "", 0, false
	}
	n, err := strconv.ParseUint(p, 10, 16)
	return host, uint16(n), err == nil && n != 0
}

// validHost accepts names of letters, digits, hyphens, underscores and dots, of at
// most 253 bytes (RFC 1035; underscores are common inside networks).
func validHost(h string) bool {
	if h == "" || len(h) > 253 {
		return false
	}
	for _, c := range []byte(h) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}

// lookup asks once and stores the answer: the present address stays while the answer
// still holds it, so that a rotating answer does not move traffic. It reports whether
// the target changed.
func (s *Server) lookup(ctx context.Context, r Resolver) (changed bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	addrs, err := r.LookupNetIP(ctx, "ip", s.host)
	if err != nil {
		return false, err
	}
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	if len(addrs) == 0 {
		return false, &net.DNSError{Err: "no addresses", Name: s.host, IsNotFound: true}
	}
	if t := s.target.Load(); t != nil && slices.Contains(addrs, t.Addr.Addr()) {
		return false, nil
	}
	return true, s.setTarget(Target{Addr: netip.AddrPortFrom(addrs[0], s.port)})
}

// resolveLoop keeps a server's address fresh until ctx ends. The last good answer
// stands while lookups fail; the failure is logged when it begins and when it ends.
func (s *Server) resolveLoop(ctx context.Context, r Resolver, every time.Duration) {
	log := s.pool.set.log.With("backend", s.pool.name, "server", s.name, "host", s.host)
	failing := false
	ask := s.target.Load() == nil
	for {
		if ask {
			changed, err := s.lookup(ctx, r)
			switch {
			case ctx.Err() != nil:
				return
			case err != nil && !failing:
				failing = true
				log.Warn("server name not resolved; the last known address stays in use", "error", err)
			case err == nil && failing:
				failing = false
				log.Info("server name resolved again")
			}
			if changed {
				t, _ := s.Target()
				log.Info("server address changed", "address", t.Address())
				s.pool.refresh()
				s.kick()
			}
		}
		ask = true
		wait := every
		if s.target.Load() == nil {
			wait = every / 15 // nothing to fall back on: ask more often
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}
