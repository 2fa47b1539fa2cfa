package static

import (
	"crypto/rand"
	"strconv"

	"stack/roles/internal/exchange"
	"stack/roles/internal/http1"
)

// collect finds the conditional fields of a request in one pass.
func (c *Conditions) collect(req *http1.Request) {
	for i := 0; i < req.Len(); i++ {
		id, name, value := req.At(i)
		if id != http1.Other || name[0]|0x20 != 'i' && name[0]|0x20 != 'r' {
			continue
		}
		var field *[]byte
		switch {
		case http1.EqualFold(name, "if-none-match"):
			field = &c.IfNoneMatch
		case http1.EqualFold(name, "if-modified-since"):
			field = &c.IfModifiedSince
		case http1.EqualFold(name, "range"):
			field = &c.Range
		case http1.EqualFold(name, "if-range"):
			field = &c.IfRange
		case http1.EqualFold(name, "if-match"):
			field = &c.IfMatch
		case http1.EqualFold(name, "if-unmodified-since"):
			field = &c.IfUnmodifiedSince
		default:
			continue
		}
		if *field == nil {
			*field = value
		} else {
			*field = append(append(append([]byte(nil), *field...), ", "...), value...)
		}
		if *field == nil {
			*field = []byte{} // there, though empty
		}
	}
}

// Serve answers GET or HEAD with the file e. cacheControl is a whole field line or nil.
// page makes the body of an error. On the loop of e's cache.
func Serve(x *exchange.Exchange, e *Entry, cacheControl []byte, page func(status int) (contentType string, body []byte)) {
	var c Conditions
	c.collect(&x.Req)
	if !c.None() {
		switch c.Evaluate(&e.Validators) {
		case PreconditionNo:
			fail(x, 412, "", page)
			return
		case NotModified:
			h := x.Start(304)
			h.RawBytes(e.Fields)
			h.RawBytes(cacheControl)
			x.End(nil)
			return
		}
		// Range is defined for GET alone (RFC 9110 section 14.2).
		if c.Range != nil && !x.Req.IsHead() && c.RangeApplies(&e.Validators, x.Now()) && serveRange(x, e, &c, cacheControl, page) {
			return
		}
	}
	h := x.Start(200)
	h.RawBytes(e.Fields)
	h.RawBytes(e.TypeFields)
	h.RawBytes(cacheControl)
	if e.Body != nil {
		x.End(e.Body)
		return
	}
	e.Retain()
	x.EndFile(e, 0, e.Size)
}

func fail(x *exchange.Exchange, status int, contentRange string, page func(int) (string, []byte)) {
	contentType, body := page(status)
	h := x.Start(status)
	h.Field("Content-Type", contentType)
	if contentRange != "" {
		h.Field("Content-Range", contentRange)
	}
	x.End(body)
}

// serveRange answers 206 or 416; false when the field asks for nothing that is valid.
func serveRange(x *exchange.Exchange, e *Entry, c *Conditions, cacheControl []byte, page func(int) (string, []byte)) bool {
	var storage [MaxRanges]Span
	spans, result := ParseRange(storage[:0], c.Range, e.Size)
	switch {
	case result == Whole:
		return false
	case result == Unsatisfiable:
		fail(x, 416, "bytes */"+strconv.FormatInt(e.Size, 10), page)
	case len(spans) == 1:
		h := x.Start(206)
		h.RawBytes(e.Fields)
		h.RawBytes(e.TypeFields)
		h.RawBytes(cacheControl)
		var value [64]byte
		h.Value("Content-Range", AppendContentRange(value[:0], spans[0], e.Size))
		s := spans[0]
		if e.Body != nil {
			x.End(e.Body[s.Start : s.Start+s.Length])
			return true
		}
		e.Retain()
		x.EndFile(e, s.Start, s.Length)
	default:
		serveParts(x, e, append([]Span(nil), spans...), cacheControl)
	}
	return true
}

// parts sends multipart/byteranges (RFC 9110 section 14.6): Drained asks for the next.
type parts struct {
	e     *Entry
	spans []Span
	heads [][]byte
	tail  []byte
	inner bool // the head of the first span is out, its bytes are next
}

func serveParts(x *exchange.Exchange, e *Entry, spans []Span, cacheControl []byte) {
	boundary := rand.Text()
	p := &parts{e: e, spans: spans, tail: []byte("\r\n--" + boundary + "--\r\n")}
	total := int64(len(p.tail))
	for _, s := range spans {
		head := []byte("\r\n--" + boundary + "\r\nContent-Type: " + e.MediaType + "\r\nContent-Range: ")
		head = append(AppendContentRange(head, s, e.Size), "\r\n\r\n"...)
		p.heads = append(p.heads, head)
		total += int64(len(head)) + s.Length
	}
	h := x.Start(206)
	h.RawBytes(e.Fields)
	h.RawBytes(cacheControl)
	h.Raw("X-Content-Type-Options: nosniff\r\n")
	h.Field("Content-Type", "multipart/byteranges; boundary="+boundary)
	e.Retain()
	x.Stream(total, p)
	p.Drained(x)
}

// Drained sends what may be sent now.
func (p *parts) Drained(x *exchange.Exchange) {
	for len(p.spans) > 0 {
		s := p.spans[0]
		if !p.inner {
			p.inner = true
			if !x.Write(p.heads[0]) {
				return
			}
		}
		p.spans, p.heads, p.inner = p.spans[1:], p.heads[1:], false
		if p.e.Body != nil {
			if !x.Write(p.e.Body[s.Start : s.Start+s.Length]) {
				return
			}
			continue
		}
		p.e.Retain()
		x.WriteFile(p.e, s.Start, s.Length)
		return
	}
	if p.tail != nil {
		x.Write(p.tail)
		p.end()
		x.Finish()
	}
}

// Body is never called: a request for a file is not read.
func (p *parts) Body(*exchange.Exchange, []byte, bool) {}

// Gone releases the file.
func (p *parts) Gone(*exchange.Exchange, exchange.Cause) { p.end() }

func (p *parts) end() {
	if p.tail != nil {
		p.tail = nil
		p.e.Release()
	}
}
