package sql

import "testing"

// DROP TABLE drops all tables of its list, however foreign keys order them.
func TestDropTablesOfAList(t *testing.T) {
	s := newServer(t)
	c := s.test()
	tables := []string{"CREATE TABLE p (id INT PRIMARY KEY)", "CREATE TABLE c (p INT, CONSTRAINT fk_c FOREIGN KEY (p) REFERENCES p (id))", "CREATE TABLE x (id INT)", "CREATE TABLE y (id INT)"}
	for _, drop := range []string{"DROP TABLE x, y, p, c", "DROP TABLE x, p, c, y", "DROP TABLE p, x, y, c", "DROP TABLE c, p, y, x", "DROP TABLE IF EXISTS x, nosuch, p, y, c"} {
		c.must(tables...)
		c.must("CREATE TRIGGER tr BEFORE INSERT ON x FOR EACH ROW SET NEW.id = 1", drop)
		c.want("SHOW TABLES")
		c.want("SELECT COUNT(*) FROM information_schema.triggers WHERE trigger_schema = 'test'", "0")
	}
	// Two that name each other go together, as in MySQL.
	c.must(tables...)
	c.must("CREATE TABLE a (id INT PRIMARY KEY, b INT)", "CREATE TABLE b (id INT PRIMARY KEY, a INT, FOREIGN KEY (a) REFERENCES a (id))", "ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b (id)")
	c.fails(3730, "DROP TABLE x, p, y", "fk_c")
	c.want("SHOW TABLES", "a", "b", "c", "p", "x", "y")
	c.fails(1452, "INSERT INTO c VALUES (1)")
	c.must("DROP TABLE x, a, b")
	c.want("SHOW TABLES", "c", "p", "y")
	follower := blankServer(t, nil)
	follower.mustFollow(s)
	follower.sameAs(s)
}
