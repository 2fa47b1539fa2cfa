package exchange

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// wsEcho grants every upgrade and sends back what comes.
func wsEcho(t testing.TB) string {
	return origin(t, func(c net.Conn, br *bufio.Reader) {
		head := readHead(br)
		if !bytes.Contains([]byte(head), []byte("Upgrade: websocket\r\n")) || !bytes.Contains([]byte(head), []byte("ec-websocket-key: ")) &&
			!bytes.Contains([]byte(head), []byte("Sec-WebSocket-Key: ")) {
			io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
			return
		}
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n")
		io.Copy(c, br)
		c.(*net.TCPConn).CloseWrite()
	})
}

// An HTTP/1 client's upgrade goes to a server over HTTP/2 (extended CONNECT), which is this
// data plane again and makes an upgrade of HTTP/1 of it: RFC 8441 in both directions.
func TestWebSocketOverHTTP2(t *testing.T) {
	back := newRig(t, 1, &Frontend{HTTP2: true, Handler: forwardTo(passTo(t, wsEcho(t)))})
	p := passTo(t, back.addr)
	p.HTTP2 = true
	front := newRig(t, 1, &Frontend{Handler: forwardTo(p)})
	for range 2 { // the second finds the link open
		c, err := net.Dial("tcp", front.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(30 * time.Second))
		io.WriteString(c, "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
		br := bufio.NewReader(c)
		head := readHead(br)
		contains(t, head, "HTTP/1.1 101 Switching Protocols\r\n")
		if strings.Count(strings.ToLower(head), "sec-websocket-accept") != 1 {
			t.Errorf("%s", head)
		}
		contains(t, head, "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n") // of RFC 6455
		data := make([]byte, 8<<20)
		rand.NewChaCha8([32]byte{2}).Read(data)
		go func() {
			c.Write(data)
			c.(*net.TCPConn).CloseWrite()
		}()
		got, err := io.ReadAll(br)
		if err != nil || len(got) != len(data) || sha256.Sum256(got) != sha256.Sum256(data) {
			t.Fatalf("%d of %d bytes came back, or not the same: %v", len(got), len(data), err)
		}
	}
	rec := front.logs.wait(t, 2)[1]
	if rec.Status != 101 || rec.Cause != None || rec.BytesIn < 8<<20 || rec.BytesOut < 8<<20 {
		t.Errorf("%+v", rec)
	}
	if rec := back.logs.wait(t, 2)[1]; rec.Status != 200 || rec.Cause != None || !rec.HTTP2 {
		t.Errorf("%+v", rec)
	}
}

// A tunnel of which nothing is heard ends after timeouts.tunnel, and is counted as such.
func TestWebSocketOverHTTP2Silent(t *testing.T) {
	back := newRig(t, 1, &Frontend{HTTP2: true, Handler: forwardTo(passTo(t, wsEcho(t)))})
	p := passTo(t, back.addr)
	p.HTTP2, p.Timeouts.Tunnel = true, 50*time.Millisecond
	front := newRig(t, 1, &Frontend{Handler: forwardTo(p)})
	c, err := net.Dial("tcp", front.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n")
	io.ReadAll(c)
	if rec := front.logs.wait(t, 1)[0]; rec.Cause != TunnelTimeout {
		t.Errorf("%+v", rec)
	}
	if rec := back.logs.wait(t, 1)[0]; rec.Cause != ClientGone {
		t.Errorf("%+v", rec)
	}
}

// A server that does not announce extended CONNECT is not asked.
func TestWebSocketRefusedByServer(t *testing.T) {
	back := plainHTTP2Server(t)
	p := passTo(t, back)
	p.HTTP2 = true
	front := newRig(t, 1, &Frontend{Handler: forwardTo(p)})
	got := raw(t, front.addr, "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	contains(t, got, "HTTP/1.1 502 ")
	contains(t, got, "HTTP/1.1 200 OK\r\n")
}

// plainHTTP2Server is net/http's, which speaks HTTP/2 with prior knowledge here.
func plainHTTP2Server(t testing.TB) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Protocols: new(http.Protocols), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Proto)
	})}
	s.Protocols.SetUnencryptedHTTP2(true)
	go s.Serve(ln)
	t.Cleanup(func() { s.Close() })
	return ln.Addr().String()
}

func forwardTo(p *Pass) Handler { return HandlerFunc(func(x *Exchange) { x.Forward(p) }) }
