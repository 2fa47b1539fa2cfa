package exchange

import (
	"syscall"

	"stack/roles/internal/loop"
)

// A connection to a server that began with a PROXY header speaks for one client
// connection. When a request on it has ended it waits with that connection, not among
// the idle ones that all clients share, and ends with it.

// keptPerClient is how many wait with one client connection: pools that take turns need
// one for each server. HAProxy's max-session-srv-conns is 5 too.
const keptPerClient = 5

// dial gets a connection to the server that was picked.
func (f *forward) dial(reuse bool) *Stream {
	w, timeout := f.x.w, f.pass.Timeouts.Connect
	if f.pass.Preamble == nil {
		return w.dial(f.srv, f, timeout, reuse, nil)
	}
	c := f.x.c
	if reuse {
		if s := c.takeOwn(f.srv); s != nil {
			s.wake(f)
			return s
		}
	}
	h := &w.header
	h.B = f.pass.Preamble(f.x, h.B[:0])
	s := w.dial(f.srv, f, timeout, false, append([]byte(nil), h.B...))
	s.client = c
	return s
}

// sendPreface sends what the connection begins with, before TLS and before anything that
// was written. A fresh socket takes some hundred bytes at once.
func (s *Stream) sendPreface() {
	p := s.preface
	if p == nil {
		return
	}
	s.preface = nil
	n, e := loop.Send(s.fd, p)
	if e == 0 && n < len(p) {
		e = syscall.ENOBUFS
	}
	if e != 0 {
		s.fail(e)
	}
}

// keepIdle lets the stream wait for its next user; false: it is not wanted.
func (s *Stream) keepIdle() bool {
	if s.client != nil {
		return s.client.keep(s)
	}
	return s.srv.push(s)
}

// takeOwn takes an idle connection of the client to srv's present address.
func (c *conn) takeOwn(srv *Server) *Stream {
	for s := c.own; s != nil; s = s.sibling {
		if s.srv == srv && s.target == srv.target.Load() && s.secret == srv.tls.Load() && !srv.forgotten.Load() {
			c.disown(s)
			return s
		}
	}
	return nil
}

// keep lets an idle connection wait with the client, in place of the one that has waited
// longest if there are too many; false: the client is gone.
func (c *conn) keep(s *Stream) bool {
	if c.state == onClosed {
		return false
	}
	s.sibling, c.own = c.own, s
	n := 1
	for q := s; q.sibling != nil; q = q.sibling {
		if n++; n > keptPerClient {
			q.sibling.end()
			break
		}
	}
	return true
}

// disown takes s out of the idle ones, if it is among them.
func (c *conn) disown(s *Stream) {
	for at := &c.own; *at != nil; at = &(*at).sibling {
		if *at == s {
			*at, s.sibling = s.sibling, nil
			return
		}
	}
}

// dropOwn closes the idle connections of a client that is gone.
func (c *conn) dropOwn() {
	for c.own != nil {
		c.own.end()
	}
}
