// Package target turns the path of a request target into the one normal form that
// the web role routes and opens by. It decodes exactly once and refuses whatever
// two programs could read differently; it never touches the file system.
//
// Source: RFC 3986 sections 2.1, 3.3 and 5.2.4; RFC 9112 section 3.2.
package target

import (
	"bytes"
	"errors"
)

// Refusals. Each is answered with 400; the text is for the log.
var (
	ErrForm      = errors.New("the path does not begin with /")
	ErrEscape    = errors.New("a percent sign is not followed by two hexadecimal digits")
	ErrControl   = errors.New("the path holds a control byte")
	ErrBackslash = errors.New("the path holds a backslash")
	ErrFragment  = errors.New("the target holds a fragment")
	ErrAbove     = errors.New("the path climbs above the root")
	ErrSlash     = errors.New("an encoded slash stands beside a dot segment")
)

// Target is a request target in normal form.
type Target struct {
	// Path is decoded, begins with /, holds no empty, "." or ".." segment, and ends
	// with / where the request named a directory. An encoded slash stays "%2F".
	Path []byte
	// Query is what follows the first ?, untouched; nil without one.
	Query []byte
	// EncodedSlash tells that the path held %2F. Such a path names no file: only an
	// application server may see it, as it was sent.
	EncodedSlash bool
}

// Decode parses raw (origin-form: path and optional query) and appends the normal
// path to dst, whose storage Target.Path then shares. Query shares raw's storage.
// With a dst of len(raw)+2 spare bytes it does not allocate.
func Decode(dst, raw []byte) (Target, error) {
	var t Target
	if len(raw) == 0 || raw[0] != '/' {
		return t, ErrForm
	}
	if q := bytes.IndexByte(raw, '?'); q >= 0 {
		t.Query = raw[q+1:]
		raw = raw[:q]
	}
	start := len(dst)
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		switch {
		case c == '%':
			if i+2 >= len(raw) {
				return Target{}, ErrEscape
			}
			hi, lo := unhex(raw[i+1]), unhex(raw[i+2])
			if hi < 0 || lo < 0 {
				return Target{}, ErrEscape
			}
			c = byte(hi<<4 | lo)
			i += 2
			if c == '/' {
				t.EncodedSlash = true
				dst = append(dst, '%', '2', 'F')
				continue
			}
		case c == '#':
			return Target{}, ErrFragment
		case c == '/':
			var err error
			if dst, err = closeSegment(dst, start); err != nil {
				return Target{}, err
			}
			if len(dst) == start || dst[len(dst)-1] != '/' {
				dst = append(dst, '/')
			}
			continue
		}
		if c < 0x20 || c == 0x7f {
			return Target{}, ErrControl
		}
		if c == '\\' {
			return Target{}, ErrBackslash
		}
		dst = append(dst, c)
	}
	dst, err := closeSegment(dst, start)
	if err != nil {
		return Target{}, err
	}
	t.Path = dst[start:]
	if t.EncodedSlash && hidesDots(t.Path) {
		return Target{}, ErrSlash
	}
	return t, nil
}

// closeSegment removes the last segment of dst[start:] if it is a dot segment, and
// the segment before it for "..". The result then ends with a slash.
func closeSegment(dst []byte, start int) ([]byte, error) {
	slash := bytes.LastIndexByte(dst[start:], '/')
	if slash < 0 {
		return dst, nil // before the first slash
	}
	slash += start
	switch segment := dst[slash+1:]; {
	case len(segment) == 1 && segment[0] == '.':
		return dst[:slash+1], nil
	case len(segment) == 2 && segment[0] == '.' && segment[1] == '.':
		if slash == start {
			return dst, ErrAbove
		}
		parent := bytes.LastIndexByte(dst[start:slash], '/')
		return dst[:start+parent+1], nil
	}
	return dst, nil
}

// hidesDots reports whether reading "%2F" as a slash would make a dot segment: the
// next program might do so and leave the location that was matched here.
func hidesDots(path []byte) bool {
	for _, segment := range bytes.Split(bytes.ReplaceAll(path, []byte("%2F"), []byte("/")), []byte("/")) {
		if string(segment) == "." || string(segment) == ".." {
			return true
		}
	}
	return false
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// Hidden reports whether a segment of the normal path begins with a dot.
// /.well-known/ at the top is public by RFC 8615; segments below it count again.
func Hidden(path []byte) bool {
	rest := path
	const wellKnown = "/.well-known/"
	if len(rest) >= len(wellKnown) && string(rest[:len(wellKnown)]) == wellKnown {
		rest = rest[len(wellKnown)-1:]
	}
	return bytes.Contains(rest, []byte("/."))
}

// AppendEscaped appends path to dst with every byte escaped that may not stand in
// a path (RFC 3986 section 3.3), so that it can be sent in a Location field.
func AppendEscaped(dst, path []byte) []byte {
	const digits = "0123456789ABCDEF"
	for i := 0; i < len(path); i++ {
		c := path[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
			bytes.IndexByte([]byte("/-._~!$&'()*+,;=:@"), c) >= 0 {
			dst = append(dst, c)
			continue
		}
		dst = append(dst, '%', digits[c>>4], digits[c&15])
	}
	return dst
}
