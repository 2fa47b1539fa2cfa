package web

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stack/appliance/config"
	"stack/roles/internal/upstream"
	"stack/roles/web/static"
	"stack/roles/web/target"
)

func quietLog() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// files writes a tree: a name that ends in / is a directory, "a -> b" a link.
func files(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		link, to, isLink := strings.Cut(name, " -> ")
		path := filepath.Join(dir, link)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		switch {
		case isLink:
			err = os.Symlink(to, path)
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(path, 0o755)
		default:
			err = os.WriteFile(path, []byte("content of "+name), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// buildSites makes the sites of a configuration without event loops.
func buildSites(t testing.TB, sites ...config.WebSite) (*generation, error) {
	t.Helper()
	for i := range sites {
		complete(&sites[i])
	}
	pools := upstream.NewSet(1, quietLog(), nil)
	t.Cleanup(pools.Close)
	b := builder{node: &config.Node{Name: "web1", Web: &config.Web{Loops: 1, Sites: sites, HealthPath: "/.stack/healthz"}},
		loops: 1, pools: pools, log: quietLog()}
	return b.generation(t.Context())
}

// complete does what Resolve does for sites.
func complete(s *config.WebSite) {
	if len(s.Index) == 0 {
		s.Index = []string{"index.html"}
	}
	if len(s.TryFiles) == 0 {
		s.TryFiles = []string{"$uri", "$uri/"}
	}
}

// decide resolves a raw path and writes the decision as text.
func decide(t *testing.T, g *generation, raw string) string {
	t.Helper()
	path, query, _ := strings.Cut(raw, "?")
	d, err := target.Decode(nil, []byte(path))
	if err != nil {
		return "400"
	}
	loader, scratch := &static.Loader{}, &scratch{}
	s := g.hosts.first
	a, known, _ := s.resolve(loader, d.Path, []byte(query), d.EncodedSlash, scratch)
	if !known {
		t.Fatal("a loader always knows")
	}
	cache := static.NewCache()
	defer cache.Keep(nobody)
	loader.Into(cache, time.Now())
	switch a.verb {
	case giveFile:
		return "file " + strings.TrimPrefix(a.entry.Path(), "/")
	case giveDirectory:
		return "301"
	case runScript:
		text := fmt.Sprintf("run %s info=%s", a.script, a.info)
		if len(a.query) > 0 {
			text += " query=" + string(a.query)
		}
		return text
	case runProxy:
		return "proxy"
	case runApp:
		return "app"
	}
	return fmt.Sprint(a.status)
}

func phpLocation() config.Location {
	return config.Location{Regex: `\.php(/|$)`, FastCGI: &config.FastCGI{Address: "unix:/run/php.sock", Index: "index.php"}}
}

// Every way that has led somebody to a file he must not see.
func TestNothingEscapesAndNoSourceIsShown(t *testing.T) {
	base := t.TempDir()
	root := filepath.Join(base, "www")
	files(t, base, "secret.txt", "www-old/secret.txt")
	files(t, root, "index.html", "a.txt", "app.php", "APP2.PHP", "x.php.", "x.php~", "lib/db.inc.php", "dir/index.php", "empty/",
		"up/evil.jpg", ".env", ".git/config", ".well-known/acme/token", ".well-known/.hidden", "txt-link.txt -> app.php",
		"in.txt -> a.txt", "out.txt -> ../secret.txt", "outdir -> ../www-old", "a b.txt", "per%cent.txt", "name.php.txt", "shell.phtml")
	php := phpLocation()
	php.Regex = `\.(php|phtml)(/|$)`
	g, err := buildSites(t, config.WebSite{Root: root, Index: []string{"index.html", "index.php"},
		Locations: []config.Location{php, {Path: "/static/", Final: true, Root: root}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ path, want string }{
		{"/", "file index.html"},
		{"/a.txt", "file a.txt"},
		{"//a.txt", "file a.txt"},
		{"/./a.txt", "file a.txt"},
		{"/%61.txt", "file a.txt"},
		{"/in.txt", "file in.txt"},
		{"/a%20b.txt", "file a b.txt"},
		{"/per%25cent.txt", "file per%cent.txt"},
		{"/name.php.txt", "file name.php.txt"},
		{"/a.txt/", "404"},
		{"/a.txt/x", "404"},
		{"/empty/", "404"},
		{"/empty", "404"},
		{"/dir", "301"},
		{"/dir/", "run /dir/index.php info="},
		// climbing
		{"/../secret.txt", "400"},
		{"/..%2fsecret.txt", "400"},
		{"/%2e%2e/secret.txt", "400"},
		{"/%2e%2e%2fsecret.txt", "400"},
		{"/a/../../secret.txt", "400"},
		{"/..;/secret.txt", "404"},
		{"/%252e%252e/secret.txt", "404"},
		{"/..%5csecret.txt", "400"},
		{"/..\\secret.txt", "400"},
		{"/%c0%ae%c0%ae/secret.txt", "404"},
		{"/..%00/secret.txt", "400"},
		{"/a.txt%00.html", "400"},
		{"/www-old/secret.txt", "404"},
		{"/../www-old/secret.txt", "400"},
		{"/" + base + "/secret.txt", "404"},
		{"/out.txt", "404"},
		{"/outdir/secret.txt", "404"},
		{"/outdir/", "404"},
		{"/dir%2findex.php", "400"},
		// hidden files
		{"/.env", "404"},
		{"/%2eenv", "404"},
		{"//.env", "404"},
		{"/.git/config", "404"},
		{"/dir/../.git/config", "404"},
		{"/.well-known/acme/token", "file .well-known/acme/token"},
		{"/.well-known/.hidden", "404"},
		{"/.well-known/../.env", "404"},
		// scripts: run, or refused, never shown
		{"/app.php", "run /app.php info="},
		{"/app.php?x=1", "run /app.php info= query=x=1"},
		{"/app%2ephp", "run /app.php info="},
		{"/app.%70hp", "run /app.php info="},
		{"//app.php", "run /app.php info="},
		{"/app.php/", "run /app.php info=/index.php"},
		{"/app.php/more/path", "run /app.php info=/more/path"},
		{"/app.php/x.php", "run /app.php info=/x.php"},
		{"/shell.phtml", "run /shell.phtml info="},
		{"/nothing.php", "404"},
		{"/nothing.php/x", "404"},
		{"/up/evil.jpg", "file up/evil.jpg"},
		{"/up/evil.jpg/x.php", "404"},
		{"/up/evil.jpg/.php", "404"},
		{"/up/evil.jpg%00.php", "400"},
		{"/app.PHP", "404"},
		{"/APP2.PHP", "404"},
		{"/app2.php", "404"},
		{"/x.php.", "404"},
		{"/x.php%2e", "404"},
		{"/x.php~", "404"},
		{"/x.php%20", "404"},
		{"/txt-link.txt", "404"},
		{"/static/../app.php", "run /app.php info="},
		{"/lib/db.inc.php", "run /lib/db.inc.php info="},
	} {
		if got := decide(t, g, c.path); got != c.want {
			t.Errorf("%-32s %s, want %s", c.path, got, c.want)
		}
	}
}

// A location with files of its own below a final prefix still shows no source, nor does
// one whose own root holds it.
func TestSourceIsRefusedInEveryLocation(t *testing.T) {
	root, other := t.TempDir(), t.TempDir()
	files(t, root, "assets/a.css", "assets/conf.php", "d/index.php", "only.php5")
	files(t, other, "dl/tool.php", "dl/tool.zip", "fallback.php")
	g, err := buildSites(t, config.WebSite{Root: root, Locations: []config.Location{
		phpLocation(),
		{Path: "/assets/", Final: true},
		{Path: "/dl/", Final: true, Root: other},
		{Exact: "/one", TryFiles: []string{"/only.php5", "=404"}},
		{Path: "/d/", Final: true, Index: []string{"index.php"}},
		{Path: "/loop/", Final: true, TryFiles: []string{"/loop/again"}},
		{Path: "/gone/", Final: true, Status: 410},
		{Path: "/try/", TryFiles: []string{"$uri", "/assets/a.css"}},
		{Path: "/code/", TryFiles: []string{"$uri", "=403"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/assets/a.css":    "file assets/a.css",
		"/assets/conf.php": "404",
		"/dl/tool.zip":     "file dl/tool.zip",
		"/dl/tool.php":     "404",
		"/dl/tool.php/x":   "404",
		"/d/":              "404", // its index is a script, and final keeps the location that would run it away
		"/loop/x":          "500",
		"/gone/a":          "410",
		"/try/x":           "file assets/a.css",
		"/code/x":          "403",
		"/one":             "file only.php5", // .php5 is no extension of a script here
	} {
		if got := decide(t, g, path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

func TestFrontController(t *testing.T) {
	root := t.TempDir()
	files(t, root, "index.php", "css/site.css", "blog/index.html", "page.html")
	for _, c := range []struct {
		try  []string
		path string
		want string
	}{
		{[]string{"$uri", "$uri/", "/index.php"}, "/post/7?a=b", "run /index.php info= query=a=b"},
		{[]string{"$uri", "$uri/", "/index.php"}, "/css/site.css", "file css/site.css"},
		{[]string{"$uri", "$uri/", "/index.php"}, "/css/", "run /index.php info="},
		{[]string{"$uri", "$uri/", "/index.php"}, "/blog/", "file blog/index.html"},
		{[]string{"$uri", "$uri/", "/index.php"}, "/.git/x", "run /index.php info="},
		{[]string{"$uri", "$uri/", "/index.php"}, "/", "run /index.php info="},
		{[]string{"$uri", "/index.php?$args"}, "/p?x=1", "run /index.php info= query=x=1"},
		{[]string{"$uri.html", "=404"}, "/page", "file page.html"},
		{[]string{"$uri.html", "=404"}, "/none", "404"},
		{[]string{"/blog$uri", "=404"}, "/index.html", "file blog/index.html"},
	} {
		g, err := buildSites(t, config.WebSite{Root: root, Index: []string{"index.html", "index.php"}, TryFiles: c.try,
			Locations: []config.Location{phpLocation()}})
		if err != nil {
			t.Fatal(err)
		}
		if got := decide(t, g, c.path); got != c.want {
			t.Errorf("%v %s: %s, want %s", c.try, c.path, got, c.want)
		}
	}
}

func TestLocationOrder(t *testing.T) {
	root := t.TempDir()
	status := func(n int, l config.Location) config.Location { l.Status = n; return l }
	g, err := buildSites(t, config.WebSite{Root: root, Locations: []config.Location{
		status(401, config.Location{Regex: `\.x$`}),
		status(402, config.Location{Regex: `/deep/.*\.x$`}),
		status(403, config.Location{Path: "/api"}),
		status(405, config.Location{Path: "/api/v1/"}),
		status(406, config.Location{Path: "/files/", Final: true}),
		status(407, config.Location{Exact: "/api/a.x"}),
		{Path: "/app/", Proxy: &config.Proxy{Servers: []config.Server{{Name: "a", Address: "127.0.0.1:1", Weight: 1}}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/api/a.x": "407", "/api/b.x": "401", "/deep/b.x": "401", "/api": "403", "/api/": "403", "/api/z": "403", "/apix": "404",
		"/api/v1/": "405", "/api/v1": "403", "/files/b.x": "406", "/app/%2F": "proxy", "/app/..%2fx": "400", "/app/x": "proxy",
	} {
		if got := decide(t, g, path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

func TestHosts(t *testing.T) {
	root := t.TempDir()
	g, err := buildSites(t, config.WebSite{Root: root, Hosts: []string{"first.test"}},
		config.WebSite{Root: root, Hosts: []string{"Www.Example.com", "*.example.org"}},
		config.WebSite{Root: root, Hosts: []string{"*.deep.example.org", "[::1]"}})
	if err == nil {
		t.Fatal("an address in brackets is no host name")
	}
	g, err = buildSites(t, config.WebSite{Root: root, Hosts: []string{"first.test"}},
		config.WebSite{Root: root, Hosts: []string{"Www.Example.com", "*.example.org"}},
		config.WebSite{Root: root, Hosts: []string{"*.deep.example.org"}})
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]string{
		"first.test": "first.test", "www.example.com": "Www.Example.com", "WWW.EXAMPLE.COM.": "Www.Example.com",
		"www.example.com:8080": "Www.Example.com", "www.example.com.:8080": "Www.Example.com", "a.example.org": "Www.Example.com",
		"a.b.example.org": "Www.Example.com", "example.org": "first.test", "x.deep.example.org": "*.deep.example.org",
		"": "first.test", "unknown": "first.test", "[::1]:80": "first.test", "10.0.0.1": "first.test", "evilexample.org": "first.test",
	} {
		if got := g.hosts.find(nil, []byte(host)).name; got != want {
			t.Errorf("%q: %s, want %s", host, got, want)
		}
	}
	g, err = buildSites(t, config.WebSite{Root: root, Hosts: []string{"a.test"}}, config.WebSite{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	if got := g.hosts.find(nil, []byte("b.test")).name; got != "default" {
		t.Error("a site without names is for all that no site has, not", got)
	}
}

func TestBadSites(t *testing.T) {
	root := t.TempDir()
	files(t, root, "e.php", "e.html")
	site := func(edit func(*config.WebSite)) []config.WebSite {
		s := config.WebSite{Hosts: []string{"a.test"}, Root: root}
		edit(&s)
		return []config.WebSite{s}
	}
	location := func(l config.Location) []config.WebSite {
		return site(func(s *config.WebSite) { s.Locations = []config.Location{l} })
	}
	const at = "web.sites[0] (a.test): "
	for _, c := range []struct {
		sites []config.WebSite
		want  string
	}{
		{nil, "web.sites: is empty; name at least one site"},
		{site(func(s *config.WebSite) { s.Root = root + "/no" }), at + "root " + root + "/no: the directory does not exist; create it, or correct the path"},
		{site(func(s *config.WebSite) { s.Root = root + "/e.html" }), at + "root " + root + "/e.html: is not a directory; name the directory that holds the files"},
		{site(func(s *config.WebSite) { s.Root = "" }), at + "root is missing; name the directory of the site's files, or give every path a location"},
		{site(func(s *config.WebSite) { s.App = "shop" }), at + `app: "shop" is not known; the only one is demo`},
		{site(func(s *config.WebSite) { s.TryFiles = []string{"=404", "$uri"} }), at + `try_files: "=404": a status can only be the last entry`},
		{site(func(s *config.WebSite) { s.TryFiles = []string{"=200"} }), at + `try_files: "=200": want = and a status from 400 to 599`},
		{site(func(s *config.WebSite) { s.TryFiles = []string{"$host"} }), at + `try_files: "$host": $uri is the only variable of a path`},
		{site(func(s *config.WebSite) { s.TryFiles = []string{"/i.php?a=b"} }), at + `try_files: "/i.php?a=b": a query can only be ?$args, the one of the request`},
		{site(func(s *config.WebSite) { s.TryFiles = []string{"/../x"} }), at + `try_files: "/../x": a path holds no dot segment`},
		{site(func(s *config.WebSite) { s.TryFiles = []string{"index.php"} }), at + `try_files: "index.php": a path begins with / or $uri`},
		{site(func(s *config.WebSite) { s.ErrorPages = []config.ErrorPage{{Status: []int{404}, File: "no.html"}} }),
			at + "error_pages[0]: file /no.html below " + root + ": no such file"},
		{location(config.Location{Regex: "(", Status: 404}), at + "locations[0]: regex \"(\": error parsing regexp: missing closing ): `(`"},
		{location(config.Location{Status: 404}), at + "locations[0]: give exactly one of exact, path and regex"},
		{location(config.Location{Path: "/a/../b", Status: 404}), at + `locations[0]: path "/a/../b": no request has this path: paths are compared decoded, like "/b"`},
		{location(config.Location{Exact: "/a", Final: true, Status: 404}), at + "locations[0]: final belongs to a location with path"},
		{location(config.Location{Path: "/a", Status: 404, Proxy: &config.Proxy{}}), at + "locations[0]: more than one of proxy, fastcgi and status is given; a location does one thing"},
		{location(config.Location{Path: "/a", Status: 410, Expires: new(time.Duration)}), at + "locations[0]: expires is for files; what answers here says itself how long its answers keep"},
		{location(config.Location{Path: "/a", FastCGI: &config.FastCGI{Address: "unix:/x"}, Index: []string{"x"}}), at + "locations[0]: index and try_files are for files, and this location serves none; fastcgi.index names the script of a directory"},
		{location(config.Location{Path: "/a", Proxy: &config.Proxy{}}), at + "locations[0]: proxy.servers: is empty; name at least one server"},
		{location(config.Location{Path: "/a", FastCGI: &config.FastCGI{Address: "php"}}), at + `locations[0]: fastcgi: address "php": want unix:/path or host:port`},
		{location(config.Location{Path: "/a", FastCGI: &config.FastCGI{Address: "unix:/x", Params: []config.Param{{Name: "HTTP_PROXY", Value: "x"}}}}),
			at + "locations[0]: fastcgi.params: HTTP_PROXY is never passed to an application (CVE-2016-5385)"},
		{append(site(func(*config.WebSite) {}), site(func(*config.WebSite) {})...), `web.sites: hosts: "a.test" stands in two sites or twice in one; a name belongs to one site`},
	} {
		if _, err := buildSites(t, c.sites...); err == nil || err.Error() != c.want {
			t.Errorf("got  %v\nwant %s", err, c.want)
		}
	}
}

// TestIndexThatAnotherLocationAnswers: an index file whose path belongs to an
// application is asked of that, as a request for it would be, and not shown.
func TestIndexThatAnotherLocationAnswers(t *testing.T) {
	root := t.TempDir()
	writeFile(t, filepath.Join(root, "index.php"), []byte("<?php secret"))
	writeFile(t, filepath.Join(root, "dir", "index.html"), []byte("shown"))
	s := serve(t, testWeb(config.WebSite{Root: root, Index: []string{"index.html", "index.php"},
		Locations: []config.Location{{Regex: `\.php$`, Status: 403}}}))
	for range 2 { // from the disk, then from the cache
		for path, want := range map[string]int{"/": 403, "/index.php": 403, "/dir/": 200} {
			if a := s.get("GET", path); a.StatusCode != want || strings.Contains(a.body, "secret") {
				t.Errorf("%s: %d %q, want %d", path, a.StatusCode, a.body, want)
			}
		}
	}
}

func FuzzTryFiles(f *testing.F) {
	f.Add("$uri", "/a/b")
	f.Add("/index.php?$args", "/a b")
	f.Add("$uri/", "/")
	f.Fuzz(func(t *testing.T, entry, uri string) {
		items, err := parseTryFiles([]string{entry})
		if err != nil || !strings.HasPrefix(uri, "/") {
			return
		}
		if items[0].status == 0 {
			if p := items[0].appendPath(nil, []byte(uri)); !strings.HasPrefix(string(p), "/") {
				t.Fatalf("%q of %q gave %q", entry, uri, p)
			}
		}
	})
}
