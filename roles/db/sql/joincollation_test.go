package sql

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Joins of texts of different collations find the rows that the comparison says are equal,
// whichever way the planner goes: through an index, a table in memory, or row by row.
func TestJoinsOfCollations(t *testing.T) {
	conn := mariadb(t)
	c := newServer(t).test()
	c.must("SET direct = 0")
	types := map[string]string{
		"bin": "VARCHAR(9) COLLATE utf8mb4_bin", "uni": "VARCHAR(9) COLLATE utf8mb4_unicode_520_ci", "gen": "VARCHAR(9) COLLATE utf8mb4_general_ci",
		"mb3": "VARCHAR(9) CHARACTER SET utf8mb3 COLLATE utf8mb3_general_ci", "mb3bin": "VARCHAR(9) CHARACTER SET utf8mb3 COLLATE utf8mb3_bin",
		"latin": "VARCHAR(9) CHARACTER SET latin1",
	}
	var names []string
	for name := range types {
		names = append(names, name)
	}
	slices.Sort(names)
	both := func(q string) {
		t.Helper()
		c.must(q)
		if _, err := conn.ExecContext(t.Context(), q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
	for _, name := range names {
		both("DROP TABLE IF EXISTS " + name)
		both(fmt.Sprintf("CREATE TABLE %s (id INT PRIMARY KEY, x %s, KEY (x))", name, types[name]))
		var rows []string
		for i := range 30 {
			rows = append(rows, fmt.Sprintf("(%d, '%s')", i, []string{"a", "A", "é", "E", "e", "b", "zz", "Zz", "x", "s"}[i%10]))
		}
		both("INSERT INTO " + name + " VALUES " + strings.Join(rows, ", "))
	}
	for _, l := range names {
		for _, r := range names {
			if l == r {
				continue
			}
			q := fmt.Sprintf("l.id, r.id FROM %s l JOIN %s r ON l.x = r.x", l, r)
			less := fmt.Sprintf("COUNT(*) FROM %s l JOIN %s r ON l.x < r.x", l, r)
			in := fmt.Sprintf("l.id FROM %s l WHERE l.x IN (SELECT r.x FROM %s r)", l, r)
			if l == "gen" && r == "uni" || l == "uni" && r == "gen" { // IN (SELECT …) does not say 1267
				in = less
			}
			exists := fmt.Sprintf("l.id FROM %s l WHERE NOT EXISTS (SELECT 1 FROM %s r WHERE r.x = l.x)", l, r)
			for i, hint := range []string{"", "/*+ LOOKUP_JOIN(l, r) JOIN_ORDER(l, r) */ ", "/*+ LOOKUP_JOIN(l, r) JOIN_ORDER(r, l) */ ", "/*+ HASH_JOIN(l, r) */ ", "/*+ INNER_JOIN(l, r) */ ", "", "", ""} {
				if i >= 5 {
					q = []string{less, in, exists}[i-5]
				}
				if q == in && (l == "bin" && (r == "gen" || r == "uni") || l == "mb3bin" && r == "mb3") {
					continue // MariaDB keeps one row of those that are equal by r's collation, and misses the others, by some plans
				}
				theirs, theirErr := rowsOf(conn, "SELECT "+q)
				slices.Sort(theirs)
				out, err := c.run("SELECT " + hint + q)
				if err != nil || theirErr != nil {
					if errorCode(err) != errorCode(theirErr) {
						t.Errorf("%s and %s, %s%s: %v; MariaDB: %v", l, r, hint, q, err, theirErr)
					}
					continue
				}
				slices.Sort(out.rows)
				if !slices.Equal(out.rows, theirs) {
					t.Errorf("%s and %s, %s%s: %d rows; MariaDB has %d", l, r, hint, q, len(out.rows), len(theirs))
				}
			}
		}
	}
}

// The condition of an inner join over a LEFT JOIN holds for what stands on the right there too.
func TestInnerJoinsOverLeftJoins(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE a (id INT PRIMARY KEY, x INT, k INT)", "CREATE TABLE b (id INT PRIMARY KEY, x INT)", "CREATE TABLE c (id INT PRIMARY KEY, bid INT, y INT)",
		"INSERT INTO a VALUES (1, 1, 1), (2, 2, 9), (3, 3, 2), (4, NULL, 1)", "INSERT INTO b VALUES (1, 1), (2, 7)", "INSERT INTO c VALUES (1, 1, 1), (2, 2, 0), (3, 1, 7), (4, NULL, 0)")
	for _, direct := range []string{"1", "0"} {
		c.must("SET direct = " + direct)
		c.want("SELECT a.id, b.id, c.id FROM a LEFT JOIN b ON b.id = a.k JOIN c ON c.id = a.id AND c.bid = b.id", "1|1|1")
		c.want("SELECT a.id, b.id, c.id FROM a LEFT JOIN b ON b.id = a.k JOIN c WHERE c.id = a.id AND c.bid = b.id", "1|1|1")
		c.want("SELECT a.id, b.id, c.id FROM c JOIN (a LEFT JOIN b ON b.id = a.k) ON c.id = a.id AND c.bid = b.id", "1|1|1")
		c.want("SELECT a.id FROM a LEFT JOIN b ON b.id = a.k JOIN c ON c.id = a.id AND (c.bid = b.id OR b.id IS NULL) ORDER BY 1", "1", "2")
		c.want("SELECT a.id FROM a LEFT JOIN b ON b.id = a.k JOIN c ON c.id = a.id AND COALESCE(b.x, 0) = c.y ORDER BY 1", "1", "2", "3")
		c.want("SELECT a.id, d.id FROM a LEFT JOIN b ON b.id = a.k JOIN c ON c.bid = b.id AND c.id = a.id LEFT JOIN c d ON d.id = b.id + 1", "1|2")
		c.want("SELECT a.id FROM a LEFT JOIN b ON b.id = a.k JOIN c ON c.id = a.id WHERE b.id IS NULL", "2")
		c.want("SELECT a.id FROM a LEFT JOIN (b JOIN c ON c.bid = b.id AND c.y = b.x) ON b.id = a.k AND c.id = a.id ORDER BY 1", "1", "2", "3", "4")
		c.want("SELECT a.id, (SELECT COUNT(*) FROM b LEFT JOIN c ON c.bid = b.id JOIN c d ON d.id = b.id AND d.y = c.y WHERE b.id = a.k) FROM a ORDER BY 1", "1|1", "2|0", "3|1", "4|1")
	}
}
