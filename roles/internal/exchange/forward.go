package exchange

import (
	"errors"
	"os"

	"stack/roles/internal/http1"
)

// forward is the state of a request, or of a connection in TCP mode, that a server
// answers. It is the StreamEvents of its Stream.
type forward struct {
	x         *Exchange
	pass      *Pass
	srv, last *Server
	s         *Stream // the connection to the server, in HTTP/1
	st        *stream // the request there, in HTTP/2
	link      *link   // being opened for it, or st's
	resp      http1.Response
	chunks    http1.Chunked
	remain    int64 // bytes of the answer's body to come
	phase     fwdPhase
	body      bodyEnd
	tried     int
	retries   int
	status    int
	reused    bool
	websocket bool // st is an extended CONNECT
	paused    bool // the answer is not taken from st
	bodyTaken bool // bytes of the request body are gone: it cannot be sent again
	reqDone   bool // the request is written completely
	trailers  bool // the last chunk was written, trailer fields follow
	trailing  bool // the same towards the client

	began, picked, opened, asked, answered int64 // mono; -1 = not reached
}

type fwdPhase uint8

const (
	fwdNone    fwdPhase = iota
	fwdQueued           // waiting for a server
	fwdConnect          // waiting for a connection
	fwdHead             // request sent, or being sent; waiting for the answer's head
	fwdBody             // relaying the answer's body
	fwdTunnel
	fwdDone
)

// bodyEnd says how the end of an answer's body is known.
type bodyEnd uint8

const (
	noBody bodyEnd = iota
	byLength
	byChunks
	byClose
)

func (f *forward) reset() {
	resp, x := f.resp, f.x
	*f = forward{x: x, resp: resp, began: -1, picked: -1, opened: -1, asked: -1, answered: -1}
}

// Forward hands the request to a server that p.Picker chooses and relays its answer,
// streaming both bodies; it ends the exchange in every case.
func (x *Exchange) Forward(p *Pass) {
	if x.isLastHop() {
		return
	}
	f := &x.fwd
	f.pass, f.began = p, x.w.l.Mono()
	x.ev, x.body = nil, nil
	f.phase = fwdConnect
	f.pick()
}

// Repick continues a Forward that its Picker left waiting with ErrQueued.
func (x *Exchange) Repick() {
	if x.fwd.phase == fwdQueued {
		x.fwd.phase = fwdConnect
		x.rearm()
		x.fwd.pick()
	}
}

// pick chooses a server and gets a connection to it.
func (f *forward) pick() {
	x := f.x
	srv, err := f.pass.Picker.Pick(x, f.tried)
	switch {
	case errors.Is(err, ErrQueued):
		f.phase = fwdQueued
		x.arm(f.pass.Timeouts.Connect)
		return
	case err != nil:
		f.phase = fwdDone
		if f.tried > 0 {
			f.fail(502, ConnectFailed)
			return
		}
		f.fail(503, NoServer)
		return
	}
	f.srv, f.picked = srv, x.w.l.Mono()
	f.connect(x.c.state != onTunnel)
}

func (f *forward) connect(reuse bool) {
	x := f.x
	f.phase, f.opened, f.asked, f.paused = fwdConnect, -1, -1, false
	if f.pass.HTTP2 && x.c.state != onTunnel {
		f.join()
		return
	}
	f.s = f.dial(reuse)
	f.reused = f.s.reused
	if f.reused && (!x.Req.Idempotent() || !x.bodyDone) && !f.s.alive() {
		f.s.end()
		f.connect(false)
		return
	}
	if f.s.state == streamOpen {
		f.Connected(f.s)
	}
}

// Connected sends the request.
func (f *forward) Connected(*Stream) {
	f.opened = f.x.w.l.Mono()
	if f.x.c.state == onTunnel {
		f.openTunnel()
		return
	}
	f.ask()
}

// ask sends the request's head, and its body as it comes.
func (f *forward) ask() {
	x := f.x
	f.phase = fwdHead
	f.sendHead()
	f.asked = x.w.l.Mono()
	if x.bodyDone {
		f.reqDone = true
		f.deadline(f.pass.Timeouts.Response)
		return
	}
	x.wantBody, x.bodyPaused = true, false
	x.rearm()
	x.again()
}

// requestBody sends a piece of the request's body to the server.
func (f *forward) requestBody(p []byte, last bool) {
	x, s := f.x, f.s
	if f.phase != fwdHead && f.phase != fwdBody {
		return
	}
	f.bodyTaken = true
	if f.st != nil {
		f.streamBody(p, last)
		return
	}
	if x.Req.Chunked() {
		if len(p) > 0 {
			h := &x.w.header
			h.B = appendHex(h.B[:0], len(p))
			s.write(h.B)
			s.write(p)
			s.write(lineEnd)
		}
		if last {
			if !f.trailers {
				s.write(lastChunk)
			} else {
				s.write(lineEnd)
			}
		}
	} else {
		s.write(p)
	}
	if last {
		f.reqDone = true
		f.asked = x.w.l.Mono()
		if f.phase == fwdHead {
			s.Deadline(f.pass.Timeouts.Response)
		}
		return
	}
	if s.unsent() > corked {
		x.w.flushOf(&s.sock)
	}
	if s.blocked() {
		s.starved = true
		x.PauseBody()
		s.Deadline(f.pass.Timeouts.Body)
	}
}

// requestTrailer passes a trailer field on.
func (f *forward) requestTrailer(line []byte) {
	if f.phase != fwdHead && f.phase != fwdBody || !passesTrailer(line) {
		return
	}
	if f.st != nil {
		f.st.trailer(line)
		return
	}
	if !f.x.Req.Chunked() {
		return // a body with a length ends with it: what followed would be another request
	}
	if !f.trailers {
		f.trailers = true
		f.s.write(zeroChunk)
	}
	f.s.write(line)
	f.s.write(lineEnd)
}

// Drained goes on with the request's body.
func (f *forward) Drained(*Stream) { f.drained() }

// drained implements streamOwner.
func (f *forward) drained() {
	switch f.phase {
	case fwdTunnel:
		f.tunnelDrained()
	case fwdHead:
		if !f.reqDone {
			f.deadline(0)
		}
		f.x.ResumeBody()
	case fwdBody:
		f.x.ResumeBody()
	}
}

// clientDrained goes on with the answer's body, or with what follows interim answers.
func (f *forward) clientDrained() {
	if !f.paused || !f.open() { // or each look at it would put the server's deadline off
		return
	}
	switch f.phase {
	case fwdBody:
		f.deadline(f.pass.Timeouts.Body)
		f.resume()
	case fwdHead, fwdTunnel: // the deadline of the answer runs on
		f.resume()
	}
}

// Closed: the server's connection has ended.
func (f *forward) Closed(s *Stream, err error) {
	f.s = nil
	f.lost(err, f.reused && f.x.Req.Idempotent())
}

// maxAgain bounds how often one request is sent anew.
const maxAgain = 3

// lost: there is no way to the server any more. again says that asking it once more is
// harmless, if nothing of the answer has come.
func (f *forward) lost(err error, again bool) {
	late := errors.Is(err, os.ErrDeadlineExceeded)
	x := f.x
	switch f.phase {
	case fwdConnect:
		cause, status := ConnectFailed, 502
		if late {
			cause, status, err = ConnectTimeout, 504, nil
		}
		f.release(cause, err)
		if f.tried++; f.tried <= f.pass.Attempts && x.phase == atStart {
			f.retries++
			f.pick()
			return
		}
		f.fail(status, cause)
	case fwdHead:
		if again && !late && !f.bodyTaken && f.status == 0 && f.retries < maxAgain {
			// The server closed the idle connection while the request was on its way, or
			// said that it has not begun with it.
			f.retries++
			x.wantBody = false
			f.connect(false)
			return
		}
		cause, status := ResponseFailed, 502
		if late {
			cause, status = ResponseTimeout, 504
		}
		f.release(cause, refusal(err))
		f.fail(status, cause)
	case fwdBody:
		if f.body == byClose && err == nil {
			f.finish(nil)
			return
		}
		cause := ResponseFailed
		if late {
			cause = ResponseTimeout
		}
		f.release(cause, nil)
		x.flush() // what came is the client's, also without an end
		x.gone(cause)
	case fwdTunnel: // with a stream on one side
		if err != nil {
			f.release(ResponseFailed, nil)
			x.gone(ResponseFailed)
			return
		}
		f.tunnelEnded()
	}
}

// release gives the server back to the picker.
func (f *forward) release(cause Cause, err error) {
	srv := f.srv
	if srv == nil {
		return
	}
	f.srv, f.last = nil, srv
	o := Outcome{Cause: cause, Status: f.status, Connect: -1, Response: -1, Reused: f.reused, Err: err}
	switch {
	case f.opened >= 0 && f.reused:
		o.Connect = 0
	case f.opened >= 0:
		o.Connect = f.opened - f.picked
	}
	if f.answered >= 0 && f.asked >= 0 {
		o.Response = max(0, f.answered-f.asked)
	}
	f.pass.Picker.Done(f.x, srv, o)
}

// fail answers instead of the server.
func (f *forward) fail(status int, cause Cause) {
	x := f.x
	f.phase = fwdDone
	if !x.bodyDone && f.bodyTaken {
		x.closeAfter = true
	}
	if x.c.state == onTunnel {
		x.turnAway(f.pass.Refusal, cause)
		return
	}
	x.Error(status, cause)
}

// stop frees the server, because the client's side has ended.
func (f *forward) stop(cause Cause) {
	if f.phase == fwdNone || f.phase == fwdDone {
		return
	}
	f.phase = fwdDone
	f.hangUp()
	f.release(cause, nil)
}

func appendHex(b []byte, n int) []byte {
	const digits = "0123456789abcdef"
	shift := 0
	for n>>shift > 15 {
		shift += 4
	}
	for ; shift >= 0; shift -= 4 {
		b = append(b, digits[n>>shift&15])
	}
	return append(b, '\r', '\n')
}
