package sql

import "testing"

// SET timestamp says what time it is, until it is set to its default.
func TestSetTimestamp(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, n INT, a TIMESTAMP DEFAULT CURRENT_TIMESTAMP, b DATETIME(2) NULL ON UPDATE CURRENT_TIMESTAMP(2))",
		"CREATE TABLE log (at DATETIME)", "CREATE TRIGGER tr AFTER INSERT ON t FOR EACH ROW INSERT INTO log VALUES (NOW())",
		"CREATE FUNCTION f() RETURNS DATETIME RETURN NOW()", "CREATE PROCEDURE p() BEGIN SELECT NOW(), @@timestamp; END",
		"SET timestamp = 1700000000.25")
	c.want("SELECT @@timestamp, NOW() + 0 = 20231114221320, UNIX_TIMESTAMP(), CURDATE(), CURTIME() = '22:13:20', f()", "1700000000.25|1|1700000000|2023-11-14|1|2023-11-14 22:13:20")
	c.want("CALL p()", "2023-11-14 22:13:20|1700000000.25", "--")
	c.want("SELECT SYSDATE() > '2025-01-01'", "1")
	c.must("INSERT INTO t (id) VALUES (1)", "SET timestamp = '1700000060'")
	c.fails(1231, "SET timestamp = 2147483648")
	c.must("INSERT INTO t (id) VALUES (2), (3)", "UPDATE t SET n = 1 WHERE id = 2", "SET @at = @@timestamp, timestamp = DEFAULT")
	c.want("SELECT * FROM t", "1|NULL|2023-11-14 22:13:20|NULL", "2|1|2023-11-14 22:14:20|2023-11-14 22:14:20.00", "3|NULL|2023-11-14 22:14:20|NULL")
	c.want("SELECT * FROM log", "2023-11-14 22:13:20", "2023-11-14 22:14:20", "2023-11-14 22:14:20")
	c.want("SELECT NOW() > '2025-01-01', @@timestamp > 1700000100", "1|1")
	c.must("SET timestamp = @at")
	c.want("SELECT UNIX_TIMESTAMP()", "1700000060")
	c.must("SET timestamp = 0", "INSERT INTO t (id) VALUES (4)")
	c.want("SELECT a > '2025-01-01' FROM t WHERE id = 4", "1")

	// A replica has the same times, of statements that are logged as such too.
	c.must("SET timestamp = 1700000000", "ALTER TABLE t ADD COLUMN c DATETIME DEFAULT CURRENT_TIMESTAMP")
	c.want("SELECT COUNT(*) FROM t WHERE c = '2023-11-14 22:13:20'", "4")
	b := blankServer(t, nil)
	b.mustFollow(s)
	b.sameAs(s)
}
