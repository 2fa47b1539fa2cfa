package db

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"stack/roles/internal/freeport"
)

// mariaSource is a MariaDB server with a binary log.
type mariaSource struct {
	t    *testing.T
	dir  string
	port int
	cmd  *exec.Cmd
	db   *sql.DB
}

const (
	followerName     = "follower"
	followerPassword = "p'ass \\word"
)

func startMariaSource(t *testing.T) *mariaSource {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mariadbd is run as root here")
	}
	for _, program := range []string{"mariadbd", "mariadb-install-db", "mariadb-dump"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(program + " is not installed")
		}
	}
	m := &mariaSource{t: t, dir: t.TempDir(), port: freeport.TCP(t)}
	if out, err := exec.Command("mariadb-install-db", "--no-defaults", "--user=root", "--datadir="+filepath.Join(m.dir, "data"), "--tmpdir="+m.dir,
		"--skip-test-db", "--auth-root-authentication-method=normal").CombinedOutput(); err != nil {
		t.Fatalf("mariadb-install-db: %v\n%s", err, out)
	}
	c := mysql.NewConfig()
	c.User, c.Net, c.Addr, c.MultiStatements = "root", "unix", filepath.Join(m.dir, "s"), true
	db, err := sql.Open("mysql", c.FormatDSN())
	if err != nil {
		t.Fatal(err)
	}
	m.db = db
	t.Cleanup(func() { db.Close(); m.kill() })
	m.start()
	mustExec(t, db.Exec, "CREATE DATABASE shop", "CREATE USER "+followerName+" IDENTIFIED BY 'p\\'ass \\\\word'",
		"GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO "+followerName)
	return m
}

func (m *mariaSource) start() {
	m.t.Helper()
	m.cmd = exec.Command("mariadbd", "--no-defaults", "--user=root", "--datadir="+filepath.Join(m.dir, "data"), "--tmpdir="+m.dir, "--socket="+filepath.Join(m.dir, "s"),
		"--bind-address=127.0.0.1", fmt.Sprint("--port=", m.port), "--server-id=7", "--log-bin=source", "--binlog-format=ROW",
		"--character-set-server=utf8mb4", "--collation-server=utf8mb4_unicode_520_ci", "--innodb-buffer-pool-size=32M",
		"--sql-mode=STRICT_TRANS_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO", "--innodb-flush-log-at-trx-commit=2",
		"--max-allowed-packet=128M")
	if err := m.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	until(m.t, time.Minute, "mariadbd comes up", func() bool { return m.db.Ping() == nil })
}

func (m *mariaSource) kill() {
	if m.cmd != nil {
		m.cmd.Process.Kill()
		m.cmd.Wait()
		m.cmd = nil
	}
}

// dump is what mysqldump writes of the databases, with the position.
func (m *mariaSource) dump(args ...string) string {
	m.t.Helper()
	cmd := exec.Command("mariadb-dump", append([]string{"--no-defaults", "-uroot", "--socket=" + filepath.Join(m.dir, "s"), "--single-transaction", "--hex-blob", "--routines", "--triggers"}, args...)...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		m.t.Fatalf("mariadb-dump: %v\n%s", err, errs.String())
	}
	return out.String()
}

// until waits for a condition, looking again and again.
func until(t testing.TB, most time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(most)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", most, what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// forwarder forwards connections, and can be cut.
type forwarder struct {
	l      net.Listener
	target string

	mu     sync.Mutex
	closed bool
	conns  []net.Conn
}

func startRelay(t *testing.T, target string) *forwarder {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &forwarder{l: l, target: target}
	t.Cleanup(func() { l.Close(); r.cut() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go r.forward(c)
		}
	}()
	return r
}

func (r *forwarder) port() int { return r.l.Addr().(*net.TCPAddr).Port }

func (r *forwarder) forward(c net.Conn) {
	s, err := net.Dial("tcp", r.target)
	if err != nil {
		c.Close()
		return
	}
	r.mu.Lock()
	if r.closed {
		c.Close()
		s.Close()
	}
	r.conns = append(r.conns, c, s)
	r.mu.Unlock()
	go func() { io.Copy(c, s); c.Close() }()
	io.Copy(s, c)
	s.Close()
}

// cut ends all connections.
func (r *forwarder) cut() {
	r.mu.Lock()
	for _, c := range r.conns {
		c.Close()
	}
	r.conns = nil
	r.mu.Unlock()
}

// block lets none through until it is taken back.
func (r *forwarder) block(on bool) {
	r.mu.Lock()
	r.closed = on
	r.mu.Unlock()
	r.cut()
}

// columns is the first row of an answer by name.
func columns(t testing.TB, db *sql.DB, query string) map[string]string {
	t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	if !rows.Next() {
		return nil
	}
	values, into := make([]sql.NullString, len(names)), make([]any, len(names))
	for i := range values {
		into[i] = &values[i]
	}
	if err := rows.Scan(into...); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for i, n := range names {
		out[n] = values[i].String
		if !values[i].Valid {
			out[n] = "NULL"
		}
	}
	return out
}

// answers are the rows of an answer as texts, sorted.
func answers(db *sql.DB, query string) ([]string, error) {
	rows, err := db.QueryContext(context.Background(), query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	var list []string
	for rows.Next() {
		values, into := make([]sql.RawBytes, len(names)), make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		var b strings.Builder
		for _, v := range values {
			if v == nil {
				b.WriteString("NULL|")
			} else {
				fmt.Fprintf(&b, "%q|", v)
			}
		}
		list = append(list, b.String())
	}
	slices.Sort(list)
	return list, rows.Err()
}

// equal compares every table of a database on two servers; empty where they are equal.
func difference(a, b *sql.DB, database string, selects map[string]string) string {
	const list = "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_TYPE = 'BASE TABLE' AND TABLE_SCHEMA = '"
	ta, err := answers(a, list+database+"'")
	if err != nil {
		return err.Error()
	}
	tb, err := answers(b, list+database+"'")
	if err != nil {
		return err.Error()
	}
	if !slices.Equal(ta, tb) {
		return fmt.Sprintf("tables are %v and %v", ta, tb)
	}
	for _, t := range ta {
		name := strings.Trim(strings.TrimSuffix(t, "|"), `"`)
		what := selects[name]
		if what == "" {
			what = "*"
		}
		q := "SELECT " + what + " FROM " + database + "." + name
		ra, err := answers(a, q)
		if err != nil {
			return err.Error()
		}
		rb, err := answers(b, q)
		if err != nil {
			return err.Error()
		}
		for i := range max(len(ra), len(rb)) {
			if i >= len(ra) || i >= len(rb) || ra[i] != rb[i] {
				x, y := "nothing", "nothing"
				if i < len(ra) {
					x = ra[i]
				}
				if i < len(rb) {
					y = rb[i]
				}
				return fmt.Sprintf("%s: %d and %d rows; row %d\n%.1500s\n%.1500s", name, len(ra), len(rb), i, x, y)
			}
		}
	}
	return ""
}
