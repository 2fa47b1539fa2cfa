package sql

import "testing"

// A prefix is the key of longer values too: neither two ranges nor a join may take the
// key for the value.
func TestPrefixIndexChecksTheWholeValue(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE p (i INT PRIMARY KEY, f TEXT, KEY f3 (f(3)))",
		"INSERT INTO p VALUES (1, 'abcdef'), (2, 'ABCxyz'), (3, 'abc'), (4, 'zz'), (5, NULL), (6, 'abcDEF')")
	for query, rows := range map[string][]string{
		"SELECT i FROM p WHERE f <> 'abcdef' ORDER BY i":                                                    {"2", "3", "4"},
		"SELECT i FROM p WHERE f NOT IN ('abcdef', 'abc') ORDER BY i":                                       {"2", "4"},
		"SELECT i FROM p WHERE f > 'abc' ORDER BY i":                                                        {"1", "2", "4", "6"},
		"SELECT i FROM p WHERE f <= 'abcdef' ORDER BY i":                                                    {"1", "3", "6"},
		"SELECT i FROM p WHERE f < 'abd' AND f > 'abcx' ORDER BY i":                                         {"2"},
		"SELECT i FROM p WHERE f IS NULL":                                                                   {"5"},
		"SELECT i FROM p WHERE f = 'abcdef' OR f = 'abcxyz' ORDER BY i":                                     {"1", "2", "6"},
		"SELECT x.i, y.i FROM p x LEFT JOIN p y ON x.f = y.f AND y.i > x.i ORDER BY 1, 2":                   {"1|6", "2|NULL", "3|NULL", "4|NULL", "5|NULL", "6|NULL"},
		"SELECT x.i, y.i FROM p x JOIN p y ON x.f = y.f AND y.i > x.i":                                      {"1|6"},
		"SELECT x.i FROM p x WHERE NOT EXISTS (SELECT 1 FROM p y WHERE y.f = x.f AND y.i < x.i) ORDER BY 1": {"1", "2", "3", "4", "5"},
	} {
		c.want(query, rows...)
	}
	c.must("CREATE TABLE q (id INT PRIMARY KEY, c0 INT, c1 TEXT, c2 DATE, KEY (c1(1), c2, c0))",
		"INSERT INTO q VALUES (3, NULL, 'a', '2030-05-05'), (4, 0, 'A', '2030-05-05'), (5, 200, 'A', '2030-05-05'), (6, 3, 'a', '2024-01-01')")
	c.want("SELECT id FROM q WHERE (c2 = '2030-05-05' AND c1 = 'a') OR c0 > 4 ORDER BY id", "3", "4", "5")
}

// A row that several rows of a join lead to is deleted once, and the rows that it was
// joined with are deleted all the same.
func TestDeleteFromJoinedTables(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE u (i INT PRIMARY KEY, n INT)", "CREATE TABLE v (i INT PRIMARY KEY, u INT)", "CREATE TABLE w (u INT)",
		"INSERT INTO u VALUES (1, 1), (2, 2)", "INSERT INTO v VALUES (1, 2), (2, 2), (3, 1), (4, 9)", "INSERT INTO w VALUES (2), (2), (9)")
	c.must("DELETE u, v FROM u JOIN v ON u.i = v.u WHERE u.i = 2")
	c.want("SELECT i FROM u", "1")
	c.want("SELECT i FROM v ORDER BY i", "3", "4")
	c.must("INSERT INTO u VALUES (2, 2)")
	c.must("DELETE u, w FROM u JOIN w ON u.i = w.u")
	c.want("SELECT i FROM u", "1")
	c.want("SELECT u FROM w", "9")
}

// A statement's reads see none of its own writes, however its plan gets at the rows; its
// foreign keys do.
func TestStatementReadsWhatWasThereAtItsStart(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE u (i INT PRIMARY KEY, n INT)", "CREATE TABLE v (i INT PRIMARY KEY, u INT)",
		"INSERT INTO u VALUES (1, 1), (2, 2), (3, 3)", "INSERT INTO v VALUES (1, 2), (2, 2), (3, 1)")
	c.must("UPDATE v JOIN u ON u.i = v.u SET u.n = u.n + 1")
	c.want("SELECT * FROM u ORDER BY i", "1|2", "2|3", "3|3")
	c.must("UPDATE u a JOIN u b ON a.i = b.i + 1 SET a.n = b.n")
	c.want("SELECT * FROM u ORDER BY i", "1|2", "2|2", "3|3")
	c.must("BEGIN", "INSERT INTO u VALUES (4, 4)", "UPDATE u a JOIN u b ON a.i = b.i + 1 SET a.n = b.n", "COMMIT")
	c.want("SELECT * FROM u ORDER BY i", "1|2", "2|2", "3|2", "4|3")
	c.must("CREATE TABLE n (id INT PRIMARY KEY, parent INT, FOREIGN KEY (parent) REFERENCES n (id) ON DELETE CASCADE)",
		"INSERT INTO n VALUES (1, NULL), (2, 1), (3, 2), (4, 4)")
	c.fails(1452, "INSERT INTO n VALUES (5, 6), (6, NULL)")
	c.must("DELETE FROM n WHERE id IN (1, 2)")
	c.want("SELECT id FROM n", "4")
}

// Index entries are those of the row as it is, not as the statement read it, where the
// statement itself has changed it in between.
func TestIndexesFollowRowsChangedTwice(t *testing.T) {
	s := newServer(t)
	c := s.test()
	check := func() {
		t.Helper()
		if r, err := s.db.Check(t.Context(), nil); err != nil || len(r.Problems) > 0 {
			t.Error(err, r.Problems)
		}
	}
	c.must("CREATE TABLE n (id INT PRIMARY KEY, parent INT, KEY (parent), FOREIGN KEY (parent) REFERENCES n (id) ON DELETE SET NULL)",
		"INSERT INTO n VALUES (1, NULL), (2, 1), (3, 2)", "DELETE FROM n WHERE id IN (1, 2)")
	c.want("SELECT * FROM n WHERE parent IS NULL", "3|NULL")
	check()
	c.must("CREATE TABLE u (i INT PRIMARY KEY, n INT, m INT, KEY (n), KEY (m))", "INSERT INTO u VALUES (1, 1, 1), (2, 2, 2)")
	c.fails(1235, "UPDATE u a JOIN u b ON a.i = b.i SET a.n = a.n + 10, b.m = b.m + 10")
	c.want("SELECT * FROM u WHERE n > 0 ORDER BY i", "1|1|1", "2|2|2")
	check()
}

// A row that the transaction has written before is no stale one, whatever its types.
func TestUpdateOwnRowOfEveryType(t *testing.T) {
	c := newServer(t).test()
	c.must(`CREATE TABLE a (i INT PRIMARY KEY, t TINYINT, u BIGINT UNSIGNED, f FLOAT, d DOUBLE, n DECIMAL(20,6), c CHAR(5), v VARCHAR(20), b BINARY(4),
		vb VARBINARY(9), x TEXT, l LONGBLOB, j JSON, e ENUM('x','y'), s SET('p','q'), bt BIT(9), da DATE, dt DATETIME(6), ts TIMESTAMP(3), ti TIME, y YEAR, g INT AS (t + 1) STORED)`,
		"BEGIN",
		`INSERT INTO a (i, t, u, f, d, n, c, v, b, vb, x, l, j, e, s, bt, da, dt, ts, ti, y) VALUES (1, -5, 18446744073709551615, 1.1, -0.0, 1.5, 'é ', 'a ', 'x', x'00ff', 'text', REPEAT('z', 20000),
		'{"b": [1, 1.50, null], "a": "é"}', 'y', 'q,p', b'101', '2024-02-29', '2024-01-01 10:20:30.123456', '2024-01-01 10:20:30.125', '-12:30:01.5', 2024)`,
		"UPDATE a SET t = 5", "UPDATE a SET v = 'b'", "COMMIT", "BEGIN", "UPDATE a SET t = 6", "UPDATE a SET u = 7", "DELETE FROM a", "ROLLBACK")
	c.want("SELECT t, u, v, g, LENGTH(l) FROM a", "5|18446744073709551615|b|6|20000")
}
