package sql

import "testing"

// A column whose default differs from server to server is not added to a table whose
// changes are logged: the log has the statement.
func TestUnsafeDefaults(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1), (2)")
	for _, q := range []string{
		"ALTER TABLE t ADD COLUMN u VARCHAR(36) DEFAULT (UUID())",
		"ALTER TABLE t ADD COLUMN a INT, ADD COLUMN r DOUBLE DEFAULT (1 + RAND())",
		"ALTER TABLE t ADD COLUMN c INT DEFAULT (CONNECTION_ID())",
	} {
		c.fails(1674, q, "default of column")
	}
	c.must("ALTER TABLE t ADD COLUMN a INT DEFAULT (1 + 1)", "ALTER TABLE t ADD COLUMN n DATETIME DEFAULT (NOW())",
		// What new rows get is logged with them.
		"ALTER TABLE t ADD COLUMN u VARCHAR(36)", "ALTER TABLE t ALTER COLUMN u SET DEFAULT (UUID())", "INSERT INTO t (id) VALUES (3)",
		"CREATE TABLE v (id INT PRIMARY KEY, u VARCHAR(36) DEFAULT (UUID()))", "INSERT INTO v (id) VALUES (1)",
		"CREATE TEMPORARY TABLE w (id INT PRIMARY KEY)", "ALTER TABLE w ADD COLUMN u VARCHAR(36) DEFAULT (UUID())",
		"SET sql_log_bin = 0", "ALTER TABLE t ADD COLUMN w VARCHAR(36) DEFAULT (UUID())")
	c.want("SELECT id, LENGTH(u), LENGTH(w), a FROM t ORDER BY id", "1|NULL|36|2", "2|NULL|36|2", "3|36|36|2")
}
