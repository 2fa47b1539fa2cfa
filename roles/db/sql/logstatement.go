package sql

import (
	"fmt"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/mysql_db"
	"github.com/dolthub/vitess/go/vt/sqlparser"

	"stack/roles/db/binlog/event"
	"stack/roles/db/txn"
)

// running is the statement that a session runs.
type running struct {
	st       sqlparser.Statement
	text     string
	bindings map[string]sqlparser.Expr // of its placeholders in the binary protocol
}

// logStatement gives the open transaction, which has changed the catalog, the statement
// for the binary log: the text as given, with what it depends on, and the collations of utf8mb4. Passwords, temporary
// tables and the rows of CREATE TABLE … SELECT do not go by text.
func (s *Session) logStatement(ctx *gms.Context, tx *txn.Txn) error {
	text, err := s.loggedText(ctx, tx)
	if err != nil {
		return err
	}
	mode, _ := s.modeOf(ctx, text)
	by := s.acting()
	q := event.Query{
		Text: written(sayCollations(text)), Database: s.GetCurrentDatabase(), Thread: s.ID(),
		Mode: mode,
		User: by.User, Host: by.Host,
		Begun: ctx.QueryTime(),
		// Whatever the client sends in, texts are kept in UTF-8.
		Client: uint16(gms.Collation_utf8mb4_general_ci), Connection: s.collation("collation_connection"), Server: s.collation("collation_server"),
	}
	q.NoForeignKeyChecks, q.NoUniqueChecks = s.isOff("foreign_key_checks"), s.isOff("unique_checks")
	q.Increment, q.Offset = s.small("auto_increment_increment"), s.small("auto_increment_offset")
	if v, err := s.GetSessionVariable(ctx, "time_zone"); err == nil {
		if zone, ok := v.(string); ok && !strings.EqualFold(zone, "SYSTEM") {
			q.TimeZone = zone
		}
	}
	tx.LogStatement(q)
	return nil
}

func (s *Session) isOff(variable string) bool {
	v, err := s.GetSessionVariable(nil, variable)
	return err == nil && !isOn(v)
}

func (s *Session) small(variable string) uint16 {
	v, err := s.GetSessionVariable(nil, variable)
	if err != nil {
		return 0
	}
	n, _ := v.(int64)
	return uint16(n)
}

func (s *Session) collation(variable string) uint16 {
	if v, err := s.GetSessionVariable(nil, variable); err == nil {
		if name, ok := v.(string); ok {
			if id, err := gms.ParseCollation("", name, false); err == nil {
				return uint16(id)
			}
		}
	}
	return uint16(defaultCollation)
}

// statement is the running statement with its own text, for EXECUTE the one that it runs.
func (s *Session) statement() (sqlparser.Statement, string) {
	st, text := s.running.st, s.running.text
	if ex, ok := st.(*sqlparser.Execute); ok {
		st, text = s.unprepared(st), s.preparedTexts[ex.Name].text
	}
	return st, text
}

// loggedText is the running statement as the log gets it.
func (s *Session) loggedText(ctx *gms.Context, tx *txn.Txn) (string, error) {
	st, text := s.statement()
	switch st := st.(type) {
	case *sqlparser.CreateUser:
		return s.createUserText(ctx, st), nil
	case *sqlparser.DDL:
		switch {
		case altersAccount(st):
			if st.Authentication == nil {
				return text, nil
			}
			return "ALTER USER " + accountText(ctx, st.User) + s.identifiedText(ctx, st.User), nil
		case st.Action == sqlparser.CreateStr && st.TableSpec == nil && st.OptLike == nil && st.OptSelect == nil:
			return text, nil // a view, a trigger
		case st.OptSelect != nil, st.OptLike != nil && s.namesTemporary(st.OptLike.LikeTables):
			return s.createTableText(ctx, st, tx.LogsRows())
		case st.Action == sqlparser.DropStr && s.dropsTemporary:
			return s.dropTablesText(st), nil
		}
	}
	return text, nil
}

func (s *Session) namesTemporary(tables []sqlparser.TableName) bool {
	for _, t := range tables {
		db := t.DbQualifier.String()
		if db == "" {
			db = s.GetCurrentDatabase()
		}
		if s.temporaryTable(db, t.Name.String()) != nil {
			return true
		}
	}
	return false
}

// createTableText describes the table that the statement has made. Where rows of it
// follow in the log, MySQL 8.0.21 and later know it by the last two words.
func (s *Session) createTableText(ctx *gms.Context, st *sqlparser.DDL, rows bool) (string, error) {
	db, name := st.Table.DbQualifier.String(), st.Table.Name.String()
	if db == "" {
		db = s.GetCurrentDatabase()
	}
	full := QuoteName(db) + "." + QuoteName(name)
	text, err := s.showCreate(ctx, full)
	if err != nil {
		return "", fmt.Errorf("describe table %s.%s for the binary log: %w", db, name, err)
	}
	text = strings.Replace(text, "CREATE TABLE "+QuoteName(name), "CREATE TABLE "+full, 1)
	if rows {
		text += " START TRANSACTION"
	}
	return text, nil
}

// showCreate asks the planner for a table's definition, within the running statement.
func (s *Session) showCreate(ctx *gms.Context, table string) (string, error) {
	was := s.hold
	s.hold, s.describes = true, true // the planner commits at the end of a statement
	defer func() { s.describes = false }()
	defer func() { s.hold = was }()
	_, rows, _, err := s.engine.gms.Query(ctx, "SHOW CREATE TABLE "+table)
	if err != nil {
		return "", err
	}
	list, err := gms.RowIterToRows(ctx, rows)
	if err != nil {
		return "", err
	}
	if len(list) == 1 && len(list[0]) > 1 {
		if text, ok := list[0][1].(string); ok {
			return text, nil
		}
	}
	return "", fmt.Errorf("SHOW CREATE TABLE answered %d rows", len(list))
}

// dropTablesText is DROP TABLE without the session's temporary tables, which are gone
// by now: those that are named and were not kept as such.
func (s *Session) dropTablesText(st *sqlparser.DDL) string {
	var names []string
	for _, t := range st.FromTables {
		db := t.DbQualifier.String()
		if db == "" {
			db = s.GetCurrentDatabase()
		}
		if findTable(s.engine.db.Catalog(), db, t.Name.String()) != nil && findTable(s.catalog(), db, t.Name.String()) == nil {
			names = append(names, QuoteName(db)+"."+QuoteName(t.Name.String()))
		}
	}
	return "DROP TABLE IF EXISTS " + strings.Join(names, ", ")
}

// createUserText is CREATE USER with the stored hashes in place of the passwords.
func (s *Session) createUserText(ctx *gms.Context, st *sqlparser.CreateUser) string {
	var b strings.Builder
	b.WriteString("CREATE USER ")
	if st.IfNotExists {
		b.WriteString("IF NOT EXISTS ")
	}
	for i := range st.Users {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(accountText(ctx, st.Users[i].AccountName) + s.identifiedText(ctx, st.Users[i].AccountName))
	}
	if o := st.TLSOptions; o != nil {
		var need []string
		for _, x := range []struct {
			on         bool
			name, text string
		}{
			{o.SSL, "SSL", ""}, {o.X509, "X509", ""}, {o.Cipher != "", "CIPHER ", o.Cipher},
			{o.Issuer != "", "ISSUER ", o.Issuer}, {o.Subject != "", "SUBJECT ", o.Subject},
		} {
			if x.on && x.text != "" {
				x.name += QuoteText(x.text)
			}
			if x.on {
				need = append(need, x.name)
			}
		}
		if len(need) > 0 {
			b.WriteString(" REQUIRE " + strings.Join(need, " AND "))
		}
	}
	if st.Locked {
		b.WriteString(" ACCOUNT LOCK")
	}
	if st.Attribute != "" {
		b.WriteString(" ATTRIBUTE " + QuoteText(st.Attribute))
	}
	return b.String()
}

func accountText(ctx *gms.Context, name sqlparser.AccountName) string {
	return QuoteText(name.Name) + "@" + QuoteText(hostOf(name))
}

// identifiedText says how an account logs in, by what is stored.
func (s *Session) identifiedText(ctx *gms.Context, name sqlparser.AccountName) string {
	rd := s.engine.accounts.db.Reader()
	defer rd.Close()
	u, ok := rd.GetUser(mysql_db.UserPrimaryKey{User: name.Name, Host: hostOf(name)})
	if !ok {
		return ""
	}
	text := " IDENTIFIED WITH " + QuoteText(u.Plugin)
	if u.AuthString != "" {
		text += " AS " + QuoteText(u.AuthString)
	}
	return text
}

// admitLogSwitch says who may take his changes out of the binary log, and when.
func (s *Session) admitLogSwitch(ctx *gms.Context) error {
	switch {
	case !s.administrator(ctx):
		return mysqlError(1227, "Access denied; you need (at least one of) the SUPER or SYSTEM_VARIABLES_ADMIN privilege(s) for this operation")
	case s.explicit():
		return mysqlError(1694, "Cannot modify @@session.sql_log_bin inside a transaction")
	}
	return nil
}

// logsChanges is false where the session has taken its changes out of the binary log,
// SET sql_log_bin = 0.
func (s *Session) logsChanges() bool { return s.settingsNow().logs }
