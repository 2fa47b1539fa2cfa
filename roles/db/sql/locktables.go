package sql

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/vitess/go/vt/sqlparser"

	"stack/roles/db/store"
	"stack/roles/db/txn"
)

// tableLocks are the locks of LOCK TABLES. A statement that names a table which another
// session has locked waits; so does every statement that could reach one it does
// not name: through a view, a trigger or a foreign key.
type tableLocks struct {
	held atomic.Int32 // sessions that hold locks, or are first; 0 makes everything free

	mu      sync.Mutex
	owners  map[*Session]map[tableName]bool // true: for writing
	global  map[*Session]func()             // FLUSH TABLES WITH READ LOCK; gives the commits free
	first   map[*Session][]tableName        // renames and the like that have waited; see goFirst
	changed chan struct{}                   // closed when locks are given back; nil: nobody waits
}

// lockedTable is one that the session has locked.
type lockedTable struct {
	table tableName
	alias string
	write bool
}

// admit waits until no other session's lock is in the way, and refuses a session that
// has locked tables any other table, as MySQL does.
func (l *tableLocks) admit(ctx *gms.Context, s *Session, k kind, st sqlparser.Statement) error {
	if err := l.admitGlobal(ctx, s, k, st); err != nil {
		return err
	}
	if len(s.tables) > 0 {
		return s.admitLocked(ctx, k, st)
	}
	if l.held.Load() == 0 || k == kindControl || k == kindTables {
		return nil
	}
	tables := s.tablesOf(st)
	if len(tables) == 0 {
		return nil
	}
	everything := s.reachesFurther(tables)
	inTheWay := func(t tableName, write bool) bool {
		return (write || k.locks()) && (everything || slices.Contains(tables, t))
	}
	behind := func() []*Session {
		if !k.locks() || k.changesCatalog() {
			return nil
		}
		return l.before(s, func(t tableName) bool { return inTheWay(t, true) })
	}
	return l.waitWith(ctx, s, func() bool {
		if len(behind()) > 0 {
			return false
		}
		free := l.free(s, func(owned map[tableName]bool) bool {
			for t, write := range owned {
				if inTheWay(t, write) {
					return true
				}
			}
			return false
		})
		if !free && k.changesCatalog() && !alters(st) {
			l.goFirst(s, tables)
		}
		return free
	}, func() bool {
		return slices.ContainsFunc(behind(), func(other *Session) bool {
			tx := other.shown.Load()
			return tx != nil && tx.WaitsFor(s.tx)
		})
	})
}

// goFirst puts a statement that changes definitions, but no ALTER TABLE, which lets writers go on,
// before all that write the tables and wait as well: as in MySQL these find the tables as they are
// behind it. Whoever renames a copy to the place of a table counts on that. l.mu is held.
func (l *tableLocks) goFirst(s *Session, tables []tableName) {
	if l.first == nil {
		l.first = map[*Session][]tableName{}
	}
	s.goesFirst, l.first[s] = true, tables
	l.held.Store(l.holding())
}

// gone ends that the session's statement goes first: it has the tables, or has failed.
func (l *tableLocks) gone(s *Session) {
	if !s.goesFirst {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s.goesFirst = false
	delete(l.first, s)
	l.count()
}

// before lists those whom the session must let go first, who have tables that are in the
// way. Not where its transaction keeps one of them, for which that one waits. l.mu is held.
func (l *tableLocks) before(s *Session, inTheWay func(tableName) bool) []*Session {
	var list []*Session
	for other, tables := range l.first {
		if other != s && slices.ContainsFunc(tables, inTheWay) && !s.keeps(tables) {
			list = append(list, other)
		}
	}
	return list
}

// keeps says whether the session's transaction keeps the definition of one of the tables.
func (s *Session) keeps(tables []tableName) bool {
	return s.tx != nil && slices.ContainsFunc(tablesNamed(s.engine.db.Catalog(), tables), s.tx.Keeps)
}

// reachesFurther says whether a statement over these tables may touch others.
func (s *Session) reachesFurther(tables []tableName) bool {
	cat := s.engine.db.Catalog()
	for _, t := range tables {
		if ofServer(t.database) {
			continue // who looks at what locks what must not wait for it
		}
		st := findTable(cat, t.database, t.name)
		if st == nil || len(st.Desc.ForeignKeys) > 0 || len(s.engine.references.of(cat, t.database, t.name)) > 0 {
			return true
		}
		if len(cat.Objects(objectTrigger, st.Desc.Database)) > 0 {
			return true
		}
	}
	return false
}

// waitOwners waits until blocked is false for every other session's locks.
func (l *tableLocks) waitOwners(ctx context.Context, s *Session, blocked func(map[tableName]bool) bool) error {
	return l.wait(ctx, s, func() bool { return l.free(s, blocked) })
}

// free says whether blocked is false for every other session's locks. l.mu is held.
func (l *tableLocks) free(s *Session, blocked func(map[tableName]bool) bool) bool {
	for owner, owned := range l.owners {
		if owner != s && blocked(owned) {
			return false
		}
	}
	return true
}

// wait waits until free holds, which is called with l.mu held.
func (l *tableLocks) wait(ctx context.Context, s *Session, free func() bool) error {
	return l.waitWith(ctx, s, free, func() bool { return false })
}

// circleWait is how long a transaction waits here before it looks whether it is waited for.
const circleWait = 100 * time.Millisecond

// waitWith is wait of a statement for others that may begin to wait, for locks of rows or definitions,
// for the session's transaction: circled, called like free, says so, and the transaction is given up.
func (l *tableLocks) waitWith(ctx context.Context, s *Session, free, circled func() bool) error {
	var look <-chan time.Time
	if s.tx != nil {
		ticker := time.NewTicker(circleWait)
		defer ticker.Stop()
		look = ticker.C
	}
	limit := s.seconds("lock_wait_timeout")
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		l.mu.Lock()
		done := free()
		if l.changed == nil {
			l.changed = make(chan struct{})
		}
		changed := l.changed
		l.mu.Unlock()
		if done {
			return nil
		}
		if s.state.CompareAndSwap(nil, &waitsForDefinition) {
			defer s.state.Store(nil)
		}
		select {
		case <-changed:
		case <-look:
			l.mu.Lock()
			deadlock := circled()
			l.mu.Unlock()
			if deadlock {
				return txn.ErrDeadlock
			}
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			return errLockWait()
		}
	}
}

func errLockWait() error {
	return mysqlError(1205, "Lock wait timeout exceeded; try restarting transaction")
}

// admitLocked checks a statement of a session that has locked tables.
func (s *Session) admitLocked(_ *gms.Context, k kind, st sqlparser.Statement) error {
	if k == kindControl || k == kindTables {
		return nil
	}
	for _, t := range s.tablesOf(st) {
		if ofServer(t.database) || s.temporary[temporaryKey(t.database, t.name)] != nil {
			continue
		}
		found, write := false, false
		for _, l := range s.tables {
			if l.table == t || l.alias != "" && l.alias == t.name {
				found, write = true, write || l.write
			}
		}
		if !found && findTable(s.engine.db.Catalog(), t.database, t.name) != nil {
			return mysqlError(1100, "Table '%s' was not locked with LOCK TABLES", t.name)
		}
		if found && !write && k.writes() {
			return mysqlError(1099, "Table '%s' was locked with a READ lock and can't be updated", t.name)
		}
	}
	return nil
}

// lockOrUnlockTables runs LOCK TABLES, UNLOCK TABLES and FLUSH TABLES.
func (s *Session) lockOrUnlockTables(ctx *gms.Context, st sqlparser.Statement, out sink) error {
	if flush, ok := st.(*sqlparser.Flush); ok {
		return s.flushTables(ctx, flush, out)
	}
	lock, ok := st.(*sqlparser.LockTables)
	if !ok {
		if len(s.tables) > 0 {
			if err := s.commitOpen(ctx); err != nil {
				return err
			}
		}
		s.unlockTables()
		s.unlockGlobal()
		out.OK(0, 0, "")
		return nil
	}
	if err := s.commitOpen(ctx); err != nil {
		return err
	}
	s.unlockTables()
	tables, err := s.wanted(lock)
	if err != nil {
		return err
	}
	if s.readLock && slices.ContainsFunc(tables, func(t lockedTable) bool { return t.write }) {
		return errReadLock()
	}
	if err := s.engine.locks.take(ctx, s, tables); err != nil {
		return err
	}
	out.OK(0, 0, "")
	return nil
}

func (s *Session) commitOpen(ctx *gms.Context) error {
	if s.tx == nil {
		return nil
	}
	err := s.CommitTransaction(ctx, nil)
	s.leaveTransaction()
	return err
}

// wanted lists the tables that a LOCK TABLES names.
func (s *Session) wanted(lock *sqlparser.LockTables) ([]lockedTable, error) {
	var tables []lockedTable
	cat := s.engine.db.Catalog()
	for _, t := range lock.Tables {
		expr, ok := t.Table.(*sqlparser.AliasedTableExpr)
		if !ok {
			return nil, mysqlError(1064, "LOCK TABLES takes names of tables")
		}
		names := s.tablesOf(expr)
		if len(names) == 0 {
			return nil, mysqlError(1064, "LOCK TABLES takes names of tables")
		}
		name := names[0]
		if findTable(cat, name.database, name.name) == nil && findObject(cat, objectView, name.database, name.name) == nil {
			return nil, mysqlError(1146, "Table '%s.%s' doesn't exist", name.database, name.name)
		}
		write := t.Lock == sqlparser.LockWrite || t.Lock == sqlparser.LockLowPriorityWrite
		tables = append(tables, lockedTable{name, strings.ToLower(expr.As.String()), write})
	}
	return tables, nil
}

// take waits for running transactions to let go and locks the tables.
func (l *tableLocks) take(ctx *gms.Context, s *Session, tables []lockedTable) error {
	for {
		if err := l.waitOwners(ctx, s, func(owned map[tableName]bool) bool { return conflicts(owned, tables) }); err != nil {
			return err
		}
		taken, err := l.takeOnce(ctx, s, tables)
		if errors.Is(err, txn.ErrDeadlock) {
			continue // it had nothing else
		}
		if taken || err != nil {
			return err
		}
	}
}

// takeOnce waits for those who have written the tables and not committed.
func (l *tableLocks) takeOnce(ctx *gms.Context, s *Session, tables []lockedTable) (bool, error) {
	tx := s.engine.db.Begin(s.isolation())
	defer tx.Rollback()
	tx.SetTableWaitTimeout(s.seconds("lock_wait_timeout"))
	var stored []*store.Table
	for _, t := range tables {
		if st := findTable(s.engine.db.Catalog(), t.table.database, t.table.name); st != nil {
			stored = append(stored, st)
		}
	}
	if err := lockInOrder(ctx, tx, stored); err != nil {
		return false, err
	}
	return l.tryTake(s, tables), nil
}

func conflicts(owned map[tableName]bool, tables []lockedTable) bool {
	for _, t := range tables {
		if write, ok := owned[t.table]; ok && (write || t.write) {
			return true
		}
	}
	return false
}

func (l *tableLocks) tryTake(s *Session, tables []lockedTable) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for owner, owned := range l.owners {
		if owner != s && conflicts(owned, tables) {
			return false
		}
	}
	if l.owners == nil {
		l.owners = map[*Session]map[tableName]bool{}
	}
	own := map[tableName]bool{}
	for _, t := range tables {
		own[t.table] = own[t.table] || t.write
	}
	l.owners[s] = own
	l.count()
	s.tables = tables
	return true
}

// unlockTables gives back the session's table locks.
func (s *Session) unlockTables() {
	if len(s.tables) == 0 {
		return
	}
	l := &s.engine.locks
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.owners, s)
	l.count()
	s.tables = nil
}

// holding is how many sessions others may have to wait for. l.mu is held.
func (l *tableLocks) holding() int32 { return int32(len(l.owners) + len(l.global) + len(l.first)) }

// count notes that who holds what has changed. l.mu is held.
func (l *tableLocks) count() {
	l.held.Store(l.holding())
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// admitKill lets a client end its own account's connections, an administrator all.
func (s *Session) admitKill(ctx *gms.Context, kill *sqlparser.Kill) error {
	v, ok := kill.ConnID.(*sqlparser.SQLVal)
	if !ok || v.Type != sqlparser.IntVal {
		return mysqlError(1064, "KILL takes the number of a connection")
	}
	var id uint64
	for _, c := range v.Val {
		id = id*10 + uint64(c-'0')
	}
	s.engine.mu.Lock()
	target := s.engine.sessions[uint32(id)]
	s.engine.mu.Unlock()
	if id >= 1<<32 || target == nil || target.client.User == systemUser {
		return mysqlError(1094, "Unknown thread id: %d", id)
	}
	if target.client.Account.User != s.client.Account.User && !s.administrator(ctx) {
		return mysqlError(1095, "You are not owner of thread %d", id)
	}
	return nil
}
