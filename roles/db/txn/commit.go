package txn

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"stack/roles/db/binlog"
	"stack/roles/db/store"
)

const (
	groupLimit   = 256      // transactions in one batch
	groupBytes   = 64 << 20 // write-set bytes in one batch, unless the first is larger
	queueLength  = 1024
	batchAhead   = 1 << 20 // bytes of a batch that are allocated at once
	publishAhead = 64      // groups applied and not yet published
)

// commitRequest is a transaction on its way into a batch.
type commitRequest struct {
	set     *writeSet             // nil: only the counters are to be logged
	large   *largeSet             // what is in set, where that has left memory; nil else
	log     *binlog.Transaction   // nil: nothing for the binary log, and no GTID
	earlier []*binlog.Transaction // of other servers, that go into the log before log
	logFile *binlog.LargeFile     // what is in log, where that has left memory; nil else
	rotate  bool                  // begin a new file of the binary log
	catalog *store.Catalog        // staged, nil if no descriptor changed
	drops   []uint32              // index ids to delete once no view needs them
	built   []uint32              // index ids that a rebuild filled and that now have an owner
	frees   bool                  // gives space back: allowed on a full disk
	applies bool                  // applies another server's log: allowed where the server is read-only
	// admitted: its statements were taken while the server took writes.
	admitted bool
	owner    *Owner
	epoch    uint64 // that the source of what is applied is in; 0: it has none
	// abandon, closed, lets the client go: it is not told how the commit ended, which
	// orphan hears instead. nil: the client waits.
	abandon <-chan struct{}
	orphan  func(error)
	state   atomic.Int32
	// back, where not nil, is what else goes into the batch of a request that takes the end of the log back.
	back     func(*pebble.Batch) error
	barrier  bool // only asks what is in the log before it: executed is the answer
	reveals  bool // shows and unlocks what was dropped before it: it is part of the data
	executed string
	capture  *capture // cut it: view and changed are the answer
	view     *view
	changed  []changes
	rest     time.Duration // of the writer after the commit, for the sake of a build
	pos      Position
	applied  uint64 // number among those applied since the start
	done     chan error
}

// States of a commitRequest.
const (
	pending int32 = iota
	answered
	abandoned
)

// answer ends a request.
func (r *commitRequest) answer(err error) {
	if r.abandon == nil || r.state.CompareAndSwap(pending, answered) {
		r.done <- err
		return
	}
	r.orphan(err)
}

// commitQueue is the way into the store: a leader that builds, applies and syncs one
// batch after another, and a publisher behind it.
type commitQueue struct {
	e        *Engine
	requests chan *commitRequest
	next     *commitRequest // leader only: taken out of requests and not into a group yet
	groups_  chan *group
	wait     sync.WaitGroup

	mu     sync.RWMutex // held shared while a request is put in, so that close is clean
	closed bool

	captures []*capture     // leader only: those of the tables that are being rebuilt
	done     executed       // leader only
	applied  uint64         // leader only: transactions applied since the start, logged or not
	catalog  *store.Catalog // leader only: newest applied

	commits atomic.Uint64
	groups  atomic.Uint64
}

// group is an applied batch that waits to be published.
type group struct {
	requests    []*commitRequest
	view        *view
	generation  uint64    // of the acks when it was admitted
	first, last uint64    // numbers of this server's own transactions in it; last < first: none
	synced      time.Time // when it was on disk
	reveals     bool      // what was dropped before it is part of the data
}

func newCommitQueue(e *Engine, done executed) *commitQueue {
	q := &commitQueue{
		e: e, done: done, catalog: e.Catalog(),
		requests: make(chan *commitRequest, queueLength),
		groups_:  make(chan *group, publishAhead),
	}
	q.wait.Go(q.lead)
	q.wait.Go(q.publish)
	return q
}

// commit puts a request in and waits for its end.
func (q *commitQueue) commit(r *commitRequest) error {
	r.done = make(chan error, 1)
	q.mu.RLock()
	if q.closed {
		q.mu.RUnlock()
		return ErrClosed
	}
	q.requests <- r
	q.mu.RUnlock()
	if r.abandon == nil {
		return <-r.done
	}
	select {
	case err := <-r.done:
		return err
	case <-r.abandon:
		if r.state.CompareAndSwap(pending, abandoned) {
			return errAbandoned
		}
		return <-r.done
	}
}

func (q *commitQueue) close() {
	q.mu.Lock()
	if !q.closed {
		q.closed = true
		close(q.requests)
	}
	q.mu.Unlock()
	q.wait.Wait()
}

// lead drains the queue into one batch after another. In relaxed durability it makes
// the log durable once a second.
func (q *commitQueue) lead() {
	defer close(q.groups_)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	dirty := false
	for {
		if r := q.next; r != nil {
			q.next = nil
			q.run(q.drain(r))
			continue
		}
		select {
		case r, ok := <-q.requests:
			if !ok {
				if dirty {
					q.syncLog()
				}
				return
			}
			q.run(q.drain(r))
			dirty = Durability(q.e.durability.Load()) == SyncSecond
		case <-tick.C:
			if dirty {
				q.syncLog()
				dirty = false
			}
		}
	}
}

// syncLog makes everything applied so far durable.
func (q *commitQueue) syncLog() {
	if err := q.e.store.DB.LogData(nil, pebble.Sync); err != nil {
		q.e.log.Error("sync the log: " + err.Error())
		return
	}
	q.e.binlog.Synced()
}

// drain takes what else waits, up to the limits of a group. A large transaction is a group
// of its own.
func (q *commitQueue) drain(first *commitRequest) []*commitRequest {
	requests := append(make([]*commitRequest, 0, 16), first)
	if first.alone() {
		return requests
	}
	size := first.size()
	for len(requests) < groupLimit && size < groupBytes {
		select {
		case r, ok := <-q.requests:
			if !ok {
				return requests
			}
			if r.alone() {
				q.next = r
				return requests
			}
			requests = append(requests, r)
			size += r.size()
		default:
			return requests
		}
	}
	return requests
}

// logged are the transactions that go into the log.
func (r *commitRequest) logged() []*binlog.Transaction {
	if r.log == nil {
		return r.earlier
	}
	return append(r.earlier[:len(r.earlier):len(r.earlier)], r.log)
}

// alone reports whether the request must be a group of its own.
func (r *commitRequest) alone() bool {
	return r.large != nil || r.logFile != nil || r.capture != nil || r.back != nil
}

// size is about how many bytes of a batch the request takes. What a large set has in table files is on
// the disk already.
func (r *commitRequest) size() (n int64) {
	switch {
	case r.set == nil:
		return 0
	case r.large != nil:
		for i := range r.large.others {
			n += int64(len(r.large.others[i].key) + len(r.large.others[i].value))
		}
	default:
		n = r.set.total()
	}
	for _, tx := range r.earlier {
		n += int64(len(tx.Head) + len(tx.Body))
	}
	if r.log != nil {
		n += int64(len(r.log.Head) + len(r.log.Body))
	}
	return n
}

// run commits a group: refuse what may not go in, build the batch, apply and sync,
// snapshot, hand over to the publisher.
func (q *commitQueue) run(requests []*commitRequest) {
	q.e.acks.makeRoom(q.groups_)
	started := time.Now()
	// Before admit asks whether the server is read-only: see fence.
	group := &group{
		requests: make([]*commitRequest, 0, len(requests)), generation: q.e.acks.generation.Load(), first: q.done.Seq + 1,
	}
	for _, r := range requests {
		if err := q.admit(r); err != nil {
			r.answer(err)
			continue
		}
		group.requests = append(group.requests, r)
	}
	if len(group.requests) == 0 {
		return
	}
	done, applied, catalog := q.done, q.applied, q.catalog
	err := q.apply(group)
	q.e.counters.settle(err)
	if err != nil {
		q.done, q.applied, q.catalog = done, applied, catalog
		for _, r := range group.requests {
			r.answer(fmt.Errorf("commit: %w", err))
		}
		return
	}
	group.view, group.last = q.e.newView(q.catalog, q.done, q.applied), q.done.Seq
	group.synced = group.view.taken
	if r := group.requests[0]; r.capture != nil {
		q.cut(r, group.view)
	}
	q.groups.Add(1)
	q.commits.Add(q.applied - applied)
	if q.e.opts.Observe != nil {
		q.e.opts.Observe(len(group.requests), time.Since(started))
	}
	q.handOver(group)
}

// handOver gives a group to the publisher. What has nothing to be seen does not wait for
// acknowledgements.
func (q *commitQueue) handOver(g *group) {
	for _, r := range g.requests {
		g.reveals = g.reveals || r.reveals || r.applies
		if r.barrier {
			r.executed = q.done.String()
		}
	}
	if q.e.acks.need.Load() > 0 {
		g.requests = slices.DeleteFunc(g.requests, func(r *commitRequest) bool {
			if r.set != nil || r.capture != nil || r.reveals {
				return false
			}
			r.answer(nil)
			return true
		})
	}
	if len(g.requests) > 0 {
		q.groups_ <- g
		return
	}
	select {
	case q.groups_ <- g:
	default: // the leader must not wait: it has refusals to tell
		q.e.releaseView(g.view)
	}
}

// cut answers a capture's request, whose group has this view.
func (q *commitQueue) cut(r *commitRequest, v *view) {
	v.refs.Add(1)
	r.view = v
	r.changed, r.capture.changed = r.capture.changed, make([]changes, len(r.capture.changed))
	if !slices.Contains(q.captures, r.capture) {
		q.captures = append(q.captures, r.capture)
	}
}

// note tells the captures what a request changes.
func (q *commitQueue) note(r *commitRequest) error {
	if len(q.captures) == 0 {
		return nil
	}
	q.captures = slices.DeleteFunc(q.captures, func(c *capture) bool { return c.closed.Load() })
	for _, c := range q.captures {
		if err := c.note(r); err != nil {
			return err
		}
	}
	return nil
}

// admit says why a request may not be committed. Refusing here, in the leader, is
// what makes a switch to read-only exact: no write follows it.
func (q *commitQueue) admit(r *commitRequest) error {
	if r.rotate {
		// What it ends is to be sealed, which takes as much again; the client waits for that.
		return q.e.store.CheckSpace(0)
	}
	if r.set == nil && r.capture == nil {
		return nil
	}
	if err := q.e.acks.admit(); err != nil || r.set == nil {
		return err
	}
	if r.applies {
		if now := q.e.epoch.Load(); r.epoch > 0 && r.epoch < now {
			return fmt.Errorf("apply in epoch %d, this server has accepted %d: %w", r.epoch, now, ErrStaleEpoch)
		}
		for _, tx := range r.logged() {
			if err := q.done.admit(tx.Origin); err != nil {
				return err
			}
		}
	}
	if q.e.ReadOnly() && !r.applies {
		return q.e.readOnlyError(r.admitted)
	}
	if r.frees {
		return q.e.store.CheckLastSpace()
	}
	return q.e.store.CheckSpace(uint64(r.size()))
}

// writes reports whether a group has anything but counters for the store.
func (g *group) writes() bool {
	return slices.ContainsFunc(g.requests, func(r *commitRequest) bool { return r.set != nil || r.rotate })
}

func (q *commitQueue) apply(g *group) error {
	if r := g.requests[0]; r.back != nil {
		return q.takeBack(r)
	}
	if !g.writes() && q.e.store.CheckLastSpace() != nil {
		// Only counters would be logged. They are with the next commit: until then a crash may
		// give out again what no commit has had, which is better than to end here.
		return nil
	}
	size := int64(4 << 10) // of what goes with every group
	for _, r := range g.requests {
		size += r.size()
	}
	b := q.e.store.DB.NewBatchWithSize(int(min(size, batchAhead)))
	defer b.Close()
	catalog := q.catalog
	q.done.moved = false
	log, err := q.e.binlog.Begin(b, &q.done)
	if err != nil {
		return err
	}
	defer log.Abort()
	if slices.ContainsFunc(g.requests, func(r *commitRequest) bool { return r.rotate }) {
		if err := log.Rotate(); err != nil {
			return err
		}
	}
	for _, r := range g.requests {
		if r.set == nil {
			continue
		}
		q.applied++
		r.applied = q.applied
		for _, tx := range r.earlier {
			if err := log.Add(tx, q.done.next(tx.Origin)); err != nil {
				return err
			}
		}
		if r.log != nil {
			id := q.done.next(r.log.Origin)
			if r.logFile != nil {
				err = log.AddFile(r.logFile, id)
			} else {
				err = log.Add(r.log, id)
			}
			if err != nil {
				return err
			}
			if !r.log.Origin.Named() {
				r.pos = q.done.Position
			}
		}
		if err := errors.Join(r.encode(b), q.note(r)); err != nil {
			return err
		}
		if r.catalog != nil {
			q.catalog = r.catalog.WithVersion(q.catalog.Version + 1)
		}
	}
	err = errors.Join(log.End(), q.e.counters.log(b))
	if q.catalog != catalog {
		err = errors.Join(err,
			b.Set(store.MetaCatalogKey(), binary.BigEndian.AppendUint64(nil, q.catalog.Version), nil),
			b.Set(store.MetaNextIDKey(), binary.BigEndian.AppendUint32(nil, q.e.nextID.Load()), nil))
	}
	q.done.seal()
	if q.done.Seq > 0 {
		err = errors.Join(err, b.Set(store.MetaExecutedKey(), []byte(q.done.Position.String()), nil))
	}
	if q.done.moved {
		err = errors.Join(err, b.Set(store.MetaHistoryKey(), []byte(q.done.text), nil))
	}
	if err != nil {
		return err
	}
	how := q.e.writeOptions()
	if large := g.requests[0].large; large != nil {
		how = pebble.Sync
		err = large.commit(b, log.Durable)
	} else if err = log.Durable(); err == nil {
		err = b.Commit(how)
	}
	if err != nil {
		return err
	}
	q.e.acks.logged.Store(q.done.Seq) // before a reader can acknowledge it
	q.e.binlog.Committed(log, how.Sync)
	return nil
}

// encode puts everything that the transaction wrote into the batch.
func (r *commitRequest) encode(b *pebble.Batch) error {
	each := r.set.each
	if r.large != nil {
		each = r.large.each
	}
	err := each(func(key []byte, v *version) error {
		if v.deleted {
			return b.Delete(key, nil)
		}
		return b.Set(key, v.value, nil)
	})
	if err != nil {
		return err
	}
	for _, id := range r.drops {
		if err := b.Set(store.MetaPendingDropKey(id), nil, nil); err != nil {
			return err
		}
	}
	for _, id := range r.built {
		if err := b.Delete(store.MetaBuildingKey(id), nil); err != nil {
			return err
		}
	}
	return nil
}

// publish runs behind the leader: in order, wait for the acknowledgements, make the view
// current, release the locks, answer. After a group that was dropped nothing is made
// current until one says that it is part of the data: nobody may see what others may
// have decided to be without.
func (q *commitQueue) publish() {
	hidden := false
	for g := range q.groups_ {
		if !q.e.acks.await(g) {
			hidden = true
			q.e.releaseView(g.view)
			for _, r := range g.requests {
				if r.owner != nil {
					q.e.keep(r.owner)
				}
				r.answer(ErrOutcomeUnknown)
			}
			q.e.acks.published()
			continue
		}
		if g.reveals {
			hidden = false
			q.e.releaseKept()
		}
		for _, r := range g.requests {
			if len(r.drops) > 0 {
				q.e.sweeper.add(r.applied, r.drops)
			}
		}
		if hidden {
			q.e.releaseView(g.view)
		} else {
			q.e.publish(g.view)
			if q.e.acks.need.Load() > 1 {
				q.e.binlog.Poke() // replicas wait to be told: see dump.Source.SetShown
			}
		}
		for _, r := range g.requests {
			if r.owner != nil {
				q.e.locks.releaseAll(r.owner)
			}
			r.answer(nil)
		}
		q.e.acks.published()
		q.e.sweeper.wake()
	}
}

// keep leaves the locks of a commit of unknown outcome where they are.
func (e *Engine) keep(o *Owner) {
	e.keptMu.Lock()
	e.kept = append(e.kept, o)
	e.keptMu.Unlock()
}

// releaseKept releases them.
func (e *Engine) releaseKept() {
	e.keptMu.Lock()
	kept := e.kept
	e.kept = nil
	e.keptMu.Unlock()
	for _, o := range kept {
		e.locks.releaseAll(o)
	}
}
