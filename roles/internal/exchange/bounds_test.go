package exchange

import (
	"bufio"
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// poll waits for a condition.
func poll(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not so after a minute: %s", what)
		}
	}
}

// dialFrom opens a connection from a loopback address and says whether it was let in.
func dialFrom(t testing.TB, from, addr string) (c net.Conn, in bool) {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 10 * time.Second}
	c, err := d.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	b, err := bufio.NewReader(c).Peek(12)
	return c, err == nil && string(b) == "HTTP/1.1 200"
}

type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestConnectionsPerSource(t *testing.T) {
	l := testLimits()
	l.Connections, l.ConnectionsPerSource = 1000, 3
	r := newRig(t, 2, &Frontend{Handler: hello("hi"), Limits: l, Trusted: prefixes("127.0.0.9/32")})
	var out lines
	r.set.LogTo(slog.New(slog.NewTextHandler(&out, nil)), "lb")
	var open []net.Conn
	for i := range 6 {
		c, in := dialFrom(t, "127.0.0.1", r.addr)
		if in != (i < 3) {
			t.Fatalf("connection %d let in: %v", i+1, in)
		}
		open = append(open, c)
		if _, in := dialFrom(t, "127.0.0.9", r.addr); !in {
			t.Fatalf("connection %d of a trusted peer was refused", i+1)
		}
	}
	if _, in := dialFrom(t, "127.0.0.2", r.addr); !in {
		t.Error("another address was refused")
	}
	n := r.point.Counters()
	if n.Refused[RefusedSource] != 3 || n.Accepted != 3+6+1 {
		t.Errorf("%+v", n)
	}
	open[0].Close()
	poll(t, "a place is free again", func() bool { _, in := dialFrom(t, "127.0.0.1", r.addr); return in })
	poll(t, "the refusal is logged", func() bool { return strings.Contains(out.String(), "reason=source") })
	text := out.String()
	contains(t, text, "client=127.0.0.1")
	contains(t, text, "lb.limits.connections_per_source")
	if strings.Count(text, "\n") != 1 {
		t.Errorf("more than a line in ten seconds:\n%s", text)
	}
}

// A bound that a reload brings counts what is open, and closes none of it.
func TestSourcesAfterReload(t *testing.T) {
	f := &Frontend{Handler: hello("hi")}
	r := newRig(t, 2, f)
	for range 4 {
		if _, in := dialFrom(t, "127.0.0.1", r.addr); !in {
			t.Fatal("refused without a bound")
		}
	}
	g := *f
	g.Limits.ConnectionsPerSource, g.Limits.Connections = 5, 100_000
	r.set.Swap(map[*Point]*Frontend{r.point: &g})
	if _, in := dialFrom(t, "127.0.0.1", r.addr); !in {
		t.Error("the fifth was refused")
	}
	if _, in := dialFrom(t, "127.0.0.1", r.addr); in {
		t.Error("the sixth was let in")
	}
	poll(t, "five are open", func() bool { return r.point.Counters().Open == 5 })
}

// Whom a trusted peer names is counted in its stead.
func TestSetPeerMovesTheCount(t *testing.T) {
	l := testLimits()
	l.ConnectionsPerSource = 2
	r := newRig(t, 1, &Frontend{Limits: l, Trusted: prefixes("127.0.0.9/32"), Handler: hello("hi")})
	named := netip.MustParseAddrPort("192.0.2.7:1")
	for range 3 {
		if _, in := dialFrom(t, "127.0.0.9", r.addr); !in {
			t.Fatal("a trusted peer was refused")
		}
	}
	var got []bool
	var again bool
	r.set.each(func(w *Worker) {
		for c := w.conns; c != nil; c = c.next {
			got = append(got, c.setPeer(named))
		}
		w.conns.next.setPeer(netip.MustParseAddrPort("192.0.2.8:1")) // leaves the count of the first
		w.conns.setPeer(netip.MustParseAddrPort("127.0.0.9:1"))
		again = w.conns.setPeer(named)
	})
	if len(got) != 3 || !got[0] || !got[1] || got[2] || !again {
		t.Errorf("%v, then %v", got, again)
	}
	if n := r.point.Counters(); n.Refused[RefusedSource] != 1 {
		t.Errorf("%+v", n)
	}
}

// The points of a frontend are counted together, and exactly.
func TestConnectionsOfAFrontend(t *testing.T) {
	f := &Frontend{Handler: hello("hi"), Connections: 3}
	r := newRig(t, 2, f)
	r.point.Remove()
	var tally Tally
	var addrs []string
	var points []*Point
	for range 2 {
		fd, addr := listen(t)
		t.Cleanup(func() { unix.Close(fd) })
		g := *f
		g.Timeouts, g.Limits = testTimeouts(), testLimits()
		p := r.set.Point("p", &g)
		p.CountIn(&tally)
		if err := p.Listen([]int{fd}); err != nil {
			t.Fatal(err)
		}
		addrs, points = append(addrs, addr), append(points, p)
	}
	var open []net.Conn
	for i := range 8 {
		c, in := dialFrom(t, "127.0.0.1", addrs[i%2])
		if in != (i < 3) {
			t.Fatalf("connection %d let in: %v", i+1, in)
		}
		open = append(open, c)
	}
	if a, b := points[0].Counters(), points[1].Counters(); a.Refused[RefusedFrontend]+b.Refused[RefusedFrontend] != 5 || a.Open+b.Open != 3 {
		t.Errorf("%+v %+v", a, b)
	}
	open[1].Close()
	poll(t, "a place is free again", func() bool { _, in := dialFrom(t, "127.0.0.1", addrs[0]); return in })
}
