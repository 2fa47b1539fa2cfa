package db

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"stack/appliance/config"
	"stack/appliance/sockets"
	"stack/appliance/supervise"
)

// helperNode names the file of the node that a helper process serves.
const helperNode = "STACK_INTERNAL_TEST_DB_NODE"

// helperLog, set, makes the helper process log to its standard error.
const helperLog = "STACK_INTERNAL_TEST_DB_LOG"

// TestMain is the server itself in a process that a test started to kill it.
func TestMain(m *testing.M) {
	if path := os.Getenv(helperNode); path != "" {
		fmt.Fprintln(os.Stderr, serveForEver(path))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func serveForEver(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var node config.Node
	if err := json.Unmarshal(text, &node); err != nil {
		return err
	}
	set, err := sockets.Open(node.Binds)
	if err != nil {
		return err
	}
	env := supervise.Env{Node: node.Name, Role: "db"}
	if os.Getenv(helperLog) != "" {
		env.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	role, err := New(env)
	if err != nil {
		return err
	}
	change, err := role.Prepare(context.Background(), &node, set)
	if err != nil {
		return err
	}
	change.Commit()
	addr, err := sockets.LocalAddr(set.Get(node.Binds[0].Addr)[0])
	if err != nil {
		return err
	}
	fmt.Println(addr)
	select {}
}

// process is a server in a process of its own.
type process struct {
	cmd *exec.Cmd
	*running
}

func startProcess(t *testing.T, node *config.Node) *process {
	t.Helper()
	text, err := json.Marshal(node)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "node.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helperNode+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: cmd, running: &running{t: t, node: node}}
	t.Cleanup(p.kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the server did not start: %v", err)
	}
	p.addr = netip.MustParseAddrPort(strings.TrimSpace(line))
	return p
}

// kill is kill -9.
func (p *process) kill() {
	if p.cmd.ProcessState == nil {
		p.cmd.Process.Kill()
		p.cmd.Wait()
	}
}

// Killed at any moment, the server has every acknowledged transaction, none by half,
// and its accounts and tables.
func TestKillKeepsWhatWasAcknowledged(t *testing.T) {
	node := testNode(t)
	p := startProcess(t, node)
	root := p.rootDB("wordpress")
	for _, q := range []string{
		"CREATE TABLE pair (client INT, n INT, half INT, PRIMARY KEY (client, n, half), KEY (n))",
		"CREATE USER late IDENTIFIED BY 'x'", "GRANT SELECT ON wordpress.* TO late",
	} {
		if _, err := root.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	const clients = 4
	var acknowledged [clients]atomic.Int64
	rounds := 4
	for round := range rounds {
		var wg sync.WaitGroup
		for c := range clients {
			db := p.rootDB("wordpress")
			db.SetMaxOpenConns(1)
			wg.Add(1)
			go func() {
				defer wg.Done()
				for {
					n := acknowledged[c].Load() + 1
					tx, err := db.Begin()
					if err != nil {
						return
					}
					for half := range 2 {
						// A commit whose answer was lost may be there already.
						if _, err = tx.Exec("REPLACE INTO pair VALUES (?, ?, ?)", c, n, half); err != nil {
							return
						}
					}
					if err := tx.Commit(); err != nil {
						return
					}
					acknowledged[c].Store(n)
				}
			}()
		}
		target := acknowledged[0].Load() + 20
		for deadline := time.Now().Add(20 * time.Second); acknowledged[0].Load() < target; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("too few transactions in 20 s")
			}
		}
		p.kill()
		wg.Wait()
		p = startProcess(t, node)
		root = p.rootDB("wordpress")
		for c := range clients {
			var rows, whole int64
			if err := root.QueryRow("SELECT COUNT(*), COUNT(DISTINCT n) FROM pair WHERE client = ?", c).Scan(&rows, &whole); err != nil {
				t.Fatal(err)
			}
			if rows != 2*whole {
				t.Errorf("round %d: client %d has %d rows of %d pairs", round, c, rows, whole)
			}
			if ack := acknowledged[c].Load(); whole < ack {
				t.Errorf("round %d: client %d had %d transactions acknowledged and %d are there", round, c, ack, whole)
			}
		}
	}
	late := p.connect("late", "x", "wordpress")
	var n int
	if err := late.QueryRow("SELECT COUNT(*) FROM pair").Scan(&n); err != nil || n == 0 {
		t.Errorf("the account made before the kills: %d rows, %v", n, err)
	}
}

// Two clients of one connection each, over the network, cannot lose an update.
func TestNoLostUpdateOverTheNetwork(t *testing.T) {
	r := start(t, testNode(t))
	root := r.rootDB("wordpress")
	mustExec(t, root.Exec, "CREATE TABLE counter (id INT PRIMARY KEY, n INT)", "INSERT INTO counter VALUES (1, 0)")
	const clients, each = 8, 100
	var wg sync.WaitGroup
	for range clients {
		db := r.rootDB("wordpress")
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range each {
				if _, err := db.Exec("UPDATE counter SET n = n + 1 WHERE id = ?", 1); err != nil {
					t.Error(err)
					return
				}
			}
		}()
	}
	wg.Wait()
	var n int
	if err := root.QueryRow("SELECT n FROM counter").Scan(&n); err != nil || n != clients*each {
		t.Errorf("%d of %d updates are there (%v)", n, clients*each, err)
	}
}

func TestDrainLetsTransactionsEnd(t *testing.T) {
	r := start(t, testNode(t))
	db := r.rootDB("wordpress")
	mustExec(t, db.Exec, "CREATE TABLE t (id INT PRIMARY KEY)")
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	mustExec(t, tx.Exec, "INSERT INTO t VALUES (1)")
	drained := make(chan error, 1)
	go func() { drained <- r.role.Drain(context.Background(), nil) }()
	for r.role.Status().Ready {
		time.Sleep(time.Millisecond)
	}
	mustExec(t, tx.Exec, "INSERT INTO t VALUES (2)")
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-drained; err != nil {
		t.Fatal(err)
	}
	r.close()
	r.open() // the sockets stayed open: the same address serves again
	var n int
	if err := r.rootDB("wordpress").QueryRow("SELECT COUNT(*) FROM t").Scan(&n); err != nil || n != 2 {
		t.Errorf("%d rows, %v", n, err)
	}
}

func TestReload(t *testing.T) {
	r := start(t, testNode(t))
	reload := func(change func(*config.Node)) error {
		text, err := json.Marshal(r.node)
		if err != nil {
			t.Fatal(err)
		}
		var next config.Node
		if err := json.Unmarshal(text, &next); err != nil {
			t.Fatal(err)
		}
		change(&next)
		c, err := r.role.Prepare(context.Background(), &next, r.set)
		if err != nil {
			return err
		}
		c.Commit()
		r.node = &next
		return nil
	}
	if err := reload(func(n *config.Node) { n.DB.Databases = append(n.DB.Databases, "shop"); n.DB.MaxConnections = 7 }); err != nil {
		t.Fatal(err)
	}
	shop := r.connect("shop", r.secret("db-shop"), "shop")
	mustExec(t, shop.Exec, "CREATE TABLE t (id INT)")
	if d := r.role.Status().Detail.(Detail); d.MaxConnections != 7 {
		t.Errorf("%+v", d)
	}
	if err := reload(func(n *config.Node) { n.DB.DataDir += "2" }); err == nil || !strings.Contains(err.Error(), "restart") {
		t.Errorf("another data directory: %v", err)
	}
	if err := reload(func(n *config.Node) {
		n.DB.Users = []config.DBUser{{Name: "x", Databases: []string{"shop"}, PasswordFile: "/nonexistent"}}
	}); err == nil || !strings.Contains(err.Error(), "/nonexistent") {
		t.Errorf("a password file that is missing: %v", err)
	}
	// An aborted reload leaves no trace.
	text, _ := json.Marshal(r.node)
	var next config.Node
	if err := json.Unmarshal(text, &next); err != nil {
		t.Fatal(err)
	}
	next.DB.Databases = append(next.DB.Databases, "gone")
	c, err := r.role.Prepare(context.Background(), &next, r.set)
	if err != nil {
		t.Fatal(err)
	}
	c.Abort()
	_, err = r.rootDB("gone").Exec("SELECT 1")
	var e *mysql.MySQLError
	if !errors.As(err, &e) || e.Number != 1049 {
		t.Errorf("after an aborted reload: %v", err)
	}

	// But for what clients have made of it: root has its old password, and a table is not dropped.
	old := r.secret("db-root")
	const changed = "another password of 32 characters"
	file := filepath.Join(r.node.TLS.SecretsDir, "db-root")
	if err := os.WriteFile(file, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err = r.role.Prepare(context.Background(), &next, r.set); err != nil {
		t.Fatal(err)
	}
	root := r.connect("root", old, "gone")
	mustExec(t, root.Exec, "CREATE TABLE used (id INT)", "INSERT INTO used VALUES (1)")
	c.Abort()
	var n int
	if err := r.connect("root", old, "gone").QueryRow("SELECT COUNT(*) FROM used").Scan(&n); err != nil || n != 1 {
		t.Errorf("a table in a database that a refused reload had made: %d rows, %v", n, err)
	}
	if err := reload(func(*config.Node) {}); err != nil {
		t.Fatal(err)
	}
	if err := r.connect("root", changed, "").Ping(); err != nil {
		t.Errorf("root's new password after a reload: %v", err)
	}
	if r.connect("root", old, "").Ping() == nil {
		t.Error("root's old password still holds after the reload")
	}
}

func TestSecondServerIsRefused(t *testing.T) {
	r := start(t, testNode(t))
	other, err := New(supervise.Env{Node: "db1", Role: "db"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Prepare(context.Background(), r.node, r.set); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second server on the data directory: %v", err)
	}
	if err := Probe(r.node); err != nil {
		t.Errorf("the probe beside a running server: %v", err)
	}
}

func TestUnixSocket(t *testing.T) {
	node := testNode(t)
	node.DB.Socket = filepath.Join(t.TempDir(), "db.sock")
	r := start(t, node)
	c := mysql.NewConfig()
	c.User, c.Passwd, c.Net, c.Addr, c.AllowNativePasswords = "root", r.secret("db-root"), "unix", node.DB.Socket, true
	db := r.pool(c)
	var user string
	if err := db.QueryRow("SELECT USER()").Scan(&user); err != nil || user != "root@localhost" {
		t.Errorf("%q %v", user, err)
	}
}
