package sql

import "testing"

// REPLACE sets LAST_INSERT_ID() to the first value that it generates.
func TestReplaceSetsLastInsertID(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE a (i INT PRIMARY KEY AUTO_INCREMENT, v INT UNIQUE)", "INSERT INTO a VALUES (5, 1)")
	if id := c.must("REPLACE INTO a (v) VALUES (1)").insertID; id != 6 {
		t.Errorf("insert id %d, want 6", id)
	}
	c.want("SELECT LAST_INSERT_ID()", "6")
	c.must("REPLACE INTO a (i, v) VALUES (NULL, 1), (NULL, 2)")
	c.want("SELECT LAST_INSERT_ID()", "7")
	c.must("REPLACE INTO a VALUES (20, 3), (0, 4)")
	c.want("SELECT LAST_INSERT_ID()", "21")
	c.must("REPLACE INTO a VALUES (30, 5)")
	c.want("SELECT LAST_INSERT_ID()", "21")
	c.must("CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW SET NEW.v = NEW.v + 100", "REPLACE INTO a (v) SELECT 9")
	c.want("SELECT LAST_INSERT_ID(), i, v FROM a ORDER BY i DESC LIMIT 1", "31|31|109")
}

// A view's name may say its database where there is no current one.
func TestViewWithoutCurrentDatabase(t *testing.T) {
	c := newServer(t).login("root", "%", "")
	c.must("CREATE VIEW test.v AS SELECT 1 AS a", "CREATE OR REPLACE VIEW test.v AS SELECT 2 AS a")
	c.fails(1046, "CREATE VIEW w AS SELECT 1 AS a")
	c.must("USE test")
	c.want("SELECT a FROM v", "2")
}

// What clients are told of AUTO_INCREMENT values is what MariaDB and MySQL tell: the first value that was made, else
// the one of LAST_INSERT_ID(value), else that of the last row. LAST_INSERT_ID() is only the first two.
func TestInsertIDs(t *testing.T) {
	s := newServer(t)
	planned := s.test()
	planned.must("SET direct = 0")
	for _, c := range []*client{s.test(), planned} {
		c.must("DROP TABLE IF EXISTS a, plain", "CREATE TABLE a (i INT PRIMARY KEY AUTO_INCREMENT, n VARCHAR(20), u INT UNIQUE)", "CREATE TABLE plain (i INT)")
		for _, test := range []struct {
			query string
			id    uint64
			last  string
		}{
			{"INSERT INTO a VALUES (1, 'a', 1), (2, 'b', 2), (DEFAULT, 'c', 3) ON DUPLICATE KEY UPDATE i = i", 3, "3"},
			{"INSERT INTO a VALUES (1, 'a', 1), (2, 'b', 2), (NULL, 'd', 4) ON DUPLICATE KEY UPDATE i = i", 4, "4"},
			{"INSERT INTO a VALUES (50, 'x', 50)", 50, "4"},
			{"INSERT INTO a VALUES (60, 'y', 60), (61, 'y', 61)", 61, "4"},
			{"INSERT INTO a VALUES (70, 'y', 70), (NULL, 'z', 71), (NULL, 'z', 72)", 71, "71"},
			{"INSERT INTO a (n, u) VALUES ('r', 50) ON DUPLICATE KEY UPDATE n = 'r2'", 50, "71"},
			{"INSERT INTO a (n, u) VALUES ('r', 50) ON DUPLICATE KEY UPDATE n = n", 0, "71"},
			{"INSERT INTO a (n, u) VALUES ('r', 50) ON DUPLICATE KEY UPDATE n = 'r3', i = LAST_INSERT_ID(i)", 50, "50"},
			{"INSERT IGNORE INTO a (n, u) VALUES ('r', 50)", 0, "50"},
			{"INSERT INTO plain VALUES (1)", 0, "50"},
			{"INSERT INTO a VALUES (1, 'a', 1), (2, 'b', 2) ON DUPLICATE KEY UPDATE n = n", 0, "50"},
			{"INSERT INTO a VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3) ON DUPLICATE KEY UPDATE n = 'u'", 3, "50"},
			{"REPLACE INTO a VALUES (777, 'r', 50)", 777, "50"},
			{"UPDATE a SET n = 'x' WHERE u = 50", 0, "50"},
			{"REPLACE INTO a (n, u) VALUES ('r', 50)", 778, "778"},
			{"INSERT IGNORE INTO a VALUES (NULL, 'r', 50), (900, 's', 51)", 900, "778"},
			{"UPDATE a SET n = 'v', i = LAST_INSERT_ID(i + 10) WHERE u = 50", 788, "788"},
			{"INSERT INTO a VALUES (LAST_INSERT_ID(5000), 'li', 201)", 5000, "5000"},
			{"DELETE FROM a", 0, "5000"},
		} {
			if id := c.must(test.query).insertID; id != test.id {
				t.Errorf("%s: insert id %d, want %d", test.query, id, test.id)
			}
			c.want("SELECT LAST_INSERT_ID()", test.last)
		}
	}
}

// What triggers and functions insert is theirs.
func TestInsertIDsOfTriggers(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE log (id INT PRIMARY KEY AUTO_INCREMENT, v INT)", "INSERT INTO log VALUES (100, 0)",
		"CREATE TABLE a (i INT PRIMARY KEY AUTO_INCREMENT, v INT)",
		"CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW INSERT INTO log (v) VALUES (NEW.v)",
		"CREATE TRIGGER w AFTER UPDATE ON a FOR EACH ROW INSERT INTO log (v) VALUES (NEW.v)")
	if id := c.must("INSERT INTO a (v) VALUES (5), (6)").insertID; id != 1 {
		t.Errorf("insert id %d, want 1", id)
	}
	c.want("SELECT LAST_INSERT_ID()", "1")
	c.must("UPDATE a SET v = 7")
	c.want("SELECT LAST_INSERT_ID(), MAX(id) FROM log", "1|104")
}
