package sql

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"stack/roles/db/txn"
	"stack/roles/db/wire"
)

// A client whose commit is in the log is never told that it failed, and one whose commit
// is refused is told why and what to do.
func TestCommitsWithoutAcknowledgements(t *testing.T) {
	s := newServer(t)
	a, b := s.test(), s.test()
	a.must("CREATE TABLE t (id INT PRIMARY KEY)")
	a.want("SELECT @@stack_epoch", "0")
	a.fails(1238, "SET GLOBAL stack_epoch = 4")
	if err := s.db.SetAckPolicy(txn.AckPolicy{Need: 1, Members: []string{"db2", "db3"}, Timeout: time.Millisecond, Strict: true}); err != nil {
		t.Fatal(err)
	}
	outcome := make(chan error, 1)
	go func() {
		_, err := a.run("INSERT INTO t VALUES (1)")
		outcome <- err
	}()
	for end := time.Now().Add(10 * time.Second); !s.db.AckStatus().Stalled; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the server waits on")
		}
	}
	b.fails(1290, "INSERT INTO t VALUES (2)", "1 of the replicas db2, db3")
	b.fails(1290, "CREATE TABLE u (id INT)", "db.ack_policy")
	b.must("BEGIN", "INSERT INTO t VALUES (3)")
	b.fails(1290, "COMMIT")
	b.want("SELECT id FROM t")
	if _, err := s.db.AcceptEpoch(5); err != nil {
		t.Fatal(err)
	}
	if err := <-outcome; !errors.Is(err, wire.ErrDrop) {
		t.Errorf("the client whose commit waited was told %v", err)
	}
	b.fails(1290, "INSERT INTO t VALUES (4)", "read-only")
	b.want("SELECT @@stack_epoch", "5")
	b.want("SELECT id FROM t")
	if err := s.db.OpenForWrites(5); err != nil {
		t.Fatal(err)
	}
	if err := s.db.SetAckPolicy(txn.AckPolicy{}); err != nil {
		t.Fatal(err)
	}
	b.must("INSERT INTO t VALUES (4)")
	b.want("SELECT id FROM t ORDER BY id", "1", "4")
	if text := notAcknowledged(txn.ErrNotAcknowledged).Error(); !strings.Contains(text, "start the replicas") {
		t.Error(text)
	}
}

// A client that leaves, or is killed, while its plain COMMIT waits for replicas is waited for no longer.
func TestPlainCommitIsLeft(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY)", "BEGIN", "INSERT INTO t VALUES (1)")
	if err := s.db.SetAckPolicy(txn.AckPolicy{Need: 1, Members: []string{"db2"}, Timeout: time.Millisecond, Strict: true}); err != nil {
		t.Fatal(err)
	}
	ctx, leave := context.WithCancelCause(t.Context())
	outcome := make(chan error, 1)
	go func() {
		_, err := c.query(ctx, "COMMIT", false, &collected{})
		outcome <- err
	}()
	for end := time.Now().Add(10 * time.Second); !s.db.AckStatus().Stalled; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the server waits on")
		}
	}
	leave(wire.ErrConnectionKilled)
	select {
	case err := <-outcome:
		if err == nil {
			t.Error("a COMMIT that was left says that it is stored")
		}
	case <-time.After(10 * time.Second):
		t.Error("the COMMIT still waits")
	}
	if err := s.db.SetAckPolicy(txn.AckPolicy{}); err != nil {
		t.Fatal(err)
	}
	reader := s.test()
	for end := time.Now().Add(10 * time.Second); len(reader.must("SELECT id FROM t").rows) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("what is in the log is not shown")
		}
	}
}
