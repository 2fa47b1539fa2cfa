package exchange

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
)

// loads returns how many connections each loop has.
func loads(r *rig) (n []int64) {
	for i := range r.group.Size() {
		n = append(n, r.group.Loop(i).Load())
	}
	return n
}

// Long connections are spread evenly, though a listening socket wakes whichever loop it
// likes: eight WebSockets on two loops end 4 ± 1.
func TestWebSocketsAreBalanced(t *testing.T) {
	echo := origin(t, func(c net.Conn, br *bufio.Reader) {
		readHead(br)
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		io.Copy(c, br)
	})
	pass := passTo(t, echo)
	r := newRig(t, 2, &Frontend{Handler: HandlerFunc(func(x *Exchange) { x.Forward(pass) })})
	for range 10 {
		var open []net.Conn
		for range 8 {
			c, err := net.Dial("tcp", r.addr)
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(c, "GET /chat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil || resp.StatusCode != 101 {
				t.Fatalf("%v %v", resp, err)
			}
			open = append(open, c)
		}
		for i, n := range loads(r) {
			if n < 3 || n > 5 {
				t.Errorf("loop %d has %d of 8 WebSockets", i, n)
			}
		}
		for _, c := range open {
			c.Close()
		}
		poll(t, "all have ended", func() bool { return r.set.Open() == 0 })
	}
}

// A thousand connections, of which some end meanwhile, end within 10 % of the mean.
func TestAThousandConnectionsAreBalanced(t *testing.T) {
	const want = 1000
	r := newRig(t, 2, &Frontend{Handler: hello("hi")})
	var open []net.Conn
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	for i := range want + want/2 {
		c, err := net.Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		keepAliveGet(t, c, bufio.NewReader(c))
		if i%3 == 2 {
			c.Close()
			continue
		}
		open = append(open, c)
	}
	poll(t, "the others have ended", func() bool { return r.set.Open() == want })
	for i, n := range loads(r) {
		if n < want/2-want/20 || n > want/2+want/20 {
			t.Errorf("loop %d has %d of %d connections", i, n, want)
		}
	}
}
