package lb

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"stack/appliance/config"
)

// echo answers its name in a line, then what it receives.
func echo(t *testing.T, name string) (addr string, stop func()) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var open []net.Conn
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
			go func() {
				defer c.Close()
				io.WriteString(c, name+"\n")
				io.Copy(c, c)
			}()
		}
	}()
	t.Cleanup(func() {
		ln.Close()
		mu.Lock()
		defer mu.Unlock()
		for _, c := range open {
			c.Close()
		}
	})
	return ln.Addr().String(), func() { ln.Close() }
}

// session is a client's connection that has read the server's name.
type session struct {
	net.Conn
	r    *bufio.Reader
	name string
}

func dial(t *testing.T, addr string) *session {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	s := &session{Conn: c, r: bufio.NewReader(c)}
	line, err := s.r.ReadString('\n')
	if err != nil {
		t.Fatalf("session: %v", err)
	}
	s.name = strings.TrimSpace(line)
	return s
}

func (s *session) alive(t *testing.T) {
	t.Helper()
	io.WriteString(s, "ping\n")
	if line, err := s.r.ReadString('\n'); err != nil || line != "ping\n" {
		t.Errorf("session on %s: %q %v", s.name, line, err)
	}
}

func tcpLB(addr []config.Listen, servers ...config.Server) config.LB {
	b := backend("db", servers...)
	b.Mode = "tcp"
	return config.LB{Frontends: []config.Frontend{{Name: "mysql", Mode: "tcp", Bind: addr, Backend: "db"}}, Backends: []config.Backend{b}}
}

func TestTCPSessionsBalanceAndRetry(t *testing.T) {
	a, _ := echo(t, "a")
	b, _ := echo(t, "b")
	addr := freePort(t)
	lb := tcpLB(listen(addr), at("dead", refusing(t)), at("a", a), at("b", b))
	bench := start(t, lb)
	count := map[string]int{}
	for range 12 {
		s := dial(t, addr.String())
		s.alive(t)
		count[s.name]++
	}
	if count["a"] < 4 || count["b"] < 4 {
		t.Errorf("12 sessions went to %v", count)
	}
	// A long stream with a half-close: everything arrives, then the end.
	s := dial(t, addr.String())
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<18)
	go func() { s.Write(sent); s.Conn.(*net.TCPConn).CloseWrite() }()
	if got, err := io.ReadAll(s.r); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d of %d bytes came back: %v", len(got), len(sent), err)
	}
	if n := bench.metric("stack_lb_server_in_flight", "backend", "db"); n < 12 {
		t.Errorf("%v sessions counted in flight", n)
	}
}

// A server that goes down keeps the sessions that it still answers; new ones go elsewhere.
func TestTCPServerDownKeepsSessions(t *testing.T) {
	a, stopA := echo(t, "a")
	b, _ := echo(t, "b")
	addr := freePort(t)
	lb := tcpLB(listen(addr), at("a", a), at("b", b))
	lb.Backends[0].Check = config.Check{Type: "tcp", Interval: 50 * time.Millisecond, Timeout: time.Second, Rise: 1, Fall: 2}
	bench := start(t, lb)
	var onA *session
	for onA == nil {
		if s := dial(t, addr.String()); s.name == "a" {
			onA = s
		}
	}
	stopA()
	sa := bench.role.pools.Pool("db").Server("a")
	eventually(t, "a is down", func() bool { return !sa.Up() })
	for range 4 {
		if s := dial(t, addr.String()); s.name != "b" {
			t.Errorf("a new session went to %s", s.name)
		}
	}
	onA.alive(t)
	eventually(t, "the event is logged", func() bool { return strings.Contains(bench.logs.String(), `msg="server down"`) })
}

func TestTCPIdleTunnelEnds(t *testing.T) {
	a, _ := echo(t, "a")
	addr := freePort(t)
	lb := tcpLB(listen(addr), at("a", a))
	short := timeouts()
	short.Tunnel = 300 * time.Millisecond
	lb.Backends[0].Timeouts = &short
	start(t, lb)
	s := dial(t, addr.String())
	began := time.Now()
	s.alive(t)
	if _, err := s.r.ReadByte(); err == nil {
		t.Error("bytes out of nowhere")
	}
	if d := time.Since(began); d < 250*time.Millisecond || d > 10*time.Second {
		t.Errorf("ended after %v, the bound is 300 ms", d)
	}
}

func TestTCPNoServerCloses(t *testing.T) {
	addr := freePort(t)
	bench := start(t, tcpLB(listen(addr), at("a", refusing(t))))
	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if b, _ := io.ReadAll(c); len(b) != 0 {
		t.Errorf("%q", b)
	}
	eventually(t, "counted", func() bool { return bench.metric("stack_lb_frontend_errors_total", "frontend", "mysql") > 0 })
}

// The real thing: MariaDB behind the balancer, its own client in front.
func TestTCPWithMariaDB(t *testing.T) {
	for _, p := range []string{"mariadbd", "mariadb", "mariadb-install-db"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Skip(p + " is not installed")
		}
	}
	dir := t.TempDir()
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mariadb-install-db", "--no-defaults", "--user="+me.Username, "--datadir="+dir+"/data", "--tmpdir="+dir, "--auth-root-authentication-method=normal", "--skip-test-db").CombinedOutput(); err != nil {
		t.Fatalf("mariadb-install-db: %v\n%s", err, out)
	}
	server := freePort(t)
	logFile, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer logFile.Close()
	db := exec.Command("mariadbd", "--no-defaults", "--user="+me.Username, "--datadir="+dir+"/data", "--tmpdir="+dir, "--socket="+dir+"/s", "--pid-file="+dir+"/pid",
		"--bind-address=127.0.0.1", fmt.Sprintf("--port=%d", server.Port()), "--innodb-buffer-pool-size=8M")
	db.Stderr = logFile
	if err := db.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { db.Process.Signal(os.Interrupt); db.Process.Kill(); db.Wait() }()

	addr := freePort(t)
	lb := tcpLB(listen(addr), at("db1", server.String()))
	lb.Backends[0].Check = config.Check{Type: "tcp", Interval: 100 * time.Millisecond, Timeout: time.Second, Rise: 1, Fall: 2}
	bench := start(t, lb)
	eventually(t, "the database is up", func() bool {
		c, err := net.Dial("tcp", server.String())
		if err == nil {
			c.Close()
		}
		return err == nil && bench.role.pools.Pool("db").Usable()
	})
	sql := func(q string) string {
		out, err := exec.Command("mariadb", "--no-defaults", "--protocol=tcp", "-h", "127.0.0.1", "-P", fmt.Sprint(addr.Port()), "-u", "root", "-N", "-e", q).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return strings.TrimSpace(string(out))
	}
	sql("CREATE DATABASE d; CREATE TABLE d.t (i INT PRIMARY KEY, s LONGTEXT); INSERT INTO d.t VALUES (1, REPEAT('x', 3000000)), (2, 'y')")
	if got := sql("SELECT COUNT(*), SUM(LENGTH(s)) FROM d.t"); got != "2\t3000001" {
		t.Errorf("got %q", got)
	}
	if got := sql("SELECT s FROM d.t WHERE i = 1"); len(got) != 3000000 {
		t.Errorf("%d bytes of a large row", len(got))
	}
}
