package exchange

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// A body with a length that is followed by trailer fields: an HTTP/1 server would take what
// came behind the body for the next request on its connection.
func TestTrailersBehindALengthAreNoRequest(t *testing.T) {
	got := make(chan string, 10)
	addr := origin(t, func(c net.Conn, br *bufio.Reader) {
		for {
			head := readHead(br)
			if head == "" {
				return
			}
			body := make([]byte, 3)
			if strings.Contains(strings.ToLower(head), "content-length: 3\r\n") {
				io.ReadFull(br, body)
			}
			got <- head[:strings.IndexByte(head, '\r')]
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	})
	for _, length := range []string{"0", "3"} {
		r := newRig(t, 1, &Frontend{HTTP2: true, Handler: forwardTo(passTo(t, addr))})
		e := dial2(t, r.addr)
		e.ask(1, "POST", "/first", false, "content-length", length)
		if length == "3" {
			e.fr.WriteData(1, false, []byte("abc"))
		}
		e.head(1, true, "x-checksum", "1")
		e.replies(1)
		e.ask(3, "GET", "/second", true)
		e.replies(3)
		if a, b := <-got, <-got; a != "POST /first HTTP/1.1" || b != "GET /second HTTP/1.1" {
			t.Errorf("length %s: the server got %q and %q", length, a, b)
		}
	}
}

// More requests than a turn serves, cut within a frame: all of them are served.
func TestHTTP2BurstCutInAFrame(t *testing.T) {
	r := newRig(t, 1, &Frontend{HTTP2: true, Handler: hello("hi")})
	var ids []uint32
	burst := frames2(t, func(e *end2) {
		for i := range uint32(60) {
			ids = append(ids, 1+2*i)
			e.ask(1+2*i, "GET", "/", true)
		}
	})
	e := dial2(t, r.addr)
	e.c.Write(burst[:5])
	time.Sleep(20 * time.Millisecond) // so that the two halves are two reads
	e.c.Write(burst[5:])
	for id, got := range e.replies(ids...) {
		if got.body != "hi" {
			t.Errorf("request %d: %+v", id, got)
		}
	}
}
