package sql

import (
	"strings"
	"testing"
)

// A view is read without a current database where the statement names its own.
func TestViewsWithoutDatabase(t *testing.T) {
	s := newServer(t)
	s.test().must("CREATE TABLE t (id INT PRIMARY KEY, n INT)", "INSERT INTO t VALUES (1, 10), (2, 20)", "CREATE VIEW v AS SELECT id, n FROM t WHERE n > 10",
		"CREATE DATABASE other", "CREATE VIEW other.w AS SELECT x.id, t.n FROM test.v x JOIN test.t USING (id)", "CREATE TABLE other.t (id INT PRIMARY KEY)")
	c := s.root()
	c.want("SELECT * FROM test.v", "2|20")
	c.want("SELECT v.id FROM other.w JOIN test.v ON v.id = w.id WHERE EXISTS (SELECT 1 FROM test.v z)", "2")
	c.must("INSERT INTO other.t SELECT id FROM test.v")
	c.want("SELECT * FROM other.t", "2")
	c.must("PREPARE p FROM 'SELECT n FROM test.v WHERE id = ?'", "SET @id = 2")
	c.want("EXECUTE p USING @id", "20")
	st, err := c.Prepare(ctxBackground, "SELECT n FROM test.v WHERE id = 2")
	if err != nil {
		t.Fatal(err)
	}
	st.Close()
	c.want("SELECT DATABASE()", "NULL")
	c.fails(1046, "SELECT * FROM test.v, t")
	c.fails(1046, "INSERT INTO t SELECT id FROM test.v")
	c.fails(1146, "SELECT * FROM test.nosuch")
	c.want("SELECT DATABASE()", "NULL")
}

// SHOW, DESCRIBE and EXPLAIN of what is in a database with views need no current one.
func TestShowsWithoutDatabase(t *testing.T) {
	s := newServer(t)
	s.test().must("CREATE TABLE t (id INT PRIMARY KEY, n INT)", "CREATE VIEW v AS SELECT id FROM t", "CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.n = 1",
		"CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1", "CREATE PROCEDURE p() SELECT 1", "CREATE DATABASE other")
	c := s.root()
	for query, rows := range map[string]int{
		"SHOW COLUMNS FROM test.v": 1, "SHOW FULL COLUMNS FROM v FROM test LIKE 'i%'": 1, "DESCRIBE test.v": 1, "SHOW CREATE TABLE test.v": 1, "SHOW INDEX FROM test.v": 0,
		"EXPLAIN FORMAT=TREE SELECT * FROM test.v": 0, "SHOW TRIGGERS FROM test": 1, "SHOW EVENTS FROM test": 1, "SHOW TABLES FROM test": 2, "SHOW TABLE STATUS FROM test": 1,
		"SHOW PROCEDURE STATUS": 1, "SHOW PROCEDURE STATUS LIKE 'p%'": 1, "SELECT * FROM information_schema.routines WHERE routine_name = 'p'": 1,
	} {
		if got := c.must(query).rows; len(got) != rows && rows > 0 {
			t.Errorf("%s: %d rows, want %d: %v", query, len(got), rows, got)
		}
	}
	c.want("SELECT DATABASE()", "NULL")
	c.fails(1046, "SHOW TABLES")
	c.fails(1049, "SHOW TABLES FROM nosuch")
}

// SHOW TRIGGERS and SHOW EVENTS of a named database are of that one, whichever is current.
func TestShowsOfAnotherDatabase(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE DATABASE other", "CREATE TABLE t (id INT PRIMARY KEY)", "CREATE TABLE other.t (id INT PRIMARY KEY)",
		"CREATE TRIGGER here BEFORE INSERT ON t FOR EACH ROW SET NEW.id = 1", "CREATE EVENT here ON SCHEDULE EVERY 1 DAY DO SELECT 1",
		"USE other", "CREATE TRIGGER there BEFORE INSERT ON t FOR EACH ROW SET NEW.id = 1", "CREATE EVENT there ON SCHEDULE EVERY 1 DAY DO SELECT 1", "USE test",
		"CREATE PROCEDURE p() SHOW TRIGGERS FROM other", "CREATE USER low", "GRANT ALL ON test.* TO low")
	for query, want := range map[string]string{
		"SHOW TRIGGERS FROM other": "there", "SHOW TRIGGERS IN other LIKE 't'": "there", "SHOW TRIGGERS": "here", "CALL p()": "there",
		"SHOW EVENTS FROM other": "there", "SHOW EVENTS FROM test": "here", "SHOW EVENTS": "here",
	} {
		if rows := c.must(query).rows; !strings.Contains(strings.Join(rows, " "), want) || strings.HasPrefix(query, "SHOW") && len(rows) != 1 {
			t.Errorf("%s: %q, want %s", query, rows, want)
		}
	}
	c.want("SELECT DATABASE()", "test")
	c.fails(1049, "SHOW TRIGGERS FROM nosuch")
	c.fails(1049, "SHOW EVENTS FROM nosuch")
	low := s.login("low", "%", "test")
	low.fails(1044, "SHOW TRIGGERS FROM other")
	low.fails(1044, "SHOW EVENTS FROM other")
}
