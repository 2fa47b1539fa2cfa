package sql

import (
	"strings"
	"testing"
)

// Numbers of different types are equal where they are the same number, whichever way a join or
// a subquery looks them up.
func TestJoinsOfNumbers(t *testing.T) {
	c := newServer(t).test()
	c.must("SET direct = 0", "CREATE TABLE a (id INT PRIMARY KEY, x INT, n DECIMAL(6,1), f DOUBLE, KEY (x))",
		"CREATE TABLE b (id INT PRIMARY KEY, n DECIMAL(8,3), KEY (n))",
		"INSERT INTO a VALUES (1, 1, 1.5, 1.5), (2, 2, 2.0, 2), (3, NULL, NULL, NULL)", "INSERT INTO b VALUES (1, 1.5), (2, 2), (3, NULL)")
	for _, hint := range []string{"", "/*+ HASH_JOIN(a, b) */ ", "/*+ LOOKUP_JOIN(a, b) */ ", "/*+ INNER_JOIN(a, b) */ "} {
		c.want("SELECT "+hint+"a.id, b.id FROM a JOIN b ON a.id = b.n", "2|2")
		c.want("SELECT "+hint+"a.id, b.id FROM a JOIN b ON a.n = b.id", "2|2")
		c.want("SELECT "+hint+"a.id, b.id FROM a JOIN b ON a.n = b.n ORDER BY 1", "1|1", "2|2")
		c.want("SELECT "+hint+"a.id, b.id FROM a JOIN b ON a.f = b.n ORDER BY 1", "1|1", "2|2")
		c.want("SELECT "+hint+"a.id, b.id FROM a JOIN b ON a.n <=> b.n ORDER BY 1", "1|1", "2|2", "3|3")
		c.want("SELECT "+hint+"a.id, b.id FROM a LEFT JOIN b ON b.id = a.f ORDER BY 1", "1|NULL", "2|2", "3|NULL")
	}
	c.want("SELECT a.id FROM a WHERE a.id IN (SELECT n FROM b WHERE n IS NOT NULL)", "2")
	c.want("SELECT a.id FROM a WHERE a.n NOT IN (SELECT id FROM b) ORDER BY 1", "1")
	c.want("SELECT a.id, a.id IN (SELECT n IS NOT NULL FROM b), a.id NOT IN (SELECT b.n FROM b), a.n IN (SELECT b.id FROM b) FROM a ORDER BY 1",
		"1|1|NULL|0", "2|0|0|1", "3|0|NULL|NULL")
}

// A column that is NOT NULL is NULL where a LEFT JOIN finds no row.
func TestColumnsOfLeftJoinsAreNullable(t *testing.T) {
	c := newServer(t).test()
	c.must("SET direct = 0", "CREATE TABLE a (id INT PRIMARY KEY)", "CREATE TABLE b (id INT PRIMARY KEY, y INT NOT NULL)", "INSERT INTO a VALUES (1), (2)", "INSERT INTO b VALUES (1, 1)")
	c.want("SELECT a.id FROM a LEFT JOIN b ON b.id = a.id WHERE NOT EXISTS (SELECT 1 FROM a e WHERE b.id >= b.y) ORDER BY 1", "2")
	c.want("SELECT a.id FROM a LEFT JOIN b ON b.id = a.id WHERE NOT ((b.id = b.y) IS TRUE)", "2")
	c.want("SELECT a.id, (b.id >= b.y) IS NOT TRUE FROM a LEFT JOIN b ON b.id = a.id ORDER BY 1", "1|0", "2|1")
}

// A LEFT JOIN looks rows up by what it compares with the other side, not all rows of a constant for each of them.
func TestLeftJoinsByTheOtherSide(t *testing.T) {
	c := newServer(t).test()
	c.must("SET direct = 0", "CREATE TABLE p (id INT PRIMARY KEY)",
		"CREATE TABLE m (id INT PRIMARY KEY, post INT, k VARCHAR(255), v TEXT, KEY (k(191)), KEY (post))",
		"CREATE TABLE two (id INT PRIMARY KEY, post INT, k VARCHAR(20), KEY (k), KEY (k, post))",
		"INSERT INTO p WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 300) SELECT i FROM n",
		"INSERT INTO m SELECT id, id, 'a', 'x' FROM p WHERE id <> 2", "INSERT INTO m SELECT id + 1000, id, 'b', 'y' FROM p", "INSERT INTO two SELECT id, post, k FROM m",
		"ANALYZE TABLE p, m, two")
	for _, q := range []struct{ query, index, row string }{
		{"SELECT p.id, m.v FROM p LEFT JOIN m ON p.id = m.post AND m.k = 'a' WHERE p.id < 3 ORDER BY 1", "index: [m.post]", "1|x,2|NULL"},
		{"SELECT p.id, q.v FROM p LEFT JOIN m AS q ON q.k = 'a' AND p.id = q.post WHERE p.id < 3 ORDER BY 1", "index: [m.post]", "1|x,2|NULL"},
		{"SELECT p.id, two.id FROM p LEFT JOIN two ON two.post = p.id AND two.k = 'a' WHERE p.id < 3 ORDER BY 1", "index: [two.k", "1|1,2|NULL"},
	} {
		out, err := c.run("EXPLAIN FORMAT=TREE " + q.query)
		if err != nil || !strings.Contains(strings.Join(out.rows, "\n"), q.index) {
			t.Errorf("%s: %v; no %s in\n%s", q.query, err, q.index, strings.Join(out.rows, "\n"))
		}
		c.want(q.query, strings.Split(q.row, ",")...)
	}
}
