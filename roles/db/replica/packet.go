package replica

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// maxFrame is the length from which a packet goes on in the next frame.
const maxFrame = 1<<24 - 1

var errProtocol = errors.New("the source does not speak MySQL's protocol")

// ServerError is an error that the source has sent.
type ServerError struct {
	Code uint16
	Text string
}

// Error is the source's text with its number.
func (e *ServerError) Error() string { return fmt.Sprintf("the source says: %s (%d)", e.Text, e.Code) }

// conn is a connection to a server. One goroutine reads, and one writes while the other only
// reads.
type conn struct {
	net     net.Conn
	r       *bufio.Reader
	seq     byte
	timeout time.Duration // of each wait for the other side
	limit   int           // bytes that a packet may have
}

// dialTimeout bounds how long connecting and each answer before the log takes.
const dialTimeout = 10 * time.Second

// limitCommands is what packets before the log may have.
const limitCommands = 1 << 20

func newConn(c net.Conn) *conn {
	return &conn{net: c, r: bufio.NewReaderSize(c, 64<<10), timeout: dialTimeout, limit: limitCommands}
}

// startTLS goes on over TLS.
func (c *conn) startTLS(config *tls.Config) error {
	if c.r.Buffered() > 0 {
		return fmt.Errorf("%w: it sends before TLS begins", errProtocol)
	}
	t := tls.Client(c.net, config)
	if err := t.SetDeadline(time.Now().Add(c.timeout)); err != nil {
		return err
	}
	if err := t.Handshake(); err != nil {
		return fmt.Errorf("TLS: %w", err)
	}
	c.net = t
	c.r.Reset(t)
	return nil
}

// read appends the next packet to dst:
//
//	length, 3 bytes; sequence; payload; again while the length is 2^24 - 1
func (c *conn) read(dst []byte) ([]byte, error) {
	start := len(dst)
	for {
		if err := c.await(4); err != nil {
			return dst, err
		}
		head, err := c.r.Peek(4)
		if err != nil {
			return dst, whole(err, len(head))
		}
		n := int(head[0]) | int(head[1])<<8 | int(head[2])<<16
		c.seq = head[3] + 1
		c.r.Discard(4) // it is there
		if len(dst)-start+n > c.limit {
			return dst, fmt.Errorf("%w: a packet of more than %d bytes", errProtocol, c.limit)
		}
		last := n < maxFrame
		for n > 0 { // what is announced is believed as it comes
			step := min(n, 1<<20)
			if err := c.await(step); err != nil {
				return dst, err
			}
			at := len(dst)
			dst = append(dst, make([]byte, step)...)
			if _, err := io.ReadFull(c.r, dst[at:]); err != nil {
				return dst, err
			}
			n -= step
		}
		if last {
			return dst, nil
		}
	}
}

// buffered reports whether the next frame has come, as far as that is known without reading.
func (c *conn) buffered() bool {
	n := c.r.Buffered()
	if n < 4 {
		return false
	}
	head, err := c.r.Peek(4)
	return err == nil && n-4 >= int(head[0])|int(head[1])<<8|int(head[2])<<16
}

// await gives the other side time to send what of the next n bytes has not come: most packets
// of a log come many at once.
func (c *conn) await(n int) error {
	if c.r.Buffered() >= n {
		return nil
	}
	return c.net.SetReadDeadline(time.Now().Add(c.timeout))
}

// whole tells an end within a packet from one between two.
func whole(err error, n int) error {
	if n > 0 && errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// write sends a packet of less than 16 MiB.
func (c *conn) write(payload []byte) error {
	if len(payload) >= maxFrame {
		return errors.New("a packet of 16 MiB to the source")
	}
	b := make([]byte, 0, 4+len(payload))
	b = append(b, byte(len(payload)), byte(len(payload)>>8), byte(len(payload)>>16), c.seq)
	b = append(b, payload...)
	if err := c.net.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return err
	}
	_, err := c.net.Write(b)
	c.seq++
	return err
}

// command sends a command and reads the first packet of the answer.
func (c *conn) command(code byte, payload []byte) ([]byte, error) {
	c.seq = 0
	if err := c.write(append([]byte{code}, payload...)); err != nil {
		return nil, err
	}
	return c.answer()
}

// answer reads a packet; an error packet is a *ServerError.
func (c *conn) answer() ([]byte, error) {
	p, err := c.read(nil)
	if err != nil {
		return nil, err
	}
	if len(p) == 0 {
		return nil, fmt.Errorf("%w: an empty packet", errProtocol)
	}
	if p[0] == packetError {
		return nil, parseError(p)
	}
	return p, nil
}

// First bytes of packets.
const (
	packetOK    = 0x00
	packetMore  = 0x01
	packetEOF   = 0xfe
	packetError = 0xff
)

// parseError reads an error packet: ff, number u16, "#", state, text.
func parseError(p []byte) error {
	if len(p) < 3 {
		return fmt.Errorf("%w: an error of %d bytes", errProtocol, len(p))
	}
	e := &ServerError{Code: binary.LittleEndian.Uint16(p[1:])}
	text := p[3:]
	if len(text) >= 6 && text[0] == '#' {
		text = text[6:]
	}
	e.Text = string(text)
	return e
}

// scanner takes bytes from the front of a packet; short from the first that is not there.
type scanner struct {
	b     []byte
	short bool
}

func (s *scanner) take(n int) []byte {
	if n < 0 || n > len(s.b) {
		s.short, s.b = true, nil
		return make([]byte, min(max(n, 0), 8))
	}
	b := s.b[:n]
	s.b = s.b[n:]
	return b
}

func (s *scanner) byte() byte  { return s.take(1)[0] }
func (s *scanner) u16() uint16 { return binary.LittleEndian.Uint16(s.take(2)) }

// null takes bytes up to a NUL, which it takes too; or all.
func (s *scanner) null() []byte {
	for i, c := range s.b {
		if c == 0 {
			b := s.b[:i]
			s.b = s.b[i+1:]
			return b
		}
	}
	b := s.b
	s.b = nil
	return b
}

// length takes a length-encoded integer; null for NULL.
func (s *scanner) length() (n uint64, null bool) {
	switch b := s.byte(); b {
	case 0xfb:
		return 0, true
	case 0xfc:
		return uint64(s.u16()), false
	case 0xfd:
		b := s.take(3)
		return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16, false
	case 0xfe:
		return binary.LittleEndian.Uint64(s.take(8)), false
	case 0xff:
		s.short, s.b = true, nil
		return 0, false
	default:
		return uint64(b), false
	}
}

// text takes bytes behind their length.
func (s *scanner) text() (b []byte, null bool) {
	n, null := s.length()
	if n > uint64(len(s.b)) {
		s.short, s.b = true, nil
		return nil, false
	}
	return s.take(int(n)), null
}
