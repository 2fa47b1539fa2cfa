package sql

import (
	"strings"

	"github.com/dolthub/vitess/go/vt/sqlparser"

	"stack/roles/db/store"
)

// unsafeFunctions answer otherwise each time, or to each session.
var unsafeFunctions = map[string]bool{
	"connection_id": true, "current_role": true, "current_user": true, "found_rows": true, "get_lock": true, "is_free_lock": true, "is_used_lock": true,
	"last_insert_id": true, "rand": true, "random_bytes": true, "release_all_locks": true, "release_lock": true, "row_count": true, "session_user": true,
	"sleep": true, "sysdate": true, "system_user": true, "user": true, "uuid": true, "uuid_short": true, "version": true,
}

// refuseUnsafeDefaults refuses ADD COLUMN with a default that differs from server to
// server: the log has the statement, not the rows, so a replica and a restore to a point in
// time would give the rows that are there other values. MySQL refuses them too.
func (s *Session) refuseUnsafeDefaults(st sqlparser.Statement, t *store.Table) error {
	if !s.logsChanges() || s.replay != nil || t.Desc.Database == temporaryDatabase {
		return nil
	}
	statements := []sqlparser.Statement{st}
	if all, ok := st.(*sqlparser.AlterTable); ok {
		statements = statements[:0]
		for _, ddl := range all.Statements {
			statements = append(statements, ddl)
		}
	}
	for _, st := range statements {
		ddl, ok := st.(*sqlparser.DDL)
		if !ok || ddl.ColumnAction != sqlparser.AddStr || ddl.TableSpec == nil {
			continue
		}
		for _, c := range ddl.TableSpec.Columns {
			if c.Type.Default != nil && unsafeExpression(c.Type.Default) {
				return mysqlError(1674, "Statement is unsafe because it uses a system function that may return a different value on the replica: "+
					"the default of column %s. Add the column without it, fill it by UPDATE, then set the default.", c.Name.String())
			}
		}
	}
	return nil
}

func unsafeExpression(e sqlparser.Expr) (unsafe bool) {
	sqlparser.Walk(func(n sqlparser.SQLNode) (bool, error) {
		if f, ok := n.(*sqlparser.FuncExpr); ok {
			unsafe = unsafe || unsafeFunctions[strings.ToLower(f.Name.String())]
		}
		return !unsafe, nil
	}, e)
	return unsafe
}
