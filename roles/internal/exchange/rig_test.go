package exchange

import (
	"bufio"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"stack/appliance/config"
	"stack/roles/internal/loop"
)

// rig is a Set on real loops with one listening socket.
type rig struct {
	t     testing.TB
	group *loop.Group
	set   *Set
	point *Point
	addr  string
	fd    int
	logs  *recorder
}

func testTimeouts() config.Timeouts {
	return config.Timeouts{RequestHead: 5 * time.Second, Idle: 5 * time.Second, Body: 5 * time.Second, Connect: 2 * time.Second,
		Response: 5 * time.Second, Tunnel: 5 * time.Second, Drain: 5 * time.Second, TunnelDrain: 5 * time.Second}
}

func testLimits() config.Limits {
	return config.Limits{HeadBytes: 16 << 10, Headers: 64, BufferBytes: 16 << 10}
}

// recorder keeps the records of ended requests.
type recorder struct {
	mu   sync.Mutex
	list []Record
	more chan struct{}
	off  atomic.Bool // a list of a hundred thousand records stops the loop when it grows
}

func (r *recorder) Log(rec *Record) {
	if r.off.Load() {
		return
	}
	c := *rec
	c.Method, c.Target = []byte(string(rec.Method)), []byte(string(rec.Target))
	r.mu.Lock()
	r.list = append(r.list, c)
	r.mu.Unlock()
	select {
	case r.more <- struct{}{}:
	default:
	}
}

// wait returns the first n records.
func (r *recorder) wait(t testing.TB, n int) []Record {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		r.mu.Lock()
		list := r.list
		r.mu.Unlock()
		if len(list) >= n {
			return list
		}
		select {
		case <-r.more:
		case <-deadline:
			t.Fatalf("%d of %d records after a minute", len(list), n)
		}
	}
}

func newRig(t testing.TB, loops int, f *Frontend) *rig {
	t.Helper()
	g, err := loop.Start(loops)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, group: g, set: NewSet(g), logs: &recorder{more: make(chan struct{}, 1)}}
	if f.Timeouts == (config.Timeouts{}) {
		f.Timeouts = testTimeouts()
	}
	if f.Limits == (config.Limits{}) {
		f.Limits = testLimits()
	}
	f.Log = r.logs
	r.point = r.set.Point("test", f)
	r.fd, r.addr = listen(t)
	if err := r.point.Listen([]int{r.fd}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.close)
	return r
}

func (r *rig) close() {
	if err := r.set.Close(); err != nil {
		r.t.Error(err)
	}
	r.group.Close()
	if r.fd >= 0 {
		unix.Close(r.fd)
		r.fd = -1
	}
}

func listen(t testing.TB) (fd int, addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	f, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fd, err = unix.Dup(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	unix.SetNonblock(fd, true)
	return fd, ln.Addr().String()
}

// one is a Picker that always has the same servers, in order of tries.
type one struct {
	mu   sync.Mutex
	srvs []*Server
	done []Outcome
}

func (p *one) Pick(_ *Exchange, tried int) (*Server, error) {
	if tried >= len(p.srvs) {
		return nil, ErrNoServer
	}
	return p.srvs[tried], nil
}

func (p *one) Done(_ *Exchange, _ *Server, o Outcome) {
	p.mu.Lock()
	p.done = append(p.done, o)
	p.mu.Unlock()
}

func (p *one) outcomes() []Outcome {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Outcome(nil), p.done...)
}

func prefixes(s ...string) (p []netip.Prefix) {
	for _, s := range s {
		p = append(p, netip.MustParsePrefix(s))
	}
	return p
}

func passTo(t testing.TB, addrs ...string) *Pass {
	p := &one{}
	for _, a := range addrs {
		s, err := NewServer("s-"+a, a, 4, 0)
		if err != nil {
			t.Fatal(err)
		}
		p.srvs = append(p.srvs, s)
	}
	return &Pass{Picker: p, Name: "pool", Timeouts: testTimeouts(), Attempts: len(addrs) - 1, Forwarded: true}
}

// raw sends text and returns all that comes until the server closes.
func raw(t testing.TB, addr, text string) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(c)
	if err != nil && len(b) == 0 {
		t.Fatalf("read: %v", err)
	}
	return string(b)
}

func hello(body string) Handler {
	return HandlerFunc(func(x *Exchange) {
		x.Start(200).Field("Content-Type", "text/plain")
		x.End([]byte(body))
	})
}

func readResponse(t testing.TB, br *bufio.Reader, method string) (*http.Response, string) {
	t.Helper()
	req, _ := http.NewRequest(method, "http://x/", nil)
	resp, err := http.ReadResponse(br, req)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

func contains(t testing.TB, got, want string) {
	t.Helper()
	if !strings.Contains(got, want) {
		t.Errorf("want %q in:\n%s", want, got)
	}
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not after a minute: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

var silent = log.New(io.Discard, "", 0)

// inTurn is each for functions that share something.
func (s *Set) inTurn(f func(w *Worker)) {
	var mu sync.Mutex
	s.each(func(w *Worker) {
		mu.Lock()
		defer mu.Unlock()
		f(w)
	})
}
