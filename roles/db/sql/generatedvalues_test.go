package sql

import (
	"strings"
	"testing"

	"stack/roles/db/wire"
)

const ignoredB = "Warning|1906|The value specified for generated column 'b' in table 't' has been ignored"
const ignoredC = "Warning|1906|The value specified for generated column 'c' in table 't' has been ignored"

// What MariaDB 10.11 answers for each, but for the error's number, which is MySQL's, and NULL
// in strict mode, which it takes.
func TestValuesOfGeneratedColumns(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (a INT PRIMARY KEY, b INT AS (a + 1) STORED, c INT AS (a * 2) VIRTUAL, d INT)", "SET sql_mode = ''")
	for _, step := range []struct {
		query    string
		warnings []string
	}{
		{"INSERT INTO t VALUES (2, 99, 99, 20)", []string{ignoredB, ignoredC}},
		{"INSERT INTO t VALUES (3, 99, 99, 20), (4, DEFAULT, 9, 1), (5, NULL, NULL, 1)", []string{ignoredB, ignoredC, ignoredC}},
		{"INSERT INTO t (a, b) VALUES (6, 1 + 1)", []string{ignoredB}},
		{"INSERT INTO t (a, b) SELECT 7, 8", []string{ignoredB}},
		{"REPLACE INTO t VALUES (7, 1, 1, 1)", []string{ignoredB, ignoredC}},
		{"INSERT INTO t (a, d) VALUES (7, 1) ON DUPLICATE KEY UPDATE b = 5, d = 3", []string{ignoredB}},
		{"UPDATE t SET b = 7 WHERE a = 2", []string{ignoredB}},
		{"UPDATE t SET b = 7, d = 21 WHERE a = 2", []string{ignoredB}},
		{"UPDATE t SET b = DEFAULT WHERE a = 2", nil},
		{"INSERT INTO t SET a = 20, B = 3", []string{ignoredB}},
		{"INSERT INTO t SELECT a + 100, b, c, d FROM t WHERE a IN (3, 4) ORDER BY a", []string{ignoredB, ignoredC}},
	} {
		c.must(step.query)
		c.want("SHOW WARNINGS", step.warnings...)
	}
	rows := []string{"2|3|4|21", "3|4|6|20", "4|5|8|1", "5|6|10|1", "6|7|12|NULL", "7|8|14|3", "20|21|40|NULL", "103|104|206|20", "104|105|208|1"}
	c.want("SELECT * FROM t ORDER BY a", rows...)
	c.fails(1136, "INSERT INTO t VALUES (9, 9)")

	c.must("SET sql_mode = 'STRICT_TRANS_TABLES'")
	for _, q := range []string{
		"INSERT INTO t VALUES (30, 99, 99, 20)", "INSERT INTO t VALUES (30, DEFAULT, DEFAULT, 1), (31, 99, DEFAULT, 1)", "INSERT INTO t (a, b) SELECT 30, 8",
		"REPLACE INTO t VALUES (30, 1, 1, 1)", "INSERT INTO t (a, d) VALUES (7, 1) ON DUPLICATE KEY UPDATE b = 5, d = 3", "UPDATE t SET b = 7 WHERE a = 2", "INSERT INTO t (a, b) VALUES (30, NULL)",
	} {
		c.fails(3105, q, "The value specified for generated column 'b' in table 't' is not allowed.")
	}
	c.want("SELECT * FROM t ORDER BY a", rows...)
	c.must("INSERT INTO t VALUES (40, DEFAULT, DEFAULT, 1), (41, DEFAULT, DEFAULT, 2)", "INSERT INTO t (a, d) VALUES (40, 9) ON DUPLICATE KEY UPDATE b = DEFAULT, d = 3")
	c.must("INSERT IGNORE INTO t VALUES (42, 1, 1, 1)")
	c.want("SHOW WARNINGS", ignoredB, ignoredC)
	c.must("UPDATE IGNORE t SET b = 1, d = 8 WHERE a = 42")
	c.want("SHOW WARNINGS", ignoredB)
	c.want("SELECT * FROM t WHERE a >= 40 AND a < 50 ORDER BY a", "40|41|80|3", "41|42|82|2", "42|43|84|8")
	if problems := checkStore(t, s); problems != "" {
		t.Error(problems)
	}
}

// A prepared statement has a placeholder that is left over; a temporary table and an index
// over an expression have generated columns too.
func TestPreparedValuesOfGeneratedColumns(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("SET sql_mode = ''", "CREATE TABLE t (a INT PRIMARY KEY, b INT AS (a + 1) STORED, d INT, KEY ((d * 2)))")
	st, err := c.prepare(t.Context(), "INSERT INTO t VALUES (?, ?, ?)")
	if err != nil {
		t.Fatal(err)
	}
	run := func(values ...uint64) error {
		params := make([]wire.Param, len(values))
		for i, v := range values {
			params[i] = wire.Param{Kind: wire.ParamInt, Num: v}
		}
		return st.execute(t.Context(), params, &collected{})
	}
	for i := range uint64(3) {
		if err := run(i, 9, i*10); err != nil {
			t.Fatal(err)
		}
		c.want("SHOW WARNINGS", ignoredB)
	}
	c.want("SELECT * FROM t ORDER BY a", "0|1|0", "1|2|10", "2|3|20")
	c.want("SELECT a FROM t WHERE d * 2 = 40", "2")
	c.must("SET sql_mode = 'STRICT_ALL_TABLES'")
	if err := run(4, 4, 4); err == nil || !strings.Contains(err.Error(), "is not allowed") {
		t.Errorf("in strict mode: %v", err)
	}
	c.must("SET sql_mode = ''", "CREATE TEMPORARY TABLE t (x INT, b INT AS (x + 2))", "INSERT INTO t VALUES (5, 9)")
	c.want("SHOW WARNINGS", ignoredB)
	c.want("SELECT * FROM t", "5|7")
}

// LOAD DATA reads the fields of generated columns and drops them.
func TestLoadDataOfGeneratedColumns(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (a INT PRIMARY KEY, b INT AS (a + 1) STORED, d INT)", "SET sql_mode = ''")
	c.mustLoad("LOAD DATA LOCAL INFILE 'f' INTO TABLE t", "1\t99\t10\n2\t99\t20\n", "Records: 2  Deleted: 0  Skipped: 0  Warnings: 2")
	c.want("SHOW WARNINGS", ignoredB, ignoredB)
	c.mustLoad("LOAD DATA LOCAL INFILE 'f' REPLACE INTO TABLE t (d, b, a)", "11\t99\t1\n30\t99\t3\n", "Records: 2  Deleted: 1  Skipped: 0  Warnings: 2")
	c.want("SELECT * FROM t ORDER BY a", "1|2|11", "2|3|20", "3|4|30")
	c.must("SET sql_mode = 'STRICT_TRANS_TABLES'")
	c.failsToLoad(3105, "LOAD DATA LOCAL INFILE 'f' REPLACE INTO TABLE t (a, b)", "7\t1\n", "generated column 'b'")
	c.mustLoad("LOAD DATA LOCAL INFILE 'f' INTO TABLE t (a, b)", "7\t1\n", "Records: 1  Deleted: 0  Skipped: 0  Warnings: 1")
	c.want("SELECT COUNT(*) FROM t", "4")
}

// What a trigger puts into a row is what its generated columns are computed from, also where
// VALUES say DEFAULT for them.
func TestDefaultsOfGeneratedColumnsFollowTriggers(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (a INT PRIMARY KEY, d INT DEFAULT 5, g INT AS (d + 1) STORED, v INT AS (d + 2) VIRTUAL)",
		"CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW SET NEW.d = NEW.a + 10")
	c.must("INSERT INTO t (a) VALUES (1)", "INSERT INTO t VALUES (2, DEFAULT, DEFAULT, DEFAULT)", "INSERT INTO t (a, d) VALUES (3, DEFAULT)",
		"INSERT INTO t (a, d, g) VALUES (4, 6, DEFAULT)", "INSERT INTO t (a) SELECT 5", "REPLACE INTO t VALUES (2, 1, DEFAULT, DEFAULT)")
	c.want("SELECT * FROM t", "1|11|12|13", "2|12|13|14", "3|13|14|15", "4|14|15|16", "5|15|16|17")
	c.must("INSERT INTO t VALUES (1, 0, DEFAULT, DEFAULT) ON DUPLICATE KEY UPDATE d = 20, g = DEFAULT")
	c.want("SELECT * FROM t WHERE a = 1", "1|20|21|22")
	c.must("CREATE TABLE u (s VARCHAR(5) COLLATE utf8mb4_general_ci, g INT AS ((s IN ('A'))) STORED)", "CREATE TRIGGER y BEFORE INSERT ON u FOR EACH ROW SET NEW.s = 'a'",
		"INSERT INTO u VALUES ('b', DEFAULT)", "INSERT INTO u (s) VALUES ('b')")
	c.want("SELECT * FROM u", "a|1", "a|1")
	if problems := checkStore(t, s); problems != "" {
		t.Error(problems)
	}
}
