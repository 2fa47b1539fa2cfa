package exchange

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	h2 "golang.org/x/net/http2"

	"stack/roles/internal/loop"
)

// Files go out over streams, whole and in part, many at a time, and are released.
func TestHTTP2Files(t *testing.T) {
	f, data := testFile(t, 3<<20)
	r := rig2(t, HandlerFunc(func(x *Exchange) {
		from, n := int64(0), int64(len(data))
		if string(x.Req.Path()) == "/part" {
			from, n = 1000, 100_000
		}
		x.Start(200)
		x.EndFile(&lasting{f.f}, from, n)
	}))
	c := client2(t)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			path, want := "/", data
			if i%2 == 0 {
				path, want = "/part", data[1000:101_000]
			}
			resp, err := c.Get("http://" + r.addr + path)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			if err != nil || !bytes.Equal(b, want) || resp.ContentLength != int64(len(want)) {
				t.Errorf("%s: %d of %d bytes, %v", path, len(b), len(want), err)
			}
		})
	}
	wg.Wait()
	resp, err := c.Head("http://" + r.addr)
	if err != nil || resp.ContentLength != int64(len(data)) {
		t.Errorf("%v %v", resp, err)
	}
}

// Bodies over the bound are refused with 413, by their length or as they come, and the
// connection goes on.
func TestHTTP2BodyLimit(t *testing.T) {
	r := newRig(t, 1, &Frontend{HTTP2: true, Limits: limitsWithBody(100), Handler: HandlerFunc(func(x *Exchange) { x.ReadBody(reader{}) })})
	e := dial2(t, r.addr)
	e.ask(1, "POST", "/", false, "content-length", "101")
	if got := e.reply(1); got.status() != "413" {
		t.Errorf("%+v", got)
	}
	e.ask(3, "POST", "/", false)
	e.fr.WriteData(3, false, make([]byte, 101))
	if got := e.reply(3); got.status() != "413" {
		t.Errorf("%+v", got)
	}
	e.ask(5, "POST", "/", false)
	e.fr.WriteData(5, true, make([]byte, 100))
	if got := e.reply(5); got.status() != "200" {
		t.Errorf("%+v", got)
	}
}

// Cookies in many fields are one field towards HTTP/1, and count as one.
func TestHTTP2Cookies(t *testing.T) {
	var seen atomic.Value
	addr := answer1(t, func(head string) string {
		seen.Store(head)
		return "HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\nContent-Length: 0\r\n\r\n"
	})
	r := forwardRig2(t, passTo(t, addr))
	e := dial2(t, r.addr)
	fields := []string{"te", "trailers"}
	var want []string
	for i := range 80 {
		v := fmt.Sprint("n", i, "=v")
		fields, want = append(fields, "cookie", v), append(want, v)
	}
	e.ask(1, "GET", "/", true, fields...)
	got := e.reply(1)
	if got.status() != "200" || !strings.Contains(got.heads[0], "set-cookie: a=b\nset-cookie: c=d\n") {
		t.Errorf("%+v", got)
	}
	contains(t, strings.ToLower(seen.Load().(string)), "\r\ncookie: "+strings.Join(want, "; ")+"\r\n")
}

// Ten thousand requests and a thousand connections that break off leave nothing behind.
func TestHTTP2NoLeak(t *testing.T) {
	h1addr := answer1(t, func(string) string { return "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" })
	h2addr := serve2(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, "ok")
	})
	runtime.GC()
	fds, routines := openFiles(t), runtime.NumGoroutine()
	g, err := loop.Start(2)
	if err != nil {
		t.Fatal(err)
	}
	set := NewSet(g)
	toH1, toH2 := passTo(t, h1addr), pass2(t, h2addr)
	point := set.Point("leak", &Frontend{HTTP2: true, Timeouts: testTimeouts(), Limits: testLimits(), Handler: HandlerFunc(func(x *Exchange) {
		switch string(x.Req.Path()) {
		case "/1":
			x.Forward(toH1)
		case "/2":
			x.Forward(toH2)
		default:
			x.Start(200)
			x.End([]byte("ok"))
		}
	})})
	fd, at := listen(t)
	if err := point.Listen([]int{fd}); err != nil {
		t.Fatal(err)
	}
	paths := []string{"/", "/1", "/2"}
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			e := dial2(t, at)
			for i := range uint32(20) {
				var ids []uint32
				for j := range uint32(50) {
					id := 1 + 2*(50*i+j)
					e.ask(id, "POST", paths[j%3], j%2 == 0)
					if j%2 == 1 {
						e.fr.WriteData(id, true, []byte("body"))
					}
					ids = append(ids, id)
				}
				for id, got := range e.replies(ids...) {
					if got.status() != "200" || got.body != "ok" {
						t.Errorf("%d: %+v", id, got)
					}
				}
			}
			e.c.Close()
			for i := range 100 {
				e := dial2(t, at, window(uint32(i%3)))
				for j := range uint32(6) {
					e.ask(1+2*j, "POST", paths[j%3], j%2 == 0)
					if j == 3 && i%2 == 0 {
						e.fr.WriteRSTStream(3, h2.ErrCodeCancel)
					}
				}
				if i%5 == 0 {
					e.ping()
				}
				e.c.Close()
			}
		})
	}
	wg.Wait()
	poll(t, "all connections have ended", func() bool { return set.Open() == 0 })
	set.inTurn(func(w *Worker) {
		if n := len(w.dirty) + countOwners(w.h2streams); n > 0 {
			t.Errorf("loop %d: %d streams or connections are left", w.index, n)
		}
	})
	for _, s := range append(toH1.Picker.(*one).srvs, toH2.Picker.(*one).srvs...) {
		set.Forget(s)
	}
	poll(t, "nothing is held", func() bool {
		var n int64
		set.inTurn(func(w *Worker) { n += w.bufs.held })
		return n == 0
	})
	if err := set.Close(); err != nil {
		t.Error(err)
	}
	g.Close()
	loop.Close(fd)
	deadline := time.Now().Add(20 * time.Second)
	for {
		runtime.GC()
		f, n := openFiles(t), runtime.NumGoroutine()
		if f <= fds && n <= routines {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("descriptors %d → %d, goroutines %d → %d", fds, f, routines, n)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func countOwners(list []*stream) (n int) {
	for _, st := range list {
		if st.owner != nil || st.m != nil {
			n++
		}
	}
	return n
}
