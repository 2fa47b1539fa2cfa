package exchange

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"stack/roles/internal/loop"
)

// counted is a File that counts its releases.
type counted struct {
	f    *os.File
	n    atomic.Int32
	free chan struct{}
}

func (c *counted) Fd() int { return int(c.f.Fd()) }
func (c *counted) Release() {
	c.n.Add(1)
	c.free <- struct{}{}
}

func testFile(t *testing.T, size int) (*counted, []byte) {
	t.Helper()
	data := make([]byte, size)
	rand.NewChaCha8([32]byte{7}).Read(data)
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return &counted{f: f, free: make(chan struct{}, 100)}, data
}

func TestEndFile(t *testing.T) {
	cert, pool := certificate(t, "a.test")
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("tls %v", secure), func(t *testing.T) {
			file, data := testFile(t, 5<<20+123)
			f := &Frontend{Handler: HandlerFunc(func(x *Exchange) {
				x.Start(206)
				x.EndFile(file, 100, int64(len(data)-200))
			})}
			scheme := "http"
			if secure {
				f.TLS, scheme = &tls.Config{Certificates: []tls.Certificate{cert}}, "https"
			}
			r := newRig(t, 1, f)
			client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "a.test"}}}
			defer client.CloseIdleConnections()
			for i := range 3 {
				// The pages are thrown out of memory, so that a worker has to read them.
				unix.Fsync(file.Fd())
				unix.Fadvise(file.Fd(), 0, 0, unix.FADV_DONTNEED)
				resp, err := client.Get(scheme + "://" + r.addr)
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || !bytes.Equal(b, data[100:len(data)-100]) {
					t.Fatalf("%d of %d bytes, %v", len(b), len(data)-200, err)
				}
				<-file.free
				if n := file.n.Load(); int(n) != i+1 {
					t.Errorf("released %d times after %d answers", n, i+1)
				}
			}
		})
	}
}

func TestFileReleasedWhenClientLeaves(t *testing.T) {
	file, data := testFile(t, 30<<20)
	r := newRig(t, 1, &Frontend{Handler: HandlerFunc(func(x *Exchange) {
		x.Start(200)
		x.EndFile(file, 0, int64(len(data)))
	})})
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	io.ReadFull(c, make([]byte, 1000))
	c.Close()
	<-file.free
	if rec := r.logs.wait(t, 1)[0]; rec.Cause != ClientGone {
		t.Error(rec.Cause)
	}
}

func TestFileTruncatedMeanwhile(t *testing.T) {
	file, data := testFile(t, 1<<20)
	r := newRig(t, 1, &Frontend{Handler: HandlerFunc(func(x *Exchange) {
		x.Start(200)
		x.EndFile(file, 0, int64(len(data))+1000)
	})})
	resp, err := http.Get("http://" + r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if n, err := io.Copy(io.Discard, resp.Body); err == nil {
		t.Errorf("%d bytes taken for the whole", n)
	}
	<-file.free
}

// parts sends pieces of memory and of a file in turns.
type parts struct {
	file *counted
	data []byte
	step int
}

func (*parts) Body(*Exchange, []byte, bool) {}
func (*parts) Gone(*Exchange, Cause)        {}
func (p *parts) Drained(x *Exchange) {
	if p.step++; p.step > 3 {
		x.Finish()
		return
	}
	x.Write([]byte("<>"))
	x.WriteFile(p.file, int64(p.step*1000), 100_000)
}

func TestStreamWithFiles(t *testing.T) {
	file, data := testFile(t, 1<<20)
	want := ""
	for i := 1; i <= 3; i++ {
		want += "<>" + string(data[i*1000:i*1000+100_000])
	}
	for _, length := range []int64{-1, int64(len(want))} {
		r := newRig(t, 1, &Frontend{Handler: HandlerFunc(func(x *Exchange) {
			p := &parts{file: file, data: data}
			x.Start(200)
			x.Stream(length, p)
			p.Drained(x)
		})})
		for _, method := range []string{"GET", "HEAD"} {
			req, _ := http.NewRequest(method, "http://"+r.addr, nil)
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || method == "GET" && string(b) != want || resp.ContentLength != length {
				t.Errorf("%s %d: %d bytes, %v, length %d", method, length, len(b), err, resp.ContentLength)
			}
		}
	}
}

// flood writes until it is told to stop, and goes on when it may.
type flood struct {
	left, most int
	gone       chan Cause
}

func (*flood) Body(*Exchange, []byte, bool) {}
func (f *flood) Gone(_ *Exchange, c Cause)  { f.gone <- c }
func (f *flood) Drained(x *Exchange)        { f.run(x) }
func (f *flood) run(x *Exchange) {
	piece := make([]byte, 10_000)
	for f.left > 0 {
		n := min(f.left, len(piece))
		f.left -= n
		ok := x.Write(piece[:n])
		f.most = max(f.most, x.c.unsent())
		if !ok {
			return
		}
	}
	x.Finish()
}

func TestStreamBackPressure(t *testing.T) {
	f := &flood{gone: make(chan Cause, 1)}
	r := newRig(t, 1, &Frontend{Handler: HandlerFunc(func(x *Exchange) {
		f.left = 50 << 20
		x.Start(200)
		x.Stream(-1, f)
		f.run(x)
	})})
	resp, err := http.Get("http://" + r.addr)
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	if err != nil || n != 50<<20 {
		t.Errorf("%d bytes, %v", n, err)
	}
	r.logs.wait(t, 1)
	r.group.Each(func(*loop.Loop) {
		if f.most > 64<<10 {
			t.Errorf("%d bytes were kept", f.most)
		}
	})
	// A client that leaves is told to the handler.
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	io.ReadFull(c, make([]byte, 1000))
	c.Close()
	if cause := <-f.gone; cause != ClientGone {
		t.Error(cause)
	}
}

// caller speaks a protocol of its own with a server: lines that are echoed.
type caller struct {
	x      *Exchange
	events chan string
	reply  string
}

func (c *caller) Connected(s *Stream) { c.events <- "connected"; s.Write([]byte(c.reply + "\n")) }
func (c *caller) Data(s *Stream, p []byte) int {
	i := bytes.IndexByte(p, '\n')
	if i < 0 {
		return 0
	}
	c.events <- string(p[:i])
	s.Release()
	c.x.Start(200)
	c.x.End(p[:i])
	return i + 1
}
func (c *caller) Drained(*Stream) {}
func (c *caller) Closed(_ *Stream, err error) {
	c.events <- fmt.Sprint("closed ", err)
	c.x.Error(502, ResponseFailed)
}

func TestStreamToAServer(t *testing.T) {
	conns := atomic.Int32{}
	addr := origin(t, func(c net.Conn, br *bufio.Reader) {
		conns.Add(1)
		for {
			line, err := br.ReadString('\n')
			if err != nil {
				return
			}
			for _, b := range []byte(line) { // in pieces
				c.Write([]byte{b})
			}
		}
	})
	srv, err := NewServer("s", addr, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	events := make(chan string, 10)
	r := newRig(t, 1, &Frontend{Handler: HandlerFunc(func(x *Exchange) {
		x.Worker().Dial(srv, &caller{x, events, string(x.Req.Path())}, testTimeouts().Connect)
	})})
	for _, path := range []string{"/a", "/bc"} {
		resp, err := http.Get("http://" + r.addr + path)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if string(b) != path {
			t.Errorf("%q", b)
		}
		if <-events != "connected" || <-events != path {
			t.Error("events")
		}
	}
	if conns.Load() != 1 {
		t.Errorf("%d connections", conns.Load())
	}
	r.set.Forget(srv)
	if err := srv.Move(freePort(t)); err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get("http://" + r.addr + "/c")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if e := <-events; resp.StatusCode != 502 || e != "closed connect: connection refused" {
		t.Errorf("%d %q", resp.StatusCode, e)
	}
}

func TestNewServerRefusesBadAddresses(t *testing.T) {
	for _, a := range []string{"", "host:80", "1.2.3.4", "1.2.3.4:0", "unix:", "unix:/" + string(make([]byte, 200))} {
		if _, err := NewServer("s", a, 1, 0); err == nil {
			t.Errorf("%q accepted", a)
		}
	}
}
