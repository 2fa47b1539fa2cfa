package web

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"stack/appliance/config"
)

// The web role passes h2spec with what a server behind a location answers. The one case that
// fails sends no preface: on a cleartext port that is a bad request of HTTP/1, and answered
// as such (roles/lb has the same over TLS, without an exception).
func TestH2Spec(t *testing.T) {
	tool, err := filepath.Abs("../../dist/tools/h2spec")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(tool); err != nil {
		t.Skip("h2spec is not installed: run packaging/install-tools.sh")
	}
	body := bytes.Repeat([]byte("0123456789"), 20)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	app := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // an answer before its end would hide what is wrong with it
		w.Write(body)
	})}
	go app.Serve(ln)
	t.Cleanup(func() { app.Close() })
	web := testWeb(config.WebSite{Root: t.TempDir(), Locations: []config.Location{
		{Path: "/app/", Proxy: &config.Proxy{Servers: []config.Server{{Name: "a", Address: ln.Addr().String(), Weight: 1}}}}}})
	web.HTTP = []string{"h1", "h2"}
	s := serve(t, web)
	host, port, err := net.SplitHostPort(s.addr)
	if err != nil {
		t.Fatal(err)
	}
	out, _ := exec.Command(tool, "-h", host, "-p", port, "-P", "/app/200.bin", "--strict").CombinedOutput()
	text := string(out)
	if !strings.Contains(text, "146 tests, 145 passed, 0 skipped, 1 failed") || !strings.Contains(text, "× 2: Sends invalid connection preface") {
		t.Error(text[max(0, len(text)-3000):])
	}
}
