package exchange

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"stack/roles/internal/loop"
)

// origin serves each connection with f.
func origin(t testing.TB, f func(c net.Conn, br *bufio.Reader)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				f(c, bufio.NewReader(c))
			}()
		}
	}()
	return ln.Addr().String()
}

// readHead reads up to the empty line; empty at the end of the connection.
func readHead(br *bufio.Reader) string {
	var b strings.Builder
	for {
		line, err := br.ReadString('\n')
		if err != nil {
			return ""
		}
		b.WriteString(line)
		if line == "\r\n" {
			return b.String()
		}
	}
}

// answer is an origin that reads a head and sends text.
func answer(t testing.TB, text string) string {
	return origin(t, func(c net.Conn, br *bufio.Reader) {
		for readHead(br) != "" {
			io.WriteString(c, text)
		}
	})
}

func forwardRig(t testing.TB, p *Pass) *rig {
	return newRig(t, 1, &Frontend{Name: "f", Handler: HandlerFunc(func(x *Exchange) { x.Forward(p) })})
}

func freePort(t testing.TB) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func TestForward(t *testing.T) {
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Seen", r.Header.Get("X-Forwarded-For")+" "+r.Host+" "+r.Method)
		w.Write(b)
		io.WriteString(w, "done")
	}))
	defer origin.Close()
	r := forwardRig(t, passTo(t, strings.TrimPrefix(origin.URL, "http://")))
	for _, body := range []string{"", "short", strings.Repeat("long ", 200_000)} {
		resp, err := http.Post("http://"+r.addr+"/x", "text/plain", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || string(b) != body+"done" {
			t.Fatalf("%d bytes, %v, want %d", len(b), err, len(body)+4)
		}
		if got := resp.Header.Get("X-Seen"); got != "127.0.0.1 "+r.addr+" POST" {
			t.Error(got)
		}
	}
}

// What the server gets is written anew: no hop-by-hop field, no field that Connection
// names, nothing that the client claims about itself.
func TestForwardedHead(t *testing.T) {
	seen := make(chan string, 1)
	addr := origin(t, func(c net.Conn, br *bufio.Reader) {
		seen <- readHead(br)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: X-Internal\r\nX-Internal: 1\r\nKeep-Alive: 5\r\nX-Kept: 1\r\n\r\n")
	})
	r := forwardRig(t, passTo(t, addr))
	got := raw(t, r.addr, "GET http://real:8080/p?q HTTP/1.1\r\nHost: other\r\nConnection: close, X-Secret\r\nX-Secret: 1\r\nKeep-Alive: 1\r\nTE: trailers\r\nProxy-Connection: x\r\nX-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\nForwarded: for=9.9.9.9\r\nCookie:  a=b \r\n\r\n")
	for _, s := range []string{"X-Internal", "Keep-Alive"} {
		if strings.Contains(got, s) {
			t.Errorf("%s passed on", s)
		}
	}
	contains(t, got, "X-Kept: 1\r\n")
	contains(t, got, "Connection: close\r\n")
	contains(t, got, "Date: ")
	_, port, _ := net.SplitHostPort(r.addr)
	want := "GET /p?q HTTP/1.1\r\nHost: real:8080\r\nCookie: a=b\r\n" +
		"X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: real:8080\r\nX-Forwarded-Port: " + port + "\r\n" +
		"Forwarded: for=127.0.0.1;proto=http;host=\"real:8080\"\r\n\r\n"
	if head := <-seen; head != want {
		t.Errorf("got\n%s\nwant\n%s", head, want)
	}
}

func TestTrustedPeerIsAppendedTo(t *testing.T) {
	seen := make(chan string, 1)
	addr := origin(t, func(c net.Conn, br *bufio.Reader) {
		seen <- readHead(br)
		io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
	})
	p := passTo(t, addr)
	p.Trusted = prefixes("127.0.0.0/8")
	r := forwardRig(t, p)
	raw(t, r.addr, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\nForwarded: for=9.9.9.9\r\nX-Forwarded-For: 8.8.8.8\r\n\r\n")
	head := <-seen
	contains(t, head, "X-Forwarded-For: 9.9.9.9, 8.8.8.8, 127.0.0.1\r\n")
	contains(t, head, "X-Forwarded-Proto: https\r\n")
	contains(t, head, "Forwarded: for=9.9.9.9, for=127.0.0.1;proto=http")
}

func TestAnswersOfEveryFraming(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"length":          {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello"},
		"chunked":         {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x\r\nllo\r\n0\r\nX-Sum: 1\r\nContent-Length: 3\r\n\r\n", "hello"},
		"empty":           {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ""},
		"204":             {"HTTP/1.1 204 No Content\r\n\r\n", ""},
		"304 with length": {"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", ""},
		"interim answers": {"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello"},
	} {
		t.Run(name, func(t *testing.T) {
			r := forwardRig(t, passTo(t, answer(t, c.text)))
			conn, err := net.Dial("tcp", r.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			br := bufio.NewReader(conn)
			for range 3 {
				io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
				if name == "interim answers" {
					contains(t, readHead(br), "103 Early Hints\r\nLink: x\r\n")
					contains(t, readHead(br), "102 Processing")
				}
				resp, body := readResponse(t, br, "GET")
				if body != c.want {
					t.Fatalf("%q", body)
				}
				if name == "chunked" && (resp.Trailer.Get("X-Sum") != "1" || resp.Trailer.Get("Content-Length") != "") {
					t.Errorf("trailers %v", resp.Trailer)
				}
			}
		})
	}
	t.Run("up to the close", func(t *testing.T) {
		addr := origin(t, func(c net.Conn, br *bufio.Reader) {
			readHead(br)
			io.WriteString(c, "HTTP/1.0 200 OK\r\n\r\n"+strings.Repeat("x", 100_000))
		})
		r := forwardRig(t, passTo(t, addr))
		conn, err := net.Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		br := bufio.NewReader(conn)
		for range 2 { // the client's connection lives on: the body is chunked for it
			io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			if _, body := readResponse(t, br, "GET"); len(body) != 100_000 {
				t.Fatal(len(body))
			}
		}
		if got := raw(t, r.addr, "GET / HTTP/1.0\r\n\r\n"); !strings.HasSuffix(got, "xxx") || strings.Contains(got, "chunked") {
			t.Errorf("%.200q", got)
		}
	})
	t.Run("HEAD", func(t *testing.T) {
		r := forwardRig(t, passTo(t, answer(t, "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")))
		got := raw(t, r.addr, "HEAD / HTTP/1.1\r\nHost: x\r\n\r\nHEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		if strings.Count(got, "Content-Length: 5000\r\n") != 2 {
			t.Error(got)
		}
	})
}

func TestChunkedRequestWithTrailers(t *testing.T) {
	seen := make(chan string, 1)
	addr := origin(t, func(c net.Conn, br *bufio.Reader) {
		head := readHead(br)
		var body strings.Builder
		for !strings.HasSuffix(body.String(), "\r\n\r\n") {
			b, err := br.ReadByte()
			if err != nil {
				break
			}
			body.WriteByte(b)
		}
		seen <- head + "|" + body.String()
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	})
	r := forwardRig(t, passTo(t, addr))
	raw(t, r.addr, "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n10;ext=1\r\n0123456789abcdef\r\n1\r\n!\r\n0\r\nX-Sum: 7\r\nHost: evil\r\n\r\n")
	got := <-seen
	contains(t, got, "Transfer-Encoding: chunked\r\n\r\n|10\r\n0123456789abcdef\r\n1\r\n!\r\n0\r\nX-Sum: 7\r\n\r\n")
	contains(t, got, "Trailer: X-Sum\r\n")
}

func TestContinueIsTheServersToSay(t *testing.T) {
	addr := origin(t, func(c net.Conn, br *bufio.Reader) {
		if !strings.Contains(readHead(br), "Expect: 100-continue\r\n") {
			return
		}
		io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n")
		b := make([]byte, 3)
		io.ReadFull(br, b)
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n%s", b)
	})
	r := forwardRig(t, passTo(t, addr))
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	br := bufio.NewReader(c)
	io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
	contains(t, readHead(br), "100 Continue")
	io.WriteString(c, "abc")
	if _, body := readResponse(t, br, "POST"); body != "abc" {
		t.Error(body)
	}
}

func TestEarlyAnswerEndsTheConnections(t *testing.T) {
	addr := origin(t, func(c net.Conn, br *bufio.Reader) {
		readHead(br)
		io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
		io.Copy(io.Discard, br)
	})
	r := forwardRig(t, passTo(t, addr))
	got := raw(t, r.addr, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nbegin")
	contains(t, got, "HTTP/1.1 413 ")
	contains(t, got, "Connection: close\r\n")
	if !strings.HasSuffix(got, "no") {
		t.Error(got)
	}
}

func TestServersThatFail(t *testing.T) {
	short := testTimeouts()
	short.Response, short.Connect, short.Body = 100*time.Millisecond, 100*time.Millisecond, 100*time.Millisecond
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
			p.Timeouts = short
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
	if m.HeapInuse > 32<<20 {
		t.Errorf("heap of %d bytes", m.HeapInuse)
	}
	if n, err := io.CopyN(io.Discard, br, size); err != nil {
		t.Errorf("%d of %d bytes: %v", n, size, err)
	}
}
