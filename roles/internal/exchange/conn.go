package exchange

import (
	"net/netip"
	"sync/atomic"
	"time"

	"stack/roles/internal/http1"
	"stack/roles/internal/loop"
)

// conn is a client's connection. Its state says what arriving bytes are.
type conn struct {
	sock
	timer      loop.Timer
	point      *Point
	x          *Exchange // the current request, or the tunnel
	h2         *mux      // of a connection that speaks HTTP/2
	next, prev *conn
	peer       netip.AddrPort
	source     *atomic.Uint64 // where it is counted; nil = nowhere
	started    int64          // when the first byte of the head came
	scanned    int            // bytes of the head searched for its end
	state      connState
	served     bool // had a request before
	partial    bool // part of a head is there
	queued     bool // Again was asked for
	unread     bool // linger before the close
	lport      uint16
	via        *proxied // from the PROXY header; nil without
	own        *Stream  // idle connections to servers that carry this client's PROXY header
}

type connState uint8

const (
	onProxy     connState = iota // collecting the PROXY header
	onHello                      // collecting the ClientHello
	onHandshake                  // a goroutine has the connection
	onHead                       // idle, or reading a head
	onExchange                   // a request is served
	onFlush                      // closing once all is sent
	onLinger                     // our direction is closed; reading on so that the answer is not lost to a reset
	onTunnel                     // bytes both ways
	onHTTP2                      // frames
	onClosed
)

const (
	lingerTime  = 2 * time.Second
	lingerBytes = 1 << 20
)

// serve takes a connection that the kernel or another loop gave; it is counted already.
func (w *Worker) serve(p *Point, fd int, peer netip.AddrPort) {
	c := w.conn(p, fd, peer)
	if !c.setPeer(peer) {
		c.close()
		return
	}
	p.count(w).accepted.Add(1)
	if c.register() {
		c.start(p.front[w.index])
	}
}

// adopt takes a connection that another process served before; it is counted already.
// It was let in once and stays, but it counts with those of its source; it has had
// requests, so it may stay idle; and its PROXY header is behind it: meta says what that
// was.
func (w *Worker) adopt(p *Point, fd int, meta []byte) {
	c := w.conn(p, fd, loop.PeerAddr(fd))
	c.served = true
	if !c.introduceBy(meta) {
		c.close()
		return
	}
	c.countSource()
	if !c.register() {
		return
	}
	if f := p.front[w.index]; f.TLS != nil || f.TCP != nil {
		c.greet(f)
	} else {
		w.l.Arm(&c.timer, c, f.Timeouts.Idle)
	}
}

// conn makes a connection that nobody listens to yet.
func (w *Worker) conn(p *Point, fd int, peer netip.AddrPort) *conn {
	c := &conn{point: p, peer: peer, state: onHead}
	c.w, c.fd, c.owner = w, fd, c
	w.link(c)
	return c
}

// register has the loop tell of the descriptor; false: it cannot, and the connection is
// closed.
func (c *conn) register() bool {
	tok, err := c.w.l.Add(c.fd, c)
	if err != nil || c.w.closed {
		c.close()
		return false
	}
	c.tok = tok
	return true
}

// Ready is called by the loop.
func (c *conn) Ready(ev loop.Event) {
	c.queued = false
	c.event(ev)
	switch c.state {
	case onHandshake:
		c.tls.signal()
		return
	case onClosed:
		return
	}
	if ev&loop.Out != 0 && c.blocked() {
		c.writable()
	}
	c.run()
}

// again has run called at the end of the turn.
func (c *conn) again() {
	if !c.queued {
		c.queued = true
		c.w.l.Again(c.tok)
	}
}

// run does what can be done with what is there, within the quantum of a turn.
func (c *conn) run() {
	bytes, requests := quantumBytes, quantumRequests
	if c.h2 != nil {
		c.h2.requests = quantumRequests
	}
	for {
		if c.failed && c.state != onClosed {
			c.lost(ClientGone)
			return
		}
		more := false
		switch c.state {
		case onProxy:
			more = c.readProxy()
		case onHello:
			more = c.readHello()
		case onHead:
			if c.blocked() { // a client that does not read gets no further answers
				return
			}
			if requests == 0 || bytes <= 0 {
				c.again()
				return
			}
			requests--
			more = c.readHead(&bytes)
		case onExchange:
			more = c.x.advance(&bytes)
		case onFlush:
			c.finish()
		case onLinger:
			c.linger()
		case onTunnel:
			c.x.runTunnel()
		case onHTTP2:
			more = c.runHTTP2(&bytes)
		}
		if !more {
			return
		}
	}
}

// readHead reads and parses a head and has it served. It reports whether run should
// go on.
func (c *conn) readHead(bytes *int) bool {
	w := c.w
	f := c.point.front[w.index]
	if len(c.pend) == 0 || c.partial {
		if !c.readable {
			return false
		}
		before := len(c.pend)
		most := min(scratchSize, max(f.Limits.HeadBytes, f.Limits.BufferBytes)) // what is not used now has to be kept
		if before > 0 {
			most = f.Limits.HeadBytes
		}
		switch c.fill(most) {
		case dry:
			return false
		case ended, broken:
			c.close()
			return false
		}
		*bytes -= len(c.pend) - before
	}
	if f.HTTP2 && !c.served && c.tls == nil {
		if whole, maybe := prefaceBegins(c.pend); whole {
			c.startHTTP2()
			return true
		} else if maybe {
			if !c.partial {
				c.partial = true
				w.l.Arm(&c.timer, c, f.Timeouts.RequestHead)
			}
			return true
		}
	}
	if !c.partial {
		c.started = w.l.Mono()
	} else if len(c.pend) < f.Limits.HeadBytes && !http1.Complete(c.pend, c.scanned) {
		c.scanned = len(c.pend)
		return true
	}
	x := w.take()
	n, err := x.Req.Parse(c.pend, http1.Limits{Bytes: f.Limits.HeadBytes, Fields: f.Limits.Headers})
	if n == 0 && err == nil {
		w.put(x)
		c.scanned = len(c.pend)
		if !c.partial {
			c.partial = true
			w.l.Arm(&c.timer, c, f.Timeouts.RequestHead)
		}
		return true
	}
	w.l.Disarm(&c.timer)
	c.partial, c.scanned = false, 0
	c.x, c.state = x, onExchange
	x.begin(c, f, c.started)
	if err != nil {
		c.reject(err)
		return true
	}
	c.use(n)
	c.serve(x)
	return true
}

// reject answers a head that could not be accepted.
func (c *conn) reject(err *http1.Error) {
	x := c.x
	x.closeAfter, x.bodyDone = true, true
	cause := BadRequest
	if err.Status == 413 || err.Status == 414 || err.Status == 431 {
		cause = TooLarge
	}
	x.Error(err.Status, cause)
}

// serve gives a request with a complete head to the handler.
func (c *conn) serve(x *Exchange) {
	f := x.front
	c.served = true
	x.hasHead = true
	x.bytesIn = int64(x.Req.Size)
	x.requestTime = c.w.l.Mono() - x.start
	x.prepareBody()
	x.closeAfter = c.w.draining || c.point.removed[c.w.index] || !x.Req.KeepsAlive()
	if limit := f.Limits.BodyBytes; limit > 0 && x.Req.ContentLength() > limit {
		x.closeAfter = true
		x.Error(413, TooLarge)
		return
	}
	gen := x.gen
	f.Handler.Serve(x)
	if x.gen == gen {
		x.own()
		c.rearm()
	}
}

// localPort returns the port that the client connected to.
func (c *conn) localPort() uint16 {
	if c.lport == 0 {
		c.lport = c.localAddr().Port()
	}
	return c.lport
}

// idle waits for the next request.
func (c *conn) idle() {
	c.state, c.x = onHead, nil
	if len(c.pend) > 0 || c.readable {
		c.again()
	}
	c.rearm()
}

// stalled: the kernel takes no more for now.
func (c *conn) stalled() { c.rearm() }

// rearm sets the deadline that belongs to what is waited for.
func (c *conn) rearm() {
	w := c.w
	if c.state == onClosed {
		return
	}
	f := c.point.front[w.index]
	if c.x != nil {
		f = c.x.front
		c.x.pace.stop(w.l.Mono())
	}
	switch {
	case c.state == onTunnel:
	case c.x != nil && c.x.fwd.phase == fwdTunnel:
	case c.state == onLinger:
	case c.blocked():
		c.waitForClient(f)
	case c.state == onHTTP2:
		c.h2.pace.stop(w.l.Mono())
		switch {
		case c.h2.leaving:
			if !c.h2.final {
				w.l.Arm(&c.timer, c, max(time.Millisecond, time.Duration(c.h2.finalAt-w.l.Mono())))
			}
		case len(c.h2.list) > 0:
			w.l.Disarm(&c.timer)
		default:
			w.l.Arm(&c.timer, c, f.Timeouts.Idle)
		}
	case c.state == onHead:
		if !c.partial {
			w.l.Arm(&c.timer, c, f.Timeouts.Idle)
		}
	case c.state == onExchange:
		switch {
		case c.x.fwd.phase == fwdQueued:
		case c.x.takesBody():
			c.waitForClient(f)
		default:
			w.l.Disarm(&c.timer)
		}
	}
}

// writable: the kernel takes bytes again.
func (c *conn) writable() {
	progress := c.flushOut()
	if c.failed {
		return
	}
	if c.blocked() {
		if progress && c.state != onFlush { // what is left then has one deadline for all
			c.rearm()
		}
		return
	}
	c.rearm()
	if c.shut {
		loop.Shutdown(c.fd, shutWrite)
	}
	switch c.state {
	case onExchange:
		c.x.drained()
	case onHTTP2:
		c.h2.unstuck()
	}
}

// Expired is called by the loop when the deadline has passed.
func (c *conn) Expired(*loop.Timer) {
	switch c.state {
	case onHead:
		if !c.partial || c.blocked() {
			c.close()
			return
		}
		c.partial = false
		x := c.w.take()
		c.x, c.state = x, onExchange
		x.begin(c, c.point.front[c.w.index], c.started)
		x.closeAfter, x.bodyDone = true, true
		x.Error(408, ClientTimeout)
	case onExchange:
		c.x.expired()
	case onTunnel:
		if c.x.fwd.phase == fwdQueued {
			c.lost(QueueTimeout)
			return
		}
		c.lost(TunnelTimeout)
	case onHandshake:
		c.tls.stop()
	case onHTTP2:
		c.expiredHTTP2()
	case onProxy:
		c.refuseProxy(proxyTimeout)
	default:
		c.close()
	}
}

// end closes the connection once the answer is out. unread: the client may be sending
// something that is not read any more.
func (c *conn) end(unread bool) {
	c.x, c.state = nil, onFlush
	c.unread = unread || len(c.pend) > 0 || c.readable
	c.w.flushOf(&c.sock)
	c.finish()
}

// finish closes, or lingers where a close would make the kernel throw the answer away
// because of bytes that the client is still sending (RFC 9112 section 9.6).
func (c *conn) finish() {
	if c.failed {
		c.close()
		return
	}
	if c.blocked() {
		return
	}
	c.shutdown()
	if c.blocked() { // the TLS alert
		return
	}
	if c.eof || !c.unread {
		c.close()
		return
	}
	c.state = onLinger
	c.started = 0
	c.w.l.Arm(&c.timer, c, lingerTime)
	c.linger()
}

// linger reads and forgets until the client closes, for a while.
func (c *conn) linger() {
	c.pend = nil
	c.settle()
	for range 4 {
		c.w.useScratch(&c.sock)
		n, f := c.recv(c.w.scratch)
		c.started += int64(n)
		if f == ended || f == broken || c.started > lingerBytes {
			c.close()
			return
		}
		if !c.readable {
			return
		}
	}
	c.again()
}

// lost ends the current request, if there is one, and the connection.
func (c *conn) lost(cause Cause) {
	if c.x != nil {
		c.x.gone(cause)
		return
	}
	if m := c.h2; m != nil {
		c.h2 = nil
		c.leaveStreams(m, cause)
	}
	c.close()
}

// close ends the connection at once.
func (c *conn) close() {
	if c.state == onClosed {
		return
	}
	if c.state == onHandshake {
		c.tls.stop() // the goroutine ends and hands the connection back to be closed
		return
	}
	if m := c.h2; m != nil {
		c.h2 = nil
		c.leaveStreams(m, ClientGone)
	}
	w := c.w
	c.state = onClosed
	w.l.Drop(&c.timer)
	w.unlink(c)
	c.drop()
	c.leaveSource()
	c.dropOwn()
	w.l.AddLoad(-1)
	c.point.closed()
}
