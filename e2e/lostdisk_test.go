package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Of three servers one alone has acknowledged a commit, and then loses its disk. With the primary gone it is not counted as one
// that proves that nothing is lost; once it has followed the primary again, it is.
func TestPromotionBesideALostDisk(t *testing.T) {
	if _, err := exec.LookPath("mariadb"); err != nil {
		t.Skip("needs mariadb: make tools")
	}
	d := newDatabases(t, 3, "")
	for _, name := range d.names {
		d.start(name)
	}
	await(t, "the first primary takes writes", 60*time.Second, d.writable("db1", "CREATE TABLE IF NOT EXISTS shop.list (id INT PRIMARY KEY)"))
	for _, name := range d.names[1:] {
		await(t, "the table has come to "+name, time.Minute, d.writable(name, "SELECT 1 FROM shop.list"))
	}
	d.kill("db3")
	d.mustSQL("db1", "INSERT INTO shop.list VALUES (1)") // db2 acknowledges
	d.kill("db2")
	d.kill("db1")
	if err := os.RemoveAll(filepath.Join(d.dir, "db2")); err != nil {
		t.Fatal(err)
	}
	d.start("db2")
	d.start("db3")
	promote := func() (string, int) {
		return run(t, d.dir, "db", "promote", "--socket", filepath.Join(d.dir, "db3.sock"))
	}
	await(t, "the promotion is refused for db2", time.Minute, func() bool {
		out, code := promote()
		if code == 0 {
			t.Fatalf("a replica without its disk counts: %s", out)
		}
		return strings.Contains(out, "1 of 2 replicas answer, and 2 must") && strings.Contains(out, "db2 is not counted")
	})
	d.start("db1")
	for _, name := range d.names[1:] {
		await(t, "the commit has come to "+name, time.Minute, func() bool {
			out, err := d.sql(name, "SELECT COUNT(*) FROM shop.list WHERE id = 1")
			return err == nil && out == "1"
		})
	}
	d.kill("db1")
	out, code := promote()
	if code != 0 || !strings.Contains(out, "No commit that replicas have acknowledged is lost") {
		t.Fatalf("with all of it on db2 again: %d %s", code, out)
	}
}
