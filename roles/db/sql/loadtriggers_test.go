package sql

import (
	"strings"
	"testing"
)

// Triggers are read in their own database, whatever the current one is.
func TestTriggersOfAnotherDatabase(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY)", "CREATE TABLE log (id INT)", "CREATE TABLE other (id INT)", "CREATE TABLE more (id INT)",
		"CREATE TRIGGER tr AFTER INSERT ON t FOR EACH ROW INSERT INTO log VALUES (NEW.id)", "CREATE DATABASE elsewhere", "USE elsewhere", "DROP TABLE test.other")
	if rows := c.must("SHOW TRIGGERS FROM test").rows; len(rows) != 1 || !strings.HasPrefix(rows[0], "tr|INSERT|t|INSERT INTO log VALUES (NEW.id)|AFTER") {
		t.Errorf("SHOW TRIGGERS: %q", rows)
	}
	if rows := c.must("SHOW TRIGGERS").rows; len(rows) != 0 {
		t.Errorf("SHOW TRIGGERS of another database: %q", rows)
	}
	c.must("CREATE EVENT test.e ON SCHEDULE EVERY 1 DAY DO SELECT 1")
	if rows := c.must("SHOW EVENTS FROM test").rows; len(rows) != 1 {
		t.Errorf("SHOW EVENTS: %q", rows)
	}
	c.fails(1049, "SHOW TRIGGERS FROM nosuch")
	c.want("SELECT DATABASE()", "elsewhere")
	none := s.root()
	none.must("DROP TABLE test.more")
	c.must("DROP TABLE test.t")
	c.want("SELECT COUNT(*) FROM information_schema.triggers WHERE trigger_schema = 'test'", "0")
}
