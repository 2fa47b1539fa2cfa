package supervise

import (
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"stack/appliance/config"
)

func vipOf(addr string) config.VIP {
	return config.VIP{Name: "www", Addresses: []netip.Addr{addrOf(addr)}}
}

// manager stands in for systemd's notification socket.
type manager struct {
	t *testing.T
	c *net.UnixConn
}

func newManager(t *testing.T) (*manager, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &manager{t, c}, path
}

// next returns the next message that has an assignment.
func (m *manager) next(assignment string) string {
	m.t.Helper()
	m.c.SetReadDeadline(time.Now().Add(time.Minute))
	buf := make([]byte, 8192)
	for {
		n, err := m.c.Read(buf)
		if err != nil {
			m.t.Fatalf("systemd was never told %s: %v", assignment, err)
		}
		msg := string(buf[:n])
		if strings.HasPrefix(msg, assignment) {
			return msg
		}
	}
}

func TestNotifyProtocol(t *testing.T) {
	m, path := newManager(t)
	s := newSite(t)
	s.environ = []string{"NOTIFY_SOCKET=" + path, "WATCHDOG_USEC=200000"}
	s.begin()
	pid := "MAINPID=" + strconv.Itoa(s.cmd.Process.Pid)
	if got := m.next("READY=1"); got != "READY=1\n"+pid+"\nSTATUS=n1: db serving, web serving, lb serving" {
		t.Errorf("ready: %q", got)
	}
	m.next("WATCHDOG=1")
	m.next("WATCHDOG=1")
	s.signal(syscall.SIGHUP)
	got := m.next("RELOADING=1")
	lines := strings.Split(got, "\n")
	usec, err := strconv.ParseInt(strings.TrimPrefix(lines[1], "MONOTONIC_USEC="), 10, 64)
	if err != nil || usec <= 0 || lines[2] != "STATUS=reloading" {
		t.Errorf("reloading: %q", got)
	}
	m.next("READY=1")
	s.nodes[0].Fingerprint = "refuse-db"
	s.write()
	s.signal(syscall.SIGHUP)
	if got := m.next("READY=1"); !strings.HasSuffix(got, "STATUS=reload failed, the old config keeps serving: role db of n1: the config was told to be bad") {
		t.Errorf("after a failed reload: %q", got)
	}
	s.nodes[0].Fingerprint = "one"
	s.write()
	s.signal(syscall.SIGUSR2)
	if got := m.next("RELOADING=1"); !strings.HasSuffix(got, "STATUS=upgrading") {
		t.Errorf("upgrading: %q", got)
	}
	if got := m.next("READY=1"); !strings.Contains(got, pid) {
		t.Errorf("after the upgrade: %q", got)
	}
	m.next("WATCHDOG=1")
	s.signal(syscall.SIGTERM)
	if got := m.next("STOPPING=1"); got != "STOPPING=1\nSTATUS=stopping" {
		t.Errorf("stopping: %q", got)
	}
	if err := s.wait(time.Minute); err != nil {
		t.Fatal(err)
	}
}

// TestWatchdogIsFedByProgress: while a role makes none, systemd is not told otherwise.
func TestWatchdogIsFedByProgress(t *testing.T) {
	m, path := newManager(t)
	s := newSite(t)
	s.environ = []string{"NOTIFY_SOCKET=" + path, "WATCHDOG_USEC=40000"}
	s.launch()
	m.next("WATCHDOG=1")
	s.ask("web", "wedge")
	s.waitLog(`"of":"web","reason":"makes no progress"`) // the supervisor has looked
	for {                                                // what was on its way
		m.c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if _, err := m.c.Read(make([]byte, 8192)); err != nil {
			break
		}
	}
	buf := make([]byte, 8192)
	for !s.logged(`"msg":"watchdog: the role is restarted`) {
		m.c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		if n, err := m.c.Read(buf); err == nil && strings.HasPrefix(string(buf[:n]), "WATCHDOG=1") && !s.logged(`"msg":"watchdog: the role is restarted`) {
			t.Fatal("the watchdog was fed while a role made no progress")
		}
	}
	m.next("WATCHDOG=1") // and it is fed again when the role is back
}

// TestSocketActivation runs the supervisor the way systemd does: sockets on descriptor
// 3 and up, LISTEN_PID being the process itself (a shell execs it).
func TestSocketActivation(t *testing.T) {
	s := newSite(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s.nodes[0].Binds[2].Addr = l.Addr().(*net.TCPAddr).AddrPort()
	s.write()
	run := func(name string) {
		f, err := l.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		s.log = &logBuffer{chg: make(chan struct{})}
		s.exited = make(chan struct{})
		s.cmd = exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$0" supervisor "$1"`, s.binary, s.dir)
		s.cmd.Env = append(os.Environ(), "LISTEN_FDS=1", "LISTEN_FDNAMES="+name)
		s.cmd.ExtraFiles = []*os.File{f}
		s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
		if err := s.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		exited := s.exited
		cmd := s.cmd
		go func() { s.err = cmd.Wait(); close(exited) }()
		t.Cleanup(func() { cmd.Process.Kill(); <-exited })
	}
	run("web.web")
	s.wait(time.Minute)
	if s.err == nil || !s.logged(`socket "web.web" passed by systemd listens on `+l.Addr().String()+`, which the config gives to "lb.lb"; correct FileDescriptorName= or the address`) {
		t.Errorf("a wrong name: %v", s.err)
	}
	// The test's listener is still open: binding the address would fail.
	run("lb.lb")
	s.waitLog(`"msg":"started"`)
	s.ask("lb", "who")
	s.signal(syscall.SIGUSR2)
	s.waitLogs(`"msg":"started"`, 2)
	s.mustAdmin("POST", "/v1/reload")
	s.ask("lb", "who")
	s.signal(syscall.SIGTERM)
	if err := s.wait(time.Minute); err != nil {
		t.Fatal(err)
	}
	if !listening(l.Addr().String()) {
		t.Error("systemd's socket was shut")
	}
}
