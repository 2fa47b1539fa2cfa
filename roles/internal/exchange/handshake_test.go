package exchange

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"stack/roles/internal/loop"
)

// clientHello is what a client sends first, whole.
func clientHello() []byte {
	var b bytes.Buffer
	tls.Client(recordOnly{&b}, &tls.Config{ServerName: "a.test"}).Handshake()
	return b.Bytes()
}

// manyConnections is n, or what the limit of descriptors gives for pairs of them.
func manyConnections(t *testing.T, n int) int {
	t.Helper()
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		t.Fatal(err)
	}
	if most := (int(l.Cur) - openFiles(t) - 200) / 2; most < n {
		t.Logf("%d connections: the limit of descriptors is %d", most, l.Cur)
		return most
	}
	return n
}

// openAll sends text on n connections, which end with the test.
func openAll(t *testing.T, addr string, n int, text []byte) (list []net.Conn) {
	t.Helper()
	for range n {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if _, err := c.Write(text); err != nil {
			t.Fatal(err)
		}
		list = append(list, c)
	}
	return list
}

// lateness runs beside a measurement and returns by how much a sleep was late at worst.
func lateness() (stop func() time.Duration) {
	done, result := make(chan struct{}), make(chan time.Duration, 1)
	go func() {
		var worst time.Duration
		for {
			began := time.Now()
			select {
			case <-done:
				result <- worst
				return
			case <-time.After(time.Millisecond):
				worst = max(worst, time.Since(began)-time.Millisecond)
			}
		}
	}()
	return func() time.Duration { close(done); return <-result }
}

// shake measures one whole handshake and a request.
func shake(t *testing.T, addr string, conf *tls.Config) time.Duration {
	t.Helper()
	began := time.Now()
	c, err := tls.Dial("tcp", addr, conf)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if b, err := io.ReadAll(c); err != nil || !strings.HasSuffix(string(b), "hi") {
		t.Fatalf("%q %v", b, err)
	}
	return time.Since(began)
}

func memoryInUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

// Thousands of handshakes that never go on, after a whole ClientHello or half of one,
// hold up nobody else and cost little memory.
func TestHalfDoneHandshakes(t *testing.T) {
	cert, pool := certificate(t, "a.test")
	hello := clientHello()
	for name, text := range map[string][]byte{"whole hello": hello, "half a hello": hello[:len(hello)/2]} {
		t.Run(name, func(t *testing.T) {
			wait := testTimeouts()
			wait.RequestHead = time.Minute
			r := newRig(t, 2, &Frontend{Handler: HandlerFunc(func(x *Exchange) { x.Start(200); x.End([]byte("hi")) }), Timeouts: wait, TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
			conf := &tls.Config{RootCAs: pool, ServerName: "a.test"}
			measure := func() (list []time.Duration, control time.Duration) {
				stop := lateness()
				for range 40 {
					list = append(list, shake(t, r.addr, conf))
				}
				slices.Sort(list)
				return list, stop()
			}
			before, _ := measure()
			base := memoryInUse()
			n := manyConnections(t, 4000/slowed)
			conns := openAll(t, r.addr, n, text)
			late := func(when string) {
				list, control := measure()
				t.Logf("%d connections %s: a handshake takes %v before, %v now (median), %v at worst; a sleep is late by %v at worst", n, when, before[20], list[20], list[39], control)
				if d := list[20] - before[20] - control; d > 100*time.Millisecond {
					t.Errorf("%s a handshake took %v, %v before (medians), while a sleep was late by at most %v", when, list[20], before[20], control)
				}
				// Of a queue in the order of arrival the first of the list would be the victim.
				if d := list[39] - before[20] - control; d > time.Second {
					t.Errorf("%s a handshake took %v, %v before, while a sleep was late by at most %v", when, list[39], before[20], control)
				}
			}
			late("just come")
			eventually(t, "all are there", func() bool { return r.set.Open() == n })
			if len(text) == len(hello) {
				for _, c := range conns { // half done: the server has answered
					c.SetDeadline(time.Now().Add(time.Minute))
					if _, err := c.Read(make([]byte, 1)); err != nil {
						t.Fatal(err)
					}
				}
			}
			each := (int64(memoryInUse()) - int64(base)) / int64(n)
			t.Logf("%.1f KiB for each, the test's end of it included", float64(each)/1024)
			if each > 64<<10 {
				t.Errorf("%d bytes for each", each)
			}
			late("that wait")
		})
	}
}

// One handshake too many is closed at once and counted; when others end there is room.
func TestHandshakesAreBounded(t *testing.T) {
	cert, pool := certificate(t, "a.test")
	limits := testLimits()
	limits.Handshakes = 8
	r := newRig(t, 2, &Frontend{Handler: hello("hi"), Limits: limits, TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
	var held []net.Conn
	for range 8 {
		c, err := net.Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		c.Write(clientHello())
		held = append(held, c)
	}
	eventually(t, "they are in progress", func() bool { return r.set.shaking.Load() == 8 })
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Write(clientHello())
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if b, _ := io.ReadAll(c); len(b) > 0 {
		t.Errorf("the ninth was answered: %q", b)
	}
	if n := r.point.Counters(); n.HandshakesRefused != 1 || n.HandshakesFailed != 0 {
		t.Errorf("%+v", n)
	}
	for _, c := range held {
		c.Close()
	}
	eventually(t, "they have ended", func() bool { return r.set.shaking.Load() == 0 })
	shake(t, r.addr, &tls.Config{RootCAs: pool, ServerName: "a.test"})
}

// A thousand handshakes that break off in every way leave nothing behind.
func TestNoLeakOfClientHandshakes(t *testing.T) {
	cert, _ := certificate(t, "a.test")
	settle := func() (int, int) { runtime.GC(); return openFiles(t), runtime.NumGoroutine() }
	fds, routines := settle()
	g, err := loop.Start(2)
	if err != nil {
		t.Fatal(err)
	}
	set := NewSet(g)
	point := set.Point("leak", &Frontend{Timeouts: testTimeouts(), Limits: testLimits(), Handler: hello("hi"), TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
	fd, at := listen(t)
	if err := point.Listen([]int{fd}); err != nil {
		t.Fatal(err)
	}
	whole := clientHello()
	ways := []func(c net.Conn){
		func(c net.Conn) { c.Write(whole[:rand.IntN(len(whole))]) },
		func(c net.Conn) { c.Write(whole) },
		func(c net.Conn) { c.Write(whole); c.Read(make([]byte, 1)) },
		func(c net.Conn) { c.Write(whole); c.(*net.TCPConn).SetLinger(0) },
		func(c net.Conn) { c.Write(slices.Concat(whole, []byte("nonsense"))); io.Copy(io.Discard, c) },
		func(c net.Conn) { tls.Client(c, &tls.Config{ServerName: "a.test"}).Handshake() }, // not trusted
		func(c net.Conn) {
			tls.Client(c, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS10}).Handshake()
		},
		func(c net.Conn) {
			s := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
			s.Handshake()
			io.WriteString(s, "GET / HT")
		},
	}
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			for j := range 100 {
				c, err := net.Dial("tcp", at)
				if err != nil {
					t.Error(err)
					return
				}
				c.SetDeadline(time.Now().Add(20 * time.Second))
				ways[(i+j)%len(ways)](c)
				c.Close()
			}
		})
	}
	wg.Wait()
	// A client that does not wait for an answer may be gone before it is accepted.
	eventually(t, "all have been accepted", func() bool { return point.Counters().Accepted == 1000 })
	eventually(t, "all connections have ended", func() bool { return set.Open() == 0 && set.shaking.Load() == 0 })
	if n := point.Counters(); n.HandshakesFailed < 500 {
		t.Errorf("%+v", n)
	}
	if err := set.Close(); err != nil {
		t.Error(err)
	}
	g.Close()
	loop.Close(fd)
	eventually(t, "all is released", func() bool { f, n := settle(); return f <= fds && n <= routines })
}

// In TCP mode the protocol inside is the client's and the server's to agree on.
func TestTCPOverTLSTakesAnyALPN(t *testing.T) {
	cert, pool := certificate(t, "a.test")
	addr := origin(t, func(c net.Conn, _ *bufio.Reader) { fmt.Fprint(c, "hello") })
	r := newRig(t, 1, &Frontend{TCP: passTo(t, addr), TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
	c, err := tls.Dial("tcp", r.addr, &tls.Config{RootCAs: pool, ServerName: "a.test", NextProtos: []string{"imap"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if b, err := io.ReadAll(c); err != nil || string(b) != "hello" {
		t.Errorf("%q %v", b, err)
	}
}
