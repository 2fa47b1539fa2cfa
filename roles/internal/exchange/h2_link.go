package exchange

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"stack/roles/internal/hpack"
	"stack/roles/internal/http1"
	"stack/roles/internal/http2"
)

// link is an HTTP/2 connection to a server, shared by the requests of one loop. It is
// the StreamEvents of its connection and the muxUser of what is spoken there.
type link struct {
	m      *mux
	s      *Stream
	srv    *Server
	w      *Worker
	joined []*forward // waiting for the connection
	buffer int
	idle   time.Duration
	used   bool  // has had a request before
	heard  int64 // mono; when the server last sent something
}

// lastStream is the highest number that a request on a link gets.
const lastStream = http2.MaxWindow - 2

// join has the request sent on a link to its server: one that is there and has room, or
// a new one.
func (f *forward) join() {
	w := f.x.w
	l := f.srv.room(w)
	if l == nil {
		l = &link{srv: f.srv, w: w, buffer: f.x.front.Limits.BufferBytes, idle: f.pass.Timeouts.Idle}
		f.srv.idle[w.index].links = append(f.srv.idle[w.index].links, l)
		l.s = w.DialFresh(f.srv, l, f.pass.Timeouts.Connect)
	}
	f.link = l
	f.websocket = f.wantsWebSocket()
	l.admit(f)
}

// admit begins a request, or has it wait for what must be known before.
func (l *link) admit(f *forward) {
	switch {
	case l.m == nil || !l.m.settled: // how many requests the server takes is not known yet
		l.joined = append(l.joined, f)
		if l.m != nil {
			l.s.Deadline(f.pass.Timeouts.Connect)
		}
	case f.websocket && !l.m.connects:
		f.link = nil
		f.lost(errNoWebSocket, false)
	default:
		l.begin(f)
	}
}

// admitAll is admit for those that waited.
func (l *link) admitAll() {
	list := l.joined
	l.joined = nil
	for _, f := range list {
		if len(l.m.list) < l.m.limit {
			l.admit(f)
		} else {
			l.sendAway(f)
		}
	}
}

// sendAway has a request for which there is no place look for another link; not where the
// server takes none at all.
func (l *link) sendAway(f *forward) {
	f.link = nil
	if l.m.limit == 0 {
		f.lost(errNoPlace, false)
		return
	}
	f.join()
}

var errNoPlace = errors.New("the server takes no requests (SETTINGS_MAX_CONCURRENT_STREAMS)")

// room finds a link that takes another request.
func (s *Server) room(w *Worker) *link {
	now := s.target.Load()
	for _, l := range s.idle[w.index].links {
		switch {
		case l.s.target != now || l.s.secret != s.tls.Load():
		case l.m == nil || !l.m.settled:
			if len(l.joined) < maxStreams && (l.m == nil || !l.m.leaving) {
				return l
			}
		case l.m != nil && !l.m.leaving && len(l.m.list) < l.m.limit && l.m.last < lastStream:
			return l
		}
	}
	return nil
}

// leaveLinks closes the links that carry nothing; others end with their last request.
func (s *Server) leaveLinks(w *Worker) {
	for _, l := range slices.Clone(s.idle[w.index].links) {
		if l.m == nil {
			continue // emptied looks again
		}
		l.m.leaving = true
		if len(l.m.list) == 0 && len(l.joined) == 0 { // those that wait for SETTINGS are served yet
			l.emptied()
		}
	}
}

// begin opens a stream for a request.
func (l *link) begin(f *forward) {
	m := l.m
	l.s.Deadline(0)
	if m.last == 0 {
		m.last = 1
	} else {
		m.last += 2
	}
	f.st = m.open(m.last, f)
	f.opened, f.reused, f.paused = l.w.l.Mono(), l.used, false
	l.used = true
	f.ask()
}

// Connected implements StreamEvents.
func (l *link) Connected(s *Stream) {
	if s.tls != nil && s.Protocol() != "h2" {
		s.end()
		l.gone(errNoHTTP2)
		return
	}
	l.m = newMux(l.w, &s.sock, l, true, l.buffer)
	l.m.start()
	l.admitAll()
	if len(l.m.list) == 0 && len(l.joined) == 0 {
		l.emptied()
	}
}

var errNoHTTP2 = NewHandshakeError(errors.New("the server does not offer h2 by ALPN"))

// Data implements StreamEvents. Frames are taken from the connection itself.
func (l *link) Data(*Stream, []byte) (used int) {
	l.heard = l.w.l.Mono()
	l.m.requests = maxStreams // a client's measure; answers do not count
	if err := l.m.take(); err != nil {
		l.m.put(http2.AppendGoAway(l.w.frame[:0], 0, err.Code))
		l.m.flush(nil)
		l.s.end()
		l.gone(err)
	}
	return 0
}

// Drained implements StreamEvents.
func (l *link) Drained(*Stream) { l.m.unstuck() }

// Closed implements StreamEvents.
func (l *link) Closed(_ *Stream, err error) { l.gone(err) }

// gone: the connection is no more.
func (l *link) gone(err error) {
	l.forget()
	list := l.joined
	l.joined = nil
	for _, f := range list {
		f.link = nil
		f.lost(err, false)
	}
	if l.m != nil {
		l.m.end()
	}
}

// forget takes the link off its server: it gets no new requests.
func (l *link) forget() {
	pool := &l.srv.idle[l.w.index]
	if i := slices.Index(pool.links, l); i >= 0 {
		pool.links = slices.Delete(pool.links, i, i+1)
	}
}

// opens implements muxUser; never called for a link.
func (l *link) opens(uint32, []byte, bool) *http2.Error { return nil }

// settings implements muxUser.
func (l *link) settings() {
	l.s.Deadline(0)
	l.admitAll()
	if len(l.m.list) == 0 {
		l.emptied()
	}
}

// ponged implements muxUser.
func (l *link) ponged() {}

// emptied implements muxUser: the link waits for another request, for a while.
func (l *link) emptied() {
	if l.s.state != streamOpen {
		return
	}
	if l.m.leaving || l.srv.forgotten.Load() || l.s.target != l.srv.target.Load() || l.s.secret != l.srv.tls.Load() {
		l.forget()
		l.m.flush(nil)
		l.m.dropBuffers()
		l.s.end()
		l.gone(errLinkLost)
		return
	}
	if len(l.joined) == 0 {
		l.s.Deadline(l.idle)
	}
}

// wentAway implements muxUser: requests that the server has not seen go elsewhere.
func (l *link) wentAway(last uint32) {
	l.m.leaving = true
	l.forget()
	for _, st := range slices.Clone(l.m.list) {
		if st.id > last {
			st.dead = true
			st.owner.streamReset(http2.RefusedStream)
		}
	}
	if len(l.m.list) == 0 {
		l.emptied()
	}
}

// answers implements muxUser.
func (l *link) answers(st *stream, block []byte, ended bool) *http2.Error {
	f := st.owner.(*forward)
	x, w := f.x, l.w
	s := &w.responseSink
	s.r, s.most, s.buf, s.status, s.bad = &f.resp, x.front.Limits.Headers, w.h2resp, 0, false
	err := l.m.dec.Decode(block, x.front.Limits.HeadBytes, s)
	if s.status != 0 {
		w.h2resp = f.resp.Buffer()
	}
	r := &f.resp
	switch {
	case isCompression(err):
		return &http2.Error{Code: http2.CompressionError, Reason: err.Error()}
	case s.bad || err != nil || s.status == 0 || s.status == 101 || s.status < 200 && ended:
		return &http2.Error{Code: http2.ProtocolError, Stream: st.id, Reason: "bad answer"}
	}
	if f.answered < 0 {
		f.answered = w.l.Mono()
	}
	r.Finish(ended)
	if r.Status < 200 {
		f.interim()
		return nil
	}
	if f.websocket && r.Status < 300 {
		if ended {
			return &http2.Error{Code: http2.ProtocolError, Stream: st.id, Reason: "tunnel that ends as it begins"}
		}
		st.headed = true
		f.upgradeStream()
		return nil
	}
	st.headed, st.expect = true, 0
	if r.HasBody(x.Req.IsHead()) {
		st.expect = r.ContentLength()
	}
	if ended && st.expect > 0 {
		return &http2.Error{Code: http2.ProtocolError, Stream: st.id, Reason: "DATA and Content-Length differ"}
	}
	st.recvEnd, st.taken = ended, ended
	f.beginAnswer()
	if ended {
		f.streamEnded()
		return nil
	}
	f.yield()
	return nil
}

// responseSink builds a response out of fields. It is a hpack.Sink.
type responseSink struct {
	r      *http1.Response
	most   int
	buf    []byte
	status int
	bad    bool
}

var _ hpack.Sink = (*responseSink)(nil)

// Field implements hpack.Sink.
func (s *responseSink) Field(name, value []byte) error {
	if string(name) == ":status" {
		if s.status != 0 || len(value) != 3 {
			s.bad = true
			return nil
		}
		for _, c := range value {
			if c < '0' || c > '9' {
				s.bad = true
				return nil
			}
			s.status = s.status*10 + int(c-'0')
		}
		if s.status < 100 || s.status > 599 {
			s.bad = true
		}
		s.r.Begin(s.buf, s.status)
		return nil
	}
	if s.status == 0 || s.r.AddField(name, value, s.most) != nil {
		s.bad = true
	}
	return nil
}

// putStreamHead sends the head that was built as text as a header block.
func (f *forward) putStreamHead(text []byte) {
	x, w := f.x, f.x.w
	r := &x.Req
	lines := text[bytes.IndexByte(text, '\n')+1:]
	host := lines[len("Host: "):bytes.IndexByte(lines, '\r')]
	lines = lines[bytes.IndexByte(lines, '\n')+1:]
	scheme := "http"
	if x.TLSVersion() != 0 {
		scheme = "https"
	}
	target := text[len(r.Method())+1:]
	target = target[:bytes.IndexByte(target, ' ')]
	var b []byte
	if f.websocket {
		b = hpack.AppendString(w.hblock[:0], ":method", "CONNECT")
		b = hpack.AppendString(b, ":protocol", "websocket")
	} else {
		b = hpack.Append(w.hblock[:0], methodName, r.Method())
	}
	b = hpack.AppendString(b, ":scheme", scheme)
	b = hpack.Append(b, pathName, target)
	b = hpack.Append(b, authorityName, host)
	if te, ok := r.Find(http1.TE); ok && http1.EqualFold(te, "trailers") {
		b = hpack.AppendString(b, "te", "trailers") // gRPC asks for it
	}
	w.hblock = appendFields(b, lines)
	f.st.m.putBlock(f.st, w.hblock, x.bodyDone && !f.websocket)
}

var (
	methodName    = []byte(":method")
	pathName      = []byte(":path")
	authorityName = []byte(":authority")
)

// streamBody sends a piece of the request's body.
func (f *forward) streamBody(p []byte, last bool) {
	x, st := f.x, f.st
	st.write(p, last)
	if last {
		f.reqDone = true
		f.asked = x.w.l.Mono()
		if f.phase == fwdHead {
			f.deadline(f.pass.Timeouts.Response)
		}
		return
	}
	if st.blocked() {
		x.PauseBody()
		f.deadline(f.pass.Timeouts.Body)
	}
}

// wantsContent implements streamOwner.
func (f *forward) wantsContent() bool {
	return !f.paused && (f.phase == fwdBody || f.phase == fwdTunnel)
}

// takeContent implements streamOwner.
func (f *forward) takeContent(p []byte, last bool) {
	if f.phase == fwdTunnel {
		f.tunnelDown(p)
		if last {
			st := f.st
			f.st, f.link = nil, nil
			st.abort(http2.Cancel)
			f.tunnelEnded()
		}
		return
	}
	f.deadline(f.pass.Timeouts.Body)
	if len(p) > 0 && f.body != noBody {
		f.x.writeContent(p, last)
	}
	if last {
		f.streamEnded()
		return
	}
	f.yield()
}

// takeTrailer implements streamOwner.
func (f *forward) takeTrailer(line []byte) { f.answerTrailer(line) }

// window is how much of the answer the server may send ahead of the client.
func (f *forward) window() int {
	if f.x.st != nil {
		return min(f.x.st.share(), maxWindow)
	}
	return min(max(f.x.front.Limits.BufferBytes, http2.MaxFrame), maxWindow)
}

// readMost is how much of the answer may be read at once from a server in HTTP/1: what the
// client takes now, or what may be kept for it.
func (f *forward) readMost() int {
	l := &f.x.front.Limits
	most := min(scratchSize, l.BufferBytes+l.HeadBytes)
	if st := f.x.st; st != nil {
		share := st.share()
		if !st.blocked() && len(st.m.waiting) == 0 {
			share = max(share, st.room(quantumBytes))
		}
		most = min(most, share)
	}
	return max(most, l.HeadBytes)
}

// streamEnded: the answer is complete.
func (f *forward) streamEnded() {
	st := f.st
	f.st, f.link = nil, nil
	st.abort(http2.Cancel) // sends nothing where the request is complete too
	f.finish(nil)
}

// streamReset implements streamOwner: the server, or its connection, has given up.
func (f *forward) streamReset(code http2.Code) {
	st := f.st
	f.st, f.link = nil, nil
	again := code == http2.RefusedStream || !st.byPeer && code == http2.NoError && f.reused && f.x.Req.Idempotent()
	reason := fmt.Errorf("the server ended the request: %s", code)
	if code == http2.NoError && !st.byPeer {
		reason = errLinkLost
	}
	st.abort(http2.Cancel)
	f.lost(reason, again)
}

var errLinkLost = errors.New("the HTTP/2 connection to the server is lost")

// expired implements streamOwner.
func (f *forward) expired() {
	if l := f.st.m.user.(*link); f.asked >= 0 && l.heard < f.asked {
		// Not one frame since: the connection may be dead, so nothing more is tried on it.
		l.m.leaving = true
		l.forget()
	}
	f.hangUp()
	f.lost(os.ErrDeadlineExceeded, false)
}

// moveOn implements streamOwner.
func (f *forward) moveOn() {
	if f.st != nil && !f.st.blocked() {
		f.drained()
	}
}

// open says whether there is a way to the server.
func (f *forward) open() bool { return f.s != nil || f.st != nil }

// deadline sets when the server's time is over; 0 = never.
func (f *forward) deadline(d time.Duration) {
	switch {
	case f.st != nil:
		f.st.deadline(d)
	case f.s != nil:
		f.s.Deadline(d)
	}
}

// pause stops, resume continues, to take the answer.
func (f *forward) pause() {
	f.paused = true
	if f.s != nil {
		f.s.Pause()
	}
}

func (f *forward) resume() {
	f.paused = false
	if f.s != nil {
		f.s.Resume()
	} else {
		f.st.again()
	}
}

// hangUp leaves the server.
func (f *forward) hangUp() {
	if s := f.s; s != nil {
		f.s = nil
		s.end()
	}
	l := f.link
	f.link = nil
	if st := f.st; st != nil {
		f.st = nil
		st.abort(http2.Cancel)
	} else if l != nil {
		if i := slices.Index(l.joined, f); i >= 0 {
			l.joined = slices.Delete(l.joined, i, i+1)
		}
	}
}
