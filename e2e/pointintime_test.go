package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestRestoreToAPoint: a table is dropped by mistake; the backup and the binary log bring
// back everything up to just before that, from the data directory that is left, and from
// the archive.
func TestRestoreToAPoint(t *testing.T) {
	s := newDBSite(t)
	backup, kept := s.path("backup"), s.path("kept")
	config := s.config("data", 0)
	withArchive := strings.Replace(config, "  databases:", "  binlog: {archive: "+kept+"}\n  databases:", 1)
	write(t, s.path("db.yaml"), withArchive, 0o644)
	p := s.start(t)
	s.mustSQL(t, "CREATE TABLE shop.orders (id INT PRIMARY KEY AUTO_INCREMENT, item VARCHAR(40), note JSON)")
	s.mustSQL(t, "INSERT INTO shop.orders (item) VALUES ('first'), ('second')")
	must(t, s.dir, "db", "backup", backup, "--socket", s.socket())
	s.mustSQL(t, "INSERT INTO shop.orders (item, note) VALUES ('third', '{\"paid\": true}'); UPDATE shop.orders SET item = 'FIRST' WHERE id = 1; FLUSH LOGS")
	s.mustSQL(t, "CREATE USER clerk IDENTIFIED BY 'x'; GRANT SELECT ON shop.* TO clerk; INSERT INTO shop.orders (item) VALUES ('fourth')")
	const orders = "SELECT id, item, note FROM shop.orders ORDER BY id"
	want := s.mustSQL(t, orders)
	s.mustSQL(t, "DROP TABLE shop.orders")
	s.mustSQL(t, "CREATE TABLE shop.orders (oops INT)")
	drop := dropped(t, s)
	s.mustSQL(t, "FLUSH LOGS")
	p.end(t)

	left := s.path("left")
	rename(t, s.path("data"), left)
	archives, err := filepath.Glob(filepath.Join(kept, "*"))
	if err != nil || len(archives) != 1 {
		t.Fatalf("the archive holds %v, %v", archives, err)
	}
	for what, log := range map[string]string{"data directory": left, "archive": archives[0]} {
		out := must(t, s.dir, "db", "restore", backup, "--binlog", log, "--before-gtid", drop, "--config", "db.yaml")
		if !strings.Contains(out, "Replayed 5 transactions") || !strings.Contains(out, "Stopped before "+drop) {
			t.Errorf("%s: the restore says %s", what, out)
		}
		must(t, s.dir, "db", "check", "--config", "db.yaml")
		p := s.start(t)
		got := s.mustSQL(t, orders)
		if got != want || strings.Count(want, "\n") != 4 {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
		if grants := s.mustSQL(t, "SHOW GRANTS FOR clerk"); !strings.Contains(grants, "SELECT") {
			t.Errorf("%s: the account has %q", what, grants)
		}
		s.mustSQL(t, "INSERT INTO shop.orders (item) VALUES ('fifth')")
		if id := s.mustSQL(t, "SELECT MAX(id) FROM shop.orders"); strings.TrimSpace(id) != "5" {
			t.Errorf("%s: the next number is %s", what, id)
		}
		p.end(t)
		rename(t, s.path("data"), s.path("restored from "+what))
	}
	out, code := run(t, s.dir, "db", "restore", backup, "--binlog", s.path("nowhere"), "--config", "db.yaml")
	if code == 0 || !strings.Contains(out, "is not there: name the directory of the binary log") {
		t.Errorf("a log that is not there: %d, %s", code, out)
	}
	if _, err := os.Stat(s.path("data")); !os.IsNotExist(err) {
		t.Error("a restore that was refused has written something")
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// dropped finds the GTID of the DROP in the log, as an operator does.
func dropped(t *testing.T, s dbSite) string {
	t.Helper()
	var last string
	gtid := regexp.MustCompile(`SET @@SESSION\.GTID_NEXT= '([^']+)'`)
	for _, file := range strings.Split(strings.TrimSpace(s.mustSQL(t, "SHOW BINARY LOGS")), "\n") {
		name, _, _ := strings.Cut(file, "\t")
		for _, line := range strings.Split(s.mustSQL(t, "SHOW BINLOG EVENTS IN '"+name+"'"), "\n") {
			if m := gtid.FindStringSubmatch(line); m != nil {
				last = m[1]
			}
			if strings.Contains(line, "DROP TABLE shop.orders") {
				return last
			}
		}
	}
	t.Fatal("the log holds no DROP")
	return ""
}
