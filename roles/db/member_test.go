package db

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"stack/appliance/config"
	"stack/appliance/supervise"
	"stack/roles/db/group"
	"stack/roles/db/incarnation"
	"stack/roles/db/replica"
	"stack/roles/db/store"
	"stack/roles/db/txn"
)

// demotedMember is a primary whose last commit nobody has acknowledged when a higher epoch fences it. It
// is still running, so what it dropped is hidden.
func demotedMember(t *testing.T) (m *member, published string) {
	t.Helper()
	ctx := context.Background()
	d, err := openData(testNode(t), supervise.Env{Log: slog.New(slog.DiscardHandler)}, func(uint32) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// @@read_only is the process's: the next test's server is no follower.
		if err := d.replica.Stop(); err != nil && !errors.Is(err, replica.ErrNoSource) {
			t.Error(err)
		}
		if err := errors.Join(d.replica.Reset(true), d.close()); err != nil {
			t.Error(err)
		}
	})
	nothing := func() {}
	m = &member{
		name: "db1", data: d, log: slog.New(slog.DiscardHandler), addrs: map[string]netip.AddrPort{"db2": netip.MustParseAddrPort("127.0.0.1:1")},
		policy: txn.AckPolicy{Need: 1, Members: []string{"db2"}, Strict: true, Timeout: time.Hour}, opened: nothing, demoted: nothing, ca: "/nonexistent",
		seeder: &seeder{}, restart: nothing,
	}
	d.member = m
	if err := d.engine.Do(ctx, "CREATE DATABASE seen"); err != nil {
		t.Fatal(err)
	}
	published = d.db.ExecutedSet()
	if _, err := m.Accept(ctx, 64, ""); err != nil {
		t.Fatal(err)
	}
	if err := m.Open(ctx, 64); err != nil {
		t.Fatal(err)
	}
	was := d.db.AckStatus().Logged
	outcome := make(chan error, 1)
	go func() { outcome <- d.engine.Do(ctx, "CREATE DATABASE dropped") }()
	for d.db.AckStatus().Logged == was {
		time.Sleep(time.Millisecond)
	}
	if _, err := m.Accept(ctx, 129, ""); err != nil {
		t.Fatal(err)
	}
	if err := <-outcome; err == nil {
		t.Fatal("a commit without an acknowledgement was answered")
	}
	if _, err := m.Accept(ctx, 129, "db2"); err != nil {
		t.Fatal(err)
	}
	return m, published
}

// A demoted primary has what it dropped in its data, hidden. It does not follow a primary that lacks
// that: the next thing applied would show it. It starts anew, and the start takes it back or says why it cannot.
func TestDroppedCommitsAreErrant(t *testing.T) {
	m, published := demotedMember(t)
	restarts := 0
	m.restart = func() { restarts++ }
	primary := &group.State{Name: "db2", Epoch: 129, Primary: "db2", Open: true, Executed: published, Server: "11111111-2222-3333-4444-555555555555"}
	for range 2 { // once is enough
		if err := m.follow([]*group.State{primary}); err != nil {
			t.Fatal(err)
		}
	}
	if restarts != 1 {
		t.Errorf("it was started anew %d times", restarts)
	}
	if m.data.engine.Catalog().Database("dropped") != nil || m.data.replica.Following() {
		t.Error("what was dropped is shown, or the server follows")
	}
	b, err := store.Get(m.data.store.DB, store.MetaRejoinKey())
	if want := fmt.Sprintf(`{"epoch":129,"primary":"db2","server":"11111111-2222-3333-4444-555555555555","executed":%q}`, published); err != nil || string(b) != want {
		t.Errorf("asked for is %s, want %s; %v", b, want, err)
	}
}

// A primary that lacks what it had when this server began to follow it in the same epoch was restored from a
// backup, or has lost its disk. What this server has for it may be the only copy of what clients were answered for.
func TestNothingIsThrownAwayForAPrimaryThatHasLostData(t *testing.T) {
	m, published := demotedMember(t)
	m.restart = func() { t.Error("it starts anew") }
	primary := &group.State{Name: "db2", Epoch: 129, Primary: "db2", Open: true, Executed: m.data.db.LoggedSet(), Server: "11111111-2222-3333-4444-555555555555"}
	if err := m.follow([]*group.State{primary}); err != nil {
		t.Fatal(err)
	}
	restored := *primary
	restored.Executed = published
	refused := func(why string) {
		t.Helper()
		if err := m.follow([]*group.State{&restored}); err == nil || !strings.Contains(err.Error(), "it has lost data") {
			t.Errorf("%s: %v", why, err)
		}
		if m.seeder.status() != nil {
			t.Errorf("%s: a copy is asked for", why)
		}
		if b, err := store.Get(m.data.store.DB, store.MetaRejoinKey()); b != nil || err != nil {
			t.Errorf("%s: it is asked for %s, %v", why, b, err)
		}
	}
	m.follows = "" // as after a start
	refused("as it begins to follow")
	node := testNode(t)
	node.Members = []config.Member{{Name: "db1", Roles: []string{"db"}}, {Name: "db2", Roles: []string{"db"}, DB: m.addrs["db2"]}}
	again, err := newMember(node, m.data, m.log, "")
	if err != nil {
		t.Fatal(err)
	}
	if m.term = again.term; !m.term.Followed {
		t.Error("the disk does not say that it has followed")
	}
	refused("after a start")
	// A later epoch may have been begun without what this server has.
	if _, err := m.Accept(t.Context(), 193, "db2"); err != nil {
		t.Fatal(err)
	}
	restored.Epoch = 193
	restarts := 0
	m.restart = func() { restarts++ }
	if err := m.follow([]*group.State{&restored}); err != nil || restarts != 1 {
		t.Errorf("in the next epoch: started anew %d times, %v", restarts, err)
	}
}

// Data that has nothing in common with the primary's is not thrown away for that.
func TestUnrelatedDataStays(t *testing.T) {
	m, _ := demotedMember(t)
	m.restart = func() { t.Error("it starts anew") }
	primary := &group.State{Name: "db2", Epoch: 129, Primary: "db2", Open: true, Executed: "11111111-2222-3333-4444-555555555555:1-9", Server: "11111111-2222-3333-4444-555555555555"}
	if err := m.follow([]*group.State{primary}); err == nil || !strings.Contains(err.Error(), "nothing in common") {
		t.Errorf("it follows: %v", err)
	}
	if m.seeder.status() != nil {
		t.Error("a copy is asked for")
	}
}

// What was dropped here and has reached the new primary is part of the data again: the primary has no need to
// send it, which could not be applied a second time.
func TestDroppedCommitsThatThePrimaryHas(t *testing.T) {
	m, _ := demotedMember(t)
	primary := &group.State{Name: "db2", Epoch: 129, Primary: "db2", Open: true, Executed: m.data.db.LoggedSet(), Server: "11111111-2222-3333-4444-555555555555"}
	if err := m.follow([]*group.State{primary}); err != nil {
		t.Fatal(err)
	}
	if got := m.data.db.ExecutedSet(); got != primary.Executed {
		t.Errorf("executed %s, want %s", got, primary.Executed)
	}
	if m.data.engine.Catalog().Database("dropped") == nil {
		t.Error("what the primary has is not shown")
	}
	if !m.data.db.ReadOnly() {
		t.Error("the server takes writes")
	}
}

// What a server has beside the primary, where the primary's set cuts an interval in the middle.
func TestErrantAmongOthers(t *testing.T) {
	const other = "00000000-0000-0000-0000-000000000002"
	got, err := errantOf(incarnation.Known{Executed: other + ":1-10"}, &group.State{Name: "db2", Executed: other + ":1-3:5-6:9", Server: "00000000-0000-0000-0000-000000000001"})
	if want := other + ":4:7-8:10"; err != nil || got != want {
		t.Errorf("errant %q, %v, want %q", got, err, want)
	}
}

// After promotions that did not end somebody still knows who the primary was, also from its disk.
func TestLastPrimaryIsKept(t *testing.T) {
	m, _ := demotedMember(t)
	ctx := context.Background()
	check := func(epoch uint64) {
		t.Helper()
		st, err := m.State(ctx)
		if err != nil || st.Epoch != epoch || st.Primary != "" || st.Before != "db2" || st.Decided != 129 {
			t.Errorf("state %+v, %v", st, err)
		}
		b, err := store.Get(m.data.store.DB, store.MetaTermKey())
		if want := fmt.Sprintf(`{"epoch":%d,"primary":"","before":"db2","decided":129,"led":true}`, epoch); err != nil || string(b) != want {
			t.Errorf("on the disk is %s, want %s; %v", b, want, err)
		}
	}
	for _, epoch := range []uint64{193, 257} {
		if _, err := m.Accept(ctx, epoch, ""); err != nil {
			t.Fatal(err)
		}
		check(epoch)
	}
}
