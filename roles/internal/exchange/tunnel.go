package exchange

import (
	"time"

	"golang.org/x/sys/unix"

	"stack/roles/internal/loop"
)

// tunnel relays bytes both ways between a client and a server: after an Upgrade, and
// for every connection in TCP mode.
type tunnel struct {
	s        *Stream // nil: not open
	up, down flow
	timeout  time.Duration
}

// flow is one direction. Where both ends are plain and much arrives, the bytes go
// through a pipe by splice(2) and are not copied.
type flow struct {
	pipe pipe
	held int // bytes in the pipe
	hot  bool
	done bool // the end was passed on
}

type pipe struct{ r, w int }

const (
	keptPipes   = 64
	spliceAbove = 16 << 10 // a read of this size makes a direction hot
	spliceBelow = 4 << 10
	// spliceChunk is moved by one call, and how large a pipe is asked for: nothing is
	// copied, as with sendfileChunk. Where the kernel has no more for us (pipe(7),
	// pipe-user-pages-soft), a pipe keeps its 64 KiB.
	spliceChunk = 256 << 10
)

// A peer of a tunnel that vanishes without a word is noticed after a minute and a half, as by the db role: the other end would
// wait as long as the tunnel may be silent, and what it holds, such as locks of rows, others would wait for.
const (
	keepaliveIdle  = 60 * time.Second
	keepaliveEvery = 10 * time.Second
	keepaliveCount = 3
)

// tunnel begins TCP mode: a server is chosen and connected to.
func (c *conn) tunnel() {
	w := c.w
	x := w.take()
	c.x, c.state = x, onTunnel
	x.begin(c, c.point.front[w.index], w.l.Mono())
	x.bodyDone = true
	w.l.Disarm(&c.timer)
	f := &x.fwd
	f.pass, f.began = x.front.TCP, w.l.Mono()
	f.phase = fwdConnect
	f.pick()
}

// turnAway ends a connection for which there is no server, with text as its only bytes.
func (x *Exchange) turnAway(text []byte, cause Cause) {
	if len(text) == 0 {
		x.gone(cause)
		return
	}
	c := x.c
	c.write(text)
	x.bytesOut += int64(len(text))
	x.log(cause)
	x.w.put(x)
	c.w.l.Arm(&c.timer, c, lingerTime)
	c.end(false)
}

// openTunnel starts to relay once the server is connected.
func (f *forward) openTunnel() {
	x := f.x
	x.phase = inStream
	f.startTunnel()
}

// upgrade turns a granted Upgrade into a tunnel; rest came behind the head.
func (f *forward) upgrade(s *Stream, rest []byte) {
	x := f.x
	x.phase, x.status, f.status = inRelay, 101, 101
	x.closeAfter = true
	x.c.write(rest)
	x.bytesOut += int64(len(rest))
	s.turn++
	s.pend = nil
	x.c.state = onTunnel
	f.startTunnel()
}

func (f *forward) startTunnel() {
	x := f.x
	f.phase = fwdTunnel
	x.tun = tunnel{s: f.s, timeout: f.pass.Timeouts.Tunnel}
	f.s.x = x
	f.s.Deadline(0)
	loop.KeepAlive(x.c.fd, keepaliveIdle, keepaliveEvery, keepaliveCount)
	loop.KeepAlive(f.s.fd, keepaliveIdle, keepaliveEvery, keepaliveCount)
	x.w.l.Arm(&x.c.timer, x.c, x.tun.timeout)
	x.c.again()
	x.w.l.Again(f.s.tok)
}

// runTunnel moves what can be moved within the quantum of a turn.
func (x *Exchange) runTunnel() {
	t, c := &x.tun, x.c
	s := t.s
	if s == nil {
		if c.reset {
			x.gone(ClientGone)
		}
		return
	}
	moved := x.pump(&t.up, &c.sock, &s.sock, &x.bytesIn)
	moved = x.pump(&t.down, &s.sock, &c.sock, &x.bytesOut) || moved
	switch {
	case c.failed:
		x.gone(ClientGone)
	case c.reset && !t.down.done && (s.blocked() || t.up.held > 0):
		// A reset, which nobody would see before the server reads on.
		x.gone(ClientGone)
	case s.failed:
		x.w.flushOf(&c.sock)
		x.gone(ResponseFailed)
	case t.up.done && t.down.done && !c.blocked() && !s.blocked():
		x.w.flush()
		if !c.blocked() && !s.blocked() {
			x.gone(None)
		}
	case moved:
		x.w.l.Arm(&c.timer, c, t.timeout)
	}
}

// pump moves bytes of one direction. It reports whether there were any.
func (x *Exchange) pump(d *flow, from, to *sock, count *int64) (moved bool) {
	w := x.w
	budget := quantumBytes
	for !d.done {
		if d.held > 0 {
			n, e := loop.Splice(d.pipe.r, to.fd, d.held)
			if e == unix.EAGAIN {
				return moved
			}
			if e != 0 {
				to.failed, to.errno = true, e
				return moved
			}
			d.held -= n
			moved = true
			continue
		}
		if to.blocked() || from.failed || to.failed {
			return moved
		}
		if from.eof && len(from.pend) == 0 {
			to.shutdown()
			d.done = true
			x.closePipe(d)
			return true
		}
		if budget <= 0 {
			w.l.Again(from.tok)
			return moved
		}
		if len(from.pend) == 0 {
			if !from.readable {
				return moved
			}
			if d.hot && from.tls == nil && to.tls == nil && x.openPipe(d) {
				w.flushOf(to)
				if to.blocked() || to.failed {
					return moved
				}
				n := x.spliceIn(d, from)
				budget -= n
				*count += int64(n)
				continue
			}
			if f := from.fill(x.readSize()); f == dry || f == broken {
				return moved
			}
			if len(from.pend) == 0 {
				continue
			}
		}
		n := len(from.pend)
		d.hot = n >= spliceAbove
		to.write(from.pend)
		from.use(n)
		budget -= n
		*count += int64(n)
		moved = true
	}
	return moved
}

// spliceIn moves bytes from a socket into the empty pipe.
func (x *Exchange) spliceIn(d *flow, from *sock) int {
	n, e := loop.Splice(from.fd, d.pipe.w, spliceChunk)
	switch {
	case e == unix.EAGAIN:
		from.readable = false
	case e != 0:
		from.readable, from.failed, from.errno = false, true, e
	case n == 0:
		from.readable, from.eof = false, true
	}
	if n < spliceBelow {
		d.hot = false
	}
	d.held = n
	return n
}

func (x *Exchange) openPipe(d *flow) bool {
	if d.pipe.w > 0 {
		return true
	}
	w := x.w
	if n := len(w.pipes); n > 0 {
		d.pipe = w.pipes[n-1]
		w.pipes = w.pipes[:n-1]
		return true
	}
	var p [2]int
	if unix.Pipe2(p[:], unix.O_NONBLOCK|unix.O_CLOEXEC) != nil {
		d.hot = false
		return false
	}
	unix.FcntlInt(uintptr(p[1]), unix.F_SETPIPE_SZ, spliceChunk)
	d.pipe = pipe{p[0], p[1]}
	return true
}

// closePipe gives an empty pipe back; one that holds bytes is closed.
func (x *Exchange) closePipe(d *flow) {
	if d.pipe.w == 0 {
		return
	}
	if w := x.w; d.held == 0 && len(w.pipes) < keptPipes {
		w.pipes = append(w.pipes, d.pipe)
	} else {
		loop.Close(d.pipe.r)
		loop.Close(d.pipe.w)
	}
	d.pipe, d.held = pipe{}, 0
}

// closeTunnel releases what a tunnel holds.
func (x *Exchange) closeTunnel() {
	if x.tun.s == nil {
		return
	}
	x.closePipe(&x.tun.up)
	x.closePipe(&x.tun.down)
	x.tun = tunnel{}
}
