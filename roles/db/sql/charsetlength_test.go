package sql

import (
	"fmt"
	"strings"
	"testing"
)

// A column of a character set with one byte for each character holds as many characters as it says,
// whatever bytes they take in the texts of statements.
func TestLengthsInCharactersAsMariaDB(t *testing.T) {
	conn, s := mariadb(t), newServer(t)
	c := s.test()
	for i, charset := range []string{"latin1", "utf8mb3", "utf8mb4"} {
		name := fmt.Sprintf("t%d", i)
		onBoth(t, c, conn,
			fmt.Sprintf("CREATE TABLE %s (id INT AUTO_INCREMENT PRIMARY KEY, v VARCHAR(3), c CHAR(3), p VARCHAR(9), KEY (v), UNIQUE (c), KEY (p(2))) CHARACTER SET %s", name, charset),
			"INSERT INTO "+name+" (v, c, p) VALUES ('ééé', 'áéí', 'áéíóúýäöü'), ('aéa', 'ß', 'áéÁÉ')",
			"INSERT INTO "+name+" (v, c) VALUES ('éáó', 'óóó')",
			"UPDATE "+name+" SET v = CONCAT(SUBSTRING(v, 1, 1), 'üü') WHERE v = 'ééé'",
			"UPDATE "+name+" SET p = REPEAT('é', 9) WHERE c = 'ß'",
			"REPLACE INTO "+name+" (id, v, c, p) VALUES (9, CONCAT('áé', 'í'), 'ííí', REPEAT('ú', 9))",
			"INSERT INTO "+name+" (id, v) VALUES (1, 'x') ON DUPLICATE KEY UPDATE p = 'üüüüüüüüü'",
			"INSERT INTO "+name+" (v, c) SELECT c, v FROM "+name+" WHERE id = 1")
		for _, where := range []string{"1", "v = 'éüü'", "v IN ('éáó', 'éüü', 'éüüü')", "v LIKE 'éü%'", "v > 'éáó'", "c = 'óóó'", "c BETWEEN 'áéí' AND 'óóó'",
			"p = 'éééééééé'", "p = 'ééééééééé'", "p LIKE 'éé%'", "p = 'üüüüüüüüüü'", "v = 'éüüüüüüüüüüüüüüü'"} {
			asMariaDB(t, c, conn, "SELECT id, v, c, p, CHAR_LENGTH(p) FROM "+name+" WHERE "+where+" ORDER BY id")
		}
		asMariaDB(t, c, conn, fmt.Sprintf("SELECT a.id, b.id FROM %s a JOIN %s b ON a.c = b.v ORDER BY 1, 2", name, name))
		asMariaDB(t, c, conn, fmt.Sprintf("SELECT a.id, b.id FROM %s a JOIN %s b ON a.p = b.v ORDER BY 1, 2", name, name))
		c.fails(1406, "INSERT INTO "+name+" (v) VALUES ('éééé')")
	}
}

// A value that no column of an index can hold is found nowhere, as in MariaDB: it is no error of a join.
func TestJoinsWithLongerTextsAsMariaDB(t *testing.T) {
	conn, s := mariadb(t), newServer(t)
	c := s.test()
	onBoth(t, c, conn,
		"CREATE TABLE short (id INT PRIMARY KEY, v VARCHAR(3), b VARBINARY(3), c CHAR(3), n BINARY(3), UNIQUE (v), KEY (b), KEY (c), KEY (n))",
		"CREATE TABLE wide (id INT PRIMARY KEY, v LONGTEXT, b LONGBLOB)",
		"INSERT INTO short VALUES (1, 'abc', 'abc', 'abc', 'abc'), (2, 'xy', 'xy', 'xy', 'xyz')",
		"INSERT INTO wide VALUES (1, 'abc', 'abc'), (2, 'abcd', 'abcd'), (3, REPEAT('é', 20000), REPEAT('x', 20000)), (4, 'XY', 'XY')")
	for _, on := range []string{"w.v = s.v", "w.b = s.b", "w.b = s.n", "w.v = s.c", "w.v > s.v", "w.v = s.v AND s.id < 5"} {
		for _, join := range []string{"JOIN", "LEFT JOIN"} {
			asMariaDB(t, c, conn, "SELECT w.id, s.id FROM wide w "+join+" short s ON "+on+" ORDER BY 1, 2")
		}
	}
	asMariaDB(t, c, conn, "SELECT id FROM wide w WHERE EXISTS (SELECT 1 FROM short s WHERE s.v = w.v) ORDER BY 1")
	asMariaDB(t, c, conn, "SELECT id FROM wide w WHERE v IN (SELECT v FROM short s) ORDER BY 1")
	asMariaDB(t, c, conn, "SELECT id FROM short WHERE v = (SELECT v FROM wide WHERE id = 3) OR v = (SELECT v FROM wide WHERE id = 1)")
}

// A unique index of texts is used for ranges and lists, also by statements that the planner makes.
func TestRangesOfUniqueTexts(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE t (k VARCHAR(40) PRIMARY KEY, a CHAR(36) CHARACTER SET ascii UNIQUE, n INT)", "CREATE TABLE u (n INT)")
	for _, column := range []string{"k", "a"} {
		for _, where := range []string{" > 'm'", " IN ('a', 'b')", " <= 'm'"} {
			if plan := c.plan("SELECT t.n FROM t JOIN u ON u.n = t.n WHERE t." + column + where); !strings.Contains(plan, "IndexedTableAccess(t)") {
				t.Errorf("%s%s reads the whole table:\n%s", column, where, plan)
			}
		}
	}
}
