package sql

import (
	"slices"
	"testing"
)

// UPDATE, DELETE and locking reads by a search lock the rows that the index names, as
// InnoDB does: others stay free, what is found waits, and is looked at again.
func TestSearchesLockWhatTheyFind(t *testing.T) {
	setup := []string{"DROP TABLE IF EXISTS p", "CREATE TABLE p (id INT PRIMARY KEY, a TEXT, n INT, FULLTEXT (a)) ENGINE=InnoDB",
		"INSERT INTO p VALUES (1, 'apple pear', 0), (2, 'plum', 0), (3, 'apple', 0), (4, 'cherry', 0)"}
	cases := []isolationCase{
		// A row that is not found can be written, and one be put in.
		{name: "others", setup: setup, steps: []string{
			"1: UPDATE p SET n = n + 1 WHERE MATCH (a) AGAINST ('apple')", "2: UPDATE p SET n = n + 10 WHERE id = 2", "2: INSERT INTO p VALUES (5, 'fig', 0)",
			"2: DELETE FROM p WHERE MATCH (a) AGAINST ('cherry')", "2: COMMIT", "1: SELECT n FROM p WHERE id = 1 FOR UPDATE", "1: COMMIT", "3: SELECT id, n FROM p ORDER BY id", "3: COMMIT",
		}},
		// Two that find the same row: the second one counts on.
		{name: "lost update", setup: setup, steps: []string{
			"1: UPDATE p SET n = n + 1 WHERE MATCH (a) AGAINST ('apple')", "2: UPDATE p SET n = n + 10 WHERE MATCH (a) AGAINST ('pear')", "1: COMMIT", "2: COMMIT",
			"3: SELECT id, n FROM p ORDER BY id", "3: COMMIT",
		}},
		// A row that stops to match while it is waited for.
		{name: "changed meanwhile", setup: setup, steps: []string{
			"1: UPDATE p SET a = 'melon' WHERE id = 1", "2: DELETE FROM p WHERE MATCH (a) AGAINST ('apple')", "1: COMMIT", "2: COMMIT",
			"3: SELECT id, a FROM p ORDER BY id", "3: COMMIT",
		}},
		{name: "FOR UPDATE", setup: setup, steps: []string{
			"1: SELECT id FROM p WHERE MATCH (a) AGAINST ('apple') FOR UPDATE", "2: SELECT id FROM p WHERE id = 3 FOR UPDATE SKIP LOCKED",
			"2: SELECT id FROM p WHERE id = 4 FOR UPDATE SKIP LOCKED", "2: COMMIT", "1: COMMIT",
		}},
	}
	ours, theirs := ourPeer{newServer(t)}, mariaPeer{mariadbServer(t)}
	for i := range cases {
		for _, level := range []string{"READ COMMITTED", "REPEATABLE READ"} {
			a, b := play(t, ours, &cases[i], level), play(t, theirs, &cases[i], level)
			for step, q := range cases[i].steps {
				if errorCode(a.errors[step]) != errorCode(b.errors[step]) || !slices.Equal(a.answers[step], b.answers[step]) {
					t.Errorf("%s at %s: %s\n   ours %q (%v)\n theirs %q (%v)", cases[i].name, level, q, a.answers[step], a.errors[step], b.answers[step], b.errors[step])
				}
			}
		}
	}
	// Under SERIALIZABLE nothing that would match comes in between: the table is locked.
	a := play(t, ours, &isolationCase{name: "serializable", setup: setup, steps: []string{
		"1: UPDATE p SET n = n + 1 WHERE MATCH (a) AGAINST ('apple')", "2: INSERT INTO p VALUES (6, 'apple', 7)",
		"1: SELECT COUNT(*) FROM p WHERE MATCH (a) AGAINST ('apple')", "1: COMMIT", "2: COMMIT",
	}}, "SERIALIZABLE")
	if !a.got(2, "2") {
		t.Errorf("a row came in between: %v", a.answers)
	}
}
