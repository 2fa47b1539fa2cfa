package sql

import "testing"

// ON DUPLICATE KEY UPDATE reads what a SELECT brings.
func TestValuesOfSelectAsMariaDB(t *testing.T) {
	conn := mariadb(t)
	c := newServer(t).test()
	both := func(q string) { t.Helper(); onBoth(t, c, conn, q) }
	for _, q := range []string{
		"CREATE TABLE t (id INT PRIMARY KEY, x INT, y INT, s VARCHAR(10))", "INSERT INTO t VALUES (1, 10, 5, 'a'), (2, 20, 6, 'b'), (3, NULL, 7, NULL)",
		"CREATE TABLE u (id INT PRIMARY KEY, x INT, n INT DEFAULT 0)", "INSERT INTO u VALUES (1, 0, 1)", "CREATE TABLE g (id INT PRIMARY KEY, x INT, d INT AS (x * 2) STORED)", "INSERT INTO g (id, x) VALUES (1, 1)",
	} {
		both(q)
	}
	for _, q := range []string{
		"INSERT INTO u SELECT id, x, y FROM t WHERE id < 3 ON DUPLICATE KEY UPDATE x = VALUES(x)", "INSERT INTO u (id, x) SELECT id, y FROM t ON DUPLICATE KEY UPDATE x = VALUES(x), n = n + 1", "INSERT INTO u (x, id) SELECT y + 1, id FROM t ON DUPLICATE KEY UPDATE x = VALUES(x) + u.x",
		"INSERT INTO u (id, x) SELECT id, SUM(x) FROM t GROUP BY id ON DUPLICATE KEY UPDATE x = VALUES(x)", "INSERT INTO u (id, x) SELECT id, COUNT(*) AS x FROM t GROUP BY id HAVING x > 0 ORDER BY x, id DESC LIMIT 2 ON DUPLICATE KEY UPDATE u.x = u.x + VALUES(x)",
		"INSERT INTO u (id, x) SELECT * FROM (SELECT id, x FROM t) q ON DUPLICATE KEY UPDATE x = IFNULL(VALUES(x), u.x - 1)", "INSERT INTO u (id, x) SELECT 1, 5 UNION ALL SELECT 9, 6 ON DUPLICATE KEY UPDATE x = VALUES(x) * 2", "INSERT INTO u (id, x) SELECT a.id, b.y FROM t a JOIN t b ON a.id = b.id ON DUPLICATE KEY UPDATE x = VALUES(x) + b.y",
		"INSERT INTO u (id, x) SELECT id, y FROM t ON DUPLICATE KEY UPDATE x = t.y, n = VALUES(id)", "INSERT INTO u (id, x) SELECT id, x FROM u ON DUPLICATE KEY UPDATE n = VALUES(x)", "INSERT IGNORE INTO u (id, x) SELECT id, x FROM t WHERE s LIKE '%a%' ON DUPLICATE KEY UPDATE x = GREATEST(VALUES(x), 3), n = IF(VALUES(id) > 1, n, VALUES(x))",
		"INSERT INTO g (id, x) SELECT id, y FROM t ON DUPLICATE KEY UPDATE x = VALUES(x)", "REPLACE INTO u (id, x) SELECT id, x FROM t",
	} {
		both(q)
		asMariaDB(t, c, conn, "SELECT * FROM u ORDER BY id")
		asMariaDB(t, c, conn, "SELECT * FROM g ORDER BY id")
	}
	for _, q := range []string{
		"CREATE TRIGGER tr AFTER INSERT ON t FOR EACH ROW INSERT INTO u (id, x) SELECT NEW.id, NEW.y + u2.q FROM (SELECT 3 AS q) u2 ON DUPLICATE KEY UPDATE x = VALUES(x), n = n + 1", "INSERT INTO t VALUES (4, 1, 1, 'x'), (9, 2, 2, 'y')",
		"PREPARE p FROM 'INSERT INTO u (id, x) SELECT id, x + ? FROM t ON DUPLICATE KEY UPDATE x = VALUES(x) + ?'", "SET @a = 100, @b = 1000", "EXECUTE p USING @a, @b", "EXECUTE p USING @b, @a",
	} {
		both(q)
		asMariaDB(t, c, conn, "SELECT * FROM u ORDER BY id")
	}
	st, err := c.prepare(t.Context(), "INSERT INTO u (id, x) SELECT id, x FROM t WHERE id < 3 ON DUPLICATE KEY UPDATE x = VALUES(x) + 1")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := st.execute(t.Context(), nil, &collected{}); err != nil {
			t.Error(err)
		}
	}
	c.want("SELECT x FROM u WHERE id < 3 ORDER BY id", "11", "21")
}
