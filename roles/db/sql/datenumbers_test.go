package sql

import "testing"

// Dates beside numbers, in each place and by each way to the rows.
func TestDatesBesideNumbersAsMariaDB(t *testing.T) {
	conn := mariadb(t)
	c := newServer(t).test()
	onBoth(t, c, conn,
		"CREATE TABLE g (id INT PRIMARY KEY, d DATE, dt DATETIME, ts TIMESTAMP(3) NULL, t TIME, i INT, n DECIMAL(20,2), KEY (d), KEY (dt, i))",
		"INSERT INTO g VALUES (1, '2024-01-01', '2024-01-01 10:00:00', '2024-01-01 10:00:00.5', '10:00:00', 1, 20240101), (2, NULL, NULL, NULL, NULL, 20240101, NULL), (3, '1999-01-01', '1999-01-01 00:00:00', '1999-01-01', '00:00:00', 19990101, 19990101)",
	)
	for _, direct := range []string{"0", "1"} {
		c.must("SET direct = " + direct)
		for _, column := range []string{"d", "dt", "ts", "DATE(dt)", "LAST_DAY(d)", "d + INTERVAL 1 DAY", "IFNULL(d, dt)"} {
			for _, condition := range []string{
				" > 0", " <> 0", " = 0", " < 1", " >= 20000101", " = 20240101", " = 20240101100000", " > 990101", " > 240101", " < 700101", " > 5.5", " <=> 20240101", " BETWEEN 20000101 AND 20301231", " BETWEEN 1 AND 20301231", " IN (20240101, 5)",
				" NOT IN (20240101, 19990101)", " > -1", " > 20000101000000", " > 1e7",
			} {
				asMariaDB(t, c, conn, "SELECT id FROM g WHERE "+column+condition+" ORDER BY id")
				asMariaDB(t, c, conn, "SELECT id, "+column+condition+" FROM g ORDER BY id")
			}
			asMariaDB(t, c, conn, "SELECT id FROM g WHERE 20000101 < "+column+" ORDER BY id")
			asMariaDB(t, c, conn, "SELECT i FROM g GROUP BY i HAVING MAX("+column+") > 20000101 ORDER BY i")
		}
		for _, condition := range []string{"d = i", "d >= n", "i < d", "d IN (i, 19990101)", "DATE(dt) = i", "d BETWEEN i AND n"} {
			asMariaDB(t, c, conn, "SELECT id, "+condition+" FROM g WHERE "+condition+" ORDER BY id")
		}
		asMariaDB(t, c, conn, "SELECT a.id, b.id FROM g a JOIN g b ON a.d = b.i OR a.dt > 20200101 AND b.id = 3 ORDER BY a.id, b.id")
		asMariaDB(t, c, conn, "SELECT a.id, b.id FROM g a LEFT JOIN g b ON b.d = a.i ORDER BY a.id, b.id")
		asMariaDB(t, c, conn, "SELECT id FROM g WHERE t > 0 OR t = 100000 ORDER BY id")
	}
	c.must("UPDATE g SET i = 5 WHERE d > 20000101", "DELETE FROM g WHERE dt < 20000101")
	c.want("SELECT id, i FROM g ORDER BY id", "1|5", "2|20240101")
	c.must("PREPARE p FROM 'SELECT id FROM g WHERE d >= ?'", "SET @x = 20240101")
	c.want("EXECUTE p USING @x", "1")
}
