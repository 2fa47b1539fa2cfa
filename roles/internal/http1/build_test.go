package http1

import (
	"strings"
	"testing"
)

// built builds a request out of a method, target, authority and lines "name: value".
func built(ended bool, method, target, authority string, lines ...string) (*Request, *Error) {
	r := new(Request)
	r.Begin(nil)
	if err := r.SetLine([]byte(method), []byte("https"), []byte(target), []byte(authority)); err != nil {
		return nil, err
	}
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		if err := r.AddField([]byte(name), []byte(value), 10); err != nil {
			return nil, err
		}
	}
	return r, r.Finish(ended)
}

func TestBuildRequest(t *testing.T) {
	r, err := built(false, "POST", "/a/b?c=d", "Example.com:80", "x-a: b", "host: example.com:80", "content-length: 5", "te: trailers", "expect: 100-continue", "empty: ")
	if err != nil {
		t.Fatal(err)
	}
	if string(r.Method()) != "POST" || string(r.Path()) != "/a/b" || string(r.Query()) != "c=d" || !r.HasQuery() || string(r.Target()) != "/a/b?c=d" ||
		!EqualFold(r.Host(), "example.com:80") || r.ContentLength() != 5 || r.Chunked() || !r.HasBody() || !r.Expects() || !r.KeepsAlive() || r.Upgrades() {
		t.Errorf("%+v", r)
	}
	if v, ok := r.Get("x-a"); !ok || string(v) != "b" {
		t.Errorf("%q", v)
	}
	if v, ok := r.Get("empty"); !ok || len(v) != 0 {
		t.Errorf("%q", v)
	}
	for i := range r.Len() {
		if id, name, _ := r.At(i); id == TE && !r.Dropped(i) {
			t.Errorf("%s is passed on", name)
		}
	}
	// The head stays whole when its bytes move.
	moved := append([]byte(nil), r.Bytes()...)
	r.Rebase(moved)
	if v, _ := r.Get("x-a"); string(v) != "b" || string(r.Path()) != "/a/b" {
		t.Errorf("%q %q", v, r.Path())
	}
}

func TestBuildLengths(t *testing.T) {
	for _, c := range []struct {
		ended         bool
		lines         []string
		length        int64
		chunked, body bool
	}{
		{true, nil, -1, false, false},
		{false, nil, -1, true, true},
		{true, []string{"content-length: 0"}, 0, false, false},
		{false, []string{"content-length: 0"}, 0, false, false},
		{false, []string{"content-length: 10"}, 10, false, true},
		{false, []string{"content-length: 10", "content-length: 10"}, 10, false, true},
	} {
		r, err := built(c.ended, "POST", "/", "x", c.lines...)
		if err != nil {
			if len(c.lines) == 2 && err.Status == 400 {
				continue // strict: one length, once
			}
			t.Errorf("%+v: %v", c, err)
			continue
		}
		if r.Chunked() != c.chunked || r.HasBody() != c.body || r.ContentLength() != c.length {
			t.Errorf("%+v: %d, chunked %t, body %t", c, r.ContentLength(), r.Chunked(), r.HasBody())
		}
	}
}

// RFC 9113 sections 8.2 and 8.3.
func TestBuildMalformed(t *testing.T) {
	for _, c := range []struct{ method, target, authority, line string }{
		{"", "/", "x", ""}, {"G T", "/", "x", ""}, {"G\x00", "/", "x", ""},
		{"GET", "", "x", ""}, {"GET", "a", "x", ""}, {"GET", "*", "x", ""}, {"GET", "/ a", "x", ""}, {"GET", "/\x7f", "x", ""}, {"GET", "http://x/", "x", ""},
		{"GET", "/", "a b", ""}, {"GET", "/", "a@b", ""}, {"GET", "/", "a/b", ""},
		{"GET", "/", "", ""}, {"GET", "/", "x", "host: y"}, {"GET", "/", "", "host: a b"}, {"GET", "/", "", "host: "},
		{"GET", "/", "x", "X-Upper: a"}, {"GET", "/", "x", "a b: c"}, {"GET", "/", "x", ": c"}, {"GET", "/", "x", ":path: c"},
		{"GET", "/", "x", "a: \x00"}, {"GET", "/", "x", "a: b\r\nc: d"}, {"GET", "/", "x", "a: b\nc"}, {"GET", "/", "x", "a:  b"}, {"GET", "/", "x", "a: b\t"},
		{"GET", "/", "x", "connection: close"}, {"GET", "/", "x", "keep-alive: 1"}, {"GET", "/", "x", "proxy-connection: a"},
		{"GET", "/", "x", "transfer-encoding: chunked"}, {"GET", "/", "x", "upgrade: h2c"}, {"GET", "/", "x", "te: gzip"}, {"GET", "/", "x", "te: trailers, gzip"},
		{"GET", "/", "x", "content-length: 5"}, // of a body that does not come
		{"GET", "/", "x", "content-length: a"}, {"GET", "/", "x", "content-length: -1"}, {"GET", "/", "x", "content-length: "}, {"GET", "/", "x", "content-length: 99999999999999999999"},
	} {
		var lines []string
		if c.line != "" {
			lines = append(lines, c.line)
		}
		if _, err := built(true, c.method, c.target, c.authority, lines...); err == nil || err.Status != 400 {
			t.Errorf("%q: %v", c, err)
		}
	}
	if _, err := built(true, "GET", "/", "x", "host: x", "host: x"); err == nil {
		t.Error("two Hosts")
	}
	if _, err := built(true, "OPTIONS", "*", "x"); err != nil {
		t.Error(err)
	}
	if _, err := built(false, "POST", "/", "x", "expect: more"); err == nil || err.Status != 417 {
		t.Error(err)
	}
	many := strings.Split(strings.Repeat("a: b|", 11), "|")[:11]
	if _, err := built(true, "GET", "/", "x", many...); err == nil || err.Status != 431 {
		t.Error(err)
	}
	for _, scheme := range []string{"", "ftp", "HTTP", "http:"} {
		r := new(Request)
		r.Begin(nil)
		if err := r.SetLine([]byte("GET"), []byte(scheme), []byte("/"), []byte("x")); err == nil {
			t.Errorf("scheme %q", scheme)
		}
	}
}

// A request that was refused leaves nothing in the next one.
func TestBuildAgain(t *testing.T) {
	r := new(Request)
	r.Begin(nil)
	r.SetLine([]byte("POST"), []byte("http"), []byte("/a?b"), []byte("x"))
	r.AddField([]byte("content-length"), []byte("5"), 10)
	r.AddField([]byte("expect"), []byte("100-continue"), 10)
	r.SetUpgrade([]byte("websocket"))
	r.Finish(false)
	r.Begin(r.Buffer())
	if err := r.SetLine([]byte("GET"), []byte("http"), []byte("/"), []byte("y")); err != nil {
		t.Fatal(err)
	}
	if err := r.Finish(true); err != nil {
		t.Fatal(err)
	}
	if r.HasQuery() || r.ContentLength() >= 0 || r.HasBody() || r.Upgrades() || r.Expects() || r.Len() != 0 || string(r.Host()) != "y" {
		t.Errorf("%+v", r)
	}
}

func TestBuildResponse(t *testing.T) {
	r := new(Response)
	r.Begin(nil, 200)
	if err := r.AddField([]byte("content-length"), []byte("5"), 10); err != nil {
		t.Fatal(err)
	}
	r.Finish(false)
	if r.ContentLength() != 5 || r.Chunked() || r.HasBody(true) || !r.HasBody(false) || !r.KeepsAlive() {
		t.Errorf("%+v", r)
	}
	r.Begin(r.Buffer(), 204)
	r.Finish(true)
	if r.ContentLength() >= 0 || r.Chunked() || r.HasBody(false) || r.Len() != 0 || r.Status != 204 {
		t.Errorf("%+v", r)
	}
	r.Begin(r.Buffer(), 200)
	r.Finish(false)
	if !r.Chunked() {
		t.Error("a body of unknown length is not seen")
	}
	if err := r.AddField([]byte("connection"), []byte("close"), 10); err == nil {
		t.Error("a field of HTTP/1 is taken")
	}
}
