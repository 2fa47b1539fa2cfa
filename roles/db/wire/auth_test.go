package wire

import (
	"crypto/sha256"
	"crypto/tls"
	"net/netip"
	"strings"
	"testing"

	"github.com/dolthub/vitess/go/mysql"
)

// TestHashes compares the stored forms with those of another implementation and with
// what crypt(3) makes.
func TestHashes(t *testing.T) {
	if got := NativeHash("mypass"); got != "*6C8989366EAF75BB670AD8EA7A7FC1176A95CEF4" { // MySQL manual, PASSWORD('mypass')
		t.Errorf("native: %s", got)
	}
	if NativeHash("") != "" || Sha2Hash("") != "" {
		t.Error("an empty password has a hash")
	}
	for _, c := range []struct {
		salt, password, want string
		rounds               int
	}{
		{"saltstring", "Hello world!", "5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5", 5000},
		{"saltstringsaltst", "Hello world!", "3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA", 10000},
		{"short", "we have a short salt string but not a short password", "JiO1O3ZpDAxGJeaDIuqCoEFysAe1mZNJRs3pw0KQRd/", 77777},
	} {
		got := sha256Crypt([]byte(c.password), []byte(c.salt), c.rounds)
		if got != c.want {
			t.Errorf("crypt(%q) = %s, want %s", c.password, got, c.want)
		}
	}
	for _, password := range []string{"a", "s3cret", "пароль", strings.Repeat("long ", 40)} {
		stored := Sha2Hash(password)
		rounds, salt, hash, ok := splitSha2(stored)
		if !ok || rounds != 5000 {
			t.Fatalf("%q does not split", stored)
		}
		theirs, err := mysql.SerializeCachingSha2PasswordAuthString(password, []byte(salt), 5)
		if err != nil || string(theirs) != stored || sha256Crypt([]byte(password), []byte(salt), rounds) != hash {
			t.Errorf("%q: %q, theirs %q (%v)", password, stored, theirs, err)
		}
	}
	for _, bad := range []string{"", "x", "$A$005$short", "$B$005$" + strings.Repeat("x", 63), "$A$000$" + strings.Repeat("x", 63), "$A$zzz$" + strings.Repeat("x", 63)} {
		if _, _, _, ok := splitSha2(bad); ok {
			t.Errorf("%q is taken for a hash", bad)
		}
	}
	for _, bad := range []string{"x", "*xyz", strings.Repeat("*", 41), "*" + strings.Repeat("g", 40)} {
		if checkNative(bad, make([]byte, 20), make([]byte, 20)) {
			t.Errorf("stored hash %q lets anyone in", bad)
		}
	}
}

// TestFastPath: right only for the password, the scramble and the stored hash it was
// remembered with.
func TestFastPath(t *testing.T) {
	once := sha256.Sum256([]byte("s3cret"))
	digest := sha256.Sum256(once[:])
	scramble := []byte("01234567890123456789")
	response := mysql.ScrambleCachingSha2Password(scramble, []byte("s3cret"))
	if !checkSha2Fast(digest, response, scramble) {
		t.Error("the right response is refused")
	}
	if checkSha2Fast(digest, response, []byte("11234567890123456789")) || checkSha2Fast(digest, response[:31], scramble) ||
		checkSha2Fast(digest, mysql.ScrambleCachingSha2Password(scramble, []byte("other")), scramble) {
		t.Error("a wrong response is taken")
	}
	a := newAuthenticator(strings.NewReader(""))
	for i := range maxCached + 10 {
		a.remember(cacheKey{user: strings.Repeat("u", i%100), host: string(rune(i))}, digest)
	}
	if len(a.cached) > maxCached {
		t.Errorf("the cache holds %d", len(a.cached))
	}
}

// TestSha2Exchange walks the full exchange by hand: fast path after the first login,
// not after a change of password, and the same packets for users that do not exist.
func TestSha2Exchange(t *testing.T) {
	cert, _ := certificate(t)
	e := newStub()
	s, addr := serve(t, Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}}, e)
	try := func(user, password, full string) string {
		r := dial(t, addr)
		r.startTLS()
		p := r.hello(basicCaps|capSSL, user, "", "")
		response := mysql.ScrambleCachingSha2Password(r.scramble, []byte(password))
		p = append(append(p[:32], user...), 0, byte(len(response)))
		p = append(append(append(p, response...), pluginSha2...), 0)
		r.write(p)
		var said []string
		for {
			p := r.read()
			switch p[0] {
			case 0:
				return strings.Join(append(said, "ok"), " ")
			case 0xff:
				return strings.Join(append(said, errText(p)), " ")
			case 0xfe:
				q := reader{p: p[1:]}
				plugin := string(q.nulbytes())
				said = append(said, "switch "+plugin)
				if plugin == pluginNative {
					r.write(nativeResponse(password, q.nulbytes()))
				} else {
					r.write(mysql.ScrambleCachingSha2Password(q.nulbytes(), []byte(password)))
				}
			case 1:
				if p[1] == sha2FastOK {
					said = append(said, "fast")
					continue
				}
				said = append(said, "full")
				r.write(append([]byte(full), 0))
			}
		}
	}
	denied := func(user string) string {
		return "full 1045 #28000Access denied for user '" + user + "'@'localhost' (using password: YES)"
	}
	for i, c := range []struct{ user, password, full, want string }{
		{"sha2", "wrong", "wrong", denied("sha2")},
		{"sha2", "s3cret", "s3cret", "full ok"},
		{"sha2", "s3cret", "", "fast ok"},
		{"sha2", "wrong", "wrong", denied("sha2")},
		{"sha2", "s3cret", strings.Repeat("x", maxPassword+1), "fast ok"},
		{"sha2", "wrong", strings.Repeat("x", maxPassword+1), denied("sha2")},
	} {
		if got := try(c.user, c.password, c.full); got != c.want {
			t.Errorf("%d: got %s\nwant %s", i, got, c.want)
		}
	}
	e.mu.Lock()
	e.accounts[2].AuthString = Sha2Hash("changed")
	e.mu.Unlock()
	if got := try("sha2", "s3cret", "s3cret"); got != denied("sha2") {
		t.Errorf("the old password after a change: %s", got)
	}
	if got := try("sha2", "changed", "changed"); got != "full ok" {
		t.Errorf("the new password: %s", got)
	}
	// Users who do not exist look like one or the other kind of user who does, and
	// always like the same.
	seen := map[string]bool{}
	for _, user := range []string{"u1", "u2", "u3", "u4", "u5", "u6", "u7", "u8", "u9", "u10", "u11", "u12"} {
		got := try(user, "x", "x")
		if got != try(user, "x", "x") {
			t.Errorf("%s is answered in two ways", user)
		}
		kind := strings.ReplaceAll(got, user, "U")
		seen[kind] = true
		if kind != denied("U") && kind != "switch mysql_native_password"+strings.TrimPrefix(denied("U"), "full") {
			t.Errorf("an unknown user hears %s", got)
		}
	}
	if len(seen) != 2 {
		t.Errorf("unknown users hear %v", seen)
	}
	if st := s.Stats(); st.FastAuth != 2 || st.AuthFailures == 0 || st.TLSHandshakes == 0 {
		t.Errorf("counted %+v", st)
	}
}

// TestHosts picks accounts by host pattern.
func TestHosts(t *testing.T) {
	for _, c := range []struct {
		pattern, addr string
		want          bool
	}{
		{"%", "10.0.0.1", true}, {"", "10.0.0.1", true}, {"%", "", true},
		{"localhost", "", true}, {"LocalHost", "127.0.0.1", true}, {"localhost", "::1", true}, {"localhost", "10.0.0.1", false},
		{"127.0.0.1", "127.0.0.1", true}, {"::1", "127.0.0.1", false}, {"10.0.0.1", "", false},
		{"10.0.0.1", "10.0.0.1", true}, {"10.0.0.1", "10.0.0.11", false}, {"10.0.0._", "10.0.0.1", true}, {"10.0.0._", "10.0.0.12", false},
		{"10.%", "10.200.3.4", true}, {"10.%", "110.0.0.1", false}, {"%.4", "10.200.3.4", true}, {"10.%.3.%", "10.200.3.4", true},
		{"10.0.0.0/8", "10.9.9.9", true}, {"10.0.0.0/8", "11.0.0.1", false}, {"10.1.0.0/255.255.0.0", "10.1.2.3", true},
		{"10.1.0.0/255.0.255.0", "10.1.2.3", false}, {"10.1.0.0/nonsense", "10.1.0.0", false},
		{"2001:db8::/32", "2001:db8::5", true}, {"2001:db8::5", "2001:db8:0::5", true}, {"2001:db8::%", "2001:db8::5", true},
		{"web1.example.com", "10.0.0.1", false}, {`10\.0`, "10.0", false}, {"%%%%%%%%%%%%%%%%x", "10.0.0.1", false},
	} {
		addr, _ := netip.ParseAddr(c.addr)
		if got := matchHost(c.pattern, addr); got != c.want {
			t.Errorf("%q against %q: %v", c.pattern, c.addr, got)
		}
	}
	accounts := []Account{{User: "u", Host: "%"}, {User: "", Host: "10.0.0.1"}, {User: "u", Host: "10.%"}, {User: "u", Host: "10.0.%"}, {User: "u", Host: "10.0.0.0/24"}, {User: "", Host: "%"}, {User: "x", Host: "10.0.0.2"}}
	for addr, want := range map[string]string{"10.0.0.1": "@10.0.0.1", "10.0.0.2": "u@10.0.0.0/24", "10.0.1.1": "u@10.0.%", "10.9.9.9": "u@10.%", "11.0.0.1": "u@%"} {
		a, ok := chooseAccount(accounts, "u", netip.MustParseAddr(addr))
		if got := a.User + "@" + a.Host; !ok || got != want {
			t.Errorf("from %s: %s, want %s", addr, got, want)
		}
	}
	if _, ok := chooseAccount(accounts[2:5], "u", netip.MustParseAddr("1.1.1.1")); ok {
		t.Error("an account matches from elsewhere")
	}
}

func TestCipherNames(t *testing.T) {
	for iana, want := range map[string]string{
		"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256":       "ECDHE-RSA-AES128-GCM-SHA256",
		"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384":     "ECDHE-ECDSA-AES256-GCM-SHA384",
		"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
		"TLS_RSA_WITH_AES_128_CBC_SHA":                "AES128-SHA",
		"TLS_AES_128_GCM_SHA256":                      "TLS_AES_128_GCM_SHA256",
	} {
		if got := opensslName(iana); got != want {
			t.Errorf("%s: %s, want %s", iana, got, want)
		}
	}
}
