package exchange

import "stack/roles/internal/proxyproto"

// ProxyHeader is the PROXY header that servers are sent.
type ProxyHeader struct {
	// Version is 1 or 2; the rest is for 2 only.
	Version int
	// Checksum adds a CRC32C, SSL says whether and how the client speaks TLS and whether it
	// has shown a certificate, CommonName also whose, Authority the host name that it asked
	// for, ALPN the protocol that was agreed on.
	Checksum, SSL, CommonName, Authority, ALPN bool
}

// noCertificate is PP2_TYPE_SSL's verify of a client that gave no certificate: it is 0
// only where one was verified.
const noCertificate = 1

// Append writes the header for the client of x; it is a Pass's Preamble.
func (p *ProxyHeader) Append(x *Exchange, b []byte) []byte {
	h := proxyproto.Header{Version: p.Version, Source: x.Client(), Destination: x.Local(), Checksum: p.Checksum}
	if p.Version == 1 {
		return h.Append(b)
	}
	if p.Authority {
		h.Authority = given(x.ServerName())
	}
	if p.ALPN {
		h.ALPN = given(x.alpn())
	}
	if v := x.TLSVersion(); v != 0 && (p.SSL || p.CommonName) {
		h.SSL = proxyproto.SSL{Present: true, Client: proxyproto.ClientSSL, Verify: noCertificate, Version: tlsName(v)}
		if c, _ := x.ClientCertificate(); c != nil {
			h.SSL.Client |= proxyproto.ClientCertConn | proxyproto.ClientCertSession
			h.SSL.Verify = 0
			if p.CommonName {
				h.SSL.CommonName = given(c.commonName)
			}
		}
	}
	return h.Append(b)
}

// given is the value of a field, nil where there is none.
func given(s string) []byte {
	if s == "" {
		return nil
	}
	return []byte(s)
}

// alpn returns the protocol that was agreed on in TLS, with us or with a proxy before us.
func (x *Exchange) alpn() string {
	switch {
	case x.c.tls != nil:
		return x.c.tls.protocol
	case x.c.via != nil:
		return x.c.via.alpn
	}
	return ""
}
