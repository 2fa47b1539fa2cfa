package exchange

import (
	"net/netip"
	"strconv"
	"strings"

	"stack/roles/internal/http1"
)

var zeroChunk = []byte("0\r\n")

// sendHead writes the request anew for the server.
func (f *forward) sendHead() {
	x := f.x
	r := &x.Req
	h := &x.w.header
	h.B = append(h.B[:0], r.Method()...)
	h.B = append(h.B, ' ')
	h.B = append(h.B, r.Path()...)
	if r.HasQuery() {
		h.B = append(h.B, '?')
		h.B = append(h.B, r.Query()...)
	}
	h.B = append(h.B, " HTTP/1.1\r\nHost: "...)
	switch host := r.Host(); {
	case len(host) > 0:
		h.B = append(h.B, host...)
	case strings.HasPrefix(f.srv.Address, "unix:"):
		h.B = append(h.B, "localhost"...)
	default:
		h.B = append(h.B, f.srv.Address...)
	}
	h.B = append(h.B, "\r\n"...)
	trusted := f.pass.Forwarded && Within(f.pass.Trusted, x.c.peer.Addr())
	edit := f.pass.Edit
	for i := range r.Len() {
		id, name, value := r.At(i)
		switch id {
		case http1.Other:
			if f.pass.Forwarded && http1.ImitatesForwarded(name) {
				continue
			}
			if f.websocket && http1.EqualFold(name, "sec-websocket-key") { // RFC 8441 section 5
				continue
			}
		case http1.Date, http1.Server, http1.Via:
		case http1.Host, http1.ContentLength:
			continue
		case http1.Trailer:
			if !r.Chunked() {
				continue
			}
		case http1.MaxForwards:
			if n := x.hopsLeft(); n > 0 {
				h.Int("Max-Forwards", n-1)
				continue
			}
		case http1.Expect:
			if !r.Expects() {
				continue
			}
		case http1.XForwardedFor, http1.Forwarded:
			if f.pass.Forwarded { // written below, with what a trusted peer sent in front
				continue
			}
		case http1.XForwardedProto, http1.XForwardedHost, http1.XForwardedPort:
			if f.pass.Forwarded && !trusted {
				continue
			}
		}
		if r.Dropped(i) || edit != nil && id == http1.Other && edit.Drop(x, false, name) {
			continue
		}
		h.Bytes(name, value)
	}
	if f.pass.Forwarded {
		f.addForwarded(h, trusted)
	}
	if edit != nil {
		edit.Request(x, f.srv, h)
	}
	switch {
	case r.Chunked() && f.st != nil:
	case r.Chunked():
		h.Raw("Transfer-Encoding: chunked\r\n")
	case r.ContentLength() >= 0:
		h.Int("Content-Length", r.ContentLength())
	}
	if r.Upgrades() && f.st == nil {
		value, _ := r.Find(http1.Upgrade)
		h.Raw("Connection: upgrade\r\nUpgrade: ")
		h.RawBytes(value)
		h.Raw("\r\n")
	}
	h.Raw("\r\n")
	if f.st != nil {
		f.putStreamHead(h.B)
		return
	}
	f.s.write(h.B)
}

// addForwarded says who the client is: X-Forwarded-* and Forwarded (RFC 7239).
func (f *forward) addForwarded(h *Header, trusted bool) {
	x := f.x
	r := &x.Req
	ip := x.c.peer.Addr()
	h.Raw("X-Forwarded-For: ")
	if trusted {
		f.received(h, http1.XForwardedFor)
	}
	h.B = appendAddr(h.B, ip)
	h.Raw("\r\n")
	proto := "http"
	if x.TLSVersion() != 0 {
		proto = "https"
	}
	if _, ok := r.Find(http1.XForwardedProto); !ok || !trusted {
		h.Raw("X-Forwarded-Proto: ")
		h.Raw(proto)
		h.Raw("\r\n")
	}
	if _, ok := r.Find(http1.XForwardedHost); (!ok || !trusted) && len(r.Host()) > 0 {
		h.Raw("X-Forwarded-Host: ")
		h.RawBytes(r.Host())
		h.Raw("\r\n")
	}
	if _, ok := r.Find(http1.XForwardedPort); !ok || !trusted {
		h.Raw("X-Forwarded-Port: ")
		h.B = strconv.AppendUint(h.B, uint64(x.c.localPort()), 10)
		h.Raw("\r\n")
	}
	h.Raw("Forwarded: ")
	if trusted {
		f.received(h, http1.Forwarded)
	}
	h.Raw("for=")
	if ip.Is6() && !ip.Is4In6() {
		h.Raw(`"[`)
		h.B = appendAddr(h.B, ip)
		h.Raw(`]"`)
	} else {
		h.B = appendAddr(h.B, ip)
	}
	h.Raw(";proto=")
	h.Raw(proto)
	if host := r.Host(); len(host) > 0 {
		h.Raw(`;host="`)
		h.RawBytes(host)
		h.Raw(`"`)
	}
	h.Raw("\r\n")
}

// received writes the elements of a list that a trusted peer sent, with a comma.
func (f *forward) received(h *Header, id http1.ID) {
	for i := range f.x.Req.Len() {
		if got, _, value := f.x.Req.At(i); got == id && len(value) > 0 {
			h.RawBytes(value)
			h.Raw(", ")
		}
	}
}

// appendAddr writes an address, "unknown" for a unix socket.
func appendAddr(b []byte, a netip.Addr) []byte {
	if !a.IsValid() {
		return append(b, "unknown"...)
	}
	return a.Unmap().AppendTo(b)
}
