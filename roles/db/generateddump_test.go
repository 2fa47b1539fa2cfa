package db

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Dumps of MariaDB's program name values of generated columns. They go from MariaDB to us,
// and ours to MariaDB.
func TestDumpsOfGeneratedColumns(t *testing.T) {
	m := startMariaSource(t)
	r := start(t, testNode(t))
	root := r.secret("db-root")
	const table = "CREATE TABLE `%` (a INT PRIMARY KEY, b INT AS (a + 1) STORED, c VARCHAR(20) AS (CONCAT('<', d, '>')) VIRTUAL, d VARCHAR(9), KEY (b));\n" +
		"INSERT INTO `%` (a, d) VALUES (1, 'x'), (2, NULL), (3, 'it''s');\n"
	const want = "1\t2\t<x>\tx\n2\t3\tNULL\tNULL\n3\t4\t<it's>\tit's\n"
	client := func(script string) string {
		t.Helper()
		cmd := exec.Command("mariadb", "--no-defaults", "-uroot", "--socket="+filepath.Join(m.dir, "s"), "--batch", "--skip-column-names")
		cmd.Stdin = strings.NewReader(script)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	client("CREATE DATABASE IF NOT EXISTS shop; USE shop;\n" + strings.ReplaceAll(table, "%", "theirs"))
	for _, more := range []string{"--complete-insert", "--skip-extended-insert"} {
		dump := m.dump(more, "shop", "theirs")
		if !strings.Contains(dump, "<x>") {
			t.Fatalf("the dump names no values of generated columns: the test sees nothing\n%s", dump)
		}
		if out, err := r.mariadb("root", root, "wordpress", dump); err != nil {
			t.Fatalf("%s: %v\n%s", more, err, out)
		}
		if out, err := r.mariadb("root", root, "wordpress", "SELECT * FROM theirs ORDER BY a"); err != nil || !strings.HasSuffix(out, "d\n"+want) {
			t.Errorf("%s: %v\n%s", more, err, out)
		}
	}
	if out, err := r.mariadb("root", root, "wordpress", strings.ReplaceAll(table, "%", "ours")); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.Command("mariadb-dump", "--no-defaults", "-h", r.addr.Addr().String(), "-P", r.addr.String()[strings.LastIndexByte(r.addr.String(), ':')+1:],
		"-uroot", "-p"+root, "--ssl", "--ssl-ca="+filepath.Join(r.node.TLS.SecretsDir, "ca.crt"), "--single-transaction", "wordpress", "ours")
	dump, err := cmd.Output()
	if err != nil {
		t.Fatalf("mariadb-dump of ours: %v", err)
	}
	if !strings.Contains(string(dump), "<x>") {
		t.Errorf("our dump names no values of generated columns\n%s", dump)
	}
	client("CREATE DATABASE copy; USE copy;\n" + string(dump))
	if out := client("SELECT * FROM copy.ours ORDER BY a"); out != want {
		t.Errorf("in MariaDB: %s", out)
	}
}
