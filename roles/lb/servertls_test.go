package lb

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"stack/appliance/config"
	stacktls "stack/tls"
)

// authority is a CA with files of what it issues.
type authority struct {
	t   *testing.T
	dir string
	ca  *stacktls.CA
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "ca")
	if _, err := stacktls.InitSecrets(dir, "test"); err != nil {
		t.Fatal(err)
	}
	ca, err := stacktls.OpenCA(dir)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{t, dir, ca}
}

func (a *authority) file() string { return filepath.Join(a.dir, "ca.crt") }

// issue writes certificate and key for name into one file, as of then.
func (a *authority) issue(name string, then time.Time) string {
	a.t.Helper()
	chain, key, err := a.ca.Issue(name, []string{name, "127.0.0.1"}, then)
	if err != nil {
		a.t.Fatal(err)
	}
	path := filepath.Join(a.t.TempDir(), name+".pem")
	if err := os.WriteFile(path, append(key, chain...), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return path
}

// peer runs a real server until the test ends and waits for its port.
func peer(t *testing.T, port uint16, name string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if path, err = exec.LookPath("/usr/sbin/" + name); err != nil {
			t.Skipf("%s is not installed", name)
		}
	}
	cmd := exec.Command(path, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	said := &lockedBuffer{}
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("%s: %s", name, said)
		}
	})
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	eventually(t, name+" listens", func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return addr
}

// nginx serves TLS with the certificate in pem; extra goes into its server block.
func nginx(t *testing.T, pem, extra string) string {
	t.Helper()
	dir, port := t.TempDir(), freePort(t).Port()
	conf := filepath.Join(dir, "nginx.conf")
	temp := ""
	for _, k := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		temp += fmt.Sprintf("%s_temp_path %s/%s; ", k, dir, k)
	}
	text := fmt.Sprintf(`daemon off; master_process off; pid %s/pid; error_log stderr;
events {}
http { access_log off; %s
  server { listen 127.0.0.1:%d ssl; ssl_certificate %s; ssl_certificate_key %s; %s
    location / { return 200 "nginx sni=$ssl_server_name client=$ssl_client_s_dn protocol=$ssl_protocol connection=$connection\n"; } } }
`, dir, temp, port, pem, pem, extra)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return peer(t, port, "nginx", "-p", dir, "-c", conf)
}

// haproxy serves TLS with the certificate in pem.
func haproxy(t *testing.T, pem string) string {
	t.Helper()
	port := freePort(t).Port()
	conf := filepath.Join(t.TempDir(), "haproxy.cfg")
	text := fmt.Sprintf(`global
  ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
  mode http
  timeout client 10s
  timeout server 10s
  timeout connect 2s
frontend f
  bind 127.0.0.1:%d ssl crt %s
  http-request return status 200 content-type text/plain lf-string "haproxy sni=%%[ssl_fc_sni] protocol=%%[ssl_fc_protocol]"
`, port, pem)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return peer(t, port, "haproxy", "-db", "-f", conf)
}

// toServer is one frontend before one server that speaks TLS.
func toServer(t *testing.T, addr string, secret *config.ServerTLS) (config.LB, string) {
	lb, front := simple(t, at("s", addr))
	secret.MinVersion = "1.2"
	lb.Backends[0].TLS = secret
	return lb, "http://" + front.String() + "/"
}

func checked(lb config.LB, kind string) config.LB {
	lb.Backends[0].Check = config.Check{Type: kind, Path: "/", Interval: 50 * time.Millisecond, Timeout: 2 * time.Second, Rise: 1, Fall: 1}
	return lb
}

// Real TLS servers behind the balancer, checked and asked.
func TestRealTLSServers(t *testing.T) {
	ca := newAuthority(t)
	pem := ca.issue("app.test", time.Now())
	port := freePort(t).Port()
	for name, c := range map[string]struct{ addr, want string }{
		"nginx 1.3": {nginx(t, pem, "ssl_protocols TLSv1.3;"), "nginx sni=app.test client= protocol=TLSv1.3"},
		"nginx 1.2": {nginx(t, pem, "ssl_protocols TLSv1.2;"), "nginx sni=app.test client= protocol=TLSv1.2"},
		"haproxy":   {haproxy(t, pem), "haproxy sni=app.test protocol=TLSv1.3"},
		"openssl":   {peer(t, port, "openssl", "s_server", "-accept", fmt.Sprintf("127.0.0.1:%d", port), "-cert", pem, "-key", pem, "-www", "-quiet"), "Ciphers supported"},
	} {
		t.Run(name, func(t *testing.T) {
			lb, url := toServer(t, c.addr, &config.ServerTLS{CAFile: ca.file(), ServerName: "app.test", Verify: true})
			b := start(t, checked(lb, "http"))
			eventually(t, "a check has passed", func() bool {
				last := b.role.pools.View()[0].Servers[0].LastCheck
				return last != nil && last.OK && last.Text == "answered 200"
			})
			for range 5 {
				if code, body := get(t, url); code != 200 || !strings.Contains(body, c.want) {
					t.Errorf("%d %s", code, body)
				}
			}
		})
	}
}

// Kept connections to a TLS 1.3 server, which sends tickets on them, are used again,
// also for requests that must not be sent twice.
func TestRealTLSServerIsReused(t *testing.T) {
	ca := newAuthority(t)
	addr := nginx(t, ca.issue("app.test", time.Now()), "")
	lb, url := toServer(t, addr, &config.ServerTLS{CAFile: ca.file(), ServerName: "app.test", Verify: true})
	lb.Loops = 1
	start(t, lb)
	seen := map[string]bool{}
	for range 20 {
		body := curl(t, nil, "-d", "", url)
		_, connection, _ := strings.Cut(body, "connection=")
		seen[connection] = true
	}
	if len(seen) != 1 {
		t.Errorf("%d connections: %v", len(seen), seen)
	}
}

// What is wrong with a server's certificate shows in the answer, the check and the log.
func TestTLSServersThatAreNotTrusted(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	good := nginx(t, ca.issue("app.test", time.Now()), "")
	old := nginx(t, ca.issue("app.test", time.Now().Add(-500*24*time.Hour)), "")
	alerts := ca.issue("app.test", time.Now())
	alerting := freePort(t).Port()
	refusing := peer(t, alerting, "openssl", "s_server", "-accept", fmt.Sprintf("127.0.0.1:%d", alerting), "-cert", alerts, "-key", alerts, "-www", "-quiet", "-Verify", "1", "-CAfile", other.file())
	mutual := nginx(t, ca.issue("app.test", time.Now()), "ssl_verify_client on; ssl_client_certificate "+other.file()+";")
	plain := serve(t, named("plain"))
	for name, c := range map[string]struct {
		addr   string
		secret config.ServerTLS
		want   string
	}{
		"wrong CA":   {good, config.ServerTLS{CAFile: other.file(), ServerName: "app.test", Verify: true}, "the server's certificate is not from a trusted authority"},
		"system CA":  {good, config.ServerTLS{ServerName: "app.test", Verify: true}, "the server's certificate is not from a trusted authority"},
		"wrong name": {good, config.ServerTLS{CAFile: ca.file(), ServerName: "www.test", Verify: true}, "the server's certificate is for another name"},
		"expired":    {old, config.ServerTLS{CAFile: ca.file(), ServerName: "app.test", Verify: true}, "the server's certificate is expired or not valid yet"},
		"plain":      {plain, config.ServerTLS{CAFile: ca.file(), ServerName: "app.test", Verify: true}, "the server does not speak TLS on this port"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, kind := range []string{"tcp", "http"} {
				secret := c.secret
				lb, url := toServer(t, c.addr, &secret)
				b := start(t, checked(lb, kind))
				eventually(t, "the check fails", func() bool { return b.metric("stack_lb_server_up", "server", "s") == 0 })
				if code, _ := get(t, url); code != 503 {
					t.Errorf("%d", code)
				}
				if !strings.Contains(b.logs.String(), c.want) {
					t.Errorf("%s is not in %s", c.want, b.logs)
				}
			}
			secret := c.secret
			lb, url := toServer(t, c.addr, &secret) // without a check the requests find out
			b := start(t, lb)
			if code, _ := get(t, url); code != 502 {
				t.Errorf("%d", code)
			}
			eventually(t, "it is logged", func() bool {
				return strings.Contains(b.logs.String(), "no TLS with a server") && strings.Contains(b.logs.String(), c.want)
			})
		})
	}
	t.Run("no verification", func(t *testing.T) {
		lb, url := toServer(t, old, &config.ServerTLS{ServerName: "app.test"})
		b := start(t, checked(lb, "http"))
		if code, body := get(t, url); code != 200 || !strings.Contains(body, "sni=app.test") {
			t.Errorf("%d %s", code, body)
		}
		if !strings.Contains(b.logs.String(), "lb.backends[web].tls.verify: false takes any certificate") {
			t.Errorf("no warning in %s", b.logs)
		}
	})
	t.Run("the address is the name", func(t *testing.T) {
		lb, url := toServer(t, good, &config.ServerTLS{CAFile: ca.file(), Verify: true})
		start(t, checked(lb, "http"))
		if code, body := get(t, url); code != 200 || !strings.Contains(body, "sni= ") {
			t.Errorf("%d %s", code, body)
		}
	})
	t.Run("client certificate", func(t *testing.T) {
		pem := other.issue("balancer.test", time.Now())
		for _, own := range []*config.CertFile{nil, {Cert: pem}} {
			lb, url := toServer(t, mutual, &config.ServerTLS{CAFile: ca.file(), ServerName: "app.test", Verify: true, Certificate: own})
			start(t, lb)
			code, body := get(t, url)
			if (own != nil) != (code == 200 && strings.Contains(body, "CN=balancer.test")) {
				t.Errorf("%v: %d %s", own, code, body)
			}
		}
	})
	t.Run("client certificate refused by an alert", func(t *testing.T) {
		lb, url := toServer(t, refusing, &config.ServerTLS{CAFile: ca.file(), ServerName: "app.test", Verify: true})
		b := start(t, lb)
		if code, _ := get(t, url); code != 502 {
			t.Errorf("%d", code)
		}
		eventually(t, "it is logged", func() bool { return strings.Contains(b.logs.String(), "the server refused it") })
	})
	t.Run("missing file", func(t *testing.T) {
		lb, _ := toServer(t, good, &config.ServerTLS{CAFile: "/nonexistent/ca.pem", Verify: true})
		if err := Probe(node(lb)); err == nil || !strings.Contains(err.Error(), "lb: backend web: tls: read the authorities: open /nonexistent/ca.pem") {
			t.Error(err)
		}
	})
}

// Tunnels to a TLS server, and through TLS on both sides.
func TestTCPToTLSServer(t *testing.T) {
	ca := newAuthority(t)
	addr := nginx(t, ca.issue("app.test", time.Now()), "")
	front := freePort(t)
	lb := tcpLB(listen(front), at("s", addr))
	lb.Backends[0].TLS = &config.ServerTLS{CAFile: ca.file(), ServerName: "app.test", Verify: true}
	start(t, checked(lb, "tcp"))
	if got := curl(t, nil, "http://"+front.String()+"/"); !strings.Contains(got, "nginx sni=app.test") {
		t.Error(got)
	}
	cert := ca.issue("front.test", time.Now())
	front = freePort(t)
	lb = tcpLB(listen(front), at("s", addr))
	lb.Backends[0].TLS = &config.ServerTLS{CAFile: ca.file(), ServerName: "app.test", Verify: true}
	lb.Frontends[0].TLS = &config.BindTLS{Certificates: []config.CertFile{{Cert: cert, Key: cert}}}
	startOn(t, func(n *config.Node) { withSecrets(t, n) }, lb)
	if got := curl(t, nil, "--cacert", ca.file(), "https://"+front.String()+"/"); !strings.Contains(got, "nginx sni=app.test") {
		t.Error(got)
	}
}

// A reload that changes how TLS is spoken does not use the connections made before; one
// that changes nothing does.
func TestReloadOfServerTLS(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	addr := nginx(t, ca.issue("app.test", time.Now()), "")
	lb, url := toServer(t, addr, &config.ServerTLS{CAFile: ca.file(), ServerName: "app.test", Verify: true})
	lb.Loops = 1
	b := start(t, lb)
	_, first := get(t, url)
	b.reload(node(lb))
	if code, again := get(t, url); code != 200 || again != first {
		t.Errorf("%d %s, before %s", code, again, first)
	}
	secret := *lb.Backends[0].TLS
	secret.CAFile = other.file()
	lb.Backends = append([]config.Backend(nil), lb.Backends...)
	lb.Backends[0].TLS = &secret
	b.reload(node(lb))
	if code, _ := get(t, url); code != 502 {
		t.Errorf("%d after the authority was changed", code)
	}
	// The same path, other content: read again at the reload.
	text, err := os.ReadFile(ca.file())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(other.file(), text, 0o600); err != nil {
		t.Fatal(err)
	}
	ch, err := b.role.Prepare(context.Background(), node(lb), b.sockets)
	if err != nil {
		t.Fatal(err)
	}
	ch.Commit()
	if code, _ := get(t, url); code != 200 {
		t.Errorf("%d after the file holds the authority", code)
	}
}
