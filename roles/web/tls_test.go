package web

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stack/appliance/config"
	"stack/appliance/sockets"
	stacktls "stack/tls"
)

// Clients with certificates in front, an application that speaks TLS behind: it hears
// who came, from nobody but this server.
func TestClientCertificatesAndTLSToApplications(t *testing.T) {
	app := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "verify=%v subject=%v", r.Header["X-Ssl-Client-Verify"], r.Header["X-Ssl-Client-Subject"])
	}))
	defer app.Close()
	dir := t.TempDir()
	appCA := filepath.Join(dir, "app.pem")
	writeFile(t, appCA, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: app.Certificate().Raw}))
	secrets := filepath.Join(dir, "secrets")
	if _, err := stacktls.InitSecrets(secrets, "example.test"); err != nil {
		t.Fatal(err)
	}
	ca, err := stacktls.OpenCA(secrets)
	if err != nil {
		t.Fatal(err)
	}
	chain, key, err := ca.Issue("alice", []string{"alice"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	alice, err := tls.X509KeyPair(chain, key)
	if err != nil {
		t.Fatal(err)
	}
	bind := config.Bind{Role: "web", Addr: netip.MustParseAddrPort("127.0.0.1:0"), Group: 2}
	set, err := sockets.Open([]config.Bind{bind})
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	at, _ := sockets.LocalAddr(set.Get(bind.Addr)[0])
	web := testWeb(config.WebSite{Locations: []config.Location{{Path: "/", Proxy: &config.Proxy{
		Servers: []config.Server{{Name: "app", Address: app.Listener.Addr().String(), Weight: 1}},
		TLS:     &config.ServerTLS{CAFile: appCA, ServerName: "example.com", Verify: true, MinVersion: "1.2"},
		Check:   config.Check{Type: "http", Path: "/", Interval: time.Second, Timeout: 2 * time.Second, Rise: 1, Fall: 1},
	}}}})
	web.Bind = []config.Listen{{Addr: bind.Addr, TLS: true}}
	web.TLS = &config.BindTLS{Auto: true, Client: &config.ClientCA{CA: filepath.Join(secrets, "ca.crt"), Verify: "optional"}}
	r, err := New(testEnv(&logText{}))
	if err != nil {
		t.Fatal(err)
	}
	change, err := r.Prepare(t.Context(), &config.Node{Name: "web1", Site: "example.test", Web: web, TLS: config.TLS{SecretsDir: secrets, MinVersion: "1.2"}}, set)
	if err != nil {
		t.Fatal(err)
	}
	change.Commit()
	defer r.Close()
	text, err := os.ReadFile(filepath.Join(secrets, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	for want, own := range map[string][]tls.Certificate{"verify=[NONE] subject=[]": nil, "verify=[SUCCESS] subject=[CN=alice,O=stack]": {alice}} {
		tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "example.test", Certificates: own}}
		req, _ := http.NewRequest("GET", "https://"+at.String()+"/", strings.NewReader(""))
		req.Header["X-SSL-Client-Subject"] = []string{"CN=root"}
		req.Header["X_Ssl_Client_Verify"] = []string{"SUCCESS"}
		res, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(res.Body)
		res.Body.Close()
		tr.CloseIdleConnections()
		if err != nil || string(b) != want {
			t.Errorf("%q %v, want %q", b, err, want)
		}
	}
}
