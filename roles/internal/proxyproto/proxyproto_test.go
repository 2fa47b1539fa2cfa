package proxyproto

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "accept what the code gives as the expected text")

// captured are the headers of testdata/captured.txt.
func captured(t testing.TB) (names []string, bytes [][]byte, text []string, comment string) {
	t.Helper()
	b, err := os.ReadFile("testdata/captured.txt")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(b), "\n")
	i := 0
	for i < len(lines) && strings.HasPrefix(lines[i], "#") {
		comment += lines[i] + "\n"
		i++
	}
	for i++; i+2 < len(lines); i += 4 {
		raw, err := hex.DecodeString(lines[i+1])
		if err != nil {
			t.Fatal(err)
		}
		names, bytes, text = append(names, lines[i]), append(bytes, raw), append(text, lines[i+2])
	}
	if len(names) < 13 {
		t.Fatalf("only %d headers", len(names))
	}
	return names, bytes, text, comment
}

func describe(h *Header) string {
	s := fmt.Sprintf("v%d local %v %v > %v", h.Version, h.Local, h.Source, h.Destination)
	for _, f := range []struct {
		name  string
		value []byte
	}{{"alpn", h.ALPN}, {"authority", h.Authority}, {"id", h.UniqueID}, {"netns", h.NetNS},
		{"tls", h.SSL.Version}, {"cn", h.SSL.CommonName}, {"cipher", h.SSL.Cipher}} {
		if f.value != nil {
			s += fmt.Sprintf(" %s %q", f.name, f.value)
		}
	}
	if h.SSL.Present {
		s += fmt.Sprintf(" client %d verify %d", h.SSL.Client, h.SSL.Verify)
	}
	return s + fmt.Sprintf(" checksum %v", h.Checksum)
}

// What real programs send is read as they meant it, also with bytes behind it and in
// pieces, and written again it is the same bytes.
func TestCaptured(t *testing.T) {
	names, raw, text, comment := captured(t)
	out := comment
	for i, b := range raw {
		var h Header
		for cut := range b {
			if n, err := h.Parse(b[:cut]); n != 0 || err != nil {
				t.Fatalf("%s: %d of %d bytes give %d, %v", names[i], cut, len(b), n, err)
			}
		}
		n, err := h.Parse(append(bytes.Clone(b), "GET / HTTP/1.1\r\n"...))
		if err != nil || n != len(b) {
			t.Errorf("%s: %d of %d, %v", names[i], n, len(b), err)
		}
		if got := describe(&h); got != text[i] && !*rewrite {
			t.Errorf("%s:\ngot  %s\nwant %s", names[i], got, text[i])
		}
		if again := h.Append([]byte("x"))[1:]; !bytes.Equal(again, b) {
			t.Errorf("%s: written again\n%x\nwant\n%x", names[i], again, b)
		}
		out += fmt.Sprintf("\n%s\n%x\n%s\n", names[i], b, describe(&h))
	}
	if *rewrite {
		if err := os.WriteFile("testdata/captured.txt", []byte(out), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func v2(command, family byte, body string) string {
	return signature2 + string([]byte{command, family, byte(len(body) >> 8), byte(len(body))}) + body
}

var (
	tcp4 = "\xcb\x00\x71\x09\x0a\x00\x00\x01\x30\x39\x01\xbb"
	tcp6 = string(net.ParseIP("2001:db8::7")) + string(net.ParseIP("2001:db8::1")) + "\x30\x39\x01\xbb"
)

func TestParse(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"v1 unknown":         {"PROXY UNKNOWN\r\n", "v1 local false invalid AddrPort > invalid AddrPort checksum false"},
		"v1 unknown, more":   {"PROXY UNKNOWN ffff::1 what ever\r\n", "v1 local false invalid AddrPort > invalid AddrPort checksum false"},
		"v1 longest":         {"PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n", "v1 local false invalid AddrPort > invalid AddrPort checksum false"},
		"v1 mapped":          {"PROXY TCP6 ::ffff:192.0.2.1 2001:db8::1 1 65535\r\n", "v1 local false 192.0.2.1:1 > [2001:db8::1]:65535 checksum false"},
		"v1 port 0":          {"PROXY TCP4 192.0.2.1 192.0.2.2 0 80\r\n", "v1 local false 192.0.2.1:0 > 192.0.2.2:80 checksum false"},
		"v2 local":           {v2(0x20, 0, ""), "v2 local true invalid AddrPort > invalid AddrPort checksum false"},
		"v2 local, nonsense": {v2(0x20, 0xff, "\x03\x00"), "v2 local true invalid AddrPort > invalid AddrPort checksum false"},
		"v2 unspec":          {v2(0x21, 0, "\x05\x00\x01a"), `v2 local false invalid AddrPort > invalid AddrPort id "a" checksum false`},
		"v2 unix":            {v2(0x21, 0x31, strings.Repeat("/", 216)+"\x02\x00\x01a"), `v2 local false invalid AddrPort > invalid AddrPort authority "a" checksum false`},
		"v2 IPv6":            {v2(0x21, 0x21, tcp6), "v2 local false [2001:db8::7]:12345 > [2001:db8::1]:443 checksum false"},
		"v2 netns, own TLVs": {v2(0x21, 0x11, tcp4+"\x30\x00\x03abc\xe0\x00\x01x\x04\x00\x02  "), `v2 local false 203.0.113.9:12345 > 10.0.0.1:443 netns "abc" checksum false`},
		"v2 empty value":     {v2(0x21, 0x11, tcp4+"\x02\x00\x00"), `v2 local false 203.0.113.9:12345 > 10.0.0.1:443 authority "" checksum false`},
		"v2 longest":         {v2(0x21, 0x11, tcp4+"\x04\x0f\xe1"+strings.Repeat("x", 4065)), "v2 local false 203.0.113.9:12345 > 10.0.0.1:443 checksum false"},
	} {
		t.Run(name, func(t *testing.T) {
			var h Header
			n, err := h.Parse([]byte(c.in))
			if err != nil || n != len(c.in) {
				t.Fatalf("%d of %d bytes, %v", n, len(c.in), err)
			}
			if got := describe(&h); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		want error
	}{
		"HTTP":                 {"GET / HTTP/1.1\r\n", errSignature},
		"a ClientHello":        {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", errSignature},
		"first byte":           {"Q", errSignature},
		"other word":           {"POST", errSignature},
		"lower case":           {"proxy TCP4 1.2.3.4 5.6.7.8 1 2\r\n", errSignature},
		"v1 too long":          {"PROXY UNKNOWN " + strings.Repeat("x", 93), errLongLine},
		"v1 too long by one":   {"PROXY UNKNOWN " + strings.Repeat("x", 92) + "\r\n", errLongLine},
		"v1 line feed only":    {"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n", errForm},
		"v1 no protocol":       {"PROXY \r\n", errForm},
		"v1 UDP":               {"PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n", errForm},
		"v1 few fields":        {"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n", errForm},
		"v1 many fields":       {"PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n", errAddress},
		"v1 two spaces":        {"PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n", errAddress},
		"v1 space at the end":  {"PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n", errAddress},
		"v1 tab":               {"PROXY TCP4\t1.2.3.4 5.6.7.8 1 2\r\n", errForm},
		"v1 carriage return":   {"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\r\n", errAddress},
		"v1 short address":     {"PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n", errAddress},
		"v1 leading zero":      {"PROXY TCP4 01.2.3.4 5.6.7.8 1 2\r\n", errAddress},
		"v1 other family":      {"PROXY TCP4 ::1 ::2 1 2\r\n", errAddress},
		"v1 IPv4 as IPv6":      {"PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n", errAddress},
		"v1 zone":              {"PROXY TCP6 fe80::1%eth0 fe80::2 1 2\r\n", errAddress},
		"v1 port sign":         {"PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n", errAddress},
		"v1 port zero":         {"PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n", errAddress},
		"v1 port too large":    {"PROXY TCP4 1.2.3.4 5.6.7.8 65536 2\r\n", errAddress},
		"v2 version":           {signature2 + "\x11", errVersion},
		"v2 command":           {signature2 + "\x22", errVersion},
		"v2 datagrams":         {v2(0x21, 0x12, tcp4), errFamily},
		"v2 family":            {v2(0x21, 0x41, tcp4), errFamily},
		"v2 no transport":      {v2(0x21, 0x10, tcp4), errFamily},
		"v2 too long":          {signature2 + "\x21\x11\x0f\xf1", errLong},
		"v2 short for IPv4":    {v2(0x21, 0x11, tcp4[:11]), errShort},
		"v2 short for IPv6":    {v2(0x21, 0x21, tcp6[:35]), errShort},
		"v2 short for Unix":    {v2(0x21, 0x31, tcp6), errShort},
		"TLV head cut":         {v2(0x21, 0x11, tcp4+"\x04\x00"), errTLV},
		"TLV too long":         {v2(0x21, 0x11, tcp4+"\x04\x00\x02x"), errTLV},
		"authority twice":      {v2(0x21, 0x11, tcp4+"\x02\x00\x01a\x02\x00\x01b"), errTwice},
		"authority too long":   {v2(0x21, 0x11, tcp4+"\x02\x01\x00"+strings.Repeat("a", 256)), errField},
		"unique id too long":   {v2(0x21, 0x11, tcp4+"\x05\x00\x81"+strings.Repeat("a", 129)), errField},
		"checksum size":        {v2(0x21, 0x11, tcp4+"\x03\x00\x03abc"), errField},
		"checksum":             {v2(0x21, 0x11, tcp4+"\x03\x00\x04abcd"), errChecksum},
		"SSL too short":        {v2(0x21, 0x11, tcp4+"\x20\x00\x04\x01\x00\x00\x00"), errField},
		"SSL twice":            {v2(0x21, 0x11, tcp4+strings.Repeat("\x20\x00\x05\x01\x00\x00\x00\x00", 2)), errTwice},
		"SSL sub-TLV too long": {v2(0x21, 0x11, tcp4+"\x20\x00\x08\x01\x00\x00\x00\x00\x21\x00\x01"), errTLV},
		"SSL version twice":    {v2(0x21, 0x11, tcp4+"\x20\x00\x0d\x01\x00\x00\x00\x00\x21\x00\x01a\x21\x00\x01a"), errTwice},
	} {
		t.Run(name, func(t *testing.T) {
			var h Header
			if n, err := h.Parse([]byte(c.in)); err != c.want || n != 0 {
				t.Errorf("%d, %v, want %v", n, err, c.want)
			}
		})
	}
}

// One flipped bit anywhere in a header with a checksum is noticed.
func TestChecksum(t *testing.T) {
	names, raw, _, _ := captured(t)
	for i, b := range raw {
		if !strings.Contains(names[i], "options") {
			continue
		}
		for at := range b {
			c := bytes.Clone(b)
			c[at] ^= 4
			var h Header
			// A flipped length asks for more, or a flipped command hides the rest.
			if n, err := h.Parse(c); err == nil && n == len(b) && h.Checksum {
				t.Errorf("%s: byte %d changed and accepted", names[i], at)
			}
		}
	}
}

func TestAppend(t *testing.T) {
	p := netip.MustParseAddrPort
	long := bytes.Repeat([]byte("a"), 256)
	for name, c := range map[string]struct {
		h    Header
		want string
	}{
		"v1 mixed families":  {Header{Version: 1, Source: p("192.0.2.1:1"), Destination: p("[2001:db8::1]:2")}, "PROXY TCP6 ::ffff:192.0.2.1 2001:db8::1 1 2\r\n"},
		"v1 mapped":          {Header{Version: 1, Source: p("[::ffff:192.0.2.1]:1"), Destination: p("192.0.2.2:2")}, "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"},
		"v1 no address":      {Header{Version: 1, Destination: p("192.0.2.2:2")}, LocalV1},
		"v2 no address":      {Header{Version: 2, Source: p("192.0.2.2:2")}, v2(0x21, 0, "")},
		"v2 mixed families":  {Header{Version: 2, Source: p("203.0.113.9:12345"), Destination: p("[2001:db8::1]:443")}, v2(0x21, 0x21, string(net.ParseIP("203.0.113.9"))+tcp6[16:])},
		"v2 local":           {Header{Version: 2, Local: true, Source: p("192.0.2.1:1")}, LocalV2},
		"authority too long": {Header{Version: 2, Source: p("203.0.113.9:12345"), Destination: p("10.0.0.1:443"), Authority: long}, v2(0x21, 0x11, tcp4)},
	} {
		if got := string(c.h.Append(nil)); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestAllocatesNothing(t *testing.T) {
	_, raw, _, _ := captured(t)
	full := raw[len(raw)-4] // v2 with every option
	var h Header
	buf := make([]byte, 0, MaxSize)
	if n := testing.AllocsPerRun(100, func() {
		if n, err := h.Parse(full); n == 0 || err != nil {
			t.Fatal(n, err)
		}
		buf = h.Append(buf[:0])
	}); n != 0 || len(h.Authority) == 0 {
		t.Errorf("%v allocations for a header %s", n, describe(&h))
	}
}

// Any input: no panic; what a prefix decides, more bytes do not change; what is accepted
// is written and read again as the same.
func FuzzParse(f *testing.F) {
	_, raw, _, _ := captured(f)
	for _, b := range raw {
		f.Add(b)
	}
	f.Add([]byte("PROXY TCP6 ::ffff:192.0.2.1 2001:db8::1 1 65535\r\n"))
	f.Add([]byte(v2(0x21, 0x31, strings.Repeat("/", 216)+"\x02\x00\x01a")))
	f.Fuzz(func(t *testing.T, b []byte) {
		var h, again Header
		n, err := h.Parse(b)
		switch {
		case n < 0 || n > len(b) || n > MaxSize || n > 0 && err != nil:
			t.Fatalf("%d of %d bytes, %v", n, len(b), err)
		case n == 0 && err == nil && (len(b) >= MaxSize || h.Version == 1 && len(b) >= MaxLine):
			t.Fatal("asks for more than there may be")
		}
		for cut := range min(len(b), 300) {
			if m, e := again.Parse(b[:cut]); e == nil && m != 0 && m != n || e != nil && n != 0 {
				t.Fatalf("%d bytes: %d, %v; all: %d, %v", cut, m, e, n, err)
			}
		}
		if m, err := again.Parse(append(b[:n:n], "more"...)); n > 0 && (m != n || err != nil) {
			t.Fatalf("with other bytes behind it: %d, %v", m, err)
		}
		if n == 0 || h.Version == 1 && h.Source.IsValid() && h.Source.Addr().Is4() != h.Destination.Addr().Is4() {
			return
		}
		w := h.Append(nil)
		if m, err := again.Parse(w); err != nil || m != len(w) || again.Source != h.Source || again.Destination != h.Destination || again.Local != h.Local && h.Version == 2 {
			t.Fatalf("%s\nwritten %x\nread %s, %v", describe(&h), w, describe(&again), err)
		}
		if len(b) < maxOther && describe(&again) != describe(&h) && len(h.ALPN) <= maxAuthority {
			t.Fatalf("%s\nread again %s", describe(&h), describe(&again))
		}
	})
}
