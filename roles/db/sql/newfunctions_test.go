package sql

import (
	"slices"
	"strings"
	"testing"
)

// Functions that the planner lacks give what MariaDB gives.
func TestNewFunctionsAsMariaDB(t *testing.T) {
	conn := mariadb(t)
	c := newServer(t).test()
	onBoth(t, c, conn,
		"CREATE TABLE t (id INT PRIMARY KEY, s VARCHAR(100), k VARCHAR(50), n INT, d DECIMAL(5,2), at DATETIME(3) DEFAULT '2024-01-02 03:04:05.5', t TIME DEFAULT '01:02:03')",
		"INSERT INTO t (id, s, k, n, d) VALUES (1, 'a text', 'key', 5, 2.5), (2, '', '', -3, 0), (3, 'exactly sixteen!', 'a key that is longer than one block is', 30, 100.01), (4, NULL, 'k', NULL, NULL)",
	)
	for _, e := range []string{
		"HEX(AES_ENCRYPT(s, k))", "AES_DECRYPT(AES_ENCRYPT(s, k), k)", "AES_DECRYPT(AES_ENCRYPT(s, k), 'other')", "AES_DECRYPT('not a block', k)", "AES_DECRYPT('', k)",
		"HEX(AES_ENCRYPT(n, d))", "HEX(AES_ENCRYPT(at, t))", "AES_ENCRYPT(s, NULL)", "LENGTH(AES_ENCRYPT(REPEAT('x', 1000), 'k'))",
		"INTERVAL(n, 1, 5, 10)", "INTERVAL(d, 0, 2.5, 100)", "INTERVAL(n, 0.5, NULL, 29.5)", "INTERVAL('5', '1', '10')", "INTERVAL (n + 1, (SELECT 3), 7)", "INTERVAL(NULL, 1) + 1",
		"BENCHMARK(3, n + 1)", "BENCHMARK(NULL, 1)", "BENCHMARK(10, MD5(s))", "RELEASE_ALL_LOCKS()",
	} {
		q := "SELECT id, " + e + " FROM t ORDER BY id"
		theirs, err := rowsOf(conn, q)
		if err != nil {
			t.Fatal(q, err)
		}
		out, err := c.run(q)
		if err != nil || !slices.Equal(out.rows, theirs) {
			t.Errorf("%s\n  ours: %q %v\ntheirs: %q", q, out.rows, err, theirs)
		}
	}
}

// INTERVAL() is read wherever a function may stand, and is kept and shown as it was said.
func TestIntervalFunctionIsRead(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY, n INT AS (INTERVAL(id, 10, 20)) STORED)", "CREATE TABLE u (id INT PRIMARY KEY, v INT)", "INSERT INTO t (id) VALUES (15)", "INSERT INTO u VALUES (15, 0)",
		"CREATE VIEW w AS SELECT INTERVAL(id, 1, 20) n FROM t", "CREATE PROCEDURE p() SELECT interval(2, 1, 3) n, 'INTERVAL(1, 2) n'", "CREATE TRIGGER g BEFORE UPDATE ON u FOR EACH ROW SET NEW.v = INTERVAL(NEW.id, 1, 2, 30)")
	shown := map[string][]string{}
	for _, q := range []string{"SHOW CREATE TABLE t", "SHOW CREATE VIEW w", "SHOW CREATE TRIGGER g"} {
		shown[q] = c.must(q).rows
		if text := strings.Join(shown[q], ""); !strings.Contains(text, "INTERVAL(") || strings.Contains(text, "`INTERVAL`") || strings.Contains(text, intervalRead) {
			t.Error(text)
		}
	}
	s.restart()
	c = s.test()
	for q, rows := range shown {
		c.want(q, rows...)
	}
	c.want("SELECT INTERVAL(id, 1, 2) day, NOW() + INTERVAL (id) DAY > NOW(), INTERVAL(id, 99, 1) `INTERVAL(` FROM t", "2|1|0")
	c.want("SELECT n FROM w", "1")
	c.want("CALL p()", "1|INTERVAL(1, 2) n", "--")
	c.must("PREPARE q FROM 'SELECT INTERVAL(?, 1, 3) n'", "SET @a = 9")
	c.want("EXECUTE q USING @a", "2")
	c.must("UPDATE u JOIN t ON t.id = u.id SET u.v = 7", "INSERT INTO t (id) VALUES (5)")
	c.want("SELECT v FROM u", "2")
	c.want("SELECT n FROM t", "0", "1")
}

// MySQL's examples, and what openssl enciphers, where MariaDB has no such function or another.
func TestNewFunctions(t *testing.T) {
	c := newServer(t).test()
	c.want("SELECT HEX(AES_ENCRYPT('text', 'password'))", "F6BD0FA8DCB7F8CD4A2FAABC54668044")
	c.must("SET block_encryption_mode = 'aes-256-cbc', @iv = '0123456789abcdefX'")
	c.want("SELECT AES_DECRYPT(AES_ENCRYPT('a secret', SHA2('key', 512), @iv), SHA2('key', 512), @iv)", "a secret")
	c.want("SELECT HEX(AES_ENCRYPT('text', 'password', @iv))", "7A9AFD218F1932225DBE0699B895C211")
	c.fails(1582, "SELECT AES_ENCRYPT('a', 'b')")
	c.fails(1882, "SELECT AES_ENCRYPT('a', 'b', 'short')")
	c.must("SET block_encryption_mode = 'aes-128-ofb'")
	c.fails(1235, "SELECT AES_ENCRYPT('a', 'b', @iv)", "aes-128-ofb")
	c.must("SET block_encryption_mode = 'aes-128-ecb'")
	c.want("SELECT AES_DECRYPT(AES_ENCRYPT('a', 'b', 'ignored'), 'b')", "a")
	c.fails(1582, "SELECT AES_ENCRYPT('a')")
	c.fails(1235, "SELECT AES_ENCRYPT('a', 'b', '', 'hkdf')")

	c.want("SELECT FORMAT_BYTES(512), FORMAT_BYTES(18446644073709551615), FORMAT_BYTES(1536), FORMAT_BYTES(-2048), FORMAT_BYTES(NULL)", " 512 bytes|16.00 EiB|1.50 KiB|-2.00 KiB|NULL")
	c.want("SELECT FORMAT_PICO_TIME(3501), FORMAT_PICO_TIME(188732396662000), FORMAT_PICO_TIME(12)", "3.50 ns|3.15 min| 12 ps")
	c.want("SELECT STATEMENT_DIGEST_TEXT('SELECT 5, ''a'''), STATEMENT_DIGEST('SELECT 1') = STATEMENT_DIGEST('SELECT 2'), LENGTH(STATEMENT_DIGEST('SELECT 1'))", "SELECT ?|1|64")
	c.fails(1064, "SELECT STATEMENT_DIGEST('SELEC 1')")
	const uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
	c.want("SELECT GTID_SUBSET('"+uuid+":23', '"+uuid+":21-57'), GTID_SUBSET('"+uuid+":20-25', '"+uuid+":21-57'), GTID_SUBSET('', '')", "1|0|1")
	c.fails(1772, "SELECT GTID_SUBSET('a', '')")
	c.want("SELECT WAIT_FOR_EXECUTED_GTID_SET(@@global.gtid_executed), WAIT_FOR_EXECUTED_GTID_SET(''), WAIT_FOR_EXECUTED_GTID_SET(NULL, 1)", "0|0|NULL")
	c.want("SELECT WAIT_FOR_EXECUTED_GTID_SET('"+uuid+":1', 0.05)", "1")
	c.fails(1772, "SELECT WAIT_FOR_EXECUTED_GTID_SET('a')")
	c.fails(1210, "SELECT WAIT_FOR_EXECUTED_GTID_SET('', -1)")
	c.fails(1582, "SELECT WAIT_FOR_EXECUTED_GTID_SET()")
	c.want("SELECT PS_CURRENT_THREAD_ID() = CONNECTION_ID()", "1")

	c.must("CREATE TABLE t (id INT PRIMARY KEY, at DATETIME, n INT AS (INTERVAL(id, 10, 20)) STORED)", "INSERT INTO t (id, at) VALUES (15, '2024-01-01')")
	c.want("SELECT n, at + INTERVAL (id - 14) DAY, INTERVAL(id, 1, 2) FROM t", "1|2024-01-02 00:00:00|2")
	c.want("SELECT GET_LOCK('a', 0), GET_LOCK('b', 0), RELEASE_ALL_LOCKS(), IS_FREE_LOCK('a')", "1|1|2|1")
	c.want("SELECT BENCHMARK(-1, 1)", "NULL")
}

// WAIT_FOR_EXECUTED_GTID_SET waits for a transaction that is on its way, and ends with its session.
func TestWaitForExecutedSet(t *testing.T) {
	s := newServer(t)
	c, other, watch := s.test(), s.test(), s.test()
	c.must("CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (0)")
	id := c.must("SELECT CONNECTION_ID()").rows[0]
	waits := func() bool {
		return watch.must("SELECT COUNT(*) FROM information_schema.processlist WHERE state = 'Waiting for the executed set'").rows[0] == "1"
	}
	next := "CONCAT(SUBSTRING_INDEX(@@global.gtid_executed, ':', 1), ':1-', 1 + SUBSTRING_INDEX(@@global.gtid_executed, '-', -1))"
	until := s.begin(t, c, "SELECT WAIT_FOR_EXECUTED_GTID_SET("+next+")")
	waitFor(t, waits)
	other.must("INSERT INTO t VALUES (1)")
	until.ends(0)
	until = s.begin(t, c, "SELECT WAIT_FOR_EXECUTED_GTID_SET("+next+")")
	waitFor(t, waits)
	other.must("KILL QUERY " + id)
	until.ends(1317)
}
