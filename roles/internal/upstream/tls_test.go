package upstream

import (
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"stack/appliance/config"
	stacktls "stack/tls"
)

// A file that is replaced is taken over without a reload; one that cannot be read leaves
// what was.
func TestServerTLSFilesAreFollowed(t *testing.T) {
	dir := func() (string, *stacktls.CA) {
		d := filepath.Join(t.TempDir(), "ca")
		if _, err := stacktls.InitSecrets(d, "test"); err != nil {
			t.Fatal(err)
		}
		ca, err := stacktls.OpenCA(d)
		if err != nil {
			t.Fatal(err)
		}
		return filepath.Join(d, "ca.crt"), ca
	}
	right, ca := dir()
	file, _ := dir()
	chain, key, err := ca.Issue("app.test", []string{"app.test"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func(c net.Conn) { c.(*tls.Conn).Handshake(); c.Read(make([]byte, 1)); c.Close() }(c)
		}
	}()
	set := NewSet(1, quiet(), nil)
	defer set.Close()
	b := config.Backend{Name: "web", Mode: "tcp", Check: config.Check{Type: "none"},
		Servers: []config.Server{{Name: "a", Address: ln.Addr().String(), Weight: 1}},
		TLS:     &config.ServerTLS{CAFile: file, ServerName: "app.test", Verify: true, MinVersion: "1.2"}}
	ch, err := set.Prepare(t.Context(), []config.Backend{b})
	if err != nil {
		t.Fatal(err)
	}
	ch.Commit()
	s := set.Pool("web").Server("a")
	try := func() bool {
		target, _ := s.Target()
		ok, _ := checkSpec{kind: "tcp", timeout: 5 * time.Second}.probe(t.Context(), target, s.checkTLS())
		return ok
	}
	if try() {
		t.Fatal("trusted by the wrong authority")
	}
	text, err := os.ReadFile(right)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	set.refreshTLS(time.Now())
	if !try() {
		t.Error("the new authority is not taken over")
	}
	if err := os.WriteFile(file, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	set.refreshTLS(time.Now())
	if !try() {
		t.Error("a broken file took the old authority away")
	}
	kept := s.secret
	ch, err = set.Prepare(t.Context(), []config.Backend{b})
	if err == nil {
		t.Fatal("a reload with a broken file is accepted")
	}
	os.WriteFile(file, text, 0o600)
	if ch, err = set.Prepare(t.Context(), []config.Backend{b}); err != nil {
		t.Fatal(err)
	}
	ch.Commit()
	if s.secret != kept {
		t.Error("a reload that changes nothing makes new settings, so connections are not reused")
	}
}
