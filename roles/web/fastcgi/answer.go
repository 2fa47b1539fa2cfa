package fastcgi

import (
	"bytes"
	"errors"

	"stack/roles/internal/exchange"
)

// Data takes what the application sends.
func (l *link) Data(s *exchange.Stream, p []byte) int {
	c := (*call)(l)
	c.heard = true
	for rest := p; len(rest) > 0 && c.stream != nil; {
		ev, n, err := c.decoder.Next(rest)
		rest = rest[n:]
		switch {
		case err != nil:
			c.broken(err)
		case ev.Kind == Stdout:
			c.stdout(ev.Data)
		case ev.Kind == Stderr:
			c.stderr = append(c.stderr, ev.Data[:min(len(ev.Data), maxStderr-len(c.stderr))]...)
		case ev.Kind == End:
			c.end(ev, len(rest))
			return len(p)
		}
	}
	if c.stream != nil && !c.done {
		if c.inBody && len(c.text) > 0 {
			c.flush()
		}
		if c.stream != nil && !c.paused && !c.bodyLeft {
			s.Deadline(c.timeouts.Body)
		}
	}
	return len(p)
}

// stdout takes a piece of the answer.
func (c *call) stdout(p []byte) {
	c.text = append(c.text, p...)
	if !c.inBody {
		n := HeadEnd(c.text)
		if n < 0 {
			if len(c.text) > MaxHead {
				c.broken(ErrHeadLong)
			}
			return
		}
		if err := ParseHead(&c.head, c.text[:n:n]); err != nil {
			c.broken(err)
			return
		}
		// The head's fields share the storage of its bytes: the body starts anew.
		c.text = append([]byte(nil), c.text[n:]...)
		c.inBody = true
		c.left = c.head.Length
	}
	if len(c.text) > gather {
		c.flush()
	}
}

// bodiless answers have no content whatever the script printed.
func (c *call) bodiless() bool {
	return c.head.Status == 204 || c.head.Status == 304 || c.x.Req.IsHead()
}

func (c *call) start() {
	h := c.x.Start(c.head.Status)
	for _, f := range c.head.Fields {
		h.Bytes(f.Name, f.Value)
	}
}

// flush sends what was gathered as a part of a longer answer.
func (c *call) flush() {
	if c.bodiless() {
		c.text = c.text[:0] // only its end matters
		return
	}
	if !c.started {
		c.started = true
		c.start()
		c.x.Stream(c.head.Length, c)
	}
	p := c.text
	if c.head.Length >= 0 {
		// What a script prints beyond its own Content-Length would be the next answer.
		p = p[:min(int64(len(p)), c.left)]
		c.left -= int64(len(p))
	}
	more := c.x.Write(p)
	c.text = c.text[:0]
	if !more && c.stream != nil {
		c.paused = true
		c.stream.Deadline(0) // the client's turn
		c.stream.Pause()
	}
}

// end takes END_REQUEST: the answer is complete.
func (c *call) end(ev Event, trailing int) {
	c.flushStderr()
	switch {
	case !c.inBody && ev.Protocol == 2:
		c.fail(503, exchange.ResponseFailed)
		return
	case !c.inBody:
		c.broken(errors.New("the application ended the request without an answer"))
		return
	}
	reuse := c.app.Keep > 0 && ev.Protocol == 0 && !c.bodyLeft && !c.blocked && trailing == 0 && c.decoder.Idle()
	if c.started && len(c.text) > 0 {
		c.flush()
	}
	c.done = true
	if c.stream != nil {
		if reuse {
			c.stream.Release()
		} else {
			c.stream.Close()
		}
		c.stream = nil
	}
	c.release()
	switch {
	case c.started && c.left > 0:
		c.app.Errors.Add(1)
		c.app.log.Warn("a script printed less than its Content-Length", "script", c.script, "missing", c.left)
		c.x.Abort(exchange.ResponseFailed)
	case c.started:
		c.x.Finish()
	default:
		c.whole()
	}
}

// whole sends an answer that was gathered to its end.
func (c *call) whole() {
	n := int64(len(c.text))
	switch {
	case c.head.Length < 0 || c.head.Length == n || c.bodiless():
	case n > c.head.Length:
		n = c.head.Length
	default:
		c.app.Errors.Add(1)
		c.app.log.Warn("a script printed less than its Content-Length", "script", c.script, "missing", c.head.Length-n)
		c.x.Error(502, exchange.ResponseFailed)
		return
	}
	c.start()
	switch {
	case c.x.Req.IsHead() && c.head.Length >= 0:
		c.x.EndLength(c.head.Length)
	case c.x.Req.IsHead() && c.head.Status != 204 && c.head.Status != 304:
		// PHP ends a script at its first output for HEAD: how long that would have been
		// nobody knows, and 0 would be wrong.
		c.x.Stream(-1, c)
		c.x.Finish()
	case c.bodiless():
		c.x.End(nil)
	default:
		c.x.End(c.text[:n])
	}
}

func (c *call) flushStderr() {
	if len(c.stderr) == 0 {
		return
	}
	for _, line := range bytes.Split(bytes.TrimRight(c.stderr, "\r\n"), []byte{'\n'}) {
		c.app.log.Warn("script error output", "script", c.script, "text", string(bytes.TrimRight(line, "\r")))
	}
	c.stderr = nil
}
