package replica

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
)

// Capabilities of the protocol that matter here.
const (
	capLongPassword = 1 << 0
	capLongFlag     = 1 << 2
	cap41           = 1 << 9
	capTLS          = 1 << 11
	capSecure       = 1 << 15
	capPluginAuth   = 1 << 19
)

const (
	pluginNative = "mysql_native_password"
	pluginSha2   = "caching_sha2_password"

	utf8mb4 = 45 // utf8mb4_general_ci
)

// greeting is what a server says first.
type greeting struct {
	version  string
	caps     uint32
	scramble []byte
	plugin   string
}

// parseGreeting reads it:
//
//	protocol: 10; version, NUL; connection u32; scramble, 8; 0; capabilities u16;
//	character set; status u16; capabilities u16; length of the scramble; 10 bytes;
//	the rest of the scramble, NUL; plugin, NUL
func parseGreeting(p []byte) (g greeting, err error) {
	s := scanner{b: p}
	if s.byte() != 10 {
		return g, fmt.Errorf("%w: its greeting is none of version 10", errProtocol)
	}
	g.version = string(s.null())
	s.take(4)
	g.scramble = append(g.scramble, s.take(8)...)
	s.take(1)
	g.caps = uint32(s.u16())
	s.take(3)
	g.caps |= uint32(s.u16()) << 16
	n := int(s.byte())
	s.take(10)
	if s.short || g.caps&cap41 == 0 || g.caps&capSecure == 0 {
		return g, fmt.Errorf("%w: its greeting has %d bytes", errProtocol, len(p))
	}
	rest := s.take(min(max(13, n-8), len(s.b)))
	if len(rest) < 12 {
		return g, fmt.Errorf("%w: its scramble has %d bytes", errProtocol, 8+len(rest))
	}
	g.scramble = append(g.scramble, rest[:12]...)
	g.plugin = pluginNative
	if g.caps&capPluginAuth != 0 {
		g.plugin = string(s.null())
	}
	return g, nil
}

// login greets the server and authenticates.
func (c *conn) login(s *Settings) (version string, err error) {
	p, err := c.answer()
	if err != nil {
		return "", err
	}
	g, err := parseGreeting(p)
	if err != nil {
		return "", err
	}
	caps := uint32(capLongPassword | capLongFlag | cap41 | capSecure | capPluginAuth)
	if s.TLS {
		if g.caps&capTLS == 0 {
			return "", errors.New("the source has no TLS: give it a certificate, or say SOURCE_SSL = 0")
		}
		config, err := s.tlsConfig()
		if err != nil {
			return "", err
		}
		caps |= capTLS
		if err := c.write(appendCaps(nil, caps)); err != nil {
			return "", err
		}
		if err := c.startTLS(config); err != nil {
			return "", err
		}
	}
	a := auth{c: c, s: s, plugin: g.plugin, scramble: g.scramble}
	response, err := a.respond()
	if err != nil {
		// A plugin that is not known: the account may have another.
		a.plugin, response = pluginNative, nil
	}
	out := append(append(appendCaps(nil, caps), s.User...), 0)
	out = append(append(out, byte(len(response))), response...)
	out = append(append(out, a.plugin...), 0)
	if err := c.write(out); err != nil {
		return "", err
	}
	return g.version, a.finish()
}

// appendCaps begins the answer to the greeting: capabilities u32, longest packet u32,
// character set, 23 bytes.
func appendCaps(dst []byte, caps uint32) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, caps)
	dst = binary.LittleEndian.AppendUint32(dst, 1<<30)
	return append(append(dst, utf8mb4), make([]byte, 23)...)
}

// auth is the dialogue about a password.
type auth struct {
	c        *conn
	s        *Settings
	plugin   string
	scramble []byte
}

// respond is the first answer of a plugin.
func (a *auth) respond() ([]byte, error) {
	if a.s.Password == "" {
		return nil, nil
	}
	switch a.plugin {
	case pluginNative:
		once := sha1.Sum([]byte(a.s.Password))
		twice := sha1.Sum(once[:])
		h := sha1.New()
		h.Write(a.scramble)
		h.Write(twice[:])
		out := h.Sum(nil)
		subtle.XORBytes(out, out, once[:])
		return out, nil
	case pluginSha2:
		once := sha256.Sum256([]byte(a.s.Password))
		twice := sha256.Sum256(once[:])
		h := sha256.New()
		h.Write(twice[:])
		h.Write(a.scramble)
		out := h.Sum(nil)
		subtle.XORBytes(out, out, once[:])
		return out, nil
	}
	return nil, fmt.Errorf("the source asks for the authentication plugin %s: give the account %s or %s", a.plugin, pluginNative, pluginSha2)
}

// finish answers what the server asks until it lets in or refuses.
func (a *auth) finish() error {
	for range 8 { // it has nothing more to ask
		p, err := a.c.answer()
		if err != nil {
			return err
		}
		switch p[0] {
		case packetOK:
			return nil
		case packetEOF:
			err = a.change(p)
		case packetMore:
			err = a.more(p[1:])
		default:
			err = fmt.Errorf("%w: %#x in the login", errProtocol, p[0])
		}
		if err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: the login does not end", errProtocol)
}

// change goes on with another plugin: fe, plugin, NUL, scramble, NUL.
func (a *auth) change(p []byte) error {
	s := scanner{b: p[1:]}
	a.plugin = string(s.null())
	a.scramble = append([]byte(nil), s.null()...)
	response, err := a.respond()
	if err != nil {
		return err
	}
	return a.c.write(response)
}

// more is caching_sha2_password's second step.
func (a *auth) more(p []byte) error {
	switch {
	case a.plugin != pluginSha2 || len(p) != 1:
		return fmt.Errorf("%w: the plugin %s asks for more", errProtocol, a.plugin)
	case p[0] == 3: // the server knows the password's digest
		return nil
	case p[0] != 4:
		return fmt.Errorf("%w: %s asks for %d", errProtocol, a.plugin, p[0])
	case a.s.TLS:
		return a.c.write(append([]byte(a.s.Password), 0))
	case !a.s.PublicKey:
		return errors.New("the source asks for the password itself, which goes over TLS only (SOURCE_SSL = 1), or under the source's key (GET_SOURCE_PUBLIC_KEY = 1)")
	}
	if err := a.c.write([]byte{2}); err != nil {
		return err
	}
	answer, err := a.c.answer()
	if err != nil {
		return err
	}
	if answer[0] != packetMore {
		return fmt.Errorf("%w: %#x where its key is expected", errProtocol, answer[0])
	}
	sealed, err := sealPassword(a.s.Password, a.scramble, answer[1:])
	if err != nil {
		return err
	}
	return a.c.write(sealed)
}

// sealPassword encrypts the password, XOR the scramble, with the server's key.
func sealPassword(password string, scramble, key []byte) ([]byte, error) {
	block, _ := pem.Decode(key)
	if block == nil {
		return nil, fmt.Errorf("%w: its key is no PEM", errProtocol)
	}
	pub, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: its key: %w", errProtocol, err)
	}
	k, ok := pub.(*rsa.PublicKey)
	if !ok || len(scramble) == 0 {
		return nil, fmt.Errorf("%w: its key is none of RSA", errProtocol)
	}
	plain := append([]byte(password), 0)
	for i := range plain {
		plain[i] ^= scramble[i%len(scramble)]
	}
	return rsa.EncryptOAEP(sha1.New(), rand.Reader, k, plain, nil)
}
