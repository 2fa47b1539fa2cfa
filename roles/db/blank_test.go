package db

import (
	"fmt"
	"log/slog"
	"net/netip"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"stack/appliance/config"
	"stack/roles/db/group"
	"stack/roles/db/store"
)

// A server that began empty says so until it has what the primary had when it was asked first, in that epoch; over restarts too.
func TestAServerThatBeganEmpty(t *testing.T) {
	node := testNode(t)
	node.Members = []config.Member{{Name: "db1", Roles: []string{"db"}}, {Name: "db2", Roles: []string{"db"}, DB: netip.MustParseAddrPort("127.0.0.1:1")}}
	d := openTest(t, node)
	if err := d.engine.Do(t.Context(), "CREATE DATABASE something"); err != nil {
		t.Fatal(err)
	}
	var m *member
	again := func() {
		t.Helper()
		var err error
		if m, err = newMember(node, d, slog.New(slog.DiscardHandler), ""); err != nil {
			t.Fatal(err)
		}
		m.opened, m.demoted = func() {}, func() {}
	}
	check := func(when string, want bool) {
		t.Helper()
		if s, err := m.State(t.Context()); err != nil || s.Blank != want {
			t.Errorf("%s: %+v, %v, want blank %v", when, s, err, want)
		}
	}
	accept := func(epoch uint64, primary string) {
		t.Helper()
		if _, err := m.Accept(t.Context(), epoch, primary); err != nil {
			t.Fatal(err)
		}
	}
	tell := func(epoch uint64, executed string) {
		t.Helper()
		if err := m.filled(&group.State{Name: "db2", Epoch: epoch, Primary: "db2", Open: true, Executed: executed}); err != nil {
			t.Fatal(err)
		}
	}
	const more = "11111111-2222-3333-4444-555555555555:1-9"
	own := d.db.ExecutedSet()
	later := fmt.Sprintf("%s:%d", d.store.Server, d.db.Executed().Seq+1) // the next statement here
	again()
	check("before anything was heard", true)
	accept(0, "db2")
	check("with a primary of the first epoch", true)
	accept(64, "")
	check("in an epoch without a primary", true)
	again()
	check("after a start", true)
	accept(64, "db2")
	check("with a primary", true)
	tell(64, more)
	tell(64, own)
	check("without what the primary had when it was asked first", true)
	again()
	tell(64, own)
	check("without it, after a start", true)
	accept(129, "db2")
	check("with another primary", true)
	tell(129, later)
	check("without what that one had", true)
	again()
	if err := d.db.OpenForWrites(129); err != nil {
		t.Fatal(err)
	}
	if err := d.engine.Do(t.Context(), "CREATE DATABASE later"); err != nil {
		t.Fatal(err)
	}
	check("as soon as it has that", false)
	accept(193, "")
	check("in an epoch after that", false)
	accept(193, "db2")
	check("with its primary", false)
	again()
	check("after another start", false)
	m.seeder.need("db2", "the data is another")
	check("to be replaced by a copy", true)

	// What was written before this was told.
	if err := d.store.DB.Set(store.MetaTermKey(), []byte(`{"epoch":193,"primary":"db2"}`), pebble.Sync); err != nil {
		t.Fatal(err)
	}
	again()
	check("after an upgrade", false)
	accept(257, "")
	check("in the epoch after", false)
}
