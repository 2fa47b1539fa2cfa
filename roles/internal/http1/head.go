// Package http1 reads and writes HTTP/1.1 heads and chunked bodies as RFC 9110
// and RFC 9112 define them, strictly: whatever two parsers could read in two ways
// is an error with the status that answers it. Nothing is allocated after a Head
// has grown to its limit of fields.
//
// It owns no connection, starts nothing and never waits: every parser takes the
// bytes that are there and says how many it used.
package http1

import "fmt"

// Head is what request and response heads have in common: the bytes and the
// fields in them. All returned slices alias the buffer.
type Head struct {
	buf    []byte
	fields []Field
	// Major is 1, or 2 for a head that was built from HTTP/2.
	Major int
	// Minor is the minor version of HTTP/1: 0 or 1; 1 for HTTP/2.
	Minor int
	// Size is the number of bytes of the head, the final empty line included.
	Size int

	length    int64
	chunked   bool
	hasLength bool
	keepAlive bool // Connection: keep-alive
	closing   bool // Connection: close
	upgrade   bool // Connection: upgrade together with an Upgrade field
	named     bool // Connection names fields beyond the well-known options
}

// Error says why bytes are not a valid head or body, and which status answers it.
type Error struct {
	Status int
	Reason string
}

func (e *Error) Error() string { return fmt.Sprintf("%d: %s", e.Status, e.Reason) }

// Rebase tells the head that its bytes were copied to the start of buf.
func (h *Head) Rebase(buf []byte) { h.buf = buf }

// Bytes returns the head as it was received, Size bytes.
func (h *Head) Bytes() []byte { return h.buf[:h.Size] }

func (h *Head) span(s Span) []byte { return h.buf[s.Off : s.Off+s.Len : s.Off+s.Len] }

// Len returns the number of fields.
func (h *Head) Len() int { return len(h.fields) }

// At returns the i-th field in the order received, 0 ≤ i < Len. The value has no
// white space around it.
func (h *Head) At(i int) (id ID, name, value []byte) {
	f := &h.fields[i]
	return f.ID, h.span(f.Name), h.span(f.Value)
}

// Get returns the value of the first field called name, which must be given in
// lower case, and whether there is one.
func (h *Head) Get(name string) (value []byte, ok bool) {
	for i := range h.fields {
		f := &h.fields[i]
		if int(f.Name.Len) == len(name) && EqualFold(h.span(f.Name), name) {
			return h.span(f.Value), true
		}
	}
	return nil, false
}

// Find returns the value of the first field with a known ID.
func (h *Head) Find(id ID) (value []byte, ok bool) {
	for i := range h.fields {
		if h.fields[i].ID == id {
			return h.span(h.fields[i].Value), true
		}
	}
	return nil, false
}

// Count returns how many fields are called name (lower case).
func (h *Head) Count(name string) (n int) {
	for i := range h.fields {
		if int(h.fields[i].Name.Len) == len(name) && EqualFold(h.span(h.fields[i].Name), name) {
			n++
		}
	}
	return n
}

// ContentLength returns the declared length of the body, or -1.
func (h *Head) ContentLength() int64 {
	if !h.hasLength {
		return -1
	}
	return h.length
}

// Chunked says whether the body is in chunked coding.
func (h *Head) Chunked() bool { return h.chunked }

// Upgrades says whether the head asks for, or grants, another protocol: an
// Upgrade field and Connection: upgrade.
func (h *Head) Upgrades() bool { return h.upgrade }

// KeepsAlive says whether the sender lets the connection live on after this
// message (RFC 9112 section 9.3).
func (h *Head) KeepsAlive() bool {
	if h.closing {
		return false
	}
	return h.Minor >= 1 || h.keepAlive
}

// Dropped says whether field i must not be passed on: it is hop-by-hop or named
// by a Connection field.
func (h *Head) Dropped(i int) bool {
	f := &h.fields[i]
	if f.ID.HopByHop() {
		return true
	}
	return h.named && h.connectionNames(h.span(f.Name))
}

// connectionNames looks for name among the options of every Connection field.
func (h *Head) connectionNames(name []byte) bool {
	for i := range h.fields {
		if h.fields[i].ID != Connection {
			continue
		}
		rest := h.span(h.fields[i].Value)
		var option []byte
		for len(rest) > 0 {
			option, rest = nextOption(rest)
			if equalFoldBytes(option, name) {
				return true
			}
		}
	}
	return false
}

// nextOption cuts the first element off a comma-separated list.
func nextOption(list []byte) (option, rest []byte) {
	end := len(list)
	for i, c := range list {
		if c == ',' {
			end = i
			break
		}
	}
	option = trim(list[:end])
	if end < len(list) {
		rest = list[end+1:]
	}
	return option, rest
}

func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

func equalFoldBytes(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		x, y := a[i], b[i]
		if 'A' <= x && x <= 'Z' {
			x |= 0x20
		}
		if 'A' <= y && y <= 'Z' {
			y |= 0x20
		}
		if x != y {
			return false
		}
	}
	return true
}
