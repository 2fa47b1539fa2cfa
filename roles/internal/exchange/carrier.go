package exchange

import (
	"bytes"
	"time"

	"stack/roles/internal/hpack"
	"stack/roles/internal/http2"
)

// The client of an Exchange is an HTTP/1 connection or a stream of an HTTP/2 one. What
// the two have in common is asked and done here.

// blocked says whether the client reads too slowly for now.
func (x *Exchange) blocked() bool {
	if x.st != nil {
		return x.st.blocked()
	}
	return x.c.blocked()
}

// unsent returns the bytes that were written and not sent.
func (x *Exchange) unsent() int {
	if x.st != nil {
		return x.st.unsent()
	}
	return x.c.unsent()
}

// failed: nothing more reaches the client.
func (x *Exchange) failed() bool { return x.c.failed || x.st != nil && x.st.dead }

// again has the exchange looked at at the end of the turn.
func (x *Exchange) again() {
	if x.st != nil {
		x.st.again()
		return
	}
	x.c.again()
}

// flush sends what was collected for the client.
func (x *Exchange) flush() {
	if x.st == nil {
		x.w.flushOf(&x.c.sock)
	}
}

// arm sets the deadline of the client's side.
func (x *Exchange) arm(d time.Duration) {
	if x.st != nil {
		x.st.deadline(d)
		return
	}
	x.w.l.Arm(&x.c.timer, x.c, d)
}

// rearm sets the deadline that belongs to what is waited for.
func (x *Exchange) rearm() {
	if x.st == nil {
		x.c.rearm()
		return
	}
	x.pace.stop(x.w.l.Mono())
	switch {
	case x.fwd.phase == fwdQueued || x.fwd.phase == fwdTunnel:
	case x.blocked() && x.phase != atStart, x.takesBody():
		x.st.sawSent = x.st.m.sent
		x.st.deadline(max(x.patience(), time.Millisecond)) // 0 would be none
	default:
		x.st.deadline(0)
	}
}

// sayContinue sends 100 (Continue).
func (x *Exchange) sayContinue() {
	if x.st == nil {
		x.c.write(continueHead)
		return
	}
	h := &x.w.header
	h.B = append(h.B[:0], continueHead...)
	x.putStreamHead(h, 100, false)
}

// putStreamHead sends the head that was built in the form of HTTP/1, whose first line
// status stands for, as a header block.
func (x *Exchange) putStreamHead(h *Header, status int, last bool) {
	w := x.w
	lines := h.B[bytes.IndexByte(h.B, '\n')+1:]
	w.hblock = hpack.AppendStatus(w.hblock[:0], status)
	w.hblock = appendFields(w.hblock, lines)
	x.putHeadBlock(last)
}

// putHeadBlock sends the block in Worker.hblock.
func (x *Exchange) putHeadBlock(last bool) {
	x.bytesOut += int64(len(x.w.hblock))
	if !x.st.dead {
		x.st.m.putBlock(x.st, x.w.hblock, last)
	}
}

// appendFields encodes the lines of a head that was written here: "name: value CR LF".
func appendFields(block, lines []byte) []byte {
	for len(lines) > 2 {
		end := bytes.IndexByte(lines, '\n')
		line := lines[:end-1]
		colon := bytes.IndexByte(line, ':')
		block = hpack.Append(block, line[:colon], line[colon+2:])
		lines = lines[end+1:]
	}
	return block
}

// causeCodes say to the peer why a stream is cut.
var causeCodes = [NumCauses]http2.Code{
	None: http2.NoError, ClientGone: http2.Cancel, ClientTimeout: http2.Cancel, BadRequest: http2.ProtocolError,
	TooLarge: http2.EnhanceYourCalm, NoServer: http2.RefusedStream, QueueTimeout: http2.RefusedStream,
	ConnectFailed: http2.InternalError, ConnectTimeout: http2.InternalError, ResponseFailed: http2.InternalError,
	ResponseTimeout: http2.InternalError, Internal: http2.InternalError, Killed: http2.Cancel, TunnelTimeout: http2.Cancel,
}

// completeStream ends a request that was answered, once its last frame is written.
func (x *Exchange) completeStream() {
	st := x.st
	if st.dead {
		x.gone(ClientGone)
		return
	}
	if !st.sentEnd {
		x.phase = atEnd
		x.rearm()
		return
	}
	x.log(x.cause)
	x.w.put(x)
	st.abort(http2.NoError) // a body that nobody wants is not waited for (RFC 9113 section 8.1)
}

// wantsContent implements streamOwner.
func (x *Exchange) wantsContent() bool {
	if x.fwd.phase == fwdTunnel {
		return !x.fwd.tunnelFull()
	}
	return x.takesBody()
}

// takeContent implements streamOwner.
func (x *Exchange) takeContent(p []byte, last bool) {
	if x.fwd.phase == fwdTunnel {
		x.fwd.tunnelUp(p, last)
		return
	}
	gen := x.gen
	x.deliver(p, last)
	if !last && x.gen == gen {
		x.rearm()
	}
}

// takeTrailer implements streamOwner.
func (x *Exchange) takeTrailer(line []byte) {
	if x.fwd.phase != fwdNone {
		x.fwd.requestTrailer(line)
	}
}

// streamReset implements streamOwner: the client has taken the request back, or broken the
// rules.
func (x *Exchange) streamReset(code http2.Code) {
	cause := ClientGone
	if x.st.dead && !x.st.byPeer && code != http2.NoError {
		cause = BadRequest
	}
	x.gone(cause)
}

// moveOn implements streamOwner.
func (x *Exchange) moveOn() {
	if x.blocked() {
		x.st.m.hungry = true
		return
	}
	if x.file.f != nil {
		bytes := quantumBytes
		x.sendFile(&bytes)
		return
	}
	x.drained()
}
