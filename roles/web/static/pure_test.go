package static

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestMediaType(t *testing.T) {
	for name, want := range map[string]string{
		"/a.html": "text/html; charset=utf-8", "/A.CSS": "text/css; charset=utf-8", "/x.tar.gz": "application/gzip",
		"/noext": "application/octet-stream", "/dir.html/x": "application/octet-stream", "/a.unknown": "application/octet-stream",
		"/p.png": "image/png", "/s.svg": "image/svg+xml; charset=utf-8",
	} {
		if got := MediaType(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestEvaluate(t *testing.T) {
	v := &Validators{ETag: []byte(`"abc"`), LastModified: time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC)}
	const same, before, after = "Fri, 01 May 2026 10:00:00 GMT", "Thu, 30 Apr 2026 10:00:00 GMT", "Sat, 02 May 2026 10:00:00 GMT"
	for i, c := range []struct {
		im, inm, ims, ius string
		want              Verdict
	}{
		{"", "", "", "", Send},
		{"", `"abc"`, "", "", NotModified},
		{"", `W/"abc"`, "", "", NotModified},
		{"", `"x", "abc"`, "", "", NotModified},
		{"", `"x","y"`, "", "", Send},
		{"", `*`, "", "", NotModified},
		{"", `abc`, "", "", Send},
		{"", `"abc`, "", "", Send},
		{"", "", same, "", NotModified},
		{"", "", after, "", NotModified},
		{"", "", before, "", Send},
		{"", "", "not a date", "", Send},
		{"", `"x"`, same, "", Send}, // If-None-Match hides If-Modified-Since
		{`"abc"`, "", "", "", Send},
		{`W/"abc"`, "", "", "", PreconditionNo},
		{`"x"`, "", "", "", PreconditionNo},
		{`*`, "", "", "", Send},
		{"", "", "", before, PreconditionNo},
		{"", "", "", same, Send},
		{`"abc"`, "", "", before, Send}, // If-Match hides If-Unmodified-Since
		{`"x"`, `"abc"`, "", "", PreconditionNo},
		{`"abc"`, `"abc"`, "", "", NotModified},
	} {
		field := func(s string) []byte {
			if s == "" {
				return nil
			}
			return []byte(s)
		}
		got := (&Conditions{IfMatch: field(c.im), IfNoneMatch: field(c.inm), IfModifiedSince: field(c.ims), IfUnmodifiedSince: field(c.ius)}).Evaluate(v)
		if got != c.want {
			t.Errorf("case %d %+v: %d, want %d", i, c, got, c.want)
		}
	}
}

func TestIfRange(t *testing.T) {
	v := &Validators{ETag: []byte(`"abc"`), LastModified: time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC)}
	late, soon := v.LastModified.Add(time.Hour), v.LastModified.Add(time.Second)
	for field, want := range map[string]bool{
		`"abc"`: true, `W/"abc"`: false, `"x"`: false, "Fri, 01 May 2026 10:00:00 GMT": true,
		"Sat, 02 May 2026 10:00:00 GMT": false, "junk": false,
	} {
		if got := (&Conditions{Range: []byte("bytes=0-1"), IfRange: []byte(field)}).RangeApplies(v, late); got != want {
			t.Errorf("%s: %v", field, got)
		}
	}
	if (&Conditions{Range: []byte("bytes=0-1"), IfRange: []byte("Fri, 01 May 2026 10:00:00 GMT")}).RangeApplies(v, soon) {
		t.Error("a date within the same minute is a weak validator")
	}
}

func TestParseRange(t *testing.T) {
	for _, c := range []struct {
		field  string
		size   int64
		spans  string
		result RangeResult
	}{
		{"bytes=0-0", 10, "[{0 1}]", Partial},
		{"bytes=0-", 10, "[{0 10}]", Partial},
		{"bytes=5-", 10, "[{5 5}]", Partial},
		{"bytes=-3", 10, "[{7 3}]", Partial},
		{"bytes=-30", 10, "[{0 10}]", Partial},
		{"bytes=2-300", 10, "[{2 8}]", Partial},
		{"Bytes=1-2", 10, "[{1 2}]", Partial},
		{"bytes=0-1, 4-5 ,8-", 10, "[{0 2} {4 2} {8 2}]", Partial},
		{"bytes=,0-1,", 10, "[{0 2}]", Partial},
		{"bytes=10-", 10, "[]", Unsatisfiable},
		{"bytes=-0", 10, "[]", Unsatisfiable},
		{"bytes=0-", 0, "[]", Whole}, // from clients that bound every answer so
		{"bytes=-1", 0, "[]", Whole},
		{"bytes=99999999999999999999-", 10, "[]", Unsatisfiable},
		{"bytes=0-99999999999999999999", 10, "[{0 10}]", Partial},
		{"bytes=20-30,0-1", 10, "[{0 2}]", Partial},
		{"bytes=5-4", 10, "[]", Whole},
		{"bytes=a-b", 10, "[]", Whole},
		{"bytes=1", 10, "[]", Whole},
		{"bytes=--1", 10, "[]", Whole},
		{"bytes=", 10, "[]", Whole},
		{"items=0-1", 10, "[]", Whole},
		{"bytes=0-,0-", 10, "[]", Whole},
		{"bytes=" + strings.Repeat("0-0,", MaxRanges) + "1-1", 10000, "[]", Whole},
	} {
		spans, result := ParseRange(nil, []byte(c.field), c.size)
		if fmt.Sprint(spans) != c.spans || result != c.result {
			t.Errorf("%q of %d: %v %d, want %s %d", c.field, c.size, spans, result, c.spans, c.result)
		}
	}
}

func FuzzParseRange(f *testing.F) {
	for _, s := range []string{"bytes=0-1,2-3", "bytes=-5", "bytes=9-", "bytes=,,", "bytes=1-0"} {
		f.Add([]byte(s), int64(10))
	}
	f.Fuzz(func(t *testing.T, field []byte, size int64) {
		if size < 0 {
			return
		}
		spans, result := ParseRange(nil, field, size)
		if (result == Partial) != (len(spans) > 0) || len(spans) > MaxRanges {
			t.Fatalf("%q: %v %d", field, spans, result)
		}
		for _, s := range spans {
			if s.Start < 0 || s.Length <= 0 || s.Start+s.Length > size {
				t.Fatalf("%q of %d: %v", field, size, spans)
			}
		}
	})
}

func FuzzMatchAny(f *testing.F) {
	f.Add([]byte(`"a", W/"b"`), []byte(`"b"`))
	f.Add([]byte(`*`), []byte(`""`))
	f.Fuzz(func(t *testing.T, list, etag []byte) {
		strong, weak := matchAny(list, etag, true), matchAny(list, etag, false)
		if strong && !weak {
			t.Fatalf("%q %q: strong without weak", list, etag)
		}
		if weak && !bytes.Contains(list, etag) && string(bytes.Trim(list, " \t")) != "*" {
			t.Fatalf("%q %q: matched what is not there", list, etag)
		}
	})
}
