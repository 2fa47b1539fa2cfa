package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

// The PROXY protocol (HAProxy, "The PROXY protocol Versions 1 & 2"): a proxy says, in
// front of everything else, whose connection it forwards. Version 1 is a line of text
// of at most 107 bytes, version 2:
//
//	12 bytes  signature
//	1 byte    version 2 in the high half, command in the low: 0 LOCAL, 1 PROXY
//	1 byte    address family in the high half (1 IPv4, 2 IPv6, 3 Unix), transport in
//	          the low (1 stream)
//	2 bytes   length of what follows, big endian
//	bytes     source address, destination address, source port, destination port; TLVs
//
// Neither can be taken for a packet of a client: read as one, the sequence number would
// be 0x58 or 0x0a, and the first is 1.
const (
	proxySignature2 = "\r\n\r\n\x00\r\nQUIT\n"
	proxySignature1 = "PROXY "
	proxyLine       = 107
	proxyLimit      = 2048 // of a version 2 header; TLVs are skipped
)

// errShort says that a header is not complete yet.
var errShort = errors.New("more bytes are needed")

// readProxy takes a PROXY header off the connection if there is one. It waits for the
// client's first bytes.
func (c *conn) readProxy() error {
	if err := c.more(headerSize, 0); err != nil {
		return err
	}
	have := c.rbuf[c.rpos:c.rend]
	if !bytes.HasPrefix(have, []byte(proxySignature1[:4])) && !bytes.HasPrefix(have, []byte(proxySignature2[:4])) {
		return nil
	}
	if !c.trustedProxy() {
		c.cfg.Log.Warn("a PROXY header came from an address that is not in db.proxy_from: connection refused",
			"connection", c.id, "peer", c.clientText())
		return c.refuseProxy("no PROXY header is accepted from this address")
	}
	for {
		n, client, err := parseProxy(c.rbuf[c.rpos:c.rend])
		if err == nil {
			c.rpos += n
			if client.IsValid() {
				c.client.Via = c.client.Addr
				c.client.Addr = client
				c.client.Unix = false
			}
			return nil
		}
		if !errors.Is(err, errShort) {
			return c.refuseProxy(err.Error())
		}
		if err := c.more(c.rend-c.rpos+1, 0); err != nil {
			return err
		}
	}
}

func (c *conn) refuseProxy(why string) error {
	c.srv.stats.proxyRefused.Add(1)
	c.seq = 2 // what a client expects, whose packet 1 stands behind the header
	return Errorf(erHandshake, "Bad handshake: %s", why)
}

func (c *conn) trustedProxy() bool {
	if c.client.Unix || !c.client.Addr.IsValid() {
		return false
	}
	for _, p := range c.cfg.ProxyFrom {
		if p.Contains(c.client.Addr.Addr()) {
			return true
		}
	}
	return false
}

// parseProxy reads the header at the beginning of b and returns its length and the
// client's address, which is invalid where the header names none (LOCAL, UNKNOWN, a
// Unix socket). errShort asks for more bytes.
func parseProxy(b []byte) (n int, client netip.AddrPort, err error) {
	if len(b) > 0 && b[0] == 'P' {
		return parseProxyLine(b)
	}
	if !bytes.HasPrefix(b, []byte(proxySignature2[:min(len(b), len(proxySignature2))])) {
		return 0, client, errors.New("the PROXY header has a wrong signature")
	}
	if len(b) < 16 {
		return 0, client, errShort
	}
	if b[12]>>4 != 2 || b[12]&15 > 1 {
		return 0, client, errors.New("the PROXY header has a version or command that does not exist")
	}
	length := int(binary.BigEndian.Uint16(b[14:]))
	if length > proxyLimit {
		return 0, client, errors.New("the PROXY header is longer than 2048 bytes")
	}
	n = 16 + length
	if len(b) < n {
		return 0, client, errShort
	}
	body := b[16:n]
	if b[12]&15 == 0 {
		return n, client, nil
	}
	switch b[13] >> 4 {
	case 1:
		if length < 12 {
			return 0, client, errors.New("the PROXY header is too short for its addresses")
		}
		client = netip.AddrPortFrom(netip.AddrFrom4([4]byte(body)), binary.BigEndian.Uint16(body[8:]))
	case 2:
		if length < 36 {
			return 0, client, errors.New("the PROXY header is too short for its addresses")
		}
		client = netip.AddrPortFrom(netip.AddrFrom16([16]byte(body)).Unmap(), binary.BigEndian.Uint16(body[32:]))
	}
	return n, client, nil
}

// parseProxyLine reads version 1: "PROXY TCP4 SRC DST SPORT DPORT\r\n", TCP6 likewise,
// or "PROXY UNKNOWN …\r\n".
func parseProxyLine(b []byte) (n int, client netip.AddrPort, err error) {
	if !bytes.HasPrefix(b, []byte(proxySignature1[:min(len(b), len(proxySignature1))])) {
		return 0, client, errors.New("the PROXY header has a wrong signature")
	}
	end := bytes.Index(b[:min(len(b), proxyLine)], []byte("\r\n"))
	if end < 0 {
		if len(b) >= proxyLine {
			return 0, client, errors.New("the PROXY line is longer than 107 bytes")
		}
		return 0, client, errShort
	}
	n = end + 2
	f := strings.Split(string(b[:end]), " ")
	if len(f) >= 2 && f[1] == "UNKNOWN" {
		return n, client, nil
	}
	if len(f) != 6 || f[1] != "TCP4" && f[1] != "TCP6" {
		return 0, client, errors.New("the PROXY line is not of the form PROXY TCP4 SOURCE DESTINATION PORT PORT")
	}
	src, err1 := netip.ParseAddr(f[2])
	_, err2 := netip.ParseAddr(f[3])
	port, err3 := strconv.ParseUint(f[4], 10, 16)
	_, err4 := strconv.ParseUint(f[5], 10, 16)
	if err := errors.Join(err1, err2, err3, err4); err != nil || src.Is4() != (f[1] == "TCP4") || src.Zone() != "" {
		return 0, client, errors.New("the PROXY line has an address or port that does not parse")
	}
	return n, netip.AddrPortFrom(src.Unmap(), uint16(port)), nil
}
