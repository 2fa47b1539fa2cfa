package config

import (
	"fmt"
	"path/filepath"
	"strings"
)

// complete fills in what the section itself does not say.
func (t *ServerTLS) complete(c *TLS) {
	t.MinVersion = c.MinVersion
	switch t.CA {
	case "system":
		t.CAFile = ""
	case "site":
		t.CAFile = filepath.Join(c.SecretsDir, "ca.crt")
	default:
		t.CAFile = t.CA
	}
}

// securePool is a pool whose servers speak TLS.
type securePool struct {
	place string
	tls   *ServerTLS
}

func serverPools(c *Config) (out []securePool) {
	if c.LB != nil {
		for i := range c.LB.Backends {
			if b := &c.LB.Backends[i]; b.TLS != nil {
				out = append(out, securePool{itemKey("lb.backends", i, b.Name), b.TLS})
			}
		}
	}
	if c.Web != nil {
		for i := range c.Web.Sites {
			for j := range c.Web.Sites[i].Locations {
				if p := c.Web.Sites[i].Locations[j].Proxy; p != nil && p.TLS != nil {
					out = append(out, securePool{fmt.Sprintf("web.sites[%d].locations[%d].proxy", i, j), p.TLS})
				}
			}
		}
	}
	return out
}

// Warnings says what is allowed and yet a danger, a sentence each.
func (n *Node) Warnings() (out []string) {
	for _, p := range serverPools(&Config{LB: n.LB, Web: n.Web}) {
		if !p.tls.Verify {
			out = append(out, p.place+".tls.verify: false takes any certificate, so whoever can stand between this node and the servers reads and changes everything; name the authority in ca instead")
		}
	}
	return out
}

func (v *validator) serverTLS(key string, t *ServerTLS, servers []Server) {
	if t == nil {
		return
	}
	if t.CA != "system" && t.CA != "site" && !filepath.IsAbs(t.CA) {
		v.at(join(key, "ca"), "%s is neither system, site nor an absolute path", missing(t.CA))
	}
	if !t.Verify && v.written(join(key, "ca")) {
		v.at(join(key, "ca"), "verify is false, so no authority is asked; remove one of the two")
	}
	if t.ServerName != "" {
		v.host(join(key, "server_name"), t.ServerName, false)
	}
	for _, s := range servers {
		if t.Verify && t.ServerName == "" && strings.HasPrefix(s.Address, "unix:") {
			v.at(join(key, "server_name"), "the key is missing: the address of server %s holds no name that its certificate could be for", s.Name)
		}
	}
	if c := t.Certificate; c != nil {
		at := join(key, "certificate")
		if c.Cert == "" {
			v.at(join(at, "cert"), "the key is missing; name the file of the certificate")
		}
		v.absolute(join(at, "cert"), c.Cert)
		v.absolute(join(at, "key"), c.Key)
	}
}

func (v *validator) clientCA(key string, c *ClientCA) {
	if c.CA == "" {
		v.at(join(key, "ca"), "the key is missing; name the PEM file of the authorities that clients' certificates come from")
	}
	v.absolute(join(key, "ca"), c.CA)
	for i, f := range c.CRL {
		at := v.item(join(key, "crl"), i, "")
		if f == "" {
			v.at(at, "the path is empty; name a file")
		}
		v.absolute(at, f)
	}
}
