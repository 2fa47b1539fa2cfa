package web

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"stack/appliance/config"
	"stack/roles/internal/slowtest"
)

// Four thousand slow clients leave the others unharmed, and do not stay: those that read
// or send heads slowly ask for a large file, those with slow bodies an application.
func TestSlowClientsHarmNobody(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }))
	defer app.Close()
	root := t.TempDir()
	writeFile(t, filepath.Join(root, "big"), bytes.Repeat([]byte("0123456789abcdef"), 64<<10))
	writeFile(t, filepath.Join(root, "small"), []byte("hi"))
	web := testWeb(config.WebSite{Root: root, Locations: []config.Location{{Path: "/app",
		Proxy: &config.Proxy{Servers: []config.Server{{Name: "app", Address: strings.TrimPrefix(app.URL, "http://"), Weight: 1}}, Algorithm: "roundrobin",
			Timeouts: &config.Timeouts{Connect: slowtest.TimeOut, Response: slowtest.TimeOut, Body: slowtest.TimeOut, Tunnel: slowtest.TimeOut, Idle: slowtest.TimeOut}}}}})
	web.Timeouts.RequestHead, web.Timeouts.Body = slowtest.TimeOut, slowtest.TimeOut
	web.Limits.Connections, web.Limits.ConnectionsPerSource, web.Limits.Memory, web.Limits.MinRate = 65536, 16384, 1<<30, 100
	web.Limits.BufferBytes = 256 << 10
	s := serve(t, web)
	url := "http://" + s.addr
	for _, a := range slowtest.Attacks() {
		t.Run(a.Name, func(t *testing.T) {
			target := slowtest.Target{URL: url + "/big", Probe: url + "/small", Want: "hi",
				Open:     func() int { return s.role.set.Open() },
				Accepted: func() (n uint64) { return s.role.allPoints()[0].point.Counters().Accepted },
			}
			if a.Name == "slow body" {
				target.URL = url + "/app"
			}
			slowtest.Run(t, target, a)
		})
	}
}
