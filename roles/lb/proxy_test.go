package lb

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stack/appliance/config"
)

// The clients of these tests connect from this address, the proxies from 127.0.0.1.
const clientIP = "127.0.0.7"

// startPeer runs a real proxy until the test ends, in the foreground, and waits until it
// listens at ready. log returns what it wrote.
func startPeer(t *testing.T, ready, program string, args ...string) (log func() string) {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("%s is not installed", program)
	}
	out := &lockedBuffer{}
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
		if t.Failed() {
			t.Logf("%s wrote:\n%s", program, out)
		}
	})
	eventually(t, program+" listens", func() bool {
		select {
		case <-ended:
			t.Fatalf("%s has ended: %s", program, out)
		default:
		}
		c, err := net.Dial("tcp", ready)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return out.String
}

func startHAProxyWith(t *testing.T, ready, text string) (log func() string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	text = "global\n  log stdout format raw local0\ndefaults\n  log global\n  timeout client 20s\n  timeout server 20s\n  timeout connect 5s\n" + text
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return startPeer(t, ready, "haproxy", "-db", "-f", file)
}

func startNginxWith(t *testing.T, ready, server string) (log func() string) {
	t.Helper()
	dir := t.TempDir()
	text := "daemon off; master_process off; pid " + dir + "/pid; error_log stderr info;\nevents {}\nhttp {\n access_log off;\n" +
		" client_body_temp_path " + dir + "; proxy_temp_path " + dir + "; fastcgi_temp_path " + dir + "; uwsgi_temp_path " + dir + "; scgi_temp_path " + dir + ";\n" +
		server + "\n}\n"
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return startPeer(t, ready, "nginx", "-e", "stderr", "-p", dir, "-c", file)
}

// forwarded answers with the forwarding fields.
func forwarded(w http.ResponseWriter, r *http.Request) {
	h := r.Header
	fmt.Fprintf(w, "for %s proto %s port %s\n", h.Get("X-Forwarded-For"), h.Get("X-Forwarded-Proto"), h.Get("X-Forwarded-Port"))
}

var proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}

// TestProxyFromHAProxy: HAProxy stands before frontends of all kinds and tells whose
// connections it passes on.
func TestProxyFromHAProxy(t *testing.T) {
	origin := serve(t, forwarded)
	raw, _ := echo(t, "raw")
	plain, secure, tcp := freePort(t), freePort(t), freePort(t)
	cert := selfSigned(t, "www.example.com")
	tcpPool := config.Backend{Name: "raw", Mode: "tcp", Servers: []config.Server{at("a", raw)}}
	file := filepath.Join(t.TempDir(), "access.log")
	b := startOn(t, func(n *config.Node) { n.LB.AccessLog = config.AccessLog{Enabled: true, Path: file, Format: "json"} }, config.LB{
		Frontends: []config.Frontend{
			{Name: "http", Mode: "http", Bind: listen(plain), Backend: "web", ProxyFrom: proxies},
			{Name: "https", Mode: "http", Bind: listen(secure), Backend: "web", ProxyFrom: proxies, TLS: &config.BindTLS{Certificates: []config.CertFile{cert}}},
			{Name: "tcp", Mode: "tcp", Bind: listen(tcp), Backend: "raw", ProxyFrom: proxies},
		},
		Backends: []config.Backend{backend("web", at("a", origin)), tcpPool},
	})
	text := ""
	before := map[string]netip.AddrPort{}
	add := func(name, mode, tls string, to netip.AddrPort, option string) {
		p := freePort(t)
		before[name] = p
		text += fmt.Sprintf("listen %s\n  mode %s\n  bind %s %s\n  server s %s %s\n", name, mode, p, tls, to, option)
	}
	for _, v := range []string{"send-proxy", "send-proxy-v2"} {
		add("http-"+v, "http", "", plain, v)
		add("pass-"+v, "tcp", "", secure, v) // a ClientHello behind the header
		add("tcp-"+v, "tcp", "", tcp, v)
	}
	add("ends-tls", "http", "ssl crt "+cert.Cert, plain, "send-proxy-v2-ssl proxy-v2-options crc32c,ssl,authority,unique-id")
	startHAProxyWith(t, before["ends-tls"].String(), text)
	eventually(t, "HAProxy reaches the frontend", func() bool {
		status, _ := get(t, "http://"+before["http-send-proxy"].String())
		return status == 200
	})

	for name, p := range before {
		scheme := "http"
		if strings.HasPrefix(name, "pass") || name == "ends-tls" {
			scheme = "https"
		}
		if strings.HasPrefix(name, "tcp") {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(clientIP)}}
			c, err := d.Dial("tcp", p.String())
			if err != nil {
				t.Fatal(err)
			}
			c.SetDeadline(time.Now().Add(10 * time.Second))
			io.WriteString(c, "hello")
			got := make([]byte, len("raw\nhello"))
			if _, err := io.ReadFull(c, got); err != nil || string(got) != "raw\nhello" {
				t.Errorf("%s: %q %v", name, got, err)
			}
			c.Close()
			continue
		}
		got := curl(t, nil, "-k", "--interface", clientIP, scheme+"://"+p.String()+"/")
		if want := fmt.Sprintf("for %s proto %s port %d\n", clientIP, scheme, p.Port()); got != want {
			t.Errorf("%s: got %s want %s", name, got, want)
		}
	}
	eventually(t, "the access log names the clients of all frontends", func() bool {
		log, _ := os.ReadFile(file)
		n := 0
		for _, f := range []string{"http", "https", "tcp"} {
			for _, line := range strings.Split(string(log), "\n") {
				if strings.Contains(line, `"client":"`+clientIP+`:`) && strings.Contains(line, `"frontend":"`+f+`"`) {
					n++
				}
			}
		}
		return n == 7
	})
	if n := b.metric("stack_lb_frontend_proxy_refused_total"); n != 0 {
		t.Errorf("%v connections of HAProxy were refused", n)
	}
}

// TestProxyFromCurl: curl sends the header itself; without it, or from elsewhere, nobody
// is served.
func TestProxyFromCurl(t *testing.T) {
	origin := serve(t, forwarded)
	plain, secure := freePort(t), freePort(t)
	b := start(t, config.LB{
		Frontends: []config.Frontend{
			{Name: "http", Mode: "http", Bind: listen(plain), Backend: "web", ProxyFrom: proxies},
			{Name: "https", Mode: "http", Bind: listen(secure), Backend: "web", ProxyFrom: proxies, TLS: &config.BindTLS{Certificates: []config.CertFile{selfSigned(t, "www.example.com")}}},
		},
		Backends: []config.Backend{backend("web", at("a", origin))},
	})
	for scheme, p := range map[string]netip.AddrPort{"http": plain, "https": secure} {
		url := scheme + "://" + p.String() + "/"
		if got, want := curl(t, nil, "-k", "--haproxy-protocol", url), fmt.Sprintf("for 127.0.0.1 proto %s port %d\n", scheme, p.Port()); got != want {
			t.Errorf("got %s want %s", got, want)
		}
		for _, args := range [][]string{{url}, {"--haproxy-protocol", "--interface", clientIP, url}} {
			if out, err := exec.Command("curl", append([]string{"-sSk", "--max-time", "10"}, args...)...).CombinedOutput(); err == nil {
				t.Errorf("curl %v was answered: %s", args, out)
			}
		}
		for reason, want := range map[string]float64{"header": 1, "peer": 1, "timeout": 0} {
			if n := b.metric("stack_lb_frontend_proxy_refused_total", "frontend", scheme, "reason", reason); n != want {
				t.Errorf("%s: %v refused because of %s, want %v", scheme, n, reason, want)
			}
		}
	}
}

// TestSendProxyToPeers: HAProxy and nginx, which ask for the header, learn from frontends
// of both modes who the client is, and find nothing wrong with the checks.
func TestSendProxyToPeers(t *testing.T) {
	haproxy, nginx := freePort(t), freePort(t)
	haproxyLog := startHAProxyWith(t, haproxy.String(), fmt.Sprintf(`frontend f
  mode http
  option httplog
  bind %s accept-proxy
  http-request return status 200 content-type text/plain lf-string "%%[src] %%[src_port] %%[dst_port] '%%[fc_pp_authority]'"
`, haproxy))
	nginxLog := startNginxWith(t, nginx.String(), fmt.Sprintf(`server {
  listen %s proxy_protocol;
  location / { return 200 "$proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_port ''"; }
}`, nginx))
	cert := selfSigned(t, "www.example.com")
	lb := config.LB{}
	checks := []config.Check{
		{Type: "http", Path: "/", Interval: 50 * time.Millisecond, Timeout: 5 * time.Second, Rise: 2, Fall: 3},
		{Type: "tcp", Interval: 50 * time.Millisecond, Timeout: 5 * time.Second, Rise: 2, Fall: 3},
	}
	fronts := map[string]netip.AddrPort{}
	for peer, addr := range map[string]netip.AddrPort{"haproxy": haproxy, "nginx": nginx} {
		for i, mode := range []string{"http", "tcp"} {
			for version, options := range map[string][]string{"v1": nil, "v2": {"crc32c", "ssl", "cert_cn", "authority"}} {
				if mode == "tcp" && options != nil {
					options = append(options, "alpn")
				}
				name, p := peer+"-"+mode+"-"+version, freePort(t)
				fronts[name] = p
				lb.Frontends = append(lb.Frontends, config.Frontend{Name: name, Mode: mode, Bind: listen(p), Backend: name,
					TLS: &config.BindTLS{Certificates: []config.CertFile{cert}}})
				lb.Backends = append(lb.Backends, config.Backend{Name: name, Mode: mode, Servers: []config.Server{at("a", addr.String())},
					Check: checks[i], SendProxy: version, SendProxyOptions: options})
			}
		}
	}
	b := start(t, lb)
	for name, p := range fronts {
		eventually(t, "three checks of "+name, func() bool {
			return b.metric("stack_lb_server_checks_total", "backend", name, "result", "passed") >= 3
		})
		authority := ""
		if strings.HasPrefix(name, "haproxy") && strings.HasSuffix(name, "v2") {
			authority = "www.example.com"
		}
		// Two requests on one connection, then a client of another address.
		for _, ip := range []string{clientIP, "127.0.0.8"} {
			url := fmt.Sprintf("https://www.example.com:%d/", p.Port())
			got := curl(t, nil, "-k", "--interface", ip, "--resolve", fmt.Sprintf("www.example.com:%d:127.0.0.1", p.Port()),
				"-w", " port %{local_port}\n", url, url)
			lines := strings.Split(strings.TrimSpace(got), "\n")
			if len(lines) != 2 {
				t.Fatalf("%s: %q", name, got)
			}
			for _, line := range lines {
				line, port, _ := strings.Cut(line, " port ")
				if want := fmt.Sprintf("%s %s %d '%s'", ip, port, p.Port(), authority); line != want {
					t.Errorf("%s: got %s, want %s", name, line, want)
				}
			}
		}
		if n := b.metric("stack_lb_server_checks_total", "backend", name, "result", "failed"); n != 0 {
			t.Errorf("%s: %v checks failed", name, n)
		}
	}
	for name, log := range map[string]string{"haproxy": haproxyLog(), "nginx": nginxLog()} {
		for _, complaint := range []string{"PROXY", "broken header"} {
			// Once, of the connection with which this test waited for the program.
			if strings.Count(log, complaint) > 1 {
				t.Errorf("%s complains:\n%s", name, log)
			}
		}
	}
}

// A chain: HAProxy before and behind, both in mode tcp.
func TestProxyChain(t *testing.T) {
	last, first, mid := freePort(t), freePort(t), freePort(t)
	start(t, config.LB{
		Frontends: []config.Frontend{{Name: "tcp", Mode: "tcp", Bind: listen(mid), Backend: "raw", ProxyFrom: proxies}},
		Backends: []config.Backend{{Name: "raw", Mode: "tcp", Servers: []config.Server{at("a", last.String())}, SendProxy: "v2",
			SendProxyOptions: []string{"crc32c", "ssl", "authority"}}},
	})
	cert := selfSigned(t, "www.example.com")
	startHAProxyWith(t, first.String(), fmt.Sprintf(`listen first
  mode tcp
  bind %s ssl crt %s
  server s %s send-proxy-v2 proxy-v2-options ssl,authority
frontend last
  mode http
  bind %s accept-proxy
  http-request return status 200 content-type text/plain lf-string "%%[src] %%[dst_port] %%[fc_pp_authority]"
`, first, cert.Cert, mid, last))
	got := curl(t, nil, "-k", "--interface", clientIP, "--resolve", fmt.Sprintf("www.example.com:%d:127.0.0.1", first.Port()),
		fmt.Sprintf("https://www.example.com:%d/", first.Port()))
	if want := fmt.Sprintf("%s %d www.example.com", clientIP, first.Port()); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestProxyAndHTTP2: the header stands before HTTP/2 as before everything else, with TLS
// and without, and the requests of its streams reach servers as those of one client.
func TestProxyAndHTTP2(t *testing.T) {
	last, plain, secure := freePort(t), freePort(t), freePort(t)
	cert := selfSigned(t, "www.example.com")
	startHAProxyWith(t, last.String(), fmt.Sprintf(`frontend last
  mode http
  bind %s ssl crt %s accept-proxy
  http-request return status 200 content-type text/plain lf-string "%%[src] %%[ssl_fc]%%[req.hdr(x-forwarded-proto)]"
`, last, cert.Cert))
	pool := backend("web", at("a", last.String()))
	pool.TLS = &config.ServerTLS{CAFile: cert.Cert, ServerName: "www.example.com", Verify: true, MinVersion: "1.2"}
	pool.SendProxy = "v2"
	pool.Check = config.Check{Type: "http", Path: "/", Interval: 50 * time.Millisecond, Timeout: 5 * time.Second, Rise: 2, Fall: 3}
	both := []string{"h1", "h2"}
	b := start(t, config.LB{
		Frontends: []config.Frontend{
			{Name: "h2c", Mode: "http", HTTP: both, Bind: listen(plain), Backend: "web", ProxyFrom: proxies},
			{Name: "h2", Mode: "http", HTTP: both, Bind: listen(secure), Backend: "web", ProxyFrom: proxies, TLS: &config.BindTLS{Certificates: []config.CertFile{cert}}},
		},
		Backends: []config.Backend{pool},
	})
	eventually(t, "three checks over TLS behind a header", func() bool {
		return b.metric("stack_lb_server_checks_total", "result", "passed") >= 3
	})
	for scheme, p := range map[string]netip.AddrPort{"http": plain, "https": secure} {
		url := scheme + "://" + p.String() + "/"
		args := []string{"-k", "--haproxy-protocol", "-w", " h%{http_version}\n", "--http2", "--parallel", url, url, url, url}
		requests := 4
		if scheme == "http" { // of curl 7.88 more than one on a connection fails with any server
			args, requests = append(args[:4:4], "--http2-prior-knowledge", url), 1
		}
		got := curl(t, nil, args...)
		// In parallel, curl mixes the lines.
		if strings.Count(got, "127.0.0.1 1"+scheme) != requests || strings.Count(got, " h2\n") != requests {
			t.Errorf("%s: got %q, want %d answers", scheme, got, requests)
		}
	}
	if n := b.metric("stack_lb_server_checks_total", "result", "failed"); n != 0 {
		t.Errorf("%v checks failed", n)
	}
}
