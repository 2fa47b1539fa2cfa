package web

import (
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stack/appliance/config"
)

// staticSite has a small and a large file.
func staticSite(t testing.TB) (root string, small, large []byte) {
	root = t.TempDir()
	small, large = pattern(4096), pattern(3<<20)
	writeFile(t, filepath.Join(root, "small.bin"), small)
	writeFile(t, filepath.Join(root, "large.bin"), large)
	writeFile(t, filepath.Join(root, "empty.txt"), nil)
	writeFile(t, filepath.Join(root, "index.html"), []byte("<h1>hello</h1>"))
	writeFile(t, filepath.Join(root, "docs", "index.html"), []byte("docs"))
	writeFile(t, filepath.Join(root, "css", "a b.css"), []byte("p{}"))
	writeFile(t, filepath.Join(root, "404.html"), []byte("<h1>nothing of ours</h1>"))
	return root, small, large
}

func TestStaticFiles(t *testing.T) {
	root, small, large := staticSite(t)
	year := 365 * 24 * time.Hour
	s := serve(t, testWeb(config.WebSite{Root: root, ErrorPages: []config.ErrorPage{{Status: []int{404}, File: "404.html"}},
		Locations: []config.Location{{Path: "/css/", Final: true, Expires: &year}}}))
	for round := range 2 { // from the disk, then from the cache
		a := s.get("GET", "/small.bin")
		if a.StatusCode != 200 || a.body != string(small) || a.ContentLength != 4096 {
			t.Fatalf("round %d: %d, %d bytes", round, a.StatusCode, len(a.body))
		}
		for name, want := range map[string]string{"Content-Type": "application/octet-stream", "X-Content-Type-Options": "nosniff",
			"Accept-Ranges": "bytes", "Server": "stack"} {
			if got := a.Header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		if a.Header.Get("Etag") == "" || a.Header.Get("Last-Modified") == "" || a.Header.Get("Date") == "" {
			t.Error("validators are missing:", a.Header)
		}
		if a = s.get("GET", "/large.bin"); a.body != string(large) || a.ContentLength != int64(len(large)) {
			t.Errorf("large: %d bytes of %d", len(a.body), len(large))
		}
		for _, path := range []string{"/small.bin", "/large.bin"} {
			if a = s.get("HEAD", path); a.StatusCode != 200 || a.body != "" || a.ContentLength <= 0 {
				t.Errorf("HEAD %s: %d, length %d", path, a.StatusCode, a.ContentLength)
			}
		}
		if a = s.get("GET", "/empty.txt"); a.StatusCode != 200 || a.body != "" || a.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("empty: %d %q %v", a.StatusCode, a.body, a.Header)
		}
		if a = s.get("GET", "/"); a.body != "<h1>hello</h1>" || a.Header.Get("Content-Type") != "text/html; charset=utf-8" {
			t.Errorf("index: %q", a.body)
		}
		if a = s.get("GET", "/docs?x=1%202"); a.StatusCode != 301 || a.Header.Get("Location") != "/docs/?x=1%202" {
			t.Errorf("directory: %d %q", a.StatusCode, a.Header.Get("Location"))
		}
		if a = s.get("GET", "/docs/"); a.body != "docs" {
			t.Errorf("docs: %q", a.body)
		}
		if a = s.get("GET", "/css/a%20b.css"); a.body != "p{}" || a.Header.Get("Cache-Control") != "max-age=31536000" {
			t.Errorf("css: %q %v", a.body, a.Header)
		}
		if a = s.get("GET", "/nothing"); a.StatusCode != 404 || a.body != "<h1>nothing of ours</h1>" {
			t.Errorf("404: %d %q", a.StatusCode, a.body)
		}
		if a = s.get("OPTIONS", "/small.bin"); a.StatusCode != 204 || a.Header.Get("Allow") != "GET, HEAD, OPTIONS" {
			t.Errorf("OPTIONS: %d %v", a.StatusCode, a.Header)
		}
		for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "TRACE"} {
			if a = s.get(method, "/small.bin"); a.StatusCode != 405 || a.Header.Get("Allow") != "GET, HEAD, OPTIONS" || !strings.Contains(a.body, "405 Method Not Allowed") {
				t.Errorf("%s: %d %v", method, a.StatusCode, a.Header)
			}
		}
	}
	if got := s.raw("OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, "204") {
		t.Error("OPTIONS *:", got)
	}
}

func TestConditionalRequests(t *testing.T) {
	root, _, _ := staticSite(t)
	s := serve(t, testWeb(config.WebSite{Root: root}))
	first := s.get("GET", "/small.bin")
	etag, modified := first.Header.Get("Etag"), first.Header.Get("Last-Modified")
	old := "Mon, 01 Jan 2001 00:00:00 GMT"
	for _, c := range []struct {
		fields []string
		want   int
	}{
		{[]string{"If-None-Match: " + etag}, 304},
		{[]string{"If-None-Match: W/" + etag}, 304},
		{[]string{`If-None-Match: "x"`, "If-None-Match: " + etag}, 304},
		{[]string{`If-None-Match: "x"`}, 200},
		{[]string{"If-None-Match: *"}, 304},
		{[]string{"If-Modified-Since: " + modified}, 304},
		{[]string{"If-Modified-Since: " + old}, 200},
		{[]string{`If-None-Match: "x"`, "If-Modified-Since: " + modified}, 200},
		{[]string{"If-Match: " + etag}, 200},
		{[]string{`If-Match: "x"`}, 412},
		{[]string{"If-Unmodified-Since: " + old}, 412},
		{[]string{"If-Unmodified-Since: " + modified}, 200},
		{[]string{"Range: bytes=0-1", "If-Range: " + etag}, 206},
		{[]string{"Range: bytes=0-1", `If-Range: "x"`}, 200},
		{[]string{"Range: bytes=0-1", "If-None-Match: " + etag}, 304},
		{[]string{"Range: bytes=0-1", `If-Match: "x"`}, 412},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			a, want := s.get(method, "/small.bin", c.fields...), c.want
			if method == "HEAD" && want == 206 {
				want = 200
			}
			if a.StatusCode != want {
				t.Errorf("%s %v: %d, want %d", method, c.fields, a.StatusCode, want)
			}
			if want == 304 && (a.Header.Get("Etag") != etag || a.Header.Get("Last-Modified") != modified || a.body != "") {
				t.Errorf("%v: 304 with %v", c.fields, a.Header)
			}
		}
	}
}

func TestRanges(t *testing.T) {
	root, small, large := staticSite(t)
	s := serve(t, testWeb(config.WebSite{Root: root}))
	for _, file := range []struct {
		path string
		body []byte
	}{{"/small.bin", small}, {"/large.bin", large}} {
		n := len(file.body)
		for field, want := range map[string]string{
			"bytes=0-0":                             string(file.body[:1]),
			"bytes=100-199":                         string(file.body[100:200]),
			"bytes=-10":                             string(file.body[n-10:]),
			fmt.Sprintf("bytes=%d-", n-5):           string(file.body[n-5:]),
			fmt.Sprintf("bytes=10-%d", n*10):        string(file.body[10:]),
			"bytes=5-4":                             string(file.body),
			"lines=1-2":                             string(file.body),
			"bytes=0-,0-":                           string(file.body),
			"bytes=" + strings.Repeat("1-2,", 20):   string(file.body),
			fmt.Sprintf("bytes=%d-%d,0-1", n, n+10): string(file.body[:2]),
		} {
			a := s.get("GET", file.path, "Range: "+field)
			if a.body != want {
				t.Errorf("%s %s: %d, %d bytes, want %d", file.path, field, a.StatusCode, len(a.body), len(want))
			}
			if status := 206; len(want) == n {
				status = 200
				if a.StatusCode != status {
					t.Errorf("%s %s: %d", file.path, field, a.StatusCode)
				}
			} else if a.StatusCode != status || !strings.HasSuffix(a.Header.Get("Content-Range"), fmt.Sprintf("/%d", n)) {
				t.Errorf("%s %s: %d %v", file.path, field, a.StatusCode, a.Header)
			}
		}
		for _, field := range []string{fmt.Sprintf("bytes=%d-", n), "bytes=-0"} {
			a := s.get("GET", file.path, "Range: "+field)
			if a.StatusCode != 416 || a.Header.Get("Content-Range") != fmt.Sprintf("bytes */%d", n) {
				t.Errorf("%s: %d %v", field, a.StatusCode, a.Header)
			}
		}
		a := s.get("GET", file.path, "Range: bytes=0-9,100-2099,-5")
		checkParts(t, a, []string{string(file.body[:10]), string(file.body[100:2100]), string(file.body[n-5:])}, n)
	}
	// Parts that are longer than what a socket takes at once.
	a := s.get("GET", "/large.bin", "Range: bytes=0-999999,1000000-1999999,-1000000")
	n := len(large)
	checkParts(t, a, []string{string(large[:1000000]), string(large[1000000:2000000]), string(large[n-1000000:])}, n)
	if got := s.curl("--range", "5-9", "--output", "-", "URL/small.bin"); got != string(small[5:10]) {
		t.Errorf("curl: %q", got)
	}
}

func checkParts(t *testing.T, a answer, want []string, size int) {
	t.Helper()
	kind, params, err := mime.ParseMediaType(a.Header.Get("Content-Type"))
	if a.StatusCode != 206 || err != nil || kind != "multipart/byteranges" {
		t.Fatalf("%d %v", a.StatusCode, a.Header)
	}
	if a.ContentLength != int64(len(a.body)) {
		t.Errorf("length %d of %d", a.ContentLength, len(a.body))
	}
	r := multipart.NewReader(strings.NewReader(a.body), params["boundary"])
	for i, w := range want {
		p, err := r.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(p)
		if err != nil || string(body) != w || !strings.HasSuffix(p.Header.Get("Content-Range"), fmt.Sprintf("/%d", size)) {
			t.Errorf("part %d: %d bytes, want %d, %v %v", i, len(body), len(w), p.Header, err)
		}
	}
	if _, err := r.NextPart(); err != io.EOF {
		t.Error("more parts:", err)
	}
}

// A file that changes is seen within the second that an entry is believed, and a little.
func TestChangesAreSeen(t *testing.T) {
	root, _, _ := staticSite(t)
	s := serve(t, testWeb(config.WebSite{Root: root}))
	path := filepath.Join(root, "small.bin")
	waitBody := func(what, want string) {
		t.Helper()
		var got string
		for end := time.Now().Add(3 * time.Second); time.Now().Before(end); {
			if got = s.get("GET", "/small.bin").body; got == want {
				return
			}
		}
		t.Errorf("%s: still %q", what, got[:min(20, len(got))])
	}
	s.get("GET", "/small.bin")
	writeFile(t, path, []byte("one"))
	waitBody("rewritten", "one")
	writeFile(t, path, []byte("two"))
	waitBody("rewritten with the same size", "two")
	writeFile(t, path+".new", []byte("three"))
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	waitBody("replaced", "three")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	_, notFound := builtinPage(404)
	waitBody("removed", string(notFound))
	writeFile(t, path, []byte("four"))
	waitBody("there again", "four")
}

// Permissions give 403, and the log says so; not one line for each request.
func TestPermissions(t *testing.T) {
	if os.Geteuid() == 0 {
		// Root reads everything: the loop threads and workers would too.
		t.Skip("runs as root, who may read every file; run as another user")
	}
	root := t.TempDir()
	writeFile(t, filepath.Join(root, "a"), []byte("a"))
	if err := os.Chmod(filepath.Join(root, "a"), 0); err != nil {
		t.Fatal(err)
	}
	s := serve(t, testWeb(config.WebSite{Root: root}))
	for range 20 {
		if a := s.get("GET", "/a"); a.StatusCode != 403 {
			t.Fatal(a.StatusCode)
		}
	}
	if n := strings.Count(s.log.String(), "may not be read"); n < 1 || n > 3 {
		t.Errorf("%d lines in the log", n)
	}
}

// A root that is a link to a release follows the link when it is turned.
func TestRootLinkIsFollowed(t *testing.T) {
	base := t.TempDir()
	writeFile(t, filepath.Join(base, "r1", "v"), []byte("one"))
	writeFile(t, filepath.Join(base, "r2", "v"), []byte("two"))
	link := filepath.Join(base, "current")
	if err := os.Symlink("r1", link); err != nil {
		t.Fatal(err)
	}
	s := serve(t, testWeb(config.WebSite{Root: link}))
	if got := s.get("GET", "/v").body; got != "one" {
		t.Fatal(got)
	}
	if err := os.Symlink("r2", link+".new"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(link+".new", link); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); s.get("GET", "/v").body != "two"; {
		if time.Now().After(end) {
			t.Fatal("the old release is still served")
		}
	}
}

// A file that shrinks while it is sent cuts the connection instead of sending less.
func TestTruncatedWhileSent(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "big")
	writeFile(t, path, pattern(64<<20))
	s := serve(t, testWeb(config.WebSite{Root: root}))
	res, err := http.Get("http://" + s.addr + "/big")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.CopyN(io.Discard, res.Body, 1<<20); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 1<<20); err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, res.Body)
	if err == nil {
		t.Errorf("%d more bytes came without an error", n)
	}
	if a := s.get("GET", "/nothing"); a.StatusCode != 404 {
		t.Error("the server does not go on:", a.StatusCode)
	}
}

// The escape table once more, over the wire and with real symlinks under each policy.
func TestSymlinkPoliciesOverTheWire(t *testing.T) {
	base := t.TempDir()
	root := filepath.Join(base, "www")
	files(t, base, "secret.txt")
	files(t, root, "a.txt", "in -> a.txt", "abs -> "+filepath.Join(root, "a.txt"), "out -> ../secret.txt", "out-abs -> "+filepath.Join(base, "secret.txt"))
	for policy, want := range map[string]string{"within": "200 200 404 404", "follow": "200 200 200 200", "deny": "404 404 404 404"} {
		s := serve(t, testWeb(config.WebSite{Root: root, Symlinks: policy}))
		var got []string
		for _, p := range []string{"/in", "/abs", "/out", "/out-abs"} {
			got = append(got, fmt.Sprint(s.get("GET", p).StatusCode))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", policy, got, want)
		}
		for _, p := range []string{"/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "/a/../../secret.txt", "/..%5c..%5csecret.txt",
			"/%2e%2e%2f%2e%2e%2fetc/passwd", "/.%00./secret.txt", "//etc/passwd", "/a.txt/../../secret.txt"} {
			if out := s.curl("URL" + p); strings.Contains(out, "content of secret") || strings.Contains(out, "root:") {
				t.Errorf("%s: %s", p, out)
			}
			if out := s.raw("GET " + p + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); strings.Contains(out, "content of secret") || strings.HasPrefix(out, "200") {
				t.Errorf("%s: %s", p, out)
			}
		}
		s.close()
	}
}
