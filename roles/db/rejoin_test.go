package db

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"stack/appliance/config"
	"stack/appliance/supervise"
	"stack/roles/db/group"
	"stack/roles/db/store"
)

// What keeps transactions from being taken back and may pass does not lead to a copy of everything: the next starts try it
// again, a few times. What cannot be undone leads to one at once.
func TestTakingBackIsTriedAgain(t *testing.T) {
	for name, c := range map[string]struct {
		lacks  string // by the primary
		broken int    // starts at which the disk does not let it be
		failed []int  // attempts that each start counts; 0: it is done
		cannot bool   // after the last
	}{
		"passes":     {"INSERT INTO site.t VALUES (1)", 2, []int{1, 2, 0}, false},
		"stays":      {"INSERT INTO site.t VALUES (1)", 5, []int{1, 2, 3, 4, 5}, true},
		"is refused": {"CREATE TABLE site.errant (a INT)", 0, []int{1}, true},
	} {
		t.Run(name, func(t *testing.T) {
			node := testNode(t)
			node.Members = []config.Member{{Name: "db1", Roles: []string{"db"}}, {Name: "db2", Roles: []string{"db"}}}
			open := func() *data { t.Helper(); return openTest(t, node) }
			d := open()
			if err := d.engine.Do(t.Context(), "CREATE DATABASE site", "CREATE TABLE site.t (a INT PRIMARY KEY)"); err != nil {
				t.Fatal(err)
			}
			before := d.db.ExecutedSet()
			if err := d.engine.Do(t.Context(), c.lacks); err != nil {
				t.Fatal(err)
			}
			if _, err := d.db.AcceptEpoch(200); err != nil {
				t.Fatal(err)
			}
			primary := &group.State{Name: "db2", Epoch: 200, Primary: "db2", Open: true, Executed: before, Server: takenBackServer}
			ask, err := json.Marshal(rejoin{Epoch: 200, Primary: "db2", Server: primary.Server, Executed: before})
			if err != nil {
				t.Fatal(err)
			}
			if err := d.store.DB.Set(store.MetaRejoinKey(), ask, pebble.Sync); err != nil {
				t.Fatal(err)
			}
			wall := filepath.Join(node.DB.DataDir, store.ErrantDir)
			for i, failed := range c.failed {
				if err := d.close(); err != nil {
					t.Fatal(err)
				}
				if err := os.RemoveAll(wall); err != nil {
					t.Fatal(err)
				}
				if i < c.broken { // a file where the directory should be
					if err := os.WriteFile(wall, nil, 0o600); err != nil {
						t.Fatal(err)
					}
				}
				d = open()
				last := i == len(c.failed)-1
				if u := d.undone; u.failed != failed || u.cannot != (last && c.cannot) || (u.why == "") != (failed == 0) {
					t.Fatalf("start %d: %+v", i, u)
				}
				if b, err := store.Get(d.store.DB, store.MetaRejoinKey()); (b == nil) != last || err != nil {
					t.Fatalf("start %d: asked for is %s, %v", i, b, err)
				}
				retried(t, d, primary)
			}
			if got := d.db.ExecutedSet(); !c.cannot && got != before {
				t.Errorf("executed %s, want %s", got, before)
			}
			if err := d.close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// retried looks at what the member does with what its start has not done.
func retried(t *testing.T, d *data, primary *group.State) {
	t.Helper()
	restarts := 0
	m := &member{
		name: "db1", data: d, log: slog.New(slog.DiscardHandler), seeder: &seeder{}, restart: func() { restarts++ }, undone: d.undone,
		term: term{Epoch: 200, Primary: "db2"},
	}
	if d.undone.why == "" {
		return
	}
	err := m.follow([]*group.State{primary})
	if d.undone.cannot {
		if err != nil || m.seeder.status() == nil {
			t.Errorf("no copy is wanted, %v", err)
		}
		return
	}
	if err == nil || !strings.Contains(err.Error(), "of 5 follows at") || restarts > 0 || m.seeder.status() != nil {
		t.Errorf("before the next attempt: %v, %d restarts", err, restarts)
	}
	m.undone.next = time.Now().Add(-time.Second)
	if err := m.follow([]*group.State{primary}); err != nil || restarts != 1 {
		t.Errorf("at the next attempt: %v, %d restarts", err, restarts)
	}
	var ask rejoin
	b, err := store.Get(d.store.DB, store.MetaRejoinKey())
	if err != nil || json.Unmarshal(b, &ask) != nil || ask.Failed != d.undone.failed {
		t.Errorf("asked for is %s, %v", b, err)
	}
}

// openTest opens the data of a node.
func openTest(t *testing.T, node *config.Node) *data {
	t.Helper()
	d, err := openData(node, supervise.Env{Log: slog.New(slog.DiscardHandler)}, func(uint32) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	return d
}
