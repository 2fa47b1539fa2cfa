package exchange

import (
	"net/netip"
	"sync/atomic"

	"stack/appliance/config"
	"stack/roles/internal/loop"
)

// Refusal is why a connection was closed as soon as it came.
type Refusal uint8

// The reasons.
const (
	RefusedTotal    Refusal = iota // Limits.Connections of all points together
	RefusedFrontend                // Frontend.Connections
	RefusedSource                  // Limits.ConnectionsPerSource
	RefusedMemory                  // Limits.Memory
	NumRefusals                    // how many there are; no reason
)

var refusalNames = [...]string{"total", "frontend", "source", "memory"}

// String returns the word for logs and metric labels.
func (r Refusal) String() string { return refusalNames[r] }

// Tally counts the connections of several points together, for Frontend.Connections. It
// outlives reloads, as points do.
type Tally struct{ open atomic.Int64 }

// CountIn counts the point's connections in t too. Called before Listen and Adopt.
func (p *Point) CountIn(t *Tally) { p.tally = t }

// admit counts a new connection, or says why it may not be. The counts are raised
// before they are compared, so that two loops never take the same last place.
func (p *Point) admit(w *Worker) (r Refusal, ok bool) {
	f := p.front[w.index]
	all, here := p.opened()
	switch {
	case f.Limits.Connections > 0 && all > int64(f.Limits.Connections):
		r = RefusedTotal
	case f.Connections > 0 && here > int64(f.Connections):
		r = RefusedFrontend
	case p.set.memory.full.Load():
		r = RefusedMemory
	default:
		return 0, true
	}
	p.closed()
	return r, false
}

// opened counts a connection; it returns the number of all points and of the tally.
func (p *Point) opened() (all, here int64) {
	p.open.Add(1)
	if p.tally != nil {
		here = p.tally.open.Add(1)
	}
	return p.set.open.Add(1), here
}

// closed is the opposite of opened.
func (p *Point) closed() {
	p.open.Add(-1)
	if p.tally != nil {
		p.tally.open.Add(-1)
	}
	p.set.closed()
}

// refuse counts a refusal and has it logged.
func (p *Point) refuse(w *Worker, r Refusal, peer netip.AddrPort) {
	p.count(w).refused[r].Add(1)
	p.set.notices.refused(w, r, p, peer)
}

// setPeer says who the client is: at first the peer of the socket, later whom a trusted
// peer named (PROXY protocol). It moves the connection to the count of that source;
// false: the source has as many connections as it may, which is counted and logged, and
// the connection is to be closed.
func (c *conn) setPeer(peer netip.AddrPort) bool {
	c.peer = peer
	if c.countSource() {
		return true
	}
	c.point.refuse(c.w, RefusedSource, peer)
	return false
}

// countSource counts the connection with those of its source. A peer that passes on
// the connections of others is not counted, nor one without an address.
func (c *conn) countSource() bool {
	c.leaveSource()
	f, t := c.point.front[c.w.index], c.w.set.sources.Load()
	limit, addr := f.Limits.ConnectionsPerSource, c.peer.Addr().Unmap()
	if limit == 0 || t == nil || !addr.IsValid() {
		return true
	}
	if Within(f.Trusted, addr) || c.via == nil && Within(f.ProxyFrom, addr) {
		return true
	}
	n := 0
	c.source, n = t.add(sourceKey(addr))
	return n <= limit
}

func (c *conn) leaveSource() {
	if c.source != nil {
		dropSource(c.source)
		c.source = nil
	}
}

// bound takes the bounds of a configuration that hold for the whole Set. Where the table
// of sources is new, all open connections are counted into it; none is closed because a
// bound became lower.
func (s *Set) bound(l config.Limits) {
	s.memory.limit.Store(l.Memory)
	t := s.sources.Load()
	if l.ConnectionsPerSource == 0 || t.fits(l.Connections) {
		return
	}
	s.sources.Store(newSources(l.Connections))
	s.each(func(w *Worker) {
		for c := w.conns; c != nil; c = c.next {
			c.countSource()
		}
	})
}

// take gives a connection that was admitted to the loop where it shall live.
func (p *Point) take(to *loop.Loop, fd int, begin func(o *Worker)) {
	to.AddLoad(1)
	o := p.set.workers[to.Index()]
	if !to.Post(func() { begin(o) }) {
		loop.Close(fd)
		to.AddLoad(-1)
		p.closed()
	}
}
