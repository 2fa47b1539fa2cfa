package exchange

import (
	"bytes"
	"crypto/tls"
	"net/netip"

	"stack/roles/internal/loop"
	"stack/roles/internal/proxyproto"
)

// proxied is what the PROXY header of a connection said, beside the client's address,
// which is conn.peer. Connections without one have none.
type proxied struct {
	local     netip.AddrPort // what the client connected to
	tls       uint16         // the client's version of TLS with the proxy; 0 = none
	authority string         // the host name that it asked for there
	alpn      string         // the protocol that was agreed on there
}

// proxyRefusal is why a connection of a point that wants a PROXY header was closed.
type proxyRefusal uint8

const (
	proxyPeer    proxyRefusal = iota // its peer is not in ProxyFrom
	proxyHeader                      // it began with something else, or with half a header
	proxyTimeout                     // the header did not come in time
	proxyRefusals
)

// ProxyRefusals are the words for the reasons, in the order of Counters.ProxyRefused.
var ProxyRefusals = [proxyRefusals]string{"peer", "header", "timeout"}

// start is what a new connection does first.
func (c *conn) start(f *Frontend) {
	if f.ProxyFrom == nil {
		c.greet(f)
		return
	}
	if !Within(f.ProxyFrom, c.peer.Addr()) {
		c.refuseProxy(proxyPeer)
		return
	}
	c.state = onProxy
	c.w.l.Arm(&c.timer, c, f.Timeouts.RequestHead)
}

// greet goes on behind a PROXY header, or without one, where the deadline of the first
// bytes runs already.
func (c *conn) greet(f *Frontend) {
	behind := c.state == onProxy
	switch {
	case f.TLS != nil:
		c.state = onHello
	case f.TCP != nil:
		c.tunnel()
		return
	default:
		c.state = onHead
	}
	if !behind {
		c.w.l.Arm(&c.timer, c, f.Timeouts.RequestHead)
	}
}

// Within says whether one of the networks holds the address.
func Within(list []netip.Prefix, a netip.Addr) bool {
	a = a.Unmap()
	for _, p := range list {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// readProxy collects the PROXY header. It reports whether run should go on.
func (c *conn) readProxy() bool {
	if !c.readable {
		return false
	}
	switch c.fill(proxyproto.MaxSize) {
	case dry:
		return false
	case ended, broken:
		if len(c.pend) > 0 { // one that said nothing only looked whether anybody listens
			c.refuseProxy(proxyHeader)
			return false
		}
		c.close()
		return false
	}
	var h proxyproto.Header
	n, err := h.Parse(c.pend)
	switch {
	case err != nil:
		c.refuseProxy(proxyHeader)
		return false
	case n == 0:
		return true
	}
	c.introduce(&h)
	if c.via != nil && !c.setPeer(c.peer) { // the client has its own bound
		c.close()
		return false
	}
	c.use(n)
	f := c.point.front[c.w.index]
	c.greet(f)
	if c.state == onHello && len(c.pend) > 0 {
		return c.tryHello()
	}
	return true
}

func (c *conn) refuseProxy(why proxyRefusal) {
	c.point.count(c.w).proxyRefused[why].Add(1)
	c.close()
}

// introduce takes over what the header says of the client.
func (c *conn) introduce(h *proxyproto.Header) {
	if !h.Source.IsValid() { // the proxy speaks for itself, or for somebody without an address
		return
	}
	c.peer = h.Source
	c.via = &proxied{local: h.Destination, authority: string(h.Authority), alpn: string(h.ALPN)}
	if h.SSL.Present && h.SSL.Client&proxyproto.ClientSSL != 0 {
		c.via.tls = tlsVersion(h.SSL.Version)
	}
}

var tlsNames = [...]struct {
	version uint16
	name    string
}{{tls.VersionTLS13, "TLSv1.3"}, {tls.VersionTLS12, "TLSv1.2"}, {tls.VersionTLS11, "TLSv1.1"}, {tls.VersionTLS10, "TLSv1"}}

// otherTLS stands for a version of TLS that nobody named: not 0, which is none.
const otherTLS = 1

func tlsVersion(name []byte) uint16 {
	for _, v := range tlsNames {
		if v.name == string(name) {
			return v.version
		}
	}
	return otherTLS
}

// tlsName returns OpenSSL's word for a version, nil for one that has none.
func tlsName(version uint16) []byte {
	for _, v := range tlsNames {
		if v.version == version {
			return []byte(v.name)
		}
	}
	return nil
}

// localAddr returns the address that the client connected to.
func (c *conn) localAddr() netip.AddrPort {
	if c.via != nil {
		return c.via.local
	}
	return loop.LocalAddr(c.fd)
}

// meta describes the connection to the process that goes on with it: the name of its
// point and, if a proxy said who the client is, a zero byte and such a header, version 2.
func (c *conn) meta() []byte {
	m := []byte(c.point.name)
	if c.via == nil {
		return m
	}
	h := proxyproto.Header{Version: 2, Source: c.peer, Destination: c.via.local,
		Authority: given(c.via.authority), ALPN: given(c.via.alpn)}
	if c.via.tls != 0 {
		h.SSL = proxyproto.SSL{Present: true, Client: proxyproto.ClientSSL, Version: tlsName(c.via.tls)}
	}
	return h.Append(append(m, 0))
}

// PointOf returns the name of the point in what came with a passed connection.
func PointOf(meta []byte) string {
	name, _, _ := bytes.Cut(meta, []byte{0})
	return string(name)
}

// introduceBy takes over what meta says of the client; false: it makes no sense.
func (c *conn) introduceBy(meta []byte) bool {
	_, b, ok := bytes.Cut(meta, []byte{0})
	if !ok {
		return true
	}
	var h proxyproto.Header
	n, err := h.Parse(b)
	if n == 0 || n != len(b) || err != nil {
		return false
	}
	c.introduce(&h)
	return true
}
