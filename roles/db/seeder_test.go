package db

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"stack/appliance/config"
	"stack/roles/db/group"
	"stack/roles/db/replica"
	"stack/roles/db/store"
)

// stoppedMember is a member that follows db2, which has ended for good.
func stoppedMember(t *testing.T, edit func(*member, *replica.Settings)) *member {
	t.Helper()
	m, _ := demotedMember(t)
	m.follows = "db2"
	err := m.data.replica.Change(func(s *replica.Settings, _ *replica.Position) error {
		s.Host, s.Port, s.User, s.Attempts, s.Started = "127.0.0.1", 1, "nobody", 1, true
		edit(m, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	m.data.replica.Resume()
	until(t, time.Minute, "following has ended", func() bool {
		st, _ := m.data.replica.Status()
		return st.State == replica.StateIOFailed || st.State == replica.StateSQLFailed
	})
	return m
}

// has is a primary db2 that has all that a member has.
func has(m *member) *group.State {
	return &group.State{Name: "db2", Epoch: 129, Primary: "db2", Open: true, Executed: m.data.db.LoggedSet(), Server: "11111111-2222-3333-4444-555555555555"}
}

// Following that has ended for good is tried again, more and more rarely.
func TestFollowingIsTriedAgain(t *testing.T) {
	m := stoppedMember(t, func(*member, *replica.Settings) {})
	first, _ := m.data.replica.Status()
	for i, pause := range []time.Duration{reviveFirst, 2 * reviveFirst} {
		if err := m.revive(); err == nil || !strings.Contains(err.Error(), "which is tried again") {
			t.Fatalf("attempt %d: %v", i, err)
		}
		if m.revival.pause != pause || m.revival.next.IsZero() {
			t.Fatalf("attempt %d: %+v, want a pause of %s", i, m.revival, pause)
		}
		m.revival.next = time.Now().Add(-time.Second)
		_ = m.revive() // says what has failed before
		until(t, time.Minute, "it was tried", func() bool {
			st, _ := m.data.replica.Status()
			return st.State == replica.StateIOFailed && st.IO.At.After(first.IO.At)
		})
		first, _ = m.data.replica.Status()
	}
	if m.seeder.status() != nil {
		t.Error("a copy is asked for although the primary cannot be reached")
	}
	// What an operator has stopped stays.
	if err := m.data.replica.Stop(); err != nil {
		t.Fatal(err)
	}
}

// Data that is not what it was on the source is replaced.
func TestDivergedDataIsReplaced(t *testing.T) {
	m := stoppedMember(t, func(m *member, _ *replica.Settings) {
		if err := m.data.store.DB.Set(store.MetaDivergedKey(), []byte("row 7 is another"), pebble.Sync); err != nil {
			t.Fatal(err)
		}
	})
	if err := m.revive(); err != nil {
		t.Fatal(err)
	}
	st := m.seeder.status()
	if st == nil || st.From != "db2" || !strings.Contains(st.Why, "row 7 is another") || st.State != "waiting" {
		t.Fatalf("%+v", st)
	}
	// Attempts that fail come more and more rarely.
	for i, want := range []time.Duration{seedRetryFirst, 2 * seedRetryFirst, 4 * seedRetryFirst} {
		if m.seeder.done(os.ErrDeadlineExceeded) {
			t.Fatal("it is done")
		}
		if in := time.Until(m.seeder.next); in > want || in < want/2 {
			t.Errorf("attempt %d: the next one in %s, want %s", i, in, want)
		}
	}
	for range 100 {
		m.seeder.done(os.ErrDeadlineExceeded)
	}
	if in := time.Until(m.seeder.next); in > seedRetryMost || in < seedRetryMost/2 {
		t.Errorf("the next one in %s", in)
	}
	// Another primary may have other needs.
	m.reseed(t.Context(), nil)
	if m.seeder.status() == nil {
		t.Fatal("no copy is wanted any more")
	}
	m.term.Primary = "db3"
	m.reseed(t.Context(), nil)
	if m.seeder.status() != nil {
		t.Error("a copy of the data of the former primary is still wanted")
	}
}

// No copy of the data of a primary that lacks what this server has, as one that came back with another disk.
func TestNoCopyOfLessData(t *testing.T) {
	m := stoppedMember(t, func(m *member, _ *replica.Settings) {
		if err := m.data.store.DB.Set(store.MetaDivergedKey(), []byte("row 7 is another"), pebble.Sync); err != nil {
			t.Fatal(err)
		}
	})
	less := has(m)
	less.Executed = m.data.db.ExecutedSet()
	m.term.Followed = true
	if err := m.follow([]*group.State{less}); err == nil || !strings.Contains(err.Error(), "it has lost data") {
		t.Error(err)
	}
	if m.seeder.status() != nil {
		t.Error("a copy is asked for")
	}
	if m.follows != "" {
		t.Error("it is followed")
	}
	if err := m.wanted(m.data.db.ExecutedSet()); err == nil || !strings.Contains(err.Error(), "lost data") {
		t.Errorf("a copy of less: %v", err)
	}
	if err := m.wanted(m.data.db.LoggedSet()); err != nil {
		t.Errorf("a copy of as much: %v", err)
	}
	m.term.Followed = false
	if err := m.wanted(m.data.db.ExecutedSet()); err != nil {
		t.Errorf("a copy that replaces what the primary of a new epoch lacks: %v", err)
	}
	m.follows = "db2"
	if err := m.follow([]*group.State{has(m)}); err != nil || m.seeder.status() == nil {
		t.Errorf("from a primary that has everything no copy is asked for: %v", err)
	}
}

// What a start was to do is not done in a later epoch: this server may have been the primary meanwhile, and have
// committed what would go with it.
func TestOnlyItsOwnEpochChangesTheData(t *testing.T) {
	for name, c := range map[string]struct {
		epoch uint64 // in which it was asked for; it is 200
		site  bool
		done  bool
	}{"the same epoch": {200, true, true}, "an earlier one": {100, true, false}, "no site any more": {200, false, false}} {
		t.Run(name, func(t *testing.T) {
			for _, what := range []string{"take back", "copy"} {
				node := testNode(t)
				if c.site {
					node.Members = []config.Member{{Name: "db1", Roles: []string{"db"}}, {Name: "db2", Roles: []string{"db"}}}
				}
				open := func() *data { t.Helper(); return openTest(t, node) }
				d := open()
				if err := d.engine.Do(t.Context(), "CREATE DATABASE site", "CREATE TABLE site.t (a INT PRIMARY KEY)"); err != nil {
					t.Fatal(err)
				}
				before := d.db.ExecutedSet()
				if err := d.engine.Do(t.Context(), "INSERT INTO site.t VALUES (1)"); err != nil {
					t.Fatal(err)
				}
				whole := d.db.ExecutedSet()
				if _, err := d.db.AcceptEpoch(200); err != nil {
					t.Fatal(err)
				}
				done := before
				if what == "take back" {
					ask, err := json.Marshal(rejoin{Epoch: c.epoch, Primary: "db2", Server: "11111111-2222-3333-4444-555555555555", Executed: before})
					if err != nil {
						t.Fatal(err)
					}
					if err := d.store.DB.Set(store.MetaRejoinKey(), ask, pebble.Sync); err != nil {
						t.Fatal(err)
					}
				} else {
					done = ""
					at := store.SeedingDir(node.DB.DataDir)
					st, err := store.Open(store.Options{Dir: at})
					if err != nil {
						t.Fatal(err)
					}
					if err := st.Close(); err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(filepath.Join(at, "SEED.json"), fmt.Appendf(nil, `{"site": true, "epoch": %d}`, c.epoch), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				if err := d.close(); err != nil {
					t.Fatal(err)
				}
				d = open()
				want := whole
				if c.done {
					want = done
				}
				if got := d.db.ExecutedSet(); got != want {
					t.Errorf("%s: executed is %s, want %s", what, got, want)
				}
				if b, err := store.Get(d.store.DB, store.MetaRejoinKey()); b != nil || err != nil {
					t.Errorf("%s: it is still asked for: %s, %v", what, b, err)
				}
				if _, err := os.Stat(store.SeedingDir(node.DB.DataDir)); !os.IsNotExist(err) {
					t.Errorf("%s: the copy is still there: %v", what, err)
				}
				if got := d.db.Epoch(); got != 200 {
					t.Errorf("%s: the epoch is %d", what, got)
				}
				if err := d.close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// Of what copies have replaced the newest is kept, and what somebody has put aside by hand.
func TestOneReplacedCopyIsKept(t *testing.T) {
	m, _ := demotedMember(t)
	dir := m.data.store.Dir()
	for _, name := range []string{"replaced-auto-20261129T000000.000Z", "replaced-auto-20261129T000001.000Z", "replaced-auto-20261129T000002.000Z", "replaced-20261128T000000.000Z"} {
		if err := os.MkdirAll(filepath.Join(dir, name, "store"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	m.untidy, m.well = true, time.Now().Add(-reviveWell)
	if err := m.tidy(); err != nil {
		t.Fatal(err)
	}
	all, _, err := store.Replaced(m.data.store.FS(), dir)
	want := []string{filepath.Join(dir, "replaced-20261128T000000.000Z"), filepath.Join(dir, "replaced-auto-20261129T000002.000Z")}
	if err != nil || !slices.Equal(all, want) {
		t.Errorf("kept are %v, %v", all, err)
	}
}

// A start keeps what was fetched of a copy, and what the copies before have replaced, until following has gone well for a
// while without a copy: it may be about to ask for the same copy again.
func TestHalfACopyIsKept(t *testing.T) {
	m, _ := demotedMember(t)
	dir := m.data.store.Dir()
	half := filepath.Join(store.SeedingDir(dir), "SEED.json")
	older := filepath.Join(dir, "replaced-auto-20261129T000000.000Z")
	for _, path := range []string{filepath.Dir(half), older, filepath.Join(dir, "replaced-auto-20261129T000001.000Z")} {
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(half, []byte(`{"site": true, "epoch": 129}`), 0o600); err != nil {
		t.Fatal(err)
	}
	kept := func(what string, want bool) {
		t.Helper()
		if err := m.tidy(); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{half, older} {
			if _, err := os.Stat(path); (err == nil) != want {
				t.Errorf("%s: %s is there: %v", what, path, err == nil)
			}
		}
	}
	if err := m.follow([]*group.State{has(m)}); err != nil {
		t.Fatal(err)
	}
	kept("following has begun", true)
	m.well = time.Now()
	kept("it goes well", true)
	m.well = time.Now().Add(-reviveWell)
	m.seeder.need("db2", "row 7 is another")
	kept("a copy is needed", true)
	m.seeder.end(true)
	_ = m.revive() // says that the primary is not reached
	kept("it went well, and does not any more", true)
	m.well = time.Now().Add(-reviveWell)
	kept("it has gone well for long", false)
}

// An epoch that was promised is not forgotten with the data.
func TestPromiseIsCarried(t *testing.T) {
	for _, theirs := range []uint64{0, 100, 200, 300} {
		st, err := store.Open(store.Options{Dir: filepath.Join(t.TempDir(), "copy")})
		if err != nil {
			t.Fatal(err)
		}
		if err := st.DB.Set(store.MetaEpochKey(), store.AppendU64(nil, theirs), pebble.Sync); err != nil {
			t.Fatal(err)
		}
		if err := st.DB.Set(store.MetaTermKey(), []byte("theirs"), pebble.Sync); err != nil {
			t.Fatal(err)
		}
		if err := (promise{epoch: 200, term: []byte("own")}).carry(st); err != nil {
			t.Fatal(err)
		}
		p, err := promiseOf(st)
		if err != nil {
			t.Fatal(err)
		}
		want := promise{epoch: theirs, term: []byte("theirs")}
		if theirs < 200 {
			want = promise{epoch: 200, term: []byte("own")}
		}
		if p.copies.Count != 1 || time.Since(p.copies.At) < 0 {
			t.Errorf("beside %d: the copy is not counted: %+v", theirs, p.copies)
		}
		if p.epoch != want.epoch || string(p.term) != string(want.term) {
			t.Errorf("beside %d: epoch %d of %s", theirs, p.epoch, p.term)
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
