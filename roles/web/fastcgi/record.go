// Package fastcgi speaks FastCGI to an application server such as php-fpm: records,
// parameters, the head of the answer, PATH_INFO, and the exchange of one request on
// an event loop. It owns the connections to the application; it never chooses the
// script (the web role does, and only files that exist) and never touches a file
// but the spool of a request body.
//
// Sources: FastCGI Specification 1.0 (1996), RFC 3875 (CGI/1.1).
package fastcgi

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Record header, 8 bytes, big endian (FastCGI 3.3):
//
//	0        1     2..3        4..5            6               7
//	version  type  request id  content length  padding length  reserved
//
// followed by content (0..65535 bytes) and padding (0..255 bytes).
const (
	headerLen  = 8
	version    = 1
	maxContent = 65535

	typeBegin     = 1
	typeAbort     = 2
	typeEnd       = 3
	typeParams    = 4
	typeStdin     = 5
	typeStdout    = 6
	typeStderr    = 7
	roleResponder = 1
	flagKeepConn  = 1

	// requestID is constant: one request at a time runs on a connection, as php-fpm
	// multiplexes none.
	requestID = 1
)

// Protocol errors of an application. The connection cannot be used again.
var (
	ErrVersion   = errors.New("fastcgi: the record's version is not 1")
	ErrRequestID = errors.New("fastcgi: a record for a request that does not run")
	ErrEndBody   = errors.New("fastcgi: END_REQUEST is not 8 bytes long")
	ErrType      = errors.New("fastcgi: a record of a type that an application does not send")
)

// AppendHeader appends a record header. content ≤ 65535.
func AppendHeader(dst []byte, kind byte, content int, padding byte) []byte {
	return append(dst, version, kind, 0, requestID, byte(content>>8), byte(content), padding, 0)
}

// AppendBegin appends BEGIN_REQUEST for a responder. keep asks it not to close the
// connection afterwards.
func AppendBegin(dst []byte, keep bool) []byte {
	var flags byte
	if keep {
		flags = flagKeepConn
	}
	dst = AppendHeader(dst, typeBegin, 8, 0)
	return append(dst, 0, roleResponder, flags, 0, 0, 0, 0, 0)
}

// AppendStream appends data of the stream kind (PARAMS or STDIN) in as many records
// as it needs; nothing for no data, since an empty record ends the stream.
func AppendStream(dst []byte, kind byte, data []byte) []byte {
	for len(data) > 0 {
		n := min(len(data), maxContent)
		dst = AppendHeader(dst, kind, n, 0)
		dst = append(dst, data[:n]...)
		data = data[n:]
	}
	return dst
}

// AppendEnd appends the empty record that ends a stream.
func AppendEnd(dst []byte, kind byte) []byte { return AppendHeader(dst, kind, 0, 0) }

// AppendPair appends a name and a value (FastCGI 3.4): lengths below 128 take one
// byte, others four with the top bit set.
func AppendPair(dst []byte, name, value string) []byte {
	dst = appendLength(dst, len(name))
	dst = appendLength(dst, len(value))
	dst = append(dst, name...)
	return append(dst, value...)
}

func appendLength(dst []byte, n int) []byte {
	if n < 128 {
		return append(dst, byte(n))
	}
	return binary.BigEndian.AppendUint32(dst, uint32(n)|1<<31)
}

// ParsePairs reads PARAMS content back: the other half of AppendPair, for tests and
// for looking at a capture. It stops with an error at a length beyond the data.
func ParsePairs(data []byte, visit func(name, value string)) error {
	for len(data) > 0 {
		var lengths [2]int
		for i := range lengths {
			switch {
			case len(data) == 0:
				return errors.New("fastcgi: parameters end inside a length")
			case data[0] < 128:
				lengths[i], data = int(data[0]), data[1:]
			case len(data) < 4:
				return errors.New("fastcgi: parameters end inside a length")
			default:
				lengths[i], data = int(binary.BigEndian.Uint32(data)&^(1<<31)), data[4:]
			}
		}
		if lengths[0] > len(data) || lengths[1] > len(data)-lengths[0] {
			return fmt.Errorf("fastcgi: a parameter of %d and %d bytes is longer than the data", lengths[0], lengths[1])
		}
		visit(string(data[:lengths[0]]), string(data[lengths[0]:lengths[0]+lengths[1]]))
		data = data[lengths[0]+lengths[1]:]
	}
	return nil
}

// EventKind says what Decoder.Next found.
type EventKind uint8

const (
	None   EventKind = iota // more bytes are needed
	Stdout                  // Data is a piece of the answer
	Stderr                  // Data is a piece of the application's error text
	End                     // the request has ended; App and Protocol are its statuses
)

// Event is one step of an answer. Data shares the storage given to Next.
type Event struct {
	Kind     EventKind
	Data     []byte
	App      uint32
	Protocol uint8 // 0 = complete, 1 = cannot multiplex, 2 = overloaded, 3 = unknown role
}

// Decoder reads the records of one connection from pieces of any size. It copies
// nothing but headers and holds no more than one of them. The zero value is ready.
type Decoder struct {
	head    [headerLen]byte
	have    int // bytes of head, or of the END_REQUEST body once inBody
	kind    byte
	content int
	padding int
	inBody  bool
}

// Next takes the first event out of data and says how many bytes it consumed. With
// None everything was consumed. After an error the decoder must not be used.
func (d *Decoder) Next(data []byte) (ev Event, n int, err error) {
	for {
		if !d.inBody {
			k := copy(d.head[d.have:], data[n:])
			d.have += k
			n += k
			if d.have < headerLen {
				return ev, n, nil
			}
			if err := d.open(); err != nil {
				return ev, n, err
			}
		}
		if d.content > 0 {
			k := min(d.content, len(data)-n)
			if k == 0 {
				return ev, n, nil
			}
			piece := data[n : n+k]
			n += k
			d.content -= k
			if d.kind != typeEnd {
				ev.Kind, ev.Data = Stdout, piece
				if d.kind == typeStderr {
					ev.Kind = Stderr
				}
				return ev, n, nil
			}
			d.have += copy(d.head[d.have:], piece)
			continue
		}
		k := min(d.padding, len(data)-n)
		n += k
		if d.padding -= k; d.padding > 0 {
			return ev, n, nil
		}
		d.inBody = false
		d.have = 0
		if d.kind == typeEnd {
			ev.Kind = End
			ev.App = binary.BigEndian.Uint32(d.head[:4])
			ev.Protocol = d.head[4]
			return ev, n, nil
		}
	}
}

// Idle reports whether the decoder stands between two records.
func (d *Decoder) Idle() bool { return !d.inBody && d.have == 0 }

func (d *Decoder) open() error {
	h := &d.head
	d.kind = h[1]
	d.content = int(binary.BigEndian.Uint16(h[4:]))
	d.padding = int(h[6])
	switch {
	case h[0] != version:
		return ErrVersion
	case d.kind != typeEnd && d.kind != typeStdout && d.kind != typeStderr:
		return ErrType
	case binary.BigEndian.Uint16(h[2:]) != requestID:
		return ErrRequestID
	case d.kind == typeEnd && d.content != 8:
		return ErrEndBody
	}
	d.inBody = true
	d.have = 0
	return nil
}
