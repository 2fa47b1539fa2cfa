package sql

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestFailedStatementLeavesNothing(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, n INT)", "INSERT INTO t VALUES (5, 5)")
	// In autocommit: the rows before the duplicate must not be committed by what follows.
	c.fails(1062, "INSERT INTO t VALUES (1,1),(2,2),(5,9)")
	c.must("INSERT INTO t VALUES (6,6)")
	c.want("SELECT id FROM t ORDER BY id", "5", "6")
	// In a transaction: only the statement is undone.
	c.must("BEGIN", "INSERT INTO t VALUES (7,7)")
	c.fails(1062, "INSERT INTO t VALUES (8,8),(5,9)")
	c.fails(1062, "UPDATE t SET id = 5 WHERE id > 5 ORDER BY id")
	c.must("COMMIT")
	c.want("SELECT id FROM t ORDER BY id", "5", "6", "7")
	s.test().want("SELECT id, n FROM t ORDER BY id", "5|5", "6|6", "7|7")
}

func TestIsolation(t *testing.T) {
	s := newServer(t)
	a, b := s.test(), s.test()
	a.must("CREATE TABLE t (id INT PRIMARY KEY, n INT)", "INSERT INTO t VALUES (1, 1)")

	a.must("BEGIN")
	a.want("SELECT n FROM t", "1")
	b.must("UPDATE t SET n = 2")
	a.want("SELECT n FROM t", "1") // repeatable
	a.want("SELECT n FROM t FOR SHARE", "2")
	a.want("SELECT n FROM t WHERE id IN (SELECT id FROM t FOR SHARE) ;", "1") // the subquery locks, the query does not
	a.want("SELECT n FROM t FOR UPDATE", "2")                                 // locking reads are of now
	a.must("UPDATE t SET n = n + 10", "COMMIT")
	a.want("SELECT n FROM t", "12")

	a.must("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED", "BEGIN")
	a.want("SELECT n FROM t", "12")
	b.must("UPDATE t SET n = 20")
	a.want("SELECT n FROM t", "20")
	a.must("COMMIT")

	// Nobody sees what is not committed; the own session does.
	a.must("BEGIN", "INSERT INTO t VALUES (2, 2)")
	a.want("SELECT COUNT(*) FROM t", "2")
	b.want("SELECT COUNT(*) FROM t", "1")
	a.must("ROLLBACK")
	a.want("SELECT COUNT(*) FROM t", "1")
}

func TestSerializableReadsLock(t *testing.T) {
	s := newServer(t)
	a, b := s.test(), s.test()
	a.must("CREATE TABLE t (id INT PRIMARY KEY, n INT)", "INSERT INTO t VALUES (1, 1)")
	b.must("SET innodb_lock_wait_timeout = 1")
	a.must("SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE", "BEGIN")
	a.want("SELECT n FROM t", "1")
	b.fails(1205, "UPDATE t SET n = 2")
	a.must("COMMIT")
	b.must("UPDATE t SET n = 2")
	// A SELECT that is a transaction of its own locks nothing.
	b.must("BEGIN", "UPDATE t SET n = 3")
	a.want("SELECT n FROM t", "2")
	b.must("ROLLBACK")
}

// What SET reads of tables under SERIALIZABLE is locked as what SELECT reads, in InnoDB too.
func TestSerializableSetLocks(t *testing.T) {
	s := newServer(t)
	theirs := mariadbServer(t)
	for name, open := range map[string]func() func(string) error{
		"ours": func() func(string) error {
			c := s.test()
			return func(q string) error { _, err := c.run(q); return err }
		},
		"MariaDB": func() func(string) error {
			conn, err := theirs.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			return func(q string) error { _, err := conn.ExecContext(t.Context(), q); return err }
		},
	} {
		reader, writer := open(), open()
		must := func(run func(string) error, queries ...string) {
			t.Helper()
			for _, q := range queries {
				if err := run(q); err != nil {
					t.Fatalf("%s: %s: %v", name, q, err)
				}
			}
		}
		must(reader, "USE test", "CREATE TABLE t (id INT PRIMARY KEY, n INT)", "INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)",
			"CREATE FUNCTION f() RETURNS INT READS SQL DATA RETURN (SELECT n FROM t WHERE id = 2)",
			"SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE", "BEGIN", "SET @a = (SELECT n FROM t WHERE id = 1)", "SET @b = f()")
		must(writer, "USE test", "SET innodb_lock_wait_timeout = 1", "UPDATE t SET n = 0 WHERE id = 3")
		for _, q := range []string{"UPDATE t SET n = 0 WHERE id = 1", "UPDATE t SET n = 0 WHERE id = 2"} {
			if err := writer(q); err == nil || !strings.Contains(err.Error(), "Lock wait timeout exceeded") {
				t.Errorf("%s: %s: %v, want that it waits in vain", name, q, err)
			}
		}
		must(reader, "COMMIT")
		must(writer, "UPDATE t SET n = 0")
	}
}

func TestLockWaitAndRelease(t *testing.T) {
	s := newServer(t)
	a, b := s.test(), s.test()
	a.must("CREATE TABLE t (id INT PRIMARY KEY, n INT)", "INSERT INTO t VALUES (1, 1)", "BEGIN", "UPDATE t SET n = 2")
	b.must("SET innodb_lock_wait_timeout = 1")
	b.fails(1205, "UPDATE t SET n = 3", "Lock wait timeout exceeded")
	b.want("SELECT n FROM t", "1") // readers never wait

	// A session that ends frees its locks at once.
	b.must("SET innodb_lock_wait_timeout = 50")
	done := make(chan error, 1)
	go func() {
		_, err := b.run("UPDATE t SET n = 4")
		done <- err
	}()
	waitFor(t, func() bool { return s.db.Stats().LockWaiting == 1 })
	a.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	b.want("SELECT n FROM t", "4")
}

func TestKillFreesTheLockQueue(t *testing.T) {
	s := newServer(t)
	a, b, c := s.test(), s.test(), s.test()
	a.must("CREATE TABLE t (id INT PRIMARY KEY)", "BEGIN", "INSERT INTO t VALUES (1)")
	done := make(chan error, 1)
	go func() {
		_, err := b.run("INSERT INTO t VALUES (1)")
		done <- err
	}()
	waitFor(t, func() bool { return s.db.Stats().LockWaiting == 1 })
	c.must(fmt.Sprintf("KILL QUERY %d", b.ID()))
	if err := <-done; err == nil {
		t.Error("a killed statement succeeded")
	}
	if n := s.db.Stats().LockWaiting; n != 0 {
		t.Errorf("%d still wait", n)
	}
	a.must("COMMIT")
	b.want("SELECT id FROM t", "1")
	c.fails(1094, "KILL 4000")
}

func TestSavepoints(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY)", "BEGIN", "INSERT INTO t VALUES (1)", "SAVEPOINT a",
		"INSERT INTO t VALUES (2)", "SAVEPOINT b", "INSERT INTO t VALUES (3)", "ROLLBACK TO b", "INSERT INTO t VALUES (4)",
		"RELEASE SAVEPOINT b")
	c.fails(1305, "ROLLBACK TO b")
	c.want("SELECT id FROM t ORDER BY id", "1", "2", "4")
	c.must("ROLLBACK TO SAVEPOINT a", "COMMIT")
	c.want("SELECT id FROM t", "1")
}

func TestAutocommitOff(t *testing.T) {
	s := newServer(t)
	a, b := s.test(), s.test()
	a.must("CREATE TABLE t (id INT PRIMARY KEY)", "SET autocommit = 0", "INSERT INTO t VALUES (1)")
	b.want("SELECT COUNT(*) FROM t", "0")
	if !a.State().InTransaction {
		t.Error("the state says that no transaction is open")
	}
	a.must("ROLLBACK", "INSERT INTO t VALUES (2)", "COMMIT")
	b.want("SELECT id FROM t", "2")
	a.must("INSERT INTO t VALUES (3)", "SET autocommit = 1")
	b.want("SELECT id FROM t ORDER BY id", "2", "3")
	// DDL commits what is open.
	a.must("SET autocommit = 0", "INSERT INTO t VALUES (4)", "CREATE TABLE u (id INT)", "ROLLBACK")
	b.want("SELECT id FROM t ORDER BY id", "2", "3", "4")
}

func TestReadOnly(t *testing.T) {
	s := newServer(t)
	root := s.test()
	root.must("CREATE TABLE t (id INT PRIMARY KEY)", "CREATE USER app IDENTIFIED BY 'x'", "GRANT ALL ON test.* TO app")
	app := s.login("app", "%", "test")
	app.must("INSERT INTO t VALUES (1)")
	app.fails(1227, "SET GLOBAL read_only = 1")
	root.must("SET GLOBAL read_only = 1")
	defer root.must("SET GLOBAL super_read_only = 0", "SET GLOBAL read_only = 0")
	app.fails(1290, "INSERT INTO t VALUES (2)", "--read-only")
	app.fails(1290, "CREATE TABLE u (id INT)")
	app.want("SELECT id FROM t", "1")
	root.must("INSERT INTO t VALUES (3)")
	root.must("SET GLOBAL super_read_only = 1")
	root.fails(1290, "INSERT INTO t VALUES (4)")
	root.must("SET GLOBAL super_read_only = 0", "SET GLOBAL read_only = 0")
	app.must("START TRANSACTION READ ONLY")
	app.fails(1792, "INSERT INTO t VALUES (5)")
	app.must("COMMIT", "INSERT INTO t VALUES (5)")
}

func TestNoLostUpdates(t *testing.T) {
	s := newServer(t)
	s.test().must("CREATE TABLE t (id INT PRIMARY KEY, n INT)", "INSERT INTO t VALUES (1, 0), (2, 0), (3, 0)")
	const clients, each = 8, 60
	var wg sync.WaitGroup
	for i := range clients {
		c := s.test()
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range each {
				var err error
				switch i % 3 {
				case 0:
					_, err = c.run("UPDATE t SET n = n + 1 WHERE id = 1")
				case 1: // read, then write, under a lock
					out := &collected{}
					for _, q := range []string{"BEGIN", "SELECT n FROM t WHERE id = 1 FOR UPDATE"} {
						if _, e := c.query(context.Background(), q, false, out); e != nil {
							err = e
						}
					}
					if err == nil {
						_, err = c.run(fmt.Sprintf("UPDATE t SET n = %s + 1 WHERE id = 1", out.rows[0]))
					}
					if _, e := c.run("COMMIT"); err == nil {
						err = e
					}
				case 2: // explicit transaction over two rows
					for _, q := range []string{"BEGIN", "UPDATE t SET n = n + 1 WHERE id = 1", "UPDATE t SET n = n + 1 WHERE id = 2", "COMMIT"} {
						if _, e := c.run(q); e != nil {
							err = e
						}
					}
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		}()
	}
	wg.Wait()
	s.test().want("SELECT n FROM t WHERE id = 1", fmt.Sprint(clients*each))
	s.test().want("SELECT n FROM t WHERE id = 2", fmt.Sprint(2*each))
}

// waitFor polls a condition that another goroutine brings about.
func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the condition did not come about within 30 s")
		}
	}
}

// A statement reads what was there when it began, whatever it writes itself.
func TestStatementDoesNotMeetItsOwnWrites(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, k INT, KEY (k))", "INSERT INTO t (k) VALUES (1),(2),(3)")
	c.must("UPDATE t SET k = k + 10 WHERE k > 0")
	c.want("SELECT k FROM t ORDER BY id", "11", "12", "13")
	c.must("UPDATE t SET id = id + 100 ORDER BY id DESC")
	c.want("SELECT id FROM t ORDER BY id", "101", "102", "103")
	if out := c.must("INSERT INTO t (k) SELECT k FROM t"); out.affected != 3 {
		t.Errorf("INSERT … SELECT from the same table added %d rows", out.affected)
	}
}

func TestTransactionOverDDLOfAnother(t *testing.T) {
	s := newServer(t)
	a, b := s.test(), s.test()
	a.must("CREATE TABLE t (id INT PRIMARY KEY, n INT)", "INSERT INTO t VALUES (1, 1)", "BEGIN")
	a.want("SELECT * FROM t", "1|1")
	b.must("ALTER TABLE t MODIFY n BIGINT")
	// The view is older than the table: as InnoDB, the transaction is to be tried again, or
	// it still sees the old table.
	if _, err := a.run("SELECT * FROM t"); err != nil {
		a.fails(1412, "SELECT * FROM t")
	}
	a.must("ROLLBACK")
	a.want("SELECT * FROM t", "1|1")
}

func TestTransactionCharacteristics(t *testing.T) {
	s := newServer(t)
	a, b := s.test(), s.test()
	a.must("CREATE TABLE t (id INT PRIMARY KEY, n INT)", "INSERT INTO t VALUES (1, 1)")
	a.must("SET TRANSACTION ISOLATION LEVEL READ COMMITTED", "BEGIN")
	a.want("SELECT n FROM t", "1")
	b.must("UPDATE t SET n = 2")
	a.want("SELECT n FROM t", "2")
	a.fails(1568, "SET TRANSACTION READ ONLY")
	a.must("COMMIT")
	a.want("SELECT @@transaction_isolation", "REPEATABLE-READ")
	a.must("BEGIN") // the next one is the session's again
	a.want("SELECT n FROM t", "2")
	b.must("UPDATE t SET n = 3")
	a.want("SELECT n FROM t", "2")
	a.must("COMMIT", "SET TRANSACTION READ ONLY", "BEGIN")
	a.fails(1792, "UPDATE t SET n = 4")
	a.must("COMMIT", "UPDATE t SET n = 4")

	a.must("START TRANSACTION WITH CONSISTENT SNAPSHOT")
	b.must("UPDATE t SET n = 5")
	a.want("SELECT n FROM t", "4")
	a.must("COMMIT AND CHAIN")
	a.want("SELECT n FROM t", "5")
	if !a.State().InTransaction {
		t.Error("COMMIT AND CHAIN has begun no transaction")
	}
	b.must("UPDATE t SET n = 6", "UPDATE t SET n = 5")
	a.must("SET @x = 1", "ROLLBACK AND CHAIN", "COMMIT AND NO CHAIN")
	if st := a.State(); st.InTransaction || st.Released {
		t.Errorf("after COMMIT AND NO CHAIN: %+v", st)
	}
	a.must("BEGIN", "ROLLBACK RELEASE")
	if !a.State().Released {
		t.Error("ROLLBACK RELEASE does not end the connection")
	}
	a.want("SELECT n FROM t", "5")
}

func TestSessionsLeaveNothing(t *testing.T) {
	s := newServer(t)
	s.test().must("CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, n INT)")
	use := func() {
		c := s.test()
		c.must("INSERT INTO t (n) VALUES (1)", "BEGIN", "SELECT * FROM t LIMIT 1", "UPDATE t SET n = 2", "CREATE TEMPORARY TABLE x (id INT)")
		c.fails(1146, "SELECT * FROM nosuch")
		c.Close()
	}
	use()
	before := runtime.NumGoroutine()
	for range 50 {
		use()
	}
	waitFor(t, func() bool { return runtime.NumGoroutine() <= before })
	if n := s.engine.Transactions(); n != 0 {
		t.Errorf("%d transactions are open", n)
	}
	if st := s.db.Stats(); st.Active != 0 || st.Views != 1 {
		t.Errorf("%+v", st)
	}
	if n := len(s.engine.gms.ProcessList.Processes()); n != len(s.engine.sessions) {
		t.Errorf("%d processes are listed for %d sessions", n, len(s.engine.sessions))
	}
}

func TestDiskFull(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY)", "CREATE TABLE u (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1)", "INSERT INTO u VALUES (1)")
	s.reserve = 1 << 60
	s.restart()
	c = s.test()
	c.fails(1021, "INSERT INTO t VALUES (2)", "Disk full")
	c.must("BEGIN", "INSERT INTO t VALUES (3)")
	c.fails(1021, "COMMIT")
	if c.State().InTransaction {
		t.Error("the transaction whose commit was refused is still open")
	}
	c.fails(1021, "CREATE USER a IDENTIFIED BY 'x'")
	if s.engine.HasAccount("a", "%") {
		t.Error("an account was made that is not stored")
	}
	c.want("SELECT id FROM t", "1")
	c.must("DROP TABLE u", "TRUNCATE t")
	c.want("SHOW TABLES", "t")
	c.want("SELECT COUNT(*) FROM t", "0")
}

// A transaction may be larger than what is kept of it in memory; what fails of it leaves
// nothing.
func TestLargeTransaction(t *testing.T) {
	s := newServer(t)
	s.writeSet = 64 << 10
	s.restart()
	c := s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(1000), n INT, UNIQUE (n))", "INSERT INTO t (v, n) VALUES (REPEAT('x', 1000), 1)")
	for range 10 {
		c.must("INSERT INTO t (v, n) SELECT v, n + (SELECT MAX(n) FROM t) FROM t")
	}
	c.want("SELECT COUNT(*), MAX(n) FROM t", "1024|1024")
	c.must("BEGIN", "UPDATE t SET v = REPEAT('y', 900)", "SAVEPOINT a", "UPDATE t SET v = CONCAT(v, 'z')", "DELETE FROM t WHERE n > 1000")
	c.want("SELECT COUNT(*), MIN(v) = CONCAT(REPEAT('y', 900), 'z'), MIN(v) = MAX(v) FROM t", "1000|1|1")
	c.must("ROLLBACK TO a")
	c.fails(1062, "UPDATE t SET n = IF(n = 900, 2, IF(n < 10, n, n + 5000))")
	c.want("SELECT COUNT(*), SUM(n), MIN(v) = REPEAT('y', 900), MIN(v) = MAX(v) FROM t", "1024|524800|1|1")
	c.must("COMMIT")
	c.want("SELECT COUNT(*), SUM(n), MIN(v) = REPEAT('y', 900), MIN(v) = MAX(v) FROM t", "1024|524800|1|1")
	s.restart()
	c = s.test()
	c.want("SELECT COUNT(*), SUM(n), MIN(v) = MAX(v) FROM t FORCE INDEX (n) WHERE n > 0", "1024|524800|1")
}
