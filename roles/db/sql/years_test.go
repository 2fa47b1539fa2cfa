package sql

import "testing"

// A dump of MariaDB has YEAR(4), which the parser does not know.
func TestYearWithItsWidth(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, `year(4)` year(4) DEFAULT NULL, b VARCHAR(20) DEFAULT 'year(4)' COMMENT 'year (4)', c YEAR ( 4 ) NOT NULL DEFAULT '2026')",
		"INSERT INTO t (id, `year(4)`) VALUES (1, 1999)", "ALTER TABLE t ADD COLUMN d year(4)")
	c.want("SELECT `year(4)`, b, c, d FROM t", "1999|year(4)|2026|NULL")
	c.want("SELECT YEAR('2026-11-29')", "2026")
	c.fails(1064, "CREATE TABLE u (a YEAR(3))")
}
