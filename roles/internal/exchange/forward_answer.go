package exchange

import (
	"net/http"
	"strconv"

	"stack/roles/internal/hpack"
	"stack/roles/internal/http1"
)

// Data relays what the server sends.
func (f *forward) Data(s *Stream, p []byte) (used int) {
	if f.answered < 0 {
		f.answered = f.x.w.l.Mono()
	}
	for {
		switch f.phase {
		case fwdHead:
			n, ok := f.answerHead(p[used:])
			used += n
			if !ok {
				return used
			}
		case fwdBody:
			return used + f.answerBody(p[used:])
		case fwdTunnel:
			f.tunnelDown(p[used:])
			return len(p)
		default:
			return used
		}
	}
}

// answerHead takes one head: interim answers are passed on, the final one begins the
// answer. ok: go on with what follows.
func (f *forward) answerHead(p []byte) (used int, ok bool) {
	x := f.x
	limits := &x.front.Limits
	if len(p) == 0 {
		return 0, false
	}
	n, err := f.resp.Parse(p, http1.Limits{Bytes: limits.HeadBytes, Fields: limits.Headers})
	if err != nil {
		f.broken()
		return 0, false
	}
	if n == 0 {
		return 0, false
	}
	r := &f.resp
	switch {
	case r.Status == 101:
		if !x.Req.Upgrades() || !r.Upgrades() || !x.bodyDone {
			f.broken()
			return 0, false
		}
		if x.st != nil {
			f.upgradeStream()
			return n, true
		}
		f.relayHead(false)
		f.upgrade(f.s, p[n:])
		return 0, false
	case r.Status < 200:
		return n, f.interim()
	}
	if x.st != nil && x.Req.Upgrades() && r.Status < 300 {
		f.broken() // a success would tell the client that the tunnel is there
		return 0, false
	}
	f.beginAnswer()
	if f.body == noBody {
		return n, f.ended(len(p) == n && !f.announcesMore())
	}
	return n, true
}

// interim passes a head of 1xx on. It reports whether to go on.
func (f *forward) interim() bool {
	x := f.x
	if f.st != nil && x.blocked() {
		return true // its frames cannot be held back alone, and the client can do without
	}
	if x.Req.Minor >= 1 {
		f.relayHead(false)
	}
	if x.blocked() { // or a server that sends nothing else would fill the memory
		f.pause()
		return false
	}
	return true
}

// beginAnswer passes the final head on.
func (f *forward) beginAnswer() {
	x, r := f.x, &f.resp
	f.status = r.Status
	f.body, f.remain = noBody, 0
	switch {
	case !r.HasBody(x.Req.IsHead()), f.st != nil && f.st.recvEnd:
	case r.Chunked():
		f.body = byChunks
	case r.ContentLength() > 0, f.st != nil && r.ContentLength() == 0: // trailers may follow
		f.body, f.remain = byLength, r.ContentLength()
	case r.ContentLength() < 0:
		f.body = byClose
	}
	if (f.body == byChunks || f.body == byClose) && x.Req.Minor == 0 {
		x.closeAfter = true
	}
	if !x.bodyDone {
		// The answer came before the request was complete: whether the rest of it ever
		// comes is not known, so the connections are not used again.
		x.closeAfter = true
	}
	x.closeAfter = x.closeAfter || x.w.draining // it may have begun since the request came
	x.phase, x.status = inRelay, r.Status
	x.chunkedOut = (f.body == byChunks || f.body == byClose) && x.Req.Minor >= 1 && x.st == nil
	f.relayHead(f.body == noBody)
	f.phase = fwdBody
	f.deadline(f.pass.Timeouts.Body)
}

// relayHead writes the head of an answer anew for the client; last: nothing follows it.
func (f *forward) relayHead(last bool) {
	x, r := f.x, &f.resp
	h := &x.w.header
	h.B = h.B[:0]
	var block []byte // for a stream
	if x.st != nil {
		block = hpack.AppendStatus(x.w.hblock[:0], r.Status)
	} else {
		f.statusLine(h)
	}
	edit := f.pass.Edit
	date := r.Status < 200
	for i := range r.Len() {
		id, name, value := r.At(i)
		switch id {
		case http1.Other:
			if edit != nil && edit.Drop(x, true, name) {
				continue
			}
			if f.phase == fwdHead && f.tunnelAhead() && http1.EqualFold(name, "sec-websocket-accept") {
				continue // HTTP/2 has none, and for HTTP/1 it is made anew
			}
		case http1.ContentLength:
			if r.Status < 200 || r.Status == 204 || f.tunnelAhead() {
				continue
			}
		case http1.Date:
			date = true
		case http1.Trailer:
			if !x.chunkedOut && x.st == nil {
				continue
			}
		}
		switch {
		case r.Dropped(i):
		case x.st != nil:
			block = hpack.Append(block, name, value)
		default:
			h.Bytes(name, value)
		}
	}
	if !date {
		h.Raw("Date: ")
		h.RawBytes(x.w.l.Date())
		h.Raw("\r\n")
	}
	if edit != nil {
		edit.Response(x, f.srv, r.Status, h)
	}
	if x.st != nil {
		x.w.hblock = appendFields(block, h.B)
		x.putHeadBlock(last)
		return
	}
	switch {
	case r.Status == 101 && r.Major == 2:
		f.addUpgrade(h)
	case r.Status == 101:
		value, _ := r.Find(http1.Upgrade)
		h.Raw("Connection: upgrade\r\nUpgrade: ")
		h.RawBytes(value)
		h.Raw("\r\n")
	case r.Status < 200:
	default:
		if x.chunkedOut {
			h.Raw("Transfer-Encoding: chunked\r\n")
		}
		if x.closeAfter {
			h.Raw("Connection: close\r\n")
		} else if x.Req.Minor == 0 {
			h.Raw("Connection: keep-alive\r\n")
		}
	}
	h.Raw("\r\n")
	x.c.write(h.B)
	x.bytesOut += int64(len(h.B))
}

// statusLine begins the head for an HTTP/1 client.
func (f *forward) statusLine(h *Header) {
	r := &f.resp
	h.Raw("HTTP/1.1 ")
	h.B = strconv.AppendInt(h.B, int64(r.Status), 10)
	h.B = append(h.B, ' ')
	if r.Major == 1 {
		h.RawBytes(r.Reason())
	} else { // HTTP/2 has none
		h.Raw(http.StatusText(r.Status))
	}
	h.Raw("\r\n")
}

// answerBody passes content on. It returns how many bytes it used.
func (f *forward) answerBody(p []byte) (used int) {
	x := f.x
	if x.st != nil && x.blocked() { // with a hundred streams every piece counts
		f.yield()
		return 0
	}
	f.deadline(f.pass.Timeouts.Body)
	switch f.body {
	case byLength:
		n := int(min(f.remain, int64(len(p))))
		f.remain -= int64(n)
		x.writeContent(p[:n], f.remain == 0)
		if f.remain == 0 {
			f.ended(n == len(p))
			return n
		}
		used = n
	case byClose:
		x.writeContent(p, false)
		used = len(p)
	case byChunks:
		for {
			part, b, n, err := f.chunks.Next(p[used:])
			if err != nil {
				f.cut()
				return used
			}
			used += n
			if part == http1.More {
				break
			}
			switch part {
			case http1.Data:
				x.writeContent(b, false)
			case http1.TrailerLine:
				f.answerTrailer(b)
			case http1.End:
				f.ended(used == len(p))
				return used
			}
		}
	}
	f.yield()
	return used
}

// yield stops taking the answer while the client takes no more.
func (f *forward) yield() {
	if f.x.blocked() {
		f.hold()
		f.x.rearm()
		if st := f.x.st; st != nil && st.out == nil {
			st.m.hungry = true
		}
	}
}

// hold stops taking the answer.
func (f *forward) hold() {
	if f.phase == fwdBody && f.open() {
		f.pause()
		f.deadline(0) // the client's own deadline runs now
	}
}

// answerTrailer passes a trailer field on.
func (f *forward) answerTrailer(line []byte) {
	x := f.x
	if x.st != nil && passesTrailer(line) {
		x.st.trailer(line)
		x.bytesOut += int64(len(line))
		return
	}
	if !x.chunkedOut || !passesTrailer(line) {
		return
	}
	if !f.trailing {
		f.trailing = true
		x.c.write(zeroChunk)
	}
	x.c.write(line)
	x.c.write(lineEnd)
	x.bytesOut += int64(len(line)) + 2
}

// ended: the answer is complete; clean says that nothing follows it.
func (f *forward) ended(clean bool) bool {
	if s := f.s; clean && f.reqDone && f.resp.KeepsAlive() && !s.hup {
		f.finish(s)
	} else {
		s.end()
		f.finish(nil)
	}
	return false
}

// finish ends the exchange; s, if given, is kept for another request.
func (f *forward) finish(s *Stream) {
	x := f.x
	if x.st != nil {
		x.st.write(nil, true)
	} else if x.chunkedOut {
		if f.trailing {
			x.c.write(lineEnd)
		} else {
			x.c.write(lastChunk)
		}
	}
	if s != nil {
		s.releaseFor(f.pass.Timeouts.Idle)
	}
	f.s = nil
	f.phase = fwdDone
	f.release(None, nil)
	if !x.bodyDone {
		x.wantBody = false
	}
	x.complete()
}

// broken: what the server sent is no HTTP.
func (f *forward) broken() {
	f.hangUp()
	f.release(ResponseFailed, nil)
	f.fail(502, ResponseFailed)
}

// cut: the body broke in the middle of the answer.
func (f *forward) cut() {
	f.hangUp()
	f.release(ResponseFailed, nil)
	f.x.flush() // what came is the client's, also without an end
	f.x.gone(ResponseFailed)
}
