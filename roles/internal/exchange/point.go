package exchange

import (
	"net/netip"
	"sync"
	"sync/atomic"

	"stack/roles/internal/loop"
)

// Point is a group of listening sockets that share a Frontend.
type Point struct {
	set  *Set
	name string
	// front is each loop's current frontend; touched by that loop only.
	front  []*Frontend
	counts []counts
	open   atomic.Int64
	tally  *Tally // nil = counted in none
	// listeners and removed are each loop's own too.
	listeners [][]*loop.Listener
	removed   []bool
}

// counts are a loop's counters of a point, on cache lines of their own.
type counts struct {
	accepted                     atomic.Uint64
	refused                      [NumRefusals]atomic.Uint64
	requests, bytesIn, bytesOut  atomic.Uint64
	handshakes, handshakesFailed atomic.Uint64
	handshakesRefused            atomic.Uint64
	status                       [6]atomic.Uint64
	starved                      atomic.Uint64
	proxyRefused                 [proxyRefusals]atomic.Uint64
	_                            [24]byte
}

// Counters of a Point; all but Open only grow.
type Counters struct {
	Open                         int64 // connections now
	Accepted                     uint64
	Refused                      [NumRefusals]uint64
	Requests                     uint64
	BytesIn, BytesOut            uint64
	Handshakes, HandshakesFailed uint64
	HandshakesRefused            uint64    // over Limits.Handshakes of all points together
	Status                       [6]uint64 // by status / 100; [0] = none sent
	Starved                      uint64    // times that no descriptor was left for a connection
	// ProxyRefused: connections closed for want of a PROXY header from somebody who may
	// send one, by ProxyRefusals.
	ProxyRefused [proxyRefusals]uint64
}

// Point makes a group without listeners yet. Its name is given to Drain's pass.
func (s *Set) Point(name string, f *Frontend) *Point {
	n := len(s.workers)
	p := &Point{set: s, name: name, front: make([]*Frontend, n), counts: make([]counts, n), listeners: make([][]*loop.Listener, n), removed: make([]bool, n)}
	f = f.prepared()
	s.bound(f.Limits)
	for i := range p.front {
		p.front[i] = f
	}
	s.mu.Lock()
	s.points = append(s.points[:len(s.points):len(s.points)], p)
	s.mu.Unlock()
	return p
}

// prepared fills in what is derived.
func (f *Frontend) prepared() *Frontend {
	if f.TCP != nil {
		return f // what is spoken inside is not ours to say
	}
	if t := http1Only(f.TLS); t != f.TLS {
		g := *f
		g.TLS = t
		return &g
	}
	return f
}

// Name returns the name given to Set.Point.
func (p *Point) Name() string { return p.name }

// Listen starts to accept from listening sockets; they are never closed here. With as
// many sockets as loops each loop has its own; with fewer, loops share them; with
// more, a loop serves several. Other processes may accept from the same sockets.
func (p *Point) Listen(fds []int) error {
	if len(fds) == 0 {
		return errNoSockets
	}
	for _, fd := range fds {
		if err := checkListener(fd); err != nil {
			return err
		}
	}
	n := len(p.set.workers)
	var failed error
	var mu sync.Mutex
	p.set.each(func(w *Worker) {
		for i, fd := range fds {
			if len(fds) >= n && i%n != w.index || len(fds) < n && w.index%len(fds) != i {
				continue
			}
			l, err := w.l.Listen(fd, true, func(fd int, peer netip.AddrPort) { p.accept(w, fd, peer) }, &p.count(w).starved)
			mu.Lock()
			if err != nil {
				failed = err
			} else {
				p.listeners[w.index] = append(p.listeners[w.index], l)
			}
			mu.Unlock()
		}
	})
	if failed != nil {
		p.stop()
	}
	return failed
}

// accept takes a new connection and places it on the least loaded loop.
func (p *Point) accept(w *Worker, fd int, peer netip.AddrPort) {
	if r, ok := p.admit(w); !ok {
		p.refuse(w, r, peer)
		loop.Close(fd)
		return
	}
	if to := p.set.group.Place(w.l); to != w.l {
		p.take(to, fd, func(o *Worker) { o.serve(p, fd, peer) })
		return
	}
	w.l.AddLoad(1)
	w.serve(p, fd, peer)
}

// stop ends accepting on every loop.
func (p *Point) stop() {
	p.set.each(func(w *Worker) {
		for _, l := range p.listeners[w.index] {
			l.Close()
		}
		p.listeners[w.index] = nil
	})
}

// Remove stops to accept from all sockets of the point and returns when no loop uses
// them any more. Its open connections end after their next answer.
func (p *Point) Remove() {
	p.stop()
	p.set.each(func(w *Worker) {
		p.removed[w.index] = true
		for c := w.conns; c != nil; c = c.next {
			if c.point == p && c.state == onHTTP2 {
				c.goAway()
			}
		}
	})
	s := p.set
	s.mu.Lock()
	defer s.mu.Unlock()
	var rest []*Point
	for _, q := range s.points {
		if q != p {
			rest = append(rest, q)
		}
	}
	s.points = rest
}

// Adopt serves a connection passed by an older process; it owns fd. meta is what came
// with it and names the point (PointOf).
func (p *Point) Adopt(fd int, meta []byte) {
	loops := p.set.group
	w := p.set.workers[0]
	for i := range loops.Size() {
		if loops.Loop(i).Load() < w.l.Load() {
			w = p.set.workers[i]
		}
	}
	p.opened()
	p.take(w.l, fd, func(o *Worker) { o.adopt(p, fd, meta) })
}

func (p *Point) count(w *Worker) *counts { return &p.counts[w.index] }

// Counters returns the sums of all loops.
func (p *Point) Counters() Counters {
	c := Counters{Open: p.open.Load()}
	for i := range p.counts {
		n := &p.counts[i]
		c.Accepted += n.accepted.Load()
		for j := range n.refused {
			c.Refused[j] += n.refused[j].Load()
		}
		c.Requests += n.requests.Load()
		c.BytesIn += n.bytesIn.Load()
		c.BytesOut += n.bytesOut.Load()
		c.Handshakes += n.handshakes.Load()
		c.HandshakesFailed += n.handshakesFailed.Load()
		c.HandshakesRefused += n.handshakesRefused.Load()
		c.Starved += n.starved.Load()
		for j := range n.status {
			c.Status[j] += n.status[j].Load()
		}
		for j := range n.proxyRefused {
			c.ProxyRefused[j] += n.proxyRefused[j].Load()
		}
	}
	return c
}
