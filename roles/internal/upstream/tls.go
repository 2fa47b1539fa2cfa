package upstream

import (
	"crypto/tls"
	"errors"
	"net"
	"time"

	"stack/appliance/config"
	"stack/roles/internal/exchange"
	stacktls "stack/tls"
)

// refreshTLSEvery is how often the files that pools speak TLS with are looked at.
const refreshTLSEvery = time.Minute

// planTLS gives a pool its TLS: that of before where the file asks for the same and
// the files behind it hold the same, so that connections and sessions stay of use.
func (s *Set) planTLS(old *Pool, b *config.Backend) (*stacktls.Client, error) {
	if b.TLS == nil {
		return nil, nil
	}
	c, err := stacktls.NewClient(b.TLS)
	if err != nil || old == nil {
		return c, err
	}
	old.mu.Lock()
	before := old.secret
	old.mu.Unlock()
	if before != nil && before.Same(b.TLS) && !before.Differs(c) {
		return before, nil
	}
	return c, nil
}

// protocolOf is what is spoken with the servers of a pool: "tcp", "h1" or "h2".
func protocolOf(b *config.Backend) string {
	switch {
	case b.Mode == "tcp":
		return "tcp"
	case b.HTTP == "h2":
		return "h2"
	}
	return "h1"
}

// secretFor makes the TLS that is spoken with one server of a pool.
func secretFor(c *stacktls.Client, protocol, address string) *tls.Config {
	if c == nil {
		return nil
	}
	host, _, _ := net.SplitHostPort(address) // a unix socket has none: server_name is needed then
	switch protocol {
	case "tcp":
		return c.Config(host)
	case "h2":
		return c.Config(host, "h2")
	}
	return c.Config(host, "http/1.1")
}

// secure has new connections to the server speak TLS as conf says; nil: none.
func (s *Server) secure(conf *tls.Config) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secret = conf
	if conn := s.conn.Load(); conn != nil {
		conn.SetTLS(conf)
	}
}

// checkTLS is what a check speaks.
func (s *Server) checkTLS() *tls.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.secret
}

// setTLS gives all servers of the pool what c says now. p.mu must be held.
func (p *Pool) setTLS(c *stacktls.Client, protocol string) {
	p.secret, p.protocol = c, protocol
	for _, s := range p.servers {
		s.secure(secretFor(c, protocol, s.address))
	}
}

// followTLS starts, once, to look at the files of pools that speak TLS.
func (s *Set) followTLS() {
	s.followingTLS.Do(func() {
		s.running.Go(func() {
			tick := time.NewTicker(refreshTLSEvery)
			defer tick.Stop()
			for {
				select {
				case <-s.ctx.Done():
					return
				case now := <-tick.C:
					s.refreshTLS(now)
				}
			}
		})
	})
}

// refreshTLS takes over what has changed in files. What cannot be read is complained
// about each hour, and the old stays.
func (s *Set) refreshTLS(now time.Time) {
	for _, p := range s.Pools() {
		p.mu.Lock()
		c, protocol := p.secret, p.protocol
		p.mu.Unlock()
		if c == nil {
			continue
		}
		changed, err := c.Refresh()
		switch {
		case err != nil && now.Sub(p.complained) >= time.Hour:
			p.complained = now
			s.log.Error("certificates towards servers are not renewed; the old ones stay in use", "backend", p.name, "error", err)
		case changed:
			s.log.Info("certificates towards servers renewed", "backend", p.name)
			p.mu.Lock()
			if p.secret == c { // else a reload has come in between
				p.setTLS(c, protocol)
			}
			p.mu.Unlock()
		}
	}
}

// handshakeFailed logs why TLS with the server does not come about, at most once a
// minute: a check would say it too, but not every pool has one. Called on a loop.
func (s *Server) handshakeFailed(err error) {
	var failed *exchange.HandshakeError
	if !errors.As(err, &failed) {
		return
	}
	now := time.Now().Unix()
	if last := s.complained.Load(); now-last < 60 || !s.complained.CompareAndSwap(last, now) {
		return
	}
	go s.pool.set.log.Warn("no TLS with a server", "backend", s.pool.name, "server", s.name, "error", failed.Error())
}
