package sql

import "testing"

// What a statement keeps in memory is bounded: sorts, joins, windows and derived tables
// beyond it get 1038; what fits, and what need not be kept, goes on.
func TestQueryMemory(t *testing.T) {
	s := newServer(t)
	s.queryMemory = 64 << 10
	s.restart()
	c := s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(1000), n INT)", "INSERT INTO t (v, n) VALUES (REPEAT('x', 500), 1)")
	for range 8 {
		c.must("INSERT INTO t (v, n) SELECT v, n + 1 FROM t")
	}
	c.must("CREATE TABLE u AS SELECT * FROM t", "SET direct = 0")
	for _, q := range []string{
		"SELECT * FROM t ORDER BY n",
		"SELECT * FROM t ORDER BY v, id",
		"SELECT v, ROW_NUMBER() OVER (ORDER BY n) FROM t",
		"SELECT COUNT(*) FROM t JOIN u ON t.v = u.v AND t.n = u.n",
	} {
		c.fails(1038, q, "query_memory")
	}
	// 64 KiB are 2,048 keys.
	c.must("CREATE TABLE d (id INT PRIMARY KEY AUTO_INCREMENT, n INT)", "INSERT INTO d (n) VALUES (1)")
	for range 12 {
		c.must("INSERT INTO d (n) SELECT n + 1 FROM d")
	}
	for _, direct := range []string{"SET direct = 0", "SET direct = 1"} {
		c.must(direct)
		for _, q := range []string{
			"SELECT DISTINCT id FROM d",
			"SELECT DISTINCT id, n FROM d ORDER BY n",
			"SELECT id FROM d UNION SELECT id + 1 FROM d",
			"SELECT COUNT(DISTINCT id) FROM d",
			"SELECT n % 2, COUNT(DISTINCT id) FROM d GROUP BY n % 2",
		} {
			c.fails(1038, q, "query_memory")
		}
		c.want("SELECT COUNT(DISTINCT n) FROM d", "13")
		// What a subquery has kept is given back before it runs again.
		c.want("SELECT COUNT(*) FROM d WHERE id <= 3000 AND (SELECT COUNT(DISTINCT e.n) FROM d e WHERE e.id <= 2 AND e.id <> d.id + 100000) = 2",
			c.must("SELECT COUNT(*) FROM d WHERE id <= 3000").rows...)
		if n := len(c.must("SELECT DISTINCT n FROM d").rows); n != 13 {
			t.Errorf("%s: %d rows", direct, n)
		}
	}
	c.must("SET direct = 0")
	c.want("SELECT id FROM t ORDER BY n, id LIMIT 1", "1")
	c.want("SELECT id FROM t ORDER BY id DESC LIMIT 1", c.must("SELECT MAX(id) FROM t").rows...)
	c.want("SELECT n FROM t WHERE id < 5 ORDER BY n LIMIT 1", "1")
	c.want("SELECT COUNT(*), MAX(v) = REPEAT('x', 500) FROM t", "256|1")
	// Many rows in few groups are no reason, nor is a statement without anything to keep.
	c.want("SELECT n, COUNT(*) FROM t GROUP BY n ORDER BY n LIMIT 2", "1|1", "2|8")
	if n := len(c.must("SELECT * FROM t").rows); n != 256 {
		t.Errorf("%d rows", n)
	}
	c.must("SELECT * FROM t WHERE id < 20 ORDER BY v")
}

// Groups are bounded by what they take, not by the rows that fall into them.
func TestGroupsBeyondQueryMemory(t *testing.T) {
	s := newServer(t)
	s.queryMemory = 64 << 10
	s.restart()
	c := s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(1000))", "INSERT INTO t (v) VALUES (REPEAT('x', 500))")
	for range 12 {
		c.must("INSERT INTO t (v) SELECT v FROM t")
	}
	c.fails(1038, "SELECT id, v FROM t GROUP BY id, v HAVING COUNT(*) > 1", "query_memory")
	c.fails(1038, "SELECT id FROM t GROUP BY id HAVING COUNT(*) > 1", "query_memory")
	c.want("SELECT v = REPEAT('x', 500), COUNT(*) FROM t GROUP BY v", "1|4096")
	c.want("SELECT COUNT(*), SUM(n) FROM (SELECT id % 90 AS k, COUNT(*) AS n FROM t GROUP BY id % 90) q", "90|4096")
}
