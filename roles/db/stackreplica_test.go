package db

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// stackPosition reports whether the replica has executed what the source has.
func stackPosition(t *testing.T, source, replica *sql.DB) func() bool {
	const q = "SELECT @@global.gtid_executed AS g"
	return func() bool { return columns(t, source, q)["g"] == columns(t, replica, q)["g"] }
}

// startPair starts a source of our own kind and a server that follows it from its first
// transaction on.
func startPair(t *testing.T, options string) (source, follower *process, db, replica *sql.DB, change string) {
	t.Helper()
	source, db = startSource(t)
	follower = emptyNode(t)
	replica = follower.rootDB("")
	change = changeTo("SOURCE_AUTO_POSITION = 1, " + options)
	mustExec(t, replica.Exec, change+fmt.Sprint(source.addr.Port()), "START REPLICA")
	return source, follower, db, replica, change
}

// startSource starts a source of our own kind, with a database shop.
func startSource(t *testing.T) (source *process, db *sql.DB) {
	t.Helper()
	source = startProcess(t, testNode(t))
	db = source.rootDB("")
	mustExec(t, db.Exec, "CREATE DATABASE shop", "CREATE USER "+followerName+" IDENTIFIED BY '"+`p\'ass \\word`+"'", "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO "+followerName)
	return source, db
}

// changeTo is what a follower is told of such a source; the port belongs behind it.
func changeTo(options string) string {
	return "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_USER = '" + followerName + `', SOURCE_PASSWORD = 'p\'ass \\word', ` +
		"SOURCE_HEARTBEAT_PERIOD = 0.5, SOURCE_CONNECT_RETRY = 1, " + options + ", SOURCE_PORT = "
}

// hereOn says where the log of a source ends, for CHANGE REPLICATION SOURCE.
func hereOn(t *testing.T, source *sql.DB) string {
	t.Helper()
	at := columns(t, source, "SHOW MASTER STATUS")
	return fmt.Sprintf("SOURCE_LOG_FILE = '%s', SOURCE_LOG_POS = %s", at["File"], at["Position"])
}

// A server of our own kind is followed over kills of both, with the load that MariaDB gets.
func TestReplicaOfStack(t *testing.T) {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("repeat with -args -seed=%d", seed)
	source, follower, db, replica, change := startPair(t, "GET_SOURCE_PUBLIC_KEY = 1")
	mustExec(t, db.Exec, shopTables...)
	mustExec(t, db.Exec, "CREATE USER clerk IDENTIFIED BY 'pw'", "GRANT SELECT, EXECUTE ON shop.* TO clerk", "CREATE PROCEDURE shop.p() SELECT 1",
		"CREATE FUNCTION shop.f(a INT) RETURNS INT DETERMINISTIC RETURN a + 1", "CREATE TABLE shop.made (id INT PRIMARY KEY, a INT, g INT AS (a + 1) STORED, y YEAR)",
		"INSERT INTO shop.made (id, a, y) VALUES (1, 5, 2026), (2, NULL, NULL)")
	rounds := 4
	if testing.Short() {
		rounds = 2
	}
	for round := range rounds {
		stop := make(chan struct{})
		running := load(t, db, seed+uint64(round), stop)
		time.Sleep(time.Second)
		if round%2 == 0 {
			follower.kill()
			follower = startProcess(t, follower.node)
			replica = follower.rootDB("")
			time.Sleep(time.Second)
		}
		close(stop)
		running.Wait()
		if round%2 == 1 {
			source.kill()
			source = startProcess(t, source.node)
			db = source.rootDB("")
			mustExec(t, replica.Exec, "STOP REPLICA", change+fmt.Sprint(source.addr.Port()), "START REPLICA")
		}
	}
	inStep(t, db, replica, stackPosition(t, db, replica))
	for _, q := range []string{"SHOW GRANTS FOR clerk", "SELECT User, Host, plugin, authentication_string FROM mysql.user WHERE User = 'clerk'", "SELECT shop.f(4)"} {
		a, err := answers(db, q)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := answers(replica, q); err != nil || fmt.Sprint(a) != fmt.Sprint(b) {
			t.Errorf("%s: %v and %v, %v", q, a, b, err)
		}
	}
	// The next values of AUTO_INCREMENT are the same, should the replica take over.
	mustExec(t, db.Exec, "INSERT INTO shop.parent (name) VALUES ('last')", "DELETE FROM shop.parent WHERE name = 'last'")
	inStep(t, db, replica, stackPosition(t, db, replica))
	mustExec(t, replica.Exec, "STOP REPLICA", "RESET REPLICA ALL")
	const next = "SELECT MAX(id) AS m FROM shop.parent WHERE name = 'next'"
	for _, c := range []*sql.DB{db, replica} {
		mustExec(t, c.Exec, "INSERT INTO shop.parent (name) VALUES ('next')")
	}
	if a, b := columns(t, db, next)["m"], columns(t, replica, next)["m"]; a != b || a == "" {
		t.Errorf("the next values are %s and %s", a, b)
	}
}

// A transaction of a million rows of our own kind goes through TLS without being kept in memory.
func TestReplicaOfStackLargeTransaction(t *testing.T) {
	rows := 1_000_000
	if testing.Short() {
		rows = 200_000
	}
	source, follower, db, replica, change := startPair(t, "SOURCE_SSL = 0")
	if st := replicaStatus(t, replica); st["Last_IO_Error"] == "" {
		until(t, time.Minute, "a login without TLS and without the key is refused", func() bool { return replicaStatus(t, replica)["Last_IO_Error"] != "" })
	}
	mustExec(t, replica.Exec, "STOP REPLICA", change+fmt.Sprintf("%d, SOURCE_SSL = 1, SOURCE_SSL_CA = '%s'", source.addr.Port(), filepath.Join(source.node.TLS.SecretsDir, "ca.crt")), "START REPLICA")
	mustExec(t, db.Exec, "CREATE TABLE shop.big (id INT PRIMARY KEY AUTO_INCREMENT, s VARCHAR(200), n INT, KEY (n))",
		"INSERT INTO shop.big (s, n) VALUES (REPEAT('a', 150), 1)")
	at := stackPosition(t, db, replica)
	until(t, time.Minute, "the table is there", at)
	before := highWater(t, follower.cmd.Process.Pid)
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n < rows; n *= 2 {
		if _, err := tx.Exec("INSERT INTO shop.big (s, n) SELECT s, n + ? FROM shop.big LIMIT ?", n%1000, rows-n); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	until(t, 5*time.Minute, "the rows are there", at)
	const sums = "SELECT COUNT(*) AS n, SUM(n) AS s, SUM(CRC32(s)) AS c FROM shop.big"
	a, b := columns(t, db, sums), columns(t, replica, sums)
	if fmt.Sprint(a) != fmt.Sprint(b) || a["n"] != fmt.Sprint(rows) {
		t.Errorf("source %v, replica %v", a, b)
	}
	grown := highWater(t, follower.cmd.Process.Pid) - before
	t.Logf("%d rows: here %v after the commit; %d MB more memory at most", rows, time.Since(begun), grown>>20)
	if most := int64(300 << 20); grown > most && !raceDetector {
		t.Errorf("a transaction of %d rows took %d MB of memory", rows, grown>>20)
	}
}

// A link that is cut again and again loses nothing and repeats nothing.
func TestReplicaOverABadLink(t *testing.T) {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("repeat with -args -seed=%d", seed)
	r := rand.New(rand.NewPCG(seed, 5))
	source, _, db, replica, change := startPair(t, "GET_SOURCE_PUBLIC_KEY = 1")
	link := startRelay(t, source.addr.String())
	mustExec(t, replica.Exec, "STOP REPLICA", change+fmt.Sprint(link.port()), "START REPLICA")
	mustExec(t, db.Exec, shopTables...)
	stop := make(chan struct{})
	running := load(t, db, seed, stop)
	for range 15 {
		time.Sleep(time.Duration(r.IntN(300)) * time.Millisecond)
		link.cut()
	}
	close(stop)
	running.Wait()
	inStep(t, db, replica, stackPosition(t, db, replica))
}

// A source that hangs is one of which nothing is known: the lag is NULL until it is heard again.
func TestReplicaOfASilentSource(t *testing.T) {
	source, _, db, replica, _ := startPair(t, "GET_SOURCE_PUBLIC_KEY = 1")
	mustExec(t, db.Exec, "CREATE TABLE shop.t (id INT PRIMARY KEY)", "INSERT INTO shop.t VALUES (1)")
	lag := func() string { return replicaStatus(t, replica)["Seconds_Behind_Master"] }
	inStep(t, db, replica, stackPosition(t, db, replica))
	until(t, time.Minute, "the lag is known", func() bool { return lag() == "0" })
	if err := source.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	until(t, time.Minute, "the lag is not known", func() bool { return lag() == "NULL" })
	until(t, time.Minute, "the connection is given up", func() bool { return replicaStatus(t, replica)["Last_IO_Error"] != "" })
	if err := source.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	until(t, time.Minute, "the source is heard again", func() bool { return lag() == "0" })
	mustExec(t, db.Exec, "INSERT INTO shop.t VALUES (2)")
	inStep(t, db, replica, stackPosition(t, db, replica))
}

// What a source has written while nobody followed it is applied; the time is printed.
func TestReplicaAppliesABacklog(t *testing.T) {
	_, follower, db, replica, _ := startPair(t, "GET_SOURCE_PUBLIC_KEY = 1")
	mustExec(t, db.Exec, "CREATE TABLE shop.t (id INT PRIMARY KEY AUTO_INCREMENT, c INT, n INT, s VARCHAR(200), KEY (c))")
	inStep(t, db, replica, stackPosition(t, db, replica))
	mustExec(t, replica.Exec, "STOP REPLICA")
	long := 20 * time.Second
	if testing.Short() {
		long = 2 * time.Second
	}
	db.SetMaxOpenConns(64)
	db.SetMaxIdleConns(64)
	begun := time.Now()
	var wg sync.WaitGroup
	var wrote atomic.Int64
	for c := range 32 { // of the 50 that the node takes
		wg.Go(func() {
			for i := 0; time.Since(begun) < long; i++ {
				if _, err := db.Exec("INSERT INTO shop.t (c, n, s) VALUES (?, ?, REPEAT('x', 150))", c, i); err != nil {
					t.Error(err)
					return
				}
				wrote.Add(1)
			}
		})
	}
	wg.Wait()
	took := time.Since(begun)
	mustExec(t, replica.Exec, "START REPLICA")
	begun = time.Now()
	at := stackPosition(t, db, replica)
	until(t, 5*time.Minute, "the backlog is applied", at)
	applied := time.Since(begun)
	t.Logf("%d transactions: written at %.0f a second, applied at %.0f; %d MB of memory at most", wrote.Load(),
		float64(wrote.Load())/took.Seconds(), float64(wrote.Load())/applied.Seconds(), highWater(t, follower.cmd.Process.Pid)>>20)
	inStep(t, db, replica, at)
}
