package wire

// loginRoom is how many connections beyond MaxConnections may be on their way to a login: who may have a seat, or needs
// none, is known behind it.
const loginRoom = 16

// seat is what a connection takes of MaxConnections.
type seat uint8

const (
	seatNone   seat = iota // it has not logged in
	seatClient             // one
	seatSite               // none: it is of a server or a balancer of the site
)

// full reports whether a connection would have no room to log in. s.mu is held.
func (s *Server) full(cfg *Config) bool {
	return len(s.conns)-s.seats[seatSite] >= cfg.MaxConnections+loginRoom
}

// takeSeat gives a connection that has logged in, again perhaps, the seat that its account may have.
func (s *Server) takeSeat(c *conn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaveSeat(c)
	limit := c.cfg.MaxConnections
	if c.client.Account.Admin {
		limit++
	}
	switch {
	case c.client.Account.Site:
		c.seat = seatSite
	case s.seats[seatClient] < limit:
		c.seat = seatClient
	default:
		s.stats.refused(erTooManyConnections)
		return Errorf(erTooManyConnections, "Too many connections")
	}
	s.seats[c.seat]++
	return nil
}

// leaveSeat gives it back. s.mu is held.
func (s *Server) leaveSeat(c *conn) {
	if c.seat != seatNone {
		s.seats[c.seat]--
		c.seat = seatNone
	}
}
