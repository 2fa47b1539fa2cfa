package replica

import (
	"context"
	"errors"
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

// What the receiver gives to a spool is acknowledged once it is whole and durable, before anybody applies it; what has no end when the
// connection ends is neither there nor acknowledged.
func TestSpool(t *testing.T) {
	log := openRelay(t, vfs.NewMem())
	q := newSpool(log, false)
	defer q.close()
	var acked []int64
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
	drains := newSpool(log, true)
	defer drains.close()
	if _, err := drains.pop(t.Context()); !errors.Is(err, errDrained) {
		t.Errorf("at the end of what drains: %v", err)
	}
}
