package supervise

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"stack/appliance/config"
)

// site is a supervisor under test, in a process of its own.
type site struct {
	t       *testing.T
	dir     string
	binary  string // what it runs and upgrades to
	nodes   []*config.Node
	cmd     *exec.Cmd
	log     *logBuffer
	environ []string
	sys     *syscall.SysProcAttr
	exited  chan struct{}
	err     error
}

type logBuffer struct {
	mu  sync.Mutex
	b   bytes.Buffer
	chg chan struct{}
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b.Write(p)
	close(l.chg)
	l.chg = make(chan struct{})
	return len(p), nil
}

func (l *logBuffer) snapshot() (string, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String(), l.chg
}

// freePort is below the range from which the kernel takes ports for clients and for listeners
// of others: it stays free until it is used.
func freePort(t *testing.T) int {
	t.Helper()
	for range 1000 {
		port := 10000 + rand.IntN(10000)
		l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", port))
		if err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}

// newSite describes a node with the roles db, web and lb, each on its own port.
func newSite(t *testing.T, names ...string) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), log: &logBuffer{chg: make(chan struct{})}, exited: make(chan struct{})}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s.binary = filepath.Join(s.dir, "stack")
	s.install(self)
	if len(names) == 0 {
		names = []string{"n1"}
	}
	for _, name := range names {
		s.nodes = append(s.nodes, s.node(name, "db", "web", "lb"))
	}
	s.write()
	return s
}

// install replaces the binary the way a package does: a new file renamed over the old.
func (s *site) install(from string) {
	s.t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(s.binary+".new", b, 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(s.binary+".new", s.binary); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) node(name string, roles ...string) *config.Node {
	n := &config.Node{Name: name, Site: filepath.Join(s.dir, name), Roles: roles, Fingerprint: "one"}
	n.Process = config.Process{StopTimeout: 5 * time.Second, StartTimeout: 10 * time.Second}
	n.Admin.Socket = filepath.Join(s.dir, name+".sock")
	n.Log.Format = "json"
	for _, r := range roles {
		s.bind(n, r, 1)
	}
	return n
}

func (s *site) bind(n *config.Node, role string, group int) netip.AddrPort {
	a := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(freePort(s.t)))
	n.Binds = append(n.Binds, config.Bind{Role: role, Owner: role, Addr: a, Group: group})
	return a
}

func (s *site) write() {
	s.t.Helper()
	b, err := json.Marshal(s.nodes)
	if err == nil {
		err = os.WriteFile(filepath.Join(s.dir, "config.json"), b, 0o600)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) addr(role string) string {
	for _, b := range s.nodes[0].Binds {
		if b.Role == role {
			return b.Addr.String()
		}
	}
	s.t.Fatalf("no bind of %s", role)
	return ""
}

// launch starts the supervisor and returns when it serves.
func (s *site) launch() *site {
	s.t.Helper()
	s.begin()
	s.waitLog(`"msg":"started"`)
	return s
}

func (s *site) begin() {
	s.t.Helper()
	s.cmd = exec.Command(s.binary, "supervisor", s.dir)
	s.cmd.Stderr, s.cmd.Stdout = s.log, s.log
	s.cmd.Env = append(os.Environ(), s.environ...)
	s.cmd.SysProcAttr = s.sys
	s.cmd.WaitDelay = 5 * time.Second
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() {
		s.err = s.cmd.Wait()
		close(s.exited)
	}()
	s.t.Cleanup(func() {
		s.cmd.Process.Kill()
		<-s.exited
		if s.logged("DATA RACE") {
			s.t.Error("the race detector found something in a process of this test")
		}
		if s.t.Failed() {
			text, _ := s.log.snapshot()
			s.t.Logf("log of the supervisor:\n%s", text[max(0, len(text)-12000):])
		}
	})
}

// waitLog waits for a text in the log.
func (s *site) waitLog(text string) { s.t.Helper(); s.waitLogs(text, 1) }

func (s *site) waitLogs(text string, times int) {
	s.t.Helper()
	late := time.After(time.Minute)
	for {
		all, changed := s.log.snapshot()
		if strings.Count(all, text) >= times {
			return
		}
		select {
		case <-changed:
		case <-s.exited:
			s.t.Fatalf("the supervisor ended (%v) before it logged %q", s.err, text)
		case <-late:
			s.t.Fatalf("never logged %q %d times", text, times)
		}
	}
}

func (s *site) logged(text string) bool {
	all, _ := s.log.snapshot()
	return strings.Contains(all, text)
}

// wait waits for the end of the supervisor.
func (s *site) wait(d time.Duration) error {
	s.t.Helper()
	select {
	case <-s.exited:
		return s.err
	case <-time.After(d):
		s.t.Fatalf("the supervisor still runs after %s", d)
		return nil
	}
}

func (s *site) signal(sig os.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// client is a kept connection to a role.
type client struct {
	c net.Conn
	r *bufio.Reader
}

func dial(addr string) (*client, error) {
	c, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		return nil, err
	}
	return &client{c, bufio.NewReader(c)}, nil
}

func (c *client) ask(cmd string) (string, error) {
	c.c.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(c.c, cmd+"\n"); err != nil {
		return "", err
	}
	a, err := c.r.ReadString('\n')
	return strings.TrimSpace(a), err
}

// who asks a role, over a new connection, who answers.
func (s *site) ask(role, cmd string) string {
	s.t.Helper()
	c, err := dial(s.addr(role))
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.c.Close()
	a, err := c.ask(cmd)
	if err != nil {
		s.t.Fatalf("%s of %s: %v", cmd, role, err)
	}
	return a
}

func (s *site) pid(role string) int {
	s.t.Helper()
	pid, err := strconv.Atoi(strings.Fields(s.ask(role, "who"))[0])
	if err != nil {
		s.t.Fatal(err)
	}
	return pid
}

// admin does a request on the control socket.
func (s *site) admin(method, path string) (int, []byte, error) {
	h := &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", s.nodes[0].Admin.Socket)
		},
	}}
	req, err := http.NewRequest(method, "http://node"+path, nil)
	if err != nil {
		return 0, nil, err
	}
	res, err := h.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, b, err
}

func (s *site) mustAdmin(method, path string) []byte {
	s.t.Helper()
	code, b, err := s.admin(method, path)
	if err != nil || code != 200 {
		s.t.Fatalf("%s %s: %d %s %v", method, path, code, b, err)
	}
	return b
}

func (s *site) status() NodeStatus {
	s.t.Helper()
	var st NodeStatus
	if err := json.Unmarshal(s.mustAdmin("GET", "/v1/status"), &st); err != nil {
		s.t.Fatal(err)
	}
	return st
}

// eventually waits until ok holds; the state of processes has no event to wait for.
func (s *site) eventually(what string, ok func() bool) {
	s.t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("never: %s", what)
		}
	}
}

// families reads the node's metrics by name.
func (s *site) families() map[string]*dto.MetricFamily {
	s.t.Helper()
	list, err := decodeFamilies(s.mustAdmin("GET", "/metrics"))
	if err != nil {
		s.t.Fatal(err)
	}
	out := map[string]*dto.MetricFamily{}
	for _, f := range list {
		out[f.GetName()] = f
	}
	return out
}

// count is the value of stack_test_requests_total of a role.
func (s *site) count(role string) float64 {
	s.t.Helper()
	for _, m := range s.families()["stack_test_requests_total"].GetMetric() {
		if hasLabel(m, "role", role) {
			return m.Counter.GetValue()
		}
	}
	return 0
}

func hasLabel(m *dto.Metric, name, value string) bool {
	for _, l := range m.Label {
		if l.GetName() == name && l.GetValue() == value {
			return true
		}
	}
	return false
}

func alive(pid int) bool { return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) && !zombie(pid) }

func zombie(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return strings.HasPrefix(rest, "Z")
}
