package exchange

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// byPath is an origin that answers with what answers[path] says, on connections that it
// counts.
func byPath(t testing.TB, answers map[string]string) (addr string, conns *atomic.Int32) {
	conns = new(atomic.Int32)
	return origin(t, func(c net.Conn, br *bufio.Reader) {
		conns.Add(1)
		for {
			head := readHead(br)
			if head == "" {
				return
			}
			text, ok := answers[strings.Fields(head)[1]]
			if !ok {
				text = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext"
			}
			io.WriteString(c, text)
		}
	}), conns
}

// What a server sends beyond the end of its answer never becomes a part of the next one,
// and the client's connection lives on: its own framing was right.
func TestBytesBehindAnAnswer(t *testing.T) {
	const evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
	for name, c := range map[string]struct{ method, text, body string }{
		"more than the length":    {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + evil, "ok"},
		"behind the last chunk":   {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" + evil, "ok"},
		"204 with a length":       {"GET", "HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nevil", ""},
		"204 in chunks":           {"GET", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n", ""},
		"304 with a body":         {"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nevil", ""},
		"HEAD with a body":        {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", ""},
		"HEAD with a whole other": {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n" + evil, ""},
		"205 with a length of 0":  {"GET", "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n" + evil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			addr, conns := byPath(t, map[string]string{"/bad": c.text})
			r := forwardRig(t, passTo(t, addr))
			conn, err := net.Dial("tcp", r.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(10 * time.Second))
			br := bufio.NewReader(conn)
			io.WriteString(conn, c.method+" /bad HTTP/1.1\r\nHost: x\r\n\r\n")
			if _, body := readResponse(t, br, c.method); body != c.body {
				t.Errorf("the answer's body is %q", body)
			}
			io.WriteString(conn, "GET /next HTTP/1.1\r\nHost: x\r\n\r\n")
			if _, body := readResponse(t, br, "GET"); body != "next" {
				t.Errorf("the next answer's body is %q", body)
			}
			if n := conns.Load(); n != 2 {
				t.Errorf("%d connections: the one with bytes left over was used again", n)
			}
		})
	}
}

// A 204 that claims to have a body is not trusted with another request, also where the
// bytes of that body come too late to be seen with the head.
func TestFaultyNoContentEndsTheConnection(t *testing.T) {
	addr, conns := byPath(t, map[string]string{"/bad": "HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\n"})
	r := forwardRig(t, passTo(t, addr))
	got := raw(t, r.addr, "GET /bad HTTP/1.1\r\nHost: x\r\n\r\nGET /next HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if !strings.HasSuffix(got, "next") || strings.Contains(strings.SplitN(got, "\r\n\r\n", 2)[0], "Content-Length") {
		t.Errorf("%q", got)
	}
	if n := conns.Load(); n != 2 {
		t.Errorf("%d connections", n)
	}
}

// Interim answers reach a client in their number and order; one of HTTP/1.0 never hears of
// them (RFC 9110 section 15.2).
func TestInterimAnswersByVersion(t *testing.T) {
	r := forwardRig(t, passTo(t, answer(t, "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <a>\r\nLink: <b>\r\n\r\n"+
		"HTTP/1.1 103 Early Hints\r\nLink: <c>\r\nContent-Length: 9\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")))
	got := raw(t, r.addr, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	head := "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <a>\r\nLink: <b>\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <c>\r\n\r\nHTTP/1.1 200 OK\r\n"
	if !strings.HasPrefix(got, head) || !strings.HasSuffix(got, "\r\n\r\nok") {
		t.Errorf("%q", got)
	}
	for _, connection := range []string{"close", "keep-alive"} {
		got = raw(t, r.addr, "GET / HTTP/1.0\r\nHost: x\r\nConnection: "+connection+"\r\n\r\nGET / HTTP/1.0\r\n\r\n")
		if strings.Contains(got, "102") || strings.Contains(got, "103") || !strings.HasPrefix(got, "HTTP/1.1 200 OK\r\n") || !strings.HasSuffix(got, "\r\n\r\nok") {
			t.Errorf("%q", got)
		}
	}
}

// Interim answers without end do not put off the deadline of the answer.
func TestInterimAnswersEndInTime(t *testing.T) {
	for _, version := range []string{"1.1", "1.0"} {
		addr := origin(t, func(c net.Conn, br *bufio.Reader) {
			readHead(br)
			for {
				if _, err := io.WriteString(c, "HTTP/1.1 102 Processing\r\n\r\n"); err != nil {
					return
				}
				time.Sleep(time.Millisecond)
			}
		})
		p := passTo(t, addr)
		p.Timeouts.Response = 150 * time.Millisecond
		r := forwardRig(t, p)
		got := raw(t, r.addr, "GET / HTTP/"+version+"\r\nHost: x\r\nConnection: close\r\n\r\n")
		if !strings.Contains(got, "HTTP/1.1 504 ") || !strings.HasSuffix(got, "504 Gateway Timeout\n") {
			t.Errorf("HTTP/%s: …%.200q", version, got[max(0, len(got)-200):])
		}
	}
}

// A server may refuse a body that the client has not begun to send. The client need not
// send it then, so the connection ends: what came next could be either.
func TestExpectationIsRefusedByTheServer(t *testing.T) {
	addr := answer(t, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
	r := forwardRig(t, passTo(t, addr))
	got := raw(t, r.addr, "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
	contains(t, got, "HTTP/1.1 401 ")
	contains(t, got, "Connection: close\r\n")
	if strings.Contains(got, "100 Continue") || !strings.HasSuffix(got, "\r\n\r\nno") {
		t.Errorf("%q", got)
	}
}

// A refused Upgrade leaves an ordinary connection: what follows is the next request.
func TestUpgradeRefused(t *testing.T) {
	addr, conns := byPath(t, map[string]string{"/ws": "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"})
	r := forwardRig(t, passTo(t, addr))
	got := raw(t, r.addr, "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nGET /next HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 403 ") || !strings.HasSuffix(got, "next") || strings.Count(got, "HTTP/1.1 ") != 2 {
		t.Errorf("%q", got)
	}
	if conns.Load() != 1 {
		t.Errorf("%d connections", conns.Load())
	}
}

// The other protocol begins behind the body of the request that asks for it (RFC 9110
// section 7.8).
func TestUpgradeWithABody(t *testing.T) {
	for name, body := range map[string]string{"length": "Content-Length: 3\r\n\r\nabc", "chunks": "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"} {
		addr := origin(t, func(c net.Conn, br *bufio.Reader) {
			req, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			b, _ := io.ReadAll(req.Body)
			io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\n"+string(b)+":")
			io.Copy(c, br)
		})
		r := forwardRig(t, passTo(t, addr))
		c, err := net.Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(10 * time.Second))
		io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: echo\r\n"+body+"tunnel")
		br := bufio.NewReader(c)
		contains(t, readHead(br), "HTTP/1.1 101 ")
		want := "abc:tunnel"
		got := make([]byte, len(want))
		if _, err := io.ReadFull(br, got); err != nil || string(got) != want {
			t.Errorf("%s: %q %v", name, got, err)
		}
	}
}

// A client of HTTP/1.0 takes the close for the end of a body that has no length. Where the
// body breaks off it is reset instead, or a part would pass for the whole.
func TestCutAnswerToAnOldClient(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		cut  bool
	}{
		"no last chunk":  {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", true},
		"bad chunk":      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n", true},
		"whole":          {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", false},
		"up to the end":  {"HTTP/1.0 200 OK\r\n\r\nhello", false},
		"short of bytes": {"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello", false}, // the length tells
	} {
		t.Run(name, func(t *testing.T) {
			closing := make(chan struct{})
			addr := origin(t, func(s net.Conn, br *bufio.Reader) {
				readHead(br)
				head := strings.Index(c.text, "hello") + 5
				io.WriteString(s, c.text[:head])
				<-closing // the client has read what came so far
				io.WriteString(s, c.text[head:])
			})
			r := forwardRig(t, passTo(t, addr))
			conn, err := net.Dial("tcp", r.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(10 * time.Second))
			io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n")
			br := bufio.NewReader(conn)
			head := readHead(br)
			var body [5]byte
			if _, err := io.ReadFull(br, body[:]); err != nil || string(body[:]) != "hello" || strings.Contains(head, "chunked") {
				t.Errorf("%q %q %v", head, body, err)
			}
			close(closing)
			rest, err := io.ReadAll(br)
			if len(rest) > 0 || errors.Is(err, syscall.ECONNRESET) != c.cut {
				t.Errorf("the end: %q %v", rest, err)
			}
		})
	}
}

// A server that refuses a large upload at once is heard, by a client that goes on sending
// all of it first too.
func TestRefusedUploadIsAnswered(t *testing.T) {
	addr := origin(t, func(c net.Conn, br *bufio.Reader) {
		readHead(br)
		io.WriteString(c, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlarge")
	})
	r := forwardRig(t, passTo(t, addr))
	for _, head := range []string{"Content-Length: 67108864\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n4000000\r\n"} {
		c, err := net.Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(20 * time.Second))
		io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\n"+head)
		piece := make([]byte, 1<<20)
		for range 64 {
			if _, err := c.Write(piece); err != nil {
				break
			}
		}
		got := readHead(bufio.NewReader(c))
		c.Close()
		if !strings.HasPrefix(got, "HTTP/1.1 413 ") {
			t.Errorf("%.30q: answered with %q", head, got)
		}
	}
}

// A server that begins to answer while the request's body still comes gets the rest of it.
func TestBothBodiesAtOnce(t *testing.T) {
	addr := origin(t, func(c net.Conn, br *bufio.Reader) {
		req, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
		io.Copy(c, req.Body)
	})
	r := forwardRig(t, passTo(t, addr))
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"one", "two", "six"} {
		io.WriteString(c, "3\r\n"+word+"\r\n")
		got := make([]byte, 3)
		if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != word {
			t.Fatalf("%q %v", got, err)
		}
	}
	io.WriteString(c, "0\r\n\r\n")
	if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) > 0 {
		t.Errorf("the end: %q %v", rest, err)
	}
}
