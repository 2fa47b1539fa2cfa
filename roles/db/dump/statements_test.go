package dump

import (
	"strings"
	"testing"
)

// Statements are put into MariaDB's words, or refused by the name of what it lacks.
func TestStatementsForMariaDB(t *testing.T) {
	for text, want := range map[string]string{
		"GRANT REPLICATION SLAVE, CLONE_ADMIN ON *.* TO seeder":                "GRANT REPLICATION SLAVE ON *.* TO seeder",
		"grant clone_admin, Backup_Admin on *.* to seeder":                     nothing,
		"REVOKE CLONE_ADMIN ON *.* FROM seeder":                                nothing,
		"GRANT CLONE_ADMIN,SELECT (a_b, `c`), INSERT ON d.t TO 'u'":            "GRANT SELECT (a_b, `c`), INSERT ON d.t TO 'u'",
		"GRANT SELECT (a_b, c) ON d.clone_admin TO u":                          "",
		"GRANT ALL PRIVILEGES ON *.* TO u WITH GRANT OPTION":                   "",
		"GRANT some_role TO u":                                                 "",
		"CREATE TABLE t (a INT, b INT DEFAULT (1), KEY (a, b))":                "",
		"CREATE TABLE t (a TEXT, KEY k (a(10), b), CHECK ((a > 0)))":           "",
		"CREATE TABLE t (a INT, KEY k ((a + 1)))":                              "no indexes over expressions",
		"CREATE INDEX i ON d.t (a(10) DESC, (lower(b)))":                       "no indexes over expressions",
		"ALTER TABLE t ADD UNIQUE INDEX `i` ( `a`, (b + 1))":                   "no indexes over expressions",
		"ALTER TABLE t ALTER INDEX i INVISIBLE":                                "no invisible indexes",
		"CREATE TABLE t (p POINT SRID 4326)":                                   "no SRID of a column",
		"SELECT * FROM t, LATERAL (SELECT 1) x":                                "no LATERAL",
		"CREATE TABLE t (a INT, UNIQUE ((a + 1)))":                             "no indexes over expressions",
		"CREATE TABLE t (a INT, CONSTRAINT `c` UNIQUE KEY ((a + 1)))":          "no indexes over expressions",
		"ALTER TABLE t ALTER INDEX `i` INVISIBLE":                              "no invisible indexes",
		"CREATE TABLE t (a INT, b INT, KEY k (a, b(9)) COMMENT 'x' INVISIBLE)": "no invisible indexes",
		"CREATE INDEX i ON t (a) INVISIBLE":                                    "no invisible indexes",
		"CREATE TABLE t (`v` VECTOR(3))":                                       "no VECTOR columns",
		"ALTER TABLE t ADD COLUMN v vector (3) NOT NULL":                       "no VECTOR columns",

		"CREATE TRIGGER tr AFTER INSERT ON t FOR EACH ROW INSERT INTO s VALUES (1) ON DUPLICATE KEY UPDATE n = COALESCE(n, (SELECT 1)), m = ((n + 1))": "",
		"CREATE PROCEDURE p() INSERT INTO s VALUES (1) ON DUPLICATE KEY UPDATE n = ((n + 1))":                                                          "",
		"CREATE TABLE t (id INT PRIMARY KEY CHECK ((id > 0)), n INT UNIQUE CHECK ((n > 0)))":                                                           "",
		"CREATE TABLE vector (id INT, a INT CHECK ((a > 0)) INVISIBLE)":                                                                                "",
		"CREATE TABLE t (a INT, vector TEXT, KEY vector (a), UNIQUE KEY (vector(10)), KEY (a, vector (10)))":                                           "",
		"CREATE TABLE t (a INT REFERENCES vector (id), srid INT)":                                                                                      "",

		"CREATE DATABASE /*!32312 IF NOT EXISTS*/ `d` /*!40100 DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_ai_ci */"://
		"CREATE DATABASE /*!32312 IF NOT EXISTS*/ `d` /*!40100 DEFAULT CHARACTER SET utf8mb4 COLLATE " + nopadIgnoresCase + " */",
		"/*!50001 CREATE ALGORITHM=UNDEFINED *//*!50013 DEFINER=`r`@`%` *//*!50001 VIEW v AS SELECT 'utf8mb4_0900_bin' COLLATE utf8mb4_0900_as_cs /* utf8mb4_0900_bin */ */"://
		"/*!50001 CREATE ALGORITHM=UNDEFINED *//*!50013 DEFINER=`r`@`%` *//*!50001 VIEW v AS SELECT 'utf8mb4_0900_bin' COLLATE " + nopadBinary + " /* utf8mb4_0900_bin */ */",
		"CREATE /*! TABLE t (a INT, KEY ((a + 1))) */":                                           "no indexes over expressions",
		"CREATE TABLE t (a INT, p POINT /*!80003 SRID 4326 */, KEY k (a) /*!80000 INVISIBLE */)": "", // which MariaDB passes over
	} {
		got, err := forMariaDB(text, false)
		switch {
		case err != nil && strings.HasPrefix(want, "no ") && strings.Contains(err.Error(), want):
		case err != nil:
			t.Errorf("%s: %v, want %q", text, err, want)
		case want == "" && got != text, want != "" && got != want:
			t.Errorf("%s: %s, want %q", text, got, want)
		}
	}
}

// Where a backslash stands for itself a string ends at its next quote.
func TestPlainBackslashesForMariaDB(t *testing.T) {
	text := `CREATE TABLE t (a TEXT DEFAULT 'x\' COLLATE utf8mb4_0900_bin COMMENT 'utf8mb4_0900_bin')`
	got, err := forMariaDB(text, true)
	if want := strings.Replace(text, "COLLATE utf8mb4_0900_bin", "COLLATE "+nopadBinary, 1); got != want || err != nil {
		t.Errorf("%s (%v), want %s", got, err, want)
	}
}
