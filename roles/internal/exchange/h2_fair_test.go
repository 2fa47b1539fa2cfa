package exchange

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	h2 "golang.org/x/net/http2"
)

// A connection that keeps 64 streams busy does not double the p99 of the others.
func TestHTTP2GreedyConnectionIsNotFelt(t *testing.T) {
	quietMachine(t)
	server := rig2(t, hello("hi")) // stands behind the one that is measured
	request := frames2(t, func(e *end2) { e.ask(1, "GET", "/", true) })
	greedy := func(addr string, stop <-chan struct{}, ready func()) {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Error(err)
			return
		}
		go func() { <-stop; c.Close() }()
		io.WriteString(c, h2.ClientPreface)
		c.Write(append([]byte{0, 0, 0, 4, 0, 0, 0, 0, 0}, 0, 0, 4, 8, 0, 0, 0, 0, 0, 0x7f, 0, 0, 0))
		w := &wire2{c: c, br: bufio.NewReaderSize(c, 64<<10)}
		var batch []byte
		id := uint32(1)
		for open := 0; ; { // as many as may be, always
			for batch = batch[:0]; open < 64; open, id = open+1, id+2 {
				binary.BigEndian.PutUint32(request[5:], id)
				batch = append(batch, request...)
			}
			if _, err := c.Write(batch); err != nil {
				return
			}
			for open > 32 {
				kind, flags, of, _, err := w.frame()
				if err != nil {
					return
				}
				if of != 0 && (flags&1 != 0 || kind == byte(h2.FrameRSTStream)) {
					open--
					ready()
				}
			}
		}
	}
	rounds := 5
	if !testing.Short() {
		rounds = 15
	}
	for name, handler := range map[string]func() Handler{
		"answered here": func() Handler { return hello("hi") },
		"forwarded": func() Handler {
			p := pass2(t, server.addr)
			return HandlerFunc(func(x *Exchange) { x.Forward(p) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 1, &Frontend{HTTP2: true, Handler: handler()})
			other := newRig(t, 1, &Frontend{HTTP2: true, Handler: handler()})
			f := &fairness{t: t, addr: r.addr, apart: other.addr, path: "/", window: 150 * time.Millisecond, rounds: rounds, greedy: greedy}
			f.check()
		})
	}
}

// Streams of one connection share it: twenty downloads go on side by side.
func TestHTTP2StreamsShareTheirConnection(t *testing.T) {
	for name, p := range map[string]*Pass{"h1": passTo(t, endless(t)), "h2": pass2(t, endless2(t))} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 1, &Frontend{HTTP2: true, Limits: defaultLimits(), Handler: HandlerFunc(func(x *Exchange) { x.Forward(p) })})
			e := dial2(t, r.addr)
			const streams = 20
			got := map[uint32]*reply2{}
			for i := range uint32(streams) {
				e.ask(1+2*i, "GET", "/", true)
				got[1+2*i] = &reply2{}
			}
			least, most := 0, 0
			e.readInto(got, func() bool {
				least, most = 1<<30, 0
				for _, r := range got {
					least, most = min(least, len(r.body)), max(most, len(r.body))
				}
				return least >= 200_000
			})
			for id, r := range got {
				if r.over() {
					t.Fatalf("%d: reset %t, ended %t, gone %t, %v", id, r.reset, r.ended, r.gone, r.code)
				}
			}
			if least < 200_000 || most > 20*least {
				t.Errorf("one stream has got %d bytes, another %d", least, most)
			}
		})
	}
}
