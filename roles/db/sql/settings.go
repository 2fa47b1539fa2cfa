package sql

import (
	"strings"
	"time"

	gms "github.com/dolthub/go-mysql-server/sql"
)

// settings are the session's variables that every command asks for, read once after
// each change.
type settings struct {
	read bool // false: a variable has changed

	autocommit      bool
	noBackslash     bool
	waitTimeout     time.Duration
	netReadTimeout  time.Duration
	netWriteTimeout time.Duration
	clientCharset   gms.CharacterSetID
	quietDatabase   bool   // session_track_schema is off
	trackGTIDs      string // OFF, OWN_GTID, ALL_GTIDS

	direct  bool   // statements may be answered without the planner
	logs    bool   // changes go into the binary log
	unusual bool   // a variable changes what statements do
	modes   string // what plans depend on: sql_mode and character sets

	database, key string // plans are kept under key while the current database is database
}

// SetSessionVariable changes a variable of the session.
func (s *Session) SetSessionVariable(ctx *gms.Context, name string, value any) error {
	s.settings.read = false
	s.direct.noteAssignment(name, value)
	if err := refuseTracking(name, value); err != nil {
		return err
	}
	if err := s.BaseSession.SetSessionVariable(ctx, name, value); err != nil {
		return err
	}
	s.noteVariable(name)
	return nil
}

// gtidExecuted is a variable of the server that changes with each commit.
const gtidExecuted = "gtid_executed"

// GetSessionVariable reads a variable: sessions keep copies of the server's, which for one
// of them is of no use.
func (s *Session) GetSessionVariable(ctx *gms.Context, name string) (any, error) {
	if len(name) == len(gtidExecuted) && strings.EqualFold(name, gtidExecuted) {
		return s.engine.db.ExecutedSet(), nil
	}
	return s.BaseSession.GetSessionVariable(ctx, name)
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

// usual are variables that change what a statement does where they have another value
// than by default.
var usual = []string{
	"sql_auto_is_null", "sql_safe_updates", "sql_select_limit", "auto_increment_increment", "auto_increment_offset", "max_execution_time", "insert_id",
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
	n.quietDatabase = !isOn(value("session_track_schema"))
	n.trackGTIDs = text("session_track_gtids")
	mode := text("sql_mode")
	n.noBackslash = strings.Contains(mode, gms.NoBackslashEscapes)
	n.waitTimeout = s.seconds("wait_timeout")
	if s.client.Capabilities&clientInteractive != 0 {
		n.waitTimeout = s.seconds("interactive_timeout")
	}
	n.netReadTimeout, n.netWriteTimeout = s.seconds("net_read_timeout"), s.seconds("net_write_timeout")
	if cs, err := gms.ParseCharacterSet(text("character_set_client")); err == nil {
		n.clientCharset = cs
	}
	n.direct = isOn(value("direct"))
	n.logs = isOn(value("sql_log_bin"))
	for _, name := range usual {
		if ok, v := gms.HasDefaultValue(nil, s.BaseSession, name); v != nil && !ok {
			n.unusual = true
		}
	}
	for _, m := range []string{"NO_BACKSLASH_ESCAPES", "ANSI", "NO_AUTO_VALUE_ON_ZERO", "PAD_CHAR_TO_FULL_LENGTH", "NO_UNSIGNED_SUBTRACTION"} {
		n.unusual = n.unusual || strings.Contains(mode, m)
	}
	n.modes = strings.Join([]string{mode, text("character_set_connection"), text("collation_connection"), text("character_set_client")}, "\x00")
	return n
}

// planKey is what plans of the session are kept under, beside their text.
func (s *Session) planKey() string {
	n := s.settingsNow()
	if db := s.GetCurrentDatabase(); n.key == "" || n.database != db {
		n.database = db
		n.key = strings.Join([]string{db, s.client.Account.User, s.client.Account.Host, n.modes}, "\x00")
	}
	return n.key
}
