package sql

import (
	"strings"
	"testing"
)

// routineDDL are statements on definitions as procedures have them.
var routineDDL = []string{
	"CREATE TABLE plain (id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY COMMENT 'it''s the \"key\"', s VARCHAR(20) CHARACTER SET latin1 COLLATE latin1_bin NOT NULL DEFAULT 'a\\'b\\\\c', " +
		"n DECIMAL(10,3) DEFAULT -1.500, b BIT(9) DEFAULT b'101', e ENUM('x','it''s','y') DEFAULT 'x', st SET('p','q') DEFAULT 'p,q', t TEXT, bl VARBINARY(10) DEFAULT 'ab', " +
		"ts TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3), d DATETIME NULL DEFAULT NULL, y YEAR, f DOUBLE, i2 SMALLINT(5) ZEROFILL, " +
		"UNIQUE KEY us (s), KEY nn (n, e), KEY tp (t(7))) COMMENT = 'a \"table\" of o''ne' ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_520_ci AUTO_INCREMENT=70",
	"CREATE TABLE `odd ``name` (`a b` INT, `select` VARCHAR(5), g INT AS (`a b` * 2 + 1) STORED, h VARCHAR(10) GENERATED ALWAYS AS (CONCAT(`select`, '-x')) STORED, CONSTRAINT pos CHECK (`a b` > 0 AND `select` <> 'no'))",
	"CREATE TABLE parent2 (a INT, b INT, PRIMARY KEY (a, b))",
	"CREATE TABLE child2 (id INT PRIMARY KEY, a INT, b INT, CONSTRAINT fk2 FOREIGN KEY (a, b) REFERENCES parent2 (a, b) ON DELETE SET NULL ON UPDATE CASCADE)",
	"CREATE TABLE IF NOT EXISTS maybe (id BIGINT PRIMARY KEY, u INT, v INT NULL)",
	"ALTER TABLE maybe ADD COLUMN c VARCHAR(10) NOT NULL DEFAULT 'it''s' COMMENT 'x' AFTER id, ADD UNIQUE KEY uu (u, v), ADD COLUMN z INT FIRST",
	"ALTER TABLE maybe MODIFY COLUMN c VARCHAR(40) DEFAULT NULL, DROP COLUMN z, RENAME COLUMN v TO w",
	"ALTER TABLE maybe ALTER COLUMN w SET DEFAULT 5", "ALTER TABLE maybe CHANGE COLUMN w ww BIGINT UNSIGNED DEFAULT 7",
	"ALTER TABLE maybe ADD CONSTRAINT big CHECK (u < 100)", "ALTER TABLE maybe ADD CONSTRAINT fk3 FOREIGN KEY (u) REFERENCES parent2 (a) ON DELETE CASCADE",
	"CREATE INDEX nu ON maybe (c(5), u)", "CREATE UNIQUE INDEX un ON maybe (ww)", "ALTER TABLE maybe RENAME INDEX nu TO nu2", "DROP INDEX un ON maybe",
	"ALTER TABLE maybe COMMENT = 'now it''s'", "ALTER TABLE plain AUTO_INCREMENT = 500",
	"CREATE TABLE likes2 LIKE maybe", "CREATE TABLE gone2 (a INT)", "DROP TABLE gone2", "TRUNCATE TABLE parent3", "RENAME TABLE likes2 TO likes3",
	"ALTER TABLE child2 DROP FOREIGN KEY fk2", "ALTER TABLE child2 DROP PRIMARY KEY, ADD PRIMARY KEY (id, a)",
}

// What a procedure does to definitions is logged as statements of their own, with the text
// that they have in the body. On a replica, ours or MariaDB, it does the same as outside of a
// procedure.
func TestDefinitionsInProcedures(t *testing.T) {
	a := newServer(t)
	c := a.test()
	c.must("CREATE TABLE parent3 (a INT)")
	direct := newServer(t)
	d := direct.test()
	d.must("CREATE TABLE parent3 (a INT)")
	var logged []string
	for _, text := range routineDDL {
		d.must(text)
		c.must("CREATE PROCEDURE p() BEGIN DECLARE n INT DEFAULT 1; /* ; */ IF n = 1 THEN " + text + "; END IF; SELECT 'x; DROP TABLE y'; END")
		from := a.db.Binlog().Position()
		c.must("CALL p()")
		list := a.loggedStatements(from)
		if len(list) != 1 || list[0] != "use `test`; "+text {
			t.Fatalf("%s\nwas logged as %q", text, list)
		}
		logged = append(logged, strings.TrimPrefix(list[0], "use `test`; "))
		c.must("DROP PROCEDURE p")
	}
	b := blankServer(t, nil)
	b.mustFollow(a)
	b.sameAs(a)
	names := []string{"plain", "`odd ``name`", "parent2", "child2", "maybe", "likes3"}
	for _, name := range names {
		b.test().want("SHOW CREATE TABLE "+name, d.must("SHOW CREATE TABLE "+name).rows...)
	}
	peer := mariadbServer(t)
	definitions := func(database string, texts []string) (list []string) {
		conn, err := peer.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for _, text := range append([]string{"CREATE DATABASE " + database, "USE " + database, "CREATE TABLE parent3 (a INT)"}, texts...) {
			if _, err := conn.ExecContext(t.Context(), text); err != nil {
				t.Errorf("MariaDB: %s\n%v", text, err)
			}
		}
		for _, name := range names {
			rows, err := rowsOf(conn, "SHOW CREATE TABLE "+name)
			if err != nil {
				t.Errorf("MariaDB: %s: %v", name, err)
			}
			list = append(list, strings.ReplaceAll(strings.Join(rows, "\n"), "`"+database+"`", "`db`"))
		}
		return list
	}
	want, got := definitions("direct_", routineDDL), definitions("logged_", logged)
	for i := range want {
		if want[i] != got[i] {
			t.Errorf("MariaDB: %s\n got: %s\nwant: %s", names[i], got[i], want[i])
		}
	}
}
