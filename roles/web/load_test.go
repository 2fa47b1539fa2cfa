package web

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stack/appliance/config"
)

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
	want, got := float64(served.Load()+1), 0.0
	for end := time.Now().Add(time.Minute); got < want && time.Now().Before(end); time.Sleep(time.Millisecond) { // a request is counted behind its answer
		got = s.metric("stack_web_requests_total", "2xx")
	}
	if got != want {
		t.Errorf("counted %v, served %v", got, want)
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
