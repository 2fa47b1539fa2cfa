package fastcgi

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"stack/appliance/config"
	"stack/roles/internal/exchange"
)

const (
	// gather is how much of an answer is held back for its end: one that ends within
	// it leaves with Content-Length in one piece.
	gather = 64 << 10
	// maxStderr bounds what one request may put into the log.
	maxStderr = 8 << 10
	// pieceSize is what is read from a spooled body at a time.
	pieceSize = 64 << 10
	// busyWait is the pause before a socket whose queue was full is tried again.
	busyWait = 10 * time.Millisecond
)

// call is one request to the application: the request side of the exchange (Events)
// and, as link, the connection to the application (StreamEvents). All on one loop; a
// worker touches only the spool, and then nothing else does.
type call struct {
	app      *App
	x        *exchange.Exchange
	o        *Options
	timeouts config.Timeouts
	script   string
	stream   *exchange.Stream
	fresh    bool // not taken from the idle ones
	open     bool // the connection was there
	begun    time.Time

	// The request.
	spool    *spool
	spoolOff int64
	working  bool // a worker has the spool
	gone     bool // ended while a worker had the spool
	params   []byte
	bodyLeft bool // more of the body is to be sent
	blocked  bool // the stream takes no more now
	frame    []byte

	// The answer.
	decoder Decoder
	heard   bool   // the application has said something
	text    []byte // the head until it is complete, then what is gathered
	head    Head
	inBody  bool
	started bool // the answer has begun to leave
	left    int64
	paused  bool
	stderr  []byte
	done    bool
}

type link call

// Body takes a piece of the request body.
func (c *call) Body(x *exchange.Exchange, p []byte, last bool) {
	if c.spool != nil {
		c.spoolBody(p, last)
		return
	}
	c.send(p, last)
}

func (c *call) spoolBody(p []byte, last bool) {
	before := cap(c.spool.memory)
	full, err := c.spool.add(p)
	c.x.Hold(cap(c.spool.memory) - before)
	switch {
	case err != nil:
		c.fail(413, exchange.TooLarge)
	case full:
		c.x.PauseBody()
		c.work(c.spool.write, func() {
			if last {
				c.spooled()
				return
			}
			c.x.ResumeBody()
		})
	case last:
		c.spooled()
	}
}

// work runs f, which owns the spool meanwhile, in a worker, and then goes on.
func (c *call) work(f func() error, then func()) {
	var err error
	c.working = true
	c.x.Offload(func() { err = f() }, func(x *exchange.Exchange) {
		c.working = false
		switch {
		case x == nil || c.gone || c.done:
			c.spool.close()
		case err != nil:
			c.app.log.Error("a request body could not be kept", "script", c.script, "error", err)
			c.fail(500, exchange.Internal)
		default:
			then()
		}
	})
}

func (c *call) spooled() {
	c.o.Env.Length = c.spool.size
	c.bodyLeft = c.spool.size > 0
	c.connect()
}

func (c *call) connect() {
	if c.params == nil {
		c.params = AppendParams(nil, &c.x.Req, &c.o.Env)
		c.begun = c.x.Now()
	}
	// Only what may be done twice goes over a kept connection: the application may
	// have closed that a moment ago, and then nobody knows what it did.
	c.fresh = c.app.Keep == 0 || !c.x.Req.Idempotent() || c.x.Req.HasBody()
	c.dial()
}

func (c *call) dial() {
	w := c.x.Worker()
	if c.fresh {
		c.stream = w.DialFresh(c.app.server, (*link)(c), c.timeouts.Connect)
	} else {
		c.stream = w.Dial(c.app.server, (*link)(c), c.timeouts.Connect)
	}
	c.frame = AppendBegin(c.frame[:0], c.app.Keep > 0)
	c.frame = AppendEnd(AppendStream(c.frame, typeParams, c.params), typeParams)
	if !c.bodyLeft {
		c.frame = AppendEnd(c.frame, typeStdin)
	}
	c.blocked = !c.stream.Write(c.frame)
}

// Connected starts the body: a client is asked for it only when somebody takes it.
func (l *link) Connected(s *exchange.Stream) {
	c := (*call)(l)
	c.open = true
	c.app.connected()
	switch {
	case !c.bodyLeft:
		s.Deadline(c.timeouts.Response)
	case c.spool != nil:
		c.sendSpool()
	default:
		s.Deadline(0) // the client's turn, under its own time-outs
		c.x.ReadBody(c)
	}
}

// send passes a piece of the body on.
func (c *call) send(p []byte, last bool) {
	if c.stream == nil {
		return
	}
	c.frame = AppendStream(c.frame[:0], typeStdin, p)
	if last {
		c.frame = AppendEnd(c.frame, typeStdin)
		c.bodyLeft = false
	}
	c.blocked = !c.stream.Write(c.frame)
	switch {
	case last:
		c.stream.Deadline(c.timeouts.Response)
	case c.blocked:
		c.stream.Deadline(c.timeouts.Body)
		if c.spool == nil {
			c.x.PauseBody()
		}
	default:
		c.stream.Deadline(0)
	}
}

func (c *call) sendSpool() {
	if c.working || c.blocked || !c.bodyLeft || c.stream == nil {
		return
	}
	piece := make([]byte, min(pieceSize, c.spool.size-c.spoolOff))
	var n int
	c.work(func() (err error) {
		n, err = c.spool.read(piece, c.spoolOff)
		return err
	}, func() {
		c.spoolOff += int64(n)
		c.send(piece[:n], c.spoolOff == c.spool.size)
		c.sendSpool()
	})
}

// Drained of the application's side: it takes more of the body.
func (l *link) Drained(*exchange.Stream) {
	c := (*call)(l)
	if !c.blocked {
		return
	}
	c.blocked = false
	switch {
	case !c.bodyLeft:
	case c.spool != nil:
		c.sendSpool()
	default:
		c.stream.Deadline(0)
		c.x.ResumeBody()
	}
}

// Drained of the client's side: it takes more of the answer.
func (c *call) Drained(*exchange.Exchange) {
	if c.paused && c.stream != nil {
		c.paused = false
		c.stream.Deadline(c.timeouts.Body)
		c.stream.Resume()
	}
}

// Closed takes the end of the connection, which comes too early in every case.
func (l *link) Closed(s *exchange.Stream, err error) {
	c := (*call)(l)
	reused := s.Reused()
	c.stream = nil
	late := errors.Is(err, os.ErrDeadlineExceeded)
	c.flushStderr()
	switch {
	case reused && !c.heard && !late:
		// A kept connection that was already dead: nothing was done (connect lets only
		// requests that may be repeated come here).
		c.fresh = true
		c.dial()
	case errors.Is(err, unix.EAGAIN) && c.x.Now().Sub(c.begun) < c.timeouts.Connect:
		c.again()
	case late && !c.open:
		c.app.refused(err)
		c.fail(504, exchange.ConnectTimeout)
	case late:
		c.app.Timeouts.Add(1)
		c.app.log.Warn("a script took too long", "script", c.script, "address", c.app.Address)
		c.fail(504, exchange.ResponseTimeout)
	case !c.open && err != nil && !errors.Is(err, unix.ECONNRESET) && !errors.Is(err, unix.EPIPE):
		c.app.refused(err)
		c.fail(502, exchange.ConnectFailed)
	default:
		c.app.Errors.Add(1)
		c.app.log.Error("the application server closed the connection before the end of its answer", "script", c.script, "address", c.app.Address, "error", err)
		c.fail(502, exchange.ResponseFailed)
	}
}

// again tries a socket whose queue was full once more in a moment.
func (c *call) again() {
	ticket := c.x.Ticket()
	time.AfterFunc(busyWait, func() {
		ticket.Resume(func(x *exchange.Exchange) {
			if x != nil && !c.done {
				c.dial()
			}
		})
	})
}

// broken ends a connection whose bytes make no sense.
func (c *call) broken(err error) {
	c.flushStderr()
	c.app.Errors.Add(1)
	c.app.log.Error("an answer of the application server cannot be used", "script", c.script, "address", c.app.Address, "error", err)
	c.fail(502, exchange.ResponseFailed)
}

// fail answers with an error, or cuts the answer that has begun.
func (c *call) fail(status int, cause exchange.Cause) {
	if c.done {
		return
	}
	c.done = true
	if c.stream != nil {
		c.stream.Close()
		c.stream = nil
	}
	c.release()
	if c.started {
		c.x.Abort(cause)
		return
	}
	c.x.Error(status, cause)
}

// Gone: the client left. The application sees its connection close.
func (c *call) Gone(*exchange.Exchange, exchange.Cause) {
	c.done, c.gone = true, true
	if c.stream != nil {
		c.stream.Close()
		c.stream = nil
	}
	c.flushStderr()
	c.release()
}

// release ends the spool, unless a worker has it and will.
func (c *call) release() {
	if c.spool != nil && !c.working {
		c.spool.close()
	}
}
