package e2e

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// use is what one process holds.
type use struct {
	descriptors, threads, goroutines int
}

func (u use) String() string {
	return fmt.Sprintf("%d descriptors, %d threads, %d goroutines", u.descriptors, u.threads, u.goroutines)
}

// Some of what a process holds comes with its first work and stays: connections kept for
// the next request, threads that the Go runtime parks, the goroutines of caches and
// pools. After a warm-up these bounds hold, however much work follows.
var slack = use{descriptors: 8, threads: 6, goroutines: 8}

func (u use) within(before use) bool {
	return u.descriptors <= before.descriptors+slack.descriptors && u.threads <= before.threads+slack.threads &&
		u.goroutines <= before.goroutines+slack.goroutines
}

// leakSite is a site of all roles in one supervisor, with a node per role.
type leakSite struct {
	dir, socket string
	base        int
	supervisor  *program
	ca          *x509.CertPool
	password    string
}

func (s *leakSite) addr(i int) string { return fmt.Sprintf("127.0.0.1:%d", s.base+i) }

// newLeakSite starts one node with every role: a balancer with TLS and a database
// endpoint, a web server with files, an application behind HTTP and php-fpm.
func newLeakSite(t *testing.T) *leakSite {
	t.Helper()
	s := &leakSite{dir: openDir(t), base: nextPorts()}
	s.socket = filepath.Join(s.dir, "run/s.sock")
	write(t, filepath.Join(s.dir, "www/index.html"), strings.Repeat("small ", 100), 0o644)
	write(t, filepath.Join(s.dir, "www/large.bin"), strings.Repeat("large ", 1<<20), 0o644)
	write(t, filepath.Join(s.dir, "www/hello.php"), `<?php echo "php ", strlen(file_get_contents("php://input"));`, 0o644)
	php := phpFPM(t, s.dir)
	app := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "app %d", n)
	})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go app.Serve(l)
	t.Cleanup(func() { app.Close() })
	s.write(t, l.Addr().String(), php, "1s")
	must(t, s.dir, "secrets", "init", "--config", "site.yaml")
	s.supervisor = start(t, s.dir, "--config", "site.yaml")
	s.supervisor.awaitOutput(`"msg":"started"`, 60*time.Second)
	pem, err := os.ReadFile(filepath.Join(s.dir, "secrets/ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	s.ca = x509.NewCertPool()
	s.ca.AppendCertsFromPEM(pem)
	password, err := os.ReadFile(filepath.Join(s.dir, "secrets/db-root"))
	if err != nil {
		t.Fatal(err)
	}
	s.password = strings.TrimSpace(string(password))
	await(t, "the balancer sees its servers", 30*time.Second, func() bool {
		return once(s.addr(0)) == nil
	})
	return s
}

func (s *leakSite) write(t *testing.T, app, php, interval string) {
	t.Helper()
	write(t, filepath.Join(s.dir, "site.yaml"), fmt.Sprintf(`lb:
  access_log: {path: %[1]s/lb.log}
  timeouts: {drain: 2s, tunnel_drain: 2s, idle: 3s}
  frontends:
    - {name: plain, bind: ["%[2]s"], backend: web}
    - {name: https, bind: ["%[3]s"], tls: {certificates: auto}, backend: web}
    - {name: mysql, bind: ["%[4]s"], mode: tcp, backend: db}
  backends:
    - name: web
      servers: [{name: web, address: "%[5]s"}]
      check: {type: http, path: /.stack/healthz, interval: %[9]s}
    - name: db
      servers: [{name: db, address: "%[6]s"}]
web:
  access_log: {path: %[1]s/web.log}
  timeouts: {drain: 2s, tunnel_drain: 2s, idle: 3s}
  bind: ["%[5]s"]
  sites:
    - root: %[1]s/www
      php: unix:%[8]s
      locations: [{path: /app/, proxy: {servers: [{name: app, address: "%[10]s"}]}}]
db:
  bind: ["%[6]s"]
  data_dir: %[1]s/data
  databases: [shop]
tls: {secrets_dir: %[1]s/secrets}
admin: {bind: ["%[7]s"], socket: %[1]s/run/s.sock}
process: {run_dir: %[1]s/run}
`, s.dir, s.addr(0), s.addr(1), s.addr(2), s.addr(3), s.addr(4), s.addr(5), php, interval, app), 0o644)
}

// phpFPM runs a php-fpm of its own and returns its socket.
func phpFPM(t *testing.T, dir string) string {
	t.Helper()
	program := ""
	for _, pattern := range []string{"/usr/sbin/php-fpm*", "/usr/bin/php-fpm*"} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			program = found[0]
		}
	}
	if program == "" {
		t.Skip("needs php-fpm: make tools")
	}
	socket := filepath.Join(dir, "php.sock")
	config := write(t, filepath.Join(dir, "php.conf"), fmt.Sprintf(`[global]
error_log = %[1]s/php.log
daemonize = no
[www]
user = nobody
group = nogroup
listen = %[2]s
listen.mode = 0666
pm = static
pm.max_children = 4
`, dir, socket), 0o644)
	c := exec.Command(program, "-F", "-R", "-y", config)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Process.Signal(os.Interrupt); c.Wait() })
	await(t, "php-fpm listens", 30*time.Second, func() bool {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return socket
}

// measure reads what the supervisor and each role's process hold.
func (s *leakSite) measure(t *testing.T) map[string]use {
	t.Helper()
	n := status(t, s.dir, "--socket", s.socket)[0]
	_, text, err := get(newPlainClient(), "http://"+s.addr(5)+"/metrics")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]use{}
	add := func(name string, pid, goroutines int) {
		fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		if err != nil {
			t.Fatal(err)
		}
		threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		if err != nil {
			t.Fatal(err)
		}
		out[name] = use{len(fds), len(threads), goroutines}
	}
	add("supervisor", n.Pid, 0)
	for _, r := range n.Roles {
		add(r.Role, r.Pid, int(metric(text, "go_goroutines", `role="`+r.Role+`"`)))
		if out[r.Role].goroutines == 0 {
			t.Fatalf("no go_goroutines of role %s", r.Role)
		}
	}
	return out
}

// settle waits until every process holds what it held before, within the slack.
func (s *leakSite) settle(t *testing.T, before map[string]use) {
	t.Helper()
	var after map[string]use
	ok := func() bool {
		after = s.measure(t)
		for name, u := range after {
			if !u.within(before[name]) {
				return false
			}
		}
		return true
	}
	deadline := time.Now().Add(30 * time.Second)
	for !ok() && time.Now().Before(deadline) {
		time.Sleep(200 * time.Millisecond) // until connections that the peers closed are gone
	}
	for name, u := range after {
		if !u.within(before[name]) {
			t.Errorf("%s: %v, before: %v; open now:\n%s", name, u, before[name], s.descriptors(t, name))
		} else {
			t.Logf("%s: %v, before: %v", name, u, before[name])
		}
	}
}

// descriptors lists what a process has open, most frequent first enough to name a leak.
func (s *leakSite) descriptors(t *testing.T, name string) string {
	n := status(t, s.dir, "--socket", s.socket)[0]
	pid := n.Pid
	for _, r := range n.Roles {
		if r.Role == name {
			pid = r.Pid
		}
	}
	var b strings.Builder
	fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, fd := range fds {
		to, _ := os.Readlink(fd)
		fmt.Fprintf(&b, "%s %s\n", filepath.Base(fd), to)
	}
	return b.String()
}

// kinds are the requests of the test. Each opens a connection of its own and leaves it as
// its name says.
func (s *leakSite) kinds() map[string]func() error {
	ask := func(conn net.Conn, head, body string) (string, error) {
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.WriteString(conn, head+"\r\nHost: localhost\r\nContent-Length: "+strconv.Itoa(len(body))+"\r\n\r\n"+body); err != nil {
			return "", err
		}
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			return "", err
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err == nil && response.StatusCode != 200 {
			err = fmt.Errorf("answered %s: %s", response.Status, text)
		}
		return string(text), err
	}
	expect := func(head, body, want string) error {
		conn, err := net.Dial("tcp", s.addr(0))
		if err != nil {
			return err
		}
		got, err := ask(conn, head, body)
		if err == nil && !strings.HasPrefix(got, want) {
			err = fmt.Errorf("answered %.60q, want %q", got, want)
		}
		return err
	}
	secure := &tls.Config{RootCAs: s.ca, ServerName: "localhost"}
	cut := func(send string) error {
		conn, err := net.Dial("tcp", s.addr(0))
		if err != nil {
			return err
		}
		io.WriteString(conn, send)
		conn.(*net.TCPConn).SetLinger(0) // a reset, in the middle
		return conn.Close()
	}
	return map[string]func() error{
		"static":     func() error { return expect("GET / HTTP/1.1", "", "small") },
		"FastCGI":    func() error { return expect("POST /hello.php HTTP/1.1", "12345", "php 5") },
		"proxy":      func() error { return expect("POST /app/x HTTP/1.1", strings.Repeat("x", 40000), "app 40000") },
		"large file": func() error { return expect("GET /large.bin HTTP/1.1", "", "large") },
		"cut head":   func() error { return cut("GET / HTT") },
		"cut body":   func() error { return cut("POST /app/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nhalf") },
		"cut chunked": func() error {
			return cut("POST /hello.php HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal")
		},
		"cut answer":  func() error { return cut("GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n") },
		"bad request": func() error { return cut("\x16\x03\x01 GET\r\n\r\n") },
		"silence":     func() error { return cut("") },
		"TLS": func() error {
			conn, err := tls.Dial("tcp", s.addr(1), secure)
			if err != nil {
				return err
			}
			_, err = ask(conn, "GET / HTTP/1.1", "")
			return err
		},
		"cut handshake": func() error {
			conn, err := net.Dial("tcp", s.addr(1))
			if err != nil {
				return err
			}
			conn.Write([]byte{22, 3, 1, 1, 0, 1, 0})
			return conn.Close()
		},
		"refused handshake": func() error {
			conn, err := tls.Dial("tcp", s.addr(1), &tls.Config{ServerName: "localhost"}) // trusts nobody here
			if err == nil {
				conn.Close()
				return fmt.Errorf("a handshake without trust succeeded")
			}
			return nil
		},
	}
}

// work spreads n requests of all kinds over workers; kept ones go on beside them.
func (s *leakSite) work(t *testing.T, n int) {
	t.Helper()
	var kinds []func() error
	var names []string
	for name, kind := range s.kinds() {
		kinds, names = append(kinds, kind), append(names, name)
	}
	var next, failed atomic.Int64
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			for i := int(next.Add(1)); i <= n; i = int(next.Add(1)) {
				k := i % len(kinds)
				if names[k] == "large file" && i%10 != 0 {
					k = (k + 1) % len(kinds) // 6 MiB are enough now and then
				}
				if err := kinds[k](); err != nil && failed.Add(1) <= 5 {
					t.Errorf("%s: %v", names[k], err)
				}
			}
		})
	}
	kept := startLoad(s.addr(0), "/", 500)
	group.Wait()
	if _, failed, failures := kept.end(); failed > 0 {
		t.Errorf("%d kept requests failed: %v", failed, failures)
	}
}

// sql opens n connections to the database through the balancer, one after the other;
// every third ends without saying so, inside a transaction.
func (s *leakSite) sql(t *testing.T, n int) {
	t.Helper()
	ca := filepath.Join(s.dir, "secrets/ca.crt")
	client := func(statements string) *exec.Cmd {
		_, port, _ := net.SplitHostPort(s.addr(2))
		return exec.Command("mariadb", "--no-defaults", "--host", "127.0.0.1", "--port", port, "--ssl-ca", ca, "--user", "root",
			"--password="+s.password, "--unbuffered", "--execute", statements)
	}
	if _, err := exec.LookPath("mariadb"); err != nil {
		t.Skip("needs mariadb: make tools")
	}
	if out, err := client("CREATE TABLE IF NOT EXISTS shop.t (id BIGINT AUTO_INCREMENT PRIMARY KEY, v INT)").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for i := range n {
		switch i % 3 {
		case 0, 1:
			if out, err := client("INSERT INTO shop.t (v) VALUES (1); SELECT COUNT(*) FROM shop.t").CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		case 2:
			c := client("BEGIN; INSERT INTO shop.t (v) VALUES (2); SELECT 'open'; SELECT SLEEP(60)")
			out, err := c.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || !strings.Contains(line, "open") {
				t.Fatalf("the transaction did not open: %q %v", line, err)
			}
			c.Process.Kill()
			c.Wait()
		}
	}
}

// TestNoLeak: 10,000 requests of all kinds, 20 reloads and 3 upgrades leave every process
// with what it had.
func TestNoLeak(t *testing.T) {
	s := newLeakSite(t)
	s.work(t, 1000)
	s.sql(t, 6)
	await(t, "the warm-up's connections are gone", 30*time.Second, func() bool { return s.idle(t) })
	before := s.measure(t)

	t.Run("10,000 requests", func(t *testing.T) {
		s.work(t, 10000)
		s.sql(t, 30)
		s.settle(t, before)
	})
	t.Run("20 reloads", func(t *testing.T) {
		text, err := os.ReadFile(filepath.Join(s.dir, "site.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		for i := range 20 {
			next := strings.Replace(string(text), "interval: 1s", "interval: "+strconv.Itoa(i%2+1)+"s", 1)
			if i%4 == 3 { // and now and then another listener
				next = strings.Replace(next, `bind: ["`+s.addr(0)+`"]`, `bind: ["`+s.addr(0)+`", "`+s.addr(9)+`"]`, 1)
			}
			if i == 19 {
				next = string(text)
			}
			write(t, filepath.Join(s.dir, "site.yaml"), next, 0o644)
			must(t, s.dir, "reload", "--socket", s.socket)
			if err := once(s.addr(0)); err != nil {
				t.Error(err)
			}
		}
		s.settle(t, before)
	})
	t.Run("3 upgrades", func(t *testing.T) {
		for range 3 {
			old := status(t, s.dir, "--socket", s.socket)[0]
			must(t, s.dir, "upgrade", "--socket", s.socket)
			await(t, "the old generation has ended", 30*time.Second, func() bool {
				n, ok := s.status(t)
				if !ok || n.Generation != old.Generation+1 || !n.Ready {
					return false
				}
				for i, r := range n.Roles {
					if len(r.Draining) > 0 || r.Pid == old.Roles[i].Pid {
						return false
					}
				}
				return true
			})
			for _, r := range old.Roles {
				if _, err := os.Stat(fmt.Sprintf("/proc/%d", r.Pid)); err == nil {
					t.Errorf("process %d of %s lives after the upgrade", r.Pid, r.Role)
				}
			}
		}
		s.work(t, 1000)
		s.sql(t, 3)
		s.settle(t, before)
		if children := childrenOf(t, s.supervisor.cmd.Process.Pid); len(children) != 3 {
			t.Errorf("children %v, want one per role", children)
		}
	})
}

// status is status for a moment at which the control socket may be silent.
func (s *leakSite) status(t *testing.T) (nodeStatus, bool) {
	t.Helper()
	if _, code := run(t, s.dir, "status", "--socket", s.socket); code != 0 {
		return nodeStatus{}, false
	}
	return status(t, s.dir, "--socket", s.socket)[0], true
}

// childrenOf lists the living children of a process, whichever of its threads made them.
func childrenOf(t *testing.T, pid int) (children []int) {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil || len(tasks) == 0 {
		t.Fatalf("no tasks of process %d (%v)", pid, err)
	}
	for _, task := range tasks {
		list, _ := os.ReadFile(task) // a thread may have ended meanwhile
		for _, child := range strings.Fields(string(list)) {
			n, _ := strconv.Atoi(child)
			children = append(children, n)
		}
	}
	return children
}

// idle says whether no client is connected.
func (s *leakSite) idle(t *testing.T) bool {
	t.Helper()
	_, text, err := get(newPlainClient(), "http://"+s.addr(5)+"/metrics")
	return err == nil && metric(text, "stack_lb_frontend_connections") == 0 && metric(text, "stack_db_connections") == 0
}
