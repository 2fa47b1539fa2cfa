package exchange

import (
	"strconv"

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
			n, ok := f.answerHead(s, p[used:])
			used += n
			if !ok {
				return used
			}
		case fwdBody:
			return used + f.answerBody(s, p[used:])
		default:
			return used
		}
	}
}

// answerHead takes one head: interim answers are passed on, the final one begins the
// answer. ok: go on with what follows.
func (f *forward) answerHead(s *Stream, p []byte) (used int, ok bool) {
	x := f.x
	limits := &x.front.Limits
	if len(p) == 0 {
		return 0, false
	}
	n, err := f.resp.Parse(p, http1.Limits{Bytes: limits.HeadBytes, Fields: limits.Headers})
	if err != nil {
		f.broken(s)
		return 0, false
	}
	if n == 0 {
		return 0, false
	}
	r := &f.resp
	switch {
	case r.Status == 101:
		if !x.Req.Upgrades() || !r.Upgrades() || !x.bodyDone {
			f.broken(s)
			return 0, false
		}
		f.relayHead()
		f.upgrade(s, p[n:])
		return 0, false
	case r.Status < 200:
		if x.Req.Minor >= 1 {
			f.relayHead()
		}
		if x.c.blocked() { // or a server that sends nothing else would fill the memory
			s.Pause()
			return n, false
		}
		return n, true
	}
	f.status = r.Status
	f.body, f.remain = noBody, 0
	switch {
	case !r.HasBody(x.Req.IsHead()):
	case r.Chunked():
		f.body = byChunks
	case r.ContentLength() > 0:
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
	x.chunkedOut = (f.body == byChunks || f.body == byClose) && x.Req.Minor >= 1
	f.relayHead()
	f.phase = fwdBody
	s.Deadline(f.pass.Timeouts.Body)
	if f.body == noBody {
		return n, f.ended(s, len(p) == n)
	}
	return n, true
}

// relayHead writes the head of an answer anew for the client.
func (f *forward) relayHead() {
	x, r := f.x, &f.resp
	h := &x.w.header
	h.B = append(h.B[:0], "HTTP/1.1 "...)
	h.B = strconv.AppendInt(h.B, int64(r.Status), 10)
	h.B = append(h.B, ' ')
	h.B = append(h.B, r.Reason()...)
	h.B = append(h.B, "\r\n"...)
	edit := f.pass.Edit
	date := r.Status < 200
	for i := range r.Len() {
		id, name, value := r.At(i)
		switch id {
		case http1.Other:
			if edit != nil && edit.Drop(x, true, name) {
				continue
			}
		case http1.ContentLength:
			if r.Status < 200 || r.Status == 204 {
				continue
			}
		case http1.Date:
			date = true
		case http1.Trailer:
			if !x.chunkedOut {
				continue
			}
		}
		if r.Dropped(i) {
			continue
		}
		h.Bytes(name, value)
	}
	if !date {
		h.Raw("Date: ")
		h.RawBytes(x.w.l.Date())
		h.Raw("\r\n")
	}
	if edit != nil {
		edit.Response(x, f.srv, r.Status, h)
	}
	switch {
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

// answerBody passes content on. It returns how many bytes it used.
func (f *forward) answerBody(s *Stream, p []byte) (used int) {
	x := f.x
	s.Deadline(f.pass.Timeouts.Body)
	switch f.body {
	case byLength:
		n := int(min(f.remain, int64(len(p))))
		f.remain -= int64(n)
		x.writeContent(p[:n])
		if f.remain == 0 {
			f.ended(s, n == len(p))
			return n
		}
		used = n
	case byClose:
		x.writeContent(p)
		used = len(p)
	case byChunks:
		for {
			part, b, n, err := f.chunks.Next(p[used:])
			if err != nil {
				f.cut(s)
				return used
			}
			used += n
			if part == http1.More {
				break
			}
			switch part {
			case http1.Data:
				x.writeContent(b)
			case http1.TrailerLine:
				f.answerTrailer(b)
			case http1.End:
				f.ended(s, used == len(p))
				return used
			}
		}
	}
	if x.c.blocked() {
		s.Pause()
		s.Deadline(0) // the client's own deadline runs now
	}
	return used
}

// answerTrailer passes a trailer field on.
func (f *forward) answerTrailer(line []byte) {
	x := f.x
	if !x.chunkedOut || !http1.AllowedTrailer(line) {
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
func (f *forward) ended(s *Stream, clean bool) bool {
	if clean && f.reqDone && f.resp.KeepsAlive() && !s.hup {
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
	if x.chunkedOut {
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
func (f *forward) broken(s *Stream) {
	s.end()
	f.s = nil
	f.release(ResponseFailed, nil)
	f.fail(502, ResponseFailed)
}

// cut: the body broke in the middle of the answer.
func (f *forward) cut(s *Stream) {
	s.end()
	f.s = nil
	f.release(ResponseFailed, nil)
	f.x.w.flushOf(&f.x.c.sock) // what came is the client's, also without an end
	f.x.gone(ResponseFailed)
}
