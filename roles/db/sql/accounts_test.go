package sql

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

func TestAccountsLast(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY)", "CREATE TABLE u (id INT PRIMARY KEY)",
		"CREATE USER 'app'@'%' IDENTIFIED BY 'secret'", "GRANT SELECT, INSERT ON test.t TO 'app'@'%'",
		"CREATE USER 'old'@'10.%' IDENTIFIED WITH mysql_native_password BY 'x'",
		"CREATE ROLE writer", "GRANT UPDATE ON test.t TO writer", "GRANT writer TO 'app'@'%'",
		"CREATE USER strict REQUIRE SSL")
	s.restart()
	accounts, err := s.engine.Accounts(context.Background(), "app")
	if err != nil || len(accounts) != 1 || accounts[0].Plugin != "caching_sha2_password" || !strings.HasPrefix(accounts[0].AuthString, "$A$005$") {
		t.Fatalf("%+v %v", accounts, err)
	}
	if old, _ := s.engine.Accounts(context.Background(), "old"); len(old) != 1 || old[0].Host != "10.%" || old[0].Plugin != "mysql_native_password" {
		t.Errorf("%+v", old)
	}
	if strict, _ := s.engine.Accounts(context.Background(), "strict"); len(strict) != 1 || !strict[0].Require.SSL || strict[0].Require.X509 {
		t.Errorf("%+v", strict)
	}
	app := s.login("app", "%", "test")
	app.must("INSERT INTO t VALUES (1)", "UPDATE t SET id = 2")
	app.want("SELECT * FROM t", "2")
	app.want("SELECT USER(), CURRENT_USER()", "app@localhost|app@%")
	app.fails(1142, "DELETE FROM t")
	app.fails(1142, "SELECT * FROM u")
	app.fails(1142, "DROP TABLE t")
	app.fails(1044, "CREATE DATABASE mine")
	app.fails(1142, "CREATE USER other IDENTIFIED BY 'x'")
	app.fails(1142, "GRANT ALL ON *.* TO 'app'@'%'")
	app.fails(1227, "SET GLOBAL sql_mode = ''")
	app.fails(1044, "SELECT * FROM mysql.user")
	grants := strings.Join(app.must("SHOW GRANTS").rows, "\n")
	for _, want := range []string{"GRANT SELECT, INSERT ON `test`.`t` TO `app`@`%`", "GRANT `writer`@`%` TO `app`@`%`"} {
		if !strings.Contains(grants, want) {
			t.Errorf("SHOW GRANTS lacks %q:\n%s", want, grants)
		}
	}
	root := s.test()
	root.must("REVOKE INSERT ON test.t FROM 'app'@'%'", "ALTER USER 'app'@'%' IDENTIFIED BY 'new'")
	app.fails(1142, "INSERT INTO t VALUES (3)")
	changed, _ := s.engine.Accounts(context.Background(), "app")
	if changed[0].AuthString == accounts[0].AuthString || changed[0].Plugin != "caching_sha2_password" {
		t.Errorf("%+v", changed)
	}
	root.must("DROP USER 'app'@'%', 'old'@'10.%'", "DROP ROLE writer")
	s.restart()
	if s.engine.HasAccount("app", "%") || s.engine.HasAccount("writer", "%") || !s.engine.HasAccount("root", "%") {
		t.Error("the accounts are not those of before the restart")
	}
}

func TestAccountStatementsThatFail(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE USER a IDENTIFIED BY 'x'")
	c.fails(1396, "CREATE USER b, a") // neither is made
	if s.engine.HasAccount("b", "%") {
		t.Error("a failed CREATE USER made one of its accounts")
	}
	c.fails(1396, "DROP USER 'a'@'10.0.0.1'") // a@% matches the address, and is another account
	if !s.engine.HasAccount("a", "%") {
		t.Error("DROP USER dropped an account that was not named")
	}
	c.fails(1410, "GRANT ALL ON test.* TO nobody")
	c.fails(1524, "CREATE USER z IDENTIFIED WITH sha256_password BY 'x'")
	c.fails(1142, "DELETE FROM mysql.user")
	c.fails(1235, "CREATE USER z PASSWORD EXPIRE INTERVAL 3 DAY")
	c.fails(1235, "RENAME USER a TO b")
	// Everything in one database gives nothing outside of it.
	c.must("CREATE USER owner IDENTIFIED BY 'x'", "GRANT ALL ON test.* TO owner WITH GRANT OPTION")
	owner := s.login("owner", "%", "test")
	owner.must("CREATE TABLE mine (id INT)", "GRANT SELECT ON test.* TO a")
	owner.fails(1044, "CREATE DATABASE other")
	owner.fails(1142, "CREATE USER c")
	owner.fails(1142, "GRANT SELECT ON *.* TO a")
	owner.must("DROP DATABASE test", "CREATE DATABASE test")
	owner.fails(1095, "KILL 1")
	owner.want("SELECT id FROM information_schema.processlist", fmt.Sprint(owner.ID()))
	if rows := c.must("SHOW PROCESSLIST").rows; len(rows) < 2 {
		t.Errorf("root sees %q", rows)
	}
}

func TestRefusedByName(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, s TEXT)")
	for query, name := range map[string]string{
		"XA START 'x'": "XA", "xa  recover": "XA",
		"CREATE TABLE p (id INT) PARTITION BY HASH(id) PARTITIONS 4":      "PARTITION",
		"ALTER TABLE t ADD PARTITION (PARTITION p1 VALUES LESS THAN (5))": "PARTITION",
		"CREATE TABLE g (p POINT NOT NULL SRID 0, SPATIAL INDEX (p))":     "SPATIAL",
		"HANDLER t OPEN":                     "HANDLER",
		"SELECT * FROM t AS OF '2026-01-01'": "AS OF",
		"START REPLICA":                      "replication",
	} {
		c.fails(1235, query, name)
	}
	c.fails(1290, "LOAD DATA INFILE '/etc/passwd' INTO TABLE t")
	c.fails(1290, "SELECT 1 INTO OUTFILE '/tmp/x'")
	c.want("SELECT LOAD_FILE('/etc/hostname')", "NULL")
	c.fails(1064, "SELEC 1")
	c.fails(1065, "")
	c.fails(1146, "SELECT * FROM nosuch", "Table 'test.nosuch' doesn't exist")
	c.fails(1054, "SELECT nosuch FROM t", "Unknown column 'nosuch'")
	c.fails(1049, "USE nosuch", "Unknown database 'nosuch'")
	c.fails(1007, "CREATE DATABASE test", "database exists")
	c.fails(1050, "CREATE TABLE t (id INT)", "Table 't' already exists")
	c.fails(1048, "INSERT INTO t VALUES (NULL, 'x')", "Column 'id' cannot be null")
	c.fails(1136, "INSERT INTO t VALUES (1)")
	c.fails(1364, "INSERT INTO t (s) VALUES ('x')")
	c.fails(1264, "INSERT INTO t (id) VALUES (99999999999)")
	c.fails(1146, "DROP TABLE nosuch")
	c.must("CREATE TABLE short (v VARCHAR(3), t TIME)")
	c.fails(1406, "INSERT INTO short (v) VALUES ('abcd')", "Data too long for column 'v' at row 1")
	c.fails(1235, "GRANT SELECT (v) ON short TO root", "column privileges")
}

// What an account may not read it may not lock either, and no statement shows it what
// others run; a word in its data is no name of a table.
func TestAccountsLockAndWatchOnlyTheirOwn(t *testing.T) {
	s := newServer(t)
	root := s.root()
	root.must("CREATE DATABASE secret", "CREATE TABLE secret.s (i INT PRIMARY KEY)", "CREATE TABLE test.t (x VARCHAR(20))",
		"CREATE USER low@'%' IDENTIFIED BY 'pw'", "GRANT ALL ON test.* TO low@'%'")
	low := s.login("low", "%", "test")
	low.fails(1044, "LOCK TABLES secret.s READ")
	low.fails(1044, "LOCK TABLES t READ, secret.s WRITE")
	low.must("LOCK TABLES t WRITE", "INSERT INTO t VALUES ('processlist')", "UNLOCK TABLES")
	low.want("SELECT x FROM t WHERE x = 'processlist'", "processlist")
	// Of the list of processes it sees its own.
	second := s.login("low", "%", "test")
	own := []string{fmt.Sprint(low.ID()), fmt.Sprint(second.ID())}
	low.want("SELECT id FROM information_schema.processlist ORDER BY id", own...)
	low.must("CREATE VIEW v AS SELECT id FROM information_schema.processlist")
	low.want("SELECT COUNT(*) FROM v", "2")
	if rows := low.must("SHOW FULL PROCESSLIST").rows; len(rows) != 2 || strings.Contains(strings.Join(rows, ""), "root") {
		t.Errorf("SHOW PROCESSLIST without PROCESS: %v", rows)
	}
	if rows := root.must("SHOW PROCESSLIST").rows; len(rows) != 4 {
		t.Errorf("SHOW PROCESSLIST with PROCESS: %v", rows)
	}
}
