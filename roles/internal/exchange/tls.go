package exchange

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"

	"golang.org/x/sys/unix"

	"stack/roles/internal/loop"
)

// maxHello bounds the ClientHello that is collected before a goroutine is spent on it.
const maxHello = 16 << 10

// secure is the TLS side of a connection: the net.Conn that crypto/tls sits on. During
// the handshake a goroutine owns it and waits in Read; afterwards the loop does, and a
// Read that would wait returns a temporary error, which crypto/tls does not remember.
type secure struct {
	sock *sock
	conn *tls.Conn
	// owner gets the connection back when the handshake has ended, on the loop.
	owner interface{ secured(err error) }

	hello   []byte        // collected by the loop, read first
	wake    chan struct{} // the descriptor is ready
	quit    chan struct{} // closed by stop
	stopped bool          // the loop's own knowledge of that
	turn    turn          // a handshake computes only while it holds a slot
	holds   bool          // it does
	begun   bool          // it has waited for its peer, or goes to a server

	onLoop     bool
	readable   bool
	cut        bool  // the peer closed the socket without close_notify
	err        error // what broke the connection, beyond the socket's own errors
	version    uint16
	serverName string
	protocol   string  // by ALPN; empty without
	probe      [1]byte // see quiet
	asks       bool    // the client was asked for a certificate
	client     *ClientCertificate
}

// wouldBlock is what Read returns on the loop when nothing is there.
type wouldBlock struct{}

func (wouldBlock) Error() string   { return "nothing to read yet" }
func (wouldBlock) Timeout() bool   { return true }
func (wouldBlock) Temporary() bool { return true }

var errWouldBlock net.Error = wouldBlock{}

// readHello collects the ClientHello. It reports whether run should go on.
func (c *conn) readHello() bool {
	if !c.readable {
		return false
	}
	switch c.fill(maxHello + 1) {
	case dry:
		return false
	case ended, broken:
		c.close()
		return false
	}
	return c.tryHello()
}

// tryHello looks at what there is of the ClientHello. It reports whether run should go
// on.
func (c *conn) tryHello() bool {
	whole, ok := helloComplete(c.pend)
	if !ok || !whole && len(c.pend) > maxHello {
		c.point.count(c.w).handshakesFailed.Add(1)
		c.close()
		return false
	}
	if !whole {
		return true
	}
	f := c.point.front[c.w.index]
	if limit := f.Limits.Handshakes; c.w.set.shaking.Add(1) > int64(limit) && limit > 0 {
		c.w.set.shaking.Add(-1)
		c.point.count(c.w).handshakesRefused.Add(1)
		c.close()
		return false
	}
	c.state = onHandshake
	s := newSecure(&c.sock, c)
	s.hello = append(s.hello, c.pend...)
	c.pend = nil
	s.asks = f.TLS.ClientAuth != tls.NoClientCert
	s.begin(tls.Server(s, f.TLS))
	return false
}

// helloComplete says whether p holds a whole ClientHello, over one or more records
// (RFC 8446 section 4.1.2 and 5.1); ok is false if p is something else.
//
//	record:    type(1)=22 version(2) length(2) fragment
//	handshake: type(1)=1 length(3) body
func helloComplete(p []byte) (whole, ok bool) {
	have, want, seen := 0, -1, [4]byte{}
	for len(p) > 0 {
		if p[0] != 22 {
			return false, false
		}
		if len(p) < 5 {
			return false, true
		}
		n := int(p[3])<<8 | int(p[4])
		if n == 0 || n > maxHello {
			return false, false
		}
		fragment := p[5:min(len(p), 5+n)]
		for i := 0; i < len(fragment) && have+i < 4; i++ {
			seen[have+i] = fragment[i]
		}
		have += len(fragment)
		if have > 0 && seen[0] != 1 {
			return false, false
		}
		if have >= 4 {
			want = 4 + int(seen[1])<<16 + int(seen[2])<<8 + int(seen[3])
			if want > maxHello {
				return false, false
			}
			if have >= want {
				return true, true
			}
		}
		p = p[5+len(fragment):]
		if len(fragment) < n {
			return false, true
		}
	}
	return false, true
}

func newSecure(k *sock, owner interface{ secured(error) }) *secure {
	s := &secure{sock: k, owner: owner, wake: make(chan struct{}, 1), quit: make(chan struct{})}
	s.turn.granted = make(chan struct{}, 1)
	k.tls = s
	k.w.hold(secureBytes)
	return s
}

// begin gives the connection to a goroutine until owner.secured.
func (s *secure) begin(c *tls.Conn) {
	s.conn = c
	s.sock.w.set.shake(s)
}

// handshake runs in a goroutine that it has for itself.
func (s *secure) handshake() {
	w := s.sock.w
	err := net.ErrClosed
	if s.compute() {
		err = s.conn.Handshake()
	}
	if err == nil {
		state := s.conn.ConnectionState()
		s.version, s.serverName, s.protocol = state.Version, state.ServerName, state.NegotiatedProtocol
		if s.asks {
			s.client, err = describeClient(&state)
		}
	}
	if s.holds {
		w.set.slots.give()
	}
	w.l.Post(func() { s.owner.secured(err) })
}

// settled begins the connection's life on the loop.
func (s *secure) settled() {
	s.onLoop, s.hello, s.wake, s.quit, s.turn.granted = true, nil, nil, nil, nil
	s.readable, s.sock.readable = true, true // crypto/tls may hold bytes that make no event
}

// secured takes the connection back on the loop.
func (c *conn) secured(err error) {
	s := c.tls
	n := c.point.count(c.w)
	c.w.set.shaking.Add(-1)
	c.state = onHead
	if err != nil || s.stopped || c.w.closed {
		n.handshakesFailed.Add(1)
		if c.failed {
			c.failed = false // the goroutine's last write; nothing more is to be said
		}
		c.close()
		return
	}
	n.handshakes.Add(1)
	s.settled()
	f := c.point.front[c.w.index]
	if f.TCP != nil {
		c.tunnel()
		c.again()
		return
	}
	if f.HTTP2 && s.protocol == "h2" {
		c.startHTTP2()
	} else {
		c.w.l.Arm(&c.timer, c, f.Timeouts.RequestHead)
	}
	c.run()
}

// signal wakes the goroutine.
func (s *secure) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// stop makes the handshake fail soon.
func (s *secure) stop() {
	if s.stopped {
		return
	}
	s.stopped = true
	close(s.quit) // first, so that nothing is computed for a peer that sees the end
	loop.Shutdown(s.sock.fd, unix.SHUT_RDWR)
}

// compute waits for a slot; false: the handshake is stopped.
func (s *secure) compute() bool {
	k := s.sock.w.set.slots
	if !k.take(&s.turn, s.begun, s.quit) {
		return false
	}
	select {
	case <-s.quit: // its time was over when the slot came
		k.give()
		return false
	default:
		s.holds = true
		return true
	}
}

// Read is called by crypto/tls.
func (s *secure) Read(p []byte) (int, error) {
	if s.onLoop {
		return s.readNow(p)
	}
	if len(s.hello) > 0 {
		n := copy(p, s.hello)
		s.hello = s.hello[n:]
		return n, nil
	}
	for {
		n, e := loop.Recv(s.sock.fd, p)
		switch {
		case e == unix.EAGAIN:
			if !s.wait() {
				return 0, net.ErrClosed
			}
		case e != 0:
			return 0, e
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// wait gives the slot back until the descriptor is ready; false: the handshake is stopped.
func (s *secure) wait() bool {
	if s.holds { // not while crypto/tls says good-bye after a stop
		s.sock.w.set.slots.give()
	}
	s.holds, s.begun = false, true
	select {
	case <-s.wake:
		return s.compute()
	case <-s.quit:
		return false
	}
}

func (s *secure) readNow(p []byte) (int, error) {
	k := s.sock
	if !s.readable {
		return 0, errWouldBlock
	}
	n, e := loop.Recv(k.fd, p)
	switch {
	case e == unix.EAGAIN:
		s.readable = false
		return 0, errWouldBlock
	case e != 0:
		return 0, e
	case n == 0:
		s.cut = true // crypto/tls asks for no more once it has seen close_notify
		return 0, io.EOF
	}
	if n < len(p) && !k.hup {
		s.readable = false
	}
	return n, nil
}

// Write is called by crypto/tls with whole records. On the loop they are collected and
// sent together.
func (s *secure) Write(p []byte) (int, error) {
	if s.onLoop {
		s.sock.w.sealed = append(s.sock.w.sealed, p...)
		return len(p), nil
	}
	for rest := p; len(rest) > 0; {
		n, e := loop.Send(s.sock.fd, rest)
		switch {
		case e == unix.EAGAIN:
			if !s.wait() {
				return 0, net.ErrClosed
			}
		case e != 0:
			return 0, e
		}
		rest = rest[n:]
	}
	return len(p), nil
}

// recv reads content for the loop.
func (s *secure) recv(p []byte) (n int, f filled) {
	k := s.sock
	for n < len(p) {
		m, err := s.conn.Read(p[n:])
		n += m
		if err == nil {
			continue
		}
		k.sendSealed() // an answer to a key update
		if n > 0 {
			// What ended the reading, if it was more than a lack of bytes, comes again.
			k.readable = err != errWouldBlock
			return n, got
		}
		k.readable = false
		switch {
		case err == errWouldBlock:
			return 0, dry
		case errors.Is(err, io.EOF):
			k.eof = true
			return 0, ended
		}
		k.failed, k.errno, s.err = true, unix.ECONNRESET, err
		return 0, broken
	}
	k.sendSealed() // the buffer is the loop's: nothing of this connection may stay there
	return n, got
}

// quiet reads what came without being asked for on an idle connection: session
// tickets and key updates are part of TLS 1.3 and leave it usable; content, an alert
// or the end do not.
func (s *secure) quiet() bool {
	k := s.sock
	s.readable = true
	_, err := s.conn.Read(s.probe[:])
	k.readable = false
	k.sendSealed()
	return err == errWouldBlock && !k.failed && !k.blocked()
}

// send seals content and sends the records.
func (s *secure) send(a, b []byte) {
	k := s.sock
	for _, p := range [2][]byte{a, b} {
		if len(p) > 0 {
			if _, err := s.conn.Write(p); err != nil {
				k.fail(unix.ECONNRESET)
			}
		}
	}
	k.sendSealed()
}

func (s *secure) closeWrite() {
	if s.onLoop && !s.sock.failed {
		s.conn.CloseWrite()
		s.sock.sendSealed()
	}
}

// sealedKept bounds the buffer that stays allocated for records.
const sealedKept = 160 << 10

func (s *sock) sendSealed() {
	w := s.w
	if len(w.sealed) == 0 {
		return
	}
	s.transmit(w.sealed, nil)
	w.sealed = w.sealed[:0]
	if cap(w.sealed) > sealedKept {
		w.sealed = nil
	}
}

// Close is part of net.Conn; the loop closes.
func (s *secure) Close() error { return nil }

// LocalAddr is part of net.Conn.
func (s *secure) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(loop.LocalAddr(s.sock.fd)) }

// RemoteAddr is part of net.Conn.
func (s *secure) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(loop.PeerAddr(s.sock.fd)) }

// SetDeadline is part of net.Conn; the loop keeps the deadlines.
func (s *secure) SetDeadline(time.Time) error { return nil }

// SetReadDeadline is part of net.Conn.
func (s *secure) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline is part of net.Conn.
func (s *secure) SetWriteDeadline(time.Time) error { return nil }
