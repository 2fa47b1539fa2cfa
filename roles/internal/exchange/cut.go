package exchange

// Cut ends client connections at once: all of them, or all but tunnels. It is for a
// drain whose time is over; Drain returns when none is left. Any goroutine that is not
// a loop.
func (s *Set) Cut(tunnels bool) {
	s.each(func(w *Worker) {
		for c := w.conns; c != nil; {
			next := c.next
			if tunnels || c.state != onTunnel {
				c.lost(Killed)
			}
			c = next
		}
	})
}
