package sql

import (
	"context"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// The global read lock of FLUSH TABLES WITH READ LOCK: until UNLOCK TABLES, or the end of the session, writing
// statements of others wait, and commits of what they have written before. So what is read and the position in the
// binary log stay where they are, and belong together. Several sessions may have it.

func errReadLock() error {
	return mysqlError(1223, "Can't execute the query because you have a conflicting read lock")
}

func errFlushInRoutine() error {
	return mysqlError(1314, "FLUSH TABLES is not allowed in stored procedures")
}

func isFlushTables(st *sqlparser.Flush) bool {
	return strings.HasPrefix(strings.ToLower(st.Option.Name), "table")
}

// admitGlobal lets a writing statement wait for the end of the global read lock. A statement of another server's
// log waits at its commit only, where a STOP REPLICA ends it.
func (l *tableLocks) admitGlobal(ctx context.Context, s *Session, k kind, st sqlparser.Statement) error {
	if l.held.Load() == 0 || s.replay != nil || !k.writes() || k == kindTemporary || s.writesTemporary(k, st) {
		return nil
	}
	if s.readLock {
		return errReadLock()
	}
	return l.wait(ctx, s, func() bool { return len(l.global) == 0 })
}

// flushTables runs FLUSH TABLES. There are no open tables to close: only the locks are left of it.
func (s *Session) flushTables(ctx *gms.Context, st *sqlparser.Flush, out sink) error {
	if err := s.need(ctx, gms.PrivilegeType_Reload, "RELOAD"); err != nil {
		return err
	}
	if st.Option.ReadLock && len(s.tables) > 0 {
		return mysqlError(1192, "Can't execute the given command because you have active locked tables or an active transaction")
	}
	if st.Option.ReadLock && len(st.Option.Tables) > 0 {
		lock := &sqlparser.LockTables{}
		for _, t := range st.Option.Tables {
			lock.Tables = append(lock.Tables, &sqlparser.TableAndLockType{Table: &sqlparser.AliasedTableExpr{Expr: t}, Lock: sqlparser.LockRead})
		}
		if err := s.authorizeLocks(ctx, lock); err != nil {
			return err
		}
		return s.lockOrUnlockTables(ctx, lock, out)
	}
	if err := s.commitOpen(ctx); err != nil {
		return err
	}
	if st.Option.ReadLock && !s.readLock {
		if err := s.engine.locks.takeGlobal(ctx, s); err != nil {
			return err
		}
	}
	out.OK(0, 0, "")
	return nil
}

// takeGlobal takes the global read lock: no statement begins to write from then on, and the commits that have
// begun are waited for.
func (l *tableLocks) takeGlobal(ctx context.Context, s *Session) error {
	most, stop := context.WithTimeout(ctx, s.seconds("lock_wait_timeout"))
	defer stop()
	l.mu.Lock()
	if l.global == nil {
		l.global = map[*Session]func(){}
	}
	l.global[s] = func() {}
	l.count()
	l.mu.Unlock()
	s.readLock = true
	release, err := s.engine.db.BlockCommits(most)
	if err != nil {
		s.unlockGlobal()
		if ctx.Err() == nil {
			return errLockWait()
		}
		return err
	}
	l.mu.Lock()
	l.global[s] = release
	l.mu.Unlock()
	return nil
}

// unlockGlobal gives the session's global read lock back.
func (s *Session) unlockGlobal() {
	if !s.readLock {
		return
	}
	l := &s.engine.locks
	l.mu.Lock()
	defer l.mu.Unlock()
	l.global[s]()
	delete(l.global, s)
	l.count()
	s.readLock = false
}
