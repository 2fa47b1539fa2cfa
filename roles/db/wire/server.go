package wire

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Server speaks the MySQL protocol on the listeners it is given. All methods are safe
// for concurrent use.
type Server struct {
	engine Engine
	cfg    atomic.Pointer[Config]
	auth   *authenticator
	stats  counters
	start  time.Time
	alone  alone

	mu        sync.Mutex
	conns     map[uint32]*conn
	seats     [seatSite + 1]int  // connections by what they take, of those that have logged in
	dumping   map[*conn]struct{} // those that send the binary log
	listeners map[net.Listener]struct{}
	lastID    uint32
	draining  bool // no new connections; read under mu or by conn.mustEnd
	closed    chan struct{}
	left      chan struct{} // closed when draining and the last connection has ended

	refusing chan struct{} // bounds the goroutines that only say 1040
	running  sync.WaitGroup
}

// New makes a server. It starts one goroutine, which Close ends.
func New(cfg Config, engine Engine) (*Server, error) {
	full, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{
		engine:    engine,
		start:     time.Now(),
		conns:     map[uint32]*conn{},
		dumping:   map[*conn]struct{}{},
		listeners: map[net.Listener]struct{}{},
		closed:    make(chan struct{}),
		left:      make(chan struct{}),
		refusing:  make(chan struct{}, 64),
	}
	s.auth = newAuthenticator(rand.Reader)
	s.cfg.Store(full)
	s.running.Add(1)
	go s.watch()
	return s, nil
}

// Reconfigure replaces the configuration; on an error the old one stays.
func (s *Server) Reconfigure(cfg Config) error {
	full, err := cfg.withDefaults()
	if err != nil {
		return err
	}
	s.cfg.Store(full)
	return nil
}

// Serve accepts from l until Drain or Close, and then returns nil. It leaves l open:
// the listeners of this repository outlive the process (DESIGN.md section 2). l must
// have SetDeadline, as *net.TCPListener and *net.UnixListener do.
func (s *Server) Serve(l net.Listener) error {
	stopper, ok := l.(interface{ SetDeadline(time.Time) error })
	if !ok {
		return errors.New("wire: a listener without SetDeadline cannot be served: its Accept could not be stopped")
	}
	s.mu.Lock()
	if s.draining {
		s.mu.Unlock()
		return nil
	}
	s.listeners[l] = struct{}{}
	s.running.Add(1)
	s.mu.Unlock()
	defer s.running.Done()
	defer func() {
		s.mu.Lock()
		delete(s.listeners, l)
		s.mu.Unlock()
		stopper.SetDeadline(time.Time{})
	}()
	var pause time.Duration
	for {
		nc, err := l.Accept()
		if err == nil {
			pause = 0
			s.admit(nc)
			continue
		}
		s.mu.Lock()
		draining := s.draining
		s.mu.Unlock()
		if draining {
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			continue
		}
		// Out of descriptors or memory: what is there goes on, and the queue waits.
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		s.stats.acceptErrors.Add(1)
		s.cfg.Load().Log.Warn("cannot accept a database connection", "error", err, "retry", pause)
		select {
		case <-time.After(pause):
		case <-s.closed:
			return nil
		}
	}
}

// admit starts a connection, or refuses it.
func (s *Server) admit(nc net.Conn) {
	cfg := s.cfg.Load()
	s.mu.Lock()
	if s.draining {
		s.mu.Unlock()
		nc.Close()
		return
	}
	if s.full(cfg) {
		s.mu.Unlock()
		s.stats.refused(erTooManyConnections)
		select {
		case s.refusing <- struct{}{}:
			s.running.Add(1)
			go func() {
				defer s.running.Done()
				refuse(nc, Errorf(erTooManyConnections, "Too many connections"))
				<-s.refusing
			}()
		default:
			nc.Close()
		}
		return
	}
	for s.lastID++; s.lastID == 0 || s.conns[s.lastID] != nil; {
		s.lastID++
	}
	c := newConn(s, cfg, nc, s.lastID)
	s.conns[c.id] = c
	s.stats.opened(len(s.conns))
	s.running.Add(1)
	s.mu.Unlock()
	go func() {
		defer s.running.Done()
		c.serve()
		s.mu.Lock()
		delete(s.conns, c.id)
		s.leaveSeat(c)
		if s.draining && len(s.conns) == 0 {
			close(s.left)
		}
		s.endDumps()
		s.mu.Unlock()
	}()
}

// refuse answers the first packet of a connection with an error. No capability is
// agreed on yet, so the packet has no SQLSTATE.
func refuse(nc net.Conn, e *Error) {
	nc.SetDeadline(time.Now().Add(time.Second))
	p := append([]byte{0, 0, 0, 0, 0xff, byte(e.Code), byte(e.Code >> 8)}, e.Message...)
	p[0] = byte(len(p) - headerSize)
	nc.Write(p)
	linger(nc)
}

// linger closes a connection in a way that lets the last packet arrive: closing with
// input unread would make the kernel send a reset, which throws it away.
func linger(nc net.Conn) {
	nc.SetDeadline(time.Now().Add(time.Second))
	if w, ok := nc.(interface{ CloseWrite() error }); ok && w.CloseWrite() == nil {
		var sink [512]byte
		for range 4096 {
			if _, err := nc.Read(sink[:]); err != nil {
				break
			}
		}
	}
	nc.Close()
}

// Kill ends the statement that connection id runs (queryOnly) or the whole
// connection. It answers false if there is no such connection, and does not wait.
func (s *Server) Kill(id uint32, queryOnly bool) bool {
	s.mu.Lock()
	c := s.conns[id]
	s.mu.Unlock()
	if c == nil {
		return false
	}
	if queryOnly {
		c.killQuery()
	} else {
		c.end(ErrConnectionKilled)
	}
	return true
}

// Drop ends connection id, and the statement that it runs, without an answer: to its client the
// server is gone, so that one which connects again and repeats what it has sent, as after a crash, does
// so now too. An error packet would be taken for the statement's own fault.
func (s *Server) Drop(id uint32) {
	s.mu.Lock()
	c := s.conns[id]
	s.mu.Unlock()
	if c != nil {
		c.end(ErrRoleLost)
	}
}

// Drain stops accepting, ends idle connections with error 1053, and lets those that
// are inside a statement or a transaction finish it. Those that send the binary log end
// after all others, with the last event. It returns nil when the last has ended; when ctx is done first, it ends the rest with 1053 and returns ctx's error.
func (s *Server) Drain(ctx context.Context) error {
	s.mu.Lock()
	first := !s.draining
	s.draining = true
	for l := range s.listeners {
		l.(interface{ SetDeadline(time.Time) error }).SetDeadline(time.Unix(1, 0))
	}
	open := make([]*conn, 0, len(s.conns))
	for _, c := range s.conns {
		open = append(open, c)
	}
	if first && len(open) == 0 {
		close(s.left)
	}
	s.endDumps()
	s.mu.Unlock()
	for _, c := range open {
		c.drain()
	}
	select {
	case <-s.left:
		return nil
	case <-ctx.Done():
	}
	s.endAll()
	return ctx.Err()
}

// endAll cancels every connection, and closes the sockets of those that have not ended
// a second later.
func (s *Server) endAll() {
	for _, hard := range []bool{false, true} {
		s.mu.Lock()
		open := make([]*conn, 0, len(s.conns))
		for _, c := range s.conns {
			open = append(open, c)
		}
		s.mu.Unlock()
		for _, c := range open {
			if hard {
				c.cut()
			} else {
				c.end(ErrShutdown)
			}
		}
		select {
		case <-s.left:
			return
		case <-time.After(time.Second):
		}
	}
}

// Close ends everything at once and waits until the last goroutine has ended. An
// engine that ignores its contexts is waited for.
func (s *Server) Close() error {
	done, cancel := context.WithCancel(context.Background())
	cancel()
	s.Drain(done)
	s.mu.Lock()
	select {
	case <-s.closed:
	default:
		close(s.closed)
	}
	s.mu.Unlock()
	s.running.Wait()
	return nil
}
