package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// stop ends a server in order.
func (d *databases) stop(name string) {
	d.t.Helper()
	p := d.run[name]
	p.cmd.Process.Signal(syscall.SIGTERM)
	<-p.done
}

// The disk of a primary is taken back to a snapshot, and it numbers other transactions like those that it has lost, and more,
// before its replicas return. None of them takes one for the other: the primary steps down, the replicas do not follow it, and
// after a promotion it has what they have.
func TestPrimaryThatWasTakenBack(t *testing.T) {
	if _, err := exec.LookPath("mariadb"); err != nil {
		t.Skip("needs mariadb: make tools")
	}
	d := newDatabases(t, 3, "  ack_timeout: 2m\n")
	for _, name := range d.names {
		d.start(name)
	}
	await(t, "the primary takes writes", time.Minute, d.writable("db1", "CREATE TABLE IF NOT EXISTS shop.list (id INT PRIMARY KEY, v VARCHAR(60))"))
	d.mustSQL("db1", "INSERT INTO shop.list VALUES (1, 'before')")
	d.same("db1", "db2")
	d.stop("db1")
	data, snapshot := filepath.Join(d.dir, "db1"), filepath.Join(d.dir, "snapshot")
	if err := os.CopyFS(snapshot, os.DirFS(data)); err != nil {
		t.Fatal(err)
	}
	d.start("db1")
	await(t, "the primary takes writes", time.Minute, d.writable("db1", "REPLACE INTO shop.list VALUES (2, 'acknowledged')"))
	d.mustSQL("db1", "INSERT INTO shop.list VALUES (3, 'acknowledged')")
	d.same("db1", "db2")
	d.same("db1", "db3")
	for _, name := range d.names {
		d.stop(name)
	}
	if err := os.RemoveAll(data); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(snapshot, data); err != nil {
		t.Fatal(err)
	}
	d.start("db1")
	await(t, "the primary answers", time.Minute, d.writable("db1", "SELECT 1"))
	var clients sync.WaitGroup
	for i := range 10 {
		clients.Go(func() {
			if out, err := d.sql("db1", fmt.Sprintf("INSERT INTO shop.list VALUES (%d, 'without a replica')", 100+i)); err == nil {
				t.Errorf("a commit without a replica was answered: %s", out)
			}
		})
	}
	await(t, "all of them are in the log", time.Minute, func() bool {
		out, err := d.sql("db1", "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'INSERT INTO shop.list%'")
		return err == nil && out == "10"
	})
	d.start("db2")
	d.start("db3")
	d.run["db2"].awaitOutput("it has lost data", time.Minute)
	clients.Wait()
	await(t, "the primary says what it has lost", time.Minute, func() bool {
		text := d.status("db1")
		return strings.Contains(text, "its disk was taken back") && strings.Contains(text, "stack db promote on db")
	})
	if out, err := d.sql("db1", "INSERT INTO shop.list VALUES (200, 'later')"); err == nil {
		t.Errorf("the primary takes writes: %s", out)
	}
	out := must(t, d.dir, "db", "promote", "--socket", filepath.Join(d.dir, "db2.sock"))
	primary, _, _ := strings.Cut(out, " is the primary now")
	if primary == "db1" || !strings.Contains(out, "db1 has lost") {
		t.Errorf("the promotion says %s", out)
	}
	d.same(primary, "db1")
	const acknowledged = "SELECT GROUP_CONCAT(id ORDER BY id) FROM shop.list WHERE id > 0"
	if got := d.mustSQL("db1", acknowledged); got != "1,2,3" {
		t.Errorf("db1 has %s", got)
	}
	if files := d.files("db1/errant/*.binlog"); len(files) != 1 {
		t.Errorf("what was taken back is in %v", files)
	}
}
