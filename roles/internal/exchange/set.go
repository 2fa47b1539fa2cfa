package exchange

import (
	"context"
	"net/netip"
	"time"

	"stack/roles/internal/loop"
)

// Set runs a Worker on each loop of a group. Its methods may be called from any
// goroutine that is not a loop.
type Set struct{}

// Worker is the part of a Set that belongs to one loop.
type Worker struct{}

// Index returns the number of the worker's loop, 0..loops-1: an index for state
// that each loop keeps for itself.
func (w *Worker) Index() int { return 0 }

// Loop returns the worker's loop.
func (w *Worker) Loop() *loop.Loop { return nil }

// NewSet puts workers on the loops of g.
func NewSet(g *loop.Group) *Set { return nil }

// Point is a group of listening sockets that share a Frontend.
type Point struct{}

// Point makes a group without listeners yet. Its name is given to Drain's pass.
func (s *Set) Point(name string, f *Frontend) *Point { return nil }

// Listen starts to accept from listening sockets, which must be non-blocking; they
// are never closed here. The sockets are spread over the loops; a single socket is shared by all.
func (p *Point) Listen(fds []int) error { return nil }

// Remove stops to accept from all sockets of the point, returns when no loop uses
// them any more. Its open connections end after their next answer.
func (p *Point) Remove() {}

// Counters returns the sums of all loops.
func (p *Point) Counters() Counters { return Counters{} }

// Counters of a Point; all but Open only grow.
type Counters struct {
	Open                         int64  // connections now
	Accepted, Refused            uint64 // Refused: over Limits.Connections
	Requests                     uint64
	BytesIn, BytesOut            uint64
	Handshakes, HandshakesFailed uint64
	Status                       [6]uint64 // by status / 100; [0] = none sent
}

// Swap gives points new frontends: each loop switches all of them at the end of one
// turn. It returns when every loop has.
func (s *Set) Swap(frontends map[*Point]*Frontend) {}

// Drain stops accepting, closes after each next answer (Connection: close), and
// returns when no connection is left or ctx is done. pass, if not nil, is offered each
// idle plain connection: true means that it took the descriptor over (it owns fd).
// Connections that could not be passed stay, idle, until they are used or timeouts
// end them.
func (s *Set) Drain(ctx context.Context, pass func(fd int, point string) bool) error { return nil }

// Adopt serves a connection passed by an older process; it owns fd.
func (p *Point) Adopt(fd int) {}

// Forget closes the idle connections to srv.
func (s *Set) Forget(srv *Server) {}

// Close ends all connections and stops the workers. The loops go on.
func (s *Set) Close() error { return nil }

// Open returns the number of client connections.
func (s *Set) Open() int { return 0 }

// Stream is a connection to a server, on the loop, for protocols of one's own.
type Stream struct{}

type target struct {
	path string
	addr netip.AddrPort
}

type idlePool struct{}

func (w *Worker) dial(srv *Server, ev StreamEvents, connect time.Duration, reuse bool) *Stream {
	return nil
}

// Write sends p, or keeps what cannot be sent now. false says: stop until Drained.
func (s *Stream) Write(p []byte) bool { return false }

// Pause stops, Resume continues, the calls of Data.
func (s *Stream) Pause() {}

// Resume continues after Pause. Data is called later, from the loop.
func (s *Stream) Resume() {}

// Deadline sets when Closed is called with os.ErrDeadlineExceeded unless it is set
// anew; 0 = none.
func (s *Stream) Deadline(d time.Duration) {}

// Reused says that the connection was taken from the idle ones.
func (s *Stream) Reused() bool { return false }

// Close ends the connection at once; no callback follows.
func (s *Stream) Close() {}

// Release gives the connection back to the idle ones of its server; no callback follows.
func (s *Stream) Release() {}
