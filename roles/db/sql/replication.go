package sql

import (
	"errors"
	"strconv"
	"strings"
	"time"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/vt/sqlparser"

	"stack/roles/db/replica"
	"stack/roles/db/wire"
)

// SetReplica gives the statements about replication what they work on. Before, they say that
// there is none.
func (e *Engine) SetReplica(r *replica.Replica) {
	e.replica.Store(r)
	gms.SystemVariables.AddSystemVariables([]gms.SystemVariable{&gms.MysqlSystemVariable{
		Name: stackReceived, Scope: gms.GetMysqlScope(gms.SystemVariableScope_Global), Type: types.NewSystemStringType(stackReceived), Default: "",
		ValueFunction: func() (any, error) { return r.Received(), nil },
	}})
}

// received is the GTID set of what was received and may not be applied yet.
func (e *Engine) received() string {
	r := e.replica.Load()
	if r == nil {
		return ""
	}
	return r.Received()
}

// SetFollowing says whether only the log of another server changes this one. Clients then get
// error 1290, administrators too.
func (e *Engine) SetFollowing(on bool) { e.following.Store(on) }

// readOnly says whether writes are refused, of everybody or of all but administrators.
func (e *Engine) readOnly() (everybody, others bool) {
	if e.following.Load() {
		return true, true
	}
	return readOnly()
}

// SetReadOnlyVariables is what @@read_only and @@super_read_only of the process say.
func SetReadOnlyVariables(on bool) error {
	return gms.SystemVariables.AssignValues(map[string]any{"read_only": onOff(on), "super_read_only": onOff(on)})
}

// admitReadOnly refuses to make a server writable that follows another.
func (s *Session) admitReadOnly(set *sqlparser.Set) error {
	if !s.engine.following.Load() {
		return nil
	}
	for _, e := range set.Exprs {
		name := strings.TrimPrefix(strings.ToLower(e.Name.Name.String()), "@@global.")
		if e.Scope != sqlparser.SetScope_User && (name == "read_only" || name == "super_read_only") {
			return mysqlError(1290, "This server follows a source, which alone changes its data, so that %s stays ON: RESET REPLICA ALL ends that", name)
		}
	}
	return nil
}

// following is the replica, or the error where this engine has none.
func (s *Session) followingOf(ctx *gms.Context) (*replica.Replica, error) {
	if err := s.need(ctx, gms.PrivilegeType_Super, "SUPER or REPLICATION_SLAVE_ADMIN"); err != nil {
		return nil, err
	}
	r := s.engine.replica.Load()
	if r == nil {
		return nil, notAvailable("replication in this process")
	}
	if s.engine.site.Load() != nil {
		return nil, mysqlError(1290, "The db nodes of the site decide whom this server follows, so it cannot execute this statement: use stack db promote")
	}
	return r, nil
}

// replicaError gives errors about replication MySQL's numbers.
func replicaError(err error) error {
	var known *wire.Error
	switch {
	case err == nil, errors.As(err, &known):
		return err
	case errors.Is(err, replica.ErrRunning):
		return mysqlError(3021, "%v", err)
	case errors.Is(err, replica.ErrNoSource):
		return mysqlError(1200, "%v", err)
	}
	return mysqlError(1210, "%v", err)
}

// channel reads FOR CHANNEL ”, the only one there is.
func (s *scanner) channel() error {
	if !s.accept("FOR", "CHANNEL") {
		return s.end()
	}
	name := s.next()
	if name != "''" && name != `""` {
		return mysqlError(3074, "Replica channel %s does not exist: there is only the one without a name", name)
	}
	return s.end()
}

func replicaStatement(sc *scanner, do func(*gms.Context, *Session, *replica.Replica) error) (*ownStatement, error) {
	if err := sc.channel(); err != nil {
		return nil, err
	}
	return own(kindOther, nil, func(ctx *gms.Context, s *Session, out sink) error {
		r, err := s.followingOf(ctx)
		if err == nil {
			err = do(ctx, s, r)
		}
		if err != nil {
			return err
		}
		out.OK(0, 0, "")
		return nil
	}), nil
}

// parseStartReplica is START REPLICA. Its halves do not run alone.
func parseStartReplica(_ *Session, sc *scanner) (*ownStatement, error) {
	switch sc.peek() {
	case "", "FOR":
	default:
		return nil, notAvailable("START REPLICA with a part or an end")
	}
	return replicaStatement(sc, func(_ *gms.Context, _ *Session, r *replica.Replica) error { return replicaError(r.Start()) })
}

func parseStopReplica(_ *Session, sc *scanner) (*ownStatement, error) {
	switch sc.peek() {
	case "", "FOR":
	default:
		return nil, notAvailable("STOP REPLICA of a part")
	}
	return replicaStatement(sc, func(_ *gms.Context, _ *Session, r *replica.Replica) error { return replicaError(r.Stop()) })
}

func parseResetReplica(_ *Session, sc *scanner) (*ownStatement, error) {
	all := sc.accept("ALL")
	return replicaStatement(sc, func(_ *gms.Context, _ *Session, r *replica.Replica) error { return replicaError(r.Reset(all)) })
}

// parseSlavePosition is SET GLOBAL gtid_slave_pos, which a dump of MariaDB begins with.
func parseSlavePosition(_ *Session, sc *scanner) (*ownStatement, error) {
	if !sc.accept("=") {
		return nil, sc.unexpected()
	}
	text, ok := plainText(sc.next())
	if !ok {
		return nil, sc.unexpected()
	}
	at, err := replica.ParseDomains(text)
	if err != nil {
		return nil, mysqlError(1231, "%v", err)
	}
	return replicaStatement(sc, func(_ *gms.Context, _ *Session, r *replica.Replica) error {
		return replicaError(r.Change(func(_ *replica.Settings, p *replica.Position) error {
			p.Maria = at
			return nil
		}))
	})
}

// plainText takes the quotes off a text.
func plainText(token string) (string, bool) {
	if len(token) < 2 || token[0] != '\'' && token[0] != '"' || token[len(token)-1] != token[0] {
		return "", false
	}
	var b strings.Builder
	quote, inner := token[0], token[1:len(token)-1]
	for i := 0; i < len(inner); i++ {
		c := inner[i]
		switch {
		case c == quote && i+1 < len(inner):
			i++
		case c == '\\' && i+1 < len(inner):
			i++
			if c = inner[i]; c == 'n' {
				c = '\n'
			} else if c == 't' {
				c = '\t'
			} else if c == '0' {
				c = 0
			}
		}
		b.WriteByte(c)
	}
	return b.String(), true
}

// sourceChange is what CHANGE REPLICATION SOURCE says.
type sourceChange struct {
	edits          []func(*replica.Settings, *replica.Position)
	host, at, auto bool
}

// parseChangeSource is CHANGE REPLICATION SOURCE TO and CHANGE MASTER TO.
func parseChangeSource(_ *Session, sc *scanner) (*ownStatement, error) {
	c := &sourceChange{}
	for {
		name := strings.ToUpper(sc.next())
		if name == "" || sc.next() != "=" {
			return nil, sc.unexpected()
		}
		value := sc.next()
		if sc.peek() == "." { // a fraction
			value += sc.next() + sc.next()
		}
		if err := c.option(name, value); err != nil {
			return nil, err
		}
		if sc.peek() != "," {
			break
		}
		sc.next()
	}
	return replicaStatement(sc, func(_ *gms.Context, _ *Session, r *replica.Replica) error { return replicaError(r.Change(c.apply)) })
}

// option reads one option.
func (c *sourceChange) option(name, value string) error {
	if name == "MASTER_USE_GTID" {
		return c.useGTID(value)
	}
	short, ok := strings.CutPrefix(name, "SOURCE_")
	if !ok {
		short, ok = strings.CutPrefix(name, "MASTER_")
	}
	if name == "GET_SOURCE_PUBLIC_KEY" || name == "GET_MASTER_PUBLIC_KEY" {
		short, ok = "PUBLIC_KEY", true
	}
	bad := mysqlError(1210, "%s has a value that it cannot have", name)
	text, isText := plainText(value)
	number, err := strconv.ParseFloat(value, 64)
	isNumber := err == nil && number >= 0 && number < 1<<40
	edit := func(f func(*replica.Settings, *replica.Position)) { c.edits = append(c.edits, f) }
	switch {
	case !ok:
	case short == "HOST" && isText && text != "" && len(text) < 256:
		c.host = true
		edit(func(s *replica.Settings, _ *replica.Position) { s.Host = text })
		return nil
	case short == "USER" && isText && len(text) < 256:
		edit(func(s *replica.Settings, _ *replica.Position) { s.User = text })
		return nil
	case short == "PASSWORD" && isText:
		edit(func(s *replica.Settings, _ *replica.Position) { s.Password = text })
		return nil
	case short == "LOG_FILE" && isText:
		c.at = true
		edit(func(s *replica.Settings, p *replica.Position) { p.File, p.Offset, s.Auto = text, 4, false })
		return nil
	case short == "SSL_CA" && isText:
		edit(func(s *replica.Settings, _ *replica.Position) { s.CA = text })
		return nil
	case short == "SSL_CERT" && isText:
		edit(func(s *replica.Settings, _ *replica.Position) { s.Cert = text })
		return nil
	case short == "SSL_KEY" && isText:
		edit(func(s *replica.Settings, _ *replica.Position) { s.Key = text })
		return nil
	case short == "PORT" && isNumber && number >= 1 && number < 1<<16:
		c.host = true
		edit(func(s *replica.Settings, _ *replica.Position) { s.Port = uint16(number) })
		return nil
	case short == "LOG_POS" && isNumber:
		c.at = true
		edit(func(s *replica.Settings, p *replica.Position) { p.Offset, s.Auto = uint64(number), false })
		return nil
	case short == "CONNECT_RETRY" && isNumber:
		edit(func(s *replica.Settings, _ *replica.Position) { s.Retry = int(number) })
		return nil
	case short == "RETRY_COUNT" && isNumber:
		edit(func(s *replica.Settings, _ *replica.Position) { s.Attempts = int(number) })
		return nil
	case short == "HEARTBEAT_PERIOD" && isNumber:
		edit(func(s *replica.Settings, _ *replica.Position) { s.Heartbeat = int64(number * float64(time.Second)) })
		return nil
	}
	on := number == 1
	if ok && isNumber && (number == 0 || on) {
		switch short {
		case "AUTO_POSITION":
			c.auto = c.auto || on
			edit(func(s *replica.Settings, _ *replica.Position) { s.Auto = on })
			return nil
		case "SSL":
			edit(func(s *replica.Settings, _ *replica.Position) { s.TLS = on })
			return nil
		case "SSL_VERIFY_SERVER_CERT":
			edit(func(s *replica.Settings, _ *replica.Position) { s.Verify = on })
			return nil
		case "PUBLIC_KEY":
			edit(func(s *replica.Settings, _ *replica.Position) { s.PublicKey = on })
			return nil
		}
	}
	switch short {
	case "HOST", "USER", "PASSWORD", "LOG_FILE", "SSL_CA", "SSL_CERT", "SSL_KEY", "PORT", "LOG_POS", "CONNECT_RETRY", "RETRY_COUNT", "HEARTBEAT_PERIOD",
		"AUTO_POSITION", "SSL", "SSL_VERIFY_SERVER_CERT", "PUBLIC_KEY":
		return bad
	}
	return notAvailable(name + " of CHANGE REPLICATION SOURCE")
}

// useGTID is MASTER_USE_GTID of MariaDB.
func (c *sourceChange) useGTID(value string) error {
	on := true
	switch strings.ToLower(value) {
	case "slave_pos", "replica_pos":
	case "no":
		on = false
	default:
		return notAvailable("MASTER_USE_GTID = " + value)
	}
	c.auto = c.auto || on
	c.edits = append(c.edits, func(s *replica.Settings, _ *replica.Position) { s.Auto = on })
	return nil
}

// apply changes the settings. Another source has other files.
func (c *sourceChange) apply(s *replica.Settings, p *replica.Position) error {
	if c.auto && c.at {
		return mysqlError(1776, "Parameters SOURCE_LOG_FILE and SOURCE_LOG_POS cannot be set when SOURCE_AUTO_POSITION is active.")
	}
	host, port := s.Host, s.Port
	auto := s.Auto
	for _, edit := range c.edits {
		edit(s, p)
	}
	if c.host && !c.at && host != "" && (host != s.Host || port != s.Port) || s.Auto && !auto {
		p.File, p.Offset = "", 0
	}
	return nil
}

// replicaColumn is a column of SHOW REPLICA STATUS under both of its names.
type replicaColumn struct {
	name  string
	value func(*replica.Status) any
}

// runningWords are the states of the two halves.
func runningWords(s *replica.Status) (io, sql, ioState, sqlState string) {
	switch s.State {
	case replica.StateConnecting:
		return "Connecting", "Yes", "Connecting to source", "Replica has read all relay log; waiting for more updates"
	case replica.StateStreaming:
		state := "Replica has read all relay log; waiting for more updates"
		if s.Lag > 0 {
			state = "Applying transactions of the source"
		}
		return "Yes", "Yes", "Waiting for source to send event", state
	case replica.StateWaiting:
		return "Connecting", "Yes", "Waiting to reconnect after a failed source event read", "Waiting for the next attempt"
	case replica.StateIOFailed:
		return "No", "Yes", "", "Replica has read all relay log; waiting for more updates"
	}
	return "No", "No", "", ""
}

func lagOf(s *replica.Status) any {
	if s.State != replica.StateStreaming || !s.LagKnown {
		return nil
	}
	return int64(s.Lag / time.Second)
}

func yesNo(on bool) string {
	if on {
		return "Yes"
	}
	return "No"
}

func failureTime(f replica.Failure) string {
	if f.At.IsZero() {
		return ""
	}
	return f.At.UTC().Format("060102 15:04:05")
}

// replicaColumns are those of MySQL 8.0, in its order. What was received is not kept on disk:
// what stands for the relay log is empty.
var replicaColumns = []replicaColumn{
	{"Replica_IO_State", func(s *replica.Status) any { _, _, v, _ := runningWords(s); return v }},
	{"Source_Host", func(s *replica.Status) any { return s.Host }},
	{"Source_User", func(s *replica.Status) any { return s.User }},
	{"Source_Port", func(s *replica.Status) any { return int64(s.Port) }},
	{"Connect_Retry", func(s *replica.Status) any { return int64(s.Retry) }},
	{"Source_Log_File", func(s *replica.Status) any { return s.Received.File }},
	{"Read_Source_Log_Pos", func(s *replica.Status) any { return int64(s.Received.Offset) }},
	{"Relay_Log_File", empty},
	{"Relay_Log_Pos", zero},
	{"Relay_Source_Log_File", func(s *replica.Status) any { return s.Applied.File }},
	{"Replica_IO_Running", func(s *replica.Status) any { v, _, _, _ := runningWords(s); return v }},
	{"Replica_SQL_Running", func(s *replica.Status) any { _, v, _, _ := runningWords(s); return v }},
	{"Replicate_Do_DB", empty}, {"Replicate_Ignore_DB", empty}, {"Replicate_Do_Table", empty}, {"Replicate_Ignore_Table", empty},
	{"Replicate_Wild_Do_Table", empty}, {"Replicate_Wild_Ignore_Table", empty},
	{"Last_Errno", func(s *replica.Status) any { return int64(s.SQL.Code) }},
	{"Last_Error", func(s *replica.Status) any { return s.SQL.Text }},
	{"Skip_Counter", zero},
	{"Exec_Source_Log_Pos", func(s *replica.Status) any { return int64(s.Applied.Offset) }},
	{"Relay_Log_Space", zero},
	{"Until_Condition", func(*replica.Status) any { return "None" }},
	{"Until_Log_File", empty},
	{"Until_Log_Pos", zero},
	{"Source_SSL_Allowed", func(s *replica.Status) any { return yesNo(s.TLS) }},
	{"Source_SSL_CA_File", func(s *replica.Status) any { return s.CA }},
	{"Source_SSL_CA_Path", empty},
	{"Source_SSL_Cert", func(s *replica.Status) any { return s.Cert }},
	{"Source_SSL_Cipher", empty},
	{"Source_SSL_Key", func(s *replica.Status) any { return s.Key }},
	{"Seconds_Behind_Source", lagOf},
	{"Source_SSL_Verify_Server_Cert", func(s *replica.Status) any { return yesNo(s.Verify) }},
	{"Last_IO_Errno", func(s *replica.Status) any { return int64(s.IO.Code) }},
	{"Last_IO_Error", func(s *replica.Status) any { return s.IO.Text }},
	{"Last_SQL_Errno", func(s *replica.Status) any { return int64(s.SQL.Code) }},
	{"Last_SQL_Error", func(s *replica.Status) any { return s.SQL.Text }},
	{"Replicate_Ignore_Server_Ids", empty},
	{"Source_Server_Id", func(s *replica.Status) any { return int64(s.ServerID) }},
	{"Source_UUID", func(s *replica.Status) any { return s.ServerUUID }},
	{"Source_Info_File", empty},
	{"SQL_Delay", zero},
	{"SQL_Remaining_Delay", func(*replica.Status) any { return nil }},
	{"Replica_SQL_Running_State", func(s *replica.Status) any { _, _, _, v := runningWords(s); return v }},
	{"Source_Retry_Count", func(s *replica.Status) any { return int64(s.Attempts) }},
	{"Source_Bind", empty},
	{"Last_IO_Error_Timestamp", func(s *replica.Status) any { return failureTime(s.IO) }},
	{"Last_SQL_Error_Timestamp", func(s *replica.Status) any { return failureTime(s.SQL) }},
	{"Source_SSL_Crl", empty}, {"Source_SSL_Crlpath", empty},
	{"Retrieved_Gtid_Set", func(s *replica.Status) any { return s.Retrieved }},
	{"Executed_Gtid_Set", func(s *replica.Status) any { return s.Executed }},
	{"Auto_Position", func(s *replica.Status) any { return int64(onOff(s.Auto)) }},
	{"Replicate_Rewrite_DB", empty},
	{"Channel_Name", empty},
	{"Source_TLS_Version", empty},
	{"Source_public_key_path", empty},
	{"Get_Source_public_key", func(s *replica.Status) any { return int64(onOff(s.PublicKey)) }},
	{"Network_Namespace", empty},
}

// mariaColumns are those that MariaDB has beside them.
var mariaColumns = []replicaColumn{
	{"Using_Gtid", func(s *replica.Status) any {
		if s.Auto {
			return "Slave_Pos"
		}
		return "No"
	}},
	{"Gtid_IO_Pos", func(s *replica.Status) any { return s.Applied.Maria.String() }},
}

func empty(*replica.Status) any { return "" }
func zero(*replica.Status) any  { return int64(0) }

// oldNames are the names of the columns in SHOW SLAVE STATUS.
var oldNames = strings.NewReplacer("Replica_", "Slave_", "Source_", "Master_", "_Source", "_Master")

// parseReplicaStatus is SHOW REPLICA STATUS, with its columns' new names, and SHOW SLAVE STATUS
// with the old ones.
func parseReplicaStatus(old bool) func(*Session, *scanner) (*ownStatement, error) {
	return func(_ *Session, sc *scanner) (*ownStatement, error) {
		for sc.accept("NONBLOCKING") || sc.accept("NOLOCK") {
		}
		if err := sc.channel(); err != nil {
			return nil, err
		}
		columns := replicaColumns
		if old {
			columns = append(columns[:len(columns):len(columns)], mariaColumns...)
		}
		return own(kindOther, nil, func(ctx *gms.Context, s *Session, out sink) error {
			if err := s.need(ctx, gms.PrivilegeType_ReplicationClient, "SUPER or REPLICATION CLIENT"); err != nil {
				return err
			}
			return s.showReplica(ctx, out, columns, old)
		}), nil
	}
}

func (s *Session) showReplica(ctx *gms.Context, out sink, columns []replicaColumn, old bool) error {
	var st replica.Status
	ok := false
	if r := s.engine.replica.Load(); r != nil {
		st, ok = r.Status()
	}
	row := make(gms.Row, len(columns))
	schema := make(gms.Schema, len(columns))
	for i, c := range columns {
		name := c.name
		if old {
			name = oldNames.Replace(name)
		}
		row[i] = c.value(&st)
		schema[i] = &gms.Column{Name: name, Type: types.LongText, Nullable: true}
		switch row[i].(type) {
		case int64, nil:
			schema[i].Type = types.Int64
		}
	}
	if !ok {
		return reply(ctx, out, schema)
	}
	return reply(ctx, out, schema, row)
}
