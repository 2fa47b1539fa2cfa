package lb

import (
	"bytes"
	"path"
	"strings"
	"testing"

	"stack/appliance/config"
	"stack/roles/internal/exchange"
)

func TestCleanPath(t *testing.T) {
	for in, want := range map[string]string{
		"/":                 "/",
		"/a/b":              "/a/b",
		"/a/":               "/a/",
		"//a///b":           "/a/b",
		"/./a":              "/a",
		"/a/.":              "/a/",
		"/a/..":             "/",
		"/a/b/../c":         "/a/c",
		"/a/b/..":           "/a/",
		"/../../etc":        "/etc",
		"/..":               "/",
		"/a/../../b":        "/b",
		"/%61dmin":          "/admin",
		"/x/%2e%2E/admin":   "/admin",
		"/x/%2e./admin":     "/admin",
		"/a%2fb":            "/a%2Fb",
		"/a%2F..%2Fb":       "/a%2F..%2Fb",
		"/100%":             "/100%",
		"/%zz":              "/%zz",
		"/...":              "/...",
		"/.well-known/x":    "/.well-known/x",
		"/a/.b/..c":         "/a/.b/..c",
		"/%25%36%31":        "/%61", // decoded once, not twice
		"/a//../b":          "/b",
		"/a/./../b/%2e%2e/": "/",
	} {
		if got := string(cleanPath(nil, []byte(in))); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
		if !needsCleaning([]byte(in)) && in != want {
			t.Errorf("%s is said to be clean", in)
		}
	}
}

func FuzzCleanPath(f *testing.F) {
	for _, s := range []string{"/", "/a/../b", "/%2e%2e/x", "//", "/%", "/%2", "/a%2f%2E", "/.%00/.."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		in = "/" + in
		got := string(cleanPath(nil, []byte(in)))
		if len(got) > len(in) || got[0] != '/' {
			t.Fatalf("%q became %q", in, got)
		}
		// The standard library is the judge of dot segments where nothing is encoded.
		want := path.Clean(in)
		if strings.HasSuffix(in, "/") || strings.HasSuffix(in, "/.") || strings.HasSuffix(in, "/..") {
			want = strings.TrimSuffix(want, "/") + "/"
		}
		if !strings.Contains(in, "%") && got != want {
			t.Fatalf("%q became %q, want %q", in, got, want)
		}
		for _, seg := range strings.Split(got, "/") {
			if seg == "." || seg == ".." {
				t.Fatalf("%q became %q", in, got)
			}
		}
		if !needsCleaning([]byte(in)) && got != in {
			t.Fatalf("%q is said to be clean and becomes %q", in, got)
		}
	})
}

func TestHostName(t *testing.T) {
	for in, want := range map[string]string{
		"example.com": "example.com", "example.com:8080": "example.com", "example.com.": "example.com", "example.com.:80": "example.com",
		"[::1]": "[::1]", "[::1]:80": "[::1]", "": "", ":80": "", "10.0.0.1:1": "10.0.0.1",
	} {
		if got := string(hostName([]byte(in))); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestRoutesInOrder(t *testing.T) {
	pass := func(name string) *exchange.Pass { return &exchange.Pass{Name: name} }
	r := newRouter([]route{
		newRoute(config.Match{Host: "static.example.com", PathPrefix: "/assets/"}, pass("static")),
		newRoute(config.Match{PathPrefix: "/api"}, pass("api")),
		newRoute(config.Match{Path: "/exact"}, pass("exact")),
		newRoute(config.Match{Host: "*.Example.org"}, pass("wild")),
		newRoute(config.Match{Methods: []string{"PUT", "DELETE"}}, pass("write")),
		newRoute(config.Match{}, pass("rest")),
	}, nil, 1)
	if r.fallback == nil || r.fallback.Name != "rest" || len(r.routes) != 5 {
		t.Fatal("the last route takes everything and needs no matching")
	}
	for _, c := range []struct{ method, host, path, want string }{
		{"GET", "static.example.com", "/assets/x.css", "static"},
		{"GET", "STATIC.example.COM:8443", "/assets/x.css", "static"},
		{"GET", "static.example.com", "/assets", "static"},
		{"GET", "static.example.com", "/assetsx", "rest"},
		{"GET", "static.example.com", "/other", "rest"},
		{"GET", "x", "/api", "api"},
		{"GET", "x", "/api/v1", "api"},
		{"GET", "x", "/apix", "rest"},
		{"GET", "x", "/%61pi/v1", "api"},
		{"GET", "x", "/x/../api", "api"},
		{"GET", "x", "//api", "api"},
		{"PUT", "x", "/api", "api"},
		{"GET", "x", "/exact", "exact"},
		{"GET", "x", "/exact/", "rest"},
		{"GET", "a.example.org", "/", "wild"},
		{"GET", "a.b.example.org.", "/", "wild"},
		{"GET", "example.org", "/", "rest"},
		{"GET", "badexample.org", "/", "rest"},
		{"DELETE", "x", "/", "write"},
		{"delete", "x", "/", "rest"},
		{"OPTIONS", "x", "*", "rest"},
	} {
		p := []byte(c.path)
		if r.byPath && needsCleaning(p) {
			p = cleanPath(nil, p)
		}
		if got := r.choose([]byte(c.method), hostName([]byte(c.host)), p); got.Name != c.want {
			t.Errorf("%s %s %s: %s, want %s", c.method, c.host, c.path, got.Name, c.want)
		}
	}
	if got := newRouter([]route{newRoute(config.Match{Host: "a"}, pass("a"))}, nil, 1).choose([]byte("GET"), []byte("b"), []byte("/")); got != nil {
		t.Errorf("no route takes it, got %v", got.Name)
	}
}

func TestRedirectLocation(t *testing.T) {
	for _, c := range []struct {
		port              int
		host, path, query string
		has               bool
		want              string
	}{
		{443, "example.com", "/", "", false, "https://example.com/"},
		{0, "example.com:80", "/a%20b", "x=1", true, "https://example.com/a%20b?x=1"},
		{8443, "example.com:8080", "/", "", true, "https://example.com:8443/?"},
		{8443, "[::1]:8080", "//evil.example", "", false, "https://[::1]:8443//evil.example"},
	} {
		if got := string(newRedirect(c.port, 1).location(nil, []byte(c.host), []byte(c.path), []byte(c.query), c.has)); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
	for host, ok := range map[string]bool{"example.com": true, "[::1]:80": true, "": false, "a@b": false, "a/b": false, "a%0d": false, "ä": false} {
		if plainHost([]byte(host)) != ok {
			t.Errorf("host %q: %v", host, !ok)
		}
	}
}

func TestRequestIDs(t *testing.T) {
	e := newEditor("lb1", 2, nil)
	seen := map[string]bool{}
	for i := range 1000 {
		id := string(e.ids[i%2].next())
		if len(id) != 32 || seen[id] || bytes.ContainsFunc([]byte(id), func(r rune) bool { return !strings.ContainsRune("0123456789abcdef", r) }) {
			t.Fatalf("id %q", id)
		}
		seen[id] = true
	}
}

func BenchmarkChoose(b *testing.B) {
	var routes []route
	for _, h := range []string{"a.example.com", "b.example.com", "*.example.org"} {
		for _, p := range []string{"/assets", "/api", ""} {
			routes = append(routes, newRoute(config.Match{Host: h, PathPrefix: p}, &exchange.Pass{}))
		}
	}
	r := newRouter(routes, &exchange.Pass{}, 1)
	method, host, path := []byte("GET"), []byte("www.example.com"), []byte("/api/v1/things")
	b.ReportAllocs()
	for b.Loop() {
		r.choose(method, host, path)
	}
}
