package sql

import (
	"strings"

	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// command is what a statement counts as in the status variables Com_….
type command uint8

const (
	commandNone command = iota // of no name there
	commandAlterEvent
	commandAlterTable
	commandAlterUser
	commandAnalyze
	commandBegin
	commandCallProcedure
	commandChangeDB
	commandCheck
	commandChecksum
	commandCommit
	commandCreateDB
	commandCreateEvent
	commandCreateFunction
	commandCreateIndex
	commandCreateProcedure
	commandCreateRole
	commandCreateTable
	commandCreateTrigger
	commandCreateUser
	commandCreateView
	commandDeallocSQL
	commandDelete
	commandDeleteMulti
	commandDo
	commandDropDB
	commandDropEvent
	commandDropFunction
	commandDropIndex
	commandDropProcedure
	commandDropRole
	commandDropTable
	commandDropTrigger
	commandDropUser
	commandDropView
	commandExecuteSQL
	commandFlush
	commandGrant
	commandGrantRoles
	commandInsert
	commandInsertSelect
	commandKill
	commandLoad
	commandLockTables
	commandOptimize
	commandPrepareSQL
	commandPurge
	commandReleaseSavepoint
	commandRenameTable
	commandRepair
	commandReplace
	commandReplaceSelect
	commandRevoke
	commandRevokeRoles
	commandRollback
	commandRollbackToSavepoint
	commandSavepoint
	commandSelect
	commandSetOption
	commandShowBinlogEvents
	commandShowBinlogs
	commandShowCreateTable
	commandShowDatabases
	commandShowEngineStatus
	commandShowFields
	commandShowGrants
	commandShowKeys
	commandShowMasterStatus
	commandShowProcesslist
	commandShowReplicas
	commandShowReplicaStatus
	commandShowStatus
	commandShowTableStatus
	commandShowTables
	commandShowVariables
	commandShowWarnings
	commandTruncate
	commandUnlockTables
	commandUpdate
	commandUpdateMulti
	commands
)

// commandNames follow Com_ in the names of the status variables.
var commandNames = [commands]string{
	"", "alter_event", "alter_table", "alter_user", "analyze", "begin", "call_procedure", "change_db", "check", "checksum", "commit", "create_db",
	"create_event", "create_function", "create_index", "create_procedure", "create_role", "create_table", "create_trigger", "create_user", "create_view",
	"dealloc_sql", "delete", "delete_multi", "do", "drop_db", "drop_event", "drop_function", "drop_index", "drop_procedure", "drop_role",
	"drop_table", "drop_trigger", "drop_user", "drop_view", "execute_sql", "flush", "grant", "grant_roles", "insert", "insert_select", "kill",
	"load", "lock_tables", "optimize", "prepare_sql", "purge", "release_savepoint", "rename_table", "repair", "replace", "replace_select", "revoke",
	"revoke_roles", "rollback", "rollback_to_savepoint", "savepoint", "select", "set_option", "show_binlog_events", "show_binlogs", "show_create_table",
	"show_databases", "show_engine_status", "show_fields", "show_grants", "show_keys", "show_master_status", "show_processlist", "show_replicas", "show_slave_status",
	"show_status", "show_table_status", "show_tables", "show_variables", "show_warnings", "truncate", "unlock_tables", "update", "update_multi",
}

// ownCommands are those of own statements, by the words that they begin with.
var ownCommands = map[string]command{
	"DO": commandDo, "ALTER USER": commandAlterUser, "DROP FUNCTION": commandDropFunction, "SHOW ENGINE": commandShowEngineStatus,
	"SHOW SLAVE STATUS": commandShowReplicaStatus, "SHOW REPLICA STATUS": commandShowReplicaStatus, "SHOW ALL SLAVES STATUS": commandShowReplicaStatus,
	"SHOW REPLICAS": commandShowReplicas, "SHOW SLAVE HOSTS": commandShowReplicas,
	"CHECK TABLE": commandCheck, "CHECK TABLES": commandCheck, "OPTIMIZE": commandOptimize, "REPAIR": commandRepair,
	"CHECKSUM TABLE": commandChecksum, "ANALYZE": commandAnalyze, "LOAD DATA": commandLoad, "CHECKSUM TABLES": commandChecksum,
}

// showCommands are those of SHOW, by its type.
var showCommands = map[string]command{
	"databases": commandShowDatabases, "schemas": commandShowDatabases, "tables": commandShowTables, "columns": commandShowFields, "fields": commandShowFields,
	"index": commandShowKeys, "processlist": commandShowProcesslist, "status": commandShowStatus, "variables": commandShowVariables,
	"grants": commandShowGrants, "warnings": commandShowWarnings, "create table": commandShowCreateTable, "table status": commandShowTableStatus,
	"binary logs": commandShowBinlogs, "binary log status": commandShowMasterStatus, "master status": commandShowMasterStatus,
}

// commandOf is what a statement counts as. text tells CREATE INDEX from ALTER TABLE.
func commandOf(st sqlparser.Statement, text string) command {
	switch st := st.(type) {
	case *sqlparser.Select, *sqlparser.SetOp, *sqlparser.ParenSelect:
		return commandSelect
	case *sqlparser.Insert:
		return insertCommand(st)
	case *sqlparser.Update:
		if severalTables(st.TableExprs) {
			return commandUpdateMulti
		}
		return commandUpdate
	case *sqlparser.Delete:
		if len(st.Targets) > 0 {
			return commandDeleteMulti
		}
		return commandDelete
	case *sqlparser.Set:
		return commandSetOption
	case *sqlparser.Show:
		return showCommands[strings.ToLower(st.Type)]
	case *sqlparser.Use:
		return commandChangeDB
	case *ownStatement:
		return st.command
	case *sqlparser.DDL:
		return ddlCommand(st)
	case *sqlparser.AlterTable:
		switch (&scanner{text: text}).peek() {
		case "CREATE":
			return commandCreateIndex
		case "DROP":
			return commandDropIndex
		}
		return commandAlterTable
	case *sqlparser.DBDDL:
		switch st.Action {
		case sqlparser.CreateStr:
			return commandCreateDB
		case sqlparser.DropStr:
			return commandDropDB
		}
	case *showEvents:
		return commandShowBinlogEvents
	}
	return controlCommand(st)
}

func insertCommand(st *sqlparser.Insert) command {
	values := false
	switch st.Rows.(type) {
	case sqlparser.Values, sqlparser.AliasedValues, *sqlparser.AliasedValues, nil:
		values = true
	}
	switch replace := st.Action == sqlparser.ReplaceStr; {
	case replace && values:
		return commandReplace
	case replace:
		return commandReplaceSelect
	case values:
		return commandInsert
	}
	return commandInsertSelect
}

func severalTables(list sqlparser.TableExprs) bool {
	if len(list) != 1 {
		return true
	}
	_, one := list[0].(*sqlparser.AliasedTableExpr)
	return !one
}

// ddlCommand tells the statements apart that the parser keeps in one type.
func ddlCommand(st *sqlparser.DDL) command {
	type forms struct{ create, drop, alter command }
	var f forms
	switch {
	case st.User.Name != "":
		return commandAlterUser
	case st.TriggerSpec != nil:
		f = forms{commandCreateTrigger, commandDropTrigger, commandNone}
	case st.ProcedureSpec != nil:
		f = forms{commandCreateProcedure, commandDropProcedure, commandNone}
	case st.EventSpec != nil:
		f = forms{commandCreateEvent, commandDropEvent, commandAlterEvent}
	case st.ViewSpec != nil, len(st.FromViews) > 0:
		f = forms{commandCreateView, commandDropView, commandNone}
	default:
		f = forms{commandCreateTable, commandDropTable, commandAlterTable}
	}
	switch st.Action {
	case sqlparser.CreateStr:
		return f.create
	case sqlparser.DropStr:
		return f.drop
	case sqlparser.AlterStr:
		return f.alter
	case sqlparser.TruncateStr:
		return commandTruncate
	case sqlparser.RenameStr:
		return commandRenameTable
	}
	return commandNone
}

// controlCommand is what the statements about transactions, sessions and accounts count as.
func controlCommand(st sqlparser.Statement) command {
	switch st.(type) {
	case *sqlparser.Begin:
		return commandBegin
	case *sqlparser.Commit:
		return commandCommit
	case *sqlparser.Rollback:
		return commandRollback
	case *sqlparser.Savepoint:
		return commandSavepoint
	case *sqlparser.RollbackSavepoint:
		return commandRollbackToSavepoint
	case *sqlparser.ReleaseSavepoint:
		return commandReleaseSavepoint
	case *sqlparser.LockTables:
		return commandLockTables
	case *sqlparser.UnlockTables:
		return commandUnlockTables
	case *sqlparser.Call:
		return commandCallProcedure
	case *sqlparser.Kill:
		return commandKill
	case *sqlparser.Flush:
		return commandFlush
	case *sqlparser.Analyze:
		return commandAnalyze
	case *sqlparser.Load:
		return commandLoad
	case *sqlparser.Prepare:
		return commandPrepareSQL
	case *sqlparser.Execute:
		return commandExecuteSQL
	case *sqlparser.Deallocate:
		return commandDeallocSQL
	case *sqlparser.PurgeBinaryLogs:
		return commandPurge
	case *sqlparser.CreateUser:
		return commandCreateUser
	case *sqlparser.DropUser:
		return commandDropUser
	case *sqlparser.CreateRole:
		return commandCreateRole
	case *sqlparser.DropRole:
		return commandDropRole
	case *sqlparser.GrantPrivilege:
		return commandGrant
	case *sqlparser.GrantRole:
		return commandGrantRoles
	case *sqlparser.RevokePrivilege:
		return commandRevoke
	case *sqlparser.RevokeRole:
		return commandRevokeRoles
	}
	return commandNone
}
