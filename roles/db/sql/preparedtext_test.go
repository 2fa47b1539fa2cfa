package sql

import (
	"context"
	"testing"
)

// A prepared statement runs in the database that was the current one when it was prepared.
func TestPreparedStatementsKeepTheirDatabase(t *testing.T) {
	conn := mariadb(t)
	c := newServer(t).test()
	onBoth(t, c, conn, "CREATE DATABASE a", "CREATE DATABASE b", "CREATE TABLE a.t (id INT PRIMARY KEY, n INT)", "CREATE TABLE b.t (id INT PRIMARY KEY, n INT)",
		"INSERT INTO a.t VALUES (1, 0)", "INSERT INTO b.t VALUES (1, 0)", "USE a",
		"PREPARE upd FROM 'UPDATE t SET n = n + 10 WHERE id = 1'", "PREPARE cre FROM 'CREATE TABLE made (id INT)'", "PREPARE cur FROM 'SELECT DATABASE()'",
		"PREPARE use_a FROM 'USE a'", "PREPARE use_b FROM 'USE b'",
		"CREATE PROCEDURE p() BEGIN EXECUTE cur; EXECUTE upd; PREPARE ins FROM 'INSERT INTO t VALUES (2, 0)'; END")
	for _, q := range []string{"UPDATE t SET n = n + 1 WHERE id = 1", "INSERT INTO t SELECT id + 2, n FROM t", "CREATE TABLE other (id INT)"} {
		ours, err := c.prepare(ctxBackground, q)
		if err != nil {
			t.Fatal(q, err)
		}
		theirs, err := conn.PrepareContext(t.Context(), q)
		if err != nil {
			t.Fatal(q, err)
		}
		onBoth(t, c, conn, "USE b")
		if err := ours.execute(context.Background(), nil, &collected{}); err != nil {
			t.Error(q, err)
		}
		if _, err := theirs.ExecContext(t.Context()); err != nil {
			t.Error(q, err)
		}
		theirs.Close()
		asMariaDB(t, c, conn, "SELECT DATABASE()")
		onBoth(t, c, conn, "USE a")
	}
	onBoth(t, c, conn, "USE b", "EXECUTE upd", "EXECUTE cre")
	compare := func() {
		t.Helper()
		for _, q := range []string{"SELECT DATABASE()", "EXECUTE cur", "SELECT id, n FROM a.t ORDER BY id", "SELECT id, n FROM b.t ORDER BY id",
			"SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema IN ('a', 'b') ORDER BY 1, 2"} {
			asMariaDB(t, c, conn, q)
		}
	}
	compare()
	onBoth(t, c, conn, "CALL a.p()", "EXECUTE ins")
	compare()
	for _, q := range []string{"EXECUTE use_a", "USE a", "EXECUTE use_b"} {
		onBoth(t, c, conn, q)
		compare()
	}
}

// One that was prepared without a current database has none later.
func TestPreparedWithoutDatabase(t *testing.T) {
	s := newServer(t)
	s.test().must("CREATE TABLE t (id INT PRIMARY KEY)", "CREATE VIEW v AS SELECT id FROM t", "INSERT INTO t VALUES (1)", "CREATE DATABASE other")
	c := s.root()
	c.must("PREPARE p FROM 'SELECT DATABASE()'", "PREPARE q FROM 'SELECT id FROM test.v'", "USE other")
	c.want("EXECUTE p", "NULL")
	c.want("EXECUTE q", "1")
	c.want("SELECT DATABASE()", "other")
}
