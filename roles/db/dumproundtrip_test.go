package db

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

// dumped is a server that the programs mariadb and mariadb-dump work on.
type dumped struct {
	t    *testing.T
	args []string // of the programs: where and who
	db   *sql.DB  // of the database wares
}

const (
	dumpUser     = "dba" // the same on all servers, for it is the definer of what it makes
	dumpPassword = "dump"
)

func (r *running) dumped(t *testing.T) *dumped {
	mustExec(t, r.rootDB("").Exec, "CREATE USER dba@'%' IDENTIFIED BY '"+dumpPassword+"'", "GRANT ALL ON *.* TO dba@'%' WITH GRANT OPTION", "CREATE DATABASE wares")
	c := mysql.NewConfig()
	c.User, c.Passwd, c.DBName, c.Net, c.Addr, c.TLSConfig = dumpUser, dumpPassword, "wares", "tcp", r.addr.String(), "skip-verify"
	return &dumped{t, []string{"--no-defaults", "-u" + dumpUser, "-p" + dumpPassword, "-h", r.addr.Addr().String(), "-P", strconv.Itoa(int(r.addr.Port())),
		"--ssl", "--ssl-ca=" + filepath.Join(r.node.TLS.SecretsDir, "ca.crt")}, r.pool(c)}
}

func (m *mariaSource) dumped(t *testing.T) *dumped {
	mustExec(t, m.db.Exec, "CREATE USER dba@'%' IDENTIFIED BY '"+dumpPassword+"'", "GRANT ALL ON *.* TO dba@'%' WITH GRANT OPTION", "CREATE DATABASE wares", "SET GLOBAL event_scheduler = ON")
	c := mysql.NewConfig()
	c.User, c.Passwd, c.DBName, c.Net, c.Addr = dumpUser, dumpPassword, "wares", "unix", filepath.Join(m.dir, "s")
	db, err := sql.Open("mysql", c.FormatDSN())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return &dumped{t, []string{"--no-defaults", "-u" + dumpUser, "-p" + dumpPassword, "--socket=" + c.Addr}, db}
}

// run gives a program a script and returns what it writes.
func (d *dumped) run(t *testing.T, program, script string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, append(slices.Clone(d.args), args...)...)
	var out, problems strings.Builder
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(script), &out, &problems
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%.3000s", program, err, problems.String())
	}
	return out.String()
}

func (d *dumped) dump(t *testing.T, more ...string) string {
	t.Helper()
	return d.run(t, "mariadb-dump", "", append([]string{"--single-transaction", "--routines", "--triggers", "--events", "wares"}, more...)...)
}

func (d *dumped) load(t *testing.T, script string) {
	t.Helper()
	d.run(t, "mariadb", script, "wares")
}

// dumpSchema has every type of column, index and object that both servers have. The collations are such too: MariaDB 10.11
// has none of utf8mb4_0900. FLOATs get values of few digits, as theirs are shown with six and ours with all, and
// JSON is written as MySQL writes it, for theirs is a text.
const dumpSchema = `CREATE TABLE kind (id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
	ti TINYINT, tu TINYINT UNSIGNED, si SMALLINT, su SMALLINT UNSIGNED, mi MEDIUMINT, mu MEDIUMINT UNSIGNED, i INT, iu INT UNSIGNED, bi BIGINT, bu BIGINT UNSIGNED,
	de DECIMAL(65,30), du DECIMAL(10,2) UNSIGNED, f FLOAT, d DOUBLE, bo BOOL, b1 BIT(1), b64 BIT(64),
	da DATE, t TIME, t6 TIME(6), dt DATETIME, dt6 DATETIME(6), ts TIMESTAMP NULL, ts6 TIMESTAMP(6) NULL, y YEAR,
	c CHAR(200), v VARCHAR(300), vb VARCHAR(50) COLLATE utf8mb4_bin, vg VARCHAR(50) COLLATE utf8mb4_general_ci, l VARCHAR(255) CHARACTER SET latin1, lt TEXT CHARACTER SET latin1,
	tt TINYTEXT, te TEXT, mt MEDIUMTEXT, lo LONGTEXT, bn BINARY(16), vn VARBINARY(300), tb TINYBLOB, bl BLOB, mb MEDIUMBLOB, lb LONGBLOB,
	e ENUM('a','é','it''s'), s SET('x','y','z'), j JSON, gs VARCHAR(310) AS (CONCAT('<', v, '>')) STORED, gv BIGINT AS (ti * 2) VIRTUAL, KEY (v), KEY (dt6, i), KEY (gs), KEY (vn))
	DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_520_ci;
CREATE TABLE item (id INT AUTO_INCREMENT PRIMARY KEY, code VARCHAR(20) NOT NULL, title VARCHAR(200), n INT NOT NULL DEFAULT 5, price DECIMAL(10,2),
	at TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3), UNIQUE KEY code (code), FULLTEXT KEY words (title), KEY dear (price DESC, n))
	COMMENT='what''s "sold"; \\ é' DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_520_ci;
CREATE TABLE part (id BIGINT AUTO_INCREMENT PRIMARY KEY, item INT NOT NULL, note TEXT, KEY item (item),
	CONSTRAINT part_of FOREIGN KEY (item) REFERENCES item (id) ON DELETE CASCADE ON UPDATE CASCADE) DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_520_ci;
CREATE TABLE ` + "`odd ``name`" + ` (` + "`a b`" + ` INT, ` + "`select`" + ` VARCHAR(9), PRIMARY KEY (` + "`a b`, `select`" + `)) DEFAULT CHARSET=latin1 COLLATE=latin1_swedish_ci;
INSERT INTO ` + "`odd ``name`" + ` VALUES (1, 'é'), (2, '');
CREATE TABLE log (id INT AUTO_INCREMENT PRIMARY KEY, what VARCHAR(100)) DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_520_ci;
CREATE TABLE tick (id INT AUTO_INCREMENT PRIMARY KEY, at DATETIME(6)) DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_520_ci;
CREATE VIEW dear AS SELECT id, code, price FROM item WHERE price > 50;
DELIMITER //
CREATE TRIGGER sold AFTER DELETE ON item FOR EACH ROW BEGIN
	IF OLD.n > 0 THEN INSERT INTO log (what) VALUES (CONCAT('sold ', OLD.code)); END IF;
END//
CREATE DEFINER=dba@'%' PROCEDURE raise_prices(IN percent INT, OUT items INT) BEGIN
	UPDATE item SET price = price + percent WHERE price IS NOT NULL;
	SELECT COUNT(*) INTO items FROM item WHERE price IS NOT NULL;
END//
CREATE FUNCTION gross(net DECIMAL(10,2)) RETURNS DECIMAL(10,2) DETERMINISTIC RETURN net * 1.20//
CREATE EVENT beat ON SCHEDULE EVERY 1 SECOND ON COMPLETION PRESERVE DISABLE DO INSERT INTO tick (at) VALUES (NOW(6))//
DELIMITER ;
`

// dumpRows are INSERTs of random rows.
func dumpRows(r *rand.Rand) string {
	var b strings.Builder
	b.WriteString("SET NAMES utf8mb4; SET time_zone = '+00:00'; START TRANSACTION;\n")
	for range 30 {
		var rows []string
		for range 100 {
			rows = append(rows, kindRow(r))
		}
		b.WriteString("INSERT INTO kind (ti, tu, si, su, mi, mu, i, iu, bi, bu, de, du, f, d, bo, b1, b64, da, t, t6, dt, dt6, ts, ts6, y, c, v, vb, vg, l, lt, tt, te, mt, lo, bn, vn, tb, bl, mb, lb, e, s, j) VALUES " +
			strings.Join(rows, ",\n") + ";\n")
	}
	words := []string{"table", "chair", "lamp", "wooden", "green", "größe", "кресло"}
	for i := range 1000 {
		price := "NULL"
		if r.IntN(5) > 0 {
			price = fmt.Sprintf("%d.%02d", r.IntN(100), r.IntN(100))
		}
		fmt.Fprintf(&b, "INSERT INTO item (id, code, title, n, price, at) VALUES (%d, 'c%d', '%s %s', %d, %s, '2026-01-02 03:04:05.%03d');\n",
			i+1, i, words[r.IntN(len(words))], words[r.IntN(len(words))], 1+r.IntN(9), price, i)
	}
	for range 30 {
		b.WriteString("INSERT INTO part (item, note) VALUES ")
		for n := range 100 {
			if n > 0 {
				b.WriteString(", ")
			}
			fmt.Fprintf(&b, "(%d, %s)", 1+r.IntN(1000), randomText(r))
		}
		b.WriteString(";\n")
	}
	b.WriteString("COMMIT; DELETE FROM item WHERE id = 1000;\n") // the next is 1001 nevertheless
	return b.String()
}

func randomText(r *rand.Rand) string {
	texts := []string{"NULL", "''", "'é😀 \\0\\n\\r\\Z\\t\\\\ \\'\\\"%_'", "'--; /* no comment */'", "' spaces '", "REPEAT('grüße ', 50)", "'NULL'", "'0x41'"}
	return texts[r.IntN(len(texts))]
}

// kindRow is a row with extremes, NULLs and random values.
func kindRow(r *rand.Rand) string {
	var values []string
	add := func(list ...string) {
		v := "NULL"
		if r.IntN(6) > 0 {
			v = list[r.IntN(len(list))]
		}
		values = append(values, v)
	}
	number := func(lowest, highest string) { add(lowest, highest, "0", strconv.Itoa(r.IntN(100))) }
	number("-128", "127")
	number("0", "255")
	number("-32768", "32767")
	number("0", "65535")
	number("-8388608", "8388607")
	number("0", "16777215")
	number("-2147483648", "2147483647")
	number("0", "4294967295")
	number("-9223372036854775808", "9223372036854775807")
	number("0", "18446744073709551615")
	nines := strings.Repeat("9", 35) + "." + strings.Repeat("9", 30)
	number("-"+nines, nines)
	number("0.01", "99999999.99")
	add("1.5", "-0.25", "0", "16384", "-3.5e10")
	add("1.7976931348623157e308", "2.2250738585072014e-308", "-0.1", "0", "123456789.125", strconv.FormatFloat(r.NormFloat64(), 'g', -1, 64))
	add("TRUE", "FALSE")
	add("b'0'", "b'1'")
	add("b'"+strings.Repeat("1", 64)+"'", "0", "b'1000000000000001'")
	add("'1000-01-01'", "'9999-12-31'", "'2024-02-29'")
	add("'-838:59:59'", "'838:59:59'", "'00:00:00'", "'12:34:56'")
	add("'-838:59:58.999999'", "'838:59:58.000001'", "'12:34:56.789'")
	add("'1000-01-01 00:00:00'", "'9999-12-31 23:59:59'")
	add("'1000-01-01 00:00:00.000001'", "'9999-12-31 23:59:59.999999'", "'2026-01-02 03:04:05.5'")
	add("'1970-01-01 00:00:01'", "'2038-01-19 03:14:07'")
	add("'1970-01-01 00:00:01.000001'", "'2038-01-19 03:14:06.999999'")
	add("1901", "2155", "2026")
	for range 4 { // c, v, vb, vg
		add("''", "'é😀'", "'"+string(rune('a'+r.IntN(26)))+"'", "'it''s \\\\ \\n \\0 \"x\"'")
	}
	add("'é€ÿ'", "''", "'latin'")
	add(latinLetters, "'grüße'")
	add("''", "'tiny é'")
	add("REPEAT('text ', 1000)", "'te'")
	add("REPEAT('é', 5000)", "''")
	add("REPEAT('😀', 3000)", "'lo'")
	add("x'"+strings.Repeat("00", 16)+"'", "x'"+strings.Repeat("ff", 16)+"'", "'short'")
	for range 5 { // vn, tb, bl, mb, lb
		add(allBytes, "''", "x'00'", fmt.Sprintf("x'%032x'", r.Uint64()))
	}
	add("'a'", "'é'", "'it''s'")
	add("''", "'x,z'", "'x,y,z'")
	add(`'{"a": [1, 2.5, "x", null, true], "é": "ü\\n"}'`, "'[]'", `'"text"'`, "'null'", "'9007199254740993'", "'{}'")
	return "(" + strings.Join(values, ", ") + ")"
}

// Every byte that a TINYBLOB holds, and every printable character of latin1.
var allBytes, latinLetters = func() (string, string) {
	var bytes, letters strings.Builder
	for b := range 255 {
		fmt.Fprintf(&bytes, "%02x", b+1)
	}
	for c := rune(0xa1); c <= 0xff; c++ {
		letters.WriteRune(c)
	}
	return "x'" + bytes.String() + "'", "'" + letters.String() + "'"
}()

// wareTables are read in the order of their keys. What the two servers show in different ways is told apart by what it is.
var wareTables = []string{
	"SELECT * FROM kind ORDER BY id", "SELECT id, HEX(l), HEX(lt), HEX(bn), HEX(vn), HEX(lb), b64 + 0 FROM kind ORDER BY id", "SELECT * FROM item ORDER BY id",
	"SELECT * FROM part ORDER BY id", "SELECT * FROM `odd ``name` ORDER BY 1", "SELECT * FROM log ORDER BY id", "SELECT * FROM tick ORDER BY id", "SELECT * FROM dear ORDER BY id",
	"SELECT TABLE_NAME, TABLE_TYPE, TABLE_COLLATION, TABLE_COMMENT FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'wares' AND TABLE_TYPE = 'BASE TABLE' ORDER BY 1",
	"SELECT DISTINCT TABLE_NAME, INDEX_NAME, NON_UNIQUE, SEQ_IN_INDEX, COLUMN_NAME, INDEX_TYPE FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = 'wares' ORDER BY 1, 2, 4",
	"SELECT TABLE_NAME, COLUMN_NAME, ORDINAL_POSITION, IS_NULLABLE, DATA_TYPE, CHARACTER_SET_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = 'wares' AND COLUMN_NAME <> 'j' ORDER BY 1, 3",
	"SELECT CONSTRAINT_NAME, TABLE_NAME, REFERENCED_TABLE_NAME, UPDATE_RULE, DELETE_RULE FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = 'wares' ORDER BY 1",
	"SELECT TABLE_NAME, DEFINER FROM information_schema.VIEWS WHERE TABLE_SCHEMA = 'wares'",
	"SELECT TRIGGER_NAME, EVENT_OBJECT_TABLE, EVENT_MANIPULATION, ACTION_TIMING, DEFINER FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = 'wares'",
	"SELECT EVENT_NAME, REPLACE(DEFINER, '`', ''), STATUS, ON_COMPLETION, INTERVAL_VALUE, INTERVAL_FIELD FROM information_schema.EVENTS WHERE EVENT_SCHEMA = 'wares'",
}

// sameAs compares what the two servers hold.
func (d *dumped) sameAs(t *testing.T, source *dumped) {
	t.Helper()
	d.routinesAs(t, source)
	for _, q := range wareTables {
		want, err := answers(source.db, q)
		if err != nil {
			t.Fatalf("%s: %v", q, err)
		}
		got, err := answers(d.db, q)
		if err != nil {
			t.Fatalf("%s: %v", q, err)
		}
		if strings.HasPrefix(q, "SELECT * FROM kind") && len(want) != 3000 {
			t.Fatalf("there are %d rows", len(want))
		}
		if slices.Equal(got, want) {
			continue
		}
		t.Errorf("%s: %d rows, want %d", q, len(got), len(want))
		shown := 0
		for i := 0; i < max(len(got), len(want)) && shown < 3; i++ {
			var a, b string
			if i < len(got) {
				a = got[i]
			}
			if i < len(want) {
				b = want[i]
			}
			if a != b {
				t.Logf("row %d is\n%.1500s\nwant\n%.1500s", i, a, b)
				shown++
			}
		}
	}
}

// routinesAs compares the functions and procedures.
func (d *dumped) routinesAs(t *testing.T, source *dumped) {
	t.Helper()
	for _, kind := range []string{"FUNCTION", "PROCEDURE"} {
		q := "SHOW " + kind + " STATUS WHERE Db = 'wares'"
		got, want := columns(t, d.db, q), columns(t, source.db, q)
		for _, of := range []string{"Name", "Type", "Definer", "Security_type", "Comment"} {
			if got[of] != want[of] || of == "Name" && got[of] == "" {
				t.Errorf("%s: %s is %q, want %q", q, of, got[of], want[of])
			}
		}
	}
}

// works checks that each object does what it is for.
func (d *dumped) works(t *testing.T) {
	t.Helper()
	one := func(query, want string) {
		t.Helper()
		var got sql.NullString
		if err := d.db.QueryRow(query).Scan(&got); err != nil || got.String != want {
			t.Errorf("%s: %q (%v), want %q", query, got.String, err, want)
		}
	}
	fails := func(code uint16, query string) {
		t.Helper()
		_, err := d.db.Exec(query)
		if e, ok := err.(*mysql.MySQLError); !ok || e.Number != code {
			t.Errorf("%s: %v, want %d", query, err, code)
		}
	}
	mustExec(t, d.db.Exec, "INSERT INTO item (code, title, price) VALUES ('new', 'purple table', 60)")
	one("SELECT CONCAT(id, ' ', n) FROM item WHERE code = 'new'", "1001 5")
	one("SELECT at > '2026-01-02 03:04:06' FROM item WHERE code = 'new'", "1")
	fails(1062, "INSERT INTO item (code) VALUES ('new')")
	fails(1452, "INSERT INTO part (item) VALUES (5000)")
	one("SELECT COUNT(*) FROM item WHERE MATCH (title) AGAINST ('purple')", "1")
	one("SELECT COUNT(*) = (SELECT COUNT(*) FROM item WHERE title LIKE '%chair%') FROM item WHERE MATCH (title) AGAINST ('chair' IN BOOLEAN MODE)", "1")
	one("SELECT COUNT(*) FROM dear WHERE code = 'new'", "1")
	mustExec(t, d.db.Exec, "CALL raise_prices(100, @n)")
	one("SELECT price FROM item WHERE code = 'new'", "160.00")
	one("SELECT gross(10.5)", "12.60")
	mustExec(t, d.db.Exec, "INSERT INTO part (item, note) VALUES (1001, 'goes with it')", "DELETE FROM item WHERE id = 1001")
	one("SELECT COUNT(*) FROM part WHERE item = 1001", "0")
	one("SELECT what FROM log ORDER BY id DESC LIMIT 1", "sold new")
	mustExec(t, d.db.Exec, "INSERT INTO kind (v, ti) VALUES ('made', 21)")
	one("SELECT CONCAT(id, gs, gv) FROM kind ORDER BY id DESC LIMIT 1", "3001<made>42")
	mustExec(t, d.db.Exec, "ALTER EVENT beat ENABLE")
	until(t, time.Minute, "the event runs", func() bool {
		var n int
		return d.db.QueryRow("SELECT COUNT(*) FROM tick").Scan(&n) == nil && n > 0
	})
	mustExec(t, d.db.Exec, "ALTER EVENT beat DISABLE")
}

// Dumps of mariadb-dump, with everything that a database can hold, go from here to here, from here to MariaDB and from there to here.
func TestDumpsHoldEverything(t *testing.T) {
	m := startMariaSource(t).dumped(t)
	ours, copied := start(t, testNode(t)).dumped(t), start(t, testNode(t)).dumped(t)
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("repeat with -args -seed=%d", seed)
	script := dumpSchema + dumpRows(rand.New(rand.NewPCG(seed, 1)))
	ours.load(t, script)
	for _, c := range []struct {
		name string
		to   *dumped
		more []string
	}{
		{"from here to here", copied, nil},
		{"from here to here, bytes as digits and rows by name", copied, []string{"--hex-blob", "--complete-insert", "--add-drop-database"}},
		{"from here to MariaDB", m, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.to.load(t, ours.dump(t, c.more...))
			c.to.sameAs(t, ours)
			c.to.works(t)
		})
	}
	t.Run("from MariaDB to here", func(t *testing.T) {
		m.load(t, "DROP DATABASE wares; CREATE DATABASE wares; USE wares;\n"+script)
		copied.load(t, "DROP DATABASE wares; CREATE DATABASE wares; USE wares;\n"+m.dump(t))
		copied.sameAs(t, m)
		copied.works(t)
	})
}
