package exchange

import (
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"stack/roles/internal/loop"
)

// shutWrite closes the sending direction of a socket.
const shutWrite = unix.SHUT_WR

// StreamEvents are the callbacks of a Stream, on its loop.
type StreamEvents interface {
	// Connected: the connection is open, with a TLS server after the handshake; writes
	// made before were kept and go out now.
	Connected(s *Stream)
	// Data: bytes have arrived, valid until it returns. It returns how many were used;
	// the rest is given again together with what follows. Must use at least one byte
	// once 64 KiB are offered, or the stream is closed with an error.
	Data(s *Stream, p []byte) (used int)
	// Drained: what had been written and not sent is sent. Called after a Write that
	// returned false.
	Drained(s *Stream)
	// Closed: the peer ended the connection (err nil), or it failed (a *HandshakeError,
	// io.ErrUnexpectedEOF for TLS that ends without close_notify), or a deadline passed
	// (os.ErrDeadlineExceeded). Called at most once, not after Close or Release; the
	// stream is gone afterwards.
	Closed(s *Stream, err error)
}

// Stream is a connection to a server, on the loop, for protocols of one's own.
type Stream struct {
	sock
	timer      loop.Timer
	next, prev *Stream
	srv        *Server
	target     *target
	secret     *serverTLS // nil: plain
	ev         StreamEvents
	x          *Exchange // whose tunnel this is
	turn       uint32    // grows with each user, so that a callback notices that it lost the stream
	state      streamState
	reused     bool
	paused     bool
	resumed    bool // pend holds what was not taken before a pause
	starved    bool // Drained is owed
	released   bool // Release was called from within Data
	inData     bool
	preface    []byte  // sent first, in the clear
	client     *conn   // whose own this is: no other client's requests go over it
	sibling    *Stream // the next idle one of the client
}

type streamState uint8

const (
	streamConnecting streamState = iota
	streamHandshake              // a goroutine has the connection
	streamOpen
	streamIdle
	streamClosed
)

// Dial opens, or takes from the idle ones, a connection to srv, to be open within
// connect. It never calls back before it returns; Connected is called also for a
// reused connection, a failure comes as Closed.
func (w *Worker) Dial(srv *Server, ev StreamEvents, connect time.Duration) *Stream {
	return w.announce(w.dial(srv, ev, connect, true, nil))
}

// DialFresh is Dial without the idle connections.
func (w *Worker) DialFresh(srv *Server, ev StreamEvents, connect time.Duration) *Stream {
	return w.announce(w.dial(srv, ev, connect, false, nil))
}

// announce has Connected called for a stream that is open already.
func (w *Worker) announce(s *Stream) *Stream {
	if s.state == streamOpen {
		use := s.turn
		w.l.Later(func() {
			if s.turn == use && s.state == streamOpen {
				s.ev.Connected(s)
			}
		})
	}
	return s
}

// dial returns a stream that is open, connecting or about to fail. preface is what a new
// connection begins with.
func (w *Worker) dial(srv *Server, ev StreamEvents, connect time.Duration, reuse bool, preface []byte) *Stream {
	if reuse {
		if s := srv.pop(w); s != nil {
			s.wake(ev)
			return s
		}
	}
	t := srv.target.Load()
	s := &Stream{srv: srv, target: t, secret: srv.tls.Load(), ev: ev, preface: preface}
	s.w, s.owner = w, s
	w.linkStream(s)
	fd, e := loop.Connect(&t.addr)
	s.fd = fd
	if fd < 0 {
		s.tok = w.l.Reserve(s)
		s.connecting = true
		s.fail(e)
		return s
	}
	tok, err := w.l.Add(fd, s)
	s.tok = tok
	switch {
	case err != nil || w.closed:
		s.tok = w.l.Reserve(s)
		s.fail(unix.ENOBUFS)
	case e == unix.EINPROGRESS:
		s.connecting = true
		w.l.Arm(&s.timer, s, connect)
	case s.secret != nil:
		s.sendPreface()
		w.l.Arm(&s.timer, s, connect)
		s.handshake()
	default:
		s.sendPreface()
		s.state = streamOpen
	}
	return s
}

// wake gives an idle stream its next user.
func (s *Stream) wake(ev StreamEvents) {
	s.ev, s.state, s.reused = ev, streamOpen, true
	s.turn++
	s.w.l.Disarm(&s.timer)
}

// Ready is called by the loop.
func (s *Stream) Ready(ev loop.Event) {
	s.event(ev)
	switch s.state {
	case streamClosed:
		return
	case streamHandshake:
		s.tls.signal()
		return
	case streamIdle: // the server has closed, or talks without being asked
		if ev&^(loop.Out|loop.Again) != 0 && !s.quiet() {
			s.srv.forget(s)
			s.end()
		}
		return
	case streamConnecting:
		if !s.connected(ev) {
			return
		}
	}
	if ev&loop.Out != 0 && s.blocked() {
		s.flushOut()
		if s.shut && !s.blocked() {
			loop.Shutdown(s.fd, shutWrite)
		}
	}
	if s.x != nil {
		s.x.runTunnel()
		return
	}
	if s.starved && !s.blocked() && !s.failed {
		s.starved = false
		use := s.turn
		s.ev.Drained(s)
		if s.turn != use {
			return
		}
	}
	s.run()
}

// connected finds out how a connect went; it reports whether to go on.
func (s *Stream) connected(ev loop.Event) bool {
	if !s.failed {
		if ev&(loop.Out|loop.Err|loop.Hup) == 0 {
			return false
		}
		if e := loop.SocketError(s.fd); e != 0 {
			s.errno, s.failed = e, true
		}
	}
	if s.failed {
		s.closed(fmt.Errorf("connect: %w", s.errno))
		return false
	}
	s.sendPreface()
	if s.secret != nil {
		s.handshake()
		return false
	}
	s.connecting, s.state = false, streamOpen
	s.w.l.Disarm(&s.timer)
	if s.blocked() {
		s.flushOut()
	}
	use := s.turn
	s.ev.Connected(s)
	return s.turn == use
}

// run gives what arrives to the user, within the quantum of a turn.
func (s *Stream) run() {
	bytes := quantumBytes
	use := s.turn
	for !s.paused {
		if s.resumed { // what was kept comes first
			s.resumed = false
			if !s.give(use) {
				return
			}
			continue
		}
		if bytes <= 0 {
			s.w.l.Again(s.tok)
			return
		}
		if !s.readable {
			if s.failed {
				s.closed(s.failure())
			}
			return
		}
		before, most := len(s.pend), scratchSize
		if f, ok := s.ev.(*forward); ok {
			most = f.readMost()
		}
		if before >= most {
			s.closed(syscall.EMSGSIZE)
			return
		}
		f := s.fill(most)
		if f == dry {
			if s.failed {
				s.closed(s.failure())
			}
			return
		}
		if f == ended {
			s.closed(s.ending())
			return
		}
		if f == broken {
			s.closed(s.failure())
			return
		}
		bytes -= len(s.pend) - before
		if !s.give(use) {
			return
		}
	}
}

// give calls Data; false: the stream has another user, or none, now.
func (s *Stream) give(use uint32) bool {
	s.inData = true
	n := s.ev.Data(s, s.pend)
	s.inData = false
	if s.turn != use {
		return false
	}
	s.pend = s.pend[n:]
	if s.released {
		s.park()
		return false
	}
	return true
}

// Server returns the server that the stream goes to.
func (s *Stream) Server() *Server { return s.srv }

// Write sends p, or keeps what cannot be sent now. false says: stop until Drained.
func (s *Stream) Write(p []byte) bool {
	s.write(p)
	if s.unsent() < corked {
		return true
	}
	s.w.flushOf(&s.sock)
	if s.blocked() || s.connecting {
		s.starved = true
		return false
	}
	return true
}

// Pause stops, Resume continues, the calls of Data.
func (s *Stream) Pause() { s.paused = true }

// Resume continues after Pause. Data is called later, from the loop.
func (s *Stream) Resume() {
	if !s.paused {
		return
	}
	s.paused, s.resumed = false, len(s.pend) > 0
	s.w.l.Again(s.tok)
}

// Deadline sets when Closed is called with os.ErrDeadlineExceeded unless it is set
// anew; 0 = none.
func (s *Stream) Deadline(d time.Duration) {
	if d == 0 {
		s.w.l.Disarm(&s.timer)
		return
	}
	s.w.l.Arm(&s.timer, s, d)
}

// Expired is called by the loop.
func (s *Stream) Expired(*loop.Timer) {
	if s.state == streamIdle {
		s.srv.forget(s)
		s.end()
		return
	}
	s.closed(os.ErrDeadlineExceeded)
}

// Reused says that the connection was taken from the idle ones.
func (s *Stream) Reused() bool { return s.reused }

// stalled: Drained will be owed if the user asks for it; a link always does.
func (s *Stream) stalled() {
	if _, ok := s.ev.(*link); ok {
		s.starved = true
	}
}

// Close ends the connection at once; no callback follows.
func (s *Stream) Close() { s.end() }

// Release gives the connection back to the idle ones of its server, for a minute at
// most; no callback follows. What was written must be sent and what arrived be used;
// within Data, the bytes that it returns as used count. Otherwise it is closed.
func (s *Stream) Release() { s.releaseFor(time.Minute) }

func (s *Stream) releaseFor(idle time.Duration) {
	if s.state != streamOpen {
		s.end()
		return
	}
	s.w.l.Arm(&s.timer, s, idle)
	if s.inData {
		s.released = true
		return
	}
	s.park()
}

// park puts the stream among the idle ones, if it can be used again.
func (s *Stream) park() {
	s.turn++
	s.w.flushOf(&s.sock)
	s.released, s.paused, s.resumed, s.starved = false, false, false, false
	if len(s.pend) > 0 || s.blocked() || s.failed || s.hup || s.shut {
		s.end()
		return
	}
	s.settle()
	s.ev, s.state = nil, streamIdle
	if s.tls != nil && !s.quiet() || !s.keepIdle() {
		s.end()
	}
}

// closed tells the user that the connection is no more.
func (s *Stream) closed(err error) {
	ev := s.ev
	s.end()
	if ev != nil {
		ev.Closed(s, err)
	}
}

// end releases everything.
func (s *Stream) end() {
	if s.state == streamClosed {
		return
	}
	busy := s.state == streamHandshake
	s.state = streamClosed
	s.turn++
	s.ev, s.x = nil, nil
	if s.client != nil {
		s.client.disown(s)
	}
	s.w.l.Drop(&s.timer)
	s.w.unlinkStream(s)
	if busy {
		s.tls.stop() // secured drops the descriptor, once the goroutine has let go of it
		return
	}
	s.drop()
}

// alive looks whether the server has closed an idle connection, for requests that
// must not be sent twice.
func (s *Stream) alive() bool {
	if s.tls != nil {
		return s.tls.quiet()
	}
	var b [1]byte
	_, e := loop.Peek(s.fd, b[:])
	return e == unix.EAGAIN
}

func (w *Worker) linkStream(s *Stream) {
	s.next = w.streams
	if s.next != nil {
		s.next.prev = s
	}
	w.streams = s
}

func (w *Worker) unlinkStream(s *Stream) {
	if s.next != nil {
		s.next.prev = s.prev
	}
	if s.prev != nil {
		s.prev.next = s.next
	} else {
		w.streams = s.next
	}
	s.next, s.prev = nil, nil
}
