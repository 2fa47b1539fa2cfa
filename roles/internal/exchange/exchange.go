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

	w     *Worker
	c     *conn
	st    *stream // of an HTTP/2 connection; nil in HTTP/1
	front *Frontend
	gen   uint32 // grows with each use of the object
	head  *buffer
	local netip.AddrPort

	requestBody
	response
	fwd forward
	tun tunnel

	// ev hears of Drained and Gone, body of Body.
	ev, body Events

	start       int64 // mono of the first byte
	startTime   time.Time
	requestTime int64
	pace        pace
	bytesIn     int64
	kept        int // bytes, of Hold
	hasHead     bool
}

// begin starts a request whose first byte came at start.
func (x *Exchange) begin(c *conn, f *Frontend, start int64) {
	x.c, x.front, x.start = c, f, start
	x.startTime = x.w.l.Now().Add(time.Duration(start - x.w.l.Mono()))
	x.requestTime = -1
	x.fwd.reset()
	c.point.count(x.w).requests.Add(1)
}

// clear forgets everything but what the next use of the object keeps.
func (x *Exchange) clear() {
	x.Data, x.c, x.st, x.front, x.head, x.ev, x.body = nil, nil, nil, nil, nil, nil, nil
	x.local = netip.AddrPort{}
	x.requestBody = requestBody{}
	x.response = response{}
	x.fwd.reset()
	x.bytesIn, x.hasHead, x.pace = 0, false, pace{}
}

// own copies the head out of what the connection reads into.
func (x *Exchange) own() {
	if x.head != nil || !x.hasHead {
		return
	}
	x.head = x.w.bufs.add(nil, x.Req.Bytes())
	x.Req.Rebase(x.head.b)
}

// Worker returns the loop's worker.
func (x *Exchange) Worker() *Worker { return x.w }

// Frontend returns the frontend that the request began with.
func (x *Exchange) Frontend() *Frontend { return x.front }

// Client returns the address of the peer, or of the client that its PROXY header names
// (zero for a unix socket).
func (x *Exchange) Client() netip.AddrPort { return x.c.peer }

// Local returns the address that the client connected to (a system call at its
// first use in each request).
func (x *Exchange) Local() netip.AddrPort {
	if !x.local.IsValid() {
		x.local = x.c.localAddr()
	}
	return x.local
}

// TLSVersion returns the protocol version that the client speaks, with us or, by the
// PROXY header, with a proxy before us; 0 for a plain connection.
func (x *Exchange) TLSVersion() uint16 {
	switch {
	case x.c.tls != nil:
		return x.c.tls.version
	case x.c.via != nil:
		return x.c.via.tls
	}
	return 0
}

// ServerName returns the host name that the client asked for in TLS (SNI), with us or
// with a proxy before us; empty for none.
func (x *Exchange) ServerName() string {
	switch {
	case x.c.tls != nil:
		return x.c.tls.serverName
	case x.c.via != nil:
		return x.c.via.authority
	}
	return ""
}

// HasHead says whether a complete head was read (false only in ErrorPage and Log).
func (x *Exchange) HasHead() bool { return x.hasHead }

// Tried returns the last server that was tried and failed; nil if none.
func (x *Exchange) Tried() *Server { return x.fwd.last }

// Now returns the loop's cached clock.
func (x *Exchange) Now() time.Time { return x.w.l.Now() }

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

// Ticket names an exchange for use from elsewhere.
type Ticket struct {
	x   *Exchange
	w   *Worker
	gen uint32
}

// Ticket returns a name for the exchange that outlives it.
func (x *Exchange) Ticket() Ticket { return Ticket{x, x.w, x.gen} }

// Valid says whether the exchange still goes on. On its loop only.
func (t Ticket) Valid() bool { return t.x != nil && t.x.gen == t.gen }

// Resume calls f on the loop; x is nil if the exchange has ended meanwhile. Any
// goroutine. It reports false if the loop has ended (f is then not called).
func (t Ticket) Resume(f func(x *Exchange)) bool {
	return t.w.l.Post(func() {
		if t.Valid() {
			f(t.x)
		} else {
			f(nil)
		}
	})
}

// Suspend says that the answer comes later, by Ticket. ev gets Gone if the client
// leaves meanwhile; it may be nil.
func (x *Exchange) Suspend(ev Events) Ticket {
	x.ev = ev
	return x.Ticket()
}

// Offload runs work on a bounded set of goroutines (it waits for a free one) and
// then calls then on the loop; x is nil if the exchange has ended meanwhile.
func (x *Exchange) Offload(work func(), then func(x *Exchange)) {
	t := x.Ticket()
	x.w.set.offload(work, func() { t.Resume(then) })
}

// drained: everything written so far has been sent.
func (x *Exchange) drained() {
	if x.st != nil {
		x.rearm()
	}
	switch {
	case x.phase == atEnd:
		x.complete()
	case x.file.f != nil:
		x.again()
	case x.fwd.phase != fwdNone:
		x.fwd.clientDrained()
	case x.phase == inStream && x.starved:
		x.starved = false
		x.ev.Drained(x)
	}
}

// expired: a deadline of the client's side has passed.
func (x *Exchange) expired() {
	switch {
	case x.fwd.phase == fwdTunnel:
		x.gone(TunnelTimeout)
	case x.blocked() && (x.st == nil || x.phase != atStart): // the body of a stream is owed also while others send
		if x.st != nil && x.st.overtaken(x.front) {
			x.pace = pace{}
			x.rearm()
			return
		}
		x.gone(ClientTimeout)
	case x.fwd.phase == fwdQueued:
		x.fwd.phase = fwdNone
		x.Error(503, QueueTimeout)
	default:
		x.refuse(408, ClientTimeout)
	}
}

// release gives back what the request holds, because it will not be completed as its
// handler meant it.
func (x *Exchange) release(cause Cause) {
	x.dropFile()
	x.fwd.stop(cause)
	if ev := x.ev; ev != nil {
		x.ev, x.body = nil, nil
		ev.Gone(x, cause)
	}
}

// gone ends the request before its time, and the connection.
func (x *Exchange) gone(cause Cause) {
	c := x.c
	if cause != None {
		x.resetUnframed()
	}
	x.closeTunnel()
	x.release(cause)
	x.log(cause)
	if st := x.st; st != nil {
		x.w.put(x)
		st.abort(causeCodes[cause])
		return
	}
	c.x = nil
	x.w.put(x)
	c.close()
}

// complete ends a request that was answered, and makes the connection ready for the
// next one.
func (x *Exchange) complete() {
	c := x.c
	if x.st != nil {
		x.completeStream()
		return
	}
	if c.failed {
		x.gone(ClientGone)
		return
	}
	if c.blocked() {
		x.phase = atEnd
		return
	}
	if !x.bodyDone && !x.closeAfter {
		x.phase = atEnd
		if !x.discard {
			x.discard, x.wantBody, x.bodyPaused = true, true, false
			x.ev, x.body = nil, nil
			x.taken = 0
			c.again()
			c.rearm()
		}
		return
	}
	x.log(x.cause)
	end, unread := x.closeAfter, !x.bodyDone || x.cause != None
	x.w.put(x)
	if end {
		c.end(unread)
		return
	}
	c.idle()
}
