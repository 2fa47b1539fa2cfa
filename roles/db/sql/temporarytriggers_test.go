package sql

import "testing"

// The triggers of a stored table are not those of a temporary table that hides it, and stay when that is dropped.
func TestTriggersStayBehindTemporaryTables(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY)", "CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.id = NEW.id + 100",
		"CREATE TABLE log (id INT)", "CREATE TRIGGER tu BEFORE UPDATE ON t FOR EACH ROW INSERT INTO log VALUES (1)", "CREATE TRIGGER td BEFORE DELETE ON t FOR EACH ROW INSERT INTO log VALUES (2)",
		"CREATE TEMPORARY TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1)")
	c.want("SELECT id FROM t", "1")
	c.must("INSERT INTO t SELECT id + 1 FROM t", "UPDATE t SET id = id + 10 ORDER BY id DESC", "DELETE FROM t WHERE id = 12")
	c.want("SELECT id FROM t", "11")
	c.must("DROP TEMPORARY TABLE t", "INSERT INTO t VALUES (1)")
	c.want("SELECT id FROM t", "101")
	c.must("CREATE TEMPORARY TABLE t (id INT PRIMARY KEY)", "DROP TABLE t", "INSERT INTO t VALUES (2)")
	c.want("SELECT id FROM t ORDER BY id", "101", "102")
	c.want("SELECT COUNT(*) FROM log", "0")
	c.must("DROP TABLE t", "CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (3)")
	c.want("SELECT id FROM t", "3")
}
