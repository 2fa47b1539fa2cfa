package exchange

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"

	h2 "golang.org/x/net/http2"
)

// wire2 reads and writes frames without allocating.
type wire2 struct {
	c   net.Conn
	br  *bufio.Reader
	hdr [9]byte
	buf [32 << 10]byte
}

// frame reads a frame.
func (w *wire2) frame() (kind, flags byte, id uint32, p []byte, err error) {
	if _, err = io.ReadFull(w.br, w.hdr[:]); err != nil {
		return
	}
	n := int(w.hdr[0])<<16 | int(w.hdr[1])<<8 | int(w.hdr[2])
	p = w.buf[:n]
	_, err = io.ReadFull(w.br, p)
	return w.hdr[3], w.hdr[4], binary.BigEndian.Uint32(w.hdr[5:]), p, err
}

// frames2 encodes what f writes.
func frames2(t testing.TB, f func(e *end2)) []byte {
	a, b := net.Pipe()
	defer a.Close()
	var out bytes.Buffer
	done := make(chan bool)
	go func() {
		io.Copy(&out, b)
		close(done)
	}()
	f(newEnd2(t, a, a))
	a.Close()
	<-done
	return out.Bytes()
}

// quietOrigin2 answers every request on a connection without allocating.
func quietOrigin2(t testing.TB) string {
	answer := frames2(t, func(e *end2) {
		e.head(1, false, ":status", "200", "content-length", "2")
		e.fr.WriteData(1, true, []byte("ok"))
	})
	data := bytes.Index(answer, []byte{0, 0, 2, 0, 1})
	return origin(t, func(c net.Conn, br *bufio.Reader) {
		br.Discard(len(h2.ClientPreface))
		c.Write([]byte{0, 0, 0, 4, 0, 0, 0, 0, 0})
		w := &wire2{c: c, br: br}
		mine := bytes.Clone(answer)
		for {
			kind, _, id, _, err := w.frame()
			if err != nil {
				return
			}
			if kind == byte(h2.FrameHeaders) {
				binary.BigEndian.PutUint32(mine[5:], id)
				binary.BigEndian.PutUint32(mine[data+5:], id)
				c.Write(mine)
			}
		}
	})
}

// Requests over HTTP/2, on either side or both, allocate nothing once the loop is warm;
// nor do answers from memory and from files.
func TestHTTP2AllocatesNothing(t *testing.T) {
	response := []byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	h1 := origin(t, func(c net.Conn, _ *bufio.Reader) {
		buf := make([]byte, 4096)
		for {
			if _, err := c.Read(buf); err != nil {
				return
			}
			c.Write(response)
		}
	})
	quietPass := func(p *Pass) *Pass {
		p.Picker = quiet{p.Picker.(*one).srvs[0]}
		return p
	}
	path := filepath.Join(t.TempDir(), "f")
	os.WriteFile(path, []byte("static"), 0o600)
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	kept := &lasting{file}
	h2addr := quietOrigin2(t)
	toH1, toH2, toH2Too := quietPass(passTo(t, h1)), quietPass(pass2(t, h2addr)), quietPass(pass2(t, h2addr))
	for _, c := range []struct {
		name   string
		http2  bool
		handle HandlerFunc
	}{
		{"h2 to h1", true, func(x *Exchange) { x.Forward(toH1) }},
		{"h1 to h2", false, func(x *Exchange) { x.Forward(toH2) }},
		{"h2 to h2", true, func(x *Exchange) { x.Forward(toH2Too) }},
		{"h2 from memory", true, func(x *Exchange) { x.Start(200); x.End(response[len(response)-2:]) }},
		{"h2 from a file", true, func(x *Exchange) { x.Start(200); x.EndFile(kept, 0, 6) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, 1, &Frontend{HTTP2: true, Handler: c.handle})
			quietLog := *r.point.front[0]
			quietLog.Log = ignore{}
			r.set.Swap(map[*Point]*Frontend{r.point: &quietLog})
			conn, err := net.Dial("tcp", r.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			var run func()
			if c.http2 {
				run = rounds2(t, conn)
			} else {
				request, buf := []byte("GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: y\r\n\r\n"), make([]byte, 4096)
				run = func() {
					conn.Write(request)
					if _, err := conn.Read(buf); err != nil {
						t.Fatal(err)
					}
				}
			}
			for range 200 {
				run()
			}
			if n := testing.AllocsPerRun(2000, run); n > 0 {
				t.Errorf("%v allocations per request", n)
			}
		})
	}
}

// rounds2 returns a function that makes one request on conn.
func rounds2(t testing.TB, conn net.Conn) func() {
	io.WriteString(conn, h2.ClientPreface)
	conn.Write([]byte{0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0})
	request := frames2(t, func(e *end2) { e.ask(1, "GET", "/", true, "user-agent", "y") })
	// The next ones find what this one has put into the table only if they are the same.
	request = bytes.Clone(request)
	w := &wire2{c: conn, br: bufio.NewReader(conn)}
	id := uint32(1)
	return func() {
		binary.BigEndian.PutUint32(request[5:], id)
		conn.Write(request)
		for {
			kind, flags, got, _, err := w.frame()
			if err != nil || kind == byte(h2.FrameGoAway) || kind == byte(h2.FrameRSTStream) {
				t.Fatal(kind, err)
			}
			if got == id && flags&1 != 0 {
				break
			}
		}
		id += 2
	}
}

// lasting is a File that is never closed.
type lasting struct{ f *os.File }

func (l *lasting) Fd() int { return int(l.f.Fd()) }
func (*lasting) Release()  {}
