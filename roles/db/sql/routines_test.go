package sql

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestProcedures(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, n INT, s VARCHAR(20))", "INSERT INTO t VALUES (1, 10, 'a'), (2, 20, 'b'), (3, 30, 'c')")
	c.must("CREATE PROCEDURE sums(IN lo INT, OUT total INT, INOUT calls INT) BEGIN SELECT SUM(n) INTO total FROM t WHERE id >= lo; SET calls = calls + 1; END")
	c.must("SET @c = 4", "CALL sums(2, @total, @c)")
	c.want("SELECT @total, @c", "50|5")
	c.fails(1318, "CALL sums(2)")
	c.fails(1414, "CALL sums(2, 3, @c)")
	c.fails(1305, "CALL nosuch()")

	c.must("CREATE PROCEDURE two() BEGIN SELECT 1; SELECT id FROM t ORDER BY id DESC LIMIT 2; END")
	c.want("CALL two()", "1", "--", "3", "2", "--")

	// The variables stand wherever an expression may, SET of an UPDATE and LIMIT too.
	c.must(`CREATE PROCEDURE edit(v INT, l INT) BEGIN
		DECLARE d DECIMAL(10,3) DEFAULT 1.125; DECLARE w VARCHAR(10);
		UPDATE t SET n = n + v WHERE id = v;
		SET w = CONCAT('x', v);
		INSERT INTO t VALUES (v + 10, d * 1000, w) ON DUPLICATE KEY UPDATE s = w;
		SELECT id, n, s, d FROM t ORDER BY id LIMIT l;
	END`)
	c.want("CALL edit(2, 2)", "1|10|a|1.125", "2|22|b|1.125", "--")
	c.want("SELECT * FROM t WHERE id = 12", "12|1125|x2")

	c.must(`CREATE PROCEDURE walk() BEGIN
		DECLARE done INT DEFAULT 0; DECLARE x, total INT DEFAULT 0;
		DECLARE cur CURSOR FOR SELECT n FROM t ORDER BY id;
		DECLARE CONTINUE HANDLER FOR NOT FOUND SET done = 1;
		OPEN cur;
		again: LOOP
			FETCH cur INTO x;
			IF done THEN LEAVE again; END IF;
			IF x > 100 THEN ITERATE again; END IF;
			SET total = total + x;
		END LOOP;
		CLOSE cur;
		WHILE total > 60 DO SET total = total - 1; END WHILE;
		REPEAT SET total = total + 5; UNTIL total >= 70 END REPEAT;
		CASE total WHEN 70 THEN SELECT 'seventy'; ELSE SELECT total; END CASE;
	END`)
	c.want("CALL walk()", "seventy", "--")
	s.restart()
	s.test().want("CALL walk()", "seventy", "--")
}

func TestProcedureHandlers(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1)")
	c.must(`CREATE PROCEDURE dup() BEGIN
		DECLARE CONTINUE HANDLER FOR 1062 SET @seen = CONCAT(@seen, 'code');
		DECLARE EXIT HANDLER FOR SQLEXCEPTION SET @seen = CONCAT(@seen, 'any');
		SET @seen = '';
		INSERT INTO t VALUES (1);
		INSERT INTO t VALUES (2);
		INSERT INTO nosuch VALUES (2);
		SET @seen = 'not reached';
	END`, "CALL dup()")
	c.want("SELECT @seen", "codeany")
	c.want("SELECT * FROM t", "1", "2")

	c.must(`CREATE PROCEDURE inner_outer() BEGIN
		DECLARE EXIT HANDLER FOR SQLSTATE '45000' BEGIN SET @how = 'outer'; RESIGNAL SET MESSAGE_TEXT = 'again'; END;
		BEGIN
			DECLARE EXIT HANDLER FOR SQLSTATE '42S02' SET @how = 'inner';
			SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'first', MYSQL_ERRNO = 5000;
		END;
	END`)
	c.fails(5000, "CALL inner_outer()", "again")
	c.want("SELECT @how", "outer")
	c.must("CREATE PROCEDURE nobody() SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no'")
	c.fails(1644, "CALL nobody()", "no")

	// SELECT … INTO without a row warns; FETCH behind the end is an error.
	c.must("CREATE PROCEDURE norow() BEGIN DECLARE x INT DEFAULT 7; SELECT id INTO x FROM t WHERE id = 99; SELECT x; END")
	c.want("CALL norow()", "7", "--")
	c.must("CREATE PROCEDURE past() BEGIN DECLARE x INT; DECLARE c CURSOR FOR SELECT 1 FROM t WHERE id = 99; OPEN c; FETCH c INTO x; END")
	c.fails(1329, "CALL past()")
	c.must("CREATE PROCEDURE many() BEGIN DECLARE x INT; SELECT id INTO x FROM t; END")
	c.fails(1172, "CALL many()")
}

// Each statement of a procedure is one of its own: what was done before a failure stays,
// what failed leaves nothing.
func TestProceduresAndTransactions(t *testing.T) {
	s := newServer(t)
	c, other := s.test(), s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY)")
	c.must("CREATE PROCEDURE half() BEGIN INSERT INTO t VALUES (1); INSERT INTO t VALUES (2), (1); END")
	c.fails(1062, "CALL half()")
	other.want("SELECT * FROM t", "1")
	c.must("DELETE FROM t", "BEGIN")
	c.fails(1062, "CALL half()")
	other.want("SELECT * FROM t")
	c.want("SELECT * FROM t", "1")
	c.must("ROLLBACK")
	c.want("SELECT * FROM t")

	c.must("CREATE PROCEDURE own() BEGIN START TRANSACTION; INSERT INTO t VALUES (5); ROLLBACK; START TRANSACTION; INSERT INTO t VALUES (6); COMMIT; INSERT INTO t VALUES (7); END", "CALL own()")
	other.want("SELECT * FROM t", "6", "7")
	if c.State().InTransaction {
		t.Error("the procedure has left a transaction behind")
	}
	// Nothing is locked after a CALL that failed.
	c.must("CREATE PROCEDURE fail() BEGIN UPDATE t SET id = id + 100 WHERE id = 6; SIGNAL SQLSTATE '45000'; END")
	c.fails(1644, "CALL fail()")
	other.must("SET innodb_lock_wait_timeout = 1", "DELETE FROM t")
}

func TestFunctions(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, n DECIMAL(10,2))", "INSERT INTO t VALUES (1, 1.50), (2, 2.25)")
	c.must("CREATE FUNCTION twice(x DECIMAL(10,2)) RETURNS DECIMAL(12,2) DETERMINISTIC RETURN x * 2")
	c.want("SELECT id, twice(n) FROM t WHERE twice(n) > 3.5 ORDER BY twice(n)", "2|4.50")
	c.must("CREATE FUNCTION fact(n INT) RETURNS BIGINT BEGIN DECLARE r BIGINT DEFAULT 1; WHILE n > 1 DO SET r = r * n; SET n = n - 1; END WHILE; RETURN r; END")
	c.want("SELECT fact(10), fact(NULL)", "3628800|1")
	c.must("CREATE FUNCTION largest() RETURNS INT READS SQL DATA BEGIN DECLARE x INT; SELECT MAX(id) INTO x FROM t; RETURN x; END")
	c.want("SELECT largest()", "2")
	// A function that writes runs under the locks of the statement, and goes with it.
	c.must("CREATE FUNCTION note(x INT) RETURNS INT BEGIN INSERT INTO t VALUES (x, x); RETURN x; END")
	c.want("SELECT note(7)", "7")
	c.want("SELECT largest()", "7")
	c.fails(1062, "SELECT note(id + 1) FROM t ORDER BY id DESC")
	c.want("SELECT COUNT(*) FROM t", "3")
	c.must("SET @a = 3", "DO note(@a)")
	c.want("SELECT largest()", "7")
	c.want("SELECT COUNT(*) FROM t", "4")

	c.fails(1304, "CREATE FUNCTION twice(x INT) RETURNS INT RETURN x")
	c.must("CREATE FUNCTION IF NOT EXISTS twice(x INT) RETURNS INT RETURN x")
	c.fails(1318, "SELECT twice(1, 2)")
	c.fails(1320, "CREATE FUNCTION bad() RETURNS INT BEGIN DECLARE x INT; END")
	c.fails(1415, "CREATE FUNCTION bad() RETURNS INT BEGIN SELECT 1; RETURN 1; END")
	c.fails(1422, "CREATE FUNCTION bad() RETURNS INT BEGIN COMMIT; RETURN 1; END")
	s.restart()
	c = s.test()
	c.want("SELECT twice(4)", "8.00")
	text := c.must("SHOW CREATE FUNCTION twice").rows[0]
	if !strings.Contains(text, "CREATE DEFINER=`root`@`%` FUNCTION twice(x DECIMAL(10,2)) RETURNS DECIMAL(12,2) DETERMINISTIC RETURN x * 2") {
		t.Errorf("SHOW CREATE FUNCTION: %s", text)
	}
	c.must("DROP FUNCTION twice", "DROP FUNCTION IF EXISTS twice")
	c.fails(1305, "DROP FUNCTION twice")
	c.fails(1305, "SELECT twice(4)")
}

func TestRoutineDefiner(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (id INT)", "INSERT INTO t VALUES (1)", "CREATE USER u", "GRANT EXECUTE ON test.* TO u",
		"CREATE PROCEDURE asdefiner() SELECT COUNT(*) FROM t", "CREATE PROCEDURE asinvoker() SQL SECURITY INVOKER SELECT COUNT(*) FROM t",
		"CREATE FUNCTION f() RETURNS INT BEGIN DECLARE x INT; SELECT COUNT(*) INTO x FROM t; RETURN x; END")
	u := s.login("u", "%", "test")
	u.want("CALL asdefiner()", "1", "--")
	u.want("SELECT f()", "1")
	u.fails(1142, "CALL asinvoker()")
	u.fails(1142, "SELECT * FROM t")
	u.fails(1370, "CREATE FUNCTION g() RETURNS INT RETURN 1")
	c.must("REVOKE EXECUTE ON test.* FROM u")
	u.fails(1370, "SELECT f()")
}

func TestEvents(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, s VARCHAR(10))")
	c.must("CREATE EVENT tick ON SCHEDULE EVERY 1 SECOND COMMENT 'it''s \\\\' DO BEGIN DECLARE x INT DEFAULT 3; INSERT INTO t (s) VALUES (CONCAT('n', x)); END",
		"CREATE EVENT once ON SCHEDULE AT CURRENT_TIMESTAMP + INTERVAL 1 SECOND DO INSERT INTO t (s) VALUES ('once')")
	if rows := c.must("SHOW EVENTS").rows; len(rows) != 2 {
		t.Errorf("SHOW EVENTS: %q", rows)
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		out, err := c.run("SELECT COUNT(DISTINCT s), COUNT(*) > 2 FROM t")
		if err != nil {
			t.Fatal(err)
		}
		if out.rows[0] == "2|1" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the events have not run: %q", out.rows)
		}
		time.Sleep(100 * time.Millisecond)
	}
	c.want("SELECT COUNT(*) FROM t WHERE s = 'once'", "1")
	c.must("ALTER EVENT tick DISABLE")
	if rows := c.must("SHOW EVENTS").rows; len(rows) != 1 || !strings.Contains(rows[0], "DISABLED") {
		t.Errorf("SHOW EVENTS: %q", rows)
	}
	shown := c.must("SHOW CREATE EVENT tick").rows[0]
	c.must("DROP EVENT tick", strings.Split(shown[strings.Index(shown, "CREATE"):], "|")[0])
	if again := c.must("SHOW CREATE EVENT tick").rows[0]; again != shown || !strings.Contains(shown, `COMMENT 'it''s \\'`) {
		t.Errorf("%s, made again, is %s", shown, again)
	}
	c.must("DROP EVENT tick")
}

// SHOW CREATE names the sql_mode that an object was made with, which dumps restore it with.
func TestShowCreateNamesTheMode(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY)")
	for name, mode := range map[string]string{"strict": "STRICT_TRANS_TABLES", "loose": "", "zeros": "NO_ZERO_DATE"} {
		c.must("SET sql_mode = '"+mode+"'", "CREATE PROCEDURE p_"+name+"() SELECT 1", "CREATE TRIGGER t_"+name+" BEFORE INSERT ON t FOR EACH ROW SET NEW.id = NEW.id",
			"CREATE FUNCTION f_"+name+"() RETURNS INT DETERMINISTIC RETURN 1", "CREATE EVENT e_"+name+" ON SCHEDULE EVERY 1 YEAR STARTS '2099-01-01 00:00:00' DO DELETE FROM t",
			"SET sql_mode = 'ONLY_FULL_GROUP_BY'")
		for _, kind := range []string{"PROCEDURE p_", "TRIGGER t_", "FUNCTION f_", "EVENT e_"} {
			row := c.must("SHOW CREATE " + kind + name).rows[0]
			if got := strings.Split(row, "|")[1]; got != mode {
				t.Errorf("SHOW CREATE %s%s: sql_mode is %q, want %q", kind, name, got, mode)
			}
		}
	}
	c.fails(1305, "SHOW CREATE PROCEDURE none")
	c.fails(1360, "SHOW CREATE TRIGGER none")
}

// Events begin by their schedule, each time once and not later from time to time, also while the catalog changes all the
// time.
func TestEventsKeepTheirTime(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("SET time_zone = '+00:00'", "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, what VARCHAR(10))",
		"CREATE EVENT ten ON SCHEDULE EVERY 10 SECOND STARTS '2099-01-01 00:00:00' ENDS '2099-01-01 00:00:45' DO INSERT INTO t (what) VALUES ('ten')",
		"CREATE EVENT each_one ON SCHEDULE EVERY 1 SECOND STARTS '2099-01-01 00:00:05' DO INSERT INTO t (what) VALUES ('one')",
		"CREATE EVENT once ON SCHEDULE AT '2099-01-01 00:00:30' DO INSERT INTO t (what) VALUES ('once')",
		// As dumps write it.
		"/*!50106 CREATE*/ /*!50117 DEFINER=`root`@`%`*/ /*!50106 EVENT `dumped` ON SCHEDULE EVERY 20 SECOND STARTS '2099-01-01 00:00:00' ON COMPLETION PRESERVE ENABLE DO INSERT INTO t (what) VALUES ('dump') */ ")
	begins := time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)
	look := &scheduler{engine: s.engine, running: map[eventKey]bool{}, looked: begins.Add(-time.Second)}
	for second := range 60 {
		if second%2 == 0 {
			c.must(fmt.Sprintf("CREATE TABLE other%d (id INT)", second))
		}
		look.look(context.Background(), begins.Add(time.Duration(second)*time.Second+400*time.Millisecond))
		look.done.Wait()
	}
	c.want("SELECT what, COUNT(*) FROM t GROUP BY what ORDER BY what", "dump|3", "once|1", "one|55", "ten|5")
	c.want("SELECT event_definition FROM information_schema.events WHERE event_name = 'dumped'", "INSERT INTO t (what) VALUES ('dump')")
	c.want("SELECT event_name FROM information_schema.events ORDER BY 1", "dumped", "each_one") // the others are over
}

func FuzzCutFunction(f *testing.F) {
	for _, q := range []string{
		"CREATE FUNCTION f() RETURNS INT RETURN 1", "create definer = `a`@'%' function d.`f` (x enum(')','(')) returns varchar(20) charset utf8mb4 collate utf8mb4_bin deterministic return x",
		"CREATE /*!50003 FUNCTION f(*/ x INT) RETURNS DOUBLE PRECISION -- c\n BEGIN RETURN 1; END", "CREATE FUNCTION IF NOT EXISTS `a``b`.c(((", "CREATE FUNCTION f(x) RETURNS ENUM('a',\"b\\\"\") RETURN x",
	} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, query string) {
		if fn, ok := cutFunction(query); ok {
			if fn.name == "" || fn.returns == "" || !strings.HasSuffix(query, fn.rest) {
				t.Errorf("%q gives %+v", query, fn)
			}
			_ = fn.asProcedure()
		}
		sc := &scanner{text: query}
		if end := sc.statementEnd(); end < 0 || end > len(query) {
			t.Errorf("%q ends at %d", query, end)
		}
		_, _ = (&scanner{text: query}).tableList()
		(&scanner{text: query}).account()
	})
}

func TestCallIsCancelled(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE PROCEDURE forever() BEGIN DECLARE n INT DEFAULT 0; LOOP SET n = n + 1; END LOOP; END")
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if _, err := c.query(ctx, "CALL forever()", false, &collected{}); err == nil {
		t.Error("an endless procedure ended well")
	}
}

// Functions are shown to accounts that may do something with those of their database.
func TestFunctionsAreShownToTheirUsers(t *testing.T) {
	s := newServer(t)
	s.test().must("CREATE DATABASE other", "CREATE FUNCTION f() RETURNS INT DETERMINISTIC RETURN 42", "CREATE USER stranger, caller",
		"GRANT ALL ON other.* TO stranger", "GRANT EXECUTE ON test.* TO caller")
	stranger, caller := s.login("stranger", "%", ""), s.login("caller", "%", "")
	stranger.fails(1305, "SHOW CREATE FUNCTION test.f", "FUNCTION f does not exist")
	stranger.want("SHOW FUNCTION STATUS")
	if rows := caller.must("SHOW CREATE FUNCTION test.f").rows; len(rows) != 1 || !strings.Contains(rows[0], "RETURN 42") {
		t.Errorf("SHOW CREATE FUNCTION: %q", rows)
	}
	if rows := caller.must("SHOW FUNCTION STATUS").rows; len(rows) != 1 {
		t.Errorf("SHOW FUNCTION STATUS: %q", rows)
	}
}
