package sql

import (
	"slices"
	"testing"
)

// Functions of times that the planner lacks, or has wrong for what is longer than a day or
// negative, give what MariaDB gives.
func TestTimeFunctionsAsMariaDB(t *testing.T) {
	conn := mariadb(t)
	c := newServer(t).test()
	onBoth(t, c, conn,
		"CREATE TABLE t (id INT PRIMARY KEY, a TIME, d DATETIME, n INT)",
		"INSERT INTO t VALUES (1, '01:02:03', '2020-02-28 23:00:00', 90), (2, '-30:00:01', '1999-12-31 00:00:00', -90), (3, NULL, NULL, NULL), (4, '838:59:59', '2024-02-29 12:30:00', 100000)",
	)
	for _, e := range []string{
		"ADDTIME(d, '1:30:00')", "SUBTIME(d, '1 0:0:1')", "ADDTIME(a, '00:00:01')", "SUBTIME(a, a)", "ADDTIME(d, a)", "ADDTIME(a, NULL)", "ADDTIME(a, 100)",
		"ADDTIME('2007-12-31 23:59:59.999999', '1 1:1:1.000002')", "ADDTIME('01:00:00.999999', '02:00:00.999998')", "SUBTIME('01:00:00', '02:00:00')",
		"ADDTIME('2007-12-31 00:00:00', '-00:00:01')",
		"SEC_TO_TIME(n)", "SEC_TO_TIME(86399)", "SEC_TO_TIME(1000000000)", "MAKETIME(n, 1, 2)", "MAKETIME(12, 60, 0)", "MAKETIME(-900, 0, 0)", "MAKETIME(1, 2, -1)",
		"MAKEDATE(2011, n)", "MAKEDATE(11, 365)", "MAKEDATE(99, 1)", "MAKEDATE(2012, 366)", "MAKEDATE(2011, 0)", "MAKEDATE(9999, 366)",
		"TO_SECONDS(d)", "TO_SECONDS('2009-11-29')", "PERIOD_ADD(200801, n)", "PERIOD_ADD(7012, 1)", "PERIOD_DIFF(200802, 200703)",
		"TIME(a)", "TIME('-01:30:00')", "TIME(d)", "TIME('2003-12-31 01:02:03')",
		"TIME_FORMAT(a, '%H:%i:%s')", "TIME_FORMAT(a, '%k %h %I %l %p %r %T %f %%')", "TIME_FORMAT('100:00:00', '%H %k %h')",
		"UTC_DATE() = DATE(UTC_TIMESTAMP())", "UTC_TIME() IS NULL", "UTC_TIME(3) IS NULL", "TIME_FORMAT(d, '%H:%i:%s.%f %Q')", "TIME_FORMAT('2020-01-01 12:13:14', '%T')", "TIME_FORMAT(a, '%Y')",
	} {
		q := "SELECT id, CAST(" + e + " AS CHAR) FROM t ORDER BY id"
		theirs, err := rowsOf(conn, q)
		if err != nil {
			t.Fatal(q, err)
		}
		out, err := c.run(q)
		if err != nil || !slices.Equal(out.rows, theirs) {
			t.Errorf("%s\n  ours: %q %v\ntheirs: %q", q, out.rows, err, theirs)
		}
	}
	c.fails(1582, "SELECT SEC_TO_TIME()")
	c.fails(1426, "SELECT UTC_TIME(7)")
	c.fails(1210, "SELECT PERIOD_ADD(200813, 1)")
	c.want("SELECT SEC_TO_TIME(1e9), ADDTIME('01:00:00', 1.5)", "838:59:59.000000|01:00:01.500000")
	c.must("CREATE TABLE g (a TIME, s TIME AS (ADDTIME(a, '01:00:00')) STORED)", "INSERT INTO g (a) VALUES ('02:00:00')")
	c.want("SELECT s FROM g", "03:00:00")
}
