package sql

import "testing"

// Columns with the attribute BINARY have the binary collation of their character set, wherever that is said.
func TestBinaryColumns(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE a (c CHAR(1) BINARY PRIMARY KEY, t TEXT BINARY, e ENUM('a', 'b') BINARY, v VARCHAR(9), l VARCHAR(9) CHARACTER SET latin1 BINARY)",
		"INSERT INTO a (c, v) VALUES ('e', 'x'), ('E', 'X')",
		"CREATE TABLE b (v VARCHAR(9)) COLLATE utf8mb4_general_ci", "ALTER TABLE b ADD COLUMN c CHAR(1) BINARY, MODIFY v VARCHAR(8) BINARY",
		"CREATE TABLE d (c CHAR(1) BINARY, v VARCHAR(9)) CHARSET latin1", "ALTER TABLE d ADD COLUMN e CHAR(1) BINARY",
		"CREATE TEMPORARY TABLE f (c CHAR(1) BINARY)", "INSERT INTO f VALUES ('a')",
		"CREATE DATABASE l CHARACTER SET latin1", "CREATE TABLE l.t (c CHAR(1) BINARY)")
	c.want("SELECT c FROM a WHERE c = 'e'", "e")
	c.want("SELECT COUNT(*) FROM a WHERE v = 'x'", "2")
	c.want("SELECT COUNT(*) FROM f WHERE c = 'A'", "0")
	c.want("SELECT CONCAT(table_name, '.', column_name), collation_name FROM information_schema.columns WHERE table_schema IN ('test', 'l') ORDER BY table_name, column_name",
		"a.c|utf8mb4_bin", "a.e|utf8mb4_bin", "a.l|latin1_bin", "a.t|utf8mb4_bin", "a.v|utf8mb4_unicode_520_ci", "b.c|utf8mb4_bin", "b.v|utf8mb4_bin",
		"d.c|latin1_bin", "d.e|latin1_bin", "d.v|latin1_swedish_ci", "t.c|latin1_bin")
}
