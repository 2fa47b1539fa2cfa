package db

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"stack/roles/db/columntypes"
)

// typed are the tables of all types of columns that MariaDB has too.
var typed = columntypes.Tables(false)

// allSelects are what is compared of tables: how some values are shown differs; what they are does not.
var allSelects = func() map[string]string {
	m := map[string]string{}
	for _, t := range columntypes.Tables(true) {
		m[t.Name], m[t.WithoutKey().Name] = t.Shown(), t.Shown()
	}
	return m
}()

// load changes the source until stop is closed; it goes on where the source is away.
func load(t *testing.T, db *sql.DB, seed uint64, stop <-chan struct{}) *sync.WaitGroup {
	var wg sync.WaitGroup
	for c := range 3 {
		r := rand.New(rand.NewPCG(seed, uint64(c)))
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				step(db, r)
			}
		})
	}
	return &wg
}

// step is one transaction or statement; it may fail.
func step(db *sql.DB, r *rand.Rand) {
	id := r.IntN(300)
	switch r.IntN(12) {
	case 0, 1, 2:
		t := typed[r.IntN(len(typed))]
		db.Exec(t.Insert("shop", t.Random(r)))
	case 3:
		db.Exec(typed[r.IntN(len(typed))].RandomChange(r, "shop"))
	case 4:
		db.Exec("DELETE FROM shop."+typed[r.IntN(len(typed))].Name+" WHERE id % 23 = ? LIMIT 3", r.IntN(23))
	case 5:
		db.Exec("INSERT INTO shop.keyless VALUES (?, 'x'), (?, 'x'), (?, NULL)", id, id, id)
	case 6:
		db.Exec("UPDATE shop.keyless SET b = ? WHERE a = ?", fmt.Sprint(r.IntN(9)), id)
	case 7:
		db.Exec("DELETE FROM shop.keyless WHERE a = ? LIMIT 1", id)
	case 8:
		tx, err := db.Begin()
		if err != nil {
			return
		}
		tx.Exec("INSERT INTO shop.parent (name) VALUES (?)", fmt.Sprint("p", id))
		tx.Exec("INSERT INTO shop.child (parent, n) SELECT MAX(id), ? FROM shop.parent", id)
		tx.Exec("SAVEPOINT a")
		tx.Exec("INSERT INTO shop.keyless VALUES (-1, 'rolled back')")
		tx.Exec("ROLLBACK TO a")
		tx.Exec("UPDATE shop.counter SET n = n + 1 WHERE id = ?", id%10)
		if r.IntN(4) == 0 {
			tx.Rollback()
		} else {
			tx.Commit()
		}
	case 9:
		db.Exec("DELETE FROM shop.parent WHERE id = ?", r.IntN(50)) // cascades
	case 10:
		db.Exec("UPDATE shop.counter SET n = n + 1 WHERE id = ?", id%10)
	case 11:
		name := fmt.Sprint("shop.t", r.IntN(4))
		switch r.IntN(5) {
		case 0:
			db.Exec("CREATE TABLE " + name + " (id INT PRIMARY KEY AUTO_INCREMENT, a VARCHAR(20))")
		case 1:
			db.Exec("DROP TABLE " + name)
		case 2:
			db.Exec("ALTER TABLE " + name + " ADD COLUMN n INT NOT NULL DEFAULT 7, ADD INDEX (a)")
		case 3:
			db.Exec("INSERT INTO " + name + " (a) VALUES ('x'), ('y')")
		case 4:
			db.Exec("CREATE TABLE " + name + " AS SELECT id, n FROM shop.counter")
		}
	}
}

var shopTables = append(typedTables(typed), []string{
	"CREATE TABLE shop.keyless (a INT, b VARCHAR(20))",
	"CREATE TABLE shop.parent (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(20), KEY (name))",
	"CREATE TABLE shop.child (id INT PRIMARY KEY AUTO_INCREMENT, parent INT, n INT, FOREIGN KEY (parent) REFERENCES shop.parent (id) ON DELETE CASCADE)",
	"CREATE TABLE shop.counter (id INT PRIMARY KEY, n INT NOT NULL)",
	"INSERT INTO shop.counter VALUES (0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (5, 0), (6, 0), (7, 0), (8, 0), (9, 0)",
	"CREATE TRIGGER shop.counted AFTER INSERT ON shop.parent FOR EACH ROW UPDATE shop.counter SET n = n + 100 WHERE id = 1",
}...)

// typedTables are their CREATE TABLE.
func typedTables(tables []columntypes.Table) (list []string) {
	for _, t := range tables {
		list = append(list, t.Create("shop"))
	}
	return list
}

// replicaStatus is SHOW SLAVE STATUS.
func replicaStatus(t testing.TB, db *sql.DB) map[string]string {
	return columns(t, db, "SHOW SLAVE STATUS")
}

// inStep waits until the replica has everything of the source and is equal.
func inStep(t *testing.T, source, replica *sql.DB, position func() bool) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for !position() {
		st := replicaStatus(t, replica)
		if st["Slave_SQL_Running"] != "Yes" || st["Slave_IO_Running"] == "No" {
			t.Fatalf("the replica has stopped: %s; %s", st["Last_SQL_Error"], st["Last_IO_Error"])
		}
		if time.Now().After(deadline) {
			t.Fatalf("the replica does not get there: %v", st)
		}
		time.Sleep(20 * time.Millisecond)
	}
	if d := difference(source, replica, "shop", allSelects); d != "" {
		t.Fatalf("source and replica differ: %s", d)
	}
}

// mariaPosition reports whether the replica is where the source is.
func mariaPosition(t *testing.T, source, replica *sql.DB) func() bool {
	return func() bool {
		var there string
		if err := source.QueryRow("SELECT @@gtid_binlog_pos").Scan(&there); err != nil {
			t.Fatal(err)
		}
		return replicaStatus(t, replica)["Gtid_IO_Pos"] == there
	}
}

// code is the number of an error that a server has answered.
func code(err error) uint16 {
	if e, ok := err.(*mysql.MySQLError); ok {
		return e.Number
	}
	return 0
}

// A MariaDB with data and load is followed, by file and position and by GTID, over restarts of
// either, kills of ours, and cuts of the link.
func TestReplicaOfMariaDB(t *testing.T) {
	m := startMariaSource(t)
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("repeat with -args -seed=%d", seed)
	r := rand.New(rand.NewPCG(seed, 99))
	mustExec(t, m.db.Exec, shopTables...)
	for range 200 {
		step(m.db, r)
	}
	link := startRelay(t, fmt.Sprint("127.0.0.1:", m.port))
	node := testNode(t)
	node.DB.Databases = nil
	p := startProcess(t, node)

	dump := m.dump("--master-data=1", "--databases", "shop")
	stop := make(chan struct{})
	running := load(t, m.db, seed, stop)
	if out, err := p.mariadb("root", p.secret("db-root"), "", dump); err != nil {
		t.Fatalf("the dump is not taken: %v\n%s", err, out[max(0, len(out)-300):])
	}
	root := p.rootDB("")
	change := fmt.Sprintf("CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = %d, MASTER_USER = '%s', MASTER_PASSWORD = 'p\\'ass \\\\word', MASTER_HEARTBEAT_PERIOD = 0.5, MASTER_CONNECT_RETRY = 1", link.port(), followerName)
	mustExec(t, root.Exec, change)
	if st := replicaStatus(t, root); st["Slave_IO_Running"] != "No" || st["Exec_Master_Log_Pos"] == "0" {
		t.Errorf("before the start: %v", st)
	}
	mustExec(t, root.Exec, "START SLAVE")
	if _, err := root.Exec("CREATE DATABASE other"); code(err) != 1290 {
		t.Errorf("a write on the replica: %v", err)
	}
	if _, err := root.Exec("SET GLOBAL read_only = 0"); code(err) != 1290 {
		t.Errorf("SET GLOBAL read_only: %v", err)
	}
	if _, err := root.Exec(change); code(err) != 3021 {
		t.Errorf("CHANGE MASTER while it runs: %v", err)
	}
	rounds := 6
	if testing.Short() {
		rounds = 3
	}
	for round := range rounds {
		time.Sleep(time.Second)
		switch round % 6 {
		case 0:
			p.kill()
			p = startProcess(t, node)
			root = p.rootDB("")
		case 1:
			link.cut()
		case 2:
			mustExec(t, root.Exec, "STOP SLAVE", "CHANGE MASTER TO MASTER_USE_GTID = slave_pos", "START SLAVE")
		case 3:
			m.kill()
			m.start()
		case 4:
			link.block(true)
			time.Sleep(2 * time.Second)
			if st := replicaStatus(t, root); st["Seconds_Behind_Master"] != "NULL" || st["Last_IO_Error"] == "" {
				t.Errorf("with the link cut: %v", st)
			}
			link.block(false)
		case 5:
			p.kill()
			p = startProcess(t, node)
			root = p.rootDB("")
		}
	}
	close(stop)
	running.Wait()
	inStep(t, m.db, root, mariaPosition(t, m.db, root))
	st := replicaStatus(t, root)
	if st["Seconds_Behind_Master"] != "0" || st["Slave_IO_Running"] != "Yes" || st["Using_Gtid"] != "Slave_Pos" {
		t.Errorf("at the end: %v", st)
	}
	out, err := p.mariadb("root", p.secret("db-root"), "", "SHOW SLAVE STATUS; SHOW REPLICA STATUS; SHOW PROCESSLIST")
	if err != nil || strings.Contains(out, "ass \\word") {
		t.Errorf("the password is shown, or %v:\n%s", err, out)
	}
	mustExec(t, root.Exec, "STOP SLAVE", "RESET SLAVE ALL", "CREATE DATABASE other")
	if st := replicaStatus(t, root); st != nil {
		t.Errorf("after RESET SLAVE ALL: %v", st)
	}
}

// follow makes p follow the source from the start of its log, without a dump.
func follow(t *testing.T, p *process, port int, from string) *sql.DB {
	t.Helper()
	root := p.rootDB("")
	mustExec(t, root.Exec, fmt.Sprintf("CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = %d, SOURCE_USER = '%s', SOURCE_PASSWORD = 'p\\'ass \\\\word', "+
		"SOURCE_HEARTBEAT_PERIOD = 0.5, SOURCE_CONNECT_RETRY = 1, %s", port, followerName, from), "START REPLICA")
	return root
}

func emptyNode(t *testing.T) *process {
	t.Helper()
	node := testNode(t)
	node.DB.Databases = nil
	return startProcess(t, node)
}

// stopped waits until the replica has stopped because of what came, and returns why.
func stopped(t *testing.T, replica *sql.DB) map[string]string {
	t.Helper()
	var st map[string]string
	until(t, time.Minute, "the replica stops", func() bool {
		st = replicaStatus(t, replica)
		return st["Slave_SQL_Running"] == "No"
	})
	return st
}

// What cannot be repeated stops the replica, and is named; so does a row that is another one
// than on the source, which is remembered.
func TestReplicaStopsByName(t *testing.T) {
	m := startMariaSource(t)
	mustExec(t, m.db.Exec, "CREATE TABLE shop.t (id INT PRIMARY KEY, s VARCHAR(20), j JSON)", "INSERT INTO shop.t VALUES (1, 'a', '{\"x\": 1}'), (2, 'b', NULL)",
		"CREATE USER clerk IDENTIFIED BY 'pw'", "GRANT SELECT, EXECUTE ON shop.* TO clerk", "CREATE DEFINER = clerk PROCEDURE shop.p() SELECT 1",
		"CREATE VIEW shop.v AS SELECT id FROM shop.t", "CREATE TABLE shop.n (id INT PRIMARY KEY AUTO_INCREMENT)", "INSERT INTO shop.n VALUES (41)",
		"CREATE TEMPORARY TABLE shop.tmp (a INT)")
	p := emptyNode(t)
	root := follow(t, p, m.port, "SOURCE_LOG_FILE = 'source.000001', SOURCE_LOG_POS = 4")
	at := mariaPosition(t, m.db, root)
	inStep(t, m.db, root, at)
	if n := columns(t, p.rootDB("shop"), "SELECT COUNT(*) AS n FROM v")["n"]; n != "2" {
		t.Errorf("%s rows of the view", n)
	}
	if _, err := root.Exec("CALL shop.p()"); err != nil {
		t.Error(err)
	}
	if got := columns(t, root, "SELECT User FROM mysql.user WHERE User = 'clerk'")["User"]; got != "clerk" {
		t.Error("the account of the source is not here")
	}
	mustExec(t, m.db.Exec, "CREATE SEQUENCE shop.s", "INSERT INTO shop.t VALUES (3, 'c', NULL)")
	st := stopped(t, root)
	if !strings.Contains(st["Last_SQL_Error"], "SEQUENCE") || !strings.Contains(st["Last_SQL_Error"], "0-7-") {
		t.Errorf("CREATE SEQUENCE: %v", st)
	}
	// Beyond it, by hand.
	where := columns(t, m.db, "SHOW MASTER STATUS")
	mustExec(t, root.Exec, "STOP REPLICA", fmt.Sprintf("CHANGE REPLICATION SOURCE TO SOURCE_LOG_FILE = '%s', SOURCE_LOG_POS = %s", where["File"], where["Position"]), "START REPLICA")
	mustExec(t, m.db.Exec, "INSERT INTO shop.t VALUES (4, 'd', NULL)", "XA START 'x'", "INSERT INTO shop.t VALUES (5, 'd', NULL)", "XA END 'x'", "XA PREPARE 'x'", "XA COMMIT 'x'")
	st = stopped(t, root)
	if !strings.Contains(st["Last_SQL_Error"], "XA") {
		t.Errorf("XA: %v", st)
	}
	where = columns(t, m.db, "SHOW MASTER STATUS")
	gtid := columns(t, m.db, "SELECT @@gtid_binlog_pos AS p")["p"]
	mustExec(t, root.Exec, "STOP REPLICA", "RESET REPLICA ALL", "UPDATE shop.t SET s = 'other' WHERE id = 2", "SET GLOBAL gtid_slave_pos = '"+gtid+"'")
	follow(t, p, m.port, "MASTER_USE_GTID = slave_pos")
	mustExec(t, m.db.Exec, "UPDATE shop.t SET s = 'x' WHERE id = 1", "UPDATE shop.t SET s = 'y' WHERE id = 2")
	for range 2 {
		st = stopped(t, root)
		if e := st["Last_SQL_Error"]; st["Last_SQL_Errno"] != "1032" || !strings.Contains(e, "shop.t") || !strings.Contains(e, "id=2") || !strings.Contains(e, "0-7-") {
			t.Errorf("another row: %v", st)
		}
		if s := columns(t, root, "SELECT s FROM shop.t WHERE id = 1")["s"]; s != "x" {
			t.Errorf("what came before is %q", s)
		}
		p.kill()
		p = startProcess(t, p.node)
		root = p.rootDB("")
	}
	// Once it fits, the source is followed again.
	mustExec(t, root.Exec, "STOP REPLICA")
	mustExec(t, m.db.Exec, "UPDATE shop.t SET s = 'other' WHERE id = 2", "UPDATE shop.t SET s = 'b' WHERE id = 2")
	if _, err := root.Exec("START REPLICA"); err != nil {
		t.Fatal(err)
	}
	stopped(t, root)
}

// highWater is the most memory that a process has had, bytes.
func highWater(t *testing.T, pid int) (n int64) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprint("/proc/", pid, "/status"))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(text), "\n") {
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &n); err == nil {
			return n << 10
		}
	}
	t.Fatal("no VmHWM")
	return 0
}

// A transaction of a million rows goes through without being kept in memory.
func TestReplicaOfLargeTransaction(t *testing.T) {
	rows := 1_000_000
	if testing.Short() {
		rows = 200_000
	}
	m := startMariaSource(t)
	mustExec(t, m.db.Exec, "CREATE TABLE shop.big (id INT PRIMARY KEY, s VARCHAR(200), n INT, KEY (n))")
	p := emptyNode(t)
	root := follow(t, p, m.port, "SOURCE_LOG_FILE = 'source.000001', SOURCE_LOG_POS = 4")
	at := mariaPosition(t, m.db, root)
	until(t, time.Minute, "the table is there", at)
	before := highWater(t, p.cmd.Process.Pid)
	begun := time.Now()
	mustExec(t, m.db.Exec, fmt.Sprintf("INSERT INTO shop.big SELECT seq, REPEAT(CHAR(97 + seq %% 26), 150), seq %% 1000 FROM shop.seq_1_to_%d", rows))
	wrote := time.Since(begun)
	until(t, 5*time.Minute, "the rows are there", at)
	const sums = "SELECT COUNT(*) AS n, SUM(n) AS s, SUM(CRC32(s)) AS c FROM shop.big"
	if a, b := columns(t, m.db, sums), columns(t, root, sums); fmt.Sprint(a) != fmt.Sprint(b) {
		t.Errorf("source %v, replica %v", a, b)
	}
	grown := highWater(t, p.cmd.Process.Pid) - before
	t.Logf("%d rows: written in %v, here %v later; %d MB more memory at most", rows, wrote, time.Since(begun)-wrote, grown>>20)
	if most := int64(300 << 20); grown > most {
		t.Errorf("a transaction of %d rows took %d MB of memory", rows, grown>>20)
	}
}
