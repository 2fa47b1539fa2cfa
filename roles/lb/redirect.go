package lb

import (
	"strconv"

	"stack/roles/internal/exchange"
)

// redirect is the Handler of a frontend with redirect_https: it answers 308 (RFC 9110
// section 15.4.9: the method is kept) to the same host and target on https.
type redirect struct {
	port    string // ":8443"; empty for 443
	scratch []scratch
}

func newRedirect(port, loops int) *redirect {
	r := &redirect{scratch: make([]scratch, loops)}
	if port != 0 && port != 443 {
		r.port = ":" + strconv.Itoa(port)
	}
	return r
}

// Serve implements exchange.Handler.
func (r *redirect) Serve(x *exchange.Exchange) {
	host, path := x.Req.Host(), x.Req.Path()
	if !plainHost(host) || len(path) == 0 || path[0] != '/' {
		x.Error(400, exchange.BadRequest) // "OPTIONS *" or HTTP/1.0 without Host: there is no URL to name
		return
	}
	s := &r.scratch[x.Worker().Index()]
	s.b = r.location(s.b[:0], host, path, x.Req.Query(), x.Req.HasQuery())
	h := x.Start(308)
	h.Value("Location", s.b)
	x.End(nil)
}

func (r *redirect) location(b, host, path, query []byte, hasQuery bool) []byte {
	b = append(b, "https://"...)
	b = append(b, hostName(host)...)
	b = append(b, r.port...)
	b = append(b, path...)
	if hasQuery {
		b = append(b, '?')
		b = append(b, query...)
	}
	return b
}

// plainHost accepts what may stand for a host and port in a URL without meaning
// anything else there: no user part, no slash, no percent sign.
func plainHost(h []byte) bool {
	for _, c := range h {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '-', c == '_', c == ':', c == '[', c == ']':
		default:
			return false
		}
	}
	return len(h) > 0
}
