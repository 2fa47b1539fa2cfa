package http1

import "bytes"

// The errors of heads. Shared values: a refusal allocates nothing.
var (
	errMethod     = &Error{400, "bad method"}
	errTarget     = &Error{400, "bad request target"}
	errLine       = &Error{400, "bad request line"}
	errVersion    = &Error{505, "HTTP version not supported"}
	errName       = &Error{400, "bad field name"}
	errValue      = &Error{400, "control byte in a field"}
	errFold       = &Error{400, "folded field"}
	errBareLF     = &Error{400, "line that does not end in CR LF"}
	errNoHost     = &Error{400, "no Host"}
	errHosts      = &Error{400, "more than one Host"}
	errHost       = &Error{400, "bad Host"}
	errLength     = &Error{400, "bad Content-Length"}
	errLengths    = &Error{400, "more than one Content-Length"}
	errBoth       = &Error{400, "Content-Length and Transfer-Encoding together"}
	errCodings    = &Error{400, "more than one Transfer-Encoding"}
	errOldCoding  = &Error{400, "Transfer-Encoding in HTTP/1.0"}
	errBadCoding  = &Error{400, "bad Transfer-Encoding"}
	errCoding     = &Error{501, "transfer coding not supported"}
	errConnect    = &Error{501, "CONNECT not supported"}
	errExpect     = &Error{417, "expectation not supported"}
	errURILong    = &Error{414, "request target too long"}
	errHeadLong   = &Error{431, "head too large"}
	errManyFields = &Error{431, "too many fields"}
	errStatus     = &Error{502, "bad status line"}
)

// Complete says whether buf holds the end of a head; bytes before from were searched
// before. It saves parsing again and again a head that arrives in small pieces.
func Complete(buf []byte, from int) bool {
	for i := max(0, from-3); ; {
		j := bytes.IndexByte(buf[i:], '\n')
		if j < 0 {
			return false
		}
		i += j + 1
		if i < len(buf) && buf[i] == '\n' || i+1 < len(buf) && buf[i] == '\r' && buf[i+1] == '\n' {
			return true
		}
	}
}

func (r *Request) parse(buf []byte, lim Limits) (int, *Error) {
	r.reset(buf)
	r.hasQuery, r.expect, r.server = false, false, false
	r.path, r.query, r.authority = Span{}, Span{}, Span{}
	start := 0
	for start+1 < len(buf) && buf[start] == '\r' && buf[start+1] == '\n' {
		start += 2
	}
	pos, err := r.line(buf, start)
	if err != nil {
		return 0, err
	}
	if pos > lim.Bytes || pos == 0 && len(buf) >= lim.Bytes {
		return 0, errURILong
	}
	if pos == 0 {
		return 0, nil
	}
	n, err := r.readFields(buf, pos, lim)
	if err != nil || n == 0 {
		return 0, err
	}
	if err := r.checkHost(); err != nil {
		return 0, err
	}
	return n, nil
}

// line reads the request line: method SP target SP HTTP/1.x CRLF. It returns where
// the fields begin, 0 if there is more to come.
func (r *Request) line(buf []byte, start int) (int, *Error) {
	b := buf[start:]
	m := run(b, isToken)
	if m == len(b) {
		return 0, nil
	}
	if m == 0 || b[m] != ' ' {
		if b[0] == '\r' && len(b) == 1 {
			return 0, nil
		}
		return 0, errMethod
	}
	t := m + 1 + run(b[m+1:], isTarget)
	if t == len(b) {
		return 0, nil
	}
	if t == m+1 || b[t] != ' ' {
		return 0, errTarget
	}
	const version = len("HTTP/1.1\r\n")
	v := b[t+1:]
	if len(v) < version {
		if !bytes.HasPrefix([]byte("HTTP/"), v[:min(len(v), 5)]) || bytes.IndexByte(v, '\n') >= 0 {
			return 0, errLine
		}
		return 0, nil
	}
	if string(v[:5]) != "HTTP/" || v[6] != '.' || v[5] < '0' || v[5] > '9' || v[7] < '0' || v[7] > '9' {
		return 0, errLine
	}
	if v[8] != '\r' || v[9] != '\n' {
		return 0, errLine
	}
	if v[5] != '1' {
		return 0, errVersion
	}
	r.Minor = min(1, int(v[7]-'0'))
	r.method = Span{uint32(start), uint32(m)}
	r.target = Span{uint32(start + m + 1), uint32(t - m - 1)}
	return start + t + 1 + version, r.splitTarget(buf)
}

// splitTarget reads the forms of RFC 9112 section 3.2.
func (r *Request) splitTarget(buf []byte) *Error {
	off, target := r.target.Off, r.span(r.target)
	if string(r.Method()) == "CONNECT" {
		return errConnect
	}
	if target[0] != '/' {
		if len(target) == 1 && target[0] == '*' && string(r.Method()) == "OPTIONS" {
			r.path = r.target
			return nil
		}
		rest := target
		switch {
		case len(rest) > 7 && equalFoldBytes(rest[:7], []byte("http://")):
			rest = rest[7:]
		case len(rest) > 8 && equalFoldBytes(rest[:8], []byte("https://")):
			rest = rest[8:]
		default:
			return errTarget
		}
		end := len(rest)
		for i, c := range rest {
			if c == '/' || c == '?' {
				end = i
				break
			}
		}
		skip := uint32(len(target) - len(rest))
		r.authority = Span{off + skip, uint32(end)}
		if !validHost(rest[:end]) {
			return errTarget
		}
		off += skip + uint32(end)
		target = rest[end:]
	}
	if len(target) == 0 && string(r.Method()) == "OPTIONS" {
		r.server = true
	}
	path := len(target)
	if q := bytes.IndexByte(target, '?'); q >= 0 {
		path = q
		r.hasQuery = true
		r.query = Span{off + uint32(q) + 1, uint32(len(target) - q - 1)}
	}
	r.path = Span{off, uint32(path)}
	return nil
}

func (r *Request) checkHost() *Error {
	hosts := 0
	for i := range r.fields {
		switch f := &r.fields[i]; f.ID {
		case Host:
			hosts++
			if !validHost(r.span(f.Value)) {
				return errHost
			}
			if r.authority.Len == 0 {
				r.authority = f.Value
			}
		case Expect:
			switch {
			case EqualFold(r.span(f.Value), "100-continue"):
				r.expect = r.Minor >= 1
			case f.Value.Len > 0: // an empty list expects nothing
				return errExpect
			}
		}
	}
	if hosts > 1 {
		return errHosts
	}
	if hosts == 0 && r.Minor >= 1 {
		return errNoHost
	}
	r.expect = r.expect && r.HasBody()
	return nil
}

// validHost checks host [":" port] (RFC 9110 section 4.2, RFC 3986 section 3.2).
func validHost(b []byte) bool {
	if len(b) == 0 || len(b) > 260 || run(b, isHost) != len(b) {
		return false
	}
	host, port := b, []byte(nil)
	if b[0] == '[' {
		end := bytes.IndexByte(b, ']')
		if end < 3 || run(b[1:end], isHost) != end-1 || bytes.IndexByte(b[1:end], '[') >= 0 {
			return false
		}
		for _, c := range b[1:end] {
			if !(c == ':' || c == '.' || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f') {
				return false
			}
		}
		host, port = nil, b[end+1:]
		if len(port) > 0 {
			if port[0] != ':' {
				return false
			}
			port = port[1:]
		}
	} else if i := bytes.IndexByte(b, ':'); i >= 0 {
		host, port = b[:i], b[i+1:]
		if i == 0 {
			return false
		}
	}
	if bytes.IndexByte(host, '[') >= 0 || bytes.IndexByte(host, ']') >= 0 {
		return false
	}
	n := 0
	for _, c := range port {
		if c < '0' || c > '9' || len(port) > 5 {
			return false
		}
		n = n*10 + int(c-'0')
	}
	return n <= 65535
}

func (r *Response) parse(buf []byte, lim Limits) (int, *Error) {
	r.reset(buf)
	end := bytes.IndexByte(buf, '\n')
	if end < 0 {
		if len(buf) >= lim.Bytes || len(buf) >= 5 && string(buf[:5]) != "HTTP/" {
			return 0, errStatus
		}
		return 0, nil
	}
	line := buf[:end]
	if len(line) < len("HTTP/1.1 200\r") || line[len(line)-1] != '\r' || string(line[:7]) != "HTTP/1." || line[8] != ' ' {
		return 0, errStatus
	}
	line = line[:len(line)-1]
	status := 0
	for _, c := range line[9:12] {
		if c < '0' || c > '9' {
			return 0, errStatus
		}
		status = status*10 + int(c-'0')
	}
	if line[7] != '0' && line[7] != '1' || status < 100 || status > 599 || run(line, isValue) != len(line) {
		return 0, errStatus
	}
	if len(line) > 12 {
		if line[12] != ' ' {
			return 0, errStatus
		}
		r.reason = Span{13, uint32(len(line) - 13)}
	} else {
		r.reason = Span{}
	}
	r.Minor, r.Status = int(line[7]-'0'), status
	return r.readFields(buf, end+1, lim)
}
