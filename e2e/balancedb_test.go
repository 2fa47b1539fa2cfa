package e2e

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

// writers insert and keep what was answered.
type writers struct {
	mu       sync.Mutex
	answered map[int]bool
	by       map[string]int // answered writes per UUID of a server, where it is known
	stop     chan struct{}
	wait     sync.WaitGroup
}

// writing has n writers insert ids of their own; insert reports whether it was answered.
func writing(n int, insert func(w *writers, id int) bool) *writers {
	w := &writers{answered: map[int]bool{}, by: map[string]int{}, stop: make(chan struct{})}
	for i := range n {
		w.wait.Go(func() {
			for id := i; ; id += n {
				select {
				case <-w.stop:
					return
				default:
				}
				if insert(w, id) {
					w.mu.Lock()
					w.answered[id] = true
					w.mu.Unlock()
				}
			}
		})
	}
	return w
}

// end stops the writers and waits for them.
func (w *writers) end() {
	close(w.stop)
	w.wait.Wait()
}

// total is the number of answered writes.
func (w *writers) total() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.answered)
}

// write has n writers insert through the balancer's endpoint for writes, each with one connection at a time.
func (d *databases) write(t *testing.T, n int) *writers {
	t.Helper()
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.Net, cfg.Addr, cfg.Logger = "root", "secret", "tcp", fmt.Sprint("127.0.0.11:", d.port+2), &mysql.NopLogger{}
	cfg.Timeout, cfg.ReadTimeout = 5*time.Second, time.Minute // only the balancer frees who waits for a frozen server
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	t.Cleanup(func() { db.Close() })
	return writing(n, func(w *writers, id int) bool { return w.one(db, id) })
}

// one inserts a row. An id whose outcome is open is not tried again.
func (w *writers) one(db *sql.DB, id int) bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := db.Conn(ctx)
	if err != nil {
		time.Sleep(20 * time.Millisecond) // nobody is the primary at the moment
		return false
	}
	defer c.Close()
	var server string
	if err := c.QueryRowContext(ctx, "SELECT @@server_uuid").Scan(&server); err != nil {
		return false
	}
	if _, err := c.ExecContext(ctx, "INSERT INTO shop.list VALUES (?)", id); err != nil {
		return false
	}
	w.mu.Lock()
	w.by[server]++
	w.mu.Unlock()
	return true
}

func (w *writers) count(server string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.by[server]
}

// all reports whether a list of ids holds those that were answered.
func (w *writers) all(list string) bool {
	have := map[string]bool{}
	for _, id := range strings.Fields(list) {
		have[id] = true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for id := range w.answered {
		if !have[fmt.Sprint(id)] {
			return false
		}
	}
	return true
}

// complete says whether a server has all that was answered.
func (d *databases) complete(w *writers, name string) func() bool {
	return func() bool {
		out, err := d.sql(name, "SELECT id FROM shop.list")
		if err != nil {
			return false
		}
		return w.all(out)
	}
}

// signalAll signals a process and those that it started.
func signalAll(pid int, s syscall.Signal) {
	syscall.Kill(pid, s)
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, path := range threads {
		text, _ := os.ReadFile(path)
		for _, child := range strings.Fields(string(text)) {
			if n, err := strconv.Atoi(child); err == nil {
				signalAll(n, s)
			}
		}
	}
}

// Clients of the balancer's endpoints do not know which server is the primary. They go on after a
// switchover, and after the primary was killed, or frozen, and replaced; what was answered is on the
// servers, and what wakes up is never written to.
func TestBalancerFollowsThePrimary(t *testing.T) {
	for name, freeze := range map[string]bool{"killed": false, "frozen": true} {
		t.Run(name, func(t *testing.T) { followThePrimary(t, freeze) })
	}
}

func followThePrimary(t *testing.T, freeze bool) {
	if _, err := exec.LookPath("mariadb"); err != nil {
		t.Skip("needs mariadb: make tools")
	}
	d := newDatabases(t, 3, "")
	for _, name := range append([]string{"lb1"}, d.names...) {
		d.start(name)
	}
	await(t, "the endpoint leads to the primary", 60*time.Second, d.writable("endpoint", "CREATE TABLE IF NOT EXISTS shop.list (id INT PRIMARY KEY)"))
	uuid := map[string]string{}
	for _, name := range d.names {
		uuid[name] = d.mustSQL(name, "SELECT @@server_uuid")
	}
	socket := func(name string) string { return filepath.Join(d.dir, name+".sock") }
	primary := func() string {
		t.Helper()
		var name string
		await(t, "the endpoint leads to the one server that takes writes", time.Minute, func() bool {
			got, err := d.sql("endpoint", "SELECT @@server_uuid")
			for n, u := range uuid {
				if err == nil && u == got {
					name = n
				}
			}
			return err == nil
		})
		return name
	}
	if got := primary(); got != "db1" {
		t.Fatalf("the endpoint leads to %s", got)
	}
	await(t, "readers reach the replicas, and only them", time.Minute, func() bool {
		seen := map[string]bool{}
		for range 8 {
			if got, err := d.sql("readers", "SELECT @@server_uuid"); err == nil {
				seen[got] = true
			}
		}
		return seen[uuid["db2"]] && seen[uuid["db3"]] && !seen[uuid["db1"]]
	})

	w := d.write(t, 4)
	writes := func(name string) {
		t.Helper()
		before := w.count(uuid[name])
		await(t, "clients write on "+name, 60*time.Second, func() bool { return w.count(uuid[name]) > before+50 })
	}
	writes("db1")
	d.switchover("db1", "db2")
	writes("db2")
	old := w.count(uuid["db1"])
	await(t, "the replicas follow the new primary", time.Minute, func() bool {
		out, err := d.sql("db1", "SELECT MAX(id) FROM shop.list")
		return err == nil && out != "NULL"
	})

	if freeze {
		// It holds its clients: nothing closes their connections but the balancer.
		signalAll(d.run["db2"].cmd.Process.Pid, syscall.SIGSTOP)
	} else {
		d.kill("db2")
	}
	var out string
	await(t, "a replica is promoted in place of the primary", time.Minute, func() bool {
		var code int
		out, code = run(t, d.dir, "db", "promote", "--socket", socket("db1"))
		return code == 0
	})
	t.Log(out)
	second := primary()
	if second == "db2" {
		t.Fatalf("the endpoint leads to the primary that was replaced")
	}
	writes(second)
	if freeze {
		await(t, "the balancer says that it ended the sessions of the frozen primary", time.Minute, func() bool {
			return strings.Contains(d.run["lb1"].out.String(), `"backend":"mysql-primary","server":"db2","sessions":`)
		})
		frozen := w.count(uuid["db2"])
		signalAll(d.run["db2"].cmd.Process.Pid, syscall.SIGCONT)
		writes(second)
		if n := w.count(uuid["db2"]); n != frozen {
			t.Errorf("%d writes were answered by the fenced server", n-frozen)
		}
	}
	w.end()
	if second != "db1" && w.count(uuid["db1"]) != old {
		t.Errorf("writes were answered by db1 after it was replaced")
	}
	for _, name := range d.names {
		if name == "db2" {
			continue // it may hold what was never answered, and does not follow then
		}
		await(t, "all that was answered is on "+name, 60*time.Second, d.complete(w, name))
	}
	t.Logf("answered: %v", w.by)
}

// Where the databases are told who may send a PROXY header, clients of the balancer's endpoints are known there by their own
// addresses, and accounts are bound to these.
func TestDatabasesKnowTheClientsOfTheBalancer(t *testing.T) {
	if _, err := exec.LookPath("mariadb"); err != nil {
		t.Skip("needs mariadb: make tools")
	}
	d := newDatabases(t, 2, "  proxy_from: [127.0.0.0/8]\n")
	for _, name := range append([]string{"lb1"}, d.names...) {
		d.start(name)
	}
	await(t, "the endpoint leads to the primary", time.Minute, d.writable("endpoint", "CREATE USER IF NOT EXISTS 'near'@'127.0.0.77' IDENTIFIED BY 'secret'"))
	ask := func(port int, from, user string) (name string, err error) {
		cfg := mysql.NewConfig()
		cfg.User, cfg.Passwd, cfg.Net, cfg.Addr, cfg.Logger = user, "secret", "tcp", fmt.Sprint("127.0.0.11:", port), &mysql.NopLogger{}
		cfg.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
			return (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 3 * time.Second}).DialContext(ctx, network, address)
		}
		connector, err := mysql.NewConnector(cfg)
		if err != nil {
			return "", err
		}
		db := sql.OpenDB(connector)
		defer db.Close()
		err = db.QueryRow("SELECT CURRENT_USER()").Scan(&name)
		return name, err
	}
	for _, port := range []int{d.port + 2, d.port + 3} {
		await(t, "the account has come", time.Minute, func() bool {
			out, err := ask(port, "127.0.0.77", "near")
			return err == nil && out == "near@127.0.0.77"
		})
		if _, err := ask(port, "127.0.0.78", "near"); err == nil || !strings.Contains(err.Error(), "1045") {
			t.Errorf("from another address: %v", err)
		}
	}
}

// A replica that lags more than max_lag is left out of the readers' endpoint, and is back when it has caught up.
func TestReadersLeaveOutWhoLags(t *testing.T) {
	if _, err := exec.LookPath("mariadb"); err != nil {
		t.Skip("needs mariadb: make tools")
	}
	d := newDatabases(t, 3, "lb:\n  backends: [{name: mysql-replicas, check: {max_lag: 1s}}]\n")
	for _, name := range append([]string{"lb1"}, d.names...) {
		d.start(name)
	}
	await(t, "the endpoint leads to the primary", time.Minute, d.writable("endpoint", "CREATE TABLE IF NOT EXISTS shop.list (id INT PRIMARY KEY)"))
	uuid := map[string]string{}
	for _, name := range d.names {
		uuid[d.mustSQL(name, "SELECT @@server_uuid")] = name
	}
	reached := func() map[string]bool {
		seen := map[string]bool{}
		for range 8 {
			if got, err := d.sql("readers", "SELECT @@server_uuid"); err == nil {
				seen[uuid[got]] = true
			}
		}
		return seen
	}
	both := func() bool { seen := reached(); return seen["db2"] && seen["db3"] && !seen["db1"] }
	await(t, "readers reach both replicas", time.Minute, both)
	await(t, "the table is there", time.Minute, d.writable("db2", "SELECT 1 FROM shop.list"))
	release := d.hold("db2", "FLUSH TABLES WITH READ LOCK")
	id := 0
	await(t, "readers reach the replica alone that does not lag, while writes go on", time.Minute, func() bool {
		id++
		d.mustSQL("endpoint", fmt.Sprintf("INSERT INTO shop.list VALUES (%d)", id))
		seen := reached()
		return seen["db3"] && !seen["db2"] && !seen["db1"]
	})
	release()
	await(t, "readers reach both again", time.Minute, both)
}
