package web

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"stack/appliance/config"
	"stack/appliance/sockets"
	stacktls "stack/tls"
)

func TestProxyLocation(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s host=%s xff=%s proto=%s body=%d", r.Method, r.RequestURI, r.Host, r.Header.Get("X-Forwarded-For"), r.Header.Get("X-Forwarded-Proto"), len(b))
	}))
	defer app.Close()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := gone.Addr().String()
	gone.Close()
	one := func(name, addr string) *config.Proxy {
		return &config.Proxy{Servers: []config.Server{{Name: name, Address: addr, Weight: 1}}}
	}
	two := one("dead", dead)
	two.Servers = append(two.Servers, config.Server{Name: "app", Address: strings.TrimPrefix(app.URL, "http://"), Weight: 1})
	two.Retries = config.Retries{Attempts: 1, When: []string{"connect"}}
	s := serve(t, testWeb(config.WebSite{Root: t.TempDir(), Locations: []config.Location{
		{Path: "/api/", Proxy: one("app", strings.TrimPrefix(app.URL, "http://"))},
		{Path: "/dead/", Proxy: one("dead", dead)},
		{Path: "/two/", Proxy: two},
	}}))
	if got := s.get("GET", "/api/a%2Fb/%C3%A9?x=1", "Host: site.test").body; got != "GET /api/a%2Fb/%C3%A9?x=1 host=site.test xff=127.0.0.1 proto=http body=0" {
		t.Error(got)
	}
	if got := s.send("POST", "/api/", strings.NewReader(strings.Repeat("x", 1<<20)), "Host: h").body; got != "POST /api/ host=h xff=127.0.0.1 proto=http body=1048576" {
		t.Error(got)
	}
	if a := s.get("GET", "/dead/"); a.StatusCode != 502 && a.StatusCode != 503 {
		t.Error("dead:", a.StatusCode)
	}
	for range 10 {
		if a := s.get("GET", "/two/"); a.StatusCode != 200 {
			t.Error("one of two is dead:", a.StatusCode)
		}
	}
}

// An upgrade passes: both sides speak freely afterwards.
func TestProxiedUpgrade(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", r.Header.Get("Upgrade"))
		line, _ := rw.ReadString('\n')
		fmt.Fprint(c, "echo "+line)
	}))
	defer app.Close()
	s := serve(t, testWeb(config.WebSite{Root: t.TempDir(), Locations: []config.Location{
		{Path: "/ws", Proxy: &config.Proxy{Servers: []config.Server{{Name: "app", Address: strings.TrimPrefix(app.URL, "http://"), Weight: 1}}}}}}))
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprint(c, "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: probe\r\n\r\n")
	r := bufio.NewReader(c)
	res, err := http.ReadResponse(r, nil)
	if err != nil || res.StatusCode != 101 || res.Header.Get("Upgrade") != "probe" {
		t.Fatal(res, err)
	}
	fmt.Fprint(c, "hello\n")
	if line, err := r.ReadString('\n'); line != "echo hello\n" {
		t.Errorf("%q %v", line, err)
	}
}

func TestTrustedProxies(t *testing.T) {
	f := startFPM(t, 2)
	s := phpSite(t, f, func(w *config.Web) {
		w.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/24")}
	})
	for _, c := range []struct{ fields, want string }{
		{"X-Forwarded-For: 203.0.113.9", "REMOTE_ADDR=203.0.113.9\nREMOTE_PORT=(none)\nHTTPS=(none)\n"},
		{"X-Forwarded-For: 6.6.6.6, 203.0.113.9", "REMOTE_ADDR=203.0.113.9\nREMOTE_PORT=(none)\nHTTPS=(none)\n"},
		{"X-Forwarded-For: 6.6.6.6, 203.0.113.9, 10.0.0.7", "REMOTE_ADDR=203.0.113.9\nREMOTE_PORT=(none)\nHTTPS=(none)\n"},
		{"X-Forwarded-For: 6.6.6.6|X-Forwarded-For: 203.0.113.9", "REMOTE_ADDR=203.0.113.9\nREMOTE_PORT=(none)\nHTTPS=(none)\n"},
		{"X-Forwarded-For: [2001:db8::1]:443|X-Forwarded-Proto: https", "REMOTE_ADDR=2001:db8::1\nREMOTE_PORT=(none)\nHTTPS=on\n"},
		{"X-Forwarded-For: junk, 10.0.0.7", "REMOTE_ADDR=10.0.0.7\nREMOTE_PORT=(none)\nHTTPS=(none)\n"},
	} {
		if got := s.get("GET", "/info.php?k=REMOTE_ADDR,REMOTE_PORT,HTTPS", strings.Split(c.fields, "|")...).body; got != c.want {
			t.Errorf("%s: %q, want %q", c.fields, got, c.want)
		}
	}
	// Nobody else is believed.
	s = phpSite(t, f, func(w *config.Web) { w.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")} })
	if got := s.get("GET", "/info.php?k=REMOTE_ADDR,HTTPS", "X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https").body; got != "REMOTE_ADDR=127.0.0.1\nHTTPS=(none)\n" {
		t.Error(got)
	}
}

func FuzzParseHop(f *testing.F) {
	for _, s := range []string{"1.2.3.4", " 1.2.3.4:5 ", "[::1]:80", "::1", "unknown", "1.2.3", "01.2.3.4", "256.1.1.1"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		a, ok := parseHop(b)
		if ok != a.IsValid() {
			t.Fatalf("%q: %v %v", b, a, ok)
		}
		want, err := netip.ParseAddr(string(b))
		if four, isFour := parseIPv4(b); isFour != (err == nil && want.Is4()) || isFour && four != want {
			t.Fatalf("%q: %v %v, want %v", b, four, isFour, want)
		}
	})
}

func TestHealthAndDrain(t *testing.T) {
	s := serve(t, testWeb(config.WebSite{Root: t.TempDir()}))
	if a := s.get("GET", "/.stack/healthz"); a.StatusCode != 200 || a.body != "ready\n" {
		t.Error(a.StatusCode, a.body)
	}
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ask := func() string {
		fmt.Fprint(c, "GET /.stack/healthz HTTP/1.1\r\nHost: x\r\n\r\n")
		b := make([]byte, 4096)
		n, _ := c.Read(b)
		return string(b[:n])
	}
	if got := ask(); !strings.HasPrefix(got, "HTTP/1.1 200") {
		t.Error(got)
	}
	client.CloseIdleConnections()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.role.Drain(ctx, nil) }()
	for !s.role.draining.Load() {
		runtime.Gosched()
	}
	// The loops learn of it one after the other; until then the connection stays.
	got := ask()
	for strings.HasPrefix(got, "HTTP/1.1 503") && !strings.Contains(strings.ToLower(got), "connection: close") {
		got = ask()
	}
	if !strings.HasPrefix(got, "HTTP/1.1 503") {
		t.Errorf("while draining: %q", got)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if st := s.role.Status(); st.Ready {
		t.Error("ready while draining:", st.Text)
	}
}

func TestPassageToTheNextGeneration(t *testing.T) {
	root := t.TempDir()
	writeFile(t, filepath.Join(root, "a"), []byte("a"))
	s := serve(t, testWeb(config.WebSite{Root: root}))
	next := serve(t, testWeb(config.WebSite{Root: root}))
	// The next generation listens on the same address in life; its listener's name is
	// what a connection goes by.
	next.role.points[0].name = s.role.points[0].name
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ask := func() string {
		fmt.Fprint(c, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
		b := make([]byte, 4096)
		n, err := c.Read(b)
		return fmt.Sprint(string(b[:n]), err)
	}
	if got := ask(); !strings.HasPrefix(got, "HTTP/1.1 200") {
		t.Fatal(got)
	}
	from, to, err := sockets.NewPassage()
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	defer to.Close()
	go func() {
		if fd, meta, err := to.Receive(); err == nil {
			next.role.Adopt(fd, meta)
		}
	}()
	if err := s.role.Drain(t.Context(), from); err != nil {
		t.Fatal(err)
	}
	if got := ask(); !strings.HasPrefix(got, "HTTP/1.1 200") {
		t.Error("the kept connection was lost:", got)
	}
}

func TestTLS(t *testing.T) {
	secrets := t.TempDir()
	if _, err := stacktls.InitSecrets(secrets, "example.test"); err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	large := pattern(2 << 20)
	writeFile(t, filepath.Join(root, "large"), large)
	writeFile(t, filepath.Join(root, "small"), []byte("small"))
	bind := config.Bind{Role: "web", Addr: netip.MustParseAddrPort("127.0.0.1:0"), Group: 2}
	set, err := sockets.Open([]config.Bind{bind})
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	at, _ := sockets.LocalAddr(set.Get(bind.Addr)[0])
	web := testWeb(config.WebSite{Root: root})
	web.Bind = []config.Listen{{Addr: bind.Addr, TLS: true}}
	web.TLS = &config.BindTLS{Auto: true}
	node := &config.Node{Name: "web1", Site: "example.test", Web: web, TLS: config.TLS{SecretsDir: secrets, MinVersion: "1.2"}}
	r, err := New(testEnv(&logText{}))
	if err != nil {
		t.Fatal(err)
	}
	change, err := r.Prepare(t.Context(), node, set)
	if err != nil {
		t.Fatal(err)
	}
	change.Commit()
	defer r.Close()
	pem, err := os.ReadFile(filepath.Join(secrets, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "example.test"}}
	defer tr.CloseIdleConnections()
	for path, want := range map[string]string{"/small": "small", "/large": string(large)} {
		for range 2 {
			res, err := (&http.Client{Transport: tr}).Get("https://" + at.String() + path)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(res.Body)
			res.Body.Close()
			if err != nil || string(b) != want {
				t.Errorf("%s: %d bytes, %v", path, len(b), err)
			}
		}
	}
}

// metric reads one value; label is any of its label values.
func (s *server) metric(name, label string) float64 {
	s.t.Helper()
	families, err := s.registry.Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetValue() == label {
					return m.GetCounter().GetValue() + m.GetGauge().GetValue()
				}
			}
			if label == "" {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return -1
}

// A start that fails leaves a role that can be started.
func TestStartAgainAfterAnError(t *testing.T) {
	fds, routines := openFiles(t), runtime.NumGoroutine()
	web := testWeb(config.WebSite{Root: t.TempDir() + "/none"})
	s, err := tryServe(t, web)
	if err == nil {
		t.Fatal("a missing root was taken")
	}
	s.sockets.Close()
	for end := time.Now().Add(time.Minute); openFiles(t) > fds || runtime.NumGoroutine() > routines; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("descriptors %d → %d, goroutines %d → %d", fds, openFiles(t), routines, runtime.NumGoroutine())
		}
	}
	web.Sites[0].Root = t.TempDir()
	change, err := s.role.Prepare(t.Context(), s.node, s.listen())
	if err != nil {
		t.Fatal(err)
	}
	change.Commit()
	if a := s.get("GET", "/.stack/healthz"); a.StatusCode != 200 {
		t.Error(a.StatusCode)
	}
	s.close()
}

func TestAccessLog(t *testing.T) {
	root := t.TempDir()
	writeFile(t, filepath.Join(root, "a"), []byte("abc"))
	path := filepath.Join(t.TempDir(), "access.log")
	web := testWeb(config.WebSite{Root: root})
	web.AccessLog = config.AccessLog{Enabled: true, Path: path, Format: "combined"}
	web.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	s := serve(t, web)
	s.get("GET", "/a", "X-Forwarded-For: 203.0.113.5", "User-Agent: probe")
	s.get("GET", "/.stack/healthz")
	s.raw("GET /..%2f HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	s.close()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// Each loop writes its own lines in order; between loops there is none.
	text := string(b)
	if strings.Count(text, "\n") != 2 || !strings.Contains(text, "203.0.113.5 - - ") || !strings.Contains(text, `"GET /a HTTP/1.1" 200 `) ||
		!strings.Contains(text, `"GET /..%2f HTTP/1.1" 400 `) || strings.Contains(text, "healthz") {
		t.Errorf("%s", b)
	}
}
