package sql

import (
	"strings"
	"testing"
)

// CREATE TABLE … LIKE makes the table under the name that is written.
func TestCreateLikeKeepsCase(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, Num INT DEFAULT 3, g INT AS (Num + 1), KEY n (Num), CHECK (Num > 0))",
		"CREATE TABLE name (other VARCHAR(5))", "CREATE TABLE Name LIKE t", "CREATE TEMPORARY TABLE Mine LIKE t", "PREPARE p FROM 'CREATE TABLE Third LIKE t'", "EXECUTE p")
	c.want("SHOW TABLES", "Name", "Third", "name", "t")
	for _, table := range []string{"Name", "Mine", "Third"} {
		c.must("INSERT INTO " + table + " (id) VALUES (1)")
		c.want("SELECT * FROM "+table, "1|3|4")
		c.fails(3819, "INSERT INTO "+table+" VALUES (2, -1, DEFAULT)")
		c.fails(1062, "INSERT INTO "+table+" (id) VALUES (1)", table+".PRIMARY")
	}
	if rows := c.must("SHOW CREATE TABLE name").rows; !strings.Contains(rows[0], "other") || strings.Contains(rows[0], "KEY") {
		t.Errorf("the table that differs in case is now %q", rows)
	}
}
