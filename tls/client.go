package tls

import (
	"bytes"
	ctls "crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"stack/appliance/config"
)

// Client is how TLS is spoken with the servers of a pool. All methods are safe for
// concurrent use.
type Client struct {
	settings config.ServerTLS
	current  atomic.Pointer[clientFiles]
}

// clientFiles is what the files held when they were read; immutable.
type clientFiles struct {
	text  []byte // all of it, to notice a change
	roots *x509.CertPool
	pair  *ctls.Certificate
}

// NewClient reads what settings name. The error names the file and the cure.
func NewClient(settings *config.ServerTLS) (*Client, error) {
	c := &Client{settings: *settings}
	if settings.Certificate != nil {
		pair := *settings.Certificate
		c.settings.Certificate = &pair
	}
	files, err := c.read()
	if err != nil {
		return nil, err
	}
	c.current.Store(files)
	return c, nil
}

// Same says whether settings ask for what c was made from; the files may differ.
func (c *Client) Same(settings *config.ServerTLS) bool {
	a, b := c.settings, *settings
	if (a.Certificate == nil) != (b.Certificate == nil) || a.Certificate != nil && *a.Certificate != *b.Certificate {
		return false
	}
	a.Certificate, b.Certificate = nil, nil
	return a == b
}

// Differs says whether the files of c and d hold different things.
func (c *Client) Differs(d *Client) bool {
	return !bytes.Equal(c.current.Load().text, d.current.Load().text)
}

// Refresh reads the files again. It reports whether Config gives something else now; on
// an error what was read before stays.
func (c *Client) Refresh() (changed bool, err error) {
	files, err := c.read()
	if err != nil || bytes.Equal(files.text, c.current.Load().text) {
		return false, err
	}
	c.current.Store(files)
	return true, nil
}

// Config returns what is spoken with the server at host, which offers protocols by ALPN
// (none: no ALPN). It does not change when files do: ask again after Refresh.
func (c *Client) Config(host string, protocols ...string) *ctls.Config {
	files := c.current.Load()
	conf := &ctls.Config{
		MinVersion: minVersion(c.settings.MinVersion),
		NextProtos: protocols,
		ServerName: c.settings.ServerName,
		RootCAs:    files.roots,
		// Asked for by the operator, who was warned (config.Node.Warnings).
		InsecureSkipVerify: !c.settings.Verify,
	}
	if conf.ServerName == "" {
		conf.ServerName = host
	}
	if files.pair != nil {
		conf.Certificates = []ctls.Certificate{*files.pair}
	}
	return conf
}

func (c *Client) read() (*clientFiles, error) {
	f := &clientFiles{}
	if path := c.settings.CAFile; path != "" && c.settings.Verify {
		text, certs, err := readAuthorities(path)
		if err != nil {
			return nil, err
		}
		f.text = text
		f.roots = x509.NewCertPool()
		for _, cert := range certs {
			f.roots.AddCert(cert)
		}
	}
	own := c.settings.Certificate
	if own == nil {
		return f, nil
	}
	key := own.Key
	if key == "" {
		key = own.Cert
	}
	pair, err := loadPair(own.Cert, key)
	if err != nil {
		return nil, err
	}
	f.pair = pair
	for _, der := range pair.Certificate {
		f.text = append(f.text, der...)
	}
	return f, nil
}

// readAuthorities reads the certificates of a PEM file.
func readAuthorities(path string) (text []byte, certs []*x509.Certificate, err error) {
	text, err = os.ReadFile(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, nil, fmt.Errorf("read the authorities: %w: check the path; the site's CA is made by `stack secrets init`", err)
	case errors.Is(err, os.ErrPermission):
		return nil, nil, fmt.Errorf("read the authorities: %w: let the user that runs stack read it", err)
	case err != nil:
		return nil, nil, fmt.Errorf("read the authorities: %w", err)
	}
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, nil, fmt.Errorf("read the authorities: %s, certificate %d: %w", path, len(certs)+1, err)
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, nil, fmt.Errorf("read the authorities: %s holds no certificate; it must be PEM", path)
	}
	return text, certs, nil
}
