package lb

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stack/appliance/config"
	"stack/appliance/sockets"
)

// load runs requests on kept and on new connections until stop; what fails is told.
type load struct {
	sent, failed atomic.Int64
	first        atomic.Value // error of the first failure
	stop         chan struct{}
	wg           sync.WaitGroup
}

func startLoad(url string, workers int) *load {
	l := &load{stop: make(chan struct{})}
	for i := range workers {
		l.wg.Go(func() {
			tr := &http.Transport{DisableKeepAlives: i%2 == 1}
			defer tr.CloseIdleConnections()
			c := http.Client{Transport: tr, Timeout: 20 * time.Second}
			for {
				select {
				case <-l.stop:
					return
				default:
				}
				l.sent.Add(1)
				if err := once(&c, url); err != nil {
					l.failed.Add(1)
					l.first.CompareAndSwap(nil, err)
				}
			}
		})
	}
	return l
}

// once posts with a body that cannot be sent twice, so that the client's own retries
// do not hide a loss.
func once(c *http.Client, url string) error {
	q, err := http.NewRequest("POST", url, io.MultiReader(strings.NewReader("body")))
	if err != nil {
		return err
	}
	r, err := c.Do(q)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return err
	}
	if r.StatusCode != 200 {
		return fmt.Errorf("status %d", r.StatusCode)
	}
	return nil
}

func (l *load) end(t *testing.T) {
	t.Helper()
	close(l.stop)
	l.wg.Wait()
	t.Logf("%d requests", l.sent.Load())
	if n := l.failed.Load(); n > 0 || l.sent.Load() == 0 {
		t.Errorf("%d of %d requests failed, first: %v", n, l.sent.Load(), l.first.Load())
	}
}

func waitFor(t *testing.T, l *load, more int64) {
	t.Helper()
	n := l.sent.Load() + more
	eventually(t, "load goes on", func() bool { return l.sent.Load() >= n })
}

func TestReloadUnderLoad(t *testing.T) {
	answer := func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body); io.WriteString(w, "ok") }
	a, b, c := serve(t, answer), serve(t, answer), serve(t, answer)
	lb, addr := simple(t, at("a", a), at("b", b), at("dead", refusing(t)))
	lb.Backends[0].Check = config.Check{Type: "tcp", Interval: 100 * time.Millisecond, Timeout: time.Second, Rise: 2, Fall: 2}
	bench := start(t, lb)
	pool := bench.role.pools.Pool("web")
	eventually(t, "dead is out", func() bool { return !pool.Server("dead").Up() })
	pool.Server("b").SetAdmin(1)
	changes := bench.metric("stack_lb_server_state_changes_total")
	l := startLoad("http://"+addr.String()+"/x", 6)
	before := bench.metric("stack_lb_frontend_requests_total")
	for i := range 20 {
		next := lb
		f := lb.Frontends[0]
		next.Backends = []config.Backend{lb.Backends[0]}
		if i%2 == 0 { // another shape: routes, another pool, a server more and one less
			f.Backend = ""
			f.Routes = []config.Route{{Match: config.Match{PathPrefix: "/x"}, Backend: "other"}, {Backend: "web"}}
			next.Backends = append(next.Backends, backend("other", at("c", c), at("a", a)))
			next.Backends[0].Servers = []config.Server{at("a", a), at("dead", lb.Backends[0].Servers[2].Address), at("b", b)}
		}
		next.Frontends = []config.Frontend{f}
		bench.reload(node(next))
		waitFor(t, l, 50)
		if s := pool.Server("dead"); s == nil || s.Up() {
			t.Fatal("a reload sent traffic to a server that is known to be down")
		}
		if s := pool.Server("b"); s.Admin() != 1 {
			t.Fatal("a reload ended a drain")
		}
	}
	l.end(t)
	if n := bench.metric("stack_lb_frontend_requests_total"); n < before {
		t.Errorf("requests fell from %v to %v", before, n)
	}
	if n := bench.metric("stack_lb_server_state_changes_total", "backend", "web"); n != changes {
		t.Errorf("state changes went from %v to %v", changes, n)
	}
}

// A frontend that goes stops accepting; one that comes starts; the counters stay.
func TestReloadAddsAndRemovesFrontends(t *testing.T) {
	lb, addr := simple(t, at("a", serve(t, named("a"))))
	second := freePort(t)
	lb.Frontends = append(lb.Frontends, config.Frontend{Name: "second", Mode: "http", Bind: listen(second), Backend: "web"})
	bench := start(t, lb)
	for _, a := range []string{addr.String(), second.String()} {
		if status, _ := get(t, "http://"+a); status != 200 {
			t.Fatal(status)
		}
	}
	one := lb
	one.Frontends = lb.Frontends[:1]
	bench.reload(node(one))
	c, err := net.Dial("tcp", second.String()) // the supervisor holds the socket: the kernel accepts, nobody serves
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if n := bench.metric("stack_lb_frontend_connections_total", "frontend", "second"); n != 1 {
		t.Errorf("%v connections counted for a frontend that is gone, want the one before", n)
	}
	bench.reload(node(lb))
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if b, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 200") {
		t.Errorf("the connection that waited was not served: %q %v", b, err)
	}
	if n := bench.metric("stack_lb_frontend_connections_total", "frontend", "second"); n != 2 {
		t.Errorf("%v connections counted, want 2", n)
	}
}

func TestBadReloadChangesNothing(t *testing.T) {
	lb, addr := simple(t, at("a", serve(t, named("a"))))
	bench := start(t, lb)
	for want, change := range map[string]func(*config.LB){
		`lb: frontend http: there is no backend "nowhere"; write it under lb.backends`: func(lb *config.LB) { lb.Frontends[0].Backend = "nowhere" },
		`no listening socket for 127.0.0.1:1 was handed over`:                          func(lb *config.LB) { lb.Frontends[0].Bind = listen(freePortNumber(1)) },
		`server a: address "x" is not host:port or unix:/path`:                         func(lb *config.LB) { lb.Backends[0].Servers[0].Address = "x" },
		`access_log.path: cannot open /nonexistent/a`:                                  func(lb *config.LB) { lb.AccessLog = config.AccessLog{Enabled: true, Path: "/nonexistent/a"} },
		`lb.loops: 2 event loops run, the file asks for 3`:                             func(lb *config.LB) { lb.Loops = 3 },
		`frontend http: tls: `: func(lb *config.LB) {
			lb.Frontends[0].TLS = &config.BindTLS{Certificates: []config.CertFile{{Cert: "/nonexistent/c", Key: "/nonexistent/c"}}}
		},
	} {
		next := lb
		next.Frontends = append([]config.Frontend(nil), lb.Frontends...)
		next.Backends = append([]config.Backend(nil), lb.Backends...)
		next.Backends[0].Servers = append([]config.Server(nil), lb.Backends[0].Servers...)
		change(&next)
		_, err := bench.role.Prepare(context.Background(), node(next), bench.sockets)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got  %v\nwant …%s…", err, want)
		}
		if status, body := get(t, "http://"+addr.String()); status != 200 || body != "a" {
			t.Errorf("after a refused reload: %d %s", status, body)
		}
	}
	ch, err := bench.role.Prepare(context.Background(), node(config.LB{}), bench.sockets)
	if err != nil {
		t.Fatal(err)
	}
	ch.Abort()
	if status, _ := get(t, "http://"+addr.String()); status != 200 {
		t.Errorf("after an aborted reload: %d", status)
	}
}

// An upgrade: the old generation drains while the new one serves from the same sockets;
// nothing is lost, and idle connections pass over.
func TestUpgradeUnderLoad(t *testing.T) {
	answer := func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body); io.WriteString(w, "ok") }
	lb, addr := simple(t, at("a", serve(t, answer)), at("b", serve(t, answer)))
	bench := start(t, lb)
	idle, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	idle.SetDeadline(time.Now().Add(30 * time.Second))
	idleReader := bufio.NewReader(idle)
	ask := func() {
		t.Helper()
		io.WriteString(idle, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		r, err := http.ReadResponse(idleReader, nil)
		if err != nil {
			t.Fatalf("the idle connection was lost: %v", err)
		}
		io.Copy(io.Discard, r.Body)
		if r.StatusCode != 200 {
			t.Fatalf("on the idle connection: %d", r.StatusCode)
		}
	}
	ask()
	l := startLoad("http://"+addr.String()+"/", 6)
	waitFor(t, l, 100)
	old := bench.role
	for range 3 {
		next, _ := newRole(t, bench.logs)
		ch, err := next.Prepare(context.Background(), bench.node, bench.sockets)
		if err != nil {
			t.Fatal(err)
		}
		ch.Commit()
		from, to, err := sockets.NewPassage()
		if err != nil {
			t.Fatal(err)
		}
		var passed atomic.Int64
		received := make(chan struct{})
		go func() {
			defer close(received)
			for {
				fd, meta, err := to.Receive()
				if err != nil {
					if !errors.Is(err, io.EOF) {
						t.Error(err)
					}
					return
				}
				passed.Add(1)
				next.Adopt(fd, meta)
			}
		}()
		waitFor(t, l, 50)
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		if err := old.Drain(ctx, from); err != nil {
			t.Errorf("drain: %v", err)
		}
		cancel()
		from.Close()
		<-received
		to.Close()
		if st := old.Status(); st.Ready || !strings.Contains(st.Text, "draining") {
			t.Errorf("status of the old generation: %+v", st)
		}
		if err := old.Close(); err != nil {
			t.Error(err)
		}
		if passed.Load() == 0 {
			t.Error("no connection was passed")
		}
		ask()
		old = next
		waitFor(t, l, 100)
	}
	l.end(t)
}

func TestManyRequestsLeakNothing(t *testing.T) {
	lb, addr := simple(t, at("a", serve(t, named("a"))), at("dead", refusing(t)))
	lb.Backends[0].Check = config.Check{Type: "tcp", Interval: 50 * time.Millisecond, Timeout: time.Second, Rise: 1, Fall: 1}
	bench := start(t, lb)
	run := func(n int) {
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				tr := &http.Transport{DisableKeepAlives: i == 0}
				defer tr.CloseIdleConnections()
				c := http.Client{Transport: tr, Timeout: 20 * time.Second}
				for range n / 8 {
					if err := once(&c, "http://"+addr.String()); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
	}
	run(400)
	settled := func() (fds, goroutines int) {
		eventually(t, "clients are gone", func() bool { return bench.metric("stack_lb_frontend_connections") == 0 })
		return descriptors(t), runtime.NumGoroutine()
	}
	fds, gos := settled()
	run(10_000)
	// The idle connections to servers are bounded and kept; a few more or less are no leak.
	eventually(t, "descriptors and goroutines are as before", func() bool {
		f, g := settled()
		return f <= fds+20 && g <= gos+20
	})
	if n := bench.role.pools.Pool("web").Server("a").InFlight(); n != 0 {
		t.Errorf("%d slots not given back", n)
	}
}

func TestCloseReleasesEverything(t *testing.T) {
	var logPath = filepath.Join(t.TempDir(), "log")
	dead := refusing(t)
	fds, gos := descriptors(t), runtime.NumGoroutine()
	for range 3 {
		lb, addr := simple(t, at("a", dead))
		lb.AccessLog = config.AccessLog{Enabled: true, Path: logPath}
		lb.Backends[0].Check = config.Check{Type: "tcp", Interval: 50 * time.Millisecond, Timeout: time.Second, Rise: 1, Fall: 1}
		bench := start(t, lb)
		get(t, "http://"+addr.String())
		if err := bench.role.Close(); err != nil {
			t.Error(err)
		}
		bench.sockets.Close()
		bench.sockets, _ = sockets.Open(nil)
	}
	eventually(t, "everything is released", func() bool { return descriptors(t) <= fds && runtime.NumGoroutine() <= gos })
}

func descriptors(t *testing.T) int {
	t.Helper()
	ents, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(ents)
}

// A drain ends plain connections after timeouts.drain and tunnels after
// timeouts.tunnel_drain, each not before.
func TestDrainHasItsDeadlines(t *testing.T) {
	echoAddr, _ := echo(t, "e")
	lb, addr := simple(t, at("a", serve(t, named("a"))))
	tcpAddr := freePort(t)
	tcp := tcpLB(listen(tcpAddr), at("e", echoAddr))
	lb.Frontends = append(lb.Frontends, tcp.Frontends...)
	lb.Backends = append(lb.Backends, tcp.Backends...)
	lb.Timeouts = timeouts()
	lb.Timeouts.Drain, lb.Timeouts.TunnelDrain = 300*time.Millisecond, 1500*time.Millisecond
	bench := start(t, lb)
	tunnel := dial(t, tcpAddr.String())
	idle, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	idle.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(idle, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	r := bufio.NewReader(idle)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, resp.Body)
	began := time.Now()
	done := make(chan error, 1)
	go func() { done <- bench.role.Drain(context.Background(), nil) }()
	if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("idle connection: %v", err)
	}
	if d := time.Since(began); d < 250*time.Millisecond {
		t.Errorf("cut while idle after %v, before timeouts.drain", d)
	}
	tunnel.alive(t)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if d := time.Since(began); d < 1450*time.Millisecond || d > 20*time.Second {
		t.Errorf("drained after %v, tunnel_drain is 1.5 s", d)
	}
}
