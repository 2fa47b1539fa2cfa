package exchange

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stack/roles/internal/loop"
)

// overTLS makes the servers of p speak TLS.
func overTLS(p *Pass, c *tls.Config) *Pass {
	for _, s := range p.Picker.(*one).srvs {
		s.SetTLS(c)
	}
	return p
}

// tlsOrigin serves HTTP with a certificate and counts its connections.
func tlsOrigin(t testing.TB, conf *tls.Config, h http.HandlerFunc) (addr string, opened *atomic.Int64) {
	t.Helper()
	ln, err := tls.Listen("tcp", "127.0.0.1:0", conf)
	if err != nil {
		t.Fatal(err)
	}
	opened = new(atomic.Int64)
	srv := &http.Server{Handler: h, ErrorLog: silent, ConnState: func(_ net.Conn, st http.ConnState) {
		if st == http.StateNew {
			opened.Add(1)
		}
	}}
	go srv.Serve(ln)
	t.Cleanup(func() { srv.Close() })
	return ln.Addr().String(), opened
}

// Requests of all kinds to a TLS server, over connections that are used again: the
// tickets that a TLS 1.3 server sends on an idle connection do not end it, also not for
// a request that must not be sent twice.
func TestForwardToTLS(t *testing.T) {
	cert, pool := certificate(t, "app.test")
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			addr, opened := tlsOrigin(t, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: version, MaxVersion: version}, func(w http.ResponseWriter, r *http.Request) {
				if r.TLS.ServerName != "app.test" {
					http.Error(w, "SNI "+r.TLS.ServerName, 500)
					return
				}
				b, _ := io.ReadAll(r.Body)
				w.Write(b)
			})
			p := overTLS(passTo(t, addr), &tls.Config{RootCAs: pool, ServerName: "app.test"})
			r := forwardRig(t, p)
			c, err := net.Dial("tcp", r.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			br := bufio.NewReader(c)
			for i := range 20 {
				body := strings.Repeat("0123456789", i*i*1000)
				go fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
				resp, got := readResponse(t, br, "POST")
				if resp.StatusCode != 200 || got != body {
					t.Fatalf("%d, %d of %d bytes", resp.StatusCode, len(got), len(body))
				}
			}
			if n := opened.Load(); n != 1 {
				t.Errorf("%d connections for 20 requests", n)
			}
		})
	}
}

// certificateOf makes a certificate as edit says, signed by itself.
func certificateOf(t testing.TB, edit func(*x509.Certificate)) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "app.test"}, DNSNames: []string{"app.test"},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	edit(tmpl)
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// A handshake that fails is a connection that could not be opened: 502, and the
// picker hears what failed.
func TestHandshakesWithServersThatFail(t *testing.T) {
	cert, pool := certificateOf(t, func(*x509.Certificate) {})
	expired, expiredPool := certificateOf(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) })
	_, other := certificateOf(t, func(*x509.Certificate) {})
	good := &tls.Config{Certificates: []tls.Certificate{cert}}
	ok := func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") }
	plain := origin(t, func(c net.Conn, br *bufio.Reader) {
		br.ReadByte()
		io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
		io.Copy(io.Discard, br)
	})
	closing := origin(t, func(c net.Conn, _ *bufio.Reader) {})
	at := func(c *tls.Config) string { a, _ := tlsOrigin(t, c, ok); return a }
	for name, c := range map[string]struct {
		addr   string
		client *tls.Config
		want   string
	}{
		"wrong CA":     {at(good), &tls.Config{RootCAs: other, ServerName: "app.test"}, "not from a trusted authority"},
		"wrong name":   {at(good), &tls.Config{RootCAs: pool, ServerName: "www.test"}, "for another name"},
		"expired":      {at(&tls.Config{Certificates: []tls.Certificate{expired}}), &tls.Config{RootCAs: expiredPool, ServerName: "app.test"}, "expired or not valid yet"},
		"ALPN":         {at(&tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"other/1"}}), &tls.Config{RootCAs: pool, ServerName: "app.test", NextProtos: []string{"http/1.1"}}, "no protocol in common (ALPN)"},
		"version":      {at(&tls.Config{Certificates: []tls.Certificate{cert}, MaxVersion: tls.VersionTLS12}), &tls.Config{RootCAs: pool, ServerName: "app.test", MinVersion: tls.VersionTLS13}, "the server refused it"},
		"plain server": {plain, &tls.Config{RootCAs: pool, ServerName: "app.test"}, "does not speak TLS"},
		"closes":       {closing, &tls.Config{RootCAs: pool, ServerName: "app.test"}, "closed the connection"},
	} {
		t.Run(name, func(t *testing.T) {
			p := overTLS(passTo(t, c.addr), c.client)
			r := forwardRig(t, p)
			contains(t, raw(t, r.addr, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), "HTTP/1.1 502 ")
			o := p.Picker.(*one).outcomes()[0]
			var failed *HandshakeError
			if o.Cause != ConnectFailed || !errors.As(o.Err, &failed) || !strings.Contains(o.Err.Error(), c.want) {
				t.Errorf("%v %v", o.Cause, o.Err)
			}
		})
	}
}

// The deadline of the connection covers the handshake.
func TestSilentTLSServer(t *testing.T) {
	addr := origin(t, func(_ net.Conn, br *bufio.Reader) { io.Copy(io.Discard, br) })
	p := overTLS(passTo(t, addr), &tls.Config{ServerName: "app.test"})
	p.Timeouts.Connect = 200 * time.Millisecond
	r := forwardRig(t, p)
	contains(t, raw(t, r.addr, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), "HTTP/1.1 504 ")
	if o := p.Picker.(*one).outcomes()[0]; o.Cause != ConnectTimeout {
		t.Errorf("%+v", o)
	}
}

// A tunnel to a TLS server, both ends sending at once, each ending its direction.
func TestTunnelToTLS(t *testing.T) {
	cert, pool := certificate(t, "app.test")
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
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
			go func() {
				io.Copy(c, c)
				c.Close()
			}()
		}
	}()
	p := overTLS(passTo(t, ln.Addr().String()), &tls.Config{RootCAs: pool, ServerName: "app.test"})
	r := newRig(t, 2, &Frontend{TCP: p})
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	text := strings.Repeat("0123456789abcdef", 1<<17) // 2 MiB
	go func() {
		io.WriteString(c, text)
		c.(*net.TCPConn).CloseWrite()
	}()
	b, err := io.ReadAll(c)
	if err != nil || string(b) != text {
		t.Errorf("%d of %d bytes, %v", len(b), len(text), err)
	}
	if rec := r.logs.wait(t, 1)[0]; rec.Cause != None {
		t.Errorf("%+v", rec)
	}
}

// A body that only the end of the connection ends is complete with close_notify alone.
func TestEndWithoutCloseNotify(t *testing.T) {
	cert, pool := certificate(t, "app.test")
	for _, cut := range []bool{false, true} {
		addr := origin(t, func(c net.Conn, _ *bufio.Reader) {
			s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}})
			readHead(bufio.NewReader(s))
			io.WriteString(s, "HTTP/1.1 200 OK\r\n\r\nhello")
			if !cut {
				s.CloseWrite()
			}
		})
		r := forwardRig(t, overTLS(passTo(t, addr), &tls.Config{RootCAs: pool, ServerName: "app.test"}))
		got := raw(t, r.addr, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		if ended := strings.HasSuffix(got, "\r\n0\r\n\r\n"); ended == cut || !strings.Contains(got, "hello") {
			t.Errorf("cut %v: %q", cut, got)
		}
		cause := r.logs.wait(t, 1)[0].Cause
		if (cause == ResponseFailed) != cut {
			t.Errorf("cut %v: %v", cut, cause)
		}
	}
}

// Connections made with other settings are not used again.
func TestSetTLSChanges(t *testing.T) {
	cert, pool := certificate(t, "app.test")
	addr, opened := tlsOrigin(t, &tls.Config{Certificates: []tls.Certificate{cert}}, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s resumed=%v", r.TLS.ServerName, r.TLS.DidResume)
	})
	p := passTo(t, addr)
	conf := &tls.Config{RootCAs: pool, ServerName: "app.test"}
	r := forwardRig(t, overTLS(p, conf))
	ask := func(want string, connections int64) {
		t.Helper()
		contains(t, raw(t, r.addr, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), want)
		if n := opened.Load(); n != connections {
			t.Errorf("%d connections, want %d", n, connections)
		}
	}
	ask("app.test resumed=false", 1)
	ask("app.test", 1)
	overTLS(p, conf) // the same
	ask("app.test", 1)
	r.set.each(func(w *Worker) { // a new connection with the same settings resumes the session
		for s := p.Picker.(*one).srvs[0].pop(w); s != nil; s = p.Picker.(*one).srvs[0].pop(w) {
			s.end()
		}
	})
	ask("app.test resumed=true", 2)
	overTLS(p, conf.Clone())
	ask("app.test resumed=false", 3)
	overTLS(p, nil)
	contains(t, raw(t, r.addr, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), "400 Bad Request") // plain HTTP to a TLS port
}

// Handshakes with servers that fail, or that the client leaves in the middle of, leave
// neither descriptor nor goroutine behind.
func TestNoLeakOfServerHandshakes(t *testing.T) {
	_, pool := certificate(t, "app.test")
	cert, _ := certificate(t, "app.test")
	refused, _ := tlsOrigin(t, &tls.Config{Certificates: []tls.Certificate{cert}}, func(http.ResponseWriter, *http.Request) {})
	silentAddr := origin(t, func(_ net.Conn, br *bufio.Reader) { io.Copy(io.Discard, br) })
	settle := func() (int, int) { runtime.GC(); return openFiles(t), runtime.NumGoroutine() }
	fds, routines := settle()
	g, err := loop.Start(2)
	if err != nil {
		t.Fatal(err)
	}
	set := NewSet(g)
	fails := overTLS(passTo(t, refused), &tls.Config{RootCAs: pool, ServerName: "app.test"})
	waits := overTLS(passTo(t, silentAddr), &tls.Config{RootCAs: pool, ServerName: "app.test"})
	waits.Timeouts.Connect = 20 * time.Millisecond
	long := *waits
	long.Timeouts.Connect = time.Minute
	point := set.Point("leak", &Frontend{Timeouts: testTimeouts(), Limits: testLimits(), Handler: HandlerFunc(func(x *Exchange) {
		switch string(x.Req.Path()) {
		case "/fails":
			x.Forward(fails)
		case "/waits":
			x.Forward(waits)
		default:
			x.Forward(&long)
		}
	})})
	fd, at := listen(t)
	if err := point.Listen([]int{fd}); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			for i := range 100 {
				c, err := net.Dial("tcp", at)
				if err != nil {
					t.Error(err)
					return
				}
				path := []string{"/fails", "/waits", "/leave"}[i%3]
				io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
				if path != "/leave" {
					io.Copy(io.Discard, c)
				}
				c.Close()
			}
		})
	}
	wg.Wait()
	for range 20 { // and some that the end of the process stops
		c, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, "GET /stays HTTP/1.1\r\nHost: x\r\n\r\n")
	}
	eventually(t, "all requests have begun", func() bool { return point.Counters().Requests >= 1020 })
	if err := set.Close(); err != nil {
		t.Error(err)
	}
	g.Close()
	loop.Close(fd)
	eventually(t, "all is released", func() bool { f, n := settle(); return f <= fds+20 && n <= routines })
}
