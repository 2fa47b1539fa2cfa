package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// Under compression every write travels in one or more of
//
//	3 bytes  length of what follows the header, little endian
//	1 byte   sequence number, from 0 at each command, counted on by both sides
//	3 bytes  length before compression; 0: what follows is not compressed
//	payload  a zlib stream or a zstd frame, of ordinary packets or pieces of them
//
// ("Compressed Packet" of the MySQL client/server protocol). The sequence numbers of the
// ordinary packets inside are not looked at, as in MySQL.
const (
	compressedHeader = 7
	// worthCompressing is the least length that is compressed, as MIN_COMPRESS_LENGTH.
	worthCompressing = 50
)

// algorithm compresses and expands whole payloads. Its methods are safe for concurrent use.
type algorithm interface {
	compress(dst, src []byte) []byte
	// expand appends size bytes to dst, or fails.
	expand(dst, src []byte, size int) ([]byte, error)
}

// squeezed is a connection whose bytes travel compressed. One goroutine at a time uses it.
type squeezed struct {
	net.Conn
	how algorithm
	seq uint8

	first []byte // received before compression began
	in    []byte // received of the next compressed packet
	plain []byte // expanded and not read yet
	space []byte // what plain is cut from

	out []byte

	bytesIn, bytesOut byteCounter
}

// Read implements io.Reader. A packet of which a part has come is kept over a time-out, and
// with each part Read returns, with nothing yet: so the time-out of a slow client begins
// anew, and that of a client which has begun a packet is not that of an idle one.
func (z *squeezed) Read(p []byte) (int, error) {
	for len(z.plain) == 0 {
		if len(z.in) < compressedHeader {
			return 0, z.fill(compressedHeader)
		}
		h := z.in
		n, size := int(h[0])|int(h[1])<<8|int(h[2])<<16, int(h[4])|int(h[5])<<8|int(h[6])<<16
		if h[3] != z.seq {
			return 0, errSequence
		}
		if whole := compressedHeader + n; len(z.in) < whole {
			if err := z.fill(whole); err != nil || len(z.in) < whole {
				return 0, err
			}
		}
		z.seq++
		payload := z.in[compressedHeader:]
		var err error
		if size == 0 {
			z.space = append(z.space[:0], payload...)
		} else if z.space, err = z.how.expand(z.space[:0], payload, size); err != nil {
			return 0, fmt.Errorf("%w: %w", errMalformed, err)
		}
		z.plain, z.in = z.space, z.in[:0]
	}
	n := copy(p, z.plain)
	z.plain = z.plain[n:]
	return n, nil
}

// partial says that a part of a compressed packet has come.
func (z *squeezed) partial() bool { return len(z.in) > 0 }

// fill reads once, up to the byte that makes in hold n. Its room doubles as bytes arrive: a
// header alone cannot make it reserve 16 MiB.
func (z *squeezed) fill(n int) error {
	if len(z.first) > 0 {
		m := min(n-len(z.in), len(z.first))
		z.in, z.first = append(z.in, z.first[:m]...), z.first[m:]
		return nil
	}
	if cap(z.in) == len(z.in) {
		grown := make([]byte, len(z.in), max(readBuffer, min(n, 2*cap(z.in))))
		copy(grown, z.in)
		z.in = grown
	}
	m, err := z.Conn.Read(z.in[len(z.in):min(n, cap(z.in))])
	z.in = z.in[:len(z.in)+m]
	z.bytesIn.Add(uint64(m))
	switch {
	case m > 0:
		return nil
	case errors.Is(err, io.EOF) && len(z.in) > 0:
		return errTruncated
	}
	return err
}

// Write implements io.Writer; it writes all of p or fails.
func (z *squeezed) Write(p []byte) (int, error) {
	done := 0
	for done < len(p) {
		part := p[done:min(len(p), done+maxChunk)]
		z.out = append(z.out[:0], 0, 0, 0, z.seq, 0, 0, 0)
		size := 0
		if len(part) >= worthCompressing {
			z.out = z.how.compress(z.out, part)
			size = len(part)
		}
		if size == 0 || len(z.out)-compressedHeader >= size {
			z.out, size = append(z.out[:compressedHeader], part...), 0
		}
		n := len(z.out) - compressedHeader
		z.out[0], z.out[1], z.out[2] = byte(n), byte(n>>8), byte(n>>16)
		z.out[4], z.out[5], z.out[6] = byte(size), byte(size>>8), byte(size>>16)
		z.seq++
		m, err := z.Conn.Write(z.out)
		z.bytesOut.Add(uint64(m))
		if err != nil {
			return done, err
		}
		done += len(part)
	}
	return done, nil
}

// rest gives back memory that large packets took.
func (z *squeezed) rest() {
	if cap(z.out) > keepBuffer {
		z.out = nil
	}
	if len(z.in) == 0 && cap(z.in) > keepBuffer {
		z.in = nil
	}
	if len(z.plain) == 0 && cap(z.space) > keepBuffer {
		z.space, z.plain = nil, nil
	}
}

// startCompression puts compression between the transport and the packets, if the client
// has agreed on one: zlib where it takes both, as MySQL's server does.
func (c *conn) startCompression(level int) error {
	var how algorithm
	switch {
	case c.caps&capCompress != 0:
		how = zlibAlgorithm{}
	case c.caps&capZstd != 0:
		var err error
		if how, err = zstdOf(level); err != nil {
			return err
		}
	default:
		return nil
	}
	c.srv.stats.compressed.Add(1)
	c.zip = &squeezed{Conn: c.nc, how: how, first: c.unread(), bytesIn: c.bytesIn, bytesOut: c.bytesOut}
	c.nc = c.zip
	return nil
}

type zlibAlgorithm struct{}

var (
	deflaters = sync.Pool{New: func() any { return zlib.NewWriter(io.Discard) }}
	inflaters sync.Pool // of io.ReadCloser with zlib.Resetter
)

func (zlibAlgorithm) compress(dst, src []byte) []byte {
	w := deflaters.Get().(*zlib.Writer)
	defer deflaters.Put(w)
	out := sliceWriter{dst}
	w.Reset(&out)
	// A slice takes everything: neither can fail.
	_, _ = w.Write(src)
	_ = w.Close()
	return out.b
}

func (zlibAlgorithm) expand(dst, src []byte, size int) ([]byte, error) {
	r, err := inflater(src)
	if err != nil {
		return nil, err
	}
	defer inflaters.Put(r)
	// What comes out is taken, not what was announced: a few bytes cannot reserve 16 MiB.
	out := sliceWriter{dst}
	n, err := io.Copy(&out, io.LimitReader(r, int64(size)+1))
	if err != nil {
		return nil, err
	}
	if n != int64(size) {
		return nil, errExpanded
	}
	return out.b, nil
}

func inflater(src []byte) (io.Reader, error) {
	in := bytes.NewReader(src)
	if r, ok := inflaters.Get().(io.Reader); ok {
		return r, r.(zlib.Resetter).Reset(in, nil)
	}
	return zlib.NewReader(in)
}

var errExpanded = errors.New("a compressed packet does not have the length that it announces")

// sliceWriter appends what is written.
type sliceWriter struct{ b []byte }

func (w *sliceWriter) Write(p []byte) (int, error) {
	w.b = append(w.b, p...)
	return len(p), nil
}

// zstdAlgorithm shares its encoder and decoder among all connections: each holds megabytes.
type zstdAlgorithm struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

var (
	zstdMu     sync.Mutex
	zstdLevels = map[zstd.EncoderLevel]zstdAlgorithm{}
)

// zstdOf is zstd at a level of the client's scale, 1 to 22; others are MySQL's default, 3.
func zstdOf(level int) (zstdAlgorithm, error) {
	if level < 1 || level > 22 {
		level = 3
	}
	kind := zstd.EncoderLevelFromZstd(level)
	zstdMu.Lock()
	defer zstdMu.Unlock()
	if a, ok := zstdLevels[kind]; ok {
		return a, nil
	}
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(kind), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return zstdAlgorithm{}, fmt.Errorf("make a zstd encoder: %w", err)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxChunk+1), zstd.WithDecoderLowmem(true))
	if err != nil {
		return zstdAlgorithm{}, fmt.Errorf("make a zstd decoder: %w", err)
	}
	a := zstdAlgorithm{enc, dec}
	zstdLevels[kind] = a
	return a, nil
}

func (z zstdAlgorithm) compress(dst, src []byte) []byte { return z.enc.EncodeAll(src, dst) }

func (z zstdAlgorithm) expand(dst, src []byte, size int) ([]byte, error) {
	before := len(dst)
	out, err := z.dec.DecodeAll(src, dst)
	if err != nil {
		return nil, err
	}
	if len(out)-before != size {
		return nil, errExpanded
	}
	return out, nil
}
