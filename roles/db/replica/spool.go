package replica

import (
	"context"
	"errors"
	"sync"
	"time"

	"stack/roles/db/binlog/event"
	"stack/roles/db/relay"
)

// spool is a pipe through the relay log: what is in it is durable, and acknowledged, before it is applied. It outlives
// connections.
type spool struct {
	log *relay.Log
	// Of the receiver.
	filling *chunk
	named   event.ID       // the last whole transaction that was appended
	told    event.ID       // the last that synced was told of
	synced  func(event.ID) // told of the last whole transaction that is durable; set while there is a connection

	mu     sync.Mutex
	moved  *sync.Cond
	reader *relay.Reader
	at     Position  // up to which the source's log has come
	passed bool      // at is beyond the last transaction: see queue.pass
	drains bool      // no more comes: the end is errDrained
	bound  bound     // of what may be applied
	heard  bool      // the bound is of a source that is read, or was
	begun  time.Time // when the applier was let go last
}

// newSpool begins with what is in the log.
func newSpool(log *relay.Log, b bound, drains bool) *spool {
	s := &spool{log: log, filling: &chunk{}, reader: log.Reader(), bound: b, drains: drains}
	s.moved = sync.NewCond(&s.mu)
	return s
}

func (s *spool) close() {
	s.mu.Lock()
	s.reader.Close()
	s.mu.Unlock()
}

// unsyncedMost is how many transactions are appended before they are made durable, though more have come already.
const unsyncedMost = 256

func (s *spool) take() *chunk { return s.filling }

// errUnnamed: a server of this kind names all transactions.
var errUnnamed = errors.New("the source has sent a transaction without a GTID")

// push appends what is in the chunk, which is then empty.
func (s *spool) push(c *chunk, more bool) error {
	if c.id.Number == 0 {
		return errUnnamed
	}
	r := relay.Record{
		First: c.first, Last: c.last, ID: c.id, Original: c.tx.Original, Committed: c.tx.Committed, File: c.at.File, Offset: c.at.Offset,
		Events: make([][]byte, 0, len(c.head)+len(c.marks)),
	}
	r.Events = append(r.Events, c.head...)
	for _, m := range c.marks {
		r.Events = append(r.Events, c.buf[m.from:m.to])
	}
	if err := s.log.Append(&r); err != nil {
		return err
	}
	if c.last {
		s.named = c.id
	}
	s.mu.Lock()
	s.at, s.passed = c.at, false
	s.mu.Unlock()
	if cap(c.buf) > keptBuffer {
		c.buf = nil
	}
	*c = chunk{buf: c.buf[:0], marks: c.marks[:0], head: c.head[:0]}
	if more && s.log.Waiting() < unsyncedMost {
		return nil
	}
	return s.silent()
}

// silent makes durable what has come, and tells of it.
func (s *spool) silent() error {
	if s.named == s.told {
		return nil
	}
	if err := s.log.Sync(); err != nil {
		return err
	}
	s.told = s.named
	s.wake()
	s.synced(s.named)
	return nil
}

// ended is called when the connection has ended: what has come of a transaction without its end is forgotten.
func (s *spool) ended() {
	s.log.Drop()
	*s.filling = chunk{}
	s.named, s.told = event.ID{}, event.ID{}
	s.wake() // what was whole is durable
}

// finish says that no more comes.
func (s *spool) finish() {
	s.mu.Lock()
	s.drains = true
	s.moved.Broadcast()
	s.mu.Unlock()
}

// rewind begins again behind what is applied.
func (s *spool) rewind() {
	s.mu.Lock()
	s.reader.Close()
	s.reader = s.log.Reader()
	s.mu.Unlock()
}

// bound is how far the log may be applied: what too few servers have may be lost with them, and no client may have seen it.
type bound struct {
	held   bool     // by what the source tells
	source [16]byte // whose transactions first is a number of
	first  uint64   // that may not be applied; 0: nothing may be, else what came to the source from others too, which it had before
}

func (b *bound) passes(id event.ID) bool {
	return !b.held || b.first > 0 && (id.UUID != b.source || uint64(id.Number) < b.first)
}

// from says which source is read from now on, and how far its log may be applied, where it tells.
func (s *spool) from(source [16]byte, tells bool, first uint64) {
	s.mu.Lock()
	s.bound = bound{tells, source, first}
	s.heard = true
	s.moved.Broadcast()
	s.mu.Unlock()
}

// show takes what the source tells.
func (s *spool) show(first uint64) {
	s.mu.Lock()
	s.bound.first = first
	s.moved.Broadcast()
	s.mu.Unlock()
}

// mayShow reports whether the source has told that something may be shown.
func (s *spool) mayShow() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.heard && (!s.bound.held || s.bound.first > 0)
}

// ready reports whether there is something that may be applied. s.mu is held.
func (s *spool) ready() bool {
	if !s.reader.Ready() || !s.bound.held {
		return s.reader.Ready()
	}
	r, err := s.reader.Peek()
	passes := err != nil || !r.First || s.bound.passes(r.ID) // an error is for pop
	s.log.Hold(!passes)
	return passes
}

func (s *spool) wake() {
	s.mu.Lock()
	s.moved.Broadcast()
	s.mu.Unlock()
}

func (s *spool) pass(at Position) {
	s.mu.Lock()
	s.at, s.passed = at, true
	s.moved.Broadcast()
	s.mu.Unlock()
}

func (s *spool) idle(ctx context.Context, due time.Time) (at Position, ok bool) {
	defer context.AfterFunc(ctx, s.wake)() // which does not wait for the function
	s.mu.Lock()
	defer s.mu.Unlock()
	var timer *time.Timer
	for !s.ready() && ctx.Err() == nil && !s.drains {
		early := time.Until(due)
		if s.passed && early <= 0 && !s.reader.Ready() {
			s.passed = false
			return s.at, true
		}
		if s.passed && timer == nil {
			timer = time.AfterFunc(early, s.wake)
			defer timer.Stop()
		}
		s.moved.Wait()
	}
	return Position{}, false
}

// gatherFor is how long transactions gather before they are applied, while others have just been: they are acknowledged
// already, and what is applied together costs one write to disk. One that comes alone does not wait.
const gatherFor = 5 * time.Millisecond

// gather waits for others to come, where the last ones were applied just now.
func (s *spool) gather(ctx context.Context) {
	if left := gatherFor - time.Since(s.begun); left > 0 {
		pause := time.NewTimer(left)
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
		pause.Stop()
	}
	s.begun = time.Now()
}

// errDrained: nothing is left of what was received and may be applied, and no more comes.
var errDrained = errors.New("all that was received is applied")

// pop waits for the next chunk; errDrained where no more comes.
func (s *spool) pop(ctx context.Context) (*chunk, error) {
	defer context.AfterFunc(ctx, s.wake)() // which does not wait for the function
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.ready() && ctx.Err() == nil && !s.drains {
		s.moved.Wait()
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !s.ready() {
		return nil, errDrained
	}
	r, err := s.reader.Next()
	if err != nil {
		return nil, err
	}
	c := &chunk{
		head: r.Events, first: r.First, last: r.Last, id: r.ID, at: Position{File: r.File, Offset: r.Offset}, committed: r.Original, name: r.ID.String(),
		stored: s.reader.At(),
	}
	c.tx = Transaction{Name: c.name, Original: r.Original, Committed: r.Committed}
	return c, nil
}

func (s *spool) soon() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ready()
}

func (s *spool) give(*chunk) {}

// applied notes that all that was read is applied, durably.
func (s *spool) applied() {
	s.mu.Lock()
	at := s.reader.At()
	s.mu.Unlock()
	s.log.Applied(at)
}

func (s *spool) waiting() waiting {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := waiting{at: s.at}
	if !s.ready() { // the source shows no more either
		return w
	}
	w.transactions = int(s.log.Behind(s.reader.At()))
	if r, err := s.reader.Peek(); err == nil && r != nil {
		w.first = r.Original
	}
	return w
}
