package sql

import (
	"strings"
	"testing"
)

// MariaDB's SET STATEMENT changes variables for one statement.
func TestSetStatement(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, s VARCHAR(3))")
	c.want("SET STATEMENT max_statement_time = 7, sort_buffer_size=1 + 131072 FOR SELECT @@max_statement_time, @@sort_buffer_size", "7|131073")
	c.want("SELECT @@max_statement_time, @@sort_buffer_size = 131073", "0|0")
	c.must("/* by a driver */ set  statement sql_mode='', timestamp = 86400.5 for INSERT INTO t VALUES (1, 'FOR, too long')")
	c.want("SELECT * FROM t", "1|FOR")
	c.fails(1406, "INSERT INTO t VALUES (2, 'too long')")
	c.want("SET STATEMENT timestamp=86400 FOR SELECT UNIX_TIMESTAMP()", "86400")
	c.want("SELECT UNIX_TIMESTAMP() > 86400", "1")

	// So is what another variable changes with it.
	c.want("SET STATEMENT character_set_server=latin1 FOR SELECT @@character_set_server, @@collation_server", "latin1|latin1_swedish_ci")
	c.want("SELECT @@character_set_server, @@collation_server", "utf8mb4|utf8mb4_unicode_520_ci")

	// What fails leaves the variables as they were.
	c.fails(1062, "SET STATEMENT max_statement_time=7 FOR INSERT INTO t VALUES (1, 'a')")
	c.fails(1065, "SET STATEMENT max_statement_time=7 FOR")
	c.want("SELECT @@max_statement_time", "0")
	c.fails(1193, "SET STATEMENT nosuch=7 FOR SELECT 1")
	c.fails(1064, "SET STATEMENT max_statement_time=7 SELECT 1")
	c.fails(1064, "SET STATEMENT FOR SELECT 1")
	c.fails(1064, "SET STATEMENT @a = 1 FOR SELECT 1")
	for _, name := range []string{"autocommit", "character_set_connection", "sql_log_bin", "TX_ISOLATION"} {
		c.fails(1971, "SET STATEMENT "+name+"=0 FOR SELECT 1", "cannot be set in SET STATEMENT")
	}
}

// Several statements in one text: the variables are those of the first.
func TestSetStatementAndMore(t *testing.T) {
	c := newServer(t).test()
	out := &collected{}
	rest, err := c.query(ctxBackground, "SET STATEMENT max_statement_time=7 FOR SELECT @@max_statement_time; SELECT @@max_statement_time", true, out)
	if err != nil || strings.TrimSpace(rest) != "SELECT @@max_statement_time" || len(out.rows) != 1 || out.rows[0] != "7" {
		t.Errorf("%q, then %q, %v", out.rows, rest, err)
	}
	if _, err := c.Prepare(ctxBackground, "SET STATEMENT max_statement_time=7 FOR SELECT 1"); err == nil {
		t.Error("a SET STATEMENT was prepared")
	}
}

// The scope of an assignment counts for those behind it, but where it is part of a variable's name.
func TestScopeOfAssignments(t *testing.T) {
	s := newServer(t)
	c := s.test()
	const values = "SELECT @@global.net_read_timeout, @@session.net_read_timeout, @@global.net_write_timeout, @@session.net_write_timeout"
	defer c.must("SET GLOBAL net_read_timeout = DEFAULT, net_write_timeout = DEFAULT") // they are the process's
	for _, step := range []struct{ set, want string }{
		{"SET GLOBAL net_read_timeout = 31, /* too */ net_write_timeout = GREATEST(61, 60)", "31|30|61|60"},
		{"SET net_read_timeout = 41, net_write_timeout = 71", "31|41|61|71"},
		{"SET GLOBAL net_read_timeout = 32, SESSION net_write_timeout = 72, net_read_timeout = 42", "32|42|61|72"},
		{"SET @@global.net_read_timeout = 33, net_write_timeout = 73", "33|42|61|73"},
		{"SET SESSION net_read_timeout = 43, GLOBAL net_write_timeout = DEFAULT, net_read_timeout = 34, @a = 5, @@session.net_write_timeout = 74", "34|43|60|74"},
		{"SET GLOBAL net_read_timeout = DEFAULT, net_write_timeout = DEFAULT", "30|43|60|74"},
	} {
		c.must(step.set)
		c.want(values, step.want)
	}
	c.want("SELECT @a", "5")
	s.root().must("CREATE USER u")
	s.login("u", "%", "").fails(1227, "SET SESSION net_read_timeout = 1, GLOBAL net_write_timeout = 1, net_read_timeout = 1")
}
