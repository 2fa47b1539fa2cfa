package sql

import "testing"

// Frames by the values of ORDER BY: of several keys, descending, with NULLs and with distances; and what a window has where
// it says none.
func TestFramesAsMariaDB(t *testing.T) {
	conn := mariadb(t)
	c := newServer(t).test()
	onBoth(t, c, conn,
		"CREATE TABLE w (id INT PRIMARY KEY, a INT, b INT, x INT, d DATE, s VARCHAR(5))",
		"INSERT INTO w VALUES (1, 1, 1, 10, '2026-01-01', 'a'), (2, 1, 2, 20, '2026-01-02', 'B'), (3, 1, 2, 30, '2026-01-02', 'b'), (4, 2, 1, 40, '2026-01-05', 'c'), (5, NULL, 1, 50, NULL, NULL), (6, NULL, 2, 60, '2026-02-01', 'A'), (7, 4, 1, 70, '2026-01-31', 'd')")
	for _, order := range []string{"a", "a DESC", "a, b", "a DESC, b", "a, b DESC", "b, a", "s", "s DESC", "d", "d DESC, id"} {
		for _, part := range []string{"", "PARTITION BY b "} {
			over := " OVER (" + part + "ORDER BY " + order + ")"
			asMariaDB(t, c, conn, "SELECT id, SUM(x)"+over+", COUNT(*)"+over+", COUNT(a)"+over+", AVG(x)"+over+", MIN(x)"+over+", MAX(x)"+over+" FROM w ORDER BY id")
			asMariaDB(t, c, conn, "SELECT id, RANK()"+over+", DENSE_RANK()"+over+", ROUND(PERCENT_RANK()"+over+", 6), ROUND(CUME_DIST()"+over+", 6) FROM w ORDER BY id")
			asMariaDB(t, c, conn, "SELECT id, SUM(x) OVER ("+part+"ORDER BY "+order+" RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING), SUM(x)"+over+" FROM w ORDER BY id")
		}
	}
	for _, order := range []string{"a, b, id", "a DESC, b, id DESC", "id", "id DESC"} {
		asMariaDB(t, c, conn, "SELECT id, FIRST_VALUE(x) OVER (ORDER BY "+order+"), LAST_VALUE(x) OVER (ORDER BY "+order+"), NTH_VALUE(x, 2) OVER (ORDER BY "+order+"), NTH_VALUE(s, 3) OVER (PARTITION BY b ORDER BY "+order+") FROM w ORDER BY id")
	}
	for _, frame := range []string{
		"BETWEEN 1 PRECEDING AND CURRENT ROW", "BETWEEN 1 PRECEDING AND 1 FOLLOWING", "BETWEEN CURRENT ROW AND 2 FOLLOWING", "BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING",
		"BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING", "BETWEEN 3 PRECEDING AND 2 PRECEDING", "1 PRECEDING", "UNBOUNDED PRECEDING", "BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING",
	} {
		for _, order := range []string{"id", "id DESC", "a", "a DESC"} {
			asMariaDB(t, c, conn, "SELECT id, SUM(x) OVER (ORDER BY "+order+" RANGE "+frame+"), COUNT(*) OVER (PARTITION BY b ORDER BY "+order+" RANGE "+frame+") FROM w ORDER BY id")
		}
	}
	for _, q := range []string{
		"SELECT id, SUM(x) OVER (ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW), SUM(x) OVER (ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING), SUM(x) OVER (ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 FOLLOWING) FROM w ORDER BY id",
		"SELECT id, COUNT(*) OVER (ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW), COUNT(*) OVER (ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) FROM w ORDER BY id",
		"SELECT id, SUM(x) OVER u, SUM(x) OVER v FROM w WINDOW u AS (ORDER BY id), v AS (ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) ORDER BY id",
		"SELECT id, SUM(x) OVER (u ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM w WINDOW u AS (ORDER BY id) ORDER BY id",
		"SELECT id, SUM(x) OVER (u ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING), SUM(x) OVER u FROM w WINDOW u AS (ORDER BY id) ORDER BY id",
		"SELECT id, SUM(x) OVER v, SUM(x) OVER u, COUNT(*) OVER (v) FROM w WINDOW u AS (PARTITION BY b), v AS (u ORDER BY id) ORDER BY id",
		"SELECT id, SUM(x) OVER v FROM w WINDOW u AS (ORDER BY id), v AS (u ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) ORDER BY id",
		"SELECT id, (SELECT SUM(x) OVER (ORDER BY x DESC) FROM w v WHERE v.id = w.id), id IN (SELECT COUNT(*) OVER (ORDER BY id DESC) FROM w) FROM w ORDER BY id",
		"SELECT * FROM (SELECT id, ROW_NUMBER() OVER (PARTITION BY a ORDER BY x DESC) r, SUM(x) OVER (PARTITION BY a ORDER BY x DESC) s, LAG(x) OVER (ORDER BY id DESC) FROM w) d WHERE r = 1 ORDER BY id",
	} {
		asMariaDB(t, c, conn, q)
	}
	// MariaDB has no distances of time.
	c.want("SELECT id, SUM(x) OVER (ORDER BY d RANGE BETWEEN INTERVAL 1 DAY PRECEDING AND CURRENT ROW), COUNT(*) OVER (ORDER BY d DESC RANGE INTERVAL 4 DAY PRECEDING) FROM w ORDER BY id",
		"1|10|4", "2|60|3", "3|60|3", "4|40|1", "5|50|1", "6|130|1", "7|70|2")
	c.must("CREATE TABLE far (k BIGINT, u BIGINT UNSIGNED, d DATETIME(3), t TIME, n INT)",
		"INSERT INTO far VALUES (-9223372036854775808, 0, '2026-01-01 09:59:59.500', '10:00:00', 1), (-9223372036854775807, 9007199254740993, '2026-01-01 10:00:00.400', '10:00:01', 2), (9223372036854775807, 9007199254740995, '2026-01-01 10:00:01.400', '10:00:05', 4)")
	c.want("SELECT SUM(n) OVER (ORDER BY k RANGE 1 PRECEDING), SUM(n) OVER (ORDER BY k RANGE BETWEEN CURRENT ROW AND 1 FOLLOWING), SUM(n) OVER (ORDER BY u RANGE 1 PRECEDING), SUM(n) OVER (ORDER BY u RANGE 2 PRECEDING) FROM far ORDER BY n",
		"1|3|1|1", "3|2|2|2", "4|4|4|6")
	c.want("SELECT SUM(n) OVER (ORDER BY d RANGE INTERVAL 1 SECOND PRECEDING), SUM(n) OVER (ORDER BY d RANGE INTERVAL 900000 MICROSECOND PRECEDING), SUM(n) OVER (ORDER BY t RANGE INTERVAL 1 SECOND PRECEDING) FROM far ORDER BY n",
		"1|1|1", "3|3|3", "6|4|4")
	c.fails(3587, "SELECT SUM(x) OVER (ORDER BY a, b RANGE 1 PRECEDING) FROM w")
	c.fails(1210, "SELECT NTH_VALUE(x, 0) OVER (ORDER BY id) FROM w")
	c.fails(1210, "SELECT NTH_VALUE(x, id) OVER (ORDER BY id) FROM w")
	c.want("SELECT CUME_DIST() OVER (), NTH_VALUE(x, 1) OVER (), NTH_VALUE(x, 9) OVER () FROM w LIMIT 1", "1|10|NULL")
}

// Functions over windows of groups.
func TestWindowsOverGroupsAsMariaDB(t *testing.T) {
	conn := mariadb(t)
	c := newServer(t).test()
	onBoth(t, c, conn, "CREATE TABLE w (id INT PRIMARY KEY, a INT, b INT, x INT, d DECIMAL(8,3), s TIME)",
		"INSERT INTO w VALUES (1, 1, 1, 10, 1.5, '10:00:00'), (2, 1, 2, 20, 2.25, '11:00:00'), (3, 1, 2, 30, NULL, NULL), (4, 2, 1, 40, 4, '09:00:00'), (5, NULL, 1, 50, 5.125, '08:00:01')")
	for _, q := range []string{
		"SELECT a, SUM(x), SUM(SUM(x)) OVER (ORDER BY a DESC) FROM w GROUP BY a ORDER BY a",
		"SELECT a, SUM(x) AS s, RANK() OVER (ORDER BY SUM(x) DESC) AS r FROM w GROUP BY a ORDER BY r, s",
		"SELECT a AS k, b, COUNT(*) AS n, ROW_NUMBER() OVER (PARTITION BY a ORDER BY COUNT(*) DESC, b) AS r FROM w GROUP BY k, b ORDER BY k, r",
		"SELECT a + 1 AS k, SUM(d), SUM(d) / SUM(SUM(d)) OVER () AS share, MAX(s) FROM w GROUP BY a + 1 HAVING SUM(x) > 40 ORDER BY SUM(x) DESC",
		"SELECT a, ROUND(100 * SUM(x) / SUM(SUM(x)) OVER (), 2), LAG(SUM(x)) OVER (ORDER BY a), LAG(MAX(s), 1) OVER (ORDER BY a) FROM w WHERE id < 5 GROUP BY a ORDER BY 1 LIMIT 1, 5",
		"SELECT SUM(x), COUNT(*) OVER () FROM w",
		"SELECT DISTINCT COUNT(*) OVER (PARTITION BY COUNT(*)) FROM w GROUP BY a",
		"SELECT ROW_NUMBER() OVER () FROM w GROUP BY a",
		"SELECT a, SUM(x) OVER (PARTITION BY a) FROM (SELECT a, SUM(x) AS x FROM w GROUP BY a, b) d ORDER BY a, 2",
		"SELECT a, (SELECT MAX(v.x) FROM w v WHERE v.a = w.a) AS m, RANK() OVER (ORDER BY (SELECT MAX(v.x) FROM w v WHERE v.a = w.a)) AS r FROM w GROUP BY a ORDER BY r",
		"SELECT a, SUM(x), SUM(SUM(x)) OVER v, AVG(SUM(x)) OVER v FROM w GROUP BY a WINDOW v AS (ORDER BY SUM(x)) ORDER BY a",
		"WITH g AS (SELECT a, b, x FROM w WHERE x > 10) SELECT b, COUNT(*), SUM(COUNT(*)) OVER (ORDER BY b) FROM g GROUP BY b ORDER BY b",
		"SELECT a, COUNT(*) FROM w GROUP BY a ORDER BY RANK() OVER (ORDER BY SUM(x) DESC)",
		"SELECT * FROM (SELECT a, RANK() OVER (ORDER BY SUM(x) DESC) r FROM w GROUP BY a) d WHERE r = 1",
		"SELECT a, CASE WHEN SUM(x) > 45 THEN 'big' ELSE 'small' END c, COUNT(*) OVER (PARTITION BY CASE WHEN SUM(x) > 45 THEN 'big' ELSE 'small' END) n FROM w GROUP BY a ORDER BY a",
		"SELECT a, SUM(x) FROM w GROUP BY a UNION ALL SELECT b, SUM(SUM(x)) OVER (ORDER BY b) FROM w GROUP BY b ORDER BY 1, 2",
		"SELECT a, GROUP_CONCAT(x ORDER BY x), COUNT(*) OVER () FROM w GROUP BY a ORDER BY a",
	} {
		asMariaDB(t, c, conn, q)
	}
	c.must("CREATE VIEW v AS SELECT a, RANK() OVER (ORDER BY SUM(x) DESC) AS r FROM w GROUP BY a")
	c.want("SELECT * FROM v ORDER BY r, a", "1|1", "NULL|2", "2|3")
	c.fails(1055, "SELECT a, b, RANK() OVER (ORDER BY SUM(x)) FROM w GROUP BY a")
}
