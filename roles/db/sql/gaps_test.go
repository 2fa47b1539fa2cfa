package sql

import (
	"fmt"
	"strings"
	"testing"
)

// A view that a procedure makes has its own text, not the procedure's.
func TestViewsOfProcedures(t *testing.T) {
	a := newServer(t)
	c := a.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, n INT)", "INSERT INTO t VALUES (1, 10), (2, 20)")
	const view = "CREATE OR REPLACE VIEW v AS SELECT id, n * 2 AS twice FROM t WHERE n > 10"
	c.must("CREATE PROCEDURE p() BEGIN DECLARE x INT DEFAULT 1; IF x = 1 THEN "+view+"; END IF; SELECT 'end'; END", "CALL p()")
	shown := c.must("SHOW CREATE VIEW v").rows
	if len(shown) != 1 || strings.Contains(shown[0], "PROCEDURE") || strings.Contains(shown[0], "'end'") || !strings.Contains(shown[0], "twice") {
		t.Errorf("SHOW CREATE VIEW: %v", shown)
	}
	c.want("SELECT * FROM v", "2|40")
	c.want("SELECT view_definition FROM information_schema.views WHERE table_name = 'v'", "SELECT id, n * 2 AS twice FROM t WHERE n > 10")
	a.restart()
	c = a.test()
	c.want("SELECT * FROM v", "2|40")
	c.want("SHOW CREATE VIEW v", shown...)
	b := blankServer(t, nil)
	b.mustFollow(a)
	b.sameAs(a)
	b.test().want("SELECT * FROM v", "2|40")
}

func TestGetDiagnostics(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, s VARCHAR(3))", "INSERT INTO t VALUES (1, 'a')")
	const create = "CREATE PROCEDURE p(v INT) BEGIN DECLARE st CHAR(5) DEFAULT 'none'; DECLARE no INT; DECLARE txt TEXT;\n" +
		"DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN get  Diagnostics CONDITION 1 st = RETURNED_SQLSTATE, no = MYSQL_ERRNO, @txt = MESSAGE_TEXT; SELECT st, no, @txt; END;\n" +
		"INSERT INTO t VALUES (v, 'b'), (v + 1, 'c'); GET CURRENT DIAGNOSTICS no = ROW_COUNT; SELECT no; END"
	c.must(create)
	c.want("CALL p(1)", "23000|1062|Duplicate entry '1' for key 't.PRIMARY'", "--")
	c.want("CALL p(5)", "2", "--")
	if text := c.must("SHOW CREATE PROCEDURE p").rows[0]; !strings.Contains(text, "get  Diagnostics CONDITION 1 st = RETURNED_SQLSTATE") {
		t.Errorf("the procedure's text: %s", text)
	}
	s.restart()
	c = s.test()
	c.want("CALL p(1)", "23000|1062|Duplicate entry '1' for key 't.PRIMARY'", "--")
	c.must("CREATE PROCEDURE q() BEGIN DECLARE CONTINUE HANDLER FOR SQLSTATE '45000' BEGIN GET STACKED DIAGNOSTICS CONDITION 1 @a = MESSAGE_TEXT, @b = CLASS_ORIGIN; END; SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'own'; END", "CALL q()")
	c.want("SELECT @a, @b", "own|ISO 9075")
	c.must("CREATE PROCEDURE r() BEGIN GET STACKED DIAGNOSTICS @n = NUMBER; END")
	c.fails(1887, "CALL r()")

	// Outside of routines: the warnings of the statement before.
	c.must("SET sql_mode = ''", "INSERT INTO t VALUES (9, 'too long')", "GET DIAGNOSTICS @n = NUMBER, @rows = ROW_COUNT", "INSERT INTO t VALUES (10, 'too long')",
		"GET DIAGNOSTICS CONDITION 1 @no = MYSQL_ERRNO, @state = RETURNED_SQLSTATE")
	c.want("SELECT @n, @rows, @no, @state", "1|1|1265|01000")
	c.fails(1758, "GET DIAGNOSTICS CONDITION 7 @x = MESSAGE_TEXT")
	c.fails(1064, "GET DIAGNOSTICS @x = MESSAGE_TEXT")
	c.fails(1064, "GET DIAGNOSTICS CONDITION 1 @x = NONSENSE")
	c.want("SELECT 'GET DIAGNOSTICS @x = NUMBER' /* GET DIAGNOSTICS */", "GET DIAGNOSTICS @x = NUMBER")
}

// A trigger may call a procedure, which runs inside of its statement.
func TestTriggersCall(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, n INT)", "CREATE TABLE log (id INT, n INT)",
		"CREATE PROCEDURE note(i INT, v INT, OUT total INT) BEGIN INSERT INTO log VALUES (i, v); IF v > 100 THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'too much'; END IF; SELECT COUNT(*) INTO total FROM log; END",
		"CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW CALL note(NEW.id, NEW.n * 2, @total)")
	c.must("INSERT INTO t VALUES (1, 5), (2, 6)")
	c.want("SELECT * FROM log ORDER BY id", "1|10", "2|12")
	c.want("SELECT @total", "2")
	c.fails(1644, "INSERT INTO t VALUES (3, 1), (4, 60)", "too much")
	c.want("SELECT COUNT(*) FROM log", "2")
	c.want("SELECT COUNT(*) FROM t", "2")
	c.must("CREATE PROCEDURE shows() SELECT 1", "CREATE TRIGGER del AFTER DELETE ON t FOR EACH ROW CALL shows()")
	c.fails(1415, "DELETE FROM t WHERE id = 1")
	c.must("DROP TRIGGER del", "CREATE PROCEDURE again() COMMIT", "CREATE TRIGGER del AFTER DELETE ON t FOR EACH ROW CALL again()")
	c.fails(1422, "DELETE FROM t WHERE id = 1")
	c.want("SELECT COUNT(*) FROM t", "2")
	b := blankServer(t, nil)
	b.mustFollow(s)
	b.sameAs(s)
}

func FuzzDiagnosticsAsSet(f *testing.F) {
	for _, text := range []string{"GET DIAGNOSTICS @a = NUMBER", "get stacked diagnostics condition @n x = message_text", "GET DIAGNOSTICS CONDITION", "GET DIAGNOSTICS CONDITION 1", "'GET DIAGNOSTICS", "GET/**/DIAGNOSTICS CONDITION 1\n@a"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		read, other := diagnosticsAsSet(text)
		if len(read) != len(text) || !other && read != text {
			t.Errorf("%q became %q", text, read)
		}
	})
}

// The triggers of an UPDATE are those of its table, whatever other tables its condition names.
func TestTriggersOfConditions(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, b VARCHAR(40))", "CREATE TABLE src (id INT PRIMARY KEY, b VARCHAR(40))",
		"INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')", "INSERT INTO src VALUES (1, 's'), (2, 's')",
		"CREATE TRIGGER tu BEFORE UPDATE ON t FOR EACH ROW SET NEW.b = CONCAT(NEW.b, 'U')",
		"CREATE TRIGGER su BEFORE UPDATE ON src FOR EACH ROW SET NEW.b = CONCAT(NEW.b, 'wrong')",
		"CREATE TRIGGER td AFTER DELETE ON t FOR EACH ROW INSERT INTO src VALUES (OLD.id + 100, OLD.b)")
	for i, condition := range []string{
		"id IN (SELECT id FROM src)", "EXISTS (SELECT 1 FROM src WHERE src.id = t.id)", "id NOT IN (SELECT id + 2 FROM src)", "NOT EXISTS (SELECT 1 FROM src WHERE src.id + 2 = t.id)",
		"id < 3 AND (id IN (SELECT id FROM src) AND id > 0)", "NOT (id IN (SELECT id + 2 FROM src))", "id + 0 IN (SELECT id FROM src) AND NOT NOT EXISTS (SELECT 1 FROM src)",
	} {
		c.must("UPDATE t SET b = 'x'", fmt.Sprintf("UPDATE t SET b = 'n%d' WHERE %s", i, condition))
		want := []string{fmt.Sprintf("1|n%dU", i), fmt.Sprintf("2|n%dU", i), "3|xU"}
		c.want("SELECT * FROM t ORDER BY id", want...)
	}
	c.must("CREATE PROCEDURE p() UPDATE t SET b = 'p' WHERE id IN (SELECT id FROM src)", "CALL p()")
	c.want("SELECT * FROM t ORDER BY id", "1|pU", "2|pU", "3|xU")
	c.must("DELETE FROM t WHERE EXISTS (SELECT 1 FROM src WHERE src.id = t.id AND src.id = 2)", "DELETE FROM t WHERE id NOT IN (SELECT id + 2 FROM src WHERE id < 100)")
	c.want("SELECT * FROM src ORDER BY id", "1|s", "2|s", "101|pU", "102|pU")
}

func TestAlterRoutines(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE PROCEDURE p(n INT) COMMENT 'old' SELECT CONCAT('COMMENT ', n)", "CREATE FUNCTION f(n INT) RETURNS DECIMAL(10,2) UNSIGNED DETERMINISTIC NO SQL RETURN n + 1")
	c.must("ALTER PROCEDURE p COMMENT 'it''s new' SQL SECURITY INVOKER", "ALTER FUNCTION test.f SQL SECURITY INVOKER READS SQL DATA", "ALTER FUNCTION f")
	check := func() {
		t.Helper()
		c.want("CALL p(3)", "COMMENT 3", "--")
		c.want("SELECT f(2)", "3.00")
		if text := c.must("SHOW CREATE PROCEDURE p").rows[0]; !strings.Contains(text, "it''s new") || !strings.Contains(text, "SQL SECURITY INVOKER") || strings.Contains(text, "old") {
			t.Errorf("SHOW CREATE PROCEDURE: %s", text)
		}
		text := c.must("SHOW CREATE FUNCTION f").rows[0]
		if !strings.Contains(text, "READS SQL DATA") || !strings.Contains(text, "DETERMINISTIC") || strings.Contains(text, "NO SQL") || !strings.Contains(text, "SQL SECURITY INVOKER") {
			t.Errorf("SHOW CREATE FUNCTION: %s", text)
		}
		c.want("SELECT routine_comment, security_type FROM information_schema.routines WHERE routine_name = 'p'", "it's new|INVOKER")
	}
	check()
	b := blankServer(t, nil)
	b.mustFollow(s)
	b.sameAs(s)
	s.restart()
	c = s.test()
	check()
	c.fails(1305, "ALTER PROCEDURE nosuch COMMENT 'x'")
	c.fails(1305, "ALTER FUNCTION p COMMENT 'x'")
	c.fails(1064, "ALTER FUNCTION f NOT DETERMINISTIC")
	c.fails(1064, "ALTER PROCEDURE p COMMENT x")
	c.must("CREATE USER low@'%' IDENTIFIED BY 'pw'", "GRANT SELECT, EXECUTE ON test.* TO low@'%'")
	low := s.login("low", "%", "test")
	low.fails(1370, "ALTER PROCEDURE p COMMENT 'x'")
}

func TestMaxStatementTime(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, n DOUBLE)", "INSERT INTO t VALUES (1, 0)")
	c.must("SET max_statement_time = 0.05")
	c.want("SELECT @@max_statement_time", "0.05")
	c.fails(1969, "SELECT SLEEP(10)", "max_statement_time exceeded")
	c.fails(1969, "UPDATE t SET n = SLEEP(10)")
	c.must("SET max_execution_time = 20")
	c.fails(3024, "SELECT SLEEP(10)")
	c.must("SET max_statement_time = DEFAULT", "SET max_execution_time = 0")
	c.want("SELECT SLEEP(0.06), n FROM t", "0|0")
	c.fails(1231, "SET max_statement_time = -1")
}

// SET TRANSACTION is for the next statement that touches a table, where that is a transaction
// of its own. MariaDB's answers.
func TestSetTransactionForStatements(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY)")
	for range 3 { // the last times without the planner
		c.must("SET TRANSACTION READ ONLY")
		c.fails(1792, "INSERT INTO t VALUES (1)")
		c.fails(1792, "INSERT INTO t VALUES (1)")
		c.must("SELECT 1")
		c.fails(1792, "DELETE FROM t WHERE id = 4")
		c.must("SELECT * FROM t WHERE id = 1")
		c.must("INSERT INTO t VALUES (4)", "DELETE FROM t WHERE id = 4")
	}
	c.must("SET TRANSACTION READ ONLY", "START TRANSACTION")
	c.fails(1792, "INSERT INTO t VALUES (1)")
	c.must("COMMIT", "INSERT INTO t VALUES (1)")
	c.must("SET TRANSACTION READ ONLY", "CREATE TABLE other (id INT)", "DROP TABLE other")
}

func TestDistinctByOrdinal(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, a INT, b VARCHAR(10))", "INSERT INTO t VALUES (1, 3, 'B'), (2, 1, 'b'), (3, 2, 'A'), (4, 3, 'c')")
	c.want("SELECT DISTINCT a + 1 FROM t ORDER BY 1", "2", "3", "4")
	c.want("SELECT DISTINCT a * 10, LOWER(b) FROM t ORDER BY 2 DESC, 1", "30|c", "10|b", "30|b", "20|a")
	c.want("SELECT DISTINCT a + 1 AS n FROM t ORDER BY 1 DESC LIMIT 1", "4")
	c.want("SELECT DISTINCT a + 1 AS n, a - 1 AS b FROM t ORDER BY 2 DESC, 1", "4|2", "3|1", "2|0")
	c.want("SELECT DISTINCT MAX(a) + 1 AS a FROM t GROUP BY b ORDER BY 1", "3", "4")
	c.want("SELECT DISTINCT a FROM t ORDER BY 1", "1", "2", "3")
	c.want("SELECT DISTINCT t.*, a + 1 FROM t WHERE id > 2 ORDER BY 2", "3|2|A|3", "4|3|c|4")
	c.want("SELECT x FROM (SELECT DISTINCT -a AS x, a - 1 FROM t ORDER BY 2 LIMIT 2) s", "-1", "-2")
	c.must("CREATE VIEW v AS SELECT DISTINCT a - 1 FROM t ORDER BY 1 DESC", "PREPARE st FROM 'SELECT DISTINCT a + ? FROM t ORDER BY 1'", "SET @n = 5")
	c.want("EXECUTE st USING @n", "6", "7", "8")
	c.want("SELECT * FROM v", "2", "1", "0")
	c.want("SELECT DISTINCT COUNT(*) FROM t GROUP BY a ORDER BY 1", "1", "2")
}

func TestTwoMinusSigns(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.want("SELECT 5--3, 5 --3, 7---2", "8|8|5")
	c.want("SELECT 5-- 3\n", "5")
	c.want("SELECT '5--3', `a--b`, 1 /* 5--3 */ # --x\n + 1 FROM (SELECT 4 AS `a--b`) x", "5--3|4|2")
	c.want("SELECT 1 --", "1")
	c.must("CREATE PROCEDURE p(n INT) BEGIN -- a comment\n SELECT n--1; END", "CREATE VIEW v AS SELECT 5--3 AS n")
	c.want("CALL p(1)", "2", "--")
	c.want("SELECT n FROM v", "8")
	c.must("PREPARE st FROM 'SELECT ?--3'", "SET @five = 5")
	c.want("EXECUTE st USING @five", "8")
}

func FuzzPlainDashes(f *testing.F) {
	for _, text := range []string{"5--3", "-- x\n--", "'--'--1", "/*--*/--1", "---", "/*!--1*/", "#--\n--1", "`--"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		once := plainDashes(text)
		if strings.ReplaceAll(once, " ", "") != strings.ReplaceAll(text, " ", "") {
			t.Errorf("%q became %q", text, once)
		}
		if again := plainDashes(once); again != once {
			t.Errorf("%q, again %q", once, again)
		}
	})
}

func TestLoadDataReadsItsTable(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE t (a INT PRIMARY KEY, b INT)", "CREATE TABLE other (n INT)", "INSERT INTO other VALUES (7)")
	c.failsToLoad(1093, "LOAD DATA LOCAL INFILE 'x' INTO TABLE t FIELDS TERMINATED BY ',' (a, @b) SET b = (SELECT COUNT(*) FROM test.t)", "1,2\n", "target table 't'")
	c.mustLoad("LOAD DATA LOCAL INFILE 'x' INTO TABLE t FIELDS TERMINATED BY ',' (a, @b) SET b = (SELECT MAX(n) FROM other)", "1,2\n", "Records: 1  Deleted: 0  Skipped: 0  Warnings: 0")
	c.want("SELECT * FROM t", "1|7")
}
