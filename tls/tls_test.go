package tls

import (
	"archive/tar"
	"bytes"
	ctls "crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"stack/appliance/config"
)

func testNode(dir string) *config.Node {
	return &config.Node{
		Name: "lb1", Site: "www.example.com", Hosts: []string{"www.example.com", "*.example.org"},
		Roles: []string{"lb"}, Address: netip.MustParseAddr("10.0.0.11"),
		VIP: []config.VIP{{Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.10")}}},
		TLS: config.TLS{SecretsDir: dir, MinVersion: "1.2"},
	}
}

func TestInitMakesOnceAndNeverReplaces(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "secrets")
	made, err := InitSecrets(dir, "www.example.com")
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"ca.key", "ca.crt", "tickets.key", "vrrp.key", "replication.key"}; !slices.Equal(made, want) {
		t.Fatalf("made %v, want %v", made, want)
	}
	for _, name := range made {
		st, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if st.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, want 0600", name, st.Mode().Perm())
		}
	}
	before, _ := os.ReadFile(filepath.Join(dir, "ca.key"))
	made, err = InitSecrets(dir, "www.example.com")
	if err != nil || len(made) != 0 {
		t.Fatalf("second init made %v, err %v", made, err)
	}
	after, _ := os.ReadFile(filepath.Join(dir, "ca.key"))
	if !bytes.Equal(before, after) {
		t.Fatal("the second init replaced ca.key")
	}
}

func TestInitRefusesAHalfCA(t *testing.T) {
	dir := t.TempDir()
	if _, err := InitSecrets(dir, ""); err != nil {
		t.Fatal(err)
	}
	os.Remove(filepath.Join(dir, "ca.key"))
	if _, err := InitSecrets(dir, ""); err == nil || !strings.Contains(err.Error(), "exported copy") {
		t.Fatalf("got %v", err)
	}
}

func TestHandshakeWithTheLocalCA(t *testing.T) {
	dir := t.TempDir()
	if _, err := InitSecrets(dir, "www.example.com"); err != nil {
		t.Fatal(err)
	}
	certs, err := New(&config.BindTLS{Auto: true}, testNode(dir))
	if err != nil {
		t.Fatal(err)
	}
	caPEM, _ := os.ReadFile(filepath.Join(dir, "ca.crt"))
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(caPEM)
	for _, name := range []string{"www.example.com", "shop.example.org", "10.0.0.10", "localhost"} {
		if err := handshake(certs.Config("http/1.1"), &ctls.Config{RootCAs: roots, ServerName: name, NextProtos: []string{"http/1.1"}}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := handshake(certs.Config(), &ctls.Config{RootCAs: roots, ServerName: "other.example.net"}); err == nil {
		t.Error("a name that the leaf does not cover was accepted by the client")
	}
}

func handshake(server, client *ctls.Config) error {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	failed := make(chan error, 1)
	go func() { failed <- ctls.Server(a, server).Handshake() }()
	if err := ctls.Client(b, client).Handshake(); err != nil {
		return err
	}
	return <-failed
}

func TestLeafIsKeptRenewedAndReissued(t *testing.T) {
	dir := t.TempDir()
	if _, err := InitSecrets(dir, ""); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	names := []string{"a.example.com"}
	first, err := ensureLeaf(dir, "web1", names, now)
	if err != nil {
		t.Fatal(err)
	}
	serial := func(c *ctls.Certificate) string { return c.Leaf.SerialNumber.String() }
	same, err := ensureLeaf(dir, "web1", names, now.Add(leafLife/2))
	if err != nil || serial(same) != serial(first) {
		t.Fatalf("at half of its life the leaf was replaced (err %v)", err)
	}
	renewed, err := ensureLeaf(dir, "web1", names, now.Add(leafLife*3/4))
	if err != nil || serial(renewed) == serial(first) {
		t.Fatalf("at three quarters of its life the leaf was kept (err %v)", err)
	}
	wider, err := ensureLeaf(dir, "web1", []string{"a.example.com", "b.example.com"}, now)
	if err != nil || len(uncovered(wider.Leaf, []string{"b.example.com"})) != 0 {
		t.Fatalf("a new name did not reissue the leaf (err %v)", err)
	}

	// Where the CA key is absent the leaf is used until it ends, then the error says how to go on.
	os.Remove(filepath.Join(dir, "ca.key"))
	if _, err := ensureLeaf(dir, "web1", names, now); err != nil {
		t.Fatal(err)
	}
	_, err = ensureLeaf(dir, "web1", names, now.Add(2*leafLife))
	if err == nil || !strings.Contains(err.Error(), "stack secrets export web1") {
		t.Fatalf("expired leaf: %v", err)
	}
}

func TestChoiceBySNI(t *testing.T) {
	dir := t.TempDir()
	if _, err := InitSecrets(dir, ""); err != nil {
		t.Fatal(err)
	}
	ca, err := OpenCA(dir)
	if err != nil {
		t.Fatal(err)
	}
	var files []config.CertFile
	for i, names := range [][]string{{"default.example.com"}, {"a.example.com"}, {"*.b.example.com"}} {
		chain, key, err := ca.Issue(names[0], names, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		crt := filepath.Join(dir, string(rune('0'+i))+".crt")
		os.WriteFile(crt, chain, 0o600)
		os.WriteFile(crt+".key", key, 0o600)
		files = append(files, config.CertFile{Cert: crt, Key: crt + ".key"})
	}
	certs, err := New(&config.BindTLS{Certificates: files}, testNode(dir))
	if err != nil {
		t.Fatal(err)
	}
	for sni, want := range map[string]string{
		"a.example.com": "a.example.com", "A.EXAMPLE.COM.": "a.example.com", "x.b.example.com": "*.b.example.com",
		"x.y.b.example.com": "default.example.com", "": "default.example.com", "unknown": "default.example.com",
	} {
		got, err := certs.choose(&ctls.ClientHelloInfo{ServerName: sni, SupportedVersions: []uint16{ctls.VersionTLS13},
			SignatureSchemes: []ctls.SignatureScheme{ctls.ECDSAWithP256AndSHA256}, SupportedCurves: []ctls.CurveID{ctls.CurveP256}})
		if err != nil || got.Leaf.Subject.CommonName != want {
			t.Errorf("SNI %q: got %v, want %s (err %v)", sni, got.Leaf.Subject.CommonName, want, err)
		}
	}
	// A replaced file is served after Refresh; a broken one keeps the old.
	chain, key, _ := ca.Issue("a.example.com", []string{"new.example.com"}, time.Now())
	os.WriteFile(files[1].Cert, chain, 0o600)
	if err := certs.Refresh(time.Now()); err == nil {
		t.Error("a chain beside another's key was accepted")
	}
	if len(certs.current.Load().byName["a.example.com"]) != 1 {
		t.Error("a failed refresh dropped what was served")
	}
	os.WriteFile(files[1].Key, key, 0o600)
	if err := certs.Refresh(time.Now()); err != nil || len(certs.current.Load().byName["new.example.com"]) != 1 {
		t.Errorf("refresh did not take the new file: %v", err)
	}
}

func TestErrorsNameFileAndCure(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		bind config.BindTLS
		want string
	}{
		{config.BindTLS{Auto: true}, "stack secrets init"},
		{config.BindTLS{Certificates: []config.CertFile{{Cert: dir + "/none.pem"}}}, "none.pem"},
		{config.BindTLS{}, "name at least one file"},
	} {
		if _, err := New(&c.bind, testNode(dir)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want it to say %q", err, c.want)
		}
	}
	bad := filepath.Join(dir, "bad.pem")
	os.WriteFile(bad, []byte("not a certificate"), 0o600)
	if _, err := New(&config.BindTLS{Certificates: []config.CertFile{{Cert: bad}}}, testNode(dir)); err == nil || !strings.Contains(err.Error(), "must be PEM") {
		t.Errorf("got %v", err)
	}
}

func TestExportHoldsWhatTheRoleNeedsAndNoCAKey(t *testing.T) {
	dir := t.TempDir()
	if _, err := InitSecrets(dir, ""); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := Export(&out, dir, testNode(dir)); err != nil {
		t.Fatal(err)
	}
	target := t.TempDir()
	var names []string
	for archive := tar.NewReader(&out); ; {
		head, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, head.Name)
		content, _ := io.ReadAll(archive)
		os.WriteFile(filepath.Join(target, head.Name), content, 0o600)
	}
	if want := []string{"ca.crt", "lb1.pem", "tickets.key", "vrrp.key"}; !slices.Equal(names, want) {
		t.Fatalf("exported %v, want %v", names, want)
	}
	if _, err := New(&config.BindTLS{Auto: true}, testNode(target)); err != nil {
		t.Fatalf("the exported copy cannot be served: %v", err)
	}
}

// A balancer gets what it needs to ask several databases for their roles, and not their key.
func TestExportForBalancersOfDatabases(t *testing.T) {
	dir := t.TempDir()
	if _, err := InitSecrets(dir, ""); err != nil {
		t.Fatal(err)
	}
	node := testNode(dir)
	for _, name := range []string{"db1", "db2"} {
		node.Members = append(node.Members, config.Member{Name: name, Roles: []string{"db"}})
	}
	var out bytes.Buffer
	if err := Export(&out, dir, node); err != nil {
		t.Fatal(err)
	}
	target := t.TempDir()
	archive := tar.NewReader(&out)
	for {
		head, err := archive.Next()
		if err != nil {
			break
		}
		content, _ := io.ReadAll(archive)
		os.WriteFile(filepath.Join(target, head.Name), content, 0o600)
	}
	if exists(filepath.Join(target, "replication.key")) {
		t.Error("the key of the database servers was exported")
	}
	want, err := BalancerKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	replication, _ := ReadKey(dir, "replication.key")
	if got, err := BalancerKey(target); err != nil || !bytes.Equal(got, want) || bytes.Equal(got, replication) {
		t.Errorf("the exported key is %x, want %x: %v", got, want, err)
	}
}

// A ticket made by one balancer resumes the session at the other, and ticket keys
// are replaced over time.
func TestTicketsAreSharedAndRotate(t *testing.T) {
	dir := t.TempDir()
	if _, err := InitSecrets(dir, ""); err != nil {
		t.Fatal(err)
	}
	one, err := newTickets(dir)
	if err != nil {
		t.Fatal(err)
	}
	two, _ := newTickets(dir)
	now := time.Now()
	if one.keys(now)[0] != two.keys(now)[0] {
		t.Fatal("two nodes of one site derive different ticket keys")
	}
	later := one.keys(now.Add(ticketPeriod))
	if later[0] == one.keys(now)[0] || later[1] != one.keys(now)[0] {
		t.Fatal("after one period the key must be replaced and the old one still decrypt")
	}
	if slices.Contains(one.keys(now.Add(3*ticketPeriod)), one.keys(now)[0]) {
		t.Fatal("a key is still accepted after three periods")
	}

	lb1, err := New(&config.BindTLS{Auto: true}, testNode(dir))
	if err != nil {
		t.Fatal(err)
	}
	lb2, err := New(&config.BindTLS{Auto: true}, testNode(dir))
	if err != nil {
		t.Fatal(err)
	}
	caPEM, _ := os.ReadFile(filepath.Join(dir, "ca.crt"))
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(caPEM)
	client := &ctls.Config{RootCAs: roots, ServerName: "localhost", ClientSessionCache: ctls.NewLRUClientSessionCache(1), MaxVersion: ctls.VersionTLS12}
	resumed := func(server *ctls.Config) bool {
		a, b := net.Pipe()
		defer a.Close()
		defer b.Close()
		go ctls.Server(a, server).Handshake()
		c := ctls.Client(b, client)
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		return c.ConnectionState().DidResume
	}
	if resumed(lb1.Config()) {
		t.Fatal("the first session claims to be resumed")
	}
	if !resumed(lb2.Config()) {
		t.Fatal("the other balancer did not resume the session")
	}
}
