package wire

import (
	"crypto/x509/pkix"
	"net/netip"
	"slices"
	"strings"
)

// chooseAccount picks the account by which user at addr is known: among those whose
// host pattern matches, the most specific pattern; a named account before an anonymous
// one of the same pattern (MySQL 8.0 Reference Manual, "Access Control, Stage 1"). An
// invalid addr is a Unix socket.
func chooseAccount(accounts []Account, user string, addr netip.Addr) (Account, bool) {
	var matching []Account
	for _, a := range accounts {
		if (a.User == user || a.User == "") && matchHost(a.Host, addr) {
			matching = append(matching, a)
		}
	}
	if len(matching) == 0 {
		return Account{}, false
	}
	slices.SortStableFunc(matching, func(a, b Account) int {
		if d := specificity(b.Host) - specificity(a.Host); d != 0 {
			return d
		}
		return strings.Compare(b.User, a.User) // "" last
	})
	return matching[0], true
}

// matchHost says whether a client at addr fits the host part of an account. Loopback
// and Unix sockets are also "localhost". Names are not looked up.
func matchHost(pattern string, addr netip.Addr) bool {
	if pattern == "" || pattern == "%" {
		return true
	}
	local := !addr.IsValid() || addr.IsLoopback()
	if local && wildcard(strings.ToLower(pattern), "localhost") {
		return true
	}
	if !addr.IsValid() {
		return false
	}
	if prefix, ok := hostPrefix(pattern); ok {
		return prefix.Contains(addr)
	}
	if exact, err := netip.ParseAddr(pattern); err == nil {
		return exact.Unmap() == addr
	}
	return wildcard(strings.ToLower(pattern), addr.String())
}

// hostPrefix reads "10.0.0.0/8" and "10.0.0.0/255.0.0.0".
func hostPrefix(pattern string) (netip.Prefix, bool) {
	base, mask, ok := strings.Cut(pattern, "/")
	if !ok {
		return netip.Prefix{}, false
	}
	if p, err := netip.ParsePrefix(pattern); err == nil {
		return p.Masked(), true
	}
	a, err1 := netip.ParseAddr(base)
	m, err2 := netip.ParseAddr(mask)
	if err1 != nil || err2 != nil || !a.Is4() || !m.Is4() {
		return netip.Prefix{}, false
	}
	bits, ended := 0, false
	for _, octet := range m.As4() {
		for i := 7; i >= 0; i-- {
			if octet>>i&1 == 0 {
				ended = true
			} else if ended {
				return netip.Prefix{}, false
			} else {
				bits++
			}
		}
	}
	return netip.PrefixFrom(a, bits).Masked(), true
}

// wildcard matches % (any text) and _ (one character); \ takes their meaning away.
func wildcard(pattern, text string) bool {
	// Iterative: on a mismatch it falls back to the last %, so the cost is bounded by
	// len(pattern) * len(text).
	p, t, starP, starT := 0, 0, -1, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '%':
			starP, starT = p, t
			p++
			continue
		case p+1 < len(pattern) && pattern[p] == '\\' && pattern[p+1] == text[t]:
			p, t = p+2, t+1
			continue
		case p < len(pattern) && pattern[p] != '\\' && (pattern[p] == '_' || pattern[p] == text[t]):
			p, t = p+1, t+1
			continue
		}
		if starP < 0 {
			return false
		}
		starT++
		p, t = starP+1, starT
	}
	for p < len(pattern) && pattern[p] == '%' {
		p++
	}
	return p == len(pattern)
}

// specificity orders host patterns: exact ones, then prefixes by length, then patterns
// by what stands before the first wildcard, then "%".
func specificity(pattern string) int {
	if pattern == "" || pattern == "%" {
		return 0
	}
	if p, ok := hostPrefix(pattern); ok {
		return 1000 + p.Bits()
	}
	if i := strings.IndexAny(pattern, "%_"); i >= 0 {
		return 1 + min(i, 900)
	}
	return 2000
}

// slashName writes a distinguished name as MySQL's REQUIRE SUBJECT and ISSUER do:
// /C=DE/O=Example/CN=app, in the order of the certificate.
func slashName(n pkix.Name) string {
	short := map[string]string{
		"2.5.4.3": "CN", "2.5.4.5": "serialNumber", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST",
		"2.5.4.9": "street", "2.5.4.10": "O", "2.5.4.11": "OU", "1.2.840.113549.1.9.1": "emailAddress",
		"0.9.2342.19200300.100.1.1": "UID", "0.9.2342.19200300.100.1.25": "DC",
	}
	var b strings.Builder
	for _, a := range n.Names {
		name, ok := short[a.Type.String()]
		if !ok {
			name = a.Type.String()
		}
		value, _ := a.Value.(string)
		b.WriteString("/" + name + "=" + value)
	}
	return b.String()
}

// opensslName is the name by which OpenSSL knows one of Go's TLS 1.2 cipher suites
// (TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 is ECDHE-RSA-AES128-GCM-SHA256); those of TLS
// 1.3 have one name everywhere.
func opensslName(iana string) string {
	s := strings.TrimPrefix(iana, "TLS_")
	exchange, cipher, ok := strings.Cut(s, "_WITH_")
	if !ok {
		return iana
	}
	cipher = strings.NewReplacer("AES_128", "AES128", "AES_256", "AES256", "CHACHA20_POLY1305_SHA256", "CHACHA20-POLY1305", "_CBC", "").Replace(cipher)
	if exchange == "RSA" {
		return strings.ReplaceAll(cipher, "_", "-")
	}
	return strings.ReplaceAll(exchange+"-"+cipher, "_", "-")
}
