package sql

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-mysql-org/go-mysql/replication"

	"stack/roles/db/binlog"
)

// logged lists what the log holds from a position on, as SHOW BINLOG EVENTS says it;
// names of types and texts only.
func (s *server) logged(from binlog.Position) []string {
	s.t.Helper()
	r, err := s.db.Binlog().Open(from)
	if err != nil {
		s.t.Fatal(err)
	}
	defer r.Close()
	var list []string
	for {
		ev, err := r.TryNext()
		if err != nil {
			s.t.Fatal(err)
		}
		if ev == nil {
			return list
		}
		row, err := eventRow(ev)
		if err != nil {
			s.t.Fatal(err)
		}
		list = append(list, row[2].(string)+" "+row[5].(string))
	}
}

// statements are the texts of the statements in the log from a position on.
func (s *server) loggedStatements(from binlog.Position) []string {
	var list []string
	for _, line := range s.logged(from) {
		if text, ok := strings.CutPrefix(line, "Query "); ok && text != "BEGIN" {
			list = append(list, text)
		}
	}
	return list
}

// Statements that change the catalog stand in the log as given, but for what a replica
// could not know.
func TestLoggedStatements(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TEMPORARY TABLE tmp (a INT)", "INSERT INTO tmp VALUES (1)")
	for _, step := range []struct {
		run  string
		want []string
	}{
		{"CREATE TABLE t (id INT PRIMARY KEY, s VARCHAR(10))", []string{"use `test`; CREATE TABLE t (id INT PRIMARY KEY, s VARCHAR(10))"}},
		{"CREATE TABLE IF NOT EXISTS t (id INT PRIMARY KEY)", nil},
		{"DROP TABLE IF EXISTS nothing", nil},
		{"ALTER TABLE t ADD COLUMN n INT DEFAULT 3", []string{"use `test`; ALTER TABLE t ADD COLUMN n INT DEFAULT 3"}},
		{"CREATE VIEW v AS SELECT id FROM t", []string{"use `test`; CREATE VIEW v AS SELECT id FROM t"}},
		{"CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.s = 'x'", []string{"use `test`; CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.s = 'x'"}},
		{"INSERT INTO t (id) VALUES (1)", nil},
		{"CREATE TABLE dup SELECT id, s FROM t", []string{
			"use `test`; CREATE TABLE `test`.`dup` (\n  `id` int NOT NULL,\n  `s` varchar(10) DEFAULT NULL\n) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_520_ci START TRANSACTION"}},
		{"CREATE TABLE nothing2 SELECT id FROM t WHERE id > 5", []string{
			"use `test`; CREATE TABLE `test`.`nothing2` (\n  `id` int NOT NULL\n) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_520_ci"}},
		{"CREATE TABLE same LIKE t", []string{"use `test`; CREATE TABLE same LIKE t"}},
		{"TRUNCATE TABLE t", []string{"use `test`; TRUNCATE TABLE t"}},
		{"DROP TABLE same, tmp", []string{"use `test`; DROP TABLE IF EXISTS `test`.`same`"}},
		{"CREATE TEMPORARY TABLE tmp (a INT)", nil},
		{"DROP TABLE tmp", nil},
		{"CREATE DATABASE other", []string{"use `test`; CREATE DATABASE other"}},
		{"CREATE USER u IDENTIFIED BY 'open sesame'", []string{"CREATE USER 'u'@'%' IDENTIFIED WITH 'caching_sha2_password' AS "}},
		{"CREATE USER u2@localhost IDENTIFIED WITH mysql_native_password BY 'open sesame' REQUIRE SSL", []string{"REQUIRE SSL"}},
		{"ALTER USER u IDENTIFIED BY 'open sesame 2'", []string{"ALTER USER 'u'@'%' IDENTIFIED WITH 'caching_sha2_password' AS "}},
		{"GRANT SELECT ON *.* TO u", []string{"use `test`; GRANT SELECT ON *.* TO u"}},
		{"DROP USER u", []string{"use `test`; DROP USER u"}},
		{"PREPARE p FROM 'CREATE TABLE prepared (a INT)'", nil},
		{"EXECUTE p", []string{"use `test`; CREATE TABLE prepared (a INT)"}},
		{"SET @q = 'DROP TABLE prepared'", nil},
		{"PREPARE p FROM @q", nil},
		{"EXECUTE p", []string{"use `test`; DROP TABLE prepared"}},
		{"SET sql_log_bin = 0", nil},
		{"CREATE TABLE hidden (a INT)", nil},
		{"INSERT INTO hidden VALUES (1)", nil},
		{"ALTER TABLE hidden ADD COLUMN n INT DEFAULT 3", nil},
		{"SET sql_log_bin = 1", nil},
	} {
		from := s.db.Binlog().Position()
		c.must(step.run)
		got := s.loggedStatements(from)
		ok := len(got) == len(step.want)
		for i := range got {
			if strings.Contains(got[i], "sesame") {
				t.Errorf("%s: a password is in the log: %s", step.run, got[i])
			}
			ok = ok && strings.Contains(got[i], step.want[i])
		}
		if !ok {
			t.Errorf("%s\n got: %q\nwant: %q", step.run, got, step.want)
		}
	}
	from := s.db.Binlog().Position()
	c.must("BEGIN")
	c.fails(1694, "SET sql_log_bin = 0")
	c.must("ROLLBACK")
	c.fails(1231, "SET binlog_row_image = 'MINIMAL'")
	c.fails(1050, "CREATE TABLE t (a INT)")
	c.fails(1062, "INSERT INTO t (id) VALUES (5), (6), (5)")
	if got := s.logged(from); len(got) > 0 {
		t.Errorf("what failed is in the log: %q", got)
	}
	// An account with a stored hash works where the logged statement runs.
	var text string
	for _, st := range s.loggedStatements(binlog.Position{File: 1}) {
		if i := strings.Index(st, "CREATE USER 'u2'"); i >= 0 {
			text = st[i:]
		}
	}
	before := s.must1("SELECT authentication_string FROM mysql.user WHERE User = 'u2'")
	c.must("DROP USER u2@localhost", text)
	if after := s.must1("SELECT authentication_string FROM mysql.user WHERE User = 'u2'"); after != before || before == "" {
		t.Errorf("%s\nmade the hash %q of %q", text, after, before)
	}
}

func (s *server) must1(query string) string {
	s.t.Helper()
	rows := s.test().must(query).rows
	if len(rows) != 1 {
		s.t.Fatalf("%s: %d rows", query, len(rows))
	}
	return rows[0]
}

func TestLogShowPurgeFlush(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1)", "FLUSH BINARY LOGS", "UPDATE t SET id = 2")
	p := s.db.Binlog().Position()
	set := s.db.Executed().String()
	for _, q := range []string{"SHOW MASTER STATUS", "SHOW BINARY LOG STATUS"} {
		c.want(q, fmt.Sprintf("binlog.000002|%d|||%s", p.Offset, set))
	}
	c.want("SELECT @@gtid_executed, @@log_bin, @@gtid_mode, @@binlog_row_image", set+"|1|ON|FULL")
	for _, q := range []string{"SHOW BINARY LOGS", "SHOW MASTER LOGS"} {
		rows := c.must(q).rows
		if len(rows) != 2 || !strings.HasPrefix(rows[0], "binlog.000001|") || rows[1] != fmt.Sprintf("binlog.000002|%d|No", p.Offset) {
			t.Errorf("%s: %q", q, rows)
		}
	}
	events := c.must("SHOW BINLOG EVENTS IN 'binlog.000002'").rows
	var kinds []string
	for _, e := range events {
		kinds = append(kinds, strings.Split(e, "|")[2])
	}
	if got := fmt.Sprint(kinds); got != "[Format_desc Previous_gtids Gtid Query Table_map Update_rows Xid]" {
		t.Errorf("events are %s", got)
	}
	if first := c.must("SHOW BINLOG EVENTS").rows; !strings.HasPrefix(first[0], "binlog.000001|4|Format_desc") || !strings.Contains(first[len(first)-1], "Rotate") {
		t.Errorf("the first file holds %q", first)
	}
	from := strings.Split(events[2], "|")[1]
	c.want("SHOW BINLOG EVENTS IN 'binlog.000002' FROM "+from+" LIMIT 1, 1", events[3])
	c.want("SHOW BINLOG EVENTS IN 'binlog.000002' LIMIT 0")
	c.fails(1220, "SHOW BINLOG EVENTS IN 'binlog.000009'")
	c.fails(1220, "SHOW BINLOG EVENTS IN 'binlog.000002' FROM 5")

	c.must("CREATE USER reader")
	reader := s.login("reader", "%", "")
	for _, q := range []string{"SHOW BINLOG EVENTS", "SHOW MASTER STATUS", "SHOW BINARY LOGS", "PURGE BINARY LOGS TO 'binlog.000002'", "FLUSH LOGS", "SET sql_log_bin = 0"} {
		reader.fails(1227, q)
	}
	c.fails(1373, "PURGE BINARY LOGS TO 'binlog.000007'")
	c.must("PURGE BINARY LOGS BEFORE '2001-01-01 00:00:00'")
	if n := len(c.must("SHOW BINARY LOGS").rows); n != 2 {
		t.Errorf("%d files after PURGE BEFORE the past", n)
	}
	c.must("PURGE MASTER LOGS TO 'binlog.000002'")
	c.want("SHOW BINARY LOGS", fmt.Sprintf("binlog.000002|%d|No", s.db.Binlog().Position().Offset))
	c.must("FLUSH LOGS", "PURGE BINARY LOGS BEFORE NOW() + INTERVAL 1 DAY")
	if rows := c.must("SHOW BINARY LOGS").rows; len(rows) != 1 || !strings.HasPrefix(rows[0], "binlog.000003") {
		t.Errorf("files are %q", rows)
	}
	names, err := os.ReadDir(filepath.Join(s.dir, "binlog"))
	if err != nil || len(names) != 0 {
		t.Errorf("files on disk: %v, %v", names, err)
	}
	s.restart()
	s.test().want("SELECT * FROM t", "2")
}

// typedRows fills a table that has every type that MariaDB's program can print.
const typedTable = `CREATE TABLE typed (id BIGINT PRIMARY KEY AUTO_INCREMENT, ti TINYINT, tu TINYINT UNSIGNED, si SMALLINT, mi MEDIUMINT, i INT,
	bu BIGINT UNSIGNED, f FLOAT, d DOUBLE, de DECIMAL(20,6), da DATE, dt DATETIME, dt3 DATETIME(3), ts TIMESTAMP(6) NULL, t TIME(6), y YEAR,
	b BIT(10), e ENUM('a','b'), s SET('x','y','z'), c CHAR(200), v VARCHAR(300), l VARCHAR(20) CHARACTER SET latin1 COLLATE latin1_swedish_ci,
	bi BINARY(5), vb VARBINARY(300), tt TINYTEXT, te TEXT, bl BLOB, lb LONGBLOB,
	t0 TIME, t1 TIME(1), t2 TIME(2), t3 TIME(3), t5 TIME(5), du DECIMAL(9,3) UNSIGNED, fu FLOAT UNSIGNED, xu DOUBLE UNSIGNED)`

func typedRow(r *rand.Rand) string {
	pick := func(values ...string) string {
		if r.IntN(5) == 0 {
			return "NULL"
		}
		return values[r.IntN(len(values))]
	}
	values := []string{
		pick("-128", "127"), pick("0", "255"), pick("-32768"), pick("-8388608", "8388607"), pick("-2147483648", "5"),
		pick("18446744073709551615", "0"), pick("1.5", "-0.25"), pick("2.5e10"), pick("-12345678901234.123456", "0.5"),
		pick("'2026-11-29'", "'1000-01-01'"), pick("'9999-12-31 23:59:59'"), pick("'2026-01-02 03:04:05.678'"),
		pick("'2030-06-07 08:09:10.123456'"), pick("'-838:59:58.5'", "'12:34:56.789012'"), pick("2026", "1901"),
		pick("1023", "1"), pick("'a'", "'b'"), pick("'x,z'", "''"), pick("'char'", "'grüße 🐘'"), pick("''", "'"+strings.Repeat("é", 300)+"'"),
		pick("'é€'"), pick("x'0100020000'"), pick("x'00ff'"), pick("'tiny'"), pick("'text'"), pick("x'000102'"), pick("REPEAT('long', 5000)"),
		pick("'-00:00:01'", "'12:34:57'"), pick("'-00:00:00.1'", "'1:2:3.9'"), pick("'-10:11:12.34'"), pick("'10:11:12.345'", "'-838:59:58.999'"), pick("'-00:00:00.00001'"),
		pick("123456.789"), pick("0.5"), pick("1.5"),
	}
	return "(" + strings.Join(values, ", ") + ")"
}

const typedColumns = "ti, tu, si, mi, i, bu, f, d, de, da, dt, dt3, ts, t, y, b, e, s, c, v, l, bi, vb, tt, te, bl, lb, t0, t1, t2, t3, t5, du, fu, xu"

// MariaDB's own programs read the files: mariadb-binlog prints every one without an
// error, and a MariaDB server that is given what it prints holds the same rows.
func TestMariaDBReadsTheLog(t *testing.T) {
	if _, err := exec.LookPath("mariadb-binlog"); err != nil {
		t.Skip("mariadb-binlog is not installed")
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 9))
	s := newServer(t)
	c := s.test()
	c.must(typedTable)
	c.must("SET time_zone = '+05:45'")
	c.must("CREATE TABLE small (a INT, b VARCHAR(10))", "ALTER TABLE small ADD COLUMN n INT DEFAULT 4")
	for range 30 {
		c.must("INSERT INTO typed (" + typedColumns + ") VALUES " + typedRow(r) + ", " + typedRow(r))
	}
	c.must("BEGIN", "UPDATE typed SET v = 'changed', i = NULL WHERE id % 3 = 0", "SAVEPOINT a", "DELETE FROM typed WHERE id < 40", "ROLLBACK TO a",
		"DELETE FROM typed WHERE id % 7 = 0", "INSERT INTO small (a, b) VALUES (1, 'x'), (1, 'x'), (2, NULL)", "COMMIT", "FLUSH LOGS",
		"DELETE FROM small WHERE a = 2", "CREATE TABLE selected SELECT id, v FROM typed WHERE id < 10")
	c.must("FLUSH LOGS")
	var files []string
	for _, f := range s.db.Binlog().Files() {
		if f.Sealed == f.Size {
			files = append(files, filepath.Join(s.dir, "binlog", binlog.FileName(f.Number)))
		}
	}
	if len(files) != 2 {
		t.Fatalf("sealed files are %q", files)
	}
	run := func(args ...string) string {
		cmd := exec.Command("mariadb-binlog", append([]string{"--no-defaults", "--verify-binlog-checksum"}, append(args, files...)...)...)
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Run(); err != nil || errs.Len() > 0 {
			t.Fatalf("mariadb-binlog %v: %v\n%s", args, err, errs.String())
		}
		return out.String()
	}
	printed := run("--base64-output=DECODE-ROWS", "-v")
	for _, want := range []string{"### INSERT INTO `test`.`typed`", "### UPDATE `test`.`typed`", "### DELETE FROM `test`.`typed`", "CREATE TABLE small", "COMMIT"} {
		if !strings.Contains(printed, want) {
			t.Errorf("mariadb-binlog does not print %s", want)
		}
	}
	if i := strings.Index(printed, "Unknown event"); i >= 0 || strings.Contains(printed, "WARNING") || strings.Contains(printed, "Don't know") {
		t.Errorf("mariadb-binlog does not know what it reads: %.300s", printed[max(i, 0):])
	}
	rows := 0
	for _, line := range strings.Split(printed, "\n") {
		if strings.HasPrefix(line, "### INSERT INTO `test`.`typed`") {
			rows++
		}
	}
	if rows != 60 {
		t.Errorf("mariadb-binlog prints %d new rows of 60", rows)
	}
	conn := mariadb(t)
	socket, err := rowsOf(conn, "SELECT @@socket")
	if err != nil {
		t.Fatal(err)
	}
	// CREATE TABLE … START TRANSACTION is MySQL's: MariaDB gets the two in its own way.
	sql := strings.ReplaceAll(run(), " START TRANSACTION\n", "\n")
	if _, err := conn.ExecContext(t.Context(), "DROP DATABASE test"); err != nil {
		t.Fatal(err)
	}
	client := exec.Command("mariadb", "--no-defaults", "--user=root", "--socket="+socket[0])
	client.Stdin = strings.NewReader(sql)
	if out, err := client.CombinedOutput(); err != nil {
		t.Fatalf("MariaDB does not take what mariadb-binlog prints: %v\n%.2000s", err, out)
	}
	mustPeer(t, conn, "SET time_zone = '+05:45'")
	for _, q := range []string{
		"SELECT id, ti, tu, si, mi, i, bu, f, d, de, da, dt, dt3, ts, t, y, b+0, e, s, c, v, l, HEX(bi), HEX(vb), tt, te, HEX(bl), MD5(lb), t0, t1, t2, t3, t5, du, fu, xu FROM test.typed ORDER BY id",
		"SELECT a, b, n FROM test.small ORDER BY a",
		"SELECT id, v FROM test.selected ORDER BY id",
	} {
		theirs, err := rowsOf(conn, q)
		if err != nil {
			t.Fatal(err)
		}
		if ours := c.must(q).rows; !slices.Equal(ours, theirs) || len(ours) == 0 {
			for i := range min(len(ours), len(theirs)) {
				if ours[i] != theirs[i] {
					t.Errorf("row %d\n ours %s\ntheirs %s", i, ours[i], theirs[i])
				}
			}
			t.Errorf("%s: %d rows here, %d there", q, len(ours), len(theirs))
		}
	}
}

// mirror does to tables of (INT key, VARCHAR, INT …) what the log says.
type mirror struct {
	t      *testing.T
	parser *replication.BinlogParser
	tables map[string]map[int32][]any
}

func (m *mirror) apply(e *replication.BinlogEvent) {
	m.t.Helper()
	switch x := e.Event.(type) {
	case *replication.QueryEvent:
		words := strings.Fields(string(x.Query))
		switch {
		case words[0] == "CREATE":
			m.tables[words[2]] = map[int32][]any{}
		case words[0] == "TRUNCATE":
			clear(m.tables[words[2]])
		case words[0] == "ALTER" && words[3] == "ADD":
			for id, row := range m.tables[words[2]] {
				m.tables[words[2]][id] = append(row, int32(7))
			}
		case words[0] == "ALTER" && words[3] == "DROP":
			for id, row := range m.tables[words[2]] {
				m.tables[words[2]][id] = row[:len(row)-1]
			}
		}
	case *replication.RowsEvent:
		table := m.tables[string(x.Table.Table)]
		for i, row := range x.Rows {
			id := row[0].(int32)
			if e.Header.EventType == replication.WRITE_ROWS_EVENTv2 || e.Header.EventType == replication.UPDATE_ROWS_EVENTv2 && i%2 == 1 {
				if table[id] != nil {
					m.t.Fatalf("the log makes row %d of %s twice", id, x.Table.Table)
				}
				table[id] = row
			} else {
				if fmt.Sprint(table[id]) != fmt.Sprint(row) {
					m.t.Fatalf("the log changes row %v of %s, which is %v", row, x.Table.Table, table[id])
				}
				delete(table, id)
			}
		}
	}
}

func (m *mirror) rows(table string) []string {
	list := make([]string, 0, len(m.tables[table]))
	for _, row := range m.tables[table] {
		var text []string
		for _, v := range row {
			if v == nil {
				v = "NULL"
			}
			text = append(text, fmt.Sprint(v))
		}
		list = append(list, strings.Join(text, "|"))
	}
	slices.Sort(list)
	return list
}

// Random statements, many of which fail or are taken back, with triggers, cascades and
// changes of the tables: what the log says is what the tables hold.
func TestLogOfRandomStatements(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 10))
	s := newServer(t)
	m := &mirror{t: t, parser: replication.NewBinlogParser(), tables: map[string]map[int32][]any{}}
	reader, err := s.db.Binlog().Open(binlog.Position{File: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	c := s.test()
	c.must("CREATE TABLE parent (id INT PRIMARY KEY, s VARCHAR(20), n INT, UNIQUE KEY (n))",
		"CREATE TABLE child (id INT PRIMARY KEY, s VARCHAR(20), p INT, FOREIGN KEY (p) REFERENCES parent (id) ON DELETE CASCADE ON UPDATE CASCADE)",
		"CREATE TABLE trail (id INT PRIMARY KEY AUTO_INCREMENT, s VARCHAR(20))",
		"CREATE TABLE wide (id INT PRIMARY KEY, s VARCHAR(20))",
		"CREATE TRIGGER tr AFTER UPDATE ON child FOR EACH ROW INSERT INTO trail (s) VALUES (NEW.s)")
	open := false
	statements, failed := 400, 0
	if testing.Short() {
		statements = 150
	}
	for i := range statements {
		k, n := r.IntN(12), r.IntN(20)
		q := []string{
			fmt.Sprintf("INSERT INTO parent VALUES (%d, 'p%d', %d), (%d, 'q', %d)", n, i, r.IntN(30), r.IntN(20), r.IntN(30)),
			fmt.Sprintf("INSERT INTO child VALUES (%d, 'c%d', %d)", n, i, r.IntN(20)),
			fmt.Sprintf("UPDATE parent SET id = id + 20, s = 'moved' WHERE id = %d", n),
			fmt.Sprintf("UPDATE child SET s = 'u%d' WHERE id >= %d", i, n),
			fmt.Sprintf("DELETE FROM parent WHERE id IN (%d, %d)", n, r.IntN(40)),
			fmt.Sprintf("REPLACE INTO parent VALUES (%d, 'r%d', %d)", n, i, r.IntN(30)),
			fmt.Sprintf("INSERT INTO parent VALUES (%d, 'd', %d) ON DUPLICATE KEY UPDATE s = 'dup%d'", n, r.IntN(30), i),
			fmt.Sprintf("INSERT IGNORE INTO parent VALUES (%d, 'i', 1), (%d, 'i', 2), (%d, 'i', %d)", n, r.IntN(20), r.IntN(20), r.IntN(30)),
			fmt.Sprintf("INSERT INTO wide (id, s) SELECT id + %d, s FROM parent", r.IntN(3)*100),
			"UPDATE parent SET n = n + 1 ORDER BY n DESC",
			"SAVEPOINT a", "ROLLBACK TO a",
		}[k]
		switch x := r.IntN(30); {
		case x < 4 && !open:
			c.must("BEGIN")
			open = true
		case x < 7 && open:
			c.must([]string{"COMMIT", "ROLLBACK"}[r.IntN(2)])
			open = false
		case x == 7:
			q, open = "TRUNCATE TABLE wide", false
		case x == 8:
			q, open = "ALTER TABLE wide ADD COLUMN x INT DEFAULT 7", false
		case x == 9:
			q, open = "ALTER TABLE wide DROP COLUMN x", false
		}
		if _, err := c.run(q); err != nil {
			failed++
		}
		if i%20 == 0 || i == statements-1 {
			if open {
				c.must("COMMIT")
				open = false
			}
			m.read(reader)
			for _, table := range []string{"parent", "child", "trail", "wide"} {
				got := c.must("SELECT * FROM " + table).rows
				slices.Sort(got)
				if !slices.Equal(got, m.rows(table)) {
					t.Fatalf("after %d statements, the last %s\n%s holds %q\nthe log makes %q", i+1, q, table, got, m.rows(table))
				}
			}
		}
	}
	if failed == 0 {
		t.Error("no statement failed: the test shows less than it should")
	}
}

func (m *mirror) read(r *binlog.Reader) {
	m.t.Helper()
	for {
		ev, err := r.TryNext()
		if err != nil {
			m.t.Fatal(err)
		}
		if ev == nil {
			return
		}
		if parsed, err := m.parser.Parse(bytes.Clone(ev.Bytes)); err != nil {
			m.t.Fatal(err)
		} else {
			m.apply(parsed)
		}
	}
}
