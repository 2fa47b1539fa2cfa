package sql

import (
	"strings"
	"testing"
)

func TestTableAdministration(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, s VARCHAR(10), KEY (s))", "INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, NULL)", "CREATE TABLE u LIKE t", "INSERT INTO u SELECT * FROM t ORDER BY id DESC")
	c.want("CHECK TABLE t, test.u QUICK", "test.t|check|status|OK", "test.u|check|status|OK")
	c.want("CHECK TABLE nosuch", "test.nosuch|check|Error|Table 'test.nosuch' doesn't exist", "test.nosuch|check|status|Operation failed")
	c.want("OPTIMIZE TABLE t", "test.t|optimize|status|OK")
	c.want("REPAIR TABLE t", "test.t|repair|note|The storage engine for the table doesn't support repair")
	sums := c.must("CHECKSUM TABLE t, u, nosuch").rows
	if len(sums) != 3 || strings.TrimPrefix(sums[0], "test.t") != strings.TrimPrefix(sums[1], "test.u") || sums[2] != "test.nosuch|NULL" {
		t.Errorf("CHECKSUM TABLE: %q", sums)
	}
	c.must("UPDATE u SET s = 'x' WHERE id = 3")
	if after := c.must("CHECKSUM TABLE u").rows; strings.TrimPrefix(after[0], "test.u") == strings.TrimPrefix(sums[1], "test.u") {
		t.Error("another row, and the same checksum")
	}
	c.fails(1064, "CHECK TABLE t nonsense")
	c.fails(1286, "SHOW ENGINE MYISAM STATUS")
	if rows := c.must("SHOW ENGINE INNODB STATUS").rows; len(rows) != 1 || !strings.Contains(rows[0], "TRANSACTIONS") {
		t.Errorf("SHOW ENGINE INNODB STATUS: %q", rows)
	}
}

func TestRenameIntoDatabase(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE DATABASE other", "CREATE TABLE p (id INT PRIMARY KEY)", "CREATE TABLE k (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES p (id))", "INSERT INTO p VALUES (1)")
	c.must("RENAME TABLE p TO other.parent")
	c.want("SELECT * FROM other.parent", "1")
	c.must("INSERT INTO k VALUES (1, 1)")
	c.fails(1452, "INSERT INTO k VALUES (2, 2)")
	c.fails(1451, "DELETE FROM other.parent")
	c.must("RENAME TABLE k TO other.k, other.k TO kk")
	c.fails(1452, "INSERT INTO kk VALUES (2, 2)")
	c.fails(1146, "RENAME TABLE nosuch TO other.x")
	c.fails(1049, "RENAME TABLE kk TO nosuch.x")
	c.must("CREATE TRIGGER tr BEFORE INSERT ON kk FOR EACH ROW SET NEW.p = 1")
	c.fails(1435, "RENAME TABLE kk TO other.x")
}

func TestMonitoring(t *testing.T) {
	c := newServer(t).test()
	for _, q := range []string{
		"SHOW GLOBAL STATUS", "SHOW GLOBAL VARIABLES", "SHOW SLAVE STATUS", "SHOW ALL SLAVES STATUS", "SHOW SLAVE STATUS NONBLOCKING",
		"SELECT page_size, compress_ops, compress_ops_ok, compress_time, uncompress_ops, uncompress_time FROM information_schema.innodb_cmp",
		"SELECT page_size, buffer_pool_instance as buffer_pool, pages_used, pages_free, relocation_ops, relocation_time FROM information_schema.innodb_cmpmem",
		"SELECT VARIABLE_NAME, VARIABLE_VALUE FROM performance_schema.global_variables", "SELECT * FROM performance_schema.session_status",
		"SELECT * FROM performance_schema.session_variables", "SELECT * FROM performance_schema.processlist", "USE performance_schema",
	} {
		c.must(q)
	}
	c.want("SELECT VARIABLE_VALUE FROM performance_schema.global_variables WHERE VARIABLE_NAME = 'version'", Version)
	c.want("SHOW GLOBAL STATUS LIKE 'Threads_connected'", "Threads_connected|2")
	c.fails(1007, "CREATE DATABASE performance_schema")
}
