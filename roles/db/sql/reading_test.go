package sql

import (
	"context"
	gosql "database/sql"
	"slices"
	"strings"
	"testing"

	"stack/roles/db/wire"
)

// A text is rewritten into one that means the same without the mode, and back.
func TestReading(t *testing.T) {
	plain, high, both, ansi := reading{backslashes: true}, reading{not: true}, reading{backslashes: true, not: true}, reading{backslashes: true, ansi: true}
	for _, c := range []struct {
		as         reading
		text, want string // want without the mark; empty: the text stays
	}{
		{plain, `SELECT 'a', "b", c`, ""},
		{plain, `SELECT 'a\', "b\""c", '''\'`, `SELECT 'a\\', "b\\""c", '''\\'`},
		{plain, "SELECT `a\\`, 'b'", ""},
		{plain, `SELECT 1 -- it's \`, ""},
		{plain, `SELECT 5--'\'`, `SELECT 5--'\\'`},
		{plain, "SELECT 1 # it's\n, '\\'", "SELECT 1 # it's\n, '\\\\'"},
		{plain, `SELECT /* it's */ '\' /*!40000 , 'x\' */ /*!99999 it's */ /*M! it's */, 'y\'`, `SELECT /* it's */ '\\' /*!40000 , 'x\\' */ /*!99999 it's */ /*M! it's */, 'y\\'`},
		{plain, `SELECT 'a' LIKE b`, `SELECT 'a' LIKE b`},
		{plain, `SELECT a.like`, ""},
		{plain, `SELECT 'open \`, `SELECT 'open \\`},
		{ansi, `SELECT "a\", 'b\'`, `SELECT "a\", 'b\\'`},
		{high, `SELECT NOT a, not(b), NOT NOT c`, `SELECT !/*NOT*/ a, !/*not*/(b), !/*NOT*/ !/*NOT*/ c`},
		{high, `SELECT a NOT IN (NOT b), a IS NOT NULL, c NOT LIKE 'NOT' AND NOT d`, `SELECT a NOT IN (!/*NOT*/ b), a IS NOT NULL, c NOT LIKE 'NOT' AND !/*NOT*/ d`},
		{high, `CREATE TABLE IF NOT EXISTS t (a INT NOT NULL, b VARCHAR(9) NOT NULL DEFAULT 'x' CHECK (NOT a), c BINARY NOT NULL)`,
			`CREATE TABLE IF NOT EXISTS t (a INT NOT NULL, b VARCHAR(9) NOT NULL DEFAULT 'x' CHECK (!/*NOT*/ a), c BINARY NOT NULL)`},
		{high, `CREATE PROCEDURE p() NOT DETERMINISTIC BEGIN DECLARE EXIT HANDLER FOR SQLWARNING, NOT FOUND SET @a = 1; IF NOT EXISTS (SELECT 1) THEN SELECT 1; END IF; WHILE NOT x DO SET x = NOT x; END WHILE; END`,
			`CREATE PROCEDURE p() NOT DETERMINISTIC BEGIN DECLARE EXIT HANDLER FOR SQLWARNING, NOT FOUND SET @a = 1; IF NOT EXISTS (SELECT 1) THEN SELECT 1; END IF; WHILE !/*NOT*/ x DO SET x = !/*NOT*/ x; END WHILE; END`},
		{high, `SELECT 1 IN (2) /*!50000 , NOT 3 */, t.not, @not`, `SELECT 1 IN (2) /*!50000 , !/*NOT*/ 3 */, t.not, @not`},
		{high, `SELECT 'a\' NOT '`, ""},
		{both, `SELECT NOT '\' = 1`, `SELECT !/*NOT*/ '\\' = 1`},
		{reading{}, `SELECT NOT '\\'`, ""},
	} {
		got := c.as.rewrite(c.text)
		want := c.text
		if c.want != "" {
			want = c.as.mark() + c.want
		}
		if got != want {
			t.Errorf("%+v %s\n got %s\nwant %s", c.as, c.text, got, want)
		}
		if back := written(got); back != c.text {
			t.Errorf("%s comes back as %s", c.text, back)
		}
	}
	// A mark of the client's own means nothing.
	if got := (reading{}).rewrite(plain.mark() + `SELECT '\\'`); markOf(got) != "" || written(got) != got {
		t.Errorf("a client's mark is taken: %s", got)
	}
}

// What is rewritten is a text whose literals end where they ended, with their content, and it comes
// back as it was.
func FuzzReading(f *testing.F) {
	for _, text := range []string{`SELECT 'a\', "b\"`, "NOT `a` -- 'x\n'\\'", `/*!50000 NOT '\' */ # '`, `!/*NOT*/ a LIKE 'b\%'`, `'''\' '\`} {
		f.Add(text, true, true, false)
	}
	f.Fuzz(func(t *testing.T, text string, backslashes, not, ansi bool) {
		r := reading{backslashes: backslashes, not: not, ansi: ansi}
		got := r.rewrite(text)
		same := func(s string) string { return strings.TrimPrefix(replaceFold(s, "!/*NOT*/", "NOT"), " ") }
		if back := written(got); same(back) != same(text) {
			t.Errorf("%+v %q comes back as %q", r, text, back)
		}
	})
}

// replaceFold is strings.ReplaceAll without regard to case.
func replaceFold(s, old, by string) string {
	for i := 0; i+len(old) <= len(s); i++ {
		if strings.EqualFold(s[i:i+len(old)], old) {
			s = s[:i] + by + s[i+len(old):]
		}
	}
	return strings.ToUpper(s)
}

// Under NO_BACKSLASH_ESCAPES a backslash is a character like any other, wherever a text stands.
func TestPlainBackslashesAsMariaDB(t *testing.T) {
	c, conn := newServer(t).test(), mariadb(t)
	onBoth(t, c, conn, "SET sql_mode = 'NO_BACKSLASH_ESCAPES'",
		`CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(50) CHARACTER SET latin1 DEFAULT 'd\e', KEY (v))`,
		`INSERT INTO t VALUES (1, 'a\b'), (2, 'a_b'), (3, 'axb'), (4, 'a%b'), (5, 'a\_b'), (6, 'a\\b'), (7, '\'), (8, 'it''s\')`, `INSERT INTO t (id) VALUES (9)`,
		`UPDATE t SET v = CONCAT(v, '\n') WHERE v = '\'`)
	for _, q := range []string{
		`SELECT id, v, LENGTH(v), HEX(v), QUOTE(v) FROM t ORDER BY id`,
		`SELECT id FROM t WHERE v = 'a\b'`, `SELECT id FROM t WHERE v IN ('a\_b', 'd\e') ORDER BY id`,
		`SELECT id FROM t WHERE v LIKE 'a\_b' ORDER BY id`, `SELECT id FROM t WHERE v LIKE 'a\\b' ORDER BY id`, `SELECT id FROM t WHERE v LIKE 'a\%' ORDER BY id`,
		`SELECT id FROM t WHERE v LIKE 'a%' ORDER BY id`, `SELECT id FROM t WHERE v NOT LIKE 'a\_b' ORDER BY id`, `SELECT id FROM t WHERE v LIKE CONCAT('a\', '_b') ORDER BY id`,
		`SELECT id FROM t WHERE v LIKE 'a\_b' ESCAPE '\'`, `SELECT id FROM t WHERE v LIKE 'a|_b' ESCAPE '|'`,
		`SELECT 'a\', "b\", 'c''\', 'd' 'e\', 5--1, '--\'`, `SELECT "dq\", 'it''s\', "a""b\"`, "SELECT 'x\\y' AS `q\\r`",
		`SELECT /*! 'a\' , */ /* it's */ 'b\' -- '`, `SELECT JSON_EXTRACT('{"a":"x\ny"}', '$.a')`, `SELECT CONCAT('\', '''', '\')`,
		`SELECT _utf8mb4'a\b', x'5c', '\0', '\Z'`,
	} {
		asMariaDB(t, c, conn, q)
	}
	namesAsMariaDB(t, c, conn, `SELECT 'a\b', CONCAT('c\d'), id AS "g\" FROM t`)
	onBoth(t, c, conn,
		`PREPARE s FROM 'SELECT id, ''x\y'' FROM t WHERE v LIKE ''a\_b'' ORDER BY id'`, `SET @text = 'SELECT ''\'''`, `PREPARE u FROM @text`,
		`CREATE TABLE d (a VARCHAR(20) DEFAULT 'x\y' COMMENT 'c\d', g VARCHAR(30) AS (CONCAT(a, '\z')) STORED, CHECK (a <> 'q\r')) COMMENT 'e\f'`,
		`CREATE VIEW w AS SELECT id, v, 'x\y' AS c FROM t WHERE v <> '\n'`,
		`CREATE PROCEDURE pr() BEGIN SELECT 'p\q', id FROM t WHERE v LIKE 'a\_b' ORDER BY id; PREPARE i FROM 'SELECT ''\'''; EXECUTE i; END`,
		`CREATE FUNCTION fn(a TEXT) RETURNS VARCHAR(20) DETERMINISTIC RETURN CONCAT(a, '\g')`,
		`CREATE TRIGGER tr BEFORE INSERT ON d FOR EACH ROW SET NEW.a = CONCAT(NEW.a, '\t')`,
		`SET STATEMENT max_statement_time = 10 FOR INSERT INTO t VALUES (10, 's\s')`)
	for _, mode := range []string{"", "NO_BACKSLASH_ESCAPES"} {
		onBoth(t, c, conn, "SET sql_mode = '"+mode+"'", `INSERT INTO d (a) VALUES ('x\y')`)
		for _, q := range []string{"EXECUTE s", "EXECUTE u", "SELECT * FROM d", "SELECT * FROM w ORDER BY id", "SELECT fn('a')", "SELECT v FROM t WHERE id = 10",
			"SELECT SQL_MODE, ACTION_STATEMENT FROM information_schema.triggers WHERE TRIGGER_NAME = 'tr'", `SELECT COLUMN_COMMENT FROM information_schema.columns WHERE TABLE_NAME = 'd' AND COLUMN_NAME = 'a'`} {
			asMariaDB(t, c, conn, q)
		}
		c.want("CALL pr()", `p\q|5`, `p\q|6`, "--", `\`, "--")
	}
	// What a definition says of a pattern is read without the mode, as SHOW CREATE says none.
	onBoth(t, c, conn, "SET sql_mode = 'NO_BACKSLASH_ESCAPES'", `CREATE TABLE pattern (a VARCHAR(20), k INT AS ((a LIKE 'a\_b')) STORED)`,
		`CREATE VIEW likes AS SELECT id FROM t WHERE v LIKE 'a\_b'`, `INSERT INTO pattern (a) VALUES ('a_b'), ('a\_b'), ('axb')`)
	for _, q := range []string{"SELECT a, k FROM pattern ORDER BY a", "SELECT * FROM likes"} {
		asMariaDB(t, c, conn, q)
	}
	onBoth(t, c, conn, "DROP TRIGGER tr")
	c.fails(3819, `INSERT INTO d (a) VALUES ('q\r')`)
}

// namesAsMariaDB compares what the columns of a query are called.
func namesAsMariaDB(t *testing.T, c *client, conn *gosql.Conn, q string) {
	t.Helper()
	rows, err := conn.QueryContext(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	theirs, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var ours []string
	for _, column := range c.must(q).schema {
		ours = append(ours, column.Name)
	}
	if !slices.Equal(ours, theirs) {
		t.Errorf("%s\n  ours: %q\ntheirs: %q", q, ours, theirs)
	}
}

// Definitions are shown as they were written, and made again they are the same.
func TestPlainBackslashesAreShown(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("SET sql_mode = 'NO_BACKSLASH_ESCAPES,HIGH_NOT_PRECEDENCE'", "CREATE TABLE t (v VARCHAR(50))")
	const event = `ON SCHEDULE AT '2099-01-01 00:00:00'`
	create := map[string]string{ // by what SHOW CREATE is asked for
		"PROCEDURE p": `CREATE PROCEDURE p(a TEXT) BEGIN SELECT 'x\', NOT 2 = 0, a LIKE 'b\_'; END`,
		"FUNCTION f":  `CREATE DEFINER=` + "`root`@`%`" + ` FUNCTION f(a TEXT) RETURNS TEXT RETURN CONCAT(a, '\')`,
		"TRIGGER r":   `CREATE TRIGGER r BEFORE INSERT ON t FOR EACH ROW SET NEW.v = CONCAT(NEW.v, '\', NOT 2 = 0)`,
		"EVENT e":     `CREATE EVENT e ` + event + ` DO INSERT INTO t VALUES ('e\')`,
	}
	shown := func(what string) string {
		t.Helper()
		row := c.must("SHOW CREATE " + what).rows[0]
		if !strings.Contains(row, "NO_BACKSLASH_ESCAPES") || !strings.Contains(row, "HIGH_NOT_PRECEDENCE") {
			t.Errorf("%s without its sql_mode: %s", what, row)
		}
		return row[strings.Index(row, "CREATE"):]
	}
	for what, text := range create {
		c.must(text)
		tail := text[strings.LastIndex(text, "("):]
		if got := shown(what); !strings.Contains(got, tail) {
			t.Errorf("%s is shown as %s", text, got)
		}
		before := shown(what)
		text = strings.Split(before, "|")[0]
		c.must("DROP "+what, text)
		if got := shown(what); got != before {
			t.Errorf("%s, made again, is %s", before, got)
		}
	}
	c.must("SET sql_mode = ''", "ALTER EVENT e COMMENT 'it''s \\\\'")
	if got := shown("EVENT e"); !strings.Contains(got, `VALUES ('e\')`) {
		t.Error(got)
	}
	c.want("SHOW TRIGGERS", c.must("SHOW TRIGGERS").rows[0])
	if got := c.must("SHOW TRIGGERS").rows[0]; !strings.Contains(got, `CONCAT(NEW.v, '\', NOT 2 = 0)`) {
		t.Error(got)
	}
	c.want("CALL p('b\\\\x')", `x\|1|1`, "--")
	c.want("SELECT f('a')", `a\`)
	c.must("INSERT INTO t VALUES ('v')")
	c.want("SELECT v FROM t", `v\1`)
}

// Several statements in one text are each read as they were written, and prepared ones as when they were prepared.
func TestPlainBackslashesInTurn(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(50))")
	c.script(`SET sql_mode = 'NO_BACKSLASH_ESCAPES'; INSERT INTO t (v) VALUES ('a\'); INSERT INTO t (v) VALUES ('b\n'); SET sql_mode = ''; INSERT INTO t (v) VALUES ('c\\')`)
	c.want("SELECT v FROM t ORDER BY id", `a\`, `b\n`, `c\`)
	c.must("SET sql_mode = 'NO_BACKSLASH_ESCAPES'")
	if !c.State().PlainBackslashes {
		t.Error("the client is not told that backslashes stand for themselves")
	}
	like, err := c.prepare(context.Background(), `SELECT v FROM t WHERE v LIKE ? AND v <> 'x\'`)
	if err != nil {
		t.Fatal(err)
	}
	c.must("SET sql_mode = ''")
	if c.State().PlainBackslashes {
		t.Error("the client is told that backslashes stand for themselves")
	}
	out := &collected{}
	if err := like.execute(context.Background(), []wire.Param{{Kind: wire.ParamString, Bytes: []byte(`_\`)}}, out); err != nil || strings.Join(out.rows, ",") != `a\,c\` {
		t.Error(out.rows, err)
	}
}

// Under HIGH_NOT_PRECEDENCE NOT binds as ! does.
func TestHighNotAsMariaDB(t *testing.T) {
	c, conn := newServer(t).test(), mariadb(t)
	onBoth(t, c, conn, "CREATE TABLE t (a INT, b INT NOT NULL)", "INSERT INTO t VALUES (0, 1), (1, 0), (2, 2), (NULL, 3)")
	for _, mode := range []string{"", "HIGH_NOT_PRECEDENCE"} {
		onBoth(t, c, conn, "SET sql_mode = '"+mode+"'")
		namesAsMariaDB(t, c, conn, "SELECT b, NOT a, NOT a = 1, not(b) FROM t")
		for _, q := range []string{
			"SELECT NOT 1 BETWEEN -5 AND 5, NOT 2 = 0, NOT 0 + 1, NOT (2 = 0), ! 2 = 0, NOT NOT 3 = 1, NOT NULL IS NULL, NOT 1 IN (0, 2)",
			"SELECT a, NOT a = b, NOT a IN (0, 1), NOT a IS NULL, a IS NOT NULL, a NOT IN (0, 1), NOT a AND b, NOT a < b OR NOT b FROM t ORDER BY b",
			"SELECT a FROM t WHERE NOT a = b ORDER BY b", "SELECT a FROM t WHERE NOT a > 0 OR NOT b > 1 ORDER BY b", "SELECT NOT a > 1, COUNT(*) FROM t GROUP BY NOT a > 1 HAVING NOT COUNT(*) = 9 ORDER BY 1, 2",
			"SELECT IF(NOT a = 2, 'x', 'y'), CASE WHEN NOT b = 0 THEN 1 ELSE NOT b = 1 END FROM t ORDER BY b",
			"SELECT NOT EXISTS (SELECT 1 FROM t WHERE NOT a = 7), NOT (SELECT MAX(b) FROM t) = 0",
			"SELECT x.a FROM t x JOIN t y ON NOT x.a = y.b AND NOT y.a ORDER BY x.b, y.b",
		} {
			asMariaDB(t, c, conn, q)
		}
		name := "n" + mode
		onBoth(t, c, conn, "CREATE TABLE IF NOT EXISTS "+name+" (a INT NOT NULL, g INT AS ((NOT a = 2)) STORED)", "INSERT INTO "+name+" (a) VALUES (0), (1), (2)",
			"CREATE VIEW v"+name+" AS SELECT a, NOT a = 0 AS n FROM t WHERE NOT a = 2 IS NOT NULL",
			"CREATE FUNCTION f"+name+"(a INT) RETURNS INT NOT DETERMINISTIC BEGIN DECLARE d INT DEFAULT 0; DECLARE CONTINUE HANDLER FOR NOT FOUND SET d = 1; IF NOT a = 2 THEN SET d = 5; END IF; WHILE NOT d > 6 AND d < 9 DO SET d = d + 1; END WHILE; RETURN d; END")
	}
	for _, q := range []string{"SELECT a, g FROM n", "SELECT a, g FROM nHIGH_NOT_PRECEDENCE", "SELECT * FROM vn", "SELECT * FROM vnHIGH_NOT_PRECEDENCE",
		"SELECT fn(1), fn(2), fnHIGH_NOT_PRECEDENCE(0), fnHIGH_NOT_PRECEDENCE(2)"} {
		for _, mode := range []string{"", "HIGH_NOT_PRECEDENCE"} {
			onBoth(t, c, conn, "SET sql_mode = '"+mode+"'")
			asMariaDB(t, c, conn, q)
		}
	}
}
