package sql

import (
	"fmt"
	"strings"
	"testing"
)

// Indexes over expressions in every way to make, change and lose them.
func TestExpressionKeys(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT, s VARCHAR(20), KEY ab ((a + b)), UNIQUE KEY up ((UPPER(s)), a), KEY plain (b))")
	c.must("INSERT INTO t VALUES (1, 1, 2, 'x'), (2, 3, 4, 'y'), (3, NULL, 4, 'z')", "INSERT INTO t (id, s) VALUES (4, 'w')")
	c.want("SELECT * FROM t ORDER BY id", "1|1|2|x", "2|3|4|y", "3|NULL|4|z", "4|NULL|NULL|w")
	c.want("SELECT id FROM t WHERE a + b = 7", "2")
	if plan := c.plan("SELECT id FROM t WHERE a + b = 7"); !strings.Contains(plan, "IndexedTableAccess") {
		t.Errorf("no index is used:\n%s", plan)
	}
	c.must("UPDATE t SET b = 10 WHERE id = 1", "REPLACE INTO t VALUES (2, 5, 5, 'v')", "INSERT INTO t VALUES (4, 9, 9, 'u') ON DUPLICATE KEY UPDATE a = 20, b = 1")
	c.want("SELECT id FROM t WHERE a + b > 9 ORDER BY id", "1", "2", "4")
	c.fails(1062, "INSERT INTO t VALUES (7, 1, 1, 'X')", "'X-1' for key 't.up'")
	text := c.must("SHOW CREATE TABLE t").rows[0]
	if strings.Contains(text, "hidden") || !strings.Contains(text, "  KEY `ab` (((`a` + `b`))),\n  UNIQUE KEY `up` ((upper(`s`)),`a`)\n") {
		t.Errorf("SHOW CREATE TABLE: %s", text)
	}
	c.want("SELECT column_name FROM information_schema.columns WHERE table_name = 't' ORDER BY ordinal_position", "id", "a", "b", "s")
	c.want("SELECT COUNT(*) FROM information_schema.columns WHERE column_name LIKE '%hidden%'", "0")
	s.wantClean()

	// What it shows can be made again.
	_, create, _ := strings.Cut(text, "|")
	c.must("CREATE DATABASE copied", "USE copied", create)
	c.want("SHOW CREATE TABLE t", "t|"+create)
	c.must("INSERT INTO t SELECT * FROM test.t")
	c.want("SELECT id FROM t WHERE a + b > 9 ORDER BY id", "1", "2", "4")
	c.must("USE test")

	// Changes of the table.
	c.must("ALTER TABLE t RENAME INDEX ab TO total", "ALTER TABLE t ADD COLUMN d INT DEFAULT 3 AFTER id", "ALTER TABLE t ADD INDEX ((d * 2)), ADD INDEX ((d * 3))")
	c.want("SELECT id FROM t WHERE d * 2 = 6 ORDER BY id", "1", "2", "3", "4")
	c.fails(3837, "ALTER TABLE t DROP COLUMN d")
	c.must("ALTER TABLE t DROP INDEX functional_index, DROP INDEX functional_index_2", "ALTER TABLE t DROP COLUMN d", "DROP INDEX total ON t", "DROP INDEX up ON t")
	for _, col := range s.stored().Desc.Columns {
		if col.Hidden {
			t.Errorf("column %s is left behind", col.Name)
		}
	}
	c.must("CREATE UNIQUE INDEX again ON t ((a * 2), b)")
	c.want("SELECT id FROM t WHERE a * 2 = 10", "2")
	c.fails(1235, "CREATE TABLE likes LIKE t", "LIKE a table with an index over an expression")
	c.must("ALTER TABLE t MODIFY COLUMN a BIGINT", "TRUNCATE t", "INSERT INTO t VALUES (1, 2, 3, 'q')", "ALTER TABLE t RENAME TO r")
	c.want("SELECT id FROM r WHERE a * 2 = 4", "1")
	c.must("CREATE TABLE IF NOT EXISTS r (x INT, KEY e ((x + 1)))")
	s.wantClean()
	s.restart()
	c = s.test()
	c.must("INSERT INTO r VALUES (2, 7, 3, 'q')")
	c.want("SELECT id FROM r WHERE a * 2 = 14", "2")
	s.wantClean()

	c.fails(3756, "ALTER TABLE r DROP PRIMARY KEY, ADD PRIMARY KEY ((a + b))")
	c.fails(3762, "CREATE INDEX bad ON r ((a))")
	c.fails(1235, "CREATE TEMPORARY TABLE tmp (a INT, KEY e ((a + 1)))")
	// In another zone it would be another date.
	c.fails(1235, "CREATE TABLE bad (ts TIMESTAMP, KEY e ((DATE(ts))))", "TIMESTAMP ts, whose value depends on time_zone")
	c.must("ALTER TABLE r ADD COLUMN ts TIMESTAMP NULL")
	c.fails(1235, "CREATE INDEX bad ON r ((HOUR(ts)))", "TIMESTAMP")
	c.must("CREATE TABLE zoned (id INT PRIMARY KEY, d DATETIME, n INT, KEY e ((HOUR(d))))", "INSERT INTO zoned VALUES (1, '2024-01-01 05:00:00', 1)")
	for _, q := range []string{
		"ALTER TABLE zoned MODIFY d TIMESTAMP NULL", "ALTER TABLE zoned CHANGE d e TIMESTAMP NULL",
		"ALTER TABLE zoned MODIFY d TIMESTAMP NULL, ADD FOREIGN KEY (n) REFERENCES r (id)",
	} {
		c.fails(1235, q, "whose value depends on time_zone")
	}
	c.must("ALTER TABLE zoned ADD COLUMN x TIMESTAMP NULL", "ALTER TABLE zoned MODIFY d DATETIME(3)")
	c.want("SELECT id FROM zoned WHERE HOUR(d) = 5", "1")
	c.must("ALTER TABLE zoned DROP INDEX e, MODIFY d TIMESTAMP NULL")
	c.fails(1054, "CREATE TABLE bad (a INT, KEY e ((nosuch + 1)))")
	c.fails(1146, "SELECT * FROM bad")
	for _, nondeterministic := range []string{"RAND()", "NOW()", "UUID()", "CONNECTION_ID()", "@a + a", "USER()"} {
		if _, err := c.run("CREATE INDEX bad ON r ((" + nondeterministic + "))"); err == nil {
			t.Errorf("an index over %s was made", nondeterministic)
			c.must("DROP INDEX bad ON r")
		}
	}
}

// A replica of ours has the same rows and indexes.
func TestExpressionKeysAreReplicated(t *testing.T) {
	a := newServer(t)
	c := a.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, a INT, KEY twice ((a * 2)))", "INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)", "UPDATE t SET a = a + 10 WHERE a * 2 > 2", "DELETE FROM t WHERE a * 2 = 24",
		"ALTER TABLE t ADD INDEX ((a + 1))", "INSERT INTO t VALUES (4, 4)")
	b := blankServer(t, nil)
	b.mustFollow(a)
	b.sameAs(a)
	b.test().want("SELECT id FROM t WHERE a * 2 = 26", "3")
	b.test().want("SELECT id FROM t WHERE a + 1 = 5", "4")
	b.wantClean()
}

// Writers go on while an index over an expression is built.
func TestExpressionKeysOnline(t *testing.T) {
	s := newServer(t)
	c, w := s.test(), s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, a INT)")
	var values []string
	for i := range 5000 {
		values = append(values, fmt.Sprintf("(%d,%d)", i, i%100))
	}
	c.must("INSERT INTO t VALUES " + strings.Join(values, ","))
	done := make(chan error, 1)
	go func() {
		_, err := c.run("ALTER TABLE t ADD INDEX e ((a * 3))")
		done <- err
	}()
	n := 0
	for running := true; running; n++ {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			running = false
		default:
			w.must(fmt.Sprintf("UPDATE t SET a = a + 1000 WHERE id = %d", n%5000), fmt.Sprintf("DELETE FROM t WHERE id = %d", 4999-n%2000), fmt.Sprintf("INSERT INTO t VALUES (%d, 7)", 10_000+n))
		}
	}
	s.wantClean()
	c.want("SELECT (SELECT COUNT(*) FROM t WHERE a * 3 = 21) - (SELECT COUNT(*) FROM t WHERE a = 7)", "0")
	c.want("SELECT (SELECT COUNT(*) FROM t WHERE a * 3 >= 3000) - (SELECT COUNT(*) FROM t WHERE a >= 1000)", "0")
}

// What a trigger has put into a row is what generated columns, and indexes over expressions, are of.
func TestGeneratedColumnsFollowTriggers(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, g VARCHAR(20) AS (LOWER(b)) STORED, b VARCHAR(20) NOT NULL, n INT AS (LENGTH(g)) STORED, UNIQUE KEY u ((UPPER(b))))",
		"CREATE TABLE src (id INT, b VARCHAR(20))", "INSERT INTO src VALUES (5, 'E')",
		"CREATE TABLE outer_t (id INT PRIMARY KEY, x VARCHAR(20), y INT)",
		"CREATE TRIGGER bi BEFORE INSERT ON t FOR EACH ROW SET NEW.b = CONCAT(NEW.b, 'X')",
		"CREATE TRIGGER bu BEFORE UPDATE ON t FOR EACH ROW SET NEW.b = CONCAT(NEW.b, 'Up')",
		"CREATE TRIGGER oi AFTER INSERT ON outer_t FOR EACH ROW INSERT INTO t (id, b) VALUES (NEW.id, NEW.x)",
		"CREATE TRIGGER ou AFTER UPDATE ON outer_t FOR EACH ROW UPDATE t SET b = NEW.x WHERE id = NEW.id")
	c.must("INSERT INTO t (id, b) VALUES (1, 'Tr')")
	c.want("SELECT * FROM t", "1|trx|TrX|3")
	c.want("SELECT id FROM t WHERE UPPER(b) = 'TRX'", "1")
	c.fails(1062, "INSERT INTO t (id, b) VALUES (2, 'tr')", "'TRX' for key 't.u'")
	c.must("UPDATE t SET b = 'Q' WHERE id = 1")
	c.want("SELECT * FROM t", "1|qup|QUp|3")
	c.want("SELECT id FROM t WHERE UPPER(b) = 'QUP'", "1")
	c.must("UPDATE t SET id = 3 WHERE id = 1")
	c.want("SELECT * FROM t WHERE UPPER(b) = 'QUPUP'", "3|qupup|QUpUp|5")
	c.must("REPLACE INTO t (id, b) VALUES (3, 'R')", "INSERT INTO t (id, b) SELECT * FROM src", "INSERT INTO outer_t VALUES (7, 'in', 1)")
	c.want("SELECT id, g, n FROM t ORDER BY id", "3|rx|2", "5|ex|2", "7|inx|3")
	c.must("UPDATE outer_t SET x = 'again'")
	c.want("SELECT * FROM t WHERE UPPER(b) = 'AGAINUP'", "7|againup|againUp|7")
	c.mustLoad("LOAD DATA LOCAL INFILE 'x' INTO TABLE t FIELDS TERMINATED BY ',' (id, b)", "9,Load\n", "Records: 1  Deleted: 0  Skipped: 0  Warnings: 0")
	c.want("SELECT * FROM t WHERE UPPER(b) = 'LOADX'", "9|loadx|LoadX|5")
	s.wantClean()
}

func TestExpressionKeysOnDuplicate(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, b VARCHAR(20), KEY l ((LOWER(b))))", "CREATE TABLE src (id INT, b VARCHAR(20))", "INSERT INTO src VALUES (1, 'A'), (2, 'B')")
	c.must("INSERT INTO t SELECT * FROM src ON DUPLICATE KEY UPDATE b = 'no'", "INSERT INTO t (id, b) SELECT id, b FROM src ON DUPLICATE KEY UPDATE b = CONCAT(t.b, src.b, 'q')")
	c.want("SELECT * FROM t WHERE LOWER(b) = 'aaq'", "1|AAq")
	c.want("SELECT * FROM t WHERE LOWER(b) = 'a'")
	s.wantClean()
}

// Conditions that are computed otherwise than the planner does find their indexes too.
func TestExpressionKeysOfDatesAndJSON(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, j JSON, d DATE, dt DATETIME(3), KEY a ((CAST(JSON_UNQUOTE(JSON_EXTRACT(j, '$.a')) AS CHAR(20)))), KEY b ((d + INTERVAL 1 DAY)), "+
		"KEY c ((d + 0)), KEY e ((dt - INTERVAL 1 HOUR)))",
		`INSERT INTO t VALUES (1, '{"a": "x"}', '2024-01-01', '2024-01-01 01:00:00.5'), (2, '{"a": 9007199254740993}', '2024-01-02', '2024-01-02 01:00:00.25')`)
	for _, condition := range []string{
		"CAST(JSON_UNQUOTE(JSON_EXTRACT(j, '$.a')) AS CHAR(20)) = '9007199254740993'", "d + INTERVAL 1 DAY = '2024-01-03'", "d + 0 = 20240102", "dt - INTERVAL 1 HOUR = '2024-01-02 00:00:00.25'",
	} {
		q := "SELECT id FROM t WHERE " + condition
		c.want(q, "2")
		if plan := c.plan(q); !strings.Contains(plan, "IndexedTableAccess") {
			t.Errorf("no index is used:\n%s", plan)
		}
		c.want("SELECT id FROM t IGNORE INDEX (a, b, c, e) WHERE "+condition, "2")
	}
	s.wantClean()
}
