package http1

import (
	"strings"
	"testing"
)

var testLimits = Limits{Bytes: 4096, Fields: 16}

// lines joins with CR LF and adds the empty line.
func lines(s ...string) string { return strings.Join(s, "\r\n") + "\r\n\r\n" }

func TestRequestRefused(t *testing.T) {
	long := strings.Repeat("a", 5000)
	for name, c := range map[string]struct {
		in     string
		status int
	}{
		"bare LF in the request line":       {"GET / HTTP/1.1\nHost: x\r\n\r\n", 400},
		"bare LF after a field":             {"GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n", 400},
		"bare CR in a value":                {"GET / HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n", 400},
		"bare LF as the empty line":         {"GET / HTTP/1.1\r\nHost: x\r\n\n", 400},
		"folded field":                      {"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", 400},
		"folded first field":                {"GET / HTTP/1.1\r\n Host: x\r\n\r\n", 400},
		"space before the colon":            {"GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400},
		"space in a name":                   {"GET / HTTP/1.1\r\nHost: x\r\nA B: c\r\n\r\n", 400},
		"empty name":                        {"GET / HTTP/1.1\r\nHost: x\r\n: c\r\n\r\n", 400},
		"line without colon":                {"GET / HTTP/1.1\r\nHost: x\r\nabc\r\n\r\n", 400},
		"NUL in a value":                    {"GET / HTTP/1.1\r\nHost: x\r\nA: b\x00c\r\n\r\n", 400},
		"control byte in a value":           {"GET / HTTP/1.1\r\nHost: x\r\nA: b\x01c\r\n\r\n", 400},
		"DEL in a value":                    {"GET / HTTP/1.1\r\nHost: x\r\nA: b\x7fc\r\n\r\n", 400},
		"NUL in a name":                     {"GET / HTTP/1.1\r\nHost: x\r\nA\x00: b\r\n\r\n", 400},
		"NUL in the target":                 {"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		"tab in the request line":           {"GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		"two spaces":                        {"GET  / HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		"space in the target":               {"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		"8-bit target":                      {"GET /\xe4 HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		"fragment":                          {"GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		"bad method":                        {"G@T / HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		"no method":                         {" / HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		"no target":                         {"GET HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		"relative target":                   {"GET a HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		"asterisk with GET":                 {"GET * HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		"ftp target":                        {"GET ftp://x/ HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		"absolute target without host":      {"GET http:/// HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		"user information":                  {"GET http://u@x/ HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		"HTTP/0.9":                          {"GET /\r\n\r\n", 400},
		"bad version":                       {"GET / HTTP/x.1\r\nHost: x\r\n\r\n", 400},
		"lower case version":                {"GET / http/1.1\r\nHost: x\r\n\r\n", 400},
		"version of three":                  {"GET / HTTP/1.10\r\nHost: x\r\n\r\n", 400},
		"HTTP/2.0":                          {"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505},
		"HTTP/2 preface":                    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
		"CONNECT":                           {"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n", 501},
		"no Host":                           {"GET / HTTP/1.1\r\nA: b\r\n\r\n", 400},
		"two Hosts":                         {"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", 400},
		"two Hosts in HTTP/1.0":             {"GET / HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n", 400},
		"empty Host":                        {"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400},
		"Host with a path":                  {"GET / HTTP/1.1\r\nHost: x/y\r\n\r\n", 400},
		"Host with a comma":                 {"GET / HTTP/1.1\r\nHost: x,y\r\n\r\n", 400},
		"Host with an at sign":              {"GET / HTTP/1.1\r\nHost: x@y\r\n\r\n", 400},
		"Host with a bad port":              {"GET / HTTP/1.1\r\nHost: x:y\r\n\r\n", 400},
		"Host with a port above 65535":      {"GET / HTTP/1.1\r\nHost: x:65536\r\n\r\n", 400},
		"Host with two ports":               {"GET / HTTP/1.1\r\nHost: x:1:2\r\n\r\n", 400},
		"Host with an open bracket":         {"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400},
		"length and coding":                 {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
		"coding and length":                 {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n", 400},
		"two lengths":                       {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", 400},
		"two equal lengths":                 {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n", 400},
		"list of lengths":                   {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3, 3\r\n\r\n", 400},
		"signed length":                     {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\n", 400},
		"negative length":                   {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -3\r\n\r\n", 400},
		"hexadecimal length":                {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0x3\r\n\r\n", 400},
		"empty length":                      {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\n", 400},
		"huge length":                       {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999999999999\r\n\r\n", 400},
		"two codings in two fields":         {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
		"chunked twice":                     {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", 501},
		"gzip, chunked":                     {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501},
		"identity":                          {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\n\r\n", 501},
		"xchunked":                          {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n", 400},
		"chunked with a vertical tab":       {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \x0bchunked\r\n\r\n", 400},
		"empty coding":                      {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\r\n\r\n", 400},
		"folded coding":                     {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\r\n chunked\r\n\r\n", 400},
		"coding in HTTP/1.0":                {"POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
		"unknown expectation":               {"POST / HTTP/1.1\r\nHost: x\r\nExpect: wonders\r\n\r\n", 417},
		"long target":                       {"GET /" + long + " HTTP/1.1\r\nHost: x\r\n\r\n", 414},
		"long target, no end":               {"GET /" + long, 414},
		"long field":                        {"GET / HTTP/1.1\r\nHost: x\r\nA: " + long + "\r\n\r\n", 431},
		"long field, no end":                {"GET / HTTP/1.1\r\nHost: x\r\nA: " + long, 431},
		"long name, no end":                 {"GET / HTTP/1.1\r\nHost: x\r\n" + long, 431},
		"many fields":                       {"GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A: b\r\n", 16) + "\r\n", 431},
		"TLS ClientHello on the plain port": {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400},
	} {
		t.Run(name, func(t *testing.T) {
			var r Request
			n, err := r.Parse([]byte(c.in), testLimits)
			if err == nil {
				t.Fatalf("accepted %d bytes, want %d", n, c.status)
			}
			if err.Status != c.status {
				t.Errorf("%v, want %d", err, c.status)
			}
		})
	}
}

func TestRequestAccepted(t *testing.T) {
	for name, c := range map[string]struct {
		in                        string
		path, query, host, target string
		length                    int64
		chunked, keep, upgrade    bool
	}{
		"origin form":            {in: lines("GET /a/b?c=d&e HTTP/1.1", "Host: x:80"), path: "/a/b", query: "c=d&e", host: "x:80", target: "/a/b?c=d&e", length: -1, keep: true},
		"absolute form":          {in: lines("GET http://y:8080/p?q HTTP/1.1", "Host: x"), path: "/p", query: "q", host: "y:8080", target: "http://y:8080/p?q", length: -1, keep: true},
		"absolute without path":  {in: lines("GET HTTP://y?q HTTP/1.1", "Host: x"), path: "/", query: "q", host: "y", target: "HTTP://y?q", length: -1, keep: true},
		"server as a whole":      {in: lines("OPTIONS http://y HTTP/1.1", "Host: x"), path: "*", host: "y", target: "http://y", length: -1, keep: true},
		"OPTIONS with a query":   {in: lines("OPTIONS http://y?q HTTP/1.1", "Host: x"), path: "/", query: "q", host: "y", target: "http://y?q", length: -1, keep: true},
		"absolute with a slash":  {in: lines("OPTIONS http://y/ HTTP/1.1", "Host: x"), path: "/", host: "y", target: "http://y/", length: -1, keep: true},
		"empty expectation":      {in: lines("GET / HTTP/1.1", "Host: x", "Expect:"), path: "/", host: "x", target: "/", length: -1, keep: true},
		"asterisk form":          {in: lines("OPTIONS * HTTP/1.1", "Host: x"), path: "*", host: "x", target: "*", length: -1, keep: true},
		"IPv6 host":              {in: lines("GET / HTTP/1.1", "Host: [::1]:80"), path: "/", host: "[::1]:80", target: "/", length: -1, keep: true},
		"HTTP/1.0":               {in: lines("GET / HTTP/1.0"), path: "/", target: "/", length: -1},
		"HTTP/1.0 keep-alive":    {in: lines("GET / HTTP/1.0", "Connection: Keep-Alive"), path: "/", target: "/", length: -1, keep: true},
		"close":                  {in: lines("GET / HTTP/1.1", "Host: x", "Connection: foo, CLOSE"), path: "/", host: "x", target: "/", length: -1},
		"length":                 {in: lines("POST / HTTP/1.1", "Host: x", "content-length:  12\t"), path: "/", host: "x", target: "/", length: 12, keep: true},
		"chunked":                {in: lines("POST / HTTP/1.1", "Host: x", "Transfer-Encoding: Chunked"), path: "/", host: "x", target: "/", length: -1, chunked: true, keep: true},
		"upgrade":                {in: lines("GET / HTTP/1.1", "Host: x", "Upgrade: websocket", "Connection: keep-alive, Upgrade"), path: "/", host: "x", target: "/", length: -1, keep: true, upgrade: true},
		"upgrade not in list":    {in: lines("GET / HTTP/1.1", "Host: x", "Upgrade: websocket"), path: "/", host: "x", target: "/", length: -1, keep: true},
		"upgrade to h2c":         {in: lines("GET / HTTP/1.1", "Host: x", "Upgrade: h2c", "Connection: upgrade"), path: "/", host: "x", target: "/", length: -1, keep: true},
		"empty lines before":     {in: "\r\n\r\n" + lines("GET / HTTP/1.1", "Host: x"), path: "/", host: "x", target: "/", length: -1, keep: true},
		"later minor version":    {in: lines("GET / HTTP/1.7", "Host: x"), path: "/", host: "x", target: "/", length: -1, keep: true},
		"8-bit and empty values": {in: lines("GET / HTTP/1.1", "Host: x", "A: \xe4\xf6", "B:", "C: \t "), path: "/", host: "x", target: "/", length: -1, keep: true},
	} {
		t.Run(name, func(t *testing.T) {
			var r Request
			whole := []byte(c.in + "rest")
			// Every shorter prefix must ask for more, and not be an error.
			for i := range len(c.in) {
				if n, err := r.Parse(whole[:i], testLimits); n != 0 || err != nil {
					t.Fatalf("prefix of %d bytes: %d, %v", i, n, err)
				}
			}
			n, err := r.Parse(whole, testLimits)
			if err != nil || n != len(c.in) {
				t.Fatalf("%d of %d, %v", n, len(c.in), err)
			}
			r.Rebase([]byte(c.in)) // as when the bytes are moved
			if string(r.Path()) != c.path || string(r.Query()) != c.query || string(r.Host()) != c.host || string(r.Target()) != c.target {
				t.Errorf("path %q query %q host %q target %q", r.Path(), r.Query(), r.Host(), r.Target())
			}
			if r.ContentLength() != c.length || r.Chunked() != c.chunked || r.KeepsAlive() != c.keep || r.Upgrades() != c.upgrade {
				t.Errorf("length %d chunked %v keep %v upgrade %v", r.ContentLength(), r.Chunked(), r.KeepsAlive(), r.Upgrades())
			}
		})
	}
}

func TestDropped(t *testing.T) {
	var r Request
	in := lines("GET / HTTP/1.1", "Host: x", "Connection: close, X-Secret", "Keep-Alive: 1", "x-secret: 1", "TE: trailers", "Proxy-Connection: x", "Cookie: a", "Connection: Other")
	if _, err := r.Parse([]byte(in+""), testLimits); err != nil {
		t.Fatal(err)
	}
	var kept []string
	for i := range r.Len() {
		if _, name, _ := r.At(i); !r.Dropped(i) {
			kept = append(kept, string(name))
		}
	}
	if got := strings.Join(kept, " "); got != "Host Cookie" {
		t.Error(got)
	}
	if v, ok := r.Get("cookie"); !ok || string(v) != "a" {
		t.Errorf("%q %v", v, ok)
	}
	if r.Count("connection") != 2 {
		t.Error(r.Count("connection"))
	}
}

func TestExpect(t *testing.T) {
	for in, want := range map[string]bool{
		lines("POST / HTTP/1.1", "Host: x", "Expect: 100-Continue", "Content-Length: 1"): true,
		lines("POST / HTTP/1.1", "Host: x", "Expect: 100-continue", "Content-Length: 0"): false,
		lines("POST / HTTP/1.0", "Host: x", "Expect: 100-continue", "Content-Length: 1"): false,
	} {
		var r Request
		if _, err := r.Parse([]byte(in), testLimits); err != nil || r.Expects() != want {
			t.Errorf("%q: %v %v", in, r.Expects(), err)
		}
	}
}

// A parser that reuses its memory allocates nothing: the hot path depends on it.
func TestParseAllocatesNothing(t *testing.T) {
	in := []byte(lines("GET /a/b?c HTTP/1.1", "Host: x", "User-Agent: curl/8", "Accept: */*", "Connection: keep-alive", "Cookie: a=b"))
	out := []byte(lines("HTTP/1.1 200 OK", "Content-Length: 3", "Server: x", "Date: Mon"))
	var r Request
	var s Response
	r.Parse(in, testLimits)
	s.Parse(out, testLimits)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := r.Parse(in, testLimits); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Parse(out, testLimits); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestComplete(t *testing.T) {
	in := "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	for i := range len(in) {
		if Complete([]byte(in[:i]), i-1) {
			t.Errorf("complete after %d bytes", i)
		}
	}
	for from := range len(in) {
		if !Complete([]byte(in), from) {
			t.Errorf("not complete, searched from %d", from)
		}
	}
	if !Complete([]byte("a\n\n"), 0) {
		t.Error("bare line ends have to reach the parser, which refuses them")
	}
}

// Cleartext HTTP/2 must not get through a list, nor behind a second field.
func TestUpgradeToH2CIsNone(t *testing.T) {
	for text, want := range map[string]bool{
		"Upgrade: websocket\r\n":                   true,
		"Upgrade: h2c\r\n":                         false,
		"Upgrade: H2C\r\n":                         false,
		"Upgrade: websocket, h2c\r\n":              false,
		"Upgrade: h2c , websocket\r\n":             false,
		"Upgrade: h2c\r\nUpgrade: websocket\r\n":   false,
		"Upgrade: websocket\r\nUpgrade: x,h2c\r\n": false,
		"Upgrade: ,\r\n":                           false,
	} {
		var r Request
		n, err := r.Parse([]byte("GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\n"+text+"\r\n"), Limits{Bytes: 4096, Fields: 10})
		if err != nil || n == 0 {
			t.Fatalf("%q: %d %v", text, n, err)
		}
		if r.Upgrades() != want {
			t.Errorf("%q: Upgrades is %v", text, r.Upgrades())
		}
	}
}
