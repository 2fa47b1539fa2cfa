package sql

import (
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// authorization corrects the planner's checks: a privilege asked for globally it takes
// from the current database too, so that who may do everything in one database could
// create accounts and others. Everything global is therefore checked as if no database
// were chosen.
type authorization struct{ gms.AuthorizationHandler }

// noDatabase is a name that no database has.
const noDatabase = "#none"

// HandleAuth checks what a statement's node asks for.
func (a authorization) HandleAuth(ctx *gms.Context, state gms.AuthorizationQueryState, auth sqlparser.AuthInformation) error {
	if auth.AuthType == sqlparser.AuthType_PROCESS {
		return nil // SHOW PROCESSLIST: without the privilege it shows the account's own
	}
	if access, ok := auth.Extra.(*viewAccess); ok {
		return a.checkInView(ctx, state, access, auth)
	}
	if s, err := sessionOf(ctx); err == nil {
		s.views.checked = nil
	}
	if namesDatabase(auth) {
		return a.AuthorizationHandler.HandleAuth(ctx, state, auth)
	}
	current := ctx.GetCurrentDatabase()
	ctx.SetCurrentDatabase(noDatabase)
	defer ctx.SetCurrentDatabase(current)
	return a.AuthorizationHandler.HandleAuth(ctx, state, auth)
}

// namesDatabase says whether the check is about databases or tables: there no name
// means the current database.
func namesDatabase(auth sqlparser.AuthInformation) bool {
	switch auth.AuthType {
	case sqlparser.AuthType_RENAME, sqlparser.AuthType_CALL, sqlparser.AuthType_VISIBLE, sqlparser.AuthType_SHOW_CREATE_PROCEDURE:
		return true
	}
	switch auth.TargetType {
	case sqlparser.AuthTargetType_DatabaseIdentifiers, sqlparser.AuthTargetType_MultipleTableIdentifiers,
		sqlparser.AuthTargetType_SingleTableIdentifier, sqlparser.AuthTargetType_TableColumn:
		return true
	}
	return false
}

// authorize checks what the planner does not: databases by name, global variables, and
// the tables of accounts, which only account statements change.
func (s *Session) authorize(ctx *gms.Context, st sqlparser.Statement) error {
	switch st := s.unprepared(st).(type) {
	case *sqlparser.DBDDL:
		return s.authorizeDatabase(ctx, st)
	case *sqlparser.Set:
		for _, e := range st.Exprs {
			switch e.Scope {
			case sqlparser.SetScope_Global, sqlparser.SetScope_Persist, sqlparser.SetScope_PersistOnly:
				if !s.administrator(ctx) {
					return mysqlError(1227, "Access denied; you need (at least one of) the SUPER or SYSTEM_VARIABLES_ADMIN privilege(s) for this operation")
				}
			}
			if strings.EqualFold(e.Name.Name.String(), "sql_log_bin") {
				if err := s.admitLogSwitch(ctx); err != nil {
					return err
				}
			}
		}
	case *sqlparser.Show:
		switch strings.ToLower(st.Type) {
		case "binary logs", "binary log status":
			return s.need(ctx, gms.PrivilegeType_ReplicationClient, "SUPER or REPLICATION CLIENT")
		}
	case *sqlparser.DDL:
		// The planner lets an account change every one of its name, whichever host.
		if altersAccount(st) && accountOf(st.User) != s.runsAs() {
			return s.mayAccounts(ctx)
		}
		return s.authorizeSelected(ctx, st)
	case *sqlparser.LockTables:
		return s.authorizeLocks(ctx, st)
	case *sqlparser.Insert:
		if err := s.refuseSystem(st.Table); err != nil {
			return err
		}
		return s.authorizeDuplicates(ctx, st)
	case *sqlparser.Update:
		return s.refuseSystem(st.TableExprs)
	case *sqlparser.Delete:
		return s.refuseSystem(st.TableExprs)
	}
	return nil
}

// authorizeLocks checks LOCK TABLES: without the privilege an account could make
// everybody wait for tables that it may not even read.
func (s *Session) authorizeLocks(ctx *gms.Context, st *sqlparser.LockTables) error {
	set := s.engine.accounts.db.UserActivePrivilegeSet(ctx)
	for _, t := range s.tablesOf(st) {
		db := set.Database(t.database)
		lock := set.Has(gms.PrivilegeType_LockTables) || db.Has(gms.PrivilegeType_LockTables)
		read := set.Has(gms.PrivilegeType_Select) || db.Has(gms.PrivilegeType_Select) || db.Table(t.name).Has(gms.PrivilegeType_Select)
		if !lock || !read {
			return mysqlError(1044, "Access denied for user '%s'@'%s' to database '%s'", s.client.Account.User, s.client.Account.Host, t.database)
		}
	}
	return nil
}

// seesProcesses says whether the account may see what others run.
func (s *Session) seesProcesses(ctx *gms.Context) bool {
	set := s.engine.accounts.db.UserActivePrivilegeSet(ctx)
	return set.Has(gms.PrivilegeType_Process) || set.Has(gms.PrivilegeType_Super)
}

// refuseSystem refuses writes to the planner's own tables: they would not last.
func (s *Session) refuseSystem(tables sqlparser.SQLNode) error {
	names := s.tablesOf(tables)
	for _, t := range names {
		if t.database == "mysql" || t.database == "information_schema" {
			return mysqlError(1142, "INSERT, UPDATE and DELETE command denied for table '%s.%s': use CREATE USER, GRANT and their like", t.database, t.name)
		}
	}
	return nil
}

// authorizeDuplicates checks INSERT … ON DUPLICATE KEY UPDATE, of which the planner asks for INSERT alone.
func (s *Session) authorizeDuplicates(ctx *gms.Context, st *sqlparser.Insert) error {
	if len(st.OnDup) == 0 {
		return nil
	}
	return s.engine.gms.Analyzer.Catalog.AuthorizationHandler().HandleAuth(ctx, nil, sqlparser.AuthInformation{
		AuthType:    sqlparser.AuthType_UPDATE,
		TargetType:  sqlparser.AuthTargetType_SingleTableIdentifier,
		TargetNames: []string{st.Table.DbQualifier.String(), st.Table.Name.String()},
	})
}

// authorizeDatabase checks CREATE, ALTER and DROP DATABASE: the privilege globally or
// on the database of this name.
func (s *Session) authorizeDatabase(ctx *gms.Context, st *sqlparser.DBDDL) error {
	needed := gms.PrivilegeType_Create
	switch strings.ToLower(st.Action) {
	case sqlparser.DropStr:
		needed = gms.PrivilegeType_Drop
	case sqlparser.AlterStr:
		needed = gms.PrivilegeType_Alter
	}
	name := st.DBName
	if name == "" {
		name = s.GetCurrentDatabase()
	}
	set := s.engine.accounts.db.UserActivePrivilegeSet(ctx)
	if !set.Has(needed) && !set.Has(gms.PrivilegeType_Super) && !set.Database(name).Has(needed) {
		return mysqlError(1044, "Access denied for user '%s'@'%s' to database '%s'", s.client.Account.User, s.client.Account.Host, name)
	}
	st.Auth.AuthType = sqlparser.AuthType_IGNORE
	st.Auth.TargetType = sqlparser.AuthTargetType_Ignore
	return nil
}
