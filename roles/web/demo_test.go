package web

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"

	"stack/appliance/config"
	"stack/roles/internal/freeport"
	"stack/roles/web/demo"
)

// mariadbd is a real server of the test, on a loopback port.
type mariadbd struct {
	t    testing.TB
	dir  string
	addr string
	cmd  *exec.Cmd
}

func startMariaDB(t testing.TB) *mariadbd {
	t.Helper()
	for _, name := range []string{"mariadbd", "mariadb-install-db"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip(name + " is not installed; make test installs it")
		}
	}
	dir, err := os.MkdirTemp("", "mdb")
	if err != nil {
		t.Fatal(err)
	}
	m := &mariadbd{t: t, dir: dir, addr: fmt.Sprint("127.0.0.1:", freeport.TCP(t))}
	t.Cleanup(func() {
		m.stop()
		os.RemoveAll(dir)
	})
	args := []string{"--no-defaults", "--datadir=" + dir + "/data", "--tmpdir=" + dir, "--auth-root-authentication-method=normal", "--skip-test-db"}
	if os.Geteuid() == 0 {
		args = append(args, "--user=root")
	}
	if out, err := exec.Command("mariadb-install-db", args...).CombinedOutput(); err != nil {
		t.Fatalf("mariadb-install-db: %v\n%s", err, out)
	}
	m.start()
	db, err := sql.Open("mysql", "root@tcp("+m.addr+")/")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, q := range []string{"CREATE DATABASE demo", "CREATE USER demo@'%' IDENTIFIED BY 'pass word'", "GRANT ALL ON demo.* TO demo@'%'"} {
		if _, err := db.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func (m *mariadbd) start() {
	m.t.Helper()
	host, port, _ := net.SplitHostPort(m.addr)
	args := []string{"--no-defaults", "--datadir=" + m.dir + "/data", "--tmpdir=" + m.dir, "--socket=" + m.dir + "/s", "--bind-address=" + host, "--port=" + port,
		"--innodb-buffer-pool-size=16M", "--innodb-flush-log-at-trx-commit=0", "--log-error=" + m.dir + "/log"}
	if os.Geteuid() == 0 {
		args = append(args, "--user=root")
	}
	m.cmd = exec.Command("mariadbd", args...)
	if err := m.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	db, err := sql.Open("mysql", "root@tcp("+m.addr+")/")
	if err != nil {
		m.t.Fatal(err)
	}
	defer db.Close()
	for end := time.Now().Add(time.Minute); db.Ping() != nil; {
		if time.Now().After(end) {
			text, _ := os.ReadFile(m.dir + "/log")
			m.t.Fatalf("mariadbd does not start\n%s", text)
		}
		time.Sleep(50 * time.Millisecond) // another process: there is no event to wait for
	}
}

func (m *mariadbd) stop() {
	if m.cmd != nil {
		_ = m.cmd.Process.Kill()
		_ = m.cmd.Wait()
		m.cmd = nil
	}
}

// freeze stops every thread and returns when they have stopped.
func (m *mariadbd) freeze() {
	m.t.Helper()
	if err := m.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		m.t.Fatal(err)
	}
	for end, running := time.Now().Add(10*time.Second), true; running; {
		if time.Now().After(end) {
			m.t.Fatal("mariadbd does not stop")
		}
		running = false
		stats, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", m.cmd.Process.Pid))
		for _, name := range stats {
			b, _ := os.ReadFile(name)
			_, rest, _ := strings.Cut(string(b), ") ")
			running = running || !strings.HasPrefix(rest, "T")
		}
	}
}

func demoSite(t *testing.T, addr, reader string) *server {
	t.Helper()
	root := t.TempDir()
	if err := demo.WriteRoot(root); err != nil {
		t.Fatal(err)
	}
	password := filepath.Join(t.TempDir(), "password")
	writeFile(t, password, []byte("pass word\n"))
	web := testWeb(config.WebSite{Root: root, App: "demo", Demo: &config.Demo{Address: addr, ReadAddress: reader, User: "demo", PasswordFile: password, Database: "demo"}})
	web.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	return serve(t, web)
}

func TestDemo(t *testing.T) {
	m := startMariaDB(t)
	s := demoSite(t, m.addr, "")
	a := s.get("GET", "/", "X-Forwarded-For: 203.0.113.77", "X-Stack-Balancer: lb2")
	host, _ := os.Hostname()
	for _, want := range []string{`id="balancer">lb2<`, `id="web">web1<`, `id="database">` + host + "<", "<td>lb2</td><td>web1</td><td>203.0.113.77</td>"} {
		if a.StatusCode != 200 || !strings.Contains(a.body, want) {
			t.Errorf("%d, %q is missing in\n%s", a.StatusCode, want, a.body)
		}
	}
	if a.Header.Get("Content-Security-Policy") == "" || a.Header.Get("Cache-Control") != "no-store" {
		t.Error(a.Header)
	}
	visits := func() (n int) {
		db, err := sql.Open("mysql", "root@tcp("+m.addr+")/demo")
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if err := db.QueryRow("SELECT COUNT(*) FROM visits").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := visits()
	s.get("GET", "/")
	s.get("HEAD", "/")
	if n := visits(); n != before+1 {
		t.Errorf("%d visits more for one GET and one HEAD", n-before)
	}
	// The guestbook, with what must not become markup.
	if out := s.curl("--write-out", "%{http_code} %{redirect_url}", "--data-urlencode", `name=<b>"Eve"`, "--data-urlencode", "message=<script>alert(1)</script> é", "URL/visits"); !strings.HasPrefix(out, "303 http://"+s.addr+"/") {
		t.Error(out)
	}
	a = s.get("GET", "/")
	if strings.Contains(a.body, "<script") || !strings.Contains(a.body, "&lt;script&gt;alert(1)&lt;/script&gt; é") || !strings.Contains(a.body, "&lt;b&gt;&#34;Eve&#34;") {
		t.Error(a.body)
	}
	if got := s.curl("--data", "message=+", "URL/visits"); !strings.Contains(got, "The message is empty") {
		t.Error(got)
	}
	if a := s.send("POST", "/visits", strings.NewReader("message="+strings.Repeat("x", 20<<10))); a.StatusCode != 413 {
		t.Error("a long form:", a.StatusCode)
	}
	if a := s.send("POST", "/", strings.NewReader("x")); a.StatusCode != 405 || a.Header.Get("Allow") != "GET, HEAD, OPTIONS" {
		t.Error("POST /:", a.StatusCode)
	}
	if a := s.get("GET", "/visits"); a.StatusCode != 405 || a.Header.Get("Allow") != "POST" {
		t.Error("GET /visits:", a.StatusCode)
	}
	if a := s.get("GET", "/about.html"); a.StatusCode != 200 || !strings.Contains(a.body, "A page from a file") {
		t.Error("static page:", a.StatusCode)
	}
	if a := s.get("GET", "/assets/stack.svg"); a.Header.Get("Content-Type") != "image/svg+xml; charset=utf-8" {
		t.Error(a.Header)
	}
	if a := s.get("GET", "/elsewhere"); a.StatusCode != 404 {
		t.Error("another path:", a.StatusCode)
	}
	// The tables go: they are made again.
	db, err := sql.Open("mysql", "root@tcp("+m.addr+")/demo")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("DROP TABLE visits, guestbook"); err != nil {
		t.Fatal(err)
	}
	if a := s.get("GET", "/"); strings.Contains(a.body, "role=\"alert\"") || !strings.Contains(a.body, "Nobody has signed yet") {
		t.Error(a.body)
	}
}

// Whatever the database does, the page comes, within about 2 s, and says so.
func TestDemoWithoutDatabase(t *testing.T) {
	m := startMariaDB(t)
	s := demoSite(t, m.addr, "")
	ask := func(what string) string {
		t.Helper()
		begun := time.Now()
		a := s.get("GET", "/")
		if took := time.Since(begun); took > 10*time.Second || a.StatusCode != 200 {
			t.Errorf("%s: %d after %v", what, a.StatusCode, took)
		}
		return a.body
	}
	if body := ask("up"); strings.Contains(body, `role="alert"`) {
		t.Error(body)
	}
	// Frozen: connections open, nothing answers.
	m.freeze()
	if body := ask("frozen"); !strings.Contains(body, `role="alert"`) || !strings.Contains(body, "no answer") {
		t.Error(body)
	}
	if out := s.curl("--write-out", "%{http_code}", "--data", "message=x", "URL/visits"); !strings.HasSuffix(out, "503") || !strings.Contains(out, "not confirmed that the message is kept") {
		t.Error(out)
	}
	m.stop()
	if body := ask("gone"); !strings.Contains(body, "cannot be reached") {
		t.Error(body)
	}
	m.start()
	if body := ask("back"); strings.Contains(body, `role="alert"`) {
		t.Error(body)
	}
	none := serve(t, testWeb(config.WebSite{App: "demo"}))
	if a := none.get("GET", "/"); a.StatusCode != 200 || !strings.Contains(a.body, "No database is configured") {
		t.Error(a.StatusCode, a.body)
	}
}

// With an address to read from the lists come whatever the one for writes does, and the other way round.
func TestDemoReadsElsewhere(t *testing.T) {
	m := startMariaDB(t)
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts in the kernel, never answers
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	silent := l.Addr().String()
	host, _ := os.Hostname()
	for _, c := range []struct {
		name, writer, reader string
		want                 []string
	}{
		{"both", m.addr, m.addr, []string{`id="database">` + host + "<", `id="reader">` + host + "<", "<td>web1</td>"}},
		{"no writer", silent, m.addr, []string{`id="database">no answer<`, `id="reader">` + host + "<", "<td>web1</td>", "not confirmed that this visit is kept", "Below is what " + host + " has"}},
		{"no reader", m.addr, "127.0.0.1:1", []string{`id="database">` + host + "<", `id="reader">` + host + "<", "<td>web1</td>"}},
		{"silent reader", m.addr, silent, []string{`id="database">` + host + "<", `id="reader">` + host + "<", "<td>web1</td>"}},
		{"none", silent, silent, []string{`id="database">no answer<`, `id="reader">no answer<`, "did not answer in time"}},
	} {
		site := demoSite(t, c.writer, c.reader)
		lacks := func() (text string) { // what is not as it should be
			a := site.get("GET", "/")
			for _, want := range c.want {
				if a.StatusCode != 200 || !strings.Contains(a.body, want) {
					return fmt.Sprintf("%d, %q is missing in\n%s", a.StatusCode, want, a.body)
				}
			}
			if alert := strings.Contains(a.body, `role="alert"`); alert != (c.writer == silent) {
				return fmt.Sprintf("trouble is shown: %v\n%s", alert, a.body)
			}
			return ""
		}
		// What MariaDB does not give in time, on a busy machine, is left out of a page.
		text := lacks()
		for end := time.Now().Add(time.Minute); text != "" && time.Now().Before(end); {
			text = lacks()
		}
		if text != "" {
			t.Errorf("%s: %s", c.name, text)
		}
	}
}

// Many at once while the database hangs: bounded, and none waits for long.
func TestDemoIsBounded(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts in the kernel, never answers
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := demoSite(t, l.Addr().String(), "")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	results := make(chan string, 400)
	for range cap(results) {
		go func() {
			c, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.addr)
			if err != nil {
				results <- err.Error()
				return
			}
			defer c.Close()
			fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			b := make([]byte, 12)
			if _, err := c.Read(b); err != nil {
				results <- err.Error()
				return
			}
			results <- string(b)
		}()
	}
	count := map[string]int{}
	begun := time.Now()
	for range cap(results) {
		count[<-results]++
	}
	if took := time.Since(begun); took > 15*time.Second || count["HTTP/1.1 200"] < 256 || count["HTTP/1.1 200"]+count["HTTP/1.1 503"] != cap(results) {
		t.Errorf("%v after %v", count, took)
	}
}

func TestWriteRootKeepsWhatIsThere(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "www")
	if err := demo.WriteRoot(dir); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "about.html"), []byte("mine"))
	if err := demo.WriteRoot(dir); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(filepath.Join(dir, "about.html")); string(b) != "mine" {
		t.Errorf("%s", b)
	}
}
