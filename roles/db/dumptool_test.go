package db

import (
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// A dump by the usual tools, taken while clients write, is of the position in the log that it names: the log holds
// behind it just the transactions that the dump lacks.
func TestDumpsNameTheirPosition(t *testing.T) {
	r := start(t, testNode(t))
	db := r.rootDB("wordpress")
	mustExec(t, db.Exec, "CREATE TABLE entry (id BIGINT AUTO_INCREMENT PRIMARY KEY, n INT)")
	for _, c := range [][]string{
		{"mariadb-dump", "--single-transaction", "--master-data=2"},
		{"mariadb-dump", "--master-data"},
		{"mysqldump", "--single-transaction", "--flush-logs", "--master-data=2"},
	} {
		path, err := exec.LookPath(c[0])
		if err != nil {
			t.Skip(c[0] + " is not installed")
		}
		stop := make(chan struct{})
		var writers sync.WaitGroup
		for n := range 4 {
			writers.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					if _, err := db.Exec("INSERT INTO entry (n) VALUES (?)", n); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		var count int
		for count < 100 {
			if err := db.QueryRow("SELECT COUNT(*) FROM entry").Scan(&count); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.Command(path, append([]string{
			"--no-defaults", "-h", r.addr.Addr().String(), "-P", fmt.Sprint(r.addr.Port()), "-uroot", "-p" + r.secret("db-root"),
			"--ssl", "--ssl-ca=" + filepath.Join(r.node.TLS.SecretsDir, "ca.crt"), "--skip-extended-insert", "--databases", "wordpress",
		}, c[1:]...)...)
		var errs bytes.Buffer
		cmd.Stderr = &errs
		out, err := cmd.Output()
		close(stop)
		writers.Wait()
		if err != nil {
			t.Fatalf("%v: %v\n%s", c, err, errs.String())
		}
		at := regexp.MustCompile(`MASTER_LOG_FILE='([^']+)', MASTER_LOG_POS=(\d+)`).FindSubmatch(out)
		if at == nil {
			t.Fatalf("%v names no position:\n%.2000s", c, out)
		}
		dumped := strings.Count(string(out), "INSERT INTO `entry`")
		if err := db.QueryRow("SELECT COUNT(*) FROM entry").Scan(&count); err != nil {
			t.Fatal(err)
		}
		rows, err := db.Query(fmt.Sprintf("SHOW BINLOG EVENTS IN '%s' FROM %s", at[1], at[2]))
		if err != nil {
			t.Fatal(err)
		}
		behind := 0
		for rows.Next() {
			var file, kind, info string
			var pos, server, end uint64
			if err := rows.Scan(&file, &pos, &kind, &server, &end, &info); err != nil {
				t.Fatal(err)
			}
			if kind == "Xid" {
				behind++
			}
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		if dumped+behind != count {
			t.Errorf("%v: %d rows in the dump and %d transactions behind its position, want %d together", c, dumped, behind, count)
		}
		t.Logf("%v: %d rows in the dump, %d behind %s:%s", c, dumped, behind, at[1], at[2])
	}
}
