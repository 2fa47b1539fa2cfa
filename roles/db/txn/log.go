package txn

import (
	"context"
	"errors"

	"github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/binlog"
	"stack/roles/db/binlog/event"
	"stack/roles/db/store"
)

// headRoom is the size in bytes of a query event around its text, for most statements.
const headRoom = 128

// errNoStatement: a replica could not follow. It is a defect of the caller.
var errNoStatement = errors.New("the catalog was changed without a statement for the binary log")

// Binlog is the binary log, to be read.
func (e *Engine) Binlog() *binlog.Log { return e.binlog }

// RotateLog ends the file of the binary log that is being written and begins another,
// and returns when the old one is a plain file. ErrClosed; ctx's.
func (e *Engine) RotateLog(ctx context.Context) error {
	if err := e.queue.commit(&commitRequest{rotate: true}); err != nil {
		return err
	}
	return e.binlog.WaitSealed(ctx)
}

// LogStatement gives the statement that does on a replica what the transaction does to
// the catalog. Where the transaction has written rows too, they follow the statement in
// the log, under the same GTID. A later call replaces it.
func (t *Txn) LogStatement(q event.Query) { t.statement = &q }

// LogNothing commits a transaction of this server's own that changes nothing, and returns when it is published: whoever has it
// has everything before it.
func (e *Engine) LogNothing() error {
	return e.queue.commit(&commitRequest{
		set: newWriteSet(0, nil), frees: true, // what frees space may wait for it
		log: &binlog.Transaction{Head: event.AppendQuery(nil, e.binlog.ServerID(), &event.Query{Text: "BEGIN"}), Rows: true},
	})
}

// Unlogged keeps the transaction out of the binary log and gives it no GTID: it is a
// matter of this node alone.
func (t *Txn) Unlogged() { t.unlogged = true }

// ChangesCatalog reports whether the transaction has changed descriptors that replicas
// have too, or set a counter, so that a commit needs LogStatement.
func (t *Txn) ChangesCatalog() bool { return t.changes }

// LogsRows reports whether rows of the transaction will be in the binary log.
func (t *Txn) LogsRows() bool { return t.rowLog.Size() > 0 }

// logInsert, logUpdate and logDelete note a row for the binary log. Rows of internal
// tables are not logged.
func (t *Txn) logInsert(ctx context.Context, table *store.Table, row sql.Row) error {
	return t.logRow(table, func() error { return t.rowLog.Insert(ctx, table, row) })
}

func (t *Txn) logUpdate(ctx context.Context, table *store.Table, old, row sql.Row) error {
	return t.logRow(table, func() error { return t.rowLog.Update(ctx, table, old, row) })
}

func (t *Txn) logDelete(ctx context.Context, table *store.Table, row sql.Row) error {
	return t.logRow(table, func() error { return t.rowLog.Delete(ctx, table, row) })
}

func (t *Txn) logRow(table *store.Table, add func() error) error {
	if t.unlogged || store.Internal(table.Desc.Database) {
		return nil
	}
	l := &t.rowLog
	m := l.Mark()
	err := add()
	// A file of the log has room for one transaction.
	if err == nil && len(t.repeated) == 0 && int64(l.InMemory()) > t.e.opts.WriteSetLimit/rowLogShare {
		if err = l.moveOut(t.e.store); err != nil {
			l.rollbackTo(m)
		}
	}
	return err
}

// rowLogShare is the part of WriteSetLimit that a transaction's events may take in memory
// beside the rows; more is moved to a temporary file.
const rowLogShare = 4

// rowLog is the rows of a transaction for the binary log.
type rowLog struct {
	event.Rows
	file   *store.TempFile // of what is out of memory; nil: nothing is
	failed error           // what is out of memory could not be read back
}

func (l *rowLog) moveOut(st *store.Store) error {
	if err := st.CheckSpace(uint64(l.InMemory())); err != nil {
		return err
	}
	if l.file == nil {
		f, err := st.NewTempFile()
		if err != nil {
			return err
		}
		l.file = f
	}
	return l.MoveOut(l.file.WriteAt)
}

// rollbackTo forgets the rows noted since m.
func (l *rowLog) rollbackTo(m event.RowsMark) {
	var read func([]byte, int64) (int, error)
	if l.file != nil {
		read = l.file.ReadAt
	}
	if err := l.RollbackTo(m, read); err != nil {
		l.failed = err
	}
}

func (l *rowLog) close() error {
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}

// logged is what the transaction has for the binary log; nil for nothing.
func (t *Txn) logged() (*binlog.Transaction, error) {
	if t.unlogged {
		return nil, nil
	}
	l := &t.rowLog
	if l.failed != nil {
		return nil, l.failed
	}
	rows := l.Size() > 0
	statement := &event.Query{Text: "BEGIN"}
	switch {
	case t.changes && t.statement == nil:
		return nil, errNoStatement
	case t.changes:
		if statement = t.statement; !rows {
			// A comment at its end may say that they follow, and so does a source's CREATE TABLE … SELECT of none.
			statement.Text = statement.Plain()
		}
	case !rows && t.origin == nil:
		return nil, nil
	}
	tx := &binlog.Transaction{
		Head:   event.AppendQuery(make([]byte, 0, headRoom+len(statement.Text)), l.Server, statement),
		Rows:   rows || !t.changes,
		Origin: t.origin,
	}
	if tx.Body = l.Close(); l.file == nil {
		return tx, nil
	}
	// All of it is made a file of the log before the leader sees it.
	tx.Body = nil
	if err := l.moveOut(t.e.store); err != nil {
		return nil, err
	}
	return tx, nil
}
