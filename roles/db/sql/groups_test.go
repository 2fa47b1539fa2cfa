package sql

import "testing"

// A row that cannot be grouped ends the statement, however many rows come behind it.
func TestRowsThatCannotBeGrouped(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1)")
	for n := 1; n < 2048; n *= 2 {
		c.must("INSERT INTO t SELECT id + (SELECT MAX(id) FROM t) FROM t")
	}
	c.fails(1242, "SELECT COUNT(*) FROM t GROUP BY (SELECT u.id FROM t u WHERE u.id <= t.id + 1)")
	c.want("SELECT COUNT(*), MIN(k) FROM (SELECT id, id % 3 k FROM t) d GROUP BY k HAVING k = (SELECT 1)", "683|1")
}

// What has no columns may stand beside aggregates.
func TestConstantsBesideAggregates(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, x INT)", "INSERT INTO t VALUES (1, 5), (2, 6)", "SET @v = 7")
	c.want("SELECT COUNT(*), @v, @@sql_auto_is_null FROM t", "2|7|0")
	c.want("SELECT COUNT(*), CONNECTION_ID() > 0, NOW() IS NULL FROM t", "2|1|0")
	c.fails(1140, "SELECT COUNT(*), x FROM t")
	c.fails(1055, "SELECT x + 1, id, @v FROM t GROUP BY x")
}
