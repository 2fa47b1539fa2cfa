package tls

import (
	"bytes"
	ctls "crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"time"

	"stack/appliance/config"
)

// authorities are those that clients' certificates must come from, with what they have
// revoked; immutable, replaced whole.
type authorities struct {
	roots, between *x509.CertPool
	all            []*x509.Certificate
	revoked        map[string]*revocations // by the authority's encoded name
}

// revocations are the lists of one authority taken together.
type revocations struct {
	serials map[string]bool
	until   time.Time // the latest NextUpdate; zero: no end
	files   string
}

func loadAuthorities(c *config.ClientCA) (*authorities, error) {
	_, certs, err := readAuthorities(c.CA)
	if err != nil {
		return nil, err
	}
	a := &authorities{roots: x509.NewCertPool(), between: x509.NewCertPool(), all: certs, revoked: map[string]*revocations{}}
	anchored := false
	for _, cert := range certs {
		if bytes.Equal(cert.RawIssuer, cert.RawSubject) {
			a.roots.AddCert(cert)
			anchored = true
		} else {
			a.between.AddCert(cert)
		}
	}
	if !anchored { // then what the file names is what is trusted
		a.roots = a.between
	}
	for _, path := range c.CRL {
		if err := a.addLists(path); err != nil {
			return nil, fmt.Errorf("read the revocation list %s: %w", path, err)
		}
	}
	return a, nil
}

// addLists reads the lists of a file, PEM (any number) or DER (one).
func (a *authorities) addLists(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("%w: check the path and that the user that runs stack may read it", err)
	}
	n := 0
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type == "X509 CRL" {
			n++
			if err := a.addList(block.Bytes, path); err != nil {
				return err
			}
		}
	}
	if n > 0 {
		return nil
	}
	return a.addList(text, path)
}

func (a *authorities) addList(der []byte, path string) error {
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return fmt.Errorf("it is no revocation list in PEM or DER: %w", err)
	}
	for _, e := range list.Extensions {
		if e.Critical { // a list of changes, or of a part: RFC 5280 section 5.2
			return fmt.Errorf("it has the critical extension %v; only complete lists are understood", e.Id)
		}
	}
	signed := false
	for _, cert := range a.all {
		signed = signed || bytes.Equal(cert.RawSubject, list.RawIssuer) && list.CheckSignatureFrom(cert) == nil
	}
	if !signed {
		return fmt.Errorf("it comes from %s, which is no authority of the file that ca names", list.Issuer)
	}
	r := a.revoked[string(list.RawIssuer)]
	if r == nil {
		r = &revocations{serials: map[string]bool{}}
		a.revoked[string(list.RawIssuer)] = r
	}
	for _, e := range list.RevokedCertificateEntries {
		r.serials[serialKey(e.SerialNumber)] = true
	}
	if list.NextUpdate.After(r.until) {
		r.until = list.NextUpdate
	}
	r.files = path
	return nil
}

func serialKey(n *big.Int) string { return string(n.Bytes()) }

// verify is tls.Config.VerifyConnection: it holds for resumed sessions too, so that a
// revocation ends what was begun before it.
func (a *authorities) verify(state *ctls.ConnectionState, now time.Time) error {
	certs := state.PeerCertificates
	if len(certs) == 0 {
		return nil // where one is required, crypto/tls has refused by now
	}
	between := a.between.Clone()
	for _, cert := range certs[1:] {
		between.AddCert(cert)
	}
	chains, err := certs[0].Verify(x509.VerifyOptions{Roots: a.roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if err != nil {
		return fmt.Errorf("the client's certificate: %w", err)
	}
	for _, chain := range chains {
		if err = a.unrevoked(chain, now); err == nil {
			return nil
		}
	}
	return err
}

var errRevoked = errors.New("the client's certificate is revoked")

// unrevoked looks each certificate of a chain up in the list of its authority, if that
// has one.
func (a *authorities) unrevoked(chain []*x509.Certificate, now time.Time) error {
	for _, cert := range chain {
		r := a.revoked[string(cert.RawIssuer)]
		switch {
		case r == nil:
		case !r.until.IsZero() && now.After(r.until):
			return fmt.Errorf("the revocation list of %s ended on %s", cert.Issuer, r.until.Format(time.DateTime))
		case r.serials[serialKey(cert.SerialNumber)]:
			return errRevoked
		}
	}
	return nil
}

// listEnds returns the file whose list ends first and when; "" without one.
func (a *authorities) listEnds() (file string, at time.Time) {
	for _, r := range a.revoked {
		if !r.until.IsZero() && (file == "" || r.until.Before(at)) {
			file, at = r.files, r.until
		}
	}
	return file, at
}
