package exchange

import (
	"time"

	"stack/appliance/config"
)

// pace bounds how slowly a client may send a body or read an answer. The deadline
// between two reads or writes alone lets a byte a minute hold a connection, and behind
// it a server, for ever. Only the time in which nothing but the client was waited for
// counts: a slow server or a handler that pauses is not the client's fault.
type pace struct {
	since  int64 // mono; waiting for the client since then; 0 = not waiting
	waited int64 // nanoseconds before that
}

// stop ends a time of waiting.
func (p *pace) stop(now int64) {
	if p.since != 0 {
		p.waited += now - p.since
		p.since = 0
	}
}

// left returns how long a client may go on that has moved bytes of the current request
// and its answer: timeouts.body since its last byte, and in all timeouts.body more than
// limits.min_rate gives it for what it has moved.
func (p *pace) left(now, bytes int64, f *Frontend) time.Duration {
	p.stop(now)
	p.since = now
	return slowest(p.waited, bytes, f.Timeouts, f.Limits.MinRate)
}

func slowest(waited, bytes int64, t config.Timeouts, rate int) time.Duration {
	if rate == 0 {
		return t.Body
	}
	allowed := t.Body + time.Duration(float64(bytes)/float64(rate)*float64(time.Second))
	return max(0, min(t.Body, allowed-time.Duration(waited)))
}

// patience returns how long the client of x is waited for.
func (x *Exchange) patience() time.Duration {
	return x.pace.left(x.w.l.Mono(), max(0, x.bytesIn+x.bytesOut-int64(x.unsent())), x.front)
}

// waitForClient arms the deadline of a client that must send or read to go on.
func (c *conn) waitForClient(f *Frontend) {
	x, d := c.x, f.Timeouts.Body
	if c.h2 != nil {
		d = c.h2.pace.left(c.w.l.Mono(), max(0, c.h2.sent-int64(c.unsent())), f)
	} else if x != nil { // else only the end of an answer is left, which is bounded by its size
		d = x.patience()
	}
	c.w.l.Arm(&c.timer, c, d)
}
