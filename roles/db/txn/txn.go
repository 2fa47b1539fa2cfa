package txn

import (
	"context"
	"errors"
	"time"

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
	locked    *store.Table  // the last one whose definition it has locked and looked at
	newest    bool          // plans with the newest catalog
	doomed    bool          // chosen as the victim of a deadlock
	dropped   []uint32      // ids of tables
	set       *writeSet
	lastMark  uint64

	view    *view // of the transaction (REPEATABLE READ) or statement; nil = none yet
	pinned  bool  // a consistent read has used the view
	staged  *store.Catalog
	drops   []uint32
	built   []uint32
	frees   bool
	counted bool // took AUTO_INCREMENT values that a rollback must log
	ahead   reserved
	rows    map[*Rows]struct{}
	rowIDs  rowIDs
	ended   bool
	pos     Position

	rowLog    rowLog       // rows for the binary log
	statement *event.Query // for the binary log, nil without
	changes   bool         // has staged descriptors that replicas have too
	unlogged  bool
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

// HasWrites reports whether a commit would write anything.
func (t *Txn) HasWrites() bool { return !t.set.empty() || t.staged != nil }

// Commit makes the transaction durable and visible, and ends it, also on error:
// ErrReadOnly, ErrDiskFull, ErrClosed and ErrDeadlock mean that nothing was written. ctx bounds
// nothing once the commit is queued: its outcome is never left open.
func (t *Txn) Commit(ctx context.Context) error {
	if err := t.usable(); err != nil {
		t.Rollback()
		return err
	}
	if err := ctx.Err(); err != nil {
		t.Rollback()
		return err
	}
	t.letGo()
	var err error
	if t.HasWrites() {
		r := &commitRequest{set: t.set, catalog: t.staged, drops: t.drops, built: t.built, frees: t.frees, owner: &t.owner}
		if r.log, err = t.logged(); err == nil {
			err = t.e.commit(r, &t.rowLog)
		}
		if err == nil {
			t.pos, t.built = r.pos, nil
		}
	} else if t.counted {
		err = t.e.queue.commit(&commitRequest{})
	}
	t.end()
	return err
}

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

// abandon gives up the indexes built after the first n: nothing names them.
func (t *Txn) abandon(n int) {
	if len(t.built) > n {
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

func (t *Txn) end() {
	t.ended = true
	t.abandon(0)
	t.e.locks.releaseAll(&t.owner)
	for _, id := range t.dropped {
		t.e.locks.forget(tableSpace(id))
	}
	if err := errors.Join(t.set.close(), t.rowLog.close()); err != nil {
		t.e.log.Error("remove the temporary storage of a transaction: " + err.Error())
	}
	t.set, t.staged, t.rowLog, t.statement = newWriteSet(0, nil), nil, rowLog{}, nil
	t.rowIDs.clear()
	t.e.active.Add(-1)
}
