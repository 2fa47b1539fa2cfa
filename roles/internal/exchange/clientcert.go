package exchange

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"strings"

	"stack/roles/internal/http1"
)

// maxCertificateNames bounds what is passed on of a client's certificate.
const maxCertificateNames = 4 << 10

// ClientCertificate is what a client showed, and Frontend.TLS accepted, in a form for
// header fields and parameters: printable ASCII, other bytes as \XX.
type ClientCertificate struct {
	Subject     string // RFC 4514: CN=alice,O=Example
	Names       string // subjectAltName: DNS:a.example,email:a@example,IP:192.0.2.1,URI:…
	Fingerprint string // SHA-256 of the certificate, 64 hexadecimal digits
	commonName  string // of the subject, as it is
}

// ClientCertificate returns the client's certificate, nil if it showed none; asked says
// whether the frontend asks for one.
func (x *Exchange) ClientCertificate() (c *ClientCertificate, asked bool) {
	if s := x.c.tls; s != nil {
		return s.client, s.asks
	}
	return nil, false
}

var errCertificateNames = errors.New("the names in the client's certificate are too long to be passed on")

// describeClient is called in the handshake's goroutine.
func describeClient(state *tls.ConnectionState) (*ClientCertificate, error) {
	if len(state.PeerCertificates) == 0 {
		return nil, nil
	}
	cert := state.PeerCertificates[0]
	sum := sha256.Sum256(cert.Raw)
	c := &ClientCertificate{Subject: printable(cert.Subject.String(), ""), Names: alternatives(cert), Fingerprint: hex.EncodeToString(sum[:]), commonName: cert.Subject.CommonName}
	if len(c.Subject)+len(c.Names) > maxCertificateNames {
		return nil, errCertificateNames
	}
	return c, nil
}

func alternatives(cert *x509.Certificate) string {
	var list []string
	add := func(kind, name string) { list = append(list, kind+":"+printable(name, `,\`)) }
	for _, name := range cert.DNSNames {
		add("DNS", name)
	}
	for _, name := range cert.EmailAddresses {
		add("email", name)
	}
	for _, ip := range cert.IPAddresses {
		add("IP", ip.String())
	}
	for _, u := range cert.URIs {
		add("URI", u.String())
	}
	return strings.Join(list, ",")
}

// printable writes what a header field may not hold, and the bytes in also, as \XX.
func printable(s, also string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c < ' ' || c > '~' || strings.IndexByte(also, c) >= 0 {
			b.Write([]byte{'\\', digits[c>>4], digits[c&15]})
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

// certificatePrefix begins the names of the fields that speak of client certificates.
const certificatePrefix = "x-ssl-client"

// SpeaksOfCertificate says whether a field's name is one of those by which a balancer
// passes a client's certificate on, or looks like one to an application behind a CGI-like
// interface, which cannot tell underscores from hyphens. No client may send these.
func SpeaksOfCertificate(name []byte) bool {
	if len(name) < len(certificatePrefix) || name[0]|0x20 != 'x' {
		return false
	}
	for i := range len(certificatePrefix) {
		c := name[i]
		switch {
		case c == '_':
			c = '-'
		case 'A' <= c && c <= 'Z':
			c |= 0x20
		}
		if c != certificatePrefix[i] {
			return false
		}
	}
	return true
}

// passesTrailer says whether a trailer line may go on: nothing that is dropped from heads.
func passesTrailer(line []byte) bool {
	return http1.AllowedTrailer(line) && !SpeaksOfCertificate(line)
}

// Certificate adds the fields that tell a server about the client's certificate, if the
// frontend asks for one.
func (h *Header) Certificate(x *Exchange) {
	c, asked := x.ClientCertificate()
	switch {
	case !asked:
	case c == nil:
		h.Field("X-SSL-Client-Verify", "NONE")
	default:
		h.Field("X-SSL-Client-Verify", "SUCCESS")
		h.Field("X-SSL-Client-Subject", c.Subject)
		h.Field("X-SSL-Client-SAN", c.Names)
		h.Field("X-SSL-Client-Fingerprint", c.Fingerprint)
	}
}
