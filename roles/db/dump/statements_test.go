package dump

import (
	"strings"
	"testing"
)

// Statements are put into MariaDB's words, or refused by the name of what it lacks.
func TestStatementsForMariaDB(t *testing.T) {
	for text, want := range map[string]string{
		"GRANT REPLICATION SLAVE, CLONE_ADMIN ON *.* TO seeder":      "GRANT REPLICATION SLAVE ON *.* TO seeder",
		"grant clone_admin, Backup_Admin on *.* to seeder":           nothing,
		"REVOKE CLONE_ADMIN ON *.* FROM seeder":                      nothing,
		"GRANT CLONE_ADMIN,SELECT (a_b, `c`), INSERT ON d.t TO 'u'":  "GRANT SELECT (a_b, `c`), INSERT ON d.t TO 'u'",
		"GRANT SELECT (a_b, c) ON d.clone_admin TO u":                "",
		"GRANT ALL PRIVILEGES ON *.* TO u WITH GRANT OPTION":         "",
		"GRANT some_role TO u":                                       "",
		"CREATE TABLE t (a INT, b INT DEFAULT (1), KEY (a, b))":      "",
		"CREATE TABLE t (a TEXT, KEY k (a(10), b), CHECK ((a > 0)))": "",
		"CREATE TABLE t (a INT, KEY k ((a + 1)))":                    "no indexes over expressions",
		"CREATE INDEX i ON d.t (a(10) DESC, (lower(b)))":             "no indexes over expressions",
		"ALTER TABLE t ADD UNIQUE INDEX `i` ( `a`, (b + 1))":         "no indexes over expressions",
		"ALTER TABLE t ALTER INDEX i INVISIBLE":                      "no invisible indexes",
		"CREATE TABLE t (p POINT SRID 4326)":                         "no SRID of a column",
		"SELECT * FROM t, LATERAL (SELECT 1) x":                      "no LATERAL",
	} {
		got, err := forMariaDB(text, false)
		if err != nil {
			got = err.Error()
		}
		if want == "" {
			want = text
		}
		if got != want && !(err != nil && strings.Contains(got, want)) {
			t.Errorf("%s: %s, want %s", text, got, want)
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
