package http1

// Span is a piece of a head, as offsets into its buffer, so that a head stays
// valid when its bytes are moved to another buffer.
type Span struct{ Off, Len uint32 }

// Field is one header field: where its name and value lie, and which of the
// known fields it is.
type Field struct {
	Name, Value Span
	ID          ID
}

// ID names the fields that a proxy has to know; all others are Other.
type ID uint8

// The known fields.
const (
	Other ID = iota
	Host
	Connection
	KeepAlive
	ProxyConnection
	TE
	Trailer
	TransferEncoding
	Upgrade
	ContentLength
	Expect
	Date
	Server
	Forwarded
	XForwardedFor
	XForwardedProto
	XForwardedHost
	XForwardedPort
	Via
	ProxyAuthenticate
	ProxyAuthorization
	MaxForwards
	Referer
	UserAgent
)

var known = [...]string{
	Host:               "host",
	Connection:         "connection",
	KeepAlive:          "keep-alive",
	ProxyConnection:    "proxy-connection",
	TE:                 "te",
	Trailer:            "trailer",
	TransferEncoding:   "transfer-encoding",
	Upgrade:            "upgrade",
	ContentLength:      "content-length",
	Expect:             "expect",
	Date:               "date",
	Server:             "server",
	Forwarded:          "forwarded",
	XForwardedFor:      "x-forwarded-for",
	XForwardedProto:    "x-forwarded-proto",
	XForwardedHost:     "x-forwarded-host",
	XForwardedPort:     "x-forwarded-port",
	Via:                "via",
	ProxyAuthenticate:  "proxy-authenticate",
	ProxyAuthorization: "proxy-authorization",
	MaxForwards:        "max-forwards",
	Referer:            "referer",
	UserAgent:          "user-agent",
}

// byLength lists the known fields of each name length: nearly every unknown
// name is told apart by its length and first letter alone.
var byLength = func() (t [32][]ID) {
	for id := Host; int(id) < len(known); id++ {
		n := len(known[id])
		t[n] = append(t[n], id)
	}
	return t
}()

func identify(name []byte) ID {
	if len(name) >= len(byLength) {
		return Other
	}
	for _, id := range byLength[len(name)] {
		if known[id][0] == name[0]|0x20 && EqualFold(name, known[id]) {
			return id
		}
	}
	return Other
}

// HopByHop says whether a field belongs to one connection only and is never
// passed on (RFC 9110 section 7.6.1). Fields that Connection names are found by
// Head.Dropped.
func (id ID) HopByHop() bool {
	switch id {
	case Connection, KeepAlive, ProxyConnection, TE, TransferEncoding, Upgrade, ProxyAuthenticate, ProxyAuthorization:
		return true
	}
	return false
}

// ImitatesForwarded says whether name is an X-Forwarded field but for underscores in
// place of hyphens: an application behind a CGI-like interface cannot tell the two apart
// (RFC 3875 section 4.1.18).
func ImitatesForwarded(name []byte) bool {
	const shortest, longest = len("x-forwarded-for"), len("x-forwarded-proto")
	if len(name) < shortest || len(name) > longest || name[0]|0x20 != 'x' || name[1] != '_' && name[11] != '_' {
		return false
	}
	var plain [longest]byte
	for i, c := range name {
		if c == '_' {
			c = '-'
		}
		plain[i] = c
	}
	switch identify(plain[:len(name)]) {
	case XForwardedFor, XForwardedProto, XForwardedHost, XForwardedPort:
		return true
	}
	return false
}

// EqualFold compares b with s, which must be lower case, without regard to the
// case of ASCII letters.
func EqualFold(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i := 0; i < len(b); i++ {
		c := b[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != s[i] {
			return false
		}
	}
	return true
}
