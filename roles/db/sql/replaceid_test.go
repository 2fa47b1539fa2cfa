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
