package sql

import (
	"fmt"
	"strings"
	"testing"
)

// CEIL and FLOOR leave the row as it is: the planner's rounded the number in it.
func TestRoundingLeavesTheRow(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, n DECIMAL(8,2), i INT, f INT AS (FLOOR(n)) STORED, c INT AS (CEIL(n)), KEY ((CEIL(n) + 1)), CHECK (FLOOR(n) > -10))",
		"INSERT INTO t (id, n) VALUES (1, 1.25), (2, 5), (3, -0.5)")
	c.want("SELECT n, f, c, CEIL(n), FLOOR(n), CEILING(n), n FROM t ORDER BY id", "1.25|1|2|2|1|2|1.25", "5.00|5|5|5|5|5|5.00", "-0.50|-1|0|0|-1|0|-0.50")
	c.want("SELECT id, n FROM t WHERE n = CEIL(n)", "2|5.00")
	c.want("SELECT id, n FROM t WHERE CEIL(n) + 1 = 3", "1|1.25")
	c.must("UPDATE t SET i = CEIL(n) WHERE FLOOR(n) < 2", "UPDATE t SET i = i + FLOOR(n), n = n + 0.01 WHERE id = 1")
	c.want("SELECT n, i FROM t ORDER BY id", "1.26|3", "5.00|NULL", "-0.50|0")
	c.must("CREATE TABLE u AS SELECT id, FLOOR(n) AS f, n FROM t", "INSERT INTO u SELECT id + 10, CEIL(n), n FROM t ON DUPLICATE KEY UPDATE f = FLOOR(u.n)")
	c.want("SELECT n FROM u ORDER BY id", "1.26", "5.00", "-0.50", "1.26", "5.00", "-0.50")
	s.wantClean()
}

// A DECIMAL is equal to what is computed of other columns with other digits.
func TestComputedDecimalsCompare(t *testing.T) {
	conn := mariadb(t)
	c := newServer(t).test()
	onBoth(t, c, conn,
		"CREATE TABLE g (id INT PRIMARY KEY, i INT, n DECIMAL(8,2))", "INSERT INTO g VALUES (0, 1, 1.25), (1, 0, -3.00), (2, 2, 0.50), (3, 2, NULL), (4, 3, 5.00), (5, NULL, 2), (6, 4, 15)",
		"CREATE TABLE k (id INT PRIMARY KEY, i INT, n DECIMAL(8,2), KEY (n))", "INSERT INTO k SELECT * FROM g",
	)
	for _, condition := range []string{
		"n = id * 2.5", "n <> id * 2.5", "n <=> id * 2.5", "n = 2.5 * i + 5", "n = id + 9.0", "n * 1.00 = id * 2.50", "n = id + 0.25", "n >= i * 0.5", "n = i * 1.0", "n = ROUND(n)", "n <= CEIL(n)", "FLOOR(n) BETWEEN n AND i", "n IN (id * 2.5, 1)", "n * n = i * 0.125",
	} {
		for _, table := range []string{"g", "k"} {
			asMariaDB(t, c, conn, "SELECT id, n FROM "+table+" WHERE "+condition+" ORDER BY id")
		}
		joined := strings.NewReplacer("n", "k.n", "id", "g.id").Replace(condition)
		asMariaDB(t, c, conn, "SELECT g.id, k.id FROM g JOIN k ON "+strings.ReplaceAll(strings.ReplaceAll(joined, "ROUk.nD", "ROUND"), " i", " g.i")+" ORDER BY g.id, k.id")
	}
}

// Functions that choose among values give them MySQL's type.
func TestChoicesAsMariaDB(t *testing.T) {
	conn := mariadb(t)
	c := newServer(t).test()
	onBoth(t, c, conn,
		"CREATE TABLE t (id INT PRIMARY KEY, i INT, u BIGINT UNSIGNED, n DECIMAL(8,2), f DOUBLE, s VARCHAR(8), e ENUM('x','y'), m SET('p','q'), d DATE, dt DATETIME, dt3 DATETIME(3), t TIME)",
		"INSERT INTO t VALUES (1, 1, 18446744073709551615, 1.50, 0.5, 'a', 'y', 'p,q', '2024-01-02', '2024-01-02 03:04:05', '2024-01-02 03:04:05.5', '10:11:12'), (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL), (3, -7, 0, 2.00, 2, '', 'x', '', '2023-01-01', '2023-01-01 00:00:00', '2023-01-01 00:00:00', '-01:00:00')",
	)
	for _, e := range []string{
		"IF(i > 0, n, i)", "IFNULL(n, i)", "COALESCE(i, n, 7)", "CASE WHEN i > 0 THEN i ELSE n END", "IF(i > 0, n, f)", "IF(i > 0, s, e)", "IF(i < 0, s, e)", "IF(e = 'y', m, s)", "COALESCE(e, 'none')", "IFNULL(e, s)", "NULLIF(e, 'x')", "NULLIF(e, s)",
		"CASE e WHEN 'y' THEN e ELSE s END", "CASE WHEN i > 0 THEN e END", "CONCAT_WS('-', e, m, s)", "CONCAT(e, m)", "UPPER(e)", "REPLACE(e, 'x', 'z')", "IF(e, 1, 2)", "LENGTH(m)",
		"COALESCE(d, dt)", "IF(i > 0, d, dt)", "IFNULL(dt, dt3)", "CASE WHEN i > 0 THEN dt3 ELSE d END", "TIMESTAMP(d)", "TIMESTAMP(dt)", "TIMESTAMP(dt3)", "TIMESTAMP('2024-01-01')",
		"GREATEST(n, i)", "LEAST(n, 1)", "GREATEST(9007199254740993, i)", "LEAST(s, 'B')", "GREATEST(s, e)", "GREATEST(d, '2023-06-01')", "LEAST('2023-06-01', d)", "LEAST(d, dt)", "GREATEST(n, f)",
		"ROUND(n)", "ROUND(n, 1)", "TRUNCATE(n, 1)", "TRUNCATE(n, -1)", "n % 3", "-n % 3", "CEIL(n)", "FLOOR(-n)",
	} {
		for _, form := range []string{
			"SELECT %s FROM t ORDER BY id", "SELECT x FROM (SELECT id, %s AS x FROM t) y ORDER BY id", "SELECT COUNT(DISTINCT %s), MIN(%[1]s), MAX(%[1]s) FROM t", "SELECT %s, COUNT(*) FROM t GROUP BY 1 ORDER BY 2, 1",
			"SELECT id FROM t WHERE %s = %[1]s ORDER BY id", "SELECT GROUP_CONCAT(%s, '/' ORDER BY id) FROM t",
		} {
			asMariaDB(t, c, conn, fmt.Sprintf(form, e))
		}
	}
	for _, q := range []string{
		"SELECT SUM(IFNULL(n, i)), AVG(IF(i > 0, n, 1)), SUM(ROUND(n)), SUM(n / 3), SUM(i / 3), SUM(-n % 3) FROM t", "SELECT MIN(e), MAX(e), MAX(m) FROM t", "SELECT id FROM t GROUP BY id HAVING MIN(e) > 'x' ORDER BY id",
		"SELECT n FROM t UNION SELECT 2 ORDER BY 1", "SELECT i FROM t UNION SELECT IF(id > 1, n, -7) FROM t ORDER BY 1", "SELECT d FROM t UNION SELECT dt FROM t ORDER BY 1", "SELECT e FROM t UNION SELECT s FROM t ORDER BY 1", "SELECT CASE WHEN id > 1 THEN n ELSE 1 END FROM t UNION SELECT i FROM t ORDER BY 1",
		"SELECT id, SUM(f) OVER (PARTITION BY i ORDER BY id), AVG(f) OVER (ORDER BY id ROWS BETWEEN CURRENT ROW AND CURRENT ROW), LAST_VALUE(t) OVER (ORDER BY id), LAG(t) OVER (ORDER BY id), MIN(t) OVER (ORDER BY id) FROM t ORDER BY id",
		"SELECT COUNT(*) FROM t GROUP BY 'a'", "SELECT 'q', COUNT(*) FROM t GROUP BY 'q', 2.5", "SELECT COUNT(*) FROM t WHERE id > 9 GROUP BY 'a'", "SELECT x + INTERVAL 1 DAY FROM (SELECT d - INTERVAL 1 DAY AS x FROM t) y ORDER BY 1",
		"SELECT x, COUNT(*) FROM (SELECT DATE_ADD(d, INTERVAL 1 DAY) AS x FROM t UNION ALL SELECT d + INTERVAL 1 DAY FROM t) y GROUP BY x ORDER BY x", "SELECT COUNT(DISTINCT s <=> e, n) FROM t", "SELECT COUNT(DISTINCT CONCAT(d, '!')) FROM t",
	} {
		asMariaDB(t, c, conn, q)
	}
}

// Text that functions make is sorted, grouped and compared by the collation of what they make
// it of.
func TestTextKeepsItsCollation(t *testing.T) {
	conn := mariadb(t)
	c := newServer(t).test()
	onBoth(t, c, conn,
		"SET NAMES utf8mb4 COLLATE utf8mb4_general_ci", "CREATE TABLE g (id INT PRIMARY KEY, s VARCHAR(8) COLLATE utf8mb4_general_ci, b VARCHAR(8) COLLATE utf8mb4_bin, e ENUM('b','A','a1','B2') COLLATE utf8mb4_general_ci)",
		"INSERT INTO g VALUES (1, 'b', 'b', 'b'), (2, 'A', 'A', 'A'), (3, 'a', 'a', 'a1'), (4, 'B', 'B', 'B2')",
	)
	for _, f := range []string{
		"CONCAT(s, '')", "CONCAT_WS('-', s, 'x')", "LEFT(s, 3)", "RIGHT(s, 3)", "SUBSTRING(s, 1)", "TRIM(s)", "REPLACE(s, 'q', '')", "REVERSE(s)", "REPEAT(s, 2)", "LPAD(s, 3, ' ')", "RPAD(s, 3, 'x')", "SUBSTRING_INDEX(s, ',', 1)", "INSERT(s, 2, 0, 'z')", "ELT(1, s, 'x')", "QUOTE(s)",
		"IF(id > 0, s, 'x')", "IFNULL(s, 'x')", "COALESCE(s, 'x')", "NULLIF(s, 'x')", "CASE WHEN id > 0 THEN s ELSE 'longer than s' END", "CAST(s AS CHAR)", "CONVERT(s, CHAR(5))", "GREATEST(s, 'A')", "CONCAT(e, '')", "IF(id > 0, e, 'x')",
		"CONCAT(b, '')", "CONCAT(s, b)", "IFNULL(b, s)", "REPLACE(b, 'q', s)", "CONCAT(s COLLATE utf8mb4_bin, 'x')", "LEFT(b, 1)",
	} {
		for _, form := range []string{
			"SELECT id FROM g ORDER BY %s, id", "SELECT id, %s AS x FROM g ORDER BY x, id", "SELECT COUNT(*) AS c FROM g GROUP BY %s ORDER BY c", "SELECT COUNT(DISTINCT %s) FROM g", "SELECT UPPER(MIN(%s)), UPPER(MAX(%[1]s)) FROM g",
			"SELECT COUNT(*) FROM (SELECT DISTINCT %s FROM g) x", "SELECT COUNT(*) FROM (SELECT %s AS x FROM g) y WHERE x = 'a'", "SELECT COUNT(*) FROM (SELECT %s AS x FROM g) y WHERE x > 'a'", "SELECT id FROM (SELECT id, %s AS x FROM g) y ORDER BY x, id",
			"SELECT COUNT(*) FROM (SELECT %s AS x FROM g UNION SELECT 'zz') y", "SELECT COUNT(*) FROM g JOIN (SELECT %s AS x FROM g) y ON y.x = g.s",
		} {
			asMariaDB(t, c, conn, fmt.Sprintf(form, f))
		}
	}
}
