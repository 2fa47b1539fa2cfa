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
