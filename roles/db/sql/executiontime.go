package sql

import (
	"context"
	"errors"
	"regexp"
	"strconv"
	"time"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/vitess/go/vt/sqlparser"

	"stack/roles/db/wire"
)

// errExecutionTime is why the context of a SELECT ended that took max_execution_time.
var errExecutionTime = errors.New("max_execution_time is over")

// errStatementTime is why the context of a statement ended that took max_statement_time, which is
// MariaDB's.
var (
	errStatementTime   = errors.New("max_statement_time is over")
	errStatementIsLong = &wire.Error{Code: 1969, State: "70100", Message: "Query execution was interrupted (max_statement_time exceeded)"}
)

var errTooLong = mysqlError(3024, "Query execution was interrupted, maximum statement execution time exceeded")

var executionTimeHint = regexp.MustCompile(`(?i)\bmax_execution_time\s*\(\s*(\d{1,10})\s*\)`)

// executionTime is how long a statement of a client may take, 0 if there is no limit. Only a SELECT
// that writes nothing has one: that of its hint MAX_EXECUTION_TIME(ms), in the first SELECT of a
// UNION, else that of the session.
func (s *Session) executionTime(k kind, st sqlparser.Statement) time.Duration {
	if k != kindRead && k != kindLockingRead {
		return 0
	}
	first := firstSelect(st)
	if first == nil {
		return 0
	}
	for _, c := range first.Comments {
		if len(c) > 3 && string(c[:3]) == "/*+" {
			if m := executionTimeHint.FindSubmatch(c); m != nil {
				ms, _ := strconv.ParseUint(string(m[1]), 10, 64) // ten digits fit
				return time.Duration(ms) * time.Millisecond
			}
		}
	}
	return s.settingsNow().maxExecution
}

// firstSelect is the SELECT that the hints of a statement belong to, nil if it is none.
func firstSelect(st sqlparser.SQLNode) *sqlparser.Select {
	for {
		switch x := st.(type) {
		case *sqlparser.Select:
			return x
		case *sqlparser.SetOp:
			st = x.Left
		case *sqlparser.ParenSelect:
			st = x.Select
		default:
			return nil
		}
	}
}

// limited is ctx with an end after limit; stop is to be called when the statement has ended.
func limited(ctx context.Context, limit time.Duration) (_ context.Context, stop context.CancelFunc) {
	if limit <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, limit, errExecutionTime)
}

// tookTooLong makes an error of a statement whose time was over that of it.
func tookTooLong(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	switch context.Cause(ctx) {
	case errExecutionTime:
		return errTooLong
	case errStatementTime:
		return errStatementIsLong
	}
	return err
}

// untilEnd has the rows of a node end with the statement's context: joins and sorts read what they
// keep in memory without asking.
type untilEnd struct{ gms.RowIter }

// Next returns the next row.
func (u untilEnd) Next(ctx *gms.Context) (gms.Row, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return u.RowIter.Next(ctx)
}
