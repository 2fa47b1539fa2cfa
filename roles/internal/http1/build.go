package http1

// A head that came in another form, as HTTP/2 or HTTP/3 fields, is built into the same
// Request or Response: its parts are appended to a buffer, and the fields lie in it as if
// they had been read from there. What RFC 9113 section 8 calls malformed is an *Error with
// status 400.

var (
	errUpperCase  = &Error{400, "field name with upper-case letters"}
	errHop        = &Error{400, "field that belongs to an HTTP/1 connection"}
	errSpaces     = &Error{400, "field value with white space around it"}
	errScheme     = &Error{400, "bad scheme"}
	errAuthority  = &Error{400, "authority and Host differ"}
	errBodyLength = &Error{400, "length of a body that does not come"}
)

// Begin forgets the head and builds the next one in buf[:0], whose memory grows when it
// must; Buffer returns it.
func (r *Request) Begin(buf []byte) {
	r.reset(buf[:0])
	r.hasQuery, r.expect, r.server = false, false, false
	r.path, r.query, r.authority, r.method, r.target = Span{}, Span{}, Span{}, Span{}, Span{}
	r.Major, r.Minor = 2, 1
}

// Begin is Request.Begin for a response.
func (r *Response) Begin(buf []byte, status int) {
	r.reset(buf[:0])
	r.Major, r.Minor, r.Status, r.reason = 2, 1, status, Span{}
}

// Buffer returns the memory that the head lies in.
func (h *Head) Buffer() []byte { return h.buf }

func (h *Head) put(b []byte) Span {
	s := Span{uint32(len(h.buf)), uint32(len(b))}
	h.buf = append(h.buf, b...)
	return s
}

// SetLine sets what a request line holds (RFC 9113 section 8.3.1). authority may be empty:
// a Host field then says it.
func (r *Request) SetLine(method, scheme, target, authority []byte) *Error {
	if s := string(scheme); s != "http" && s != "https" {
		return errScheme
	}
	if len(method) == 0 || run(method, isToken) != len(method) {
		return errMethod
	}
	if len(target) == 0 || run(target, isTarget) != len(target) {
		return errTarget
	}
	if target[0] != '/' && (string(target) != "*" || string(method) != "OPTIONS") {
		return errTarget
	}
	if len(authority) > 0 && !validHost(authority) {
		return errHost
	}
	r.method = r.put(method)
	r.target = r.put(target)
	r.authority = r.put(authority)
	r.path = r.target
	for i, c := range target {
		if c == '?' {
			r.hasQuery = true
			r.path.Len = uint32(i)
			r.query = Span{r.target.Off + uint32(i) + 1, uint32(len(target) - i - 1)}
			break
		}
	}
	return nil
}

// AddField appends a field as HTTP/2 carries it: the name in lower case, nothing that
// belongs to an HTTP/1 connection (RFC 9113 section 8.2). most bounds the number of fields.
func (h *Head) AddField(name, value []byte, most int) *Error {
	if err := CheckField(name, value); err != nil {
		return err
	}
	if len(h.fields) >= most {
		return errManyFields
	}
	id := identify(name)
	switch id {
	case Connection, KeepAlive, ProxyConnection, TransferEncoding, Upgrade:
		return errHop
	case TE:
		if string(value) != "trailers" {
			return errHop
		}
	case ContentLength:
		var upgrade asked
		var coded int
		if err := h.framing(id, value, &upgrade, &coded); err != nil {
			return err
		}
	}
	h.fields = append(h.fields, Field{Name: h.put(name), Value: h.put(value), ID: id})
	return nil
}

// CheckField says whether a field may stand in an HTTP/2 message.
func CheckField(name, value []byte) *Error {
	if n := run(name, isLower); n != len(name) || n == 0 {
		if n < len(name) && 'A' <= name[n] && name[n] <= 'Z' {
			return errUpperCase
		}
		return errName
	}
	if run(value, isValue) != len(value) {
		return errValue
	}
	if n := len(value); n > 0 && (isBlank(value[0]) || isBlank(value[n-1])) {
		return errSpaces
	}
	return nil
}

// SetUpgrade makes the request one for another protocol, as the extended CONNECT of
// RFC 8441 is in HTTP/1: a GET with an Upgrade field.
func (r *Request) SetUpgrade(protocol []byte) {
	r.method = r.put([]byte("GET"))
	r.fields = append(r.fields, Field{Name: r.put([]byte("upgrade")), Value: r.put(protocol), ID: Upgrade})
	r.upgrade = true
}

// Finish ends the building. ended says that no body follows; without a Content-Length the
// length of one is unknown, and Chunked is true.
func (r *Request) Finish(ended bool) *Error {
	hosts := 0
	for i := range r.fields {
		switch f := &r.fields[i]; f.ID {
		case Host:
			hosts++
			host := r.span(f.Value)
			if !validHost(host) {
				return errHost
			}
			if r.authority.Len == 0 {
				r.authority = f.Value
			} else if !equalFoldBytes(host, r.Host()) {
				return errAuthority
			}
		case Expect:
			if !EqualFold(r.span(f.Value), "100-continue") {
				return errExpect
			}
			r.expect = true
		}
	}
	if hosts > 1 {
		return errHosts
	}
	if r.authority.Len == 0 {
		return errNoHost
	}
	if r.length > 0 && (ended || r.upgrade) {
		return errBodyLength
	}
	r.finish(ended)
	r.expect = r.expect && r.HasBody()
	return nil
}

// Finish ends the building; a response to HEAD, 204 and 304 may name a length.
func (r *Response) Finish(ended bool) { r.finish(ended) }

func (h *Head) finish(ended bool) {
	h.chunked = !ended && !h.hasLength && !h.upgrade
	h.Size = len(h.buf)
}
