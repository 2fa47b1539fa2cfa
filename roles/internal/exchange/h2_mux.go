package exchange

import (
	"encoding/binary"
	"slices"

	"stack/roles/internal/hpack"
	"stack/roles/internal/http2"
)

// mux is one HTTP/2 connection (RFC 9113), of a client (its user is a conn) or to a
// server (its user is a link). It reads frames, keeps the windows of both directions and
// owns the streams; what a stream carries belongs to the stream's owner.
type mux struct {
	w    *Worker
	s    *sock
	user muxUser
	// toServer: we are the client of this connection.
	toServer bool

	list  []*stream // open ones, in no order
	ids   []uint32  // theirs, at the same places: searched without touching the streams
	past  pastStreams
	fresh []*stream // of requests that were read and not yet served
	last  uint32    // the newest stream opened: by the client, or by us

	dec     hpack.Decoder
	block   *buffer // a header block whose frames have not all come
	blockOf http2.Header
	blocks  int // its frames so far

	// The DATA frame being read: content and padding to come, of which stream.
	left, pad int
	dataOf    uint32
	dataEnds  bool

	sent       int64 // bytes of content so far
	pace       pace  // of a client that does not read
	sendWindow int   // what the peer takes over all streams
	sendStart  int   // of a new stream
	maxFrame   int
	limit      int // streams that the peer lets us have

	streamWindow int // what we take for a stream
	recvWindow   int // what the peer may still send over all streams
	recvWhole    int
	consumed     int // not yet given back to recvWindow

	wb      *buffer   // frames until the end of the turn
	dirty   bool      // wb is to be sent
	sized   bool      // the first header block has told the size of our table
	waiting []*stream // have content that no window, or the kernel, takes yet
	sending bool
	held    int  // bytes of content that wait
	bound   int  // held above this pauses all streams
	holding bool // they are paused
	hungry  bool // streams with nothing waiting want to be woken when there is room
	updates int  // tiny WINDOW_UPDATEs that our frames of content explain
	glitch  budget
	resets  budget

	requests int // that may still be begun in this turn
	preface  int // bytes of the preface to come (of a client)
	settled  bool
	leaving  bool  // GOAWAY was sent or received: no new streams
	final    bool  // our last GOAWAY was sent
	finalAt  int64 // mono; then it is sent at the latest
	connects bool  // the peer takes extended CONNECT (RFC 8441)
}

// muxUser is whose connection it is.
type muxUser interface {
	// opens: a block begins a new stream.
	opens(id uint32, block []byte, ended bool) *http2.Error
	// answers: a block is the head of an answer.
	answers(st *stream, block []byte, ended bool) *http2.Error
	// emptied: no stream is left.
	emptied()
	// wentAway: the peer takes no new streams and never saw those above last.
	wentAway(last uint32)
	// settled: the peer's SETTINGS have come.
	settings()
	// ponged: a PING of ours is answered.
	ponged()
}

const (
	maxStreams     = 100 // of one connection at a time
	maxWindow      = 1 << 20
	maxBlockFrames = 32 // a header block of more frames is an attack
)

// budget bounds what is cheap for a peer and dear for us: it refills with time.
type budget struct {
	spent int
	at    int64 // mono of the last look
}

// spend counts one; false: the peer has gone too far. perSecond are forgiven each second.
func (b *budget) spend(now int64, perSecond, burst int) bool {
	const second = int64(1e9)
	if forgiven := int((now - b.at) / (second / int64(perSecond))); forgiven > 0 {
		b.spent = max(0, b.spent-forgiven)
		b.at = now
	}
	b.spent++
	return b.spent <= burst
}

func newMux(w *Worker, s *sock, user muxUser, toServer bool, bufferBytes int) *mux {
	m := &mux{
		w: w, s: s, user: user, toServer: toServer,
		sendWindow: http2.InitialWindow, sendStart: http2.InitialWindow, maxFrame: http2.MaxFrame, limit: maxStreams,
		recvWindow: http2.InitialWindow, bound: max(bufferBytes, 64<<10),
	}
	m.dec.Init(4096)
	if toServer {
		// Streams belong to different clients: one that does not read must not stop the
		// others, so the window of the connection holds those of all streams. These begin
		// small, and grow where the client takes what comes.
		m.streamWindow = http2.MaxFrame
		m.recvWhole = min(max(bufferBytes, http2.MaxFrame), maxWindow) * maxStreams
	} else {
		// Not below the initial window: a client may use that before it has seen ours.
		m.streamWindow = min(max(bufferBytes/2, http2.InitialWindow), maxWindow)
		m.recvWhole = max(bufferBytes, http2.InitialWindow)
		m.preface = len(http2.Preface)
	}
	return m
}

// start sends our SETTINGS, and the preface before them where we are the client.
func (m *mux) start() {
	b := m.w.frame[:0]
	if m.toServer {
		b = append(b, http2.Preface...)
	}
	var set [32]byte
	p := set[:0]
	if m.toServer {
		p = http2.AppendSetting(p, http2.EnablePush, 0)
	} else {
		p = http2.AppendSetting(p, http2.MaxConcurrentStreams, maxStreams)
		p = http2.AppendSetting(p, http2.EnableConnectProtocol, 1)
		p = http2.AppendSetting(p, http2.NoRFC7540Priorities, 1)
	}
	p = http2.AppendSetting(p, http2.InitialWindowSize, uint32(m.streamWindow))
	b = http2.AppendHeader(b, len(p), http2.SettingsFrame, 0, 0)
	b = append(b, p...)
	if more := m.recvWhole - http2.InitialWindow; more > 0 {
		b = http2.AppendWindowUpdate(b, 0, more)
		m.recvWindow = m.recvWhole
	}
	m.put(b)
}

// find returns the open stream of this number, or nil.
func (m *mux) find(id uint32) *stream {
	for i, have := range m.ids {
		if have == id {
			return m.list[i]
		}
	}
	return nil
}

// take reads what s holds. It stops at what is not whole, and before a header block when
// no more requests may be begun in this turn. An error of the connection is returned;
// those of streams are dealt with.
func (m *mux) take() *http2.Error {
	for !m.s.failed {
		p := m.s.pend
		if m.preface > 0 {
			n := min(m.preface, len(p))
			at := len(http2.Preface) - m.preface
			if string(p[:n]) != http2.Preface[at:at+n] {
				return &http2.Error{Code: http2.ProtocolError, Reason: "no HTTP/2 preface"}
			}
			m.s.use(n)
			if m.preface -= n; m.preface > 0 {
				return nil
			}
			continue
		}
		if m.left+m.pad > 0 {
			if len(p) == 0 {
				return nil
			}
			m.takeData(p)
			continue
		}
		if len(p) < http2.HeaderSize {
			return nil
		}
		h := http2.ParseHeader(p)
		if h.Length > http2.MaxFrame {
			return &http2.Error{Code: http2.FrameSizeError, Reason: "frame too large"}
		}
		if err := m.inOrder(h); err != nil {
			return err
		}
		rest := p[http2.HeaderSize:]
		var err *http2.Error
		if h.Type == http2.Data {
			if h.Flags&http2.Padded != 0 && h.Length > 0 && len(rest) == 0 {
				return nil
			}
			err = m.beginData(h, rest)
		} else {
			if len(rest) < h.Length {
				return nil
			}
			if (h.Type == http2.Headers || h.Type == http2.Continuation) && m.requests <= 0 {
				return nil
			}
			m.s.use(http2.HeaderSize + h.Length)
			err = m.control(h, rest[:h.Length])
		}
		if err == nil {
			continue
		}
		if err.Stream == 0 {
			return err
		}
		if !m.glitched() {
			return errCalm
		}
		m.refuse(err.Stream, err.Code)
	}
	return nil
}

var errCalm = &http2.Error{Code: http2.EnhanceYourCalm, Reason: "too many frames that lead to nothing"}

// glitched counts something that costs more than it does; false: it is enough.
func (m *mux) glitched() bool { return m.glitch.spend(m.w.l.Mono(), 100, 1000) }

// inOrder checks what may follow what.
func (m *mux) inOrder(h http2.Header) *http2.Error {
	if !m.settled && h.Type != http2.SettingsFrame {
		return &http2.Error{Code: http2.ProtocolError, Reason: "the first frame is not SETTINGS"}
	}
	if expected := m.blockOf.Stream != 0; expected != (h.Type == http2.Continuation) || expected && h.Stream != m.blockOf.Stream {
		return &http2.Error{Code: http2.ProtocolError, Reason: "CONTINUATION expected, or not expected"}
	}
	return nil
}

// control deals with a frame that is not DATA.
func (m *mux) control(h http2.Header, p []byte) *http2.Error {
	switch h.Type {
	case http2.Headers:
		return m.headers(h, p)
	case http2.Continuation:
		return m.continuation(h, p)
	case http2.Priority:
		switch {
		case h.Stream == 0:
			return &http2.Error{Code: http2.ProtocolError, Reason: "PRIORITY of no stream"}
		case len(p) != 5:
			return &http2.Error{Code: http2.FrameSizeError, Stream: h.Stream, Reason: "PRIORITY of a wrong size"}
		case http2.Uint31(p) == h.Stream:
			return &http2.Error{Code: http2.ProtocolError, Stream: h.Stream, Reason: "stream depends on itself"}
		}
		return m.idleWork()
	case http2.RSTStream:
		return m.reset(h, p)
	case http2.SettingsFrame:
		return m.peerSettings(h, p)
	case http2.PushPromise:
		return &http2.Error{Code: http2.ProtocolError, Reason: "PUSH_PROMISE"}
	case http2.Ping:
		return m.ping(h, p)
	case http2.GoAway:
		return m.goAway(h, p)
	case http2.WindowUpdate:
		return m.windowUpdate(h, p)
	case http2.PriorityUpdate:
		return m.priorityUpdate(h, p)
	}
	return m.idleWork() // unknown types are ignored (RFC 9113 section 4.1)
}

func (m *mux) idleWork() *http2.Error {
	if !m.glitched() {
		return errCalm
	}
	return nil
}

// opened says whether the peer, or we, have ever opened this stream.
func (m *mux) opened(id uint32) bool { return id <= m.last && id&1 == 1 }

func (m *mux) reset(h http2.Header, p []byte) *http2.Error {
	switch {
	case len(p) != 4:
		return &http2.Error{Code: http2.FrameSizeError, Reason: "RST_STREAM of a wrong size"}
	case !m.opened(h.Stream):
		return &http2.Error{Code: http2.ProtocolError, Reason: "RST_STREAM of an idle stream"}
	}
	st := m.find(h.Stream)
	if st == nil {
		return m.underway()
	}
	code := http2.Code(binary.BigEndian.Uint32(p))
	if m.toServer && st.recvEnd && code == http2.NoError {
		// The answer is complete, the rest of the request unwanted (RFC 9113 section 8.1).
		st.stopSending()
		return nil
	}
	st.byPeer = true
	st.kill(code)
	// Rapid reset: requests that are begun and taken back cost us and nothing them.
	if !m.toServer && !m.resets.spend(m.w.l.Mono(), 20, 300) {
		return &http2.Error{Code: http2.EnhanceYourCalm, Reason: "too many requests taken back"}
	}
	return nil
}

func (m *mux) peerSettings(h http2.Header, p []byte) *http2.Error {
	switch {
	case h.Stream != 0:
		return &http2.Error{Code: http2.ProtocolError, Reason: "SETTINGS of a stream"}
	case h.Flags&http2.Ack != 0:
		if len(p) != 0 {
			return &http2.Error{Code: http2.FrameSizeError, Reason: "SETTINGS acknowledgement with content"}
		}
		return nil
	case len(p)%6 != 0:
		return &http2.Error{Code: http2.FrameSizeError, Reason: "SETTINGS of a wrong size"}
	}
	first := !m.settled
	m.settled = true
	if !first && !m.glitched() {
		return errCalm
	}
	for len(p) > 0 {
		s, v, rest, err := http2.NextSetting(p, m.toServer)
		if err != nil {
			return err
		}
		p = rest
		switch s {
		case http2.MaxConcurrentStreams:
			m.limit = int(min(v, maxStreams))
		case http2.InitialWindowSize:
			if err := m.shiftWindows(int(v)); err != nil {
				return err
			}
		case http2.EnableConnectProtocol:
			m.connects = v == 1
		}
	}
	m.put(http2.AppendHeader(m.w.frame[:0], 0, http2.SettingsFrame, http2.Ack, 0))
	if first { // or repeating them would keep an idle connection alive
		m.user.settings()
	}
	m.sendWaiting()
	return nil
}

// shiftWindows applies a new initial window to the streams that are open (RFC 9113
// section 6.9.2).
func (m *mux) shiftWindows(start int) *http2.Error {
	delta := start - m.sendStart
	m.sendStart = start
	for _, st := range m.list {
		st.sendWindow += delta
		if st.sendWindow > http2.MaxWindow {
			return &http2.Error{Code: http2.FlowControlError, Reason: "window over the limit"}
		}
	}
	return nil
}

func (m *mux) ping(h http2.Header, p []byte) *http2.Error {
	switch {
	case h.Stream != 0:
		return &http2.Error{Code: http2.ProtocolError, Reason: "PING of a stream"}
	case len(p) != 8:
		return &http2.Error{Code: http2.FrameSizeError, Reason: "PING of a wrong size"}
	case h.Flags&http2.Ack != 0:
		m.user.ponged()
		return m.idleWork()
	}
	m.put(http2.AppendPing(m.w.frame[:0], [8]byte(p), true))
	return m.idleWork()
}

func (m *mux) goAway(h http2.Header, p []byte) *http2.Error {
	switch {
	case h.Stream != 0:
		return &http2.Error{Code: http2.ProtocolError, Reason: "GOAWAY of a stream"}
	case len(p) < 8:
		return &http2.Error{Code: http2.FrameSizeError, Reason: "GOAWAY of a wrong size"}
	}
	m.user.wentAway(http2.Uint31(p))
	return m.idleWork()
}

func (m *mux) windowUpdate(h http2.Header, p []byte) *http2.Error {
	if len(p) != 4 {
		return &http2.Error{Code: http2.FrameSizeError, Reason: "WINDOW_UPDATE of a wrong size"}
	}
	n := int(http2.Uint31(p))
	if h.Stream == 0 {
		if n == 0 {
			return &http2.Error{Code: http2.ProtocolError, Reason: "WINDOW_UPDATE of nothing"}
		}
		if m.sendWindow += n; m.sendWindow > http2.MaxWindow {
			return &http2.Error{Code: http2.FlowControlError, Reason: "window over the limit"}
		}
	} else {
		if !m.opened(h.Stream) {
			return &http2.Error{Code: http2.ProtocolError, Reason: "WINDOW_UPDATE of an idle stream"}
		}
		st := m.find(h.Stream)
		switch {
		case st == nil:
			return m.idleWork()
		case n == 0:
			return &http2.Error{Code: http2.ProtocolError, Stream: h.Stream, Reason: "WINDOW_UPDATE of nothing"}
		}
		if st.sendWindow += n; st.sendWindow > http2.MaxWindow {
			return &http2.Error{Code: http2.FlowControlError, Stream: h.Stream, Reason: "window over the limit"}
		}
	}
	if n < tinyWindow {
		if m.updates > 0 {
			m.updates--
		} else if !m.glitched() { // one frame of ours for each of these few bytes
			return errCalm
		}
	}
	m.sendWaiting()
	return nil
}

const tinyWindow = 256

func (m *mux) priorityUpdate(h http2.Header, p []byte) *http2.Error {
	if h.Stream != 0 || m.toServer {
		return &http2.Error{Code: http2.ProtocolError, Reason: "PRIORITY_UPDATE where none may be"}
	}
	if len(p) < 4 {
		return &http2.Error{Code: http2.FrameSizeError, Reason: "PRIORITY_UPDATE of a wrong size"}
	}
	id := http2.Uint31(p)
	if id == 0 {
		return &http2.Error{Code: http2.ProtocolError, Reason: "PRIORITY_UPDATE of no stream"}
	}
	if st := m.find(id); st != nil {
		st.urgency, st.incremental = http2.ParsePriority(p[4:])
	}
	return m.idleWork()
}

// headers takes a HEADERS frame: a block, or the first part of one.
func (m *mux) headers(h http2.Header, p []byte) *http2.Error {
	if h.Stream&1 == 0 {
		return &http2.Error{Code: http2.ProtocolError, Reason: "HEADERS of a stream that no client opens"}
	}
	p, err := http2.Unpad(h, p)
	if err != nil && err.Stream == 0 {
		return err
	}
	if err != nil {
		// The block is lost, and with it what both tables agree on.
		return &http2.Error{Code: err.Code, Reason: err.Reason}
	}
	if h.Flags&http2.EndHeaders == 0 {
		m.blockOf, m.blocks = h, 1
		m.block = m.w.bufs.add(nil, p)
		return nil
	}
	return m.wholeBlock(h, p)
}

func (m *mux) continuation(h http2.Header, p []byte) *http2.Error {
	m.blocks++
	if m.blocks > maxBlockFrames || m.block.len()+len(p) > maxBlock {
		return &http2.Error{Code: http2.EnhanceYourCalm, Reason: "header block too long"}
	}
	m.block = m.w.bufs.add(m.block, p)
	if h.Flags&http2.EndHeaders == 0 {
		return nil
	}
	b, of := m.block, m.blockOf
	m.block, m.blockOf = nil, http2.Header{}
	err := m.wholeBlock(of, b.bytes())
	m.w.bufs.put(b)
	return err
}

// maxBlock bounds a header block as it is sent, over all its frames.
const maxBlock = 256 << 10

// wholeBlock gives a block to the stream that it is for.
func (m *mux) wholeBlock(h http2.Header, p []byte) *http2.Error {
	ended := h.Flags&http2.EndStream != 0
	st := m.find(h.Stream)
	if st == nil {
		switch {
		case m.toServer && !m.opened(h.Stream):
			return &http2.Error{Code: http2.ProtocolError, Reason: "answer on an idle stream"}
		case m.opened(h.Stream):
			return m.late(h.Stream, p)
		}
		m.last = h.Stream
		m.requests--
		return m.user.opens(h.Stream, p, ended)
	}
	switch {
	case st.recvEnd:
		return &http2.Error{Code: http2.StreamClosed, Reason: "HEADERS after the end of the stream"}
	case m.toServer && !st.headed:
		return m.user.answers(st, p, ended)
	}
	return m.trailers(st, p, ended)
}

// late is a block for a stream that is over. One that we have reset may still be
// underway; others break the rules.
func (m *mux) late(id uint32, p []byte) *http2.Error {
	switch m.past.how(id) {
	case endedBoth:
		return &http2.Error{Code: http2.StreamClosed, Reason: "HEADERS of a closed stream"}
	case neverSeen:
		if !m.toServer {
			return &http2.Error{Code: http2.ProtocolError, Reason: "stream numbers must grow"}
		}
	}
	if err := m.dec.Decode(p, discardLimit, discardFields{}); isCompression(err) {
		return &http2.Error{Code: http2.CompressionError, Reason: err.Error()}
	}
	return m.underway()
}

// discardLimit bounds a block that nobody reads; a small one would make a bomb of any head.
const discardLimit = 16 << 10

// discardFields is a hpack.Sink that keeps nothing.
type discardFields struct{}

// Field implements hpack.Sink.
func (discardFields) Field(_, _ []byte) error { return nil }

func isCompression(err error) bool {
	_, ok := err.(*hpack.Error)
	return ok
}

// end forgets the connection: every stream hears of it.
func (m *mux) end() {
	m.leaving = true
	for len(m.list) > 0 {
		m.list[len(m.list)-1].kill(http2.NoError)
	}
	m.dropBuffers()
}

func (m *mux) dropBuffers() {
	if m.block != nil {
		m.w.bufs.put(m.block)
		m.block = nil
	}
	if m.wb != nil {
		m.w.bufs.put(m.wb)
		m.wb = nil
	}
	if m.dirty {
		m.dirty = false
		if i := slices.Index(m.w.dirty, m); i >= 0 {
			m.w.dirty[i] = nil // the list may be walked just now
		}
	}
}
