package wire

import (
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

const proxySignature = "\r\n\r\n\x00\r\nQUIT\n"

// TestProxy takes the client's address from PROXY headers of both versions.
func TestProxy(t *testing.T) {
	e := newStub()
	e.accounts = append(e.accounts, Account{User: "app", Host: "203.0.113.%", Plugin: pluginNative})
	s, addr := serve(t, Config{ProxyFrom: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, e)
	v2 := func(command, family byte, body string) string {
		return proxySignature + string([]byte{0x20 | command, family, byte(len(body) >> 8), byte(len(body))}) + body
	}
	v4 := "\xcb\x00\x71\x09\x0a\x00\x00\x01\x30\x39\x0c\xea"
	v6 := string(net.ParseIP("2001:db8::7")) + string(net.ParseIP("2001:db8::1")) + "\x30\x39\x0c\xea"
	for name, c := range map[string]struct{ header, want string }{
		"none":         {"", "127.0.0.1"},
		"v1":           {"PROXY TCP4 203.0.113.9 10.0.0.1 12345 3306\r\n", "203.0.113.9:12345"},
		"v1 IPv6":      {"PROXY TCP6 2001:db8::7 2001:db8::1 12345 3306\r\n", "[2001:db8::7]:12345"},
		"v1 unknown":   {"PROXY UNKNOWN\r\n", "127.0.0.1"},
		"v2":           {v2(1, 0x11, v4), "203.0.113.9:12345"},
		"v2 with TLVs": {v2(1, 0x11, v4+"\x04\x00\x03abc"), "203.0.113.9:12345"},
		"v2 IPv6":      {v2(1, 0x21, v6), "[2001:db8::7]:12345"},
		"v2 LOCAL":     {v2(0, 0, ""), "127.0.0.1"},
		"v2 unspec":    {v2(1, 0, ""), "127.0.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			r := dial(t, addr)
			r.nc.Write([]byte(c.header))
			r.write(r.hello(basicCaps, "root", "", ""))
			r.expectOK()
			if got := e.last().client.Addr.String(); !strings.HasPrefix(got, c.want) {
				t.Errorf("the client is %s, want %s", got, c.want)
			}
			// The same when it comes byte by byte.
			in := iotest.OneByteReader(strings.NewReader(c.header + "\x01\x00\x00\x01x"))
			slow := newConn(s, s.cfg.Load(), &withAddr{&memoryConn{in: in}}, 1)
			slow.seq = 1
			if err := slow.readProxy(); err != nil || !strings.HasPrefix(slow.client.Addr.String(), c.want) {
				t.Errorf("byte by byte the client is %s, %v", slow.client.Addr, err)
			}
			if p, err := slow.readPacket(10, 0); err != nil || string(p) != "x" {
				t.Errorf("behind the header stands %q, %v", p, err)
			}
		})
	}
	for name, c := range map[string]struct{ header, want string }{
		"wrong word":      {"PROXZ TCP4 1.2.3.4 5.6.7.8 1 2\r\n", ""},
		"signature":       {"PROXYX1.2.3.4\r\n", "1043 Bad handshake: the PROXY header has a wrong signature"},
		"long line":       {"PROXY TCP4 " + strings.Repeat("1", 120), "1043 Bad handshake: the PROXY line is longer than 107 bytes"},
		"address":         {"PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n", "1043 Bad handshake: the PROXY line has an address or port that does not parse"},
		"family":          {"PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n", "1043 Bad handshake: the PROXY line has an address or port that does not parse"},
		"fields":          {"PROXY TCP4 1.2.3.4\r\n", "1043 Bad handshake: the PROXY line is not of the form PROXY TCP4 SOURCE DESTINATION PORT PORT"},
		"v2 version":      {proxySignature + "\x11\x11\x00\x00", "1043 Bad handshake: the PROXY header has a version or command that does not exist"},
		"v2 short":        {v2(1, 0x11, "\x01\x02"), "1043 Bad handshake: the PROXY header is too short for its addresses"},
		"v2 too long":     {proxySignature + "\x21\x11\xff\xff", "1043 Bad handshake: the PROXY header is longer than 4096 bytes"},
		"v2 bad greeting": {"\r\n\r\n\x00\r\nQUIX\nxxxx", "1043 Bad handshake: the PROXY header has a wrong signature"},
	} {
		t.Run(name, func(t *testing.T) {
			r := dial(t, addr)
			r.nc.Write([]byte(c.header))
			if c.want == "" {
				c.want = "1043 Bad handshake: the PROXY header has a wrong signature"
			}
			r.seq = 2
			if got := errText(r.read()); got != c.want {
				t.Errorf("got %s\nwant %s", got, c.want)
			}
			r.expectClosed()
		})
	}
	// Host patterns see the client, not the balancer.
	r := dial(t, addr)
	r.nc.Write([]byte("PROXY TCP4 203.0.113.9 10.0.0.1 12345 3306\r\n"))
	r.write(r.hello(basicCaps, "app", "", ""))
	r.expectOK()
	if got := e.last().client; got.Account.Host != "203.0.113.%" || got.Via.Addr().String() != "127.0.0.1" {
		t.Errorf("client %+v", got)
	}
	r = dial(t, addr)
	r.write(r.hello(basicCaps, "app", "", ""))
	p := r.read()
	if p[0] == 0xfe { // the decoy of this name has the other plugin
		r.write(nil)
		p = r.read()
	}
	if got := errText(p); got != "1045 #28000Access denied for user 'app'@'localhost' (using password: NO)" {
		t.Error(got)
	}
}

// TestUnixSocket logs in over a Unix socket, where the password may be sent as it is.
func TestUnixSocket(t *testing.T) {
	e := newStub()
	s, err := New(Config{Version: "8.0.36"}, e)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	defer func() { s.Close(); <-done }()
	out, err := program(t, "SELECT 1", "mariadb", "--no-defaults", "-S", path, "-usha2", "-ps3cret", "-BN", "-e", "ok")
	if err != nil || out != "" {
		t.Errorf("got %q, %v", out, err)
	}
	if c := e.last().client; !c.Unix || c.Host != "localhost" || c.Addr.IsValid() {
		t.Errorf("client %+v", c)
	}
	if s.Stats().FullAuth != 1 {
		t.Error("no full authentication took place")
	}
}
