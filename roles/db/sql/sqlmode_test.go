package sql

import "testing"

// A mode works or is refused by name; names that stand for others are written out.
func TestSQLMode(t *testing.T) {
	c := newServer(t).test()
	for _, m := range []string{"ALLOW_INVALID_DATES", "PAD_CHAR_TO_FULL_LENGTH"} {
		c.fails(1235, "SET sql_mode = '"+m+"'", m)
		c.fails(1235, "SET GLOBAL sql_mode = 'STRICT_TRANS_TABLES,"+m+"'", m)
	}
	c.fails(1235, "SET sql_mode = 33554432", "ALLOW_INVALID_DATES")
	c.fails(1231, "SET sql_mode = 'NO_SUCH_MODE'", "NO_SUCH_MODE")
	c.fails(1231, "SET sql_mode = 17179869184")
	c.must("SET sql_mode = 'traditional,,Ansi'")
	c.want("SELECT @@sql_mode", "REAL_AS_FLOAT,PIPES_AS_CONCAT,ANSI_QUOTES,IGNORE_SPACE,ONLY_FULL_GROUP_BY,ANSI,STRICT_TRANS_TABLES,STRICT_ALL_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,TRADITIONAL,NO_ENGINE_SUBSTITUTION")
	c.want(`SELECT 'a' || 'b' AS "x"`, "ab")
	c.must("SET sql_mode = 4194304")
	c.want("SELECT @@sql_mode", "STRICT_ALL_TABLES")
	c.must("SET sql_mode = CONCAT(@@sql_mode, ',NO_ZERO_DATE')")
	c.want("SELECT @@sql_mode", "STRICT_ALL_TABLES,NO_ZERO_DATE")
	c.must("SET sql_mode = ''")
	c.want("SELECT @@sql_mode", "")
	c.must("SET sql_mode = DEFAULT")
	c.want("SELECT @@sql_mode", defaultMode)
	c.must("SET sql_mode = 'REAL_AS_FLOAT'", "CREATE TABLE r (a REAL, b DOUBLE)")
	c.want("SELECT COLUMN_TYPE FROM information_schema.columns WHERE table_name = 'r' ORDER BY 1", "double", "float")
	c.must("SET sql_mode = 'NO_UNSIGNED_SUBTRACTION'")
	c.want("SELECT CAST(1 AS UNSIGNED) - 2", "-1")
	c.must("SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO'", "CREATE TABLE z (id INT PRIMARY KEY AUTO_INCREMENT, n INT)", "INSERT INTO z VALUES (0, 1), (NULL, 2)")
	c.want("SELECT * FROM z", "0|1", "1|2")
	c.must("SET sql_mode = ''")
	c.want("SELECT n, id FROM z GROUP BY n", "1|0", "2|1")
	c.must("SET sql_mode = 'ONLY_FULL_GROUP_BY'")
	c.fails(1055, "SELECT n, id FROM z GROUP BY n")
	c.must("SET sql_mode = 'TIME_TRUNCATE_FRACTIONAL'", "CREATE TABLE f (d DATETIME)", "INSERT INTO f VALUES ('2024-01-01 00:00:00.9')")
	c.want("SELECT d FROM f", "2024-01-01 00:00:00")
}

// Warnings are counted all and kept up to max_error_count, oldest first.
func TestWarnings(t *testing.T) {
	c := newServer(t).test()
	c.must("SET sql_mode = ''", "CREATE TABLE w (id INT PRIMARY KEY AUTO_INCREMENT, n TINYINT)", "INSERT INTO w (n) VALUES (1000), ('x'), (1), ('2y')")
	if n := c.WarningCount(); n != 3 {
		t.Errorf("%d warnings, want 3", n)
	}
	c.want("SELECT @@warning_count", "3")
	c.must("INSERT INTO w (n) VALUES (1000), ('x'), (1), ('2y')")
	c.want("SHOW WARNINGS", "Warning|1264|Out of range value for column 'n' at row 1", "Warning|1366|Incorrect integer value: 'x' for column 'n' at row 2", "Warning|1265|Data truncated for column 'n' at row 4")
	for range 9 {
		c.must("INSERT INTO w (n) SELECT n FROM w")
	}
	c.must("UPDATE w SET n = 300")
	if n := c.WarningCount(); n != 8*512 {
		t.Errorf("%d warnings, want %d", n, 8*512)
	}
	if rows := c.must("SHOW WARNINGS").rows; len(rows) != int(c.maxWarnings()) {
		t.Errorf("%d warnings are kept, want %d", len(rows), c.maxWarnings())
	}
	c.must("SELECT 1")
	c.want("SHOW WARNINGS")
}

// A trigger's assignments keep to the sql_mode that it was made with.
func TestTriggersMode(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE t (n TINYINT, v VARCHAR(3))", "CREATE TRIGGER strict BEFORE INSERT ON t FOR EACH ROW SET NEW.n = NEW.n + 100", "SET sql_mode = ''")
	c.fails(1264, "INSERT INTO t VALUES (100, 'a')")
	c.fails(1264, "INSERT IGNORE INTO t VALUES (100, 'a')")
	c.must("DROP TRIGGER strict", "CREATE TRIGGER lax BEFORE INSERT ON t FOR EACH ROW SET NEW.n = NEW.n + 100, NEW.v = 'longer'", "SET sql_mode = 'STRICT_TRANS_TABLES'", "INSERT INTO t VALUES (100, 'a')")
	c.want("SELECT * FROM t", "127|lon")
}
