package sql

import (
	"testing"

	"stack/roles/db/wire"
)

// The rows of CREATE TABLE … SELECT are those of an INSERT … SELECT by the names of the columns.
func TestCreateSelectAsMariaDB(t *testing.T) {
	s := newServer(t)
	c := s.test()
	conn := mariadb(t)
	onBoth(t, c, conn, "CREATE TABLE src (a INT, b INT, name VARCHAR(20))", "INSERT INTO src VALUES (1, 10, 'one'), (2, 20, 'two')", "CREATE TABLE p (id INT PRIMARY KEY)", "INSERT INTO p VALUES (1)",
		"SET @k = 2")
	for _, q := range []struct{ create, table string }{
		{"CREATE TABLE made (b INT) SELECT a, b FROM src", "made"},
		{"CREATE TABLE made (b BIGINT, z INT DEFAULT 7) SELECT a, b, name FROM src", "made"},
		{"CREATE TABLE made (id INT AUTO_INCREMENT PRIMARY KEY) SELECT name FROM src", "made"},
		{"CREATE TABLE made (id INT AUTO_INCREMENT PRIMARY KEY, b VARCHAR(5)) SELECT a + 100 AS id, b FROM src", "made"},
		{"CREATE TABLE made (b INT, g INT AS (b + 1) STORED, KEY (b)) SELECT b, a FROM src", "made"},
		{"CREATE TABLE made (a INT, CHECK (a > 0)) AS SELECT a FROM src UNION ALL SELECT 5", "made"},
		{"CREATE TABLE made (a INT, FOREIGN KEY (a) REFERENCES p (id)) SELECT a FROM src WHERE a < 2", "made"},
		{"CREATE TEMPORARY TABLE made (b INT) SELECT a, b FROM src", "made"},
		{"CREATE TEMPORARY TABLE src (b INT) SELECT a, b FROM src", "src"},
	} {
		onBoth(t, c, conn, q.create)
		asMariaDB(t, c, conn, "SELECT * FROM "+q.table+" ORDER BY 1")
		onBoth(t, c, conn, "DROP TABLE "+q.table)
	}
	for _, q := range []string{"CREATE TABLE made (b INT) SELECT a, b FROM src WHERE a = ? OR b = ?", "CREATE TABLE made (z INT) SELECT ? AS x, ? + a AS y FROM src"} {
		onBoth(t, c, conn, "PREPARE p FROM '"+q+"'", "EXECUTE p USING @k, @k")
		asMariaDB(t, c, conn, "SELECT * FROM made ORDER BY 2")
		onBoth(t, c, conn, "DROP TABLE made")
	}
	// A table that is there stays as it is.
	onBoth(t, c, conn, "CREATE TABLE there (a INT, b INT)", "CREATE TABLE IF NOT EXISTS there SELECT a, b FROM src")
	asMariaDB(t, c, conn, "SHOW WARNINGS")
	asMariaDB(t, c, conn, "SELECT * FROM there")
}

func TestCreateSelectKeepsChecks(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE src (a INT, b INT)", "INSERT INTO src VALUES (1, 10), (2, 20)", "CREATE TABLE p (id INT PRIMARY KEY)")
	c.fails(3819, "CREATE TABLE made (a INT CHECK (a > 9)) SELECT 5 AS a")
	c.fails(1452, "CREATE TABLE made (a INT, FOREIGN KEY (a) REFERENCES p (id)) SELECT a FROM src")
	c.fails(1062, "CREATE TABLE made (a INT PRIMARY KEY) AS SELECT 1 AS a UNION ALL SELECT 1")
	c.fails(3105, "CREATE TABLE made (a INT, g INT AS (a + 1)) SELECT a, b AS g FROM src")
	c.fails(1060, "CREATE TABLE made (A INT) SELECT a FROM src")
	c.fails(1146, "SELECT * FROM made")
	if out := c.must("CREATE TABLE made (id INT AUTO_INCREMENT PRIMARY KEY) SELECT a FROM src"); out.affected != 2 {
		t.Errorf("%d rows affected, want 2", out.affected)
	}
	c.want("SELECT LAST_INSERT_ID()", "1")
	st, err := c.prepare(t.Context(), "CREATE TABLE bound (b INT) SELECT a, b FROM src WHERE a = ?")
	if err == nil {
		err = st.execute(t.Context(), []wire.Param{{Kind: wire.ParamInt, Num: 2}}, &collected{})
	}
	if err != nil {
		t.Fatal(err)
	}
	c.want("SELECT a, b FROM bound", "2|20")
	c.must("CREATE PROCEDURE pr(n INT) CREATE TEMPORARY TABLE inside (b INT) SELECT a, b FROM src WHERE a <= n", "CREATE FUNCTION f() RETURNS INT DETERMINISTIC BEGIN CALL pr(1); RETURN 3; END",
		"CALL pr(2)")
	c.want("SELECT a, b FROM inside ORDER BY a", "1|10", "2|20")
	c.must("DROP TABLE inside", "INSERT INTO p SELECT f()")
	c.want("SELECT a, b FROM inside", "1|10")
	c.must("CREATE TABLE counted (id INT AUTO_INCREMENT PRIMARY KEY) AUTO_INCREMENT = 50 COMMENT = 'kept' SELECT a FROM src")
	c.want("SELECT id, a, (SELECT table_comment FROM information_schema.tables WHERE table_name = 'counted') FROM counted ORDER BY a", "50|1|kept", "51|2|kept")
	follower := blankServer(t, nil)
	follower.mustFollow(s)
	follower.sameAs(s)

	c.must("CREATE USER u", "GRANT SELECT, CREATE, CREATE TEMPORARY TABLES ON test.* TO u")
	u := s.login("u", "%", "test")
	for _, q := range []string{"CREATE TABLE theirs SELECT a FROM src", "CREATE TABLE IF NOT EXISTS p SELECT a AS id FROM src"} {
		u.fails(1142, q)
	}
	u.must("CREATE TEMPORARY TABLE theirs SELECT a FROM src")
	c.must("GRANT INSERT ON test.* TO u")
	u.must("CREATE TABLE ours SELECT a FROM src")
	c.want("SELECT a FROM ours", "1", "2")
}
