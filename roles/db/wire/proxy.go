package wire

import (
	"bytes"

	"stack/roles/internal/proxyproto"
)

// What PROXY headers begin with. Neither can be taken for a packet of a client: read as
// one, the sequence number would be 0x58 or 0x0a, and the first is 1.
const (
	proxySignature1 = "PROX"
	proxySignature2 = "\r\n\r\n"
)

// readProxy takes a PROXY header off the connection if there is one. It waits for the
// client's first bytes.
func (c *conn) readProxy() error {
	if err := c.more(headerSize, 0); err != nil {
		return err
	}
	have := c.rbuf[c.rpos:c.rend]
	if !bytes.HasPrefix(have, []byte(proxySignature1)) && !bytes.HasPrefix(have, []byte(proxySignature2)) {
		return nil
	}
	if !c.trustedProxy() {
		c.cfg.Log.Warn("a PROXY header came from an address that is not in db.proxy_from: connection refused",
			"connection", c.id, "peer", c.clientText())
		return c.refuseProxy("no PROXY header is accepted from this address")
	}
	for {
		var h proxyproto.Header
		n, err := h.Parse(c.rbuf[c.rpos:c.rend])
		switch {
		case err != nil:
			return c.refuseProxy(err.Error())
		case n > 0:
			c.rpos += n
			if h.Source.IsValid() {
				c.client.Via = c.client.Addr
				c.client.Addr = h.Source
				c.client.Unix = false
			}
			return nil
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
