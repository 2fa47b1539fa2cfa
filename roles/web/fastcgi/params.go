package fastcgi

import (
	"net/netip"
	"strconv"
	"strings"

	"stack/appliance/config"
	"stack/roles/internal/exchange"
	"stack/roles/internal/http1"
)

// Env is what the parameters of a request say beside its head.
type Env struct {
	Root       string // DOCUMENT_ROOT
	Script     []byte // SCRIPT_NAME: the part of the path that names the script
	Info       []byte // PATH_INFO
	Query      []byte
	Length     int64 // of the body; -1 = none
	Client     netip.AddrPort
	Server     netip.AddrPort
	ServerName string
	HTTPS      bool
	Software   string
	Extra      []config.Param // added, or in place of the standard ones
	RequestURI []byte
	// Asked: the client was asked for a certificate; Certificate is nil if it showed none.
	// Believe: the peer is trusted to speak of certificates in X-SSL-Client fields.
	Asked, Believe bool
	Certificate    *exchange.ClientCertificate
	ForwardedFor   bool // Client came from a trusted proxy: its port is not known
}

// AppendParams appends the parameters of a request as nginx's fastcgi_params gives
// them: RFC 3875's variables, DOCUMENT_ROOT, SCRIPT_FILENAME, REQUEST_URI and HTTP_*
// for the fields of the head; SSL_CLIENT_* where clients are asked for certificates. "Proxy" is left out, since HTTP_PROXY would steer the
// script's own requests (CVE-2016-5385), and so are names with an underscore, which
// could pass for another field.
func AppendParams(dst []byte, req *http1.Request, e *Env) []byte {
	put := func(name, value string) {
		for i := range e.Extra {
			if e.Extra[i].Name == name {
				return
			}
		}
		dst = AppendPair(dst, name, value)
	}
	script, info := string(e.Script), string(e.Info)
	put("GATEWAY_INTERFACE", "CGI/1.1")
	put("SERVER_SOFTWARE", e.Software)
	put("REQUEST_METHOD", string(req.Method()))
	put("REQUEST_URI", string(e.RequestURI))
	put("QUERY_STRING", string(e.Query))
	put("SCRIPT_NAME", script)
	put("SCRIPT_FILENAME", e.Root+script)
	put("DOCUMENT_ROOT", e.Root)
	put("DOCUMENT_URI", script+info)
	put("PATH_INFO", info)
	if info != "" {
		put("PATH_TRANSLATED", e.Root+info)
	}
	if req.Major == 2 {
		put("SERVER_PROTOCOL", "HTTP/2.0")
	} else {
		put("SERVER_PROTOCOL", "HTTP/1."+strconv.Itoa(req.Minor))
	}
	scheme := "http"
	if e.HTTPS {
		scheme = "https"
		put("HTTPS", "on")
	}
	put("REQUEST_SCHEME", scheme)
	if e.Client.IsValid() {
		put("REMOTE_ADDR", e.Client.Addr().Unmap().WithZone("").String())
		if !e.ForwardedFor {
			put("REMOTE_PORT", strconv.Itoa(int(e.Client.Port())))
		}
	}
	if e.Server.IsValid() {
		put("SERVER_ADDR", e.Server.Addr().Unmap().WithZone("").String())
	}
	put("SERVER_PORT", serverPort(req.Host(), e))
	put("SERVER_NAME", e.ServerName)
	put("REDIRECT_STATUS", "200") // PHP built with force-cgi-redirect asks for it
	contentType, _ := req.Get("content-type")
	put("CONTENT_TYPE", string(contentType))
	length := ""
	if e.Length >= 0 {
		length = strconv.FormatInt(e.Length, 10)
	}
	put("CONTENT_LENGTH", length)
	if e.Asked {
		verify := "NONE"
		if c := e.Certificate; c != nil {
			verify = "SUCCESS"
			put("SSL_CLIENT_S_DN", c.Subject)
			put("SSL_CLIENT_SAN", c.Names)
			put("SSL_CLIENT_FINGERPRINT", c.Fingerprint)
		}
		put("SSL_CLIENT_VERIFY", verify)
	}
	dst = appendFields(dst, req, e)
	for _, p := range e.Extra {
		dst = AppendPair(dst, p.Name, p.Value)
	}
	return dst
}

// serverPort is the port that the client used: the one of the Host field, else the
// scheme's, since behind a balancer the port of our own socket is not it.
func serverPort(host []byte, e *Env) string {
	h := string(host)
	if colon := strings.LastIndexByte(h, ':'); colon > strings.LastIndexByte(h, ']') && colon+1 < len(h) {
		return h[colon+1:]
	}
	if e.HTTPS {
		return "443"
	}
	return "80"
}

// appendFields appends HTTP_NAME for each field; the values of one that came several
// times are joined as RFC 9110 section 5.3 says (Cookie: RFC 6265 section 5.4).
func appendFields(dst []byte, req *http1.Request, e *Env) []byte {
	for i := 0; i < req.Len(); i++ {
		id, name, value := req.At(i)
		if !passes(req, i, id, name) || !e.Believe && exchange.SpeaksOfCertificate(name) || before(req, i, name) {
			continue
		}
		joined := string(value)
		if id == http1.Host {
			// That of an absolute target wins (RFC 9112 section 3.2.2), and it chose the
			// site: the script must not see another name.
			joined = string(req.Host())
		}
		for j := i + 1; j < req.Len(); j++ {
			if _, other, more := req.At(j); strings.EqualFold(string(other), string(name)) {
				separator := ", "
				if http1.EqualFold(name, "cookie") {
					separator = "; "
				}
				joined += separator + string(more)
			}
		}
		env := envName(name)
		replaced := false
		for _, p := range e.Extra {
			replaced = replaced || p.Name == env
		}
		if !replaced {
			dst = AppendPair(dst, env, joined)
		}
	}
	return dst
}

func passes(req *http1.Request, i int, id http1.ID, name []byte) bool {
	switch {
	case id == http1.ContentLength, id == http1.Expect, id == http1.Trailer, req.Dropped(i):
		return false
	case http1.EqualFold(name, "content-type"), http1.EqualFold(name, "proxy"):
		return false
	}
	return strings.IndexByte(string(name), '_') < 0
}

// before reports whether an earlier field has the name of field i.
func before(req *http1.Request, i int, name []byte) bool {
	for j := 0; j < i; j++ {
		if _, other, _ := req.At(j); strings.EqualFold(string(other), string(name)) {
			return true
		}
	}
	return false
}

func envName(name []byte) string {
	b := make([]byte, 0, len(name)+5)
	b = append(b, "HTTP_"...)
	for _, c := range name {
		switch {
		case 'a' <= c && c <= 'z':
			c -= 'a' - 'A'
		case c == '-':
			c = '_'
		}
		b = append(b, c)
	}
	return string(b)
}
