package lb

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"stack/appliance/config"
)

// echoHead answers with the request head as JSON.
func echoHead(w http.ResponseWriter, r *http.Request) {
	h := r.Header.Clone()
	h.Set("X-Test-Host", r.Host)
	h.Set("X-Test-Uri", r.RequestURI)
	json.NewEncoder(w).Encode(h)
}

func TestForwardedHead(t *testing.T) {
	lb, addr := simple(t, at("a", serve(t, echoHead)))
	start(t, lb)
	var h http.Header
	if err := json.Unmarshal([]byte(curl(t, nil, "-H", "Host: www.example.com", "-H", "X-Forwarded-For: 6.6.6.6", "-H", "X-Forwarded-Proto: https",
		"-H", "X-Forwarded-Host: evil", "-H", "Forwarded: for=6.6.6.6", "-H", "X-Stack-Balancer: evil", "-H", "Connection: X-Secret", "-H", "X-Secret: 1",
		"-H", "Keep-Alive: 5", "-H", "Proxy-Connection: close", "-H", "X-Request-Id;", "-H", "X-Kept: Yes", "http://"+addr.String()+"/a%20b?c=d")), &h); err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string]string{
		"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "www.example.com",
		"X-Forwarded-Port": fmt.Sprint(addr.Port()), "X-Stack-Balancer": "lb1", "X-Test-Host": "www.example.com", "X-Test-Uri": "/a%20b?c=d",
		"X-Kept": "Yes", "X-Secret": "", "Keep-Alive": "", "Proxy-Connection": "",
	} {
		if got := strings.Join(h[k], ", "); got != want {
			t.Errorf("%s: %q, want %q", k, got, want)
		}
	}
	if f := h.Get("Forwarded"); !strings.Contains(f, "for=127.0.0.1") || !strings.Contains(f, "proto=http") || strings.Contains(f, "6.6.6.6") {
		t.Errorf("Forwarded: %q", f)
	}
	if id := h["X-Request-Id"]; len(id) != 1 || len(id[0]) != 32 {
		t.Errorf("X-Request-Id: %q", id)
	}
}

func TestTrustedProxyIsAppendedTo(t *testing.T) {
	lb, addr := simple(t, at("a", serve(t, echoHead)))
	lb.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	start(t, lb)
	var h http.Header
	if err := json.Unmarshal([]byte(curl(t, nil, "-H", "X-Forwarded-For: 192.0.2.1", "-H", "X-Forwarded-Proto: https", "-H", "X-Request-Id: abc", "http://"+addr.String()+"/")), &h); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(h["X-Forwarded-For"], ", "); got != "192.0.2.1, 127.0.0.1" {
		t.Errorf("X-Forwarded-For: %q", got)
	}
	if h.Get("X-Forwarded-Proto") != "https" || h.Get("X-Request-Id") != "abc" {
		t.Errorf("proto %q, id %q", h.Get("X-Forwarded-Proto"), h.Get("X-Request-Id"))
	}
}

func TestBodiesBothWays(t *testing.T) {
	big := make([]byte, 20<<20)
	rand.Read(big)
	sum := sha256.Sum256(big)
	file := filepath.Join(t.TempDir(), "big")
	if err := os.WriteFile(file, big, 0o600); err != nil {
		t.Fatal(err)
	}
	origin := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/big":
			w.Header().Set("Content-Length", fmt.Sprint(len(big)))
			w.Write(big)
		case "/chunked":
			for i := 0; i < len(big); i += 1 << 20 {
				w.Write(big[i : i+1<<20])
				w.(http.Flusher).Flush()
			}
		case "/sum":
			h := sha256.New()
			n, err := io.Copy(h, r.Body)
			fmt.Fprintf(w, "%x %d %v %v %q", h.Sum(nil), n, err, r.TransferEncoding, r.Header.Get("Expect"))
		}
	})
	lb, addr := simple(t, at("a", origin))
	start(t, lb)
	url := "http://" + addr.String()
	for _, p := range []string{"/big", "/chunked"} {
		if got := sha256.Sum256([]byte(curl(t, nil, url+p))); got != sum {
			t.Errorf("%s: another body arrived", p)
		}
	}
	want := hex.EncodeToString(sum[:]) + fmt.Sprintf(" %d <nil>", len(big))
	if got := curl(t, nil, "-T", file, url+"/sum"); !strings.HasPrefix(got, want) {
		t.Errorf("upload with a length: %s", got)
	}
	if got := curl(t, bytes.NewReader(big), "-T", "-", "-H", "Transfer-Encoding: chunked", "-H", "Expect: 100-continue", url+"/sum"); !strings.HasPrefix(got, want) || !strings.Contains(got, "chunked") {
		t.Errorf("chunked upload: %s", got)
	}
	if got := curl(t, nil, "-I", url+"/big"); !strings.HasPrefix(got, "HTTP/1.1 200") || !strings.Contains(got, fmt.Sprint("Content-Length: ", len(big))) {
		t.Errorf("HEAD: %s", got)
	}
}

func TestUpgradePassesThrough(t *testing.T) {
	origin := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "websocket" || !strings.EqualFold(r.Header.Get("Connection"), "upgrade") {
			http.Error(w, "no upgrade arrived", 400)
			return
		}
		c, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\nhello ")
		rw.Flush()
		io.Copy(c, rw)
	})
	lb, addr := simple(t, at("a", origin))
	b := start(t, lb)
	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(c, "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\nearly ")
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != 101 || resp.Header.Get("Upgrade") != "websocket" {
		t.Fatalf("%v %v", resp, err)
	}
	io.WriteString(c, "bytes both ways")
	want := "hello early bytes both ways"
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r, got); err != nil || string(got) != want {
		t.Fatalf("%q %v", got, err)
	}
	if n := b.role.pools.Pool("web").Server("a").InFlight(); n != 1 {
		t.Errorf("%d in flight while the tunnel is open", n)
	}
	c.(*net.TCPConn).CloseWrite()
	if rest, err := io.ReadAll(r); err != nil || len(rest) != 0 {
		t.Errorf("end of the tunnel: %q %v", rest, err)
	}
	eventually(t, "slot given back", func() bool { return b.role.pools.Pool("web").Server("a").InFlight() == 0 })
}

func TestErrorAnswers(t *testing.T) {
	hold := make(chan struct{})
	defer close(hold)
	slow := serve(t, func(w http.ResponseWriter, r *http.Request) { <-hold })
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			bufio.NewReader(c).ReadString('\n')
			io.WriteString(c, "nonsense\r\n\r\n")
			c.Close()
		}
	}()
	none := backend("none", config.Server{Name: "a", Address: "127.0.0.1:9", Weight: 0})
	late := backend("late", at("a", slow))
	short := timeouts()
	short.Response = 200 * time.Millisecond
	late.Timeouts = &short
	addr := freePort(t)
	b := start(t, config.LB{
		Frontends: []config.Frontend{{Name: "http", Mode: "http", Bind: listen(addr), Routes: []config.Route{
			{Match: config.Match{PathPrefix: "/none"}, Backend: "none"}, {Match: config.Match{PathPrefix: "/late"}, Backend: "late"},
			{Match: config.Match{PathPrefix: "/bad"}, Backend: "bad"}, {Match: config.Match{PathPrefix: "/refused"}, Backend: "refused"}}}},
		Backends: []config.Backend{none, late, backend("bad", at("a", ln.Addr().String())), backend("refused", at("a", refusing(t)))}})
	for path, want := range map[string]int{"/none": 503, "/late": 504, "/bad": 502, "/refused": 502, "/nowhere": 404} {
		status, body := get(t, "http://"+addr.String()+path)
		if status != want {
			t.Errorf("%s: %d, want %d", path, status, want)
		}
		if !strings.Contains(body, "<h1>"+fmt.Sprint(status)) {
			t.Errorf("%s: no error page: %s", path, body)
		}
	}
	for _, m := range [][]string{{"cause", "no-server"}, {"cause", "response-timeout"}, {"cause", "response-failed"}, {"cause", "connect-failed"}} {
		eventually(t, "an error is counted, behind its answer", func() bool { return b.metric("stack_lb_frontend_errors_total", m...) > 0 })
	}
	if b.metric("stack_lb_backend_refused_total", "backend", "none", "reason", "down") != 1 {
		t.Error("the refused request is not counted")
	}
}

func TestConnectionLimit(t *testing.T) {
	lb, addr := simple(t, at("a", serve(t, named("a"))))
	lb.Limits = limits()
	lb.Limits.Connections = 2
	b := start(t, lb)
	var held []net.Conn
	for range 2 {
		c, err := net.Dial("tcp", addr.String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		held = append(held, c)
	}
	eventually(t, "two are open", func() bool { return b.metric("stack_lb_frontend_connections") == 2 })
	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the third connection was kept")
	}
	if n := b.metric("stack_lb_frontend_connections_refused_total"); n != 1 {
		t.Errorf("%v refused connections counted", n)
	}
	held[0].Close()
	eventually(t, "room again", func() bool { return b.metric("stack_lb_frontend_connections") == 1 })
	if status, _ := get(t, "http://"+addr.String()); status != 200 {
		t.Errorf("after one has ended: %d", status)
	}
}

func TestBodyLimit(t *testing.T) {
	var reached atomic.Int64
	lb, addr := simple(t, at("a", serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		reached.Add(1)
	})))
	lb.Limits = limits()
	lb.Limits.BodyBytes = 1000
	start(t, lb)
	for size, want := range map[int]string{1000: "200", 1001: "413", 100_000: "413"} {
		for _, more := range [][]string{{"-H", "Expect:"}, {"-H", "Transfer-Encoding: chunked"}} {
			args := append([]string{"-o", "/dev/null", "-w", "%{http_code}", "-T", "-"}, more...)
			if got := curl(t, strings.NewReader(strings.Repeat("x", size)), append(args, "http://"+addr.String()+"/")...); got != want {
				t.Errorf("%d bytes %v: %s, want %s", size, more, got, want)
			}
		}
		if got := curl(t, nil, "-o", "/dev/null", "-w", "%{http_code}", "-d", strings.Repeat("x", size), "http://"+addr.String()+"/"); got != want {
			t.Errorf("%d bytes with a length: %s, want %s", size, got, want)
		}
	}
}

// A server that refuses connections costs no request, though nothing checks it.
func TestRetryLosesNoRequest(t *testing.T) {
	var served atomic.Int64
	ok := func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body); served.Add(1) }
	lb, addr := simple(t, at("dead1", refusing(t)), at("a", serve(t, ok)), at("dead2", refusing(t)), at("b", serve(t, ok)))
	b := start(t, lb)
	c := http.Client{Timeout: 20 * time.Second}
	for i := range 200 {
		resp, err := c.Post("http://"+addr.String()+"/", "text/plain", strings.NewReader("a body is sent again as nothing of it was used"))
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Fatalf("request %d: %d", i, resp.StatusCode)
		}
	}
	if served.Load() != 200 {
		t.Errorf("%d served of 200", served.Load())
	}
	if n := b.metric("stack_lb_server_retries_total"); n < 50 {
		t.Errorf("%v retries counted", n)
	}
	if n := b.metric("stack_lb_server_connect_errors_total", "server", "a"); n != 0 {
		t.Errorf("%v connect errors at a", n)
	}
}

func TestMaxConnAnswers503(t *testing.T) {
	hold, in := make(chan struct{}), make(chan struct{}, 10)
	s := at("a", serve(t, func(w http.ResponseWriter, r *http.Request) { in <- struct{}{}; <-hold }))
	s.MaxConn = 2
	lb, addr := simple(t, s)
	b := start(t, lb)
	done := make(chan int, 2)
	for range 2 {
		go func() {
			resp, err := http.Get("http://" + addr.String())
			if err != nil {
				done <- 0
				return
			}
			resp.Body.Close()
			done <- resp.StatusCode
		}()
	}
	<-in
	<-in
	if status, _ := get(t, "http://"+addr.String()); status != 503 {
		t.Errorf("third at once: %d", status)
	}
	close(hold)
	if a, b := <-done, <-done; a != 200 || b != 200 {
		t.Errorf("%d %d", a, b)
	}
	eventually(t, "room again", func() bool { return b.role.pools.Pool("web").Server("a").InFlight() == 0 })
	if status, _ := get(t, "http://"+addr.String()); status != 200 {
		t.Errorf("after the slots came back: %d", status)
	}
}

func TestRoutesAndRoundRobin(t *testing.T) {
	addr := freePort(t)
	a, b := at("a", serve(t, named("a"))), at("b", serve(t, named("b")))
	a.Weight = 2
	start(t, config.LB{
		Frontends: []config.Frontend{{Name: "http", Mode: "http", Bind: listen(addr), Routes: []config.Route{
			{Match: config.Match{Host: "static.example.com", PathPrefix: "/assets/"}, Backend: "static"}, {Backend: "web"}}}},
		Backends: []config.Backend{backend("web", a, b), backend("static", at("s", serve(t, named("s"))))}})
	got := ""
	for range 6 {
		_, body := get(t, "http://"+addr.String()+"/")
		got += body
	}
	if got != "abaaba" {
		t.Errorf("six requests over two loops went to %s, want abaaba", got)
	}
	if got := curl(t, nil, "-H", "Host: static.example.com", "http://"+addr.String()+"/assets/x"); got != "s" {
		t.Errorf("routed to %s", got)
	}
	if got := curl(t, nil, "-H", "Host: static.example.com", "--path-as-is", "http://"+addr.String()+"/x/../%61ssets/x"); got != "s" {
		t.Errorf("a path in disguise was routed to %s", got)
	}
}

func TestRedirect(t *testing.T) {
	addr := freePort(t)
	start(t, config.LB{Frontends: []config.Frontend{{Name: "http", Mode: "http", Bind: listen(addr), RedirectHTTPS: true, HTTPSPort: 8443}}})
	got := curl(t, nil, "-i", "-X", "POST", "-d", "x=1", "-H", "Host: www.example.com:8080", "http://"+addr.String()+"/a%2Fb?q=1&r=%20")
	if !strings.HasPrefix(got, "HTTP/1.1 308 ") || !strings.Contains(got, "Location: https://www.example.com:8443/a%2Fb?q=1&r=%20\r\n") {
		t.Errorf("%s", got)
	}
	if got := curl(t, nil, "-i", "-H", "Host: a@b", "http://"+addr.String()+"/"); !strings.HasPrefix(got, "HTTP/1.1 400 ") {
		t.Errorf("%s", got)
	}
}

func TestAccessLogLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	lb, addr := simple(t, at("a", serve(t, named("hello"))))
	lb.AccessLog = config.AccessLog{Enabled: true, Path: path, Format: "json"}
	b := start(t, lb)
	curl(t, nil, "-A", "quote\" and é", "http://"+addr.String()+"/x?y=z")
	var line []byte
	eventually(t, "a line is there", func() bool { line, _ = os.ReadFile(path); return bytes.HasSuffix(line, []byte("\n")) })
	var m map[string]any
	if err := json.Unmarshal(line, &m); err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string]any{"frontend": "http", "backend": "web", "server": "a", "method": "GET", "target": "/x?y=z", "status": 200.0,
		"user_agent": "quote\" and é", "end": "-", "tls": "", "retries": 0.0} {
		if m[k] != want {
			t.Errorf("%s: %v, want %v", k, m[k], want)
		}
	}
	for _, k := range []string{"tq", "tw", "tc", "tr", "ta"} {
		if v, ok := m[k].(float64); !ok || v < 0 || v > 10000 {
			t.Errorf("timer %s: %v", k, m[k])
		}
	}
	eventually(t, "a request is counted", func() bool {
		return b.metric("stack_lb_frontend_requests_total", "frontend", "http", "code", "2xx") == 1
	})
	eventually(t, "a latency is counted", func() bool { return b.metric("stack_lb_server_response_seconds", "server", "a") == 1 })
}
