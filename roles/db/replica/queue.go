package replica

import (
	"context"
	"encoding/binary"
	"sync"
	"time"

	"stack/roles/db/binlog/event"
	"stack/roles/db/relay"
)

// chunk is events of one transaction that follow each other.
type chunk struct {
	head  [][]byte // events that begin it and are not in buf
	buf   []byte
	marks []mark // where in buf the others are
	read  int    // events taken

	first     bool // the transaction begins with it
	last      bool // it ends with it
	id        event.ID
	at        Position
	committed time.Time // on the source
	name      string    // of the transaction
	tx        Transaction
	stored    relay.Pos // behind it, where it comes from the relay log
}

type mark struct{ from, to int }

// next takes an event; nil where none is left.
func (c *chunk) next() []byte {
	i := c.read
	c.read++
	if i < len(c.head) {
		return c.head[i]
	}
	if i -= len(c.head); i < len(c.marks) {
		return c.buf[c.marks[i].from:c.marks[i].to]
	}
	c.read--
	return nil
}

// Bounds of what is received and not applied.
const (
	queueBytes = 16 << 20
	keptBuffer = 1 << 20 // a longer buffer is not used again
)

// queue is what one goroutine has received and another has not applied yet. push waits where
// it is full, so that the source has to wait in turn.
type queue struct {
	mu     sync.Mutex
	moved  *sync.Cond
	list   []*chunk
	bytes  int
	whole  int // transactions that are in it up to their end
	free   []*chunk
	at     Position // up to which the log has come
	passed bool     // at is beyond the last transaction: see pass
	err    error    // no more comes
	closed bool     // nobody takes any more
	full   bool     // push waits
	more   bool     // the receiver has not looked at all that has come
}

func newQueue() *queue {
	q := &queue{}
	q.moved = sync.NewCond(&q.mu)
	return q
}

// push adds a chunk; errClosed where nobody takes it. more says that the receiver has something to
// look at before it waits for the source.
func (q *queue) push(c *chunk, more bool) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.bytes >= queueBytes && !q.closed {
		q.full = true
		q.moved.Wait()
	}
	q.full = false
	if q.closed {
		return errClosed
	}
	q.list, q.more = append(q.list, c), more
	q.bytes += cap(c.buf)
	if c.last {
		q.whole++
	}
	q.at, q.passed = c.at, false
	q.moved.Broadcast()
	return nil
}

// pass says that the log has come up to a position that no transaction ends at: there is none between
// the last one and it.
func (q *queue) pass(at Position) {
	q.mu.Lock()
	q.at, q.passed = at, true
	q.moved.Broadcast()
	q.mu.Unlock()
}

// idle waits until there is a chunk, or no more comes. Before that, but not before due while more may come, it
// returns what pass was told and the queue has nothing before of: ok.
func (q *queue) idle(ctx context.Context, due time.Time) (at Position, ok bool) {
	defer context.AfterFunc(ctx, q.wake)() // which does not wait for the function
	q.mu.Lock()
	defer q.mu.Unlock()
	var timer *time.Timer
	for len(q.list) == 0 {
		ended := q.err != nil || q.closed || ctx.Err() != nil
		early := time.Until(due)
		if q.passed && (ended || early <= 0) {
			q.passed = false
			return q.at, true
		}
		if ended {
			break
		}
		if q.passed && timer == nil {
			timer = time.AfterFunc(early, q.wake)
			defer timer.Stop()
		}
		q.moved.Wait()
	}
	return Position{}, false
}

// wake makes whoever waits look again.
func (q *queue) wake() {
	q.mu.Lock()
	q.moved.Broadcast()
	q.mu.Unlock()
}

// silent says that the receiver begins to wait for the source.
func (q *queue) silent() error {
	q.mu.Lock()
	q.more = false
	q.moved.Broadcast()
	q.mu.Unlock()
	return nil
}

// fail says that no more comes.
func (q *queue) fail(err error) {
	q.mu.Lock()
	q.err = err
	q.moved.Broadcast()
	q.mu.Unlock()
}

// close says that nobody takes any more.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.moved.Broadcast()
	q.mu.Unlock()
}

// pop waits for the next chunk; what fail was told where there is none.
func (q *queue) pop(ctx context.Context) (*chunk, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.list) == 0 && q.err == nil {
		stop := context.AfterFunc(ctx, q.wake)
		defer stop() // which does not wait for the function
		for len(q.list) == 0 && q.err == nil && ctx.Err() == nil {
			q.moved.Wait()
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(q.list) == 0 {
		return nil, q.err
	}
	c := q.list[0]
	q.list[0] = nil
	q.list = q.list[1:]
	q.bytes -= cap(c.buf)
	if c.last {
		q.whole--
	}
	q.moved.Broadcast()
	return c, nil
}

// waiting is what the queue holds.
type waiting struct {
	transactions int       // that are here as a whole
	first        time.Time // when the first of what is here was committed
	full         bool      // the receiver has to wait
	at           Position  // up to which the log has come
}

func (q *queue) waiting() waiting {
	q.mu.Lock()
	defer q.mu.Unlock()
	w := waiting{transactions: q.whole, full: q.full, at: q.at}
	if len(q.list) > 0 {
		w.first = q.list[0].committed
	}
	return w
}

// soon reports whether there is a chunk. What has come to this server is one soon: it waits for
// that, so that transactions which were sent together are written together.
func (q *queue) soon() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.list) == 0 && q.more && q.err == nil && !q.closed {
		q.moved.Wait()
	}
	return len(q.list) > 0
}

// take is a chunk to fill.
func (q *queue) take() *chunk {
	q.mu.Lock()
	defer q.mu.Unlock()
	if n := len(q.free); n > 0 {
		c := q.free[n-1]
		q.free = q.free[:n-1]
		return c
	}
	return &chunk{}
}

// give takes a chunk back whose events are no longer used.
func (q *queue) give(c *chunk) {
	if cap(c.buf) > keptBuffer {
		return
	}
	*c = chunk{buf: c.buf[:0], marks: c.marks[:0], head: c.head[:0]}
	q.mu.Lock()
	if len(q.free) < 64 {
		q.free = append(q.free, c)
	}
	q.mu.Unlock()
}

// pipe is between who receives and who applies.
type pipe interface {
	// Of the receiver: a chunk to fill, what it has filled, how far it has come without, and that it begins to wait.
	take() *chunk
	push(c *chunk, more bool) error
	pass(at Position)
	silent() error
	// Of the applier: the next chunk, whether there is one soon, what has come without one, and a chunk that is used up.
	pop(ctx context.Context) (*chunk, error)
	soon() bool
	idle(ctx context.Context, due time.Time) (at Position, ok bool)
	give(c *chunk)
	// That all that was taken is applied, durably; and to wait for others to come, where the last ones were applied just now.
	applied()
	gather(ctx context.Context)

	waiting() waiting
}

// applied and gather do nothing: what the queue gave is forgotten, and who applies is waited for by the source's commits.
func (q *queue) applied()               {}
func (q *queue) gather(context.Context) {}

// source gives the applier what the queue holds.
type source struct {
	q   pipe
	cur *chunk
}

// Next waits for the next event.
func (s *source) Next(ctx context.Context) ([]byte, error) {
	for {
		if s.cur != nil {
			if ev := s.cur.next(); ev != nil {
				return ev, nil
			}
			s.q.give(s.cur)
			s.cur = nil
		}
		var err error
		if s.cur, err = s.q.pop(ctx); err != nil {
			return nil, err
		}
	}
}

// ready reports whether an event has come.
func (s *source) ready() bool {
	return s.cur != nil && s.cur.read < len(s.cur.head)+len(s.cur.marks) || s.q.soon()
}

// withoutChecksum makes the size in an event's header what it would be with a checksum, as the rest of
// the code counts it.
func withoutChecksum(ev []byte) {
	binary.LittleEndian.PutUint32(ev[9:], uint32(len(ev)+event.ChecksumSize))
}
