package sql

import "testing"

// What an expression of the table names is not dropped or renamed under it, whatever letters it is written in.
func TestExpressionsKeepTheirColumns(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, a INT, Price INT, total INT AS (Price * 2), d INT DEFAULT (id + 1), e INT, CONSTRAINT pos CHECK (A > 0), CONSTRAINT less CHECK (a < e))",
		"INSERT INTO t (id, a, Price, e) VALUES (1, 1, 5, 9)")
	def := c.must("SHOW CREATE TABLE t").rows[0]
	for query, code := range map[string]uint16{
		"ALTER TABLE t CHANGE a b INT":                    3959,
		"ALTER TABLE t CHANGE a b BIGINT, ADD z INT":      3959,
		"ALTER TABLE t RENAME COLUMN a TO b":              3959,
		"ALTER TABLE t DROP COLUMN a":                     3959,
		"ALTER TABLE t DROP COLUMN price":                 3108,
		"ALTER TABLE t DROP COLUMN Price, ADD Price2 INT": 3108,
	} {
		c.fails(code, query)
	}
	c.fails(3959, "ALTER TABLE t CHANGE e f INT", "Check constraint 'less' uses column 'e', hence column cannot be dropped or renamed.")
	c.fails(3108, "ALTER TABLE t DROP COLUMN PRICE", "has a generated column dependency.")
	c.want("SHOW CREATE TABLE t", def)
	c.must("INSERT INTO t (id, a, Price, e) VALUES (2, 2, 7, 9)")

	// As in MariaDB, generated columns and defaults follow a column that is renamed.
	c.must("ALTER TABLE t CHANGE Price Cost INT", "ALTER TABLE t CHANGE id Number INT", "ALTER TABLE t CHANGE NUMBER No BIGINT", "INSERT INTO t (No, a, Cost, e) VALUES (3, 3, 8, 9)")
	c.want("SELECT No, total, d FROM t", "1|10|2", "2|14|3", "3|16|4")
	// What goes together may go; a CHECK goes with the only column that it names.
	c.must("ALTER TABLE t DROP CHECK less, CHANGE e f INT", "ALTER TABLE t DROP COLUMN total, DROP COLUMN Cost", "ALTER TABLE t DROP COLUMN a", "INSERT INTO t (No) VALUES (4)")
	c.want("SELECT No, f FROM t WHERE No > 2", "3|9", "4|NULL")
	s.isWhole()
}
