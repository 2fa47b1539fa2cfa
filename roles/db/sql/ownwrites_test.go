package sql

import (
	gosql "database/sql"
	"slices"
	"strings"
	"testing"
)

// What a transaction has written of rows that others changed after its view was taken is seen through
// every index as MariaDB shows it.
func TestOwnWritesOverOthersAsMariaDB(t *testing.T) {
	db, s := mariadbServer(t), newServer(t)
	body := func(c string) string { return "REPEAT('" + c + "', 20000)" }
	setup := []string{
		"CREATE TABLE t (id INT PRIMARY KEY, k INT, u INT, title VARCHAR(20), body LONGTEXT, KEY (k), UNIQUE (u))",
		"INSERT INTO t VALUES (1, 10, 10, 'a', " + body("a") + "), (2, 20, 20, 'b', " + body("b") + "), (3, 30, 30, 'c', NULL)",
	}
	reads := []string{
		"SELECT id, k, u, title, LEFT(body, 3), LENGTH(body) FROM t ORDER BY id", "SELECT id, k FROM t FORCE INDEX (k) WHERE k >= 0 ORDER BY k, id",
		"SELECT COUNT(*) FROM t WHERE k > 5", "SELECT id, title FROM t WHERE k = 10", "SELECT id, title FROM t WHERE k = 20 ORDER BY id", "SELECT id FROM t WHERE k = 40",
		"SELECT id, title FROM t WHERE u = 20 ORDER BY id", "SELECT id, u FROM t FORCE INDEX (u) WHERE u > 0 ORDER BY u, id",
		"SELECT a.id, b.id FROM t a JOIN t b ON a.k = b.k ORDER BY 1, 2",
	}
	for _, c := range []struct{ others, own []string }{
		{[]string{"UPDATE t SET k = 20 WHERE id = 1"}, []string{"DELETE FROM t WHERE id = 1"}},
		{[]string{"UPDATE t SET k = 20 WHERE id = 1"}, []string{"UPDATE t SET k = 40 WHERE id = 1"}},
		{[]string{"UPDATE t SET k = 20 WHERE id = 1"}, []string{"UPDATE t SET title = 'own' WHERE id = 1"}},
		{[]string{"UPDATE t SET body = " + body("x") + " WHERE id = 1"}, []string{"UPDATE t SET title = 'own' WHERE id = 1"}},
		{[]string{"UPDATE t SET body = NULL WHERE id = 1"}, []string{"UPDATE t SET title = 'own' WHERE id = 1"}},
		{[]string{"INSERT INTO t VALUES (4, 40, 40, 'new', " + body("n") + ")"}, []string{"UPDATE t SET title = 'own' WHERE id = 4"}},
		{[]string{"DELETE FROM t WHERE id = 2"}, []string{"INSERT INTO t VALUES (2, 40, 50, 'own', " + body("o") + ")"}},
		{[]string{"UPDATE t SET u = 99 WHERE id = 2", "UPDATE t SET u = 20 WHERE id = 1"}, []string{"DELETE FROM t WHERE id = 1"}},
		{[]string{"UPDATE t SET u = 99 WHERE id = 2"}, []string{"UPDATE t SET u = 20 WHERE id = 1"}},
		{[]string{"UPDATE t SET k = k + 10"}, []string{"UPDATE t SET k = k + 10 WHERE id < 3", "DELETE FROM t WHERE id = 1"}},
	} {
		var shown [2][]string
		for side, run := range []func(session int, q string) []string{ours(t, s), theirs(t, db)} {
			run(0, "DROP TABLE IF EXISTS t")
			for _, q := range setup {
				run(0, q)
			}
			run(1, "BEGIN")
			run(1, "SELECT COUNT(*) FROM t")
			for _, q := range c.others {
				run(0, q)
			}
			for _, q := range c.own {
				run(1, q)
			}
			for _, q := range reads {
				shown[side] = append(shown[side], q+": "+strings.Join(run(1, q), ", "))
			}
			run(1, "COMMIT")
			for _, q := range reads {
				shown[side] = append(shown[side], "then "+q+": "+strings.Join(run(0, q), ", "))
			}
		}
		if !slices.Equal(shown[0], shown[1]) {
			t.Errorf("others %q, own %.100q:", c.others, c.own)
			for i := range shown[0] {
				if shown[0][i] != shown[1][i] {
					t.Errorf("  ours: %s\ntheirs: %s", shown[0][i], shown[1][i])
				}
			}
		}
	}
}

// ours runs statements in one of two sessions.
func ours(t *testing.T, s *server) func(int, string) []string {
	sessions := []*client{s.test(), s.test()}
	return func(i int, q string) []string { return sessions[i].must(q).rows }
}

func theirs(t *testing.T, db *gosql.DB) func(int, string) []string {
	var sessions []*gosql.Conn
	for range 2 {
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.ExecContext(t.Context(), "USE test"); err != nil {
			t.Fatal(err)
		}
		sessions = append(sessions, conn)
	}
	return func(i int, q string) []string {
		if !strings.HasPrefix(q, "SELECT") {
			if _, err := sessions[i].ExecContext(t.Context(), q); err != nil {
				t.Fatalf("MariaDB: %v in %s", err, q)
			}
			return nil
		}
		rows, err := rowsOf(sessions[i], q)
		if err != nil {
			t.Fatalf("MariaDB: %v in %s", err, q)
		}
		return rows
	}
}
