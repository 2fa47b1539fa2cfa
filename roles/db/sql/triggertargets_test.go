package sql

import (
	"slices"
	"testing"
)

// UPDATE and DELETE with subqueries in triggers, beside MariaDB.
func TestSubqueriesInTriggers(t *testing.T) {
	conn := mariadb(t)
	s := newServer(t)
	c := s.test()
	for _, q := range []string{
		"CREATE TABLE a (id INT PRIMARY KEY, n INT)", "CREATE TABLE b (id INT PRIMARY KEY, n INT, KEY (n))", "CREATE TABLE c (id INT PRIMARY KEY, n INT)", "CREATE TABLE d (id INT PRIMARY KEY, n INT)",
		"INSERT INTO b VALUES (1, 10), (2, 20), (3, 30), (4, 40)", "INSERT INTO c SELECT * FROM b", "INSERT INTO d SELECT * FROM b",
		"CREATE TRIGGER ai AFTER INSERT ON a FOR EACH ROW UPDATE b SET n = n + NEW.n WHERE id IN (SELECT id FROM c WHERE c.n >= NEW.n)",
		"INSERT INTO a VALUES (1, 30)", "INSERT INTO a VALUES (2, 40), (3, 5)",
		"CREATE TRIGGER au AFTER UPDATE ON a FOR EACH ROW BEGIN IF NEW.n > 0 THEN DELETE FROM b WHERE id IN (SELECT id FROM c WHERE c.n = NEW.n) AND n > 1; " +
			"ELSE UPDATE b SET n = 5 WHERE EXISTS (SELECT 1 FROM c WHERE c.id = b.id AND c.n <= OLD.n) AND id NOT IN (SELECT id FROM d WHERE d.n = OLD.n); END IF; END",
		"UPDATE a SET n = 20 WHERE id = 1", "UPDATE a SET n = -1 WHERE id = 1",
		"CREATE TRIGGER ad BEFORE DELETE ON a FOR EACH ROW UPDATE b SET n = 100 WHERE (id, 10) IN (SELECT c.id, d.n FROM c JOIN d WHERE d.n = 10 AND c.n <> OLD.n)",
		"DELETE FROM a WHERE id = 2", "DROP TRIGGER ai",
		"CREATE TRIGGER ai AFTER INSERT ON a FOR EACH ROW DELETE FROM b WHERE n IN (SELECT MAX(n) FROM d GROUP BY id HAVING MAX(n) > NEW.n) OR id = NEW.id",
		"INSERT INTO a VALUES (4, 0)", "DROP TRIGGER ai",
		"CREATE TRIGGER ai AFTER INSERT ON a FOR EACH ROW UPDATE b JOIN c ON b.id = c.id SET b.n = 7, c.n = c.n + 1 WHERE c.n > NEW.n",
		"INSERT INTO a VALUES (5, 25)", "INSERT INTO a VALUES (6, 5), (7, 1000)",
	} {
		c.must(q)
		if _, err := conn.ExecContext(t.Context(), q); err != nil {
			t.Fatal(q, err)
		}
		for _, q := range []string{"SELECT * FROM b ORDER BY id", "SELECT * FROM c ORDER BY id"} {
			theirs, err := rowsOf(conn, q)
			if err != nil {
				continue // the table is not there yet
			}
			if ours, err := c.run(q); err != nil || !slices.Equal(ours.rows, theirs) {
				t.Errorf("%s\n  ours: %q %v\ntheirs: %q", q, ours.rows, err, theirs)
			}
		}
	}
	if problems := checkStore(t, s); problems != "" {
		t.Error(problems)
	}
}
