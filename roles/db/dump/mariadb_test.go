package dump_test

import (
	"bytes"
	"context"
	gosql "database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"stack/roles/db/binlog"
)

// peer is a real MariaDB server.
type peer struct {
	t       testing.TB
	dir     string
	process *exec.Cmd
	db      *gosql.DB
}

// A mariadbd that starts removes what others keep in a directory for temporary files: each has its own.
func newPeer(t testing.TB) *peer {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mariadbd is run as root here")
	}
	for _, program := range []string{"mariadbd", "mariadb-install-db"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(program + " is not installed")
		}
	}
	p := &peer{t: t, dir: t.TempDir()}
	if out, err := exec.Command("mariadb-install-db", "--no-defaults", "--user=root", "--datadir="+filepath.Join(p.dir, "data"), "--tmpdir="+p.dir,
		"--skip-test-db", "--auth-root-authentication-method=normal").CombinedOutput(); err != nil {
		t.Fatalf("mariadb-install-db: %v\n%s", err, out)
	}
	p.start()
	t.Cleanup(p.stop)
	return p
}

func (p *peer) start() {
	p.t.Helper()
	socket := filepath.Join(p.dir, "s")
	log, err := os.Create(filepath.Join(p.dir, "log"))
	if err != nil {
		p.t.Fatal(err)
	}
	defer log.Close()
	p.process = exec.Command("mariadbd", "--no-defaults", "--user=root", "--datadir="+filepath.Join(p.dir, "data"), "--tmpdir="+p.dir, "--socket="+socket, "--skip-networking",
		"--innodb-buffer-pool-size=16M", "--server-id=2", "--relay-log=relay", "--max-allowed-packet=1G", "--slave-max-allowed-packet=1G")
	p.process.Stderr = log
	if err := p.process.Start(); err != nil {
		p.t.Fatal(err)
	}
	if p.db, err = gosql.Open("mysql", "root@unix("+socket+")/"); err != nil {
		p.t.Fatal(err)
	}
	waitFor(p.t, "mariadbd is up", func() bool { return p.db.Ping() == nil })
}

func (p *peer) stop() {
	p.db.Close()
	p.process.Process.Kill()
	p.process.Wait()
}

func (p *peer) must(statements ...string) {
	p.t.Helper()
	for _, q := range statements {
		if _, err := p.db.ExecContext(context.Background(), q); err != nil {
			p.t.Fatalf("%s: %v", q, err)
		}
	}
}

// status is a row of SHOW SLAVE STATUS.
func (p *peer) status() map[string]string {
	p.t.Helper()
	r, err := p.db.QueryContext(context.Background(), "SHOW SLAVE STATUS")
	if err != nil {
		p.t.Fatal(err)
	}
	defer r.Close()
	names, _ := r.Columns()
	out := map[string]string{}
	if r.Next() {
		values, into := make([]gosql.RawBytes, len(names)), make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		if err := r.Scan(into...); err != nil {
			p.t.Fatal(err)
		}
		for i, n := range names {
			out[n] = string(values[i])
		}
	}
	return out
}

// follow makes it a replica of s from the beginning of the log.
func (p *peer) follow(s *server) {
	p.must(fmt.Sprintf("CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = %d, MASTER_USER = 'replica', MASTER_PASSWORD = 'secret', "+
		"MASTER_LOG_FILE = 'binlog.000001', MASTER_LOG_POS = 4, MASTER_HEARTBEAT_PERIOD = 0.1, MASTER_CONNECT_RETRY = 1", s.port), "START SLAVE")
}

// caughtUp waits until the replica has executed all of the log, and has counted its
// position as the log does.
func (p *peer) caughtUp(s *server) {
	p.t.Helper()
	want := s.txn.Binlog().Position()
	text := func(file, pos string) string { return file + ":" + pos }
	var st map[string]string
	deadline := time.Now().Add(2 * time.Minute)
	for {
		st = p.status()
		if text(st["Relay_Master_Log_File"], st["Exec_Master_Log_Pos"]) == want.String() {
			break
		}
		if st["Last_SQL_Errno"] != "0" || st["Last_IO_Errno"] != "0" && st["Last_IO_Errno"] != "2003" && st["Last_IO_Errno"] != "2013" || time.Now().After(deadline) {
			log, _ := os.ReadFile(filepath.Join(p.dir, "log"))
			p.t.Fatalf("the replica is at %s of %s: SQL %s, IO %s\n%s", text(st["Relay_Master_Log_File"], st["Exec_Master_Log_Pos"]), want,
				st["Last_SQL_Error"], st["Last_IO_Error"], log[max(0, len(log)-3000):])
		}
		time.Sleep(10 * time.Millisecond)
	}
	if got := text(st["Master_Log_File"], st["Read_Master_Log_Pos"]); got != want.String() {
		p.t.Errorf("the replica has read up to %s, the log ends at %s", got, want)
	}
}

// same compares the rows of a query.
func same(t testing.TB, ours, theirs *gosql.DB, query string) {
	t.Helper()
	a, b := rows(t, ours, query), rows(t, theirs, query)
	if slices.Equal(a, b) {
		return
	}
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			t.Errorf("%s, row %d\n  ours %.600s\ntheirs %.600s", query, i, a[i], b[i])
			break
		}
	}
	t.Errorf("%s: %d rows here, %d there", query, len(a), len(b))
}

const typed = `CREATE TABLE test.typed (id BIGINT PRIMARY KEY AUTO_INCREMENT, ti TINYINT, tu TINYINT UNSIGNED, si SMALLINT, mi MEDIUMINT, i INT,
	bu BIGINT UNSIGNED, f FLOAT, d DOUBLE, de DECIMAL(20,6), da DATE, dt DATETIME, dt3 DATETIME(3), ts TIMESTAMP(6) NULL, t TIME(6), y YEAR,
	b BIT(10), e ENUM('a','b'), s SET('x','y','z'), c CHAR(200), v VARCHAR(300), l VARCHAR(20) CHARACTER SET latin1 COLLATE latin1_swedish_ci,
	bi BINARY(5), vb VARBINARY(300), tt TINYTEXT, te TEXT, bl BLOB, lb LONGBLOB, j JSON, p POINT, z VARCHAR(30) COLLATE utf8mb4_0900_ai_ci)`

const typedColumns = "ti, tu, si, mi, i, bu, f, d, de, da, dt, dt3, ts, t, y, b, e, s, c, v, l, bi, vb, tt, te, bl, lb, j, p, z"

const typedQuery = "SELECT id, ti, tu, si, mi, i, bu, f, d, de, da, dt, dt3, ts, t, y, b+0, e, s, c, v, l, HEX(bi), HEX(vb), tt, te, HEX(bl), MD5(lb), j, ST_AsText(p), z FROM test.typed ORDER BY id"

func typedRow(r *rand.Rand) string { return "(" + strings.Join(typedValues(r), ", ") + ")" }

func typedValues(r *rand.Rand) []string {
	pick := func(values ...string) string {
		if r.IntN(5) == 0 {
			return "NULL"
		}
		return values[r.IntN(len(values))]
	}
	numbers := make([]string, r.IntN(60))
	for i := range numbers {
		numbers[i] = fmt.Sprint(r.IntN(65536) - 32768)
	}
	return []string{
		pick("-128", "127"), pick("0", "255"), pick("-32768"), pick("-8388608", "8388607"), pick("-2147483648", "5"),
		pick("18446744073709551615", "0"), pick("1.5", "-0.25"), pick("2.5e10"), pick("-12345678901234.123456", "0.5"),
		pick("'2026-11-29'", "'1000-01-01'"), pick("'9999-12-31 23:59:59'"), pick("'2026-01-02 03:04:05.678'"),
		pick("'2030-06-07 08:09:10.123456'"), pick("'-838:59:58.5'", "'12:34:56.789012'"), pick("2026", "1901"),
		pick("1023", "1"), pick("'a'", "'b'"), pick("'x,z'", "''"), pick("'char'", "'grüße 🐘'"), pick("''", "'"+strings.Repeat("é", 300)+"'"),
		pick("'é€'"), pick("x'0100020000'"), pick("x'00ff'"), pick("'tiny'"), pick("'text'"), pick("x'000102'"), pick("REPEAT('long', 5000)"),
		pick("'{}'", "'[]'", "'null'", `'{"a": [1, -2, 3.5, true, null], "ü": "line\\nbreak"}'`, "'["+strings.Join(numbers, ",")+"]'",
			`'{"big": 18446744073709551615, "deep": [[[[[]]]]], "text": "`+strings.Repeat("ab", 200)+`"}'`),
		pick("ST_GeomFromText('POINT(1 2)')"), pick("'Straße'", "'trailing  '"),
	}
}

// A MariaDB server follows ours: all types, DDL, load beside a stop of the replica and a
// restart of both servers; at the end the tables are equal.
func TestMariaDBFollows(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	p := newPeer(t)
	s := newServer(t, binlog.Options{FileSize: 1 << 20, SealSize: 256 << 10})
	p.must("CREATE USER root@'%'", "GRANT ALL ON *.* TO root@'%'") // ours is not in the log, and defines a view
	p.follow(s)
	s.must(typed,
		"CREATE TABLE test.small (a INT, b VARCHAR(10))",
		"CREATE TABLE test.load (id INT PRIMARY KEY AUTO_INCREMENT, w INT, n INT, s VARCHAR(100), j JSON, KEY (n))",
		"CREATE TABLE test.other (id INT PRIMARY KEY, s VARCHAR(20) COLLATE 'utf8mb4_0900_as_cs' UNIQUE) DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_ai_ci",
		"INSERT INTO test.other VALUES (1, 'a'), (2, 'A'), (3, 'ä'), (4, 'a ')",
		// Other servers have another collation for utf8mb4 alone, where these are duplicates.
		"CREATE TABLE test.bare (s VARCHAR(9) PRIMARY KEY, c VARCHAR(9) CHARACTER SET utf8mb4 UNIQUE) DEFAULT CHARSET=utf8mb4", "INSERT INTO test.bare VALUES ('s', '😀'), ('ß', '😁')",
		"CREATE DATABASE /*!32312 IF NOT EXISTS*/ made /*!40100 DEFAULT CHARACTER SET utf8mb4 */", "CREATE TABLE made.t (s VARCHAR(9) UNIQUE)", "INSERT INTO made.t VALUES ('s'), ('ß'), ('😀'), ('😁')",
		"USE test", "ALTER TABLE small ADD COLUMN n INT DEFAULT 4", "RENAME TABLE small TO little", "CREATE VIEW v AS SELECT a, n FROM test.little",
		"INSERT INTO little VALUES (1, 'x', 2), (1, 'x', 2), (2, NULL, 3)", "DELETE FROM little WHERE a = 1 LIMIT 1",
		"CREATE TABLE selected SELECT id, s FROM other WHERE id < 3", "CREATE INDEX n ON little (n)", "CREATE TABLE gone (a INT)", "DROP TABLE gone",
		"CREATE USER app IDENTIFIED BY 'password of app'", "GRANT SELECT ON test.* TO app",
		"CREATE DATABASE /*!32312 IF NOT EXISTS*/ dumped /*!40100 DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_ai_ci */",
		"CREATE PROCEDURE starts() START TRANSACTION", "CREATE TABLE ends (a INT) -- start transaction",
		"CREATE PROCEDURE counts() INSERT INTO other VALUES (1, 'a') ON DUPLICATE KEY UPDATE s = ((CONCAT(s, 'b')))",
		"CREATE TRIGGER tr BEFORE INSERT ON little FOR EACH ROW SET NEW.b = 'trigger'", "INSERT INTO little (a) VALUES (9)",
		"CREATE TABLE timed (a INT)", "INSERT INTO timed VALUES (1)", "ALTER TABLE timed ADD at DATETIME(6) DEFAULT CURRENT_TIMESTAMP(6)")
	for range 20 {
		s.must("INSERT INTO test.typed (" + typedColumns + ") VALUES " + typedRow(r) + ", " + typedRow(r))
	}
	s.must("UPDATE test.typed SET v = 'changed', i = NULL, j = '[10000,20000,30000]' WHERE id % 3 = 0", "DELETE FROM test.typed WHERE id % 7 = 0")
	p.caughtUp(s)
	compare := func() {
		t.Helper()
		for _, q := range []string{typedQuery, "SELECT * FROM test.little ORDER BY a, b, n", "SELECT * FROM test.other ORDER BY id",
			"SELECT * FROM test.selected ORDER BY id", "SELECT * FROM test.bare ORDER BY HEX(s)", "SELECT * FROM made.t ORDER BY HEX(s)", "SELECT * FROM test.timed", "SELECT * FROM test.`load` ORDER BY id"} {
			same(t, s.db, p.db, q)
		}
	}
	compare()
	if ours, theirs := rows(t, s.db, "SELECT a, n FROM test.little ORDER BY a, n"), rows(t, p.db, "SELECT * FROM test.v ORDER BY a, n"); !slices.Equal(ours, theirs) {
		t.Errorf("the view there has %q, the table here %q", theirs, ours)
	}
	if got := rows(t, p.db, "SELECT COLLATION_NAME FROM information_schema.COLUMNS WHERE TABLE_NAME = 'typed' AND COLUMN_NAME IN ('v', 'z') ORDER BY COLUMN_NAME"); strings.Join(got, " ") != "utf8mb4_unicode_520_ci utf8mb4_unicode_520_nopad_ci" {
		t.Errorf("collations there are %q", got)
	}

	span := 3 * time.Second
	if !testing.Short() {
		span = 60 * time.Second
	}
	stop := s.load(span, seed)
	time.Sleep(span / 8)
	p.must("STOP SLAVE")
	time.Sleep(span / 8)
	p.must("START SLAVE")
	for range 12 { // some of them within a transaction
		time.Sleep(span / 24)
		p.must("STOP SLAVE IO_THREAD", "START SLAVE IO_THREAD")
	}
	stop()
	s.stop()
	s.start()
	stop = s.load(span/2, seed+1)
	stop()
	p.must("STOP SLAVE") // it waits a second between two attempts
	p.must("START SLAVE")
	p.caughtUp(s)
	compare()
	p.stop()
	s.must("INSERT INTO test.`load` (w, n, s) VALUES (0, 0, 'while it was down')")
	p.start()
	p.caughtUp(s)
	compare()
	if st := p.status(); st["Slave_IO_Running"] != "Yes" || st["Slave_SQL_Running"] != "Yes" {
		t.Errorf("the replica does not run: %v", st)
	}
	list := s.engine.Source().Replicas()
	if len(list) != 1 || !list[0].MariaDB || list[0].Server != 2 {
		t.Errorf("replicas are %+v", list)
	}
	p.must("STOP SLAVE", "CHANGE MASTER TO MASTER_HOST = '127.1', MASTER_USE_GTID = slave_pos", "START SLAVE") // which forgets the file
	waitFor(t, "it is refused without a file", func() bool {
		st := p.status()
		return st["Slave_IO_Running"] == "No" && st["Last_IO_Errno"] == "1236" && strings.Contains(st["Last_IO_Error"], "MASTER_LOG_FILE")
	})
	compare()
}

// load runs writers for a while; what is returned waits for their end.
func (s *server) load(span time.Duration, seed uint64) (wait func()) {
	var writers sync.WaitGroup
	end := time.Now().Add(span)
	for w := range 4 {
		writers.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(w+10)))
			conn, err := s.db.Conn(context.Background())
			if err != nil {
				s.t.Error(err)
				return
			}
			defer conn.Close()
			for i := 0; time.Now().Before(end); i++ {
				text := []string{
					fmt.Sprintf("INSERT INTO test.`load` (w, n, s, j) VALUES (%d, %d, 'w%d', '[%d, %d.5]')", w, r.IntN(100), i, r.IntN(1e6), r.IntN(1e6)),
					fmt.Sprintf("UPDATE test.`load` SET n = n + 1, j = '{\"n\": %d}' WHERE w = %d AND n < %d LIMIT 5", i, w, r.IntN(100)),
					fmt.Sprintf("DELETE FROM test.`load` WHERE w = %d AND n > %d LIMIT 3", w, 50+r.IntN(100)),
					"INSERT INTO test.typed (" + typedColumns + ") VALUES " + typedRow(r),
					"BEGIN", "COMMIT", "ROLLBACK",
				}[r.IntN(7)]
				if w == 0 && i%200 == 199 {
					// A load may end between the two: the next one takes another name.
					text = fmt.Sprintf("ALTER TABLE test.little %s x%d%s", []string{"ADD COLUMN", "DROP COLUMN"}[i/200%2], seed, []string{" INT DEFAULT 5", ""}[i/200%2])
				}
				if _, err := conn.ExecContext(context.Background(), text); err != nil && !strings.Contains(err.Error(), "1213") && !strings.Contains(err.Error(), "1205") {
					s.t.Errorf("%s: %v", text, err)
					return
				}
			}
			if _, err := conn.ExecContext(context.Background(), "COMMIT"); err != nil {
				s.t.Error(err)
			}
		})
	}
	return writers.Wait
}

// What MariaDB lacks ends the dump with a text that names the statement, or the column whose values it is.
func TestMariaDBLacks(t *testing.T) {
	s := newServer(t, binlog.Options{})
	s.must("CREATE TABLE test.t (id INT PRIMARY KEY, v VECTOR(3))")
	behind := s.txn.Binlog().Position()
	s.must("INSERT INTO test.t VALUES (1, STRING_TO_VECTOR('[1,2,3]'))")
	r := s.raw("SET @mariadb_slave_capability = 4")
	r.dumpAt(nonBlock, 2, 4, "binlog.000001")
	if _, err := r.until(); code(err) != 1236 || !strings.Contains(err.Error(), "CREATE TABLE test.t (id INT PRIMARY KEY, v VECTOR(3))") {
		t.Errorf("a table with a vector: %v", err)
	}
	r = s.raw("SET @mariadb_slave_capability = 4")
	r.dumpAt(nonBlock, 2, uint32(behind.Offset), binlog.FileName(behind.File))
	if _, err := r.until(); code(err) != 1236 || !strings.Contains(err.Error(), "test.t, column v: type VECTOR") {
		t.Errorf("a vector: %v", err)
	}
	// Without a file it would get all that it has by another server's GTIDs.
	r = s.raw("SET @mariadb_slave_capability = 4")
	r.dumpAt(nonBlock, 2, 4, "")
	if _, err := r.until(); code(err) != 1236 || !strings.Contains(err.Error(), "MASTER_LOG_FILE") {
		t.Errorf("no file: %v", err)
	}
}

// mariadb-binlog reads over the network what it reads in the files, as text and raw.
func TestMariaDBBinlogRemote(t *testing.T) {
	if _, err := exec.LookPath("mariadb-binlog"); err != nil {
		t.Skip("mariadb-binlog is not installed")
	}
	r := rand.New(rand.NewPCG(1, 1))
	s := newServer(t, binlog.Options{})
	s.must(strings.Replace(typed, ", j JSON, p POINT", "", 1)) // mariadb-binlog cannot print these
	columns := strings.TrimSuffix(typedColumns, ", j, p, z")
	for range 20 {
		values := typedValues(r)
		s.must("INSERT INTO test.typed (" + columns + ") VALUES (" + strings.Join(values[:len(values)-3], ", ") + ")")
	}
	s.must("FLUSH LOGS", "DELETE FROM test.typed WHERE id % 3 = 0", "FLUSH LOGS")
	run := func(args ...string) []byte {
		t.Helper()
		cmd := exec.Command("mariadb-binlog", append([]string{"--no-defaults"}, args...)...)
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Run(); err != nil || errs.Len() > 0 {
			t.Fatalf("mariadb-binlog %v: %v\n%s", args, err, errs.String())
		}
		return out.Bytes()
	}
	remote := []string{"--read-from-remote-server", "--host=127.0.0.1", fmt.Sprintf("--port=%d", s.port), "--user=replica", "--password=secret"}
	local := filepath.Join(s.dir, "binlog")
	// The statements are compared: comments tell of checksums, which are not asked for.
	statements := func(text []byte) (list []string) {
		for line := range strings.SplitSeq(string(text), "\n") {
			if !strings.HasPrefix(line, "#") || strings.HasPrefix(line, "###") {
				list = append(list, line)
			}
		}
		return list
	}
	for _, file := range []string{"binlog.000001", "binlog.000002"} {
		args := []string{"--base64-output=DECODE-ROWS", "-v"}
		theirs := statements(run(append(append(args, remote...), file)...))
		ours := statements(run(append(args, filepath.Join(local, file))...))
		if len(ours) < 20 || !slices.Equal(ours, theirs) {
			t.Errorf("%s: %d lines of the file, %d over the network, not the same: %s", file, len(ours), len(theirs), firstOther(ours, theirs))
		}
	}
	out := t.TempDir() + "/"
	run(append(remote, "--raw", "--result-file="+out, "--to-last-log", "binlog.000001")...)
	for _, file := range []string{"binlog.000001", "binlog.000002"} {
		printed := statements(run("--base64-output=DECODE-ROWS", "-v", out+file))
		if ours := statements(run("--base64-output=DECODE-ROWS", "-v", filepath.Join(local, file))); !slices.Equal(ours, printed) {
			t.Errorf("%s: %d lines of the file, %d of its raw copy, not the same: %s", file, len(ours), len(printed), firstOther(ours, printed))
		}
	}
}

func firstOther(a, b []string) string {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("line %d, %.200q, %.200q", i, a[i], b[i])
		}
	}
	return "one is longer"
}
