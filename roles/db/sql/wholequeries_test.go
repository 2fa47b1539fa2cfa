package sql

import (
	"slices"
	"strings"
	"testing"
)

// Queries inside others have the rows that MariaDB finds in them: an aggregate without GROUP BY has one where
// no row is left, EXISTS of LIMIT 0 has none, and a condition that names columns of the tables around them alone is
// not taken for one of a column that has the same name.
func TestQueriesInsideAsMariaDB(t *testing.T) {
	conn := mariadb(t)
	c := newServer(t).test()
	c.must("SET direct = 0")
	for _, q := range []string{
		"DROP TABLE IF EXISTS a, b, e", "CREATE TABLE a (id INT PRIMARY KEY, x INT, y INT)", "CREATE TABLE b (id INT PRIMARY KEY, x INT, y INT, KEY (x))", "CREATE TABLE e (id INT PRIMARY KEY)",
		"INSERT INTO a VALUES (1, 0, 1), (2, 2, 2), (3, NULL, NULL), (4, 0, 2), (5, 1, 3)", "INSERT INTO b VALUES (1, 1, 1), (2, NULL, 3)",
	} {
		c.must(q)
		if _, err := conn.ExecContext(t.Context(), q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
	inner := []string{
		"SELECT COUNT(*) FROM b WHERE a.y > 1", "SELECT COUNT(*) FROM b WHERE a.id > 2", "SELECT COUNT(*) FROM b WHERE a.id > 2 AND a.y > 1", "SELECT COUNT(*) FROM b WHERE a.id > 4 OR b.id = 2",
		"SELECT COUNT(*) FROM b WHERE NOT (a.x > 1 AND b.x = 1)", "SELECT COUNT(*) FROM b WHERE b.x = a.y", "SELECT SUM(b.id) FROM b WHERE a.id > 3", "SELECT COALESCE(MAX(b.x), 0) FROM b WHERE a.x = 0",
		"SELECT COUNT(*) FROM e", "SELECT COUNT(*) FROM e WHERE a.y > 1", "SELECT COUNT(*) FROM b WHERE FALSE", "SELECT COUNT(*) FROM b WHERE b.id = a.id AND FALSE",
		"SELECT COUNT(*) FROM b WHERE a.y > 1 HAVING COUNT(*) = 0", "SELECT COUNT(*) FROM b WHERE a.id > 2 HAVING COUNT(*) > 1", "SELECT COUNT(*) FROM b WHERE a.y > 1 GROUP BY b.id HAVING b.id = 1",
		"SELECT COUNT(*) FROM b JOIN b o ON o.id >= b.id WHERE a.x < 2", "SELECT COUNT(*) FROM b WHERE EXISTS (SELECT COUNT(*) FROM e WHERE a.id > 2)",
		"SELECT COUNT(*) FROM b WHERE a.x IN (SELECT COUNT(*) FROM b o WHERE a.id > 2 AND b.id > 1)", "SELECT n FROM (SELECT COUNT(*) n FROM b) q WHERE q.n > a.x",
	}
	var list []string
	for _, q := range inner {
		list = append(list, "SELECT a.id, ("+q+") FROM a", "SELECT a.id, EXISTS ("+q+") FROM a", "SELECT a.id, a.x IN ("+q+") FROM a")
		for _, condition := range []string{"a.x = (%)", "a.x <= (%)", "NOT a.x = (%)", "a.x <=> (%)", "a.x IN (%)", "a.x NOT IN (%)", "EXISTS (%)", "NOT EXISTS (%)", "a.id > 1 AND EXISTS (%)"} {
			condition = strings.Replace(condition, "%", q, 1)
			list = append(list, "SELECT a.id FROM a WHERE "+condition, "SELECT a.id, t.id FROM a LEFT JOIN b t ON t.id = a.id AND "+condition, "SELECT a.id, t.id FROM a JOIN b t ON t.id <= a.id AND "+condition,
				"SELECT a.id, a.x, a.y FROM a HAVING "+condition)
		}
	}
	list = append(list,
		"SELECT a.id FROM a WHERE EXISTS (SELECT b.x FROM b WHERE b.y >= a.x LIMIT 0)", "SELECT a.id FROM a WHERE EXISTS (SELECT b.x FROM b WHERE b.y >= a.x LIMIT 1)",
		"SELECT a.id FROM a WHERE NOT EXISTS (SELECT b.x FROM b LIMIT 0)", "SELECT a.id FROM a WHERE a.id IN (SELECT 1 FROM b WHERE b.x = a.x UNION SELECT 1 FROM b WHERE a.y = 1)",
		"SELECT a.id FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.x = a.x UNION SELECT 1 FROM b WHERE a.id = 5)")
	for _, q := range list {
		theirs, err := rowsOf(conn, q)
		if err != nil {
			continue // a few of these are none
		}
		out, err := c.run(q)
		if err != nil {
			t.Errorf("%s: %v", q, err)
			continue
		}
		slices.Sort(theirs)
		slices.Sort(out.rows)
		if !slices.Equal(out.rows, theirs) {
			t.Errorf("%s: %q; MariaDB has %q\n%s", q, out.rows, theirs, c.plan(q))
		}
	}
}
