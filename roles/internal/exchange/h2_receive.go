package exchange

import (
	"stack/roles/internal/hpack"
	"stack/roles/internal/http1"
	"stack/roles/internal/http2"
)

// beginData takes the head of a DATA frame; what follows it is taken piece by piece, so
// that no frame has to be whole in memory. p is what has come of the payload.
func (m *mux) beginData(h http2.Header, p []byte) *http2.Error {
	if h.Stream == 0 || !m.opened(h.Stream) {
		return &http2.Error{Code: http2.ProtocolError, Reason: "DATA of an idle stream"}
	}
	m.s.use(http2.HeaderSize)
	length, pad := h.Length, 0
	if h.Flags&http2.Padded != 0 {
		if h.Length == 0 || int(p[0]) >= h.Length {
			return &http2.Error{Code: http2.ProtocolError, Reason: "padding longer than the frame"}
		}
		pad = int(p[0])
		m.s.use(1)
		length -= 1 + pad
	}
	if m.recvWindow -= h.Length; m.recvWindow < 0 {
		return &http2.Error{Code: http2.FlowControlError, Reason: "more DATA than the connection's window"}
	}
	m.left, m.pad, m.dataOf, m.dataEnds = length, pad, h.Stream, h.Flags&http2.EndStream != 0
	st := m.find(h.Stream)
	if st == nil {
		m.credit(h.Length)
		m.dataOf = 0
		if m.past.how(h.Stream) == endedBoth {
			return &http2.Error{Code: http2.StreamClosed, Reason: "DATA of a closed stream"}
		}
		return m.underway()
	}
	m.credit(h.Length - length) // padding is used up at once
	if st.recvEnd || m.toServer && !st.headed {
		m.credit(length)
		m.dataOf = 0
		return &http2.Error{Code: http2.StreamClosed, Stream: h.Stream, Reason: "DATA where none may come"}
	}
	if m.toServer {
		m.credit(length)
	}
	st.recvWindow -= h.Length
	switch {
	case st.recvWindow < 0:
		m.dataOf = 0
		m.forget(st, length)
		return &http2.Error{Code: http2.FlowControlError, Stream: h.Stream, Reason: "more DATA than the stream's window"}
	case st.expect >= 0 && (int64(length) > st.expect || m.dataEnds && int64(length) < st.expect):
		m.dataOf = 0
		m.forget(st, length)
		return &http2.Error{Code: http2.ProtocolError, Stream: h.Stream, Reason: "DATA and Content-Length differ"}
	}
	if st.expect >= 0 {
		st.expect -= int64(length)
	}
	if length == 0 {
		if !m.dataEnds && !m.glitched() {
			return errCalm
		}
		if m.dataEnds {
			st.receive(nil, true)
		}
	}
	return nil
}

// underway is a frame for a stream that we have reset. A server may have sent many before
// it heard that one client has left; the others on the connection must not pay for that.
func (m *mux) underway() *http2.Error {
	if m.toServer {
		return nil
	}
	return m.idleWork()
}

// forget gives back the window of content that nobody will take.
func (m *mux) forget(st *stream, n int) {
	if !m.toServer {
		m.credit(n)
	}
}

// takeData takes what has come of a DATA frame's content, then of its padding.
func (m *mux) takeData(p []byte) {
	if m.left == 0 {
		n := min(m.pad, len(p))
		m.pad -= n
		m.s.use(n)
		return
	}
	n := min(m.left, len(p))
	m.left -= n
	m.s.use(n)
	if m.dataOf == 0 {
		return
	}
	st := m.find(m.dataOf)
	if st == nil { // reset since the frame began
		m.forget(nil, n)
		return
	}
	st.receive(p[:n], m.left == 0 && m.dataEnds)
}

// credit gives n bytes of the connection's window back, in large steps.
func (m *mux) credit(n int) {
	m.consumed += n
	if m.consumed >= m.recvWhole/2 {
		m.put(http2.AppendWindowUpdate(m.w.frame[:0], 0, m.consumed))
		m.recvWindow += m.consumed
		m.consumed = 0
	}
}

// trailers takes the fields behind the content of a stream.
func (m *mux) trailers(st *stream, p []byte, ended bool) *http2.Error {
	t := &m.w.trailerSink
	t.b, t.bad = t.b[:0], false
	err := m.dec.Decode(p, maxTrailerBytes, t)
	switch {
	case isCompression(err):
		return &http2.Error{Code: http2.CompressionError, Reason: err.Error()}
	case !ended || t.bad:
		return &http2.Error{Code: http2.ProtocolError, Stream: st.id, Reason: "bad trailer section"}
	case err != nil:
		return &http2.Error{Code: http2.EnhanceYourCalm, Stream: st.id, Reason: "trailer section too large"}
	case st.expect > 0:
		return &http2.Error{Code: http2.ProtocolError, Stream: st.id, Reason: "DATA and Content-Length differ"}
	}
	if len(t.b) > 0 {
		st.inTrailers = m.w.bufs.add(st.inTrailers, t.b)
	}
	st.receive(nil, true)
	return nil
}

// maxTrailerBytes bounds a trailer section, as in chunked bodies.
const maxTrailerBytes = 8 << 10

// trailerSink collects trailer fields as lines "name: value CR LF".
type trailerSink struct {
	b   []byte
	bad bool
}

var _ hpack.Sink = (*trailerSink)(nil)

// Field implements hpack.Sink.
func (t *trailerSink) Field(name, value []byte) error {
	if len(name) > 0 && name[0] == ':' || http1.CheckField(name, value) != nil {
		t.bad = true
		return nil
	}
	t.b = append(t.b, name...)
	t.b = append(t.b, ": "...)
	t.b = append(t.b, value...)
	t.b = append(t.b, "\r\n"...)
	return nil
}
