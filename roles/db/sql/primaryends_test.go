package sql

import (
	"strings"
	"testing"
)

// MIN and MAX of a primary key are read at its end. Of an empty table they are NULL, and one row.
func TestEndsOfPrimaryKeys(t *testing.T) {
	conn := mariadb(t)
	c := newServer(t).test()
	onBoth(t, c, conn, "CREATE TABLE t (id INT PRIMARY KEY, n INT)", "CREATE TABLE s (name VARCHAR(9), n INT, PRIMARY KEY (name, n))",
		"CREATE PROCEDURE largest(OUT x INT, OUT gone INT) BEGIN DECLARE CONTINUE HANDLER FOR NOT FOUND SET gone = 1; SET x = 5, gone = 0; SELECT MAX(id) INTO x FROM t; END")
	check := func() {
		t.Helper()
		onBoth(t, c, conn, "CALL largest(@x, @gone)")
		for _, q := range []string{"SELECT MAX(id) FROM t", "SELECT MIN(id) FROM t", "SELECT MAX(id) + 1, 5 FROM t", "SELECT MIN(name) FROM s", "SELECT MAX(name) FROM s", "SELECT MAX(n) FROM s",
			"SELECT (SELECT COALESCE(MAX(id), 0) FROM t)", "SELECT COUNT(*) FROM (SELECT MAX(id) FROM t) d", "SELECT MAX(id) FROM t HAVING MAX(id) > 5", "SELECT IFNULL(MIN(id), -1) m FROM t ORDER BY m",
			"SELECT MAX(id) FROM t UNION ALL SELECT MIN(id) FROM t", "SELECT @x, @gone"} {
			asMariaDB(t, c, conn, q)
		}
	}
	check()
	onBoth(t, c, conn, "INSERT INTO t SELECT IFNULL(MAX(id), 0) + 1, 7 FROM t", "INSERT INTO t SELECT MAX(id) + 5, 8 FROM t", "INSERT INTO s VALUES ('b', 2), ('B', 9), ('a', 3), ('É', 4), ('f', 1)")
	check()
	onBoth(t, c, conn, "DELETE FROM t WHERE id = (SELECT m FROM (SELECT MAX(id) m FROM t) q)")
	check()
	// One row is read, whatever the table's size.
	plan := strings.Join(c.must("EXPLAIN FORMAT=TREE SELECT MAX(id) FROM t").rows, "\n")
	for _, want := range []string{"Limit(1)", "IndexedTableAccess(t)", "reverse: true"} {
		if !strings.Contains(plan, want) {
			t.Errorf("MAX of a primary key without %s:\n%s", want, plan)
		}
	}
}
