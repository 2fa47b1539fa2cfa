package exchange

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"stack/roles/internal/loop"
)

// Set runs a Worker on each loop of a group. Its methods may be called from any
// goroutine that is not a loop.
type Set struct {
	group      *loop.Group
	workers    []*Worker
	open       atomic.Int64
	sources    atomic.Pointer[sources] // nil until a frontend bounds them
	memory     memory
	notices    notices
	drained    chan struct{} // a connection was the last one
	slots      *slots
	shaking    atomic.Int64  // handshakes with clients in progress, most of them waiting
	work       chan struct{} // goroutines of offload
	goroutines sync.WaitGroup
	shakers    *shakers
	floor      []byte // see heapFloor

	mu     sync.Mutex
	points []*Point
}

// offloaded bounds the goroutines that do slow work for the loops.
const offloaded = 64

// heapFloor is memory that is never touched, so it takes no page. The collector runs when
// the heap has doubled: without it, every 4 MiB, which is every few dozen handshakes.
const heapFloor = 32 << 20

// NewSet puts workers on the loops of g. A group has one Set.
func NewSet(g *loop.Group) *Set {
	s := &Set{
		group:   g,
		drained: make(chan struct{}, 1),
		slots:   newSlots(g.Size()),
		work:    make(chan struct{}, offloaded),
		shakers: newShakers(g.Size()),
		floor:   make([]byte, heapFloor),
	}
	s.memory.held = make([]paddedInt64, g.Size())
	for i := range g.Size() {
		s.workers = append(s.workers, newWorker(s, g.Loop(i)))
	}
	s.each(func(w *Worker) {
		w.l.AfterEach(w.after)
		w.l.AtEnd(w.ending)
	})
	return s
}

func (s *Set) each(f func(w *Worker)) {
	s.group.Each(func(l *loop.Loop) { f(s.workers[l.Index()]) })
}

// Open returns the number of client connections.
func (s *Set) Open() int { return int(s.open.Load()) }

// closed counts a connection that has ended.
func (s *Set) closed() {
	if s.open.Add(-1) == 0 {
		select {
		case s.drained <- struct{}{}:
		default:
		}
	}
}

// offload runs work and then done on a goroutine, of a bounded number.
func (s *Set) offload(work, done func()) {
	s.goroutines.Add(1)
	go func() {
		defer s.goroutines.Done()
		s.work <- struct{}{}
		work()
		<-s.work
		done()
	}()
}

// Swap gives points new frontends: each loop switches all of them at the end of one
// turn. It returns when every loop has. TCP mode and TLS of connections that are open
// stay as they are.
func (s *Set) Swap(frontends map[*Point]*Frontend) {
	ready := make(map[*Point]*Frontend, len(frontends))
	for p, f := range frontends {
		ready[p] = f.prepared()
	}
	s.each(func(w *Worker) {
		for p, f := range ready {
			p.front[w.index] = f
		}
	})
	for _, f := range ready { // all of one configuration
		s.bound(f.Limits)
		break
	}
}

// Forget closes the idle connections to srv; ones in use are closed when they are
// given back.
func (s *Set) Forget(srv *Server) {
	srv.forgotten.Store(true)
	s.each(func(w *Worker) {
		for {
			c := srv.pop(w)
			if c == nil {
				break
			}
			c.end()
		}
		srv.leaveLinks(w)
	})
}

// Drain stops accepting, closes after each next answer (Connection: close), and
// returns when no connection is left, or with an error when ctx is done. pass, if not
// nil, is offered the descriptor of each idle plain connection, with what Point.Adopt
// is to know of it: true means that it took it over (it closes it). Others stay until they are used or time out. Without
// pass nobody goes on: connections that are silent for some seconds are closed too.
func (s *Set) Drain(ctx context.Context, pass func(fd int, meta []byte) bool) error {
	s.mu.Lock()
	points := s.points
	s.mu.Unlock()
	for _, p := range points {
		p.stop()
	}
	type parked struct {
		p    *Point
		fd   int
		meta []byte
	}
	var mu sync.Mutex
	var idle []parked
	s.each(func(w *Worker) {
		w.draining = true
		for c := w.conns; c != nil; {
			next := c.next
			if c.state == onHTTP2 {
				c.goAway()
			}
			if pass != nil && c.idleAndPlain() {
				mu.Lock()
				idle = append(idle, parked{c.point, c.handOff(), c.meta()})
				mu.Unlock()
			}
			c = next
		}
	})
	for _, p := range idle {
		if !pass(p.fd, p.meta) {
			p.p.Adopt(p.fd, p.meta)
		}
	}
	quiet := time.NewTicker(quietEvery)
	defer quiet.Stop()
	for s.open.Load() > 0 {
		select {
		case <-s.drained:
		case <-quiet.C:
			if pass == nil {
				s.cutQuiet()
			}
		case <-ctx.Done():
			return fmt.Errorf("%d connections are still open: %w", s.open.Load(), ctx.Err())
		}
	}
	return nil
}

// idleAndPlain says whether another process could go on with the connection.
func (c *conn) idleAndPlain() bool {
	return c.state == onHead && c.served && !c.partial && c.tls == nil && !c.readable && !c.hup && !c.blocked() && len(c.pend) == 0
}

// handOff gives up the connection without closing its descriptor.
func (c *conn) handOff() int {
	fd := c.fd
	c.w.l.Detach(c.tok, fd)
	c.fd = -1
	c.close()
	return fd
}

// Close ends all connections and stops the workers; the loops go on. It returns when
// every handshake and every offloaded work has ended.
func (s *Set) Close() error {
	s.mu.Lock()
	points := s.points
	s.points = nil
	s.mu.Unlock()
	for _, p := range points {
		p.stop()
	}
	kill := func(w *Worker) {
		w.closed = true
		for c := w.conns; c != nil; {
			next := c.next
			c.lost(Killed)
			c = next
		}
		for w.streams != nil {
			w.streams.end()
		}
		for _, p := range w.pipes {
			loop.Close(p.r)
			loop.Close(p.w)
		}
		w.pipes = nil
	}
	s.each(kill)
	s.shakers.end()
	s.goroutines.Wait()
	s.each(kill)
	s.notices.stop()
	if n := s.open.Load(); n > 0 {
		return fmt.Errorf("%d connections were left", n)
	}
	return nil
}

var errNoSockets = errors.New("no listening socket was given")

// checkListener sees to it that accepting never waits.
func checkListener(fd int) error {
	if err := unix.SetNonblock(fd, true); err != nil {
		return fmt.Errorf("listening socket %d: %w", fd, err)
	}
	v, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err != nil {
		return fmt.Errorf("listening socket %d: %w", fd, err)
	}
	if v == 0 {
		return fmt.Errorf("descriptor %d is not a listening socket", fd)
	}
	return nil
}
