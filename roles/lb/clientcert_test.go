package lb

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stack/appliance/config"
)

// clientsLB asks clients for certificates of ca.
func clientsLB(t *testing.T, ca *authority, client *config.ClientCA, version string) (*bench, string) {
	t.Helper()
	addr := freePort(t)
	cert := ca.issue("front.test", time.Now())
	client.CA = ca.file()
	b := startOn(t, func(n *config.Node) { withSecrets(t, n); n.TLS.MinVersion = version }, config.LB{
		Frontends: []config.Frontend{{Name: "https", Mode: "http", Bind: listen(addr), Backend: "web",
			TLS: &config.BindTLS{Certificates: []config.CertFile{{Cert: cert, Key: cert}}, Client: client}}},
		Backends: []config.Backend{backend("web", at("a", serve(t, echoHead)))}})
	return b, "https://" + addr.String() + "/"
}

// tryCurl is curl that may fail.
func tryCurl(t *testing.T, args ...string) (string, error) {
	t.Helper()
	out, err := exec.Command("curl", append([]string{"-sS", "--max-time", "30"}, args...)...).CombinedOutput()
	return string(out), err
}

// Clients without a certificate, or with one of another authority, that is over, or that
// is not for clients' use are refused; the server behind hears who came in, and nobody
// can say it in the balancer's place.
func TestClientCertificates(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	pemFile := ca.issue("alice.test", time.Now())
	text, err := os.ReadFile(pemFile)
	if err != nil {
		t.Fatal(err)
	}
	var fingerprint string
	for rest := text; fingerprint == ""; {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block.Type == "CERTIFICATE" {
			sum := sha256.Sum256(block.Bytes)
			fingerprint = hex.EncodeToString(sum[:])
		}
	}
	strangers := map[string]string{"of another authority": other.issue("alice.test", time.Now()), "that is over": ca.issue("alice.test", time.Now().Add(-500*24*time.Hour))}
	lie := []string{"-H", "X-SSL-Client-Verify: SUCCESS", "-H", "X_SSL_Client_Subject: CN=root", "-H", "x-ssl_client-anything: 1"}
	for _, verify := range []string{"required", "optional"} {
		for _, version := range []string{"1.2", "1.3"} {
			t.Run(verify+" "+version, func(t *testing.T) {
				b, url := clientsLB(t, ca, &config.ClientCA{Verify: verify}, "1.2")
				args := append([]string{"--cacert", ca.file(), "--tls-max", version, url}, lie...)
				got, err := tryCurl(t, append(args, "--cert", pemFile)...)
				for _, want := range []string{`"X-Ssl-Client-Verify":["SUCCESS"]`, `"X-Ssl-Client-Subject":["CN=alice.test,O=stack"]`,
					`"X-Ssl-Client-San":["DNS:alice.test,IP:127.0.0.1"]`, `"X-Ssl-Client-Fingerprint":["` + fingerprint + `"]`} {
					if err != nil || !strings.Contains(got, want) {
						t.Errorf("%v: %s is not in %s", err, want, got)
					}
				}
				if strings.Contains(got, "root") || strings.Contains(strings.ToLower(got), "anything") {
					t.Errorf("what the client says of itself is passed on: %s", got)
				}
				got, err = tryCurl(t, args...)
				if verify == "required" {
					if err == nil {
						t.Errorf("accepted without a certificate: %s", got)
					}
				} else if err != nil || !strings.Contains(got, `"X-Ssl-Client-Verify":["NONE"]`) || strings.Contains(got, "root") {
					t.Errorf("%v: %s", err, got)
				}
				failed := b.metric("stack_lb_frontend_tls_handshakes_total", "result", "failed")
				for name, file := range strangers {
					if got, err := tryCurl(t, append(args, "--cert", file)...); err == nil {
						t.Errorf("a certificate %s is accepted: %s", name, got)
					}
				}
				eventually(t, "they are counted", func() bool {
					return b.metric("stack_lb_frontend_tls_handshakes_total", "result", "failed") == failed+2
				})
			})
		}
	}
}

// A frontend that does not ask keeps what a trusted balancer in front of it says, and
// drops what others say.
func TestClientCertificateFieldsOfOthers(t *testing.T) {
	for _, trusted := range []bool{false, true} {
		lb, addr := simple(t, at("a", serve(t, echoHead)))
		if trusted {
			lb.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		}
		start(t, lb)
		got := curl(t, nil, "-H", "X-SSL-Client-Verify: SUCCESS", "http://"+addr.String()+"/")
		if strings.Contains(got, "X-Ssl-Client-Verify") != trusted {
			t.Errorf("trusted %v: %s", trusted, got)
		}
	}
}

// openssl runs openssl or fails.
func openssl(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("openssl", args...).CombinedOutput(); err != nil {
		t.Fatalf("openssl %v: %v: %s", args, err, out)
	}
}

// revoke has openssl write a list of ca that names the certificates in files and is
// good until then.
func revoke(t *testing.T, ca *authority, list string, until time.Time, files ...string) {
	t.Helper()
	dir := t.TempDir()
	conf := filepath.Join(dir, "ca.cnf")
	text := fmt.Sprintf("[ca]\ndefault_ca=d\n[d]\ndatabase=%s/index\ncrlnumber=%s/number\ndefault_md=sha256\n", dir, dir)
	for name, content := range map[string]string{conf: text, dir + "/index": "", dir + "/number": "01\n"} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	key := filepath.Join(ca.dir, "ca.key")
	for _, f := range files {
		openssl(t, "ca", "-config", conf, "-cert", ca.file(), "-keyfile", key, "-revoke", f)
	}
	const form = "20060102150405Z"
	openssl(t, "ca", "-config", conf, "-cert", ca.file(), "-keyfile", key, "-gencrl", "-out", list,
		"-crl_lastupdate", until.Add(-48*time.Hour).UTC().Format(form), "-crl_nextupdate", until.UTC().Format(form))
}

// A revoked certificate is refused, also with a session of before; a list whose time is
// over refuses everybody.
func TestRevokedClientCertificates(t *testing.T) {
	ca := newAuthority(t)
	alice, bob := ca.issue("alice.test", time.Now()), ca.issue("bob.test", time.Now())
	list := filepath.Join(t.TempDir(), "crl.pem")
	revoke(t, ca, list, time.Now().Add(24*time.Hour), bob)
	b, url := clientsLB(t, ca, &config.ClientCA{Verify: "required", CRL: []string{list}}, "1.2")
	may := func(file string) bool {
		_, err := tryCurl(t, "--cacert", ca.file(), "--cert", file, url)
		return err == nil
	}
	if !may(alice) || may(bob) {
		t.Errorf("alice %v, who is not revoked, bob %v, who is", may(alice), may(bob))
	}
	addr := strings.TrimSuffix(strings.TrimPrefix(url, "https://"), "/")
	session := filepath.Join(t.TempDir(), "session")
	if got := sClient(t, addr, "-CAfile", ca.file(), "-cert", alice, "-key", alice, "-sess_out", session); !strings.Contains(got, "New, TLSv1.3") || !strings.Contains(got, "200 OK") {
		t.Fatal(got)
	}
	if got := sClient(t, addr, "-CAfile", ca.file(), "-cert", alice, "-key", alice, "-sess_in", session); !strings.Contains(got, "Reused, TLSv1.3") || !strings.Contains(got, "200 OK") {
		t.Fatal(got)
	}
	revoke(t, ca, list, time.Now().Add(24*time.Hour), alice)
	b.reload(b.node)
	if may(alice) || !may(bob) {
		t.Errorf("alice %v, who is revoked now, bob %v, who is not any more", may(alice), may(bob))
	}
	if got := sClient(t, addr, "-CAfile", ca.file(), "-cert", alice, "-key", alice, "-sess_in", session); strings.Contains(got, "200 OK") {
		t.Errorf("a session opens the door to a revoked certificate: %s", got)
	}
	revoke(t, ca, list, time.Now().Add(-time.Hour))
	b.reload(b.node)
	if may(alice) || may(bob) {
		t.Error("a revocation list whose time is over lets clients in")
	}
	foreign := filepath.Join(t.TempDir(), "crl.pem")
	revoke(t, newAuthority(t), foreign, time.Now().Add(24*time.Hour))
	n := *b.node
	lb := *n.LB
	n.LB = &lb
	lb.Frontends = append([]config.Frontend(nil), lb.Frontends...)
	bind := *lb.Frontends[0].TLS
	bind.Client = &config.ClientCA{CA: ca.file(), Verify: "required", CRL: []string{foreign}}
	lb.Frontends[0].TLS = &bind
	if err := Probe(&n); err == nil || !strings.Contains(err.Error(), "lb: frontend https: tls: client: read the revocation list "+foreign) {
		t.Error(err)
	}
}

// sClient asks once with openssl s_client and returns all that it prints. The request is
// sent when the server's answer to the handshake has come; a ticket comes with it.
func sClient(t *testing.T, addr string, args ...string) string {
	t.Helper()
	cmd := exec.Command("openssl", append([]string{"s_client", "-connect", addr, "-servername", "front.test", "-ign_eof"}, args...)...)
	cmd.Stdin = strings.NewReader("GET / HTTP/1.1\r\nHost: front.test\r\nConnection: close\r\n\r\n")
	out, _ := cmd.CombinedOutput() // what it prints says whether it went well
	return string(out)
}
