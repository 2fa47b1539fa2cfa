package exchange

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestUpgrade(t *testing.T) {
	addr := origin(t, func(c net.Conn, br *bufio.Reader) {
		head := readHead(br)
		if !bytes.Contains([]byte(head), []byte("Connection: upgrade\r\nUpgrade: websocket\r\n\r\n")) {
			io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
			return
		}
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\nfirst")
		b, _ := io.ReadAll(br) // up to the client's half-close
		c.Write(append([]byte("echo:"), b...))
	})
	r := forwardRig(t, passTo(t, addr))
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\nearly")
	br := bufio.NewReader(c)
	head := readHead(br)
	contains(t, head, "HTTP/1.1 101 Switching Protocols\r\n")
	contains(t, head, "Connection: upgrade\r\nUpgrade: websocket\r\n")
	first := make([]byte, 5)
	if _, err := io.ReadFull(br, first); err != nil || string(first) != "first" {
		t.Fatalf("%q %v", first, err)
	}
	io.WriteString(c, " and late")
	c.(*net.TCPConn).CloseWrite()
	rest, err := io.ReadAll(br)
	if err != nil || string(rest) != "echo:early and late" {
		t.Errorf("%q %v", rest, err)
	}
	rec := r.logs.wait(t, 1)[0]
	if rec.Status != 101 || rec.Cause != None || rec.BytesOut < 20 {
		t.Errorf("%+v", rec)
	}
}

func TestTunnelIdleTimeout(t *testing.T) {
	addr := origin(t, func(c net.Conn, br *bufio.Reader) { br.ReadByte() })
	p := passTo(t, addr)
	p.Timeouts.Tunnel = 50 * time.Millisecond
	r := newRig(t, 1, &Frontend{TCP: p})
	raw(t, r.addr, "")
	if rec := r.logs.wait(t, 1)[0]; rec.Cause != TunnelTimeout || !rec.TCP {
		t.Errorf("%+v", rec)
	}
}

// tcpEcho sends back what comes, and closes its direction when the client has.
func tcpEcho(t testing.TB) string {
	return origin(t, func(c net.Conn, br *bufio.Reader) {
		io.Copy(c, br)
		c.(*net.TCPConn).CloseWrite()
	})
}

// Both directions at once, enough to go through pipes, with half-closes.
func TestTCPMode(t *testing.T) {
	p := passTo(t, freePort(t), tcpEcho(t))
	p.Preamble = func(x *Exchange, b []byte) []byte { return append(b, "hello "...) }
	r := newRig(t, 2, &Frontend{Name: "tcp", TCP: p})
	data := make([]byte, 20<<20)
	rng := rand.NewChaCha8([32]byte{1})
	rng.Read(data)
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(60 * time.Second))
	go func() {
		for rest := data; len(rest) > 0; { // small and large pieces
			n := min(len(rest), 1+rand.IntN(300_000))
			if _, err := c.Write(rest[:n]); err != nil {
				return
			}
			rest = rest[n:]
		}
		c.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(data)+6 || sha256.Sum256(got[6:]) != sha256.Sum256(data) {
		t.Errorf("%d bytes, not the same", len(got))
	}
	rec := r.logs.wait(t, 1)[0]
	if rec.Cause != None || rec.BytesIn != int64(len(data)) || rec.BytesOut != int64(len(got)) || rec.Retries != 1 || rec.Backend != "pool" {
		t.Errorf("%+v", rec)
	}
}

// The server may speak first, as MySQL does.
func TestTCPServerSpeaksFirst(t *testing.T) {
	addr := origin(t, func(c net.Conn, br *bufio.Reader) { io.WriteString(c, "greeting") })
	r := newRig(t, 1, &Frontend{TCP: passTo(t, addr)})
	if got := raw(t, r.addr, ""); got != "greeting" {
		t.Error(got)
	}
}

func TestTCPNoServer(t *testing.T) {
	r := newRig(t, 1, &Frontend{TCP: passTo(t)})
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if b, _ := io.ReadAll(c); len(b) != 0 {
		t.Errorf("%q", b)
	}
	if rec := r.logs.wait(t, 1)[0]; rec.Cause != NoServer || rec.Status != 0 {
		t.Errorf("%+v", rec)
	}
}

// Either end of a tunnel may vanish without a word.
func TestTunnelsAreKeptAlive(t *testing.T) {
	r := newRig(t, 1, &Frontend{TCP: passTo(t, tcpEcho(t))})
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	c.Write([]byte("x"))
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	seen := 0
	r.set.inTurn(func(w *Worker) {
		for c := w.conns; c != nil; c = c.next {
			for _, fd := range []int{c.fd, c.x.tun.s.fd} {
				seen++
				for _, o := range []struct{ level, name, want int }{
					{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1}, {unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 60},
					{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 10}, {unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 3},
				} {
					if got, err := unix.GetsockoptInt(fd, o.level, o.name); err != nil || got != o.want {
						t.Errorf("socket %d: option %d of level %d is %d, %v; want %d", seen, o.name, o.level, got, err, o.want)
					}
				}
			}
		}
	})
	if seen != 2 {
		t.Errorf("%d sockets", seen)
	}
}
