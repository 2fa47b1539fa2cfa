package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// hold gives a statement that locks something on a server, until release is called or the session ends.
func (d *databases) hold(name, lock string) (release func()) {
	d.t.Helper()
	c := exec.Command("mariadb", "-h", fmt.Sprint("127.0.0.", 30+int(name[2]-'0')), "-P", fmt.Sprint(d.port), "-uroot", "-psecret", "-N", "-B", "--unbuffered",
		"-e", lock+"; SELECT 'holds'; SELECT SLEEP(600)")
	out := &output{}
	c.Stdout = out
	if err := c.Start(); err != nil {
		d.t.Fatal(err)
	}
	release = func() {
		_ = c.Process.Kill() // twice is no harm
		_ = c.Wait()
	}
	d.t.Cleanup(release)
	await(d.t, "a client locks something on "+name, time.Minute, func() bool { return strings.Contains(out.String(), "holds") })
	return release
}

// A statement that takes long on all replicas holds up no commit. What they have only received is on the one that is promoted
// when that takes writes, and on the other; one of them was killed in between.
func TestReplicasAcknowledgeWhatTheyReceive(t *testing.T) {
	if _, err := exec.LookPath("mariadb"); err != nil {
		t.Skip("needs mariadb: make tools")
	}
	d := newDatabases(t, 3, "  ack_timeout: 5s\n")
	for _, name := range d.names {
		d.start(name)
	}
	await(t, "the first primary takes writes", time.Minute, d.writable("db1", "CREATE TABLE IF NOT EXISTS shop.list (id INT PRIMARY KEY)"))
	d.mustSQL("db1", "CREATE TABLE shop.big (id INT PRIMARY KEY, w INT); INSERT INTO shop.big VALUES (1, 1)")
	for _, name := range d.names[1:] {
		await(t, "the table is on "+name, time.Minute, func() bool {
			out, err := d.sql(name, "SELECT COUNT(*) FROM shop.big")
			return err == nil && out == "1"
		})
	}
	release := map[string]func(){"db2": d.hold("db2", "LOCK TABLES shop.big READ"), "db3": d.hold("db3", "LOCK TABLES shop.big READ")}
	d.mustSQL("db1", "ALTER TABLE shop.big ADD COLUMN more INT NOT NULL DEFAULT 7, ADD KEY (w)")
	const writes = 40
	for i := range writes {
		d.mustSQL("db1", fmt.Sprintf("INSERT INTO shop.list VALUES (%d)", i))
		time.Sleep(100 * time.Millisecond) // so that they take most of ack_timeout
	}
	time.Sleep(2 * time.Second)
	d.mustSQL("db1", fmt.Sprintf("INSERT INTO shop.list VALUES (%d)", writes))
	for _, name := range d.names[1:] {
		if out := d.mustSQL(name, "SELECT COUNT(*) FROM shop.list"); out != "0" {
			t.Errorf("%s has applied %s of what is behind a statement that waits", name, out)
		}
		if out := d.status(name); !regexp.MustCompile(`transactions behind +42\n`).MatchString(out) {
			t.Errorf("%s does not say how far it is behind: %s", name, out)
		}
	}
	d.kill("db1")
	d.kill("db3") // its relay log is all that has it
	release["db3"]()
	d.start("db3")
	await(t, "the killed one is back", time.Minute, d.writable("db3", "SELECT 1"))
	var out string
	await(t, "a server is promoted", time.Minute, func() bool {
		var code int
		out, code = run(t, d.dir, "db", "promote", "--socket", filepath.Join(d.dir, "db2.sock"))
		return code == 0
	})
	t.Log(out)
	if !strings.Contains(out, "No commit that replicas have acknowledged is lost") {
		t.Errorf("the promotion says %s", out)
	}
	if strings.HasPrefix(out, "db2") && !strings.Contains(out, "takes writes when it has applied") {
		t.Errorf("it does not say that it takes no writes yet: %s", out)
	}
	release["db2"]()
	for _, name := range d.names[1:] {
		await(t, name+" has everything", time.Minute, func() bool {
			list, err := d.sql(name, "SELECT COUNT(*), MAX(id) FROM shop.list")
			more, failed := d.sql(name, "SELECT SUM(more) FROM shop.big")
			return err == nil && failed == nil && list == fmt.Sprintf("%d\t%d", writes+1, writes) && more == "7"
		})
	}
	await(t, "one takes writes", time.Minute, func() bool {
		return d.writable("db2", "INSERT INTO shop.list VALUES (1000)")() || d.writable("db3", "INSERT INTO shop.list VALUES (1000)")()
	})
	d.start("db1")
	await(t, "the old primary joins again", time.Minute, func() bool {
		list, err := d.sql("db1", "SELECT COUNT(*) FROM shop.list")
		return err == nil && list == fmt.Sprint(writes+2)
	})
}
