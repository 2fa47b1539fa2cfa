package exchange

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

func certificate(t testing.TB, host string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, _ := x509.ParseCertificate(der)
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func TestTLS(t *testing.T) {
	cert, pool := certificate(t, "a.test")
	echo := HandlerFunc(func(x *Exchange) {
		if x.ServerName() != "a.test" || x.TLSVersion() == 0 {
			x.Error(500, Internal)
			return
		}
		x.ReadBody(&echoBody{})
	})
	r := newRig(t, 2, &Frontend{Handler: echo, TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		conf := &tls.Config{RootCAs: pool, ServerName: "a.test", MinVersion: version, MaxVersion: version}
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: conf, ForceAttemptHTTP2: true}}
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for j := range 10 {
					body := strings.Repeat("0123456789", 1+i*j*1500)
					resp, err := client.Post("https://"+r.addr+"/", "text/plain", strings.NewReader(body))
					if err != nil {
						t.Error(err)
						return
					}
					b, err := io.ReadAll(resp.Body)
					resp.Body.Close()
					if err != nil || string(b) != body || resp.ProtoMajor != 1 {
						t.Errorf("%d of %d bytes, %v, %s", len(b), len(body), err, resp.Proto)
					}
				}
			})
		}
		wg.Wait()
		client.CloseIdleConnections()
	}
	if n := r.point.Counters(); n.Handshakes == 0 || n.HandshakesFailed != 0 {
		t.Errorf("%+v", n)
	}
	if rec := r.logs.wait(t, 1)[0]; rec.TLS != tls.VersionTLS12 {
		t.Errorf("%+v", rec)
	}
}

func TestTLSForward(t *testing.T) {
	cert, pool := certificate(t, "a.test")
	big := strings.Repeat("x", 3<<20)
	addr := answer(t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n300000\r\n"+big+"\r\n0\r\n\r\n")
	p := passTo(t, addr)
	r := newRig(t, 1, &Frontend{Handler: HandlerFunc(func(x *Exchange) { x.Forward(p) }), TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "a.test"}}}
	defer client.CloseIdleConnections()
	for range 3 {
		resp, err := client.Get("https://" + r.addr)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || string(b) != big {
			t.Errorf("%d bytes, %v", len(b), err)
		}
	}
}

// slowConn sends one byte at a time.
type slowConn struct{ net.Conn }

func (c slowConn) Write(p []byte) (int, error) {
	for i := range p {
		if _, err := c.Conn.Write(p[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

func TestTLSHelloInPieces(t *testing.T) {
	cert, pool := certificate(t, "a.test")
	r := newRig(t, 1, &Frontend{Handler: hello("hi"), TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s := tls.Client(slowConn{c}, &tls.Config{RootCAs: pool, ServerName: "a.test"})
	io.WriteString(s, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	b, err := io.ReadAll(s)
	if err != nil || !strings.HasSuffix(string(b), "hi") {
		t.Errorf("%q %v", b, err)
	}
}

// Clients that send nonsense, too much, too little or nothing hold no goroutine and no
// connection for longer than the deadline.
func TestTLSHandshakesThatFail(t *testing.T) {
	cert, _ := certificate(t, "a.test")
	short := testTimeouts()
	short.RequestHead = 100 * time.Millisecond
	r := newRig(t, 1, &Frontend{Handler: hello("hi"), Timeouts: short, TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
	long := append([]byte{22, 3, 1, 0x3f, 0xff, 1, 0, 0xff, 0xff}, make([]byte, 20<<10)...)
	// A whole ClientHello and then silence.
	var hello bytes.Buffer
	tls.Client(recordOnly{&hello}, &tls.Config{ServerName: "a.test"}).Handshake()
	for name, text := range map[string]string{
		"plain HTTP":   "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"long hello":   string(long),
		"half a hello": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
		"nothing":      "",
		"then silence": hello.String(),
	} {
		t.Run(name, func(t *testing.T) {
			c, err := net.Dial("tcp", r.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(10 * time.Second))
			io.WriteString(c, text)
			if _, err := io.Copy(io.Discard, c); err != nil && !strings.Contains(err.Error(), "reset") {
				t.Error(err)
			}
		})
	}
}

// recordOnly keeps what is written and has nothing to read.
type recordOnly struct{ *bytes.Buffer }

func (recordOnly) Read([]byte) (int, error)         { return 0, io.EOF }
func (recordOnly) Close() error                     { return nil }
func (recordOnly) LocalAddr() net.Addr              { return nil }
func (recordOnly) RemoteAddr() net.Addr             { return nil }
func (recordOnly) SetDeadline(time.Time) error      { return nil }
func (recordOnly) SetReadDeadline(time.Time) error  { return nil }
func (recordOnly) SetWriteDeadline(time.Time) error { return nil }

func FuzzHelloComplete(f *testing.F) {
	var hello bytes.Buffer
	tls.Client(recordOnly{&hello}, &tls.Config{ServerName: "a.test"}).Handshake()
	f.Add(hello.Bytes())
	f.Add([]byte{22, 3, 1, 0, 2, 1, 0, 22, 3, 1, 0, 3, 0, 1, 9})
	f.Fuzz(func(t *testing.T, p []byte) {
		whole, ok := helloComplete(p)
		if whole && !ok {
			t.Fatal("whole but not a hello")
		}
		for i := range p {
			if w, ok2 := helloComplete(p[:i]); ok && !ok2 || w && !whole {
				t.Fatalf("prefix of %d bytes: %v %v, all: %v %v", i, w, ok2, whole, ok)
			}
		}
	})
}
