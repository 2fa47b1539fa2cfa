package dump_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"

	"stack/roles/db/binlog"
	"stack/roles/db/binlog/event"
)

// syncer is go-mysql's reader of binary logs, a replica of its own making.
func (s *server) syncer(change func(*replication.BinlogSyncerConfig)) *replication.BinlogSyncer {
	cfg := replication.BinlogSyncerConfig{
		ServerID: 77, Flavor: "mysql", Host: "127.0.0.1", Port: s.port, User: "replica", Password: "secret",
		VerifyChecksum: true, MaxReconnectAttempts: 1, DisableRetrySync: true, Logger: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&cfg)
	}
	sy := replication.NewBinlogSyncer(cfg)
	s.t.Cleanup(sy.Close)
	return sy
}

// next is the next event that the log holds: not a heartbeat, nor what is made for the reader.
func next(t testing.TB, st *replication.BinlogStreamer) *replication.BinlogEvent {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		ev, err := st.GetEvent(ctx)
		if err != nil {
			t.Fatal(err)
		}
		artificial := ev.Header.Flags&0x20 != 0 || ev.Header.LogPos == 0 || ev.Header.EventType == replication.HEARTBEAT_EVENT
		if !artificial {
			return ev
		}
	}
}

func executedBy(t testing.TB, text string) mysql.GTIDSet {
	t.Helper()
	set, err := mysql.ParseMysqlGTIDSet(text)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func (s *server) fill() {
	s.must("CREATE TABLE test.t (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(3000))")
	for i := range 5 {
		s.must(fmt.Sprintf("INSERT INTO test.t (v) VALUES (REPEAT('%c', 2000)), ('x')", 'a'+i), "UPDATE test.t SET v = 'y' WHERE v = 'x'")
		if i%2 == 1 {
			s.must("FLUSH BINARY LOGS")
		}
	}
}

// bare is an event as go-mysql asks for it: without a checksum.
func bare(ev binlog.Event) []byte {
	b := ev.Bytes[:len(ev.Bytes)-event.ChecksumSize]
	if event.Type(b[4]) == event.TypeFormatDescription {
		return event.AppendFormat(nil, b, false, false)
	}
	return event.AppendBare(nil, b, uint32(ev.End))
}

// An independent reader gets exactly the events of the log, from every position at which
// one begins and after every transaction.
func TestSyncerFromEveryEvent(t *testing.T) {
	s := newServer(t, binlog.Options{})
	s.fill()
	all := s.logged(binlog.Position{File: 1})
	seen := ""
	for i, from := range all {
		if event.Type(from.Bytes[4]) >= event.TypeWriteRows && event.Type(from.Bytes[4]) <= event.TypeDeleteRows {
			continue // nobody can read rows without the table map before them
		}
		sy := s.syncer(nil)
		st, err := sy.StartSync(mysql.Position{Name: binlog.FileName(from.File), Pos: uint32(from.Offset)})
		s.check(err)
		for _, want := range all[i:min(len(all), i+40)] {
			if ev := next(t, st); !bytes.Equal(ev.RawData, bare(want)) {
				t.Fatalf("from %s: %s is not what the log has at %s", from.Position, ev.Header.EventType, want.Position)
			}
		}
		sy.Close()
		if event.Type(from.Bytes[4]) != event.TypeGTID {
			continue
		}
		g, err := event.ParseGTID(from.Bytes)
		s.check(err)
		sy = s.syncer(func(cfg *replication.BinlogSyncerConfig) { cfg.DiscardGTIDSet = i%2 == 0 })
		st, err = sy.StartSyncGTID(executedBy(t, seen))
		s.check(err)
		for {
			ev := next(t, st)
			if ev.Header.EventType == replication.GTID_EVENT {
				if !bytes.Equal(ev.RawData, bare(from)) {
					t.Fatalf("after %s comes another transaction than %s", seen, g)
				}
				break
			}
			switch ev.Header.EventType {
			case replication.FORMAT_DESCRIPTION_EVENT, replication.PREVIOUS_GTIDS_EVENT, replication.ROTATE_EVENT:
			default:
				t.Fatalf("after %s comes a %s event of a transaction before", seen, ev.Header.EventType)
			}
		}
		sy.Close()
		seen = strings.TrimSuffix(fmt.Sprintf("%s:1-%d", s.store.Server, g.Number), "-1")
	}
}

// A reader that waits gets what is committed while it does, heartbeats in between, and
// goes on after a cut where it was.
func TestSyncerLive(t *testing.T) {
	s := newServer(t, binlog.Options{})
	sy := s.syncer(func(cfg *replication.BinlogSyncerConfig) {
		cfg.HeartbeatPeriod = 20 * time.Millisecond
		cfg.DisableRetrySync = false
		cfg.MaxReconnectAttempts = 0
	})
	st, err := sy.StartSync(mysql.Position{Name: "binlog.000001", Pos: 4})
	s.check(err)
	beats, at := 0, 0
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	read := func() {
		t.Helper()
		for all := s.logged(binlog.Position{File: 1}); at < len(all); {
			ev, err := st.GetEvent(ctx)
			s.check(err)
			switch {
			case ev.Header.EventType == replication.HEARTBEAT_EVENT:
				beats++
			case ev.Header.Flags&0x20 != 0 || ev.Header.LogPos == 0:
			case bytes.Equal(ev.RawData, bare(all[at])):
				at++
			default:
				t.Fatalf("%s is not what the log has at %s", ev.Header.EventType, all[at].Position)
			}
		}
	}
	s.fill()
	read()
	for beats == 0 {
		ev, err := st.GetEvent(ctx)
		s.check(err)
		if ev.Header.EventType == replication.HEARTBEAT_EVENT {
			beats++
			if p := s.txn.Binlog().Position(); uint64(ev.Header.LogPos) != p.Offset {
				t.Errorf("the heartbeat says %d, the log ends at %s", ev.Header.LogPos, p)
			}
		}
	}
	// The replica is known, until its connection is killed; it comes back by itself.
	for _, kill := range []string{"KILL", "KILL QUERY", "KILL CONNECTION"} {
		list := s.engine.Source().Replicas()
		if len(list) != 1 || list[0].Server != 77 || !list[0].Reading || !list[0].Registered {
			t.Fatalf("replicas are %+v", list)
		}
		if got := rows(t, s.db, "SHOW REPLICAS"); len(got) != 1 || !strings.HasPrefix(got[0], "77|") {
			t.Errorf("SHOW REPLICAS: %q", got)
		}
		s.must(fmt.Sprintf("%s %d", kill, list[0].Connection), "INSERT INTO test.t (v) VALUES ('after the cut')")
		waitFor(t, "the replica has come back", func() bool {
			now := s.engine.Source().Replicas()
			return len(now) == 1 && now[0].Reading && now[0].Connection != list[0].Connection
		})
		s.must("FLUSH LOGS", "INSERT INTO test.t (v) VALUES ('live')")
		read()
	}
	s.must("INSERT INTO test.t (v) VALUES (REPEAT('long', 700))")
	read()
	if got := rows(t, s.db, "SELECT COMMAND FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog%'"); len(got) != 1 {
		t.Errorf("the process list has %q", got)
	}
}

// What the log no longer holds, or never held, is error 1236 with a reason.
func TestRefusals(t *testing.T) {
	s := newServer(t, binlog.Options{})
	s.fill()
	s.must("PURGE BINARY LOGS TO 'binlog.000003'")
	for _, q := range []string{"RESET MASTER", "RESET BINARY LOGS AND GTIDS"} {
		if _, err := s.db.Exec(q); err == nil || !strings.Contains(err.Error(), "PURGE BINARY LOGS") {
			t.Errorf("%s: %v", q, err)
		}
	}
	refused := func(st *replication.BinlogStreamer, err error, want string) {
		t.Helper()
		s.check(err)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		for err == nil {
			_, err = st.GetEvent(ctx)
		}
		var e *mysql.MyError
		if !errors.As(err, &e) || e.Code != 1236 || !strings.Contains(e.Message, want) {
			t.Errorf("%v, not 1236 with %q", err, want)
		}
	}
	for _, step := range []struct {
		file string
		pos  uint32
		want string
	}{
		{"binlog.000001", 4, "binlog.000001 is not in it"}, {"binlog.000009", 4, "not in it"}, {"other.000001", 4, "there is no"},
		{"binlog.000003", 1 << 30, "position > file size"}, {"binlog.000003", 5, "no event begins"},
	} {
		st, err := s.syncer(nil).StartSync(mysql.Position{Name: step.file, Pos: step.pos})
		refused(st, err, step.want)
	}
	purged := rows(t, s.db, "SELECT @@gtid_purged")[0]
	st, err := s.syncer(nil).StartSyncGTID(executedBy(t, s.store.Server+":1-2:4"))
	refused(st, err, "the missing transactions are '"+s.store.Server+":3:5-"+purged[strings.LastIndex(purged, "-")+1:]+"'")
	st, err = s.syncer(nil).StartSyncGTID(executedBy(t, s.store.Server+":1-100000"))
	refused(st, err, "Replica has more GTIDs than the source has")

	s.must("CREATE USER nobody IDENTIFIED WITH mysql_native_password BY 'secret'")
	st, err = s.syncer(func(cfg *replication.BinlogSyncerConfig) { cfg.User = "nobody" }).StartSync(mysql.Position{Pos: 4})
	if err == nil {
		_, err = st.GetEvent(context.Background())
	}
	if err == nil || !strings.Contains(err.Error(), "REPLICATION SLAVE") {
		t.Errorf("without the privilege: %v", err)
	}
}

// A purge stops at the file that a reader is in, and says so.
func TestPurgeBesideAReader(t *testing.T) {
	s := newServer(t, binlog.Options{})
	s.fill()
	r, err := s.txn.Binlog().Open(binlog.Position{File: 2})
	s.check(err)
	last := binlog.FileName(s.txn.Binlog().Position().File)
	conn, err := s.db.Conn(t.Context())
	s.check(err)
	defer conn.Close()
	_, err = conn.ExecContext(t.Context(), "PURGE BINARY LOGS TO '"+last+"'")
	s.check(err)
	var level, message string
	var code int
	s.check(conn.QueryRowContext(t.Context(), "SHOW WARNINGS").Scan(&level, &code, &message))
	if files := s.txn.Binlog().Files(); files[0].Number != 2 || code != 1867 || !strings.Contains(message, "binlog.000002") {
		t.Errorf("files begin with %d; warning %d %s", files[0].Number, code, message)
	}
	r.Close()
	s.must("PURGE BINARY LOGS TO '" + last + "'")
	if files := s.txn.Binlog().Files(); binlog.FileName(files[0].Number) != last {
		t.Errorf("files begin with %d, not %s, after the reader has gone", files[0].Number, last)
	}
}
