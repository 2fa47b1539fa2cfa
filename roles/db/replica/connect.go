package replica

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/dolthub/vitess/go/mysql"

	"stack/roles/db/binlog/event"
	"stack/roles/db/incarnation"
	"stack/roles/db/txn"
)

// link is a connection that the log comes over.
type link struct {
	c        *conn
	version  string
	maria    bool
	stack    bool   // a server of this kind: it is told what is durable here
	epoch    uint64 // of such a server
	serverID uint32
	uuid     string   // empty: MariaDB has none
	source   [16]byte // the same
	// acknowledges: the source is one of ours and was asked by GTID, so that what is executed here is
	// all of its transactions up to one of them.
	acknowledges bool
	tells        bool   // such a source says how far its log may be applied
	shown        uint64 // as it was when it was connected
	clock        sourceClock
	executed     string // on the source when it was connected
	stop         func() bool
}

// fatalError keeps the receiver from connecting again.
type fatalError struct{ error }

func (e *fatalError) Unwrap() error { return e.error }

// connect logs in, looks at the source, and asks for the log. The connection ends with ctx.
func (r *Replica) connect(ctx context.Context, s *Settings, at Position) (_ *link, err error) {
	dial, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	address := net.JoinHostPort(s.Host, strconv.Itoa(int(s.Port)))
	nc, err := (&net.Dialer{KeepAlive: 15 * time.Second}).DialContext(dial, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	l := &link{c: newConn(nc)}
	l.stop = context.AfterFunc(ctx, func() { nc.Close() })
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	if l.version, err = l.c.login(s); err != nil {
		return nil, fmt.Errorf("log in as %s at %s: %w", s.User, address, err)
	}
	l.maria = strings.Contains(l.version, "MariaDB")
	if err := r.look(l, s); err != nil {
		return nil, fmt.Errorf("ask %s: %w", address, err)
	}
	if err := r.prepare(l, s); err != nil {
		return nil, fmt.Errorf("prepare %s to send its log: %w", address, err)
	}
	if err := r.dump(l, s, at); err != nil {
		return nil, fmt.Errorf("ask %s for its log: %w", address, err)
	}
	l.c.timeout = max(3*time.Duration(s.Heartbeat), time.Second)
	l.c.limit = event.MaxSize + 1
	return l, nil
}

func (l *link) close() {
	l.stop()
	l.c.net.Close()
}

// look learns what the source is, and refuses one that cannot be followed.
func (r *Replica) look(l *link, s *Settings) error {
	before := time.Now()
	if v, ok, err := l.c.value("SELECT UNIX_TIMESTAMP(NOW(6))"); err != nil {
		return err
	} else if t, e := strconv.ParseFloat(v, 64); ok && e == nil {
		now := time.Now()
		l.clock.set(time.UnixMicro(int64(t*1e6)), now.Add(-now.Sub(before)/2))
	}
	ask := func(name string) (string, bool, error) { return l.c.value("SELECT @@global." + name) }
	v, _, err := ask("server_id")
	if err != nil {
		return err
	}
	id, _ := strconv.ParseUint(v, 10, 32)
	l.serverID = uint32(id)
	if !l.maria {
		if l.uuid, _, err = ask("server_uuid"); err != nil {
			return err
		}
		if l.source, err = event.ParseUUID(l.uuid); err != nil {
			return fmt.Errorf("server_uuid of the source: %w", err)
		}
	}
	if l.uuid == r.opts.Store.Server || l.serverID == r.opts.DB.Binlog().ServerID() {
		return &fatalError{errors.New("the source has this server's own id: it cannot follow itself")}
	}
	if v, _, err = ask("version_comment"); err != nil {
		return err
	}
	if l.stack = v == "stack"; l.stack {
		if err := r.lookAtEpoch(l, ask); err != nil {
			return err
		}
	}
	if l.acknowledges = l.stack && s.Auto; l.acknowledges {
		if v, l.tells, err = ask(shownVariable); err != nil {
			return err
		}
		if l.shown, err = strconv.ParseUint(v, 10, 64); l.tells && err != nil {
			return fmt.Errorf("%w: its %s is %q", errProtocol, shownVariable, v)
		}
	}
	for name, want := range map[string]string{"log_bin": "1", "binlog_format": "ROW", "binlog_row_image": "FULL"} {
		v, ok, err := ask(name)
		if err != nil {
			return err
		}
		if ok && !strings.EqualFold(v, want) && !(want == "1" && strings.EqualFold(v, "ON")) {
			return fmt.Errorf("%s is %s on the source: set it to %s there", name, v, strings.Replace(want, "1", "ON", 1))
		}
	}
	if l.maria {
		l.executed, _, err = ask("gtid_binlog_pos")
	} else {
		l.executed, _, err = ask("gtid_executed")
	}
	if err != nil {
		return err
	}
	return r.lookAtIncarnations(l, ask)
}

// lookAtIncarnations refuses a source that has other transactions than this server under the same numbers, and keeps
// what it knows of those that it is going to send.
func (r *Replica) lookAtIncarnations(l *link, ask func(string) (string, bool, error)) error {
	own := incarnation.Known{Server: r.opts.Store.Server, Executed: r.opts.DB.LoggedSet()}
	var err error
	if r.opts.Relay != nil {
		if own.Executed, err = event.UnionOf(own.Executed, r.opts.Relay.Set()); err != nil {
			return err
		}
	}
	if own.Starts, err = incarnation.Read(r.opts.Store); err != nil {
		return err
	}
	v, ok := "", false
	if l.stack {
		if v, ok, err = ask("stack_incarnations"); err != nil {
			return err
		}
	}
	if !ok { // of another kind, or of an older release: it may pass on what a server makes in incarnations that nobody tells of
		return incarnation.Learn(r.opts.Store, own, incarnation.Known{})
	}
	source := incarnation.Known{Server: l.uuid, Executed: l.executed}
	if source.Starts, err = incarnation.Parse(v); err != nil {
		return fmt.Errorf("%w: %w", errProtocol, err)
	}
	lost, err := incarnation.Lost(own, source)
	if err != nil {
		return err
	}
	other, err := incarnation.Other(own, source)
	switch {
	case err != nil:
		return err
	case len(lost) > 0:
		return &fatalError{fmt.Errorf("the source has lost %s, which this server has: its disk was taken back to an earlier state, and under these numbers it may have other transactions. "+
			"Nothing of it is applied: make a server the primary that has them, or seed this one anew if the earlier state is the right one", lost)}
	case len(other) > 0:
		return &fatalError{fmt.Errorf("under the numbers %s this server has other transactions than the source: the disk of the server that made them was taken back to an earlier state. "+
			"Nothing is applied: seed this server anew, or make it the primary if its data is the right one", other)}
	}
	return incarnation.Learn(r.opts.Store, own, source)
}

// lookAtEpoch learns in which epoch a source of this kind is. This server takes part in it, or
// has moved on to a later one and does not follow.
func (r *Replica) lookAtEpoch(l *link, ask func(string) (string, bool, error)) error {
	v, ok, err := ask("stack_epoch")
	if err != nil || !ok {
		return err
	}
	if l.epoch, err = strconv.ParseUint(v, 10, 64); err != nil {
		return fmt.Errorf("%w: its epoch is %q", errProtocol, v)
	}
	switch own := r.opts.DB.Epoch(); {
	case l.epoch < own:
		return fmt.Errorf("the source is in epoch %d, this server has accepted %d: %w", l.epoch, own, txn.ErrStaleEpoch)
	case l.epoch > own && r.opts.Leads != nil && !r.opts.Leads():
		return fmt.Errorf("the source is in epoch %d and this server in %d, whose primary it follows: it waits for the primary of the new one", l.epoch, own)
	case l.epoch > own:
		_, err = r.opts.DB.AcceptEpoch(l.epoch)
	}
	return err
}

// shownVariable of the server, which older ones do not know, is the first of its own transactions that may not be applied; who
// sets the one of a session is told of changes in its dump.
const shownVariable = "stack_shown"

// prepare sets what the source's dump reads.
func (r *Replica) prepare(l *link, s *Settings) error {
	beat := strconv.FormatInt(s.Heartbeat, 10)
	set := []string{
		"SET @master_binlog_checksum = 'CRC32', @source_binlog_checksum = 'CRC32'",
		"SET @master_heartbeat_period = " + beat + ", @source_heartbeat_period = " + beat,
		"SET @slave_uuid = '" + r.opts.Store.Server + "', @replica_uuid = '" + r.opts.Store.Server + "'",
	}
	if l.stack {
		name := strings.NewReplacer("'", "", `\`, "").Replace(r.opts.Name)
		set = append(set, fmt.Sprintf("SET @stack_replica = '%s', @stack_epoch = %d", name, l.epoch))
		if l.tells {
			set = append(set, "SET @"+shownVariable+" = 1")
		}
	}
	if l.maria {
		set = append(set, "SET @mariadb_slave_capability = 4", "SET @slave_gtid_strict_mode = 0", "SET @slave_gtid_ignore_duplicates = 0")
	}
	for _, text := range set {
		if _, err := l.c.query(text); err != nil {
			return err
		}
	}
	return l.c.register(r.opts.DB.Binlog().ServerID(), r.opts.Name)
}

// dump asks for the log.
func (r *Replica) dump(l *link, s *Settings, at Position) error {
	own := r.opts.DB.Binlog().ServerID()
	switch {
	case !s.Auto:
		return l.c.dumpFile(own, at.File, max(at.Offset, 4))
	case l.maria:
		if _, err := l.c.query("SET @slave_connect_state = '" + at.Maria.String() + "'"); err != nil {
			return err
		}
		return l.c.dumpFile(own, "", 4)
	}
	set, err := r.here()
	if err != nil {
		return err
	}
	return l.c.dumpGTID(own, set.SIDBlock())
}

// ackMagic begins a packet that says what is durable here.
const ackMagic = 0xef

// acknowledge tells the source up to which of its transactions everything is durable here:
// ef, epoch u64, number u64, little endian.
func (l *link) acknowledge(epoch uint64, number int64) error {
	p := binary.LittleEndian.AppendUint64([]byte{ackMagic}, epoch)
	p = binary.LittleEndian.AppendUint64(p, uint64(number))
	b := append([]byte{byte(len(p)), 0, 0, 0}, p...)
	if err := l.c.net.SetWriteDeadline(time.Now().Add(dialTimeout)); err != nil {
		return err
	}
	_, err := l.c.net.Write(b)
	return err
}

// received tells the source that everything up to a transaction is durable here, where that is its own.
func (l *link) received(id event.ID) {
	if l.acknowledges && id.Number > 0 && id.UUID == l.source {
		_ = l.acknowledge(l.epoch, id.Number) // where it cannot be sent, the receiver sees the end of the connection too
	}
}

// behind is how many transactions of the source, by its executed set, are not executed here.
// Where the source is followed by file and position that set may hold what was never asked for.
func (r *Replica) behind(s *Settings, executed string, at Position) uint64 {
	if strings.Contains(executed, "-") && !strings.Contains(executed, ":") {
		theirs, err := ParseDomains(executed)
		if err != nil {
			return 0
		}
		return at.Maria.Behind(theirs, s.Auto)
	}
	if !s.Auto {
		return 0
	}
	theirs, err := event.ParseGTIDs(executed)
	if err != nil {
		return 0
	}
	ours, err := event.ParseGTIDs(r.opts.DB.ExecutedSet())
	if err != nil {
		return 0
	}
	return setSize(event.Without(theirs, ours))
}

// setSize is the number of transactions in a set.
func setSize(set mysql.Mysql56GTIDSet) uint64 {
	// Each interval is two numbers, the second behind its end.
	b := set.SIDBlock()
	n, total := binary.LittleEndian.Uint64(b), uint64(0)
	b = b[8:]
	for ; n > 0; n-- {
		intervals := binary.LittleEndian.Uint64(b[16:])
		b = b[24:]
		for ; intervals > 0; intervals-- {
			total += binary.LittleEndian.Uint64(b[8:]) - binary.LittleEndian.Uint64(b)
			b = b[16:]
		}
	}
	return total
}
