package wire

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"strconv"
)

// mysql_native_password. Stored: "*" and hex of SHA1(SHA1(password)). The client sends
// SHA1(password) XOR SHA1(scramble + SHA1(SHA1(password))).

// NativeHash makes the stored form of a password for mysql_native_password.
func NativeHash(password string) string {
	if password == "" {
		return ""
	}
	once := sha1.Sum([]byte(password))
	twice := sha1.Sum(once[:])
	return fmt.Sprintf("*%X", twice)
}

func checkNative(stored string, response, scramble []byte) bool {
	if stored == "" {
		return len(response) == 0
	}
	if len(stored) != 41 || stored[0] != '*' || len(response) != sha1.Size {
		return false
	}
	twice, err := hex.DecodeString(stored[1:])
	if err != nil {
		return false
	}
	h := sha1.New()
	h.Write(scramble)
	h.Write(twice)
	once := h.Sum(nil)
	subtle.XORBytes(once, once, response)
	got := sha1.Sum(once)
	return subtle.ConstantTimeCompare(got[:], twice) == 1
}

// caching_sha2_password. Stored: "$A$" and three hex digits of rounds / 1000, "$", 20
// bytes of salt, 43 of SHA-256 crypt. Fast path: the client sends
// SHA256(password) XOR SHA256(SHA256(SHA256(password)) + scramble), which the server
// can check once it has seen the password. Else (full authentication) the client sends
// the password itself, over TLS or a Unix socket, or encrypted with the server's RSA key.
const (
	sha2Prefix = "$A$005$"
	sha2Rounds = 5000
	sha2Salt   = 20

	sha2FastOK    = 3
	sha2Full      = 4
	sha2WantsKey  = 2
	authMore      = 1
	maxSha2Rounds = 0xfff * 1000
)

// Sha2Hash makes the stored form of a password for caching_sha2_password, with a new
// salt.
func Sha2Hash(password string) string {
	if password == "" {
		return ""
	}
	salt := newAuthenticator(rand.Reader).scramble()
	return sha2Prefix + string(salt) + sha256Crypt([]byte(password), salt, sha2Rounds)
}

// splitSha2 takes a stored hash apart.
func splitSha2(stored string) (rounds int, salt, hash string, ok bool) {
	if len(stored) != len(sha2Prefix)+sha2Salt+43 || stored[:3] != "$A$" || stored[6] != '$' {
		return 0, "", "", false
	}
	n, err := strconv.ParseUint(stored[3:6], 16, 16)
	if err != nil || n == 0 {
		return 0, "", "", false
	}
	return int(n) * 1000, stored[7 : 7+sha2Salt], stored[7+sha2Salt:], true
}

// checkSha2 answers whether the client knows the password, and whether it used one.
func (c *conn) checkSha2(ctx context.Context, account Account, l login) (right, used bool, err error) {
	// An empty password is an empty packet, or a lone NUL.
	if len(l.response) == 0 || len(l.response) == 1 && l.response[0] == 0 {
		return account.AuthString == "", false, nil
	}
	if account.AuthString == "" {
		return false, true, nil
	}
	key := cacheKey{account.User, account.Host, account.AuthString}
	if digest, ok := c.srv.auth.cachedDigest(key); ok && checkSha2Fast(digest, l.response, l.scramble) {
		c.begin()
		c.wbuf = append(c.wbuf, authMore, sha2FastOK)
		c.srv.stats.fastAuth.Add(1)
		return true, true, c.stream.end()
	}
	c.begin()
	c.wbuf = append(c.wbuf, authMore, sha2Full)
	p, err := c.ask()
	if err != nil {
		return false, true, err
	}
	password, err := c.plainPassword(p, l.scramble)
	if err != nil || password == nil {
		return false, true, err
	}
	select {
	case c.srv.auth.hashing <- struct{}{}:
		defer func() { <-c.srv.auth.hashing }()
	case <-ctx.Done():
		return false, true, ctx.Err()
	}
	c.srv.stats.fullAuth.Add(1)
	rounds, salt, want, ok := splitSha2(account.AuthString)
	if !ok {
		return false, true, nil
	}
	got := sha256Crypt(password, []byte(salt), rounds)
	if subtle.ConstantTimeCompare([]byte(got), []byte(want)) != 1 {
		return false, true, nil
	}
	once := sha256.Sum256(password)
	c.srv.auth.remember(key, sha256.Sum256(once[:]))
	return true, true, nil
}

func checkSha2Fast(digest [sha256.Size]byte, response, scramble []byte) bool {
	if len(response) != sha256.Size {
		return false
	}
	h := sha256.New()
	h.Write(digest[:])
	h.Write(scramble)
	once := h.Sum(nil)
	subtle.XORBytes(once, once, response)
	got := sha256.Sum256(once)
	return subtle.ConstantTimeCompare(got[:], digest[:]) == 1
}

// plainPassword takes the password from the client's packet p: as it is over a
// transport that nobody can listen on, decrypted otherwise. nil means that it cannot be
// right.
func (c *conn) plainPassword(p, scramble []byte) ([]byte, error) {
	if c.client.TLS != nil || c.client.Unix {
		if len(p) == 0 || p[len(p)-1] != 0 || len(p) > maxPassword+1 {
			return nil, nil
		}
		return append([]byte{}, p[:len(p)-1]...), nil
	}
	key, public, err := c.srv.auth.rsaKey()
	if err != nil {
		return nil, err
	}
	if len(p) == 1 && p[0] == sha2WantsKey {
		c.begin()
		c.wbuf = append(append(c.wbuf, authMore), public...)
		if p, err = c.ask(); err != nil {
			return nil, err
		}
	}
	masked, err := rsa.DecryptOAEP(sha1.New(), nil, key, p, nil)
	if err != nil || len(masked) == 0 || len(masked) > maxPassword+1 {
		return nil, nil
	}
	for i := range masked {
		masked[i] ^= scramble[i%len(scramble)]
	}
	if masked[len(masked)-1] != 0 {
		return nil, nil
	}
	return masked[:len(masked)-1], nil
}

// rsaKey makes the key pair when the first client needs it; it lives as long as the
// process.
func (a *authenticator) rsaKey() (*rsa.PrivateKey, []byte, error) {
	a.keyOnce.Do(func() {
		if a.key, a.keyErr = rsa.GenerateKey(rand.Reader, 2048); a.keyErr != nil {
			return
		}
		var der []byte
		if der, a.keyErr = x509.MarshalPKIXPublicKey(&a.key.PublicKey); a.keyErr != nil {
			return
		}
		a.keyPEM = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	})
	return a.key, a.keyPEM, a.keyErr
}

// sha256Crypt is the 43 characters of Ulrich Drepper's "Unix crypt using SHA-256", here
// with a salt of 20 bytes as MySQL uses it.
func sha256Crypt(password, salt []byte, rounds int) string {
	rounds = min(rounds, maxSha2Rounds)
	b := sha256.New()
	b.Write(password)
	b.Write(salt)
	b.Write(password)
	alternate := b.Sum(nil)

	a := sha256.New()
	a.Write(password)
	a.Write(salt)
	a.Write(stretch(alternate, len(password)))
	for n := len(password); n > 0; n >>= 1 {
		if n&1 != 0 {
			a.Write(alternate)
		} else {
			a.Write(password)
		}
	}
	sum := a.Sum(nil)

	h := sha256.New()
	for range password {
		h.Write(password)
	}
	p := stretch(h.Sum(nil), len(password))
	h.Reset()
	for range 16 + int(sum[0]) {
		h.Write(salt)
	}
	s := stretch(h.Sum(nil), len(salt))

	for i := range rounds {
		h.Reset()
		if i&1 != 0 {
			h.Write(p)
		} else {
			h.Write(sum)
		}
		if i%3 != 0 {
			h.Write(s)
		}
		if i%7 != 0 {
			h.Write(p)
		}
		if i&1 != 0 {
			h.Write(sum)
		} else {
			h.Write(p)
		}
		sum = h.Sum(sum[:0])
	}
	return cryptText(sum)
}

// stretch repeats a hash to n bytes.
func stretch(hash []byte, n int) []byte {
	out := make([]byte, 0, n+len(hash))
	for len(out) < n {
		out = append(out, hash...)
	}
	return out[:n]
}

// cryptText writes the 32 bytes in crypt's order and alphabet.
func cryptText(sum []byte) string {
	const alphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	out := make([]byte, 0, 43)
	put := func(v uint32, n int) {
		for range n {
			out = append(out, alphabet[v&63])
			v >>= 6
		}
	}
	x, y, z := 0, 10, 20
	for range 10 {
		put(uint32(sum[x])<<16|uint32(sum[y])<<8|uint32(sum[z]), 4)
		x, y, z = z+1, x+1, y+1
	}
	put(uint32(sum[31])<<8|uint32(sum[30]), 3)
	return string(out)
}
