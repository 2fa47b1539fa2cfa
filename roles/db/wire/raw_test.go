package wire

import (
	"crypto/sha1"
	"crypto/subtle"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"
)

// raw speaks packets to a server, right or wrong ones.
type raw struct {
	t   testing.TB
	nc  net.Conn
	seq byte
	// greeting of the server
	id       uint32
	scramble []byte
	caps     uint32
}

// dial connects and reads the greeting.
func dial(t testing.TB, addr string) *raw {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	r := &raw{t: t, nc: nc}
	r.greet(r.read())
	return r
}

func (r *raw) greet(p []byte) {
	r.t.Helper()
	g := reader{p: p}
	if v := g.u8(); v != 10 {
		r.t.Fatalf("the greeting is %q", p)
	}
	g.nulbytes()
	r.id = g.u32()
	r.scramble = append([]byte(nil), g.take(8)...)
	g.u8()
	low := uint32(g.u16())
	g.u8()
	g.u16()
	r.caps = low | uint32(g.u16())<<16
	if n := g.u8(); n != 21 {
		r.t.Fatalf("the greeting says %d bytes of scramble", n)
	}
	g.take(10)
	r.scramble = append(r.scramble, g.take(12)...)
	g.u8()
	if plugin := string(g.nulbytes()); plugin != pluginSha2 || g.bad || len(g.p) != 0 {
		r.t.Fatalf("the greeting ends in %q", plugin)
	}
}

// readErr reads a packet.
func (r *raw) readErr() ([]byte, error) {
	var h [4]byte
	var out []byte
	for {
		if _, err := io.ReadFull(r.nc, h[:]); err != nil {
			return nil, err
		}
		if h[3] != r.seq {
			return nil, fmt.Errorf("sequence %d, want %d", h[3], r.seq)
		}
		r.seq++
		n := int(h[0]) | int(h[1])<<8 | int(h[2])<<16
		p := make([]byte, n)
		if _, err := io.ReadFull(r.nc, p); err != nil {
			return nil, err
		}
		out = append(out, p...)
		if n < maxChunk {
			return out, nil
		}
	}
}

func (r *raw) read() []byte {
	r.t.Helper()
	p, err := r.readErr()
	if err != nil {
		r.t.Fatalf("reading: %v", err)
	}
	return p
}

// write sends a packet, cut where it has to be.
func (r *raw) write(p []byte) {
	r.t.Helper()
	for {
		n := min(len(p), maxChunk)
		b := append([]byte{byte(n), byte(n >> 8), byte(n >> 16), r.seq}, p[:n]...)
		if _, err := r.nc.Write(b); err != nil {
			r.t.Fatalf("writing: %v", err)
		}
		r.seq++
		p = p[n:]
		if n < maxChunk {
			return
		}
	}
}

// command begins a command.
func (r *raw) command(code byte, arg ...byte) {
	r.t.Helper()
	r.seq = 0
	r.write(append([]byte{code}, arg...))
}

func (r *raw) query(q string) { r.t.Helper(); r.command(comQuery, []byte(q)...) }

// expectOK reads an OK packet and returns what follows its first byte.
func (r *raw) expectOK() reader {
	r.t.Helper()
	p := r.read()
	if len(p) == 0 || p[0] != 0 {
		r.t.Fatalf("got %q, want OK", p)
	}
	return reader{p: p[1:]}
}

func (r *raw) expectErr(code uint16, state, text string) {
	r.t.Helper()
	p := r.read()
	if got := errText(p); got != fmt.Sprintf("%d #%s%s", code, state, text) {
		r.t.Fatalf("got %s\nwant %d #%s%s", got, code, state, text)
	}
}

func errText(p []byte) string {
	if len(p) < 3 || p[0] != 0xff {
		return fmt.Sprintf("%q", p)
	}
	return fmt.Sprintf("%d %s", binary.LittleEndian.Uint16(p[1:]), p[3:])
}

func (r *raw) expectClosed() {
	r.t.Helper()
	if p, err := r.readErr(); err == nil {
		r.t.Fatalf("the connection is still open and says %q", p)
	} else if errors.Is(err, io.ErrUnexpectedEOF) {
		r.t.Fatalf("closed inside a packet")
	}
}

const basicCaps = capLongPassword | capProtocol41 | capSecureConnection | capPluginAuth | capTransactions

// hello builds a handshake response for the native plugin.
func (r *raw) hello(caps uint32, user, password, database string) []byte {
	b := appendU32(nil, caps)
	b = appendU32(b, 1<<24)
	b = append(b, collationUTF8mb4)
	b = append(b, make([]byte, 23)...)
	b = append(append(b, user...), 0)
	b = append(b, byte(len(nativeResponse(password, r.scramble))))
	b = append(b, nativeResponse(password, r.scramble)...)
	if caps&capConnectWithDB != 0 {
		b = append(append(b, database...), 0)
	}
	if caps&capPluginAuth != 0 {
		b = append(append(b, pluginNative...), 0)
	}
	return b
}

func nativeResponse(password string, scramble []byte) []byte {
	if password == "" {
		return nil
	}
	once := sha1.Sum([]byte(password))
	twice := sha1.Sum(once[:])
	h := sha1.New()
	h.Write(scramble)
	h.Write(twice[:])
	out := h.Sum(nil)
	subtle.XORBytes(out, out, once[:])
	return out
}

// login1 connects as root, who has no password.
func login1(t testing.TB, addr string, caps uint32) *raw {
	t.Helper()
	r := dial(t, addr)
	r.write(r.hello(caps, "root", "", ""))
	r.expectOK()
	return r
}

// startTLS asks for TLS and starts it.
func (r *raw) startTLS() {
	r.t.Helper()
	r.write(r.hello(basicCaps|capSSL, "", "", "")[:32])
	c := tls.Client(r.nc, &tls.Config{InsecureSkipVerify: true})
	if err := c.Handshake(); err != nil {
		r.t.Fatal(err)
	}
	r.nc = c
}

// rows reads a text result and returns the first column and the last packet.
func (r *raw) rows(deprecateEOF bool) (values []string, last []byte) {
	r.t.Helper()
	head := r.read()
	if len(head) != 1 {
		r.t.Fatalf("got %s, want a result set", errText(head))
	}
	for range head[0] {
		r.read()
	}
	if !deprecateEOF {
		if p := r.read(); p[0] != 0xfe {
			r.t.Fatalf("got %q, want EOF behind the columns", p)
		}
	}
	for {
		p := r.read()
		if p[0] == 0xff || p[0] == 0xfe && len(p) < 9 || p[0] == 0xfe && deprecateEOF && len(p) < maxChunk {
			return values, p
		}
		v := reader{p: p}
		values = append(values, string(v.lenbytes()))
	}
}
