package wire

import (
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"hash/maphash"
	"io"
	"runtime"
	"strings"
	"sync"
)

// The authentication plugins.
const (
	pluginNative = "mysql_native_password"
	pluginSha2   = "caching_sha2_password"
)

const (
	scrambleSize = 20
	// maxPassword is what caching_sha2_password allows; longer ones never match.
	maxPassword = 256
	// maxCached bounds the fast path's cache, at about 150 bytes each.
	maxCached = 10_000
)

// authenticator is what logins share: randomness, the RSA key for clients without TLS,
// and the cache of caching_sha2_password's fast path.
type authenticator struct {
	random io.Reader
	seed   maphash.Seed

	keyOnce sync.Once
	key     *rsa.PrivateKey
	keyPEM  []byte
	keyErr  error

	// hashing bounds how many of the slow hashes are computed at once.
	hashing chan struct{}

	mu     sync.Mutex
	cached map[cacheKey][sha256.Size]byte // SHA256(SHA256(password))
}

// cacheKey holds the stored hash, so that a change of password is a miss.
type cacheKey struct {
	user, host, authString string
}

func newAuthenticator(random io.Reader) *authenticator {
	return &authenticator{
		random:  random,
		seed:    maphash.MakeSeed(),
		hashing: make(chan struct{}, max(1, runtime.GOMAXPROCS(0))),
		cached:  map[cacheKey][sha256.Size]byte{},
	}
}

// scramble makes the challenge of one login: 20 bytes of 7 bits without NUL and '$',
// which clients and hash formats use as separators.
func (a *authenticator) scramble() []byte {
	s := make([]byte, scrambleSize)
	if _, err := io.ReadFull(a.random, s); err != nil {
		panic(fmt.Sprintf("no randomness: %v", err)) // crypto/rand never fails
	}
	for i := range s {
		s[i] = 33 + s[i]%90 // '!' … 'z'
		if s[i] == '$' {
			s[i] = '~'
		}
	}
	return s
}

func (a *authenticator) cachedDigest(k cacheKey) (d [sha256.Size]byte, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	d, ok = a.cached[k]
	return d, ok
}

func (a *authenticator) remember(k cacheKey, d [sha256.Size]byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.cached) >= maxCached {
		for old := range a.cached { // any one: it costs its owner one slow login
			delete(a.cached, old)
			break
		}
	}
	a.cached[k] = d
}

// decoy is the account against which a login of an unknown user is checked, so that it
// takes the same steps and as long. Which plugin it seems to have is fixed per name.
func (a *authenticator) decoy(user string) Account {
	var h maphash.Hash
	h.SetSeed(a.seed)
	h.WriteString(user)
	if h.Sum64()&1 == 0 {
		return Account{User: user, Plugin: pluginNative, AuthString: "*" + strings.Repeat("0", 40)}
	}
	return Account{User: user, Plugin: pluginSha2, AuthString: sha2Prefix + strings.Repeat("x", sha2Salt) + strings.Repeat("0", 43)}
}

// login is what a client sent to prove who it is.
type login struct {
	user, plugin       string
	response, scramble []byte
}

// login checks the client against the accounts of its name and sets c.client.Account.
func (c *conn) login(ctx context.Context, l login) error {
	c.client.Host = "localhost"
	if a := c.client.Addr.Addr(); a.IsValid() && !a.IsLoopback() {
		c.client.Host = a.String()
	}
	accounts, err := c.srv.engine.Accounts(ctx, l.user)
	if err != nil {
		return asError(err)
	}
	account, known := chooseAccount(accounts, l.user, c.client.Addr.Addr())
	if !known || account.Plugin != pluginNative && account.Plugin != pluginSha2 {
		known, account = false, c.srv.auth.decoy(l.user)
	}
	// A client that lacks the plugin of the greeting says nothing yet (MariaDB's replica).
	waits := l.plugin == pluginNative && len(l.response) == 0 && account.AuthString != "" && c.caps&capPluginAuth != 0
	if l.plugin != account.Plugin || waits {
		if c.caps&capPluginAuth == 0 && account.Plugin != pluginNative {
			return Errorf(1251, "Client does not support authentication protocol requested by server; consider upgrading MySQL client")
		}
		if c.caps&capPluginAuth != 0 {
			if l, err = c.switchPlugin(l, account.Plugin); err != nil {
				return err
			}
		}
	}
	right, usedPassword := false, len(l.response) > 0
	if account.Plugin == pluginNative {
		right = checkNative(account.AuthString, l.response, l.scramble)
	} else {
		if right, usedPassword, err = c.checkSha2(ctx, account, l); err != nil {
			return err
		}
	}
	if !known || !right || !c.meets(account.Require) {
		c.srv.stats.authFailures.Add(1)
		return accessDenied(l.user, c.client.Host, usedPassword)
	}
	if account.Locked {
		return Errorf(erAccountLocked, "Access denied for user '%s'@'%s'. Account is locked.", l.user, c.client.Host)
	}
	c.client.Account = account
	return nil
}

func accessDenied(user, host string, usedPassword bool) *Error {
	using := "NO"
	if usedPassword {
		using = "YES"
	}
	return Errorf(erAccessDenied, "Access denied for user '%s'@'%s' (using password: %s)", user, host, using)
}

// switchPlugin asks the client to answer with another plugin, and a new scramble:
//
//	1 byte  0xfe
//	string  plugin name, NUL
//	string  scramble, NUL
func (c *conn) switchPlugin(l login, plugin string) (login, error) {
	l.plugin, l.scramble = plugin, c.srv.auth.scramble()
	c.begin()
	b := append(c.wbuf, 0xfe)
	b = append(append(b, plugin...), 0)
	c.wbuf = append(append(b, l.scramble...), 0)
	p, err := c.ask()
	if err != nil {
		return l, err
	}
	l.response = append([]byte(nil), p...)
	return l, nil
}

// ask ends the packet under construction, sends it and reads the client's answer.
func (c *conn) ask() ([]byte, error) {
	if err := c.stream.end(); err != nil {
		return nil, err
	}
	if err := c.flush(); err != nil {
		return nil, err
	}
	return c.readPacket(handshakePacket, 0)
}

// meets says whether the transport is what the account demands.
func (c *conn) meets(r Require) bool {
	t := c.client.TLS
	x509 := r.X509 || r.Subject != "" || r.Issuer != ""
	if !r.SSL && !x509 && r.Cipher == "" {
		return true
	}
	if t == nil {
		return false
	}
	if r.Cipher != "" {
		name := tls.CipherSuiteName(t.CipherSuite)
		if !strings.EqualFold(name, r.Cipher) && !strings.EqualFold(opensslName(name), r.Cipher) {
			return false
		}
	}
	if !x509 {
		return true
	}
	if len(t.VerifiedChains) == 0 {
		return false
	}
	leaf := t.PeerCertificates[0]
	return (r.Subject == "" || slashName(leaf.Subject) == r.Subject) &&
		(r.Issuer == "" || slashName(leaf.Issuer) == r.Issuer)
}
