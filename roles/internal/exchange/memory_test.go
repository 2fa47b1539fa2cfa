package exchange

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"stack/appliance/config"
)

// endless is an origin that sends without end as fast as it can.
func endless(t testing.TB) string {
	piece := bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
	return origin(t, func(c net.Conn, br *bufio.Reader) {
		for readHead(br) != "" {
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", int64(1)<<40)
			for {
				if _, err := c.Write(piece); err != nil {
					return
				}
			}
		}
	})
}

// defaults are the limits of the configuration, without the file.
func defaultLimits() config.Limits {
	return config.Limits{HeadBytes: 16 << 10, Headers: 100, Connections: 65536, BufferBytes: 256 << 10, ConnectionsPerSource: 16384, MinRate: 100, Memory: 1 << 30}
}

// unread opens connections whose clients ask for something and never read it.
func unread(t testing.TB, n int, dial func() (net.Conn, error)) (conns []net.Conn) {
	t.Helper()
	for range n {
		c, err := dial()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		conns = append(conns, c)
	}
	return conns
}

// settled waits until what is held has not grown for a while, and returns it.
func settled(t testing.TB, s *Set, least int64) (held int64) {
	t.Helper()
	poll(t, fmt.Sprintf("at least %d bytes are held", least), func() bool { return s.Memory().Held >= least })
	for quiet := 0; quiet < 100; quiet++ {
		time.Sleep(5 * time.Millisecond)
		if n := s.Memory().Held; n > held {
			held, quiet = n, 0
		}
	}
	return held
}

// Clients that do not read never make a fast server, or a handler, fill the memory:
// each direction of a connection keeps limits.buffer_bytes at most, whatever it is.
func TestSlowClientsHoldLittle(t *testing.T) {
	const clients = 200
	cert, _ := certificate(t, "a.test")
	secure := &tls.Config{Certificates: []tls.Certificate{cert}}
	pass := passTo(t, endless(t))
	pass.Timeouts.Response = time.Minute
	forward := HandlerFunc(func(x *Exchange) { x.Forward(pass) })
	for _, c := range []struct {
		name    string
		buffers int
		front   Frontend
	}{
		{"forwarded", 256 << 10, Frontend{Handler: forward}},
		{"forwarded, small buffers", 16 << 10, Frontend{Handler: forward}},
		{"forwarded over TLS", 256 << 10, Frontend{Handler: forward, TLS: secure}},
		{"tcp mode over TLS", 256 << 10, Frontend{TCP: pass, TLS: secure}},
		{"streamed", 256 << 10, Frontend{Handler: HandlerFunc(func(x *Exchange) {
			x.Start(200)
			x.Stream(1<<40, pump{})
			pump{}.Drained(x)
		})}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := defaultLimits()
			l.BufferBytes = c.buffers
			f := c.front
			f.Limits, f.Timeouts = l, testTimeouts()
			f.Timeouts.Body, f.Timeouts.Tunnel = time.Minute, time.Minute
			r := newRig(t, 2, &f)
			conns := unread(t, clients, func() (net.Conn, error) {
				if f.TLS != nil {
					return tls.Dial("tcp", r.addr, &tls.Config{InsecureSkipVerify: true})
				}
				return net.Dial("tcp", r.addr)
			})
			held := settled(t, r.set, clients/2*4<<10)
			// A piece of what is kept may be a head, or the framing of TLS records.
			most := int64(clients * (c.buffers + 20<<10))
			if f.TLS != nil {
				most += clients * secureBytes
			}
			t.Logf("%d KiB for each client", held/clients>>10)
			if held > most {
				t.Errorf("%d clients hold %d bytes, %d for each; at most %d", clients, held, held/clients, most)
			}
			for _, c := range conns {
				c.Close()
			}
			poll(t, "everything is given back", func() bool {
				var n int64
				r.set.inTurn(func(w *Worker) { n += w.bufs.held })
				return r.set.Open() == 0 && n == 0
			})
		})
	}
}

// pump is a handler that writes whenever it may.
type pump struct{}

var pumped = bytes.Repeat([]byte("x"), 10_000)

func (pump) Body(*Exchange, []byte, bool) {}
func (pump) Gone(*Exchange, Cause)        {}
func (pump) Drained(x *Exchange) {
	for x.Write(pumped) {
	}
}

// At its bound a Set ends the connections that hold the most, keeps those that hold
// little, refuses new ones, says so, and recovers.
func TestMemoryBound(t *testing.T) {
	const limit = 8 << 20
	l := defaultLimits()
	l.Memory = limit
	pass := passTo(t, endless(t))
	times := testTimeouts()
	times.Idle = time.Minute // the connection that must live on waits meanwhile
	r := newRig(t, 2, &Frontend{Limits: l, Timeouts: times, Handler: HandlerFunc(func(x *Exchange) {
		switch string(x.Req.Path()) {
		case "/":
			x.Forward(pass)
		case "/keep": // a handler that keeps much
			x.Hold(limit)
			x.Suspend(nil)
		default:
			x.Start(200)
			x.End([]byte("small"))
		}
	})})
	var out lines
	r.set.LogTo(slog.New(slog.NewTextHandler(&out, nil)), "web")
	small, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer small.Close()
	br := bufio.NewReader(small)
	ask := func() {
		t.Helper()
		small.SetDeadline(time.Now().Add(20 * time.Second))
		io.WriteString(small, "GET /small HTTP/1.1\r\nHost: x\r\n\r\n")
		if _, body := readResponse(t, br, "GET"); body != "small" {
			t.Errorf("%q", body)
		}
	}
	ask()
	greedy := unread(t, 300, func() (net.Conn, error) { return net.Dial("tcp", r.addr) })
	poll(t, "connections are ended", func() bool { return r.set.Memory().Ended > 0 })
	var most int64
	for range 200 {
		most = max(most, r.set.Memory().Held)
		ask()
	}
	// One loop fills while the other, which is to end connections too, waits for a processor:
	// without a bound these would hold 22 MB.
	if most > 2*limit {
		t.Errorf("%d bytes are held, the bound is %d", most, limit)
	}
	poll(t, "the log says so", func() bool { return strings.Contains(out.String(), "memory bound reached") })
	contains(t, out.String(), "web.limits.memory")
	poll(t, "the records name the cause", func() bool {
		for _, rec := range r.logs.wait(t, 1) {
			if rec.Cause == OutOfMemory {
				return true
			}
		}
		return false
	})
	for _, c := range greedy {
		c.Close()
	}
	poll(t, "all but one have ended", func() bool { return r.set.Open() == 1 })

	// What nobody can be ended for: new connections are refused until it is given back.
	before := r.set.Memory().Ended
	r.set.inTurn(func(w *Worker) {
		if w.index == 0 {
			w.hold(2 * limit)
		}
	})
	poll(t, "the Set is full", r.set.memory.full.Load)
	if _, in := dialFrom(t, "127.0.0.1", r.addr); in {
		t.Error("a connection was let in at the bound")
	}
	ask()
	if n := r.point.Counters().Refused[RefusedMemory]; n == 0 {
		t.Error("no refusal was counted")
	}
	r.set.inTurn(func(w *Worker) {
		if w.index == 0 {
			w.hold(-2 * limit)
		}
	})
	poll(t, "the Set is not full any more", func() bool { return !r.set.memory.full.Load() })
	if r.set.Memory().Ended != before {
		t.Error("a connection that holds little was ended")
	}

	// What a handler keeps counts as its connection's.
	c := unread(t, 1, func() (net.Conn, error) {
		c, err := net.Dial("tcp", r.addr)
		if err == nil {
			_, err = io.WriteString(c, "GET /keep HTTP/1.1\r\nHost: x\r\n\r\n") // and another behind it
		}
		return c, err
	})[0]
	c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("an answer from a handler that gave none")
	}
	poll(t, "it is given back", func() bool { return r.set.Memory().Held < limit/2 })
	ask()
}
