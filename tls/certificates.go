package tls

import (
	"context"
	ctls "crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"stack/appliance/config"
)

// maintainEvery is how often Maintain looks: files replaced by an operator are
// served within this time, and a leaf is renewed months before it ends.
const maintainEvery = time.Minute

// Certificates is what one listener presents. All methods are safe for concurrent use.
type Certificates struct {
	bind    config.BindTLS
	dir     string
	node    string
	names   []string
	tickets *tickets
	current atomic.Pointer[chosen]
	clients atomic.Pointer[authorities] // nil: clients are not asked
	minimum uint16

	mu      sync.Mutex
	configs []*ctls.Config // handed out; ticket keys are installed in each
}

// chosen is an immutable set of certificates, replaced whole.
type chosen struct {
	all    []*ctls.Certificate
	byName map[string][]*ctls.Certificate // exact, or "*.example.com"
}

// New loads what bind asks for: files, or with Auto the leaf of the node, which is
// issued here where the site's CA is. Nothing is half-loaded on an error.
func New(bind *config.BindTLS, node *config.Node) (*Certificates, error) {
	c := &Certificates{bind: *bind, dir: node.TLS.SecretsDir, node: node.Name, names: LeafNames(node)}
	var err error
	if c.tickets, err = newTickets(c.dir); err != nil {
		return nil, err
	}
	set, err := c.load(time.Now())
	if err != nil {
		return nil, err
	}
	c.current.Store(set)
	if err := c.loadClients(); err != nil {
		return nil, err
	}
	c.minimum = minVersion(node.TLS.MinVersion)
	return c, nil
}

// Config returns the configuration of a listener that speaks protocols, by ALPN
// name in order of preference; none means no ALPN. Certificates and ticket keys stay
// current in it as long as Maintain runs; a Clone of it would keep its ticket keys.
func (c *Certificates) Config(protocols ...string) *ctls.Config {
	own := &ctls.Config{
		MinVersion:     c.minimum,
		NextProtos:     protocols,
		GetCertificate: c.choose,
	}
	c.askClients(own)
	c.tickets.install(own, time.Now())
	c.mu.Lock()
	defer c.mu.Unlock()
	c.configs = append(c.configs, own)
	return own
}

func (c *Certificates) loadClients() error {
	if c.bind.Client == nil {
		return nil
	}
	a, err := loadAuthorities(c.bind.Client)
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	c.clients.Store(a)
	return nil
}

// askClients has clients show certificates. They are verified here and not by crypto/tls,
// which could not follow files that change; only the names of the authorities, by which
// a client chooses its certificate, stay those of now.
func (c *Certificates) askClients(own *ctls.Config) {
	a := c.clients.Load()
	if a == nil {
		return
	}
	own.ClientAuth = ctls.RequireAnyClientCert
	if c.bind.Client.Verify == "optional" {
		own.ClientAuth = ctls.RequestClientCert
	}
	own.ClientCAs = x509.NewCertPool()
	for _, cert := range a.all {
		own.ClientCAs.AddCert(cert)
	}
	own.VerifyConnection = func(state ctls.ConnectionState) error { return c.clients.Load().verify(&state, time.Now()) }
}

func (c *Certificates) load(now time.Time) (*chosen, error) {
	set := &chosen{byName: make(map[string][]*ctls.Certificate)}
	if c.bind.Auto {
		leaf, err := ensureLeaf(c.dir, c.node, c.names, now)
		if err != nil {
			return nil, err
		}
		set.add(leaf)
		return set, nil
	}
	for _, file := range c.bind.Certificates {
		key := file.Key
		if key == "" {
			key = file.Cert
		}
		pair, err := loadPair(file.Cert, key)
		if err != nil {
			return nil, err
		}
		set.add(pair)
	}
	if len(set.all) == 0 {
		return nil, errors.New("tls.certificates is empty: name at least one file, or say auto")
	}
	return set, nil
}

func (s *chosen) add(pair *ctls.Certificate) {
	s.all = append(s.all, pair)
	names := pair.Leaf.DNSNames
	if len(names) == 0 && pair.Leaf.Subject.CommonName != "" {
		names = []string{pair.Leaf.Subject.CommonName}
	}
	for _, name := range names {
		name = strings.ToLower(name)
		s.byName[name] = append(s.byName[name], pair)
	}
}

// choose picks by SNI: the exact name, then a wildcard one label up, then the first
// certificate of the list. Of several for one name (ECDSA and RSA) the first that the
// client supports is taken.
func (c *Certificates) choose(hello *ctls.ClientHelloInfo) (*ctls.Certificate, error) {
	set := c.current.Load()
	name := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	candidates := set.byName[name]
	if len(candidates) == 0 {
		if _, parent, ok := strings.Cut(name, "."); ok {
			candidates = set.byName["*."+parent]
		}
	}
	for _, pair := range candidates {
		if hello.SupportsCertificate(pair) == nil {
			return pair, nil
		}
	}
	if len(candidates) > 0 {
		return candidates[0], nil
	}
	return set.all[0], nil
}

// Maintain renews the leaf, picks up replaced files and rotates ticket keys until
// ctx ends. A failure keeps what is served and is logged each hour.
func (c *Certificates) Maintain(ctx context.Context, log *slog.Logger) {
	tick := time.NewTicker(maintainEvery)
	defer tick.Stop()
	var failed, listEnding, ending time.Time // when each was last complained about
	due := func(last *time.Time, now time.Time) bool {
		if now.Sub(*last) < time.Hour {
			return false
		}
		*last = now
		return true
	}
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if err := c.Refresh(now); err != nil && due(&failed, now) {
				log.Error("certificates are not renewed; the old ones are still served", "err", err)
			}
			if a := c.clients.Load(); a != nil {
				if file, at := a.listEnds(); file != "" && at.Sub(now) < 24*time.Hour && due(&listEnding, now) {
					log.Warn("a revocation list ends; from then on every client certificate of its authority is refused", "file", file, "ends", at)
				}
			}
			for _, info := range c.List() {
				if left := info.NotAfter.Sub(now); left < 14*24*time.Hour && due(&ending, now) {
					log.Warn("a certificate ends soon", "subject", info.Subject, "not_after", info.NotAfter)
				}
			}
		}
	}
}

// Refresh does at now what Maintain does each minute.
func (c *Certificates) Refresh(now time.Time) error {
	set, err := c.load(now)
	if err != nil {
		return fmt.Errorf("refresh certificates: %w", err)
	}
	c.current.Store(set)
	if err := c.loadClients(); err != nil {
		return fmt.Errorf("refresh certificates: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, own := range c.configs {
		c.tickets.install(own, now)
	}
	return nil
}

// Info describes a certificate being served.
type Info struct {
	Subject  string    `json:"subject"`
	Names    []string  `json:"names"`
	Issuer   string    `json:"issuer"`
	Serial   string    `json:"serial"` // hexadecimal
	NotAfter time.Time `json:"not_after"`
}

// List describes the certificates being served, in the order of the config.
func (c *Certificates) List() []Info {
	var list []Info
	for _, pair := range c.current.Load().all {
		list = append(list, describe(pair.Leaf))
	}
	return list
}

func describe(cert *x509.Certificate) Info {
	names := slices.Clone(cert.DNSNames)
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	return Info{Subject: cert.Subject.CommonName, Names: names, Issuer: cert.Issuer.CommonName, Serial: cert.SerialNumber.Text(16), NotAfter: cert.NotAfter}
}

func minVersion(name string) uint16 {
	if name == "1.3" {
		return ctls.VersionTLS13
	}
	return ctls.VersionTLS12
}
