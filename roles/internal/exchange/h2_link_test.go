package exchange

import (
	"io"
	"sync/atomic"
	"testing"
	"time"

	h2 "golang.org/x/net/http2"
)

// ok answers a request with a short body.
func (e *end2) ok(id uint32) {
	e.head(id, false, ":status", "200")
	e.fr.WriteData(id, true, []byte("ok"))
}

// What a server refuses is sent again, whatever the method; what it may have begun with
// is not, unless the whole connection is lost and the method is idempotent.
func TestHTTP2ServersThatRefuse(t *testing.T) {
	for name, c := range map[string]struct {
		method string
		refuse func(e *end2, id uint32)
		status string
	}{
		"refused":          {"POST", func(e *end2, id uint32) { e.fr.WriteRSTStream(id, h2.ErrCodeRefusedStream) }, "200"},
		"reset":            {"GET", func(e *end2, id uint32) { e.fr.WriteRSTStream(id, h2.ErrCodeInternal) }, "502"},
		"cancelled":        {"GET", func(e *end2, id uint32) { e.fr.WriteRSTStream(id, h2.ErrCodeCancel) }, "502"},
		"away before":      {"POST", func(e *end2, id uint32) { e.fr.WriteGoAway(id-2, h2.ErrCodeNo, nil) }, "200"},
		"lost, idempotent": {"GET", func(e *end2, id uint32) { e.c.Close() }, "200"},
		"lost":             {"POST", func(e *end2, id uint32) { e.c.Close() }, "502"},
		"no HTTP":          {"GET", func(e *end2, id uint32) { io.WriteString(e.c, "HTTP/1.1 200 OK\r\n\r\n") }, "200"},
		"no status":        {"GET", func(e *end2, id uint32) { e.head(id, true, "a", "b") }, "502"},
		"101":              {"GET", func(e *end2, id uint32) { e.head(id, true, ":status", "101") }, "502"},
		"interim and end":  {"GET", func(e *end2, id uint32) { e.head(id, true, ":status", "103") }, "502"},
		"data first":       {"GET", func(e *end2, id uint32) { e.fr.WriteData(id, true, []byte("x")) }, "502"},
		"pushed": {"GET", func(e *end2, id uint32) {
			e.fr.WritePushPromise(h2.PushPromiseParam{StreamID: id, PromiseID: 2, BlockFragment: e.block(":method", "GET"), EndHeaders: true})
		}, "200"},
		"hop by hop": {"GET", func(e *end2, id uint32) { e.head(id, true, ":status", "200", "connection", "close") }, "502"},
	} {
		t.Run(name, func(t *testing.T) {
			var seen atomic.Int32
			addr := origin2(t, func(e *end2) {
				for {
					id, _, _ := e.request()
					if id == 0 {
						return
					}
					if seen.Add(1) == 2 {
						c.refuse(e, id)
						continue
					}
					e.ok(id)
				}
			})
			p := pass2(t, addr)
			r := newRig(t, 1, &Frontend{HTTP2: true, Handler: HandlerFunc(func(x *Exchange) { x.Forward(p) })})
			e := dial2(t, r.addr)
			e.ask(1, "GET", "/", true) // the connection is known to the loop from here on
			if got := e.reply(1); got.status() != "200" {
				t.Fatalf("%+v", got)
			}
			e.ask(3, c.method, "/", true)
			if got := e.reply(3); got.status() != c.status || !got.ended {
				t.Errorf("%+v", got)
			}
			e.ask(5, "GET", "/", true)
			if got := e.reply(5); got.status() != "200" || got.body != "ok" {
				t.Errorf("afterwards: %+v", got)
			}
		})
	}
}

// Many requests on a connection to a server that dies: each is answered or sent again, and
// none is lost or answered twice.
func TestHTTP2LinkDies(t *testing.T) {
	const n = 90
	var conns atomic.Int32
	addr := origin2(t, func(e *end2) {
		first := conns.Add(1) == 1
		seen := 0
		for {
			id, _, _ := e.request()
			switch seen++; {
			case id == 0:
				return
			case first && seen == 1:
				e.ok(id)
			case first && seen == n:
				e.c.Close()
				return
			case !first:
				e.ok(id)
			}
		}
	})
	p := pass2(t, addr)
	r := newRig(t, 1, &Frontend{HTTP2: true, Handler: HandlerFunc(func(x *Exchange) { x.Forward(p) })})
	e := dial2(t, r.addr)
	e.ask(1, "GET", "/", true)
	e.reply(1)
	var ids []uint32
	for i := range uint32(n) {
		id := 3 + 2*i
		e.ask(id, "GET", "/", true)
		ids = append(ids, id)
	}
	for id, got := range e.replies(ids...) {
		if got.status() != "200" || got.body != "ok" || len(got.heads) != 1 {
			t.Errorf("%d: %+v", id, got)
		}
	}
	if got := len(p.Picker.(*one).outcomes()); got != n+1 {
		t.Errorf("%d outcomes", got)
	}
}

// A server that answers in full and then resets the rest of the request has answered, also
// where the client reads slowly.
func TestHTTP2ResetBehindTheAnswer(t *testing.T) {
	sent := make(chan bool)
	addr := origin2(t, func(e *end2) {
		id, _, _ := e.request()
		e.head(id, false, ":status", "200")
		for range 3 {
			e.fr.WriteData(id, false, make([]byte, 4096))
		}
		e.fr.WriteData(id, true, make([]byte, 1000))
		e.fr.WriteRSTStream(id, h2.ErrCodeNo)
		sent <- e.ping()
		e.request()
	})
	r := forwardRig2(t, pass2(t, addr))
	e := dial2(t, r.addr, window(10))
	e.ask(1, "POST", "/", false)
	m := map[uint32]*reply2{1: {}}
	e.readInto(m, func() bool { return len(m[1].body) >= 10 })
	if !<-sent {
		t.Error("the connection to the server has ended")
	}
	e.fr.WriteWindowUpdate(1, 1<<20)
	e.readInto(m, m[1].over)
	if got := m[1]; !got.ended || len(got.body) != 3*4096+1000 {
		t.Errorf("ended %t, reset %t, %d bytes", got.ended, got.reset, len(got.body))
	}
}

// Clients that leave in the middle of answers do not spend what a server's connection may
// misbehave: the others on it go on.
func TestHTTP2CancelledAnswersSpareTheLink(t *testing.T) {
	var conns atomic.Int32
	addr := serve2Counting(t, &conns)
	p := pass2(t, addr)
	r := newRig(t, 1, &Frontend{HTTP2: true, Handler: HandlerFunc(func(x *Exchange) { x.Forward(p) })})
	for range 30 {
		e := dial2(t, r.addr)
		for i := range uint32(90) {
			e.ask(1+2*i, "GET", "/big", true)
		}
		f := e.next()
		for ; f != nil && f.Header().Type != h2.FrameData; f = e.next() {
		}
		e.c.Close()
	}
	e := dial2(t, r.addr)
	e.ask(1, "GET", "/", true)
	if got := e.reply(1); got.status() != "200" {
		t.Errorf("%+v", got)
	}
	if n := conns.Load(); n > 2 {
		t.Errorf("%d connections were needed", n)
	}
}

// A server whose connection has gone silent gets no further requests on it.
func TestHTTP2SilentLinkIsLeft(t *testing.T) {
	var conns atomic.Int32
	addr := origin2(t, func(e *end2) {
		silent := conns.Add(1) == 1
		for {
			id, _, _ := e.request()
			if id == 0 {
				return
			}
			if !silent || id == 1 {
				e.ok(id)
			}
		}
	})
	p := pass2(t, addr)
	p.Timeouts.Response = 200 * time.Millisecond
	r := newRig(t, 1, &Frontend{HTTP2: true, Handler: HandlerFunc(func(x *Exchange) { x.Forward(p) })})
	e := dial2(t, r.addr)
	for i, want := range []string{"200", "504", "200"} {
		id := uint32(1 + 2*i)
		e.ask(id, "GET", "/", true)
		if got := e.reply(id); got.status() != want {
			t.Errorf("%d: %+v", i, got)
		}
	}
}

// The number of streams that a server allows is kept, and a low one is lived with.
func TestHTTP2ServerLimitsStreams(t *testing.T) {
	var most atomic.Int32
	addr := origin2(t, func(e *end2) {
		var open []uint32
		for {
			id, _, _ := e.request()
			if id == 0 {
				return
			}
			open = append(open, id)
			most.Store(max(most.Load(), int32(len(open))))
			if len(open) > 2 {
				e.fr.WriteRSTStream(id, h2.ErrCodeRefusedStream)
				open = open[:2]
				continue
			}
			if len(open) == 2 {
				for _, id := range open {
					e.ok(id)
				}
				open = nil
			}
		}
	}, h2.Setting{ID: h2.SettingMaxConcurrentStreams, Val: 2})
	p := pass2(t, addr)
	p.Timeouts.Response = time.Second
	r := newRig(t, 1, &Frontend{HTTP2: true, Handler: HandlerFunc(func(x *Exchange) { x.Forward(p) })})
	e := dial2(t, r.addr)
	e.ask(1, "GET", "/", true)
	e.ask(3, "GET", "/", true)
	e.replies(1, 3)
	var ids []uint32
	for i := range uint32(40) {
		e.ask(5+2*i, "GET", "/", true)
		ids = append(ids, 5+2*i)
	}
	for id, got := range e.replies(ids...) {
		if got.status() != "200" {
			t.Errorf("%d: %s", id, got.status())
		}
	}
	if n := most.Load(); n > 2 {
		t.Errorf("%d streams at a time", n)
	}
}
