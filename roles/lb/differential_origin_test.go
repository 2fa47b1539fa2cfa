package lb

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// rawOrigin is the server at the end of a path of proxies. It keeps every byte that
// arrives, and reads it with a parser of its own that shares nothing with stack: how many
// requests these bytes are to somebody else is what smuggling is about.
type rawOrigin struct {
	addr string
	mu   sync.Mutex
	// conns are the connections of the case that runs, in order of arrival.
	conns []*rawConn
	// seen are the complete requests of all of them, in the order of their ends.
	seen []string
	last time.Time
}

// originMark is in every answer of the origin, so that they can be told from those that a
// proxy gives by itself.
const originMark = "from-the-origin"

// rawConn is what came on one connection since the case began.
type rawConn struct {
	c    net.Conn
	data []byte   // from the first byte that is not part of an earlier case
	done int      // bytes that are complete requests
	shut bool     // closed by either side
	bad  []string // what a second reader could read differently
}

func startRawOrigin(t testing.TB) *rawOrigin {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := &rawOrigin{addr: ln.Addr().String()}
	t.Cleanup(func() {
		ln.Close()
		o.mu.Lock()
		defer o.mu.Unlock()
		for _, c := range o.conns {
			c.c.Close()
		}
	})
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			rc := &rawConn{c: c}
			o.mu.Lock()
			o.conns = append(o.conns, rc)
			o.mu.Unlock()
			go o.serve(rc)
		}
	}()
	return o
}

func (o *rawOrigin) serve(c *rawConn) {
	defer func() {
		c.c.Close()
		o.mu.Lock()
		c.shut = true
		o.mu.Unlock()
	}()
	buf := make([]byte, 64<<10)
	asked := false // 100 (Continue) was sent for the request at c.done
	for {
		n, err := c.c.Read(buf)
		o.mu.Lock()
		c.data = append(c.data, buf[:n]...)
		o.last = time.Now()
		var answers []byte
		for {
			r, size := readRaw(c.data[c.done:])
			if r.expects && !asked {
				answers = append(answers, "HTTP/1.1 100 Continue\r\n\r\n"...)
				asked = true
			}
			if size == 0 {
				break
			}
			c.done += size
			asked = false
			o.seen = append(o.seen, strings.ReplaceAll(r.String(), o.addr, "ORIGIN"))
			c.bad = append(c.bad, r.bad...)
			answers = append(answers, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nWho: "+originMark+"\r\n\r\n"...)
			if r.method != "HEAD" {
				answers = append(answers, "ok"...)
			}
		}
		o.mu.Unlock()
		if len(answers) > 0 {
			c.c.Write(answers)
		}
		if err != nil {
			return
		}
	}
}

// begin forgets what earlier cases left. A connection in the middle of a request, which its
// proxy gives up when the client has gone, is closed here after a while.
func (o *rawOrigin) begin() {
	for end := time.Now().Add(time.Second); o.busy() && time.Now().Before(end); {
		time.Sleep(2 * time.Millisecond)
	}
	if o.forget() { // a proxy may now send what it had kept behind
		time.Sleep(100 * time.Millisecond)
		o.forget()
	}
}

// forget reports whether it had to close a connection.
func (o *rawOrigin) forget() (cut bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range o.conns {
		cut = cut || !c.shut && len(c.data) > c.done
		if c.shut = c.shut || len(c.data) > c.done; c.shut {
			c.c.Close()
		}
		c.data, c.done, c.bad = nil, 0, nil
	}
	o.seen = nil
	o.conns = slices.DeleteFunc(o.conns, func(c *rawConn) bool { return c.shut })
	return cut
}

func (o *rawOrigin) busy() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.ContainsFunc(o.conns, func(c *rawConn) bool { return len(c.data) > c.done && !c.shut })
}

// arrived is what one case brought to the origin.
type arrived struct {
	complete   []string // a line for each request
	unfinished []string // those whose end has not come
	bad        []string
	raw        [][]byte // by connection
	last       time.Time
}

func (o *rawOrigin) arrived() (a arrived) {
	o.mu.Lock()
	defer o.mu.Unlock()
	a.last, a.complete = o.last, slices.Clone(o.seen)
	for _, c := range o.conns {
		a.bad = append(a.bad, c.bad...)
		if len(c.data) > 0 {
			a.raw = append(a.raw, bytes.Clone(c.data))
		}
		if len(c.data) > c.done {
			r, _ := readRaw(c.data[c.done:])
			a.unfinished = append(a.unfinished, r.String()+" …unfinished")
			a.bad = append(a.bad, r.bad...)
		}
	}
	return a
}

// rawRequest is a request as a plain reader of the bytes understands it.
type rawRequest struct {
	method, line string
	fields       []string // name: value, names in lower case
	body         []byte
	chunked      bool
	hasBody      bool
	trailers     []string
	expects      bool
	bad          []string
}

// added are the fields that the proxies write on their own account.
var added = []string{"x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "forwarded", "x-request-id", "x-stack-balancer"}

// readRaw reads one request. size is 0 if it is not complete; r then has what is there.
func readRaw(p []byte) (r rawRequest, size int) {
	end := bytes.Index(p, []byte("\r\n\r\n"))
	if end < 0 {
		r.line = brief(p)
		return r, 0
	}
	lines := strings.Split(string(p[:end]), "\r\n")
	r.line = lines[0]
	r.method, _, _ = strings.Cut(r.line, " ")
	r.line = strings.TrimSuffix(r.line, " HTTP/1.1")
	length, lengths, codings := 0, 0, 0
	for i, l := range lines {
		if strings.ContainsAny(l, "\r\n\x00") {
			r.bad = append(r.bad, fmt.Sprintf("line end or NUL within %q", l))
		}
		if i == 0 {
			continue
		}
		name, value, colon := strings.Cut(l, ":")
		if !colon || name == "" || strings.ContainsAny(name, " \t") {
			r.bad = append(r.bad, fmt.Sprintf("field line %q", l))
		}
		name, value = strings.ToLower(name), strings.Trim(value, " \t")
		switch name {
		case "content-length":
			lengths++
			n, err := strconv.Atoi(value)
			if err != nil || n < 0 || value[0] == '+' {
				r.bad = append(r.bad, fmt.Sprintf("length %q", value))
			}
			length = max(0, n)
		case "transfer-encoding":
			codings++
			if value != "chunked" {
				r.bad = append(r.bad, fmt.Sprintf("coding %q", value))
			}
			r.chunked = true
		case "expect":
			r.expects = strings.EqualFold(value, "100-continue")
		}
		if !slices.Contains(added, name) {
			r.fields = append(r.fields, name+": "+brief([]byte(value)))
		}
	}
	if lengths+codings > 1 {
		r.bad = append(r.bad, fmt.Sprintf("%d lengths and %d codings", lengths, codings))
	}
	slices.Sort(r.fields)
	rest := p[end+4:]
	r.hasBody = r.chunked || length > 0
	if !r.chunked {
		r.body = rest[:min(length, len(rest))]
		if len(rest) < length {
			return r, 0
		}
		return r, end + 4 + length
	}
	n, ok := r.readChunks(rest)
	if !ok {
		return r, 0
	}
	return r, end + 4 + n
}

// readChunks reads a body in chunked coding leniently, as a careless server would.
func (r *rawRequest) readChunks(p []byte) (n int, ok bool) {
	for {
		eol := bytes.Index(p[n:], []byte("\r\n"))
		if eol < 0 {
			return 0, false
		}
		text, ext, _ := strings.Cut(string(p[n:n+eol]), ";")
		size, err := strconv.ParseUint(strings.TrimSpace(text), 16, 31)
		if err != nil || text == "" || strings.ContainsAny(text+ext, " \t\r\n+") {
			r.bad = append(r.bad, fmt.Sprintf("chunk size %q", brief(p[n:n+eol])))
			return 0, false
		}
		n += eol + 2
		if size == 0 {
			break
		}
		r.body = append(r.body, p[n:min(n+int(size), len(p))]...)
		if n+int(size)+2 > len(p) {
			return 0, false
		}
		n += int(size)
		if string(p[n:n+2]) != "\r\n" {
			r.bad = append(r.bad, "chunk without its line end")
			return 0, false
		}
		n += 2
	}
	for {
		eol := bytes.Index(p[n:], []byte("\r\n"))
		if eol < 0 {
			return 0, false
		}
		line := p[n : n+eol]
		n += eol + 2
		if len(line) == 0 {
			return n, true
		}
		r.trailers = append(r.trailers, brief(line))
	}
}

func (r rawRequest) String() string {
	parts := append([]string{brief([]byte(r.line))}, r.fields...)
	if r.hasBody {
		parts = append(parts, "body="+quote(r.body))
	}
	for _, t := range r.trailers {
		parts = append(parts, "trailer "+t)
	}
	return strings.Join(parts, " | ")
}

// brief writes bytes on one line, long ones by their beginning and length.
func brief(b []byte) string { q := quote(b); return q[1 : len(q)-1] }

func quote(b []byte) string {
	if len(b) > 80 {
		return fmt.Sprintf("%s… %d bytes\"", strings.TrimSuffix(strconv.QuoteToASCII(string(b[:12])), "\""), len(b))
	}
	return strconv.QuoteToASCII(string(b))
}

// countStrictly reads the bytes of each connection with net/http's parser: a reader that is
// neither ours nor the origin's. It reports how many complete requests there are.
func countStrictly(conns [][]byte) (n int, err error) {
	for _, data := range conns {
		// Which percent encodings a target holds is not what is asked here.
		data = bytes.ReplaceAll(data, []byte("%"), []byte("p"))
		br := bufio.NewReader(bytes.NewReader(data))
		for {
			if _, err := br.Peek(1); err != nil {
				break
			}
			req, err := http.ReadRequest(br)
			if err == io.ErrUnexpectedEOF {
				break
			}
			if err != nil {
				return n, fmt.Errorf("%q: %w", brief(data), err)
			}
			if _, err := io.Copy(io.Discard, req.Body); err != nil {
				break // the rest has not come
			}
			n++
		}
	}
	return n, nil
}
