package exchange

import (
	"sync/atomic"
	"time"

	"stack/roles/internal/loop"
)

// memory is the bound of what all connections of a Set hold: the buffers of bytes that
// were read and not used, or written and not sent, the heads of requests, the states of
// TLS, and what handlers keep (Exchange.Hold). Each loop counts for itself and tells the
// others when much has changed.
//
// At the bound new connections are refused, and of the open ones those that hold the
// most are ended until a part is free again. What the loops keep free for reuse (at most
// keptBytes of each size) and garbage come on top; GOMEMLIMIT is set above.
type memory struct {
	limit atomic.Int64 // 0 = none
	full  atomic.Bool
	held  []paddedInt64 // by loop
	ended atomic.Uint64 // connections
	// pending counts the loops that have yet to shed, round what they have ended so far;
	// idleUntil keeps them from trying again and again where nothing was left to end.
	pending   atomic.Int32
	round     atomic.Int64
	idleUntil atomic.Int64 // mono
}

type paddedInt64 struct {
	atomic.Int64
	_ [56]byte
}

const (
	// tellBytes is by how much a loop's count may differ from what it told.
	tellBytes = 64 << 10
	// secureBytes is what crypto/tls and we hold for an open TLS connection (measured:
	// docs/performance.md).
	secureBytes = 12 << 10
	// shedPause is the time between two attempts to end connections when the last one
	// found none that hold bytes.
	shedPause = time.Second
)

// Memory is what a Set holds, in bytes.
type Memory struct {
	Held, Limit int64  // Limit 0 = none
	Ended       uint64 // connections ended because Held reached Limit; only grows
}

// Memory returns what the connections hold now.
func (s *Set) Memory() Memory {
	m := &s.memory
	return Memory{Held: m.sum(), Limit: m.limit.Load(), Ended: m.ended.Load()}
}

func (m *memory) sum() (n int64) {
	for i := range m.held {
		n += m.held[i].Load()
	}
	return n
}

// hold counts n more bytes; n < 0: less.
func (w *Worker) hold(n int) { w.bufs.held += int64(n) }

// account is called after each callback.
func (w *Worker) account() {
	if d := w.bufs.held - w.told; d >= tellBytes || d <= -tellBytes {
		w.tell()
	}
}

// tell publishes what the loop holds, and begins to shed if that is too much.
func (w *Worker) tell() {
	m := &w.set.memory
	w.told = w.bufs.held
	m.held[w.index].Store(w.told)
	limit := m.limit.Load()
	full := limit > 0 && m.sum() >= limit
	if m.full.Load() != full {
		m.full.Store(full)
	}
	switch {
	case !full:
	case w.l.Mono() < m.idleUntil.Load() || !m.pending.CompareAndSwap(0, int32(len(w.set.workers))):
		w.l.Arm(&w.shedTimer, (*retell)(w), shedPause)
	default:
		for _, o := range w.set.workers {
			if !o.l.Post(o.shed) {
				m.pending.Add(-1)
			}
		}
	}
}

// retell looks again later at a Set that was too full.
type retell Worker

// Expired is called by the loop.
func (w *retell) Expired(*loop.Timer) { (*Worker)(w).tell() }

// shedNow ends the connections of the loop that hold the most, largest first, until the
// Set is an eighth below its bound.
func (w *Worker) shedNow() {
	m := &w.set.memory
	enough := m.limit.Load() / 8 * 7
	w.tell()
	ended := 0
	for i := len(sizes) - 1; i >= 0 && m.sum() > enough; i-- {
		for c := w.conns; c != nil && m.sum() > enough; {
			next := c.next
			if c.holds() >= sizes[i] {
				c.lost(OutOfMemory)
				ended++
				w.tell()
			}
			c = next
		}
	}
	if ended > 0 {
		m.ended.Add(uint64(ended))
		m.round.Add(int64(ended))
		w.set.notices.shed(w, ended)
	}
	if m.pending.Add(-1) == 0 && m.round.Swap(0) == 0 {
		m.idleUntil.Store(w.l.Mono() + int64(shedPause))
	}
}

// holds returns the bytes that would be free without the connection and its request.
func (c *conn) holds() int {
	n := c.sock.holds()
	if c.x != nil {
		n += c.x.holds()
	}
	if m := c.h2; m != nil {
		n += m.wb.size() + m.block.size()
		for _, st := range m.list {
			n += st.in.size() + st.out.size() + st.inTrailers.size() + st.outTrailers.size() + st.owner.(*Exchange).holds()
		}
	}
	return n
}

func (x *Exchange) holds() int {
	n := x.kept + x.head.size()
	if s := x.fwd.s; s != nil {
		n += s.sock.holds()
	}
	if st := x.fwd.st; st != nil {
		n += st.in.size() + st.out.size()
	}
	return n
}

func (s *sock) holds() int { return s.in.size() + s.out.size() }

// size is what a buffer takes, 0 for none.
func (b *buffer) size() int {
	if b == nil {
		return 0
	}
	return len(b.b)
}

// Hold counts n bytes that the handler keeps for this request, n < 0 that it no longer
// does; what is left at the end of the request is given back by itself.
func (x *Exchange) Hold(n int) {
	x.kept += n
	x.w.hold(n)
}

// holdNothing ends what Hold counted.
func (x *Exchange) holdNothing() {
	x.w.hold(-x.kept)
	x.kept = 0
}
