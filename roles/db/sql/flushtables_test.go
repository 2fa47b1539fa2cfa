package sql

import (
	"context"
	"strings"
	"testing"
	"time"
)

// later runs a statement beside the test and gives its error.
func (c *client) later(query string) chan error {
	done := make(chan error, 1)
	go func() {
		_, err := c.run(query)
		done <- err
	}()
	return done
}

// Under the global read lock nobody else's statement writes and no commit enters the log; what reads goes on.
func TestFlushTablesWithReadLock(t *testing.T) {
	s := newServer(t)
	a, b, c := s.test(), s.test(), s.test()
	a.must("CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1)", "FLUSH TABLES", "FLUSH LOCAL TABLES t", "FLUSH TABLE t")
	b.must("BEGIN", "INSERT INTO t VALUES (2)")
	a.must("FLUSH TABLES WITH READ LOCK", "FLUSH TABLES WITH READ LOCK")
	before := strings.Join(a.must("SHOW MASTER STATUS").rows, "\n")
	commit, insert := b.later("COMMIT"), c.later("INSERT INTO t VALUES (3)")
	d := s.test()
	d.must("SET lock_wait_timeout = 1")
	for _, q := range []string{"INSERT INTO t VALUES (4)", "CREATE TABLE u (id INT)", "CREATE USER x", "TRUNCATE t"} {
		d.fails(1205, q) // by now the others wait too
	}
	d.want("SELECT id FROM t", "1")
	select {
	case err := <-commit:
		t.Fatalf("a commit went through: %v", err)
	case err := <-insert:
		t.Fatalf("an INSERT went through: %v", err)
	default:
	}
	for _, q := range []string{"INSERT INTO t VALUES (5)", "UPDATE t SET id = 6", "DROP TABLE t", "CREATE DATABASE u", "LOCK TABLES t WRITE"} {
		a.fails(1223, q)
	}
	a.must("CREATE TEMPORARY TABLE mine (id INT PRIMARY KEY)", "INSERT INTO mine VALUES (7)", "START TRANSACTION WITH CONSISTENT SNAPSHOT")
	a.want("SELECT id FROM t", "1")
	if now := strings.Join(a.must("SHOW MASTER STATUS").rows, "\n"); now != before {
		t.Errorf("the log has moved from %s to %s", before, now)
	}
	e := s.test() // another may have it at the same time
	e.must("FLUSH TABLES WITH READ LOCK", "UNLOCK TABLES")
	a.must("UNLOCK TABLES")
	for _, done := range []chan error{commit, insert} {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	a.want("SELECT id FROM t", "1") // UNLOCK TABLES has not ended the transaction
	a.must("COMMIT")
	a.want("SELECT id FROM t ORDER BY id", "1", "2", "3")
	a.must("INSERT INTO t VALUES (8)")
}

// The lock ends with its session, and whoever waits for it can be stopped.
func TestFlushTablesEnds(t *testing.T) {
	s := newServer(t)
	a, b, c := s.test(), s.test(), s.test()
	a.must("CREATE TABLE t (id INT PRIMARY KEY)", "FLUSH TABLES WITH READ LOCK")
	insert := b.later("INSERT INTO t VALUES (1)")
	a.Close()
	if err := <-insert; err != nil {
		t.Fatal(err)
	}
	c.must("BEGIN", "INSERT INTO t VALUES (2)")
	b.must("FLUSH TABLES WITH READ LOCK")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.query(ctx, "COMMIT", false, &collected{}); err == nil {
		t.Error("a commit went through")
	}
	b.must("UNLOCK TABLES")
	c.must("ROLLBACK")
	b.want("SELECT id FROM t", "1")
	b.must("LOCK TABLES t READ")
	b.fails(1192, "FLUSH TABLES WITH READ LOCK")
	b.must("UNLOCK TABLES", "FLUSH TABLES t WITH READ LOCK")
	b.fails(1099, "INSERT INTO t VALUES (9)")
	b.must("UNLOCK TABLES")
	b.fails(1314, "CREATE PROCEDURE p() FLUSH TABLES WITH READ LOCK")
	b.must("CREATE USER low@'%' IDENTIFIED BY 'pw'", "GRANT ALL ON test.* TO low@'%'")
	low := s.login("low", "%", "test")
	low.fails(1227, "FLUSH TABLES WITH READ LOCK", "RELOAD")
	low.fails(1227, "FLUSH TABLES")
}
