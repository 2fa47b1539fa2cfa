package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// memoryConn reads from a buffer and forgets what is written.
type memoryConn struct {
	net.Conn
	in io.Reader
}

func (c *memoryConn) Read(p []byte) (int, error)       { return c.in.Read(p) }
func (c *memoryConn) Write(p []byte) (int, error)      { return len(p), nil }
func (c *memoryConn) SetReadDeadline(time.Time) error  { return nil }
func (c *memoryConn) SetWriteDeadline(time.Time) error { return nil }
func (c *memoryConn) SetDeadline(time.Time) error      { return nil }
func (c *memoryConn) Close() error                     { return nil }

func memoryStream(in []byte) *stream {
	nc := &memoryConn{in: bytes.NewReader(in)}
	return &stream{nc: nc, raw: nc, readTimeout: time.Second, writeTimeout: time.Second, bytesIn: new(atomic.Uint64), bytesOut: new(atomic.Uint64)}
}

// FuzzPackets reads whatever comes as packets: what is returned is what was sent, never
// more than the limit.
func FuzzPackets(f *testing.F) {
	f.Add([]byte{1, 0, 0, 0, comPing}, 100)
	f.Add([]byte{0, 0, 0, 0, 1, 0, 0, 0, 3}, 100)
	f.Add([]byte{0xff, 0xff, 0xff, 0, 1, 2, 3}, 1<<20)
	f.Add([]byte{5, 0, 0, 7}, 100)
	f.Fuzz(func(t *testing.T, in []byte, limit int) {
		s := memoryStream(in)
		rest := in
		for range 100 {
			s.seq = 0
			p, err := s.readPacket(limit, time.Second)
			if err != nil {
				return
			}
			if len(p) > limit {
				t.Fatalf("%d bytes over a limit of %d", len(p), limit)
			}
			if len(p) < maxChunk {
				if !bytes.Equal(p, rest[4:4+len(p)]) {
					t.Fatalf("packet %q is not what was sent", p)
				}
				rest = rest[4+len(p):]
			}
			s.rest()
		}
	})
}

// FuzzHello parses handshake responses.
func FuzzHello(f *testing.F) {
	r := &raw{scramble: []byte("01234567890123456789")}
	f.Add(r.hello(basicCaps, "root", "secret", ""))
	f.Add(r.hello(basicCaps|capConnectWithDB, "root", "secret", "shop"))
	f.Add(append(r.hello(basicCaps|capConnectAttrs, "root", "", ""), 12, 4, 'n', 'a', 'm', 'e', 5, 'v', 'a', 'l', 'u', 'e'))
	f.Add(r.hello(basicCaps|capAuthLenenc, "root", "secret", ""))
	f.Add(r.hello(basicCaps|capSSL, "", "", "")[:32])
	f.Fuzz(func(t *testing.T, p []byte) {
		h, wantTLS, err := parseHello(p)
		if err != nil {
			return
		}
		if wantTLS != (h.short) || len(h.response) > len(p) || len(h.attrs) > 128 {
			t.Fatalf("%+v", h)
		}
	})
}

// FuzzParams parses the parameters of an execute.
func FuzzParams(f *testing.F) {
	f.Add(2, []byte{0, 1, 3, 0, 253, 0, 1, 0, 0, 0, 1, 'x'})
	f.Add(1, []byte{1, 1, 6, 0})
	f.Add(3, []byte{0, 1, 12, 0, 11, 0, 4, 0, 11, 0xea, 7, 1, 2, 3, 4, 5, 6, 0, 0, 0, 12, 1, 1, 0, 0, 0, 2, 3, 4, 5, 0, 0, 0, 0, 0, 0xc0, 0x3f})
	f.Add(8, []byte{0, 1, 1, 0, 1, 0x80, 2, 0, 3, 0, 8, 0x80, 5, 0, 13, 0, 245, 0, 1, 1, 1, 1, 1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, n int, p []byte) {
		if n < 0 || n > 1000 {
			return
		}
		s := &statement{long: make([][]byte, n), params: make([]Param, n)}
		r := reader{p: p}
		err := s.parseParams(&r, func(b []byte) ([]byte, error) { return b, nil })
		if err != nil {
			if e := (*Error)(nil); !errors.As(err, &e) {
				t.Fatalf("%v is not an error for a client", err)
			}
			return
		}
		for _, v := range s.params {
			if len(v.Bytes) > len(p)+40 {
				t.Fatalf("%d bytes out of %d", len(v.Bytes), len(p))
			}
			v.SQL()
		}
	})
}

// FuzzCommands gives a connection whatever comes after the login: it must neither
// panic nor hang, and keep its books.
func FuzzCommands(f *testing.F) {
	for _, p := range [][]byte{
		{comPing}, append([]byte{comQuery}, "one"...), append([]byte{comStmtPrepare}, "rows 3 ?"...), {comResetConnection},
		{comStmtExecute, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 1, 3, 0, 1, 0, 0, 0}, {comStmtFetch, 1, 0, 0, 0, 9, 0, 0, 0},
		{comStmtSendLong, 1, 0, 0, 0, 0, 0, 'x'}, {comFieldList, 't', 0}, {comSetOption, 0, 0}, {comStatistics}, {comRefresh, 6},
		append([]byte{comChangeUser}, "root\x00\x00shop\x00\x2d\x00mysql_native_password\x00"...),
	} {
		f.Add(append(packet(0, append([]byte{comStmtPrepare}, "rows 3 ?"...)), packet(0, p)...))
	}
	f.Add(bytes.Join([][]byte{packet(0, append([]byte{comQuery}, "infile-fail a"...)), packet(2, []byte("xy")), packet(3, nil), packet(0, []byte{comPing})}, nil))
	s, err := New(Config{Version: "8", MaxAllowedPacket: 1 << 20}, newStub())
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.Close() })
	f.Fuzz(func(t *testing.T, in []byte) {
		if bytes.Contains(in, []byte("wait")) || bytes.Contains(in, []byte("flood")) || bytes.Contains(in, []byte("wide")) ||
			bytes.Contains(in, []byte("infile ")) ||
			bytes.Contains(in, []byte("rows ")) && len(in) > 60 || bytes.Contains(in, []byte("panic")) {
			return // statements of the stub that do not end soon
		}
		nc := &memoryConn{in: bytes.NewReader(in)}
		c := newConn(s, s.cfg.Load(), &withAddr{memoryConn: nc}, 1)
		c.readTimeout, c.writeTimeout = time.Second, time.Second
		c.client.User, c.caps = "root", basicCaps|capLocalFiles
		c.scramble = s.auth.scramble()
		if err := c.newSession(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
		if err := c.commands(); err == nil {
			t.Fatal("the commands ended without a reason")
		}
		c.close()
		if c.cursorBytes != 0 || c.longBytes != 0 || len(c.stmts) != 0 {
			t.Fatalf("left over: %d bytes of cursors, %d of long data, %d statements", c.cursorBytes, c.longBytes, len(c.stmts))
		}
	})
}

type withAddr struct{ *memoryConn }

func (*withAddr) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

// heardDump notes what replicas acknowledge.
type heardDump struct {
	Dump
	epochs, numbers []uint64
}

func (d *heardDump) Acknowledged(epoch, seq uint64) {
	d.epochs, d.numbers = append(d.epochs, epoch), append(d.numbers, seq)
}

// FuzzUpstream gives a connection that sends the log whatever comes from its reader: what is heard
// are the acknowledgements that were sent, until something else comes.
func FuzzUpstream(f *testing.F) {
	ack := func(epoch, seq uint64) []byte {
		le := binary.LittleEndian
		return packet(9, le.AppendUint64(le.AppendUint64([]byte{ackMark}, epoch), seq))
	}
	f.Add(ack(64, 7), 3)
	f.Add(append(ack(64, 7), ack(64, 8)...), 25)
	f.Add(append(ack(1, 1<<63), packet(0, []byte{comQuit})...), 1)
	f.Add(append(ack(1, 1)[:15], 0), 4)
	f.Add([]byte{1, 4, 0, 0, ackMark}, 5)
	f.Fuzz(func(t *testing.T, in []byte, first int) {
		if len(in) > readBuffer {
			return
		}
		c := &conn{}
		c.rbuf = bytes.Clone(in)
		heard := &heardDump{}
		u := &upstream{c: c, dump: heard}
		var err error
		for _, end := range []int{min(max(first, 0), len(in)), len(in)} { // it comes in two pieces
			for c.rend = end; err == nil; {
				var p []byte
				var ok bool
				if p, ok, err = u.packet(); err != nil || !ok {
					break
				}
				if len(p) > upstreamLimit {
					t.Fatalf("a packet of %d bytes", len(p))
				}
				err = u.take(p)
			}
		}
		var sent []byte
		for i := range heard.epochs {
			sent = append(sent, ack(heard.epochs[i], heard.numbers[i])...)
		}
		for i := 0; i+3 < len(sent) && i < len(in); i += headerSize + ackSize {
			sent[i+3] = in[i+3] // the sequence number is not looked at
		}
		if !bytes.HasPrefix(in, sent) {
			t.Fatalf("%v %v were heard of %q", heard.epochs, heard.numbers, in)
		}
		if left := len(in) - len(sent); err == nil && left >= headerSize+upstreamLimit {
			t.Fatalf("%d bytes are kept", left)
		}
	})
}
