package wire

import (
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"testing"
)

// TestFieldList describes a table's columns to clients that still ask this way.
func TestFieldList(t *testing.T) {
	e := newMemoryEngine(t)
	_, addr := serve(t, Config{}, e)
	r := login1(t, addr, basicCaps)
	r.command(comInitDB, []byte("shop")...)
	r.expectOK()
	r.query("CREATE TABLE `we``ird` (id INT PRIMARY KEY, idle FLOAT, name VARCHAR(9))")
	r.expectOK()
	names := func(arg string) (out []string) {
		r.command(comFieldList, []byte(arg)...)
		for {
			p := r.read()
			if p[0] == 0xfe {
				return out
			}
			if p[0] == 0xff {
				return []string{errText(p)}
			}
			d := reader{p: p}
			for i := range 6 {
				if s := d.lenbytes(); i == 4 {
					out = append(out, string(s))
				}
			}
			d.take(13)
			if d.bad || string(d.p) != "\xfb" {
				t.Fatalf("the definition ends in %q", d.p)
			}
		}
	}
	for arg, want := range map[string]string{
		"we`ird\x00": "[id idle name]", "we`ird\x00id%": "[id idle]", "we`ird\x00x%": "[]",
		"nothere\x00": "[1146 #42S02table not found: nothere]",
	} {
		if got := fmt.Sprint(names(arg)); got != want {
			t.Errorf("%q: got %s, want %s", arg, got, want)
		}
	}
}

// TestClientDetails: what the engine learns of a client.
func TestClientDetails(t *testing.T) {
	e := newStub()
	_, addr := serve(t, Config{}, e)
	r := dial(t, addr)
	p := r.hello(basicCaps|capConnectAttrs|capConnectWithDB|capFoundRows|capInteractive, "native", "secret", "shop")
	attrs := appendLenString(appendLenString(nil, "program_name"), "test")
	r.write(append(appendLenenc(p, uint64(len(attrs))), attrs...))
	r.expectOK()
	c := e.last().client
	if c.ID != r.id || c.User != "native" || c.Database != "shop" || c.Host != "localhost" || c.Addr.String() != r.nc.LocalAddr().String() ||
		c.Collation != collationUTF8mb4 || len(c.Attrs) != 1 || c.Attrs[0] != (Attr{"program_name", "test"}) || c.TLS != nil ||
		c.Capabilities&capFoundRows == 0 || c.Capabilities&capInteractive == 0 || c.Account.Host != "%" || e.last().state.Database != "shop" {
		t.Errorf("client %+v", c)
	}
	// An error of Open is the answer to the login.
	e.mu.Lock()
	e.accounts = append(e.accounts, Account{User: "noentry", Host: "%", Plugin: pluginNative})
	e.mu.Unlock()
	refused := dial(t, addr)
	refused.write(refused.hello(basicCaps, "noentry", "", ""))
	refused.expectErr(1226, "42000", "User 'noentry' has exceeded the 'max_user_connections' resource")
	refused.expectClosed()
}

// TestConfig refuses what cannot be, and takes new settings for connections to come.
func TestConfig(t *testing.T) {
	for want, cfg := range map[string]Config{
		"wire: Config.Version is empty: clients need a version such as 8.0.36-stack": {},
		"wire: Config.MaxAllowedPacket is outside 1024 bytes to 1 GiB":               {Version: "8", MaxAllowedPacket: 10},
		"wire: Config.MaxConnections is below 1":                                     {Version: "8", MaxConnections: -1},
		"wire: Config.TLS allows TLS 1.0 or 1.1: the least is 1.2":                   {Version: "8", TLS: &tls.Config{MinVersion: tls.VersionTLS11}},
	} {
		if _, err := New(cfg, newStub()); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	s, addr := serve(t, Config{}, newStub())
	if err := s.Reconfigure(Config{}); err == nil {
		t.Error("a configuration without a version was taken")
	}
	old := login1(t, addr, basicCaps)
	if err := s.Reconfigure(Config{Version: "8.0.99", MaxAllowedPacket: 2048}); err != nil {
		t.Fatal(err)
	}
	fresh := login1(t, addr, basicCaps)
	fresh.query(strings.Repeat("x", 3000))
	fresh.expectErr(1153, "08S01", "Got a packet bigger than 'max_allowed_packet' bytes")
	old.command(comPing) // takes over the new settings
	old.expectOK()
	old.query(strings.Repeat("x", 3000))
	old.expectErr(1153, "08S01", "Got a packet bigger than 'max_allowed_packet' bytes")
	if err := s.Serve(struct{ net.Listener }{}); err == nil {
		t.Error("a listener that cannot be stopped is served")
	}
}

// TestTLSOnly: versions below 1.2 are not spoken, and what a client sends in clear
// behind its request for TLS is not taken for a part of the session.
func TestTLSOnly(t *testing.T) {
	cert, _ := certificate(t)
	s, addr := serve(t, Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}}, newStub())
	start := func() *raw {
		r := dial(t, addr)
		r.write(r.hello(basicCaps|capSSL, "", "", "")[:32])
		return r
	}
	r := start()
	if err := tls.Client(r.nc, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}).Handshake(); err == nil {
		t.Error("TLS 1.1 was spoken")
	}
	r = start()
	r.write(r.hello(basicCaps, "root", "", ""))
	if p, err := r.readErr(); err == nil {
		t.Errorf("a login in clear behind the request for TLS is answered with %q", p)
	}
	eventually(t, "the failures are counted", func() bool { return s.Stats().TLSErrors == 2 })
}
