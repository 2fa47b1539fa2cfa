package db

import (
	"context"
	"database/sql"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/prometheus/client_golang/prometheus"

	"stack/appliance/config"
	"stack/appliance/sockets"
	"stack/appliance/supervise"
	"stack/tls"
)

// running is a role that serves on a free port.
type running struct {
	t    testing.TB
	role *Role
	node *config.Node
	set  *sockets.Set
	addr netip.AddrPort
	reg  *prometheus.Registry
}

// testNode is a node with a data directory and secrets of its own.
func testNode(t testing.TB) *config.Node {
	t.Helper()
	dir := t.TempDir()
	secrets := filepath.Join(dir, "secrets")
	if _, err := tls.InitSecrets(secrets, "www.example.com"); err != nil {
		t.Fatal(err)
	}
	return &config.Node{
		Name: "db1", Site: "www.example.com", Roles: []string{"db"},
		TLS:   config.TLS{SecretsDir: secrets, MinVersion: "1.2"},
		Binds: []config.Bind{{Role: "db", Owner: "db", Addr: netip.MustParseAddrPort("127.0.0.1:0"), Group: 1}},
		DB: &config.DB{
			Role: "primary", DataDir: filepath.Join(dir, "data"), Databases: []string{"wordpress"},
			Memory: 64 << 20, MaxConnections: 50, TLS: &config.BindTLS{Auto: true}, LockWaitTimeout: 5 * time.Second,
		},
	}
}

func start(t testing.TB, node *config.Node) *running {
	t.Helper()
	set, err := sockets.Open(node.Binds)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { set.Close() })
	r := &running{t: t, node: node, set: set, reg: prometheus.NewRegistry()}
	if r.addr, err = sockets.LocalAddr(set.Get(node.Binds[0].Addr)[0]); err != nil {
		t.Fatal(err)
	}
	r.open()
	t.Cleanup(r.close)
	return r
}

func (r *running) open() {
	r.t.Helper()
	r.reg = prometheus.NewRegistry()
	role, err := New(supervise.Env{Node: r.node.Name, Role: "db", Metrics: r.reg})
	if err != nil {
		r.t.Fatal(err)
	}
	r.role = role.(*Role)
	change, err := r.role.Prepare(context.Background(), r.node, r.set)
	if err != nil {
		r.t.Fatal(err)
	}
	change.Commit()
}

func (r *running) close() {
	if r.role != nil {
		if err := r.role.Close(); err != nil {
			r.t.Error(err)
		}
		r.role = nil
	}
}

func (r *running) secret(name string) string {
	r.t.Helper()
	text, err := os.ReadFile(filepath.Join(r.node.TLS.SecretsDir, name))
	if err != nil {
		r.t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// connect opens a pool with the Go driver.
func (r *running) connect(user, password, database string) *sql.DB {
	r.t.Helper()
	c := mysql.NewConfig()
	c.User, c.Passwd, c.DBName = user, password, database
	c.Net, c.Addr = "tcp", r.addr.String()
	c.AllowNativePasswords, c.ParseTime = true, true
	c.TLSConfig = "skip-verify"
	db, err := sql.Open("mysql", c.FormatDSN())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { db.Close() })
	return db
}

func (r *running) rootDB(database string) *sql.DB {
	return r.connect("root", r.secret("db-root"), database)
}

// mariadb runs the client with a script.
func (r *running) mariadb(user, password, database, script string) (string, error) {
	r.t.Helper()
	path, err := exec.LookPath("mariadb")
	if err != nil {
		r.t.Skip("the mariadb client is not installed")
	}
	args := []string{
		"--no-defaults", "-h", r.addr.Addr().String(), "-P", fmt.Sprint(r.addr.Port()), "-u", user, "-p" + password,
		"--ssl", "--ssl-ca=" + filepath.Join(r.node.TLS.SecretsDir, "ca.crt"), "--batch",
	}
	if database != "" {
		args = append(args, database)
	}
	cmd := exec.Command(path, args...)
	cmd.Stdin = strings.NewReader(script)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestRoleServesClients(t *testing.T) {
	r := start(t, testNode(t))
	pw := r.secret("db-root")
	out, err := r.mariadb("root", pw, "", "SHOW DATABASES; SELECT @@version, @@hostname, USER(), CURRENT_USER();\\s")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"wordpress", "8.0.40-stack\tdb1\troot@localhost\troot@%"} {
		if !strings.Contains(out, want) {
			t.Errorf("the answer lacks %q:\n%s", want, out)
		}
	}
	app := r.connect("wordpress", r.secret("db-wordpress"), "wordpress")
	if _, err := app.Exec("CREATE TABLE t (id INT PRIMARY KEY, s TEXT)"); err != nil {
		t.Fatal(err)
	}
	if _, err := app.Exec("INSERT INTO t VALUES (?, ?)", 1, "ü"); err != nil {
		t.Fatal(err)
	}
	var s string
	if err := app.QueryRow("SELECT s FROM t WHERE id = ?", 1).Scan(&s); err != nil || s != "ü" {
		t.Fatalf("%q %v", s, err)
	}
	if _, err := app.Exec("CREATE DATABASE other"); err == nil {
		t.Error("an account with grants on one database created another")
	}
	st := r.role.Status()
	if !st.Ready || st.Detail.(Detail).Executed == "" {
		t.Errorf("status %+v", st)
	}
	if err := r.role.Alive(); err != nil {
		t.Error(err)
	}
	w := httptest.NewRecorder()
	r.role.Control().ServeHTTP(w, httptest.NewRequest("GET", "/v1/db/status", nil))
	if w.Code != 200 || !strings.Contains(w.Body.String(), `"server_uuid"`) || strings.Contains(w.Body.String(), pw) {
		t.Errorf("status %d %s", w.Code, w.Body)
	}
	families, err := r.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, f := range families {
		seen[f.GetName()] = true
	}
	for _, name := range []string{"stack_db_connections", "stack_db_commits_total", "stack_db_commit_seconds", "stack_db_statements_total", "stack_db_disk_bytes"} {
		if !seen[name] {
			t.Errorf("there is no metric %s", name)
		}
	}
}

func (r *running) pool(c *mysql.Config) *sql.DB {
	r.t.Helper()
	db, err := sql.Open("mysql", c.FormatDSN())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { db.Close() })
	return db
}

func mustExec(t testing.TB, exec func(string, ...any) (sql.Result, error), queries ...string) {
	t.Helper()
	for _, q := range queries {
		if _, err := exec(q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
}

// The runtime's monitor would wake the more often, the less its sleeps may be late.
func TestTheProcessMayWakeLate(t *testing.T) {
	if p := Process(testNode(t)); p.TimerSlack != timerSlack {
		t.Errorf("process %+v: want a timer slack of %v", p, timerSlack)
	}
}
