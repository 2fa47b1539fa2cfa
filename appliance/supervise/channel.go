package supervise

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Kinds of requests from the supervisor to a child.
const (
	kindSockets = "sockets" // body: []socketGroup; descriptors in their order; no reply
	kindPrepare = "prepare" // body: prepareRequest
	kindCommit  = "commit"
	kindAbort   = "abort"
	kindPing    = "ping"    // reply: pingReply
	kindMetrics = "metrics" // reply: delimited protobuf
	kindHTTP    = "http"    // one descriptor: a connection for the Control handler
	kindAdopt   = "adopt"   // one descriptor: a Passage to receive from
	kindRoles   = "roles"   // body: map[string]Health of the other roles; no reply
	kindDrain   = "drain"   // body: drainRequest; maybe one descriptor: a Passage to send to
	kindClose   = "close"   // no reply; at its end the child sends one with its last metrics
)

// sendTimeout bounds the writing of one message: a child reads at all times.
const sendTimeout = 5 * time.Second

var errGone = errors.New("the process has ended")

// channel is the supervisor's end of a child's control socket. Requests may overlap;
// replies are told apart by id.
type channel struct {
	fd  int
	f   *os.File
	wmu sync.Mutex

	mu      sync.Mutex
	done    chan struct{} // see ended
	next    uint64
	pending map[uint64]chan frame
	closed  bool
	last    func([]byte) // takes the body of the child's last message
}

// newChannel owns fd. Ids start at the time, so that a reply to a request of the
// supervisor that ran before under this PID is never taken for one of ours.
func newChannel(fd int, last func([]byte)) *channel {
	unix.SetNonblock(fd, true)
	c := &channel{
		fd:      fd,
		f:       os.NewFile(uintptr(fd), "control"),
		done:    make(chan struct{}),
		next:    uint64(time.Now().UnixNano()),
		pending: map[uint64]chan frame{},
		last:    last,
	}
	go c.read(c.done)
	return c
}

// ended returns what is closed when nothing more is read; each resume makes another.
func (c *channel) ended() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.done
}

// over says that nothing more will be read. The caller holds keepDescriptors, so that no
// pause is under way.
func (c *channel) over() bool {
	select {
	case <-c.ended():
		return true
	default:
		return false
	}
}

func (c *channel) read(done chan<- struct{}) {
	defer close(done)
	buf := make([]byte, maxPacket)
	for {
		fr, err := readFrame(c.f, buf)
		if errors.Is(err, errFrame) {
			continue
		}
		if err != nil {
			break
		}
		if fr.Kind == kindClose {
			c.last(fr.body)
			fr.closeFDs()
			continue
		}
		c.mu.Lock()
		ch := c.pending[fr.ID]
		delete(c.pending, fr.ID)
		c.mu.Unlock()
		if ch == nil || !fr.Reply {
			fr.closeFDs()
			continue
		}
		ch <- fr
	}
	c.mu.Lock()
	c.closed = true
	for id, ch := range c.pending {
		close(ch)
		delete(c.pending, id)
	}
	c.mu.Unlock()
}

// tell sends a request that has no reply.
func (c *channel) tell(kind string, body any, fds ...int) error {
	_, err := c.send(kind, body, fds, nil)
	return err
}

// call sends a request and waits for its reply until ctx is done. An error of the
// child's role comes back as it said it.
func (c *channel) call(ctx context.Context, kind string, body any, fds ...int) ([]byte, error) {
	ch := make(chan frame, 1)
	id, err := c.send(kind, body, fds, ch)
	if err != nil {
		return nil, err
	}
	select {
	case fr, ok := <-ch:
		if !ok {
			return nil, errGone
		}
		fr.closeFDs()
		if fr.Error != "" {
			return nil, errors.New(fr.Error)
		}
		return fr.body, nil
	case <-ctx.Done():
		c.mu.Lock()
		delete(c.pending, id)
		c.mu.Unlock()
		return nil, fmt.Errorf("no answer to %s in time: %w", kind, ctx.Err())
	}
}

func (c *channel) send(kind string, body any, fds []int, reply chan frame) (uint64, error) {
	var raw []byte
	if body != nil {
		var err error
		if raw, err = json.Marshal(body); err != nil {
			return 0, fmt.Errorf("%s: %w", kind, err)
		}
	}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return 0, errGone
	}
	c.next++
	id := c.next
	if reply != nil {
		c.pending[id] = reply
	}
	c.mu.Unlock()
	c.wmu.Lock()
	err := writeFrame(c.f, header{ID: id, Kind: kind}, raw, fds, time.Now().Add(sendTimeout))
	c.wmu.Unlock()
	if err != nil {
		c.mu.Lock()
		delete(c.pending, id)
		c.mu.Unlock()
		if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) || errors.Is(err, io.EOF) || errors.Is(err, os.ErrClosed) {
			return 0, errGone
		}
		return 0, fmt.Errorf("%s: %w", kind, err)
	}
	return id, nil
}

// pause stops reading, for an exec: what has not been read stays in the socket.
func (c *channel) pause() {
	c.f.SetReadDeadline(time.Unix(1, 0))
	<-c.ended()
}

// resume reads again after a pause whose exec failed.
func (c *channel) resume() {
	c.f.SetReadDeadline(time.Time{})
	c.mu.Lock()
	c.closed = false
	done := make(chan struct{})
	c.done = done
	c.mu.Unlock()
	go c.read(done)
}

func (c *channel) close() {
	c.f.Close()
	<-c.ended()
}
