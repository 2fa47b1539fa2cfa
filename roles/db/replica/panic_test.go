package replica

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"stack/roles/db/binlog"
	"stack/roles/db/binlog/event"
	"stack/roles/db/store"
	"stack/roles/db/txn"
)

// panics are Statements that none can run.
type panics struct{}

func (panics) Replay(context.Context, *event.Query, binlog.Origin, func(context.Context, *txn.Txn) error) error {
	panic("index out of range")
}

// A panic of who applies or receives is an error that is not tried again, and names the transaction where there is one.
func TestPanicEndsFollowing(t *testing.T) {
	st, err := store.Open(store.Options{Dir: "data", FS: vfs.NewMem(), Reserve: 1})
	if err != nil {
		t.Fatal(err)
	}
	e, err := txn.Open(st, txn.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(e.Close(), st.Close()); err != nil {
			t.Error(err)
		}
	}()
	r := &Replica{opts: Options{Store: st, DB: e, Statements: panics{}, Log: slog.New(slog.DiscardHandler)}}
	v := newReceiver(packets(mariaLog(), true), true)
	go feed(v)
	applying := r.applyAll(context.Background(), v.q, 0, func(end) {})
	v = newReceiver(packets(mariaLog(), true), true)
	v.clock = func() { panic("index out of range") }
	for i, err := range []error{applying, r.receiveAll(v)} {
		want := []side{sqlSide, ioSide}[i]
		if err == nil || !strings.Contains(err.Error(), "internal error: index out of range") {
			t.Fatalf("%v", err)
		}
		if f, again := r.judge(err); f != want || again {
			t.Errorf("%v is of side %v, tried again: %v", err, f, again)
		}
	}
	if !strings.Contains(applying.Error(), "0-7-1") {
		t.Errorf("%v does not name the transaction", applying)
	}
}
