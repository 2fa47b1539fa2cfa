package db

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"stack/roles/db/group"
	"stack/roles/db/incarnation"
	"stack/roles/db/store"
)

const takenBackServer = "11111111-2222-3333-4444-555555555555"

// knows writes what a member knows of incarnations.
func (m *member) knows(t *testing.T, h incarnation.History) {
	t.Helper()
	if err := m.data.store.DB.Set(store.MetaIncarnationsKey(), []byte(h.String()), pebble.Sync); err != nil {
		t.Fatal(err)
	}
}

// A primary whose disk was taken back, and that has numbered other transactions like those that it has lost: a replica that has
// these does not follow it, whatever the sets say, keeps what it has, and wants no copy.
func TestPrimaryThatWasTakenBackIsNotFollowed(t *testing.T) {
	m, _ := demotedMember(t)
	m.restart = func() { t.Error("it starts anew") }
	primary := has(m)
	if err := m.follow([]*group.State{primary}); err != nil || m.follows != "db2" {
		t.Fatalf("follows %q, %v", m.follows, err)
	}
	// What the member has is of that server now.
	own := m.data.store.Server
	primary.Server = own
	m.data.store.Server = takenBackServer
	defer func() { m.data.store.Server = own }()
	m.knows(t, incarnation.History{own: {{ID: "a", From: 1}}})
	primary.Incarnations = incarnation.History{own: {{ID: "a", From: 1}, {ID: "b", From: 2}}}
	m.seeder.need("db2", "a test")
	for _, open := range []bool{true, false} {
		primary.Open = open
		err := m.follow([]*group.State{primary})
		if err == nil || !strings.Contains(err.Error(), "has lost data") || !strings.Contains(err.Error(), own+":2,") || !strings.Contains(err.Error(), "stack db promote") {
			t.Errorf("open %v: %v", open, err)
		}
		if m.follows != "" {
			t.Errorf("open %v: it is followed", open)
		}
	}
	m.reseed(t.Context(), []*group.State{primary})
	if m.seeder.status() != nil {
		t.Error("a copy of what it has is wanted")
	}
	if b, err := store.Get(m.data.store.DB, store.MetaRejoinKey()); b != nil || err != nil {
		t.Errorf("it is asked for %s, %v", b, err)
	}
}

// In a later epoch the one that was taken back is a replica of one that has what it has lost. What it has made since is taken
// back, also what has numbers that the primary has.
func TestServerThatWasTakenBackJoinsAgain(t *testing.T) {
	m, _ := demotedMember(t)
	own := m.data.store.Server
	restarts := 0
	m.restart = func() { restarts++ }
	m.knows(t, incarnation.History{own: {{ID: "a", From: 1}, {ID: "b", From: 2}}})
	primary := has(m)
	primary.Incarnations = incarnation.History{own: {{ID: "a", From: 1}}}
	k, err := m.known()
	if err != nil {
		t.Fatal(err)
	}
	if errant, err := errantOf(k, primary); err != nil || errant != own+":2" {
		t.Errorf("errant is %q, %v", errant, err)
	}
	if err := m.follow([]*group.State{primary}); err != nil || restarts != 1 || m.data.replica.Following() {
		t.Errorf("started anew %d times, %v", restarts, err)
	}
	var ask rejoin
	b, err := store.Get(m.data.store.DB, store.MetaRejoinKey())
	if err != nil || json.Unmarshal(b, &ask) != nil || len(ask.Incarnations[own]) != 1 {
		t.Errorf("asked for is %s, %v", b, err)
	}
}

// A primary that hears of a replica that has what it has lost takes no writes any more, also not after a start, until
// another epoch begins.
func TestPrimaryThatWasTakenBackStepsDown(t *testing.T) {
	m, _ := demotedMember(t)
	ctx := t.Context()
	own := m.data.store.Server
	if _, err := m.Accept(ctx, 193, ""); err != nil {
		t.Fatal(err)
	}
	if err := m.Open(ctx, 193); err != nil {
		t.Fatal(err)
	}
	m.knows(t, incarnation.History{own: {{ID: "a", From: 1}, {ID: "b", From: 2}}})
	replica := &group.State{Name: "db2", Epoch: 193, Primary: "db1", Executed: own + ":1", Server: takenBackServer, Incarnations: incarnation.History{own: {{ID: "a", From: 1}}}}
	restarts, sessions := 0, 0
	m.restart, m.demoted = func() { restarts++ }, func() { sessions++ }
	if err := m.overtaken([]*group.State{nil, replica}); err != nil || restarts > 0 {
		t.Fatalf("a replica that has the beginning: %v, %d restarts", err, restarts)
	}
	replica.Executed = own + ":1-2"
	if err := m.overtaken([]*group.State{nil, replica}); err != nil || restarts != 1 || sessions != 1 {
		t.Fatalf("%v, %d restarts, sessions ended %d times", err, restarts, sessions)
	}
	if s, err := m.State(ctx); err != nil || s.Open || !m.data.db.ReadOnly() {
		t.Errorf("it takes writes: %+v, %v", s, err)
	}
	n := restarted(t, m)
	if err := n.openWhereAllowed(ctx, 1, 0); err == nil || !strings.Contains(err.Error(), "db2 has "+own+":2") || !strings.Contains(err.Error(), "stack db promote on db2") {
		t.Errorf("after a start: %v", err)
	}
	if n.open {
		t.Error("it is opened")
	}
	if err := n.overtaken([]*group.State{replica}); err != nil || restarts != 1 {
		t.Errorf("it starts again: %v", err)
	}
	if _, err := n.Accept(ctx, 257, "db2"); err != nil || n.term.Lost != "" {
		t.Errorf("in the next epoch: %q, %v", n.term.Lost, err)
	}
}
