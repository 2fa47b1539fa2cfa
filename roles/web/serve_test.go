package web

import (
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
	"sync"
	"sync/atomic"
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

func TestTrustedProxies(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Header.Get("X-Forwarded-For"))
	}))
	defer app.Close()
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

// Reloads under load lose no request, a bad one changes nothing, and counters go on.
func TestReloadUnderLoad(t *testing.T) {
	one, two := t.TempDir(), t.TempDir()
	writeFile(t, filepath.Join(one, "f"), []byte("one"))
	writeFile(t, filepath.Join(two, "f"), []byte("two"))
	s := serve(t, testWeb(config.WebSite{Root: one, Hosts: []string{"a.test"}}))
	var stop atomic.Bool
	var served atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			tr := &http.Transport{}
			defer tr.CloseIdleConnections()
			for !stop.Load() {
				res, err := (&http.Client{Transport: tr}).Get("http://" + s.addr + "/f")
				if err != nil {
					t.Error(err)
					return
				}
				b, err := io.ReadAll(res.Body)
				res.Body.Close()
				if err != nil || string(b) != "one" && string(b) != "two" {
					t.Errorf("%d %q %v", res.StatusCode, b, err)
					return
				}
				served.Add(1)
			}
		})
	}
	for i := range 20 {
		for n := served.Load(); served.Load() < n+50 && !t.Failed(); {
			runtime.Gosched()
		}
		err := s.reload(func(w *config.Web) {
			w.Sites = []config.WebSite{{Root: []string{one, two}[i%2], Hosts: []string{"a.test"}}}
			complete(&w.Sites[0])
		})
		if err != nil {
			t.Error(err)
		}
		if err := s.reload(func(w *config.Web) { w.Sites = []config.WebSite{{Root: one + "/none"}} }); err == nil {
			t.Error("a missing root was taken")
		}
	}
	stop.Store(true)
	wg.Wait()
	if got := s.get("GET", "/f").body; got != "two" {
		t.Errorf("after the last reload: %q", got)
	}
	want := served.Load() + 1
	if got := s.metric("stack_web_requests_total", "2xx"); got != float64(want) {
		t.Errorf("counted %v, served %d", got, want)
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

// Ten thousand requests of every kind leave no descriptor and no goroutine behind.
func TestNothingLeaks(t *testing.T) {
	root, _, _ := staticSite(t)
	f := startFPM(t, 4)
	for name, text := range scripts {
		writeFile(t, filepath.Join(root, name), []byte(text))
	}
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "app") }))
	defer app.Close()
	fds, routines := openFiles(t), runtime.NumGoroutine()
	s := serve(t, testWeb(config.WebSite{Root: root, Locations: []config.Location{
		{Regex: `\.php(/|$)`, FastCGI: &config.FastCGI{Address: "unix:" + f.socket, Index: "index.php"}},
		{Path: "/api/", Proxy: &config.Proxy{Servers: []config.Server{{Name: "a", Address: strings.TrimPrefix(app.URL, "http://"), Weight: 1}}}},
	}}))
	paths := []string{"/small.bin", "/large.bin", "/nothing", "/docs", "/", "/../x", "/cookies.php", "/api/x", "/empty.txt", "/none.php", "/.env", "/small.bin?again"}
	var wg sync.WaitGroup
	const clients, total = 8, 10000
	for c := range clients {
		wg.Go(func() {
			tr := &http.Transport{DisableKeepAlives: c%2 == 0}
			defer tr.CloseIdleConnections()
			for i := range total / clients {
				path := paths[i%len(paths)]
				if path == "/large.bin" && i%60 != 1 {
					path = "/small.bin"
				}
				req, _ := http.NewRequest("GET", "http://"+s.addr+path, nil)
				if i%5 == 0 {
					req.Header.Set("Range", "bytes=0-1,5-6")
				}
				res, err := tr.RoundTrip(req)
				if err != nil {
					t.Error(path, err)
					return
				}
				if i%97 != 0 { // some leave in the middle
					io.Copy(io.Discard, res.Body)
				}
				res.Body.Close()
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	s.close()
	s.sockets.Close()
	app.CloseClientConnections()
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	client.CloseIdleConnections()
	var fds2, routines2 int
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		runtime.GC() // roots close when they are collected
		fds2, routines2 = openFiles(t), runtime.NumGoroutine()
		if fds2 <= fds && routines2 <= routines {
			return
		}
	}
	stacks := make([]byte, 1<<20)
	t.Errorf("descriptors: %d before, %d after; goroutines: %d before, %d after\n%s\n%s", fds, fds2, routines, routines2, links(), stacks[:runtime.Stack(stacks, true)])
}

// links names the open descriptors.
func links() string {
	var b strings.Builder
	names, _ := os.ReadDir("/proc/self/fd")
	for _, n := range names {
		to, _ := os.Readlink("/proc/self/fd/" + n.Name())
		fmt.Fprintln(&b, n.Name(), to)
	}
	return b.String()
}

func openFiles(t *testing.T) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}
