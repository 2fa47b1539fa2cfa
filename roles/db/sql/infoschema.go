package sql

import (
	"errors"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/information_schema"
)

// readInfoSchema fills tables of the planner's information_schema that it would leave empty, or
// fill without regard to who asks.
func readInfoSchema(db gms.Database) error {
	for name, read := range map[string]func(*gms.Context, *Session) []gms.Row{
		"processlist": processInfo,
		"innodb_trx":  transactionInfo,
	} {
		t, ok, err := db.GetTableInsensitive(nil, name)
		if err != nil {
			return err
		}
		if info, is := t.(*information_schema.InformationSchemaTable); ok && is {
			info.Reader = func(ctx *gms.Context, _ gms.Catalog) (gms.RowIter, error) {
				s, err := sessionOf(ctx)
				if err != nil {
					return nil, err
				}
				return gms.RowsToRowIter(read(ctx, s)...), nil
			}
		}
	}
	if err := showWritten(db); err != nil {
		return err
	}
	// Without rows: monitoring looks whether there is a column STATUS.
	if t, ok, err := db.GetTableInsensitive(nil, "innodb_metrics"); err != nil {
		return err
	} else if info, is := t.(*information_schema.InformationSchemaTable); ok && is {
		upperNames(info)
	}
	return nil
}

// showWritten has TRIGGERS show ACTION_STATEMENT as it was written by SQL_MODE.
func showWritten(db gms.Database) error {
	t, ok, err := db.GetTableInsensitive(nil, "triggers")
	if err != nil {
		return err
	}
	info, is := t.(*information_schema.InformationSchemaTable)
	if !ok || !is {
		return errors.New("the planner's information_schema has no table triggers")
	}
	text, mode := info.TableSchema.IndexOfColName("action_statement"), info.TableSchema.IndexOfColName("sql_mode")
	if text < 0 || mode < 0 {
		return errors.New("information_schema.triggers has no columns action_statement and sql_mode")
	}
	read := info.Reader
	info.Reader = func(ctx *gms.Context, c gms.Catalog) (gms.RowIter, error) {
		iter, err := read(ctx, c)
		if err != nil {
			return nil, err
		}
		rows, err := gms.RowIterToRows(ctx, iter)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			body, _ := r[text].(string)
			names, _ := r[mode].(string)
			if as := readingOf(names); !as.usual() {
				r[text] = as.turnBack(body)
			}
		}
		return gms.RowsToRowIter(rows...), nil
	}
	return nil
}

// upperNames gives columns the names in upper case that monitoring looks for in
// information_schema.columns.
func upperNames(t *information_schema.InformationSchemaTable) {
	schema := make(gms.Schema, len(t.TableSchema))
	for i, c := range t.TableSchema {
		upper := *c
		upper.Name = strings.ToUpper(c.Name)
		schema[i] = &upper
	}
	t.TableSchema = schema
}

func processInfo(ctx *gms.Context, s *Session) []gms.Row {
	var rows []gms.Row
	for _, p := range s.processes(ctx) {
		rows = append(rows, gms.Row{uint64(p.id), p.user, p.host, p.database, p.command, int32(p.seconds), p.state, p.info})
	}
	return rows
}

// transactionInfo is information_schema.innodb_trx: the transactions that are open. Its ids are those
// of their connections.
func transactionInfo(ctx *gms.Context, s *Session) []gms.Row {
	if !s.seesProcesses(ctx) {
		return nil
	}
	var rows []gms.Row
	for _, t := range s.engine.transactions() {
		state, requested, since := "RUNNING", any(nil), any(nil)
		if !t.waitsSince.IsZero() {
			state, requested, since = "LOCK WAIT", lockID(t.connection, t.waits), t.waitsSince
		}
		var text any
		if t.statement != "" {
			text = clipText(t.statement, 1024)
		}
		rows = append(rows, gms.Row{
			uint64(t.connection), state, t.begun, requested, since, uint64(t.writes) + t.locks, uint64(t.connection), text, nil,
			t.tables, t.tables, t.locks + t.tables, uint64(0), t.locks, uint64(t.writes), uint64(0), t.level, int32(1), int32(1), nil, int32(0), uint64(0),
			int32(0), int32(0), nil,
		})
	}
	return rows
}
