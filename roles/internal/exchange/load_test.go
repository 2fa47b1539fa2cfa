package exchange

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"stack/roles/internal/loop"
)

// Connections end up spread over the loops though one socket serves them all.
func TestConnectionsAreSpread(t *testing.T) {
	r := newRig(t, 4, &Frontend{Handler: hello("hi")})
	const n = 80
	for range n {
		c, err := net.Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		keepAliveGet(t, c, bufio.NewReader(c))
	}
	for i := range 4 {
		if load := r.group.Loop(i).Load(); load > n/4+n/40+1 {
			t.Errorf("loop %d has %d of %d connections", i, load, n)
		}
	}
}

// A client that sends many requests at once gets its quantum and then waits its turn.
func TestQuantumOfRequests(t *testing.T) {
	turns := map[uint64]int{}
	r := newRig(t, 1, &Frontend{Handler: HandlerFunc(func(x *Exchange) {
		turns[x.Worker().Loop().Turns()]++
		x.Start(200)
		x.End(nil)
	})})
	raw(t, r.addr, strings.Repeat("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 200)+"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	r.group.Each(func(*loop.Loop) {
		total := 0
		for turn, n := range turns {
			total += n
			if n > 2*quantumRequests { // an event and the ready list of the same turn
				t.Errorf("%d requests in turn %d", n, turn)
			}
		}
		if total != 201 {
			t.Errorf("%d requests", total)
		}
	})
}

// A server that does not read holds back the client instead of filling the memory, and
// is given up after the body's time-out.
func TestSlowServerHoldsBackTheClient(t *testing.T) {
	addr := origin(t, func(c net.Conn, br *bufio.Reader) {
		readHead(br)
		io.Copy(io.Discard, io.LimitReader(br, 1)) // and no more
		<-time.After(10 * time.Second)
	})
	p := passTo(t, addr)
	p.Timeouts.Body = 300 * time.Millisecond
	r := forwardRig(t, p)
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var sent atomic.Int64
	go func() {
		fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", 1<<30)
		piece := make([]byte, 64<<10)
		for {
			n, err := c.Write(piece)
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	}()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 504 || !resp.Close {
		t.Errorf("%d", resp.StatusCode)
	}
	if n := sent.Load(); n > 64<<20 {
		t.Errorf("%d bytes were taken from the client", n)
	}
}

// A client that leaves while it sends a body frees the server too.
func TestClientGoneWhileSending(t *testing.T) {
	ended := make(chan error, 1)
	begun := make(chan struct{})
	addr := origin(t, func(c net.Conn, br *bufio.Reader) {
		readHead(br)
		close(begun)
		_, err := io.Copy(io.Discard, br)
		ended <- err
	})
	r := forwardRig(t, passTo(t, addr))
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
	<-begun
	c.Close()
	<-ended
	if rec := r.logs.wait(t, 1)[0]; rec.Cause != ClientGone {
		t.Error(rec.Cause)
	}
}

func TestServerOnAUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Write(b)
	})}
	go srv.Serve(ln)
	defer srv.Close()
	r := forwardRig(t, passTo(t, "unix:"+path))
	for range 3 {
		resp, err := http.Post("http://"+r.addr, "x/y", strings.NewReader(strings.Repeat("ab", 50_000)))
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if len(b) != 100_000 {
			t.Error(len(b))
		}
	}
}

// TCP mode behind TLS: bytes pass unchanged, and a half-close arrives as one.
func TestTCPModeOverTLS(t *testing.T) {
	cert, pool := certificate(t, "a.test")
	r := newRig(t, 1, &Frontend{TCP: passTo(t, tcpEcho(t)), TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
	c, err := tls.Dial("tcp", r.addr, &tls.Config{RootCAs: pool, ServerName: "a.test"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(30 * time.Second))
	data := bytes.Repeat([]byte("0123456789abcdef"), 200_000)
	go func() {
		c.Write(data)
		c.CloseWrite()
	}()
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d of %d bytes, %v", len(got), len(data), err)
	}
}

// Close ends whatever goes on: a request that a server works on, a handshake, work
// that was handed away, an idle connection, a tunnel.
func TestCloseEndsEverything(t *testing.T) {
	begun := make(chan struct{}, 10)
	hang := origin(t, func(c net.Conn, br *bufio.Reader) {
		br.ReadByte()
		begun <- struct{}{}
		io.Copy(io.Discard, br)
	})
	p := passTo(t, hang)
	release := make(chan struct{})
	after := make(chan bool, 1)
	r := newRig(t, 2, &Frontend{Handler: HandlerFunc(func(x *Exchange) {
		if string(x.Req.Path()) == "/away" {
			x.Offload(func() { begun <- struct{}{}; <-release }, func(x *Exchange) { after <- x == nil })
			return
		}
		x.Forward(p)
	})})
	cert, _ := certificate(t, "a.test")
	fds := map[string]*Point{
		"tls": r.set.Point("tls", &Frontend{Timeouts: testTimeouts(), Limits: testLimits(), Handler: hello("hi"), TLS: &tls.Config{Certificates: []tls.Certificate{cert}}}),
		"tcp": r.set.Point("tcp", &Frontend{Timeouts: testTimeouts(), Limits: testLimits(), TCP: p}),
	}
	addrs := map[string]string{"http": r.addr}
	for name, point := range fds {
		fd, addr := listen(t)
		defer loop.Close(fd)
		if err := point.Listen([]int{fd}); err != nil {
			t.Fatal(err)
		}
		addrs[name] = addr
	}
	var hello bytes.Buffer
	tls.Client(recordOnly{&hello}, &tls.Config{ServerName: "a.test"}).Handshake()
	for _, c := range []struct{ to, text string }{
		{"http", ""}, {"http", "GET / HTTP/1.1\r\nHost: x\r\n\r\n"}, {"http", "GET /away HTTP/1.1\r\nHost: x\r\n\r\n"},
		{"tls", hello.String()}, {"tls", ""}, {"tcp", "x"},
	} {
		conn, err := net.Dial("tcp", addrs[c.to])
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		io.WriteString(conn, c.text)
	}
	for range 3 {
		<-begun
	}
	for r.set.Open() < 6 {
		time.Sleep(time.Millisecond)
	}
	closed := make(chan error)
	go func() { closed <- r.set.Close() }()
	for r.set.Open() > 0 {
		time.Sleep(time.Millisecond)
	}
	close(release)
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if !<-after {
		t.Error("an ended exchange was resumed")
	}
	if n := r.set.Open(); n != 0 {
		t.Errorf("%d connections", n)
	}
}
