package wire

import (
	"runtime"
	"sync/atomic"
)

// aloneAfter is after how many of its commands a connection looks whether others have sent as many since.
const aloneAfter = 64

// alone finds out which connection is the only one that sends commands. The kernel waits for that one: there is
// nobody else whom its processor could serve. With several the poller is better, which wakes many at a time.
type alone struct {
	last  atomic.Uint32 // id of the connection that has sent aloneAfter commands last
	place place
}

// place is held by the one socket that the kernel waits for.
type place struct{ holder atomic.Pointer[socket] }

// take takes the place if it is free, or its holder is not waiting but runs a statement.
func (p *place) take(s *socket) bool {
	held := p.holder.Load()
	return (held == nil || held.busy()) && p.holder.CompareAndSwap(held, s)
}

func (p *place) leave(s *socket) { p.holder.CompareAndSwap(s, nil) }

// chooseWait is called before each command.
func (c *conn) chooseWait() {
	if c.sock == nil {
		return
	}
	if c.sock.inKernel() && c.srv.alone.place.holder.Load() != c.sock {
		c.sock.toPoller() // the place was taken during a long statement
	}
	if c.commandsSeen++; c.commandsSeen%aloneAfter != 0 {
		return
	}
	if c.srv.alone.last.Swap(c.id) != c.id {
		c.sock.toPoller()
	} else if runtime.GOMAXPROCS(0) > 1 {
		if err := c.sock.toKernel(&c.srv.alone.place); err != nil {
			c.cfg.Log.Debug("wait for a lone database connection", "connection", c.id, "error", err)
		}
	}
}
