package sql

import (
	"fmt"
	"math"
	"strings"
	"time"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// defaultMode is MySQL 8.0's sql_mode.
const defaultMode = "ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"

// setVariables gives the planner's system variables, which are the process's, the
// values of this server. Variables whose definition there is wrong are defined anew.
func setVariables(opts Options) error {
	global := gms.GetMysqlScope(gms.SystemVariableScope_Global)
	both := gms.GetMysqlScope(gms.SystemVariableScope_Both)
	text := func(name, value string) gms.SystemVariable {
		return &gms.MysqlSystemVariable{Name: name, Scope: global, Type: types.NewSystemStringType(name), Default: value}
	}
	gms.SystemVariables.AddSystemVariables([]gms.SystemVariable{
		text("version", Version),
		text("version_comment", "stack"),
		text("version_compile_os", "Linux"),
		text("datadir", opts.DataDir),
		text("socket", opts.Socket),
		text("hostname", opts.Hostname),
		text("server_uuid", opts.Server),
		text("innodb_version", Version),
		newModeVariable(),
		&gms.MysqlSystemVariable{
			Name: warningCount, Scope: gms.GetMysqlScope(gms.SystemVariableScope_Session),
			Type: types.NewSystemIntType(warningCount, 0, 1<<62, false), Default: int64(0),
		},
		&gms.MysqlSystemVariable{Name: "direct", Scope: both, Dynamic: true, Type: types.NewSystemBoolType("direct"), Default: int8(1)},
		&gms.MysqlSystemVariable{
			Name: "innodb_lock_wait_timeout", Scope: both, Dynamic: true,
			Type: types.NewSystemIntType("innodb_lock_wait_timeout", 1, 1073741824, false), Default: int64(50),
		},
		&gms.MysqlSystemVariable{
			Name: "lock_wait_timeout", Scope: both, Dynamic: true,
			Type: types.NewSystemIntType("lock_wait_timeout", 1, 31536000, false), Default: int64(31536000),
		},
		&gms.MysqlSystemVariable{ // MariaDB's, seconds
			Name: "max_statement_time", Scope: both, Dynamic: true,
			Type: types.NewSystemDoubleType("max_statement_time", 0, 31536000), Default: float64(0),
		},
		&gms.MysqlSystemVariable{ // 0: the time that it is
			Name: timestamp, Scope: gms.GetMysqlScope(gms.SystemVariableScope_Session), Dynamic: true, SetVarHintApplies: true,
			Type: types.NewSystemDoubleType(timestamp, 0, math.MaxInt32), Default: float64(0),
		},
		&gms.MysqlSystemVariable{ // tables are as it asks for in any case
			Name: "innodb_strict_mode", Scope: both, Dynamic: true, Type: types.NewSystemBoolType("innodb_strict_mode"), Default: int8(1),
		},
		&gms.MysqlSystemVariable{
			Name: "max_allowed_packet", Scope: global, Dynamic: true,
			Type: types.NewSystemUintType("max_allowed_packet", 1024, 1<<30), Default: uint64(64 << 20),
		},
	})
	for _, name := range ofTheFile {
		v, _, ok := gms.SystemVariables.GetGlobal(name)
		own, known := v.(*gms.MysqlSystemVariable)
		if !ok || !known {
			return fmt.Errorf("the planner has no variable %s", name)
		}
		fixed := *own
		fixed.Dynamic = false
		gms.SystemVariables.AddSystemVariables([]gms.SystemVariable{&fixed})
	}
	return gms.SystemVariables.AssignValues(map[string]any{
		"sql_mode":             defaultMode,
		"collation_server":     defaultCollation.Name(),
		"collation_database":   defaultCollation.Name(),
		"collation_connection": defaultCollation.Name(),
		// Files of the server are out of reach of SQL: no LOAD DATA INFILE, no INTO OUTFILE.
		"secure_file_priv": "/nonexistent",
		"local_infile":     int8(1), // files of the client are the client's affair
		"max_connections":  int64(max(opts.MaxConnections, 1)),
		// The slow log goes where the process's other messages go.
		"slow_query_log_file": "/dev/stdout",
		// The planner's merge joins miss rows where a column of the key may be NULL.
		"disable_merge_join": int8(1),
		activateRoles:        int8(1), // there are no default roles to be chosen instead
	})
}

// ofTheFile are variables that the configuration file alone sets: what SET GLOBAL took would have no effect.
var ofTheFile = []string{"max_connections", "binlog_expire_logs_seconds", "max_binlog_size", "slow_query_log_file"}

// SetMaxConnections is what @@max_connections shows; the protocol front counts.
func SetMaxConnections(n int) error {
	return gms.SystemVariables.AssignValues(map[string]any{"max_connections": int64(max(n, 1))})
}

// SetBinlogFiles is what @@binlog_expire_logs_seconds and @@max_binlog_size show: how long a file of the
// binary log is kept, and at how many bytes the next one begins.
func SetBinlogFiles(keep time.Duration, size uint64) error {
	return gms.SystemVariables.AssignValues(map[string]any{"binlog_expire_logs_seconds": int64(keep / time.Second), "max_binlog_size": size})
}

// SetLockWaitTimeout is what new sessions get as innodb_lock_wait_timeout.
func SetLockWaitTimeout(d time.Duration) error {
	return gms.SystemVariables.AssignValues(map[string]any{"innodb_lock_wait_timeout": int64(max(d, time.Second) / time.Second)})
}

// QuoteName writes a name as an SQL identifier.
func QuoteName(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

// QuoteText writes a text as an SQL literal.
func QuoteText(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`, "\x00", `\0`).Replace(text) + "'"
}

// maxAllowedPacket is what sessions opened now may send at once, in bytes.
func maxAllowedPacket() int {
	_, v, _ := gms.SystemVariables.GetGlobal("max_allowed_packet")
	n, _ := v.(uint64)
	return int(n)
}

// readOnly says whether the server refuses writes, of everybody or of all but
// administrators.
func readOnly() (everybody, others bool) {
	if _, v, ok := gms.SystemVariables.GetGlobal("super_read_only"); ok && isOn(v) {
		return true, true
	}
	_, v, ok := gms.SystemVariables.GetGlobal("read_only")
	return false, ok && isOn(v)
}
