package sql

import (
	"runtime"
	"runtime/debug"
	"testing"
)

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

// Groups are bounded by the memory of the process, since most rows add nothing to them.
func TestGroupsUnderMemoryPressure(t *testing.T) {
	s := newServer(t)
	s.queryMemory = 64 << 10
	s.restart()
	c := s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(1000))", "INSERT INTO t (v) VALUES (REPEAT('x', 500))")
	for range 9 {
		c.must("INSERT INTO t (v) SELECT v FROM t")
	}
	c.must("SELECT id, v FROM t GROUP BY id, v HAVING COUNT(*) > 1")
	runtime.GC()
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(1 << 20)) // less than the heap has
	c.fails(1038, "SELECT id, v FROM t GROUP BY id, v HAVING COUNT(*) > 1", "query_memory")
}
