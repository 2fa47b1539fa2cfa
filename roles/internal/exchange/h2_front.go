package exchange

import (
	"crypto/rand"
	"encoding/base64"
	"time"

	"stack/roles/internal/hpack"
	"stack/roles/internal/http1"
	"stack/roles/internal/http2"
	"stack/roles/internal/loop"
)

// unsentLow keeps what waits in the kernel short, so that a more urgent stream does not
// have to wait behind it.
const unsentLow = 128 << 10

// prefaceBegins says whether p is a connection preface, or may become one.
func prefaceBegins(p []byte) (whole, maybe bool) {
	n := min(len(p), len(http2.Preface))
	if string(p[:n]) != http2.Preface[:n] {
		return false, false
	}
	return n == len(http2.Preface), true
}

// startHTTP2 makes the connection one of HTTP/2.
func (c *conn) startHTTP2() {
	w := c.w
	f := c.point.front[w.index]
	c.state, c.partial = onHTTP2, false
	c.h2 = newMux(w, &c.sock, c, false, f.Limits.BufferBytes)
	c.h2.requests = quantumRequests
	loop.UnsentLow(c.fd, unsentLow)
	c.h2.start()
	if w.draining || c.point.removed[w.index] {
		c.goAway()
	}
	w.l.Arm(&c.timer, c, f.Timeouts.RequestHead)
}

// runHTTP2 reads and deals with frames. It reports whether run should go on.
func (c *conn) runHTTP2(bytes *int) bool {
	m := c.h2
	if m.leaving && m.final && len(m.list) == 0 {
		c.endHTTP2(http2.NoError)
		return false
	}
	// A peer that does not read gets no more answers to its control frames.
	if c.blocked() && c.out.len() > m.bound {
		return false
	}
	before := len(c.pend)
	if before == 0 || c.partial {
		if !c.readable {
			return false
		}
		if *bytes <= 0 {
			c.again()
			return false
		}
		switch c.fill(min(scratchSize, before+quantumBytes)) {
		case dry:
			return false
		case ended, broken:
			c.lost(ClientGone)
			return false
		}
		*bytes -= len(c.pend) - before
	}
	err := m.take()
	if err == nil {
		c.serveFresh()
	}
	if c.state != onHTTP2 {
		return true
	}
	if err != nil {
		c.endHTTP2(err.Code)
		return true
	}
	if m.requests <= 0 && len(c.pend) > 0 {
		c.partial = false // whole frames may be there
		c.again()
		return false
	}
	c.partial = len(c.pend) > 0
	return true
}

// endHTTP2 says why the connection ends, and ends it.
func (c *conn) endHTTP2(code http2.Code) {
	m := c.h2
	if !m.final || code != http2.NoError {
		m.put(http2.AppendGoAway(m.w.frame[:0], m.last, code))
	}
	m.flush(nil)
	m.final = true
	c.h2 = nil
	cause := BadRequest
	if code == http2.NoError {
		cause = Killed
	}
	for _, st := range m.list {
		st.dead = true
	}
	c.leaveStreams(m, cause)
	c.end(true)
}

// leaveStreams ends what is left on the connection.
func (c *conn) leaveStreams(m *mux, cause Cause) {
	m.leaving = true
	for len(m.list) > 0 {
		st := m.list[len(m.list)-1]
		st.dead = true
		st.owner.(*Exchange).gone(cause)
	}
	m.dropBuffers()
}

// goAway asks the client to go elsewhere: first without a limit, so that what is on its
// way is still served, and with one when the client has heard it (RFC 9113 section 6.8).
func (c *conn) goAway() {
	m := c.h2
	if m.leaving {
		return
	}
	m.leaving, m.finalAt = true, c.w.l.Mono()+int64(goAwayWait)
	m.put(http2.AppendGoAway(m.w.frame[:0], http2.MaxWindow, http2.NoError))
	m.put(http2.AppendPing(m.w.frame[:0], [8]byte{'d', 'r', 'a', 'i', 'n'}, false))
	c.rearm()
}

// goAwayWait is how long a client may take to answer the PING behind the first GOAWAY.
const goAwayWait = time.Second

// ponged implements muxUser.
func (c *conn) ponged() { c.goAwayFinally() }

func (c *conn) goAwayFinally() {
	m := c.h2
	if !m.leaving || m.final {
		return
	}
	m.final = true
	m.put(http2.AppendGoAway(m.w.frame[:0], m.last, http2.NoError))
	if len(m.list) == 0 {
		c.again()
	}
}

// emptied implements muxUser.
func (c *conn) emptied() {
	m := c.h2
	if m == nil || c.state != onHTTP2 {
		return
	}
	if m.leaving && m.final {
		c.again()
		return
	}
	c.rearm()
}

// wentAway implements muxUser: a client that leaves opens nothing more by itself.
func (c *conn) wentAway(uint32) {}

// settings implements muxUser.
func (c *conn) settings() {
	if len(c.h2.list) == 0 && !c.h2.leaving {
		c.rearm()
	}
}

// answers implements muxUser; never called for a client's connection.
func (c *conn) answers(*stream, []byte, bool) *http2.Error { return nil }

// expiredHTTP2: the deadline of the connection has passed.
func (c *conn) expiredHTTP2() {
	m := c.h2
	switch {
	case c.blocked():
		c.lost(ClientTimeout)
	case m.leaving && !m.final:
		c.goAwayFinally()
	case len(m.list) > 0:
	default:
		c.endHTTP2(http2.NoError)
	}
}

// opens implements muxUser: a request begins.
func (c *conn) opens(id uint32, block []byte, ended bool) *http2.Error {
	w, m := c.w, c.h2
	if len(m.list) >= maxStreams || m.final {
		if err := m.dec.Decode(block, discardLimit, discardFields{}); isCompression(err) {
			return &http2.Error{Code: http2.CompressionError, Reason: err.Error()}
		}
		return &http2.Error{Code: http2.RefusedStream, Stream: id, Reason: "too many streams"}
	}
	f := c.point.front[w.index]
	x := w.take()
	st := m.open(id, x)
	st.headed = true
	x.st = st
	x.begin(c, f, w.l.Mono())
	c.served = true
	if !m.leaving && !c.blocked() {
		w.l.Disarm(&c.timer)
	}
	if w.draining || c.point.removed[w.index] {
		c.goAway()
	}
	s := &w.requestSink
	s.begin(x, f)
	err := m.dec.Decode(block, f.Limits.HeadBytes, s)
	w.h2head = x.Req.Buffer()
	if isCompression(err) {
		x.closeAfter = true
		x.gone(BadRequest)
		return &http2.Error{Code: http2.CompressionError, Reason: err.Error()}
	}
	st.recvEnd = ended
	bad := s.finish(ended)
	if err == hpack.ErrTooLarge {
		bad = errHeadTooLarge
	}
	w.h2head = x.Req.Buffer()
	if bad != nil {
		return c.refuseHead(x, st, bad)
	}
	st.urgency, st.incremental = http2.ParsePriority(s.priority)
	st.expect = x.Req.ContentLength()
	x.hasHead = true
	x.own()
	x.prepareBody()
	// The content of an upgraded stream comes when the upgrade is granted.
	x.bodyDone = ended || x.Req.Upgrades()
	st.fresh = true
	m.fresh = append(m.fresh, st)
	return nil
}

// serveFresh serves the requests that were read, in their order. Those that the client has
// taken back in the same breath have cost nothing.
func (c *conn) serveFresh() {
	m := c.h2
	for len(m.fresh) > 0 {
		st := m.fresh[0]
		m.fresh = m.fresh[:copy(m.fresh, m.fresh[1:])]
		st.fresh = false
		c.serveStream(st.owner.(*Exchange))
		if c.h2 != m {
			return
		}
	}
}

var errHeadTooLarge = &http1.Error{Status: 431, Reason: "head too large"}

// refuseHead answers what can be answered; a malformed request is an error of the stream
// (RFC 9113 section 8.1.1).
func (c *conn) refuseHead(x *Exchange, st *stream, bad *http1.Error) *http2.Error {
	x.bodyDone = true
	if bad.Status == 400 {
		id := st.id
		st.dead = true
		x.gone(BadRequest)
		return &http2.Error{Code: http2.ProtocolError, Stream: id, Reason: bad.Reason}
	}
	cause := BadRequest
	if bad.Status == 431 {
		cause = TooLarge
	}
	x.Error(bad.Status, cause)
	return nil
}

// serveStream gives a request with a complete head to the handler.
func (c *conn) serveStream(x *Exchange) {
	f := x.front
	x.bytesIn = int64(x.Req.Size)
	x.requestTime = 0
	if x.Req.Upgrades() && x.st.recvEnd {
		x.Error(400, BadRequest)
		return
	}
	if limit := f.Limits.BodyBytes; limit > 0 && x.Req.ContentLength() > limit {
		x.Error(413, TooLarge)
		return
	}
	gen := x.gen
	f.Handler.Serve(x)
	if x.gen == gen {
		x.rearm()
	}
}

// requestSink builds a request out of fields (RFC 9113 section 8.3). It is a hpack.Sink.
type requestSink struct {
	x                                   *Exchange
	most                                int
	method, scheme, path, host, upgrade []byte // pseudo-header fields; the memory is kept
	cookie, priority                    []byte
	has                                 [5]bool
	lined                               bool
	bad                                 *http1.Error
}

var (
	errPseudo     = &http1.Error{Status: 400, Reason: "bad pseudo-header field"}
	errConnecting = &http1.Error{Status: 501, Reason: "CONNECT not supported"}
)

func (s *requestSink) begin(x *Exchange, f *Frontend) {
	s.x, s.most = x, f.Limits.Headers
	s.method, s.scheme, s.path, s.host, s.upgrade = s.method[:0], s.scheme[:0], s.path[:0], s.host[:0], s.upgrade[:0]
	s.cookie, s.priority = s.cookie[:0], s.priority[:0]
	s.has, s.lined, s.bad = [5]bool{}, false, nil
	x.Req.Begin(x.w.h2head)
}

// Field implements hpack.Sink. Errors are kept, so that the worst one is answered once.
func (s *requestSink) Field(name, value []byte) error {
	if s.bad != nil {
		return s.bad
	}
	if len(name) > 0 && name[0] == ':' {
		s.bad = s.pseudo(name, value)
	} else {
		s.bad = s.field(name, value)
	}
	if s.bad != nil {
		return s.bad
	}
	return nil
}

func (s *requestSink) pseudo(name, value []byte) *http1.Error {
	if s.lined {
		return errPseudo
	}
	set := func(i int, to *[]byte) *http1.Error {
		if s.has[i] {
			return errPseudo
		}
		s.has[i] = true
		*to = append(*to, value...)
		return nil
	}
	switch string(name) {
	case ":method":
		return set(0, &s.method)
	case ":scheme":
		return set(1, &s.scheme)
	case ":path":
		return set(2, &s.path)
	case ":authority":
		return set(3, &s.host)
	case ":protocol":
		return set(4, &s.upgrade)
	}
	return errPseudo
}

// line ends the pseudo-header fields.
func (s *requestSink) line() *http1.Error {
	s.lined = true
	connect := string(s.method) == "CONNECT"
	switch {
	case connect && !s.has[4] && !s.has[1] && !s.has[2]:
		return errConnecting
	case !s.has[0] || !s.has[1] || !s.has[2] || s.has[4] != connect:
		return errPseudo
	case connect && !http1.EqualFold(s.upgrade, "websocket"):
		return errConnecting
	}
	return s.x.Req.SetLine(s.method, s.scheme, s.path, s.host)
}

func (s *requestSink) field(name, value []byte) *http1.Error {
	if !s.lined {
		if err := s.line(); err != nil {
			return err
		}
	}
	switch string(name) {
	case "cookie": // in several pieces; they are one field elsewhere (section 8.2.3)
		if err := http1.CheckField(name, value); err != nil {
			return err
		}
		if len(s.cookie) > 0 {
			s.cookie = append(s.cookie, "; "...)
		}
		s.cookie = append(s.cookie, value...)
		return nil
	case "priority":
		s.priority = append(s.priority[:0], value...)
	}
	return s.x.Req.AddField(name, value, s.most)
}

func (s *requestSink) finish(ended bool) *http1.Error {
	if s.bad == nil && !s.lined {
		s.bad = s.line()
	}
	if s.bad != nil {
		return s.bad
	}
	r := &s.x.Req
	if len(s.cookie) > 0 {
		if err := r.AddField(cookieName, s.cookie, s.most+1); err != nil {
			return err
		}
	}
	if s.has[4] {
		r.SetUpgrade(s.upgrade)
		if _, ok := r.Get("sec-websocket-key"); !ok {
			// HTTP/1 asks for one; RFC 8441 has none.
			var nonce [16]byte
			var key [24]byte
			rand.Read(nonce[:])
			base64.StdEncoding.Encode(key[:], nonce[:])
			if err := r.AddField(keyName, key[:], s.most+1); err != nil {
				return err
			}
		}
	}
	return r.Finish(ended)
}

var (
	cookieName = []byte("cookie")
	keyName    = []byte("sec-websocket-key")
)
