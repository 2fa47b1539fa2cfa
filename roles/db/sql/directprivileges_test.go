package sql

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"stack/roles/db/wire"
)

// privileged is a statement with every privilege that it needs.
type privileged struct {
	statement string   // with at most one ?, of a key that is there
	needs     []string // privilege and table
	planner   bool     // it has no way around the planner
}

var privilegedStatements = []privileged{
	{"SELECT n FROM t WHERE id = ?", []string{"SELECT t"}, false},
	{"SELECT COUNT(*) FROM t WHERE id >= ?", []string{"SELECT t"}, false},
	{"SELECT t.n, s.n FROM t JOIN s ON s.id = t.n WHERE t.id = ?", []string{"SELECT t", "SELECT s"}, false},
	{"SELECT t.n, s.n FROM t LEFT JOIN s ON s.id = t.n WHERE t.id = ?", []string{"SELECT t", "SELECT s"}, false},
	{"SELECT n FROM t WHERE id IN (SELECT id FROM s WHERE id = ?)", []string{"SELECT t", "SELECT s"}, true},
	{"SELECT n FROM seen WHERE id = ?", []string{"SELECT seen"}, true}, // its table is read for its definer
	{"SELECT seen.n FROM seen JOIN s ON s.id = seen.n WHERE s.id = ?", []string{"SELECT seen", "SELECT s"}, true},
	{"INSERT INTO t (id, n) VALUES (100 + ?, 1)", []string{"INSERT t"}, true},
	{"INSERT INTO log (n) VALUES (?)", []string{"INSERT log"}, false},
	{"INSERT INTO log (n) VALUES (?), (7)", []string{"INSERT log"}, false},
	{"INSERT INTO t (id, n) VALUES (?, 1) ON DUPLICATE KEY UPDATE n = 5", []string{"INSERT t", "UPDATE t"}, false},
	{"INSERT INTO t (id, n) SELECT 100 + id, n FROM s WHERE id = ?", []string{"INSERT t", "SELECT s"}, true},
	{"INSERT INTO t (id, n) SELECT id, n FROM s WHERE id = ? ON DUPLICATE KEY UPDATE n = 6", []string{"INSERT t", "UPDATE t", "SELECT s"}, true},
	{"REPLACE INTO t (id, n) VALUES (?, 3)", []string{"INSERT t", "DELETE t"}, true},
	{"UPDATE t SET n = 8 WHERE id = ?", []string{"UPDATE t"}, false},
	{"UPDATE t SET n = n + 1 WHERE id = ?", []string{"UPDATE t"}, false},
	{"DELETE FROM t WHERE id = ?", []string{"DELETE t"}, false},
}

// grantee is where the privileges of an account come from.
type grantee struct {
	name   string
	level  func(table string) string
	holder string // account or role that they are granted to
}

var grantees = []grantee{
	{"table", func(table string) string { return "test." + table }, "u"},
	{"database", func(string) string { return "test.*" }, "u"},
	{"server", func(string) string { return "*.*" }, "u"},
	{"role", func(table string) string { return "test." + table }, "clerk"},
}

// An account may run what it has every privilege for and nothing else, from the statement after the GRANT or REVOKE
// on: by text, prepared before, and by PREPARE; without a plan and with one; by grants on tables, databases, the server and
// to a role.
func TestPrivilegesOfEveryStatement(t *testing.T) {
	s := newServer(t)
	root := s.test()
	root.must("CREATE TABLE t (id INT PRIMARY KEY, n INT)", "CREATE TABLE s (id INT PRIMARY KEY, n INT)", "CREATE TABLE log (id INT PRIMARY KEY AUTO_INCREMENT, n INT)",
		"CREATE VIEW seen AS SELECT id, n FROM t", "CREATE TABLE other (id INT)",
		"CREATE USER u IDENTIFIED BY 'p'", "CREATE ROLE clerk", "GRANT clerk TO u")
	for _, direct := range []string{"0", "1"} {
		for _, g := range grantees {
			for _, p := range privilegedStatements {
				t.Run(fmt.Sprintf("direct %s/%s/%s", direct, g.name, p.statement), func(t *testing.T) {
					testPrivileges(t, s, g, p, direct)
				})
			}
		}
	}
}

func testPrivileges(t *testing.T, s *server, g grantee, p privileged, direct string) {
	root := &client{t, s.test().Session}
	root.must("GRANT SELECT ON test.other TO u") // what lets it use the database
	u := &client{t, s.login("u", "%", "test").Session}
	defer root.Close()
	defer u.Close()
	u.must("SET direct = " + direct)
	refill := func() {
		t.Helper()
		root.must("DELETE FROM t WHERE id > 0", "DELETE FROM s WHERE id > 0", "DELETE FROM log WHERE id > 0", "INSERT INTO t VALUES (1, 1), (2, 2)", "INSERT INTO s VALUES (1, 1), (2, 2)")
	}
	rows := func() []string {
		t.Helper()
		return slices.Concat(root.must("SELECT * FROM t").rows, root.must("SELECT * FROM s").rows, root.must("SELECT n FROM log").rows)
	}
	change := func(verb, preposition, need string) {
		t.Helper()
		privilege, table, _ := strings.Cut(need, " ")
		root.must(verb + " " + privilege + " ON " + g.level(table) + " " + preposition + " " + g.holder)
	}
	grant := func(need string) { t.Helper(); change("GRANT", "TO", need) }
	revoke := func(need string) { t.Helper(); change("REVOKE", "FROM", need) }
	for _, need := range p.needs {
		grant(need)
	}
	prepared, err := u.prepare(context.Background(), p.statement)
	if err != nil {
		t.Fatal(err)
	}
	defer prepared.Close()
	u.must("PREPARE p FROM '"+p.statement+"'", "SET @one = 1")
	forms := map[string]func() error{
		"text": func() error { _, err := u.run(strings.Replace(p.statement, "?", "1", 1)); return err },
		"prepared": func() error {
			return prepared.execute(context.Background(), []wire.Param{{Kind: wire.ParamInt, Num: 1}}, &collected{})
		},
		"PREPARE": func() error { _, err := u.run("EXECUTE p USING @one"); return err },
	}
	allowed := func(when string) {
		t.Helper()
		for form, run := range forms {
			refill()
			before := s.engine.Counters().Direct
			if err := run(); err != nil {
				t.Errorf("%s, %s: %v", form, when, err)
			}
			if taken, want := s.engine.Counters().Direct-before, map[bool]uint64{true: 1}[direct == "1" && !p.planner && form != "PREPARE"]; uint64(taken) != want {
				t.Errorf("%s, %s: taken without the planner %d times, want %d: %v", form, when, taken, want, s.engine.Counters().Left)
			}
		}
	}
	denied := func(when string) {
		t.Helper()
		for form, run := range forms {
			refill()
			before := rows()
			if code := codeOf(run()); code != 1142 && code != 1044 {
				t.Errorf("%s, %s: error %d, want 1142 or 1044", form, when, code)
			}
			if after := rows(); !slices.Equal(before, after) {
				t.Errorf("%s, %s: wrote %v", form, when, after)
			}
		}
	}
	allowed("with every privilege")
	for _, need := range p.needs {
		revoke(need)
		denied("without " + need)
		grant(need)
		allowed(need + " granted again")
	}
	if g.holder != "u" {
		root.must("REVOKE clerk FROM u")
		denied("without the role")
		root.must("GRANT clerk TO u")
		allowed("with the role again")
	}
	for _, need := range p.needs {
		revoke(need)
	}
	denied("without any privilege")
}

// What a role gave ends with it, and what an account may ends with that.
func TestPrivilegesEndWithRoleAndAccount(t *testing.T) {
	for _, direct := range []string{"0", "1"} {
		s := newServer(t)
		root := s.test()
		root.must("CREATE TABLE t (id INT PRIMARY KEY, n INT)", "INSERT INTO t VALUES (1, 1)", "CREATE USER u IDENTIFIED BY 'p'",
			"CREATE ROLE reader", "GRANT SELECT ON test.t TO reader", "GRANT reader TO u", "GRANT UPDATE ON test.t TO u")
		u := s.login("u", "%", "test")
		u.must("SET direct = " + direct)
		prepared, err := u.prepare(context.Background(), "SELECT n FROM t WHERE id = ?")
		if err != nil {
			t.Fatal(err)
		}
		read := func() error {
			return prepared.execute(context.Background(), []wire.Param{{Kind: wire.ParamInt, Num: 1}}, &collected{})
		}
		u.want("SELECT n FROM t WHERE id = 1", "1")
		if err := read(); err != nil {
			t.Error(err)
		}
		root.must("SELECT n FROM t WHERE id = 1") // root's plan is not u's
		root.must("DROP ROLE reader")
		u.fails(1142, "SELECT n FROM t WHERE id = 1")
		if code := codeOf(read()); code != 1142 {
			t.Errorf("direct = %s: error %d, want 1142", direct, code)
		}
		u.must("UPDATE t SET n = 3 WHERE id = 1")
		root.must("DROP USER u")
		if _, err := u.run("UPDATE t SET n = 4 WHERE id = 1"); err == nil {
			t.Errorf("direct = %s: an account that was dropped may write", direct)
		}
		root.want("SELECT n FROM t WHERE id = 1", "3")
	}
}

// What a statement may not do, and waits for, it may not and waits for where PREPARE has named it.
func TestExecuteIsAdmittedAsItsStatement(t *testing.T) {
	s := newServer(t)
	root := s.test()
	root.must("CREATE TABLE t (id INT PRIMARY KEY)", "CREATE USER u IDENTIFIED BY 'p'", "GRANT ALL ON test.* TO u")
	u := s.login("u", "%", "test")
	for _, c := range []struct {
		who       *client
		code      uint16
		statement string
	}{
		{u, 1227, "SET GLOBAL long_query_time = 5"},
		{u, 1227, "SET SESSION sql_log_bin = 0"},
		{root, 1142, "DELETE FROM mysql.user"}, // nobody may
	} {
		c.who.fails(c.code, c.statement)
		c.who.must("PREPARE p FROM '" + c.statement + "'")
		c.who.fails(c.code, "EXECUTE p")
	}
	u.must("PREPARE p FROM 'INSERT INTO t VALUES (1)'", "SET lock_wait_timeout = 1")
	root.must("LOCK TABLES t WRITE")
	u.fails(1205, "EXECUTE p")
	root.must("UNLOCK TABLES")
	u.must("EXECUTE p")
}

// Privileges on columns are refused where they are granted and revoked: none are thought to hold that do not.
func TestColumnPrivilegesAreRefused(t *testing.T) {
	s := newServer(t)
	root := s.test()
	root.must("CREATE TABLE t (id INT PRIMARY KEY, n INT)", "CREATE USER u IDENTIFIED BY 'p'", "GRANT SELECT ON test.t TO u")
	for _, q := range []string{"GRANT SELECT (id) ON test.t TO u", "GRANT INSERT (id), UPDATE (n) ON test.t TO u", "REVOKE SELECT (n) ON test.t FROM u"} {
		root.fails(1235, q, "column privileges")
	}
	s.login("u", "%", "test").must("SELECT n FROM t WHERE id = 1")
}
