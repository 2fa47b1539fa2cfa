package wire

import (
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// A packet is
//
//	3 bytes  length of the payload, little endian, at most 0xffffff
//	1 byte   sequence number, from 0 at each command, wraps
//	payload
//
// A logical packet of 0xffffff bytes and more is cut into several; one shorter than
// 0xffffff (possibly empty) ends it.
const (
	headerSize = 4
	maxChunk   = 1<<24 - 1

	readBuffer = 4 << 10
	// flushSize is how much of an answer is gathered before it is written.
	flushSize = 16 << 10
	// hurryTime is how long a write may take once the connection is being ended.
	hurryTime = 500 * time.Millisecond
	// keepBuffer is the largest buffer that an idle connection keeps.
	keepBuffer = 32 << 10
)

// How reading a packet can fail, apart from the network's own errors.
var (
	errSequence  = errors.New("packet out of order")
	errTooLarge  = errors.New("packet larger than max_allowed_packet")
	errWoken     = errors.New("woken up")
	errIdle      = errors.New("idle for longer than wait_timeout")
	errReadStall = errors.New("no data within net_read_timeout")
	errTruncated = errors.New("the connection ended inside a packet")
)

// stream reads and writes the packets of one connection. Reads and writes happen on
// the connection's goroutine; wake may come from any.
type stream struct {
	nc  net.Conn // the socket, or TLS over it
	raw net.Conn // the socket

	rbuf       []byte
	rpos, rend int
	big        []byte // payload of the last packet that came in several pieces

	wbuf   []byte
	wstart int  // where in wbuf the header of the packet under construction is
	wopen  bool // there is one

	seq uint8     // of the next packet, either way
	zip *squeezed // the compression that nc is, nil without

	// fixed, if not zero, is the end of every read and write: the handshake's deadline.
	fixed        time.Time
	readTimeout  time.Duration
	writeTimeout time.Duration

	woken atomic.Bool
	eager bool // being woken ends reads inside a packet too

	broken error // why nothing can be written any more
	// hurry makes every write end soon: the connection is being ended, and a client
	// that reads nothing must not hold that up.
	hurry atomic.Bool

	bytesIn, bytesOut byteCounter
}

// wake makes the wait for the next command, or the one that comes next, return errWoken
// once. A read inside a packet goes on.
func (s *stream) wake() {
	s.woken.Store(true)
	s.raw.SetReadDeadline(time.Unix(1, 0))
}

// hurryUp bounds the write under way, and later ones, by hurryTime.
func (s *stream) hurryUp() {
	s.hurry.Store(true)
	s.raw.SetWriteDeadline(time.Now().Add(hurryTime))
}

// more reads until at least n unread bytes are in rbuf. idle is the wait allowed for
// the first of them when nothing has arrived yet.
func (s *stream) more(n int, idle time.Duration) error {
	for s.rend-s.rpos < n {
		if s.rpos == s.rend {
			s.rpos, s.rend = 0, 0
		}
		if s.rpos > 0 && s.rpos+n > len(s.rbuf) {
			s.rend = copy(s.rbuf, s.rbuf[s.rpos:s.rend])
			s.rpos = 0
		}
		if s.rend == len(s.rbuf) {
			// Doubling as bytes arrive: a header alone cannot make us reserve 16 MiB.
			grown := make([]byte, max(readBuffer, min(s.rpos+n, 2*len(s.rbuf))))
			copy(grown, s.rbuf[:s.rend])
			s.rbuf = grown
		}
		wait, onIdle := s.readTimeout, errReadStall
		if idle > 0 && s.rend == s.rpos && (s.zip == nil || !s.zip.partial()) {
			wait, onIdle = idle, errIdle
		}
		wakes := onIdle == errIdle || s.eager
		deadline := time.Now().Add(wait)
		if !s.fixed.IsZero() {
			deadline = s.fixed
		}
		if err := s.nc.SetReadDeadline(deadline); err != nil {
			return err
		}
		// wake sets woken first and the deadline second: one of the two is seen here.
		if wakes && s.woken.Swap(false) {
			return errWoken
		}
		m, err := s.nc.Read(s.rbuf[s.rend:])
		s.rend += m
		if s.zip == nil {
			s.bytesIn.Add(uint64(m))
		}
		if m > 0 || err == nil {
			continue
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			if s.woken.Swap(false) {
				if wakes {
					return errWoken
				}
				continue // woken inside a packet: the rest of it may still come
			}
			return onIdle
		case errors.Is(err, io.EOF) && s.rend > s.rpos:
			return errTruncated
		default:
			return err
		}
	}
	return nil
}

// readPacket returns the next logical packet, at most limit bytes of it, which is valid
// until the next call. idle > 0 bounds the wait for its first byte.
func (s *stream) readPacket(limit int, idle time.Duration) ([]byte, error) {
	s.big = nil
	for {
		if err := s.more(headerSize, idle); err != nil {
			if len(s.big) > 0 && errors.Is(err, io.EOF) {
				err = errTruncated
			}
			return nil, err
		}
		idle = 0
		h := s.rbuf[s.rpos:]
		n := int(h[0]) | int(h[1])<<8 | int(h[2])<<16
		if err := s.sequence(h[3]); err != nil {
			return nil, err
		}
		s.rpos += headerSize
		if len(s.big)+n > limit {
			s.skip(n)
			return nil, errTooLarge
		}
		if err := s.more(n, 0); err != nil {
			if errors.Is(err, io.EOF) {
				err = errTruncated
			}
			return nil, err
		}
		if s.zip != nil {
			s.seq = s.zip.seq // the payload may have come in further compressed packets
		}
		p := s.rbuf[s.rpos : s.rpos+n : s.rpos+n]
		s.rpos += n
		if n < maxChunk && s.big == nil {
			return p, nil
		}
		s.big = append(s.big, p...)
		if n < maxChunk {
			return s.big, nil
		}
	}
}

// sequence checks the number of a packet that is being read and counts on. Inside
// compression the outer numbers count alone, and the answer goes on from them.
func (s *stream) sequence(n uint8) error {
	if s.zip != nil {
		s.seq = s.zip.seq
		return nil
	}
	if n != s.seq {
		return errSequence
	}
	s.seq++
	return nil
}

// startCommand begins to count packets anew.
func (s *stream) startCommand() {
	s.seq = 0
	if s.zip != nil {
		s.zip.seq = 0
	}
}

// skip reads and forgets what is left of a packet that is too large, of which n bytes
// follow, so that the client comes to read the answer. It gives up after 5 s.
func (s *stream) skip(n int) {
	if s.fixed.IsZero() {
		s.fixed = time.Now().Add(5 * time.Second)
		defer func() { s.fixed = time.Time{} }()
	}
	for {
		last := n < maxChunk
		for n > 0 {
			if s.more(1, 0) != nil {
				return
			}
			m := min(n, s.rend-s.rpos)
			s.rpos += m
			n -= m
		}
		if last || s.more(headerSize, 0) != nil {
			return
		}
		h := s.rbuf[s.rpos:]
		n = int(h[0]) | int(h[1])<<8 | int(h[2])<<16
		s.rpos += headerSize
		if s.seq = h[3] + 1; s.zip != nil {
			s.seq = s.zip.seq
		}
	}
}

// begin starts a packet: what is appended to wbuf from here on is its payload.
func (s *stream) begin() {
	s.wstart, s.wopen = len(s.wbuf), true
	s.wbuf = append(s.wbuf, 0, 0, 0, 0)
}

// end closes the packet that begin started, and writes when enough has gathered.
func (s *stream) end() error {
	s.wopen = false
	n := len(s.wbuf) - s.wstart - headerSize
	if n >= maxChunk {
		return s.endLarge()
	}
	h := s.wbuf[s.wstart:]
	h[0], h[1], h[2], h[3] = byte(n), byte(n>>8), byte(n>>16), s.seq
	s.seq++
	if len(s.wbuf) >= flushSize {
		return s.flush()
	}
	return nil
}

// endLarge writes a packet that has to be cut, and everything before it.
func (s *stream) endLarge() error {
	rest := s.wbuf[s.wstart+headerSize:]
	s.wbuf = s.wbuf[:s.wstart]
	if err := s.flush(); err != nil {
		return err
	}
	for {
		n := min(len(rest), maxChunk)
		if err := s.write([]byte{byte(n), byte(n >> 8), byte(n >> 16), s.seq}); err != nil {
			return err
		}
		s.seq++
		if err := s.write(rest[:n]); err != nil {
			return err
		}
		rest = rest[n:]
		if n < maxChunk {
			break
		}
	}
	s.wbuf = nil
	return nil
}

// abort forgets the packet under construction, if there is one.
func (s *stream) abort() {
	if s.wopen {
		s.wbuf, s.wopen = s.wbuf[:s.wstart], false
	}
}

// flush writes what has gathered.
func (s *stream) flush() error {
	if len(s.wbuf) == 0 {
		return nil
	}
	err := s.write(s.wbuf)
	s.wbuf = s.wbuf[:0]
	return err
}

// write bounds every write by writeTimeout: in pieces, so that a slow reader of a large
// packet has that long for each.
func (s *stream) write(p []byte) error {
	const piece = 1 << 20
	for len(p) > 0 {
		deadline := time.Now().Add(s.writeTimeout)
		if !s.fixed.IsZero() {
			deadline = s.fixed
		}
		if err := s.nc.SetWriteDeadline(deadline); err != nil {
			s.broken = err
			return err
		}
		if s.hurry.Load() {
			s.raw.SetWriteDeadline(time.Now().Add(hurryTime))
		}
		n, err := s.nc.Write(p[:min(len(p), piece)])
		if s.zip == nil {
			s.bytesOut.Add(uint64(n))
		}
		if err != nil {
			s.broken = err
			return err
		}
		p = p[n:]
	}
	return nil
}

// rest gives back memory that one large packet took.
func (s *stream) rest() {
	s.big = nil
	if s.zip != nil {
		s.zip.rest()
	}
	if cap(s.wbuf) > keepBuffer {
		s.wbuf = nil
	}
	if len(s.rbuf) > keepBuffer && s.rend-s.rpos < readBuffer {
		small := make([]byte, readBuffer)
		s.rend = copy(small, s.rbuf[s.rpos:s.rend])
		s.rpos = 0
		s.rbuf = small
	}
}

// unread takes what was received beyond the last packet, for a layer that goes between.
func (s *stream) unread() []byte {
	p := s.rbuf[s.rpos:s.rend]
	s.rbuf, s.rpos, s.rend = nil, 0, 0
	return p
}
