package replica

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"stack/roles/db/binlog/event"
)

// artificial is an event that a source makes up: the name of the file that comes first.
func artificial(file string) []byte { return event.AppendRotate(nil, 1, 0, file) }

func mysqlLog() [][]byte {
	text := func(s string) []byte { return event.AppendQuery(nil, 1, &event.Query{Text: s, Begun: time.Unix(5, 0)}) }
	return [][]byte{
		artificial("binlog.000007"), event.AppendFormatDescription(nil, 1, 1, 1, "8.0.40"),
		event.AppendGTID(nil, 1, 1, &event.GTID{Number: 6, Committed: 7_000_000}), text("BEGIN"), text("SAVEPOINT a"), event.AppendXID(nil, 1, 1, 6),
		event.AppendGTID(nil, 1, 1, &event.GTID{Number: 7}), text("CREATE TABLE t (a INT)"),
		event.AppendGTID(nil, 1, 1, &event.GTID{Number: 8}), text("CREATE TABLE t (a INT) START TRANSACTION"), event.AppendXID(nil, 1, 1, 8),
		event.AppendRotate(nil, 1, 1, "binlog.000008"),
		event.AppendAnonymousGTID(nil, 1, 1, &event.GTID{Number: 1}), text("BEGIN"), text("COMMIT"),
	}
}

// mariaGTID is MariaDB's GTID event.
func mariaGTID(server, domain uint32, sequence uint64, flags byte) []byte {
	ev := event.AppendXID(nil, server, 9, sequence)
	ev[4] = byte(event.TypeMariaGTID)
	ev = binary.LittleEndian.AppendUint32(ev, domain)
	ev = append(ev, flags, 0, 0, 0, 0, 0, 0)
	binary.LittleEndian.PutUint32(ev[9:], uint32(len(ev)+event.ChecksumSize))
	return ev
}

// tableMap is an event that stands for rows: the receiver does not look into them.
func tableMap(n int) []byte {
	ev := event.AppendXID(nil, 7, 9, 1)
	ev[4] = byte(event.TypeTableMap)
	ev = append(ev, make([]byte, n)...)
	binary.LittleEndian.PutUint32(ev[9:], uint32(len(ev)+event.ChecksumSize))
	return ev
}

func mariaLog() [][]byte {
	text := func(s string) []byte { return event.AppendQuery(nil, 7, &event.Query{Text: s, Begun: time.Unix(9, 0)}) }
	return [][]byte{
		artificial("source.000001"), event.AppendFormatDescription(nil, 7, 1, 1, "10.11.6-MariaDB-log"),
		mariaGTID(7, 0, 1, 1), text("CREATE TABLE t (a INT)"),
		mariaGTID(7, 0, 2, 0), tableMap(10), event.AppendXID(nil, 7, 9, 5),
		mariaGTID(8, 1, 1, 0), text("CREATE TABLE u (a INT)"), tableMap(10), event.AppendXID(nil, 7, 9, 5),
		mariaGTID(8, 1, 2, 0), text("CREATE OR REPLACE TEMPORARY TABLE u (a INT)"), tableMap(10), event.AppendXID(nil, 7, 9, 5),
		mariaGTID(7, 0, 3, 1), text("CREATE TABLE v (a INT) -- start transaction"),
		mariaGTID(7, 0, 4, 0), tableMap(10), text("COMMIT"),
	}
}

// packets are the events of a log as a source sends them.
func packets(log [][]byte, sums bool) (b []byte) {
	for i, ev := range log {
		ev = event.Finish(nil, ev, uint32(100*(i+1)))
		if !sums {
			if event.Type(ev[4]) == event.TypeFormatDescription {
				ev[len(ev)-event.ChecksumSize-1] = 0
				ev = event.Finish(nil, ev[:len(ev)-event.ChecksumSize], 100)
			} else {
				ev = ev[:len(ev)-event.ChecksumSize]
				binary.LittleEndian.PutUint32(ev[9:], uint32(len(ev)))
			}
		}
		b = append(b, packet(append([]byte{0}, ev...)...)...)
	}
	return b
}

// received is what the queue gets of a log, a line an event, and the error at its end.
func received(t *testing.T, log [][]byte, maria bool, sums bool) (list []string, at Position, err error) {
	t.Helper()
	b := packets(log, sums)
	v := newReceiver(b, maria)
	go feed(v)
	src := &source{q: v.q}
	for {
		ev, err := src.Next(context.Background())
		if err != nil {
			return list, at, err
		}
		h, e := event.ParseHeader(ev)
		if e != nil {
			t.Fatal(e)
		}
		line := h.Type.String()
		switch h.Type {
		case event.TypeQuery:
			q, e := event.ParseQuery(ev)
			if e != nil {
				t.Fatal(e)
			}
			line += " " + q.Text
		case event.TypeGTID, event.TypeAnonymousGTID:
			g, e := event.ParseGTID(ev)
			if e != nil {
				t.Fatal(e)
			}
			if line += fmt.Sprintf(" %d %s", g.Number, src.cur.name); g.Size == 0 {
				line += " large"
			}
		}
		list = append(list, line)
		if src.cur.last {
			at = src.cur.at
		}
	}
}

func TestReceiver(t *testing.T) {
	zero := "00000000-0000-0000-0000-000000000000"
	for _, sums := range []bool{true, false} {
		list, at, err := received(t, mysqlLog(), false, sums)
		want := []string{
			"Gtid 6 " + zero + ":6", "Query BEGIN", "Query SAVEPOINT a", "Xid",
			"Gtid 7 " + zero + ":7", "Query CREATE TABLE t (a INT)",
			"Gtid 8 " + zero + ":8", "Query CREATE TABLE t (a INT) START TRANSACTION", "Xid",
			"Anonymous_Gtid 0 before binlog.000008:1300", "Query BEGIN", "Query COMMIT",
		}
		if strings.Join(list, "\n") != strings.Join(want, "\n") || at.File != "binlog.000008" || at.Offset != 1500 {
			t.Errorf("checksums %v: %s at %+v", sums, strings.Join(list, "\n"), at)
		}
		var link *linkError
		if !errors.As(err, &link) {
			t.Errorf("the end of the connection is %v", err)
		}
		list, at, _ = received(t, mariaLog(), true, sums)
		want = []string{
			"Anonymous_Gtid 0 0-7-1", "Query CREATE TABLE t (a INT)",
			"Anonymous_Gtid 0 0-7-2", "Query BEGIN", "Table_map", "Xid",
			"Anonymous_Gtid 0 1-8-1", "Query CREATE TABLE u (a INT) START TRANSACTION", "Table_map", "Xid",
			"Anonymous_Gtid 0 1-8-2", "Query CREATE OR REPLACE TEMPORARY TABLE u (a INT) START TRANSACTION", "Table_map", "Xid",
			"Anonymous_Gtid 0 0-7-3", "Query CREATE TABLE v (a INT) --" + strings.Repeat(" ", len(" start transaction")),
			"Anonymous_Gtid 0 0-7-4", "Query BEGIN", "Table_map", "Query COMMIT",
		}
		if strings.Join(list, "\n") != strings.Join(want, "\n") || at.Maria.String() != "0-7-4,1-8-2" || at.File != "source.000001" {
			t.Errorf("checksums %v: %s at %+v", sums, strings.Join(list, "\n"), at)
		}
	}
}

// A routine whose text ends like a CREATE TABLE with rows is a transaction of its own.
func TestReceiverOfRoutine(t *testing.T) {
	log := [][]byte{artificial("binlog.000007"), event.AppendFormatDescription(nil, 1, 1, 1, "8.0.40"),
		event.AppendGTID(nil, 1, 1, &event.GTID{Number: 6}), event.AppendQuery(nil, 1, &event.Query{Text: "CREATE PROCEDURE p() START TRANSACTION"}),
		event.AppendGTID(nil, 1, 1, &event.GTID{Number: 7}), event.AppendQuery(nil, 1, &event.Query{Text: "BEGIN"}), event.AppendXID(nil, 1, 1, 7)}
	zero := "00000000-0000-0000-0000-000000000000"
	want := []string{"Gtid 6 " + zero + ":6", "Query CREATE PROCEDURE p() START TRANSACTION", "Gtid 7 " + zero + ":7", "Query BEGIN", "Xid"}
	if list, _, _ := received(t, log, false, true); !slices.Equal(list, want) {
		t.Errorf("%q", list)
	}
}

// A transaction does not begin within another: their events are not mixed, and the connection ends.
func TestReceiverWithinTransaction(t *testing.T) {
	begin := event.AppendQuery(nil, 1, &event.Query{Text: "BEGIN"})
	for _, c := range []struct {
		maria  bool
		events [][]byte
		want   string
	}{
		{false, [][]byte{event.AppendGTID(nil, 1, 1, &event.GTID{Number: 6}), begin, event.AppendGTID(nil, 1, 1, &event.GTID{Number: 7}), begin, event.AppendXID(nil, 1, 1, 7)}, ":6 does not end before 00000000-0000-0000-0000-000000000000:7 begins"},
		{true, [][]byte{mariaGTID(7, 0, 2, 0), tableMap(10), mariaGTID(7, 0, 3, 0), tableMap(10), event.AppendXID(nil, 7, 9, 5)}, "0-7-2 does not end before 0-7-3 begins"},
	} {
		log := append([][]byte{artificial("source.000001"), event.AppendFormatDescription(nil, 7, 1, 1, "x")}, c.events...)
		list, _, err := received(t, log, c.maria, true)
		var link *linkError
		if len(list) > 0 || !errors.As(err, &link) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q and %v, and not %s", list, err, c.want)
		}
	}
}

// A transaction that is long is handed on before its end, and its size is not told.
func TestReceiverOfLargeTransaction(t *testing.T) {
	log := [][]byte{artificial("source.000001"), event.AppendFormatDescription(nil, 7, 1, 1, "10.11.6-MariaDB-log"), mariaGTID(7, 0, 2, 0)}
	for range 40 {
		log = append(log, tableMap(100_000))
	}
	log = append(log, event.AppendXID(nil, 7, 9, 5))
	list, at, _ := received(t, log, true, true)
	if len(list) != 43 || list[0] != "Anonymous_Gtid 0 0-7-2 large" || list[1] != "Query BEGIN" || list[42] != "Xid" || at.Maria.String() != "0-7-2" {
		t.Errorf("%d events, %q, at %+v", len(list), list[:min(3, len(list))], at)
	}
}

func TestReceiverRefuses(t *testing.T) {
	text := func(s string) []byte { return event.AppendQuery(nil, 7, &event.Query{Text: s, Begun: time.Unix(9, 0)}) }
	kind := func(t byte) []byte {
		ev := tableMap(30)
		ev[4] = t
		return ev
	}
	unknown := text("CREATE TABLE t (a INT)")
	unknown[event.HeaderSize+13] = 250 // the code of its first status variable
	for _, c := range []struct {
		events [][]byte
		want   string
	}{
		{[][]byte{mariaGTID(7, 0, 2, 1), text("CREATE SEQUENCE s")}, "transaction 0-7-2 has a SEQUENCE"},
		{[][]byte{mariaGTID(7, 0, 2, 1), text("create or replace sequence s")}, "a SEQUENCE"},
		{[][]byte{mariaGTID(7, 0, 2, 64), text("XA START 'a'")}, "an XA transaction"},
		{[][]byte{mariaGTID(7, 0, 2, 0), kind(166)}, "log_bin_compress"},
		{[][]byte{mariaGTID(7, 0, 2, 0), kind(5)}, "binlog_format = ROW"},
		{[][]byte{mariaGTID(7, 0, 2, 0), kind(40)}, "binlog_transaction_compression"},
		{[][]byte{mariaGTID(7, 0, 2, 0), text("UPDATE t SET a = 2")}, "binlog_format = ROW"},
		{[][]byte{mariaGTID(7, 0, 2, 0), text(" insert into t SELECT 1")}, "binlog_format = ROW"},
		{[][]byte{mariaGTID(7, 0, 2, 1), unknown}, "status variable of code 250"},
	} {
		log := append([][]byte{artificial("source.000001"), event.AppendFormatDescription(nil, 7, 1, 1, "x")}, c.events...)
		_, _, err := received(t, log, true, true)
		var refused *refusedError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, and not %s", err, c.want)
		}
	}
	damaged := event.Finish(nil, mariaGTID(7, 0, 2, 0), 5)
	damaged[20] ^= 1
	v := newReceiver(append(packet(append([]byte{0}, event.Finish(nil, event.AppendFormatDescription(nil, 7, 1, 1, "x"), 5)...)...), packet(append([]byte{0}, damaged...)...)...), true)
	feed(v)
	if _, err := v.q.pop(context.Background()); !errors.Is(err, event.ErrCorrupt) {
		t.Errorf("a damaged event: %v", err)
	}
}

// What is received and not taken is bounded.
func TestQueueIsBounded(t *testing.T) {
	q := newQueue()
	pushed := make(chan int, 1)
	go func() {
		n := 0
		for q.push(&chunk{buf: make([]byte, 1<<20), last: true}, false) == nil {
			n++
		}
		pushed <- n
	}()
	for !q.waiting().full {
		time.Sleep(time.Millisecond)
	}
	if w := q.waiting(); w.transactions != queueBytes>>20 {
		t.Errorf("%d MiB are received and not taken", w.transactions)
	}
	if _, err := q.pop(context.Background()); err != nil {
		t.Fatal(err)
	}
	q.close()
	if n := <-pushed; n > queueBytes>>20+1 {
		t.Errorf("%d chunks were taken", n)
	}
}

func TestDomains(t *testing.T) {
	d, err := ParseDomains("0-1-100, 2-3-18446744073709551615")
	if err != nil || d.String() != "0-1-100,2-3-18446744073709551615" {
		t.Fatalf("%v %v", d, err)
	}
	for _, bad := range []string{"0-1", "a-1-2", "0-1-2-3", ",", "4294967296-1-1"} {
		if d, err := ParseDomains(bad); err == nil {
			t.Errorf("%q is %v", bad, d)
		}
	}
	other, _ := ParseDomains("0-2-105,1-1-3")
	if n, known := d.Behind(other, true), d.Behind(other, false); n != 8 || known != 5 {
		t.Errorf("%d and %d behind", n, known)
	}
}

// A transaction that fails after it was noted is not what is acknowledged when those before it are durable.
func TestFailedTransactionIsNotAcknowledged(t *testing.T) {
	var waits ends
	for n := range 3 {
		waits = append(waits, end{id: event.ID{Number: int64(n + 1)}, at: Position{Offset: uint64(n)}})
	}
	if got := waits.durable(2); got.id.Number != 2 || got.at.Offset != 1 {
		t.Errorf("acknowledged %+v, want number 2", got)
	}
	if len(waits) != 0 {
		t.Errorf("%d ends are left", len(waits))
	}
}

// Transactions that have come together are waited for, so that one write takes them; nothing is
// waited for once the receiver waits for the source.
func TestWhatHasComeIsSoonThere(t *testing.T) {
	ctx := context.Background()
	for _, end := range []struct {
		what  string
		do    func(q *queue)
		there bool
	}{
		{"another transaction", func(q *queue) { q.push(&chunk{last: true}, false) }, true},
		{"the source is silent", func(q *queue) { q.silent() }, false},
		{"the connection ends", func(q *queue) { q.fail(errClosed) }, false},
		{"nobody takes any more", func(q *queue) { q.close() }, false},
	} {
		q := newQueue()
		q.push(&chunk{last: true}, true)
		if !q.soon() {
			t.Errorf("%s: the first transaction is not there", end.what)
		}
		if _, err := q.pop(ctx); err != nil {
			t.Fatal(err)
		}
		soon := make(chan bool)
		go func() { soon <- q.soon() }()
		end.do(q)
		if there := <-soon; there != end.there {
			t.Errorf("%s: a transaction is there: %v", end.what, there)
		}
		if q.close(); q.soon() != end.there {
			t.Errorf("%s: afterwards it is another answer", end.what)
		}
	}
}

// The receiver says more where the next packet has come whole, and takes it back before it waits.
func TestReceiverTellsOfMore(t *testing.T) {
	ours, theirs := net.Pipe()
	defer ours.Close()
	defer theirs.Close()
	c := newConn(ours)
	go theirs.Write([]byte{1, 0, 0, 0, 7, 2, 0, 0, 1, 8, 9, 5, 0, 0, 2, 1})
	var have []bool
	for range 2 {
		if _, err := c.read(nil); err != nil {
			t.Fatal(err)
		}
		have = append(have, c.buffered())
	}
	if !have[0] || have[1] {
		t.Errorf("behind the first packet %v, behind the second, of which half has come, %v", have[0], have[1])
	}
}
