package sql

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/vitess/go/vt/sqlparser"

	"stack/roles/db/store"
	"stack/roles/db/txn"
	"stack/roles/db/userlock"
	"stack/roles/db/wire"
)

// Session is one client's state: variables (in the planner's session), transaction and
// what the running statement may see. Its methods are called by one goroutine at a
// time.
type Session struct {
	*gms.BaseSession
	engine *Engine
	client wire.Client

	tx         *txn.Txn               // nil between transactions
	kind       kind                   // of the running statement
	reads      txn.ReadMode           // how the running statement reads tables of which it says nothing
	inserts    insertedRows           // that the running statement names
	runs       bool                   // the running statement is planned
	triggers   bool                   // what the planner reads now are triggers
	asks       bool                   // the planner is asked for the plan of a direct statement
	describes  bool                   // SHOW CREATE TABLE runs within the running statement
	again      bool                   // the running statement has met a table that changed
	unkept     uint64                 // warnings of the running statement beyond max_error_count
	narrow     []store.ColumnType     // of the columns of the running statement's result: see noteNarrow
	ids        insertIDs              // of the running statement
	missing    string                 // the row to be inserted may not be: a column has no value
	divided    bool                   // by zero, where sql_mode refuses that
	before     uint64                 // warnings of the statement before the last: SELECT @@warning_count asks
	start      txn.Mark               // of the running statement, if its reads see none of its own writes
	hold       bool                   // the running statement must not end the transaction
	alter      *alteration            // the running statement, if it is one
	state      atomic.Pointer[string] // of the running statement, for the process list; nil: nothing special
	settings   settings
	seen       observed   // the statement of the client
	doing      txn.Client // what it does
	tally      tally
	shown      atomic.Pointer[txn.Txn] // tx, for others to look at
	begun      atomic.Int64            // when tx began, Unix nanoseconds
	single     atomic.Bool             // tx is of one statement, and ends with it
	idle       atomic.Int64            // when the last statement ended, Unix nanoseconds; 0: none has
	direct     directStatement
	temporary  map[string]*temporaryTable
	next       nextTransaction
	takesNext  bool          // the transaction that begins is of a statement that next is for
	level      string        // isolation level of the open transaction, empty: the session's
	tables     []lockedTable // by LOCK TABLES
	readLock   bool          // by FLUSH TABLES WITH READ LOCK
	userLocks  *userlock.Owner
	goesFirst  bool        // the running statement goes before those that write its tables
	calls      []*routine  // that call one another, the innermost last
	released   bool        // by COMMIT RELEASE: the connection is to end
	forDefiner bool        // it stands for the definer of what runs
	roles      *roleChoice // active ones of those that the account is granted
	views      viewsRead   // of the running statement

	// prepared is the statement being executed by the binary protocol, under its text.
	prepared     sqlparser.Statement
	preparedText string
	named        int // statements of PREPARE
	// preparedTexts are what the statements of PREPARE were made of, by name.
	preparedTexts map[string]preparedText
	lent          bool // the current database is none of the client's: see lendDatabase

	running        running
	keysHidden     bool    // the running clause of an ALTER TABLE sees no foreign keys
	replay         *replay // nil: the session is a client's or the system's
	dropsTemporary bool    // the running statement has dropped a temporary table

	dumps atomic.Pointer[string] // what the process list calls the dump under way; nil: there is none

	kept    int64         // bytes that parts of the running statement keep
	cursors int64         // bytes of the rows of open cursors
	measure measure       // of the rows of the node that is built next
	changes []wire.Change // that the client has not heard of

	packet  int // max_allowed_packet when the session was opened, bytes
	closing sync.Once
}

var (
	_ gms.TransactionSession = (*Session)(nil)
	_ wire.Session           = (*Session)(nil)
)

var errNoSession = errors.New("the statement's context has no session of this engine")

func sessionOf(ctx *gms.Context) (*Session, error) {
	s, ok := ctx.Session.(*Session)
	if !ok {
		return nil, errNoSession
	}
	return s, nil
}

// transaction is the planner's token for the session's open transaction.
type transaction struct{ readOnly bool }

func (t *transaction) String() string   { return "transaction" }
func (t *transaction) IsReadOnly() bool { return t.readOnly }

// catalog is what the session's transaction sees of databases and tables, its own
// changes included.
func (s *Session) catalog() *store.Catalog {
	if s.tx == nil {
		return s.engine.db.Catalog()
	}
	return s.tx.Catalog()
}

// reader is the transaction to read a table from, and what its running statement sees.
func (s *Session) reader(t *Table) (*txn.Txn, txn.Scan, error) {
	read := txn.Scan{Mode: s.reads, Before: s.start}
	switch {
	case s.tx == nil:
		return nil, read, errNoSession
	case t.own:
		// For foreign keys: what is found, or found missing, stays so.
		read.Mode, read.Before = txn.LockShared, txn.Mark{}
	case t.lock != nil:
		read.Mode, read.Waiting = t.lock.mode, t.lock.waiting
	}
	return s.tx, read, nil
}

// readsOf is how a statement reads tables that it neither changes nor locks by name. What
// goes into a change must not be out of date when the change is made: it is locked, or,
// under READ COMMITTED, at least the newest.
func (s *Session) readsOf(k kind) txn.ReadMode {
	level := s.isolation()
	switch {
	case k.writes() && level == txn.ReadCommitted:
		return txn.Latest
	case k.writes(), level == txn.Serializable && s.explicit() && (k == kindRead || k == kindLockingRead):
		return txn.LockShared
	}
	return txn.Consistent
}

// startOf is the mark up to which a statement reads: its own changes must not feed it.
// A join looks up each row anew and would change it again. Triggers read what the
// statement that fires them has written, so where they may fire there is no mark.
func (s *Session) startOf(k kind, st sqlparser.Statement, m txn.Mark) txn.Mark {
	if k != kindWrite {
		return txn.Mark{}
	}
	for _, t := range s.tablesOf(st) {
		if len(s.catalog().Objects(objectTrigger, t.database)) > 0 {
			return txn.Mark{}
		}
	}
	return m
}

func (s *Session) isolation() txn.Isolation {
	if s.level != "" {
		return isolationOf(s.level)
	}
	return s.settingsNow().isolation
}

// StartTransaction begins a transaction; the session has none.
func (s *Session) StartTransaction(ctx *gms.Context, c gms.TransactionCharacteristic) (gms.Transaction, error) {
	if s.tx != nil {
		s.rollback()
	}
	s.level = ""
	if s.kind == kindControl || !s.autocommit() || s.takesNext {
		if s.next.readOnly != nil && c != gms.ReadOnly {
			c = gms.ReadWrite
			if *s.next.readOnly {
				c = gms.ReadOnly
			}
		}
		s.level, s.next = s.next.isolation, nextTransaction{}
	}
	s.tx = s.engine.db.Begin(s.isolation())
	s.tx.SetClient(&s.doing)
	s.single.Store(s.kind != kindControl && s.autocommit())
	s.begun.Store(time.Now().UnixNano())
	s.shown.Store(s.tx)
	if wait := s.settingsNow().rowWait; wait > 0 {
		s.tx.SetLockWaitTimeout(wait)
	}
	if wait := s.settingsNow().tableWait; wait > 0 {
		s.tx.SetTableWaitTimeout(wait)
	}
	if s.replay != nil {
		s.tx.Apply(s.replay.origin)
	} else if !s.logsChanges() {
		s.tx.Unlogged()
	}
	s.engine.open.Add(1)
	return &transaction{readOnly: c == gms.ReadOnly}, nil
}

// CommitTransaction commits. An error means that nothing of the transaction is stored
// and that it has ended, or, wrapping wire.ErrDrop, that nobody knows.
func (s *Session) CommitTransaction(ctx *gms.Context, _ gms.Transaction) error {
	if s.hold {
		return nil
	}
	tx := s.tx
	if tx == nil {
		return nil
	}
	if err := s.beforeCommit(ctx, tx); err != nil {
		s.rollback()
		s.leaveTransaction()
		return err
	}
	start := time.Now()
	wrote := tx.HasWrites()
	tx.Abandon(ctx)
	if s.readLock { // what it writes is temporary tables
		tx.PassBlock()
	}
	err := tx.Commit(context.WithoutCancel(ctx))
	s.tally.add(itemCommits, 1)
	s.end()
	if err != nil {
		s.leaveTransaction()
		return err
	}
	s.noteCommit(tx)
	if wrote {
		s.engine.stats.committed(time.Since(start))
	}
	if rest := tx.Rest(); rest > 0 && s.replay == nil {
		pause(ctx, rest) // what ends it does not undo the commit
	}
	return nil
}

// beforeCommit completes what the transaction has for the binary log.
func (s *Session) beforeCommit(ctx *gms.Context, tx *txn.Txn) error {
	switch {
	case s.replay == nil && tx.ChangesCatalog():
		return s.logStatement(ctx, tx)
	case s.replay == nil:
		return nil
	}
	tx.LogStatement(*s.replay.query)
	if s.replay.rows == nil {
		return nil
	}
	return s.replay.rows(ctx, tx)
}

// Rollback ends the transaction without a trace.
func (s *Session) Rollback(*gms.Context, gms.Transaction) error {
	s.rollback()
	return nil
}

func (s *Session) rollback() {
	if s.tx != nil {
		s.tx.Rollback()
		s.tally.add(itemRollbacks, 1)
		s.end()
	}
}

func (s *Session) end() {
	s.tx = nil
	s.shown.Store(nil)
	s.engine.open.Add(-1)
}

// leaveTransaction makes the planner forget the transaction.
func (s *Session) leaveTransaction() {
	s.BaseSession.SetIgnoreAutoCommit(false)
	s.BaseSession.SetTransaction(nil)
}

// SetTransaction is called with nil by the planner after a commit; a statement that
// must not end the transaction keeps it.
func (s *Session) SetTransaction(tx gms.Transaction) {
	if tx == nil && s.hold {
		return
	}
	s.BaseSession.SetTransaction(tx)
}

// SetIgnoreAutoCommit ends, with false, what BEGIN has begun: not within a statement that
// must not end the transaction.
func (s *Session) SetIgnoreAutoCommit(on bool) {
	if on || !s.hold {
		s.BaseSession.SetIgnoreAutoCommit(on)
	}
}

// CreateSavepoint sets a savepoint.
func (s *Session) CreateSavepoint(_ *gms.Context, _ gms.Transaction, name string) error {
	s.tx.Savepoint(name)
	return nil
}

// RollbackToSavepoint takes back what came after a savepoint.
func (s *Session) RollbackToSavepoint(_ *gms.Context, _ gms.Transaction, name string) error {
	if !s.tx.RollbackToSavepoint(name) {
		return gms.ErrSavepointDoesNotExist.New(name)
	}
	return nil
}

// ReleaseSavepoint forgets a savepoint.
func (s *Session) ReleaseSavepoint(_ *gms.Context, _ gms.Transaction, name string) error {
	if !s.tx.ReleaseSavepoint(name) {
		return gms.ErrSavepointDoesNotExist.New(name)
	}
	return nil
}

// GetPreparedQuery gives the planner the statement that the binary protocol executes,
// and those that PREPARE has named.
func (s *Session) GetPreparedQuery(name string) (sqlparser.Statement, bool) {
	if s.prepared != nil && name == s.preparedText {
		return s.prepared, true
	}
	if s.prepared == nil && name == s.preparedText {
		return nil, false // the text of a query that happens to be the name of a statement
	}
	return s.BaseSession.GetPreparedQuery(name)
}

// autocommit says whether each statement is a transaction of its own.
func (s *Session) autocommit() bool { return s.settingsNow().autocommit }

func isOn(v any) bool {
	switch v := v.(type) {
	case int8:
		return v != 0
	case int64:
		return v != 0
	case bool:
		return v
	}
	return false
}

// explicit says whether a transaction is open that only the client ends.
func (s *Session) explicit() bool {
	return s.tx != nil && (s.GetIgnoreAutoCommit() || !s.autocommit())
}

// State is what the front wants to know after each command.
func (s *Session) State() wire.State {
	n := s.settingsNow()
	changes := s.changes
	s.changes = nil
	return wire.State{
		Changes:          changes,
		QuietDatabase:    n.quietDatabase,
		InTransaction:    s.explicit(),
		Autocommit:       n.autocommit,
		PlainBackslashes: n.reading.backslashes,
		Database:         s.GetCurrentDatabase(),
		Warnings:         s.WarningCount(),
		Released:         s.released,
		WaitTimeout:      n.waitTimeout,
		NetReadTimeout:   n.netReadTimeout,
		NetWriteTimeout:  n.netWriteTimeout,
		MaxAllowedPacket: s.packet,
		ClientCharset:    n.clientCharset,
	}
}

// clientInteractive is CLIENT_INTERACTIVE of the protocol.
const clientInteractive = 1 << 10

func (s *Session) seconds(variable string) time.Duration {
	v, err := s.GetSessionVariable(nil, variable)
	if err != nil {
		return 0
	}
	n, _ := v.(int64)
	return time.Duration(n) * time.Second
}

// Use changes the current database.
func (s *Session) Use(ctx context.Context, name string) error {
	gctx := s.context(ctx, "")
	db, err := s.engine.gms.Analyzer.Catalog.Database(gctx, name)
	if err != nil {
		return clientError(err, name)
	}
	s.SetCurrentDatabase(unwrap(db).Name())
	s.engine.gms.ProcessList.ConnectionReady(processSession{s})
	return nil
}

// Close ends the session: its transaction is undone and its locks are free.
func (s *Session) Close() {
	s.closing.Do(func() {
		s.rollback()
		s.unlockTables()
		s.unlockGlobal()
		s.userLocks.ReleaseAll()
		s.dropTemporary()
		s.engine.source.Forget(s.client.ID)
		if s.engine.donor != nil {
			s.engine.donor.Detach(s.client.ID)
		}
		s.engine.gms.ProcessList.RemoveConnection(s.ID())
		s.engine.closed(s)
	})
}

// processSession shows the client's own address in the process list: Client() is the
// account, so that grants are found.
type processSession struct{ *Session }

func (p processSession) Client() gms.Client {
	return gms.Client{User: p.client.User, Address: p.client.Host, Capabilities: p.client.Capabilities}
}

func (s *Session) String() string { return fmt.Sprintf("session %d", s.ID()) }

// hidesFullText says whether FULLTEXT indexes are kept from the planner: it would take them
// for ordinary ones in joins. Those who list or change indexes see them.
func (s *Session) hidesFullText() bool {
	return !s.runs && !s.kind.changesCatalog() && s.kind != kindOther
}
