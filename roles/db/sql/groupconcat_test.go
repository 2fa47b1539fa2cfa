package sql

import (
	"strings"
	"testing"
)

// GROUP_CONCAT beside MariaDB: several arguments, empty texts, collations, orders, cuts.
func TestGroupConcatAsMariaDB(t *testing.T) {
	conn := mariadb(t)
	s := newServer(t)
	c := s.test()
	both := func(queries ...string) { t.Helper(); onBoth(t, c, conn, queries...) }
	both("CREATE TABLE t (id INT PRIMARY KEY, k INT, s VARCHAR(20) COLLATE utf8mb4_general_ci, b VARBINARY(20), n DECIMAL(6,2), d DATE, e ENUM('x','y'))",
		"INSERT INTO t VALUES (1, 1, 'b', 'B', 1.50, '2024-01-02', 'y'), (2, 1, '', 'a', 2.00, '2024-01-01', 'x'), (3, 1, 'B', NULL, NULL, NULL, NULL), (4, 2, NULL, NULL, NULL, NULL, NULL), (5, 3, '', '', 0, '2024-01-01', 'x'), (6, 1, 'ab', 'c', 1.5, '2024-01-02', 'x'), (7, 1, 'a', 'bc', 1.5, '2024-01-02', 'x')")
	for _, e := range []string{
		"GROUP_CONCAT(s)", "GROUP_CONCAT(s, b)", "GROUP_CONCAT(s, ':', n SEPARATOR '; ')", "GROUP_CONCAT(DISTINCT s ORDER BY s, id)", "GROUP_CONCAT(DISTINCT e ORDER BY e)", "GROUP_CONCAT(DISTINCT s, b ORDER BY s, b)",
		"GROUP_CONCAT(s ORDER BY id DESC)", "GROUP_CONCAT(s, id ORDER BY n IS NULL, n DESC, id)", "GROUP_CONCAT(id ORDER BY 1 DESC)", "GROUP_CONCAT(id, k ORDER BY s IS NULL, s DESC, id)", "GROUP_CONCAT(n)", "GROUP_CONCAT(d ORDER BY d, id)",
		"GROUP_CONCAT(b)", "HEX(GROUP_CONCAT(b, n))", "GROUP_CONCAT(e, id)", "GROUP_CONCAT(IF(id > 2, s, NULL))", "GROUP_CONCAT(s SEPARATOR '')", "GROUP_CONCAT(NULL)", "GROUP_CONCAT(1 + id)", "LENGTH(GROUP_CONCAT(s))",
		"CONCAT(GROUP_CONCAT(s), COUNT(*))", "GROUP_CONCAT((SELECT MAX(id) FROM t x WHERE x.k = t.k))", "GROUP_CONCAT(s ORDER BY (SELECT MAX(id) FROM t x WHERE x.k = t.k), id DESC)", "GROUP_CONCAT(CONCAT(s, '!'))",
		"CONCAT(GROUP_CONCAT(id SEPARATOR 'X'), GROUP_CONCAT(id SEPARATOR 'x'))", "CONCAT(MAX(CONCAT(s, 'A')), MAX(CONCAT(s, 'a')))", "CONCAT(SUM(s = 'a'), SUM(s = 'A'), COUNT(IF(BINARY s = 'B', 1, NULL)), COUNT(IF(BINARY s = 'b', 1, NULL)))", "SUM(IF(k = 1, 'A' = BINARY s, 0)) + SUM(IF(K = 1, 'a' = BINARY s, 0)) * 100", "IF(COUNT(*) > 1, GROUP_CONCAT(id SEPARATOR \"'\"), 'one')",
	} {
		asMariaDB(t, c, conn, "SELECT k, "+e+" FROM t GROUP BY k ORDER BY k")
		asMariaDB(t, c, conn, "SELECT "+e+" FROM t WHERE id < 7")
	}
	for _, q := range []string{
		"SELECT GROUP_CONCAT(s) FROM t WHERE id > 100", "SELECT k FROM t GROUP BY k HAVING GROUP_CONCAT(s, b) LIKE '%bc%'", "SELECT g, COUNT(*) FROM (SELECT GROUP_CONCAT(DISTINCT e, d ORDER BY e, d) AS g FROM t GROUP BY k) x GROUP BY g ORDER BY g",
		"SELECT x.g = 'B,,b' FROM (SELECT GROUP_CONCAT(s ORDER BY id) AS g FROM t WHERE id < 4) x", "SELECT k FROM t GROUP BY k ORDER BY GROUP_CONCAT(s, id), k",
		"SELECT k, SUM(IFNULL(n, k)), AVG(COALESCE(NULL, n, k)), SUM(IF(n IS NULL, k, n)), AVG(CASE WHEN n IS NULL THEN 1 ELSE n END), SUM(IFNULL(id, k)), AVG(IFNULL(id, k)), SUM(IFNULL(n, k)) + 1, (SELECT SUM(IFNULL(x.n, x.k)) + 1 FROM t x WHERE x.id = 3) FROM t GROUP BY k ORDER BY MAX(CONCAT(s, 'B')), k",
		"SELECT k, MAX(CONCAT(s, 'x')), max(concat(S, 'x')) FROM t GROUP BY k HAVING MAX(CONCAT(s, 'X')) LIKE BINARY '%X' ORDER BY MAX(CONCAT(s, 'x')), k",
		"SELECT k, (SELECT GROUP_CONCAT(x.s, x.id ORDER BY x.id) FROM t x WHERE x.k = t.k) FROM t ORDER BY id",
	} {
		asMariaDB(t, c, conn, q)
	}
	both("CREATE TABLE made AS SELECT k, GROUP_CONCAT(s, ':', d) AS g FROM t GROUP BY k", "CREATE VIEW v AS SELECT k, GROUP_CONCAT(DISTINCT s, d ORDER BY id) AS g FROM t GROUP BY k")
	asMariaDB(t, c, conn, "SELECT * FROM made ORDER BY k")
	asMariaDB(t, c, conn, "SELECT * FROM v ORDER BY k")
	both("SET SESSION group_concat_max_len = 5", "UPDATE t SET s = 'aßü€'")
	asMariaDB(t, c, conn, "SELECT GROUP_CONCAT(s), GROUP_CONCAT(id), GROUP_CONCAT(id ORDER BY id DESC), GROUP_CONCAT(b ORDER BY id) FROM t")
	c.must("SELECT GROUP_CONCAT(id) FROM t")
	c.want("SHOW WARNINGS", "Warning|1260|Row 4 was cut by GROUP_CONCAT()")
}

// What GROUP_CONCAT keeps counts against query_memory, and is given back.
func TestGroupConcatIsBounded(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, s VARCHAR(100))", "INSERT INTO t (s) VALUES (REPEAT('x', 100)), (REPEAT('y', 100))")
	for range 11 {
		c.must("INSERT INTO t (s) SELECT s FROM t")
	}
	s.engine.SetQueryMemory(256 << 10)
	c.fails(1038, "SELECT GROUP_CONCAT(s ORDER BY id) FROM t")
	c.must("SET group_concat_max_len = 1000000000")
	c.fails(1038, "SELECT GROUP_CONCAT(s) FROM t")
	c.fails(1038, "SELECT GROUP_CONCAT(s ORDER BY id SEPARATOR '"+strings.Repeat("-", 3000)+"') FROM t WHERE id < 100")
	c.want("SELECT LENGTH(GROUP_CONCAT(s)) = COUNT(*) * 101 - 1, LENGTH(GROUP_CONCAT(s ORDER BY id)) = COUNT(*) * 101 - 1 FROM t WHERE id < 500", "1|1")
	c.want("SELECT MIN((SELECT LENGTH(GROUP_CONCAT(b.s)) - COUNT(*) FROM t b WHERE b.id < 400 + a.id - a.id)) > 0 FROM t a WHERE a.id < 50", "1")
	c.must("SET group_concat_max_len = 1024")
	c.want("SELECT LENGTH(GROUP_CONCAT(s)) FROM t", "1024")
	c.want("SELECT LENGTH(GROUP_CONCAT(s ORDER BY id)) FROM t WHERE id < 100", "1024")
	c.want("SELECT GROUP_CONCAT(DISTINCT LEFT(s, 1) ORDER BY s) FROM t", "x,y")
}
