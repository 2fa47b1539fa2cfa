package wire

import (
	"time"

	"golang.org/x/sys/unix"
)

// watchEvery is how often running statements are looked at. A client that leaves is
// noticed within two of them.
const watchEvery = 250 * time.Millisecond

// watch looks for clients that have gone while their statement runs: the connection's
// own goroutine is inside the engine then and reads nothing. One goroutine serves all
// connections, and asks the kernel only about statements older than watchEvery.
func (s *Server) watch() {
	defer s.running.Done()
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	var slow []*conn
	for {
		select {
		case <-s.closed:
			return
		case <-tick.C:
		}
		before := time.Now().Add(-watchEvery).UnixNano()
		slow = slow[:0]
		s.mu.Lock()
		for _, c := range s.conns {
			if since := c.since.Load(); since != 0 && since <= before {
				slow = append(slow, c)
			}
		}
		s.mu.Unlock()
		for _, c := range slow {
			if c.hungUp() {
				s.stats.clientsGone.Add(1)
				c.cancel(ErrClientGone)
			}
		}
		clear(slow)
	}
}

// hungUp asks the kernel whether the peer has closed its side. A client of this
// protocol never half-closes: it has nothing more to ask only when it leaves.
func (c *conn) hungUp() (gone bool) {
	if c.sock == nil || c.ctx.Err() != nil {
		return false
	}
	err := c.sock.control(func(fd uintptr) {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		n, err := unix.Poll(p, 0)
		gone = err == nil && n == 1 && p[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR) != 0
	})
	return gone && err == nil
}
