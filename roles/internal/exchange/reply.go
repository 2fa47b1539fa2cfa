package exchange

import (
	"net/http"
	"strconv"

	"stack/roles/internal/http1"
)

// Header adds fields to a head that is being built. Bytes that no field value may hold
// are left out of values.
type Header struct{ http1.Writer }

// response is the state of the answer to the current request.
type response struct {
	file       fileSegment
	status     int
	remain     int64 // bytes of a streamed body to come; -1 = unknown
	bytesOut   int64
	cause      Cause
	phase      phase
	chunkedOut bool
	noBody     bool // HEAD, 204, 304
	closeAfter bool
	starved    bool // Write has said stop, so Drained is owed
	wrote      int  // by Write since it last said stop
}

type phase uint8

const (
	atStart  phase = iota // nothing of the final answer was written
	inHead                // between Start and End, EndFile or Stream
	inStream              // the body is being written
	inFile                // the body is a file
	inRelay               // the answer of a server is being relayed
	atEnd                 // all is written, not all is sent
)

// Start begins an answer with status 200..599 and returns the head to add fields
// to; End, EndLength, EndFile or Stream must follow within the same callback. Date, Server
// (Frontend.Server), Content-Length or Transfer-Encoding and Connection are added by
// themselves and must not be. Interim answers (100 Continue) are sent by ReadBody.
func (x *Exchange) Start(status int) *Header {
	if x.st != nil && x.hasHead && x.Req.Upgrades() && status < 300 {
		status = 501 // a success would say that the tunnel is open (RFC 8441 section 5)
	}
	x.status, x.phase = status, inHead
	x.noBody = status == 204 || status == 304 || x.hasHead && x.Req.IsHead()
	h := &x.w.header
	h.B = append(h.B[:0], "HTTP/1.1 "...)
	h.B = strconv.AppendInt(h.B, int64(status), 10)
	h.B = append(h.B, ' ')
	h.B = append(h.B, http.StatusText(status)...)
	h.B = append(h.B, "\r\nDate: "...)
	h.B = append(h.B, x.w.l.Date()...)
	h.B = append(h.B, "\r\n"...)
	if s := x.front.Server; s != "" {
		h.Field("Server", s)
	}
	return h
}

// closeHead writes the fields about the connection and sends the head; last says that no
// content follows.
func (x *Exchange) closeHead(h *Header, last bool) {
	if x.st != nil {
		x.putStreamHead(h, x.status, last)
		return
	}
	x.closeAfter = x.closeAfter || x.w.draining // it may have begun since the request came
	if !x.bodyDone && !x.closeAfter && !x.discard {
		// What is left of the body is in the way of the next request; where it may never
		// come, or is long, the connection ends instead.
		if x.Req.Expects() && !x.wantBody || !x.Req.Chunked() && x.left > discardBytes {
			x.closeAfter = true
		}
	}
	if x.closeAfter {
		h.Raw("Connection: close\r\n")
	} else if x.Req.Minor == 0 {
		h.Raw("Connection: keep-alive\r\n")
	}
	h.Raw("\r\n")
	x.c.write(h.B)
	x.bytesOut += int64(len(h.B))
}

// End finishes an answer with a body from memory, which is used only until End
// returns. Content-Length is its length. For HEAD, 204 and 304 the body is left
// out (204 and 304 also have no Content-Length; EndLength names one for 304).
func (x *Exchange) End(body []byte) {
	h := &x.w.header
	if x.status != 204 && x.status != 304 {
		h.Int("Content-Length", int64(len(body)))
	}
	none := x.noBody || len(body) == 0
	x.closeHead(h, none)
	if !none {
		x.writeContent(body, true)
	}
	x.ev, x.body = nil, nil
	x.complete()
}

// EndLength finishes an answer to HEAD, or a 304, that names the length of a body that
// is not sent.
func (x *Exchange) EndLength(n int64) {
	h := &x.w.header
	h.Int("Content-Length", n)
	x.closeHead(h, true)
	x.ev, x.body = nil, nil
	x.complete()
}

// Stream begins a body of n bytes (n ≥ 0), or of unknown length (-1: chunked, or up
// to the close for HTTP/1.0). ev gets Drained and Gone.
func (x *Exchange) Stream(n int64, ev Events) {
	h := &x.w.header
	switch {
	case x.status == 204 || x.status == 304:
	case n >= 0:
		h.Int("Content-Length", n)
	case x.st != nil:
	case x.Req.Minor >= 1:
		h.Raw("Transfer-Encoding: chunked\r\n")
		x.chunkedOut = !x.noBody
	default:
		x.closeAfter = true
	}
	x.remain = n
	x.ev = ev
	x.closeHead(h, false)
	x.phase = inStream
}

var (
	continueHead = []byte("HTTP/1.1 100 Continue\r\n\r\n")
	lineEnd      = []byte("\r\n")
	lastChunk    = []byte("0\r\n\r\n")
)

// Write sends a piece of a streamed body; p is used only until it returns. false
// says: stop until Drained. Bytes beyond the announced length are an error of the
// handler: they are left out and the connection is closed at the end. Writes to an
// answer without a body are dropped.
func (x *Exchange) Write(p []byte) bool {
	if x.noBody || len(p) == 0 {
		return true
	}
	if x.remain >= 0 {
		if int64(len(p)) > x.remain {
			p = p[:x.remain]
			x.closeAfter = true
		}
		x.remain -= int64(len(p))
	}
	x.writeContent(p, false)
	if x.failed() { // Gone follows
		return false
	}
	x.wrote += len(p)
	if x.unsent() < x.front.Limits.BufferBytes/4*3 { // the last piece must fit too
		if x.wrote < quantumBytes {
			return true
		}
		// A client that takes all at once does not keep the loop: others come first.
		x.wrote, x.starved = 0, true
		x.again()
		return false
	}
	x.wrote = 0
	x.flush()
	if x.blocked() {
		x.starved = true
	}
	return !x.starved && !x.failed()
}

// writeContent sends content in the coding of the answer; last: nothing follows it.
func (x *Exchange) writeContent(p []byte, last bool) {
	if x.st != nil {
		x.st.write(p, last)
		x.bytesOut += int64(len(p))
		return
	}
	if len(p) == 0 {
		return
	}
	if !x.chunkedOut {
		x.c.write(p)
		x.bytesOut += int64(len(p))
		return
	}
	x.chunkHead(len(p))
	x.c.write(p)
	x.c.write(lineEnd)
	x.bytesOut += int64(len(p)) + 2
}

// chunkHead writes the size line of a chunk.
func (x *Exchange) chunkHead(n int) {
	h := &x.w.header
	h.B = strconv.AppendInt(h.B[:0], int64(n), 16)
	h.B = append(h.B, "\r\n"...)
	x.c.write(h.B)
	x.bytesOut += int64(len(h.B))
}

// Finish ends a streamed body. A body shorter than announced cuts the connection.
func (x *Exchange) Finish() {
	x.ev, x.body = nil, nil
	if x.remain > 0 && !x.noBody {
		x.gone(Internal)
		return
	}
	switch {
	case x.st != nil:
		x.st.write(nil, true)
	case x.chunkedOut:
		x.c.write(lastChunk)
		x.bytesOut += int64(len(lastChunk))
	}
	x.complete()
}

// Abort cuts the connection: the answer cannot be completed.
func (x *Exchange) Abort(c Cause) {
	x.ev, x.body = nil, nil
	x.gone(c)
}

// Error answers with status and the frontend's error page, or cuts the connection if
// an answer has begun.
func (x *Exchange) Error(status int, c Cause) {
	x.ev, x.body = nil, nil
	x.wantBody = false
	if x.phase != atStart {
		x.gone(c)
		return
	}
	x.cause = c
	contentType, page := "", []byte(nil)
	if x.front.ErrorPage != nil {
		contentType, page = x.front.ErrorPage(x, status)
	}
	if page == nil {
		contentType, page = "text/plain; charset=utf-8", builtinPage(status)
	}
	h := x.Start(status)
	h.Field("Content-Type", contentType)
	h.Field("Cache-Control", "no-store")
	x.End(page)
}

var builtinPages = func() (t [600][]byte) {
	for status := 400; status < 600; status++ {
		if text := http.StatusText(status); text != "" {
			t[status] = []byte(strconv.Itoa(status) + " " + text + "\n")
		}
	}
	return t
}()

func builtinPage(status int) []byte {
	if status < len(builtinPages) && builtinPages[status] != nil {
		return builtinPages[status]
	}
	return []byte(strconv.Itoa(status) + "\n")
}
