package web

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stack/appliance/config"
	"stack/appliance/sockets"
)

// TestProxyFrom: the visitor is the one that the PROXY header names, for applications and
// after a hand-over too; without a header nobody is served.
func TestProxyFrom(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "xff=%s port=%s", r.Header.Get("X-Forwarded-For"), r.Header.Get("X-Forwarded-Port"))
	}))
	defer app.Close()
	root := t.TempDir()
	writeFile(t, filepath.Join(root, "a"), []byte("a"))
	make := func() *server {
		w := testWeb(config.WebSite{Root: root, Locations: []config.Location{{Path: "/api/",
			Proxy: &config.Proxy{Servers: []config.Server{{Name: "app", Address: strings.TrimPrefix(app.URL, "http://"), Weight: 1}}}}}})
		w.ProxyFrom = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		return serve(t, w)
	}
	s, next := make(), make()
	next.role.points[0].name = s.role.points[0].name // as in TestPassageToTheNextGeneration
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(c, "PROXY TCP6 2001:db8::7 2001:db8::1 12345 8080\r\n")
	const want = "xff=2001:db8::7 port=8080"
	ask := func() string {
		io.WriteString(c, "GET /api/ HTTP/1.1\r\nHost: x\r\n\r\n")
		b := []byte{}
		for !strings.Contains(string(b), "port=8080") {
			p := [1024]byte{}
			n, err := c.Read(p[:])
			if b = append(b, p[:n]...); err != nil {
				break
			}
		}
		return string(b)
	}
	if got := ask(); !strings.HasSuffix(got, want) {
		t.Error(got)
	}
	if out := s.curl("--haproxy-protocol", "-o", "-", "http://"+s.addr+"/a"); !strings.HasSuffix(out, "a") {
		t.Error("curl --haproxy-protocol:", out)
	}
	plain, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	plain.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(plain, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
	if b, _ := io.ReadAll(plain); len(b) > 0 {
		t.Errorf("answered without a header: %s", b)
	}
	if n := s.metric("stack_web_proxy_refused_total", "header"); n != 1 {
		t.Errorf("%v counted", n)
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
	if got := ask(); !strings.HasSuffix(got, want) {
		t.Error("after the hand-over:", got)
	}
}
