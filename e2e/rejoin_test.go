package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// succeed kills the primary and promotes the other of two, which was away while the primary wrote what only it has.
// Then the old primary returns.
func (d *databases) succeed(old, next string, errant ...string) {
	d.t.Helper()
	d.kill(next)
	for _, text := range errant {
		// The first one waits until the server goes on without its replica.
		d.mustSQL(old, text)
	}
	d.kill(old)
	d.start(next)
	await(d.t, next+" is promoted", 60*time.Second, func() bool {
		out, code := run(d.t, d.dir, "db", "promote", "--socket", filepath.Join(d.dir, next+".sock"))
		return code == 0 && strings.HasPrefix(out, next+" is the primary now")
	})
	await(d.t, next+" takes writes", 60*time.Second, d.writable(next, "REPLACE INTO shop.list VALUES (-1, 'of the new primary')"))
	d.start(old)
}

// same waits until a replica has what the primary has, and goes on getting it.
func (d *databases) same(primary, replica string) {
	d.t.Helper()
	mark := fmt.Sprint(time.Now().UnixNano())
	d.mustSQL(primary, "REPLACE INTO shop.list VALUES (-2, '"+mark+"')")
	const all = "SELECT GROUP_CONCAT(id, ' ', v ORDER BY id) FROM shop.list; SHOW TABLES IN shop"
	want := d.mustSQL(primary, all)
	await(d.t, replica+" has what "+primary+" has", 90*time.Second, func() bool {
		out, err := d.sql(replica, all)
		return err == nil && out == want
	})
	if out, err := d.sql(replica, "INSERT INTO shop.list VALUES (-3, '')"); err == nil || !strings.Contains(out, "1290") {
		d.t.Errorf("a write to %s: %v %s", replica, err, out)
	}
}

func (d *databases) status(name string) string {
	out, _ := run(d.t, d.dir, "db", "status", "--socket", filepath.Join(d.dir, name+".sock"))
	return out
}

func (d *databases) files(pattern string) []string {
	d.t.Helper()
	list, err := filepath.Glob(filepath.Join(d.dir, pattern))
	if err != nil {
		d.t.Fatal(err)
	}
	return list
}

// A server that cannot go on with its data joins again without anybody: a primary that has returned takes back what
// the new one lacks; where it cannot, and where the log no longer has what a replica needs, it gets a copy.
func TestRejoin(t *testing.T) {
	if _, err := exec.LookPath("mariadb"); err != nil {
		t.Skip("needs mariadb: make tools")
	}
	d := newDatabases(t, 2, "  ack_policy: degrade\n  ack_timeout: 300ms\n")
	d.start("db1")
	d.start("db2")
	await(t, "the primary takes writes", 60*time.Second, d.writable("db1", "CREATE TABLE IF NOT EXISTS shop.list (id INT PRIMARY KEY, v VARCHAR(60))"))
	d.mustSQL("db1", "INSERT INTO shop.list VALUES (1, 'before'), (2, 'before'), (3, 'before')")
	d.same("db1", "db2")

	d.succeed("db1", "db2", "INSERT INTO shop.list VALUES (100, 'only on the old primary')", "UPDATE shop.list SET v = 'errant' WHERE id = 1", "DELETE FROM shop.list WHERE id = 2")
	d.same("db2", "db1")
	files := d.files("db1/errant/*.binlog")
	if len(files) != 1 {
		t.Fatalf("transactions that were taken back are in %v", files)
	}
	out, err := exec.Command("mariadb-binlog", "-vv", "--base64-output=decode-rows", files[0]).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "only on the old primary") || strings.Count(string(out), "GTID ") < 3 && strings.Count(string(out), "COMMIT") < 3 {
		t.Errorf("the file has %s, %v", out, err)
	}
	if st := d.status("db1"); !strings.Contains(st, "taken back") || !strings.Contains(st, files[0]) {
		t.Errorf("the status of db1 is %s", st)
	}
	if left := d.files("db1/replaced-*"); len(left) > 0 {
		t.Errorf("a copy was fetched: %v", left)
	}

	d.kill("db1")
	d.mustSQL("db2", "INSERT INTO shop.list VALUES (300, 'purged')")
	d.mustSQL("db2", "FLUSH LOGS")
	file, _, _ := strings.Cut(d.mustSQL("db2", "SHOW MASTER STATUS"), "\t")
	d.mustSQL("db2", "PURGE BINARY LOGS TO '"+file+"'")
	d.start("db1")
	d.same("db2", "db1")
	if aside := d.files("db1/replaced-auto-*"); len(aside) != 1 {
		t.Errorf("of the data that was replaced there is %v", aside)
	}

	d.succeed("db2", "db1", "CREATE TABLE shop.errant (a INT)", "INSERT INTO shop.list VALUES (200, 'behind a definition')")
	d.same("db1", "db2")
	aside := d.files("db2/replaced-auto-*")
	if len(aside) != 1 || len(d.files("db2/replaced-auto-*/store/*")) == 0 {
		t.Fatalf("the old data is in %v", aside)
	}
	if st := d.status("db2"); !strings.Contains(st, aside[0]) || len(d.files("db2/errant/*.binlog")) != 1 {
		t.Errorf("the status of db2 is %s", st)
	}
}

// A primary is restored from a backup that is older than what clients were answered for, and stays closed. Its
// replica, which has all of that, throws nothing away, and is the primary after a promotion; the other then joins again.
func TestRestoredPrimary(t *testing.T) {
	if _, err := exec.LookPath("mariadb"); err != nil {
		t.Skip("needs mariadb: make tools")
	}
	d := newDatabases(t, 2, "  ack_timeout: 300ms\n")
	d.start("db1")
	d.start("db2")
	await(t, "the primary takes writes", 60*time.Second, d.writable("db1", "CREATE TABLE IF NOT EXISTS shop.list (id INT PRIMARY KEY, v VARCHAR(60))"))
	d.mustSQL("db1", "INSERT INTO shop.list VALUES (1, 'before')")
	d.same("db1", "db2")
	backup := filepath.Join(d.dir, "backup")
	must(t, d.dir, "db", "backup", backup, "--socket", filepath.Join(d.dir, "db1.sock"))
	d.mustSQL("db1", "INSERT INTO shop.list VALUES (2, 'acknowledged')")
	d.same("db1", "db2")
	d.kill("db1")
	if err := os.Rename(filepath.Join(d.dir, "db1"), filepath.Join(d.dir, "lost")); err != nil {
		t.Fatal(err)
	}
	must(t, d.dir, "db", "restore", backup, "--config", "stack.yaml", "--node", "db1")
	d.start("db1")
	await(t, "the status says so", 90*time.Second, func() bool { return strings.Contains(d.status("db1"), "restored from a backup") })
	if out, err := d.sql("db1", "INSERT INTO shop.list VALUES (3, 'beside')"); err == nil {
		t.Fatalf("a primary with older data takes writes: %s", out)
	}
	const acknowledged = "SELECT v FROM shop.list WHERE id = 2"
	if out, err := d.sql("db2", acknowledged); err != nil || out != "acknowledged" {
		t.Fatalf("db2 has %q, %v", out, err)
	}
	d.kill("db1")
	await(t, "db2 is promoted", 60*time.Second, func() bool {
		out, code := run(t, d.dir, "db", "promote", "--socket", filepath.Join(d.dir, "db2.sock"))
		return code == 0 && strings.HasPrefix(out, "db2 is the primary now")
	})
	d.start("db1")
	d.same("db2", "db1")
	if out := d.mustSQL("db1", acknowledged); out != "acknowledged" {
		t.Errorf("db1 has %q", out)
	}
}
