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
	publishAhead = 4       // groups applied and not yet published
)

// commitRequest is a transaction on its way into a batch.
type commitRequest struct {
	set     *writeSet           // nil: only the counters are to be logged
	large   *largeSet           // what is in set, where that has left memory; nil else
	log     *binlog.Transaction // nil: nothing for the binary log, and no GTID
	logFile *binlog.LargeFile   // what is in log, where that has left memory; nil else
	rotate  bool                // begin a new file of the binary log
	catalog *store.Catalog      // staged, nil if no descriptor changed
	drops   []uint32            // index ids to delete once no view needs them
	built   []uint32            // index ids that a rebuild filled and that now have an owner
	frees   bool                // gives space back: allowed on a full disk
	owner   *Owner
	pos     Position
	applied uint64 // number among those applied since the start
	done    chan error
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

	seq     uint64         // leader only: last executed
	applied uint64         // leader only: transactions applied since the start, logged or not
	catalog *store.Catalog // leader only: newest applied

	commits atomic.Uint64
	groups  atomic.Uint64
}

// group is an applied batch that waits to be published.
type group struct {
	requests []*commitRequest
	view     *view
}

func newCommitQueue(e *Engine, seq uint64) *commitQueue {
	q := &commitQueue{
		e: e, seq: seq, catalog: e.Catalog(),
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
	return <-r.done
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

// alone reports whether the request must be a group of its own.
func (r *commitRequest) alone() bool { return r.large != nil || r.logFile != nil }

func (r *commitRequest) size() int64 {
	if r.set == nil {
		return 0
	}
	n := r.set.total()
	if r.log != nil {
		n += int64(len(r.log.Head) + len(r.log.Body))
	}
	return n
}

// run commits a group: refuse what may not go in, build the batch, apply and sync,
// snapshot, hand over to the publisher.
func (q *commitQueue) run(requests []*commitRequest) {
	started := time.Now()
	group := &group{requests: make([]*commitRequest, 0, len(requests))}
	for _, r := range requests {
		if err := q.admit(r); err != nil {
			r.done <- err
			continue
		}
		group.requests = append(group.requests, r)
	}
	if len(group.requests) == 0 {
		return
	}
	seq, applied, catalog := q.seq, q.applied, q.catalog
	err := q.apply(group)
	if err != nil {
		q.seq, q.applied, q.catalog = seq, applied, catalog
		for _, r := range group.requests {
			r.done <- fmt.Errorf("commit: %w", err)
		}
		return
	}
	group.view = q.e.newView(q.catalog, Position{q.e.store.Server, q.seq}, q.applied)
	q.groups.Add(1)
	q.commits.Add(q.applied - applied)
	if q.e.opts.Observe != nil {
		q.e.opts.Observe(len(group.requests), time.Since(started))
	}
	q.groups_ <- group
}

// admit says why a request may not be committed. Refusing here, in the leader, is
// what makes a switch to read-only exact: no write follows it.
func (q *commitQueue) admit(r *commitRequest) error {
	if r.set == nil {
		return nil
	}
	if q.e.readOnly.Load() {
		return ErrReadOnly
	}
	if r.frees {
		return nil
	}
	return q.e.store.CheckSpace(uint64(r.size()))
}

func (q *commitQueue) apply(g *group) error {
	size := int64(4 << 10) // of what goes with every group
	for _, r := range g.requests {
		size += r.size()
	}
	b := q.e.store.DB.NewBatchWithSize(int(min(size, batchAhead)))
	defer b.Close()
	catalog := q.catalog
	log, err := q.e.binlog.Begin(b, int64(q.seq), q.e.executedUpTo)
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
		if r.log != nil {
			q.seq++
			r.pos = Position{q.e.store.Server, q.seq}
			if r.logFile != nil {
				err = log.AddFile(r.logFile, int64(q.seq))
			} else {
				err = log.Add(r.log, int64(q.seq))
			}
			if err != nil {
				return err
			}
		}
		if err := r.encode(b); err != nil {
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
	if q.seq > 0 {
		pos := Position{q.e.store.Server, q.seq}
		err = errors.Join(err, b.Set(store.MetaExecutedKey(), []byte(pos.String()), nil))
	}
	if err != nil {
		return err
	}
	how := q.e.writeOptions()
	if large := g.requests[0].large; large != nil {
		how = pebble.Sync
		err = large.commit(b)
	} else {
		err = b.Commit(how)
	}
	if err != nil {
		return err
	}
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

// publish runs behind the leader: in order, make the view current, release the
// locks, answer. Acknowledgements of replicas will be waited for here.
func (q *commitQueue) publish() {
	for g := range q.groups_ {
		for _, r := range g.requests {
			if len(r.drops) > 0 {
				q.e.sweeper.add(r.applied, r.drops)
			}
		}
		q.e.publish(g.view)
		for _, r := range g.requests {
			if r.owner != nil {
				q.e.locks.releaseAll(r.owner)
			}
			r.done <- nil
		}
		q.e.sweeper.wake()
	}
}
