package wire

import (
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// program runs a client and returns what it printed. The test is skipped where the
// client is not installed.
func program(t *testing.T, stdin, name string, args ...string) (string, error) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "MYSQL_HISTFILE=/dev/null")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	return out.String(), err
}

// mariadb runs the command-line client against addr.
func mariadb(t *testing.T, addr, sql string, args ...string) (string, error) {
	t.Helper()
	host, port, _ := net.SplitHostPort(addr)
	return program(t, sql, "mariadb", append([]string{"--no-defaults", "--protocol=tcp", "-h", host, "-P", port}, args...)...)
}

// TestMariaDBClient drives the command-line client: both plugins, each way to send the
// password, text results, warnings, errors, several statements.
func TestMariaDBClient(t *testing.T) {
	cert, client := certificate(t)
	e := newMemoryEngine(t)
	e.accounts = append(e.accounts,
		Account{User: "tls", Host: "%", Plugin: pluginSha2, AuthString: Sha2Hash("s3cret"), Require: Require{SSL: true}},
		Account{User: "x509", Host: "%", Plugin: pluginNative, AuthString: NativeHash("secret"), Require: Require{X509: true, Subject: "/O=stack/CN=app"}},
		Account{User: "other", Host: "%", Plugin: pluginNative, AuthString: NativeHash("secret"), Require: Require{Subject: "/CN=somebody"}},
		Account{User: "cipher", Host: "%", Plugin: pluginNative, Require: Require{Cipher: "TLS_NONE"}},
		Account{User: "locked", Host: "%", Plugin: pluginNative, AuthString: NativeHash("secret"), Locked: true},
		Account{User: "remote", Host: "10.%", Plugin: pluginNative})
	dir := t.TempDir()
	write := func(name string, blocks ...*pem.Block) string {
		var out []byte
		for _, b := range blocks {
			out = append(out, pem.EncodeToMemory(b)...)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, out, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ca := write("ca.pem", &pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})
	key := write("key.pem", pkcs8(t, client.PrivateKey))
	leaf := write("client.pem", &pem.Block{Type: "CERTIFICATE", Bytes: client.Certificate[0]})
	s, addr := serve(t, Config{TLS: &tls.Config{
		Certificates: []tls.Certificate{cert}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: poolOf(t, cert),
	}}, e)
	e.kill = s.Kill
	ssl := []string{"--ssl", "--ssl-ca=" + ca}
	withCert := append(append([]string{}, ssl...), "--ssl-cert="+leaf, "--ssl-key="+key)
	for name, c := range map[string]struct {
		sql, want string
		args      []string
		fails     bool
	}{
		"native":               {"SELECT 1+1 AS two, NULL, 'x'", "two\tNULL\tx\n2\tNULL\tx\n", []string{"-unative", "-psecret"}, false},
		"native over TLS":      {"SELECT 2", "2\n2\n", append([]string{"-unative", "-psecret"}, ssl...), false},
		"sha2 over TLS":        {"SELECT 3", "3\n3\n", append([]string{"-usha2", "-ps3cret"}, ssl...), false},
		"sha2 with RSA":        {"SELECT 4", "4\n4\n", []string{"-usha2", "-ps3cret", "--skip-ssl"}, false},
		"no password":          {"SELECT 5", "5\n5\n", []string{"-uroot"}, false},
		"wrong password":       {"", "ERROR 1045 (28000): Access denied for user 'native'@'localhost' (using password: YES)\n", []string{"-unative", "-pwrong"}, true},
		"wrong sha2":           {"", "ERROR 1045 (28000): Access denied for user 'sha2'@'localhost' (using password: YES)\n", append([]string{"-usha2", "-pwrong"}, ssl...), true},
		"missing password":     {"", "ERROR 1045 (28000): Access denied for user 'sha2'@'localhost' (using password: NO)\n", []string{"-usha2", "--skip-password"}, true},
		"unknown user":         {"", "ERROR 1045 (28000): Access denied for user 'nobody'@'localhost' (using password: YES)\n", []string{"-unobody", "-pwrong"}, true},
		"other unknown user":   {"", "ERROR 1045 (28000): Access denied for user 'someone'@'localhost' (using password: YES)\n", append([]string{"-usomeone", "-pwrong"}, ssl...), true},
		"host does not match":  {"", "ERROR 1045 (28000): Access denied for user 'remote'@'localhost' (using password: NO)\n", []string{"-uremote"}, true},
		"locked":               {"", "ERROR 3118 (HY000): Access denied for user 'locked'@'localhost'. Account is locked.\n", []string{"-ulocked", "-psecret"}, true},
		"requires TLS":         {"", "ERROR 1045 (28000): Access denied for user 'tls'@'localhost' (using password: YES)\n", []string{"-utls", "-ps3cret", "--skip-ssl"}, true},
		"has TLS":              {"SELECT 6", "6\n6\n", append([]string{"-utls", "-ps3cret"}, ssl...), false},
		"requires certificate": {"", "ERROR 1045 (28000): Access denied for user 'x509'@'localhost' (using password: YES)\n", append([]string{"-ux509", "-psecret"}, ssl...), true},
		"has certificate":      {"SELECT 7", "7\n7\n", append([]string{"-ux509", "-psecret"}, withCert...), false},
		"wrong subject":        {"", "ERROR 1045 (28000): Access denied for user 'other'@'localhost' (using password: YES)\n", append([]string{"-uother", "-psecret"}, withCert...), true},
		"wrong cipher":         {"", "ERROR 1045 (28000): Access denied for user 'cipher'@'localhost' (using password: NO)\n", append([]string{"-ucipher"}, withCert...), true},
		"unknown database":     {"", "ERROR 1049 (42000): database not found: nothere\n", []string{"-uroot", "nothere"}, true},
		"error":                {"SELECT * FROM shop.nothere", "--------------\nSELECT * FROM shop.nothere\n--------------\n\nERROR 1146 (42S02) at line 1: table not found: nothere\n", []string{"-uroot"}, true},
		"use":                  {"USE shop; SELECT DATABASE()", "DATABASE()\nshop\n", []string{"-uroot"}, false},
		"latin1":               {"SELECT 'K\xe4se', HEX('\xe4')", "K\xe4se\tHEX('\xe4')\nK\xe4se\tC3A4\n", []string{"-uroot", "--default-character-set=latin1"}, false},
		"utf8mb3":              {"SELECT 'Käse 🧀' AS c", "c\nKäse ?\n", []string{"-uroot", "--default-character-set=utf8mb3"}, false},
		"binary":               {"SELECT 'Käse'", "Käse\nKäse\n", []string{"-uroot", "--default-character-set=binary"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := mariadb(t, addr, c.sql, append([]string{"-B"}, c.args...)...)
			if out != c.want || (err != nil) != c.fails {
				t.Errorf("got %q, %v\nwant %q", out, err, c.want)
			}
		})
	}
	t.Run("verbose", func(t *testing.T) {
		out, err := mariadb(t, addr, "CREATE TABLE shop.w (a INT PRIMARY KEY); INSERT INTO shop.w VALUES (1),(2); UPDATE shop.w SET a=a; SELECT 1/0; SHOW WARNINGS; DESCRIBE shop.w;", "-uroot", "-vvv", "-t")
		for _, want := range []string{"Query OK, 2 rows affected", "Rows matched: 2  Changed: 0  Warnings: 0", "1 row in set, 1 warning", "Division by 0", "| Field | Type |"} {
			if err != nil || !strings.Contains(out, want) {
				t.Errorf("%q is not in the output (%v):\n%s", want, err, out)
			}
		}
	})
	t.Run("admin", func(t *testing.T) {
		host, port, _ := net.SplitHostPort(addr)
		out, err := program(t, "", "mariadb-admin", "--no-defaults", "-h", host, "-P", port, "-uroot", "status", "ping")
		if err != nil || !strings.Contains(out, "Uptime: ") || !strings.Contains(out, "Questions: ") || !strings.Contains(out, "mysqld is alive") {
			t.Errorf("mariadb-admin says %q, %v", out, err)
		}
		out, err = program(t, "", "mariadb-admin", "--no-defaults", "-h", host, "-P", port, "-uroot", "kill", "999999")
		if err == nil || !strings.Contains(out, "Unknown thread id: 999999") {
			t.Errorf("mariadb-admin kill says %q, %v", out, err)
		}
	})
	t.Run("load data local", func(t *testing.T) {
		file := filepath.Join(dir, "in.csv")
		if err := os.WriteFile(file, []byte("7\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := mariadb(t, addr, "LOAD DATA LOCAL INFILE '"+file+"' INTO TABLE shop.w; ", "-uroot", "--local-infile=1")
		if err == nil || !strings.Contains(out, "local_infile needs to be set") {
			t.Errorf("LOAD DATA LOCAL says %q, %v", out, err)
		}
		out, err = mariadb(t, addr, "SELECT COUNT(*) FROM shop.w WHERE a=7", "-uroot", "-BN")
		if err != nil || out != "0\n" {
			t.Errorf("after LOAD DATA LOCAL: %q, %v", out, err)
		}
	})
	t.Run("large", func(t *testing.T) {
		out, err := mariadb(t, addr, "SELECT LENGTH('"+strings.Repeat("x", 17<<20)+"')", "-uroot", "-BN", "--max-allowed-packet=64M")
		if err != nil || out != "17825792\n" {
			t.Errorf("a statement of 17 MiB gives %.200q, %v", out, err)
		}
		out, err = mariadb(t, addr, "SELECT REPEAT('y', 18000000)", "-uroot", "-BN", "--max-allowed-packet=64M")
		if err != nil || len(out) != 18000001 || strings.Trim(out, "y") != "\n" {
			t.Errorf("a value of 18 MB comes back as %d bytes, %v", len(out), err)
		}
	})
}
