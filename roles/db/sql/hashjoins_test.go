package sql

import (
	"slices"
	"strings"
	"testing"
)

// hashTables are a table of some hundred posts, one of what is said of them under a key that an index has, and
// NULLs in both. Only with so many rows and statistics of them the planner looks rows up by the key alone.
var hashTables = []string{
	"CREATE TABLE p (id INT PRIMARY KEY, x INT, z INT NOT NULL, s VARCHAR(9), d DATETIME, KEY (x))",
	"CREATE TABLE m (id INT PRIMARY KEY, y INT, k VARCHAR(20), u INT, n DECIMAL(8,2), t TEXT, d DATETIME, r INT NOT NULL, KEY (k), KEY (u), KEY (r))",
	"INSERT INTO p WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 400) SELECT i, IF(i % 50 = 7, NULL, i), i % 10, CONCAT('a', i), IF(i % 40 = 5, NULL, '2026-01-01' + INTERVAL i HOUR) FROM n",
	"INSERT INTO m SELECT id, IF(id > 3, id, NULL), IF(id % 2, 'a', 'b'), IF(id > 5, id, NULL), id, CONCAT('A', id), d, id FROM p WHERE id <> 12",
	"INSERT INTO m SELECT id + 2000, y, 'c', u, n, t, d, r FROM m WHERE id > 9 AND d IS NOT NULL",
}

// A join reads the rows of a constant once, not again for each row of the other side.
func TestJoinsReadConstantsOnce(t *testing.T) {
	c := newServer(t).test()
	c.must("SET direct = 0")
	c.must(hashTables...)
	c.must("ANALYZE TABLE p, m")
	for _, q := range []string{
		"SELECT COUNT(*) FROM p LEFT JOIN m ON m.u = p.id AND m.k = 'c' WHERE p.x IN (SELECT y FROM m WHERE k = 'a')",
		"SELECT COUNT(*) FROM p LEFT JOIN m ON m.u = p.id AND m.k = 'c' WHERE p.x NOT IN (SELECT y FROM m WHERE k = 'c')",
		"SELECT COUNT(*) FROM p LEFT JOIN m ON m.u = p.id AND m.k = 'c' WHERE EXISTS (SELECT 1 FROM m o WHERE o.y = p.x AND o.k = 'a')",
		"SELECT COUNT(*) FROM p LEFT JOIN m ON m.u = p.id AND m.k = 'c' WHERE NOT EXISTS (SELECT 1 FROM m o WHERE o.y = p.x AND o.k = 'a')",
		"SELECT COUNT(*) FROM p WHERE EXISTS (SELECT 1 FROM m WHERE m.y = p.x AND m.k = 'a' AND m.n > p.z)",
		"SELECT COUNT(*) FROM p JOIN m ON m.y = p.x AND m.k = 'a'",
		"SELECT COUNT(*) FROM p LEFT JOIN m ON m.y = p.x AND m.k = 'a'",
		"SELECT COUNT(*) FROM p LEFT JOIN m ON m.y = p.x AND m.k = 'a' AND m.n > p.z",
		"SELECT COUNT(*) FROM p WHERE p.s IN (SELECT t FROM m WHERE k = 'a')",
	} {
		before := c.status("SESSION")
		c.must(q)
		after := c.status("SESSION")
		read := uint64(0)
		for _, name := range []string{"Handler_read_key", "Handler_read_next", "Handler_read_rnd_next"} {
			read += after[name] - before[name]
		}
		if read > 3000 { // all rows of both tables, twice
			t.Errorf("%s reads %d times:\n%s", q, read, c.plan(q))
		}
	}
}

// Joins that keep a side in memory find the rows that MariaDB finds: NULLs among the values of NOT IN, rows
// with several values, numbers and texts of different types, queries inside others, and changes.
func TestHashJoinsAsMariaDB(t *testing.T) {
	conn := mariadb(t)
	c := newServer(t).test()
	c.must("SET direct = 0")
	both := func(q string) {
		t.Helper()
		c.must(q)
		if _, err := conn.ExecContext(t.Context(), q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
	same := func(q string) {
		t.Helper()
		theirs, err := rowsOf(conn, q)
		if err != nil {
			t.Fatalf("%s: %v", q, err)
		}
		out, err := c.run(q)
		if err != nil {
			t.Errorf("%s: %v", q, err)
			return
		}
		slices.Sort(theirs)
		slices.Sort(out.rows)
		if !slices.Equal(out.rows, theirs) {
			t.Errorf("%s: %d rows; MariaDB has %d\n%s", q, len(out.rows), len(theirs), c.plan(q))
		}
	}
	both("DROP TABLE IF EXISTS p, m")
	for _, q := range hashTables {
		both(q)
	}
	lists := []string{
		"SELECT y FROM m WHERE k = 'a'", "SELECT y FROM m WHERE k = 'c'", "SELECT y FROM m WHERE k = 'none'", "SELECT u FROM m WHERE k = 'b'", "SELECT u FROM m",
		"SELECT u FROM m WHERE u > 8", "SELECT n FROM m WHERE k = 'a'", "SELECT r FROM m WHERE k = 'a'", "SELECT r FROM m", "SELECT NULL FROM m WHERE k = 'a'",
		"SELECT NULL FROM m WHERE k = 'none'", "SELECT y FROM m WHERE k = 'a' AND y IS NOT NULL", "SELECT m.y FROM m JOIN p q ON q.id = m.u WHERE m.k = 'a'",
	}
	for _, analyzed := range []string{"", "ANALYZE TABLE p, m"} {
		if analyzed != "" {
			c.must(analyzed)
		}
		for i, list := range lists {
			for _, in := range []string{"p.x IN", "p.x NOT IN", "p.id NOT IN", "p.x + 0 NOT IN"} {
				hint := []string{"", "/*+ LOOKUP_JOIN(p, m) */ ", "/*+ MERGE_JOIN(p, m) */ "}[i%3]
				same("SELECT p.id FROM p WHERE " + in + " (" + list + ")")
				if analyzed != "" {
					same("SELECT " + hint + "p.id FROM p WHERE " + in + " (" + list + ")")
				}
			}
		}
		for _, q := range []string{
			"SELECT p.id FROM p WHERE (p.x, p.z) NOT IN (SELECT u, y FROM m WHERE k = 'a')",
			"SELECT p.id FROM p WHERE (p.x, p.id) NOT IN (SELECT u, r FROM m WHERE k = 'b')",
			"SELECT p.id FROM p WHERE (p.x, p.id) IN (SELECT u, n FROM m WHERE k = 'b')",
			"SELECT p.id FROM p WHERE p.s IN (SELECT t FROM m WHERE k = 'a')",
			"SELECT p.id FROM p WHERE p.s NOT IN (SELECT t FROM m WHERE k = 'a')",
			"SELECT p.id FROM p WHERE p.d IN (SELECT d FROM m WHERE k = 'a')",
			"SELECT p.id FROM p WHERE p.d NOT IN (SELECT d FROM m WHERE k = 'c')",
			"SELECT p.id FROM p WHERE p.d NOT IN (SELECT d FROM m WHERE k = 'a')",
			"SELECT p.id FROM p WHERE NOT EXISTS (SELECT 1 FROM m WHERE m.y = p.x AND m.k = 'a')",
			"SELECT p.id FROM p WHERE NOT EXISTS (SELECT 1 FROM m WHERE m.y = p.x AND m.k = 'a' AND m.u > p.z)",
			"SELECT p.id FROM p WHERE EXISTS (SELECT 1 FROM m WHERE m.y = p.x AND m.n = p.id AND m.k = 'a' AND m.u > p.z)",
			"SELECT p.id, m.id FROM p LEFT JOIN m ON m.y = p.x AND m.k = 'a'",
			"SELECT p.id, m.id FROM p LEFT JOIN m ON m.n = p.x AND m.k = 'a' AND m.u > p.z * 50",
			"SELECT p.id, m.id FROM p JOIN m ON m.t = p.s AND m.k = 'c'",
			"SELECT p.id, (SELECT COUNT(*) FROM p q JOIN m ON m.y = q.x AND m.k = 'a' WHERE q.z < p.z) FROM p WHERE p.id < 20",
			"SELECT p.id, (SELECT COUNT(*) FROM p q JOIN m ON m.y = q.x AND m.k = 'a' AND m.u < p.id WHERE q.id < 50) FROM p WHERE p.id < 20",
			"SELECT p.id, (SELECT COUNT(*) FROM p q WHERE q.x NOT IN (SELECT y FROM m WHERE k = 'c') AND q.id < p.id) FROM p WHERE p.id < 20",
			"WITH RECURSIVE w AS (SELECT 1 AS i UNION ALL SELECT m.id + 7 FROM w JOIN m ON m.y = w.i + 5 AND m.k = 'b' WHERE w.i < 500) SELECT i FROM w",
		} {
			same(q)
		}
	}
	for _, q := range []string{
		"UPDATE p SET z = 77 WHERE x NOT IN (SELECT y FROM m WHERE k = 'c')",
		"UPDATE p SET z = 78 WHERE x IN (SELECT y FROM m WHERE k = 'a')",
		"UPDATE p JOIN m ON m.y = p.x AND m.k = 'b' SET p.z = m.n, m.u = -p.id",
		"DELETE FROM p WHERE x IN (SELECT y FROM m WHERE k = 'b' AND n < 300)",
		"DELETE p FROM p LEFT JOIN m ON m.y = p.x AND m.k = 'c' WHERE m.id IS NULL",
		"INSERT INTO p SELECT p.id + 5000, p.x, p.z, p.s, p.d FROM p JOIN m ON m.y = p.x AND m.k = 'c'",
	} {
		both(q)
		same("SELECT * FROM p")
		same("SELECT * FROM m")
	}
	if plan := c.plan("SELECT p.id FROM p WHERE p.x NOT IN (SELECT y FROM m WHERE k = 'c')"); !strings.Contains(plan, "AntiHashJoin") {
		t.Errorf("NOT IN keeps nothing in memory:\n%s", plan)
	}
}

// What a join keeps in memory it keeps for one statement: the next one of a loop or a trigger, and the next
// EXECUTE, read the rows anew.
func TestHashJoinsReadAnew(t *testing.T) {
	c := newServer(t).test()
	c.must("SET direct = 0", "CREATE TABLE p (id INT PRIMARY KEY, x INT)", "CREATE TABLE m (id INT PRIMARY KEY AUTO_INCREMENT, y INT, k INT)", "CREATE TABLE r (n INT, c INT)", "CREATE TABLE s (id INT PRIMARY KEY)",
		"INSERT INTO p VALUES (1, 1), (2, 2), (3, 3), (4, NULL)",
		"CREATE PROCEDURE w() BEGIN DECLARE i INT DEFAULT 1; WHILE i < 4 DO INSERT INTO m (y, k) VALUES (i, 1); INSERT INTO r SELECT i, COUNT(*) FROM p WHERE x IN (SELECT y FROM m WHERE k = 1); "+
			"INSERT INTO r SELECT -i, COUNT(*) FROM p WHERE x NOT IN (SELECT y FROM m WHERE y <= i); SET i = i + 1; END WHILE; END",
		"CREATE TRIGGER g AFTER INSERT ON s FOR EACH ROW BEGIN INSERT INTO m (y, k) VALUES (NEW.id, 2); SET @n = (SELECT COUNT(*) FROM p WHERE x IN (SELECT y FROM m WHERE k = 2)); INSERT INTO r VALUES (NEW.id + 100, @n); "+
			"SET @n = (SELECT COUNT(*) FROM p WHERE NOT EXISTS (SELECT 1 FROM m WHERE y = x AND k = 2)); INSERT INTO r VALUES (NEW.id + 200, @n); END",
		"CREATE FUNCTION f(v INT) RETURNS INT RETURN (SELECT COUNT(*) FROM p WHERE x IN (SELECT y FROM m WHERE y <= v))",
		"CALL w()", "INSERT INTO s VALUES (1), (2), (3)")
	c.want("SELECT * FROM r ORDER BY n", "-3|0", "-2|1", "-1|2", "1|1", "2|2", "3|3", "101|1", "102|2", "103|3", "201|3", "202|2", "203|1")
	c.want("SELECT id, f(id) FROM p ORDER BY id", "1|1", "2|2", "3|3", "4|3")
	c.must("PREPARE q FROM 'SELECT COUNT(*) FROM p WHERE x IN (SELECT y FROM m WHERE k = ?)'", "SET @k = 1")
	c.want("EXECUTE q USING @k", "3")
	c.must("DELETE FROM m WHERE k = 1")
	c.want("EXECUTE q USING @k", "0")
	c.must("SET @k = 2")
	c.want("EXECUTE q USING @k", "3")
}
