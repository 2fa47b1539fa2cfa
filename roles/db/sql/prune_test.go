package sql

import "testing"

// A derived table that is a whole table has all its columns, whatever is asked of it.
func TestDerivedWholeTable(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE w (a INT, b VARCHAR(9))", "INSERT INTO w VALUES (1, 'x'), (2, 'y'), (2, 'y')")
	c.want("SELECT * FROM (SELECT * FROM w) d LIMIT 1", "1|x")
	c.want("SELECT * FROM (SELECT * FROM w) d LIMIT 1, 1", "2|y")
	c.want("SELECT d.* FROM (SELECT * FROM w) d ORDER BY a DESC LIMIT 1", "2|y")
	c.want("SELECT DISTINCT * FROM (SELECT * FROM w) d", "1|x", "2|y")
	c.want("SELECT DISTINCT * FROM (SELECT * FROM w) d ORDER BY a DESC LIMIT 1", "2|y")
	c.want("WITH d AS (SELECT * FROM w) SELECT * FROM d LIMIT 1", "1|x")
	c.want("SELECT * FROM (SELECT * FROM (SELECT * FROM w) d LIMIT 2) e WHERE b = 'y'", "2|y")
	c.want("(SELECT * FROM (SELECT * FROM w) d LIMIT 1) UNION (SELECT * FROM (SELECT * FROM w) e LIMIT 2)", "1|x", "2|y")
	c.must("CREATE VIEW v AS SELECT * FROM w", "CREATE TABLE copied AS SELECT * FROM (SELECT * FROM w) d LIMIT 2")
	c.want("SELECT * FROM v LIMIT 1", "1|x")
	c.want("SELECT * FROM copied", "1|x", "2|y")
}
