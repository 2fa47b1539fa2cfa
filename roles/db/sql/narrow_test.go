package sql

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// narrowScript is run beside MariaDB; a line that begins with ? is a query, one with ! is not
// compared.
var narrowScript = []string{
	"!CREATE TABLE n (id INT PRIMARY KEY AUTO_INCREMENT, t TIME, t0 TIME(0) DEFAULT '01:02:03', t3 TIME(3) NOT NULL DEFAULT '10:00:00.1254', t6 TIME(6), d DECIMAL(8,2) UNSIGNED DEFAULT 5, f FLOAT UNSIGNED, x DOUBLE UNSIGNED NOT NULL DEFAULT 0, KEY (t3), KEY (d), KEY (t))",
	"INSERT INTO n () VALUES ()",
	"INSERT INTO n (t, t0, t3, t6, d, f, x) VALUES ('10:11:12.5', '10:11:12.499999', '-10:11:12.9996', '23:59:59.123457', 1.234, 2.5, 3.5)",
	"INSERT INTO n (t, t3) VALUES ('-00:00:00.6', '838:59:59'), ('838:59:59.9', '00:00:00.0005'), (101112.7, 101112.77777)",
	"INSERT INTO n (id, d) VALUES (91, -1)", "INSERT INTO n (id, d) VALUES (92, -0.001)", "INSERT INTO n (id, f) VALUES (93, -0.5)", "INSERT INTO n (id, x) VALUES (94, -1e300)", "INSERT INTO n (id, d) VALUES (95, 999999.995)",
	"INSERT INTO n (id, d, f, x) VALUES (96, '-3', 1, 1)", "INSERT INTO n (id, d) VALUES (97, 3)",
	"INSERT INTO n (d, f, x) VALUES (0, 0, 0), (1.5, 1.5, 1.5), (-0.0, 3, -0.0)",
	"INSERT IGNORE INTO n (d, f, x) VALUES (-3, -1, -1), ('-3', '-4', '-5')",
	"UPDATE n SET d = d - 3 WHERE d >= 3 ORDER BY id LIMIT 1",
	"UPDATE n SET d = -1 WHERE id = 1",
	"UPDATE IGNORE n SET d = -1, f = -2, x = x - 100 WHERE id = 2",
	"UPDATE n a JOIN n b ON a.id = b.id SET a.x = b.x - 1000 WHERE a.id = 2",
	"INSERT INTO n (id, d) VALUES (1, 2) ON DUPLICATE KEY UPDATE x = -2",
	"INSERT INTO n (id, d) VALUES (1, 2) ON DUPLICATE KEY UPDATE t3 = '11:11:11.11111', t = '01:01:01.9'",
	"REPLACE INTO n (id, t, t3) VALUES (3, '12:12:12.3', '12:12:12.3')",
	"?SELECT id, t, t0, t3, t6, d, f, x FROM n ORDER BY id",
	"?SELECT id FROM n WHERE t3 = '11:11:11.111' OR t = '10:11:13' ORDER BY id",
	"?SELECT id, t3 FROM n WHERE t3 > '00:00:00.001' ORDER BY t3, id",
	"?SELECT id FROM n WHERE d = 0 ORDER BY id", "?SELECT id FROM n WHERE d > -1 AND d < 1.5 ORDER BY id",
	"?SELECT MIN(t), MAX(t3) FROM n WHERE id = 2 GROUP BY t3", "?SELECT IFNULL(t, t3) FROM n WHERE id = 2", "?SELECT q.w, q.v FROM (SELECT t3 AS w, t AS v FROM n WHERE id < 4) q ORDER BY 1",
	"?SELECT t3 FROM n WHERE id = 2 UNION ALL SELECT t FROM n WHERE id = 3",
	"?SELECT a.t3, b.t FROM n a JOIN n b ON a.t3 = b.t3 WHERE a.id = 2",
	"CREATE VIEW v AS SELECT t3, t, d FROM n WHERE id = 2", "?SELECT * FROM v",
	"CREATE TRIGGER tr BEFORE INSERT ON n FOR EACH ROW SET NEW.d = NEW.x - 10",
	"INSERT INTO n (id, x) VALUES (111, 3)", "INSERT INTO n (id, x) VALUES (112, 13)", "DROP TRIGGER tr",
	"!CREATE TABLE zeros (i INT(5) ZEROFILL, b BIGINT ZEROFILL, d DECIMAL(8,2) ZEROFILL)", "INSERT INTO zeros VALUES (4294967295, 18446744073709551615, 1.5)", "INSERT INTO zeros (i) VALUES (-1)",
	"INSERT INTO zeros (d) VALUES (-1)", "ALTER TABLE zeros ADD COLUMN t TINYINT ZEROFILL", "INSERT INTO zeros (t) VALUES (255)", "?SELECT i + 0, b + 0, d + 0, t + 0 FROM zeros",
	"CREATE TABLE g (a DECIMAL(5,1), b DECIMAL(5,1) UNSIGNED AS (a - 1) STORED)", "INSERT INTO g (a) VALUES (5)", "INSERT INTO g (a) VALUES (0)", "?SELECT * FROM g",
	"!CREATE TABLE copied LIKE n", "INSERT INTO copied SELECT * FROM n", "?SELECT id, t, t0, t3, t6, d, f, x FROM copied ORDER BY id", "INSERT INTO copied (id, d) VALUES (121, -1)",
	"ALTER TABLE copied ADD COLUMN late TIME(2) NOT NULL DEFAULT '01:00:00.129', ADD COLUMN u DECIMAL(4,2) UNSIGNED NOT NULL DEFAULT 1.5",
	"ALTER TABLE copied MODIFY t6 TIME(4), MODIFY t3 TIME(5), RENAME COLUMN d TO dd",
	"?SELECT id, t3, t6, late, u, dd FROM copied ORDER BY id",
	"INSERT INTO copied (id, dd) VALUES (122, -1)", "ALTER TABLE copied ALTER COLUMN dd SET DEFAULT 7", "INSERT INTO copied (id, dd) VALUES (123, -1)", "ALTER TABLE copied MODIFY dd DECIMAL(8,2)", "INSERT INTO copied (id, dd) VALUES (124, -1)",
	"DELETE FROM copied WHERE dd < 0", "ALTER TABLE copied MODIFY dd DECIMAL(8,2) UNSIGNED, CHANGE x y DOUBLE UNSIGNED", "?SELECT id, dd, y FROM copied ORDER BY id",
	"CREATE TABLE bad (d DECIMAL(5,2) UNSIGNED DEFAULT -1)", "CREATE TABLE bad (t TIME(7))",
	"?SHOW COLUMNS FROM n", "?SHOW COLUMNS FROM copied",
	"?SELECT column_name, column_type, numeric_precision, numeric_scale FROM information_schema.columns WHERE table_name = 'n' AND table_schema = 'test' AND column_name IN ('t', 't0', 't3', 't6', 'd') ORDER BY ordinal_position",
	"DROP VIEW v", "DROP TABLE n, g, copied, zeros",
}

var bareNumber = regexp.MustCompile(`\b(tinyint|smallint|int|bigint)\(\d+\)`)

// TIME(n), and DECIMAL, FLOAT and DOUBLE without a sign, are stored, rounded, refused, clipped,
// compared and shown as by MariaDB, by strict mode and without.
func TestNarrowTypesAsMariaDB(t *testing.T) {
	conn := mariadb(t)
	ours, theirs := ourSide(newServer(t).test()), peerSide(t, conn)
	for _, mode := range []string{"STRICT_TRANS_TABLES", ""} {
		ours.write("SET sql_mode = '" + mode + "'")
		theirs.write("SET sql_mode = '" + mode + ",TIME_ROUND_FRACTIONAL'")
		for _, q := range narrowScript {
			if q, query := strings.CutPrefix(q, "?"); query {
				a, err := ours.query(q)
				b, other := theirs.query(q)
				for _, rows := range [][]string{a, b} {
					for i := range rows {
						rows[i] = bareNumber.ReplaceAllString(rows[i], "$1")
					}
				}
				if !slices.Equal(a, b) || err != nil || other != nil {
					t.Errorf("%q %s\n  ours: %q %v\ntheirs: %q %v", mode, q, a, err, b, other)
				}
				continue
			}
			q, plain := strings.CutPrefix(q, "!")
			if a, b := ours.write(q), theirs.write(q); a != b && !plain {
				t.Errorf("%q %s\n  ours: %s\ntheirs: %s", mode, q, a, b)
			}
		}
	}
}

// SHOW CREATE TABLE says what makes the same table; direct statements show and write the same.
func TestNarrowDefinitions(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE n (id INT PRIMARY KEY, t TIME, t2 TIME(2) DEFAULT '01:02:03.45', t6 TIME(6), d DECIMAL(8,2) UNSIGNED, f FLOAT UNSIGNED, x DOUBLE UNSIGNED)")
	text := c.must("SHOW CREATE TABLE n").rows[0]
	for _, want := range []string{"`t` time DEFAULT NULL,", "`t2` time(2) DEFAULT '01:02:03.45',", "`t6` time(6)", "`d` decimal(8,2) unsigned", "`f` float unsigned", "`x` double unsigned"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	_, create, _ := strings.Cut(text, "|")
	c.must("RENAME TABLE n TO m", create)
	if again := c.must("SHOW CREATE TABLE n").rows[0]; again != text {
		t.Errorf("%s\n%s", text, again)
	}
	c.must("SET sql_mode = 'STRICT_ALL_TABLES'")
	for _, direct := range []string{"1", "0"} {
		c.must("SET direct = "+direct, "INSERT INTO n (id, d, x) VALUES (1, 1.5, 2.5)", "UPDATE n SET d = 3 WHERE id = 1")
		c.fails(1264, "INSERT INTO n (id, d) VALUES (2, -1)")
		c.fails(1264, "UPDATE n SET x = -1 WHERE id = 1")
		c.want("SELECT t2, d FROM n WHERE id = 1", "01:02:03.45|3.00")
		c.must("DELETE FROM n WHERE id = 1")
	}
}
