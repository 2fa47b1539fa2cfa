package sql

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

func TestColumnTypes(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must(`CREATE TABLE t (id INT UNSIGNED PRIMARY KEY, ti TINYINT, si SMALLINT UNSIGNED, mi MEDIUMINT, bi BIGINT UNSIGNED,
		f FLOAT, d DOUBLE, de DECIMAL(20,5), b BIT(10), y YEAR, da DATE, tm TIME, dt DATETIME(6), ts TIMESTAMP NULL,
		ch CHAR(5), vc VARCHAR(100), tx TEXT, lt LONGTEXT, bn BINARY(4), vb VARBINARY(10), bl BLOB,
		en ENUM('a','b','c'), se SET('x','y','z'), js JSON, bo BOOLEAN)`)
	c.must(`INSERT INTO t VALUES (1, -128, 65535, -8388608, 18446744073709551615, 1.5, -2.25, 123456789012345.12345, b'1010101010', 2026,
		'2026-11-23', '-12:34:56', '2026-11-23 01:02:03.456789', '2026-11-23 01:02:03', 'abc', 'grüße', 'text', REPEAT('x', 20000),
		'ab', x'00ff', x'000102', 'b', 'x,z', '{"a": [1, 2]}', TRUE)`)
	row := `1|-128|65535|-8388608|18446744073709551615|1.5|-2.25|123456789012345.12345|2026|2026-11-23|-12:34:56|2026-11-23 01:02:03.456789|2026-11-23 01:02:03|abc|grüße|text|20000|61620000|00FF|000102|b|x,z|2|1|682`
	query := "SELECT id,ti,si,mi,bi,f,d,de,y,da,tm,dt,ts,ch,vc,tx,LENGTH(lt),HEX(bn),HEX(vb),HEX(bl),en,se,js->'$.a[1]',bo,b+0 FROM t"
	c.want(query, row)
	c.must("INSERT INTO t (id) VALUES (2)")
	c.want("SELECT COUNT(*) FROM t WHERE ti IS NULL AND js IS NULL AND dt IS NULL", "1")
	s.restart()
	s.test().want(query+" WHERE id = 1", row)
}

func TestIndexesAndRanges(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, a INT, b VARCHAR(20), c DECIMAL(6,2), d DATETIME, KEY ab (a, b), KEY cc (c), KEY bp (b(2)), KEY dd (d))")
	for i := range 40 {
		b := fmt.Sprintf("'v%02d'", i%7)
		if i%9 == 0 {
			b = "NULL"
		}
		c.must(fmt.Sprintf("INSERT INTO t VALUES (%d, %d, %s, %d.25, '2026-01-%02d 00:00:00')", i, i%5, b, i, i%28+1))
	}
	// The same question through an index and without must have one answer.
	for _, where := range []string{
		"a = 3", "a = 3 AND b = 'V04'", "a > 2 AND b < 'v03'", "a IN (1, 4) AND b >= 'v02'", "a BETWEEN 1 AND 3", "a <> 2",
		"b IS NULL", "b IS NOT NULL AND a = 1", "a = 2 AND b IS NULL", "a >= 4", "a < 1", "a > 1.5", "a = 1.5", "a < '3'",
		"c > 5", "c = 5.25", "c = 5.249", "c BETWEEN 3.2 AND 7.3", "c <= 4.255", "b = 'v01'", "b > 'v0'", "b LIKE 'v0%'", "b LIKE 'v05'",
		"b = 'v01 '", "d > '2026-01-10'", "d = '2026-01-05 00:00:00'", "d BETWEEN '2026-01-02' AND '2026-01-04'",
		"id > 35 OR id < 2", "id = 7 AND a = 2", "a = 1 OR c = 3.25", "NOT a = 1", "a > 100", "a < -5", "a <=> NULL", "b <=> NULL",
	} {
		plain := c.must("SELECT id FROM (SELECT id+0 AS id, a+0 AS a, CONCAT(b) AS b, c+0 AS c, d FROM t) x WHERE " + strings.ReplaceAll(where, "id", "id") + " ORDER BY id").rows
		c.want("SELECT id FROM t WHERE "+where+" ORDER BY id", plain...)
	}
	c.want("SELECT id FROM t WHERE a = 3 ORDER BY a DESC, b DESC, id LIMIT 3", c.must("SELECT id FROM (SELECT id, a+0 a, CONCAT(b) b FROM t) x WHERE a = 3 ORDER BY a DESC, b DESC, id LIMIT 3").rows...)
	c.want("SELECT id FROM t ORDER BY id DESC LIMIT 3", "39", "38", "37")
	c.want("SELECT MIN(c), MAX(c) FROM t", "0.25|39.25")
	if plan := strings.Join(c.must("EXPLAIN FORMAT=TREE SELECT id FROM t WHERE a = 3 AND b = 'v01'").rows, "\n"); !strings.Contains(plan, "IndexedTableAccess") {
		t.Errorf("no index is used:\n%s", plan)
	}
}

func TestUniqueKeys(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(20), b INT, UNIQUE KEY u (a, b), UNIQUE KEY p (a(3), b))")
	c.must("INSERT INTO t VALUES (1, 'abc', 1), (2, 'abc', NULL), (3, 'abc', NULL)")
	c.fails(1062, "INSERT INTO t VALUES (4, 'ABC', 1)", "Duplicate entry 'ABC-1' for key 't.u'")
	c.fails(1062, "INSERT INTO t VALUES (4, 'abcd', 1)", "t.p")
	c.must("INSERT IGNORE INTO t VALUES (1, 'zzz', 9), (5, 'new', 5)")
	c.want("SHOW WARNINGS", "Note|1062|Duplicate entry '1' for key 't.PRIMARY'")
	if out := c.must("INSERT INTO t VALUES (1, 'x', 1) ON DUPLICATE KEY UPDATE b = 77"); out.affected != 2 {
		t.Errorf("affected %d", out.affected)
	}
	c.must("REPLACE INTO t VALUES (5, 'abc', 77)") // takes the place of two rows
	c.want("SELECT id, a, b FROM t ORDER BY id", "2|abc|NULL", "3|abc|NULL", "5|abc|77")
}

func TestAlterTable(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE empty_ (id INT PRIMARY KEY)", "ALTER TABLE empty_ ADD COLUMN n INT NOT NULL DEFAULT 5", "INSERT INTO empty_ (id) VALUES (1)")
	c.want("SELECT * FROM empty_", "1|5")
	c.must("CREATE TABLE t (id INT PRIMARY KEY, a INT, b VARCHAR(10), KEY ka (a), KEY kab (a, b))",
		"INSERT INTO t VALUES (1, 10, 'x'), (2, 20, 'y')")
	c.must("ALTER TABLE t ADD COLUMN n INT", "ALTER TABLE t ADD COLUMN d INT NOT NULL DEFAULT 5 AFTER id", "ALTER TABLE t ADD f VARCHAR(5) FIRST")
	c.want("SELECT * FROM t ORDER BY id", "NULL|1|5|10|x|NULL", "NULL|2|5|20|y|NULL")
	c.must("ALTER TABLE t MODIFY a VARCHAR(20)", "ALTER TABLE t CHANGE b bb VARCHAR(30) DEFAULT 'q'", "ALTER TABLE t RENAME COLUMN n TO nn")
	c.want("SELECT id, a, bb, nn FROM t WHERE a = '20'", "2|20|y|NULL")
	c.must("ALTER TABLE t DROP COLUMN f, DROP COLUMN d")
	c.must("INSERT INTO t (id) VALUES (3)")
	c.want("SELECT * FROM t ORDER BY id", "1|10|x|NULL", "2|20|y|NULL", "3|NULL|q|NULL")
	c.must("ALTER TABLE t DROP COLUMN a") // an index loses a column, another ends
	c.want("SELECT INDEX_NAME, COLUMN_NAME FROM information_schema.statistics WHERE TABLE_NAME = 't' ORDER BY 1", "kab|bb", "PRIMARY|id")
	c.must("CREATE UNIQUE INDEX u ON t (bb)", "ALTER TABLE t ADD INDEX nn (nn), RENAME INDEX u TO uu")
	c.fails(1062, "INSERT INTO t VALUES (9, 'x', 1)", "t.uu")
	c.fails(1061, "CREATE INDEX nn ON t (bb)")
	c.must("UPDATE t SET nn = 1")
	c.fails(1062, "ALTER TABLE t ADD UNIQUE KEY bad (nn)")
	c.must("DROP INDEX uu ON t", "ALTER TABLE t DROP PRIMARY KEY", "INSERT INTO t VALUES (1, 'x', 1)")
	c.fails(1062, "ALTER TABLE t ADD PRIMARY KEY (id)")
	c.must("DELETE FROM t WHERE id = 1 LIMIT 1", "ALTER TABLE t ADD PRIMARY KEY (id)")
	c.must("ALTER TABLE t RENAME TO r", "RENAME TABLE r TO r2")
	c.want("SELECT id, bb FROM r2 ORDER BY id", "1|x", "2|y", "3|q")
	c.fails(1146, "SELECT * FROM t", "Table 'test.t' doesn't exist")
	c.must("ALTER TABLE r2 CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", "ALTER TABLE r2 COMMENT 'of note'")
	c.want("SELECT id FROM r2 WHERE bb = 'X'")
	s.restart()
	s.test().want("SELECT id, bb, nn FROM r2 ORDER BY id", "1|x|1", "2|y|1", "3|q|1")
	if problems := checkStore(t, s); problems != "" {
		t.Error(problems)
	}
}

func TestAutoIncrement(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, v INT)", "INSERT INTO t (v) VALUES (1), (2)", "INSERT INTO t VALUES (10, 3), (NULL, 4), (0, 5)")
	c.want("SELECT id FROM t ORDER BY id", "1", "2", "10", "11", "12")
	c.must("BEGIN", "INSERT INTO t (v) VALUES (9)", "ROLLBACK", "INSERT INTO t (v) VALUES (6)")
	c.want("SELECT MAX(id) FROM t", "14")
	c.want("SELECT LAST_INSERT_ID()", "14")
	s.restart()
	c = s.test()
	c.must("INSERT INTO t (v) VALUES (7)")
	c.want("SELECT MAX(id) FROM t", "15")
	c.must("ALTER TABLE t AUTO_INCREMENT = 100", "INSERT INTO t (v) VALUES (8)")
	c.want("SELECT MAX(id) FROM t", "100")
	c.must("ALTER TABLE t ADD COLUMN w INT NOT NULL DEFAULT 1", "INSERT INTO t (v) VALUES (9)")
	c.want("SELECT MAX(id) FROM t", "101")
	c.must("DELETE FROM t", "INSERT INTO t (v) VALUES (1)")
	c.want("SELECT id FROM t", "102")
	c.must("TRUNCATE TABLE t", "INSERT INTO t (v) VALUES (1)")
	c.want("SELECT id FROM t", "1")
	c.must("CREATE TABLE u (a INT AUTO_INCREMENT, KEY (a)) AUTO_INCREMENT = 50", "INSERT INTO u VALUES ()")
	c.want("SELECT a FROM u", "50")
}

func TestTablesWithoutPrimaryKey(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE t (a INT, b TEXT)", "INSERT INTO t VALUES (1,'x'),(1,'x'),(2,'y')")
	c.must("DELETE FROM t WHERE a = 1 LIMIT 1", "UPDATE t SET b = 'z' WHERE a = 2")
	c.want("SELECT a, b FROM t ORDER BY a", "1|x", "2|z")
	c.must("CREATE DATABASE shop", "CREATE TABLE shop.t (a INT)", "INSERT INTO shop.t VALUES (1), (2)")
	if out := c.must("DELETE FROM shop.t"); out.affected != 2 {
		t.Errorf("%d rows deleted", out.affected)
	}
	c.want("SELECT COUNT(*) FROM t", "2")
	c.must("BEGIN", "DELETE FROM t", "ROLLBACK")
	c.want("SELECT COUNT(*) FROM t", "2")
	c.must("DELETE FROM t")
	c.want("SELECT COUNT(*) FROM t", "0")
}

func TestNoDatabaseChosen(t *testing.T) {
	s := newServer(t)
	c := s.root()
	c.must("CREATE TABLE test.t (a INT PRIMARY KEY)", "INSERT INTO test.t VALUES (1), (2)", "UPDATE test.t SET a = a + 10", "CREATE INDEX i ON test.t (a)")
	c.want("SELECT a FROM test.t ORDER BY a", "11", "12")
	c.must("DELETE FROM test.t")
	c.want("SELECT COUNT(*) FROM test.t", "0")
	c.must("INSERT INTO test.t VALUES (1)", "TRUNCATE TABLE test.t", "DROP TABLE test.t")
	c.fails(1046, "CREATE TABLE t (a INT)")
	c.fails(1046, "SELECT * FROM t")
}

func TestDefaultsChecksGenerated(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must(`CREATE TABLE t (id INT PRIMARY KEY, a INT DEFAULT 3, e VARCHAR(40) DEFAULT (CONCAT('u', 'v')), changed DATETIME DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
		twice INT AS (a * 2) STORED, thrice INT AS (a * 3) VIRTUAL, q VARCHAR(10) DEFAULT 'it''s', KEY kt (twice), CONSTRAINT positive CHECK (a > 0))`)
	c.must("INSERT INTO t (id) VALUES (1)", "INSERT INTO t (id, a) VALUES (2, 7)")
	c.want("SELECT id, a, e, twice, thrice, q, changed IS NOT NULL FROM t ORDER BY id", "1|3|uv|6|9|it's|1", "2|7|uv|14|21|it's|1")
	c.fails(3819, "INSERT INTO t (id, a) VALUES (3, -1)", "Check constraint 'positive' is violated")
	c.fails(3819, "UPDATE t SET a = 0")
	c.must("UPDATE t SET a = 8 WHERE id = 1")
	c.want("SELECT twice, thrice FROM t WHERE twice = 16", "16|24")
	c.must("CREATE INDEX kv ON t (thrice)")
	c.want("SELECT id FROM t WHERE thrice = 24", "1")
	c.must("ALTER TABLE t ADD COLUMN four INT AS (a * 4) VIRTUAL")
	c.want("SELECT four FROM t ORDER BY id", "32", "28")
	s.restart()
	c = s.test()
	c.must("INSERT INTO t (id, a) VALUES (4, 4)")
	c.want("SELECT a, e, twice, thrice FROM t WHERE id = 4", "4|uv|8|12")
	c.fails(3819, "INSERT INTO t (id, a) VALUES (5, -1)")
	c.must("ALTER TABLE t DROP CHECK positive", "INSERT INTO t (id, a) VALUES (5, -1)", "DELETE FROM t WHERE id = 5")
	create := c.must("SHOW CREATE TABLE t").rows[0]
	for _, want := range []string{"GENERATED ALWAYS AS", "STORED", "DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP", "DEFAULT 'it''s'"} {
		if !strings.Contains(create, want) {
			t.Errorf("SHOW CREATE TABLE lacks %q:\n%s", want, create)
		}
	}
	// What it shows makes the same table.
	c.must("CREATE DATABASE twin", "USE twin", strings.SplitN(create, "|", 2)[1])
	c.want("SHOW CREATE TABLE t", create)
}

func TestForeignKeys(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE p (id INT PRIMARY KEY, k INT, UNIQUE (k))",
		"CREATE TABLE c (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES p (id) ON DELETE CASCADE ON UPDATE CASCADE)",
		"CREATE TABLE n (id INT PRIMARY KEY, k INT, CONSTRAINT fk_n FOREIGN KEY (k) REFERENCES p (k) ON DELETE SET NULL)",
		"CREATE TABLE r (id INT PRIMARY KEY, p INT, CONSTRAINT fk_r FOREIGN KEY (p) REFERENCES p (id))",
		"INSERT INTO p VALUES (1, 10), (2, 20), (3, 30)", "INSERT INTO c VALUES (1, 1), (2, 1), (3, 2)", "INSERT INTO n VALUES (1, 10), (2, 20)", "INSERT INTO r VALUES (1, 3)")
	c.fails(1452, "INSERT INTO c VALUES (9, 99)")
	c.fails(1451, "DELETE FROM p WHERE id = 3")
	c.must("UPDATE p SET id = 5 WHERE id = 2", "DELETE FROM p WHERE id = 1")
	c.want("SELECT id, p FROM c", "3|5")
	c.want("SELECT id, k FROM n ORDER BY id", "1|NULL", "2|20")
	// A failing cascade leaves nothing.
	c.fails(1451, "DELETE FROM p")
	c.want("SELECT COUNT(*) FROM p", "2")
	c.want("SELECT COUNT(*) FROM c", "1")
	c.fails(3730, "DROP TABLE p")
	s.restart()
	c = s.test()
	c.fails(1452, "INSERT INTO r VALUES (2, 77)")
	c.must("SET foreign_key_checks = 0", "INSERT INTO r VALUES (2, 77)", "SET foreign_key_checks = 1")
	c.must("ALTER TABLE p RENAME TO parents", "ALTER TABLE r DROP FOREIGN KEY fk_r", "INSERT INTO r VALUES (3, 88)")
	c.fails(1452, "INSERT INTO c VALUES (8, 88)", "parents")
	c.fails(1146, "CREATE TABLE bad (id INT, FOREIGN KEY (id) REFERENCES nosuch (id))")
}

// What was there before a foreign key that came with foreign_key_checks = 0 stays as it is, as in
// MySQL: writers look at their own rows, and lock no more than these.
func TestForeignKeysOverUncheckedRows(t *testing.T) {
	s := newServer(t)
	c, w := s.test(), s.test()
	c.must("SET foreign_key_checks = 0", "CREATE TABLE t (id INT PRIMARY KEY, a INT, CONSTRAINT fk FOREIGN KEY (a) REFERENCES p (id))", "INSERT INTO t VALUES (1, 9), (2, 1)", "SET foreign_key_checks = 1")
	c.fails(1452, "INSERT INTO t VALUES (3, 1)")
	c.must("CREATE TABLE p (id INT PRIMARY KEY)", "INSERT INTO p VALUES (1), (2)")
	version := s.stored().Desc.Version
	c.must("BEGIN", "INSERT INTO t VALUES (4, 2)")
	w.must("INSERT INTO t VALUES (5, 1)", "UPDATE t SET a = 1 WHERE id = 1", "CREATE TABLE other (id INT)")
	w.fails(1452, "UPDATE t SET a = 3 WHERE id = 1")
	w.fails(1451, "DELETE FROM p WHERE id = 1")
	if now := s.stored().Desc.Version; now != version {
		t.Errorf("writers made version %d of %d", now, version)
	}
	c.must("COMMIT", "SET foreign_key_checks = 0", "INSERT INTO t VALUES (6, 6)", "ALTER TABLE t RENAME TO tt", "ALTER TABLE tt RENAME TO t", "SET foreign_key_checks = 1", "DELETE FROM t WHERE id = 2")
	c.fails(1452, "INSERT INTO t VALUES (7, 7)")
	if s.stored().Desc.ForeignKeys[0].Resolved {
		t.Error("the key passes for one whose rows were looked at")
	}
	c.want("SELECT * FROM t ORDER BY id", "1|1", "4|2", "5|1", "6|6")
}

func TestViewsAndTriggers(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, n INT)", "CREATE TABLE log (id INT AUTO_INCREMENT PRIMARY KEY, what VARCHAR(50))",
		"CREATE VIEW v AS SELECT id, n * 2 AS twice FROM t WHERE n > 1",
		"CREATE TRIGGER ti AFTER INSERT ON t FOR EACH ROW INSERT INTO log (what) VALUES (CONCAT('insert ', NEW.id))",
		"CREATE TRIGGER tb BEFORE INSERT ON t FOR EACH ROW SET NEW.n = NEW.n + 100")
	c.must("INSERT INTO t VALUES (1, 1), (2, 2)")
	c.want("SELECT * FROM v ORDER BY id", "1|202", "2|204")
	c.want("SELECT what FROM log ORDER BY id", "insert 1", "insert 2")
	c.fails(1062, "INSERT INTO t VALUES (3, 3), (1, 1)") // takes what its triggers wrote with it
	c.want("SELECT COUNT(*) FROM log", "2")
	s.restart()
	c = s.test()
	c.must("INSERT INTO t VALUES (4, 4)")
	c.want("SELECT twice FROM v WHERE id = 4", "208")
	c.want("SELECT COUNT(*) FROM log", "3")
	c.must("CREATE OR REPLACE VIEW v AS SELECT id FROM t", "DROP TRIGGER ti", "DROP TRIGGER tb", "INSERT INTO t VALUES (5, 5)")
	c.want("SELECT * FROM v ORDER BY id", "1", "2", "4", "5")
	c.want("SELECT COUNT(*) FROM log", "3")
	c.fails(1050, "CREATE VIEW v AS SELECT 1")
	c.must("DROP VIEW v")
	c.fails(1146, "SELECT * FROM v")
}

// Triggers belong to their table, whatever it is called by now.
func TestTriggersFollowRenames(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, n INT)", "CREATE TABLE other (id INT PRIMARY KEY, n INT)", "CREATE TABLE counted (id INT)",
		"CREATE TRIGGER tb BEFORE INSERT ON t FOR EACH ROW SET NEW.n = NEW.n + 100",
		"CREATE DEFINER = root@'%' TRIGGER `tu on t` /* ON t */ BEFORE UPDATE ON test . `t` FOR EACH ROW SET NEW.n = NEW.n + (SELECT COUNT(*) FROM counted)")
	const list = "SELECT trigger_name, event_object_table, action_statement FROM information_schema.triggers WHERE trigger_schema = 'test' ORDER BY 1"
	body := []string{"SET NEW.n = NEW.n + 100", "SET NEW.n = NEW.n + (SELECT COUNT(*) FROM counted)"}
	for i, step := range []struct{ rename, table string }{
		{"RENAME TABLE t TO `odd ``name`", "odd `name"}, {"ALTER TABLE `odd ``name` RENAME TO u", "u"}, {"RENAME TABLE u TO v, other TO u, v TO other", "other"},
		{"RENAME TABLE other TO x, u TO other", "x"}, {"RENAME TABLE test.x TO test.t", "t"},
	} {
		c.must(step.rename)
		c.want(list, "tb|"+step.table+"|"+body[0], "tu on t|"+step.table+"|"+body[1])
		name := QuoteName(step.table)
		c.must(fmt.Sprintf("INSERT INTO %s VALUES (%d, 1)", name, i), fmt.Sprintf("UPDATE %s SET n = n + 1 WHERE id = %d", name, i))
		c.want(fmt.Sprintf("SELECT n FROM %s WHERE id = %d", name, i), "102")
	}
	c.must("INSERT INTO other VALUES (1, 1)")
	c.want("SELECT n FROM other", "1")
	b := blankServer(t, nil)
	b.mustFollow(s)
	b.sameAs(s)
	c.must("DROP TABLE t")
	c.want("SELECT COUNT(*) FROM information_schema.triggers WHERE trigger_schema = 'test'", "0")
}

func TestTemporaryTables(t *testing.T) {
	s := newServer(t)
	a, b := s.test(), s.test()
	a.must("CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1)", "BEGIN", "INSERT INTO t VALUES (2)",
		"CREATE TEMPORARY TABLE x (id INT PRIMARY KEY, v VARCHAR(10), KEY (v))", "INSERT INTO x VALUES (1, 'a'), (2, 'b')")
	b.want("SELECT COUNT(*) FROM t", "1") // the transaction goes on
	a.want("SELECT id FROM x WHERE v = 'b'", "2")
	a.must("COMMIT", "CREATE TEMPORARY TABLE t (z INT)", "INSERT INTO t VALUES (7)")
	a.want("SELECT * FROM t", "7") // hides the stored one
	b.want("SELECT COUNT(*) FROM t", "2")
	b.fails(1146, "SELECT * FROM x")
	a.want("SHOW TABLES", "t")
	a.must("DROP TEMPORARY TABLE t")
	a.want("SELECT COUNT(*) FROM t", "2")
	// A transaction that only reads may write to them, from whatever it reads.
	a.must("START TRANSACTION READ ONLY", "INSERT INTO x SELECT id + 10, 'c' FROM t", "UPDATE x SET v = 'd' WHERE id = 1", "DELETE FROM x WHERE id = 2")
	a.fails(1792, "INSERT INTO t SELECT id + 10 FROM x")
	a.fails(1792, "DELETE x, t FROM x JOIN t ON t.id = x.id")
	a.fails(1792, "DROP TEMPORARY TABLE x")
	a.must("COMMIT")
	a.want("SELECT id, v FROM x ORDER BY id", "1|d", "11|c", "12|c")
	a.Close()
	if left := s.engine.Catalog().Tables(temporaryDatabase); len(left) != 0 {
		t.Errorf("%d temporary tables outlive their session", len(left))
	}
	b.want("SHOW DATABASES", "information_schema", "mysql", "performance_schema", "test")
}

func TestTruncateIsSeenWhole(t *testing.T) {
	s := newServer(t)
	a, b := s.test(), s.test()
	a.must("CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1),(2)", "BEGIN", "SELECT * FROM t")
	b.must("TRUNCATE t")
	b.want("SELECT COUNT(*) FROM t", "0")
	if out, err := a.run("SELECT COUNT(*) FROM t"); err == nil && out.rows[0] != "2" {
		t.Errorf("a view from before TRUNCATE counts %s", out.rows[0])
	}
	a.must("COMMIT")
	a.want("SELECT COUNT(*) FROM t", "0")
}

// checkStore compares every index with its rows.
func checkStore(t *testing.T, s *server) string {
	t.Helper()
	report, err := s.db.Check(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(report.Problems, "\n")
}

// Tables that change under readers and writers: every statement of its own transaction
// is run on one definition, and none fails for a change that came between.
func TestDDLBesideStatements(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, a INT NOT NULL DEFAULT 1, KEY (a))", "INSERT INTO t (a) VALUES (1), (2), (3)")
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for i := range 4 {
		w := s.test()
		wg.Add(1)
		go func() {
			defer wg.Done()
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				query := "SELECT * FROM t WHERE a = 2"
				if i%2 == 0 {
					query = "INSERT INTO t (a) VALUES (5)"
					if n%2 == 0 {
						query = "DELETE FROM t WHERE a = 5"
					}
				}
				if _, err := w.run(query); err != nil {
					t.Errorf("%s: %v", query, err)
					return
				}
			}
		}()
	}
	for range 6 {
		c.must("ALTER TABLE t ADD COLUMN n INT", "ALTER TABLE t MODIFY a BIGINT NOT NULL DEFAULT 1", "CREATE INDEX n ON t (n)",
			"ALTER TABLE t DROP COLUMN n", "ALTER TABLE t MODIFY a INT NOT NULL DEFAULT 1", "ALTER TABLE t RENAME INDEX a TO aa", "ALTER TABLE t RENAME INDEX aa TO a")
	}
	close(stop)
	wg.Wait()
	c.want("SELECT id, a FROM t WHERE a < 5 ORDER BY id", "1|1", "2|2", "3|3")
	if problems := checkStore(t, s); problems != "" {
		t.Error(problems)
	}
}
