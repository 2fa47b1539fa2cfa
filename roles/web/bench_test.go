package web

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"stack/appliance/config"
	"stack/roles/web/static"
	"stack/roles/web/target"
)

var hitRequest = []byte("GET /a.html HTTP/1.1\r\nHost: www.example.test\r\nUser-Agent: bench/1\r\nAccept: */*\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n")

// hitServer serves a 4 KiB file that is in the cache, and tells the length of one
// answer to hitRequest.
func hitServer(t testing.TB) (c net.Conn, length int64) {
	root := t.TempDir()
	writeFile(t, filepath.Join(root, "a.html"), pattern(4096))
	web := testWeb(config.WebSite{Root: root, Hosts: []string{"www.example.test"}, Locations: []config.Location{phpLocation()}})
	web.Loops = 1
	s := serve(t, web)
	a := s.get("GET", "/a.html", "Host: www.example.test")
	a.Body = io.NopCloser(bytes.NewReader([]byte(a.body)))
	dump, err := httputil.DumpResponse(a.Response, true)
	if err != nil || a.StatusCode != http.StatusOK {
		t.Fatal(a.StatusCode, err)
	}
	if c, err = net.Dial("tcp", s.addr); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, int64(len(dump))
}

const batchSize = 16

// hits sends a batch of requests in one write and reads the answers.
func hits(t testing.TB, c net.Conn, batch []byte, length int64, buf []byte) {
	if _, err := c.Write(batch); err != nil {
		t.Fatal(err)
	}
	for left := batchSize * length; left > 0; {
		n, err := c.Read(buf[:min(left, int64(len(buf)))])
		if err != nil {
			t.Fatal(err)
		}
		left -= int64(n)
	}
}

// A file in the cache is answered without an allocation.
func TestServeHitDoesNotAllocate(t *testing.T) {
	c, length := hitServer(t)
	batch, buf := bytes.Repeat(hitRequest, batchSize), make([]byte, 64<<10)
	hits(t, c, batch, length, buf)
	least := 1e9
	// Once a second a worker looks at the file again, and allocates: the best of some
	// rounds is the one without it.
	for range 5 {
		const rounds = 100
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range rounds {
			hits(t, c, batch, length, buf)
		}
		runtime.ReadMemStats(&after)
		least = min(least, float64(after.Mallocs-before.Mallocs)/(batchSize*rounds))
	}
	if least > 0.05 {
		t.Errorf("%.2f allocations a request", least)
	}
}

// BenchmarkServeHit is the whole way of a cached 4 KiB file, client included; one
// operation is 16 requests.
func BenchmarkServeHit(b *testing.B) {
	c, length := hitServer(b)
	batch, buf := bytes.Repeat(hitRequest, batchSize), make([]byte, 64<<10)
	b.ReportAllocs()
	for b.Loop() {
		hits(b, c, batch, length, buf)
	}
}

// BenchmarkResolve is the decision alone: host, path, locations, cache.
func BenchmarkResolve(b *testing.B) {
	root := b.TempDir()
	writeFile(b, filepath.Join(root, "assets", "site.css"), pattern(4096))
	g, err := buildSites(b, config.WebSite{Root: root, Hosts: []string{"www.example.test"}, Locations: []config.Location{phpLocation()}})
	if err != nil {
		b.Fatal(err)
	}
	at := &static.At{Cache: static.NewCache(), Now: time.Now()}
	loader, sc := &static.Loader{}, &scratch{}
	path, hostBuf := make([]byte, 0, 256), make([]byte, 0, 64)
	raw, host := []byte("/assets/site.css"), []byte("www.example.test:8080")
	g.hosts.first.resolve(loader, raw, nil, false, sc)
	loader.Into(at.Cache, at.Now)
	b.ReportAllocs()
	for b.Loop() {
		s := g.hosts.find(hostBuf, host)
		d, _ := target.Decode(path, raw)
		if a, known, _ := s.resolve(at, d.Path, nil, false, sc); !known || a.verb != giveFile {
			b.Fatal(known, a.verb)
		}
	}
}
