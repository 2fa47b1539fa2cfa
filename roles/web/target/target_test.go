package target

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestDecode(t *testing.T) {
	for _, c := range []struct {
		raw, path, query string
		err              error
	}{
		{"/", "/", "", nil},
		{"/a/b?x=1?2", "/a/b", "x=1?2", nil},
		{"/a%20b", "/a b", "", nil},
		{"/%61", "/a", "", nil},
		{"/a//b///c", "/a/b/c", "", nil},
		{"//a", "/a", "", nil},
		{"/a/./b/.", "/a/b/", "", nil},
		{"/a/b/..", "/a/", "", nil},
		{"/a/../b", "/b", "", nil},
		{"/a/b/../../c", "/c", "", nil},
		{"/a//../b", "/b", "", nil},
		{"/a/%2e%2e/b", "/b", "", nil},
		{"/a/%2E/b", "/a/b", "", nil},
		{"/a/.%2e/b", "/b", "", nil},
		{"/...", "/...", "", nil},
		{"/a/..b", "/a/..b", "", nil},
		{"/%252e%252e/x", "/%2e%2e/x", "", nil},
		{"/a?%00../..", "/a", "%00../..", nil},
		{"/%C3%A9", "/é", "", nil},
		{"/..", "", "", ErrAbove},
		{"/../etc/passwd", "", "", ErrAbove},
		{"/%2e%2e/etc/passwd", "", "", ErrAbove},
		{"/a/../../etc", "", "", ErrAbove},
		{"/a/./../..", "", "", ErrAbove},
		{"", "", "", ErrForm},
		{"a", "", "", ErrForm},
		{"?x", "", "", ErrForm},
		{"/%", "", "", ErrEscape},
		{"/%4", "", "", ErrEscape},
		{"/%zz", "", "", ErrEscape},
		{"/%u002e", "", "", ErrEscape},
		{"/%00", "", "", ErrControl},
		{"/a%00.php", "", "", ErrControl},
		{"/a%0d%0aX: y", "", "", ErrControl},
		{"/%7f", "", "", ErrControl},
		{"/a\x01", "", "", ErrControl},
		{"/a\\..\\b", "", "", ErrBackslash},
		{"/a%5c..%5cb", "", "", ErrBackslash},
		{"/a#b", "", "", ErrFragment},
		{"/a%2F..%2Fb", "", "", ErrSlash},
		{"/a/..%2fb", "", "", ErrSlash},
		{"/a%2f.", "", "", ErrSlash},
	} {
		got, err := Decode(nil, []byte(c.raw))
		if !errors.Is(err, c.err) || string(got.Path) != c.path || string(got.Query) != c.query {
			t.Errorf("%q: path %q query %q error %v; want %q %q %v", c.raw, got.Path, got.Query, err, c.path, c.query, c.err)
		}
	}
	if got, err := Decode(nil, []byte("/p%2Fq")); err != nil || !got.EncodedSlash || string(got.Path) != "/p%2Fq" {
		t.Errorf("encoded slash: %q %v %v", got.Path, got.EncodedSlash, err)
	}
}

func TestDecodeDoesNotAllocate(t *testing.T) {
	raw, buf := []byte("/assets/../css//site.css?v=2"), make([]byte, 0, 64)
	if n := testing.AllocsPerRun(100, func() { _, _ = Decode(buf, raw) }); n != 0 {
		t.Errorf("%v allocations a call", n)
	}
}

func TestHidden(t *testing.T) {
	for path, want := range map[string]bool{
		"/.git/config": true, "/a/.env": true, "/.well-known/acme": false, "/.well-known/.x": true,
		"/.well-known": true, "/a.b/c.d": false, "/a/.well-known/x": true, "/": false,
	} {
		if Hidden([]byte(path)) != want {
			t.Errorf("%s: %v", path, !want)
		}
	}
}

func TestAppendEscaped(t *testing.T) {
	if got := string(AppendEscaped(nil, []byte("/a b/é\"<%?#"))); got != "/a%20b/%C3%A9%22%3C%25%3F%23" {
		t.Error(got)
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{"/", "/a/../b", "/%2e%2e/", "/%2f..", "/a%00", "//..//", "/a/./b?q", "/.%2e/%2E.", "/%25%32%65"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := Decode(nil, raw)
		if err != nil {
			return
		}
		p := string(got.Path)
		if !strings.HasPrefix(p, "/") || strings.Contains(p, "//") || strings.ContainsAny(p, "\x00\r\n\\") {
			t.Fatalf("%q gave %q", raw, p)
		}
		for _, s := range strings.Split(p, "/") {
			if s == "." || s == ".." {
				t.Fatalf("%q gave %q", raw, p)
			}
		}
		// The normal form is a fixed point: escaped and decoded again it is the same.
		if !got.EncodedSlash {
			again, err := Decode(nil, AppendEscaped(nil, got.Path))
			if err != nil || !bytes.Equal(again.Path, got.Path) {
				t.Fatalf("%q gave %q, then %q %v", raw, p, again.Path, err)
			}
		}
	})
}
