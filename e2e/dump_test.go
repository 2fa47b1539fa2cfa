package e2e

import (
	"os/exec"
	"strings"
	"testing"
)

// TestDumpAndRestore: what mariadb-dump writes of a database can be read back by the
// mariadb client, whole.
func TestDumpAndRestore(t *testing.T) {
	if _, err := exec.LookPath("mariadb-dump"); err != nil {
		t.Skip("needs mariadb-dump: make tools")
	}
	s := newDBSite(t)
	s.start(t)
	s.mustSQL(t, `CREATE TABLE shop.items (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(40) NOT NULL, price DECIMAL(10,2), at DATETIME(3), KEY (name));
		INSERT INTO shop.items (name, price, at) VALUES ('it''s /*M! no comment */', 1.50, '2026-01-02 03:04:05.678'), ('déjà "vu"', NULL, NULL)`)
	const all = "SELECT * FROM shop.items ORDER BY id"
	before := s.mustSQL(t, all)
	client := s.client(t)
	dump := exec.Command("mariadb-dump", append(client, "--single-transaction", "--databases", "shop")...)
	var problems strings.Builder
	dump.Stderr = &problems
	text, err := dump.Output()
	if err != nil {
		t.Fatalf("mariadb-dump: %v\n%s", err, problems.String())
	}
	s.mustSQL(t, "DROP DATABASE shop")
	restore := exec.Command("mariadb", client...)
	restore.Stdin = strings.NewReader(string(text))
	if out, err := restore.CombinedOutput(); err != nil {
		t.Fatalf("restore: %v\n%s", err, out)
	}
	if after := s.mustSQL(t, all); after != before || strings.Count(after, "\n") != 2 {
		t.Errorf("restored:\n%s\nwas:\n%s", after, before)
	}
	s.mustSQL(t, "INSERT INTO shop.items (name) VALUES ('next')")
	if id := s.mustSQL(t, "SELECT MAX(id) FROM shop.items"); id != "3\n" {
		t.Errorf("the next id is %s, want 3", id)
	}
}
