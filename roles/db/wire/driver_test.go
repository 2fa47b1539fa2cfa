package wire

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"database/sql"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

// certificate makes a self-signed server certificate for 127.0.0.1, which is its own
// CA; a second one, signed by it, is a client's.
func certificate(t testing.TB) (server, client tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{Country: []string{"DE"}, Organization: []string{"stack"}, CommonName: "db1"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
	}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{Organization: []string{"stack"}, CommonName: "app"},
		NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	clientKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	clientDER, err := x509.CreateCertificate(rand.Reader, leaf, parsed, &clientKey.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	server = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	client = tls.Certificate{Certificate: [][]byte{clientDER}, PrivateKey: clientKey}
	return server, client
}

func open(t testing.TB, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// TestDriver runs the Go driver against real SQL: text and binary protocol, with and
// without TLS, both plugins.
func TestDriver(t *testing.T) {
	cert, _ := certificate(t)
	e := newMemoryEngine(t)
	s, addr := serve(t, Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}}, e)
	e.kill = s.Kill
	mysql.RegisterTLSConfig("wire-test", &tls.Config{RootCAs: poolOf(t, cert), ServerName: "127.0.0.1"})
	setup := open(t, "root@tcp("+addr+")/shop")
	for _, q := range []string{
		"CREATE TABLE items (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(50), price DECIMAL(10,2), big BIGINT UNSIGNED, " +
			"f FLOAT, d DOUBLE, at DATETIME(6), day DATE, span TIME(6), raw VARBINARY(50), flag TINYINT, y YEAR, e ENUM('a','b'), j JSON, b BIT(12))",
	} {
		if _, err := setup.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	id := 0
	for _, user := range []string{"native:secret", "sha2:s3cret", "root"} {
		for _, transport := range []string{"", "&tls=wire-test"} {
			for _, mode := range []string{"", "&interpolateParams=true"} {
				id++
				t.Run(user+transport+mode, func(t *testing.T) {
					db := open(t, user+"@tcp("+addr+")/shop?parseTime=true"+transport+mode)
					testDriver(t, db, id)
				})
			}
		}
	}
	if n := s.Stats().FastAuth; n == 0 {
		t.Error("no login took the fast path of caching_sha2_password")
	}
}

func testDriver(t *testing.T, db *sql.DB, id int) {
	at := time.Date(2026, 11, 23, 4, 5, 6, 789012000, time.UTC)
	big := uint64(18446744073709551615)
	r, err := db.Exec("INSERT INTO items VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
		id, "Käse 🧀", "12345.67", fmt.Sprint(big), 1.5, 0.1, at, at.Truncate(24*time.Hour), "-12:34:56.5",
		[]byte{0, 1, 'x'}, -7, 2026, "b", `{"a": 1}`, 2049)
	if err != nil {
		t.Fatal(err)
	}
	if n, _ := r.RowsAffected(); n != 1 {
		t.Errorf("affected %d rows, want 1", n)
	}
	for name, row := range map[string]*sql.Row{
		"text":   db.QueryRow(fmt.Sprint("SELECT * FROM items WHERE id=", id)),
		"binary": db.QueryRow("SELECT * FROM items WHERE id=?", id),
	} {
		var gotID, flag, year int
		var n, price, span, e, j string
		var gotBig uint64
		var f, d float64
		var gotAt, day time.Time
		var raw, bit []byte
		if err := row.Scan(&gotID, &n, &price, &gotBig, &f, &d, &gotAt, &day, &span, &raw, &flag, &year, &e, &j, &bit); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got := fmt.Sprint(gotID, n, price, gotBig, f, d, gotAt, day, span, raw, flag, year, e, j, bit)
		want := fmt.Sprint(id, "Käse 🧀", "12345.67", big, 1.5, 0.1, at, at.Truncate(24*time.Hour), "-12:34:56.500000",
			[]byte{0, 1, 'x'}, -7, 2026, "b", `{"a": 1}`, []byte{8, 1})
		if got != want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want)
		}
	}
	if _, err := db.Exec("INSERT INTO items (id) VALUES (?)", id); err == nil || err.(*mysql.MySQLError).Number != 1062 || string(err.(*mysql.MySQLError).SQLState[:]) != "23000" {
		t.Errorf("a duplicate key gives %v", err)
	}
	// Twice the same value: matched but not changed.
	r, err = db.Exec("UPDATE items SET flag=? WHERE id=?", -7, id)
	if err != nil {
		t.Fatal(err)
	}
	if n, _ := r.RowsAffected(); n != 0 {
		t.Errorf("an update without change affects %d rows", n)
	}
	rows, err := db.Query("SELECT id, NULL, name FROM items WHERE id=?", id)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	kinds, err := rows.ColumnTypes()
	if err != nil {
		t.Fatal(err)
	}
	if got := kinds[0].DatabaseTypeName() + kinds[1].DatabaseTypeName() + kinds[2].DatabaseTypeName(); got != "INTNULLVARCHAR" {
		t.Errorf("column types %s", got)
	}
	for rows.Next() {
		var a int
		var b, c sql.NullString
		if err := rows.Scan(&a, &b, &c); err != nil {
			t.Fatal(err)
		}
		if b.Valid || c.String != "Käse 🧀" {
			t.Errorf("got %v %v", b, c)
		}
	}
}

// TestDriverFeatures covers what a DSN switches on.
func TestDriverFeatures(t *testing.T) {
	e := newMemoryEngine(t)
	s, addr := serve(t, Config{}, e)
	e.kill = s.Kill
	db := open(t, "root@tcp("+addr+")/shop?multiStatements=true&clientFoundRows=true")
	ctx := t.Context()
	conn, err := db.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	rows, err := conn.QueryContext(ctx, "CREATE TABLE t (a INT PRIMARY KEY, b INT); INSERT INTO t VALUES (1,1),(2,2); SELECT a FROM t; SELECT b FROM t WHERE a=2")
	if err != nil {
		t.Fatal(err)
	}
	var got []int
	for more := true; more; more = rows.NextResultSet() {
		for rows.Next() {
			var n int
			if err := rows.Scan(&n); err != nil {
				t.Fatal(err)
			}
			got = append(got, n)
		}
	}
	if err := rows.Err(); err != nil || fmt.Sprint(got) != "[1 2 2]" {
		t.Errorf("multi statements give %v, %v", got, err)
	}
	rows.Close()
	r, err := conn.ExecContext(ctx, "UPDATE t SET b=1 WHERE a=1")
	if err != nil {
		t.Fatal(err)
	}
	if n, _ := r.RowsAffected(); n != 1 {
		t.Errorf("with CLIENT_FOUND_ROWS an update that matches one row says %d", n)
	}
	if _, err := db.Exec("SELECT 1; SELEC 2"); err == nil || err.(*mysql.MySQLError).Number != 1064 && err.(*mysql.MySQLError).Number != 1105 {
		t.Errorf("a second statement that does not parse gives %v", err)
	}
	if err := open(t, "root@tcp("+addr+")/nothere").PingContext(context.Background()); err == nil || err.(*mysql.MySQLError).Number != 1049 {
		t.Errorf("an unknown database at login gives %v", err)
	}
}

func pkcs8(t testing.TB, key any) *pem.Block {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return &pem.Block{Type: "PRIVATE KEY", Bytes: der}
}

func poolOf(t testing.TB, cert tls.Certificate) *x509.CertPool {
	t.Helper()
	parsed, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return pool
}

// certFile writes a certificate for clients to trust.
func certFile(t testing.TB, cert tls.Certificate) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
