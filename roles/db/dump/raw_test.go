package dump_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/go-mysql-org/go-mysql/mysql"

	"stack/roles/db/binlog"
	"stack/roles/db/binlog/event"
	"stack/roles/db/dump"
	"stack/roles/db/txn"
)

// rawReader is a reader of the log that does what the test says.
type rawReader struct {
	t testing.TB
	*client.Conn
}

func (s *server) raw(set ...string) *rawReader {
	s.t.Helper()
	c, err := client.Connect(fmt.Sprintf("127.0.0.1:%d", s.port), "replica", "secret", "")
	s.check(err)
	s.t.Cleanup(func() { c.Close() })
	for _, q := range set {
		if _, err := c.Execute(q); err != nil {
			s.t.Fatalf("%s: %v", q, err)
		}
	}
	return &rawReader{s.t, c}
}

// send sends a packet with a sequence number of 0.
func (r *rawReader) send(payload []byte) {
	r.t.Helper()
	r.ResetSequence()
	if err := r.WritePacket(append(make([]byte, 4), payload...)); err != nil {
		r.t.Fatal(err)
	}
}

// upstream sends a packet beside what comes.
func (r *rawReader) upstream(payload []byte) {
	r.t.Helper()
	seq := r.Sequence
	r.send(payload)
	r.Sequence = seq
}

// dumpAt sends COM_BINLOG_DUMP.
func (r *rawReader) dumpAt(flags uint16, server, offset uint32, file string) {
	r.t.Helper()
	p := binary.LittleEndian.AppendUint32([]byte{mysql.COM_BINLOG_DUMP}, offset)
	p = binary.LittleEndian.AppendUint16(p, flags)
	p = binary.LittleEndian.AppendUint32(p, server)
	r.send(append(p, file...))
}

// packet is the next packet; an error packet is an error.
func (r *rawReader) packet() ([]byte, error) {
	p, err := r.ReadPacket()
	if err == nil && p[0] == mysql.ERR_HEADER {
		err = r.HandleErrorPacket(p)
	}
	return p, err
}

// until reads until what comes is EOF, or an error.
func (r *rawReader) until() (events [][]byte, err error) {
	for {
		p, err := r.packet()
		if err != nil || p[0] == mysql.EOF_HEADER && len(p) < 20 {
			return events, err
		}
		events = append(events, p[1:])
	}
}

const nonBlock = 1

func code(err error) uint16 {
	var e *mysql.MyError
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}

// With checksums everything has one, what is made for the reader too; without, only the
// format description. A dump that does not block ends, and the connection goes on.
func TestChecksums(t *testing.T) {
	s := newServer(t, binlog.Options{})
	s.fill()
	all := s.logged(binlog.Position{File: 2})
	for _, name := range []string{"master", "source"} {
		r := s.raw("SET @" + name + "_binlog_checksum = @@global.binlog_checksum")
		for range 2 {
			r.dumpAt(nonBlock, 0, 4, "binlog.000002")
			events, err := r.until()
			s.check(err)
			at := 0
			for _, ev := range events {
				if err := event.Verify(ev); err != nil {
					t.Fatalf("an event without its checksum: % x", ev)
				}
				if at < len(all) && bytes.Equal(ev, all[at].Bytes) {
					at++
				} else if event.Type(ev[4]) != event.TypeRotate || ev[17] != 0x20 {
					t.Fatalf("%s is not in the log", event.Type(ev[4]))
				}
			}
			if at != len(all) {
				t.Fatalf("%d events of %d came", at, len(all))
			}
		}
	}
	r := s.raw()
	gtid := all[2]
	r.dumpAt(nonBlock, 0, uint32(gtid.Offset), "binlog.000002")
	events, err := r.until()
	s.check(err)
	format := events[1]
	if event.Type(format[4]) != event.TypeFormatDescription || event.Verify(format) != nil || format[117] != 0 || !bytes.Equal(format[13:17], make([]byte, 4)) {
		t.Errorf("format description: % x", format)
	}
	if !bytes.Equal(events[2], bare(gtid)) {
		t.Errorf("the first event is % x, not % x", events[2], bare(gtid))
	}
	r.dumpAt(nonBlock, 0, 2, "binlog.000002")
	if _, err := r.until(); code(err) != 1236 || !strings.Contains(err.Error(), "impossible position") {
		t.Errorf("position 2: %v", err)
	}
	r.send([]byte{mysql.COM_BINLOG_DUMP, 1})
	if _, err := r.until(); code(err) != 1835 {
		t.Errorf("half a command: %v", err)
	}
	_, err = r.Execute("SET @source_binlog_checksum = 'MD5'")
	s.check(err)
	r.dumpAt(nonBlock, 0, 4, "")
	if _, err := r.until(); code(err) != 1236 || !strings.Contains(err.Error(), "MD5") {
		t.Errorf("an unknown checksum: %v", err)
	}
	s.check(r.Ping())
}

// recorder hears of acknowledgements.
type recorder chan string

func (r recorder) Acknowledged(replica string, epoch, seq uint64) {
	r <- fmt.Sprint(replica, " ", epoch, " ", seq)
}

// A replica of ours acknowledges on the connection of the dump, and is heard at once; one
// that is none is not, and who sends anything else is cut off.
func TestAcknowledgements(t *testing.T) {
	s := newServer(t, binlog.Options{})
	heard := make(recorder, 10)
	s.engine.Source().SetAcknowledger(heard)
	ack := func(epoch, seq uint64) []byte {
		p := binary.LittleEndian.AppendUint64([]byte{0xef}, epoch)
		return binary.LittleEndian.AppendUint64(p, seq)
	}
	r := s.raw("SET @stack_replica = 'b', @stack_epoch = 7, @replica_uuid = '11111111-2222-3333-4444-555555555555'")
	r.dumpAt(0, 5, 4, "")
	if _, err := r.packet(); err != nil {
		t.Fatal(err)
	}
	r.upstream(ack(7, 1))
	if got := <-heard; got != "b 7 1" {
		t.Errorf("heard %q", got)
	}
	for seq := range uint64(300) {
		r.upstream(ack(8, seq))
		if got := <-heard; got != fmt.Sprint("b 8 ", seq) {
			t.Fatalf("heard %q", got)
		}
	}
	list := s.engine.Source().Replicas()
	if len(list) != 1 || list[0].Name != "b" || list[0].Epoch != 7 || list[0].AckedEpoch != 8 || list[0].AckedSeq != 299 || list[0].AckedAt.IsZero() {
		t.Errorf("replicas are %+v", list)
	}
	// The same replica on another connection: the first one ends and hears why.
	again := s.raw("SET @stack_replica = 'b', @stack_epoch = 8, @replica_uuid = '11111111-2222-3333-4444-555555555555'")
	again.dumpAt(0, 5, 4, "")
	if _, err := r.until(); code(err) != 1236 || !strings.Contains(err.Error(), "same server_uuid") {
		t.Errorf("the first reader hears %v", err)
	}
	other := s.raw()
	other.dumpAt(0, 6, 4, "")
	_, err := other.packet()
	s.check(err)
	other.upstream(ack(9, 9))
	waitFor(t, "the other reader reads", func() bool { return len(s.engine.Source().Replicas()) == 2 })
	for _, bad := range [][]byte{{0xef, 1}, {mysql.COM_PING}, make([]byte, 2000)} {
		x := s.raw()
		x.dumpAt(0, 9, 4, "")
		x.upstream(bad)
		if _, err := x.until(); err == nil || code(err) != 0 {
			t.Errorf("% x ends with %v, not with the connection", bad[:1], err)
		}
	}
	again.upstream([]byte{mysql.COM_QUIT})
	other.Conn.Close()
	waitFor(t, "the readers have gone", func() bool { return len(s.engine.Source().Replicas()) == 0 })
	if len(heard) != 0 {
		t.Errorf("heard %q of a reader that is no replica of ours", <-heard)
	}
	if n := s.front.Stats().Commands["binlog_dump"]; n < 6 {
		t.Errorf("%d dumps are counted", n)
	}
}

// A replica that asks is told first, and after each change, what its clients may see; others are not.
func TestReadersAreToldWhatMayBeSeen(t *testing.T) {
	s := newServer(t, binlog.Options{})
	var shown atomic.Uint64
	shown.Store(3)
	s.engine.Source().SetShown(shown.Load)
	r := s.raw("SET @stack_shown = 1")
	r.dumpAt(0, 5, 4, "")
	told := func() uint64 {
		t.Helper()
		for {
			p, err := r.packet()
			if err != nil {
				t.Fatal(err)
			}
			ev := p[1:]
			if event.Type(ev[4]) != event.TypeShown {
				continue
			}
			n, err := event.ParseShown(ev)
			s.check(err)
			if h, err := event.ParseHeader(ev); err != nil || !h.Ignorable() || h.End != 0 {
				t.Fatalf("header %+v, %v", h, err)
			}
			return n
		}
	}
	if n := told(); n != 3 {
		t.Errorf("told %d", n)
	}
	for n := range uint64(300) {
		shown.Store(n + 4)
		s.txn.Binlog().Poke()
		if got := told(); got != n+4 {
			t.Fatalf("told %d, it is %d", got, n+4)
		}
	}
	shown.Store(1)
	s.must("CREATE TABLE test.t (id INT PRIMARY KEY)") // the log wakes readers too
	if n := told(); n != 1 {
		t.Errorf("told %d", n)
	}
	other := s.raw()
	other.dumpAt(nonBlock, 6, 4, "")
	events, err := other.until()
	s.check(err)
	for _, ev := range events {
		if event.Type(ev[4]) == event.TypeShown {
			t.Error("a reader that has not asked is told")
		}
	}
}

// KILL, also of the query, ends the connection of a dump without a word; a shutdown lets the
// reader have what the last clients have committed.
func TestEndsOfADump(t *testing.T) {
	s := newServer(t, binlog.Options{})
	for _, kill := range []string{"KILL QUERY", "KILL"} {
		r := s.raw("SET @master_binlog_checksum = 'CRC32'")
		r.dumpAt(0, 5, 4, "")
		_, err := r.packet()
		s.check(err)
		s.must(fmt.Sprintf("%s %d", kill, r.GetConnectionID()))
		if _, err := r.until(); err == nil || code(err) != 0 {
			t.Errorf("%s: the dump ends with %v, not with the connection", kill, err)
		}
	}
	waitFor(t, "the readers have gone", func() bool { return len(s.engine.Source().Replicas()) == 0 })

	r := s.raw("SET @master_binlog_checksum = 'CRC32'")
	r.dumpAt(0, 5, 4, "")
	waitFor(t, "the dump has begun", func() bool { return len(s.engine.Source().Replicas()) == 1 })
	conn, err := s.db.Conn(t.Context())
	s.check(err)
	_, err = conn.ExecContext(t.Context(), "CREATE TABLE test.t (id INT PRIMARY KEY)")
	s.check(err)
	_, err = conn.ExecContext(t.Context(), "BEGIN")
	s.check(err)
	_, err = conn.ExecContext(t.Context(), "INSERT INTO test.t VALUES (1)")
	s.check(err)
	drained := make(chan error, 1)
	go func() { drained <- s.front.Drain(t.Context()) }()
	waitFor(t, "the server no longer accepts", func() bool { return s.db.Stats().OpenConnections <= 1 })
	time.Sleep(20 * time.Millisecond) // nothing may end here: there is no event to wait for
	if len(s.engine.Source().Replicas()) != 1 {
		t.Error("the dump ended before the last transaction")
	}
	_, err = conn.ExecContext(t.Context(), "COMMIT")
	s.check(err)
	conn.Close()
	s.db.Close()
	events, err := r.until()
	if err == nil || code(err) != 0 {
		t.Errorf("the dump ends with %v, not with the connection", err)
	}
	s.check(<-drained)
	all := s.logged(binlog.Position{File: 1})
	if last := events[len(events)-1]; !bytes.Equal(last, all[len(all)-1].Bytes) {
		t.Errorf("the last event is a %s, not that of the last transaction", event.Type(last[4]))
	}
}

// A reader that takes nothing is cut off after net_write_timeout; the log does not wait
// for it, and little of what it has not read was sent.
func TestReaderThatDoesNotRead(t *testing.T) {
	s := newServer(t, binlog.Options{})
	s.must("CREATE TABLE test.big (id INT PRIMARY KEY AUTO_INCREMENT, b LONGBLOB)")
	r := s.raw("SET net_write_timeout = 1")
	r.dumpAt(0, 5, 4, "")
	waitFor(t, "the dump has begun", func() bool { return len(s.engine.Source().Replicas()) == 1 })
	for range 30 {
		s.must("INSERT INTO test.big (b) VALUES (REPEAT('x', 1000000))")
	}
	waitFor(t, "the reader is cut off", func() bool { return len(s.engine.Source().Replicas()) == 0 })
	if got := s.engine.Source().Totals(); got.Dumps != 1 || got.Bytes > 25<<20 {
		t.Errorf("totals are %+v", got)
	}
}

// Events larger than a packet come whole, from memory, the store and files.
func TestLargeEvents(t *testing.T) {
	s := newServer(t, binlog.Options{})
	r := s.raw()
	r.dumpAt(0, 5, 4, "")
	s.must("CREATE TABLE test.big (id INT PRIMARY KEY AUTO_INCREMENT, b LONGBLOB)")
	for _, n := range []int{100, 65_000, 70_000, 16<<20 - 100, 17 << 20, 40 << 20} {
		s.must(fmt.Sprintf("INSERT INTO test.big (b) VALUES (REPEAT('x', %d))", n))
	}
	s.must("FLUSH LOGS")
	all := s.logged(binlog.Position{File: 1})
	for round := range 2 {
		for at := 0; at < len(all); {
			p, err := r.packet()
			s.check(err)
			if bytes.Equal(p[1:], bare(all[at])) {
				at++
			} else if p[1+17] != 0x20 {
				t.Fatalf("round %d: a %s of %d bytes is not what the log has at %s", round, event.Type(p[5]), len(p), all[at].Position)
			}
		}
		r = s.raw()
		r.dumpAt(nonBlock, 5, 4, "")
	}
}

// A replica that comes back has commits that wait for acknowledgements here, and are not seen yet. They are in
// the log: it is let on.
func TestReplicaAheadOfWhatIsSeen(t *testing.T) {
	s := newServer(t, binlog.Options{})
	s.must("CREATE TABLE test.t (id INT PRIMARY KEY)")
	s.check(s.txn.SetAckPolicy(txn.AckPolicy{Need: 1, Members: []string{"db2"}, Timeout: time.Hour, Strict: true}))
	seen := s.txn.Executed().Seq
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = s.db.Exec("INSERT INTO test.t VALUES (1)") // dropped at the end
	}()
	waitFor(t, "the commit is in the log", func() bool { return s.txn.AckStatus().Logged > seen })
	have, err := event.ParseGTIDs(fmt.Sprintf("%s:1-%d", s.store.Server, seen+1))
	s.check(err)
	more, err := event.ParseGTIDs(fmt.Sprintf("%s:1-%d", s.store.Server, seen+2))
	s.check(err)
	if _, err := s.engine.Source().Open(t.Context(), dump.Request{ByGTID: true, Executed: more}); err == nil {
		t.Error("a replica that has what was never made here is let on")
	}
	st, err := s.engine.Source().Open(t.Context(), dump.Request{ByGTID: true, Executed: have})
	if err != nil {
		t.Errorf("a replica that has what waits here: %v", err)
	} else {
		st.Close()
	}
	s.txn.DropUnacknowledged()
	<-done
}
