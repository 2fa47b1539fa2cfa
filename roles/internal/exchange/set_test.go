package exchange

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"stack/roles/internal/loop"
)

func keepAliveGet(t testing.TB, c net.Conn, br *bufio.Reader) (*http.Response, string) {
	t.Helper()
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	return readResponse(t, br, "GET")
}

// A request that has begun ends with the frontend that it began with; the next one on
// the same connection has the new one.
func TestSwap(t *testing.T) {
	var ticket Ticket
	begun := make(chan struct{})
	f1 := &Frontend{Name: "1", Timeouts: testTimeouts(), Limits: testLimits(), Server: "one"}
	f1.Handler = HandlerFunc(func(x *Exchange) { ticket = x.Suspend(nil); close(begun) })
	r := newRig(t, 2, f1)
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	br := bufio.NewReader(c)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-begun
	f2 := *f1
	f2.Name, f2.Server, f2.Handler = "2", "two", hello("second")
	r.set.Swap(map[*Point]*Frontend{r.point: &f2})
	ticket.Resume(func(x *Exchange) {
		x.Start(200)
		x.End([]byte("first"))
	})
	if resp, body := readResponse(t, br, "GET"); body != "first" || resp.Header.Get("Server") != "one" {
		t.Errorf("%q %v", body, resp.Header)
	}
	if resp, body := keepAliveGet(t, c, br); body != "second" || resp.Header.Get("Server") != "two" {
		t.Errorf("%q %v", body, resp.Header)
	}
	if recs := r.logs.wait(t, 2); recs[0].Frontend != "1" || recs[1].Frontend != "2" {
		t.Errorf("%+v", recs)
	}
}

// Draining: idle connections go to the next generation and live on there, one in the
// middle of a request ends after its answer.
func TestDrainPassesIdleConnections(t *testing.T) {
	var ticket Ticket
	begun := make(chan struct{}, 1)
	old := newRig(t, 1, &Frontend{Server: "old", Handler: HandlerFunc(func(x *Exchange) {
		if string(x.Req.Path()) == "/slow" {
			ticket = x.Suspend(nil)
			begun <- struct{}{}
			return
		}
		x.Start(200)
		x.End([]byte("hi"))
	})})
	patient := testTimeouts()
	patient.RequestHead = 50 * time.Millisecond // which an idle connection outlives
	next := newRig(t, 1, &Frontend{Server: "new", Handler: hello("hi"), Timeouts: patient})
	idle, err := net.Dial("tcp", old.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	ibr := bufio.NewReader(idle)
	if resp, _ := keepAliveGet(t, idle, ibr); resp.Header.Get("Server") != "old" {
		t.Fatal(resp.Header)
	}
	busy, err := net.Dial("tcp", old.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	bbr := bufio.NewReader(busy)
	keepAliveGet(t, busy, bbr)
	io.WriteString(busy, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
	<-begun
	passed := make(chan string, 10)
	drained := make(chan error, 1)
	go func() {
		drained <- old.set.Drain(context.Background(), func(fd int, meta []byte) bool {
			next.point.Adopt(fd, meta)
			passed <- PointOf(meta)
			return true
		})
	}()
	if point := <-passed; point != "test" {
		t.Error(point)
	}
	time.Sleep(2 * patient.RequestHead)
	if resp, body := keepAliveGet(t, idle, ibr); resp.Header.Get("Server") != "new" || body != "hi" {
		t.Errorf("%v", resp.Header)
	}
	ticket.Resume(func(x *Exchange) {
		x.Start(200)
		x.End([]byte("late"))
	})
	resp, body := readResponse(t, bbr, "GET")
	if body != "late" {
		t.Error(body)
	}
	if _, err := bbr.ReadByte(); err != io.EOF {
		t.Errorf("still open: %v %v", err, resp.Header)
	}
	busy.Close()
	if err := <-drained; err != nil {
		t.Error(err)
	}
	// The listening socket lives on: who connects now waits for the next process.
	next.group.Each(func(*loop.Loop) { next.point.front[0].Timeouts = testTimeouts() })
	late, err := net.Dial("tcp", old.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	if err := next.point.Listen([]int{old.fd}); err != nil {
		t.Fatal(err)
	}
	if resp, _ := keepAliveGet(t, late, bufio.NewReader(late)); resp.Header.Get("Server") != "new" {
		t.Error(resp.Header)
	}
}

func TestDrainWithoutPass(t *testing.T) {
	r := newRig(t, 1, &Frontend{Handler: hello("hi")})
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	br := bufio.NewReader(c)
	keepAliveGet(t, c, br)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	if err := r.set.Drain(ctx, nil); err == nil || r.set.Open() != 1 {
		t.Errorf("an idle connection was closed under the client: %v", err)
	}
	resp, _ := keepAliveGet(t, c, br)
	if !resp.Close {
		t.Error("the connection was kept alive")
	}
	c.Close()
	if err := r.set.Drain(context.Background(), nil); err != nil {
		t.Error(err)
	}
}

func TestRemoveOnePoint(t *testing.T) {
	r := newRig(t, 2, &Frontend{Handler: hello("hi")})
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	br := bufio.NewReader(c)
	keepAliveGet(t, c, br)
	r.point.Remove()
	if resp, _ := keepAliveGet(t, c, br); !resp.Close {
		t.Error("the connection of a removed point was kept alive")
	}
}

func TestConnectionLimit(t *testing.T) {
	l := testLimits()
	l.Connections = 2
	r := newRig(t, 1, &Frontend{Handler: hello("hi"), Limits: l})
	for range 2 {
		c, err := net.Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		keepAliveGet(t, c, bufio.NewReader(c))
	}
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if n, err := c.Read(make([]byte, 1)); err == nil {
		t.Errorf("%d bytes", n)
	}
	if n := r.point.Counters(); n.Refused[RefusedTotal] != 1 || n.Open != 2 || n.Accepted != 2 {
		t.Errorf("%+v", n)
	}
}

func TestListenRefusesWhatIsNoListener(t *testing.T) {
	r := newRig(t, 1, &Frontend{Handler: hello("hi")})
	if err := r.point.Listen(nil); err == nil {
		t.Error("accepted no socket")
	}
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := r.point.Listen([]int{int(f.Fd())}); err == nil {
		t.Error("accepted a file")
	}
}

// waiter queues exchanges until it is told that a server is free.
type waiter struct {
	one
	mu      sync.Mutex
	free    bool
	waiting []Ticket
}

func (q *waiter) Pick(x *Exchange, tried int) (*Server, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.free {
		q.waiting = append(q.waiting, x.Ticket())
		return nil, ErrQueued
	}
	return q.one.Pick(x, tried)
}

func TestQueue(t *testing.T) {
	p := passTo(t, answer(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
	q := &waiter{one: one{srvs: p.Picker.(*one).srvs}}
	p.Picker = q
	p.Timeouts.Connect = 100 * time.Millisecond
	r := forwardRig(t, p)
	if got := raw(t, r.addr, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 503 ") {
		t.Error(got)
	}
	if rec := r.logs.wait(t, 1)[0]; rec.Cause != QueueTimeout {
		t.Error(rec.Cause)
	}
	r.group.Each(func(*loop.Loop) { p.Timeouts.Connect = 5 * time.Second })
	done := make(chan string)
	go func() { done <- raw(t, r.addr, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") }()
	for {
		q.mu.Lock()
		n := len(q.waiting)
		if n == 2 {
			q.free = true
		}
		q.mu.Unlock()
		if n == 2 {
			break
		}
		runtime.Gosched()
	}
	outcome := make(chan bool, 2)
	for _, ticket := range q.waiting {
		ticket.Resume(func(x *Exchange) {
			outcome <- x != nil
			if x != nil {
				x.Repick()
			}
		})
	}
	if <-outcome || !<-outcome {
		t.Error("the ended exchange was resumed, or the waiting one was not")
	}
	if got := <-done; !strings.HasSuffix(got, "ok") {
		t.Error(got)
	}
}

// A real client, with all that it likes to send.
func TestCurl(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("curl is not installed; make test installs it")
	}
	r := newRig(t, 1, &Frontend{Handler: HandlerFunc(func(x *Exchange) { x.ReadBody(&echoBody{}) })})
	upload := strings.Repeat("payload ", 500_000)
	cmd := exec.Command(curl, "-sS", "--max-time", "20", "-H", "Transfer-Encoding: chunked", "--data-binary", "@-", "-w", "%{http_code} %{num_connects}", "http://"+r.addr+"/a", "-o", "-", "--next", "-sS", "-w", " %{http_code} %{num_connects}", "-d", "x", "http://"+r.addr+"/b")
	cmd.Stdin = strings.NewReader(upload)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %.300s", err, out)
	}
	if want := upload + "200 1x 200 0"; string(out) != want {
		t.Errorf("%d bytes, end %q", len(out), out[max(0, len(out)-40):])
	}
}
