package exchange

import (
	"net/netip"
	"time"

	"stack/roles/internal/http1"
)

// Exchange is one request and its response. The object is reused for later
// requests: a handler must not keep it beyond the end of the request, except as a
// Ticket. Data is the handler's own and is cleared at the end.
type Exchange struct {
	// Req is the request head. Its bytes stay valid to the end of the request.
	Req http1.Request
	// Data is free for the handler.
	Data any

	w *Worker
}

// Worker returns the loop's worker.
func (x *Exchange) Worker() *Worker { return x.w }

// Frontend returns the frontend that the request began with.
func (x *Exchange) Frontend() *Frontend { return nil }

// Client returns the peer's address (zero for a unix socket).
func (x *Exchange) Client() netip.AddrPort { return netip.AddrPort{} }

// Local returns the address that the client connected to (a system call at its
// first use on each connection).
func (x *Exchange) Local() netip.AddrPort { return netip.AddrPort{} }

// TLSVersion returns the protocol version, 0 for a plain connection.
func (x *Exchange) TLSVersion() uint16 { return 0 }

// ServerName returns the SNI of the connection, empty for none.
func (x *Exchange) ServerName() string { return "" }

// HasHead says whether a complete head was read (false only in ErrorPage and Log).
func (x *Exchange) HasHead() bool { return false }

// Tried returns the last server that was tried and failed; nil if none.
func (x *Exchange) Tried() *Server { return nil }

// Header adds fields to a head that is being built.
type Header struct{ http1.Writer }

// Start begins an answer with status 200..599 and returns the head to add fields
// to; valid until End, EndFile or Stream. Date, Server (Frontend.Server), Content-Length or
// Transfer-Encoding and Connection are added by themselves and must not be.
func (x *Exchange) Start(status int) *Header { return nil }

// End finishes an answer with a body from memory, which is used only until End
// returns. Content-Length is its length. For HEAD, 204 and 304 the body is left
// out (204 and 304 also have no Content-Length; give EndLength instead for 304 if wanted).
func (x *Exchange) End(body []byte) {}

// EndLength finishes an answer to HEAD (or a 304) that names the length of a body
// that is not sent.
func (x *Exchange) EndLength(n int64) {}

// File is an open file that is released once when it is no longer needed, on the
// loop that used it.
type File interface {
	Fd() int
	Release()
}

// EndFile finishes an answer with n bytes of a regular file from off, by sendfile
// (through memory over TLS). Content-Length is n. Pages that are not in memory are
// read by a worker first. A file that turns out shorter cuts the connection. f is
// released when the last byte is sent or the exchange ends. For HEAD nothing is sent.
func (x *Exchange) EndFile(f File, off, n int64) {}

// Events are the callbacks of streaming, on the loop.
type Events interface {
	// Body gives a piece of the request body, valid until it returns; last comes once
	// with the final piece, which may be empty.
	Body(x *Exchange, p []byte, last bool)
	// Drained says that what was written has been sent as far that more is welcome.
	Drained(x *Exchange)
	// Gone says that the exchange has ended before its time (client gone, time-out,
	// bad body, process stops): release everything, call nothing on x. Not called
	// after Finish, End, EndFile, Error or Abort.
	Gone(x *Exchange, c Cause)
}

// Stream begins a body of n bytes (n ≥ 0), or of unknown length (-1: chunked, or up
// to the close for HTTP/1.0). ev gets Drained and Gone.
func (x *Exchange) Stream(n int64, ev Events) {}

// Write sends a piece of a streamed body; p is used only until it returns. false
// says: stop until Drained. Bytes beyond the announced length cut the connection.
// Writes to a HEAD answer are dropped.
func (x *Exchange) Write(p []byte) bool { return false }

// WriteFile sends a piece of a file within a streamed body. Nothing may be written
// until Drained is called.
func (x *Exchange) WriteFile(f File, off, n int64) {}

// Flush sends what Write has collected. Called by itself at the end of each callback.
func (x *Exchange) Flush() {}

// Finish ends a streamed body.
func (x *Exchange) Finish() {}

// Abort cuts the connection: the answer cannot be completed.
func (x *Exchange) Abort(c Cause) {}

// Error answers with status and the frontend's error page, or cuts the connection if
// an answer has begun.
func (x *Exchange) Error(status int, c Cause) {}

// ReadBody starts to give the request body to ev (100 Continue is sent if the client
// waits for it). Body is called from now on, first from within ReadBody if bytes are
// there; without a body it is called once with last.
func (x *Exchange) ReadBody(ev Events) {}

// PauseBody stops, ResumeBody continues, the calls of Body.
func (x *Exchange) PauseBody() {}

// ResumeBody continues after PauseBody. Body may be called from within.
func (x *Exchange) ResumeBody() {}

// Ticket names an exchange for use from elsewhere.
type Ticket struct {
	x   *Exchange
	gen uint32
}

// Ticket returns a name for the exchange that outlives it.
func (x *Exchange) Ticket() Ticket { return Ticket{} }

// Valid says whether the exchange still goes on. On its loop only.
func (t Ticket) Valid() bool { return false }

// Resume calls f on the loop; x is nil if the exchange has ended meanwhile. Any
// goroutine. It reports false if the loop has ended (f is then not called).
func (t Ticket) Resume(f func(x *Exchange)) bool { return false }

// Suspend says that the answer comes later, by Ticket. ev gets Gone if the client
// leaves meanwhile. It is the same as returning from Serve without an answer.
func (x *Exchange) Suspend(ev Events) Ticket { return Ticket{} }

// Offload runs work on a bounded set of goroutines (work waits for a free one) and
// then calls then on the loop; x is nil if the exchange has ended meanwhile.
func (x *Exchange) Offload(work func(), then func(x *Exchange)) {}

// Forward hands the request to a server that p.Picker chooses and relays its answer,
// streaming both bodies; it ends the exchange in every case.
func (x *Exchange) Forward(p *Pass) {}

// Repick continues a Forward that its Picker left waiting with ErrQueued.
func (x *Exchange) Repick() {}

// Now returns the loop's cached clock.
func (x *Exchange) Now() time.Time { return time.Time{} }
