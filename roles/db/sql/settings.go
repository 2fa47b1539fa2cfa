package sql

import (
	"math"
	"strings"
	"time"

	gms "github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/txn"
)

// settings are the session's variables that every command asks for, read once after
// each change.
type settings struct {
	read bool // false: a variable has changed

	autocommit      bool
	readOnly        bool          // transaction_read_only
	isolation       txn.Isolation // of transactions that SET TRANSACTION gives none
	rowWait         time.Duration // innodb_lock_wait_timeout
	tableWait       time.Duration // lock_wait_timeout
	waitTimeout     time.Duration
	netReadTimeout  time.Duration
	netWriteTimeout time.Duration
	clientCharset   gms.CharacterSetID
	quietDatabase   bool   // session_track_schema is off
	trackGTIDs      string // OFF, OWN_GTID, ALL_GTIDS

	longQuery    time.Duration // long_query_time
	minExamined  uint64        // min_examined_row_limit
	maxExecution time.Duration // max_execution_time, 0: no limit
	maxStatement time.Duration // max_statement_time, 0: no limit

	now time.Time // of SET timestamp, zero: the time that it is

	valueMode         // of sql_mode
	reading   reading // of sql_mode

	direct  bool   // statements may be answered without the planner
	logs    bool   // changes go into the binary log
	unusual bool   // a variable changes what statements do
	modes   string // what plans depend on: sql_mode, time zone and character sets

	database, key string // plans are kept under key while the current database is database
}

// SetSessionVariable changes a variable of the session.
func (s *Session) SetSessionVariable(ctx *gms.Context, name string, value any) error {
	s.settings.read = false
	s.direct.noteAssignment(name, value)
	if err := refuseTracking(name, value); err != nil {
		return err
	}
	if err := checkZone(name, value); err != nil {
		return err
	}
	if err := s.BaseSession.SetSessionVariable(ctx, name, value); err != nil {
		return err
	}
	s.noteVariable(name)
	return nil
}

// Variables of the server that change with each commit, and with each file of the log that goes.
const (
	gtidExecuted = "gtid_executed"
	gtidPurged   = "gtid_purged"
)

// stackEpoch is another: see txn.Engine.Epoch.
const stackEpoch = "stack_epoch"

// stackIncarnations is another: see package incarnation.
const stackIncarnations = "stack_incarnations"

// stackReceived is another: see replica.Replica.Received.
const stackReceived = "stack_received"

// stackShown is another: see dump.Source.SetShown. Only servers of a site have it. The one of a session, set, has its dump tell of changes.
const stackShown = "stack_shown"

// warningCount is what it says: reading it is a statement of its own.
const warningCount = "warning_count"

// timestamp is the time that statements take for now, in seconds since 1970.
const timestamp = "timestamp"

// GetSessionVariable reads a variable: sessions keep copies of the server's, which for some
// of them are of no use.
func (s *Session) GetSessionVariable(ctx *gms.Context, name string) (any, error) {
	if len(name) == len(gtidExecuted) && strings.EqualFold(name, gtidExecuted) {
		return s.engine.db.ExecutedSet(), nil
	}
	if len(name) == len(stackEpoch) && strings.EqualFold(name, stackEpoch) {
		return s.engine.db.Epoch(), nil
	}
	if len(name) == len(stackIncarnations) && strings.EqualFold(name, stackIncarnations) {
		return s.engine.db.Incarnations()
	}
	if len(name) == len(stackReceived) && strings.EqualFold(name, stackReceived) {
		return s.engine.received(), nil
	}
	if len(name) == len(stackShown) && strings.EqualFold(name, stackShown) {
		if n, ok := s.engine.source.Shown(); ok {
			return n, nil
		}
	}
	if len(name) == len(gtidPurged) && strings.EqualFold(name, gtidPurged) {
		return s.engine.db.Binlog().Purged(), nil
	}
	if len(name) == len(serverVersion) && strings.EqualFold(name, serverVersion) && s.isMariaDBBinlog() {
		return oldVersion + Version, nil
	}
	if len(name) == len(warningCount) && strings.EqualFold(name, warningCount) {
		return int64(max(uint64(s.WarningCount()), s.before)), nil
	}
	v, err := s.BaseSession.GetSessionVariable(ctx, name)
	if ctx != nil && v == float64(0) && len(name) == len(timestamp) && strings.EqualFold(name, timestamp) {
		return float64(ctx.QueryTime().UnixMicro()) / 1e6, err
	}
	return v, err
}

// InitSessionVariable gives a variable its first value.
func (s *Session) InitSessionVariable(ctx *gms.Context, name string, value any) error {
	s.settings.read = false
	return s.BaseSession.InitSessionVariable(ctx, name, value)
}

// InitSessionVariableDefault gives a variable its default.
func (s *Session) InitSessionVariableDefault(ctx *gms.Context, name string, value any) error {
	s.settings.read = false
	return s.BaseSession.InitSessionVariableDefault(ctx, name, value)
}

// takeInteractiveTimeout gives the new session of an interactive client its wait_timeout. As in MySQL
// interactive_timeout is not asked again.
func (s *Session) takeInteractiveTimeout(ctx *gms.Context) error {
	if s.client.Capabilities&clientInteractive == 0 {
		return nil
	}
	v, err := s.BaseSession.GetSessionVariable(ctx, "interactive_timeout")
	if err != nil {
		return err
	}
	return s.BaseSession.SetSessionVariable(ctx, "wait_timeout", v)
}

// usual are variables that change what a statement does where they have another value
// than by default.
var usual = []string{
	"sql_auto_is_null", "sql_safe_updates", "sql_select_limit", "auto_increment_increment", "auto_increment_offset", "insert_id",
}

// settingsNow are the settings as they are.
func (s *Session) settingsNow() *settings {
	n := &s.settings
	if n.read {
		return n
	}
	*n = settings{read: true, autocommit: true, clientCharset: gms.CharacterSet_Unspecified}
	value := func(name string) any {
		v, err := s.GetSessionVariable(nil, name)
		if err != nil {
			return nil
		}
		return v
	}
	text := func(name string) string {
		v, _ := value(name).(string)
		return v
	}
	if v := value("autocommit"); v != nil {
		n.autocommit = isOn(v)
	}
	n.readOnly = isOn(value("transaction_read_only"))
	n.isolation = isolationOf(text("transaction_isolation"))
	n.rowWait, n.tableWait = s.seconds("innodb_lock_wait_timeout"), s.seconds("lock_wait_timeout")
	n.quietDatabase = !isOn(value("session_track_schema"))
	n.trackGTIDs = text("session_track_gtids")
	mode := text("sql_mode")
	n.valueMode, n.reading = valueModeOf(mode), readingOf(mode)
	zone := text("time_zone")
	n.fit.Zone = zoneOf(zone)
	n.waitTimeout = s.seconds("wait_timeout")
	n.netReadTimeout, n.netWriteTimeout = s.seconds("net_read_timeout"), s.seconds("net_write_timeout")
	if cs, err := gms.ParseCharacterSet(text("character_set_client")); err == nil {
		n.clientCharset = cs
	}
	if v, ok := value("long_query_time").(float64); ok {
		n.longQuery = time.Duration(min(v, 1e9) * float64(time.Second))
	}
	n.minExamined = toUint64(value("min_examined_row_limit"))
	if f, ok := value(timestamp).(float64); ok && f != 0 {
		n.now = time.UnixMicro(int64(math.Round(f * 1e6)))
	}
	if f, ok := value("max_statement_time").(float64); ok {
		n.maxStatement = time.Duration(f * float64(time.Second))
	}
	n.maxExecution = time.Duration(min(toUint64(value("max_execution_time")), math.MaxUint32)) * time.Millisecond
	n.direct = isOn(value("direct"))
	n.logs = isOn(value("sql_log_bin"))
	for _, name := range usual {
		if ok, v := gms.HasDefaultValue(nil, s.BaseSession, name); v != nil && !ok {
			n.unusual = true
		}
	}
	const unusualModes = "ANSI_QUOTES,NO_UNSIGNED_SUBTRACTION,TIME_TRUNCATE_FRACTIONAL,NO_BACKSLASH_ESCAPES,HIGH_NOT_PRECEDENCE"
	n.unusual = n.unusual || modeBits(mode)&modeBits(unusualModes) != 0
	n.modes = strings.Join([]string{mode, zone, text("character_set_connection"), text("collation_connection"), text("character_set_client")}, "\x00")
	return n
}

// planKey is what plans of the session are kept under, beside their text.
func (s *Session) planKey() string {
	n := s.settingsNow()
	if db := s.GetCurrentDatabase(); n.key == "" || n.database != db {
		n.database = db
		n.key = strings.Join([]string{db, s.client.Account.User, s.client.Account.Host, n.modes, s.roles.key()}, "\x00")
	}
	return n.key
}
