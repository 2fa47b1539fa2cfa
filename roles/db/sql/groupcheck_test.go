package sql

import "testing"

// Under ONLY_FULL_GROUP_BY a subquery beside aggregates may name what is grouped by, and nothing
// else of the tables around it.
func TestSubqueriesBesideGroups(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, k INT, n INT)", "INSERT INTO t VALUES (1, 1, 10), (2, 1, 20), (3, 2, 30)", "CREATE TABLE names (k INT, name VARCHAR(10))", "INSERT INTO names VALUES (1, 'one'), (2, 'two')")
	c.want("SELECT k, (SELECT MAX(id) FROM t), COUNT(*) FROM t GROUP BY k ORDER BY k", "1|3|2", "2|3|1")
	c.want("SELECT k, (SELECT name FROM names WHERE names.k = t.k) AS name, SUM(n) FROM t GROUP BY k ORDER BY name DESC", "2|two|30", "1|one|30")
	c.want("SELECT k, CONCAT((SELECT name FROM names WHERE names.k = t.k), '!') FROM t GROUP BY k HAVING COUNT(*) > 1", "1|one!")
	c.want("SELECT t.k, t.k IN (SELECT k FROM names), EXISTS (SELECT 1 FROM names WHERE names.k = t.k + 1), COUNT(*) FROM t GROUP BY t.k ORDER BY t.k", "1|1|1|2", "2|1|0|1")
	c.want("SELECT k, COUNT(*) FROM t GROUP BY k ORDER BY (SELECT name FROM names WHERE names.k = t.k) DESC", "2|1", "1|2")
	c.want("SELECT x.k, x.name FROM (SELECT k, (SELECT name FROM names WHERE names.k = t.k) AS name, COUNT(*) AS c FROM t GROUP BY k) x ORDER BY x.k", "1|one", "2|two")
	c.want("SELECT id, (SELECT GROUP_CONCAT(names.k ORDER BY 1) FROM names WHERE names.k <= t.k GROUP BY (SELECT t.k)) FROM t ORDER BY id", "1|1", "2|1", "3|1,2")
	c.want("SELECT (SELECT name FROM names LIMIT 1), COUNT(*) FROM t", "one|3")
	c.fails(1055, "SELECT k, (SELECT name FROM names WHERE names.k = t.n) FROM t GROUP BY k")
	c.fails(1055, "SELECT k, n, (SELECT MAX(id) FROM t) FROM t GROUP BY k")
	c.fails(1055, "SELECT k, EXISTS (SELECT 1 FROM names WHERE names.k = t.n) FROM t GROUP BY k")
	c.want("SELECT k, COUNT(*) AS count, SUM(IF(n >= 10.5, 1, 0)) AS many FROM (SELECT * FROM t) AS q GROUP BY k HAVING (SUM(IF(n >= 10.5, 1, 0)) > 0) ORDER BY count DESC, k", "1|2|1", "2|1|1")
	c.want("SELECT x.c, x.m FROM (SELECT 'q' AS l, COUNT(*) AS c, MIN(IF(n >= 2.5, 1, k)) AS m FROM t GROUP BY k, l) x ORDER BY x.c", "1|1", "2|1")
	c.want("SELECT MAX(t.n), MAX(t.n), COUNT(*) FROM t HAVING MAX(t.n) > 0", "30|30|3")
	c.want("SELECT t.k, SUM(t.n), SUM(t.n) FROM t GROUP BY t.k HAVING SUM(t.n) > 0 ORDER BY SUM(t.n), t.k", "1|30|30", "2|30|30")
	c.want("SELECT 0 AS x UNION SELECT FALSE UNION SELECT TRUE UNION SELECT 1", "0", "1")
	c.must("CREATE VIEW v AS SELECT k, (SELECT name FROM names WHERE names.k = t.k) AS name, COUNT(*) AS c FROM t GROUP BY k")
	c.want("SELECT * FROM v ORDER BY k", "1|one|2", "2|two|1")
}
