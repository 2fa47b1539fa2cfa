package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// manager is the side of a service manager: it gave the sockets and hears what the
// service says on NOTIFY_SOCKET.
type manager struct {
	socket string
	mu     sync.Mutex
	heard  []string
}

func newManager(t *testing.T, dir string) *manager {
	t.Helper()
	m := &manager{socket: filepath.Join(dir, "notify")}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buf := make([]byte, 64<<10)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			m.mu.Lock()
			m.heard = append(m.heard, string(buf[:n]))
			m.mu.Unlock()
		}
	}()
	return m
}

// since counts messages, for await to look behind it.
func (m *manager) since() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.heard)
}

// await waits for a message after the first ones that holds every part.
func (m *manager) await(t *testing.T, after int, parts ...string) string {
	t.Helper()
	found := ""
	await(t, "notification "+strings.Join(parts, " "), 30*time.Second, func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
	next:
		for _, text := range m.heard[after:] {
			for _, part := range parts {
				if !strings.Contains("\n"+text+"\n", part) {
					continue next
				}
			}
			found = text
			return true
		}
		return false
	})
	return found
}

// listenFile opens a listening socket that a manager would pass on.
func listenFile(t *testing.T, addr string) *os.File {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// activated makes the command that a manager executes: LISTEN_PID is the service's own
// process, so a shell sets it and becomes the service.
func activated(s badSite, m *manager, names string, files []*os.File, args ...string) *exec.Cmd {
	c := exec.Command("sh", append([]string{"-c", `export LISTEN_PID=$$; exec "$0" "$@"`, binary}, args...)...)
	c.ExtraFiles = files
	c.Env = append(os.Environ(), "LISTEN_FDS="+strconv.Itoa(len(files)), "LISTEN_FDNAMES="+names)
	if m != nil {
		c.Env = append(c.Env, "NOTIFY_SOCKET="+m.socket, "WATCHDOG_USEC=400000")
	}
	return c
}

// inode is the identity of a listening socket: the same as long as nobody bound anew.
func inode(t *testing.T, addr string) string {
	t.Helper()
	_, port, _ := net.SplitHostPort(addr)
	n, _ := strconv.Atoi(port)
	text, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) > 9 && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", n)) && f[3] == "0A" {
			found = append(found, f[9])
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d sockets listen on %s, want one", len(found), addr)
	}
	return found[0]
}

// TestServiceManager runs the binary as systemd does, with sockets, notifications and the
// watchdog.
func TestServiceManager(t *testing.T) {
	s := newBadSite(t)
	m := newManager(t, s.dir)
	file := write(t, s.path("site.yaml"), s.config(goodWeb), 0o644)
	socket := s.path("run/s.sock")
	passed := listenFile(t, s.addr(0))
	p := startCommand(t, s.dir, activated(s, m, "web", []*os.File{passed}, "--config", file))
	passed.Close()
	pid := p.cmd.Process.Pid

	m.await(t, 0, "\nREADY=1\n", fmt.Sprintf("\nMAINPID=%d\n", pid), "STATUS=", "web serves")
	own := inode(t, s.addr(0))
	serves := func() {
		t.Helper()
		if code, body, err := get(newPlainClient(), "http://"+s.addr(0)+"/"); err != nil || code != 200 || body != "good" {
			t.Errorf("%d %v %q", code, err, body)
		}
		if now := inode(t, s.addr(0)); now != own {
			t.Errorf("the socket is %s, was %s: somebody bound the address anew", now, own)
		}
	}
	serves()
	m.await(t, m.since(), "\nWATCHDOG=1\n")

	mark := m.since()
	must(t, s.dir, "reload", "--socket", socket)
	m.await(t, mark, "\nRELOADING=1\n", "MONOTONIC_USEC=")
	m.await(t, mark, "\nREADY=1\n")
	serves()

	mark = m.since()
	write(t, file, "web: {}\n", 0o644)
	refuse(t, s.dir, attempt{args: []string{"reload", "--socket", socket}}, "web.sites")
	m.await(t, mark, "\nREADY=1\n", "STATUS=reload failed, the old config keeps serving: ")
	serves()
	write(t, file, s.config(goodWeb), 0o644)

	mark = m.since()
	must(t, s.dir, "upgrade", "--socket", socket)
	m.await(t, mark, "\nRELOADING=1\n")
	m.await(t, mark, "\nREADY=1\n", fmt.Sprintf("\nMAINPID=%d\n", pid))
	serves()
	m.await(t, m.since(), "\nWATCHDOG=1\n")

	// A role that makes no progress does not stop the watchdog's message for long: the
	// supervisor replaces the process, and systemd need not restart the service.
	n := status(t, s.dir, "--socket", socket)[0]
	if err := syscall.Kill(n.Roles[0].Pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	await(t, "the frozen process is replaced", 30*time.Second, func() bool {
		now := status(t, s.dir, "--socket", socket)[0]
		return now.Roles[0].Pid != n.Roles[0].Pid && now.Ready
	})
	m.await(t, m.since(), "\nWATCHDOG=1\n")
	serves()

	mark = m.since()
	p.cmd.Process.Signal(syscall.SIGTERM)
	m.await(t, mark, "\nSTOPPING=1\n")
	<-p.done
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit status %d after SIGTERM", code)
	}
}

// TestActivationByFirstConnection: the service starts because a client came, and answers
// that client.
func TestActivationByFirstConnection(t *testing.T) {
	if _, err := exec.LookPath("systemd-socket-activate"); err != nil {
		t.Skip("needs systemd-socket-activate: make tools")
	}
	s := newBadSite(t)
	file := write(t, s.path("site.yaml"), s.config(goodWeb), 0o644)
	startCommand(t, s.dir, exec.Command("systemd-socket-activate", "--listen="+s.addr(0), "--fdname=web.web", binary, "--config", file))
	client := &http.Client{Timeout: 30 * time.Second}
	await(t, "the socket is open", 30*time.Second, func() bool {
		conn, err := net.Dial("tcp", s.addr(0))
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	if code, body, err := get(client, "http://"+s.addr(0)+"/"); err != nil || code != 200 || body != "good" {
		t.Errorf("%d %v %q", code, err, body)
	}
}

// TestWrongSocketsAreRefused: sockets that do not fit the config are a mistake of the
// unit, not something to serve or to leave open.
func TestWrongSocketsAreRefused(t *testing.T) {
	s := newBadSite(t)
	file := write(t, s.path("site.yaml"), s.config(goodWeb), 0o644)
	for _, c := range []struct {
		name, fdname, addr string
		want               []string
	}{
		{"an address that the config does not name", "web", s.addr(7), []string{s.addr(7), "no bind of the config names", "remove its ListenStream="}},
		{"a name that belongs to another role", "lb.https", s.addr(0), []string{`"lb.https"`, s.addr(0), "correct FileDescriptorName="}},
	} {
		t.Run(c.name, func(t *testing.T) {
			passed := listenFile(t, c.addr)
			defer passed.Close()
			out, err := activated(s, nil, c.fdname, []*os.File{passed}, "--config", file).CombinedOutput()
			if err == nil {
				t.Error("it started and ended without an error")
			}
			oneSentence(t, "start", string(out), c.want...)
		})
	}
	t.Run("no socket", func(t *testing.T) {
		plain, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer plain.Close()
		out, err := activated(s, nil, "web", []*os.File{plain}, "--config", file).CombinedOutput()
		if err == nil {
			t.Error("it started and ended without an error")
		}
		oneSentence(t, "start", string(out), "not a socket", "remove it from the unit")
	})
}
