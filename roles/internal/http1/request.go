package http1

// Request is a parsed request head. The zero value is ready for Parse; parsing
// again reuses its memory.
type Request struct {
	Head
	method, target, path, query, authority Span
	hasQuery                               bool
	expect                                 bool
	server                                 bool // OPTIONS for the server as a whole, in absolute form
}

// Limits bound a head.
type Limits struct {
	Bytes  int // of the whole head, and of the request line
	Fields int // header fields
}

// Parse reads a request head at the start of buf. n is the number of bytes it
// takes, 0 when the head is not complete yet. Empty lines before the request line
// are skipped and counted in n (RFC 9112 section 2.2). buf is kept: the request
// is valid until the bytes change, or until Rebase.
//
// A *Error carries the status to answer with: 400; 414 when the request line alone
// is over the limit; 431 for the fields; 501 for a transfer coding other than
// chunked; 505 for another version.
func (r *Request) Parse(buf []byte, lim Limits) (n int, err *Error) { return r.parse(buf, lim) }

// Method returns the method as sent (case matters).
func (r *Request) Method() []byte { return r.span(r.method) }

// Target returns the request target as sent.
func (r *Request) Target() []byte { return r.span(r.target) }

// Path returns the path of the target, still percent-encoded; "*" for OPTIONS *, also
// where it is asked with an absolute target that has neither path nor query (RFC 9112
// section 3.2.4), else "/" where an absolute target has no path.
func (r *Request) Path() []byte {
	switch {
	case r.path.Len > 0:
		return r.span(r.path)
	case r.server:
		return asterisk
	}
	return slash
}

var slash, asterisk = []byte("/"), []byte("*")

// Query returns what follows the first "?", without it.
func (r *Request) Query() []byte { return r.span(r.query) }

// HasQuery tells "/a?" from "/a".
func (r *Request) HasQuery() bool { return r.hasQuery }

// Host returns the authority that the request is for: that of an absolute target,
// which wins over the Host field (RFC 9112 section 3.2.2), else the Host field.
// Empty for an HTTP/1.0 request without one.
func (r *Request) Host() []byte { return r.span(r.authority) }

// Expects says whether the client waits for 100 (Continue) before its body.
func (r *Request) Expects() bool { return r.expect }

// HasBody says whether a body follows; a length of 0 is none.
func (r *Request) HasBody() bool { return r.chunked || r.length > 0 }

// IsHead says whether the method is HEAD.
func (r *Request) IsHead() bool { return string(r.Method()) == "HEAD" }

// Idempotent says whether repeating the request is harmless (RFC 9110 section 9.2.2).
func (r *Request) Idempotent() bool {
	switch string(r.Method()) {
	case "GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE":
		return true
	}
	return false
}
