package sql

import "testing"

// The triggers of a stored table are not those of a temporary table that hides it, and stay when that is dropped.
func TestTriggersStayBehindTemporaryTables(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY)", "CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.id = NEW.id + 100",
		"CREATE TABLE log (id INT)", "CREATE TRIGGER tu BEFORE UPDATE ON t FOR EACH ROW INSERT INTO log VALUES (1)", "CREATE TRIGGER td BEFORE DELETE ON t FOR EACH ROW INSERT INTO log VALUES (2)",
		"CREATE TEMPORARY TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1)")
	c.want("SELECT id FROM t", "1")
	c.must("INSERT INTO t SELECT id + 1 FROM t", "UPDATE t SET id = id + 10 ORDER BY id DESC", "DELETE FROM t WHERE id = 12")
	c.want("SELECT id FROM t", "11")
	c.must("DROP TEMPORARY TABLE t", "INSERT INTO t VALUES (1)")
	c.want("SELECT id FROM t", "101")
	c.must("CREATE TEMPORARY TABLE t (id INT PRIMARY KEY)", "DROP TABLE t", "INSERT INTO t VALUES (2)")
	c.want("SELECT id FROM t ORDER BY id", "101", "102")
	c.want("SELECT COUNT(*) FROM log", "0")
	c.must("DROP TABLE t", "CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (3)")
	c.want("SELECT id FROM t", "3")
}

// A table takes its triggers with it, and no others.
func TestDroppedTablesTakeTheirTriggers(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE DATABASE other", "CREATE TABLE t (id INT PRIMARY KEY)", "CREATE TABLE u (id INT PRIMARY KEY)", "CREATE TABLE other.u (id INT PRIMARY KEY)", "CREATE TABLE other.t (id INT PRIMARY KEY)",
		"CREATE TRIGGER one BEFORE INSERT ON t FOR EACH ROW SET NEW.id = NEW.id + 1", "CREATE TRIGGER two BEFORE INSERT ON u FOR EACH ROW SET NEW.id = NEW.id + 2",
		"USE other", "CREATE TRIGGER three BEFORE INSERT ON u FOR EACH ROW SET NEW.id = NEW.id + 3", "CREATE TRIGGER four BEFORE INSERT ON t FOR EACH ROW SET NEW.id = NEW.id + 4",
		"DROP TABLE test.t", "DROP TABLE u")
	c.want("SELECT trigger_schema, trigger_name FROM information_schema.triggers ORDER BY 2", "other|four", "test|two")
	c.must("CREATE TABLE u (id INT PRIMARY KEY)", "CREATE TRIGGER three BEFORE INSERT ON u FOR EACH ROW SET NEW.id = NEW.id + 30", "INSERT INTO u VALUES (1)")
	c.want("SELECT id FROM u", "31")
}

// No foreign key means a temporary table that has the name of one which others refer to.
func TestTemporaryTableOfAReferencedName(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE p (id INT PRIMARY KEY)", "CREATE TABLE c (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES p (id))", "INSERT INTO p VALUES (1)", "INSERT INTO c VALUES (1, 1)",
		"CREATE TEMPORARY TABLE p (id INT PRIMARY KEY)", "INSERT INTO p VALUES (1), (2)", "DELETE FROM p WHERE id = 1", "UPDATE p SET id = 3")
	c.want("SELECT id FROM p", "3")
	c.must("TRUNCATE TABLE p", "DROP TEMPORARY TABLE p")
	c.want("SELECT id FROM p", "1")
	c.fails(1451, "DELETE FROM p")
	c.fails(3730, "DROP TABLE p")
}

// A parent is in the database of its child, whichever is the current one.
func TestParentInTheDatabaseOfItsChild(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE DATABASE other", "CREATE TABLE p (id INT PRIMARY KEY)", "CREATE TABLE other.p (id INT PRIMARY KEY)", "INSERT INTO other.p VALUES (1), (2)",
		"CREATE TABLE other.c (p INT, FOREIGN KEY (p) REFERENCES p (id))", "INSERT INTO other.c VALUES (1)",
		"CREATE TABLE other.d (p INT)", "ALTER TABLE other.d ADD CONSTRAINT fk_d FOREIGN KEY (p) REFERENCES p (id)", "INSERT INTO other.d VALUES (2)")
	c.fails(1451, "DELETE FROM other.p WHERE id = 1")
	c.fails(1451, "DELETE FROM other.p WHERE id = 2")
	c.must("DROP TABLE p")
}
