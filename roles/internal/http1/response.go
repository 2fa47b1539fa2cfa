package http1

// Response is a parsed response head.
type Response struct {
	Head
	Status int // 100..599
	reason Span
}

// Parse reads a response head at the start of buf; n is 0 when it is not complete.
// Any error means that the server cannot be trusted with this connection (502).
func (r *Response) Parse(buf []byte, lim Limits) (n int, err *Error) { return r.parse(buf, lim) }

// Reason returns the reason phrase; it may be empty.
func (r *Response) Reason() []byte { return r.span(r.reason) }

// HasBody says whether a body follows this answer to a request that was, or was
// not, HEAD (RFC 9112 section 6.3).
func (r *Response) HasBody(head bool) bool {
	return !head && r.Status >= 200 && r.Status != 204 && r.Status != 304
}
