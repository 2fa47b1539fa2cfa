package exchange

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
)

// keptSessions bounds the TLS sessions kept for resumption, per server.
const keptSessions = 64

// serverTLS is how TLS is spoken with a server: immutable, compared by pointer.
type serverTLS struct {
	given *tls.Config
	conf  *tls.Config
}

// SetTLS has connections opened from now on speak TLS with c (nil: none); idle ones that
// were made otherwise are not used again. The same c again changes nothing. c must not
// be changed afterwards; its ServerName is what the certificate must be valid for and its
// NextProtos what ALPN offers. Sessions are resumed, with a bounded cache of c's own
// unless it brings one. Any goroutine.
func (s *Server) SetTLS(c *tls.Config) {
	old := s.tls.Load()
	switch {
	case c == nil:
		s.tls.Store(nil)
		return
	case old != nil && old.given == c:
		return
	}
	conf := c.Clone()
	if conf.ClientSessionCache == nil {
		conf.ClientSessionCache = tls.NewLRUClientSessionCache(keptSessions)
	}
	s.tls.Store(&serverTLS{given: c, conf: conf})
}

// Protocol returns what ALPN chose, empty if nothing or without TLS.
func (s *Stream) Protocol() string {
	if s.tls == nil {
		return ""
	}
	return s.tls.protocol
}

// handshake starts TLS on the connection that has just opened. What is written
// meanwhile is kept, as before the connection was open.
func (s *Stream) handshake() {
	s.connecting, s.state = true, streamHandshake
	t := newSecure(&s.sock, s)
	t.begun = true
	t.begin(tls.Client(t, s.secret.conf))
}

// secured takes the connection back on the loop.
func (s *Stream) secured(err error) {
	if s.state == streamClosed { // given up meanwhile
		s.drop()
		return
	}
	s.connecting, s.state = false, streamOpen
	s.w.l.Disarm(&s.timer)
	if err != nil {
		s.closed(NewHandshakeError(err))
		return
	}
	s.tls.settled()
	s.sendKept()
	s.w.l.Again(s.tok) // what the handshake has read already makes no event
	s.ev.Connected(s)
}

// sendKept seals what was written before there were keys.
func (s *Stream) sendKept() {
	kept := s.out
	if kept == nil {
		return
	}
	s.out = nil
	s.tls.send(kept.bytes(), nil)
	s.w.bufs.put(kept)
}

// quiet says whether an idle connection is still of use after an event.
func (s *Stream) quiet() bool { return s.tls != nil && s.tls.quiet() }

// ending is what Closed says of a connection that the peer has ended: without
// close_notify anybody on the way may have ended it (RFC 8446 section 6.1).
func (s *Stream) ending() error {
	if s.tls != nil && s.tls.cut {
		return io.ErrUnexpectedEOF
	}
	return nil
}

// failure is what Closed says of a connection that broke.
func (s *Stream) failure() error {
	if s.tls == nil || s.tls.err == nil {
		return s.errno
	}
	var alert *net.OpError
	if errors.As(s.tls.err, &alert) && alert.Op == "remote error" {
		return NewHandshakeError(s.tls.err)
	}
	return s.tls.err
}

// refusal is err if a TLS alert ended the connection before an answer: a TLS 1.3 server
// refuses a client certificate only after the handshake is over for the client.
func refusal(err error) error {
	var refused *HandshakeError
	if errors.As(err, &refused) {
		return refused
	}
	return nil
}

// HandshakeError is why TLS with a server did not come about.
type HandshakeError struct {
	What string // for an operator: what failed, and what to look at
	Err  error
}

// NewHandshakeError says what err, of crypto/tls's handshake with a server, means.
func NewHandshakeError(err error) *HandshakeError { return &HandshakeError{explain(err), err} }

// Error names what failed and the cause.
func (e *HandshakeError) Error() string { return fmt.Sprintf("TLS handshake: %s: %v", e.What, e.Err) }

// Unwrap returns the cause.
func (e *HandshakeError) Unwrap() error { return e.Err }

func explain(err error) string {
	var (
		verify  *tls.CertificateVerificationError
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
		record  tls.RecordHeaderError
		remote  *net.OpError
	)
	switch {
	case errors.As(err, &unknown):
		return "the server's certificate is not from a trusted authority"
	case errors.As(err, &name):
		return "the server's certificate is for another name"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the server's certificate is expired or not valid yet"
	case errors.As(err, &verify):
		return "the server's certificate cannot be verified"
	case errors.As(err, &record):
		return "the server does not speak TLS on this port"
	case strings.Contains(err.Error(), "ALPN") || strings.Contains(err.Error(), "no application protocol"):
		return "no protocol in common (ALPN)"
	case errors.As(err, &remote) && remote.Op == "remote error":
		return "the server refused it"
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "the server closed the connection"
	}
	return "it failed"
}
