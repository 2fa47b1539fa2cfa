package sql

import (
	gosql "database/sql"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// loadZones gives a MariaDB server time zones by name.
func loadZones(t *testing.T, conn *gosql.Conn, zones ...string) {
	t.Helper()
	for _, zone := range zones {
		out, err := exec.Command("mariadb-tzinfo-to-sql", "/usr/share/zoneinfo/"+zone, zone).Output()
		if err != nil {
			t.Skip("no table of the zone ", zone, ": ", err)
		}
		if _, err := conn.ExecContext(t.Context(), "USE mysql"); err != nil {
			t.Fatal(err)
		}
		for _, q := range strings.Split(string(out), ";\n") {
			if q = strings.TrimSpace(q); strings.HasPrefix(q, "INSERT") || strings.HasPrefix(q, "SET @time_zone_id") {
				if _, err := conn.ExecContext(t.Context(), q); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if _, err := conn.ExecContext(t.Context(), "USE test"); err != nil {
		t.Fatal(err)
	}
}

var testZones = []string{"+00:00", "Europe/Berlin", "-07:00", "America/New_York", "+05:30", "Asia/Kathmandu", "SYSTEM"}

// zoneScript is run in several zones; a line that begins with ? is a query.
var zoneScript = []string{
	"SET sql_mode = 'STRICT_TRANS_TABLES'",
	"CREATE TABLE z (id INT PRIMARY KEY AUTO_INCREMENT, ts TIMESTAMP NULL, t3 TIMESTAMP(3) NULL, dt DATETIME, KEY (ts), UNIQUE KEY u (t3, id))",
	"SET time_zone = '+00:00'",
	"INSERT INTO z (ts, t3, dt) VALUES ('2024-01-15 12:00:00', '2024-01-15 12:00:00.125', '2024-01-15 12:00:00'), ('2024-07-15 12:00:00', '2024-07-15 12:00:00.5', '2024-07-15 12:00:00'), ('2024-03-31 00:59:59', '2024-03-31 01:00:00', '2024-03-31 01:00:00'), ('2024-10-27 02:30:00', '2024-11-03 07:30:00', NULL), (NULL, NULL, NULL), ('1970-01-01 00:00:01', '2038-01-19 03:14:07.999', NULL)",
	"=zone",
	"?SELECT * FROM z ORDER BY id",
	"INSERT INTO z (ts, t3, dt) VALUES ('2024-05-01 10:00:00', '2024-05-01 10:00:00.25', '2024-05-01 10:00:00')",
	"INSERT INTO z (id, ts) VALUES (21, '1970-01-01 00:00:00')",
	"INSERT INTO z (id, ts) VALUES (22, '1969-12-31 23:59:59')",
	"INSERT INTO z (id, ts) VALUES (23, '2038-01-19 03:14:07')",
	"INSERT INTO z (id, ts) VALUES (24, '2038-01-19 03:14:08')",
	"INSERT INTO z (id, ts) VALUES (25, '2038-01-19 10:14:08')",
	"INSERT INTO z (id, ts) VALUES (26, '0000-00-00 00:00:00')",
	"INSERT INTO z (id, ts) VALUES (27, '2024-03-31 02:30:00')",
	"INSERT INTO z (id, ts) VALUES (28, '2024-03-10 02:30:00')",
	"INSERT IGNORE INTO z (id, ts) VALUES (40, '2024-03-31 02:30:00'), (41, '2024-03-10 02:30:00')",
	"?SELECT * FROM z ORDER BY id",
	"?SELECT id FROM z WHERE ts = '2024-01-15 13:00:00'",
	"?SELECT id FROM z WHERE ts = '2024-05-01 10:00:00'",
	"?SELECT id FROM z WHERE ts > '2024-05-01 09:59:59' ORDER BY id",
	"?SELECT id FROM z WHERE ts BETWEEN '2024-01-01' AND '2024-06-01' ORDER BY ts, id",
	"?SELECT id FROM z FORCE INDEX (u) WHERE t3 >= '2024-05-01 10:00:00.25' ORDER BY t3, id",
	"?SELECT id, ts FROM z WHERE ts IN ('2024-05-01 10:00:00', '0000-00-00 00:00:00', '2024-07-15 14:00:00') ORDER BY id",
	"?SELECT id FROM z WHERE ts < '1970-01-02' ORDER BY id",
	"?SELECT id FROM z WHERE ts >= '2038-01-19' ORDER BY id",
	"?SELECT id FROM z WHERE dt = ts ORDER BY id",
	"?SELECT a.id, b.id FROM z a JOIN z b ON a.ts = b.dt ORDER BY 1, 2",
	"?SELECT a.id, b.id FROM z a JOIN z b ON a.ts = b.ts WHERE a.id < 6 ORDER BY 1, 2",
	"?SELECT MIN(ts), MAX(t3), COUNT(DISTINCT ts) FROM z WHERE ts > '1971-01-01'",
	"?SELECT id, UNIX_TIMESTAMP(ts), DATE(ts), HOUR(ts), ts + INTERVAL 1 DAY FROM z WHERE id < 4 ORDER BY id",
	"?SELECT ts, COUNT(*) FROM z GROUP BY ts ORDER BY ts",
	"UPDATE z SET ts = '2024-08-08 08:08:08' WHERE id = 1",
	"UPDATE z SET dt = ts WHERE id < 4",
	"UPDATE z SET ts = ts + INTERVAL 1 HOUR WHERE ts > '2024-07-01' AND ts < '2024-09-01'",
	"?SELECT * FROM z ORDER BY id",
	"CREATE TABLE d (ts TIMESTAMP NOT NULL PRIMARY KEY, n INT, u TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP, g DATETIME AS (ts) STORED, KEY (u), CHECK (ts > '2000-01-01'))",
	"INSERT INTO d (ts, n) VALUES ('2024-05-01 10:00:00', 1)",
	"INSERT INTO d (ts, n) VALUES ('2024-05-01 10:00:00', 2) ON DUPLICATE KEY UPDATE n = n + 10",
	"INSERT INTO d (ts, n) VALUES ('2024-05-01 10:00:00', 2)",
	"REPLACE INTO d (ts, n) VALUES ('2024-05-01 10:00:00', 3)",
	"INSERT INTO d (ts, n) VALUES ('1999-05-01 10:00:00', 2)",
	"INSERT INTO d (ts, n) SELECT ts, id FROM z WHERE ts BETWEEN '2024-01-01' AND '2024-05-01' GROUP BY ts",
	"UPDATE d SET n = n + 1 WHERE ts >= '2024-05-01'",
	"?SELECT ts, n, g, ABS(TIMESTAMPDIFF(SECOND, u, NOW())) < 300 FROM d ORDER BY ts",
	"?SELECT n FROM d WHERE ts = '2024-05-01 10:00:00'",
	"?SELECT n FROM d WHERE u > NOW() - INTERVAL 300 SECOND ORDER BY n",
	"DELETE FROM d WHERE ts = '2024-05-01 10:00:00'",
	"CREATE TABLE log (at TIMESTAMP NULL, txt VARCHAR(30))",
	"CREATE TRIGGER tr BEFORE UPDATE ON z FOR EACH ROW INSERT INTO log VALUES (OLD.ts, NEW.ts)",
	"UPDATE z SET ts = '2024-09-09 09:09:09' WHERE id = 2",
	"?SELECT * FROM log",
	"DROP TRIGGER tr",
	"CREATE TABLE child (ts TIMESTAMP NULL, FOREIGN KEY (ts) REFERENCES d (ts) ON UPDATE CASCADE)",
	"INSERT INTO child SELECT ts FROM d",
	"INSERT INTO child VALUES ('2001-01-01 00:00:00')",
	"UPDATE d SET ts = ts + INTERVAL 3 HOUR",
	"?SELECT * FROM child ORDER BY ts",
	"ALTER TABLE log ADD COLUMN added TIMESTAMP NOT NULL DEFAULT '2024-05-05 05:05:05', ADD d2 DATETIME",
	"UPDATE log SET d2 = added",
	"ALTER TABLE z ADD COLUMN copied DATETIME AS (ts) STORED, MODIFY t3 VARCHAR(30)",
	"?SELECT * FROM z ORDER BY id",
	"ALTER TABLE z MODIFY dt TIMESTAMP NULL, MODIFY ts DATETIME",
	"=other",
	"?SELECT * FROM z ORDER BY id",
	"?SELECT * FROM log",
	"?SELECT ts, n, g, ABS(TIMESTAMPDIFF(SECOND, u, NOW())) < 300 FROM d ORDER BY ts",
	"SET time_zone = '+00:00'",
	"?SELECT * FROM z ORDER BY id",
	"DROP TABLE child, d, log, z",
}

// A TIMESTAMP follows the session's time zone as with MariaDB, through indexes, joins, defaults,
// generated columns, triggers, foreign keys and ALTER TABLE.
func TestTimeZonesAsMariaDB(t *testing.T) {
	conn := mariadb(t)
	loadZones(t, conn, "Europe/Berlin", "America/New_York", "Asia/Kathmandu")
	zones := testZones[1:]
	if testing.Short() {
		zones = testZones[1:4]
	}
	ours, theirs := ourSide(newServer(t).test()), peerSide(t, conn)
	for i, zone := range zones {
		for _, q := range zoneScript {
			switch q {
			case "=zone":
				q = "SET time_zone = '" + zone + "'"
			case "=other":
				q = "SET time_zone = '" + testZones[(i+3)%len(testZones)] + "'"
			}
			if q, query := strings.CutPrefix(q, "?"); query {
				a, err := ours.query(q)
				b, other := theirs.query(q)
				if !slices.Equal(a, b) || err != nil || other != nil {
					t.Errorf("%s\n%s\n  ours: %q %v\ntheirs: %q %v", zone, q, a, err, b, other)
				}
				continue
			}
			if a, b := ours.write(q), strings.Replace(theirs.write(q), "4025", "3819", 1); a != b {
				t.Errorf("%s\n%s\n  ours: %s\ntheirs: %s", zone, q, a, b)
			}
		}
	}
}

// Random moments about the changes of a clock, in random zones: every range of an index finds
// what the rows say themselves, and every row is where it was after an update of another
// column. With and without the planner.
func TestTimeZoneRanges(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	c := newServer(t).test()
	c.must("CREATE TABLE z (id INT PRIMARY KEY AUTO_INCREMENT, ts TIMESTAMP NULL, n INT, KEY (ts))", "CREATE TABLE free (ts TIMESTAMP NULL, n INT)", "SET time_zone = '+00:00'")
	moments := []string{"2024-03-31 0", "2024-10-27 0", "2024-11-03 0", "2024-03-10 0", "2024-06-01 0"}
	moment := func() string { return fmt.Sprintf("%s%d:%02d:00", pick(rnd, moments), rnd.IntN(10), 15*rnd.IntN(4)) }
	for range 120 {
		at := moment()
		c.must("INSERT INTO z (ts, n) VALUES ('"+at+"', 1)", "INSERT INTO free VALUES ('"+at+"', 1)")
	}
	all := func(table string) string {
		return strings.Join(c.must("SELECT ts FROM "+table+" ORDER BY ts").rows, " ")
	}
	before, free := all("z"), all("free")
	for range 60 {
		zone := pick(rnd, testZones)
		c.must("SET time_zone = '" + zone + "'")
		a, b := moment(), moment()
		for _, cond := range []string{
			"%s = '" + a + "'", "%s > '" + a + "'", "%s <= '" + a + "'", "%s BETWEEN '" + min(a, b) + "' AND '" + max(a, b) + "'", "%s IN ('" + a + "', '" + b + "')", "%s < '" + a + "' OR %[1]s > '" + b + "'",
		} {
			indexed, scanned := fmt.Sprintf(cond, "ts"), fmt.Sprintf(cond, "(ts + INTERVAL 0 SECOND)")
			x, y := c.must("SELECT id FROM z WHERE "+indexed+" ORDER BY id").rows, c.must("SELECT id FROM z WHERE "+scanned+" ORDER BY id").rows
			if !slices.Equal(x, y) {
				t.Errorf("%s %s: %v, of all rows %v", zone, indexed, x, y)
			}
		}
		c.must(fmt.Sprintf("SET direct = %d", rnd.IntN(2)))
		c.must("UPDATE z SET n = n + 1 WHERE id < 50", "UPDATE z SET n = n + 1 WHERE ts = '"+a+"'", "UPDATE free SET n = n + 1", "SET direct = 1")
	}
	c.must("SET time_zone = '+00:00'")
	if got := all("z"); got != before {
		t.Errorf("rows have moved:\n%s\n%s", before, got)
	}
	if got := all("free"); got != free {
		t.Errorf("rows without a key have moved:\n%s\n%s", free, got)
	}
}

// What MySQL does not take for a zone.
func TestTimeZoneNames(t *testing.T) {
	c := newServer(t).test()
	for _, zone := range []string{"", "Local", "+14:01", "-14:00", "+25:00", "+01:60", "Nowhere/City", "+1"} {
		c.fails(1298, "SET time_zone = '"+zone+"'")
	}
	c.must("SET time_zone = '-13:59'", "SET time_zone = '+14:00'", "SET time_zone = 'Europe/Paris'", "SET time_zone = 'SYSTEM'", "SET time_zone = DEFAULT")
}
