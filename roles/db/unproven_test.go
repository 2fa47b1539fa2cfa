package db

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"stack/roles/db/group"
	"stack/roles/db/replica"
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
	if text := troubleOf(m); text != "" {
		t.Errorf("clients are served, and the status says %q", text)
	}
	m = restarted(t, m)
	if m.serves() == nil {
		t.Error("clients see the end of the log of a primary that was started anew")
	}
	if text := troubleOf(m); !strings.HasPrefix(text, "clients are turned away: it was the primary") {
		t.Errorf("the status says %q", text)
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
	if text := troubleOf(m); !strings.Contains(text, "took over") {
		t.Errorf("the status says %q", text)
	}
	time.Sleep(3 * proveAgain) // what is wrong shows with any time
	if m.data.db.AckStatus().Logged >= m.unproven.Load() {
		t.Error("it makes a transaction of its own before anybody follows it")
	}
	if err := m.data.db.Acknowledge("db2", 193, 1); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(time.Minute)
	for m.data.db.AckStatus().Logged < m.unproven.Load() {
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

// troubleOf is what the status says of a member.
func troubleOf(m *member) string {
	var d Detail
	(&Role{data: m.data}).siteDetail(&d)
	return d.Trouble
}

// What replicas acknowledge before the primary is open counts when it is, and those that have not get the time to do so from then on.
func TestAcknowledgedBeforeItOpens(t *testing.T) {
	node := siteNode(t)
	node.DB.Ack, node.DB.AckPolicy, node.DB.AckTimeout = "one", "degrade", time.Hour
	d := openTest(t, node)
	if err := d.engine.Do(t.Context(), "CREATE DATABASE something"); err != nil {
		t.Fatal(err)
	}
	m := memberOf(t, node, d)
	if _, err := m.Accept(t.Context(), 64, ""); err != nil {
		t.Fatal(err)
	}
	if err := m.Open(t.Context(), 64); err != nil {
		t.Fatal(err)
	}
	for _, acknowledged := range []bool{false, true} {
		if err := d.close(); err != nil {
			t.Fatal(err)
		}
		d = openTest(t, node)
		m = memberOf(t, node, d)
		m.unprovenSince = time.Now().Add(-2 * time.Hour) // the process waits for its network
		if acknowledged {
			if err := d.db.Acknowledge("db2", 64, d.db.AckStatus().Logged); err != nil {
				t.Error(err)
			}
		}
		if m.serves() == nil {
			t.Error("clients are served before it is open")
		}
		if err := m.openWhereAllowed(t.Context(), 1, 0); err != nil {
			t.Fatal(err)
		}
		if err := m.serves(); (err == nil) != acknowledged {
			t.Errorf("acknowledged before: %v; clients: %v", acknowledged, err)
		}
	}
	if _, err := m.Accept(t.Context(), 129, ""); err != nil {
		t.Fatal(err)
	}
	if err := d.db.Acknowledge("db2", 129, 0); err != nil {
		t.Errorf("demoted, and to be opened again: %v", err)
	}
	if err := d.close(); err != nil {
		t.Fatal(err)
	}
}

// That commits were answered unacknowledged is told until their server follows one that has them, or no commit waits any more.
func TestUnacknowledgedIsForgotten(t *testing.T) {
	for _, ack := range []string{"one", "none"} {
		node := siteNode(t)
		d := openTest(t, node)
		if err := d.engine.Do(t.Context(), "CREATE DATABASE something"); err != nil {
			t.Fatal(err)
		}
		if err := d.store.DB.Set(store.MetaUnackedKey(), store.AppendU64(nil, 1), pebble.Sync); err != nil {
			t.Fatal(err)
		}
		if err := d.close(); err != nil {
			t.Fatal(err)
		}
		node.DB.Ack = ack
		d = openTest(t, node)
		m := memberOf(t, node, d)
		if d.db.AckStatus().Unacked == "" {
			t.Error("nobody is told")
		}
		primary := &group.State{Name: "db2", Epoch: 64, Primary: "db2", Open: true, Executed: d.db.LoggedSet(), Server: "11111111-2222-3333-4444-555555555555"}
		if _, err := m.Accept(t.Context(), 64, ""); err != nil {
			t.Fatal(err)
		}
		var err error
		if ack == "none" {
			err = m.Open(t.Context(), 64)
		} else if _, err = m.Accept(t.Context(), 64, "db2"); err == nil {
			err = m.follow([]*group.State{primary})
		}
		if err != nil {
			t.Fatal(err)
		}
		if unacked := d.db.AckStatus().Unacked; unacked != "" {
			t.Errorf("ack: %s: unacknowledged from %s", ack, unacked)
		}
		if b, err := store.Get(d.store.DB, store.MetaUnackedKey()); b != nil || err != nil {
			t.Errorf("ack: %s: kept is %x, %v", ack, b, err)
		}
		if err := d.replica.Stop(); err != nil && !errors.Is(err, replica.ErrNoSource) {
			t.Error(err)
		}
		if err := errors.Join(d.replica.Reset(true), d.close()); err != nil {
			t.Error(err)
		}
	}
}
