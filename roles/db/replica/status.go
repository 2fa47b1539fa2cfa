package replica

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"stack/roles/db/store"
	"stack/roles/db/txn"
)

// State is what following is at.
type State int

// The states.
const (
	StateStopped    State = iota // by a statement, or never begun
	StateConnecting              // a connection is being made
	StateStreaming               // the log comes
	StateWaiting                 // for the next attempt
	StateIOFailed                // ended: the source cannot be followed
	StateSQLFailed               // ended: what came cannot be applied
)

// side is the half of replication that MySQL names a failure after.
type side int

const (
	ioSide side = iota
	sqlSide
)

// Failure is the last error of a side.
type Failure struct {
	Code int    // MySQL's number
	Text string // empty: none
	At   time.Time
}

// wasDiverged is why the data is not the source's, as it was found before a restart.
type wasDiverged string

func (e wasDiverged) Error() string { return string(e) }
func (wasDiverged) Unwrap() error   { return txn.ErrDiverged }

// codeOf is MySQL's number of an error.
func codeOf(f side, err error) int {
	var server *ServerError
	switch {
	case errors.As(err, &server):
		return int(server.Code)
	case f == ioSide:
		return 2003
	case errors.Is(err, txn.ErrDiverged):
		return 1032
	case errors.Is(err, txn.ErrDiskFull):
		return 1021
	}
	return 1105
}

// status is what is known of following now.
type status struct {
	statusMu sync.Mutex
	state    State
	failures [2]Failure
	diverged string
	stuck    bool      // what was received could not be applied, and nothing was since
	at       Position  // durable here
	oldest   time.Time // commit of the first transaction that is applied and not durable
	current  time.Time // commit of the one that is being applied
	joined   int       // transactions that are applied and not durable
	link     *link     // nil: not connected
	queue    pipe
	known    identity // of the source that was connected last
	retry    int      // attempts since the last event
	applying Transaction
	last     Transaction // that became durable
	// What has kept the transaction from being applied that is next, and the last one before it was.
	retries, lastRetries     uint64
	transient, lastTransient Failure

	arrivals arrivals
	repeats  atomic.Uint64 // of transactions, since the start

	lastAlive  atomic.Int64 // when the source was heard, nanoseconds after began
	streamed   atomic.Bool  // something has come over the connection of now
	bytes      atomic.Uint64
	received   atomic.Uint64
	applied    atomic.Uint64
	reconnects atomic.Uint64
	executed   atomic.Pointer[string] // on the source, as it said last
}

func (r *Replica) set(s State) {
	r.statusMu.Lock()
	r.state = s
	r.statusMu.Unlock()
}

func (r *Replica) failed(f side, err error) {
	r.statusMu.Lock()
	r.failures[f] = Failure{codeOf(f, err), err.Error(), time.Now()}
	r.statusMu.Unlock()
}

// clear forgets what an earlier START has met.
func (r *Replica) clear() {
	r.statusMu.Lock()
	r.failures = [2]Failure{}
	r.statusMu.Unlock()
}

// forget reads anew what the store holds. r.mu is held.
func (r *Replica) forget() {
	at, err := readPosition(r.opts.Store)
	why, e := store.Get(r.opts.Store.DB, store.MetaDivergedKey())
	if err != nil || e != nil {
		return // it is said where the position is used
	}
	r.statusMu.Lock()
	r.at, r.diverged, r.state, r.failures = at, string(why), StateStopped, [2]Failure{}
	r.statusMu.Unlock()
}

// began is from when on moments are counted that the machine's clock must not move.
var began = time.Now()

// identity is who a source is, as it said when it was connected.
type identity struct {
	serverID uint32
	uuid     string // empty: MariaDB has none
	maria    bool
}

// forgetSource forgets what was known of the source before: it is another one now.
func (r *Replica) forgetSource() {
	r.executed.Store(nil)
	r.arrivals.forget()
	r.statusMu.Lock()
	r.known = identity{}
	r.statusMu.Unlock()
}

func (r *Replica) connected(l *link) {
	r.lastAlive.Store(int64(time.Since(began)))
	r.executed.Store(&l.executed)
	r.statusMu.Lock()
	r.state, r.link = StateStreaming, l
	r.known = identity{l.serverID, l.uuid, l.maria}
	r.statusMu.Unlock()
}

func (r *Replica) disconnected() {
	r.statusMu.Lock()
	r.link = nil
	r.statusMu.Unlock()
}

// piped notes that what q holds is going to be applied, from a position on; nil: nothing is applied any more.
func (r *Replica) piped(q pipe, at Position) {
	r.statusMu.Lock()
	if r.queue = q; q != nil {
		r.at = at
	}
	r.oldest, r.current, r.joined, r.applying = time.Time{}, time.Time{}, 0, Transaction{}
	r.statusMu.Unlock()
}

// alive notes that the source was heard. What went wrong on the way to it is over.
func (r *Replica) alive() {
	r.lastAlive.Store(int64(time.Since(began)))
	if r.streamed.Swap(true) {
		return
	}
	r.statusMu.Lock()
	r.failures[ioSide] = Failure{}
	r.statusMu.Unlock()
}

// applies notes which transaction is being applied, and how many before it are not durable.
func (r *Replica) applies(tx Transaction, joined int) {
	r.statusMu.Lock()
	r.applying, r.current, r.joined = tx, tx.Original, joined
	if joined == 0 {
		r.oldest = tx.Original
	}
	r.statusMu.Unlock()
}

// retried notes that what the last failure of the SQL side has kept from being applied is tried again.
func (r *Replica) retried() {
	r.repeats.Add(1)
	r.statusMu.Lock()
	r.retries, r.transient = r.retries+1, r.failures[sqlSide]
	r.statusMu.Unlock()
}

// durable notes that n more transactions are durable, up to one.
func (r *Replica) durable(n int, done end) {
	r.applied.Add(uint64(n))
	done.tx.Ended = time.Now()
	r.statusMu.Lock()
	r.at, r.oldest, r.joined, r.last = done.at, r.current, 0, done.tx
	r.lastRetries, r.lastTransient, r.retries, r.transient = r.retries, r.transient, 0, Failure{}
	r.failures[sqlSide], r.stuck = Failure{}, false
	diverged := r.diverged != ""
	r.statusMu.Unlock()
	if diverged {
		r.unmark()
	}
}

// Status is what is known of following, without the password.
type Status struct {
	Settings
	State    State
	IO, SQL  Failure
	Diverged string   // why the data is not the source's; empty: it is
	Applied  Position // durable here
	Received Position // the same, and what waits

	// Lag is by how much the first transaction that is not durable here was committed before now,
	// by the source's clock; 0 where there is none. Known only where the source was heard lately.
	Lag      time.Duration
	LagKnown bool
	// Behind is how many transactions of the source, as far as it has told, are not durable here.
	Behind uint64

	// Of the source, as it was when it was connected last, since the start.
	ServerID   uint32
	ServerUUID string
	Maria      bool

	Executed  string // GTID set of this server
	Retrieved string // GTID set of what the source has sent whole since the start; of MySQL's kind

	AppliedTotal, ReceivedTotal, Bytes, Reconnects uint64

	// What passes through since the start: the transactions that are on their way now, and the last of each half.
	Receiving, LastReceived  Transaction
	Applying, LastApplied    Transaction
	Heartbeats               uint64
	LastHeartbeat            time.Time
	Repeats                  uint64 // of transactions, after errors that passed
	Retries, LastRetries     uint64 // of what is next, and of what was applied last
	Transient, LastTransient Failure
}

// silentFactor is after how many times the period of the heartbeat nothing is known of the source.
const silentFactor = 1.5

// Status tells how following goes; ok is false where no source is configured.
func (r *Replica) Status() (s Status, ok bool) {
	r.mu.Lock()
	if r.settings != nil {
		s.Settings, ok = *r.settings, true
	}
	r.mu.Unlock()
	s.Password = ""
	if !ok {
		return s, false
	}
	s.AppliedTotal, s.ReceivedTotal, s.Bytes, s.Reconnects = r.applied.Load(), r.received.Load(), r.bytes.Load(), r.reconnects.Load()
	s.Executed = r.opts.DB.ExecutedSet()
	s.Repeats = r.repeats.Load()
	r.arrivals.mu.Lock()
	s.Receiving, s.LastReceived, s.Heartbeats, s.LastHeartbeat = r.arrivals.receiving, r.arrivals.received, r.arrivals.beats, r.arrivals.beat
	s.Retrieved = r.arrivals.whole.String()
	r.arrivals.mu.Unlock()
	r.statusMu.Lock()
	defer r.statusMu.Unlock()
	s.Applying, s.LastApplied = r.applying, r.last
	s.Retries, s.LastRetries, s.Transient, s.LastTransient = r.retries, r.lastRetries, r.transient, r.lastTransient
	s.State, s.IO, s.SQL, s.Diverged, s.Applied = r.state, r.failures[ioSide], r.failures[sqlSide], r.diverged, r.at
	s.Received = s.Applied
	s.ServerID, s.ServerUUID, s.Maria = r.known.serverID, r.known.uuid, r.known.maria
	l, q := r.link, r.queue
	if l == nil || s.State != StateStreaming {
		if e := r.executed.Load(); e != nil {
			s.Behind = r.behind(&s.Settings, *e, s.Applied)
		}
		s.Behind = max(s.Behind, r.Pending())
		return s, true
	}
	w := q.waiting()
	if w.at.File != "" {
		s.Received = w.at
	}
	silent := time.Since(began) - time.Duration(r.lastAlive.Load())
	s.LagKnown = w.full || silent < time.Duration(silentFactor*float64(s.Heartbeat))
	pending, there := false, l.clock.now()
	for _, t := range []time.Time{r.oldest, r.current, w.first} {
		if !t.IsZero() {
			pending, s.Lag = true, max(s.Lag, there.Sub(t))
		}
	}
	s.Behind = uint64(w.transactions + r.joined)
	if !r.current.IsZero() {
		s.Behind++
	}
	if e := r.executed.Load(); e != nil {
		s.Behind = max(s.Behind, r.behind(&s.Settings, *e, s.Applied))
	}
	if s.Behind > 0 && !pending {
		s.LagKnown = false // what is behind has not come yet
	}
	return s, true
}
