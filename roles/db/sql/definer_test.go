package sql

import (
	"context"
	"strings"
	"testing"
	"time"
)

// ownerOf logs in an account that may do everything in the database test, and nothing elsewhere:
// database secret has a table s, of which it may see nothing.
func ownerOf(s *server) *client {
	s.t.Helper()
	s.root().must("CREATE DATABASE secret", "CREATE TABLE secret.s (v VARCHAR(20))", "INSERT INTO secret.s VALUES ('hidden')",
		"CREATE USER low", "GRANT ALL ON test.* TO low", "CREATE TABLE test.t (id INT PRIMARY KEY, v VARCHAR(50))", "CREATE TABLE test.loot (v VARCHAR(50))")
	return s.login("low", "%", "test")
}

// Who has no SUPER cannot make anything that acts as somebody else.
func TestDefinersOfOthers(t *testing.T) {
	s := newServer(t)
	low, root := ownerOf(s), s.test()
	low.must("CREATE PROCEDURE grab() SQL SECURITY INVOKER GRANT ALL ON *.* TO low", "CREATE EVENT mine ON SCHEDULE EVERY 1 DAY DISABLE DO SET @a = 1",
		"CREATE VIEW v AS SELECT id FROM t")
	for _, definer := range []string{"'root'@'%'", "root", "`root`@`%`", "'nobody'@'localhost'", "'stack.system'@'localhost'", "'LOW'@'%'", "'low'@'localhost'"} {
		for _, made := range []string{
			"CREATE DEFINER=%s EVENT e ON SCHEDULE EVERY 1 SECOND DO CALL grab()", "CREATE DEFINER=%s EVENT IF NOT EXISTS e ON SCHEDULE EVERY 1 SECOND DO CALL grab()",
			"ALTER DEFINER=%s EVENT mine ENABLE", "ALTER DEFINER=%s EVENT mine DO CALL grab()", "ALTER DEFINER=%s EVENT mine RENAME TO other",
			"CREATE DEFINER=%s TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.v = 'x'", "/*!50003 CREATE*/ /*!50017 DEFINER=%s*/ /*!50003 TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.v = 'x' */",
			"CREATE DEFINER=%s VIEW w AS SELECT id FROM t", "CREATE DEFINER=%s SQL SECURITY INVOKER VIEW w AS SELECT id FROM t", "CREATE OR REPLACE DEFINER=%s VIEW v AS SELECT 1 AS id",
			"CREATE DEFINER=%s PROCEDURE p() SELECT 1", "CREATE DEFINER=%s FUNCTION f() RETURNS INT RETURN 1",
		} {
			low.fails(1227, strings.ReplaceAll(made, "%s", definer), "SUPER or SET_USER_ID")
		}
	}
	// Nothing of that is there, and what was is as it was.
	if rows := low.must("SHOW EVENTS").rows; len(rows) != 1 || !strings.Contains(rows[0], "mine") || !strings.Contains(rows[0], "DISABLED") || !strings.Contains(rows[0], "low") {
		t.Errorf("SHOW EVENTS: %q", rows)
	}
	low.want("SELECT routine_name FROM information_schema.routines WHERE routine_schema = 'test'", "grab")
	low.want("SELECT COUNT(*) FROM information_schema.triggers WHERE trigger_schema = 'test'", "0")
	low.want("SELECT COUNT(*) FROM v", "0")

	// By other ways the same.
	for _, text := range []string{"TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.v = 1", "VIEW w AS SELECT 1"} {
		low.must("PREPARE q FROM 'CREATE DEFINER=root " + text + "'")
		if _, err := low.run("EXECUTE q"); err == nil {
			t.Errorf("EXECUTE of CREATE DEFINER=root %s was taken", text)
		}
	}
	low.fails(1235, "PREPARE q FROM 'ALTER DEFINER=root EVENT mine ENABLE'")
	for _, text := range []string{"CREATE DEFINER=root EVENT e ON SCHEDULE EVERY 1 SECOND DO CALL grab()", "CREATE DEFINER=root VIEW w AS SELECT 1", "CREATE DEFINER=root PROCEDURE p() SELECT 1",
		"CREATE DEFINER=root FUNCTION f() RETURNS INT RETURN 1", "CREATE DEFINER=root TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.v = 1"} {
		st, err := low.Session.prepare(context.Background(), text)
		if err == nil {
			err = st.execute(context.Background(), nil, &collected{})
		}
		if err == nil || !strings.Contains(err.Error(), "SET_USER_ID") {
			t.Errorf("%s, prepared: %v", text, err)
		}
		rest, err := low.query(context.Background(), "DO 1; "+text, true, &collected{})
		if err == nil {
			_, err = low.query(context.Background(), rest, true, &collected{})
		}
		if err == nil || !strings.Contains(err.Error(), "SET_USER_ID") {
			t.Errorf("%s, the second of two: %v", text, err)
		}
	}
	low.must("CREATE PROCEDURE makes() CREATE DEFINER=root VIEW w AS SELECT 1", "CREATE PROCEDURE changes() ALTER DEFINER=root EVENT mine ENABLE")
	low.fails(1227, "CALL makes()")
	low.fails(1227, "CALL changes()")
	root.fails(1227, "CALL makes()") // it runs as low

	// Oneself is no other, and ALTER EVENT makes the event one's own.
	low.must("CREATE DEFINER=low@'%' EVENT e ON SCHEDULE EVERY 1 DAY DO SET @a = 1", "CREATE EVENT f ON SCHEDULE EVERY 1 DAY DO SET @a = 1",
		"CREATE DEFINER=`low`@`%` TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.v = CURRENT_USER()", "CREATE DEFINER=low VIEW w AS SELECT 1", "CREATE DEFINER=`low`@`%` PROCEDURE p() SELECT CURRENT_USER()")
	root.must("CREATE EVENT roots ON SCHEDULE EVERY 1 DAY DO SET @a = 1")
	low.must("ALTER EVENT roots COMMENT 'mine'")
	for _, row := range low.must("SHOW EVENTS").rows {
		if !strings.Contains(row, "low") || strings.Contains(row, "root@") || strings.Contains(row, "`root`") {
			t.Errorf("SHOW EVENTS: %q", row)
		}
	}
	root.want("CALL p()", "low@%", "--")

	// SUPER may.
	root.must("CREATE DEFINER=low EVENT lows ON SCHEDULE EVERY 1 DAY DO SET @a = 1", "ALTER DEFINER=low EVENT lows ENABLE", "CREATE DEFINER=low PROCEDURE p2() SELECT CURRENT_USER()",
		"CREATE DEFINER=low FUNCTION f2() RETURNS VARCHAR(50) RETURN CURRENT_USER()", "CREATE DEFINER=low VIEW w2 AS SELECT 1", "CREATE DEFINER=low TRIGGER tr2 AFTER INSERT ON t FOR EACH ROW INSERT INTO loot VALUES (CURRENT_USER())")
	root.want("CALL p2()", "low@%", "--")
	root.want("SELECT f2()", "low@%")
	root.must("INSERT INTO t (id) VALUES (1)")
	root.want("SELECT t.v, loot.v FROM t, loot", "low@%|low@%")
	b := blankServer(t, nil)
	b.mustFollow(s)
	b.sameAs(s)
}

// An event does what its definer may do when it runs, and so does what it calls.
func TestEventsActAsDefiner(t *testing.T) {
	s := newServer(t)
	low, root := ownerOf(s), s.test()
	run := func(name string) error {
		t.Helper()
		return s.engine.runEvent(context.Background(), eventKey{"test", name}, time.Now().UTC())
	}
	refused := func(name string) {
		t.Helper()
		if err := run(name); err == nil || !strings.Contains(err.Error(), "denied") {
			t.Errorf("event %s: %v", name, err)
		}
		root.want("SELECT COUNT(*) FROM loot", "0")
	}
	low.must("CREATE PROCEDURE grab() SQL SECURITY INVOKER GRANT ALL ON *.* TO low", "CREATE PROCEDURE peek() SQL SECURITY INVOKER INSERT INTO test.loot SELECT v FROM secret.s",
		"CREATE FUNCTION seen() RETURNS VARCHAR(50) SQL SECURITY INVOKER BEGIN DECLARE x VARCHAR(50); SELECT v INTO x FROM secret.s; RETURN x; END",
		"CREATE EVENT grabs ON SCHEDULE EVERY 1 DAY DO CALL grab()", "CREATE EVENT peeks ON SCHEDULE EVERY 1 DAY DO CALL peek()", "CREATE EVENT sees ON SCHEDULE EVERY 1 DAY DO INSERT INTO loot VALUES (seen())")
	for _, name := range []string{"grabs", "peeks", "sees"} {
		refused(name)
	}
	low.fails(1044, "CREATE EVENT looks ON SCHEDULE EVERY 1 DAY DO INSERT INTO loot SELECT v FROM secret.s")
	root.must("GRANT SELECT ON secret.s TO low", "CREATE EVENT x ON SCHEDULE EVERY 1 DAY DO CALL grab()")
	low.must("CREATE EVENT looks ON SCHEDULE EVERY 1 DAY DO INSERT INTO loot SELECT v FROM secret.s", "ALTER EVENT x COMMENT 'taken over'")
	root.must("REVOKE SELECT ON secret.s FROM low")
	refused("looks")
	refused("x")
	root.must("CREATE EVENT roots ON SCHEDULE EVERY 1 DAY DO INSERT INTO loot SELECT v FROM secret.s")
	if err := run("roots"); err != nil {
		t.Error(err)
	}
	root.want("SELECT * FROM loot", "hidden")
	low.fails(1044, "SELECT * FROM secret.s")
}

// A trigger does what its definer may do, whoever changes its table.
func TestTriggersActAsDefiner(t *testing.T) {
	s := newServer(t)
	low, root := ownerOf(s), s.test()
	root.must("CREATE TABLE secret.log (v VARCHAR(50))", "CREATE USER guest", "GRANT SELECT ON test.* TO guest", "GRANT INSERT, UPDATE ON test.t TO guest", "GRANT SELECT ON secret.* TO guest")
	guest := s.login("guest", "%", "test")
	// Who makes one may do what it does.
	low.fails(1044, "CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW INSERT INTO secret.log VALUES ('x')")
	low.fails(1044, "CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW BEGIN SELECT v INTO @x FROM secret.s; END")
	low.fails(1044, "CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW BEGIN IF 1 THEN SELECT user INTO @x FROM mysql.user LIMIT 1; END IF; END")
	low.fails(1044, "CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.v = (SELECT v FROM secret.s)")
	guest.fails(1142, "CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.v = 1")

	// What it calls runs as its definer too, not as root who changes the table.
	low.must("CREATE PROCEDURE peek() SQL SECURITY INVOKER INSERT INTO test.loot SELECT v FROM secret.s",
		"CREATE FUNCTION seen() RETURNS VARCHAR(50) SQL SECURITY INVOKER BEGIN DECLARE x VARCHAR(50); SELECT v INTO x FROM secret.s; RETURN x; END",
		"CREATE TRIGGER tr AFTER INSERT ON t FOR EACH ROW CALL peek()")
	root.fails(1044, "INSERT INTO t VALUES (1, 'a')")
	low.must("DROP TRIGGER tr", "CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.v = seen()")
	root.fails(1044, "INSERT INTO t VALUES (1, 'a')")
	low.must("DROP TRIGGER tr", "CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW BEGIN IF NEW.id > 1 THEN SET NEW.v = seen(); ELSE SET NEW.v = CONCAT(CURRENT_USER(), ' for ', USER()); END IF; END")
	root.must("INSERT INTO t VALUES (1, 'a')")
	root.want("SELECT * FROM t", "1|low@% for root@localhost")
	root.want("SELECT CURRENT_USER()", "root@%")
	root.fails(1044, "INSERT INTO t VALUES (2, 'a')")
	root.want("SELECT CURRENT_USER()", "root@%")
	low.must("DROP TRIGGER tr", "CREATE TRIGGER tr BEFORE UPDATE ON t FOR EACH ROW SET NEW.v = seen()", "CREATE TABLE other (id INT, KEY (id))", "INSERT INTO other VALUES (1)")
	root.fails(1044, "UPDATE t JOIN other ON t.id = other.id SET t.v = 'b'") // the triggers of a join
	root.fails(1044, "UPDATE t SET v = 'b'")
	low.must("DROP TRIGGER tr", "CREATE TRIGGER tr AFTER DELETE ON t FOR EACH ROW CALL peek()")
	root.fails(1044, "DELETE FROM t")
	// Not while it is planned either, nor in the condition of a statement.
	low.must("DROP TRIGGER tr", "CREATE FUNCTION writes() RETURNS INT DETERMINISTIC SQL SECURITY INVOKER BEGIN INSERT INTO test.loot SELECT v FROM secret.s; RETURN 1; END",
		"CREATE TRIGGER tr BEFORE UPDATE ON t FOR EACH ROW BEGIN UPDATE other SET id = 5 WHERE writes() = 1; INSERT INTO other SELECT writes() + 1 FROM other WHERE writes() > 0 OR id IN (SELECT writes()); "+
			"DELETE FROM other WHERE id IN (writes(), 7); DELETE FROM other WHERE id BETWEEN writes() AND 5; DELETE FROM other WHERE id = writes(); INSERT INTO other SELECT 1 FROM other a JOIN other b ON a.id = writes() ORDER BY writes() LIMIT 1; END")
	root.must("UPDATE t SET v = 'b' WHERE id = -1")
	root.must("EXPLAIN UPDATE t SET v = 'b' WHERE id = 1")
	low.must("CREATE FUNCTION one() RETURNS INT DETERMINISTIC RETURN 1", "CREATE TRIGGER fine AFTER INSERT ON t FOR EACH ROW BEGIN DELETE FROM other WHERE id IN (one(), 7); INSERT INTO other SELECT one() + 2; END")
	root.must("INSERT INTO t VALUES (2, '')", "DELETE FROM t WHERE id = 2")
	root.want("SELECT * FROM other", "3")
	low.must("DROP TRIGGER fine")
	root.fails(1044, "UPDATE t SET v = 'b'")
	low.must("DROP TRIGGER tr")
	root.want("SELECT COUNT(*) FROM loot", "0")

	// Privileges are those of now, whoever it was that made it.
	root.must("GRANT INSERT ON secret.log TO low", "CREATE DEFINER=low TRIGGER tr AFTER INSERT ON t FOR EACH ROW INSERT INTO secret.log VALUES (NEW.v)")
	guest.must("INSERT INTO t VALUES (3, 'c')")
	root.want("SELECT * FROM secret.log", "c")
	guest.fails(1142, "INSERT INTO secret.log VALUES ('d')")
	root.must("REVOKE INSERT ON secret.log FROM low")
	guest.fails(1044, "INSERT INTO t VALUES (4, 'd')")
	root.fails(1044, "INSERT INTO t VALUES (4, 'd')")
	root.must("GRANT INSERT ON secret.log TO low")
	s.restart()
	root, guest = s.test(), s.login("guest", "%", "test")
	guest.must("INSERT INTO t VALUES (4, 'd')")
	root.must("REVOKE TRIGGER ON test.* FROM low")
	guest.fails(1142, "INSERT INTO t VALUES (5, 'e')")
	root.must("GRANT TRIGGER ON test.* TO low")
	guest.must("INSERT INTO t VALUES (5, 'e')")
	// A trigger of root's may do more than the one that fires it.
	root.must("CREATE TRIGGER nested AFTER INSERT ON loot FOR EACH ROW INSERT INTO secret.s VALUES (CONCAT(NEW.v, ' by ', CURRENT_USER()))",
		"DROP TRIGGER tr", "CREATE DEFINER=low TRIGGER tr AFTER INSERT ON t FOR EACH ROW BEGIN INSERT INTO loot VALUES (CURRENT_USER()); INSERT INTO loot VALUES (NEW.v); END")
	guest.must("INSERT INTO t VALUES (6, 'f')")
	root.want("SELECT * FROM secret.s ORDER BY v", "f by root@%", "hidden", "low@% by root@%")
	guest.want("SELECT CURRENT_USER()", "guest@%")
	root.must("DROP USER low")
	guest.fails(1449, "INSERT INTO t VALUES (7, 'g')", "'low'@'%'")
	root.fails(1449, "INSERT INTO t VALUES (7, 'g')")
	root.must("DROP TRIGGER tr", "INSERT INTO t VALUES (7, 'g')")
}

// What is shown to another than the definer makes the same object when it is run again.
func TestShownDefiner(t *testing.T) {
	s := newServer(t)
	low, root := ownerOf(s), s.test()
	const trigger, procedure = "CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.v = CURRENT_USER()", "CREATE PROCEDURE p() SELECT CURRENT_USER()"
	low.must(trigger, procedure)
	for query, text := range map[string]string{"SHOW CREATE TRIGGER tr": trigger, "SHOW CREATE PROCEDURE p": procedure} {
		if row := low.must(query).rows[0]; !strings.Contains(row, "|"+text+"|") {
			t.Errorf("%s of the definer's: %s", query, row)
		}
		defined := "CREATE DEFINER=`low`@`%`" + strings.TrimPrefix(text, "CREATE")
		if row := root.must(query).rows[0]; !strings.Contains(row, "|"+defined+"|") {
			t.Errorf("%s: %s", query, row)
		}
		kind := strings.Fields(query)[2]
		root.must("DROP "+kind+" "+strings.Fields(query)[3], defined)
	}
	root.must("INSERT INTO t VALUES (1, '')")
	root.want("SELECT v FROM t", "low@%")
	root.want("CALL p()", "low@%", "--")
	root.want("SELECT definer FROM information_schema.triggers WHERE trigger_name = 'tr'", "low@%")
	// As dump tools write it.
	low.must("DROP TRIGGER tr", "CREATE TABLE u (a VARCHAR(50), b VARCHAR(50), c VARCHAR(50))", "/*!50003 CREATE*/ /*!50017 DEFINER=`low`@`%`*/ /*!50003 TRIGGER ta BEFORE INSERT ON u FOR EACH ROW BEGIN SET NEW.a = CURRENT_USER(); END */",
		"CREATE /*!50017 DEFINER = 'low'@'%' */ TRIGGER tb BEFORE INSERT ON u FOR EACH ROW SET NEW.b = CURRENT_USER()", "/*!50003 CREATE*/ /*!50003 TRIGGER tc BEFORE INSERT ON u FOR EACH ROW SET NEW.c = CURRENT_USER() */")
	root.must("INSERT INTO u VALUES ('', '', '')")
	root.want("SELECT * FROM u", "low@%|low@%|low@%")
	low.fails(1227, "CREATE DEFINER=`root`@`%` TRIGGER tr2 BEFORE INSERT ON t FOR EACH ROW SET NEW.v = 1")
}

// A view shows nobody what neither he nor its definer may read.
func TestViewsGiveNoPrivileges(t *testing.T) {
	s := newServer(t)
	low, root := ownerOf(s), s.test()
	low.fails(1044, "CREATE VIEW v AS SELECT v FROM secret.s")
	low.fails(1044, "CREATE VIEW v AS SELECT (SELECT v FROM secret.s) AS v")
	root.must("CREATE SQL SECURITY INVOKER VIEW v AS SELECT v FROM secret.s")
	low.fails(1356, "SELECT * FROM v")
	low.must("CREATE VIEW w AS SELECT v FROM loot")
	low.fails(1227, "CREATE OR REPLACE DEFINER=root VIEW w AS SELECT v FROM loot")
	root.must("GRANT SELECT ON secret.s TO low")
	low.must("CREATE OR REPLACE VIEW w AS SELECT v FROM secret.s")
	low.want("SELECT * FROM w", "hidden")
	root.must("REVOKE SELECT ON secret.s FROM low")
	low.fails(1356, "SELECT * FROM w")
}

// What EXECUTE runs is checked as if it were written there.
func TestExecuteIsChecked(t *testing.T) {
	s := newServer(t)
	low := ownerOf(s)
	low.must("PREPARE q FROM 'SET GLOBAL net_write_timeout = 7'")
	low.fails(1227, "EXECUTE q")
	s.root().must("PREPARE q FROM 'SET GLOBAL net_write_timeout = DEFAULT'", "EXECUTE q")
}

// What a trigger does is checked as if its definer ran it: global variables, the log, accounts, rows that are there.
func TestTriggersAreCheckedAsStatements(t *testing.T) {
	s := newServer(t)
	low := ownerOf(s)
	root := s.root()
	root.must("CREATE TABLE secret.d (id INT PRIMARY KEY, n INT)", "INSERT INTO secret.d VALUES (1, 1)", "GRANT INSERT ON secret.d TO low")
	for body, code := range map[string]uint16{
		"SET GLOBAL net_write_timeout = 7":                                                   1227,
		"BEGIN IF NEW.id > 0 THEN SET GLOBAL net_write_timeout = 7; END IF; END":             1227,
		"SET sql_log_bin = 0":                                                                1227,
		"INSERT INTO secret.d VALUES (1, 2) ON DUPLICATE KEY UPDATE n = 9":                   1142,
		"BEGIN INSERT INTO secret.d VALUES (1, 2) ON DUPLICATE KEY UPDATE n = 9; END":        1142,
		"BEGIN WHILE 0 DO SET GLOBAL net_write_timeout = 7; END WHILE; SET NEW.v = 'w'; END": 1227,
	} {
		low.must("CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW " + body)
		low.fails(code, "INSERT INTO t VALUES (5, '')")
		low.must("DROP TRIGGER x")
	}
	root.want("SELECT @@global.net_write_timeout = 7, n FROM secret.d", "0|1")
}

// A table's definition calls no stored functions: they would run as whoever writes the table.
func TestNoStoredFunctionsInDefinitions(t *testing.T) {
	s := newServer(t)
	low, root := ownerOf(s), s.test()
	low.must("CREATE FUNCTION f(x INT) RETURNS INT DETERMINISTIC SQL SECURITY INVOKER BEGIN INSERT INTO test.loot SELECT v FROM secret.s; RETURN x; END", "CREATE TABLE d (id INT)")
	low.fails(3770, "CREATE TABLE e (id INT, a INT DEFAULT (f(1)))", "'a'", "`f`")
	low.fails(3770, "CREATE TABLE e (id INT, a INT DEFAULT (1 + test.f(1)))")
	low.fails(3763, "CREATE TABLE e (id INT, a INT AS (f(id)))", "'a'", "`f`")
	low.fails(3763, "CREATE TABLE e (id INT, a INT AS (id + f(id)) STORED)")
	low.fails(3814, "CREATE TABLE e (id INT, CONSTRAINT c CHECK (f(id) = 1))", "'c'", "`f`")
	low.fails(3814, "CREATE TABLE e (id INT CHECK (id > 1 AND f(id) = 1))")
	low.fails(3763, "CREATE TABLE e (id INT, KEY ((f(id))))")
	low.fails(3770, "ALTER TABLE d ADD COLUMN a INT DEFAULT (f(1))")
	low.fails(3770, "ALTER TABLE d MODIFY COLUMN id INT DEFAULT (f(1))")
	low.fails(3770, "ALTER TABLE d ALTER COLUMN id SET DEFAULT (f(1))")
	low.fails(3763, "ALTER TABLE d ADD COLUMN a INT AS (f(id)) STORED")
	low.fails(3814, "ALTER TABLE d ADD CONSTRAINT c CHECK (f(id) = 1)")
	low.fails(3763, "CREATE INDEX i ON d ((f(id)))")
	root.must("INSERT INTO d VALUES (1)", "INSERT INTO d () VALUES ()")
	root.want("SELECT COUNT(*) FROM loot", "0")
	low.must("CREATE TABLE e (id INT, a INT DEFAULT (1 + 2), b INT AS (ABS(id)), CHECK (ABS(id) = id))", "INSERT INTO e (id) SELECT id FROM d WHERE id = 1")
}

// The names in a trigger are of its own database, whatever the current one is.
func TestTriggersNameTheirDatabase(t *testing.T) {
	s := newServer(t)
	root := s.test()
	root.must("CREATE DATABASE other", "CREATE TABLE t (id INT PRIMARY KEY, v INT)", "CREATE TABLE log (what VARCHAR(50))", "CREATE TABLE other.log (what VARCHAR(50))", "CREATE TABLE other.t (id INT PRIMARY KEY)",
		"CREATE PROCEDURE note(x VARCHAR(50)) INSERT INTO log VALUES (x)", "CREATE FUNCTION twice(x INT) RETURNS INT DETERMINISTIC RETURN x * 2",
		"CREATE TRIGGER bi BEFORE INSERT ON t FOR EACH ROW SET NEW.v = twice(NEW.id)", "CREATE TRIGGER ai AFTER INSERT ON t FOR EACH ROW INSERT INTO log VALUES ('insert')",
		"CREATE TRIGGER au AFTER UPDATE ON t FOR EACH ROW CALL note('update')", "CREATE TRIGGER ad AFTER DELETE ON test.t FOR EACH ROW BEGIN INSERT INTO log VALUES ('delete'); INSERT INTO other.log VALUES ('delete'); END",
		"CREATE USER app", "GRANT ALL ON test.* TO app", "GRANT ALL ON other.* TO app")
	nowhere := s.login("root", "%", "")
	for i, c := range []*client{root, s.login("root", "%", "other"), nowhere, s.login("app", "%", "other")} {
		id := string(rune('1' + i))
		c.must("INSERT INTO test.t (id) VALUES ("+id+")", "UPDATE test.t SET v = v + 1", "DELETE FROM test.t WHERE v = 2 * id + 1")
		root.want("SELECT what, COUNT(*) FROM log GROUP BY what ORDER BY what", "delete|"+id, "insert|"+id, "update|"+id)
		root.want("SELECT COUNT(*) FROM other.log", id)
	}
	nowhere.want("SELECT DATABASE()", "NULL")
}
