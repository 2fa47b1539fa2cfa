package sql

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"stack/roles/db/apply"
	"stack/roles/db/binlog"
	"stack/roles/db/binlog/event"
	"stack/roles/db/txn"
)

// blankServer has no database and no log: what another server logs is applied to it.
func blankServer(t testing.TB, fs vfs.FS) *server {
	t.Helper()
	s := &server{t: t, dir: "db", fs: fs, writeSet: 1 << 20}
	if fs == nil {
		s.dir = t.TempDir()
	}
	s.start()
	t.Cleanup(s.stop)
	if err := s.engine.SetAdministrator(context.Background(), "root", "%", "secret"); err != nil {
		t.Fatal(err)
	}
	return s
}

// follow applies what the log of another server holds and this one lacks.
func (s *server) follow(from *server) (int, error) {
	s.t.Helper()
	r, err := from.db.Binlog().Open(binlog.Position{File: from.db.Binlog().Files()[0].Number})
	if err != nil {
		s.t.Fatal(err)
	}
	defer r.Close()
	a := apply.New(s.db, s.engine)
	defer a.Close()
	return applyAll(a, apply.FromLog(r))
}

func (s *server) mustFollow(from *server) {
	s.t.Helper()
	if _, err := s.follow(from); err != nil {
		s.t.Fatal(err)
	}
}

// state is everything of a server that a copy of it must have, as text.
func (s *server) state() (lines []string) {
	s.t.Helper()
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	executed, err := event.ParseGTIDs(s.db.ExecutedSet())
	if err != nil {
		s.t.Fatal(err)
	}
	add("executed %s", executed)
	c := s.root()
	defer c.Close()
	cat := s.db.Catalog()
	for _, d := range cat.Databases() {
		if d.Name == temporaryDatabase {
			continue
		}
		add("database %+v", *d)
		var objects []string
		for _, o := range cat.ObjectsOf(d.Name) {
			objects = append(objects, fmt.Sprintf("object %s %s.%s %s", o.Kind, o.Database, o.Name, o.Data))
		}
		slices.Sort(objects)
		add("%s", strings.Join(objects, "\n"))
		for _, t := range cat.Tables(d.Name) {
			name := QuoteName(d.Name) + "." + QuoteName(t.Desc.Name)
			add("%s", c.must("SHOW CREATE TABLE " + name).rows[0])
			if t.AutoIncrementColumn() >= 0 {
				next, err := s.db.PeekAutoIncrement(t)
				if err != nil {
					s.t.Fatal(err)
				}
				add("next %d", next)
			}
			rows := c.must("SELECT * FROM " + name).rows
			slices.Sort(rows)
			add("%d rows\n%s", len(rows), strings.Join(rows, "\n"))
		}
	}
	users := c.must("SELECT User, Host, plugin, authentication_string, account_locked FROM mysql.user WHERE User NOT IN ('root', '" + systemUser + "') ORDER BY 1, 2").rows
	for _, u := range users {
		add("user %s", u)
		f := strings.Split(u, "|")
		grants := c.must(fmt.Sprintf("SHOW GRANTS FOR '%s'@'%s'", f[0], f[1])).rows
		add("grants %s", strings.Join(grants, "\n"))
	}
	return lines
}

// sameAs compares two servers, and checks this one's rows against its indexes.
func (s *server) sameAs(other *server) {
	s.t.Helper()
	got, want := s.state(), other.state()
	for i := range max(len(got), len(want)) {
		var g, w string
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			at := 0
			for at < min(len(g), len(w)) && g[at] == w[at] {
				at++
			}
			from := max(0, at-300)
			s.t.Fatalf("the copy differs at byte %d of line %d:\n got: %.600q\nwant: %.600q", at, i, g[from:], w[from:])
		}
	}
	report, err := s.db.Check(context.Background(), nil)
	if err != nil || len(report.Problems) > 0 {
		s.t.Fatalf("check: %v, %v", err, report.Problems)
	}
}

// Each kind of statement and each type of column arrives as it is, over two servers.
func TestReplayStatements(t *testing.T) {
	a := newServer(t)
	a.writeSet = 1 << 20
	a.restart()
	c := a.test()
	c.must(replayed...)
	c.must("DROP TABLE IF EXISTS doubled", "CREATE TABLE doubled (id INT PRIMARY KEY AUTO_INCREMENT, s VARCHAR(200), KEY (s))",
		"INSERT INTO doubled (s) VALUES (REPEAT('a', 150)), (REPEAT('b', 150))")
	for range 11 { // beyond memory: files of their own
		c.must("INSERT INTO doubled (s) SELECT s FROM doubled")
	}
	c.must("UPDATE doubled SET s = CONCAT(SUBSTRING(s, 2), id)", "DELETE FROM doubled WHERE id % 3 = 0")
	b := blankServer(t, nil)
	b.mustFollow(a)
	b.sameAs(a)
	if n, err := b.follow(a); n != 0 || err != nil {
		t.Errorf("what is executed was applied again: %d, %v", n, err)
	}
	// What a copy logs is as good as the original.
	last := blankServer(t, nil)
	last.mustFollow(b)
	last.sameAs(a)
	b.restart()
	b.sameAs(a)
	b.mustFollow(a)
	// The copy goes on as a server of its own.
	b.test().must("INSERT INTO doubled (s) VALUES ('own')", "CREATE TABLE own (a INT PRIMARY KEY)")
	last.mustFollow(b)
	last.sameAs(b)
	b.restart()
	last.restart()
	last.sameAs(b)
}

// replayed is a statement of each kind.
var replayed = []string{
	"CREATE TABLE types (id INT PRIMARY KEY AUTO_INCREMENT, ti TINYINT, su SMALLINT UNSIGNED, me MEDIUMINT, bi BIGINT UNSIGNED, f FLOAT, d DOUBLE, " +
		"de DECIMAL(30,10), da DATE, dt DATETIME(6), ts TIMESTAMP(3) NULL, tm TIME, y YEAR, b BIT(17), e ENUM('x','y','é'), s SET('p','q','r'), " +
		"c CHAR(20), v VARCHAR(300), l VARCHAR(50) CHARACTER SET latin1, bb BINARY(6), vb VARBINARY(300), t TEXT, lt LONGTEXT, bl BLOB, j JSON, g POINT, " +
		"n INT GENERATED ALWAYS AS (ti + 1) STORED, vn VARCHAR(310) AS (CONCAT(v, '!')), UNIQUE KEY (v), KEY (de, dt), KEY (l), KEY (e, s))",
	"INSERT INTO types (ti, su, me, bi, f, d, de, da, dt, ts, tm, y, b, e, s, c, v, l, bb, vb, t, lt, bl, j, g) VALUES " +
		"(-128, 65535, -8388608, 18446744073709551615, -1.5, 1e300, -12345678901234567890.0123456789, '2026-11-29', '2026-11-29 08:09:10.123456', " +
		"'2026-11-29 08:09:10.123', '-838:59:59', 2155, b'10000000000000101', 'é', 'p,r', 'abc', 'Grüße 🐘', 'café', 'ab', x'00ff00', 'text', REPEAT('x', 70000), " +
		`x'0001ff', '{"b": [1, -2, 70000, 5000000000, 1.5, null, true], "a": {"é": "ü", "longer": "x"}, "": []}', POINT(1, 2))`,
	"INSERT INTO types () VALUES ()",
	"INSERT INTO types (ti, v, e, s, j, t) VALUES (1, '', 1, '', 'null', ''), (2, 'b', 'x', 'q', '[]', NULL), (3, 'C ', NULL, NULL, '\"s\"', 'é')",
	`INSERT INTO types (j) VALUES ('{"zz": 1, "a": 2, "big": 9007199254740993, "n": 1.10, "e": 1e5, "u": "\\u00e9\\n"}'), ('[1.0, 100000000000000000000, -0.0]')`,
	"UPDATE types SET j = JSON_SET(j, '$.x', 5, '$.a', CAST('[1,2]' AS JSON)) WHERE j IS NOT NULL AND id <> 4",
	"UPDATE types SET ti = ti + 1, lt = CONCAT(lt, 'y'), g = POINT(3.5, -4) WHERE ti < 100",
	"UPDATE types SET id = id + 100 WHERE id = 2",
	"UPDATE types SET bl = UNHEX(REPEAT('ab', 30000)), t = REPEAT('é', 9000)",
	"REPLACE INTO types (id, v) VALUES (1, 'b')",
	"INSERT INTO types (v, ti) VALUES ('b', 9) ON DUPLICATE KEY UPDATE ti = 77",
	"DELETE FROM types WHERE v = 'C '",

	"CREATE TABLE keyless (a INT, b VARCHAR(50), c DOUBLE)",
	"INSERT INTO keyless VALUES (1, 'x', 1.5), (1, 'x', 1.5), (2, NULL, NULL), (NULL, NULL, NULL), (NULL, NULL, NULL), (3, 'X', -0.0)",
	"UPDATE keyless SET b = 'same' WHERE a = 1 LIMIT 1",
	"UPDATE keyless SET a = a + 1",
	"DELETE FROM keyless WHERE a IS NULL LIMIT 1",
	"ALTER TABLE keyless ADD COLUMN later INT DEFAULT 5",
	"UPDATE keyless SET c = 7 WHERE a = 2",
	"DELETE FROM keyless WHERE a = 3",
	"CREATE TABLE keyed (a INT, b VARCHAR(50), u INT, KEY (a), KEY ab (a, b(3)), UNIQUE KEY (u))",
	"INSERT INTO keyed VALUES (1, 'abcd', 1), (1, 'abce', NULL), (1, NULL, NULL), (NULL, 'abcf', 5)",
	"UPDATE keyed SET b = CONCAT(b, '!') WHERE a = 1",
	"DELETE FROM keyed WHERE u IS NULL AND b IS NULL",
	"UPDATE keyed SET u = 6 WHERE u = 5",

	"CREATE TABLE worded (a INT, body TEXT, FULLTEXT KEY (body))",
	"INSERT INTO worded VALUES (1, 'the quick fox'), (2, 'jumps over'), (3, NULL), (4, '')",
	"UPDATE worded SET a = a + 10",
	"DELETE FROM worded WHERE a = 11",

	"CREATE TABLE parent (id INT PRIMARY KEY, v INT)",
	"CREATE TABLE child (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES parent (id) ON DELETE CASCADE ON UPDATE CASCADE)",
	"INSERT INTO parent VALUES (1, 1), (2, 2), (3, 3)",
	"INSERT INTO child VALUES (10, 1), (11, 1), (20, 2), (30, NULL)",
	"UPDATE parent SET id = 5 WHERE id = 2",
	"DELETE FROM parent WHERE id = 1",
	"CREATE TABLE journal (n INT PRIMARY KEY AUTO_INCREMENT, what VARCHAR(60))",
	"CREATE TRIGGER noted AFTER UPDATE ON parent FOR EACH ROW INSERT INTO journal (what) VALUES (CONCAT(OLD.v, '>', NEW.v))",
	"CREATE TRIGGER raised BEFORE INSERT ON parent FOR EACH ROW SET NEW.v = NEW.v * 10",
	"INSERT INTO parent VALUES (7, 7)", "UPDATE parent SET v = v + 1",

	"SET foreign_key_checks = 0",
	"CREATE TABLE early (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES missing (id))",
	"SET foreign_key_checks = 1",
	"SET sql_mode = 'ANSI_QUOTES'",
	`CREATE TABLE "quoted ""name" ("a b" INT PRIMARY KEY DEFAULT 3, s VARCHAR(20) DEFAULT 'back\slash')`,
	`CREATE VIEW "quoted view" AS SELECT "a b", 'x\y' AS lit FROM "quoted ""name"`,
	"SET sql_mode = 'NO_BACKSLASH_ESCAPES,HIGH_NOT_PRECEDENCE'",
	`CREATE TABLE plainly (a VARCHAR(20) PRIMARY KEY DEFAULT 'x\' COMMENT 'c\d', b INT AS ((NOT a = '\')) STORED)`,
	`INSERT INTO plainly (a) VALUES ('\'), ('\n')`,
	`CREATE VIEW plain_view AS SELECT a, NOT b = 1, 'x\' AS lit FROM plainly`,
	`CREATE PROCEDURE plain_text(a TEXT) BEGIN SELECT a LIKE 'x\_', NOT 1 = 2, '\'; END`,
	`CREATE FUNCTION plain_call(a TEXT) RETURNS TEXT DETERMINISTIC RETURN CONCAT(a, '\', a LIKE CONCAT(a, '\'))`,
	`CREATE TRIGGER plain_row BEFORE INSERT ON plainly FOR EACH ROW SET NEW.a = CONCAT(NEW.a, '\t')`,
	`CREATE EVENT plain_event ON SCHEDULE AT '2099-01-01 00:00:00' DO INSERT INTO plainly (a) VALUES ('e\v')`,
	`PREPARE p FROM 'CREATE TABLE prepared (a VARCHAR(9) DEFAULT ''\'' PRIMARY KEY)'`,
	"SET sql_mode = ''", "EXECUTE p",
	"PREPARE p FROM 'CREATE TABLE prepared_too (a VARCHAR(9) DEFAULT ''\\\\n'' PRIMARY KEY)'",
	"SET sql_mode = 'NO_BACKSLASH_ESCAPES'", "EXECUTE p",
	"SET sql_mode = DEFAULT",
	"INSERT INTO `quoted \"name` (`a b`) VALUES (1)",
	"SET time_zone = '+05:00'",
	"CREATE TABLE zoned (a INT PRIMARY KEY, t TIMESTAMP DEFAULT '2026-01-01 00:00:00')",
	"SET time_zone = DEFAULT",
	"ALTER TABLE zoned ADD COLUMN now_ DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)",

	"ALTER TABLE types ADD COLUMN extra VARCHAR(20) DEFAULT 'dflt' AFTER ti, DROP COLUMN me",
	"ALTER TABLE types MODIFY su BIGINT, ADD KEY (su), RENAME COLUMN y TO yy",
	"UPDATE types SET extra = CONCAT('x', id) WHERE id > 1",
	"CREATE INDEX later ON types (yy, c)", "DROP INDEX later ON types",
	"ALTER TABLE types AUTO_INCREMENT = 5000", "INSERT INTO types (ti) VALUES (5)",
	"ALTER TABLE keyed ADD PRIMARY KEY (b)",
	"UPDATE keyed SET a = 9",
	"CREATE TABLE likes LIKE types", "INSERT INTO likes (ti, extra) SELECT ti, extra FROM types",
	"ALTER TABLE likes AUTO_INCREMENT = 900",
	"CREATE TABLE chosen (PRIMARY KEY (id)) SELECT id, v, de FROM types",
	"CREATE TABLE chosen2 SELECT a, b FROM keyless", "DELETE FROM chosen2 LIMIT 1",
	"RENAME TABLE chosen2 TO renamed", "TRUNCATE TABLE journal", "INSERT INTO journal (what) VALUES ('again')",
	"CREATE DATABASE other CHARACTER SET latin1", "CREATE TABLE other.t (a INT PRIMARY KEY, s VARCHAR(10))", "INSERT INTO other.t VALUES (1, 'é')",
	"CREATE DATABASE gone", "CREATE TABLE gone.t (a INT)", "DROP DATABASE gone",
	"CREATE TABLE dropped (a INT)", "DROP TABLE dropped",
	"CREATE TEMPORARY TABLE tmp (a INT)", "INSERT INTO tmp VALUES (5)", "INSERT INTO keyless (a) SELECT a FROM tmp", "DROP TABLE tmp",

	"CREATE USER app@'10.%' IDENTIFIED BY 'one' REQUIRE SSL", "CREATE USER old IDENTIFIED WITH mysql_native_password BY 'two'",
	"ALTER USER app@'10.%' IDENTIFIED BY 'three'", "CREATE ROLE reader", "GRANT SELECT ON test.* TO reader", "GRANT reader TO old",
	"GRANT INSERT, UPDATE ON test.types TO app@'10.%'", "GRANT CREATE ON other.* TO app@'10.%' WITH GRANT OPTION", "REVOKE UPDATE ON test.types FROM app@'10.%'",
	"CREATE USER temp", "DROP USER temp",
	"CREATE VIEW seen AS SELECT id, ti FROM types WHERE ti > 0", "CREATE OR REPLACE VIEW seen AS SELECT id FROM types", "CREATE VIEW gonev AS SELECT 1", "DROP VIEW gonev",
	"CREATE PROCEDURE twice(IN n INT, OUT m INT) COMMENT 'doubles' BEGIN SET m = n * 2; INSERT INTO journal (what) VALUES ('called'); END",
	"CALL twice(4, @m)",
	"CREATE PROCEDURE begins() START TRANSACTION", "CREATE TABLE ends (a INT) -- start transaction",
	"CREATE FUNCTION plus_one(n INT) RETURNS INT DETERMINISTIC RETURN n + 1",
	"CREATE FUNCTION gonef(n INT) RETURNS INT DETERMINISTIC RETURN n", "DROP FUNCTION gonef",
	"CREATE DEFINER = app@'10.%' PROCEDURE theirs() SQL SECURITY INVOKER SELECT 1",
	"CREATE EVENT later_on ON SCHEDULE AT '2099-01-01 00:00:00' ON COMPLETION PRESERVE DO INSERT INTO journal (what) VALUES ('event')",
	"CREATE EVENT again ON SCHEDULE EVERY 1 YEAR STARTS '2098-01-01 00:00:00' DO DELETE FROM journal", "ALTER EVENT again DISABLE",
	"DROP TRIGGER raised",

	"BEGIN", "INSERT INTO parent VALUES (100, 1)", "SAVEPOINT s", "INSERT INTO parent VALUES (101, 1)", "UPDATE keyless SET a = 0",
	"ROLLBACK TO s", "UPDATE keyless SET a = 55 LIMIT 1", "COMMIT",
	"BEGIN", "INSERT INTO parent VALUES (200, 1)", "ROLLBACK",
	"SET sql_log_bin = 0", "SET sql_log_bin = 1",
}

// applyAll repeats every transaction of a source that is not executed, and flushes; n are these.
func applyAll(a *apply.Applier, src apply.Source) (n int, err error) {
	for ctx := context.Background(); ; n++ {
		g, server, err := a.Next(ctx, src)
		if err == io.EOF {
			return n, a.Flush(ctx)
		}
		if err == nil {
			err = a.Apply(ctx, src, g, server)
		}
		if err != nil {
			return n, err
		}
	}
}

// A source's CREATE TABLE … SELECT that has selected no rows is a statement alone in the log here.
func TestReplayTableWithoutRows(t *testing.T) {
	s := newServer(t)
	from := s.db.Binlog().Position()
	q := event.Query{Text: "CREATE TABLE unfilled (a INT) START TRANSACTION", Database: "test"}
	rows := func(context.Context, *txn.Txn) error { return nil }
	if err := s.engine.Replay(t.Context(), &q, binlog.Origin{Server: 7, Committed: 1}, rows); err != nil {
		t.Fatal(err)
	}
	if list := s.loggedStatements(from); len(list) != 1 || list[0] != "use `test`; CREATE TABLE unfilled (a INT)" {
		t.Errorf("logged is %q", list)
	}
	blankServer(t, nil).mustFollow(s)
}
