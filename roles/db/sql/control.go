package sql

import (
	"context"
	"regexp"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/vitess/go/vt/sqlparser"

	"stack/roles/db/txn"
)

// nextTransaction is what SET TRANSACTION, without SESSION or GLOBAL, has asked for the
// next transaction alone.
type nextTransaction struct {
	isolation string // as the variable says it; empty: the session's
	readOnly  *bool
}

// setsNext says whether a statement is SET TRANSACTION for the next transaction.
func setsNext(st sqlparser.Statement) (*sqlparser.Set, bool) {
	set, ok := st.(*sqlparser.Set)
	if !ok || len(set.Exprs) == 0 {
		return nil, false
	}
	for _, e := range set.Exprs {
		if e.Scope != sqlparser.SetScope_None || !strings.EqualFold(e.Name.Name.String(), sqlparser.TransactionStr) {
			return nil, false
		}
	}
	return set, true
}

// setNext runs it: the planner would change the whole session.
func (s *Session) setNext(set *sqlparser.Set) error {
	if s.explicit() {
		return mysqlError(1568, "Transaction characteristics can't be changed while a transaction is in progress")
	}
	for _, e := range set.Exprs {
		v, ok := e.Expr.(*sqlparser.SQLVal)
		if !ok {
			return mysqlError(1064, "SET TRANSACTION takes an isolation level or an access mode")
		}
		switch text := string(v.Val); text {
		case sqlparser.TxReadOnly, sqlparser.TxReadWrite:
			only := text == sqlparser.TxReadOnly
			s.next.readOnly = &only
		default:
			level := strings.ToUpper(strings.TrimPrefix(strings.ToLower(text), "isolation level "))
			s.next.isolation = strings.ReplaceAll(level, " ", "-")
		}
	}
	return nil
}

func isolationOf(name string) txn.Isolation {
	switch strings.ToUpper(name) {
	case "READ-UNCOMMITTED", "READ-COMMITTED":
		return txn.ReadCommitted
	case "SERIALIZABLE":
		return txn.Serializable
	}
	return txn.RepeatableRead
}

// The parser takes these and keeps nothing of them.
var (
	chainOrRelease     = regexp.MustCompile(`(?i)^\s*(?:commit|rollback)(?:\s+work)?\s+(?:and\s+(chain)\b|(release)\b)`)
	consistentSnapshot = regexp.MustCompile(`(?i)\bwith\s+consistent\s+snapshot\b`)
)

// chainOf says what COMMIT or ROLLBACK asks for beside it: AND CHAIN, or RELEASE.
func chainOf(text string, st sqlparser.Statement) (chain, release bool) {
	switch st.(type) {
	case *sqlparser.Commit, *sqlparser.Rollback:
		m := chainOrRelease.FindStringSubmatch(text)
		return m != nil && m[1] != "", m != nil && m[2] != ""
	}
	return false, false
}

// characteristics are those of the open transaction, for the one that AND CHAIN begins.
func (s *Session) characteristics() nextTransaction {
	next := nextTransaction{isolation: s.level}
	if tx, ok := s.GetTransaction().(*transaction); ok {
		next.readOnly = &tx.readOnly
	}
	return next
}

// chain begins the next transaction at once.
func (s *Session) chain(ctx *gms.Context, like nextTransaction) error {
	s.next = like
	// The context of the statement before has ended with it.
	return s.perform(s.context(context.WithoutCancel(ctx), "START TRANSACTION"), kindControl, "START TRANSACTION", &sqlparser.Begin{}, nil, discard{})
}

// snapshotNow takes the view at once for START TRANSACTION WITH CONSISTENT SNAPSHOT.
func (s *Session) snapshotNow(_ *gms.Context, text string, st sqlparser.Statement) {
	if _, ok := st.(*sqlparser.Begin); ok && s.tx != nil && consistentSnapshot.MatchString(text) {
		s.tx.StartSnapshot()
	}
}

// touchesTables says whether a statement, where it is a transaction of its own, is the one that
// SET TRANSACTION is for.
func (s *Session) touchesTables(k kind, st sqlparser.Statement) bool {
	switch k {
	case kindWrite, kindLockingRead:
		return true
	case kindRead:
		return len(s.tablesOf(st)) > 0
	}
	return false
}
