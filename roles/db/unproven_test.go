package db

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"stack/roles/db/group"
	"stack/roles/db/store"
	"stack/roles/db/txn"
)

// restarted is the member as a new process would read it from the disk.
func restarted(t *testing.T, m *member) *member {
	t.Helper()
	b, err := store.Get(m.data.store.DB, store.MetaTermKey())
	if err != nil {
		t.Fatal(err)
	}
	n := &member{
		name: m.name, data: m.data, log: m.log, addrs: m.addrs, policy: m.policy, opened: m.opened, demoted: m.demoted, ca: m.ca,
		seeder: &seeder{}, restart: m.restart,
	}
	if err := json.Unmarshal(b, &n.term); err != nil {
		t.Fatal(err)
	}
	m.data.member = n
	n.begin()
	return n
}

// A primary shows what it dropped when it is taken again, or was started anew: clients see nothing of it until a
// replica has it, and neither do balancers lead to it.
func TestUnprovenEndIsNotShown(t *testing.T) {
	m, _ := demotedMember(t)
	ctx := context.Background()
	if err := m.serves(); err != nil {
		t.Errorf("what was dropped is hidden, and clients are turned away: %v", err)
	}
	m = restarted(t, m)
	if m.serves() == nil {
		t.Error("clients see the end of the log of a primary that was started anew")
	}
	if _, err := m.Accept(ctx, 193, ""); err != nil {
		t.Fatal(err)
	}
	sessions := 0
	m.demoted = func() { sessions++ }
	if err := m.Open(ctx, 193); err != nil {
		t.Fatal(err)
	}
	if sessions != 1 {
		t.Error("sessions that were open before go on, and see it")
	}
	if s, _ := m.State(ctx); !s.Open {
		t.Error("replicas find no primary to follow")
	}
	if m.serves() == nil || m.role().Open {
		t.Error("clients see it")
	}
	if err := m.settle(); err != nil || !m.term.Led {
		t.Errorf("an end of the log that nobody has counts as proven: %v", err)
	}
	logged := m.data.db.AckStatus().Logged
	if err := m.data.db.Acknowledge("db2", 193, logged-1); err != nil {
		t.Fatal(err)
	}
	if m.serves() == nil {
		t.Error("the replica lacks the last of it, and clients see it")
	}
	if err := m.data.db.Acknowledge("db2", 193, logged); err != nil {
		t.Fatal(err)
	}
	if err := m.serves(); err != nil || !m.role().Open {
		t.Errorf("the replica has it: %v", err)
	}
	if _, err := m.Accept(ctx, 257, ""); err != nil {
		t.Fatal(err)
	}
	if err := m.Open(ctx, 257); err != nil {
		t.Fatal(err)
	}
	if err := m.serves(); err != nil {
		t.Errorf("a primary that is taken again and has dropped nothing, as after a switchover that failed: %v", err)
	}
	if err := m.data.db.Acknowledge("db2", 257, logged); err != nil {
		t.Fatal(err)
	}
	if err := m.settle(); err != nil {
		t.Fatal(err)
	}
	if m = restarted(t, m); m.serves() != nil {
		t.Error("a server that was stopped in order is in doubt")
	}
}

// Where commits go on without replicas, so do clients after the time in which replicas could have acknowledged.
func TestUnprovenEndUnderDegrade(t *testing.T) {
	m, _ := demotedMember(t)
	ctx := context.Background()
	m.policy = txn.AckPolicy{Need: 1, Members: []string{"db2"}, Timeout: time.Millisecond}
	if _, err := m.Accept(ctx, 193, ""); err != nil {
		t.Fatal(err)
	}
	if err := m.Open(ctx, 193); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); m.serves() != nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("clients are turned away for ever")
		}
	}
}

// Who follows a primary that has all of it serves clients, also after the next start; so does one that was never a primary.
func TestFollowersServe(t *testing.T) {
	m, _ := demotedMember(t)
	m = restarted(t, m)
	primary := &group.State{Name: "db2", Epoch: 129, Primary: "db2", Open: true, Executed: m.data.db.LoggedSet(), Server: "11111111-2222-3333-4444-555555555555"}
	if err := m.follow([]*group.State{primary}); err != nil {
		t.Fatal(err)
	}
	if err := m.serves(); err != nil {
		t.Error(err)
	}
	if err := restarted(t, m).serves(); err != nil {
		t.Error(err)
	}
}

// Where commits wait for more than one server, who takes over may have been the only one with the end of the log: it shows it, and lets its
// replicas show it, when they have acknowledged a transaction that is behind all of it.
func TestTakeoverIsProvenFirst(t *testing.T) {
	m, _ := demotedMember(t)
	ctx := context.Background()
	m.policy = txn.AckPolicy{Need: 2, Members: []string{"db2", "db3", "db4"}, Strict: true, Timeout: time.Hour}
	m.several.Store(true)
	sessions := 0
	m.demoted = func() { sessions++ }
	m.term.Led = false // it has followed another one since
	m.term.Primary = "db2"
	if err := m.serves(); err != nil {
		t.Fatal(err)
	}
	if n := m.shown(); n != 0 {
		t.Errorf("it is no primary, and shows what is before %d", n)
	}
	if _, err := m.Accept(ctx, 193, ""); err != nil {
		t.Fatal(err)
	}
	if err := m.Open(ctx, 193); err != nil {
		t.Fatal(err)
	}
	if sessions == 0 {
		t.Error("sessions that were open before go on, and see what was received last")
	}
	unproven := func(when string) {
		t.Helper()
		if m.serves() == nil || m.role().Open || m.shown() != 0 {
			t.Errorf("%s: clients see the end of the log", when)
		}
	}
	unproven("opened")
	time.Sleep(3 * proveAgain) // what is wrong shows with any time
	if m.data.db.AckStatus().Logged >= m.unproven {
		t.Error("it makes a transaction of its own before anybody follows it")
	}
	if err := m.data.db.Acknowledge("db2", 193, 1); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(time.Minute)
	for m.data.db.AckStatus().Logged < m.unproven {
		if time.Sleep(time.Millisecond); time.Now().After(deadline) {
			t.Fatal("nothing is logged that would prove it")
		}
	}
	logged := m.data.db.AckStatus().Logged
	for _, ack := range []struct {
		member string
		upto   uint64
	}{{"db2", logged}, {"db3", logged - 1}} {
		if err := m.data.db.Acknowledge(ack.member, 193, ack.upto); err != nil {
			t.Fatal(err)
		}
		unproven(ack.member + " has acknowledged")
	}
	if err := restarted(t, m).serves(); err == nil {
		t.Error("a server that was started anew meanwhile serves")
	}
	if err := m.settle(); err != nil || !m.term.Led {
		t.Errorf("it counts as proven: %v", err)
	}
	if err := m.data.db.Acknowledge("db3", 193, logged); err != nil {
		t.Fatal(err)
	}
	for m.shown() != logged+1 {
		if time.Sleep(time.Millisecond); time.Now().After(deadline) {
			t.Fatalf("what is before %d may be seen, %d is logged", m.shown(), logged)
		}
	}
	if err := m.serves(); err != nil || !m.role().Open {
		t.Errorf("two have acknowledged it: %v", err)
	}
	if err := m.settle(); err != nil || m.term.Led {
		t.Errorf("it does not count as proven: %v", err)
	}
	if _, err := m.Accept(ctx, 257, "db2"); err != nil {
		t.Fatal(err)
	}
	if n := m.shown(); n != 0 {
		t.Errorf("it was replaced, and shows what is before %d", n)
	}
}
