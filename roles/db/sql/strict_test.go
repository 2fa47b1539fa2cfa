package sql

import "testing"

// Strict mode refuses text that is no number, and NO_ZERO_DATE the zero date, however
// the value gets to its column.
func TestStrictValues(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE a (i INT PRIMARY KEY AUTO_INCREMENT, b BIGINT, d DECIMAL(10,2), f DOUBLE, dt DATETIME, da DATE, ts TIMESTAMP NULL, v TEXT)",
		"CREATE TABLE z (i INT PRIMARY KEY AUTO_INCREMENT, n INT)", "CREATE TABLE s (v VARCHAR(30))", "INSERT INTO s VALUES ('')",
		"INSERT INTO a (i, b, v) VALUES (1, 1, '')")
	for _, q := range []string{
		"INSERT INTO a (b) VALUES ('')", "INSERT INTO a (b) VALUES ('  ')", "INSERT INTO a (b) VALUES ('abc')", "INSERT INTO a (b) VALUES (1), ('')",
		"INSERT INTO a (i) VALUES ('')", "INSERT INTO a (d) VALUES ('')", "INSERT INTO a (d) VALUES ('abc')", "INSERT INTO a (f) VALUES ('')",
		"INSERT INTO a SET b = ''", "INSERT INTO a (b) SELECT v FROM s", "REPLACE INTO a (b) VALUES ('')", "UPDATE a SET b = ''", "UPDATE a SET b = v", "UPDATE a SET d = 'x'",
		"UPDATE a JOIN s ON s.v = a.v SET a.b = s.v", "INSERT INTO a (i) VALUES (1) ON DUPLICATE KEY UPDATE b = ''",
	} {
		c.fails(1366, q)
	}
	for _, q := range []string{
		"INSERT INTO a (dt) VALUES ('0000-00-00')", "INSERT INTO a (dt) VALUES ('0000-00-00 00:00:00')", "INSERT INTO a (da) VALUES ('0000-00-00')",
		"INSERT INTO a (da) VALUES (0)", "INSERT INTO a (ts) VALUES ('0000-00-00 00:00:00')", "UPDATE a SET da = '0000-00-00'", "UPDATE a SET dt = CAST('0000-00-00' AS DATETIME)",
		"INSERT INTO a (dt) VALUES ('2020-00-00')", "INSERT INTO a (da) VALUES ('2020-01-00')", "UPDATE a SET da = '2020-01-00'", "INSERT INTO a (da) VALUES ('')",
	} {
		c.fails(1292, q)
	}
	c.want("SELECT i, b, da FROM a", "1|1|NULL")
	c.must("CREATE TRIGGER t BEFORE INSERT ON z FOR EACH ROW SET NEW.n = NEW.n + 1")
	c.fails(1366, "INSERT INTO z (n) VALUES ('')")
	c.must("INSERT INTO z (n) VALUES (' 12 '), (NULL), (10.4), (TRUE)")
	c.want("SELECT n FROM z ORDER BY i", "13", "NULL", "11", "2")
	c.must("UPDATE z SET n = '7' WHERE n = 13", "UPDATE z SET n = DEFAULT WHERE n = 7", "INSERT INTO a (dt, da) VALUES ('2020-02-03 04:05:06', NOW())")
	// Without these modes they are stored as they were.
	c.must("SET sql_mode = 'STRICT_TRANS_TABLES'", "INSERT INTO a (i, da) VALUES (10, '0000-00-00')")
	c.fails(1366, "INSERT INTO a (b) VALUES ('')")
	c.must("SET sql_mode = ''", "INSERT INTO a (i, b, da) VALUES (11, '', '0000-00-00')", "UPDATE a SET b = '' WHERE i = 1")
	c.want("SELECT i, b, da FROM a WHERE i IN (1, 10, 11) ORDER BY i", "1|0|NULL", "10|NULL|0000-00-00", "11|0|0000-00-00")
}

// What a column's character set lacks is refused, or a question mark; so nothing else comes into the log, whose readers know that set.
func TestStrictCharsets(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE s (i INT PRIMARY KEY, a VARCHAR(20) CHARACTER SET latin1, b CHAR(20) CHARACTER SET ascii, c TEXT CHARACTER SET utf8mb3, d TINYTEXT CHARACTER SET utf16, e VARCHAR(20) CHARACTER SET swe7)",
		"INSERT INTO s VALUES (1, 'é€', 'plain', '€', REPEAT('é', 127), 'åäö')")
	for _, q := range []string{
		"INSERT INTO s (i, a) VALUES (2, 'x🐘')", "INSERT INTO s (i, b) VALUES (2, 'é')", "INSERT INTO s (i, c) VALUES (2, '🐘')", "INSERT INTO s (i, e) VALUES (2, '@')",
		"UPDATE s SET b = a", "INSERT INTO s (i, b) SELECT 2, a FROM s", "REPLACE INTO s (i, a) VALUES (1, 'Ж')", "INSERT INTO s (i) VALUES (1) ON DUPLICATE KEY UPDATE a = 'Ж'",
		"ALTER TABLE s MODIFY a VARCHAR(20) CHARACTER SET ascii", "ALTER TABLE s CONVERT TO CHARACTER SET latin7",
	} {
		c.fails(1366, q)
	}
	c.fails(1406, "INSERT INTO s (i, d) VALUES (2, REPEAT('é', 128))")
	c.must("SET sql_mode = ''", "INSERT INTO s VALUES (2, 'x🐘é', 'é', 'a🐘', REPEAT('é', 128), 'å@')")
	c.want("SELECT a, b, c, CHAR_LENGTH(d), e FROM s ORDER BY i", "é€|plain|€|127|åäö", "x?é|?|a?|127|å?")
}

// SET refuses what its column cannot hold, as INSERT does.
func TestStrictRange(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, n TINYINT, u SMALLINT UNSIGNED)", "INSERT INTO t VALUES (1, 1, 1)")
	for _, off := range []string{"SET direct = 1", "SET direct = 0"} {
		c.must(off)
		c.fails(1264, "UPDATE t SET n = 128 WHERE id = 1")
		c.fails(1264, "UPDATE t SET u = -1")
		c.fails(1264, "INSERT INTO t VALUES (1, 1, 1) ON DUPLICATE KEY UPDATE u = 65536")
		c.want("SELECT * FROM t", "1|1|1")
	}
	c.must("SET sql_mode = ''", "UPDATE t SET n = 128")
	c.want("SELECT n FROM t", "127")
}
