package txn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"stack/roles/db/binlog"
	"stack/roles/db/binlog/event"
	"stack/roles/db/store"
)

// Durability says when a commit is answered.
type Durability int32

const (
	// SyncCommit answers when the commit is on disk (innodb_flush_log_at_trx_commit=1).
	SyncCommit Durability = iota
	// SyncSecond answers when the commit is in the log and makes the log durable once
	// a second: a crash of the machine may take back the last second.
	SyncSecond
)

// Options of Open; the zero value is usable.
type Options struct {
	LockWaitTimeout time.Duration // default 50 s
	// WriteSetLimit is what one transaction keeps of its writes in memory, bytes; more is
	// moved to temporary storage. Default 32 MiB.
	WriteSetLimit int64
	// WriteSetsLimit is what all of them keep in memory together, bytes; beyond it those that are
	// not small are moved. Default 8 times WriteSetLimit.
	WriteSetsLimit int64
	Durability     Durability
	Log            *slog.Logger
	Binlog         binlog.Options
	// Observe is called after each group with the number of transactions and the time
	// from its start to the end of its sync. It must not block.
	Observe func(transactions int, took time.Duration)
}

const (
	defaultLockWait      = 50 * time.Second
	defaultWriteSetLimit = 32 << 20
)

// WriteSetLimitOf is Options.WriteSetLimit for a process with this memory.
func WriteSetLimitOf(memory int64) int64 {
	return min(defaultWriteSetLimit, max(4<<20, memory/16))
}

// Engine runs transactions on a store. All methods are safe for concurrent use.
type Engine struct {
	store *store.Store
	log   *slog.Logger
	opts  Options
	locks *locks

	lockWait   atomic.Int64
	durability atomic.Int32
	readOnly   atomic.Bool // see SetReadOnly
	shut       atomic.Bool // see CloseForWrites
	gate       *commitGate // see BlockCommits
	epoch      atomic.Uint64
	epochMu    sync.Mutex // held while the epoch is raised or the server is opened for writes

	current atomic.Pointer[view]
	viewsMu sync.Mutex
	views   map[*view]struct{}

	writeSets    allSets
	counters     counters
	changed      changedRows
	nextID       atomic.Uint32 // of tables and indexes
	queue        *commitQueue
	acks         *acks
	keptMu       sync.Mutex
	kept         []*Owner // of commits whose outcome is not known, with all their locks
	captureLimit int      // captureLimit, but in tests
	sweeper      *sweeper
	buildup      *buildup
	binlog       *binlog.Log
	active       atomic.Int64 // transactions begun and not ended
	closed       atomic.Bool
}

// Open starts transactions on st, which it does not own. It finishes what a crash
// left: ranges of dropped tables and of unfinished rebuilds are deleted.
func Open(st *store.Store, opts Options) (*Engine, error) {
	if opts.LockWaitTimeout == 0 {
		opts.LockWaitTimeout = defaultLockWait
	}
	if opts.WriteSetLimit == 0 {
		opts.WriteSetLimit = defaultWriteSetLimit
	}
	if opts.WriteSetsLimit == 0 {
		opts.WriteSetsLimit = 8 * opts.WriteSetLimit
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Binlog.Log == nil {
		opts.Binlog.Log = opts.Log
	}
	e := &Engine{store: st, log: opts.Log, opts: opts, locks: newLocks(), captureLimit: captureLimit, views: map[*view]struct{}{}}
	e.writeSets.limit = opts.WriteSetsLimit
	e.lockWait.Store(int64(opts.LockWaitTimeout))
	e.durability.Store(int32(opts.Durability))
	e.counters.init(st.DB)
	if err := e.recover(); err != nil {
		return nil, err
	}
	catalog, err := store.LoadCatalog(st.DB)
	if err != nil {
		return nil, err
	}
	done, err := readExecutedSet(st)
	if err != nil {
		return nil, err
	}
	if e.binlog, err = binlog.Open(st, done.String(), int64(done.Seq), opts.Binlog); err != nil {
		return nil, err
	}
	epoch, err := readEpoch(st)
	if err != nil {
		return nil, err
	}
	e.epoch.Store(epoch)
	e.gate = newCommitGate()
	if e.acks, err = newAcks(e, done.Seq); err != nil {
		return nil, err
	}
	e.sweeper = newSweeper(e)
	e.buildup = newBuildup(e)
	e.publish(e.newView(catalog, done, 0))
	e.queue = newCommitQueue(e, done)
	return e, nil
}

// DropUnacknowledged lets nobody wait for acknowledgements any more: commits in the log
// that lack them are dropped (ErrOutcomeUnknown). It is for a server that stops.
func (e *Engine) DropUnacknowledged() { e.acks.close() }

// Close waits for the commits in the queue and stops; those that would wait for
// acknowledgements are dropped (ErrOutcomeUnknown). Later commits and first reads
// of transactions get ErrClosed. It fails where a transaction has not ended: its view
// would keep the store from closing. The store stays open. Call it once.
func (e *Engine) Close() error {
	e.acks.close()
	e.queue.close()
	e.sweeper.close()
	e.buildup.close()
	e.binlog.Close()
	if !e.closed.Swap(true) {
		e.releaseView(e.current.Load())
	}
	if n := e.active.Load(); n > 0 {
		return fmt.Errorf("%d transactions have not ended", n)
	}
	return nil
}

// Catalog is the newest published catalog.
func (e *Engine) Catalog() *store.Catalog { return e.current.Load().catalog }

// Executed is the published position: of the transactions that this server has committed first.
func (e *Engine) Executed() Position { return e.current.Load().done.Position }

// ExecutedSet is everything that has been executed and published, as a GTID set.
func (e *Engine) ExecutedSet() string {
	done := e.current.Load().done
	return done.String()
}

// ExecutedAt is ExecutedSet, and the position in the log behind it: who has the one goes on from the other.
func (e *Engine) ExecutedAt() (set string, at binlog.Position) {
	v := e.current.Load()
	done := v.done
	return done.String(), v.log
}

// LoggedSet is ExecutedSet with this server's own transactions that are in the log and not
// published: they wait for acknowledgements, or were dropped. A replica may have them.
func (e *Engine) LoggedSet() string {
	logged := e.acks.logged.Load()
	done := e.current.Load().done
	done.Seq = max(done.Seq, logged)
	return done.String()
}

// HasExecuted reports whether a transaction has been executed and published.
func (e *Engine) HasExecuted(id event.ID) bool {
	done := e.current.Load().done
	return done.has(id)
}

// SetLockWaitTimeout is the default of transactions begun from now on.
func (e *Engine) SetLockWaitTimeout(d time.Duration) { e.lockWait.Store(int64(d)) }

// SetDurability takes effect with the next group.
func (e *Engine) SetDurability(d Durability) { e.durability.Store(int32(d)) }

// SetReadOnly refuses commits that write, with ErrReadOnly, until it is taken back.
func (e *Engine) SetReadOnly(on bool) { e.readOnly.Store(on) }

// CloseForWrites refuses them too, until OpenForWrites.
func (e *Engine) CloseForWrites() { e.shut.Store(true) }

// ReadOnly reports whether commits that write are refused.
func (e *Engine) ReadOnly() bool { return e.readOnly.Load() || e.shut.Load() }

// Stats are the engine's counters and gauges at one moment.
type Stats struct {
	Active      int64  // transactions begun and not ended
	Commits     uint64 // transactions that wrote and were committed
	Groups      uint64 // batches they went in
	LockWaits   uint64 // lock requests that had to wait, in total
	LockWaiting uint64 // lock requests waiting now
	// Of the requests that had to wait, those for rows; how long all and the longest took, and
	// the same of definitions of tables.
	RowLockWaits                     uint64
	RowLockWait, RowLockWaitMost     time.Duration
	TableLockWait, TableLockWaitMost time.Duration
	Deadlocks                        uint64 // transactions that were chosen to end a deadlock
	Views                            int    // open views, the published one included
	OldestViewAge                    time.Duration
	WriteSetBytes                    int64  // in memory, of transactions that have written more than a little
	PendingDrops                     int    // dropped indexes whose keys wait for old views
	Flushes                          uint64 // because versions in memory slowed down reads
}

// Stats reads the counters.
func (e *Engine) Stats() Stats {
	s := Stats{Active: e.active.Load(), Commits: e.queue.commits.Load(), Groups: e.queue.groups.Load()}
	s.LockWaits, s.LockWaiting = e.locks.waits()
	s.WriteSetBytes = e.writeSets.bytes.Load()
	s.Deadlocks = e.locks.deadlocks.Load()
	s.RowLockWaits = e.locks.rowWaits.Load()
	s.RowLockWait, s.RowLockWaitMost = time.Duration(e.locks.rowWait.Load()), time.Duration(e.locks.rowWaitMost.Load())
	s.TableLockWait, s.TableLockWaitMost = time.Duration(e.locks.tableWait.Load()), time.Duration(e.locks.tableWaitMost.Load())
	e.viewsMu.Lock()
	s.Views = len(e.views)
	e.viewsMu.Unlock()
	_, taken := e.oldestView()
	s.OldestViewAge = time.Since(taken)
	s.PendingDrops = e.sweeper.pending()
	s.Flushes = e.buildup.flushes.Load()
	return s
}

// String is the position as a GTID set; empty where nothing was executed.
func (p Position) String() string {
	if p.Seq == 0 {
		return ""
	}
	if p.Seq == 1 {
		return p.Server + ":1"
	}
	return p.Server + ":1-" + strconv.FormatUint(p.Seq, 10)
}

// readExecuted reads the executed set, which this version keeps for its own server only.
func readExecuted(st *store.Store) (Position, error) {
	b, err := store.Get(st.DB, store.MetaExecutedKey())
	if err != nil || b == nil {
		return Position{Server: st.Server}, err
	}
	pos, err := parsePosition(string(b))
	if err != nil || pos.Server != st.Server {
		return Position{}, fmt.Errorf("executed set %q in %s is none that this version can continue for server %s: %w", b, st.Dir(), st.Server, store.ErrCorrupt)
	}
	return pos, nil
}

func parsePosition(text string) (Position, error) {
	server, interval, ok := strings.Cut(text, ":")
	first, last, isRange := strings.Cut(interval, "-")
	if !isRange {
		last = first
	}
	seq, err := strconv.ParseUint(last, 10, 64)
	if !ok || err != nil || first != "1" || seq == 0 {
		return Position{}, errors.New("not a GTID set of one server")
	}
	return Position{Server: server, Seq: seq}, nil
}

// WaitIdle returns when no transaction is open, or ctx ends.
func (e *Engine) WaitIdle(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for e.active.Load() > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

func (e *Engine) writeOptions() *pebble.WriteOptions {
	if Durability(e.durability.Load()) == SyncSecond {
		return pebble.NoSync
	}
	return pebble.Sync
}
