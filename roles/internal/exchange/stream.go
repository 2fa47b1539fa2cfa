package exchange

import "time"

// StreamEvents are the callbacks of a Stream, on its loop.
type StreamEvents interface {
	// Connected: the connection is open; writes made before were kept and go out now.
	Connected(s *Stream)
	// Data: bytes have arrived, valid until it returns. It returns how many were used;
	// the rest is given again together with what follows. Must use at least one byte
	// once 64 KiB are offered.
	Data(s *Stream, p []byte) (used int)
	// Drained: what had been written and not sent fell below the bound.
	Drained(s *Stream)
	// Closed: the peer ended the connection (err nil), or it failed, or a deadline passed
	// (os.ErrDeadlineExceeded). Called at most once, not after Close or Release; the
	// stream is gone afterwards. It may be called from inside no other method.
	Closed(s *Stream, err error)
}

// Dial opens, or takes from the idle ones, a connection to srv. It never calls back
// before it returns. Connected is called also for a reused connection.
func (w *Worker) Dial(srv *Server, ev StreamEvents, connect time.Duration) *Stream {
	return w.dial(srv, ev, connect, true)
}

// DialFresh is Dial without the idle connections.
func (w *Worker) DialFresh(srv *Server, ev StreamEvents, connect time.Duration) *Stream {
	return w.dial(srv, ev, connect, false)
}
