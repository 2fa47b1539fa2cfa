package replica

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"stack/roles/db/binlog/event"
	"stack/roles/db/relay"
	"stack/roles/db/store"
)

func openRelay(t *testing.T, fs vfs.FS) *relay.Log {
	t.Helper()
	st, err := store.Open(store.Options{Dir: "data", FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	log, err := relay.Open(st, func(event.ID) bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(log.Close(), st.Close()); err != nil {
			t.Error(err)
		}
	})
	return log
}

// fill receives the transactions 6 to 9 and a part of the tenth, up to the end of the connection, and returns what was acknowledged.
func fill(t *testing.T, q *spool) (acked []int64) {
	t.Helper()
	q.synced = func(id event.ID) { acked = append(acked, id.Number) }
	open := append(mysqlLog(), event.AppendGTID(nil, 1, 1, &event.GTID{Number: 11}), event.AppendQuery(nil, 1, &event.Query{Text: "BEGIN", Begun: time.Unix(5, 0)}))
	var named [][]byte // no server of this kind leaves out a GTID
	for _, ev := range open {
		if event.Type(ev[4]) == event.TypeAnonymousGTID {
			ev = event.AppendGTID(nil, 1, 1, &event.GTID{Number: 9})
		}
		named = append(named, ev)
	}
	v := newReceiver(packets(named, true), false)
	v.q = q
	var link *linkError
	if err := v.run(); !errors.As(err, &link) {
		t.Fatalf("the end of the connection is %v", err)
	}
	q.ended()
	return acked
}

// What the receiver gives to a spool is acknowledged once it is whole and durable, before anybody applies it; what has no end when the
// connection ends is neither there nor acknowledged.
func TestSpool(t *testing.T) {
	log := openRelay(t, vfs.NewMem())
	q := newSpool(log, bound{}, false)
	defer q.close()
	acked := fill(t, q)
	if len(acked) == 0 || acked[len(acked)-1] > 9 {
		t.Errorf("acknowledged: %v", acked)
	}
	const set = "00000000-0000-0000-0000-000000000000:6-9"
	if log.Set() != set || log.Pending() != 4 || q.waiting().transactions != 4 {
		t.Errorf("%s are there, %d pending", log.Set(), log.Pending())
	}
	ctx, cancel := context.WithCancel(t.Context())
	src := &source{q: q}
	whole := 0
	for src.ready() {
		ev, err := src.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if h, err := event.ParseHeader(ev); err != nil || (h.Type == event.TypeGTID) != (src.cur.read == 1) {
			t.Fatalf("event %d of a transaction is of type %v, %v", src.cur.read, h.Type, err)
		}
		if src.cur.read == len(src.cur.head) && src.cur.last {
			whole++
		}
	}
	if q.applied(); whole != 4 || log.Pending() != 0 {
		t.Errorf("%d transactions, %d pending", whole, log.Pending())
	}
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := src.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("behind the end, until it is stopped: %v", err)
	}
	drains := newSpool(log, bound{}, true)
	defer drains.close()
	if _, err := drains.pop(t.Context()); !errors.Is(err, errDrained) {
		t.Errorf("at the end of what drains: %v", err)
	}
}

// What the source has not told to be on enough servers is acknowledged and not applied: also after a stop, and where another source is
// followed then, until that one tells. Who is to be the primary applies it.
func TestSpoolHoldsWhatMayNotBeSeen(t *testing.T) {
	log := openRelay(t, vfs.NewMem())
	held := bound{held: true}
	q := newSpool(log, held, false)
	defer func() { q.close() }()
	if acked := fill(t, q); len(acked) == 0 || acked[len(acked)-1] != 9 {
		t.Fatalf("acknowledged: %v", acked)
	}
	expect := func(what string, want ...int64) {
		t.Helper()
		var got []int64
		for q.soon() {
			c, err := q.pop(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, c.id.Number)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v may be applied, want %v", what, got, want)
		}
	}
	expect("no source has told")
	if q.mayShow() {
		t.Error("nobody has told anything")
	}
	q.from([16]byte{}, true, 0)
	expect("the source has not told")
	if q.mayShow() || q.waiting().transactions != 0 {
		t.Error("what may not be seen counts as lag")
	}
	q.show(8)
	if !q.mayShow() {
		t.Error("the source has told")
	}
	expect("up to 7", 6, 7)
	q.pass(Position{File: "x", Offset: 9})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if at, ok := q.idle(ctx, time.Now()); ok {
		t.Errorf("the position %v counts as reached, before which there is something", at)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := q.pop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("until it is told: %v", err)
	}
	q.show(0) // it has stopped to be the primary
	expect("less than before")
	q.finish()
	if _, err := q.pop(t.Context()); !errors.Is(err, errDrained) {
		t.Errorf("at a stop: %v", err)
	}
	if q.applied(); log.Pending() != 2 {
		t.Errorf("%d are pending", log.Pending())
	}
	held = q.bound
	q.close()
	q = newSpool(log, held, false)
	expect("after the stop")
	if q.mayShow() {
		t.Error("nobody has told anything since the stop")
	}
	q.show(9)
	expect("one more", 8)
	q.from([16]byte{1}, true, 0)
	expect("another source")
	q.show(1) // of its own, and of what it had before
	expect("another source has told", 9)
	q.applied()

	fill(t, q) // 6 to 9 once more
	q.close()
	q = newSpool(log, bound{}, true)
	expect("at the primary to be", 6, 7, 8, 9)
	q.applied()

	fill(t, q)
	q.close()
	q = newSpool(log, bound{held: true}, false)
	q.from([16]byte{}, false, 0)
	expect("a source that does not tell", 6, 7, 8, 9)
}
