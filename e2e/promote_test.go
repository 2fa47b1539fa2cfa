package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// databases is a site of database servers alone, each a process of its own.
type databases struct {
	t     *testing.T
	dir   string
	port  int
	names []string
	run   map[string]*program
}

func newDatabases(t *testing.T, n int, settings string) *databases {
	d := &databases{t: t, dir: t.TempDir(), port: nextPorts(), run: map[string]*program{}}
	var nodes strings.Builder
	// The balancer has its endpoints on the third and fourth port.
	fmt.Fprintf(&nodes, `  - {name: lb1, roles: [lb], address: 127.0.0.11, set: {admin: {bind: ["127.0.0.11:%[1]d"]}, lb: {loops: 1, frontends: [{name: mysql, bind: ["127.0.0.11:%[2]d"]}, {name: mysql-read, bind: ["127.0.0.11:%[3]d"]}]}}}
`, d.port+1, d.port+2, d.port+3)
	for i := range n {
		name := fmt.Sprint("db", i+1)
		d.names = append(d.names, name)
		fmt.Fprintf(&nodes, `  - {name: %[1]s, roles: [db], address: 127.0.0.%[2]d, set: {admin: {bind: ["127.0.0.%[2]d:%[3]d"]}, db: {bind: ["127.0.0.%[2]d:%[4]d"], data_dir: %[5]s}}}
`, name, 31+i, d.port+1, d.port, filepath.Join(d.dir, name))
	}
	write(t, filepath.Join(d.dir, "root"), "secret\n", 0o600)
	write(t, filepath.Join(d.dir, "stack.yaml"), fmt.Sprintf(`site: www.example.com
nodes:
%stls: {secrets_dir: %s}
process: {run_dir: %s}
db:
  memory: 64MiB
  databases: [shop]
  root_password_file: %s
%s`, nodes.String(), filepath.Join(d.dir, "secrets"), d.dir, filepath.Join(d.dir, "root"), settings), 0o644)
	must(t, d.dir, "secrets", "init", "--config", "stack.yaml")
	return d
}

func (d *databases) start(name string) {
	d.t.Helper()
	d.run[name] = start(d.t, d.dir, "--node", name, "--config", "stack.yaml")
}

// kill takes the power of a server.
func (d *databases) kill(name string) {
	d.t.Helper()
	p := d.run[name]
	p.cmd.Process.Signal(syscall.SIGKILL)
	<-p.done
}

// sql runs a text on a server, or through the balancer on its "endpoint" for writes or for "readers".
func (d *databases) sql(name, text string) (string, error) {
	if name == "endpoint" {
		return d.ask("127.0.0.11", d.port+2, text)
	}
	if name == "readers" {
		return d.ask("127.0.0.11", d.port+3, text)
	}
	i, _ := strconv.Atoi(strings.TrimPrefix(name, "db"))
	return d.ask(fmt.Sprint("127.0.0.", 30+i), d.port, text)
}

func (d *databases) ask(host string, port int, text string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	c := exec.CommandContext(ctx, "mariadb", "-h", host, "-P", fmt.Sprint(port), "-uroot", "-psecret", "-N", "-B", "--connect-timeout=3", "-e", text)
	out, err := c.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (d *databases) mustSQL(name, text string) string {
	d.t.Helper()
	out, err := d.sql(name, text)
	if err != nil {
		d.t.Fatalf("%s: %s: %v %s", name, text, err, out)
	}
	return out
}

// switchover takes the roles from one server to another. It changes nothing where the other has
// not caught up within 2 s, which may be so on a busy machine: then it is asked for again.
func (d *databases) switchover(from string, to ...string) (out string) {
	d.t.Helper()
	await(d.t, "the roles are switched", time.Minute, func() (ok bool) {
		var code int
		out, code = run(d.t, d.dir, append([]string{"db", "switchover", "--socket", filepath.Join(d.dir, from+".sock")}, to...)...)
		if code != 0 && !strings.Contains(out, "so nothing was changed") {
			d.t.Fatalf("the switchover says %s", out)
		}
		return code == 0
	})
	return out
}

func (d *databases) writable(name, text string) func() bool {
	return func() bool {
		_, err := d.sql(name, text)
		return err == nil
	}
}

// Of three servers the primary is killed while clients write, and another promoted by command.
// What was answered is there, once, on both that are left; the old primary comes back closed.
func TestPromotion(t *testing.T) {
	if _, err := exec.LookPath("mariadb"); err != nil {
		t.Skip("needs mariadb: make tools")
	}
	d := newDatabases(t, 3, "")
	for _, name := range d.names {
		d.start(name)
	}
	await(t, "the first primary takes writes", 60*time.Second, d.writable("db1", "CREATE TABLE IF NOT EXISTS shop.list (id INT PRIMARY KEY, w INT)"))
	await(t, "the table has come", time.Minute, d.writable("db2", "SELECT 1 FROM shop.list"))
	if out, err := d.sql("db2", "INSERT INTO shop.list VALUES (-1, 0)"); err == nil || !strings.Contains(out, "1290") {
		t.Errorf("a write to a replica: %v %s", err, out)
	}
	if out, code := run(t, d.dir, "db", "promote", "--socket", filepath.Join(d.dir, "db2.sock")); code == 0 || !strings.Contains(out, "db1 is alive") {
		t.Errorf("promotion beside a living primary: %d %s", code, out)
	}
	w := writing(8, func(_ *writers, id int) bool {
		_, err := d.sql("db1", fmt.Sprintf("INSERT INTO shop.list VALUES (%d, 0)", id))
		return err == nil
	})
	await(t, "clients have written", 60*time.Second, func() bool { return w.total() > 200 })
	d.kill("db1")
	w.end()
	out := must(t, d.dir, "db", "promote", "--socket", filepath.Join(d.dir, "db2.sock"))
	t.Log(out)
	if !strings.Contains(out, "No commit that replicas have acknowledged is lost") {
		t.Errorf("the promotion says %s", out)
	}
	primary, replica := "db2", "db3"
	if strings.HasPrefix(out, "db3") {
		primary, replica = replica, primary
	}
	check := func(name string) {
		t.Helper()
		if !d.complete(w, name)() {
			t.Errorf("%s lacks answered commits", name)
		}
	}
	check(primary)
	await(t, "the new primary takes writes, which its replica acknowledges", time.Minute, d.writable(primary, "REPLACE INTO shop.list VALUES (-2, 0)"))
	await(t, "the replica follows the new primary", time.Minute, func() bool {
		out, err := d.sql(replica, "SELECT COUNT(*) FROM shop.list WHERE id = -2")
		return err == nil && out == "1"
	})
	check(replica)
	if out, err := d.sql(replica, "INSERT INTO shop.list VALUES (-3, 0)"); err == nil || !strings.Contains(out, "1290") {
		t.Errorf("a write to the replica: %v %s", err, out)
	}
	epoch := d.mustSQL(primary, "SELECT @@stack_epoch")
	d.start("db1")
	await(t, "the old primary enters the new epoch", time.Minute, func() bool {
		out, err := d.sql("db1", "SELECT @@stack_epoch")
		return err == nil && out == epoch
	})
	if out, err := d.sql("db1", "INSERT INTO shop.list VALUES (-4, 0)"); err == nil || !strings.Contains(out, "1290") {
		t.Errorf("a write to the old primary: %v %s", err, out)
	}
	if _, err := os.Stat(filepath.Join(d.dir, "db1")); err != nil {
		t.Error(err)
	}
}

// The roles are switched while clients write: what was answered is on both, once, and the clients go on
// with the new primary. Back again, to a server by name.
func TestSwitchover(t *testing.T) {
	if _, err := exec.LookPath("mariadb"); err != nil {
		t.Skip("needs mariadb: make tools")
	}
	d := newDatabases(t, 2, "")
	d.start("db1")
	d.start("db2")
	await(t, "the primary takes writes", 60*time.Second, d.writable("db1", "CREATE TABLE IF NOT EXISTS shop.list (id INT PRIMARY KEY)"))
	w := writing(4, func(_ *writers, id int) bool {
		return slices.ContainsFunc(d.names, func(name string) bool { // as a client behind an endpoint would find the primary
			_, err := d.sql(name, fmt.Sprintf("INSERT INTO shop.list VALUES (%d)", id))
			return err == nil
		})
	})
	more := func() {
		t.Helper()
		start := w.total()
		await(t, "clients write", 60*time.Second, func() bool { return w.total() > start+50 })
	}
	more()
	out := d.switchover("db1")
	if !strings.HasPrefix(out, "db2 is the primary now, in epoch 64") || !strings.Contains(out, "No commit that replicas have acknowledged is lost") {
		t.Errorf("the switchover says %s", out)
	}
	more()
	if out, code := run(t, d.dir, "db", "switchover", "--socket", filepath.Join(d.dir, "db1.sock")); code == 0 || !strings.Contains(out, "db2 is: run stack db switchover there") {
		t.Errorf("on the replica: %d %s", code, out)
	}
	await(t, "back", time.Minute, func() bool {
		out, code := run(t, d.dir, "db", "switchover", "db1", "--socket", filepath.Join(d.dir, "db2.sock"))
		return code == 0 && strings.HasPrefix(out, "db1 is the primary now")
	})
	more()
	w.end()
	for _, name := range d.names {
		await(t, "all that was answered is on "+name, time.Minute, d.complete(w, name))
	}
}

// With strict a primary without replicas takes no writes, and says why; the clients that wait go on
// when a replica is back.
func TestStrictWithoutReplicas(t *testing.T) {
	if _, err := exec.LookPath("mariadb"); err != nil {
		t.Skip("needs mariadb: make tools")
	}
	d := newDatabases(t, 2, "  ack_policy: strict\n  ack_timeout: 500ms\n")
	d.start("db1")
	d.start("db2")
	await(t, "the primary takes writes", 60*time.Second, d.writable("db1", "CREATE TABLE IF NOT EXISTS shop.list (id INT PRIMARY KEY)"))
	d.mustSQL("db1", "INSERT INTO shop.list VALUES (1)")
	refusing := func() bool {
		out, _ := run(t, d.dir, "db", "status", "--socket", filepath.Join(d.dir, "db1.sock"))
		return strings.Contains(out, "refusing: 1 needed")
	}
	d.kill("db2")
	outcome := make(chan error, 1)
	go func() {
		_, err := d.sql("db1", "INSERT INTO shop.list VALUES (2)")
		outcome <- err
	}()
	// A write before that would be in the log, and wait.
	await(t, "the server refuses writes", time.Minute, refusing)
	if out, err := d.sql("db1", "INSERT INTO shop.list VALUES (3)"); err == nil || !strings.Contains(out, "1290") || !strings.Contains(out, "db.ack_policy") {
		t.Errorf("a new write: %v %s", err, out)
	}
	if out := d.mustSQL("db1", "SELECT COUNT(*) FROM shop.list"); out != "1" {
		t.Errorf("%s rows are seen", out)
	}
	d.start("db2")
	if err := <-outcome; err != nil {
		t.Errorf("the client that waited: %v", err)
	}
	await(t, "writes are taken again", time.Minute, d.writable("db1", "INSERT INTO shop.list VALUES (4)"))
	await(t, "the replica has them", time.Minute, func() bool {
		out, err := d.sql("db2", "SELECT GROUP_CONCAT(id) FROM shop.list")
		return err == nil && out == "1,2,4"
	})
}
