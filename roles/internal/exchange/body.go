package exchange

import "stack/roles/internal/http1"

// requestBody is the state of the body that belongs to the current request.
type requestBody struct {
	left       int64 // bytes to come, with Content-Length
	chunks     http1.Chunked
	taken      int64 // bytes of content so far
	wantBody   bool  // somebody takes it
	bodyPaused bool
	bodyDone   bool
	partialBit bool // pend begins with a part of a chunk's framing
	discard    bool // nobody wants it; it is in the way of the next request
}

// discardBytes is how much of an unwanted body is read to keep a connection alive.
const discardBytes = 64 << 10

func (x *Exchange) prepareBody() {
	x.bodyDone = !x.Req.HasBody()
	if !x.Req.Chunked() {
		x.left = max(0, x.Req.ContentLength())
	}
}

// takesBody says whether bytes from the client are waited for.
func (x *Exchange) takesBody() bool { return x.wantBody && !x.bodyPaused && !x.bodyDone }

// advance moves the current request on as far as the client's side allows. It reports
// whether run should go on.
func (x *Exchange) advance(bytes *int) bool {
	c, gen := x.c, x.gen
	if x.file.f != nil && !c.blocked() {
		x.sendFile(bytes)
		if x.gen != gen {
			return true
		}
	}
	if x.phase == inStream && x.starved && x.file.f == nil && !c.blocked() && !c.failed {
		x.starved = false
		x.ev.Drained(x)
		if x.gen != gen {
			return true
		}
	}
	if !x.takesBody() {
		x.watch()
		return x.gen != gen
	}
	if *bytes <= 0 {
		c.again()
		return false
	}
	if len(c.pend) == 0 || x.partialBit {
		if !c.readable {
			c.rearm()
			return false
		}
		before := len(c.pend)
		switch c.fill(before + x.readSize()) {
		case dry:
			c.rearm()
			return false
		case ended:
			if x.fwd.phase == fwdTunnel {
				x.bodyDone = true
				x.fwd.tunnelUp(nil, true)
				return false
			}
			x.gone(ClientGone)
			return true
		case broken:
			x.gone(ClientGone)
			return true
		}
		*bytes -= len(c.pend) - before
		x.partialBit = false
	}
	x.takeBody()
	return true
}

// readSize bounds what is read at once, since all of it may have to be kept.
func (x *Exchange) readSize() int { return min(scratchSize, max(4<<10, x.front.Limits.BufferBytes)) }

// watch ends a request whose client has left. A closed direction is taken for a closed
// connection where a server is busy with the answer, which is then free at once, unless
// the frontend says otherwise.
func (x *Exchange) watch() {
	c := x.c
	left := c.hup && x.bodyDone && x.waits() && x.fwd.phase != fwdTunnel && !x.front.HalfClose
	if c.failed || c.reset || left {
		x.gone(ClientGone)
	}
}

// waits says whether somebody works for this answer who wants to know.
func (x *Exchange) waits() bool { return x.fwd.phase != fwdNone || x.ev != nil }

// takeBody hands what is in pend to who wants it.
func (x *Exchange) takeBody() {
	c, gen := x.c, x.gen
	if x.fwd.phase == fwdTunnel {
		p := c.pend
		c.use(len(p))
		x.fwd.tunnelUp(p, false)
		return
	}
	if !x.Req.Chunked() {
		n := int(min(x.left, int64(len(c.pend))))
		p := c.pend[:n]
		c.use(n)
		x.left -= int64(n)
		x.deliver(p, x.left == 0)
		return
	}
	for x.takesBody() {
		part, b, n, err := x.chunks.Next(c.pend)
		if err != nil {
			x.badBody(err)
			return
		}
		c.use(n)
		switch part {
		case http1.More:
			x.partialBit = len(c.pend) > 0
			return
		case http1.Data:
			x.deliver(b, false)
		case http1.TrailerLine:
			if x.fwd.phase != fwdNone {
				x.fwd.requestTrailer(b)
			}
		case http1.End:
			x.deliver(nil, true)
		}
		if x.gen != gen {
			return
		}
	}
}

func (x *Exchange) deliver(p []byte, last bool) {
	x.taken += int64(len(p))
	x.bytesIn += int64(len(p))
	x.pace.stop(x.w.l.Mono())
	if last {
		x.bodyDone = true
		x.rearm() // or the deadline of the body would end a request whose server takes longer
	}
	if limit := x.front.Limits.BodyBytes; limit > 0 && x.taken > limit {
		x.refuse(413, TooLarge)
		return
	}
	switch {
	case x.discard:
		if last {
			x.complete()
		} else if x.taken > discardBytes {
			x.closeAfter = true
			x.complete()
		}
	case x.fwd.phase != fwdNone:
		x.fwd.requestBody(p, last)
	case x.body != nil:
		x.body.Body(x, p, last)
	}
}

func (x *Exchange) badBody(err *http1.Error) {
	cause := BadRequest
	if err.Status != 400 {
		cause = TooLarge
	}
	x.refuse(err.Status, cause)
}

// refuse ends a request whose body cannot be accepted: with an answer if none has
// begun, else by cutting the connection.
func (x *Exchange) refuse(status int, cause Cause) {
	x.closeAfter = true
	x.wantBody = false
	if x.phase != atStart {
		x.gone(cause)
		return
	}
	x.release(cause)
	x.Error(status, cause)
}

// ReadBody starts to give the request body to ev (100 Continue is sent if the client
// waits for it). Body is called after the current callback has returned; without a
// body it is called once with last.
func (x *Exchange) ReadBody(ev Events) {
	x.ev, x.body = ev, ev
	if x.bodyDone {
		gen := x.gen
		x.w.l.Later(func() {
			if x.gen == gen {
				ev.Body(x, nil, true)
			}
		})
		return
	}
	x.wantBody = true
	if x.Req.Expects() && (x.st != nil || len(x.c.pend) == 0) {
		x.sayContinue()
	}
	x.again()
}

// PauseBody stops the calls of Body.
func (x *Exchange) PauseBody() {
	x.bodyPaused = true
	x.rearm()
}

// ResumeBody continues after PauseBody, once the current callback has returned.
func (x *Exchange) ResumeBody() {
	if x.bodyPaused {
		x.bodyPaused = false
		x.rearm()
		x.again()
	}
}
