package lb

import (
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// A server that closes kept connections at the very moment when the next request is on
// its way: requests that may be repeated are, and none is lost.
func TestServerThatClosesIdleConnections(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: named("ok"), IdleTimeout: time.Millisecond}
	go srv.Serve(ln)
	t.Cleanup(func() { srv.Close() })
	lb, addr := simple(t, at("a", ln.Addr().String()))
	start(t, lb)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			c := http.Client{Timeout: 20 * time.Second}
			defer c.CloseIdleConnections()
			for n := range 500 {
				resp, err := c.Get("http://" + addr.String())
				if err != nil {
					t.Error(err)
					return
				}
				body, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				if resp.StatusCode != 200 || string(body) != "ok" {
					t.Errorf("request %d: %d %s", n, resp.StatusCode, strings.TrimSpace(string(body)))
				}
				// Around the server's own bound, so that both sides race.
				time.Sleep(time.Millisecond + time.Duration((n*(i+7))%400)*time.Microsecond)
			}
		})
	}
	wg.Wait()
}
