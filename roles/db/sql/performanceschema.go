package sql

import (
	"fmt"
	"sort"
	"strings"
	"time"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// performanceSchema is the database that monitoring asks: status, variables and
// sessions as tables. What it would have beside them is not gathered.
const performanceSchema = "performance_schema"

// virtualDatabase is performance_schema.
type virtualDatabase struct{}

var _ gms.Database = virtualDatabase{}

// Name is performance_schema.
func (virtualDatabase) Name() string { return performanceSchema }

// virtualTables are its tables by name.
var virtualTables = map[string]*virtualTable{
	"global_status":  {"global_status", variableColumns, func(ctx *gms.Context) ([]gms.Row, error) { return statusRows(ctx, true) }},
	"session_status": {"session_status", variableColumns, func(ctx *gms.Context) ([]gms.Row, error) { return statusRows(ctx, false) }},
	"global_variables": {"global_variables", variableColumns, func(*gms.Context) ([]gms.Row, error) {
		return variableRows(gms.SystemVariables.GetAllGlobalVariables()), nil
	}},
	"session_variables":                   {"session_variables", variableColumns, func(ctx *gms.Context) ([]gms.Row, error) { return variableRows(ctx.GetAllSessionVariables()), nil }},
	"processlist":                         {"processlist", processColumns, processRows},
	"data_locks":                          {"data_locks", lockColumns, lockRows},
	"data_lock_waits":                     {"data_lock_waits", lockWaitColumns, lockWaitRows},
	"events_statements_summary_by_digest": {"events_statements_summary_by_digest", digestColumns, digestRows},

	"replication_connection_status":        ofReplica("replication_connection_status", connectionStatus),
	"replication_applier_status":           ofReplica("replication_applier_status", applierStatus),
	"replication_applier_status_by_worker": ofReplica("replication_applier_status_by_worker", workerStatus),
	// There is no group replication.
	"replication_group_members": unmeasured("replication_group_members", "CHANNEL_NAME", "MEMBER_ID", "MEMBER_HOST", "#MEMBER_PORT",
		"MEMBER_STATE", "MEMBER_ROLE", "MEMBER_VERSION", "MEMBER_COMMUNICATION_STACK"),

	"table_io_waits_summary_by_table": unmeasured("table_io_waits_summary_by_table", "OBJECT_TYPE", "OBJECT_SCHEMA", "OBJECT_NAME",
		"#COUNT_FETCH", "#COUNT_INSERT", "#COUNT_UPDATE", "#COUNT_DELETE",
		"#SUM_TIMER_FETCH", "#SUM_TIMER_INSERT", "#SUM_TIMER_UPDATE", "#SUM_TIMER_DELETE"),
	"table_io_waits_summary_by_index_usage": unmeasured("table_io_waits_summary_by_index_usage", "OBJECT_TYPE", "OBJECT_SCHEMA", "OBJECT_NAME", "INDEX_NAME",
		"#COUNT_FETCH", "#COUNT_INSERT", "#COUNT_UPDATE", "#COUNT_DELETE",
		"#SUM_TIMER_FETCH", "#SUM_TIMER_INSERT", "#SUM_TIMER_UPDATE", "#SUM_TIMER_DELETE"),
	"table_lock_waits_summary_by_table": unmeasured("table_lock_waits_summary_by_table", "OBJECT_TYPE", "OBJECT_SCHEMA", "OBJECT_NAME",
		"#COUNT_READ_NORMAL", "#COUNT_READ_WITH_SHARED_LOCKS", "#COUNT_READ_HIGH_PRIORITY", "#COUNT_READ_NO_INSERT", "#COUNT_READ_EXTERNAL",
		"#COUNT_WRITE_ALLOW_WRITE", "#COUNT_WRITE_CONCURRENT_INSERT", "#COUNT_WRITE_LOW_PRIORITY", "#COUNT_WRITE_NORMAL", "#COUNT_WRITE_EXTERNAL",
		"#SUM_TIMER_READ_NORMAL", "#SUM_TIMER_READ_WITH_SHARED_LOCKS", "#SUM_TIMER_READ_HIGH_PRIORITY", "#SUM_TIMER_READ_NO_INSERT", "#SUM_TIMER_READ_EXTERNAL",
		"#SUM_TIMER_WRITE_ALLOW_WRITE", "#SUM_TIMER_WRITE_CONCURRENT_INSERT", "#SUM_TIMER_WRITE_LOW_PRIORITY", "#SUM_TIMER_WRITE_NORMAL", "#SUM_TIMER_WRITE_EXTERNAL"),
}

// GetTableInsensitive finds one of its tables.
func (virtualDatabase) GetTableInsensitive(_ *gms.Context, name string) (gms.Table, bool, error) {
	t, ok := virtualTables[strings.ToLower(name)]
	if !ok {
		return nil, false, nil
	}
	return t, true, nil
}

// GetTableNames lists its tables.
func (virtualDatabase) GetTableNames(*gms.Context) ([]string, error) {
	names := make([]string, 0, len(virtualTables))
	for n := range virtualTables {
		names = append(names, n)
	}
	sort.Strings(names)
	return names, nil
}

// The planner asks every database for the rest, and there is none of it here.
var (
	_ gms.ViewDatabase            = virtualDatabase{}
	_ gms.TriggerDatabase         = virtualDatabase{}
	_ gms.StoredProcedureDatabase = virtualDatabase{}
	_ gms.EventDatabase           = virtualDatabase{}
)

var errVirtual = mysqlError(1044, "Access denied to database 'performance_schema'")

// CreateView refuses.
func (virtualDatabase) CreateView(*gms.Context, string, string, string) error { return errVirtual }

// DropView refuses.
func (virtualDatabase) DropView(*gms.Context, string) error { return errVirtual }

// GetViewDefinition finds none.
func (virtualDatabase) GetViewDefinition(*gms.Context, string) (gms.ViewDefinition, bool, error) {
	return gms.ViewDefinition{}, false, nil
}

// AllViews lists none.
func (virtualDatabase) AllViews(*gms.Context) ([]gms.ViewDefinition, error) { return nil, nil }

// GetTriggers lists none.
func (virtualDatabase) GetTriggers(*gms.Context) ([]gms.TriggerDefinition, error) { return nil, nil }

// CreateTrigger refuses.
func (virtualDatabase) CreateTrigger(*gms.Context, gms.TriggerDefinition) error { return errVirtual }

// DropTrigger refuses.
func (virtualDatabase) DropTrigger(*gms.Context, string) error { return errVirtual }

// GetStoredProcedure finds none.
func (virtualDatabase) GetStoredProcedure(*gms.Context, string) (gms.StoredProcedureDetails, bool, error) {
	return gms.StoredProcedureDetails{}, false, nil
}

// GetStoredProcedures lists none.
func (virtualDatabase) GetStoredProcedures(*gms.Context) ([]gms.StoredProcedureDetails, error) {
	return nil, nil
}

// SaveStoredProcedure refuses.
func (virtualDatabase) SaveStoredProcedure(*gms.Context, gms.StoredProcedureDetails) error {
	return errVirtual
}

// DropStoredProcedure refuses.
func (virtualDatabase) DropStoredProcedure(*gms.Context, string) error { return errVirtual }

// GetEvent finds none.
func (virtualDatabase) GetEvent(*gms.Context, string) (gms.EventDefinition, bool, error) {
	return gms.EventDefinition{}, false, nil
}

// GetEvents lists none.
func (virtualDatabase) GetEvents(*gms.Context) ([]gms.EventDefinition, any, error) {
	return nil, nil, nil
}

// SaveEvent refuses.
func (virtualDatabase) SaveEvent(*gms.Context, gms.EventDefinition) (bool, error) {
	return false, errVirtual
}

// DropEvent refuses.
func (virtualDatabase) DropEvent(*gms.Context, string) error { return errVirtual }

// UpdateEvent refuses.
func (virtualDatabase) UpdateEvent(*gms.Context, string, gms.EventDefinition) (bool, error) {
	return false, errVirtual
}

// UpdateLastExecuted refuses.
func (virtualDatabase) UpdateLastExecuted(*gms.Context, string, time.Time) error { return errVirtual }

// NeedsToReloadEvents is false: there are none.
func (virtualDatabase) NeedsToReloadEvents(*gms.Context, any) (bool, error) { return false, nil }

// virtualTable is made of what the server knows at the moment.
type virtualTable struct {
	name    string
	columns func(table string) gms.Schema
	rows    func(*gms.Context) ([]gms.Row, error)
}

var _ gms.Table = (*virtualTable)(nil)

// Name is the table's name.
func (t *virtualTable) Name() string { return t.name }

func (t *virtualTable) String() string { return t.name }

// Schema is the table's columns.
func (t *virtualTable) Schema(*gms.Context) gms.Schema { return t.columns(t.name) }

// Collation is that of information_schema.
func (t *virtualTable) Collation() gms.CollationID { return gms.Collation_Information_Schema_Default }

// Partitions is one.
func (t *virtualTable) Partitions(*gms.Context) (gms.PartitionIter, error) {
	return gms.PartitionsToPartitionIter(wholeTable{}), nil
}

// PartitionRows makes the rows.
func (t *virtualTable) PartitionRows(ctx *gms.Context, _ gms.Partition) (gms.RowIter, error) {
	rows, err := t.rows(ctx)
	return gms.RowsToRowIter(rows...), err
}

type wholeTable struct{}

// Key is the same for every table.
func (wholeTable) Key() []byte { return []byte{0} }

func virtualColumn(table, name string, t gms.Type) *gms.Column {
	return &gms.Column{Name: name, Type: t, Source: table, DatabaseSource: performanceSchema, Nullable: true}
}

func variableColumns(table string) gms.Schema {
	text := types.MustCreateString(types.Text.Type(), 1024, gms.Collation_Information_Schema_Default)
	return gms.Schema{virtualColumn(table, "VARIABLE_NAME", text), virtualColumn(table, "VARIABLE_VALUE", text)}
}

func statusRows(ctx *gms.Context, global bool) ([]gms.Row, error) {
	s, err := sessionOf(ctx)
	if err != nil {
		return nil, err
	}
	rows := s.statusRows(global)
	for _, row := range rows {
		row[1] = fmt.Sprint(row[1])
	}
	return rows, nil
}

func variableRows(values map[string]any) []gms.Row {
	rows := make([]gms.Row, 0, len(values))
	for name, v := range values {
		text := fmt.Sprint(v)
		switch v := v.(type) {
		case nil:
			text = ""
		case int8:
			text = "OFF"
			if v != 0 {
				text = "ON"
			}
		}
		rows = append(rows, gms.Row{name, text})
	}
	return rows
}

func processColumns(table string) gms.Schema {
	text := types.LongText
	return gms.Schema{
		virtualColumn(table, "ID", types.Uint64), virtualColumn(table, "USER", text), virtualColumn(table, "HOST", text),
		virtualColumn(table, "DB", text), virtualColumn(table, "COMMAND", text), virtualColumn(table, "TIME", types.Int64),
		virtualColumn(table, "STATE", text), virtualColumn(table, "INFO", text),
	}
}

func processRows(ctx *gms.Context) ([]gms.Row, error) {
	s, err := sessionOf(ctx)
	if err != nil {
		return nil, err
	}
	var rows []gms.Row
	for _, p := range s.processes(ctx) {
		rows = append(rows, gms.Row{uint64(p.id), p.user, p.host, p.database, p.command, p.seconds, p.state, p.info})
	}
	return rows, nil
}

// virtualColumns makes columns of type t, and of numbers where a name begins with #.
func virtualColumns(table string, t gms.Type, names ...string) gms.Schema {
	var schema gms.Schema
	for _, name := range names {
		if name, number := strings.CutPrefix(name, "#"); number {
			schema = append(schema, virtualColumn(table, name, types.Uint64))
		} else {
			schema = append(schema, virtualColumn(table, name, t))
		}
	}
	return schema
}

// unmeasured makes a table that MySQL has and that has no rows here: what it tells of is not
// measured by table.
func unmeasured(name string, columns ...string) *virtualTable {
	return &virtualTable{name, func(table string) gms.Schema { return virtualColumns(table, types.LongText, columns...) },
		func(*gms.Context) ([]gms.Row, error) { return nil, nil }}
}
