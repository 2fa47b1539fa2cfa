package exchange

import (
	"bufio"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	h2 "golang.org/x/net/http2"
)

var emptySettings = []byte{0, 0, 0, 4, 0, 0, 0, 0, 0}

// fuzzed sends bytes to addr, ends the sending direction, and sees to it that the other end
// comes, and nothing is left.
func fuzzed(t *testing.T, r *rig, text []byte) {
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	go func() {
		c.Write(text)
		c.(*net.TCPConn).CloseWrite()
	}()
	n, err := io.Copy(io.Discard, c)
	if err, ok := err.(net.Error); ok && err.Timeout() {
		t.Fatalf("the connection hangs after %d bytes", n)
	}
}

// Whatever a client sends behind its preface, the loop goes on, the connection ends with
// the client, and nothing is held for it.
func FuzzHTTP2Client(f *testing.F) {
	for _, seed := range []func(e *end2){
		func(e *end2) { e.ask(1, "GET", "/", true) },
		func(e *end2) { e.ask(1, "POST", "/read", false); e.fr.WriteData(1, true, []byte("body")) },
		func(e *end2) {
			e.ask(1, "POST", "/read", false)
			e.fr.WriteDataPadded(1, false, []byte("body"), []byte{0, 0})
			e.head(1, true, "a", "b")
		},
		func(e *end2) { e.ask(1, "GET", "/hang", true); e.fr.WriteRSTStream(1, h2.ErrCodeCancel) },
		func(e *end2) {
			e.fr.WriteSettings(window(1), h2.Setting{ID: h2.SettingMaxFrameSize, Val: 20000})
			e.ask(1, "GET", "/", true, "priority", "u=1,i")
			e.fr.WriteWindowUpdate(1, 10)
			e.fr.WriteWindowUpdate(0, 10)
			e.fr.WritePing(false, [8]byte{})
			e.fr.WriteGoAway(0, h2.ErrCodeNo, []byte("debug"))
		},
		func(e *end2) {
			block := e.block(":method", "GET", ":scheme", "http", ":path", "/", ":authority", "x")
			e.fr.WriteHeaders(h2.HeadersFrameParam{StreamID: 1, BlockFragment: block[:3], EndStream: true, PadLength: 3, Priority: h2.PriorityParam{StreamDep: 5}})
			e.fr.WriteContinuation(1, false, block[3:5])
			e.fr.WriteContinuation(1, true, block[5:])
			e.fr.WriteRawFrame(0x10, 0, 0, []byte("\x00\x00\x00\x01u=5"))
		},
	} {
		f.Add(frames2(f, seed))
	}
	l := testLimits()
	l.MinRate = 100
	r := newRig(f, 1, &Frontend{HTTP2: true, Limits: l, Handler: HandlerFunc(func(x *Exchange) {
		switch string(x.Req.Path()) {
		case "/read":
			x.ReadBody(&echoBody{})
		case "/hang":
			x.Suspend(nil)
		default:
			x.Start(200)
			x.End(make([]byte, 3000))
		}
	})})
	r.logs = nil
	quietLog := *r.point.front[0]
	quietLog.Log = ignore{}
	r.set.Swap(map[*Point]*Frontend{r.point: &quietLog})
	f.Fuzz(func(t *testing.T, p []byte) {
		fuzzed(t, r, append(append([]byte(h2.ClientPreface), emptySettings...), p...))
		poll(t, "nothing is left", func() bool {
			var n int64
			r.set.each(func(w *Worker) { n = w.bufs.held })
			return r.set.Open() == 0 && n == 0
		})
	})
}

// Whatever a server sends, a client gets an answer or the end of its connection.
func FuzzHTTP2Server(f *testing.F) {
	for _, seed := range []func(e *end2){
		func(e *end2) { e.ok(1) },
		func(e *end2) { e.head(1, false, ":status", "103"); e.ok(1) },
		func(e *end2) {
			e.head(1, false, ":status", "200", "content-length", "4")
			e.fr.WriteDataPadded(1, false, []byte("body"), []byte{0, 0})
			e.head(1, true, "grpc-status", "0")
		},
		func(e *end2) { e.fr.WriteRSTStream(1, h2.ErrCodeRefusedStream) },
		func(e *end2) { e.head(1, true, ":status", "304", "etag", "a"); e.fr.WriteGoAway(1, h2.ErrCodeNo, nil) },
		func(e *end2) { e.fr.WriteSettings(window(0), h2.Setting{ID: h2.SettingMaxConcurrentStreams}) },
	} {
		f.Add(frames2(f, seed), true)
		f.Add(frames2(f, seed), false)
	}
	var mu sync.Mutex
	var next []byte
	addr := origin(f, func(c net.Conn, br *bufio.Reader) {
		br.Discard(len(h2.ClientPreface) + 9)
		mu.Lock()
		p := append(append([]byte(nil), emptySettings...), next...)
		mu.Unlock()
		c.Write(p)
		c.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, br)
	})
	p := pass2(f, addr)
	p.Picker = quiet{p.Picker.(*one).srvs[0]}
	r := newRig(f, 1, &Frontend{HTTP2: true, Handler: HandlerFunc(func(x *Exchange) { x.Forward(p) })})
	quietLog := *r.point.front[0]
	quietLog.Log = ignore{}
	r.set.Swap(map[*Point]*Frontend{r.point: &quietLog})
	request := frames2(f, func(e *end2) { e.ask(1, "GET", "/", true) })
	f.Fuzz(func(t *testing.T, bytes []byte, http2 bool) {
		mu.Lock()
		next = bytes
		mu.Unlock()
		c, err := net.Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(10 * time.Second))
		if !http2 {
			io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			b, err := io.ReadAll(c)
			if err, ok := err.(net.Error); ok && err.Timeout() {
				t.Fatal("no end of the answer")
			}
			if !strings.HasPrefix(string(b), "HTTP/1.1 ") {
				t.Fatalf("%q", b)
			}
		} else {
			io.WriteString(c, h2.ClientPreface)
			c.Write(append(append([]byte(nil), emptySettings...), request...))
			fr := h2.NewFramer(io.Discard, c)
			for {
				f, err := fr.ReadFrame()
				if err != nil {
					t.Fatal(err)
				}
				if f.Header().StreamID == 1 && (f.Header().Type == h2.FrameRSTStream || f.Header().Flags.Has(h2.FlagDataEndStream) && f.Header().Type != h2.FrameContinuation) {
					break
				}
			}
		}
		c.Close()
		poll(t, "nothing is left", func() bool {
			var n int64
			r.set.each(func(w *Worker) {
				n = w.bufs.held
				for s := w.streams; s != nil; s = s.next {
					n++
				}
			})
			return r.set.Open() == 0 && n == 0
		})
	})
}
