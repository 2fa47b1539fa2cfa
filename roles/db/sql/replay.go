package sql

import (
	"context"
	"errors"
	"fmt"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/vitess/go/vt/sqlparser"

	"stack/roles/db/binlog"
	"stack/roles/db/binlog/event"
	"stack/roles/db/txn"
	"stack/roles/db/wire"
)

// replay is a statement of another server's log that a session repeats.
type replay struct {
	query  *event.Query
	origin binlog.Origin
	rows   func(context.Context, *txn.Txn) error
}

// Replay repeats a statement that another server has logged, as it ran there: in its
// database, with its sql_mode, character sets, time zone and checks, at its time, for its
// account. Privileges were checked there. It is logged as it was, under its GTID, also
// where it changes nothing here. rows, where not nil, is called with the transaction before
// it is committed.
func (e *Engine) Replay(ctx context.Context, q *event.Query, o binlog.Origin, rows func(context.Context, *txn.Txn) error) error {
	s, err := e.replaySession(q)
	if err != nil {
		return err
	}
	defer s.Close()
	s.replay = &replay{q, o, rows}
	text, err := decodeText(q.Plain(), q.Client)
	if err != nil {
		return err
	}
	text = s.asRead(statementAlone(text))
	st, text, _, err := s.parse(s.context(ctx, text), text, false)
	if err != nil {
		return clientError(err, s.GetCurrentDatabase())
	}
	if ddl, ok := st.(*sqlparser.DDL); ok && ddl.OptSelect != nil {
		return errors.New("it fills a table by a query, whose rows the log does not have: set binlog_format = ROW where it comes from, and connect its sessions anew")
	}
	s.nameDefiner(st)
	return s.execute(ctx, text, st, nil, discard{})
}

// replaySession is a session that has what the log says of the one that ran the
// statement.
func (e *Engine) replaySession(q *event.Query) (*Session, error) {
	s, err := e.systemSession()
	if err != nil {
		return nil, err
	}
	if q.User != "" {
		// What the statement makes belongs to this account, which may no longer be there.
		s.client.Account = wire.Account{User: q.User, Host: q.Host, Admin: true}
	}
	s.SetCurrentDatabase(q.Database)
	set := map[string]any{
		"sql_mode":           modeNames(q.Mode),
		"foreign_key_checks": onOff(!q.NoForeignKeyChecks),
		"unique_checks":      onOff(!q.NoUniqueChecks),
	}
	if q.Client != 0 {
		for name, id := range map[string]uint16{"collation_connection": q.Connection, "collation_server": q.Server} {
			c, err := loggedCollation(id)
			if err != nil {
				s.Close()
				return nil, err
			}
			set[name] = c.Name()
		}
	}
	if q.TimeZone != "" {
		set["time_zone"] = q.TimeZone
	}
	if q.Increment > 0 {
		set["auto_increment_increment"], set["auto_increment_offset"] = int64(q.Increment), int64(q.Offset)
	}
	gctx := s.context(context.Background(), "")
	for name, value := range set {
		if err := s.SetSessionVariable(gctx, name, value); err != nil {
			s.Close()
			return nil, fmt.Errorf("set %s as it was for the statement: %w", name, clientError(err, ""))
		}
	}
	return s, nil
}

func onOff(on bool) int8 {
	if on {
		return 1
	}
	return 0
}

// decodeText makes UTF-8 of a statement that was sent in another character set.
func decodeText(text string, collation uint16) (string, error) {
	if collation == 0 {
		return text, nil
	}
	c, err := loggedCollation(collation)
	if err != nil {
		return "", err
	}
	switch cs := c.CharacterSet(); cs {
	case gms.CharacterSet_utf8mb4, gms.CharacterSet_utf8mb3, gms.CharacterSet_binary, gms.CharacterSet_ascii, gms.CharacterSet_Unspecified:
		return text, nil
	default:
		b, ok := cs.Encoder().Decode([]byte(text))
		if !ok {
			return "", fmt.Errorf("the statement is not text of %s", cs.Name())
		}
		return string(b), nil
	}
}

// nameDefiner gives what a statement makes the account that ran it, where it names none:
// the planner would take the session's.
func (s *Session) nameDefiner(st sqlparser.Statement) {
	ddl, ok := st.(*sqlparser.DDL)
	if !ok {
		return
	}
	definer := QuoteName(s.client.Account.User) + "@" + QuoteName(s.client.Account.Host)
	for _, at := range definersOf(ddl) {
		if *at == "" {
			*at = definer
		}
	}
}

func definersOf(ddl *sqlparser.DDL) (list []*string) {
	if ddl.ViewSpec != nil {
		list = append(list, &ddl.ViewSpec.Definer)
	}
	if ddl.TriggerSpec != nil {
		list = append(list, &ddl.TriggerSpec.Definer)
	}
	if ddl.EventSpec != nil {
		list = append(list, &ddl.EventSpec.Definer)
	}
	return list
}
