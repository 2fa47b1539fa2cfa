package tls

import (
	ctls "crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"stack/appliance/config"
)

// LeafNames returns the DNS names and addresses that the leaf of node must cover,
// sorted: the node, the site and its hosts, every address it listens on, and
// localhost with the loopback addresses, by which local clients reach it.
func LeafNames(node *config.Node) []string {
	names := []string{"localhost", "127.0.0.1", "::1"}
	add := func(name string) {
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	add(node.Name)
	add(node.Site)
	for _, host := range node.Hosts {
		add(host)
	}
	if node.Address.IsValid() {
		add(node.Address.String())
	}
	for _, vip := range node.VIP {
		for _, address := range vip.Addresses {
			add(address.String())
		}
	}
	for _, bind := range node.Binds {
		if a := bind.Addr.Addr(); a.IsValid() && !a.IsUnspecified() {
			add(a.WithZone("").String())
		}
	}
	slices.Sort(names)
	return names
}

// ensureLeaf returns the leaf of a node, issued anew where it is missing, does not
// cover names, comes from another CA or has less than a third of its life left. All
// of that needs ca.key; without it, a leaf that is still valid is used as it is.
func ensureLeaf(dir, node string, names []string, now time.Time) (*ctls.Certificate, error) {
	path := leafFile(dir, node)
	leaf, err := loadPair(path, path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	ca, caErr := OpenCA(dir)
	if caErr != nil {
		if !errors.Is(caErr, os.ErrNotExist) || leaf == nil {
			return nil, caErr
		}
		if now.After(leaf.Leaf.NotAfter) {
			return nil, fmt.Errorf("the certificate %s expired on %s: run `stack secrets export %s` where the CA is, and unpack its output here",
				path, leaf.Leaf.NotAfter.Format(time.DateOnly), node)
		}
		return leaf, nil
	}
	if leaf != nil && leaf.Leaf.CheckSignatureFrom(ca.cert) == nil && now.Before(renewAt(leaf.Leaf)) && len(uncovered(leaf.Leaf, names)) == 0 {
		return leaf, nil
	}
	chainPEM, keyPEM, err := ca.Issue(node, names, now)
	if err != nil {
		return nil, err
	}
	if err := writeSecret(path, append(keyPEM, chainPEM...)); err != nil {
		return nil, err
	}
	return loadPair(path, path)
}

// leafFile holds key and chain together, so that a crash cannot leave a key beside
// another certificate's chain.
func leafFile(dir, node string) string { return filepath.Join(dir, node+".pem") }

// renewAt is when two thirds of a certificate's life have passed.
func renewAt(cert *x509.Certificate) time.Time {
	return cert.NotAfter.Add(-cert.NotAfter.Sub(cert.NotBefore) / 3)
}

// uncovered returns the names for which cert is not valid.
func uncovered(cert *x509.Certificate, names []string) (missing []string) {
	have := make(map[string]bool)
	for _, name := range cert.DNSNames {
		have[strings.ToLower(name)] = true
	}
	for _, ip := range cert.IPAddresses {
		have[ip.String()] = true
	}
	for _, name := range names {
		if !have[strings.ToLower(name)] {
			missing = append(missing, name)
		}
	}
	return missing
}

// loadPair reads a chain and its key; the error names the file and the cure.
func loadPair(crt, key string) (*ctls.Certificate, error) {
	pair, err := ctls.LoadX509KeyPair(crt, key)
	switch {
	case err == nil:
		return &pair, nil
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("read the certificate: %w: check the path", err)
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("read the certificate: %w: let the user that runs stack read it", err)
	}
	return nil, fmt.Errorf("read the certificate %s with the key %s: %w: both must be PEM and belong together", crt, key, err)
}
