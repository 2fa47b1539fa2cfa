package sql

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"stack/roles/db/direct"
	"stack/roles/db/wire"
)

// takenNow runs statements and returns how many of them were answered without the planner.
func takenNow(s *server, c *client, queries ...string) uint64 {
	c.t.Helper()
	before := s.engine.Counters().Direct
	c.must(queries...)
	return s.engine.Counters().Direct - before
}

// A long list behind IN is not compared with every row: 5,000 rows and 4,000 texts would
// take seconds.
func TestDirectLongLists(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, n BIGINT UNSIGNED, v VARCHAR(20))")
	rows := []string{"(-1, NULL, NULL)", "(-2, 18446744073709551615, 'Áb')"}
	for i := range 5000 {
		rows = append(rows, fmt.Sprintf("(%d, %d, 'x%d')", i, i, i))
	}
	c.must("INSERT INTO t VALUES " + strings.Join(rows, ", "))
	ints, texts := []string{"-1", "18446744073709551615", "18446744073709551614"}, []string{"'aB'", "'y'"}
	for i := range 4000 {
		ints, texts = append(ints, fmt.Sprint(i*2)), append(texts, fmt.Sprintf("'X%d'", i*2))
	}
	numbers := "SELECT COUNT(*) FROM t WHERE n IN (" + strings.Join(ints, ", ") + ")"
	words := "SELECT COUNT(*) FROM t WHERE v IN (" + strings.Join(texts, ", ") + ")"
	fastest := time.Hour
	for range 5 { // of which one may have the machine for itself
		begun := time.Now()
		if n := takenNow(s, c, numbers, words); n != 2 {
			t.Errorf("%d of 2 statements were taken", n)
		}
		fastest = min(fastest, time.Since(begun))
	}
	if fastest > time.Second {
		t.Errorf("lists of 4,000 took %v", fastest)
	}
	c.want(numbers, "2501")
	c.want(words, "2501")
}

// Of an ORDER BY with LIMIT only the first rows are kept: more rows than may be sorted
// are no reason to leave it to the planner, and ties stay in the order of the table.
func TestDirectSortKeepsTheFirst(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, n INT, v VARCHAR(60))")
	var rows []string
	for i := range 10_500 {
		rows = append(rows, fmt.Sprintf("(%d, %d, 'a text that is longer than what is compared first %d')", i, i*7919%1000, i*7919%1000))
	}
	c.must("INSERT INTO t VALUES " + strings.Join(rows, ", "))
	for _, q := range []string{
		"SELECT id, n FROM t ORDER BY n LIMIT 25", "SELECT id, n FROM t ORDER BY n DESC, id LIMIT 25", "SELECT n, v FROM t ORDER BY v DESC LIMIT 200, 30",
		"SELECT id FROM t ORDER BY v LIMIT 1", "SELECT DISTINCT n FROM t ORDER BY n LIMIT 300, 10",
	} {
		c.must("SET direct = 0")
		want := c.must(q).rows
		c.must("SET direct = 1")
		if takenNow(s, c, q) != 1 {
			t.Errorf("%s: not taken", q)
		}
		if strings.Contains(q, "ORDER BY v DESC") || strings.HasSuffix(q, "n LIMIT 25") {
			continue // ties are the planner's own
		}
		c.want(q, want...)
	}
	c.want("SELECT id, n FROM t ORDER BY n LIMIT 3", "0|0", "1000|0", "2000|0")
}

// Every statement of sysbench's tests is taken, and its sum is the planner's.
func TestDirectSysbench(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (id INT NOT NULL AUTO_INCREMENT, k INT NOT NULL DEFAULT 0, c CHAR(120) NOT NULL DEFAULT '', pad CHAR(60) NOT NULL DEFAULT '', PRIMARY KEY (id), KEY k_1 (k))",
		"INSERT INTO t VALUES (1, 7, 'b', 'x'), (2, -3, 'a', 'y'), (3, 2147483647, 'a', 'z')")
	for _, q := range []string{
		"SELECT c FROM t WHERE id = 2", "SELECT c FROM t WHERE id BETWEEN 1 AND 3", "SELECT SUM(k) FROM t WHERE id BETWEEN 1 AND 3",
		"SELECT c FROM t WHERE id BETWEEN 1 AND 3 ORDER BY c", "SELECT DISTINCT c FROM t WHERE id BETWEEN 1 AND 3 ORDER BY c",
		"UPDATE t SET k = k + 1 WHERE id = 2", "UPDATE t SET c = 'c' WHERE id = 2", "DELETE FROM t WHERE id = 2",
		"INSERT INTO t (id, k, c, pad) VALUES (2, 5, 'd', 'w')", "INSERT INTO t (id, k, c, pad) VALUES (0, 5, 'd', 'w')",
	} {
		if takenNow(s, c, q) != 1 {
			t.Errorf("left to the planner: %s; %v", q, s.engine.Counters().Left)
		}
	}
	sum := "SELECT SUM(k), COUNT(k) FROM t WHERE id BETWEEN 1 AND 3"
	c.want(sum, "2147483659|3")
	c.must("SET direct = 0")
	c.want(sum, "2147483659|3")
}

// A statement is read as sql_mode was when it was prepared.
func TestDirectPreparedInAnotherMode(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, b VARCHAR(5), c VARCHAR(5))", "INSERT INTO t VALUES (1, 'b', 'x'), (2, 'y', 'y')", "SET sql_mode = 'ANSI_QUOTES'")
	st, err := c.prepare(context.Background(), `SELECT id FROM t WHERE c = "b" AND id = ?`)
	if err != nil {
		t.Skip("the parser takes no identifiers in double quotes: ", err)
	}
	c.must("SET sql_mode = ''")
	out := &collected{}
	if err := st.execute(context.Background(), []wire.Param{{Kind: wire.ParamInt, Num: 2}}, out); err != nil || strings.Join(out.rows, ",") != "2" {
		t.Errorf("got %v, %v, want row 2, in which column c is equal to column b", out.rows, err)
	}
}

// Values that the first statement of its text is sent with do not decide how all later
// ones are run.
func TestDirectFirstValues(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, k TINYINT UNSIGNED, v VARCHAR(5), n INT, KEY (k), KEY (v), KEY (n, k))", "INSERT INTO t VALUES (1, 5, 'a', 1)")
	for _, pair := range [][2]string{
		{"UPDATE t SET id = 1 WHERE k = 'abc' AND id = 1", "UPDATE t SET id = 1 WHERE k = 5 AND id = 1"},
		{"UPDATE t SET n = 1 WHERE k = 'abc'", "UPDATE t SET n = 1 WHERE k = 5"},
		{"UPDATE t SET n =  1 WHERE k = 300", "UPDATE t SET n =  1 WHERE k = 5"},
		{"UPDATE t SET n =  1 WHERE k =  -1", "UPDATE t SET n =  1 WHERE k =  5"},
		{"UPDATE t SET n = 1 WHERE k BETWEEN 5 AND 3", "UPDATE t SET n = 1 WHERE k BETWEEN 3 AND 5"},
		{"UPDATE t SET n = 1 WHERE k > 5 AND k < 3", "UPDATE t SET n = 1 WHERE k > 3 AND k < 5"},
		{"UPDATE t SET n = 1 WHERE k = 5 AND k = 3", "UPDATE t SET n = 1 WHERE k = 5 AND k = 5"},
		{"UPDATE t SET n = 1 WHERE v = 5", "UPDATE t SET n = 1 WHERE v = 'a'"},
		{"UPDATE t SET n = 1 WHERE 1=2 AND k = 5", "UPDATE t SET n = 1 WHERE 1=1 AND k = 5"},
		{"UPDATE t SET n = 1 WHERE k > 255", "UPDATE t SET n = 1 WHERE k > 3"},
		{"SELECT * FROM t WHERE k > 5 LIMIT 0", "SELECT * FROM t WHERE k > 5 LIMIT 1"},
		{"SELECT * FROM t WHERE k > 255 ORDER BY k LIMIT 10", "SELECT * FROM t WHERE k > 3 ORDER BY k LIMIT 1"},
	} {
		c.must(pair[0])
		if takenNow(s, c, pair[1]) != 1 {
			t.Errorf("after %s, this was left to the planner: %s; %v", pair[0], pair[1], s.engine.Counters().Left)
		}
	}
}

// A defect that ends a statement ends its transaction too: the lock is free.
func TestDirectPanic(t *testing.T) {
	s := newServer(t)
	c, other := s.test(), s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, n INT)", "INSERT INTO t VALUES (1, 1)", "UPDATE t SET n = 2 WHERE id = 1")
	var text direct.Text
	text.Scan("UPDATE t SET n = 3 WHERE id = 1")
	entry := s.engine.plans.Get(text.Template, c.planKey())
	if entry == nil || entry.Plan == nil {
		t.Fatal("the statement has no plan")
	}
	broken, plan := *entry, *entry.Plan
	plan.Table, broken.Plan = nil, &plan
	s.engine.plans.Put(text.Template, c.planKey(), &broken)
	if _, err := c.run("UPDATE t SET n = 3 WHERE id = 1"); err == nil {
		t.Fatal("a plan without a table ran")
	}
	if c.State().InTransaction || c.tx != nil {
		t.Error("the statement's transaction is still open")
	}
	s.engine.plans.Put(text.Template, c.planKey(), entry)
	other.must("SET innodb_lock_wait_timeout = 1", "UPDATE t SET n = 4 WHERE id = 1")
	c.want("SELECT n FROM t WHERE id = 1", "4")
}

// A row is returned once, whatever texts the collation takes for equal.
func TestInListOfEqualTexts(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE t (id VARCHAR(10) COLLATE utf8mb4_general_ci PRIMARY KEY, v VARCHAR(10) COLLATE utf8mb4_general_ci, KEY (v(2)))",
		"INSERT INTO t VALUES ('a', 'abc'), ('😀', 'x')")
	for _, on := range []string{"1", "0"} {
		c.must("SET direct = " + on)
		c.want("SELECT id FROM t WHERE id IN ('á', '😀', 'a') ORDER BY id", "a", "😀")
		c.want("SELECT id FROM t WHERE v IN ('ábc', '😀', 'abc', 'abd')", "a")
	}
	if n := c.must("DELETE FROM t WHERE id IN ('á', '😀', 'a')").affected; n != 2 {
		t.Errorf("%d rows deleted, want 2", n)
	}
}

// Both ways of BEGIN know the session's transaction_read_only.
func TestBeginInReadOnlySession(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY)", "SET SESSION TRANSACTION READ ONLY")
	for _, direct := range []string{"1", "0"} {
		c.must("SET direct = "+direct, "BEGIN")
		c.fails(1792, "INSERT INTO t VALUES (1)")
		c.must("COMMIT", "START TRANSACTION READ WRITE", "INSERT INTO t VALUES (1)", "ROLLBACK")
	}
	c.must("SET SESSION TRANSACTION READ WRITE", "BEGIN", "INSERT INTO t VALUES (1)", "COMMIT")
}

// What mysqldump writes is loaded without the planner: INSERTs under LOCK TABLES, in the
// sql_mode in which 0 stays 0. What a lock forbids is forbidden as ever.
func TestDirectDump(t *testing.T) {
	s := newServer(t)
	c, other := s.test(), s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(10))", "CREATE TABLE u (id INT PRIMARY KEY)",
		"SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO'", "LOCK TABLES t WRITE")
	if n := takenNow(s, c, "INSERT INTO t VALUES (0,'zero'),(5,'five')", "INSERT INTO t VALUES (7,'a'),(NULL,'b'),(9,'c')"); n != 2 {
		t.Errorf("%d of 2 statements were taken", n)
	}
	c.fails(1100, "INSERT INTO u VALUES (1)", "was not locked")
	other.must("SET lock_wait_timeout = 1")
	other.fails(1205, "INSERT INTO t VALUES (20,'x')")
	other.must("INSERT INTO u VALUES (2)")
	c.must("UNLOCK TABLES", "LOCK TABLES t READ")
	c.fails(1099, "INSERT INTO t VALUES (30,'x')", "READ lock")
	c.must("UNLOCK TABLES")
	c.want("SELECT * FROM t", "0|zero", "5|five", "7|a", "8|b", "9|c")
	c.mustLoad("LOAD DATA LOCAL INFILE 'f' REPLACE INTO TABLE t", "0\tnull\n\\N\tmade\n", "Records: 2  Deleted: 1  Skipped: 0  Warnings: 0")
	c.want("SELECT * FROM t WHERE id NOT IN (5, 7, 8, 9)", "0|null", "10|made")

}

// A sort of few rows with large texts is left to the planner, which refuses what does not
// fit into db.query_memory; under a LIMIT only the rows that may be among the first count.
func TestDirectSortsLargeTexts(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, g INT, n INT, x MEDIUMTEXT, KEY (g))")
	for i := range 100 {
		c.must(fmt.Sprintf("INSERT INTO t VALUES (%d, 1, %d, '%s')", i, -i, strings.Repeat("x", 200_000)))
	}
	all := "SELECT id, x FROM t WHERE g = 1 ORDER BY n"
	if n := takenNow(s, c, all); n != 0 {
		t.Error("20 MB of texts were sorted without the planner")
	}
	if n := takenNow(s, c, "SELECT id FROM t WHERE g = 1 ORDER BY n", all+" LIMIT 3", "SELECT id, x FROM t WHERE g = 1 AND id < 50 ORDER BY n"); n != 3 {
		t.Errorf("%d of 3 sorts of little were answered without the planner", n)
	}
	if rows := c.must(all).rows; len(rows) != 100 || !strings.HasPrefix(rows[0], "99|x") {
		t.Errorf("%d rows", len(rows))
	}
}
