package sql

import (
	"strings"
	"testing"
)

// What MariaDB 10.11 answers, but for zeros at the end of a TIME(n).
func TestTemporalTexts(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("SET time_zone = '+00:00'",
		"CREATE TABLE c (i INT PRIMARY KEY, d DATE, t TIME, dt DATETIME, dt3 DATETIME(3), ts4 TIMESTAMP(4) NULL)",
		"INSERT INTO c VALUES (1, '2024-02-29', '10:11:12', '2024-02-29 10:11:12', '2024-02-29 10:11:12.5', '2024-02-29 10:11:12.1234'), "+
			"(2, '1999-12-31', '-838:59:58', '1999-12-31 00:00:00', '1999-12-31 00:00:00', '1999-12-31 00:00:00'), (3, NULL, NULL, NULL, NULL, NULL)")
	for _, e := range []string{"CAST(%s AS CHAR)", "CONVERT(%s, CHAR)", "CONCAT(%s)", "IFNULL(%s, 'x')", "COALESCE(%s, 'x')", "IF(1, %s, 'q')", "CASE WHEN 1 THEN %s ELSE 'q' END", "LEFT(%s, 99)",
		"REPLACE(%s, '!', '')", "(SELECT CONCAT(%s) FROM c x WHERE x.i = c.i)"} {
		for column, texts := range map[string][]string{
			"d": {"2024-02-29", "1999-12-31"}, "t": {"10:11:12", "-838:59:58"}, "dt": {"2024-02-29 10:11:12", "1999-12-31 00:00:00"},
			"dt3": {"2024-02-29 10:11:12.500", "1999-12-31 00:00:00.000"}, "ts4": {"2024-02-29 10:11:12.1234", "1999-12-31 00:00:00.0000"},
		} {
			c.want("SELECT "+strings.ReplaceAll(e, "%s", column)+" FROM c WHERE i < 3 ORDER BY i", texts...)
		}
	}
	c.want("SELECT CONCAT(d, '|', t, '|', dt3), CONCAT_WS(',', d, t) FROM c ORDER BY i",
		"2024-02-29|10:11:12|2024-02-29 10:11:12.500|2024-02-29,10:11:12", "1999-12-31|-838:59:58|1999-12-31 00:00:00.000|1999-12-31,-838:59:58", "NULL|")
	c.want("SELECT LENGTH(d), HEX(t), QUOTE(d), CAST(d AS CHAR(7)) FROM c WHERE i = 1", "10|31303A31313A3132|'2024-02-29'|2024-02")
	c.want("SELECT GROUP_CONCAT(d), GROUP_CONCAT(t ORDER BY t SEPARATOR ' ') FROM c", "2024-02-29,1999-12-31|-838:59:58 10:11:12")
	c.want("SELECT CAST(d AS SIGNED), CAST(dt3 AS SIGNED), CAST(dt3 AS DECIMAL(20,2)), CAST(t AS SIGNED), CAST(t AS DECIMAL(12,1)) FROM c WHERE i < 3 ORDER BY i",
		"20240229|20240229101112|20240229101112.50|101112|101112.0", "19991231|19991231000000|19991231000000.00|-8385958|-8385958.0")
	c.must("CREATE TABLE p (t TIME(2))", "INSERT INTO p VALUES ('-10:11:12.34'), ('00:00:10.5')")
	c.want("SELECT CONCAT(t), CAST(t AS CHAR), CAST(t AS DECIMAL(9,2)), CAST(t AS SIGNED) FROM p ORDER BY t", "-10:11:12.34|-10:11:12.34|-101112.34|-101112", "00:00:10.5|00:00:10.5|10.50|10")
	c.want("SELECT COALESCE(NULL, d), CONCAT(DATE '2024-01-02'), CAST(LAST_DAY('2024-02-01') AS CHAR) FROM c WHERE i = 1", "2024-02-29|2024-01-02|2024-02-29")
	c.want("SELECT LENGTH(CAST(NOW() AS CHAR)), LENGTH(CAST(CURDATE() AS CHAR)), LENGTH(CONCAT(n)) FROM (SELECT NOW() AS n) x", "19|10|19")
	c.want("SELECT DISTINCT CONCAT(d), COUNT(*) FROM c WHERE CAST(d AS CHAR) = '2024-02-29' GROUP BY CONCAT(d) ORDER BY CONCAT(d)", "2024-02-29|1")
	c.want("SELECT TIME_TO_SEC('-838:59:58'), TIME_TO_SEC('-00:00:01'), TIME_TO_SEC('22:23:00'), TIME_TO_SEC('2024-01-01 10:00:00'), TIME_TO_SEC(NULL), HOUR('30:00:00'), MINUTE('10:11:12')",
		"-3020398|-1|80580|36000|NULL|30|11")
	c.want("SELECT TIME_TO_SEC(t), HOUR(t), MINUTE(t), SECOND(t), HOUR(dt), TIME_TO_SEC(dt) FROM c ORDER BY i", "36672|10|11|12|10|36672", "-3020398|838|59|58|0|0", "NULL|NULL|NULL|NULL|NULL|NULL")
	c.must("SET sql_mode = ''", "CREATE TABLE z (d DATE, dt DATETIME, ts3 TIMESTAMP(3) NULL)", "INSERT INTO z VALUES ('0000-00-00', '0000-00-00', '0000-00-00')")
	c.want("SELECT CAST(d AS CHAR), CONCAT(dt, '|', ts3), LEFT(dt, 4), CAST(d AS SIGNED), CAST(ts3 AS DECIMAL(20,3)) FROM z", "0000-00-00|0000-00-00 00:00:00|0000-00-00 00:00:00.000|0000|0|0.000")
}

// Rows that are written, rows that a change of the table writes anew, and what reads an
// index over an expression agree.
func TestTemporalTextsInDefinitions(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE g (i INT PRIMARY KEY, d DATE, dt3 DATETIME(3) DEFAULT '2024-01-01', s VARCHAR(40) AS (CONCAT('<', d, '>')) STORED, n VARCHAR(40), KEY ((CAST(d AS CHAR(30)))), CHECK (CONCAT(d) <> '2000-01-01'))",
		"CREATE TRIGGER tr BEFORE INSERT ON g FOR EACH ROW SET NEW.n = CONCAT(NEW.d)",
		"INSERT INTO g (i, d) VALUES (1, '2024-02-29'), (2, '2024-03-01')", "UPDATE g SET d = '2024-03-02' WHERE i = 2")
	c.want("SELECT s, n FROM g ORDER BY i", "<2024-02-29>|2024-02-29", "<2024-03-02>|2024-03-01")
	c.want("SELECT i FROM g WHERE CAST(d AS CHAR(30)) = '2024-02-29'", "1")
	c.fails(3819, "INSERT INTO g (i, d) VALUES (3, '2000-01-01')")
	c.must("ALTER TABLE g ADD COLUMN k VARCHAR(40) AS (CONCAT(d, '!', dt3)) STORED", "ALTER TABLE g MODIFY n TEXT")
	c.want("SELECT s, k FROM g ORDER BY i", "<2024-02-29>|2024-02-29!2024-01-01 00:00:00.000", "<2024-03-02>|2024-03-02!2024-01-01 00:00:00.000")
	c.must("INSERT INTO g (i, d) VALUES (9, '2025-01-01')")
	c.want("SELECT k FROM g WHERE i = 9", "2025-01-01!2024-01-01 00:00:00.000")
	c.want("SELECT i FROM g WHERE CAST(d AS CHAR(30)) = '2024-02-29'", "1")
	c.must("UPDATE g SET n = CONCAT(d)", "CREATE VIEW v AS SELECT CONCAT(d) AS x FROM g WHERE i = 1")
	c.want("SELECT n FROM g WHERE i = 1", "2024-02-29")
	c.want("SELECT x FROM v", "2024-02-29")
}
