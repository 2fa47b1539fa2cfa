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
