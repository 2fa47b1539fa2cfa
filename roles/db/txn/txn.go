package txn

import (
	"context"
	"errors"
	"time"

	"stack/roles/db/binlog"
	"stack/roles/db/binlog/event"
	"stack/roles/db/store"
)

// Isolation is a transaction's isolation level. READ UNCOMMITTED is ReadCommitted.
type Isolation int

const (
	RepeatableRead Isolation = iota // one view, taken at the first consistent read
	ReadCommitted                   // a view per statement
	Serializable                    // as RepeatableRead; the caller reads with LockShared
)

// Txn is a transaction. One goroutine at a time uses it; it must be ended by Commit
// or Rollback, which release everything that it holds.
type Txn struct {
	e         *Engine
	isolation Isolation
	owner     Owner
	lockWait  time.Duration // for rows
	tableWait time.Duration // for definitions of tables
	stored    storedValue   // of the key that was read last under its lock
	locked    *store.Table  // the last one whose definition it has locked and looked at
	draft     bool          // see Draft
	newest    bool          // plans with the newest catalog
	doomed    bool          // chosen as the victim of a deadlock
	dropped   []uint32      // ids of tables
	set       *writeSet
	lastMark  uint64

	view    *view // of the transaction (REPEATABLE READ) or statement; nil = none yet
	pinned  bool  // a consistent read has used the view
	behind  behind
	staged  *store.Catalog
	drops   []uint32
	built   []uint32
	givenUp []uint32 // built and rolled back
	frees   bool
	counted bool // took AUTO_INCREMENT values that a rollback must log
	ahead   reserved
	rows    map[*Rows]struct{}
	rowIDs  rowIDs
	gaps    map[uint32]*gap // by index, of transactions that write many rows
	ended   bool
	client  context.Context // see Abandon; nil: none is named
	passes  bool            // see PassBlock
	// admitted: it has begun to write, which the server took then.
	admitted bool
	gated    bool // it has entered the gate of commits
	kept     bool // the commit's outcome is not known: its locks stay
	pos      Position

	rest    time.Duration
	touched touched // tables, for their statistics

	rowLog    rowLog       // rows for the binary log
	statement *event.Query // for the binary log, nil without
	changes   bool         // has staged descriptors that replicas have too
	unlogged  bool

	applies  bool                  // repeats transactions of other servers
	epoch    uint64                // of their source, 0: it has none
	origin   *binlog.Origin        // of the one that is being repeated; nil: none is
	repeated []*binlog.Transaction // those that are complete
	foundAt  map[uint32][]byte     // key of the last row found by value, by primary index
}

// Begin starts a transaction. It costs nothing until it reads or writes.
func (e *Engine) Begin(isolation Isolation) *Txn {
	e.active.Add(1)
	wait := time.Duration(e.lockWait.Load())
	t := &Txn{
		e: e, isolation: isolation, lockWait: wait, tableWait: wait,
		rowLog: rowLog{Rows: event.Rows{Server: e.binlog.ServerID()}},
	}
	t.set = newWriteSet(e.opts.WriteSetLimit, t)
	t.set.all = &e.writeSets
	return t
}

// SetLockWaitTimeout bounds each wait for a lock of rows from now on.
func (t *Txn) SetLockWaitTimeout(d time.Duration) { t.lockWait = d }

// SetTableWaitTimeout bounds each wait for the definition of a table or for the
// catalog from now on.
func (t *Txn) SetTableWaitTimeout(d time.Duration) { t.tableWait = d }

// NewStatement ends the reading of the statement before: under READ COMMITTED, and
// where nothing was read from the view yet, the next read sees the newest commits.
func (t *Txn) NewStatement() {
	t.rowIDs.clear()
	t.ahead = reserved{}
	if t.view != nil && (!t.pinned || t.isolation == ReadCommitted) {
		t.e.releaseView(t.view)
		t.view, t.pinned = nil, false
	}
}

// Catalog is what the transaction's statements are planned with: its own changes if
// it made some; the newest once it writes or reads the newest rows; else its view's.
func (t *Txn) Catalog() *store.Catalog {
	switch {
	case t.staged != nil:
		return t.staged
	case t.newest:
		return t.e.Catalog()
	}
	if v := t.takeView(); v != nil {
		return v.catalog
	}
	return t.e.Catalog()
}

// takeView is nil once the engine is closed.
func (t *Txn) takeView() *view {
	if t.view == nil {
		t.view = t.e.currentView()
	}
	return t.view
}

// StartSnapshot takes the view now (START TRANSACTION WITH CONSISTENT SNAPSHOT).
func (t *Txn) StartSnapshot() {
	t.pinned = t.takeView() != nil
}

// UseNewest plans the statements from now on with the newest catalog, as those must be
// that write or lock rows. A table that changes between the plan and its first row is
// ErrTableChanged: to be planned again.
func (t *Txn) UseNewest() { t.newest = true }

// Isolation is the transaction's isolation level. It may be asked by anybody.
func (t *Txn) Isolation() Isolation { return t.isolation }

// HasWrites reports whether a commit would write anything.
func (t *Txn) HasWrites() bool {
	return !t.set.empty() || t.staged != nil || t.changes || t.origin != nil || len(t.repeated) > 0
}

// Abandon lets Commit return ErrOutcomeUnknown when client ends while the commit waits for
// acknowledgements, or to enter the log in which others wait for theirs: its client has gone.
// The commit goes on, and keeps its locks until its end.
func (t *Txn) Abandon(client context.Context) { t.client = client }

// Commit makes the transaction durable and visible, and ends it, also on error:
// ErrReadOnly, ErrRoleLost, ErrDiskFull, ErrClosed, ErrNotAcknowledged and ErrDeadlock mean that nothing
// was written, ErrOutcomeUnknown that the commit may stand. ctx bounds nothing once the
// commit is queued.
func (t *Txn) Commit(ctx context.Context) error {
	if err := t.usable(); err != nil {
		t.Rollback()
		return err
	}
	if err := ctx.Err(); err != nil {
		t.Rollback()
		return err
	}
	if t.HasWrites() && !t.passes {
		if err := t.e.gate.enter(ctx, t.client); err != nil {
			t.Rollback()
			return err
		}
		t.gated = true
	}
	t.letGo()
	var err error
	if t.HasWrites() {
		r := &commitRequest{
			set: t.set, catalog: t.staged, drops: t.drops, built: t.built, frees: t.frees, owner: &t.owner,
			applies: t.applies, admitted: t.admitted, epoch: t.epoch, earlier: t.repeated,
		}
		// The files of a large transaction are closed when its commit returns.
		if t.client != nil && t.e.acks.need.Load() > 0 && t.set.spill == nil && t.rowLog.file == nil {
			r.abandon, r.orphan = t.client.Done(), t.outlive
		}
		if n := len(t.repeated); n > 0 && t.origin == nil {
			r.earlier, r.log = t.repeated[:n-1], t.repeated[n-1]
		} else {
			r.log, err = t.logged()
		}
		if err == nil {
			err = t.e.commit(r, &t.rowLog)
		}
		switch {
		case err == nil:
			t.pos, t.built, t.rest = r.pos, nil, r.rest
			t.e.changed.committed(&t.touched)
		case err == errAbandoned:
			t.ended = true // outlive does the rest
			return err
		case errors.Is(err, ErrOutcomeUnknown):
			t.kept, t.built = true, nil
		}
	} else if t.counted {
		err = t.e.queue.commit(&commitRequest{})
	}
	t.end()
	return err
}

// Rest is how long the writer should wait after its commit, for the sake of a Build that cannot keep up
// with it: see SlowWriters.
func (t *Txn) Rest() time.Duration { return t.rest }

// Position is that of the commit; zero where nothing was logged.
func (t *Txn) Position() Position { return t.pos }

// Rollback ends the transaction and takes back what it wrote. It is free of effect
// on one that has ended.
func (t *Txn) Rollback() {
	if t.ended {
		return
	}
	t.letGo()
	if t.counted {
		// Values that a client may have seen must not come again after a crash.
		if err := t.e.queue.commit(&commitRequest{}); err != nil && err != ErrClosed {
			t.e.log.Error("log AUTO_INCREMENT counters: " + err.Error())
		}
	}
	t.end()
}

// giveUp gives up the indexes built after the first n: nothing names them.
func (t *Txn) giveUp(n int) {
	if len(t.built) > n {
		t.givenUp = append(t.givenUp, t.built[n:]...)
		t.e.sweeper.add(0, t.built[n:])
		t.e.sweeper.wake()
		t.built = t.built[:n:n]
	}
}

// letGo closes what reads.
func (t *Txn) letGo() {
	for r := range t.rows {
		r.Close()
	}
	if t.view != nil {
		t.e.releaseView(t.view)
		t.view = nil
	}
}

// outlive ends a transaction whose client has not waited for its commit.
func (t *Txn) outlive(err error) {
	if err == nil {
		t.built = nil
		t.e.changed.committed(&t.touched)
	}
	if errors.Is(err, ErrOutcomeUnknown) {
		t.kept, t.built = true, nil
	}
	t.finish()
}

func (t *Txn) end() {
	t.ended = true
	t.finish()
}

func (t *Txn) finish() {
	t.giveUp(0)
	if !t.kept {
		t.e.locks.releaseAll(&t.owner)
		for _, id := range t.dropped {
			t.e.locks.forget(tableSpace(id))
			t.e.locks.forget(changeSpace(id))
		}
	}
	set, log := t.set, t.rowLog
	t.set, t.staged, t.rowLog, t.statement = newWriteSet(0, nil), nil, rowLog{}, nil
	t.rowIDs.clear()
	if t.gated {
		t.gated = false
		t.e.gate.leave()
	}
	// Of gigabytes this takes a while, in which nobody waits but the client: see store.RemoveLarge.
	if err := errors.Join(set.close(), log.close()); err != nil {
		t.e.log.Error("remove the temporary storage of a transaction: " + err.Error())
	}
	t.e.active.Add(-1) // the store may close now
}
