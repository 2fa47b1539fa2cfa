package sql

import (
	"slices"
	"testing"
)

// An UPDATE of a join beside MariaDB: triggers fire once for each row that is there, and tables
// that SET does not name are left alone. Generated columns follow what triggers put in, some of which
// MariaDB leaves behind.
func TestUpdateOfJoinWithTriggers(t *testing.T) {
	conn := mariadb(t)
	s := newServer(t)
	c := s.test()
	for i, q := range []string{
		"CREATE TABLE t (id INT PRIMARY KEY, a INT, g INT AS (a * 2) STORED, h INT AS (g + 1) STORED, KEY (g))",
		"CREATE TABLE u (id INT PRIMARY KEY, n INT, at TIMESTAMP NOT NULL DEFAULT '2001-01-01 00:00:00' ON UPDATE CURRENT_TIMESTAMP)",
		"CREATE TABLE log (name VARCHAR(10), was INT, is_now INT)",
		"INSERT INTO t (id, a) VALUES (1, 1), (2, 2), (3, 3)", "INSERT INTO u (id, n) VALUES (1, 10), (2, 20), (3, 30)",
		"CREATE TRIGGER tb BEFORE UPDATE ON t FOR EACH ROW SET NEW.a = NEW.a + 1000",
		"UPDATE t JOIN u ON u.id = t.id SET t.a = u.n",
		"UPDATE u JOIN t ON u.id = t.id SET t.a = 5 WHERE t.id = 2",
		"UPDATE t x JOIN u y ON x.id = y.id SET x.a = y.n + 70 WHERE y.id > 1",
		"UPDATE u JOIN t ON u.id = t.id SET u.n = 20 WHERE t.id = 2",
		"CREATE TRIGGER ub BEFORE UPDATE ON u FOR EACH ROW SET NEW.n = NEW.n * 2",
		"CREATE TRIGGER ta AFTER UPDATE ON t FOR EACH ROW INSERT INTO log VALUES ('t', OLD.a, NEW.a)",
		"CREATE TRIGGER ua AFTER UPDATE ON u FOR EACH ROW INSERT INTO log VALUES ('u', OLD.n, NEW.n)",
		"UPDATE t LEFT JOIN u ON u.id = t.id AND u.id <> 2 SET t.a = 50",
		"UPDATE t JOIN u ON t.id <> 3 SET t.a = 60",
		"UPDATE t JOIN u ON t.id = u.id SET t.a = t.a - 1000",
	} {
		ours, err := c.run(q)
		if err != nil {
			t.Fatal(q, err)
		}
		out, err := conn.ExecContext(t.Context(), q)
		if err != nil {
			t.Fatal(q, err)
		}
		if n, _ := out.RowsAffected(); n != int64(ours.affected) && q[0] == 'U' {
			t.Errorf("%s\nchanges %d rows, in MariaDB %d", q, ours.affected, n)
		}
		for _, q := range []string{"SELECT id, a FROM t ORDER BY id", "SELECT * FROM u ORDER BY id", "SELECT * FROM log ORDER BY name, was, is_now"} {
			theirs, err := rowsOf(conn, q)
			got, gotErr := c.run(q)
			if err == nil && (gotErr != nil || !slices.Equal(got.rows, theirs)) {
				t.Errorf("%s\n  ours: %q %v\ntheirs: %q", q, got.rows, gotErr, theirs)
			}
		}
		if i > 4 {
			c.want("SELECT COUNT(*) FROM t FORCE INDEX (g) WHERE g = a * 2 AND h = g + 1 AND g > 0", "3")
		}
	}
	c.must("UPDATE t LEFT JOIN u ON u.id = t.id AND u.id <> 2 SET t.a = t.a + 1, u.n = 3 WHERE t.id < 3")
	c.want("SELECT COUNT(*) FROM t WHERE g = a * 2 AND h = g + 1", "3")
	c.want("SELECT n, at > '2001-01-01' FROM u ORDER BY id", "6|1", "20|0", "30|0")
	// What does not change keeps its time.
	c.must("DROP TRIGGER ub", "UPDATE t JOIN u ON t.id = u.id SET t.a = 1, u.n = 20 WHERE t.id = 2")
	c.want("SELECT n, at FROM u WHERE id = 2", "20|2001-01-01 00:00:00")
	if problems := checkStore(t, s); problems != "" {
		t.Error(problems)
	}

	// Triggers of rows that stay as they are fire too, and those of both tables by the old rows.
	c.must("DELETE FROM log", "UPDATE t JOIN u ON t.id = u.id SET t.a = t.a - 1000 WHERE t.id = 1", "DROP TRIGGER tb", "UPDATE t JOIN u SET t.a = 7 WHERE t.id < 3")
	c.want("SELECT name, is_now FROM log", "t|2061", "t|7", "t|7")
	c.must("CREATE TRIGGER tb BEFORE UPDATE ON t FOR EACH ROW BEGIN SIGNAL SQLSTATE '45000'; END", "DELETE FROM log")
	c.fails(1644, "UPDATE u JOIN t ON t.id = u.id SET u.n = 40, t.a = 2")
	c.want("SELECT COUNT(*) FROM log", "0")
	c.want("SELECT COUNT(*) FROM u WHERE n = 40", "0")
}

// Foreign keys stand between a join and its tables.
func TestUpdateOfJoinWithForeignKeys(t *testing.T) {
	conn := mariadb(t)
	s := newServer(t)
	c := s.test()
	for _, q := range []string{
		"CREATE TABLE p (id INT PRIMARY KEY, n INT)", "CREATE TABLE c (id INT PRIMARY KEY, pid INT, m INT, FOREIGN KEY (pid) REFERENCES p (id) ON UPDATE CASCADE)",
		"CREATE TABLE log (name VARCHAR(10), was INT, is_now INT)", "INSERT INTO p VALUES (1, 1), (2, 2)", "INSERT INTO c VALUES (1, 1, 10), (2, 1, 20), (3, 2, 30)",
		"CREATE TRIGGER pb BEFORE UPDATE ON p FOR EACH ROW SET NEW.n = NEW.n + 100", "CREATE TRIGGER pa AFTER UPDATE ON p FOR EACH ROW INSERT INTO log VALUES ('p', OLD.n, NEW.n)",
		"CREATE TRIGGER ca AFTER UPDATE ON c FOR EACH ROW INSERT INTO log VALUES ('c', OLD.m, NEW.m)",
		"UPDATE p JOIN c ON c.pid = p.id SET p.n = 5", "UPDATE p JOIN c ON c.pid = p.id SET c.m = c.m + 1, p.n = 6 WHERE p.id = 1", "UPDATE p JOIN c ON c.pid = p.id SET p.id = 9 WHERE c.id = 3",
	} {
		c.must(q)
		if _, err := conn.ExecContext(t.Context(), q); err != nil {
			t.Fatal(q, err)
		}
	}
	for _, q := range []string{"SELECT * FROM p ORDER BY id", "SELECT * FROM c ORDER BY id", "SELECT * FROM log ORDER BY name, was, is_now"} {
		asMariaDB(t, c, conn, q)
	}
	c.fails(1452, "UPDATE p JOIN c ON c.pid = p.id SET c.pid = 77, p.n = 0")
	if problems := checkStore(t, s); problems != "" {
		t.Error(problems)
	}
}

// Without triggers the time of a row that does not change stays too.
func TestUpdateOfJoinLeavesTimes(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, a INT, g INT AS (a + 1) STORED, at TIMESTAMP NOT NULL DEFAULT '2001-01-01 00:00:00' ON UPDATE CURRENT_TIMESTAMP)",
		"CREATE TABLE u (id INT PRIMARY KEY, s VARCHAR(10), at TIMESTAMP NOT NULL DEFAULT '2001-01-01 00:00:00' ON UPDATE CURRENT_TIMESTAMP)",
		"INSERT INTO t (id, a) VALUES (1, 1), (2, 2)", "INSERT INTO u (id, s) VALUES (1, 'a'), (2, 'b')")
	c.must("UPDATE t JOIN u ON t.id = u.id SET t.a = 2")
	c.want("SELECT a, g, at > '2001-01-01' FROM t ORDER BY id", "2|3|1", "2|3|0")
	c.want("SELECT s, at FROM u ORDER BY id", "a|2001-01-01 00:00:00", "b|2001-01-01 00:00:00")
	c.must("UPDATE t JOIN u ON t.id = u.id SET t.a = 3, u.s = 'b'")
	c.want("SELECT s, at > '2001-01-01' FROM u ORDER BY id", "b|1", "b|0")
}
