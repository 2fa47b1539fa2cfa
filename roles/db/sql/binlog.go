package sql

import (
	"context"
	"errors"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/binlogreplication"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/mysql"
	"github.com/dolthub/vitess/go/vt/sqlparser"

	"stack/roles/db/binlog"
	"stack/roles/db/binlog/event"
	"stack/roles/db/txn"
)

// showEvents is SHOW BINLOG EVENTS, which the parser does not know.
type showEvents struct {
	*sqlparser.Show
	file  string // empty: the first one
	from  uint64
	skip  uint64
	limit uint64
}

var (
	showEventsText = regexp.MustCompile(`(?is)^\s*show\s+binlog\s+events(?:\s+in\s+'([^']*)')?(?:\s+from\s+(\d+))?(?:\s+limit\s+(\d+)(?:\s*,\s*(\d+))?)?\s*;?\s*$`)
	masterLogsText = regexp.MustCompile(`(?is)^\s*(show|purge)\s+master\s+logs\b`)
)

// parseLog parses the statements about the binary log that the parser does not know;
// nil for any other text.
func (s *Session) parseLog(ctx *gms.Context, query string) (sqlparser.Statement, string) {
	if m := showEventsText.FindStringSubmatch(query); m != nil {
		st := &showEvents{Show: &sqlparser.Show{Type: "binlog events"}, file: m[1], limit: math.MaxUint64}
		st.from, _ = strconv.ParseUint(m[2], 10, 64)
		if m[3] != "" {
			st.limit, _ = strconv.ParseUint(m[3], 10, 64)
		}
		if m[4] != "" {
			st.skip = st.limit
			st.limit, _ = strconv.ParseUint(m[4], 10, 64)
		}
		return st, query
	}
	if masterLogsText.MatchString(query) {
		text := masterLogsText.ReplaceAllString(query, "$1 binary logs")
		if st, text, _, err := s.engine.gms.Parser.Parse(ctx, text, false); err == nil {
			return st, text
		}
	}
	return nil, ""
}

// runLog runs a statement about the binary log.
func (s *Session) runLog(ctx *gms.Context, st sqlparser.Statement, out sink) error {
	log := s.engine.db.Binlog()
	switch st := st.(type) {
	case *showEvents:
		if err := s.need(ctx, gms.PrivilegeType_ReplicationSlave, "REPLICATION SLAVE"); err != nil {
			return err
		}
		return logError(s.showEvents(ctx, log, st, out))
	case *sqlparser.PurgeBinaryLogs:
		if err := s.need(ctx, gms.PrivilegeType_Super, "SUPER or BINLOG_ADMIN"); err != nil {
			return err
		}
		if err := logError(s.purgeLogs(ctx, log, st)); err != nil {
			return err
		}
	case *sqlparser.Flush:
		if err := s.need(ctx, gms.PrivilegeType_Reload, "RELOAD"); err != nil {
			return err
		}
		if err := s.engine.db.RotateLog(ctx); err != nil {
			return err
		}
	}
	out.OK(0, 0, "")
	return nil
}

// need refuses an account without a global privilege; SUPER has all of these.
func (s *Session) need(ctx *gms.Context, p gms.PrivilegeType, name string) error {
	if p == gms.PrivilegeType_ReplicationSlave && s.ofSite() != nil {
		return nil
	}
	set := s.engine.accounts.db.UserActivePrivilegeSet(ctx)
	if !set.Has(p) && !set.Has(gms.PrivilegeType_Super) {
		return mysqlError(1227, "Access denied; you need (at least one of) the %s privilege(s) for this operation", name)
	}
	return nil
}

// logError gives errors of the log MySQL's numbers.
func logError(err error) error {
	switch {
	case errors.Is(err, binlog.ErrNoFile):
		return mysqlError(1220, "Error when executing command SHOW BINLOG EVENTS: Could not find target log or position: %v", err)
	case errors.Is(err, binlog.ErrPurged):
		return mysqlError(1236, "%v", err)
	case errors.Is(err, binlog.ErrClosed), errors.Is(err, txn.ErrClosed):
		return mysqlError(1053, "Server shutdown in progress")
	}
	return err
}

func (s *Session) purgeLogs(ctx *gms.Context, log *binlog.Log, st *sqlparser.PurgeBinaryLogs) error {
	if st.Before == nil {
		number, err := binlog.ParseFileName(st.To)
		if err == nil {
			var kept uint32
			kept, err = log.PurgeTo(ctx, number)
			s.warnKept(ctx, kept)
		}
		if errors.Is(err, binlog.ErrNoFile) {
			return mysqlError(1373, "Target log not found in binlog index")
		}
		return err
	}
	before, err := s.timeOf(ctx, st.Before)
	if err != nil {
		return err
	}
	kept, err := log.PurgeBefore(ctx, before)
	s.warnKept(ctx, kept)
	return err
}

// timeOf evaluates an expression to a time.
func (s *Session) timeOf(ctx *gms.Context, e sqlparser.Expr) (time.Time, error) {
	was := s.hold
	s.hold = true
	defer func() { s.hold = was }()
	if s.tx == nil {
		tx, err := s.StartTransaction(ctx, gms.ReadOnly)
		if err != nil {
			return time.Time{}, err
		}
		s.BaseSession.SetTransaction(tx)
		defer func() {
			s.rollback()
			s.leaveTransaction()
		}()
	}
	_, rows, _, err := s.engine.gms.Query(ctx, "SELECT CAST("+sqlparser.String(e)+" AS DATETIME)")
	if err != nil {
		return time.Time{}, err
	}
	list, err := gms.RowIterToRows(ctx, rows)
	if err != nil {
		return time.Time{}, err
	}
	if t, ok := list[0][0].(time.Time); ok {
		return t, nil
	}
	return time.Time{}, mysqlError(1525, "Incorrect DATETIME value: '%s'", sqlparser.String(e))
}

func logColumn(name string, t gms.Type) *gms.Column { return &gms.Column{Name: name, Type: t} }

// showEvents streams what is in one file.
func (s *Session) showEvents(ctx *gms.Context, log *binlog.Log, st *showEvents, out sink) error {
	files := log.Files()
	if len(files) == 0 {
		return binlog.ErrNoFile
	}
	number := files[0].Number
	if st.file != "" {
		var err error
		if number, err = binlog.ParseFileName(st.file); err != nil {
			return err
		}
	}
	r, err := log.Open(binlog.Position{File: number, Offset: st.from})
	if err != nil {
		return err
	}
	defer r.Close()
	begun := false
	begin := func() error {
		begun = true
		return out.Columns(ctx, gms.Schema{
			logColumn("Log_name", types.Text), logColumn("Pos", types.Uint64), logColumn("Event_type", types.Text),
			logColumn("Server_id", types.Uint64), logColumn("End_log_pos", types.Uint64), logColumn("Info", types.LongText),
		})
	}
	for n := uint64(0); n-min(n, st.skip) < st.limit; n++ {
		ev, err := nextEvent(ctx, r)
		if err != nil {
			return err
		}
		if ev == nil || ev.File != number {
			break
		}
		if !begun {
			if err := begin(); err != nil {
				return err
			}
		}
		if n < st.skip {
			continue
		}
		row, err := eventRow(ev)
		if err != nil {
			return err
		}
		if err := out.Row(row); err != nil {
			return err
		}
	}
	if !begun {
		return begin()
	}
	return nil
}

func nextEvent(ctx context.Context, r *binlog.Reader) (*binlog.Event, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return r.TryNext()
}

func eventRow(ev *binlog.Event) (gms.Row, error) {
	h, err := event.ParseHeader(ev.Bytes)
	if err != nil {
		return nil, err
	}
	info, err := event.Describe(ev.Bytes)
	if err != nil {
		return nil, err
	}
	return gms.Row{binlog.FileName(ev.File), ev.Offset, h.Type.String(), uint64(h.Server), ev.End, info}, nil
}

// logController answers the planner's questions about the binary log.
type logController struct{ engine *Engine }

var _ binlogreplication.BinlogPrimaryController = logController{}

// ListBinaryLogs is SHOW BINARY LOGS.
func (c logController) ListBinaryLogs(*gms.Context) ([]binlogreplication.BinaryLogFileMetadata, error) {
	var list []binlogreplication.BinaryLogFileMetadata
	for _, f := range c.engine.db.Binlog().Files() {
		list = append(list, binlogreplication.BinaryLogFileMetadata{Name: binlog.FileName(f.Number), Size: f.Size})
	}
	return list, nil
}

// GetBinaryLogStatus is SHOW BINARY LOG STATUS and SHOW MASTER STATUS. What waits for acknowledgements
// is in the log, and in neither the set nor before the position.
func (c logController) GetBinaryLogStatus(*gms.Context) ([]binlogreplication.BinaryLogStatus, error) {
	executed, p := c.engine.db.ExecutedAt()
	return []binlogreplication.BinaryLogStatus{{
		File: binlog.FileName(p.File), Position: uint(p.Offset), ExecutedGtids: executed,
	}}, nil
}

// errNotHere: the planner's own protocol front is not used.
var errNotHere = errors.New("replicas are served by the protocol front")

// RegisterReplica is Session.Register.
func (logController) RegisterReplica(*gms.Context, *mysql.Conn, string, uint16) error {
	return errNotHere
}

// BinlogDumpGtid is Session.Dump.
func (logController) BinlogDumpGtid(*gms.Context, *mysql.Conn, mysql.GTIDSet) error {
	return errNotHere
}

// ListReplicas is parseShowReplicas.
func (logController) ListReplicas(*gms.Context) error { return errNotHere }

// logVariables are the variables about the binary log.
func logVariables(db *txn.Engine, dir string) []gms.SystemVariable {
	global := gms.GetMysqlScope(gms.SystemVariableScope_Global)
	text := func(name, value string) gms.SystemVariable {
		return &gms.MysqlSystemVariable{Name: name, Scope: global, Type: types.NewSystemStringType(name), Default: value}
	}
	only := func(name, value string) gms.SystemVariable {
		return &gms.MysqlSystemVariable{Name: name, Scope: gms.GetMysqlScope(gms.SystemVariableScope_Both), Dynamic: true, Type: types.NewSystemEnumType(name, value), Default: value}
	}
	base := strings.TrimSuffix(dir, "/") + "/binlog/binlog"
	return []gms.SystemVariable{
		&gms.MysqlSystemVariable{Name: "log_bin", Scope: global, Type: types.NewSystemBoolType("log_bin"), Default: int8(1)},
		&gms.MysqlSystemVariable{
			Name: "server_id", Scope: global, Type: types.NewSystemUintType("server_id", 0, math.MaxUint32),
			Default: uint64(db.Binlog().ServerID()),
		},
		&gms.MysqlSystemVariable{
			Name: "sql_log_bin", Scope: gms.GetMysqlScope(gms.SystemVariableScope_Session), Dynamic: true,
			Type: types.NewSystemBoolType("sql_log_bin"), Default: int8(1),
		},
		text("log_bin_basename", base),
		text("gtid_mode", "ON"),
		text("enforce_gtid_consistency", "ON"),
		only("binlog_format", "ROW"),
		only("binlog_row_image", "FULL"),
		only("binlog_row_metadata", "FULL"),
		text("binlog_checksum", "CRC32"),
		&gms.MysqlSystemVariable{
			Name: "gtid_purged", Scope: global, Type: types.NewSystemStringType("gtid_purged"), Default: "",
			ValueFunction: func() (any, error) { return db.Binlog().Purged(), nil },
		},
		&gms.MysqlSystemVariable{
			Name: "gtid_executed", Scope: global, Type: types.NewSystemStringType("gtid_executed"), Default: "",
			ValueFunction: func() (any, error) { return db.ExecutedSet(), nil },
		},
		&gms.MysqlSystemVariable{
			Name: stackEpoch, Scope: global, Type: types.NewSystemUintType(stackEpoch, 0, math.MaxUint64), Default: uint64(0),
			ValueFunction: func() (any, error) { return db.Epoch(), nil },
		},
		&gms.MysqlSystemVariable{
			Name: stackIncarnations, Scope: global, Type: types.NewSystemStringType(stackIncarnations), Default: "",
			ValueFunction: func() (any, error) { return db.Incarnations() },
		},
	}
}
