package exchange

import (
	"errors"
	"slices"
	"time"
)

// A plain stop, where no newer generation goes on, does not wait for peers that keep a
// connection without using it: pools of clients never close theirs.
const (
	// Longer than a balancer takes with the default check to notice that this server
	// leaves, so that it does not send a request as its kept connection is closed.
	quietIdle   = 5 * time.Second
	quietTunnel = 2 * time.Second
	quietEvery  = 500 * time.Millisecond
)

// Cut ends client connections at once: all of them, or all but tunnels. It is for a
// drain whose time is over; Drain returns when none is left. Any goroutine that is not
// a loop.
func (s *Set) Cut(tunnels bool) {
	s.each(func(w *Worker) {
		for c := w.conns; c != nil; {
			next := c.next
			switch {
			case !tunnels && c.state == onTunnel:
			case !tunnels && c.x != nil && c.x.fwd.phase == fwdTunnel:
			case !tunnels && c.state == onHTTP2 && c.cutRequests():
			default:
				c.lost(Killed)
			}
			c = next
		}
	})
}

// errCut is why a connection to a server is not opened any more.
var errCut = errors.New("the server is not used any more")

// CutServer ends the tunnels to srv. Those that are being opened go to another server, as after a connection that could not be
// opened: nothing was sent. Any goroutine that is not a loop.
func (s *Set) CutServer(srv *Server) {
	s.each(func(w *Worker) {
		for c := w.conns; c != nil; {
			next := c.next
			switch {
			case c.state != onTunnel || c.x == nil || c.x.fwd.srv != srv:
			case c.x.fwd.phase == fwdConnect:
				c.x.fwd.s.closed(errCut)
			default:
				c.lost(Killed)
			}
			c = next
		}
	})
}

// cutRequests ends the requests of an HTTP/2 connection that are no tunnels. It reports
// whether tunnels are left.
func (c *conn) cutRequests() (left bool) {
	for _, st := range slices.Clone(c.h2.list) {
		if x := st.owner.(*Exchange); x.fwd.phase != fwdTunnel {
			x.gone(Killed)
		} else {
			left = true
		}
	}
	return left
}

// cutQuiet ends connections without a request, and tunnels, that have been silent.
func (s *Set) cutQuiet() {
	s.each(func(w *Worker) {
		for c := w.conns; c != nil; {
			next := c.next
			if c.quiet() {
				c.lost(Killed)
			}
			c = next
		}
	})
}

// quiet derives the silence from the deadline, which moves with everything that comes.
func (c *conn) quiet() bool {
	l := c.w.l
	switch {
	case c.state == onHead && c.served && !c.partial && !c.blocked():
		return c.point.front[c.w.index].Timeouts.Idle-l.Left(&c.timer) >= quietIdle
	case c.state == onTunnel && c.x != nil && c.x.tun.s != nil:
		return c.x.tun.timeout-l.Left(&c.timer) >= quietTunnel
	}
	return false
}
