package lb

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"stack/appliance/config"
	"stack/appliance/sockets"
	"stack/appliance/supervise"
	"stack/roles/internal/freeport"
)

// bench is a balancer on loopback with real sockets, as a child process would run it.
type bench struct {
	t       *testing.T
	role    *Role
	node    *config.Node
	sockets *sockets.Set
	reg     *prometheus.Registry
	logs    *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}
func (l *lockedBuffer) String() string { l.mu.Lock(); defer l.mu.Unlock(); return l.b.String() }

const testLoops = 2

// timeouts are those of the defaults, short enough that a hanging test ends.
func timeouts() config.Timeouts {
	return config.Timeouts{RequestHead: 5 * time.Second, Idle: 30 * time.Second, Body: 10 * time.Second, Connect: 2 * time.Second,
		Response: 10 * time.Second, Tunnel: 30 * time.Second, Drain: 10 * time.Second, TunnelDrain: 10 * time.Second}
}

func limits() config.Limits {
	return config.Limits{HeadBytes: 16 << 10, Headers: 100, Connections: 10000, BufferBytes: 16 << 10}
}

// node completes what Resolve would complete.
func node(lb config.LB) *config.Node {
	if lb.Loops == 0 {
		lb.Loops = testLoops
	}
	if lb.Timeouts == (config.Timeouts{}) {
		lb.Timeouts = timeouts()
	}
	if lb.Limits == (config.Limits{}) {
		lb.Limits = limits()
	}
	return &config.Node{Name: "lb1", Site: "www.example.com", Roles: []string{"lb"}, LB: &lb}
}

func freePort(t testing.TB) netip.AddrPort {
	t.Helper()
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(freeport.TCP(t)))
}

func listen(addr netip.AddrPort) []config.Listen { return []config.Listen{{Addr: addr}} }

func backend(name string, servers ...config.Server) config.Backend {
	return config.Backend{Name: name, Mode: "http", Servers: servers, Retries: config.Retries{Attempts: 2, When: []string{"connect"}}}
}

func at(name, addr string) config.Server { return config.Server{Name: name, Address: addr, Weight: 1} }

func start(t *testing.T, lb config.LB) *bench {
	t.Helper()
	return startOn(t, func(*config.Node) {}, lb)
}

// startOn is start on a node that change has completed.
func startOn(t *testing.T, change func(*config.Node), lb config.LB) *bench {
	t.Helper()
	b := &bench{t: t, node: node(lb), logs: &lockedBuffer{}}
	change(b.node)
	var binds []config.Bind
	for _, f := range lb.Frontends {
		for _, l := range f.Bind {
			binds = append(binds, config.Bind{Role: "lb", Owner: f.Name, Addr: l.Addr, Group: b.node.LB.Loops})
		}
	}
	var err error
	if b.sockets, err = sockets.Open(binds); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.sockets.Close() })
	b.role, b.reg = newRole(t, b.logs)
	b.reload(b.node)
	return b
}

func newRole(t *testing.T, logs io.Writer) (*Role, *prometheus.Registry) {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	r, err := New(supervise.Env{Node: "lb1", Role: "lb", Log: slog.New(slog.NewTextHandler(logs, nil)), Metrics: reg})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return r.(*Role), reg
}

func (b *bench) reload(n *config.Node) {
	b.t.Helper()
	ch, err := b.role.Prepare(context.Background(), n, b.sockets)
	if err != nil {
		b.t.Fatal(err)
	}
	ch.Commit()
	b.node = n
}

// simple is one HTTP frontend before one pool.
func simple(t *testing.T, servers ...config.Server) (config.LB, netip.AddrPort) {
	addr := freePort(t)
	return config.LB{Frontends: []config.Frontend{{Name: "http", Mode: "http", Bind: listen(addr), Backend: "web"}},
		Backends: []config.Backend{backend("web", servers...)}}, addr
}

// serve starts a real HTTP server; the result is host:port.
func serve(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h}
	go srv.Serve(ln)
	t.Cleanup(func() { srv.Close() })
	return ln.Addr().String()
}

// named answers with its name.
func named(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, name) }
}

// refusing is an address that refuses connections: its port is bound, so that nobody else
// takes it, and nobody listens.
func refusing(t testing.TB) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(sa.(*unix.SockaddrInet4).Port)).String()
}

// get asks once, on a connection of its own.
func get(t testing.TB, url string) (status int, body string) {
	t.Helper()
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	r, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(text)
}

// curl runs the real one.
func curl(t testing.TB, stdin io.Reader, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("curl is not installed")
	}
	cmd := exec.Command(path, append([]string{"-sS", "--max-time", "30"}, args...)...)
	cmd.Stdin = stdin
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		t.Fatalf("curl %v: %v: %s", args, err, problems.String())
	}
	return out.String()
}

func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(25 * time.Second); !cond(); {
		if time.Now().After(end) {
			t.Fatalf("not so after 25 s: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// metric sums the samples of a metric whose labels include all of want (name, value…).
func (b *bench) metric(name string, want ...string) (sum float64) {
	b.t.Helper()
	families, err := b.reg.Gather()
	if err != nil {
		b.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			has := map[string]string{}
			for _, l := range m.GetLabel() {
				has[l.GetName()] = l.GetValue()
			}
			ok := true
			for i := 0; i < len(want); i += 2 {
				ok = ok && has[want[i]] == want[i+1]
			}
			if ok {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return sum
}
