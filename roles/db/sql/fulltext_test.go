package sql

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/types"

	"stack/roles/db/fulltext"
	"stack/roles/db/txn"
)

// A FULLTEXT index belongs to its rows: in transactions, for other sessions, after a
// restart.
func TestFullTextInTransactions(t *testing.T) {
	s := newServer(t)
	a, b := s.test(), s.test()
	a.must("CREATE TABLE posts (id INT PRIMARY KEY, title VARCHAR(200), body TEXT, views INT DEFAULT 0, FULLTEXT KEY words (title, body))",
		"INSERT INTO posts (id, title, body) VALUES (1, 'Red apples', 'grow on trees'), (2, 'Green pears', 'are sweeter than apples'), (3, NULL, 'nothing')")
	search := "SELECT id FROM posts WHERE MATCH(title, body) AGAINST ('apples') ORDER BY id"
	a.want(search, "1", "2")

	a.must("BEGIN", "UPDATE posts SET title = 'Red cherries' WHERE id = 1", "INSERT INTO posts (id, title) VALUES (4, 'apples again')", "DELETE FROM posts WHERE id = 2")
	a.want(search, "4")
	b.want(search, "1", "2")
	a.must("SAVEPOINT s", "UPDATE posts SET body = 'apples' WHERE id = 3")
	a.want(search, "3", "4")
	a.must("ROLLBACK TO s")
	a.want(search, "4")
	a.must("ROLLBACK")
	a.want(search, "1", "2")

	b.must("BEGIN")
	b.want(search, "1", "2")
	a.must("UPDATE posts SET id = 10 WHERE id = 1", "UPDATE posts SET views = views + 1", "REPLACE INTO posts (id, title) VALUES (2, 'plums')")
	a.want(search, "10")
	b.want(search, "1", "2")
	b.must("COMMIT")
	b.want(search, "10")
	a.fails(1062, "INSERT INTO posts (id, title) VALUES (20, 'apples'), (2, 'apples')")
	a.want(search, "10")
	a.must("UPDATE posts SET views = 7 WHERE MATCH(title, body) AGAINST ('apples')")
	a.want("SELECT id FROM posts WHERE views = 7", "10")
	a.must("INSERT INTO posts (id, title) SELECT id + 100, title FROM posts WHERE MATCH(title, body) AGAINST ('apples')")
	a.want(search, "10", "110")
	a.must("DELETE FROM posts WHERE MATCH(title, body) AGAINST ('apples') AND id > 50")
	s.wantClean()
	s.restart()
	s.test().want(search, "10")
	s.wantClean()
}

func (s *server) wantClean() {
	s.t.Helper()
	if r, err := s.db.Check(context.Background(), nil); err != nil || !r.OK() {
		s.t.Errorf("check: %v %+v", err, r)
	}
}

// Every way to define, change and drop an index keeps it in step with its rows.
func TestFullTextDefinitions(t *testing.T) {
	s := newServer(t)
	c := s.test()
	const rows = " VALUES ('walnuts and figs', 'dates'), ('olives', 'figs')"
	search := func(table, columns, word string, n int) {
		t.Helper()
		c.want(fmt.Sprintf("SELECT COUNT(*) FROM %s WHERE MATCH(%s) AGAINST ('%s')", table, columns, word), fmt.Sprint(n))
	}
	c.must("CREATE TABLE t (a VARCHAR(99), b TEXT)", "INSERT INTO t"+rows)
	c.fails(1191, "SELECT * FROM t WHERE MATCH(a) AGAINST ('figs')")
	c.must("CREATE FULLTEXT INDEX fa ON t (a)", "ALTER TABLE t ADD FULLTEXT INDEX fab (a, b) COMMENT 'both'")
	search("t", "a", "figs", 1)
	search("t", "b, a", "figs", 2)
	want := "CREATE TABLE `t` (\n  `a` varchar(99) DEFAULT NULL,\n  `b` text,\n  FULLTEXT KEY `fa` (`a`),\n  FULLTEXT KEY `fab` (`a`,`b`) COMMENT 'both'\n) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_520_ci"
	c.want("SHOW CREATE TABLE t", "t|"+want)
	c.want("SELECT index_name, index_type, non_unique, column_name FROM information_schema.statistics WHERE table_name = 't' ORDER BY 1, seq_in_index", "fa|FULLTEXT|1|a", "fab|FULLTEXT|1|a", "fab|FULLTEXT|1|b")
	c.want("SHOW TABLES", "t")

	c.must(strings.Replace(want, "`t`", "`again`", 1), "INSERT INTO again"+rows)
	search("again", "a, b", "dates", 1)
	c.must("CREATE TABLE same LIKE t", "INSERT INTO same"+rows)
	c.want("SHOW CREATE TABLE same", "same|"+strings.Replace(want, "`t`", "`same`", 1))
	search("same", "a", "walnuts", 1)
	c.must("CREATE TABLE made (FULLTEXT (a)) SELECT * FROM t")
	search("made", "a", "olives", 1)

	c.must("ALTER TABLE t ADD COLUMN id INT PRIMARY KEY AUTO_INCREMENT FIRST, RENAME COLUMN a TO aa")
	search("t", "aa", "figs", 1)
	c.must("ALTER TABLE t MODIFY COLUMN aa MEDIUMTEXT", "RENAME TABLE t TO u", "ALTER TABLE u RENAME INDEX fa TO fx")
	search("u", "aa", "figs", 1)
	c.fails(1283, "ALTER TABLE u MODIFY COLUMN aa BLOB")
	c.fails(1283, "ALTER TABLE u ADD FULLTEXT (id)")
	c.fails(1283, "ALTER TABLE u ADD COLUMN g VARCHAR(9) COLLATE utf8mb4_bin, ADD FULLTEXT (aa, g)")
	c.must("ALTER TABLE u DROP COLUMN aa")
	search("u", "b", "figs", 1)
	c.want("SELECT index_name FROM information_schema.statistics WHERE table_name = 'u' ORDER BY 1", "fab", "PRIMARY")
	c.must("TRUNCATE TABLE u")
	search("u", "b", "figs", 0)
	c.must("INSERT INTO u (b) VALUES ('figs'), ('plums')", "DROP INDEX fab ON u")
	c.fails(1191, "SELECT * FROM u WHERE MATCH(b) AGAINST ('figs')")
	c.must("ALTER TABLE again CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
	search("again", "a", "OLIVES", 0)
	search("again", "a", "olives", 1)
	c.must("DROP TABLE same")
	s.wantClean()
	s.restart()
	s.wantClean()
}

// MATCH works wherever an expression does, and what it lacks is refused by name.
func TestMatchInStatements(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE p (id INT PRIMARY KEY, title VARCHAR(200), body TEXT, author INT, FULLTEXT (title, body), FULLTEXT (title))",
		"INSERT INTO p VALUES (1, 'salt and pepper', 'salt salt salt', 1), (2, 'pepper', 'mustard', 2), (3, 'sugar', 'honey and salt', 1)",
		"CREATE TABLE w (id INT PRIMARY KEY, name VARCHAR(20))", "INSERT INTO w VALUES (1, 'ann'), (2, 'bob')")
	c.want("SELECT id FROM p WHERE MATCH(title, body) AGAINST ('salt') ORDER BY MATCH(title, body) AGAINST ('salt') DESC", "1", "3")
	c.want("SELECT p.id, w.name FROM p JOIN w ON w.id = p.author WHERE MATCH(p.title, p.body) AGAINST ('pepper') ORDER BY p.id", "1|ann", "2|bob")
	c.want("SELECT x.id FROM p x WHERE MATCH(x.title) AGAINST ('pepper') AND x.id > 1", "2")
	c.want("SELECT COUNT(*) FROM p WHERE NOT MATCH(title) AGAINST ('pepper')", "1")
	c.want("SELECT id FROM p WHERE MATCH(title) AGAINST ('pepper') OR id = 3 ORDER BY id", "1", "2", "3")
	c.want("SELECT id FROM p WHERE MATCH(title) AGAINST ('pepper') > 100")
	c.want("SELECT id FROM p WHERE MATCH(title) AGAINST (NULL)")
	c.want("SELECT name FROM w WHERE id IN (SELECT author FROM p WHERE MATCH(title) AGAINST ('sugar'))", "ann")
	c.want("SELECT id, MATCH(title) AGAINST ('sugar') > 0 AS hit FROM p ORDER BY hit DESC, id LIMIT 2", "3|1", "1|0")
	c.must("SET @q = 'mustard'", "PREPARE f FROM 'SELECT id FROM p WHERE MATCH(title, body) AGAINST (? IN BOOLEAN MODE)'")
	c.want("EXECUTE f USING @q", "2")
	c.want("SELECT id FROM p WHERE MATCH(title, body) AGAINST (@q)", "2")
	c.must("CREATE VIEW v AS SELECT id FROM p WHERE MATCH(title, body) AGAINST ('+salt -pepper' IN BOOLEAN MODE)")
	c.want("SELECT * FROM v", "3")
	c.must("CREATE PROCEDURE find(q TEXT) SELECT id FROM p WHERE MATCH(title, body) AGAINST (q IN BOOLEAN MODE) ORDER BY id")
	c.want("CALL find('salt*')", "1", "3", "--")
	c.must("CREATE TABLE hits (n INT)", "CREATE TRIGGER ti AFTER INSERT ON p FOR EACH ROW INSERT INTO hits SELECT COUNT(*) FROM p WHERE MATCH(title, body) AGAINST ('salt')",
		"INSERT INTO p VALUES (4, 'salt', 'mine', 2)")
	c.want("SELECT n FROM hits", "3")
	c.want("SELECT id FROM p WHERE MATCH(title, body) AGAINST ('salt') FOR UPDATE", "1", "3", "4")

	c.must("CREATE FUNCTION namesakes(n INT) RETURNS INT READS SQL DATA RETURN (SELECT COUNT(*) FROM p a JOIN p b ON a.title = b.title WHERE a.id = n)")
	c.want("SELECT id, namesakes(id) FROM p ORDER BY id", "1|1", "2|1", "3|1", "4|1")

	c.fails(1191, "SELECT id FROM p WHERE MATCH(body) AGAINST ('x')")
	c.fails(1191, "SELECT n FROM hits WHERE MATCH(n) AGAINST ('x')")
	c.fails(1210, "SELECT id FROM p WHERE MATCH('title') AGAINST ('x')")
	c.fails(1235, "SELECT id FROM p WHERE MATCH(title) AGAINST ('x' WITH QUERY EXPANSION)", "QUERY EXPANSION")
	c.fails(1235, `SELECT id FROM p WHERE MATCH(title) AGAINST ('"salt pepper" @4' IN BOOLEAN MODE)`, "@distance")
	c.fails(1064, "SELECT id FROM p WHERE MATCH(title) AGAINST ('+' IN BOOLEAN MODE)")
	c.fails(1064, "SELECT id FROM p WHERE MATCH(title) AGAINST ('(salt' IN BOOLEAN MODE)")
}

// The index, not the table, leads to what a search finds; and never to more or less than
// the table would.
func TestMatchReadsByTheIndex(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, doc TEXT, FULLTEXT (doc))")
	for i := range 20 {
		c.must(fmt.Sprintf("INSERT INTO t VALUES (%d, 'common word%d')", i, i))
	}
	c.must("SELECT 1")
	keys := func(query string) int {
		t.Helper()
		ix := s.engine.Catalog().Table("test", "t").Indexes[0]
		tx := s.db.Begin(txn.RepeatableRead)
		defer tx.Rollback()
		c.Session.tx = tx
		defer func() { c.Session.tx = nil }()
		q := &search{table: newTable(&Database{engine: s.engine, name: "test"}, ix.Table), index: ix, mode: fulltext.Boolean}
		ctx := c.context(context.Background(), query)
		found, ok, err := q.candidates(ctx, expression.NewLiteral(query, types.LongText))
		if err != nil || !ok {
			t.Fatalf("%s: %v %v", query, ok, err)
		}
		return len(found)
	}
	for query, want := range map[string]int{
		"word3": 1, "word3 word4": 2, "+common +word7": 1, "+common word7": 20, "word1*": 11, "+common -word1": 20,
		`"common word5"`: 1, "+(word1 word2) common": 2, "-common": 0, "none": 0,
	} {
		if got := keys(query); got != want {
			t.Errorf("%s: %d rows are read, want %d", query, got, want)
		}
	}
}

// Rows found are those that MariaDB's InnoDB finds, in both modes.
func TestFullTextLikeInnoDB(t *testing.T) {
	peer := mariadb(t)
	s := newServer(t)
	c := s.test()
	const seed = 5
	rnd := rand.New(rand.NewPCG(seed, 0))
	words := []string{"apple", "apples", "apple's", "Äpfel", "apfel", "pear", "PEAR", "the", "with", "about", "to", "ox", "a1b2", "under_score", "日本語", "naïve", "naive", "x", "12345", "foo"}
	seps := []string{" ", " ", " ", ", ", ". ", "-", "\n", "/"}
	text := func(n int) string {
		var b strings.Builder
		for range n {
			b.WriteString(pick(rnd, words) + pick(rnd, seps))
		}
		return b.String()
	}
	both := func(q string) {
		t.Helper()
		if _, err := peer.ExecContext(t.Context(), q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
		c.must(q)
	}
	both("CREATE TABLE d (id INT PRIMARY KEY, a VARCHAR(300), b TEXT, FULLTEXT f (a, b)) ENGINE=InnoDB COLLATE utf8mb4_unicode_520_ci")
	for i := range 150 {
		both(fmt.Sprintf("INSERT INTO d VALUES (%d, %s, %s)", i, quote(text(rnd.IntN(4))), quote(text(rnd.IntN(8)))))
		if i%10 == 0 {
			both(fmt.Sprintf("UPDATE d SET b = %s WHERE id = %d", quote(text(3)), rnd.IntN(i+1)))
			both(fmt.Sprintf("DELETE FROM d WHERE id = %d", rnd.IntN(i+1)))
		}
	}
	if _, err := peer.ExecContext(t.Context(), "ANALYZE TABLE d"); err != nil { // its number of rows
		t.Fatal(err)
	}
	queries, wrong := 400, 0
	for range queries {
		against, boolean := randomSearch(rnd, words)
		if boolean {
			against += " IN BOOLEAN MODE"
		}
		q := "SELECT id FROM d WHERE MATCH(a, b) AGAINST (" + against + ") ORDER BY id"
		theirs, err := rowsOf(peer, q)
		out, ours := c.run(q)
		if (err == nil) != (ours == nil) {
			t.Errorf("%s\n   ours: %v\n theirs: %v", q, ours, err)
			wrong++
		} else if err == nil && !slices.Equal(out.rows, theirs) {
			t.Errorf("%s\n   ours: %v\n theirs: %v", q, out.rows, theirs)
			wrong++
		}
		if wrong > 12 {
			t.FailNow()
		}
	}
}

// What rows are worth in natural language mode is what it is in InnoDB, which goes on
// counting rows that were deleted: here none is.
func TestFullTextRankLikeInnoDB(t *testing.T) {
	peer := mariadb(t)
	s := newServer(t)
	c := s.test()
	rnd := rand.New(rand.NewPCG(6, 0))
	words := []string{"apple", "pear", "plum", "cherry", "the", "walnut", "fig", "olive", "zucchini"}
	create := "CREATE TABLE r (id INT PRIMARY KEY, a TEXT, FULLTEXT f (a)) ENGINE=InnoDB COLLATE utf8mb4_unicode_520_ci"
	insert := "INSERT INTO r VALUES "
	for i := range 60 {
		var b strings.Builder
		for range 1 + rnd.IntN(12) {
			b.WriteString(words[min(rnd.IntN(len(words)), rnd.IntN(len(words)))] + " ")
		}
		insert += fmt.Sprintf("(%d, %s),", i, quote(b.String()))
	}
	for _, q := range []string{create, strings.TrimSuffix(insert, ","), "ANALYZE TABLE r"} {
		if _, err := peer.ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
		c.must(q)
	}
	for _, search := range append(words, "apple pear", "plum zucchini", "fig olive", "nothing") {
		q := "SELECT id, MATCH(a) AGAINST (" + quote(search) + ") FROM r ORDER BY id"
		theirs, err := rowsOf(peer, q)
		if err != nil {
			t.Fatal(err)
		}
		for i, row := range c.must(q).rows {
			ours, peers := rankOf(t, row), rankOf(t, theirs[i])
			if math.Abs(ours-peers) > 1e-3*max(peers, 1e-6) {
				t.Errorf("%s: %s, InnoDB has %s", search, row, theirs[i])
			}
		}
	}
}

func rankOf(t *testing.T, row string) float64 {
	t.Helper()
	_, text, _ := strings.Cut(row, "|")
	rank, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatalf("%q: %v", row, err)
	}
	return rank
}

// randomSearch makes a search, quoted. Where InnoDB does not keep to the manual, there is
// none: - beside groups, phrases and prefixes, ~, and groups that are not all required.
func randomSearch(rnd *rand.Rand, words []string) (text string, boolean bool) {
	kind := rnd.IntN(4)
	boolean = kind > 0
	operators := [][]string{{""}, {"", "+", "-", ">", "<"}, {"+"}, {"", "+", ">", "<"}}[kind]
	var b strings.Builder
	for i := range 1 + rnd.IntN(3) {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(pick(rnd, operators))
		w := pick(rnd, words)
		switch {
		case kind == 2 && rnd.IntN(2) == 0:
			w = "(" + w + " " + pick(rnd, words) + ")"
		case kind == 3 && rnd.IntN(3) == 0:
			w = string([]rune(w)[:min(3, len([]rune(w)))]) + "*"
		case kind%2 == 0 && rnd.IntN(5) == 0:
			w = `"` + w + " " + pick(rnd, words) + `"`
		}
		b.WriteString(w)
	}
	return quote(b.String()), boolean
}

func quote(s string) string {
	return "'" + strings.NewReplacer("\\", "\\\\", "'", "''").Replace(s) + "'"
}
