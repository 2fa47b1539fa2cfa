package lb

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	ctls "crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stack/appliance/config"
	stacktls "stack/tls"
)

// selfSigned writes a certificate for name and its key into one file.
func selfSigned(t *testing.T, name string) config.CertFile {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	cert, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name+".pem")
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})...)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return config.CertFile{Cert: path, Key: path}
}

// withSecrets gives the node a directory with the site's CA.
func withSecrets(t *testing.T, n *config.Node) *config.Node {
	t.Helper()
	n.TLS.SecretsDir = filepath.Join(t.TempDir(), "secrets")
	if _, err := stacktls.InitSecrets(n.TLS.SecretsDir, n.Site); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestTLSChoosesBySNI(t *testing.T) {
	one, two := selfSigned(t, "one.example.com"), selfSigned(t, "two.example.com")
	addr := freePort(t)
	origin := serve(t, echoHead)
	b := startOn(t, func(n *config.Node) { withSecrets(t, n) }, config.LB{
		Frontends: []config.Frontend{{Name: "https", Mode: "http", Bind: listen(addr), Backend: "web", TLS: &config.BindTLS{Certificates: []config.CertFile{one, two}}}},
		Backends:  []config.Backend{backend("web", at("a", origin))}})
	for name, want := range map[string]string{"one.example.com": "one.example.com", "two.example.com": "two.example.com", "TWO.example.com": "two.example.com", "other.example.com": "one.example.com", "": "one.example.com"} {
		c, err := ctls.Dial("tcp", addr.String(), &ctls.Config{ServerName: name, InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}})
		if err != nil {
			t.Fatalf("SNI %q: %v", name, err)
		}
		st := c.ConnectionState()
		if got := st.PeerCertificates[0].Subject.CommonName; got != want {
			t.Errorf("SNI %q got the certificate of %s, want %s", name, got, want)
		}
		if st.NegotiatedProtocol != "http/1.1" || st.Version != ctls.VersionTLS13 {
			t.Errorf("ALPN %q, version %x", st.NegotiatedProtocol, st.Version)
		}
		c.Close()
	}
	for host, cert := range map[string]string{"one.example.com": one.Cert, "two.example.com": two.Cert} {
		for _, version := range []string{"1.2", "1.3"} {
			got := curl(t, nil, "--cacert", cert, "--tlsv"+version, "--tls-max", version, "--resolve", fmt.Sprintf("%s:%d:127.0.0.1", host, addr.Port()), fmt.Sprintf("https://%s:%d/", host, addr.Port()))
			if !strings.Contains(got, `"X-Forwarded-Proto":["https"]`) {
				t.Errorf("%s over TLS %s: %s", host, version, got)
			}
		}
	}
	if n := b.metric("stack_lb_frontend_tls_handshakes_total", "result", "ok"); n < 9 {
		t.Errorf("%v handshakes counted", n)
	}
	if c, err := net.Dial("tcp", addr.String()); err == nil {
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		io.Copy(io.Discard, c)
		c.Close()
	}
	eventually(t, "a failed handshake is counted", func() bool { return b.metric("stack_lb_frontend_tls_handshakes_total", "result", "failed") == 1 })
}

func TestTLSFromTheLocalCA(t *testing.T) {
	addr := freePort(t)
	big := strings.Repeat("0123456789abcdef", 1<<18) // 4 MiB
	origin := serve(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	n := withSecrets(t, node(config.LB{}))
	startOn(t, func(to *config.Node) { to.TLS = n.TLS }, config.LB{
		Frontends: []config.Frontend{{Name: "https", Mode: "http", Bind: listen(addr), Backend: "web", TLS: &config.BindTLS{Auto: true}}},
		Backends:  []config.Backend{backend("web", at("a", origin))}})
	ca := filepath.Join(n.TLS.SecretsDir, "ca.crt")
	// Up and down at once, 4 MiB each.
	got := curl(t, strings.NewReader(big), "-T", "-", "--cacert", ca, "--resolve", fmt.Sprintf("www.example.com:%d:127.0.0.1", addr.Port()), fmt.Sprintf("https://www.example.com:%d/", addr.Port()))
	if got != big {
		t.Errorf("%d bytes arrived of %d", len(got), len(big))
	}
}

func TestTLSBeforeTCP(t *testing.T) {
	server, _ := echo(t, "a")
	addr := freePort(t)
	lb := tcpLB(listen(addr), at("a", server))
	lb.Frontends[0].TLS = &config.BindTLS{Certificates: []config.CertFile{selfSigned(t, "db.example.com")}}
	startOn(t, func(n *config.Node) { withSecrets(t, n) }, lb)
	c, err := ctls.Dial("tcp", addr.String(), &ctls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	sent := []byte(strings.Repeat("0123456789abcdef", 1<<16))
	go func() { c.Write(sent); c.CloseWrite() }()
	got, err := io.ReadAll(c)
	if err != nil || string(got) != "a\n"+string(sent) {
		t.Errorf("%d of %d bytes came back: %v", len(got)-2, len(sent), err)
	}
}
