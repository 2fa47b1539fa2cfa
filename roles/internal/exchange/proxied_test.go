package exchange

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"stack/roles/internal/proxyproto"
)

// whoIs answers with what is known of the client.
var whoIs = HandlerFunc(func(x *Exchange) {
	x.Start(200)
	x.End(fmt.Appendf(nil, "%v > %v tls %x sni %q", x.Client(), x.Local(), x.TLSVersion(), x.ServerName()))
})

const (
	proxyV1 = "PROXY TCP4 203.0.113.9 198.51.100.1 12345 8443\r\n"
	getOnce = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
)

func proxyV2() string {
	h := proxyproto.Header{Version: 2, Checksum: true, Source: netip.MustParseAddrPort("[2001:db8::7]:12345"),
		Destination: netip.MustParseAddrPort("[2001:db8::1]:443"), Authority: []byte("a.test"),
		SSL: proxyproto.SSL{Present: true, Client: proxyproto.ClientSSL, Version: []byte("TLSv1.2")}}
	return string(h.Append(nil))
}

func proxyRig(t testing.TB, f *Frontend) *rig {
	if f.ProxyFrom == nil {
		f.ProxyFrom = prefixes("127.0.0.0/8")
	}
	return newRig(t, 2, f)
}

// slowly sends text in pieces of one byte, each in a packet of its own as far as the
// kernel lets them be, and returns what comes.
func slowly(t testing.TB, addr, text string) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(slowConn{c}, text)
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestProxyHeader(t *testing.T) {
	r := proxyRig(t, &Frontend{Handler: whoIs})
	for name, c := range map[string]struct{ header, want string }{
		"v1":    {proxyV1, `203.0.113.9:12345 > 198.51.100.1:8443 tls 0 sni ""`},
		"v2":    {proxyV2(), `[2001:db8::7]:12345 > [2001:db8::1]:443 tls 303 sni "a.test"`},
		"local": {proxyproto.LocalV2, "127.0.0.1:"},
		"no ip": {proxyproto.LocalV1, "127.0.0.1:"},
	} {
		t.Run(name, func(t *testing.T) {
			contains(t, raw(t, r.addr, c.header+getOnce), "\r\n\r\n"+c.want)
			contains(t, slowly(t, r.addr, c.header+getOnce), "\r\n\r\n"+c.want)
			// Two requests in the packet of the header.
			two := raw(t, r.addr, c.header+"GET / HTTP/1.1\r\nHost: x\r\n\r\n"+getOnce)
			if strings.Count(two, "\r\n\r\n"+c.want) != 2 {
				t.Errorf("want two answers %q in\n%s", c.want, two)
			}
		})
	}
	if n := r.point.Counters(); n.ProxyRefused != [proxyRefusals]uint64{} {
		t.Errorf("%+v", n)
	}
	var clients []string
	for _, rec := range r.logs.wait(t, 16) {
		clients = append(clients, rec.Client.Addr().String())
	}
	for _, want := range []string{"203.0.113.9", "2001:db8::7", "127.0.0.1"} {
		if n := strings.Count(strings.Join(clients, " "), want); n < 4 {
			t.Errorf("%d records of %s in %v", n, want, clients)
		}
	}
}

// A header and behind it a ClientHello: in one packet, and byte by byte.
func TestProxyHeaderTLS(t *testing.T) {
	cert, pool := certificate(t, "a.test")
	r := proxyRig(t, &Frontend{Handler: whoIs, TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
	for _, slow := range []bool{false, true} {
		c, err := net.Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(10 * time.Second))
		var under net.Conn = &withHeader{Conn: c, header: proxyV1}
		if slow {
			under = slowConn{c}
			io.WriteString(under, proxyV1)
		}
		s := tls.Client(under, &tls.Config{RootCAs: pool, ServerName: "a.test"})
		io.WriteString(s, getOnce)
		b, err := io.ReadAll(s)
		if err != nil {
			t.Fatal(err)
		}
		contains(t, string(b), `203.0.113.9:12345 > 198.51.100.1:8443 tls 304 sni "a.test"`)
	}
}

// withHeader sends its header together with the first bytes written.
type withHeader struct {
	net.Conn
	header string
}

func (c *withHeader) Write(p []byte) (int, error) {
	if h := c.header; h != "" {
		c.header = ""
		_, err := c.Conn.Write(append([]byte(h), p...))
		return len(p), err
	}
	return c.Conn.Write(p)
}

func TestProxyHeaderTunnel(t *testing.T) {
	cert, pool := certificate(t, "a.test")
	origin := echoServer(t)
	for _, secure := range []bool{false, true} {
		f := &Frontend{TCP: passTo(t, origin)}
		if secure {
			f.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
		}
		r := proxyRig(t, f)
		c, err := net.Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(10 * time.Second))
		var peer net.Conn = &withHeader{Conn: c, header: proxyV1}
		if secure {
			peer = tls.Client(peer, &tls.Config{RootCAs: pool, ServerName: "a.test"})
		}
		io.WriteString(peer, "hello")
		b := make([]byte, 5)
		if _, err := io.ReadFull(peer, b); err != nil || string(b) != "hello" {
			t.Errorf("%q %v", b, err)
		}
		peer.Close()
		if rec := r.logs.wait(t, 1)[0]; rec.Client.String() != "203.0.113.9:12345" {
			t.Errorf("%+v", rec)
		}
	}
}

// echoServer gives back what it gets.
func echoServer(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { io.Copy(c, c); c.Close() }()
		}
	}()
	return ln.Addr().String()
}

// Connections that break the rule are closed without an answer and counted by reason.
func TestProxyHeaderRefused(t *testing.T) {
	short := testTimeouts()
	short.RequestHead = 200 * time.Millisecond
	served := false
	handler := HandlerFunc(func(x *Exchange) { served = true; x.Error(500, Internal) })
	trusted := proxyRig(t, &Frontend{Handler: handler})
	hasty := proxyRig(t, &Frontend{Handler: handler, Timeouts: short})
	stranger := proxyRig(t, &Frontend{Handler: handler, ProxyFrom: prefixes("192.0.2.0/24", "::1/128")})
	for name, c := range map[string]struct {
		rig    *rig
		text   string
		half   bool // close our side behind it
		reason proxyRefusal
	}{
		"missing":           {trusted, getOnce, false, proxyHeader},
		"bad line":          {trusted, "PROXY TCP4 1.2.3 4.5.6.7 1 2\r\n" + getOnce, false, proxyHeader},
		"bad checksum":      {trusted, strings.Replace(proxyV2(), "a.test", "b.test", 1) + getOnce, false, proxyHeader},
		"too long":          {trusted, "PROXY UNKNOWN " + strings.Repeat("x", 200), false, proxyHeader},
		"cut":               {trusted, "PROXY TCP4 ", true, proxyHeader},
		"silent":            {hasty, "", false, proxyTimeout},
		"half":              {hasty, "PROXY TCP4 203.0", false, proxyTimeout},
		"from elsewhere":    {stranger, proxyV1 + getOnce, false, proxyPeer},
		"plain, elsewhere":  {stranger, getOnce, false, proxyPeer},
		"silent, elsewhere": {stranger, "", false, proxyPeer},
	} {
		t.Run(name, func(t *testing.T) {
			before := c.rig.point.Counters().ProxyRefused
			conn, err := net.Dial("tcp", c.rig.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(10 * time.Second))
			io.WriteString(conn, c.text)
			if c.half {
				conn.(*net.TCPConn).CloseWrite()
			}
			b, err := io.ReadAll(conn)
			if len(b) > 0 || err != nil && !strings.Contains(err.Error(), "reset") {
				t.Errorf("answered %q, %v", b, err)
			}
			want := before
			want[c.reason]++
			if got := c.rig.point.Counters().ProxyRefused; got != want {
				t.Errorf("counted %v, want %v", got, want)
			}
		})
	}
	// Who only looks whether the port is open does not count.
	before := trusted.point.Counters()
	c, err := net.Dial("tcp", trusted.addr)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	deadline := time.Now().Add(10 * time.Second)
	for n := trusted.point.Counters(); n.Open > 0 || n.Accepted == before.Accepted; n = trusted.point.Counters() {
		if time.Now().After(deadline) {
			t.Fatalf("%+v", n)
		}
		time.Sleep(time.Millisecond)
	}
	if got := trusted.point.Counters().ProxyRefused; got != before.ProxyRefused || served {
		t.Errorf("%v, was %v; served %v", got, before.ProxyRefused, served)
	}
}

// A slow header does not get more than the deadline by sending a byte now and then.
func TestProxyHeaderDeadline(t *testing.T) {
	short := testTimeouts()
	short.RequestHead = 300 * time.Millisecond
	r := proxyRig(t, &Frontend{Handler: whoIs, Timeouts: short})
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for i := range len(proxyV1) {
		<-tick.C
		if _, err := io.WriteString(c, proxyV1[i:i+1]); err != nil {
			if n := r.point.Counters().ProxyRefused; n[proxyTimeout] != 1 {
				t.Errorf("%v", n)
			}
			return
		}
	}
	t.Errorf("a header that took %d ticks was taken: %v", len(proxyV1), r.point.Counters().ProxyRefused)
}

// The next process knows the client of a connection that it takes over.
func TestDrainKeepsTheClient(t *testing.T) {
	for name, header := range map[string]string{"v1": proxyV1, "v2": proxyV2(), "local": proxyproto.LocalV2} {
		t.Run(name, func(t *testing.T) {
			old := proxyRig(t, &Frontend{Handler: whoIs})
			next := proxyRig(t, &Frontend{Handler: whoIs, Server: "new"})
			c, err := net.Dial("tcp", old.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			br := bufio.NewReader(c)
			io.WriteString(c, header)
			_, before := keepAliveGet(t, c, br)
			err = old.set.Drain(context.Background(), func(fd int, meta []byte) bool {
				next.point.Adopt(fd, meta)
				return PointOf(meta) == "test"
			})
			if err != nil {
				t.Error(err)
			}
			resp, after := keepAliveGet(t, c, br)
			if after != before || resp.Header.Get("Server") != "new" {
				t.Errorf("before %s\nafter  %s", before, after)
			}
		})
	}
	// What makes no sense is closed, not served as somebody else.
	next := proxyRig(t, &Frontend{Handler: whoIs})
	fd, client := pair(t)
	next.point.Adopt(fd, []byte("test\x00PROXY nonsense\r\n"))
	client.SetDeadline(time.Now().Add(10 * time.Second))
	if b, err := io.ReadAll(client); len(b) > 0 || err != nil {
		t.Errorf("%q %v", b, err)
	}
}

// pair is a connection, one end as a descriptor.
func pair(t testing.TB) (int, net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	t.Cleanup(func() { c.Close() })
	f, err := s.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fd, err := unix.Dup(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	unix.SetNonblock(fd, true)
	return fd, c
}

// proxyOrigin is an HTTP server behind PROXY headers: it answers with the number of the
// connection and the header that it began with.
func proxyOrigin(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for n := 1; ; n++ {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go answerProxied(c, n)
		}
	}()
	return ln.Addr().String()
}

func answerProxied(c net.Conn, n int) {
	defer c.Close()
	var h proxyproto.Header
	var got []byte
	b := make([]byte, 1024)
	for {
		m, err := c.Read(b)
		if err != nil {
			return
		}
		got = append(got, b[:m]...)
		if h.Version == 0 {
			used, err := h.Parse(got)
			if err != nil {
				return
			}
			got = bytes.Clone(got[used:])
		}
		for {
			i := bytes.Index(got, []byte("\r\n\r\n"))
			if i < 0 {
				break
			}
			got = got[i+4:]
			body := fmt.Sprintf("%d %v > %v %q %q client %d verify %d %q", n, h.Source.Addr(), h.Destination, h.Authority,
				h.SSL.Version, h.SSL.Client, h.SSL.Verify, h.SSL.CommonName)
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		}
	}
}

// A connection with a PROXY header is kept for further requests of its client connection
// and never used for another one.
func TestSendProxy(t *testing.T) {
	for _, version := range []int{1, 2} {
		p := passTo(t, proxyOrigin(t), proxyOrigin(t))
		p.Picker = &turns{one: p.Picker.(*one)}
		p.Preamble = (&ProxyHeader{Version: version, Checksum: true, SSL: true, Authority: true, ALPN: true}).Append
		r := proxyRig(t, &Frontend{Handler: HandlerFunc(func(x *Exchange) { x.Forward(p) })})
		client := func(header string) (net.Conn, *bufio.Reader) {
			c, err := net.Dial("tcp", r.addr)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			io.WriteString(c, header)
			return c, bufio.NewReader(c)
		}
		a, abr := client(proxyV1)
		b, bbr := client(proxyV2())
		wantA, wantB := `203.0.113.9 > 198.51.100.1:8443 "" "" client 0 verify 0 ""`, `2001:db8::7 > [2001:db8::1]:443 "" "" client 0 verify 0 ""`
		if version == 2 {
			wantB = `2001:db8::7 > [2001:db8::1]:443 "a.test" "TLSv1.2" client 1 verify 1 ""`
		}
		for range 3 { // each client goes to each server
			for range 2 {
				if _, body := keepAliveGet(t, a, abr); !strings.HasSuffix(body, wantA) {
					t.Errorf("v%d: %s, want %s", version, body, wantA)
				}
			}
			for range 2 {
				if _, body := keepAliveGet(t, b, bbr); !strings.HasSuffix(body, wantB) {
					t.Errorf("v%d: %s, want %s", version, body, wantB)
				}
			}
		}
		reused := 0
		for _, rec := range r.logs.wait(t, 12) {
			if rec.Reused {
				reused++
			}
		}
		if reused != 8 { // all but the first of each client to each server
			t.Errorf("v%d: %d of 12 requests went over a kept connection", version, reused)
		}
		a.Close()
		b.Close()
		deadline := time.Now().Add(10 * time.Second)
		for streams(r) > 0 {
			if time.Now().After(deadline) {
				t.Fatalf("%d connections to servers are left", streams(r))
			}
			time.Sleep(time.Millisecond)
		}
	}
}

// A server learns of the client's certificate.
func TestSendProxyCertificate(t *testing.T) {
	cert, pool := certificate(t, "a.test")
	p := passTo(t, proxyOrigin(t))
	p.Preamble = (&ProxyHeader{Version: 2, SSL: true, CommonName: true}).Append
	r := newRig(t, 1, &Frontend{Handler: HandlerFunc(func(x *Exchange) { x.Forward(p) }),
		TLS: &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: pool}})
	for want, certs := range map[string][]tls.Certificate{`"TLSv1.3" client 7 verify 0 "a.test"`: {cert}, `"TLSv1.3" client 1 verify 1 ""`: nil} {
		c, err := tls.Dial("tcp", r.addr, &tls.Config{RootCAs: pool, ServerName: "a.test", Certificates: certs})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, body := keepAliveGet(t, c, bufio.NewReader(c)); !strings.HasSuffix(body, want) {
			t.Errorf("%s, want %s", body, want)
		}
	}
}

// A client keeps at most keptPerClient connections, the ones used last.
func TestSendProxyKeepsFew(t *testing.T) {
	var addrs []string
	for range keptPerClient + 2 {
		addrs = append(addrs, proxyOrigin(t))
	}
	p := passTo(t, addrs...)
	p.Picker = &turns{one: p.Picker.(*one)}
	p.Preamble = (&ProxyHeader{Version: 2}).Append
	r := newRig(t, 1, &Frontend{Handler: HandlerFunc(func(x *Exchange) { x.Forward(p) })})
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	br := bufio.NewReader(c)
	for i := range addrs {
		if _, body := keepAliveGet(t, c, br); !strings.HasPrefix(body, "1 127.0.0.1 > "+r.addr) {
			t.Errorf("%d: %s", i, body)
		}
	}
	r.logs.wait(t, len(addrs))
	if n := streams(r); n != keptPerClient {
		t.Errorf("%d connections are kept", n)
	}
}

// turns takes the servers in turn.
type turns struct {
	*one
	n atomic.Int64
}

func (p *turns) Pick(*Exchange, int) (*Server, error) {
	return p.srvs[int(p.n.Add(1)-1)%len(p.srvs)], nil
}

// streams counts the connections to servers.
func streams(r *rig) int {
	var n atomic.Int64
	r.set.each(func(w *Worker) {
		for s := w.streams; s != nil; s = s.next {
			n.Add(1)
		}
	})
	return int(n.Load())
}
