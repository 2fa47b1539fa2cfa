package upstream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stack/appliance/config"
	"stack/roles/internal/freeport"
)

// eventually waits for cond, which something else makes true, for at most a minute.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !cond(); {
		if time.Now().After(end) {
			t.Fatalf("not so after a minute: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// origin is a real HTTP server that can be stopped and started on the same address.
type origin struct {
	t      *testing.T
	addr   string
	ln     net.Listener
	srv    *http.Server
	status atomic.Int64
	seen   atomic.Int64
	host   atomic.Value
}

func startOrigin(t *testing.T) *origin {
	o := &origin{t: t, addr: fmt.Sprint("127.0.0.1:", freeport.TCP(t))}
	o.status.Store(200)
	o.start()
	t.Cleanup(o.stop)
	return o
}

func (o *origin) start() {
	ln, err := net.Listen("tcp", o.addr)
	if err != nil {
		o.t.Fatal(err)
	}
	o.ln = ln
	o.srv = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.seen.Add(1)
		o.host.Store(r.Host + r.URL.Path)
		w.WriteHeader(int(o.status.Load()))
	})}
	go o.srv.Serve(ln)
}

// stop closes the listener itself: Close knows of it only once Serve has begun, and the
// kernel answers a check before.
func (o *origin) stop() {
	o.ln.Close()
	o.srv.Close()
}

func quick(kind string) config.Check {
	return config.Check{Type: kind, Path: "/healthz", Interval: 50 * time.Millisecond, Timeout: time.Second, Rise: 2, Fall: 3}
}

func TestServersGoDownAndComeBack(t *testing.T) {
	for _, kind := range []string{"tcp", "http"} {
		a, b := startOrigin(t), startOrigin(t)
		_, p := newPool(t, 1, config.Backend{Check: quick(kind), Servers: []config.Server{
			{Name: "a", Address: a.addr, Weight: 1}, {Name: "b", Address: b.addr, Weight: 1}}})
		sa := p.Server("a")
		eventually(t, "first checks passed", func() bool { return sa.view().checks.Passed > 1 })
		a.stop()
		eventually(t, kind+": a is down", func() bool { return !sa.Up() })
		if got := choose(t, p, 4); got != "bbbb" {
			t.Errorf("%s: picked %s with a down", kind, got)
		}
		if v := sa.view(); v.StateChanges != 1 || !strings.Contains(v.Reason, "refused") || v.checks.Failed < 3 {
			t.Errorf("%s: %d changes, reason %q, %d failed checks; fall is 3", kind, v.StateChanges, v.Reason, v.checks.Failed)
		}
		a.start()
		eventually(t, kind+": a is back", sa.Up)
		if got := choose(t, p, 4); strings.Count(got, "a") != 2 {
			t.Errorf("%s: picked %s with a back", kind, got)
		}
	}
}

func TestHTTPCheckExpects(t *testing.T) {
	a := startOrigin(t)
	set, p := newPool(t, 1, config.Backend{Check: quick("http"), Servers: []config.Server{{Name: "a", Address: a.addr, Weight: 1}}})
	s := p.Server("a")
	a.status.Store(503)
	eventually(t, "503 takes it out", func() bool { return !s.Up() })
	if r := s.view().Reason; r != "answered 503" {
		t.Errorf("reason %q", r)
	}
	if h := a.host.Load(); h != a.addr+"/healthz" {
		t.Errorf("the check asked for %v", h)
	}
	c := quick("http")
	c.Expect.Status = []int{503}
	c.Host = "www.example.com"
	commit(t, set, config.Backend{Name: "p", Check: c, Servers: []config.Server{{Name: "a", Address: a.addr, Weight: 1}}})
	eventually(t, "503 is what is expected", s.Up)
	eventually(t, "host is sent", func() bool { return a.host.Load() == "www.example.com/healthz" })
}

// A server that is dead when it joins never takes traffic: its first check comes before
// the commit and decides alone.
func TestFirstCheckComesBeforeTraffic(t *testing.T) {
	dead := fmt.Sprint("127.0.0.1:", freeport.TCP(t))
	c := quick("tcp")
	c.Interval, c.Fall = time.Hour, 10
	live := startOrigin(t)
	set, p := newPool(t, 1, config.Backend{Check: c, Servers: []config.Server{{Name: "a", Address: dead, Weight: 1}, {Name: "b", Address: live.addr, Weight: 1}}})
	if got := choose(t, p, 4); got != "bbbb" {
		t.Errorf("picked %s, a is dead from the start", got)
	}
	if v := p.Server("a").view(); v.checks.Failed != 1 || v.Up || v.StateChanges != 1 || !strings.Contains(v.Reason, "refused") {
		t.Errorf("%+v", v)
	}
	// The same for one that joins at a reload.
	commit(t, set, config.Backend{Name: "p", Check: c, Servers: []config.Server{{Name: "b", Address: live.addr, Weight: 1}, {Name: "d", Address: dead, Weight: 1}}})
	if got := choose(t, p, 4); got != "bbbb" {
		t.Errorf("picked %s, d is dead from the start", got)
	}
}

// A server that does not answer in time is trusted until its check decides; the start
// does not wait for the check's own time-out.
func TestSlowFirstCheckHoldsNothingUp(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0") // accepts by its queue, never answers
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c := quick("http")
	c.Timeout = 8 * time.Second
	began := time.Now()
	_, p := newPool(t, 1, config.Backend{Check: c, Servers: []config.Server{{Name: "a", Address: ln.Addr().String(), Weight: 1}}})
	if d := time.Since(began); d > 7*time.Second {
		t.Errorf("the start took %v", d)
	}
	s := p.Server("a")
	if !s.Up() {
		t.Error("not trusted")
	}
	eventually(t, "its first result decides", func() bool { return !s.Up() })
	if n := s.view().checks.Failed; n != 1 {
		t.Errorf("%d checks failed", n)
	}
}

func TestPlanOpensNothing(t *testing.T) {
	o := startOrigin(t)
	set := NewSet(1, quiet(), nil)
	defer set.Close()
	dns := &fakeDNS{}
	set.resolver = dns
	ch, err := set.Plan([]config.Backend{{Name: "p", Check: quick("http"), Servers: []config.Server{{Name: "a", Address: o.addr, Weight: 1}, {Name: "b", Address: "x.example:80", Weight: 1}}}})
	if err != nil || ch.Pool("p") == nil {
		t.Fatal(err)
	}
	if o.seen.Load() != 0 || dns.count() != 0 {
		t.Errorf("%d checks, %d look-ups", o.seen.Load(), dns.count())
	}
}

// A refused connection makes a slow check quick: after a fifth of the interval, which
// is far from the interval's own end.
func TestConnectFailureWakesTheCheck(t *testing.T) {
	a := startOrigin(t)
	c := quick("tcp")
	c.Interval, c.Fall = 10*time.Second, 1
	_, p := newPool(t, 1, config.Backend{Check: c, Servers: []config.Server{{Name: "a", Address: a.addr, Weight: 1}}})
	s := p.Server("a")
	eventually(t, "first check", func() bool { return s.view().checks.Passed == 1 })
	first := s.lastAt()
	a.stop()
	s.ConnectFailed(0)
	eventually(t, "down", func() bool { return !s.Up() })
	if d := s.lastAt().Sub(first); d > 8*time.Second {
		t.Errorf("the next check came %v after the first: nothing woke it", d)
	}
}

func TestMaintenanceIsNotChecked(t *testing.T) {
	a := startOrigin(t)
	_, p := newPool(t, 1, config.Backend{Check: quick("http"), Servers: []config.Server{{Name: "a", Address: a.addr, Weight: 1}}})
	s := p.Server("a")
	eventually(t, "checked", func() bool { return a.seen.Load() > 1 })
	s.SetAdmin(Maint)
	// One check may be under way; after that the count stands.
	var n int64
	eventually(t, "checks stopped", func() bool {
		before := n
		n = s.lastAt().UnixNano()
		time.Sleep(150 * time.Millisecond)
		return before == n
	})
	a.stop()
	s.SetAdmin(Ready)
	eventually(t, "the first check after maintenance decides", func() bool { return !s.Up() })
}

func (s *Server) lastAt() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lastCheck.At
}

func TestSilentServerTimesOut(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	spec := checkSpec{kind: "http", path: "/", timeout: 50 * time.Millisecond}
	ok, text := spec.probe(context.Background(), Target{Addr: netip.MustParseAddrPort(ln.Addr().String())}, nil)
	if ok || text != "no answer within 50ms" {
		t.Errorf("%v %q", ok, text)
	}
}

func TestUnixSocketCheck(t *testing.T) {
	path := t.TempDir() + "/s"
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.NotFoundHandler()}
	go srv.Serve(ln)
	defer srv.Close()
	c := quick("http")
	c.Expect.Status = []int{404}
	_, p := newPool(t, 1, config.Backend{Check: c, Servers: []config.Server{{Name: "a", Address: "unix:" + path, Weight: 1}}})
	eventually(t, "checked over the unix socket", func() bool { v := p.Server("a").view(); return v.checks.Passed > 0 && v.Up })
}

func TestCloseEndsEveryGoroutine(t *testing.T) {
	before := runtime.NumGoroutine()
	set := NewSet(1, quiet(), nil)
	for i := range 20 {
		c := quick([]string{"tcp", "http"}[i%2])
		commit(t, set, config.Backend{Name: "p", Check: c, Servers: []config.Server{server("a", 1), {Name: "b", Address: "localhost:9", Weight: 1}}})
	}
	set.Close()
	eventually(t, "goroutines are gone", func() bool { return runtime.NumGoroutine() <= before })
}

// fakeDNS answers what the test says.
type fakeDNS struct {
	mu    sync.Mutex
	addrs []netip.Addr
	err   error
	asked int
}

func (f *fakeDNS) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	return append([]netip.Addr(nil), f.addrs...), f.err
}

func (f *fakeDNS) set(err error, addrs ...string) (asked int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.addrs, f.err = nil, err
	for _, a := range addrs {
		f.addrs = append(f.addrs, netip.MustParseAddr(a))
	}
	return f.asked
}

func (f *fakeDNS) count() int { f.mu.Lock(); defer f.mu.Unlock(); return f.asked }

func TestNamesAreResolved(t *testing.T) {
	dns := &fakeDNS{}
	dns.set(errors.New("no such host"))
	set := NewSet(1, quiet(), nil)
	defer set.Close()
	set.resolver, set.every = dns, 30*time.Millisecond
	commit(t, set, config.Backend{Name: "p", Servers: []config.Server{{Name: "a", Address: "app.example:8080", Weight: 1}}})
	p := set.Pool("p")
	s := p.Server("a")
	if _, err := p.Choose(0, nil); err != ErrNoServer {
		t.Fatalf("a server without address was picked: %v", err)
	}
	is := func(want string) func() bool {
		return func() bool { a, ok := s.Target(); return ok && a.Address() == want }
	}
	dns.set(nil, "192.0.2.1", "192.0.2.2")
	eventually(t, "resolved", is("192.0.2.1:8080"))
	eventually(t, "in rotation", p.Usable)

	// The answer rotates: the address in use stays.
	n := dns.set(nil, "192.0.2.2", "192.0.2.1")
	eventually(t, "asked again", func() bool { return dns.count() > n+1 })
	if !is("192.0.2.1:8080")() {
		t.Error("moved although the address in use was still in the answer")
	}
	// Lookups fail: the last good answer stays.
	n = dns.set(errors.New("server misbehaving"))
	eventually(t, "asked again", func() bool { return dns.count() > n+1 })
	if !is("192.0.2.1:8080")() || !p.Usable() {
		t.Error("the last good answer was thrown away")
	}
	dns.set(nil, "2001:db8::5")
	eventually(t, "moved", is("[2001:db8::5]:8080"))
}

func FuzzReadStatus(f *testing.F) {
	for _, s := range []string{"HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.0 404\n\n", "HTTP/1.1 100 Continue\r\nA: b\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
		"HTTP/1.1 1000\r\n", "HTTP/2 200\r\n", "HTTP/1.1 -20 x\r\n", "SSH-2.0-x\r\n", "", strings.Repeat("a", 5000), "HTTP/1.1 100 x\r\n" + strings.Repeat("b: c\r\n", 900)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		n, err := readStatus(bufio.NewReaderSize(strings.NewReader(in), 1024))
		if err == nil && (n < 101 || n > 999) {
			t.Errorf("status %d from %q", n, in)
		}
		if err == nil && !strings.HasPrefix(in, "HTTP/1.") {
			t.Errorf("accepted %q", in)
		}
	})
}
