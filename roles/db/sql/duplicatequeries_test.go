package sql

import "testing"

// Queries in ON DUPLICATE KEY UPDATE see their own tables, the row that is there and, by VALUES(), the one that is added.
func TestQueriesOfDuplicates(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE u (k VARCHAR(9) PRIMARY KEY, v VARCHAR(9), n INT DEFAULT 0)", "CREATE TABLE q (id VARCHAR(9), v VARCHAR(9))",
		"INSERT INTO q VALUES ('a', 'first'), ('b', 'second')", "INSERT INTO u (k, v) VALUES ('a', 'A'), ('b', 'B')")
	c.must("INSERT INTO u (k, v) VALUES ('a', 'x') ON DUPLICATE KEY UPDATE v = (SELECT v FROM q WHERE id = 'b')")
	c.want("SELECT * FROM u", "a|second|0", "b|B|0")
	c.must("INSERT INTO u (k, v) VALUES (CONCAT('a'), 'x') ON DUPLICATE KEY UPDATE v = (SELECT MIN(v) FROM q), n = n + 1")
	c.want("SELECT * FROM u", "a|first|1", "b|B|0")
	c.must("INSERT INTO u (k, v) VALUES ('a', 'x'), ('b', 'y') ON DUPLICATE KEY UPDATE v = (SELECT CONCAT(v, '!') FROM q WHERE id = u.k)")
	c.want("SELECT * FROM u", "a|first!|1", "b|second!|0")
	c.must("INSERT INTO u (k, v) SELECT id, 'z' FROM q ON DUPLICATE KEY UPDATE v = (SELECT MAX(id) FROM q)")
	c.want("SELECT * FROM u", "a|b|1", "b|b|0")
	c.must("INSERT INTO u (k, v) VALUES ('b', 'q') ON DUPLICATE KEY UPDATE n = CASE WHEN EXISTS (SELECT * FROM q WHERE id = 'a') THEN 77 ELSE 5 END, v = IF('b' IN (SELECT id FROM q), 'in', 'out')")
	c.want("SELECT * FROM u", "a|b|1", "b|in|77")
	c.must("INSERT INTO u (k, v) VALUES ('a', 'x') ON DUPLICATE KEY UPDATE n = (SELECT MAX(x.n) + 1 FROM (SELECT n FROM u) x)")
	c.want("SELECT * FROM u", "a|b|78", "b|in|77")
}
