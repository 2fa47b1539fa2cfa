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
		"SELECT id, (SELECT SUM(x) OVER (ORDER BY x DESC) FROM w v WHERE v.id = w.id), id IN (SELECT COUNT(*) OVER (ORDER BY id DESC) FROM w) FROM w ORDER BY id",
		"SELECT * FROM (SELECT id, ROW_NUMBER() OVER (PARTITION BY a ORDER BY x DESC) r, SUM(x) OVER (PARTITION BY a ORDER BY x DESC) s, LAG(x) OVER (ORDER BY id DESC) FROM w) d WHERE r = 1 ORDER BY id",
	} {
		asMariaDB(t, c, conn, q)
	}
	// MariaDB has no distances of time.
	c.want("SELECT id, SUM(x) OVER (ORDER BY d RANGE BETWEEN INTERVAL 1 DAY PRECEDING AND CURRENT ROW), COUNT(*) OVER (ORDER BY d DESC RANGE INTERVAL 4 DAY PRECEDING) FROM w ORDER BY id",
		"1|10|4", "2|60|3", "3|60|3", "4|40|1", "5|50|1", "6|130|1", "7|70|2")
	c.fails(3587, "SELECT SUM(x) OVER (ORDER BY a, b RANGE 1 PRECEDING) FROM w")
	c.fails(1210, "SELECT NTH_VALUE(x, 0) OVER (ORDER BY id) FROM w")
	c.fails(1210, "SELECT NTH_VALUE(x, id) OVER (ORDER BY id) FROM w")
	c.want("SELECT CUME_DIST() OVER (), NTH_VALUE(x, 1) OVER (), NTH_VALUE(x, 9) OVER () FROM w LIMIT 1", "1|10|NULL")
}
