package exchange

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"stack/appliance/config"
)

func TestSlowest(t *testing.T) {
	times := config.Timeouts{Body: 10 * time.Second}
	for _, c := range []struct {
		name   string
		waited time.Duration
		bytes  int64
		rate   int
		want   time.Duration
	}{
		{"at first", 0, 0, 100, 10 * time.Second},
		{"nothing came for 4 s", 4 * time.Second, 0, 100, 6 * time.Second},
		{"as fast as it must be", 20 * time.Second, 2000, 100, 10 * time.Second},
		{"half as fast", 20 * time.Second, 1000, 100, 0},
		{"half as fast, not yet ended", 18 * time.Second, 900, 100, time.Second},
		{"much", time.Hour, 1 << 40, 100, 10 * time.Second},
		{"no bound", 1000 * time.Hour, 0, 0, 10 * time.Second},
	} {
		if got := slowest(int64(c.waited), c.bytes, times, c.rate); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// trickle sends a body byte by byte until the server has enough; it returns the status
// and how long it took.
func trickle(t *testing.T, addr string, every time.Duration, length int) (status int, took time.Duration) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	begun := time.Now()
	fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", length)
	go func() {
		for range length {
			if _, err := c.Write([]byte("x")); err != nil {
				return
			}
			time.Sleep(every)
		}
	}()
	c.SetReadDeadline(time.Now().Add(30 * time.Second))
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, time.Since(begun)
}

// reader is a handler that takes the whole body.
type reader struct{}

func (reader) Drained(*Exchange)     {}
func (reader) Gone(*Exchange, Cause) {}
func (reader) Body(x *Exchange, _ []byte, last bool) {
	if last {
		x.Start(200)
		x.End(nil)
	}
}

// A byte now and then does not keep a request alive for ever.
func TestSlowBodyIsCutOff(t *testing.T) {
	l, times := testLimits(), testTimeouts()
	times.Body, l.MinRate = time.Second, 1000
	f := &Frontend{Limits: l, Timeouts: times, Handler: HandlerFunc(func(x *Exchange) { x.ReadBody(reader{}) })}
	r := newRig(t, 1, f)
	// 100 B/s, each byte long before the time-out of the silence: the end comes after the
	// time-out and 1 ms for each byte.
	if status, took := trickle(t, r.addr, 10*time.Millisecond, 100_000); status != 408 || took < time.Second {
		t.Errorf("%d after %v", status, took)
	}
	if rec := r.logs.wait(t, 1)[0]; rec.Cause != ClientTimeout {
		t.Error(rec.Cause)
	}
	g := *f
	g.Limits.MinRate = 0
	r.set.Swap(map[*Point]*Frontend{r.point: &g})
	if status, _ := trickle(t, r.addr, 10*time.Millisecond, 200); status != 200 {
		t.Errorf("without a bound: %d", status)
	}
}

// The time in which the server, and not the client, is waited for does not count, nor
// does the deadline of the body run on when the body is complete.
func TestSlowServerIsNotTheClientsFault(t *testing.T) {
	addr := origin(t, func(c net.Conn, br *bufio.Reader) {
		readHead(br)
		io.ReadFull(br, make([]byte, 10))
		time.Sleep(2500 * time.Millisecond)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")
	})
	pass := passTo(t, addr)
	l, times := testLimits(), testTimeouts()
	times.Body, l.MinRate = time.Second, 1000
	r := newRig(t, 1, &Frontend{Limits: l, Timeouts: times, Handler: HandlerFunc(func(x *Exchange) { x.Forward(pass) })})
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n01234")
	time.Sleep(50 * time.Millisecond) // so that the rest is waited for
	io.WriteString(c, "56789")
	if resp, body := readResponse(t, bufio.NewReader(c), "POST"); resp.StatusCode != 200 || body != "hi" {
		t.Errorf("%d %q", resp.StatusCode, body)
	}
}

// A client that reads so slowly that the kernel has no room to offer is cut off.
func TestSlowReadIsCutOff(t *testing.T) {
	l, times := defaultLimits(), testTimeouts()
	times.Body = 500 * time.Millisecond
	pass := passTo(t, endless(t))
	r := newRig(t, 1, &Frontend{Limits: l, Timeouts: times, Handler: HandlerFunc(func(x *Exchange) { x.Forward(pass) })})
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.(*net.TCPConn).SetReadBuffer(4 << 10)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	stop := make(chan struct{})
	defer close(stop)
	go func() { // a byte every 50 ms
		for {
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
				c.Read(make([]byte, 1))
			}
		}
	}()
	if rec := r.logs.wait(t, 1)[0]; rec.Cause != ClientTimeout {
		t.Error(rec.Cause)
	}
}

// A head that comes byte by byte ends at request_head, counted from its first byte.
func TestSlowHeadHasATotalBound(t *testing.T) {
	times := testTimeouts()
	times.RequestHead = 400 * time.Millisecond
	r := newRig(t, 1, &Frontend{Timeouts: times, Handler: hello("hi")})
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go func() {
		for _, b := range []byte("GET / HTTP/1.1\r\nHost: x\r\nX-Slow: " + strings.Repeat("a", 10_000)) {
			if _, err := c.Write([]byte{b}); err != nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 408 {
		t.Error(resp.Status)
	}
}
