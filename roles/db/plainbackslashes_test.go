package db

import (
	"database/sql"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
)

// awkward is what ends a text early where it is escaped by the wrong mode.
const awkward = `it's \' OR 1=1 -- \`

// Clients that put values into statements are told whether a backslash escapes: under
// NO_BACKSLASH_ESCAPES it would end up in the value, or the text would end within it.
func TestClientsEscapeByMode(t *testing.T) {
	r := start(t, testNode(t))
	pw := r.secret("db-wordpress")
	mustExec(t, r.rootDB("wordpress").Exec, "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(50))")
	c := mysql.NewConfig()
	c.User, c.Passwd, c.DBName, c.Net, c.Addr, c.TLSConfig = "wordpress", pw, "wordpress", "tcp", r.addr.String(), "skip-verify"
	c.InterpolateParams = true
	db := r.pool(c)
	db.SetMaxOpenConns(1)
	for _, mode := range []string{"NO_BACKSLASH_ESCAPES", ""} {
		mustExec(t, db.Exec, "TRUNCATE t", "SET sql_mode = '"+mode+"'")
		if _, err := db.Exec("INSERT INTO t (v) VALUES (?)", awkward); err != nil {
			t.Errorf("sql_mode '%s': %v", mode, err)
		}
		onlyAwkward(t, db, "go-sql-driver", mode)
		for name, script := range escapingScripts(r, pw, mode) {
			mustExec(t, db.Exec, "TRUNCATE t")
			if _, err := exec.LookPath(script[0]); err != nil {
				t.Log(script[0] + " is not installed")
				continue
			}
			out, err := exec.Command(script[0], script[1:]...).CombinedOutput()
			if lacks := string(out); err != nil && (strings.Contains(lacks, "No module named") || strings.Contains(lacks, "undefined function mysqli") || strings.Contains(lacks, "could not find driver")) {
				t.Log(name + " is not installed")
				continue
			}
			if err != nil {
				t.Errorf("%s, sql_mode '%s': %v: %s", name, mode, err, out)
			}
			onlyAwkward(t, db, name, mode)
		}
	}
	// A session that begins in the mode says so before its first statement.
	mustExec(t, r.rootDB("").Exec, "SET GLOBAL sql_mode = 'NO_BACKSLASH_ESCAPES'")
	defer mustExec(t, r.rootDB("").Exec, "SET GLOBAL sql_mode = DEFAULT")
	fresh := r.pool(c)
	mustExec(t, db.Exec, "TRUNCATE t")
	if _, err := fresh.Exec("INSERT INTO t (v) VALUES (?)", awkward); err != nil {
		t.Error(err)
	}
	onlyAwkward(t, db, "a new session", "NO_BACKSLASH_ESCAPES")
}

func onlyAwkward(t *testing.T, db *sql.DB, client, mode string) {
	t.Helper()
	var n int
	var v sql.NullString
	if err := db.QueryRow("SELECT COUNT(*), MAX(v) FROM t").Scan(&n, &v); err != nil || n != 1 || v.String != awkward {
		t.Errorf("%s, sql_mode '%s': %d rows, %q, %v", client, mode, n, v.String, err)
	}
}

// escapingScripts insert the awkward text as other clients write it.
func escapingScripts(r *running, pw, mode string) map[string][]string {
	text := strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(awkward)
	return map[string][]string{
		"mysqli": {"php", "-r", fmt.Sprintf(`mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
			$c = mysqli_init();
			$c->real_connect('%s', 'wordpress', '%s', 'wordpress', %d, null, MYSQLI_CLIENT_SSL | MYSQLI_CLIENT_SSL_DONT_VERIFY_SERVER_CERT);
			$c->query("SET sql_mode = '%s'");
			$c->query("INSERT INTO t (v) VALUES ('" . $c->real_escape_string('%s') . "')");`, r.addr.Addr(), pw, r.addr.Port(), mode, text)},
		"PDO": {"php", "-r", fmt.Sprintf(`$c = new PDO('mysql:host=%s;port=%d;dbname=wordpress', 'wordpress', '%s', [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION,
				PDO::ATTR_EMULATE_PREPARES => true, PDO::MYSQL_ATTR_SSL_VERIFY_SERVER_CERT => false, PDO::MYSQL_ATTR_SSL_CA => '%s/ca.crt']);
			$c->exec("SET sql_mode = '%s'");
			$c->prepare("INSERT INTO t (v) VALUES (?)")->execute(['%s']);`, r.addr.Addr(), r.addr.Port(), pw, r.node.TLS.SecretsDir, mode, text)},
		"pymysql": {"/usr/bin/python3", "-c", fmt.Sprintf(`import pymysql, ssl
x = ssl.create_default_context(); x.check_hostname = False; x.verify_mode = ssl.CERT_NONE
c = pymysql.connect(host='%s', port=%d, user='wordpress', password='%s', database='wordpress', ssl=x)
d = c.cursor(); d.execute("SET sql_mode = '%s'"); d.execute("INSERT INTO t (v) VALUES (%%s)", ('%s',)); c.commit()`, r.addr.Addr(), r.addr.Port(), pw, mode, text)},
	}
}
