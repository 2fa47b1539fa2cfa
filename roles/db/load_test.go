package db

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
)

// The clients send their files: mariadb by name, the Go driver from a reader. One that has
// no such file, refuses, or breaks off leaves nothing, and the connection goes on.
func TestLoadDataFromClients(t *testing.T) {
	r := start(t, testNode(t))
	db := r.rootDB("wordpress")
	db.SetMaxOpenConns(1)
	mustExec(t, db.Exec, "CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(20))")
	user, pw := "wordpress", r.secret("db-wordpress")
	file := filepath.Join(t.TempDir(), "it's.csv")
	if err := os.WriteFile(file, []byte("id;name\r\n1;\"one; two\"\r\n2;\\N\r\n2;twice\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	load := "LOAD DATA LOCAL INFILE '%s' INTO TABLE t FIELDS TERMINATED BY ';' ENCLOSED BY '\"' LINES TERMINATED BY '\\r\\n' IGNORE 1 LINES"
	out, err := r.mariadb(user, pw, "wordpress", "\\W\n"+fmt.Sprintf(load, strings.ReplaceAll(file, "'", "''"))+"; SHOW WARNINGS; SELECT * FROM t;\n")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"1062\tDuplicate entry '2' for key 't.PRIMARY'", "1\tone; two", "2\tNULL"} {
		if !strings.Contains(out, want) {
			t.Errorf("the answer lacks %q:\n%s", want, out)
		}
	}
	out, err = r.mariadb(user, pw, "wordpress", "LOAD DATA LOCAL INFILE '/nosuch/file' INTO TABLE t;\n")
	if err == nil || !strings.Contains(out, "nosuch") {
		t.Errorf("a file that is not there: %v\n%s", err, out)
	}

	mysql.RegisterReaderHandler("many", func() io.Reader { return strings.NewReader(lines(10, 100_000)) })
	result, err := db.Exec("LOAD DATA LOCAL INFILE 'Reader::many' INTO TABLE t")
	if err != nil {
		t.Fatal(err)
	}
	if n, _ := result.RowsAffected(); n != 100_000 {
		t.Errorf("%d rows were loaded", n)
	}
	broken := errors.New("the disk of the client")
	mysql.RegisterReaderHandler("broken", func() io.Reader {
		return io.MultiReader(strings.NewReader(lines(200_000, 50_000)), failingReader{broken})
	})
	if _, err := db.Exec("LOAD DATA LOCAL INFILE 'Reader::broken' INTO TABLE t"); err == nil {
		t.Error("a broken file was loaded")
	}
	if _, err := db.Exec("LOAD DATA LOCAL INFILE '/etc/hostname' INTO TABLE t"); err == nil {
		t.Error("the driver has sent a file that it was not allowed to")
	}
	var n int
	if err := db.QueryRow("SELECT COUNT(*) FROM t WHERE id < 200000").Scan(&n); err != nil || n != 100_002 {
		t.Errorf("%d rows, %v", n, err)
	}
}

func lines(from, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%d\tname %d\n", from+i, i)
	}
	return b.String()
}

type failingReader struct{ err error }

func (f failingReader) Read([]byte) (int, error) { return 0, f.err }

// What the scripting languages' drivers send arrives as well.
func TestLoadDataFromScripts(t *testing.T) {
	r := start(t, testNode(t))
	db := r.rootDB("wordpress")
	mustExec(t, db.Exec, "CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(20))")
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, []byte("1\tone\n2\ttwo\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	pw := r.secret("db-wordpress")
	for name, script := range map[string][]string{
		"php": {"-d", "mysqli.allow_local_infile=1", "-r", fmt.Sprintf(`mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
			$c = mysqli_init(); $c->options(MYSQLI_OPT_LOCAL_INFILE, true);
			$c->real_connect('%s', 'wordpress', '%s', 'wordpress', %d, null, MYSQLI_CLIENT_SSL | MYSQLI_CLIENT_SSL_DONT_VERIFY_SERVER_CERT);
			$c->query("LOAD DATA LOCAL INFILE '%s' REPLACE INTO TABLE t"); echo $c->affected_rows, " ", $c->info;`, r.addr.Addr(), pw, r.addr.Port(), file)},
		"/usr/bin/python3": {"-c", fmt.Sprintf(`import pymysql, ssl
x = ssl.create_default_context(); x.check_hostname = False; x.verify_mode = ssl.CERT_NONE
c = pymysql.connect(host='%s', port=%d, user='wordpress', password='%s', database='wordpress', local_infile=True, ssl=x)
print(c.cursor().execute("LOAD DATA LOCAL INFILE '%s' REPLACE INTO TABLE t")); c.commit()`, r.addr.Addr(), r.addr.Port(), pw, file)},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := exec.LookPath(name); err != nil {
				t.Skip(name + " is not installed")
			}
			mustExec(t, db.Exec, "TRUNCATE TABLE t")
			out, err := exec.Command(name, script...).CombinedOutput()
			if err != nil && (strings.Contains(string(out), "No module named 'pymysql'") || strings.Contains(string(out), "undefined function mysqli")) {
				t.Skip(name + " has no driver")
			}
			if err != nil || !strings.HasPrefix(string(out), "2") {
				t.Fatalf("%v: %s", err, out)
			}
			var names string
			if err := db.QueryRow("SELECT GROUP_CONCAT(name) FROM t").Scan(&names); err != nil || names != "one,two" {
				t.Errorf("%q, %v", names, err)
			}
		})
	}
}
