package replica

import (
	"context"
	"errors"
	"testing"
	"time"

	"stack/roles/db/binlog/event"
)

// heartbeat is a source's sign of life. packets counts positions up by 100 an event.
func heartbeat(file string) []byte { return event.AppendHeartbeat(nil, 1, file) }

// endOf is the position that a log has come to, and whether it is beyond the last transaction.
func endOf(t *testing.T, auto bool, log [][]byte) (at Position, passed bool) {
	t.Helper()
	v := newReceiver(packets(log, true), false)
	v.auto = auto
	feed(v)
	return v.q.(*queue).at, v.q.(*queue).passed
}

// A rotate and a heartbeat move the position where no transaction is open. The file that a source begins in when it
// is asked for transactions may be before what is here.
func TestPositionsWithoutTransactions(t *testing.T) {
	format := event.AppendFormatDescription(nil, 1, 1, 1, "8.0.40")
	text := func(s string) []byte { return event.AppendQuery(nil, 1, &event.Query{Text: s, Begun: time.Unix(5, 0)}) }
	gtid := event.AppendGTID(nil, 1, 1, &event.GTID{Number: 6})
	whole := [][]byte{artificial("a.1"), format, gtid, text("CREATE TABLE t (a INT)")}
	then := func(more ...[]byte) [][]byte { return append(whole[:len(whole):len(whole)], more...) }
	for _, c := range []struct {
		name   string
		auto   bool
		log    [][]byte
		file   string
		offset uint64
		passed bool
	}{
		{"the first file, by position", false, whole[:1], "a.1", 4, true},
		{"the first file, by GTID", true, whole[:1], "", 0, false},
		{"a transaction", false, whole, "a.1", 400, false},
		{"a rotate", false, then(artificial("a.2")), "a.2", 4, true},
		{"a rotate, by GTID", true, then(artificial("a.2")), "a.2", 4, true},
		{"two rotates", false, then(artificial("a.2"), format, artificial("a.3")), "a.3", 4, true},
		{"a transaction behind a rotate", false, then(artificial("a.2"), format, gtid, text("DROP TABLE t")), "a.2", 800, false},
		{"a heartbeat", false, then(heartbeat("a.1")), "a.1", 500, true},
		{"a heartbeat in another file", false, then(heartbeat("a.2")), "a.1", 400, false},
		{"a heartbeat inside a transaction", false, then(gtid, heartbeat("a.1")), "a.1", 400, false},
		{"a rotate inside a transaction", false, then(gtid, artificial("a.2")), "a.1", 400, false},
	} {
		at, passed := endOf(t, c.auto, c.log)
		if at.File != c.file || at.Offset != c.offset || passed != c.passed {
			t.Errorf("%s: %s:%d, beyond a transaction %v, want %s:%d, %v", c.name, at.File, at.Offset, passed, c.file, c.offset, c.passed)
		}
	}
}

// A position without a transaction comes when everything before it was taken, once, not before it is due, and at once
// where the connection has ended.
func TestQueueIsIdle(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	past, later := time.Time{}, time.Now().Add(time.Hour)
	q := newQueue()
	q.push(&chunk{last: true, at: Position{File: "a.1", Offset: 100}}, false)
	q.pass(Position{File: "a.2", Offset: 4})
	if at, ok := q.idle(ctx, past); ok {
		t.Fatalf("%+v before the transaction before it was taken", at)
	}
	if _, err := q.pop(ctx); err != nil {
		t.Fatal(err)
	}
	if at, ok := q.idle(ctx, past); !ok || at.File != "a.2" {
		t.Fatalf("%+v, %v", at, ok)
	}
	type answer struct {
		at Position
		ok bool
	}
	idle := func(due time.Time) chan answer {
		c := make(chan answer, 1)
		go func() {
			at, ok := q.idle(ctx, due)
			c <- answer{at, ok}
		}()
		return c
	}
	c := idle(past) // it was told once
	q.pass(Position{File: "a.3", Offset: 4})
	if a := <-c; !a.ok || a.at.File != "a.3" {
		t.Fatalf("%+v", a)
	}
	c = idle(later)
	q.pass(Position{File: "a.4", Offset: 4})
	q.push(&chunk{last: true, at: Position{File: "a.4", Offset: 100}}, false) // brings a position itself
	if a := <-c; a.ok {
		t.Fatalf("%+v before it is due", a)
	}
	if _, err := q.pop(ctx); err != nil {
		t.Fatal(err)
	}
	soon := time.Now().Add(50 * time.Millisecond)
	c = idle(soon)
	q.pass(Position{File: "a.5", Offset: 4})
	if a := <-c; !a.ok || a.at.File != "a.5" || time.Now().Before(soon) {
		t.Fatalf("%+v at %v, due at %v", a, time.Now(), soon)
	}
	q.pass(Position{File: "a.6", Offset: 4})
	c = idle(later)
	q.fail(errors.New("the connection has ended"))
	if a := <-c; !a.ok || a.at.File != "a.6" {
		t.Fatalf("%+v at the end of the connection", a)
	}
	if a := <-idle(later); a.ok {
		t.Fatalf("%+v again", a)
	}
	q = newQueue()
	c = idle(later)
	cancel()
	if a := <-c; a.ok {
		t.Fatalf("%+v, and nothing has come", a)
	}
}

// The position goes on while a large transaction comes.
func TestPositionInsideALargeTransaction(t *testing.T) {
	log := [][]byte{artificial("a.1"), event.AppendFormatDescription(nil, 1, 1, 1, "8.0.40"), event.AppendGTID(nil, 1, 1, &event.GTID{Number: 6}),
		event.AppendQuery(nil, 1, &event.Query{Text: "BEGIN", Begun: time.Unix(5, 0)})}
	for range 15 {
		log = append(log, tableMap(100_000))
	}
	if at, passed := endOf(t, false, log); at.File != "a.1" || at.Offset < 1000 || at.Offset > 1900 || passed {
		t.Errorf("%+v, beyond a transaction: %v", at, passed)
	}
}
