package sql

import (
	"slices"
	"strings"
	"testing"
)

// In the log utf8mb4 has the collation beside it that it has here, once; what it is not a definition by stays.
func TestLoggedCollations(t *testing.T) {
	const ours, own = " COLLATE utf8mb4_unicode_520_ci", " COLLATE utf8mb4_0900_ai_ci" // of the options of CREATE TABLE, of all else
	for _, text := range []string{
		"CREATE TABLE t (s VARCHAR(9) PRIMARY KEY) DEFAULT CHARSET=utf8mb4<ours>",
		"create table if not exists d.`t` (s VARCHAR(9) charset utf8mb4<own> NOT NULL DEFAULT 'CHARSET utf8mb4, ', e ENUM('(') character set 'utf8mb4'<own>) engine=InnoDB, character set = UTF8MB4<ours>, comment 'x'",
		"CREATE TABLE t (a VARCHAR(9) CHARACTER SET utf8mb4 NOT NULL COLLATE utf8mb4_bin, b TEXT CHARACTER SET utf8mb4 BINARY, c CHAR(9) CHARACTER SET latin1) COLLATE utf8mb4_bin, CHARSET utf8mb4",
		"CREATE TABLE t (a VARCHAR(9), b VARCHAR(9) AS (CAST(a AS CHAR(5) CHARACTER SET utf8mb4)) STORED, charset INT, `collate` TEXT CHARACTER SET utf8mb4<own> /* COLLATE */)",
		"ALTER TABLE t ADD COLUMN c VARCHAR(9) CHARACTER SET utf8mb4<own> AFTER charset, ADD (d TEXT CHARSET utf8mb4<own>, e INT), MODIFY s CHAR(5) COLLATE utf8mb4_bin",
		"ALTER TABLE t CHANGE charset utf8mb4 VARCHAR(20) CHARACTER SET utf8mb4<own> FIRST, ALTER COLUMN d SET DEFAULT 'x'",
		"ALTER TABLE t CONVERT TO CHARACTER SET utf8mb4<own>",
		"ALTER TABLE t COMMENT = 'x' DEFAULT CHARSET=utf8mb4<own> ROW_FORMAT=DYNAMIC, ADD d VARCHAR(5)",
		"ALTER TABLE t CHARACTER SET utf8mb4, COLLATE utf8mb4_bin, ADD d VARCHAR(5) CHARACTER SET utf8mb4<own>",
		"CREATE DATABASE /*!32312 IF NOT EXISTS*/ `d` /*!40100 DEFAULT CHARACTER SET utf8mb4<own> */",
		"ALTER DATABASE d CHARSET = `utf8mb4`<own>",
		"CREATE SCHEMA d COLLATE utf8mb4_bin CHARACTER SET utf8mb4",
		"/*read:b*/CREATE TABLE t (s VARCHAR(9) COMMENT '\\\\') CHARSET utf8mb4<ours>",
		"CREATE VIEW v AS SELECT CAST('x' AS CHAR CHARACTER SET utf8mb4)",
		"CREATE PROCEDURE p(a VARCHAR(9) CHARACTER SET utf8mb4) CREATE TABLE t (s VARCHAR(9)) CHARSET utf8mb4",
	} {
		given := strings.NewReplacer("<ours>", "", "<own>", "").Replace(text)
		want := strings.NewReplacer("<ours>", ours, "<own>", own).Replace(text)
		if got := sayCollations(given); got != want {
			t.Errorf("%s\n got %s\nwant %s", given, got, want)
		}
	}
}

// The collations that the log names are those that the definitions have here.
func TestLoggedCollationsAreThoseHere(t *testing.T) {
	a := newServer(t)
	c := a.test()
	const ours, own = " COLLATE utf8mb4_unicode_520_ci", " COLLATE utf8mb4_0900_ai_ci"
	from := a.db.Binlog().Position()
	var want []string
	for _, text := range []string{
		"CREATE DATABASE d CHARACTER SET utf8mb4<own>", "CREATE TABLE d.plain (s VARCHAR(9))", "ALTER DATABASE d CHARSET latin1", "ALTER DATABASE d CHARSET utf8mb4<own>",
		"CREATE TABLE d.changed (s VARCHAR(9))", "CREATE TABLE t (s VARCHAR(9) CHARACTER SET utf8mb4<own>, u VARCHAR(9), b VARCHAR(9) CHARACTER SET utf8mb4 BINARY) CHARSET utf8mb4<ours>",
		"CREATE TABLE x (s VARCHAR(9), KEY ((LOWER(s)))) CHARSET utf8mb4<ours>", "CREATE TABLE converted (s VARCHAR(9)) COLLATE utf8mb4_bin", "ALTER TABLE converted CONVERT TO CHARACTER SET utf8mb4<own>",
		"CREATE TABLE bare (s VARCHAR(9)) COLLATE utf8mb4_bin", "ALTER TABLE bare CHARACTER SET = utf8mb4<own>, COMMENT = 'x'", "ALTER TABLE bare ADD u VARCHAR(9), ADD v VARCHAR(9) CHARACTER SET utf8mb4<own>",
	} {
		c.must(strings.NewReplacer("<ours>", "", "<own>", "").Replace(text))
		want = append(want, "use `test`; "+strings.NewReplacer("<ours>", ours, "<own>", own).Replace(text))
	}
	if logged := a.loggedStatements(from); !slices.Equal(logged, want) {
		t.Errorf("logged is %q", logged)
	}
	c.want("SELECT default_collation_name FROM information_schema.schemata WHERE schema_name = 'd'", "utf8mb4_0900_ai_ci")
	c.want("SELECT table_name, column_name, collation_name FROM information_schema.columns WHERE table_schema IN ('d', 'test') ORDER BY 1, 2",
		"bare|s|utf8mb4_bin", "bare|u|utf8mb4_0900_ai_ci", "bare|v|utf8mb4_0900_ai_ci", "changed|s|utf8mb4_0900_ai_ci", "converted|s|utf8mb4_0900_ai_ci", "plain|s|utf8mb4_0900_ai_ci",
		"t|b|utf8mb4_bin", "t|s|utf8mb4_0900_ai_ci", "t|u|utf8mb4_unicode_520_ci", "x|s|utf8mb4_unicode_520_ci")
	b := blankServer(t, nil)
	b.mustFollow(a)
	b.sameAs(a)
}
