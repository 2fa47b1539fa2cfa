package sql

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"stack/roles/db/wire"
)

// GROUP BY … WITH ROLLUP answers what MariaDB answers, in its order.
func TestRollupAsMariaDB(t *testing.T) {
	c, conn := newServer(t).test(), mariadb(t)
	onBoth(t, c, conn, "SET sql_mode = ''",
		"CREATE TABLE t (id INT PRIMARY KEY, a INT, b VARCHAR(9), c DATE NOT NULL, n INT NOT NULL, d DECIMAL(8,2), e ENUM('z', 'y') NOT NULL, KEY (a))",
		"INSERT INTO t VALUES (1, 1, 'x', '2024-01-05', 1, 1.25, 'z'), (2, 1, 'y', '2024-02-05', 2, NULL, 'y'), (3, 2, 'x', '2025-01-05', 3, 2.50, 'z'), (4, NULL, 'z', '2024-01-06', 4, 1.25, 'y'), "+
			"(5, 2, NULL, '2025-03-01', 5, 9.99, 'y'), (6, 2, NULL, '2024-01-05', 6, -1, 'z'), (7, 1, 'x', '2025-01-05', 7, 0, 'y'), (8, NULL, NULL, '2025-01-06', 1, 3, 'z')",
		"CREATE TABLE u (id INT PRIMARY KEY, name VARCHAR(9) NOT NULL)", "INSERT INTO u VALUES (1, 'one'), (2, 'two')",
		"CREATE TABLE none (a INT, n INT)",
		"CREATE VIEW v AS SELECT a, b, SUM(n) AS s FROM t GROUP BY a, b WITH ROLLUP",
		"CREATE PROCEDURE p(least INT) SELECT a, SUM(n) AS s FROM t WHERE n >= least GROUP BY a WITH ROLLUP")
	for _, q := range []string{
		"SELECT a, COUNT(*), SUM(n) FROM t GROUP BY a WITH ROLLUP",
		"SELECT a, b, COUNT(*), SUM(n), AVG(d), MIN(c), MAX(b) FROM t GROUP BY a, b WITH ROLLUP",
		"SELECT b, a, e, COUNT(*) FROM t GROUP BY b, a, e WITH ROLLUP",
		"SELECT e, c, COUNT(*) FROM t GROUP BY e, c WITH ROLLUP",
		"SELECT b, a, COUNT(DISTINCT n), SUM(DISTINCT n), GROUP_CONCAT(DISTINCT n ORDER BY n DESC) FROM t GROUP BY b, a WITH ROLLUP HAVING COUNT(*) > 1",
		"SELECT a, COUNT(b), BIT_OR(n) FROM t GROUP BY t.a WITH ROLLUP",
		"SELECT IFNULL(b, 'total') AS b, SUM(n) FROM t GROUP BY b WITH ROLLUP",
		"SELECT COALESCE(b, 'total') AS shown, SUM(n) FROM t GROUP BY shown WITH ROLLUP",
		"SELECT IF(a IS NULL, 'total', a) AS a, SUM(n) FROM t WHERE a IS NOT NULL GROUP BY a WITH ROLLUP",
		"SELECT YEAR(c) AS y, MONTH(c) AS m, SUM(d) FROM t GROUP BY y, m WITH ROLLUP",
		"SELECT YEAR(c), MONTH(c), SUM(d) FROM t GROUP BY YEAR(c), MONTH(c) WITH ROLLUP",
		"SELECT DATE_FORMAT(c, '%Y-%m') AS m, CONCAT(b, '!') AS w, SUM(n) FROM t GROUP BY 1, 2 WITH ROLLUP",
		"SELECT n % 2, CASE WHEN a > 1 THEN 'more' ELSE 'less' END, COUNT(*) FROM t GROUP BY n % 2, CASE WHEN a > 1 THEN 'more' ELSE 'less' END WITH ROLLUP",
		"SELECT n % 2 AS m, SUM(n) FROM t GROUP BY m WITH ROLLUP HAVING m IS NULL",
		"SELECT c, SUM(n) AS s FROM t GROUP BY c WITH ROLLUP HAVING c IS NULL OR s > 5",
		"SELECT a + 1, UPPER(b), a IS NULL, SUM(n) + 1 FROM t GROUP BY a, b WITH ROLLUP",
		"SELECT SUM(n) FROM t GROUP BY a, b WITH ROLLUP LIMIT 3", "SELECT a, SUM(n) FROM t GROUP BY a WITH ROLLUP LIMIT 2 OFFSET 2",
		"SELECT COUNT(*) FROM t GROUP BY a WITH ROLLUP", "SELECT DISTINCT a FROM t GROUP BY a, b WITH ROLLUP",
		"SELECT a, SUM(n) FROM none GROUP BY a WITH ROLLUP", "SELECT a, SUM(n) FROM t WHERE n > 99 GROUP BY a WITH ROLLUP",
		"SELECT u.name, t.b, SUM(t.n) FROM u LEFT JOIN t ON t.a = u.id GROUP BY u.name, t.b WITH ROLLUP",
		"SELECT name, SUM(n) FROM t JOIN u ON u.id = t.a AND u.id > 0 GROUP BY u.name WITH ROLLUP",
		"SELECT id, SUM(n) FROM t GROUP BY id WITH ROLLUP HAVING SUM(n) > 6 OR id < 3",
		"SELECT * FROM (SELECT a, b, SUM(n) AS s FROM t GROUP BY a, b WITH ROLLUP) x ORDER BY s DESC, a, b",
		"SELECT a, s FROM (SELECT a, SUM(n) AS s FROM t GROUP BY a WITH ROLLUP) x WHERE a IS NULL ORDER BY s",
		"SELECT id, s FROM (SELECT id, SUM(n) AS s FROM t GROUP BY id WITH ROLLUP) x WHERE id IS NULL",
		"SELECT COUNT(*) FROM (SELECT a, b FROM t GROUP BY a, b WITH ROLLUP) x",
		"SELECT a, SUM(n) FROM t GROUP BY a WITH ROLLUP UNION ALL SELECT 9, 9", "WITH w AS (SELECT a, SUM(n) AS s FROM t GROUP BY a WITH ROLLUP) SELECT s FROM w UNION SELECT 7 ORDER BY 1",
		"SELECT name, (SELECT SUM(n) FROM t WHERE t.a = u.id GROUP BY b WITH ROLLUP LIMIT 1) FROM u ORDER BY id",
		"SELECT id FROM u WHERE 10 IN (SELECT SUM(n) FROM t WHERE t.a = u.id GROUP BY b WITH ROLLUP)",
		"SELECT a, 'x WITH ROLLUP' FROM t GROUP BY a -- WITH ROLLUP\n WITH /* for all */ rollup",
		"SELECT * FROM v ORDER BY s, a, b", "CALL p(3)",
	} {
		if q == "CALL p(3)" {
			c.want(q, append(c.must("SELECT a, SUM(n) FROM t WHERE n >= 3 GROUP BY a WITH ROLLUP").rows, "--")...)
			continue
		}
		asMariaDB(t, c, conn, q)
		st, err := c.prepare(context.Background(), q)
		if err != nil {
			t.Errorf("%s: %v", q, err)
			continue
		}
		out := &collected{}
		if err := st.execute(context.Background(), nil, out); err != nil {
			t.Errorf("%s: %v", q, err)
		}
	}
	onBoth(t, c, conn, "CREATE TABLE made AS SELECT a, b, d, SUM(n) AS s FROM t GROUP BY a, b, d WITH ROLLUP")
	asMariaDB(t, c, conn, "SELECT * FROM made ORDER BY s, a, b, d")
	st, err := c.prepare(context.Background(), "SELECT a, SUM(n) FROM t WHERE n > ? GROUP BY a WITH ROLLUP HAVING SUM(n) > ?")
	if err != nil {
		t.Fatal(err)
	}
	out := &collected{}
	if err := st.execute(context.Background(), []wire.Param{{Kind: wire.ParamInt, Num: 2}, {Kind: wire.ParamInt, Num: 7}}, out); err != nil || len(out.rows) != 2 || out.rows[1] != "NULL|25" {
		t.Errorf("%q, %v", out.rows, err)
	}
}

// ORDER BY, GROUPING and ONLY_FULL_GROUP_BY with it are MySQL's: MariaDB has none of them.
func TestRollupAsMySQL(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE t (a INT NOT NULL, b VARCHAR(9), n INT)", "INSERT INTO t VALUES (1, 'x', 1), (1, NULL, 2), (2, 'x', 4), (2, 'y', 8)")
	c.want("SELECT a, SUM(n) FROM t GROUP BY a WITH ROLLUP ORDER BY a DESC", "2|12", "1|3", "NULL|15")
	c.want("SELECT a, b, SUM(n) AS s FROM t GROUP BY a, b WITH ROLLUP ORDER BY s DESC LIMIT 2", "NULL|NULL|15", "2|NULL|12")
	c.want("SELECT a AS k, SUM(n) FROM t GROUP BY a WITH ROLLUP ORDER BY a IS NULL DESC, t.a", "NULL|15", "1|3", "2|12")
	c.want("SELECT IFNULL(a, 'all') AS a, SUM(n) FROM t GROUP BY a WITH ROLLUP ORDER BY a DESC", "all|15", "2|12", "1|3")
	c.want("SELECT a, b, GROUPING(a), GROUPING(b), GROUPING(a, b), SUM(n) FROM t GROUP BY a, b WITH ROLLUP",
		"1|NULL|0|0|0|2", "1|x|0|0|0|1", "1|NULL|0|1|1|3", "2|x|0|0|0|4", "2|y|0|0|0|8", "2|NULL|0|1|1|12", "NULL|NULL|1|1|3|15")
	c.want("SELECT IF(GROUPING(b), 'all', b) AS w, SUM(n) FROM t GROUP BY b WITH ROLLUP HAVING GROUPING(b) = 1 OR b = 'x' ORDER BY GROUPING(b) DESC", "all|15", "x|5")
	c.want("SELECT a, SUM(n) FROM t GROUP BY a WITH ROLLUP HAVING a IS NULL", "NULL|15") // MariaDB takes the column for never NULL
	c.fails(1055, "SELECT a, n FROM t GROUP BY a WITH ROLLUP")
	c.fails(1305, "SELECT GROUPING(n) FROM t GROUP BY a WITH ROLLUP", "grouping")
	c.fails(1305, "SELECT GROUPING(a) FROM t GROUP BY a", "grouping")
	c.fails(1064, "SELECT a FROM t ORDER BY a WITH ROLLUP", "WITH")
	c.fails(1064, "SELECT a FROM t GROUP BY a HAVING a WITH ROLLUP", "WITH")
	c.fails(1064, "SELECT __rollup()")
	names := c.must("SELECT a, t.b, a + 1, b AS c FROM t GROUP BY a, b, a + 1 WITH ROLLUP").schema
	for i, want := range []string{"a", "b", "a + 1", "c"} {
		if names[i].Name != want {
			t.Errorf("column %d is called %s, want %s", i+1, names[i].Name, want)
		}
	}
	c.must("CREATE VIEW v AS SELECT a, SUM(n) FROM t GROUP BY a WITH ROLLUP")
	if got := c.must("SHOW CREATE VIEW v").rows[0]; !strings.Contains(got, "GROUP BY a WITH ROLLUP") {
		t.Error(got)
	}
}

// The groups of all levels count as memory of the query.
func TestRollupMemory(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, s VARCHAR(100))", "INSERT INTO t WITH RECURSIVE r (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < 900) SELECT i, REPEAT('x', 100) FROM r")
	s.engine.SetQueryMemory(600 << 10)
	if n := len(c.must("SELECT id, s FROM t GROUP BY id, s").rows); n != 900 {
		t.Error(n)
	}
	c.fails(1038, "SELECT id, s FROM t GROUP BY id, s WITH ROLLUP")
	s.engine.SetQueryMemory(6 << 20)
	if n := len(c.must("SELECT id, s FROM t GROUP BY id, s WITH ROLLUP").rows); n != 1801 {
		t.Error(n)
	}
}

// rollupQuery is a random query WITH ROLLUP, over what TestRandomGroupsAsMariaDB groups.
func (j *groupQueries) rollupQuery() *piece {
	// Of a thing that is grouped by twice, and of NULLIF, MariaDB does not show NULL in each row for several; and grouped
	// by a unique key it counts no DISTINCT.
	seen := map[string]bool{"g.id": true}
	key := func() *piece {
		for {
			if text := j.key().String(); strings.Contains(text, "g.") && !strings.Contains(text, "NULLIF") && !seen[text] {
				seen[text] = true
				return say(strings.ReplaceAll(text, "%", "%%"))
			}
		}
	}
	keys := []*piece{key()}
	list, form, by := []*piece{keys[0]}, "SELECT %s", " GROUP BY %s"
	for len(keys) < 3 && j.rnd.IntN(2) == 0 {
		keys = append(keys, key())
		list, form, by = append(list, keys[len(keys)-1]), form+", %s", by+", %s"
	}
	for range 1 + j.rnd.IntN(2) {
		list, form = append(list, j.aggregate(1)), form+", %s"
	}
	where := j.condition(1)
	where.smaller = append(where.smaller, say("TRUE"))
	form += " FROM %s WHERE %s" + by + " WITH ROLLUP"
	list = append(append(list, j.from(), where), keys...)
	if j.rnd.IntN(3) == 0 {
		having := say("%s > %s", j.plainAggregate(), say(pick(j.rnd, []string{"0", "1"})))
		list, form = append(list, or(having, say("TRUE"))), form+" HAVING %s"
	}
	return say(form, list...)
}

// Random queries WITH ROLLUP give MariaDB's rows.
func TestRandomRollupsAsMariaDB(t *testing.T) {
	conn := mariadb(t)
	seed, sets := uint64(1), 3
	if !testing.Short() {
		sets = 30
	}
	if *groupSets > 0 {
		seed, sets = uint64(time.Now().UnixNano()), *groupSets
	}
	c := newServer(t).test()
	for n := range sets {
		j := &groupQueries{rnd: rand.New(rand.NewPCG(seed+uint64(n), 5))}
		script := j.create()
		onBoth(t, c, conn, script...)
		queriesDiffer(t, conn, c, seed+uint64(n), script, 60, j.rollupQuery)
	}
}

// More than the groups of each row could take is refused, and comparing what is long costs little.
func TestRollupIsBounded(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE t (a INT)", "INSERT INTO t VALUES (1)")
	c.fails(1305, "SELECT COUNT(*) FROM t GROUP BY a"+strings.Repeat(", a", 64)+" WITH ROLLUP")
	long := "a" + strings.Repeat(" + 1", 3000)
	c.want("SELECT "+long+" AS n, COUNT(*) FROM t GROUP BY a, a + 1 WITH ROLLUP", "3001|1", "NULL|1", "NULL|1")
}
