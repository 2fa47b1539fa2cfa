package exchange

import (
	"crypto/tls"

	"stack/roles/internal/loop"
)

const (
	scratchSize = 80 << 10
	// quantum is what one connection may do in a turn before the others have theirs.
	quantumBytes    = 64 << 10
	quantumRequests = 16
	keptExchanges   = 1024
)

// Worker is the part of a Set that belongs to one loop: the buffers that its
// connections borrow and the lists of what is open.
type Worker struct {
	set   *Set
	l     *loop.Loop
	index int

	// scratch is what sockets are read into; scratchOwner has bytes in it.
	scratch      []byte
	scratchOwner *sock
	// cork collects the small writes of corkOwner until the callback ends.
	cork      []byte
	corkOwner *sock
	more      bool   // what is being sent is followed by a file
	sealed    []byte // TLS records on their way out
	fileBuf   []byte

	// HTTP/2: connections with frames to be sent at the end of the turn, and memory for
	// what is being built or read.
	dirty        []*mux
	frame        [64]byte
	hblock       []byte
	hblock2      []byte
	h2head       []byte
	h2streams    []*stream
	h2scratch    []*stream
	requestSink  requestSink
	responseSink responseSink
	h2resp       []byte
	trailerSink  trailerSink

	bufs      buffers
	told      int64  // of bufs.held
	shed      func() // shedNow, made once
	shedTimer loop.Timer
	header    Header
	record    Record
	exchanges []*Exchange
	pipes     []pipe
	conns     *conn // all, doubly linked
	streams   *Stream
	draining  bool
	closed    bool
}

func newWorker(s *Set, l *loop.Loop) *Worker {
	w := &Worker{set: s, l: l, index: l.Index()}
	w.scratch = make([]byte, scratchSize)
	w.cork = make([]byte, 0, corked+small)
	w.header.B = make([]byte, 0, 8<<10)
	w.shed = w.shedNow
	return w
}

// Index returns the number of the worker's loop, 0..loops-1: an index for state
// that each loop keeps for itself.
func (w *Worker) Index() int { return w.index }

// Loop returns the worker's loop.
func (w *Worker) Loop() *loop.Loop { return w.l }

// after ends every callback: what was collected is sent, and what is left of the
// scratch moves to a buffer of its socket.
func (w *Worker) after() {
	if w.corkOwner != nil {
		w.flush()
	}
	if s := w.scratchOwner; s != nil {
		w.scratchOwner = nil
		s.settle()
	}
	w.account()
}

// ending ends every turn: what HTTP/2 connections have collected is sent.
func (w *Worker) ending() {
	for i := 0; i < len(w.dirty); i++ { // sending may soil others
		if m := w.dirty[i]; m != nil {
			m.dirty = false
			m.flush(nil)
		}
		w.dirty[i] = nil
	}
	w.dirty = w.dirty[:0]
}

// flush sends what is collected.
func (w *Worker) flush() {
	if s := w.corkOwner; s != nil {
		w.corkOwner = nil
		s.send(w.cork, nil)
		w.cork = w.cork[:0]
	}
}

// flushOf is flush if it is s whose bytes are collected.
func (w *Worker) flushOf(s *sock) {
	if w.corkOwner == s {
		w.flush()
	}
}

// flushHead is flushOf for a head that sendfile follows at once.
func (w *Worker) flushHead(s *sock) {
	w.more = s.tls == nil
	w.flushOf(s)
	w.more = false
}

// useScratch makes s the one whose bytes are in the scratch.
func (w *Worker) useScratch(s *sock) {
	if o := w.scratchOwner; o != nil && o != s {
		w.scratchOwner = nil
		o.settle()
	}
	w.scratchOwner = s
}

// take returns an exchange ready for a request.
func (w *Worker) take() *Exchange {
	if n := len(w.exchanges); n > 0 {
		x := w.exchanges[n-1]
		w.exchanges = w.exchanges[:n-1]
		return x
	}
	x := &Exchange{w: w, gen: 1}
	x.fwd.x = x
	return x
}

// put takes an ended exchange back. Tickets to it are void from here on.
func (w *Worker) put(x *Exchange) {
	x.gen++
	if x.head != nil {
		w.bufs.put(x.head)
	}
	x.holdNothing()
	x.clear()
	if len(w.exchanges) < keptExchanges {
		w.exchanges = append(w.exchanges, x)
	}
}

func (w *Worker) link(c *conn) {
	c.next = w.conns
	if c.next != nil {
		c.next.prev = c
	}
	w.conns = c
}

func (w *Worker) unlink(c *conn) {
	if c.next != nil {
		c.next.prev = c.prev
	}
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		w.conns = c.next
	}
	c.next, c.prev = nil, nil
}

// http1Only is what ALPN offers unless the owner of the configuration says otherwise.
func http1Only(c *tls.Config) *tls.Config {
	if c == nil || len(c.NextProtos) > 0 {
		return c
	}
	c = c.Clone()
	c.NextProtos = []string{"http/1.1"}
	return c
}
