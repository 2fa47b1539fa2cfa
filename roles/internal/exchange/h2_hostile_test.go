package exchange

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	h2 "golang.org/x/net/http2"
)

// What costs a peer little and us much ends its connection, soon.
func TestHTTP2Floods(t *testing.T) {
	p := pass2(t, endless2(t))
	for name, c := range map[string]struct {
		first, again func(e *end2, i uint32)
		code         h2.ErrCode
	}{
		"rapid reset": {code: h2.ErrCodeEnhanceYourCalm, again: func(e *end2, i uint32) {
			e.ask(1+2*i, "GET", "/", true)
			e.fr.WriteRSTStream(1+2*i, h2.ErrCodeCancel)
		}},
		"reset by a mistake": {code: h2.ErrCodeEnhanceYourCalm, again: func(e *end2, i uint32) {
			e.ask(1+2*i, "GET", "/", true)
			e.fr.WriteWindowUpdate(1+2*i, 0)
		}},
		"refused streams": {code: h2.ErrCodeEnhanceYourCalm, again: func(e *end2, i uint32) { e.ask(1+2*i, "GET", "/hang", true) }},
		"settings":        {code: h2.ErrCodeEnhanceYourCalm, again: func(e *end2, _ uint32) { e.fr.WriteSettings(window(100)) }},
		"ping":            {code: h2.ErrCodeEnhanceYourCalm, again: func(e *end2, _ uint32) { e.fr.WritePing(false, [8]byte{}) }},
		"priority": {code: h2.ErrCodeEnhanceYourCalm, again: func(e *end2, _ uint32) {
			e.fr.WritePriority(1, h2.PriorityParam{StreamDep: 3})
		}},
		"priority update": {code: h2.ErrCodeEnhanceYourCalm, again: func(e *end2, _ uint32) {
			e.fr.WriteRawFrame(0x10, 0, 0, []byte{0, 0, 0, 1, 'u', '=', '1'})
		}},
		"unknown frames": {code: h2.ErrCodeEnhanceYourCalm, again: func(e *end2, _ uint32) { e.fr.WriteRawFrame(0x77, 0, 0, nil) }},
		"empty data": {code: h2.ErrCodeEnhanceYourCalm, first: func(e *end2, _ uint32) { e.ask(1, "POST", "/hang", false) },
			again: func(e *end2, _ uint32) { e.fr.WriteData(1, false, nil) }},
		"padding alone": {code: h2.ErrCodeEnhanceYourCalm, first: func(e *end2, _ uint32) { e.ask(1, "POST", "/hang", false) },
			again: func(e *end2, i uint32) { e.fr.WriteDataPadded(1, false, nil, make([]byte, 10)) }},
		"tiny windows": {code: h2.ErrCodeEnhanceYourCalm, first: func(e *end2, _ uint32) {
			e.fr.WriteSettings(window(0))
			e.ask(1, "GET", "/big", true)
		}, again: func(e *end2, _ uint32) { e.fr.WriteWindowUpdate(1, 1) }},
		"continuation": {code: h2.ErrCodeEnhanceYourCalm, first: func(e *end2, _ uint32) {
			e.fr.WriteHeaders(h2.HeadersFrameParam{StreamID: 1, BlockFragment: e.block(":method", "GET")})
		}, again: func(e *end2, _ uint32) { e.fr.WriteContinuation(1, false, []byte{0x82}) }},
		"empty continuation": {code: h2.ErrCodeEnhanceYourCalm, first: func(e *end2, _ uint32) {
			e.fr.WriteHeaders(h2.HeadersFrameParam{StreamID: 1, BlockFragment: e.block(":method", "GET")})
		}, again: func(e *end2, _ uint32) { e.fr.WriteContinuation(1, false, nil) }},
		"header bomb": {code: h2.ErrCodeCompression, again: func(e *end2, i uint32) {
			big := e.block("x", strings.Repeat("y", 3900)) // into the table
			for range 3000 {
				big = append(big, 0x80|62) // and out of it again
			}
			e.fr.WriteHeaders(h2.HeadersFrameParam{StreamID: 1 + 2*i, BlockFragment: big, EndStream: true, EndHeaders: true})
		}},
		"trailers that do not end": {code: h2.ErrCodeEnhanceYourCalm, again: func(e *end2, i uint32) {
			e.ask(1+2*i, "POST", "/hang", false)
			e.head(1+2*i, false, "a", "b")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 1, &Frontend{HTTP2: true, Handler: HandlerFunc(func(x *Exchange) {
				switch string(x.Req.Path()) {
				case "/hang":
					x.Suspend(nil)
				case "/big":
					x.Forward(p)
				default:
					x.Start(200)
					x.End(nil)
				}
			})})
			e := dial2(t, r.addr)
			ended := make(chan bool)
			go func() {
				defer close(ended)
				if c.first != nil {
					c.first(e, 0)
				}
				for i := range uint32(200_000) {
					c.again(e, i)
					if e.failed.Load() {
						return
					}
				}
			}()
			var code h2.ErrCode = 255
			for { // writing nothing here: the other goroutine does
				f, err := e.fr.ReadFrame()
				if err != nil {
					break
				}
				if g, ok := f.(*h2.GoAwayFrame); ok {
					code = g.ErrCode
					break
				}
			}
			if code != c.code {
				t.Errorf("%v, want %v", code, c.code)
			}
			e.c.Close()
			<-ended
			poll(t, "nothing is left", func() bool { return r.set.Open() == 0 })
		})
	}
}

// A client that does not read what its frames make us answer gets no further: little is
// kept for it, and then it is cut off.
func TestHTTP2AnswersThatNobodyReads(t *testing.T) {
	f := &Frontend{HTTP2: true, Handler: hello(strings.Repeat("x", 5000)), Timeouts: testTimeouts(), Limits: defaultLimits()}
	f.Timeouts.Body = time.Second
	r := newRig(t, 1, f)
	e := dial2(t, r.addr, window(1<<30))
	e.fr.WriteWindowUpdate(0, 1<<30)
	e.c.(*net.TCPConn).SetReadBuffer(4096)
	done := make(chan bool)
	go func() {
		defer close(done)
		for i := uint32(0); ; i++ {
			e.ask(1+2*i, "GET", "/", true)
			if e.fr.WriteRawFrame(0x78, 0, 0, nil) != nil {
				return
			}
		}
	}()
	<-done // the connection was ended while the client still sent
	if held := r.set.Memory().Held; held > int64(f.Limits.BufferBytes)*4 {
		t.Errorf("%d bytes are held", held)
	}
	poll(t, "it is gone", func() bool { return r.set.Open() == 0 })
}

// Connections that come to nothing end in time: without a preface, in the middle of a
// frame, between requests, however often SETTINGS come.
func TestHTTP2IdleEnds(t *testing.T) {
	f := &Frontend{HTTP2: true, Handler: hello("x"), Timeouts: testTimeouts()}
	f.Timeouts.RequestHead, f.Timeouts.Idle = 300*time.Millisecond, 300*time.Millisecond
	r := newRig(t, 1, f)
	settings := string([]byte{0, 0, 0, 4, 0, 0, 0, 0, 0})
	for name, first := range map[string]string{
		"half a preface": h2.ClientPreface[:20],
		"no settings":    h2.ClientPreface,
		"half settings":  h2.ClientPreface + settings[:5],
		"idle":           h2.ClientPreface + settings,
		"half a head":    h2.ClientPreface + settings + string([]byte{0, 0, 10, 1, 4, 0, 0, 0, 1, 0x82}),
		"half a frame":   h2.ClientPreface + settings + string([]byte{0, 0x40, 0, 0x77, 4, 0, 0, 0, 1, 0x82}),
		"no end of head": h2.ClientPreface + settings + string([]byte{0, 0, 1, 1, 0, 0, 0, 0, 1, 0x82}),
	} {
		for _, more := range []string{"", settings, string(make([]byte, 1))} {
			if more != "" && (name != "idle" && more == settings || name != "half a frame" && len(more) == 1) {
				continue
			}
			c, err := net.Dial("tcp", r.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			io.WriteString(c, first)
			begun := time.Now()
			go func() {
				for more != "" {
					if _, err := io.WriteString(c, more); err != nil {
						return
					}
					time.Sleep(20 * time.Millisecond)
				}
			}()
			c.SetReadDeadline(time.Now().Add(10 * time.Second))
			if _, err := io.ReadAll(c); err != nil && strings.Contains(err.Error(), "timeout") {
				t.Errorf("%s %q: still open after %v", name, more, time.Since(begun))
			}
		}
	}
	poll(t, "all have ended", func() bool { return r.set.Open() == 0 })
}

// The deadlines of a request's client hold for each stream: a body that stops or trickles,
// an answer that is not taken; and they do not hold for those who only wait their turn.
func TestHTTP2SlowStreams(t *testing.T) {
	f := &Frontend{HTTP2: true, Timeouts: testTimeouts(), Limits: testLimits(), Handler: HandlerFunc(func(x *Exchange) {
		if string(x.Req.Path()) == "/read" {
			x.ReadBody(reader{})
			return
		}
		x.Start(200)
		x.End(make([]byte, 100_000))
	})}
	f.Timeouts.Body, f.Limits.MinRate = 1500*time.Millisecond, 1000
	r := newRig(t, 1, f)
	e := dial2(t, r.addr, window(0))
	e.ask(1, "POST", "/read", false) // nothing comes
	e.ask(3, "POST", "/read", false) // a byte now and then
	e.ask(5, "POST", "/read", false) // enough
	e.ask(7, "GET", "/", true)       // takes nothing
	e.ask(9, "GET", "/", true)       // takes enough
	stop := make(chan bool)
	also := h2.NewFramer(e.c, nil) // two goroutines must not share one
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(100 * time.Millisecond):
			}
			also.WriteData(3, false, []byte("x"))
			also.WriteData(5, i == 30, make([]byte, 500))
			also.WriteWindowUpdate(9, 5000)
			if i == 30 {
				return
			}
		}
	}()
	m := map[uint32]*reply2{1: {}, 3: {}, 5: {}, 7: {}, 9: {}}
	e.readInto(m, func() bool {
		return m[1].over() && m[3].over() && m[5].over() && m[7].over() && len(m[9].body) >= 100_000
	})
	close(stop)
	for id, want := range map[uint32]string{1: "408", 3: "408", 5: "200", 7: "200", 9: "200"} {
		if m[id].status() != want {
			t.Errorf("%d: %s, want %s; %+v", id, m[id].status(), want, *m[id])
		}
	}
	if !m[7].reset || m[9].reset {
		t.Errorf("7: %t, 9: %t", m[7].reset, m[9].reset)
	}
}

// A slow server is not the client's fault, also behind a time in which the client was slow.
func TestHTTP2SlowServer(t *testing.T) {
	addr := origin2(t, func(e *end2) {
		id, _, _ := e.request()
		e.head(id, false, ":status", "200")
		for range 8 {
			e.fr.WriteData(id, false, make([]byte, 1000))
			time.Sleep(300 * time.Millisecond)
		}
		e.fr.WriteData(id, true, nil)
		e.request()
	})
	f := &Frontend{HTTP2: true, Timeouts: testTimeouts(), Limits: testLimits()}
	p := pass2(t, addr)
	f.Handler = HandlerFunc(func(x *Exchange) { x.Forward(p) })
	f.Timeouts.Body = time.Second
	r := newRig(t, 1, f)
	e := dial2(t, r.addr, window(500))
	e.ask(1, "GET", "/", true)
	time.Sleep(100 * time.Millisecond) // blocked meanwhile; its length does not matter
	e.fr.WriteWindowUpdate(1, 1<<20)
	if got := e.reply(1); !got.ended || len(got.body) != 8000 {
		t.Errorf("ended %t, %d bytes, %v", got.ended, len(got.body), got.code)
	}
}

// Numbers that run out, streams that the client may not open, and too many at once.
func TestHTTP2StreamNumbers(t *testing.T) {
	r := newRig(t, 1, &Frontend{HTTP2: true, Handler: HandlerFunc(func(x *Exchange) {
		if string(x.Req.Path()) == "/hang" {
			x.Suspend(nil)
			return
		}
		x.Start(200)
		x.End(nil)
	})})
	e := dial2(t, r.addr)
	e.ask(1<<31-1, "GET", "/", true)
	if got := e.reply(1<<31 - 1); got.status() != "200" {
		t.Errorf("%+v", got)
	}
	e.ask(1, "GET", "/", true)
	if e.ping() {
		t.Error("a number went down")
	}
	e = dial2(t, r.addr)
	for i := range uint32(maxStreams) {
		e.ask(1+2*i, "GET", "/hang", true)
	}
	id := uint32(1 + 2*maxStreams)
	e.ask(id, "GET", "/", true)
	if got := e.reply(id); !got.reset || got.code != h2.ErrCodeRefusedStream {
		t.Errorf("%+v", got)
	}
	e.fr.WriteRSTStream(1, h2.ErrCodeCancel)
	e.ask(id+2, "GET", "/", true)
	if got := e.reply(id + 2); got.status() != "200" {
		t.Errorf("%+v", got)
	}
	e.ask(1000, "GET", "/", true)
	if e.ping() {
		t.Error("a client opened a server's stream")
	}
}
