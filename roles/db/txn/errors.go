package txn

import (
	"errors"
	"fmt"

	"github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/store"
)

var (
	// ErrLockWaitTimeout: another transaction held a lock for longer than the lock
	// wait timeout (MySQL 1205).
	ErrLockWaitTimeout = errors.New("lock wait timeout exceeded; try restarting transaction")
	// ErrLocked: another transaction has the lock, and the caller does not wait (3572).
	ErrLocked = errors.New("the row is locked by another transaction")
	// ErrDeadlock: transactions waited for each other and this one, which had written
	// least, was chosen to give way (1213). All that is left is to roll it back.
	ErrDeadlock = errors.New("deadlock found when trying to get lock; try restarting transaction")
	// ErrDiskFull: the commit was refused before the store met a full disk (1021).
	ErrDiskFull = store.ErrDiskFull
	// ErrReadOnly: the server does not accept writes (1290).
	ErrReadOnly = errors.New("the server is running in read-only mode")
	// ErrRoleLost: another server takes over, in the middle of a transaction of which nothing was committed.
	// Its client is not answered but dropped: it is to repeat the transaction on the server that is the primary.
	ErrRoleLost = fmt.Errorf("another server takes over: %w", ErrReadOnly)
	// ErrNotAcknowledged: the commit was refused because replicas do not acknowledge those
	// before it (1290).
	ErrNotAcknowledged = errors.New("replicas do not acknowledge commits")
	// ErrOutcomeUnknown: the commit is in the log, and whether it stays there is for others to
	// decide. The client must not be told that it failed: its connection is dropped.
	ErrOutcomeUnknown = errors.New("the commit was not acknowledged by replicas: its outcome is not known")
	// ErrStaleEpoch: the server has accepted a higher epoch.
	ErrStaleEpoch = errors.New("a higher epoch was accepted")
	// ErrFenced: another server has learned of a higher epoch before this one.
	ErrFenced = errors.New("there is a higher epoch: this server is read-only now")
	// errAbandoned: the client has not waited for the end of its commit.
	errAbandoned = fmt.Errorf("the client has gone: %w", ErrOutcomeUnknown)
	// ErrTableChanged: the table's definition is not the one that the statement was
	// planned for, or changed after the transaction's view was taken (1412).
	ErrTableChanged = errors.New("table definition has changed, please retry transaction")
	// ErrAutoIncrementExhausted: the counter has reached its end (1467).
	ErrAutoIncrementExhausted = errors.New("the AUTO_INCREMENT counter of the table is exhausted")
	// ErrRowNotFound: the row to change is not there; the caller's old row is stale.
	ErrRowNotFound = errors.New("the row to change does not exist")
	// ErrRowChanged: the transaction itself has changed the row since the caller read it.
	ErrRowChanged = errors.New("the statement has changed the row already")
	// ErrClosed: the engine is shutting down (1053).
	ErrClosed = errors.New("the server is shutting down")
	// ErrDone: the transaction has already been committed or rolled back.
	ErrDone = errors.New("the transaction has ended")
)

// DuplicateKeyError says that a row would give a unique index two equal entries
// (MySQL 1062).
type DuplicateKeyError struct {
	Table    *store.Table
	Index    *store.Index
	Existing sql.Row // the row that is there, all columns
}

// Error names the index and the table.
func (e *DuplicateKeyError) Error() string {
	name := e.Index.Desc.Name
	if e.Index.IsPrimary() {
		name = "PRIMARY"
	}
	return fmt.Sprintf("duplicate entry for key '%s.%s'", e.Table.Desc.Name, name)
}
