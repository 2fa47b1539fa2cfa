package db

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"stack/appliance/config"
	"stack/roles/db/backup"
	"stack/roles/db/group"
	"stack/roles/db/sql"
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

// A replica that was restored from a backup lacks what it has acknowledged since: it is not counted on until it has what the primary has.
func TestRestoredReplica(t *testing.T) {
	node := siteNode(t)
	d := openTest(t, node)
	if err := d.engine.Do(t.Context(), "CREATE DATABASE something"); err != nil {
		t.Fatal(err)
	}
	m := memberOf(t, node, d)
	if _, err := m.Accept(t.Context(), 64, "db2"); err != nil {
		t.Fatal(err)
	}
	primary := &group.State{Name: "db2", Epoch: 64, Primary: "db2", Open: true, Executed: d.db.ExecutedSet()}
	blank := func(when string, want bool) {
		t.Helper()
		if s, err := m.State(t.Context()); err != nil || s.Blank != want {
			t.Errorf("%s: %+v, %v, want blank %v", when, s, err, want)
		}
	}
	if err := m.filled(primary); err != nil {
		t.Fatal(err)
	}
	blank("with what the primary has", false)
	saved := filepath.Join(t.TempDir(), "saved")
	if _, err := backup.Take(t.Context(), d.store, nil, saved, sql.Version); err != nil {
		t.Fatal(err)
	}
	again := func(also func()) {
		t.Helper()
		if err := d.close(); err != nil {
			t.Fatal(err)
		}
		also()
		d = openTest(t, node)
		m = memberOf(t, node, d)
	}
	restore := func() {
		t.Helper()
		if err := os.RemoveAll(node.DB.DataDir); err != nil {
			t.Fatal(err)
		}
		if _, _, err := backup.Restore(t.Context(), nil, saved, node.DB.DataDir, store.Options{Version: sql.Version}, nil); err != nil {
			t.Fatal(err)
		}
	}
	again(restore)
	blank("restored", true)
	again(func() {})
	blank("restored, after another start", true)
	if err := m.filled(primary); err != nil {
		t.Fatal(err)
	}
	blank("restored, with what the primary has", false)
	again(func() {})
	blank("after that", false)
	again(func() { // a copy that the server has fetched from its primary has all
		restore()
		st, err := store.Open(store.Options{Dir: node.DB.DataDir, Version: sql.Version})
		if err != nil {
			t.Fatal(err)
		}
		if err := (promise{}).carry(st); err != nil {
			t.Fatal(err)
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
	})
	blank("replaced by a copy", false)
	if err := d.close(); err != nil {
		t.Fatal(err)
	}
}

// says is a server that says this of itself.
type says struct {
	group.Member
	state group.State
}

func (s says) State(context.Context) (group.State, error) { return s.state, nil }

// A server that the others know as the primary of a newer epoch than its disk does has another disk: it stays closed.
func TestPrimaryOfANewerEpochThanItsDisk(t *testing.T) {
	for _, before := range []string{"db1", "db2"} { // the primary of epoch 0
		node := siteNode(t)
		d := openTest(t, node)
		m := memberOf(t, node, d)
		if _, err := m.Accept(t.Context(), 0, before); err != nil {
			t.Fatal(err)
		}
		m.others = []group.Member{says{state: group.State{Name: "db2", Epoch: 64, Primary: "db1"}}}
		for range 2 {
			_, answered := m.learn(t.Context())
			if err := m.openWhereAllowed(t.Context(), answered, time.Hour); err == nil || !strings.Contains(err.Error(), "run stack db promote") {
				t.Errorf("its disk says %s: %v", before, err)
			}
		}
		if s, err := m.State(t.Context()); err != nil || s.Open || s.Epoch != 64 || s.Primary != "" {
			t.Errorf("its disk says %s: %+v, %v", before, s, err)
		}
		m = memberOf(t, node, d)
		if err := m.openWhereAllowed(t.Context(), 0, time.Hour); err != nil || m.open {
			t.Errorf("its disk says %s, after another start: open %v, %v", before, m.open, err)
		}
		if err := d.close(); err != nil {
			t.Fatal(err)
		}
	}
}
