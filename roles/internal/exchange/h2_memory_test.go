package exchange

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

// endless2 is endless in HTTP/2.
func endless2(t testing.TB) string {
	piece := make([]byte, 64<<10)
	return serve2(t, func(w http.ResponseWriter, r *http.Request) {
		for {
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
	})
}

// A client with a hundred streams holds little, whether it gives no windows, tiny ones,
// huge ones without reading, or sends to servers that do not read.
func TestHTTP2ManyStreamsHoldLittle(t *testing.T) {
	const streams, clients = 100, 4
	mute := origin(t, func(c net.Conn, br *bufio.Reader) {
		readHead(br)
		<-time.After(time.Minute)
	})
	mute2 := origin2(t, func(e *end2) {
		for {
			if id, _, _ := e.request(); id == 0 {
				return
			}
		}
	}, window(0))
	for name, p := range map[string]*Pass{"h1": passTo(t, endless(t)), "h2": pass2(t, endless2(t)), "mute h1": passTo(t, mute), "mute h2": pass2(t, mute2)} {
		for _, win := range []uint32{0, 100, 1 << 30} {
			upload := name[0] == 'm'
			if upload && win != 0 {
				continue
			}
			t.Run(fmt.Sprint(name, " ", win), func(t *testing.T) {
				l := defaultLimits()
				f := &Frontend{HTTP2: true, Limits: l, Timeouts: testTimeouts(), Handler: HandlerFunc(func(x *Exchange) { x.Forward(p) })}
				f.Timeouts.Body, p.Timeouts.Body, p.Timeouts.Response = time.Minute, time.Minute, time.Minute
				r := newRig(t, 2, f)
				var conns []*end2
				for range clients {
					e := dial2(t, r.addr, window(win))
					e.fr.WriteWindowUpdate(0, 1<<30)
					for i := range uint32(streams) {
						id := 1 + 2*i
						e.ask(id, "POST", "/", !upload)
						if upload {
							e.fr.WriteData(id, false, make([]byte, 2000))
						}
					}
					conns = append(conns, e)
				}
				held := settled(t, r.set, clients*20<<10)
				// Beside the buffer of the connection, what a frame and a head take for each
				// stream on the way in and on the way out.
				most := int64(clients * (l.BufferBytes + streams*20<<10))
				t.Logf("%d KiB for each client", held/clients>>10)
				if held > most {
					t.Errorf("%d bytes are held, at most %d", held, most)
				}
				for _, e := range conns {
					e.c.Close()
				}
				poll(t, "everything is given back", func() bool {
					var n int64
					r.set.inTurn(func(w *Worker) {
						for _, c := range w.streams.all() {
							if k, ok := c.ev.(*link); ok && k.m != nil {
								n += int64(k.m.held)
							}
						}
						n += w.bufs.held
					})
					return r.set.Open() == 0 && n <= int64(scratchSize) // a link may hold a frame
				})
			})
		}
	}
}

func (s *Stream) all() (list []*Stream) {
	for ; s != nil; s = s.next {
		list = append(list, s)
	}
	return list
}

// 64 MiB pass a slow end in either direction unharmed, and little of it is held.
func TestHTTP2LargeBodies(t *testing.T) {
	const size = 64 << 20
	piece := make([]byte, 1<<20)
	for i := range piece {
		piece[i] = byte(i * i >> 8)
	}
	sum := sha256.New()
	for range size / len(piece) {
		sum.Write(piece)
	}
	want := fmt.Sprintf("%x", sum.Sum(nil))
	slow := func(r io.Reader) string {
		h := sha256.New()
		b := make([]byte, 300<<10)
		for i := 0; ; i++ {
			n, err := r.Read(b)
			h.Write(b[:n])
			if err != nil {
				return fmt.Sprintf("%x", h.Sum(nil))
			}
			if i%64 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
	}
	handler := func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			io.WriteString(w, slow(r.Body))
			return
		}
		for range size / len(piece) {
			w.Write(piece)
		}
	}
	pairs(t, handler, func(t *testing.T, c *http.Client, url string, r *rig) {
		var most atomic.Int64
		stop := make(chan bool)
		go func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond):
					most.Store(max(most.Load(), r.set.Memory().Held))
				}
			}
		}()
		defer close(stop)
		resp, err := c.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		if got := slow(resp.Body); got != want {
			t.Error("download: other bytes arrived")
		}
		resp.Body.Close()
		pr, pw := io.Pipe()
		go func() {
			for range size / len(piece) {
				pw.Write(piece)
			}
			pw.Close()
		}()
		resp, err = c.Post(url, "a/b", pr)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if string(b) != want {
			t.Errorf("upload: other bytes arrived: %q", b)
		}
		if n := most.Load(); n > 1<<20 {
			t.Errorf("%d bytes were held", n)
		}
	})
}

// A stream whose client takes nothing does not stop the others of its connection.
func TestHTTP2BlockedStreamAlone(t *testing.T) {
	for name, p := range map[string]*Pass{"h1": passTo(t, endless(t)), "h2": pass2(t, endless2(t))} {
		begun := time.Now()
		r := newRig(t, 1, &Frontend{HTTP2: true, Limits: defaultLimits(), Handler: HandlerFunc(func(x *Exchange) {
			if string(x.Req.Path()) == "/short" {
				x.Start(200)
				x.End([]byte("short"))
				return
			}
			x.Forward(p)
		})})
		e := dial2(t, r.addr, window(0))
		e.fr.WriteWindowUpdate(0, 1<<30)
		for i := range uint32(8) {
			e.ask(1+2*i, "GET", "/", true)
		}
		for id := uint32(101); id < 141; id += 2 {
			e.ask(id, "GET", "/short", true)
			e.fr.WriteWindowUpdate(id, 100)
			if got := e.reply(id); got.body != "short" {
				t.Fatalf("%s: %+v", name, got)
			}
		}
		// And one of them goes on as soon as it may.
		e.ask(201, "GET", "/", true)
		e.fr.WriteWindowUpdate(201, 1<<20)
		m := map[uint32]*reply2{201: {}}
		e.readInto(m, func() bool { return len(m[201].body) >= 1<<20 })
		if m[201].over() {
			t.Errorf("%s: %d bytes, reset %t", name, len(m[201].body), m[201].reset)
		}
		if took, least := time.Since(begun), testTimeouts().Body; took > least {
			t.Errorf("%s: it took %v, so it was the end of the others that let it go on", name, took)
		}
	}
}
