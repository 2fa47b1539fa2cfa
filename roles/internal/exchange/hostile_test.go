package exchange

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A server that sends interim answers without end must not fill the memory with what a
// client does not read.
func TestInterimAnswersAreHeldBack(t *testing.T) {
	const bound = 64 << 20
	var sent atomic.Int64
	full := make(chan struct{})
	addr := origin(t, func(c net.Conn, br *bufio.Reader) {
		readHead(br)
		interim := "HTTP/1.1 103 Early Hints\r\nX: " + strings.Repeat("y", 4000) + "\r\n\r\n"
		for sent.Load() < bound {
			c.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
			n, err := io.WriteString(c, interim)
			sent.Add(int64(n))
			if err != nil { // held back
				close(full)
				c.SetWriteDeadline(time.Time{})
				io.WriteString(c, interim[n:])
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
				return
			}
		}
		close(full)
	})
	r := forwardRig(t, passTo(t, addr))
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-full
	if n := sent.Load(); n >= bound {
		t.Fatalf("%d bytes of interim answers were taken for a client that reads nothing", n)
	}
	// Once the client reads, everything comes, the answer last.
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	br := bufio.NewReader(c)
	for {
		head := readHead(br)
		if strings.HasPrefix(head, "HTTP/1.1 103 ") {
			continue
		}
		contains(t, head, "HTTP/1.1 200 OK\r\n")
		break
	}
	var body [2]byte
	if _, err := io.ReadFull(br, body[:]); err != nil || string(body[:]) != "ok" {
		t.Errorf("%q %v", body, err)
	}
}

// What arrived of an answer that breaks off belongs to the client: a stream's last event
// often comes together with the end of its server.
func TestBrokenAnswerReachesTheClientAsFarAsItCame(t *testing.T) {
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
			got := raw(t, r.addr, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			contains(t, got, "hello")
			if strings.Contains(got, "0\r\n\r\n") {
				t.Errorf("the answer was ended as if it were whole: %q", got)
			}
		})
	}
}

// A client that is reset while its server does not read is noticed, not kept for the
// whole time-out of tunnels.
func TestResetClientOfAStuckTunnel(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	addr := origin(t, func(c net.Conn, br *bufio.Reader) { <-release })
	p := passTo(t, addr)
	p.Timeouts.Tunnel = time.Hour
	r := newRig(t, 1, &Frontend{TCP: p})
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	for piece := make([]byte, 1<<20); err == nil; { // until nothing more is taken
		c.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
		_, err = c.Write(piece)
	}
	c.(*net.TCPConn).SetLinger(0)
	c.Close()
	if rec := r.logs.wait(t, 1)[0]; rec.Cause != ClientGone {
		t.Error(rec.Cause)
	}
}

// A request that was under way when the drain began learns of it with its answer.
func TestDrainIsAnnouncedByAnswersUnderWay(t *testing.T) {
	arrived, answer := make(chan struct{}), make(chan struct{})
	addr := origin(t, func(c net.Conn, br *bufio.Reader) {
		readHead(br)
		close(arrived)
		<-answer
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	})
	r := forwardRig(t, passTo(t, addr))
	done := make(chan string, 1)
	go func() { done <- raw(t, r.addr, "GET / HTTP/1.1\r\nHost: x\r\n\r\n") }()
	<-arrived
	drained := make(chan error, 1)
	go func() { drained <- r.set.Drain(t.Context(), nil) }()
	for announced := false; !announced; {
		r.set.each(func(w *Worker) { announced = w.draining })
	}
	close(answer)
	contains(t, <-done, "Connection: close\r\n")
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

// A handshake whose time was over while it waited for its turn is not computed: under a
// flood of them all work would go into connections that nobody waits for any more.
func TestLateHandshakeIsNotComputed(t *testing.T) {
	var computed atomic.Int64
	times := testTimeouts()
	times.RequestHead = 50 * time.Millisecond
	r := newRig(t, 1, &Frontend{Handler: hello("hi"), Timeouts: times, TLS: &tls.Config{
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			computed.Add(1)
			return nil, errors.New("too late")
		},
	}})
	r.set.slots.take(&turn{granted: make(chan struct{}, 1)}, false, nil) // the only one
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if err := tls.Client(c, &tls.Config{InsecureSkipVerify: true}).Handshake(); err == nil {
		t.Error("a handshake without its turn succeeded")
	}
	r.set.slots.give()
	r.set.each(func(*Worker) {}) // what the loop started happened before
	r.set.goroutines.Wait()
	if n := computed.Load(); n != 0 {
		t.Errorf("%d handshakes were computed for a client that had been given up", n)
	}
}

// A server may refuse an upload and close while the body is still coming: its answer
// counts, not the error of the write that finds the connection closed.
func TestAnswerBeforeTheBodyIsRead(t *testing.T) {
	addr := origin(t, func(c net.Conn, br *bufio.Reader) {
		c.Read(make([]byte, 64)) // the rest stays unread: the close is a reset
		io.WriteString(c, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlarge")
	})
	r := forwardRig(t, passTo(t, addr))
	piece := make([]byte, 100_000)
	for i := range 300 {
		c, err := net.Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(10 * time.Second))
		io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
		for range 10 {
			if _, err := c.Write(piece); err != nil {
				break
			}
		}
		head := readHead(bufio.NewReader(c))
		c.Close()
		if !strings.HasPrefix(head, "HTTP/1.1 413 ") {
			t.Fatalf("upload %d was answered with %q", i, head)
		}
	}
}

// To an application behind a CGI-like interface X_Forwarded_For is X-Forwarded-For.
func TestForwardingFieldsCannotBeImitated(t *testing.T) {
	heads := make(chan string, 1)
	addr := origin(t, func(c net.Conn, br *bufio.Reader) {
		heads <- readHead(br)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	})
	r := forwardRig(t, passTo(t, addr))
	raw(t, r.addr, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX_Forwarded_For: 6.6.6.6\r\nX-forwarded_proto: evil\r\n"+
		"x_Forwarded-Host: evil\r\nX-Forwarded_Port: evil\r\nX_Forwarded_By: me\r\nMy_Own: field\r\n\r\n")
	head := <-heads
	for _, line := range strings.Split(head, "\r\n") {
		if strings.HasSuffix(line, ": evil") || strings.HasSuffix(line, ": 6.6.6.6") {
			t.Errorf("%q reached the server", line)
		}
	}
	contains(t, head, "X_Forwarded_By: me\r\n")
	contains(t, head, "My_Own: field\r\n")
}
