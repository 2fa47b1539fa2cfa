package sql

import "testing"

// Foreign keys, triggers and views follow a table that is renamed by a name with its database.
func TestRenameKeepsForeignKeys(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE DATABASE other", "CREATE TABLE p (id INT PRIMARY KEY, up INT, FOREIGN KEY (up) REFERENCES p (id))", "INSERT INTO p VALUES (1, NULL), (2, 1)",
		"CREATE TABLE c (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES p (id) ON UPDATE CASCADE)", "INSERT INTO c VALUES (1, 2)", "CREATE TABLE x (id INT)",
		"CREATE VIEW v AS SELECT id FROM x")
	name := "p"
	for _, step := range []struct{ rename, to string }{
		{"RENAME TABLE test.p TO q", "q"}, {"RENAME TABLE q TO test.r, x TO other.x", "r"}, {"RENAME TABLE other.x TO x, r TO s", "s"}, {"ALTER TABLE test.s RENAME test.p", "p"},
	} {
		c.must(step.rename)
		name = step.to
		c.fails(1452, "INSERT INTO c VALUES (9, 9)")
		c.fails(1451, "DELETE FROM "+name+" WHERE id > 1")
		c.fails(1452, "INSERT INTO "+name+" VALUES (9, 8)")
		c.must("UPDATE "+name+" SET id = id + 1 WHERE id > 1", "INSERT INTO "+name+" VALUES (100, 1)", "DELETE FROM "+name+" WHERE id = 100")
		c.want("SELECT REFERENCED_TABLE_NAME, CONSTRAINT_NAME FROM information_schema.referential_constraints WHERE CONSTRAINT_SCHEMA = 'test' ORDER BY 2", name+"|c_ibfk_1", name+"|"+name+"_ibfk_1")
	}
	c.want("SELECT p FROM c", "6")
	c.must("RENAME TABLE test.v TO w")
	c.want("SELECT * FROM test.w")
	c.fails(1146, "SELECT * FROM v")
	c.fails(1450, "RENAME TABLE w TO other.w")
	c.fails(1347, "ALTER TABLE w RENAME TO v", "'test.w' is not BASE TABLE")
	c.fails(1050, "RENAME TABLE test.w TO test.x")
	c.must("CREATE TEMPORARY TABLE c (id INT)")
	c.fails(1235, "ALTER TABLE c RENAME TO d", "temporary")
	c.must("DROP TABLE c")
	follower := blankServer(t, nil)
	follower.mustFollow(s)
	follower.sameAs(s)
}

// A rename is of the tables that are named, whatever the current database has.
func TestRenameInNamedDatabase(t *testing.T) {
	s := newServer(t)
	c, none := s.test(), s.login("root", "%", "")
	conn := mariadb(t)
	onBoth(t, c, conn, "CREATE DATABASE db1", "CREATE DATABASE db2")
	const list = "SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema IN ('db1', 'db2', 'test') ORDER BY 1, 2"
	for _, rename := range []string{
		"RENAME TABLE db1.a TO db1.b", "ALTER TABLE db1.a RENAME TO db1.b", "ALTER TABLE db1.a RENAME TO b", "ALTER TABLE a RENAME TO db1.b", "ALTER TABLE db1.a ADD COLUMN m INT, RENAME TO db1.b",
		"ALTER TABLE db1.a RENAME TO db2.b, ADD COLUMN m INT", "ALTER TABLE a RENAME TO b, ADD COLUMN m INT", "RENAME TABLE db1.a TO db1.b, a TO db1.a",
	} {
		for _, prepared := range []bool{false, true} {
			onBoth(t, c, conn, "USE db2", "CREATE TABLE db1.a (one INT)", "CREATE TABLE a (two INT)")
			if prepared {
				onBoth(t, c, conn, "PREPARE p FROM '"+rename+"'", "EXECUTE p")
			} else {
				onBoth(t, c, conn, rename)
			}
			asMariaDB(t, c, conn, list)
			asMariaDB(t, c, conn, "SELECT table_schema, table_name, column_name FROM information_schema.columns WHERE table_schema IN ('db1', 'db2') ORDER BY 1, 2, ordinal_position")
			onBoth(t, c, conn, "DROP TABLE IF EXISTS db1.a, db1.b", "DROP TABLE IF EXISTS db2.a, db2.b")
		}
	}
	none.must("CREATE TABLE db1.a (one INT)", "RENAME TABLE db1.a TO db2.b", "ALTER TABLE db2.b RENAME TO db1.a")
	none.fails(1046, "ALTER TABLE db1.a RENAME TO b")
	c.want(list, "db1|a")
	// The privileges are those on what is renamed.
	c.must("CREATE TABLE db2.a (two INT)", "CREATE USER u", "GRANT ALL ON db1.* TO u", "GRANT SELECT ON db2.* TO u")
	u := s.login("u", "%", "db2")
	u.must("RENAME TABLE db1.a TO db1.b")
	u.fails(1142, "RENAME TABLE a TO b")
	u.fails(1142, "ALTER TABLE db1.b RENAME TO db2.b")
	c.want(list, "db1|b", "db2|a")
}
