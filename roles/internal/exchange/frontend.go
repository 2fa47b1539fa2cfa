// Package exchange runs HTTP/1.1 and HTTP/2 requests and byte tunnels on the event loops:
// it owns the connections of clients and of servers, reads heads and bodies,
// calls a Handler, and sends what the handler decides: an answer from memory, from
// a file, streamed, or forwarded from a server. It follows RFC 9110, RFC 9112 and
// RFC 9113.
//
// It never chooses a server (a Picker does), never knows routes, sites or
// configuration files, never writes a log (an AccessLog does) and starts
// goroutines only for TLS handshakes and for work handed to Offload.
//
// Everything here belongs to one loop: unless a comment says otherwise, methods
// are called on the loop's own thread, from a callback, and must not block.
package exchange

import (
	"crypto/tls"
	"net/netip"

	"stack/appliance/config"
)

// Frontend is what is done with the connections of one group of listeners. It is
// immutable once given to a Point; a reload gives the Point a new one. A request
// keeps the Frontend that it began with.
type Frontend struct {
	// Name appears in log records.
	Name string
	// Handler answers HTTP requests. nil in TCP mode.
	Handler Handler
	// TCP, if set, makes every connection a tunnel to a server that its Picker
	// chooses; Handler, ErrorPage and HTTP limits are then not used.
	TCP *Pass
	// TLS, if set, is spoken with every client; only http/1.1 is offered by ALPN
	// unless the caller's NextProtos says otherwise. Must not be changed afterwards.
	TLS *tls.Config
	// HTTP2 lets clients speak HTTP/2: by ALPN where TLS offers "h2", else with prior
	// knowledge (RFC 9113 section 3.3).
	HTTP2 bool
	// ProxyFrom, if not nil, makes the point one for proxies: every connection must come
	// from one of these networks and begin with a PROXY header, before TLS, within
	// Timeouts.RequestHead; others are closed and counted. The client is the one that the
	// header names.
	ProxyFrom []netip.Prefix
	// HalfClose: a client of HTTP/1 that closes its sending direction behind a request still
	// waits for the answer; otherwise it has left (docs/decisions/022).
	HalfClose bool
	// Timeouts: all > 0.
	Timeouts config.Timeouts
	// Limits: HeadBytes, Headers, BufferBytes > 0; BodyBytes 0 = no bound.
	// Connections bounds those of all points of the Set together, ConnectionsPerSource
	// those of one address, Memory what all hold, Handshakes those with clients in progress, MinRate how slow a
	// client may be; 0 = no bound. Those five hold for the Set: its frontends have the same.
	Limits config.Limits
	// Connections bounds those of the points that are counted together (Point.CountIn); 0 =
	// no bound.
	Connections int
	// Trusted are peers whose connections carry many clients: ConnectionsPerSource does not
	// hold for them.
	Trusted []netip.Prefix
	// Log gets a record for each request (each connection in TCP mode). nil = none.
	Log AccessLog
	// ErrorPage makes the body of an answer that the data plane gives by itself
	// (400, 408, 413, 414, 431, 501, 502, 503, 504, 505). nil = a short built-in page.
	// head is what is known of the request; it may be incomplete (x.HasHead).
	ErrorPage func(x *Exchange, status int) (contentType string, body []byte)
	// Server is the Server field of answers made here (not of forwarded ones); empty = none.
	Server string
}

// Handler decides what happens with a request. Serve is called on the loop with a
// complete, valid head and must not block; before it returns, or later from a
// callback, exactly one of these is called: Start (then End, EndFile or Stream),
// Error, Forward, Suspend/Offload, or ReadBody followed later by one of the others.
type Handler interface {
	Serve(x *Exchange)
}

// HandlerFunc is a function as a Handler.
type HandlerFunc func(x *Exchange)

// Serve calls f.
func (f HandlerFunc) Serve(x *Exchange) { f(x) }

// AccessLog takes the record of an ended request. Called on the loop; r and all it
// refers to are valid only until it returns. Must neither block nor allocate.
type AccessLog interface {
	Log(r *Record)
}

// Picker chooses servers. All methods are called on the loop of the exchange and
// must neither block nor lock.
type Picker interface {
	// Pick chooses a server for x. tried counts the servers tried before for this
	// request (x.Tried holds the last one). ErrNoServer is answered with 503. ErrQueued
	// leaves x waiting: the picker calls x.Ticket() first and later Resume on it with a
	// function that calls x.Repick; the wait is bounded by Timeouts.Connect (503).
	// Each server returned is given back by exactly one Done.
	Pick(x *Exchange, tried int) (*Server, error)
	// Done ends an attempt on s.
	Done(x *Exchange, s *Server, o Outcome)
}

// Outcome is how an attempt on a server ended.
type Outcome struct {
	// Cause is None when the server did its part (any complete answer, also a 500);
	// ConnectFailed, ConnectTimeout, ResponseFailed, ResponseTimeout are the server's
	// fault; other values are not (client gone).
	Cause Cause
	// Status of the answer, 0 if none arrived.
	Status int
	// Connect, Response: nanoseconds to the open connection (0 when reused) and from
	// the request sent to the first byte of the answer; -1 = never.
	Connect, Response int64
	// Reused says that an idle connection was used.
	Reused bool
	// Err is the system's error, or a *HandshakeError, for ConnectFailed, and a
	// *HandshakeError for ResponseFailed where a TLS alert came in place of an answer;
	// nil otherwise.
	Err error
}

// Editor adds and removes fields of forwarded heads.
type Editor interface {
	// Request is called when all fields of a request to s have been written, before
	// the empty line.
	Request(x *Exchange, s *Server, h *Header)
	// Response is called when the fields of the answer have been written.
	Response(x *Exchange, s *Server, status int, h *Header)
	// Drop says whether a received field, not hop-by-hop, must be left out.
	// response tells which head it is of. Names keep the sender's case.
	Drop(x *Exchange, response bool, name []byte) bool
}

// Pass says how to hand requests, or connections in TCP mode, to servers.
type Pass struct {
	Picker Picker
	// Name of the backend, for log records.
	Name string
	// HTTP2: the servers are spoken to in HTTP/2, over TLS or with prior knowledge.
	HTTP2 bool
	// Timeouts: Connect, Response, Body, Tunnel, Idle are used; all > 0.
	Timeouts config.Timeouts
	// Attempts is the number of further servers tried after a connection that could
	// not be opened; 0 = none.
	Attempts int
	// Edit may be nil.
	Edit Editor
	// Forwarded turns on X-Forwarded-For, -Proto, -Host, -Port and Forwarded: what the
	// client sent is replaced, unless its address is in Trusted: then For and Forwarded
	// are appended to and the others kept.
	Forwarded bool
	Trusted   []netip.Prefix
	// Refusal is all that a client in TCP mode gets where no server can be reached. Empty: its
	// connection is closed without a word.
	Refusal []byte
	// Preamble appends what every connection to a server begins with (see ProxyHeader); such
	// a connection serves one client connection only. nil = nothing.
	Preamble func(x *Exchange, b []byte) []byte
}
