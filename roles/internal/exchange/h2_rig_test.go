package exchange

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	h2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"golang.org/x/sys/unix"
)

// end2 is one end of an HTTP/2 connection of which a test sees every frame.
type end2 struct {
	t   testing.TB
	c   net.Conn
	fr  *h2.Framer
	buf bytes.Buffer
	enc *hpack.Encoder
	dec *hpack.Decoder

	failed atomic.Bool // to write
}

// noted remembers that writing has failed.
type noted struct{ e *end2 }

func (n noted) Write(p []byte) (int, error) {
	m, err := n.e.c.Write(p)
	if err != nil {
		n.e.failed.Store(true)
	}
	return m, err
}

func newEnd2(t testing.TB, c net.Conn, br io.Reader) *end2 {
	e := &end2{t: t, c: c}
	e.fr = h2.NewFramer(noted{e}, br)
	e.enc = hpack.NewEncoder(&e.buf)
	e.dec = hpack.NewDecoder(4096, nil)
	e.fr.SetMaxReadFrameSize(1 << 20)
	e.fr.AllowIllegalWrites = true
	c.SetDeadline(time.Now().Add(30 * time.Second))
	return e
}

// dial2 is a client with prior knowledge.
func dial2(t testing.TB, addr string, settings ...h2.Setting) *end2 {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	e := newEnd2(t, c, c)
	io.WriteString(c, h2.ClientPreface)
	e.fr.WriteSettings(settings...)
	return e
}

func window(n uint32) h2.Setting { return h2.Setting{ID: h2.SettingInitialWindowSize, Val: n} }

// block encodes fields, given as names and values.
func (e *end2) block(fields ...string) []byte {
	e.buf.Reset()
	for i := 0; i < len(fields); i += 2 {
		e.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return bytes.Clone(e.buf.Bytes())
}

func (e *end2) head(id uint32, end bool, fields ...string) {
	e.fr.WriteHeaders(h2.HeadersFrameParam{StreamID: id, BlockFragment: e.block(fields...), EndStream: end, EndHeaders: true})
}

// ask begins a request; further fields follow the usual ones.
func (e *end2) ask(id uint32, method, path string, end bool, fields ...string) {
	e.head(id, end, append([]string{":method", method, ":scheme", "http", ":path", path, ":authority", "x"}, fields...)...)
}

// next returns the next frame that is neither SETTINGS nor WINDOW_UPDATE; SETTINGS are
// acknowledged. nil: the connection has ended.
func (e *end2) next() h2.Frame {
	e.t.Helper()
	for {
		f, err := e.fr.ReadFrame()
		if err != nil {
			var late net.Error
			if errors.As(err, &late) && late.Timeout() {
				e.t.Fatal("no frame came in time")
			}
			return nil
		}
		switch f := f.(type) {
		case *h2.SettingsFrame:
			if !f.IsAck() {
				e.fr.WriteSettingsAck()
			}
		case *h2.WindowUpdateFrame:
		default:
			return f
		}
	}
}

// fields decodes a block, with lines "name: value".
func (e *end2) fields(block []byte) string {
	list, err := e.dec.DecodeFull(block)
	if err != nil {
		e.t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range list {
		fmt.Fprintf(&b, "%s: %s\n", f.Name, f.Value)
	}
	return b.String()
}

// reply2 is what came on a stream.
type reply2 struct {
	heads []string // also of interim answers; the trailers are the last
	body  string
	ended bool
	code  h2.ErrCode
	reset bool
	gone  bool // the connection has ended, or GOAWAY with an error came
}

func (r *reply2) status() string {
	if len(r.heads) == 0 {
		return ""
	}
	return strings.TrimPrefix(strings.SplitN(r.heads[0], "\n", 2)[0], ":status: ")
}

func (r *reply2) over() bool { return r.ended || r.reset || r.gone }

// replies reads until all these streams are over; windows are given back at once.
func (e *end2) replies(ids ...uint32) map[uint32]*reply2 {
	e.t.Helper()
	m := map[uint32]*reply2{}
	for _, id := range ids {
		m[id] = &reply2{}
	}
	e.readInto(m, func() bool {
		for _, r := range m {
			if !r.over() {
				return false
			}
		}
		return true
	})
	return m
}

// readInto reads frames into m until it is enough.
func (e *end2) readInto(m map[uint32]*reply2, enough func() bool) {
	e.t.Helper()
	for !enough() {
		f := e.next()
		if g, ok := f.(*h2.GoAwayFrame); f == nil || ok && g.ErrCode != h2.ErrCodeNo {
			for _, r := range m {
				r.gone = r.gone || !r.ended
				if ok {
					r.code = g.ErrCode
				}
			}
			return
		}
		r := m[f.Header().StreamID]
		if r == nil {
			r = &reply2{}
		}
		switch f := f.(type) {
		case *h2.HeadersFrame:
			block := bytes.Clone(f.HeaderBlockFragment())
			ended := f.StreamEnded()
			for end := f.HeadersEnded(); !end; {
				c, ok := e.next().(*h2.ContinuationFrame)
				if !ok {
					e.t.Fatal("no CONTINUATION")
				}
				block = append(block, c.HeaderBlockFragment()...)
				end = c.HeadersEnded()
			}
			r.heads = append(r.heads, e.fields(block))
			r.ended = r.ended || ended
		case *h2.DataFrame:
			r.body += string(f.Data())
			if n := uint32(len(f.Data())); n > 0 {
				e.fr.WriteWindowUpdate(0, n)
				if !f.StreamEnded() {
					e.fr.WriteWindowUpdate(f.StreamID, n)
				}
			}
			r.ended = r.ended || f.StreamEnded()
		case *h2.RSTStreamFrame:
			r.reset, r.code = true, f.ErrCode
		}
	}
}

func (e *end2) reply(id uint32) *reply2 {
	e.t.Helper()
	return e.replies(id)[id]
}

// ping sees to it that everything sent before was dealt with.
func (e *end2) ping() bool {
	e.t.Helper()
	e.fr.WritePing(false, [8]byte{7})
	for {
		switch f := e.next().(type) {
		case nil:
			return false
		case *h2.GoAwayFrame:
			if f.ErrCode != h2.ErrCodeNo {
				return false
			}
		case *h2.PingFrame:
			if f.IsAck() {
				return true
			}
		}
	}
}

// origin2 is a server whose frames a test writes itself.
func origin2(t testing.TB, f func(e *end2), settings ...h2.Setting) string {
	return origin(t, func(c net.Conn, br *bufio.Reader) {
		preface := make([]byte, len(h2.ClientPreface))
		if _, err := io.ReadFull(br, preface); err != nil {
			return
		}
		e := newEnd2(t, c, br)
		e.fr.WriteSettings(settings...)
		f(e)
	})
}

// request reads up to the next request's head.
func (e *end2) request() (id uint32, head string, ended bool) {
	for {
		f, err := e.fr.ReadFrame()
		if err != nil {
			return 0, "", false
		}
		switch f := f.(type) {
		case *h2.SettingsFrame:
			if !f.IsAck() {
				e.fr.WriteSettingsAck()
			}
		case *h2.HeadersFrame:
			return f.StreamID, e.fields(f.HeaderBlockFragment()), f.StreamEnded()
		}
	}
}

// serve2 runs an HTTP/2 server of net/http without TLS.
func serve2(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	s := &http.Server{Handler: h, Protocols: p, ErrorLog: silent}
	go s.Serve(ln)
	t.Cleanup(func() { s.Close() })
	return ln.Addr().String()
}

// client2 is net/http's client with prior knowledge.
func client2(t testing.TB) *http.Client {
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	tr := &http.Transport{Protocols: p, DisableCompression: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 60 * time.Second}
}

func pass2(t testing.TB, addrs ...string) *Pass {
	p := passTo(t, addrs...)
	p.HTTP2 = true
	return p
}

func rig2(t testing.TB, h Handler) *rig { return newRig(t, 2, &Frontend{Handler: h, HTTP2: true}) }

func forwardRig2(t testing.TB, p *Pass) *rig {
	return rig2(t, HandlerFunc(func(x *Exchange) { x.Forward(p) }))
}

// counting counts the connections that a listener accepts.
type counting struct {
	net.Listener
	n *atomic.Int32
}

func (c counting) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil {
		c.n.Add(1)
	}
	return conn, err
}

// serve2Counting is an HTTP/2 server with something large.
func serve2Counting(t testing.TB, conns *atomic.Int32) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	big := make([]byte, 1<<20)
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	s := &http.Server{Protocols: p, ErrorLog: silent, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/big" {
			w.Write(big)
		}
	})}
	go s.Serve(counting{ln, conns})
	t.Cleanup(func() { s.Close() })
	return ln.Addr().String()
}

// closeListener stops to accept and has new connections refused.
func (r *rig) closeListener() error {
	for _, p := range r.set.points {
		p.stop()
	}
	err := unix.Close(r.fd)
	r.fd = -1
	return err
}

// isDial says whether a request failed because no connection could be opened.
func isDial(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// answer1 answers each head in HTTP/1; bodies in requests must be empty or in chunks.
func answer1(t testing.TB, f func(head string) string) string {
	return origin(t, func(c net.Conn, br *bufio.Reader) {
		for {
			req, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			io.Copy(io.Discard, req.Body)
			var head strings.Builder
			fmt.Fprintf(&head, "%s %s\r\n", req.Method, req.RequestURI)
			req.Header.Write(&head)
			io.WriteString(c, f(head.String()))
		}
	})
}
