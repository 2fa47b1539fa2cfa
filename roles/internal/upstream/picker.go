package upstream

import (
	"time"

	"stack/roles/internal/exchange"
)

var _ exchange.Picker = (*Pool)(nil)

// Pick implements exchange.Picker: it chooses a server for x. Called on x's loop.
func (p *Pool) Pick(x *exchange.Exchange, tried int) (*exchange.Server, error) {
	loop := x.Worker().Index()
	var failed *Server
	if tried > 0 {
		if last := x.Tried(); last != nil {
			failed = last.Data.(*Server)
			failed.Retried(loop)
		}
	}
	s, err := p.Choose(loop, failed)
	if err != nil {
		p.refused[loop].count(err)
		return nil, exchange.ErrNoServer
	}
	return s.conn.Load(), nil
}

// Done implements exchange.Picker: it gives the server's slot back and counts how the
// attempt ended. Called on x's loop.
func (p *Pool) Done(x *exchange.Exchange, srv *exchange.Server, o exchange.Outcome) {
	s := srv.Data.(*Server)
	loop := x.Worker().Index()
	s.Release()
	switch o.Cause {
	case exchange.ConnectFailed, exchange.ConnectTimeout:
		s.ConnectFailed(loop)
		s.handshakeFailed(o.Err)
		return
	case exchange.ResponseFailed, exchange.ResponseTimeout:
		s.stats[loop].responseErrors.Add(1)
		s.handshakeFailed(o.Err)
	}
	if !o.Reused && o.Connect >= 0 {
		s.reached()
	}
	if o.Status != 0 {
		s.Response(loop, o.Status, time.Duration(o.Response))
	}
}

// setTarget stores where the server is now. The first target makes the object that
// connections belong to; later ones move it.
func (s *Server) setTarget(t Target) error {
	s.mu.Lock() // secure must not pass by unseen
	defer s.mu.Unlock()
	address := t.Address()
	if t.Path != "" {
		address = "unix:" + t.Path
	}
	if conn := s.conn.Load(); conn != nil {
		if err := conn.Move(address); err != nil {
			return err
		}
	} else {
		conn, err := exchange.NewServer(s.name, address, s.pool.set.loops, 0)
		if err != nil {
			return err
		}
		conn.Data = s
		conn.SetTLS(s.secret)
		s.conn.Store(conn)
	}
	s.target.Store(&t)
	return nil
}
