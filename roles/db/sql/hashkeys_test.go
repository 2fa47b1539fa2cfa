package sql

import "testing"

// Joins that keep a table in memory meet rows by collation, as all others do.
func TestJoinsByCollation(t *testing.T) {
	c := newServer(t).test()
	c.must("SET direct = 0",
		"CREATE TABLE x (id INT PRIMARY KEY, s TEXT, v VARCHAR(5), b VARCHAR(9) COLLATE utf8mb4_bin, n INT) COLLATE utf8mb4_unicode_520_ci",
		"CREATE TABLE y LIKE x",
		"INSERT INTO x VALUES (1, 'a', 'a', 'a', 1), (2, 'b', 'b', 'b', 2), (3, 'ABC', 'ABC', 'ABC', 1), (4, 'abc', 'abc', 'abc', 2), (5, NULL, NULL, NULL, 1)",
		"INSERT INTO y VALUES (1, 'A', 'A', 'A', 1), (2, 'b', 'b', 'b', 2), (3, 'abc', 'abc', 'abc', 1), (4, 'ab', 'ab', 'ab', 1), (5, 'AB', 'AB', 'AB', 1)")
	both := []string{"1|1", "2|2", "3|3"}
	for _, on := range []string{"x.s = y.s AND x.n = y.n", "x.v = y.v AND x.n = y.n", "x.s = y.v AND x.n = y.n", "x.v = y.s AND x.n = y.n AND x.s = y.v"} {
		c.want("SELECT /*+ HASH_JOIN(x, y) */ x.id, y.id FROM x JOIN y ON "+on+" ORDER BY 1, 2", both...)
		c.want("SELECT /*+ HASH_JOIN(x, y) */ x.id, y.id FROM x LEFT JOIN y ON "+on+" ORDER BY 1, 2", "1|1", "2|2", "3|3", "4|NULL", "5|NULL")
	}
	for _, column := range []string{"s", "v"} {
		c.want("SELECT /*+ HASH_JOIN(x, y) */ x.id, y.id FROM x JOIN y ON x."+column+" = y."+column+" ORDER BY 1, 2", "1|1", "2|2", "3|3", "4|3")
	}
	c.want("SELECT /*+ HASH_JOIN(x, y) */ x.id, y.id FROM x JOIN y ON x.b = y.b AND x.id < 5 ORDER BY 1, 2", "2|2", "4|3")
}
