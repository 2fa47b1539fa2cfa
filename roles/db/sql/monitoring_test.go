package sql

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Of two transactions, one waits for the other: everything that monitoring asks says so.
func TestMonitoringOfAWait(t *testing.T) {
	s := newServer(t)
	a, b, m := s.test(), s.test(), s.test()
	a.must("CREATE TABLE t (id INT PRIMARY KEY, v INT)", "INSERT INTO t VALUES (1, 1), (2, 2)", "BEGIN", "UPDATE t SET v = 10 WHERE id = 1")
	done := make(chan error, 1)
	go func() {
		_, err := b.query(context.Background(), "UPDATE t SET v = 20 WHERE id = 1", false, &collected{})
		done <- err
	}()
	for s.db.Stats().LockWaiting == 0 {
		time.Sleep(time.Millisecond)
	}
	find := func(what, query string, want ...string) {
		t.Helper()
		for _, row := range m.must(query).rows {
			all := true
			for _, w := range want {
				all = all && strings.Contains(row, w)
			}
			if all {
				return
			}
		}
		t.Errorf("%s: no row has %q:\n%s", what, want, strings.Join(m.must(query).rows, "\n"))
	}
	waiter, holder := uintText(uint64(b.ID())), uintText(uint64(a.ID()))
	const update = "UPDATE t SET v = 20 WHERE id = 1"
	find("SHOW PROCESSLIST", "SHOW PROCESSLIST", waiter+"|root|", "|Query|", "|Waiting for row lock|"+update)
	find("SHOW PROCESSLIST", "SHOW FULL PROCESSLIST", holder+"|root|", "|Sleep|")
	find("information_schema.processlist", "SELECT * FROM information_schema.processlist", waiter+"|root|", "|Waiting for row lock|"+update)
	find("performance_schema.processlist", "SELECT * FROM performance_schema.processlist", waiter+"|root|", "|Waiting for row lock|"+update)
	find("itself", "SHOW PROCESSLIST", "|executing|SHOW PROCESSLIST")
	find("innodb_trx", "SELECT trx_mysql_thread_id, trx_state, trx_query, trx_rows_modified, trx_isolation_level FROM information_schema.innodb_trx",
		waiter+"|LOCK WAIT|"+update, "|REPEATABLE READ")
	find("innodb_trx", "SELECT trx_mysql_thread_id, trx_state, trx_query, trx_rows_modified, trx_rows_locked FROM information_schema.innodb_trx",
		holder+"|RUNNING|NULL|1|1")
	find("data_locks", "SELECT thread_id, object_schema, object_name, index_name, lock_type, lock_mode, lock_status FROM performance_schema.data_locks",
		holder+"|test|t|PRIMARY|RECORD|X|GRANTED")
	find("data_locks", "SELECT thread_id, object_schema, object_name, index_name, lock_type, lock_mode, lock_status FROM performance_schema.data_locks",
		waiter+"|test|t|PRIMARY|RECORD|X|WAITING")
	find("data_lock_waits", "SELECT requesting_thread_id, blocking_thread_id FROM performance_schema.data_lock_waits", waiter+"|"+holder)
	find("SHOW ENGINE INNODB STATUS", "SHOW ENGINE INNODB STATUS", "---TRANSACTION of connection "+waiter, update, "WHICH CONNECTIONS ["+holder+"] HAVE", "index PRIMARY of table `test`.`t`")
	a.must("ROLLBACK")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if rows := m.must("SELECT * FROM performance_schema.data_lock_waits").rows; len(rows) != 0 {
		t.Errorf("nobody waits any more: %q", rows)
	}
	m.must("CREATE USER nobody", "GRANT SELECT ON test.* TO nobody")
	n := s.login("nobody", "%", "test")
	if rows := n.must("SHOW PROCESSLIST").rows; len(rows) != 1 {
		t.Errorf("without PROCESS: %q", rows)
	}
	n.fails(1227, "SHOW ENGINE INNODB STATUS")
}

func TestMonitoringOfADeadlock(t *testing.T) {
	s := newServer(t)
	a, b, m := s.test(), s.test(), s.test()
	a.must("CREATE TABLE t (id INT PRIMARY KEY, v INT)", "INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)")
	a.must("BEGIN", "UPDATE t SET v = 10 WHERE id = 1", "UPDATE t SET v = 30 WHERE id = 3")
	b.must("BEGIN", "UPDATE t SET v = 20 WHERE id = 2")
	done := make(chan error, 1)
	go func() {
		_, err := a.query(context.Background(), "UPDATE t SET v = 21 WHERE id = 2", false, &collected{})
		done <- err
	}()
	for s.db.Stats().LockWaiting == 0 {
		time.Sleep(time.Millisecond)
	}
	b.fails(1213, "DELETE FROM t WHERE id = 1")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	text := m.must("SHOW ENGINE INNODB STATUS").rows[0]
	for _, want := range []string{
		"LATEST DETECTED DEADLOCK", "UPDATE t SET v = 21 WHERE id = 2", "DELETE FROM t WHERE id = 1",
		"of connection " + uintText(uint64(b.ID())) + ", 1 rows written", "of connection " + uintText(uint64(a.ID())) + ", 2 rows written",
		"WE ROLL BACK TRANSACTION", "index PRIMARY of table `test`.`t`",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	a.must("ROLLBACK")
	if got := m.status("GLOBAL")["Innodb_deadlocks"]; got != 1 {
		t.Errorf("Innodb_deadlocks is %d", got)
	}
}

// The figures by form of statement are those of the statements, of both paths together.
func TestStatementDigests(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, v INT)", "INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)")
	for _, direct := range []string{"1", "0"} {
		c.must("SET direct = "+direct, "SELECT v FROM t WHERE id = 1", "SELECT  v FROM t WHERE id = 22 /* another */", "SELECT v FROM t WHERE v IN (1, 2) ORDER BY v DESC")
		c.fails(1062, "INSERT INTO t VALUES (1, 5), (9, 9)")
	}
	const columns = "SELECT schema_name, digest_text, count_star, sum_errors, sum_rows_sent, sum_rows_examined, sum_no_index_used, sum_sort_rows FROM performance_schema.events_statements_summary_by_digest WHERE digest_text LIKE "
	c.want(columns+"'SELECT v FROM t WHERE id%'", "test|SELECT v FROM t WHERE id = ?|4|0|2|2|0|0")
	c.want(columns+"'SELECT v FROM t WHERE v%'", "test|SELECT v FROM t WHERE v IN ( ? ) ORDER BY v DESC|2|0|4|6|2|4")
	c.want(columns+"'INSERT INTO t%'", "test|INSERT INTO t VALUES ( ? )|3|2|0|0|0|0")
	c.want("SELECT COUNT(*) FROM performance_schema.events_statements_summary_by_digest WHERE sum_timer_wait < max_timer_wait OR min_timer_wait > avg_timer_wait OR LENGTH(digest) <> 64", "0")
}

func uintText(n uint64) string { return strconv.FormatUint(n, 10) }
