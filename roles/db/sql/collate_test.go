package sql

import "testing"

// Every way to compare text goes by the collation, and numbers with a fraction by their
// value, with and without an index.
func TestComparisonsAgree(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE a (i INT PRIMARY KEY, v TEXT, w VARCHAR(10), d DECIMAL(8,2), f DOUBLE, b VARCHAR(10) COLLATE utf8mb4_bin, KEY (w), KEY (d), KEY (f))",
		"INSERT INTO a VALUES (1,'abc','abc',9.99,0.5,'abc'), (2,'ABC','ABC',1,1,'ABC'), (3,'ábc','ábc',2.5,2.5,'ábc'), (4,'x','x',NULL,NULL,'x'), (5,NULL,NULL,9.99,0.5,NULL)")
	for query, rows := range map[string][]string{
		"SELECT i FROM a WHERE v IN ('ABC', 'q') ORDER BY i":                                         {"1", "2", "3"},
		"SELECT i FROM a WHERE v IN ('x', 'q')":                                                      {"4"},
		"SELECT COUNT(*) FROM a WHERE v IN ('ABC', 'q')":                                             {"3"},
		"SELECT i FROM a WHERE v IN ('ÀBC', 'q')":                                                    {"1", "2", "3"},
		"SELECT i FROM a WHERE w IN ('ABC', 'q') ORDER BY i":                                         {"1", "2", "3"},
		"SELECT i FROM a WHERE v NOT IN ('ABC', 'q') ORDER BY i":                                     {"4"},
		"SELECT i FROM a WHERE v IN ('X', NULL) ORDER BY i":                                          {"4"},
		"SELECT i FROM a WHERE v NOT IN ('X', NULL)":                                                 {},
		"SELECT i FROM a WHERE b IN ('ABC', 'q')":                                                    {"2"},
		"SELECT v IN ('ABC') FROM a ORDER BY i":                                                      {"1", "1", "1", "0", "NULL"},
		"SELECT i FROM a WHERE v <=> 'Abc' ORDER BY i":                                               {"1", "2", "3"},
		"SELECT i FROM a WHERE NOT (v <=> 'Abc') ORDER BY i":                                         {"4", "5"},
		"SELECT i FROM a WHERE v <=> NULL":                                                           {"5"},
		"SELECT COUNT(*) FROM (SELECT DISTINCT v FROM a) q":                                          {"3"},
		"SELECT COUNT(*) FROM (SELECT w FROM a UNION SELECT w FROM a) q":                             {"3"},
		"SELECT i FROM a UNION SELECT 1 ORDER BY i DESC LIMIT 2 OFFSET 1":                            {"4", "3"},
		"SELECT i FROM a WHERE i IN (SELECT i FROM a WHERE v IN ('ABC')) ORDER BY i":                 {"1", "2", "3"},
		"SELECT (SELECT COUNT(*) FROM a y WHERE y.v IN ('ABC') AND y.i >= x.i) FROM a x WHERE i = 2": {"2"},
		"SELECT i FROM a WHERE d <> 9.99 ORDER BY i":                                                 {"2", "3"},
		"SELECT i FROM a WHERE d NOT IN (9.99, 1) ORDER BY i":                                        {"3"},
		"SELECT i FROM a WHERE f <> 0.5 ORDER BY i":                                                  {"2", "3"},
	} {
		c.want(query, rows...)
	}
	c.must("CREATE TABLE c (v VARCHAR(10))", "INSERT INTO c SELECT v FROM a WHERE v IN ('ABC')")
	c.want("SELECT COUNT(*) FROM c", "3")
	c.must("DELETE FROM a WHERE v IN ('aBC', 'Q')")
	c.want("SELECT COUNT(*) FROM a", "2")
}

// A new value that equals the old one by its collation is written all the same.
func TestUpdateOfCaseAndAccents(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE n (i INT PRIMARY KEY, v VARCHAR(10), t TEXT, KEY (v))", "INSERT INTO n VALUES (1, 'bob', 'resume'), (2, 'ann', 'x')",
		"UPDATE n SET v = 'Bob' WHERE i = 1", "UPDATE n SET t = 'Résumé' WHERE v = 'bob'", "UPDATE n SET t = UPPER(t) WHERE i = 2")
	c.want("SELECT v, t FROM n ORDER BY i", "Bob|Résumé", "ann|X")
	c.must("CREATE TABLE parent (i INT PRIMARY KEY, v VARCHAR(10), UNIQUE (v))", "CREATE TABLE child (i INT PRIMARY KEY, p INT, v VARCHAR(10), FOREIGN KEY (p) REFERENCES parent (i), FOREIGN KEY (v) REFERENCES parent (v) ON UPDATE CASCADE)",
		"INSERT INTO parent VALUES (1, 'bob'), (2, 'ann')", "INSERT INTO child VALUES (1, 1, 'bob')",
		"UPDATE parent SET v = UPPER(v) WHERE i = 2", "UPDATE parent SET v = 'Ann' WHERE i = 2", "UPDATE child SET v = 'BOB'", "UPDATE child SET v = LOWER(v), p = 2")
	c.want("SELECT v FROM parent ORDER BY i", "bob", "Ann")
	c.want("SELECT p, v FROM child", "2|bob")
	if r, err := s.db.Check(t.Context(), nil); err != nil || !r.OK() {
		t.Error(err, r)
	}
}

// What follows from a text follows it where only its case changes: CHECK, generated columns, ON UPDATE, indexes over
// expressions, triggers, and the number of changed rows.
func TestUpdateOfCaseInWhatFollows(t *testing.T) {
	s := newServer(t)
	c := s.test()
	affected := func(want uint64, query string) {
		t.Helper()
		if got := c.must(query).affected; got != want {
			t.Errorf("%s\naffects %d rows, want %d", query, got, want)
		}
	}
	const old = "2000-01-01 00:00:00"
	columns := "id INT PRIMARY KEY, v VARCHAR(20), h VARCHAR(80) AS (HEX(v)) STORED, ts DATETIME DEFAULT '" + old + "' ON UPDATE CURRENT_TIMESTAMP, CHECK (HEX(v) <> '424F42'), KEY ((MD5(v)))"
	c.must("CREATE TABLE plain (id INT PRIMARY KEY, v VARCHAR(20))", "CREATE TABLE t ("+columns+")", "CREATE TABLE p (v VARCHAR(20) PRIMARY KEY)", "INSERT INTO p VALUES ('bob')",
		"CREATE TABLE keyed ("+columns+", FOREIGN KEY (v) REFERENCES p (v))", "CREATE DATABASE fired", "CREATE TABLE fired.t ("+columns+")",
		"CREATE TABLE fired.u ("+columns+")", "CREATE TRIGGER fired.tr BEFORE UPDATE ON fired.u FOR EACH ROW SET NEW.v = CONCAT(UPPER(LEFT(NEW.v, 1)), SUBSTRING(NEW.v, 2))")
	for _, table := range []string{"plain", "t", "keyed", "fired.t", "fired.u"} {
		c.must("INSERT INTO " + table + " (id, v) VALUES (1, 'bob')")
		affected(1, "UPDATE "+table+" SET v = 'Bob' WHERE id = 1")
		affected(0, "UPDATE "+table+" SET v = 'Bob'")
		c.want("SELECT HEX(v) FROM "+table, "426F62")
		if table == "plain" {
			affected(2, "INSERT INTO plain VALUES (1, 'x') ON DUPLICATE KEY UPDATE v = 'bob'")
			affected(0, "INSERT INTO plain VALUES (1, 'x') ON DUPLICATE KEY UPDATE v = 'bob'")
			c.want("SELECT v FROM plain", "bob")
			continue
		}
		c.want("SELECT h, ts > '"+old+"' FROM "+table, "426F62|1")
		c.want("SELECT id FROM "+table+" WHERE MD5(v) = MD5('Bob')", "1")
		c.must("UPDATE " + table + " SET ts = '" + old + "'")
		c.fails(3819, "UPDATE "+table+" SET v = 'BOB'")
		c.fails(3819, "INSERT INTO "+table+" (id, v) VALUES (1, 'bob') ON DUPLICATE KEY UPDATE v = 'BOB'")
		affected(2, "INSERT INTO "+table+" (id, v) VALUES (1, 'bob') ON DUPLICATE KEY UPDATE v = 'BoB'")
		c.want("SELECT v, h, ts > '"+old+"' FROM "+table, "BoB|426F42|1")
	}
	// Where rows of others decide, and in joins.
	c.must("CREATE TABLE o (id INT PRIMARY KEY, v VARCHAR(20))", "INSERT INTO o VALUES (1, 'bob')")
	for _, table := range []string{"plain", "t", "keyed", "fired.t"} {
		c.must("UPDATE "+table+" SET v = 'bob'", "UPDATE o SET v = 'bob'")
		affected(1, "UPDATE "+table+" SET v = 'Bob' WHERE id IN (SELECT id FROM o)")
		affected(0, "UPDATE "+table+" SET v = 'Bob' WHERE EXISTS (SELECT 1 FROM o WHERE o.id = "+table+".id)")
		affected(2, "UPDATE "+table+" x LEFT JOIN o ON o.id = x.id SET x.v = 'boB', o.v = 'boB'")
		affected(1, "UPDATE o JOIN "+table+" x ON o.id = x.id SET x.v = 'BOb', o.v = 'boB'")
		c.want("SELECT x.v, o.v FROM "+table+" x JOIN o USING (id)", "BOb|boB")
		if table != "plain" {
			c.fails(3819, "UPDATE "+table+" JOIN o ON o.id = "+table+".id SET "+table+".v = 'BOB'")
			c.want("SELECT h FROM "+table, "424F62")
		}
	}
	if r, err := s.db.Check(t.Context(), nil); err != nil || !r.OK() {
		t.Error(err, r)
	}
}
