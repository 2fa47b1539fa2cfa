package http1

// Chunked reads a body in chunked coding (RFC 9112 section 7.1). The zero value is at
// the start of a body.
type Chunked struct {
	state   uint8
	left    uint64 // bytes of the chunk to come
	trailer int    // bytes of the trailer section so far
}

// Part is what Next found.
type Part uint8

// The parts of a chunked body.
const (
	More        Part = iota // nothing yet: the bytes that n leaves have to be given again with more
	Data                    // a piece of the content
	TrailerLine             // a whole trailer field line, without its CR LF
	End                     // the body is over
)

const (
	atSize uint8 = iota
	inData
	afterData
	inTrailer
	atEnd
)

var (
	errChunkSize = &Error{400, "bad chunk size"}
	errChunkExt  = &Error{400, "bad chunk extension"}
	errChunkEnd  = &Error{400, "chunk that does not end in CR LF"}
	errTrailers  = &Error{431, "trailer section too large"}
)

const (
	maxChunkLine = 256
	maxTrailers  = 8 << 10
)

// Next looks at the start of p. b aliases p; n is the number of bytes used, which may
// be more than 0 with More.
func (c *Chunked) Next(p []byte) (part Part, b []byte, n int, err *Error) {
	for {
		rest := p[n:]
		switch c.state {
		case atSize:
			size, used, err := chunkSize(rest)
			if err != nil || used == 0 {
				return More, nil, n, err
			}
			n += used
			c.left, c.state = size, inData
			if size == 0 {
				c.state = inTrailer
			}
		case inData:
			if len(rest) == 0 {
				return More, nil, n, nil
			}
			take := uint64(len(rest))
			if take >= c.left {
				take = c.left
				c.state = afterData
			}
			c.left -= take
			return Data, rest[:take], n + int(take), nil
		case afterData:
			if len(rest) > 0 && rest[0] != '\r' || len(rest) > 1 && rest[1] != '\n' {
				return More, nil, n, errChunkEnd
			}
			if len(rest) < 2 {
				return More, nil, n, nil
			}
			n += 2
			c.state = atSize
		case inTrailer:
			line, used, err := trailerLine(rest)
			if err == nil && c.trailer+used+pending(rest, used) > maxTrailers {
				err = errTrailers
			}
			if err != nil || used == 0 {
				return More, nil, n, err
			}
			c.trailer += used
			if len(line) > 0 {
				return TrailerLine, line, n + used, nil
			}
			c.state = atEnd
			return End, nil, n + used, nil
		default:
			return End, nil, n, nil
		}
	}
}

// chunkSize reads "1*HEXDIG [ chunk-ext ] CRLF". used is 0 when the line is not whole.
func chunkSize(p []byte) (size uint64, used int, err *Error) {
	i := 0
	for ; i < len(p); i++ {
		d := unhex(p[i])
		if d < 0 {
			break
		}
		if i == 15 {
			return 0, 0, errChunkSize
		}
		size = size<<4 | uint64(d)
	}
	if i == len(p) {
		return 0, 0, nil
	}
	if i == 0 {
		return 0, 0, errChunkSize
	}
	if p[i] == ';' || isBlank(p[i]) {
		n, err := chunkExt(p[i:])
		if err != nil || n == 0 {
			return 0, 0, err
		}
		i += n
	}
	if p[i] != '\r' {
		return 0, 0, errChunkSize
	}
	if i+1 == len(p) {
		return 0, 0, nil
	}
	if p[i+1] != '\n' {
		return 0, 0, errChunkSize
	}
	return size, i + 2, nil
}

// chunkExt reads *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] ) up to,
// without, the CR. n is 0 when the CR has not come.
func chunkExt(p []byte) (n int, err *Error) {
	i := 0
	for {
		begin := i
		i = skipBlanks(p, i)
		switch {
		case i >= maxChunkLine:
			return 0, errChunkExt
		case i == len(p):
			return 0, nil
		case p[i] != ';' && i > begin: // blanks belong to what follows them
			return 0, errChunkExt
		case p[i] != ';':
			return i, nil
		}
		if i, err = extName(p, skipBlanks(p, i+1)); err != nil || i == 0 {
			return 0, err
		}
		eq := skipBlanks(p, i)
		if eq == len(p) {
			return 0, tooLong(p)
		}
		if p[eq] != '=' {
			continue
		}
		if i, err = extValue(p, skipBlanks(p, eq+1)); err != nil || i == 0 {
			return 0, err
		}
	}
}

// extName returns where the token at i ends, 0 if it may go on.
func extName(p []byte, i int) (end int, err *Error) {
	end = i + run(p[i:], isToken)
	switch {
	case end == len(p):
		return 0, tooLong(p)
	case end == i:
		return 0, errChunkExt
	}
	return end, nil
}

// extValue returns where the token or quoted string at i ends, 0 if it may go on.
func extValue(p []byte, i int) (end int, err *Error) {
	if i == len(p) || p[i] != '"' {
		return extName(p, i)
	}
	for i++; i < len(p); i++ {
		switch c := p[i]; {
		case c == '"':
			return i + 1, nil
		case class[c]&isValue == 0:
			return 0, errChunkExt
		case c == '\\':
			if i++; i < len(p) && class[p[i]]&isValue == 0 {
				return 0, errChunkExt
			}
		}
	}
	return 0, tooLong(p)
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

func skipBlanks(p []byte, i int) int {
	for i < len(p) && isBlank(p[i]) {
		i++
	}
	return i
}

func tooLong(p []byte) *Error {
	if len(p) >= maxChunkLine {
		return errChunkExt
	}
	return nil
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

// trailerLine reads one field line or the empty line that ends the section.
func trailerLine(p []byte) (line []byte, used int, err *Error) {
	if len(p) > 0 && p[0] == '\r' {
		if len(p) == 1 {
			return nil, 0, nil
		}
		if p[1] != '\n' {
			return nil, 0, errBareLF
		}
		return nil, 2, nil
	}
	n := run(p, isToken)
	if n == len(p) {
		return nil, 0, nil
	}
	if p[n] != ':' || n == 0 {
		return nil, 0, lineError(p, n)
	}
	end := n + 1 + run(p[n+1:], isValue)
	if end < len(p) && p[end] != '\r' {
		return nil, 0, valueError(p[end])
	}
	if end+1 >= len(p) {
		return nil, 0, nil
	}
	if p[end+1] != '\n' {
		return nil, 0, errBareLF
	}
	return p[:end], end + 2, nil
}

// AllowedTrailer says whether a trailer line may be passed on: not the fields that
// say how the message is framed, routed or trusted (RFC 9110 section 6.5.1).
func AllowedTrailer(line []byte) bool {
	n := run(line, isToken)
	switch id := identify(line[:n]); id {
	case Other, Date, Via, Server:
	default:
		return false
	}
	if ImitatesForwarded(line[:n]) {
		return false
	}
	for _, s := range [...]string{"authorization", "cookie", "set-cookie", "cache-control", "content-type", "content-encoding", "content-range", "range", "age", "vary", "location"} {
		if EqualFold(line[:n], s) {
			return false
		}
	}
	return true
}

// pending counts a line that is not whole yet towards the bound of the section.
func pending(rest []byte, used int) int {
	if used == 0 {
		return len(rest)
	}
	return 0
}
