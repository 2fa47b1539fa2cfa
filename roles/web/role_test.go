package web

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"stack/appliance/config"
	"stack/appliance/sockets"
	"stack/appliance/supervise"
)

// server is a running role with one listener on a free port.
type server struct {
	t        testing.TB
	role     *Role
	node     *config.Node
	sockets  *sockets.Set
	addr     string
	log      *logText
	registry *prometheus.Registry
	closed   bool
}

// logText keeps what was logged.
type logText struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// wait returns when the log holds text.
func (l *logText) wait(t testing.TB, text string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !strings.Contains(l.String(), text); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the log never said %q:\n%s", text, l.String())
		}
	}
}

func testWeb(sites ...config.WebSite) *config.Web {
	for i := range sites {
		complete(&sites[i])
	}
	return &config.Web{
		Loops: 2, Sites: sites, HealthPath: "/.stack/healthz",
		Timeouts: config.Timeouts{RequestHead: 5 * time.Second, Idle: 20 * time.Second, Body: 5 * time.Second, Connect: 2 * time.Second,
			Response: 5 * time.Second, Tunnel: time.Minute, Drain: 5 * time.Second, TunnelDrain: 5 * time.Second},
		Limits: config.Limits{HeadBytes: 16 << 10, Headers: 100, Connections: 4096, BufferBytes: 64 << 10, BodyBytes: 16 << 20},
	}
}

func testEnv(log *logText) supervise.Env {
	return supervise.Env{Node: "web1", Role: "web", Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
}

// serve starts the role.
func serve(t testing.TB, web *config.Web) *server {
	t.Helper()
	s, err := tryServe(t, web)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func tryServe(t testing.TB, web *config.Web) (*server, error) {
	t.Helper()
	s := &server{t: t, log: &logText{}, registry: prometheus.NewRegistry()}
	web.Bind = append(web.Bind, config.Listen{Addr: anyPort})
	s.node = &config.Node{Name: "web1", Site: "example.test", Web: web}
	env := testEnv(s.log)
	env.Metrics = s.registry
	role, err := New(env)
	if err != nil {
		t.Fatal(err)
	}
	s.role = role.(*Role)
	change, err := s.role.Prepare(t.Context(), s.node, s.listen())
	if err != nil {
		return s, err
	}
	change.Commit()
	t.Cleanup(s.close)
	return s, nil
}

var anyPort = netip.MustParseAddrPort("127.0.0.1:0")

// listen opens the sockets of the server.
func (s *server) listen() *sockets.Set {
	s.t.Helper()
	set, err := sockets.Open([]config.Bind{{Role: "web", Addr: anyPort, Group: 2}})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { set.Close() })
	at, err := sockets.LocalAddr(set.Get(anyPort)[0])
	if err != nil {
		s.t.Fatal(err)
	}
	s.sockets, s.addr = set, at.String()
	return set
}

func (s *server) close() {
	if !s.closed {
		s.closed = true
		if err := s.role.Close(); err != nil {
			s.t.Error(err)
		}
	}
}

func (s *server) reload(edit func(*config.Web)) error {
	web := *s.node.Web
	edit(&web)
	node := *s.node
	node.Web = &web
	change, err := s.role.Prepare(context.Background(), &node, s.sockets)
	if err != nil {
		return err
	}
	change.Commit()
	s.node = &node
	return nil
}

// answer is a response read to its end.
type answer struct {
	*http.Response
	body string
}

// get asks with Go's client, which does not follow redirects here.
func (s *server) get(method, path string, fields ...string) answer {
	s.t.Helper()
	return s.send(method, path, nil, fields...)
}

func (s *server) send(method, path string, body io.Reader, fields ...string) answer {
	s.t.Helper()
	req, err := http.NewRequest(method, "http://"+s.addr+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		if name == "Host" {
			req.Host = value
		} else {
			req.Header.Add(name, value)
		}
	}
	res, err := client.RoundTrip(req)
	if err != nil {
		s.t.Fatalf("%s %s: %v\n%s", method, path, err, s.log)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer{res, string(b)}
}

var client = &http.Transport{MaxIdleConnsPerHost: 16, DisableCompression: true}

// raw sends bytes and returns the status line and the body of the answer.
func (s *server) raw(head string) string {
	s.t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, head); err != nil {
		s.t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err.Error()
	}
	b, _ := io.ReadAll(res.Body)
	return fmt.Sprintf("%d %s", res.StatusCode, b)
}

// curl runs the real one.
func (s *server) curl(args ...string) string {
	s.t.Helper()
	path, err := exec.LookPath("curl")
	if err != nil {
		s.t.Skip("curl is not installed")
	}
	for i, a := range args {
		args[i] = strings.ReplaceAll(a, "URL", "http://"+s.addr)
	}
	out, err := exec.Command(path, append([]string{"--silent", "--show-error", "--max-time", "20", "--path-as-is"}, args...)...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("curl %v: %v\n%s\n%s", args, err, out, s.log)
	}
	return string(out)
}

func writeFile(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// pattern is n bytes that differ from place to place.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i>>8) ^ byte(i*31)
	}
	return b
}
