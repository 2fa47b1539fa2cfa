package admin

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"stack/appliance/config"
	"stack/appliance/supervise"
)

// fakeNode stands in for the supervisor.
type fakeNode struct {
	cfg     *config.Node
	mu      sync.Mutex
	status  supervise.NodeStatus
	refuse  error
	stopped bool
}

func (n *fakeNode) Name() string         { return n.cfg.Name }
func (n *fakeNode) Config() *config.Node { return n.cfg }
func (n *fakeNode) Status() supervise.NodeStatus {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.status
}
func (n *fakeNode) Gather(context.Context) ([]*dto.MetricFamily, error) {
	r := prometheus.NewRegistry()
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "stack_lb_requests_total", Help: "Requests."})
	c.Add(3)
	r.MustRegister(c)
	return r.Gather()
}
func (n *fakeNode) Reload(context.Context) error { return n.refuse }
func (n *fakeNode) Upgrade(context.Context) error {
	if n.refuse != nil {
		return n.refuse
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.status.Generation++
	n.status.Roles = []supervise.RoleStatus{{Role: "lb", Pid: 99, Ready: true}}
	return nil
}
func (n *fakeNode) Stop() { n.stopped = true }
func (n *fakeNode) Role(name string) http.Handler {
	if name != "lb" {
		return nil
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, `"`+r.URL.Path+`"`) })
}

// serveNode runs the interface of n and returns its Unix client and TCP address.
func serveNode(t *testing.T, n *fakeNode) (*Client, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), n.cfg.Name+".sock")
	unix, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		New(n, slog.New(slog.DiscardHandler)).Serve(ctx, unix, []net.Listener{tcp})
		close(ended)
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return NewClient(path), tcp.Addr().String()
}

func newFake() *fakeNode {
	return &fakeNode{
		cfg: &config.Node{Name: "lb1", Roles: []string{"lb"}, Members: []config.Member{{Name: "lb1", Roles: []string{"lb"}, Address: netip.MustParseAddr("127.0.0.1")}}},
		status: supervise.NodeStatus{Node: "lb1", Version: "v1", Fingerprint: "abc", Ready: true, Generation: 1, Pid: 42,
			Roles: []supervise.RoleStatus{{Role: "lb", Pid: 43, Ready: true, Text: "2 of 2 servers up"}}},
	}
}

func TestCommandsOverTheUnixSocket(t *testing.T) {
	n := newFake()
	client, _ := serveNode(t, n)
	ctx := context.Background()
	var st Status
	if err := client.Get(ctx, "/v1/status", &st); err != nil || st.Node != "lb1" || len(st.Members) != 1 || st.Members[0].State != "self" {
		t.Fatalf("%+v %v", st, err)
	}
	if err := client.Post(ctx, "/v1/reload", nil, nil); err != nil {
		t.Error(err)
	}
	var path string
	if err := client.Get(ctx, "/v1/lb/backends", &path); err != nil || path != "/v1/lb/backends" {
		t.Errorf("%q %v", path, err)
	}
	if err := client.Get(ctx, "/v1/db/status", nil); err == nil || err.Error() != "node lb1 has no role db; it has lb" {
		t.Error(err)
	}
	if err := Upgrade(ctx, []*Client{client}); err != nil {
		t.Error(err)
	}
	n.refuse = errors.New("site.yaml:2:3: no such key")
	if err := client.Post(ctx, "/v1/reload", nil, nil); err == nil || err.Error() != n.refuse.Error() {
		t.Errorf("got %v, want the node's own words", err)
	}
	if err := Upgrade(ctx, []*Client{client}); err == nil || err.Error() != n.refuse.Error() {
		t.Errorf("got %v, want the node's own words", err)
	}
	if err := client.Post(ctx, "/v1/stop", nil, nil); err != nil || !n.stopped {
		t.Errorf("stop: %v", err)
	}
}

func TestTheNetworkMayOnlyRead(t *testing.T) {
	n := newFake()
	n.refuse = errors.New("reached")
	_, addr := serveNode(t, n)
	for _, path := range []string{"/v1/reload", "/v1/upgrade", "/v1/stop", "/v1/status", "/v1/lb/servers/a/b/drain"} {
		for _, method := range []string{"GET", "POST"} {
			request, _ := http.NewRequest(method, "http://"+addr+path, nil)
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.StatusCode != 404 && response.StatusCode != 405 {
				t.Errorf("%s %s over TCP: %s", method, path, response.Status)
			}
		}
	}
	for path, want := range map[string]int{"/livez": 200, "/readyz": 200, "/primary": 503, "/replica": 503, "/metrics": 200, "/v1/member": 200} {
		response, err := http.Get("http://" + addr + path)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("%s: %s", path, response.Status)
		}
		if path == "/metrics" {
			for _, name := range []string{"stack_lb_requests_total 3", `stack_node_info{fingerprint="abc",version="v1"} 1`, "stack_host_cpu_seconds_total"} {
				if !strings.Contains(string(text), name) {
					t.Errorf("no %s in the metrics", name)
				}
			}
		}
	}
	n.mu.Lock()
	n.status.Ready = false
	n.mu.Unlock()
	response, err := http.Get("http://" + addr + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != 503 {
		t.Errorf("/readyz of a node that is not ready: %s", response.Status)
	}
}

// A node sees that another one runs a different file.
func TestMembersTellADifferentConfig(t *testing.T) {
	other := newFake()
	other.cfg.Name, other.status.Node, other.status.Fingerprint = "lb2", "lb2", "other"
	_, addr := serveNode(t, other)
	n := newFake()
	port := netip.MustParseAddrPort(addr)
	n.cfg.Admin.Bind = []config.Listen{{Addr: port}}
	n.cfg.Members = append(n.cfg.Members, config.Member{Name: "lb2", Roles: []string{"lb"}, Address: port.Addr()},
		config.Member{Name: "gone", Roles: []string{"web"}, Address: netip.MustParseAddr("127.0.0.99")})
	s := newSite(n)
	s.ask(context.Background())
	var got []string
	for _, m := range s.members() {
		got = append(got, m.Name+" "+m.State+map[bool]string{true: " same", false: " differs"}[m.SameConfig])
	}
	if strings.Join(got, ", ") != "lb1 self same, lb2 ready differs, gone unreachable differs" {
		t.Error(got)
	}
}

func TestClientSaysWhatIsWrong(t *testing.T) {
	err := NewClient(filepath.Join(t.TempDir(), "none.sock")).Get(context.Background(), "/v1/status", nil)
	if err == nil || !strings.Contains(err.Error(), "is stack running?") {
		t.Error(err)
	}
}

func TestTable(t *testing.T) {
	now := time.Unix(1000, 0)
	st := Status{NodeStatus: newFake().Status()}
	st.Since = now.Add(-90 * time.Second)
	st.ReloadError = "stack.yaml:1:1: bad"
	st.Roles[0].Since, st.Roles[0].Draining = now.Add(-5*time.Second), []int{7}
	st.Roles[0].Detail = []byte(`{"backends":[{"name":"web","servers":[{"name":"web1","address":"10.0.0.21:8080","up":true,"admin":"drain","weight":2,"in_flight":3}]},
		{"name":"mysql-primary","servers":[{"name":"db1","address":"10.0.0.31:3306","up":true,"in_rotation":true,"admin":"ready","weight":1,"reason":"primary of epoch 64"},
		{"name":"db2","address":"10.0.0.32:3306","up":true,"admin":"ready","weight":1,"reason":"replica of db1, epoch 64, lag 0s"},
		{"name":"db3","address":"10.0.0.33:3306","admin":"ready","weight":1,"reason":"connection refused"}]}]}`)
	st.Members = []Member{{Name: "lb1", Roles: []string{"lb"}, State: "self", SameConfig: true, Fingerprint: "abc"}, {Name: "web1", Roles: []string{"web"}, State: "ready", Fingerprint: "xyz", Seen: now.Add(-3 * time.Second)}}
	var out strings.Builder
	if err := WriteTable(&out, []Status{st}, now); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"node lb1  pid 42  up 1m  version v1  config abc",
		"the last reload was refused, the config before it still serves: stack.yaml:1:1: bad",
		"2 of 2 servers up (1 older generation(s) draining)",
		"web            web1    10.0.0.21:8080  up, drain     2       3",
		"mysql-primary  db1     10.0.0.31:3306  up            1       0          primary of epoch 64",
		"mysql-primary  db2     10.0.0.32:3306  up, not used  1       0          replica of db1, epoch 64, lag 0s",
		"mysql-primary  db3     10.0.0.33:3306  DOWN          1       0          connection refused",
		"xyz DIFFERS", "3s ago",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

// Clients that ask and never read must not take the places of all others.
func TestClientThatDoesNotReadIsCut(t *testing.T) {
	s := New(newFake(), slog.New(slog.DiscardHandler))
	if s.open.WriteTimeout <= gatherTimeout {
		t.Fatalf("an answer may take %v", s.open.WriteTimeout)
	}
	s.open.WriteTimeout = 100 * time.Millisecond
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		s.Serve(ctx, nil, []net.Listener{tcp})
		close(ended)
	}()
	defer func() { cancel(); <-ended }()
	c, err := net.Dial("tcp", tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	asked := []byte(strings.Repeat("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", 1000))
	for err == nil { // until the server gives up
		_, err = c.Write(asked)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection is still open")
	}
}
