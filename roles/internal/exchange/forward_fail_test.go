package exchange

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"stack/roles/internal/loop"
)

func TestServersThatFail(t *testing.T) {
	short := testTimeouts()
	short.Response = 100 * time.Millisecond
	hang := origin(t, func(c net.Conn, br *bufio.Reader) { readHead(br); readHead(br) })
	for name, c := range map[string]struct {
		addr   string
		status int
		cause  Cause
	}{
		"refused":              {freePort(t), 502, ConnectFailed},
		"no answer":            {hang, 504, ResponseTimeout},
		"closed at once":       {origin(t, func(net.Conn, *bufio.Reader) {}), 502, ResponseFailed},
		"closed after request": {origin(t, func(_ net.Conn, br *bufio.Reader) { readHead(br) }), 502, ResponseFailed},
		"no HTTP":              {answer(t, "SSH-2.0-OpenSSH\r\n"), 502, ResponseFailed},
		"two lengths":          {answer(t, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"), 502, ResponseFailed},
		"unasked upgrade":      {answer(t, "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"), 502, ResponseFailed},
		"endless head":         {answer(t, "HTTP/1.1 200 OK\r\nA: "+strings.Repeat("a", 40<<10)), 502, ResponseFailed},
		"unix, nothing there":  {"unix:" + t.TempDir() + "/none", 502, ConnectFailed},
	} {
		t.Run(name, func(t *testing.T) {
			p := passTo(t, c.addr)
			if c.cause == ResponseTimeout {
				p.Timeouts = short
			}
			r := forwardRig(t, p)
			got := raw(t, r.addr, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			if !strings.HasPrefix(got, fmt.Sprintf("HTTP/1.1 %d ", c.status)) {
				t.Errorf("%.200q", got)
			}
			if rec := r.logs.wait(t, 1)[0]; rec.Cause != c.cause || rec.Status != c.status || rec.Backend != "pool" || rec.Server == "" {
				t.Errorf("%+v", rec)
			}
			d := p.Picker.(*one).outcomes()
			if len(d) != 1 || d[0].Cause != c.cause || (c.cause == ConnectFailed) != (d[0].Err != nil) {
				t.Errorf("%+v", d)
			}
		})
	}
}

// A body that ends early must be seen as such by the client.
func TestTruncatedAnswers(t *testing.T) {
	for name, text := range map[string]string{
		"length":    "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello",
		"chunked":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
		"bad chunk": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			addr := origin(t, func(c net.Conn, br *bufio.Reader) {
				readHead(br)
				io.WriteString(c, text)
			})
			r := forwardRig(t, passTo(t, addr))
			resp, err := http.Get("http://" + r.addr)
			if err == nil {
				_, err = io.ReadAll(resp.Body)
				resp.Body.Close()
			}
			if err == nil {
				t.Error("the client took a part for the whole")
			}
			if rec := r.logs.wait(t, 1)[0]; rec.Cause != ResponseFailed {
				t.Error(rec.Cause)
			}
		})
	}
}

func TestRefusedServerIsReplaced(t *testing.T) {
	good := answer(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	p := passTo(t, freePort(t), freePort(t), good)
	r := forwardRig(t, p)
	// A body loses nothing: it is sent only once a connection is open.
	got := raw(t, r.addr, "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc")
	if !strings.HasSuffix(got, "ok") {
		t.Error(got)
	}
	if rec := r.logs.wait(t, 1)[0]; rec.Retries != 2 || rec.Server != "s-"+good {
		t.Errorf("%+v", rec)
	}
	r.group.Each(func(*loop.Loop) { p.Attempts = 1 })
	if got := raw(t, r.addr, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 502 ") {
		t.Error(got)
	}
}

func TestNoServer(t *testing.T) {
	r := forwardRig(t, passTo(t))
	got := raw(t, r.addr, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	contains(t, got, "HTTP/1.1 503 ")
	contains(t, got, "503 Service Unavailable\n")
}

// The server closes an idle connection just as a request is sent on it: the request is
// sent again on a fresh one, but only if that is harmless.
func TestStaleIdleConnection(t *testing.T) {
	var conns, requests atomic.Int32
	addr := origin(t, func(c net.Conn, br *bufio.Reader) {
		conns.Add(1)
		for i := 0; ; i++ {
			if readHead(br) == "" {
				return
			}
			if requests.Add(1); i == 1 {
				return // the second request on a connection finds it closing
			}
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	r := forwardRig(t, passTo(t, addr))
	get := func(method string) string {
		return raw(t, r.addr, method+" / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	}
	for range 5 {
		if got := get("GET"); !strings.HasSuffix(got, "ok") {
			t.Fatal(got)
		}
	}
	if conns.Load() != 5 || requests.Load() != 9 {
		t.Errorf("%d connections, %d requests", conns.Load(), requests.Load())
	}
	if recs := r.logs.wait(t, 5); recs[1].Retries != 1 {
		t.Errorf("%+v", recs[1])
	}
	// POST may have been processed: an honest error.
	if got := get("POST"); !strings.HasPrefix(got, "HTTP/1.1 502 ") {
		t.Error(got)
	}
}

func TestClosedIdleConnectionIsNotUsed(t *testing.T) {
	closed := make(chan struct{}, 10)
	addr := origin(t, func(c net.Conn, br *bufio.Reader) {
		if readHead(br) != "" {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			c.Close()
			closed <- struct{}{}
		}
	})
	r := forwardRig(t, passTo(t, addr))
	for range 5 {
		got := raw(t, r.addr, "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx")
		if !strings.HasSuffix(got, "ok") {
			t.Fatal(got)
		}
		<-closed
	}
}

// A client that leaves frees its server at once.
func TestClientGoneFreesTheServer(t *testing.T) {
	freed := make(chan error, 1)
	begun := make(chan struct{}, 1)
	addr := origin(t, func(c net.Conn, br *bufio.Reader) {
		readHead(br)
		begun <- struct{}{}
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		_, err := br.ReadByte()
		freed <- err
	})
	p := passTo(t, addr)
	r := forwardRig(t, p)
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-begun
	c.Close()
	if err := <-freed; errors.Is(err, io.EOF) == false && !strings.Contains(err.Error(), "reset") {
		t.Error(err)
	}
	if rec := r.logs.wait(t, 1)[0]; rec.Cause != ClientGone {
		t.Error(rec.Cause)
	}
	if d := p.Picker.(*one).outcomes(); len(d) != 1 || d[0].Cause != ClientGone {
		t.Errorf("%+v", d)
	}
}

// A client that closes only its sending direction gets its answer where the frontend says
// so, and the connection ends behind it; one that resets has left all the same.
func TestHalfClosedClientIsAnswered(t *testing.T) {
	begun, answer := make(chan struct{}, 1), make(chan struct{})
	freed := make(chan error, 1)
	addr := origin(t, func(c net.Conn, br *bufio.Reader) {
		answered := strings.HasPrefix(readHead(br), "GET /answered ")
		begun <- struct{}{}
		if answered {
			<-answer
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")
			return
		}
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		_, err := br.ReadByte()
		freed <- err
	})
	pass := passTo(t, addr)
	r := newRig(t, 1, &Frontend{HalfClose: true, Handler: HandlerFunc(func(x *Exchange) { x.Forward(pass) })})
	dial := func(path string) *net.TCPConn {
		c, err := net.Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(time.Minute))
		io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n")
		<-begun
		return c.(*net.TCPConn)
	}
	c := dial("/answered")
	c.CloseWrite()
	go func() { time.Sleep(50 * time.Millisecond); close(answer) }() // the FIN has long arrived
	got, err := io.ReadAll(c)
	if err != nil || !strings.HasSuffix(string(got), "\r\n\r\nhi") {
		t.Fatalf("%q, %v", got, err)
	}
	if rec := r.logs.wait(t, 1)[0]; rec.Cause != None || rec.Status != 200 {
		t.Error(rec.Cause, rec.Status)
	}

	r = newRig(t, 1, &Frontend{HalfClose: true, Handler: HandlerFunc(func(x *Exchange) { x.Forward(pass) })})
	c = dial("/")
	c.SetLinger(0)
	c.Close()
	if err := <-freed; !errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "reset") {
		t.Error(err)
	}
	if rec := r.logs.wait(t, 1)[0]; rec.Cause != ClientGone {
		t.Error(rec.Cause)
	}
}

// A client that reads slowly holds back the server instead of filling the memory.
func TestSlowClientKeepsMemoryBounded(t *testing.T) {
	const size = 256 << 20
	var sent atomic.Int64
	addr := origin(t, func(c net.Conn, br *bufio.Reader) {
		readHead(br)
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size)
		piece := make([]byte, 64<<10)
		for sent.Load() < size {
			n, err := c.Write(piece)
			if err != nil {
				return
			}
			sent.Add(int64(n))
		}
	})
	r := forwardRig(t, passTo(t, addr))
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	br := bufio.NewReader(c)
	readHead(br)
	// The flow stands still once all buffers of the kernel and ours are full.
	last := int64(-1)
	for still := 0; still < 5; {
		time.Sleep(20 * time.Millisecond)
		if n := sent.Load(); n == last && n > 0 {
			still++
		} else {
			last, still = n, 0
		}
	}
	if last > 64<<20 {
		t.Errorf("%d bytes were taken from the server for a client that reads nothing", last)
	}
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	if m.HeapInuse > heapFloor+24<<20 {
		t.Errorf("heap of %d bytes", m.HeapInuse)
	}
	if n, err := io.CopyN(io.Discard, br, size); err != nil {
		t.Errorf("%d of %d bytes: %v", n, size, err)
	}
}
