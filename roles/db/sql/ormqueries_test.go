package sql

import (
	"strings"
	"testing"
)

// What the test suites of Django and SQLAlchemy ask in other words than people do.
func TestQueriesOfFrameworksAsMariaDB(t *testing.T) {
	conn := mariadb(t)
	c := newServer(t).test()
	onBoth(t, c, conn,
		"CREATE TABLE publisher (id INT PRIMARY KEY, name VARCHAR(20) COLLATE utf8mb4_general_ci, awards INT) CHARACTER SET utf8mb4",
		"CREATE TABLE book (id INT PRIMARY KEY, publisher INT, pages INT, rating DOUBLE, price DECIMAL(6,2), day DATE, KEY (publisher)) CHARACTER SET utf8mb4",
		"INSERT INTO publisher VALUES (1, 'Apress', 3), (2, 'sams', 1), (3, 'Prentice', 7), (4, 'prent%ice', 9), (5, NULL, 0)",
		"INSERT INTO book VALUES (1, 1, 447, 4.5, 30.00, '2007-12-06'), (2, 2, 528, 3, 23.09, '2008-03-03'), (3, 1, 300, 4, 29.69, '2008-06-23'), (4, 3, 350, 4, 29.69, '2008-11-03'), (5, 4, 1132, 4, 82.80, '1995-01-15'), (6, 3, 946, 5, 75.00, '1991-10-15')",
		"CREATE TABLE numbers (id INT PRIMARY KEY, n BIGINT, u BIGINT UNSIGNED, s VARCHAR(30), t TIME(6), at DATETIME(6))",
		"INSERT INTO numbers VALUES (1, -42, 18446744073709551615, '18446744073709551574', '12:30:15.002345', '2024-01-02 03:04:05.6'), (2, 5, 5, ' 99999999999999999999 x', '-00:00:01.5', '2024-01-02'), (3, NULL, NULL, '-3', NULL, NULL)",
	)
	for _, q := range []string{
		// LIKE and REGEXP of bytes
		"SELECT id FROM publisher WHERE name LIKE BINARY 'P%' ORDER BY id",
		"SELECT id FROM publisher WHERE name LIKE BINARY CONCAT(REPLACE('prent%', '%', '\\%'), '%') ORDER BY id",
		"SELECT id FROM publisher WHERE NOT (name LIKE BINARY '%S') ORDER BY id",
		"SELECT id, name LIKE BINARY 'APRESS', name LIKE 'APRESS', BINARY name LIKE 'Apress', name LIKE CAST('aPRESS' AS BINARY) FROM publisher ORDER BY id",
		"SELECT id FROM publisher WHERE name REGEXP BINARY '^p' ORDER BY id",
		"SELECT id FROM publisher WHERE name REGEXP '^p' ORDER BY id",
		"SELECT COUNT(CASE WHEN name LIKE BINARY 'p%' THEN 1 END), SUM(name NOT LIKE BINARY 'p%') FROM publisher",
		// deviations
		"SELECT ROUND(STDDEV_POP(pages), 3), ROUND(STDDEV_SAMP(pages), 3), ROUND(VAR_POP(pages), 3), ROUND(VAR_SAMP(pages), 3), ROUND(STD(price), 3), ROUND(VARIANCE(rating), 4) FROM book",
		"SELECT publisher, ROUND(STDDEV(pages), 2) FROM book GROUP BY publisher ORDER BY publisher",
		"SELECT id, ROUND(STDDEV_POP(pages) OVER (PARTITION BY publisher), 2) FROM book ORDER BY id",
		// integers as their bits
		"SELECT id, CAST(u AS SIGNED), CAST(s AS SIGNED), CONVERT(n & 56, SIGNED), CONVERT(n ^ 3, SIGNED), CONVERT(n << 2, SIGNED), CAST(~n AS SIGNED) FROM numbers ORDER BY id",
		"SELECT id, ~n, ~u, ~5 & 255, 5 & ~1, ~(n + 1) FROM numbers ORDER BY id",
		"SELECT CAST(18446744073709551615 AS SIGNED), CAST(~0 AS SIGNED), CAST(18446744073709551615.0 AS SIGNED), CAST(-1 AS UNSIGNED), ~NULL",
		"SELECT id, u & n, n | u, u ^ 3, u >> 1, 9007199254740993 | u, n & 18446744073709551615, 2.5 | 0, 2.4e0 | 0, u << 64, n >> 63, NULL & n FROM numbers ORDER BY id",
		// parts of times
		"SELECT id, MICROSECOND(t), MICROSECOND(at), MICROSECOND('11:15:00'), MICROSECOND('-11:15:00.125'), MICROSECOND('2020-01-01 11:15:01.5'), MICROSECOND(NULL) FROM numbers ORDER BY id",
		"SELECT d, WEEK(d, 0), WEEK(d, 1), WEEK(d, 2), WEEK(d, 3), WEEK(d, 4), WEEK(d, 5), WEEK(d, 6), WEEK(d, 7), WEEK(d), EXTRACT(WEEK FROM d), WEEKOFYEAR(d), YEARWEEK(d, 3) FROM (SELECT '2014-12-27 13:00:00' AS d UNION SELECT '2014-12-31' UNION SELECT '2015-12-31 13:00:00' UNION SELECT '2016-01-01' UNION SELECT '2016-01-03' UNION SELECT '2017-01-01' UNION SELECT '2017-12-31' UNION SELECT '2018-01-01' UNION SELECT '2020-02-29' UNION SELECT '2000-01-02' UNION SELECT '2005-01-02' UNION SELECT '2008-12-29') dates ORDER BY d",
		"SELECT WEEK(day, 3), EXTRACT(WEEK FROM day), COUNT(*) FROM book GROUP BY WEEK(day, 3), EXTRACT(WEEK FROM day) ORDER BY 1",
		"SELECT WEEK(NULL, 1), WEEK('no date', 1)",
		// numbers and texts
		"SELECT SIGN(0.3), SIGN(-0.5e0), SIGN(0.04e0), SIGN('0.2'), SIGN('-0.9'), SIGN(-7), SIGN(0), SIGN(0.0), SIGN(NULL)",
		"SELECT id, SIGN(rating - 3.9), SIGN(price - 29.9), SIGN(pages - 400) FROM book ORDER BY id",
		"SELECT id, LPAD(name, 4, 'é'), RPAD(name, 9, 'éx'), LPAD(name, CHAR_LENGTH(name) + 3, 'éx'), LPAD(name, 0, 'x'), RPAD(name, -1, 'x'), LPAD(pages, 6, '0') FROM publisher JOIN book USING (id) ORDER BY id",
		"SELECT LPAD('皇帝', 1, 'é'), RPAD('皇帝', 5, 'aé'), LPAD('é', 3, NULL), HEX(LPAD(BINARY 'é', 3, 'x')), LPAD('x', 1e10, 'y')",
		// all rows behind some
		"SELECT id FROM book ORDER BY id LIMIT 18446744073709551615 OFFSET 4",
		"SELECT id FROM book ORDER BY id LIMIT 4, 18446744073709551615",
		"SELECT id FROM book ORDER BY id LIMIT 3 OFFSET 18446744073709551615",
		"(SELECT id FROM book) UNION (SELECT id + 10 FROM book) ORDER BY id LIMIT 18446744073709551615 OFFSET 9",
		// brackets around all
		"(SELECT id FROM book WHERE id < 3 ORDER BY id)",
		" ( (SELECT COUNT(*) FROM (SELECT ')(' FROM book) q) ) ;",
		"(SELECT 1) UNION (SELECT 2) ORDER BY 1",
		// groups of aliases that are made of subqueries
		"SELECT EXISTS (SELECT 1 FROM book b WHERE b.pages > 800 AND b.publisher = publisher.id LIMIT 1) AS e, COUNT(*) AS total FROM publisher GROUP BY e ORDER BY e",
		"SELECT (SELECT COUNT(b.id) FROM book b WHERE b.pages > 400 AND b.publisher = publisher.id GROUP BY b.publisher ORDER BY NULL) AS q, COUNT(*) AS total FROM publisher GROUP BY q ORDER BY q",
		"SELECT EXTRACT(YEAR FROM book.day) AS y, (SELECT b.rating FROM book b WHERE EXTRACT(YEAR FROM b.day) = EXTRACT(YEAR FROM book.day) ORDER BY b.rating DESC LIMIT 1) AS top, SUM(book.pages) FROM book GROUP BY EXTRACT(YEAR FROM book.day), top ORDER BY y",
		"SELECT LEFT(name, 1), COUNT(*) AS many FROM publisher GROUP BY LEFT(name, 1) ORDER BY many, 1",
		// subqueries in HAVING that name a column which is not shown
		"SELECT name, COUNT(book.id) FROM publisher LEFT JOIN book ON publisher.id = book.publisher GROUP BY publisher.id, name HAVING COUNT(book.id) = (SELECT COUNT(b.id) FROM book b WHERE b.pages > 400 AND b.publisher = publisher.id) ORDER BY name",
		"SELECT awards, COUNT(*) c FROM publisher GROUP BY awards, id HAVING c = (SELECT COUNT(*) - 1 FROM book WHERE publisher = publisher.id) ORDER BY awards",
		"SELECT 'x' FROM publisher p GROUP BY p.id HAVING EXISTS (SELECT 1 FROM book b WHERE b.publisher = p.id AND b.pages > 500)",
		"SELECT id FROM book WHERE publisher IN (SELECT p.awards FROM publisher p GROUP BY p.id, p.awards HAVING 2 = (SELECT COUNT(*) FROM book b WHERE b.publisher = p.id)) ORDER BY id",
		// aggregates in HAVING of columns whose names another table has too
		"SELECT publisher.id, SUM(book.rating) AS s, COUNT(book.id) AS c FROM publisher LEFT JOIN book ON publisher.id = book.publisher GROUP BY publisher.id HAVING (SUM(book.rating) > COUNT(book.id) OR SUM(book.rating) IS NULL) ORDER BY publisher.awards",
		"SELECT publisher.name AS n FROM publisher JOIN book ON publisher.id = book.publisher GROUP BY publisher.id, publisher.name HAVING SUM(book.pages) > 600 AND COUNT(book.id) > 1 ORDER BY n DESC LIMIT 1",
		"SELECT publisher.id FROM publisher LEFT JOIN book ON publisher.id = book.publisher GROUP BY publisher.id HAVING COUNT(CASE WHEN (book.pages > publisher.awards) THEN book.id ELSE NULL END) >= 2 ORDER BY publisher.id",
		"SELECT name FROM publisher WHERE id IN (SELECT p.id FROM publisher p LEFT JOIN book b ON p.id = b.publisher GROUP BY p.id HAVING COUNT(CASE WHEN (b.pages > p.awards) THEN b.id ELSE NULL END) >= 2 ORDER BY NULL) ORDER BY name",
		"SELECT DISTINCT publisher.awards > 2 FROM publisher JOIN book ON publisher.id = book.publisher GROUP BY publisher.id, publisher.awards HAVING MAX(book.pages) > 0 AND MIN(book.id) > 1 ORDER BY 1",
	} {
		asMariaDB(t, c, conn, q)
	}
	onBoth(t, c, conn, "INSERT INTO publisher (id, name, awards) VALUES (1, 'new', 1), (9, 'ninth', 0) ON DUPLICATE KEY UPDATE name = CONCAT(VALUES(publisher.name), '!'), awards = publisher.awards + VALUES(awards)",
		"INSERT INTO numbers (id, n) SELECT 20, ~n & 255 FROM numbers WHERE id = 1", "UPDATE numbers SET n = CONVERT(n << 2, SIGNED) WHERE id = 1")
	asMariaDB(t, c, conn, "SELECT * FROM publisher WHERE id IN (1, 9) ORDER BY id")
	asMariaDB(t, c, conn, "SELECT id, n FROM numbers ORDER BY id")
}

// The order of a join is asked for whatever table is read first.
func TestOrderOfJoinsAsMariaDB(t *testing.T) {
	conn := mariadb(t)
	c := newServer(t).test()
	onBoth(t, c, conn,
		"CREATE TABLE a (id INT PRIMARY KEY, name VARCHAR(10), KEY (name))", "CREATE TABLE e (id INT PRIMARY KEY, name VARCHAR(10))",
		"CREATE TABLE b (id INT PRIMARY KEY, a INT NOT NULL, e INT NOT NULL, n INT, KEY (n), FOREIGN KEY (a) REFERENCES a (id), FOREIGN KEY (e) REFERENCES e (id))",
		"INSERT INTO a VALUES (1, 'x'), (2, 'y')", "INSERT INTO e VALUES (1, 'u'), (2, 'v')",
		"INSERT INTO b VALUES (1, 1, 1, 8), (2, 2, 2, 6), (3, 2, 2, 7), (4, 1, 1, 5)",
	)
	for _, from := range []string{
		"b INNER JOIN a ON b.a = a.id INNER JOIN e ON b.e = e.id",
		"a INNER JOIN b ON b.a = a.id INNER JOIN e ON b.e = e.id",
		"e INNER JOIN (b INNER JOIN a ON b.a = a.id) ON b.e = e.id",
		"b INNER JOIN a ON b.a = a.id LEFT JOIN e ON b.e = e.id",
		"a LEFT JOIN b ON b.a = a.id LEFT JOIN e ON b.e = e.id",
		"a LEFT JOIN b ON b.a = a.id INNER JOIN e ON b.e = e.id",
		"b CROSS JOIN a CROSS JOIN e",
		"b INNER JOIN a x ON b.a = x.id INNER JOIN e y ON b.e = y.id INNER JOIN a ON a.id = b.a",
		"(SELECT * FROM b) b INNER JOIN a ON b.a = a.id INNER JOIN e ON b.e = e.id",
		"b INNER JOIN a ON b.a = a.id",
		"a INNER JOIN b ON b.a = a.id",
	} {
		for _, order := range []string{"b.id", "b.id DESC", "b.n", "b.n DESC LIMIT 3", "b.id LIMIT 1, 2", "a.id, b.id", "a.name DESC, b.n"} {
			asMariaDB(t, c, conn, "SELECT b.id, a.id FROM "+from+" WHERE b.a > 0 AND a.id = b.a ORDER BY "+order)
			asMariaDB(t, c, conn, "SELECT b.id AS i, a.id AS x FROM "+from+" WHERE a.id = b.a ORDER BY "+order)
		}
	}
	if plan := c.plan("SELECT b.id, a.id FROM b INNER JOIN a ON b.a = a.id ORDER BY b.id"); strings.Contains(plan, "Sort") {
		t.Errorf("sorted what an index has in order:\n%s", plan)
	}
}

// Where MariaDB has none of it, or does not check groups.
func TestQueriesOfFrameworks(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, k INT, n INT, doc JSON)", "INSERT INTO t VALUES (1, 1, 10, '{\"d\": [\"a\"]}'), (2, 1, 20, '{\"d\": [\"a\", 1]}'), (3, 2, 30, '{\"d\": [\"b\"]}')", "CREATE TABLE u (id INT PRIMARY KEY, t INT, n INT)", "INSERT INTO u VALUES (7, 1, 5), (8, 1, 6), (9, 2, 1)")
	c.want("SELECT JSON_EXTRACT(t.doc, '$.d[0]'), COUNT(*) AS count FROM t GROUP BY JSON_EXTRACT(t.doc, '$.d[0]') ORDER BY count", `"b"|1`, `"a"|2`)
	c.want("SELECT (SELECT MAX(u.n) FROM u WHERE u.t = t.k) AS m, COUNT(*) AS c FROM t GROUP BY m ORDER BY m", "1|1", "6|2")
	c.fails(1055, "SELECT n + 1, COUNT(*) AS c FROM t GROUP BY k ORDER BY c")
	c.fails(1055, "SELECT n, k + 1 AS x, COUNT(*) AS c FROM t GROUP BY x ORDER BY c")
	c.fails(1055, "SELECT k, (SELECT MAX(u.n) FROM u WHERE u.t = t.n) AS m, COUNT(*) AS c FROM t GROUP BY k")
	c.fails(1055, "SELECT k, (SELECT MAX(u.n) FROM u WHERE u.t = t.n), COUNT(*) AS c FROM t GROUP BY k")
	st, err := c.Prepare(ctxBackground, "SELECT t.id, COUNT(u.id) FROM t JOIN u ON u.t = t.id GROUP BY t.id HAVING SUM(u.n) > ? AND COUNT(u.id) > 1")
	if err != nil {
		t.Fatal(err)
	}
	st.Close()
	c.want("SELECT (TIME_TO_SEC('12:30:15.002345') * 1000000 + MICROSECOND('12:30:15.002345')) - (TIME_TO_SEC('11:15:00') * 1000000 + MICROSECOND('11:15:00'))", "4515002345")
	c.want(`SELECT CASE JSON_EXTRACT('{"a": null}', '$.a') WHEN 'null' THEN NULL ELSE 1 END, CASE JSON_EXTRACT(doc, '$.d[0]') WHEN 'a' THEN 'bare' WHEN '"A"' THEN 'other' WHEN '"a"' THEN 'quoted' END FROM t WHERE id = 1`, "NULL|quoted")
	c.must(`CREATE TABLE noted (id INT COMMENT 'a "b" \\ ''c''', KEY k (id) COMMENT 'it''s "k"') COMMENT '"t" ''u'''`)
	shown := c.must("SHOW CREATE TABLE noted").rows[0]
	for _, part := range []string{`COMMENT 'a "b" \\ ''c'''`, `COMMENT 'it''s "k"'`, `COMMENT='"t" ''u'''`} {
		if !strings.Contains(shown, part) {
			t.Errorf("%s is not in %s", part, shown)
		}
	}
	c.must("DROP TABLE noted", strings.TrimPrefix(shown, "noted|"))
	c.want("SHOW CREATE TABLE noted", shown)
	c.must("CREATE TABLE gone (id INT)", "CREATE VIEW of_gone AS SELECT * FROM gone", "DROP TABLE gone")
	for _, q := range []string{"SELECT * FROM of_gone", "DESCRIBE of_gone", "SHOW CREATE TABLE of_gone"} {
		c.fails(1356, q)
	}
	c.must("EXPLAIN FORMAT=TRADITIONAL SELECT * FROM t")
	c.fails(1146, "SELECT COUNT(*) FROM t JOIN missing ON missing.t = t.id GROUP BY t.id HAVING SUM(missing.n) > 3 AND COUNT(missing.id) > 1")
	c.fails(1054, "SELECT t.id FROM t JOIN u ON u.t = t.id GROUP BY t.id HAVING SUM(u.n) > 3 AND COUNT(u.none) > 1")
}
