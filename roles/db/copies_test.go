package db

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"stack/appliance/config"
	"stack/roles/db/store"
)

// Copies that do not help come more and more rarely, also over starts of the process.
func TestCopiesComeMoreRarely(t *testing.T) {
	at := time.Date(2026, 11, 30, 8, 0, 0, 0, time.UTC)
	var c copies
	if !c.due(at).IsZero() {
		t.Errorf("the first copy waits for %s", c.due(at))
	}
	for i, pause := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60, 60} {
		c = c.and(at)
		if got := c.due(at).Sub(at); c.Count != i+1 || got != pause*time.Minute {
			t.Errorf("after %d copies the next waits for %s, want %d minutes", c.Count, got, pause)
		}
		if got := c.due(at.Add(-time.Hour)).Sub(at.Add(-time.Hour)); got != pause*time.Minute {
			t.Errorf("where the clock was put back it waits for %s", got)
		}
		at = c.due(at)
	}
	if c = c.and(at.Add(copyHelps)); c.Count != 1 {
		t.Errorf("a copy that helped counts: %+v", c)
	}
}

// A member that has just got a copy says so where it needs another, and waits; so does the next process.
func TestCopyAfterCopyWaits(t *testing.T) {
	m, _ := demotedMember(t)
	at := time.Now().Add(-10 * time.Second)
	text, err := json.Marshal(copies{3, at})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.data.store.DB.Set(store.MetaCopiesKey(), text, pebble.Sync); err != nil {
		t.Fatal(err)
	}
	node := testNode(t)
	node.Members = []config.Member{{Name: "db1", Roles: []string{"db"}}, {Name: "db2", Roles: []string{"db"}, DB: m.addrs["db2"]}}
	n, err := newMember(node, m.data, m.log, "")
	if err != nil {
		t.Fatal(err)
	}
	n.seeder.need("db2", "row 7 is another")
	st := n.seeder.status()
	if st.Next == nil || !st.Next.Equal(at.Add(4*time.Minute)) || st.Copies != 3 || !strings.Contains(st.String(), "3 copies have not helped for long") || !strings.Contains(st.String(), "waiting until "+st.Next.UTC().Format(time.DateTime)) {
		t.Errorf("%+v: %s", st, st)
	}
	n.reseed(t.Context(), nil)
	if n.seeder.status().State != "waiting" {
		t.Error("a copy is fetched")
	}
	// The copy that replaces this data counts on.
	dir := filepath.Join(t.TempDir(), "copy")
	copied, err := store.Open(store.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer copied.Close()
	if err := (promise{copies: copies{3, at}}).carry(copied); err != nil {
		t.Fatal(err)
	}
	if c, err := readCopies(copied); err != nil || c.Count != 4 {
		t.Errorf("the copy knows of %+v, %v", c, err)
	}
}
