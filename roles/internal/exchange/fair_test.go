package exchange

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// fair holds a loop still while a greedy client fills its sockets and a modest one sends a
// request behind all of that: how much of the greedy one's work comes first is what a turn
// grants to one connection, whatever the machine does. How long that takes beside haproxy
// and nginx is measured by bench.
type fair struct {
	t      *testing.T
	r      *rig
	work   atomic.Int64 // of the greedy client, since it was set to 0
	before chan int64   // work that was done when the modest request was served
	behind bool         // it serves behind a proxy that counts the requests
}

func (f *fair) Serve(x *Exchange) {
	switch path := string(x.Req.Path()); path {
	case "/down":
		x.Start(200)
		x.Stream(1<<40, down{f})
		down{f}.Drained(x)
		return
	case "/up":
		x.ReadBody(up{f})
		return
	default:
		if !f.behind {
			f.count(path)
		}
	}
	x.Start(200)
	x.End([]byte("hi"))
}

// down writes whenever it may; its work is bytes.
type down struct{ f *fair }

var piece = bytes.Repeat([]byte("0123456789abcdef"), 1<<10)

func (down) Body(*Exchange, []byte, bool) {}
func (down) Gone(*Exchange, Cause)        {}
func (d down) Drained(x *Exchange) {
	for more := true; more; {
		d.f.work.Add(int64(len(piece)))
		more = x.Write(piece)
	}
}

// up takes a body; its work is bytes.
type up struct{ f *fair }

func (up) Drained(*Exchange)                    {}
func (up) Gone(*Exchange, Cause)                {}
func (u up) Body(_ *Exchange, p []byte, _ bool) { u.f.work.Add(int64(len(p))) }

// hold stops the loop until the function that it returns is called.
func (f *fair) hold() (release func()) {
	held, gate := make(chan struct{}), make(chan struct{})
	f.r.set.workers[0].l.Post(func() { close(held); <-gate })
	<-held
	return func() { close(gate) }
}

func (f *fair) dial() net.Conn {
	f.t.Helper()
	c, err := net.Dial("tcp", f.r.addr)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(30 * time.Second))
	return c
}

// greed makes a connection greedy: flood fills the socket of a loop that stands still.
type greed struct {
	name  string
	begin func(f *fair) (flood func())
	most  int64 // work that may come before a modest request
	bytes bool  // is its measure
}

// drain takes what arrives.
func drain(c net.Conn) { go io.Copy(io.Discard, c) }

// fill writes to a loop that does not read until nothing more fits.
func fill(t *testing.T, c net.Conn, p []byte) {
	t.Helper()
	c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	for {
		if _, err := c.Write(p); err != nil {
			break
		}
	}
	c.SetWriteDeadline(time.Time{})
}

var greeds = []greed{
	{"64 pipelined requests", func(f *fair) func() {
		c := f.dial()
		drain(c)
		return func() { io.WriteString(c, strings.Repeat("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 64)) }
	}, 16, false},
	{"64 streams", func(f *fair) func() {
		e := dial2(f.t, f.r.addr)
		e.ask(1, "GET", "/", true)
		e.reply(1)
		drain(e.c)
		return func() {
			for i := range uint32(64) {
				e.ask(3+2*i, "GET", "/", true)
			}
		}
	}, 16, false},
	{"a bulk download", func(f *fair) func() {
		c := f.dial()
		io.WriteString(c, "GET /down HTTP/1.1\r\nHost: x\r\n\r\n")
		if _, err := io.ReadFull(c, make([]byte, 1<<20)); err != nil {
			f.t.Fatal(err)
		}
		return func() { // takes all that the loop has sent, so that it may send as much again
			c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			io.Copy(io.Discard, c)
			c.SetReadDeadline(time.Time{})
		}
	}, 128 << 10, true}, // what is on its way counts when it is handed over
	{"a bulk upload", func(f *fair) func() {
		c := f.dial()
		io.WriteString(c, "POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000000\r\n\r\n")
		return func() { fill(f.t, c, piece) }
	}, 64 << 10, true},
}

// One connection that wants all delays a request of another by what a turn grants to it.
func TestOneGreedyConnectionIsNotFelt(t *testing.T) {
	for _, forwarded := range []bool{false, true} {
		for _, g := range greeds {
			name := g.name
			if forwarded && g.bytes {
				continue // the server behind, which does not stand still, would count what was on its way
			}
			if forwarded {
				name = "forwarded, " + name
			}
			t.Run(name, func(t *testing.T) {
				f := &fair{t: t, before: make(chan int64, 1)}
				var h Handler = f
				if forwarded {
					f.behind = true
					behind := newRig(t, 1, &Frontend{Handler: f})
					pass := passTo(t, behind.addr)
					h = HandlerFunc(func(x *Exchange) {
						if p := string(x.Req.Path()); p == "/" || p == "/modest" {
							f.count(p)
						}
						x.Forward(pass)
					})
				}
				f.r = newRig(t, 1, &Frontend{HTTP2: true, Handler: h})
				f.check(g)
			})
		}
	}
}

func (f *fair) count(path string) {
	if path == "/modest" {
		f.before <- f.work.Load()
		return
	}
	f.work.Add(1)
}

func (f *fair) check(g greed) {
	flood := g.begin(f)
	modest := f.dial()
	br := bufio.NewReader(modest)
	for round := range 5 {
		release := f.hold()
		flood()
		f.work.Store(0)
		fmt.Fprint(modest, "GET /modest HTTP/1.1\r\nHost: x\r\n\r\n")
		release()
		got := <-f.before
		readResponse(f.t, br, "GET")
		f.t.Logf("%d before the modest request", got)
		if got > g.most {
			f.t.Fatalf("round %d: %d of the greedy connection's work comes first, at most %d may", round, got, g.most)
		}
		if strings.HasSuffix(g.name, "streams") {
			return // the identifiers are used up
		}
	}
}
