package sql

import "testing"

// Semi and anti joins of tables that are read for their rows alone are planned like others.
func TestJoinsWithoutColumns(t *testing.T) {
	c := newServer(t).test()
	c.must("SET direct = 0", "CREATE TABLE a (id INT PRIMARY KEY, x INT, y INT NOT NULL)", "CREATE TABLE b (id INT PRIMARY KEY, x INT, y INT NOT NULL, KEY (x))",
		"INSERT INTO a VALUES (0, 2, 1), (1, 1, 0)", "INSERT INTO b VALUES (1, NULL, 2), (2, 1, 0), (3, 1, 3)")
	for where, rows := range map[string]string{
		"t.id NOT IN (SELECT o.id FROM b o)": "6", "t.id IN (SELECT o.id FROM b o, a n)": "6", "t.x NOT IN (SELECT o.y FROM b o, a n)": "6",
		"NOT EXISTS (SELECT 1 FROM b o WHERE o.y = t.y)": "6", "t.id NOT IN (SELECT o.id FROM b o WHERE EXISTS (SELECT 1 FROM a n, b m) AND NOT EXISTS (SELECT 1 FROM a n))": "12",
	} {
		c.want("SELECT COUNT(*) FROM a q LEFT JOIN (SELECT t.id FROM b u, a t WHERE "+where+") d ON TRUE", rows)
	}
}

// Conditions of joins with queries in them are asked where the tables that the queries name are read, and those on
// derived tables stay conditions of EXISTS.
func TestQueriesInJoinsNameTables(t *testing.T) {
	c := newServer(t).test()
	c.must("SET direct = 0", "CREATE TABLE a (id INT PRIMARY KEY, x INT, y INT)", "INSERT INTO a VALUES (1, 1, 1), (2, 2, 1), (3, NULL, 3)")
	c.want("SELECT t.id, v.id FROM (SELECT MIN(id) id, x FROM a GROUP BY x) t LEFT JOIN a u ON u.id = t.id JOIN a v ON IF(v.x, t.x, 2) NOT IN (SELECT o.x FROM a o WHERE u.y = o.id) ORDER BY 1, 2",
		"1|3", "2|1", "2|2", "2|3")
	c.want("SELECT t.id FROM a s LEFT JOIN a t ON t.id = s.id WHERE NOT EXISTS (SELECT 1 FROM (SELECT u.id, v.x FROM a u LEFT JOIN a v ON v.id = u.id) d JOIN a w ON w.id = d.id WHERE d.x > t.x) ORDER BY 1", "2", "3")
	c.want("SELECT s.id FROM a s WHERE EXISTS (SELECT 1 FROM (SELECT id, y FROM a) d RIGHT JOIN a w ON TRUE WHERE d.y = s.x + 2) ORDER BY 1", "1")
}
