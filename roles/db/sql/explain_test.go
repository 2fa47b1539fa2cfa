package sql

import (
	"strings"
	"testing"
)

// EXPLAIN has a row for each table that is read, with the index and a number of rows.
func TestExplain(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT, KEY (a, b))", "CREATE TABLE u (id INT PRIMARY KEY, t INT)",
		"INSERT INTO t WITH RECURSIVE n AS (SELECT 1 i UNION ALL SELECT i + 1 FROM n WHERE i < 100) SELECT i, i % 10, i % 2 FROM n", "INSERT INTO u VALUES (1, 2), (2, 3)", "ANALYZE TABLE t, u")
	for query, want := range map[string]string{
		"SELECT * FROM t":                         "1|SIMPLE|t|NULL|ALL|NULL|NULL|NULL|NULL|100|100|NULL",
		"SELECT * FROM t x WHERE id = 5":          "1|SIMPLE|x|NULL|const|PRIMARY|PRIMARY|NULL|NULL|1|100|NULL",
		"SELECT * FROM t WHERE a = 5":             "1|SIMPLE|t|NULL|ref|a|a|NULL|NULL|10|100|NULL",
		"SELECT * FROM t WHERE a = 5 AND b > 0":   "1|SIMPLE|t|NULL|range|a|a|NULL|NULL|3|100|NULL",
		"SELECT * FROM t WHERE id IN (1, 2, 3)":   "1|SIMPLE|t|NULL|range|PRIMARY|PRIMARY|NULL|NULL|3|100|NULL",
		"SELECT 1":                                "1|SIMPLE|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|No tables used",
		"SELECT 1 FROM u JOIN t ON u.t = t.id":    "1|SIMPLE|u|NULL|ALL|NULL|NULL|NULL|NULL|2|100|NULL\n1|SIMPLE|t|NULL|eq_ref|PRIMARY|PRIMARY|NULL|NULL|1|100|NULL",
		"SELECT 1 FROM (SELECT MAX(id) FROM t) d": "1|SIMPLE|t|NULL|index|PRIMARY|PRIMARY|NULL|NULL|100|100|NULL",
		"DELETE FROM t WHERE id = 1":              "1|SIMPLE|t|NULL|const|PRIMARY|PRIMARY|NULL|NULL|1|100|NULL",
	} {
		got := c.must("EXPLAIN " + query)
		if text := strings.Join(got.rows, "\n"); text != want {
			t.Errorf("EXPLAIN %s\n got %s\nwant %s", query, text, want)
		}
		if len(c.Warnings()) > 0 {
			t.Errorf("EXPLAIN %s: %v", query, c.Warnings())
		}
	}
}
