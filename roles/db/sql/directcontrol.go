package sql

import (
	"context"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/txn"
)

// longestControl is the length of the longest text that directControl knows.
const longestControl = len("START TRANSACTION")

// directControl runs BEGIN, COMMIT and ROLLBACK in their plain forms, where a transaction
// begins outside of one, or ends that the client has begun; false: nothing has happened.
func (s *Session) directControl(ctx context.Context, query string, out sink) (done bool, err error) {
	query = strings.TrimSpace(query)
	if len(query) > longestControl {
		return false, nil
	}
	n := s.settingsNow()
	switch {
	case !n.autocommit:
		return false, nil
	case strings.EqualFold(query, "BEGIN"), strings.EqualFold(query, "START TRANSACTION"):
		if s.tx != nil || s.next != (nextTransaction{}) {
			return false, nil
		}
		s.ran(kindControl, commandBegin)
		err = s.directBegin()
	case strings.EqualFold(query, "COMMIT"), strings.EqualFold(query, "ROLLBACK"):
		if s.tx == nil || !s.GetIgnoreAutoCommit() {
			return false, nil
		}
		c := commandRollback
		if len(query) == len("COMMIT") {
			c = commandCommit
		}
		s.ran(kindControl, c)
		s.hold = false
		if c == commandCommit {
			err = s.CommitTransaction(s.metaContext().WithContext(ctx), nil)
		} else {
			s.rollback()
		}
		s.leaveTransaction()
	default:
		return false, nil
	}
	if err != nil {
		return true, s.tell(err)
	}
	info := s.GetLastQueryInfo()
	info.RowCount.Store(-1)
	info.FoundRows.Store(0)
	out.OK(0, 0, "")
	return true, nil
}

func (s *Session) directBegin() error {
	ctx := s.metaContext()
	s.kind, s.reads, s.hold, s.start = kindControl, txn.Consistent, false, txn.Mark{}
	tx, err := s.StartTransaction(ctx, s.characteristic())
	if err != nil {
		return err
	}
	s.BaseSession.SetTransaction(tx)
	s.BaseSession.SetIgnoreAutoCommit(true)
	return nil
}

// metaContext is a context of the planner for what is not bound to a statement.
func (s *Session) metaContext() *gms.Context { return s.direct.context(s) }
