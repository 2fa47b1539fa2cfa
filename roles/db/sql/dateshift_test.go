package sql

import "testing"

// Sums of dates, times and intervals, and numbers made of dates and times, beside MariaDB.
func TestDateArithmeticAsMariaDB(t *testing.T) {
	conn := mariadb(t)
	s := newServer(t)
	c := s.test()
	onBoth(t, c, conn,
		"CREATE TABLE t (y YEAR, i INT, d DATE, t TIME, t3 TIME(3), dt DATETIME(3), d0 DATETIME, ts TIMESTAMP(1) NULL)",
		"INSERT INTO t VALUES (2024, 1234, '2024-02-03', '10:11:12', '-10:11:12.5', '2024-01-02 03:04:05.100', '2024-01-02 03:04:05', '2024-01-02 03:04:05.5'), (NULL, 5, NULL, NULL, NULL, NULL, NULL, NULL)",
		"CREATE TABLE g (d DATE, dt DATETIME(3), e DATE AS (d + INTERVAL 1 DAY) STORED, f DATETIME(3) AS (dt - INTERVAL 1 SECOND) STORED, n BIGINT AS (d + 0) STORED, CHECK (dt > d - INTERVAL 1 YEAR))",
		"INSERT INTO g (d, dt) VALUES ('2024-01-31', '2024-01-31 00:00:00.25')",
		"ALTER TABLE g ADD COLUMN k DATETIME(3) AS (dt + INTERVAL 1 HOUR) STORED", "UPDATE g SET dt = dt + INTERVAL 1 MONTH, d = d - INTERVAL 1 DAY",
	)
	for _, e := range []string{
		"LEFT(y, 2)", "RIGHT(y, 2)", "SUBSTRING(y, 2, 2)", "CONCAT(y, 'x')", "LEFT(i, 2)", "LEFT(i + 0.5, 3)",
		"d + 0", "t + 0", "dt + 0", "d0 + 0", "ts + 0", "t * 2", "t - 1", "-t", "d - 1", "t + 0.5", "dt - d0", "-d", "NOW() + 0 > 20200101000000", "d % 100", "t DIV 100",
		"dt + INTERVAL 1 DAY", "d0 + INTERVAL 1 DAY", "d + INTERVAL 1 DAY", "ts + INTERVAL 1 DAY", "d + INTERVAL 1 HOUR", "dt - INTERVAL 1 SECOND", "ts - INTERVAL 1 MONTH",
		"dt + INTERVAL 1 MICROSECOND", "d0 + INTERVAL 1 MICROSECOND", "d0 + INTERVAL '1.5' SECOND", "DATE_ADD(dt, INTERVAL 1 SECOND)",
		"DATE_SUB(d0, INTERVAL 1 MINUTE)", "ADDDATE(dt, 3)", "SUBDATE(d, 1)", "CONCAT(dt + INTERVAL 1 DAY)", "CONCAT(d + INTERVAL 1 DAY)", "CONCAT(d0 + INTERVAL 1 MICROSECOND)",
		"CAST(t + INTERVAL 1 HOUR AS CHAR)", "CAST(t - INTERVAL 900 MINUTE AS CHAR)", "t + INTERVAL 900 HOUR", "DATE_ADD('2024-01-01', INTERVAL 1 DAY)", "'2024-01-01' + INTERVAL 1 DAY",
		"INTERVAL 2 DAY + d", "d + INTERVAL i DAY - INTERVAL 1 MONTH", "d + INTERVAL NULL DAY", "LAST_DAY(d) + INTERVAL 1 DAY", "d0 BETWEEN dt - INTERVAL 1 SECOND AND dt",
		"LENGTH(NOW() + INTERVAL 1 DAY)", "LENGTH(NOW(3) + INTERVAL 1 DAY)", "LENGTH(CURDATE() + INTERVAL 1 DAY)", "NOW() - INTERVAL 1 DAY < NOW()", "YEAR(d + INTERVAL 1 YEAR)",
		"STR_TO_DATE('2013-05-01 09:30', '%Y-%m-%d %H:%i') + INTERVAL 1 DAY", "STR_TO_DATE('2013-05-01 09:30', '%Y-%m-%d %H:%i') - (d0 - INTERVAL 11 YEAR)", "STR_TO_DATE('2013-05-01', '%Y-%m-%d') + INTERVAL 1 DAY",
		"STR_TO_DATE('2013-05-01', '%Y-%m-%d') + INTERVAL 1 HOUR",
		"d0 + INTERVAL 2629801 HOUR", "d0 - INTERVAL 157788001 MINUTE", "dt + INTERVAL 9467280001 SECOND", "dt - INTERVAL 9467280001000001 MICROSECOND", "'2024-01-01 00:00:01' + INTERVAL 9467280001 SECOND", "d + INTERVAL 9467280001 SECOND",
		"d0 + INTERVAL 9223372036854775807 SECOND", "d + INTERVAL 9223372036854775807 DAY", "d - INTERVAL -9223372036854775808 WEEK", "t + INTERVAL 18446744074 SECOND", "d0 + INTERVAL 1e30 SECOND", "d0 - INTERVAL 9223372036854775807 MONTH", "d0 + INTERVAL i * 1e9 SECOND",
	} {
		asMariaDB(t, c, conn, "SELECT i, "+e+" FROM t ORDER BY i")
	}
	for _, q := range []string{
		"SELECT * FROM g", "SELECT CAST(SUM(t) AS SIGNED), CAST(AVG(t) AS SIGNED), CAST(SUM(d) AS SIGNED), CAST(SUM(t3) AS DECIMAL(20,3)) FROM t",
		"SELECT d + INTERVAL 1 DAY AS following, COUNT(*) FROM t GROUP BY following ORDER BY following", "SELECT i FROM t WHERE d + INTERVAL 1 DAY > '2024-01-01' - INTERVAL 2 DAY", "SELECT i FROM t ORDER BY t + 0 DESC",
	} {
		asMariaDB(t, c, conn, q)
	}
	// The definition is kept as it was said.
	shown := c.must("SHOW CREATE TABLE g").rows
	s.restart()
	c = s.test()
	c.want("SHOW CREATE TABLE g", shown...)
	c.must("INSERT INTO g (d, dt) VALUES ('2024-01-01', '2024-01-01 00:00:00.125')")
	c.want("SELECT e, f, n FROM g WHERE d = '2024-01-01'", "2024-01-02|2023-12-31 23:59:59.125|20240101")
}

// Integers in JSON keep all their digits, in columns and in what functions read.
func TestBigIntegersInJSON(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.want(`SELECT JSON_EXTRACT('{"a": 9007199254740993, "b": [18446744073709551615, 1.5, -9223372036854775808]}', '$.a', '$.b')`, "[9007199254740993, [18446744073709551615, 1.5, -9223372036854775808]]")
	c.want(`SELECT JSON_UNQUOTE(JSON_EXTRACT('{"a": 9007199254740993}', '$.a')), JSON_EXTRACT('[1e30, 7]', '$[1]') + 1`, "9007199254740993|8")
	c.must("CREATE TABLE j (id INT PRIMARY KEY, j JSON)", `INSERT INTO j VALUES (1, '{"a": 9007199254740993, "b": 1.5, "c": 12}')`, "UPDATE j SET j = JSON_SET(j, '$.z', 1)",
		`INSERT INTO j SELECT 2, '[18446744073709551615]'`)
	c.want("SELECT j->'$.a', j->>'$.a', j->'$.z', j->'$.c' + 1 FROM j WHERE id = 1", "9007199254740993|9007199254740993|1|13")
	c.want("SELECT j->'$[0]' FROM j WHERE id = 2", "18446744073709551615")
	if _, err := c.run(`INSERT INTO j VALUES (3, '{"a": ')`); err == nil {
		t.Error("half a document was taken")
	}
	if _, err := c.run("SELECT JSON_EXTRACT('[1, ', '$[0]')"); err == nil {
		t.Error("half a document was read")
	}
	b := blankServer(t, nil)
	b.mustFollow(s)
	b.sameAs(s)
	b.test().want("SELECT j->'$.a' FROM j WHERE id = 1", "9007199254740993")
}
