package exchange

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"stack/roles/internal/freeport"
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
	return fmt.Sprint("127.0.0.1:", freeport.TCP(t))
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
