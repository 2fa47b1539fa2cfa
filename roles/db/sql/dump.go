package sql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/mysql"

	"stack/roles/db/binlog"
	"stack/roles/db/binlog/event"
	"stack/roles/db/dump"
	"stack/roles/db/wire"
)

var _ wire.Source = (*Session)(nil)

// Source is the binary log as replicas get it.
func (e *Engine) Source() *dump.Source { return e.source }

// Register is COM_REGISTER_SLAVE.
func (s *Session) Register(ctx context.Context, r wire.Replica) error {
	gctx := s.context(ctx, "")
	if err := s.need(gctx, gms.PrivilegeType_ReplicationSlave, "REPLICATION SLAVE"); err != nil {
		return err
	}
	id := s.identity(r.Server)
	if r.Host != "" {
		id.Host = r.Host
	}
	id.Port = r.Port
	s.engine.source.Register(id)
	return nil
}

// identity is what the session's variables say of the reader.
func (s *Session) identity(server uint32) dump.Identity {
	epoch, _ := strconv.ParseUint(s.userVariable("stack_epoch"), 10, 64)
	name := s.userVariable("stack_replica")
	if s.engine.site.Load() != nil && s.ofSite() == nil {
		name = "" // anybody can set a variable: only a server of the site acknowledges
	}
	return dump.Identity{
		Connection: s.client.ID, Server: server, User: s.client.User, Host: s.client.Host,
		UUID: s.userVariable("replica_uuid", "slave_uuid"),
		Name: name, Epoch: epoch,
	}
}

// userVariable is the first of these variables that is set, as text.
func (s *Session) userVariable(names ...string) string {
	for _, name := range names {
		if _, v, err := s.GetUserVariable(nil, name); err == nil && v != nil {
			if b, ok := v.([]byte); ok {
				return string(b)
			}
			return fmt.Sprint(v)
		}
	}
	return ""
}

// Dump is COM_BINLOG_DUMP and COM_BINLOG_DUMP_GTID.
func (s *Session) Dump(ctx context.Context, from wire.DumpFrom) (wire.Dump, error) {
	gctx := s.context(ctx, "")
	if err := s.need(gctx, gms.PrivilegeType_ReplicationSlave, "REPLICATION SLAVE"); err != nil {
		return nil, err
	}
	q := dump.Request{
		Identity: s.identity(from.Server), File: from.File, Offset: from.Offset, ByGTID: from.ByGTID,
		// mariadb-binlog sets the variable too, and is to have what the files have.
		MariaDB: s.userVariable("mariadb_slave_capability") != "" && !s.isMariaDBBinlog(),
		Shown:   s.userVariable(stackShown) != "",
	}
	var err error
	if q.Heartbeat, err = heartbeatPeriod(s.userVariable("source_heartbeat_period", "master_heartbeat_period")); err != nil {
		return nil, err
	}
	switch sum := strings.ToUpper(s.userVariable("source_binlog_checksum", "master_binlog_checksum")); sum {
	case "", "NONE":
	case "CRC32":
		q.Checksums = true
	default:
		return nil, mysqlError(1236, "The reader asks for the checksum %s; there are CRC32 and NONE", sum)
	}
	if from.ByGTID {
		if q.Executed, err = readSet(from.GTIDs); err != nil {
			return nil, mysqlError(1236, "The GTID set of the replica is malformed: %v", err)
		}
	}
	command := "Binlog Dump"
	if from.ByGTID {
		command = "Binlog Dump GTID"
	}
	if gctx, err = s.engine.gms.ProcessList.BeginQuery(gctx, command); err != nil {
		return nil, err
	}
	s.dumps.Store(&command)
	st, err := s.engine.source.Open(gctx, q)
	if err != nil {
		if gctx.Err() != nil {
			err = wire.ErrConnectionKilled
		}
		s.dumps.Store(nil)
		s.engine.gms.ProcessList.EndQuery(gctx)
		return nil, dumpError(err)
	}
	d := &sentLog{Stream: st, session: s, ctx: gctx}
	// KILL QUERY, and KILL, which GMS begins with it, end the connection, also before: a reader of the log
	// takes an error for a reason not to come back.
	d.watched = context.AfterFunc(gctx, func() { st.Stop(wire.ErrConnectionKilled) })
	return d, nil
}

// leastHeartbeat is the least period of heartbeats, as the manual has it.
const leastHeartbeat = time.Millisecond

// heartbeatPeriod reads nanoseconds; MariaDB may write them as a decimal.
func heartbeatPeriod(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n < 0 || n > float64(1<<62) {
		return 0, mysqlError(1624, "The requested value for the heartbeat period is either negative or exceeds the maximum allowed: '%s'", text)
	}
	if n == 0 {
		return 0, nil
	}
	return max(time.Duration(n), leastHeartbeat), nil
}

// readSet reads a GTID set in MySQL's binary form.
func readSet(block []byte) (mysql.Mysql56GTIDSet, error) {
	if len(block) == 0 {
		return mysql.Mysql56GTIDSet{}, nil
	}
	return event.ParseSIDBlock(block)
}

// sentLog is the log on its way to the session's client.
type sentLog struct {
	*dump.Stream
	session *Session
	ctx     *gms.Context // as the process list has it
	watched func() bool
}

func (d *sentLog) Next(ctx context.Context, wait bool) ([]byte, error) {
	ev, err := d.Stream.Next(ctx, wait)
	return ev, dumpError(err)
}

func (d *sentLog) Close() {
	d.watched()
	d.session.dumps.Store(nil)
	d.session.engine.gms.ProcessList.EndQuery(d.ctx)
	d.Stream.Close()
	name := d.session.userVariable("stack_replica")
	replaced := slices.ContainsFunc(d.session.engine.source.Replicas(), func(r dump.Replica) bool { return r.Reading && r.Name == name })
	if d.session.ofSite() != nil && !replaced {
		d.session.engine.db.MemberGone(name)
	}
}

// dumpError gives errors of a dump MySQL's numbers.
func dumpError(err error) error {
	var refused dump.Refused
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused):
		return mysqlError(1236, "%s", string(refused))
	}
	return logError(err)
}

// parseShowReplicas is SHOW REPLICAS, and SHOW SLAVE HOSTS under its old names of columns.
func parseShowReplicas(source, uuid string) func(*Session, *scanner) (*ownStatement, error) {
	return func(_ *Session, sc *scanner) (*ownStatement, error) {
		if err := sc.end(); err != nil {
			return nil, err
		}
		return own(kindOther, nil, func(ctx *gms.Context, s *Session, out sink) error {
			if err := s.need(ctx, gms.PrivilegeType_ReplicationSlave, "REPLICATION SLAVE"); err != nil {
				return err
			}
			var rows []gms.Row
			own := uint64(s.engine.db.Binlog().ServerID())
			for _, r := range s.engine.source.Replicas() {
				rows = append(rows, gms.Row{uint64(r.Server), r.Host, uint64(r.Port), own, r.UUID})
			}
			return reply(ctx, out, gms.Schema{
				logColumn("Server_Id", types.Uint64), logColumn("Host", types.Text), logColumn("Port", types.Uint64),
				logColumn(source, types.Uint64), logColumn(uuid, types.Text),
			}, rows...)
		}), nil
	}
}

// warnKept tells that a PURGE has stopped at a file that is being read.
func (s *Session) warnKept(ctx *gms.Context, kept uint32) {
	if kept != 0 {
		name := binlog.FileName(kept)
		ctx.Warn(1867, "file %s was not purged because it was being read by a replica or another reader; it and the later files stay", name)
	}
}

const serverVersion = "version"

// oldVersion before a version is what servers say to readers that know none above 5.
const oldVersion = "5.5.5-"

// isMariaDBBinlog says whether the client is MariaDB's mariadb-binlog, which refuses to
// read from a server whose version begins with an 8.
func (s *Session) isMariaDBBinlog() bool {
	mariadb, reader := false, false
	for _, a := range s.client.Attrs {
		switch a.Name {
		case "_client_name":
			mariadb = a.Value == "libmariadb"
		case "program_name":
			reader = a.Value == "mysqlbinlog" || a.Value == "mariadb-binlog"
		}
	}
	return mariadb && reader
}

// refuseReset is RESET MASTER: it would give numbers of transactions out a second time, which
// backups and archives know as others without anybody here being able to see it.
func refuseReset(*Session, *scanner) (*ownStatement, error) {
	return nil, mysqlError(1235, "RESET MASTER (RESET BINARY LOGS AND GTIDS) is not available: backups and archives may know the numbers that it would give out again; PURGE BINARY LOGS removes files")
}
