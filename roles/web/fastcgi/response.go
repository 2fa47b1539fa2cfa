package fastcgi

import (
	"bytes"
	"errors"
	"fmt"
)

// MaxHead bounds the head of an answer in bytes.
const MaxHead = 64 << 10

// Errors of ParseHead: the application answered with what is no CGI head. 502.
var (
	ErrHeadLong = fmt.Errorf("the head of the answer is longer than %d bytes", MaxHead)
	errNoColon  = errors.New("a line of the answer's head has no colon")
	errName     = errors.New("a field name of the answer's head holds a byte that is not allowed")
	errValue    = errors.New("a field value of the answer's head holds a control byte")
	errStatus   = errors.New("the Status field is not a number from 200 to 599")
	errLength   = errors.New("the Content-Length field is not a number, or came twice")
	errNothing  = errors.New("the head of the answer is empty")
)

// Field is one header field. Its slices share the storage of the head.
type Field struct{ Name, Value []byte }

// Head is the parsed head of an answer (RFC 3875 section 6).
type Head struct {
	Status int
	Reason []byte // as sent, may be empty
	// Fields are to be sent on, in order; hop-by-hop fields, Status, Date and Server
	// are taken out.
	Fields []Field
	// Length is Content-Length, -1 without one.
	Length int64
}

// HeadEnd returns the length of the head in data, its empty line included, or -1
// while that has not come. Lines end with LF or CRLF.
func HeadEnd(data []byte) int {
	for from := 0; ; {
		i := bytes.IndexByte(data[from:], '\n')
		if i < 0 {
			return -1
		}
		line := data[from : from+i]
		if len(line) == 0 || len(line) == 1 && line[0] == '\r' {
			return from + i + 1
		}
		from += i + 1
	}
}

// ParseHead parses a head found by HeadEnd into h, whose Fields are used again.
func ParseHead(h *Head, data []byte) error {
	*h = Head{Fields: h.Fields[:0], Length: -1}
	location, lines := false, 0
	for {
		i := bytes.IndexByte(data, '\n')
		if i < 0 {
			break
		}
		line := bytes.TrimSuffix(data[:i], []byte{'\r'})
		data = data[i+1:]
		if len(line) == 0 {
			break
		}
		lines++
		colon := bytes.IndexByte(line, ':')
		if colon < 0 {
			return errNoColon
		}
		f := Field{line[:colon], bytes.Trim(line[colon+1:], " \t")}
		if err := f.valid(); err != nil {
			return err
		}
		switch {
		case f.is("Status"):
			if err := h.setStatus(f.Value); err != nil {
				return err
			}
			continue
		case f.is("Content-Length"):
			if err := h.setLength(f.Value); err != nil {
				return err
			}
			continue
		case f.is("Location"):
			location = true
		case f.hopByHop(), f.is("Date"), f.is("Server"):
			continue // the role writes its own
		}
		h.Fields = append(h.Fields, f)
	}
	switch {
	case lines == 0:
		return errNothing
	case h.Status == 0 && location:
		h.Status = 302 // RFC 3875 section 6.2.3; nginx and Apache do so as well
	case h.Status == 0:
		h.Status = 200
	}
	return nil
}

func (h *Head) setStatus(value []byte) error {
	if h.Status != 0 || len(value) < 3 || len(value) > 3 && value[3] != ' ' {
		return errStatus
	}
	n := 0
	for _, c := range value[:3] {
		if c < '0' || c > '9' {
			return errStatus
		}
		n = n*10 + int(c-'0')
	}
	// 1xx would promise another head, which CGI cannot give.
	if n < 200 || n > 599 {
		return errStatus
	}
	h.Status, h.Reason = n, bytes.TrimLeft(value[3:], " ")
	return nil
}

func (h *Head) setLength(value []byte) error {
	if h.Length >= 0 || len(value) == 0 || len(value) > 18 {
		return errLength
	}
	h.Length = 0
	for _, c := range value {
		if c < '0' || c > '9' {
			return errLength
		}
		h.Length = h.Length*10 + int64(c-'0')
	}
	return nil
}

func (f *Field) is(name string) bool {
	return len(f.Name) == len(name) && bytes.EqualFold(f.Name, []byte(name))
}

// hopByHop fields belong to the connection to the client, which the script does not
// know (RFC 9110 section 7.6.1).
func (f *Field) hopByHop() bool {
	switch len(f.Name) {
	case 2, 7, 10, 16, 17, 18, 19:
	default:
		return false
	}
	return f.is("Connection") || f.is("Keep-Alive") || f.is("Transfer-Encoding") || f.is("TE") ||
		f.is("Trailer") || f.is("Upgrade") || f.is("Proxy-Connection") ||
		f.is("Proxy-Authenticate") || f.is("Proxy-Authorization")
}

func (f *Field) valid() error {
	if len(f.Name) == 0 {
		return errName
	}
	for _, c := range f.Name {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
			bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), c) >= 0) {
			return errName
		}
	}
	for _, c := range f.Value {
		if c < 0x20 && c != '\t' || c == 0x7f {
			return errValue
		}
	}
	return nil
}
