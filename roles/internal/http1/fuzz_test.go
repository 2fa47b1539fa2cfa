package http1

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/http/httputil"
	"testing"
)

// The fuzz targets hold two promises. What is accepted is read the same however its bytes
// are cut into pieces. And what is sent on, which is written anew, is read the same by a
// parser that shares nothing with this one: net/http's.

// cuts are places to cut n bytes at: all of a short head, some of a long one.
func cuts(n int) (at []int) {
	step := max(1, n/64)
	for k := 0; k < n; k += step {
		at = append(at, k)
	}
	return append(at, max(0, n-1), max(0, n-2), max(0, n-3))
}

func FuzzRequest(f *testing.F) {
	for _, s := range []string{
		lines("GET /a?b HTTP/1.1", "Host: x", "A: b"),
		lines("POST http://h/a HTTP/1.0", "Content-Length: 3"),
		lines("POST / HTTP/1.1", "Host: x", "Transfer-Encoding: chunked", "Trailer: a", "Expect: 100-continue"),
		lines("GET / HTTP/1.1", "Host: x:1", "Connection: a, upgrade", "Upgrade: websocket", "A: b", "TE: trailers"),
		lines("OPTIONS http://x HTTP/1.1", "Host: x"),
		"\r\nOPTIONS * HTTP/1.1\r\nHost: [::1]\r\nConnection: a,b\r\n\r\n",
		"GET / HTTP/1.1\nHost: x\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var r Request
		n, err := r.Parse(in, testLimits)
		if err != nil {
			if n != 0 || err.Status < 400 || err.Status > 599 {
				t.Fatalf("%d, %v", n, err)
			}
			return
		}
		if n == 0 {
			if len(in) >= testLimits.Bytes {
				t.Fatal("asks for more beyond the limit")
			}
			return
		}
		if !Complete(in[:n], 0) {
			t.Fatal("accepted without an end")
		}
		for _, k := range cuts(n) {
			var part Request
			if m, err := part.Parse(in[:k], testLimits); m != 0 || err != nil {
				t.Fatalf("the first %d of %d bytes: %d, %v", k, n, m, err)
			}
		}
		written := rewriteRequest(&r)
		sameRequest(t, &r, written)
		// The bytes as they came are read the same by somebody else, if at all.
		if theirs, err := http.ReadRequest(reader(in[:n])); err == nil {
			if theirs.Method != string(r.Method()) || !sameFraming(&r.Head, theirs.ContentLength, theirs.TransferEncoding) {
				t.Fatalf("net/http reads %q as %s, length %d, coding %v", in[:n], theirs.Method, theirs.ContentLength, theirs.TransferEncoding)
			}
		}
	})
}

// rewriteRequest writes a head anew as a proxy sends it on.
func rewriteRequest(r *Request) []byte {
	var w Writer
	w.RawBytes(r.Method())
	w.Raw(" ")
	w.RawBytes(r.Path())
	if r.HasQuery() {
		w.Raw("?")
		w.RawBytes(r.Query())
	}
	w.Raw(" HTTP/1.1\r\n")
	if len(r.Host()) > 0 {
		w.Value("Host", r.Host())
	} else {
		w.Field("Host", "origin")
	}
	for i := range r.Len() {
		if id, name, value := r.At(i); id != Host && id != ContentLength && !r.Dropped(i) {
			w.Bytes(name, value)
		}
	}
	switch {
	case r.Chunked():
		w.Raw("Transfer-Encoding: chunked\r\n")
	case r.ContentLength() >= 0:
		w.Int("Content-Length", r.ContentLength())
	}
	w.Raw("\r\n")
	return w.B
}

// sameRequest reads what was written anew with both parsers.
func sameRequest(t *testing.T, r *Request, written []byte) {
	var again Request
	n, err := again.Parse(written, Limits{Bytes: 1 << 20, Fields: 64})
	if err != nil || n != len(written) {
		t.Fatalf("written anew: %d of %d, %v\n%q", n, len(written), err, written)
	}
	if !bytes.Equal(again.Path(), r.Path()) || len(r.Host()) > 0 && !bytes.Equal(again.Host(), r.Host()) ||
		again.ContentLength() != r.ContentLength() || again.Chunked() != r.Chunked() || again.HasBody() != r.HasBody() {
		t.Fatalf("read differently: %q", written)
	}
	// Percent signs: which encodings a path has is not a question of framing.
	br := reader(bytes.ReplaceAll(written, []byte("%"), []byte("p")))
	theirs, problem := http.ReadRequest(br)
	if problem != nil {
		t.Fatalf("net/http refuses what is sent on: %v\n%q", problem, written)
	}
	if theirs.Method != string(r.Method()) || len(r.Host()) > 0 && theirs.Host != string(r.Host()) || !sameFraming(&r.Head, theirs.ContentLength, theirs.TransferEncoding) {
		t.Fatalf("net/http reads differently: %+v\n%q", theirs, written)
	}
	if br.Buffered() > 0 {
		t.Fatalf("net/http finds %d bytes behind the head of %q", br.Buffered(), written)
	}
}

func reader(b []byte) *bufio.Reader { return bufio.NewReaderSize(bytes.NewReader(b), len(b)+1024) }

// sameFraming compares where a body ends with net/http's idea of it.
func sameFraming(h *Head, length int64, codings []string) bool {
	if h.Chunked() {
		return len(codings) == 1 && codings[0] == "chunked"
	}
	return len(codings) == 0 && max(0, length) == max(0, h.ContentLength())
}

func FuzzResponse(f *testing.F) {
	for _, s := range []string{
		lines("HTTP/1.1 200 OK", "Content-Length: 3"), lines("HTTP/1.0 404", "Connection: close"), lines("HTTP/1.1 204 No Content"),
		lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "Connection: a", "A: b"), lines("HTTP/1.1 103 Early Hints", "Link: x"),
		lines("HTTP/1.1 101 Switching Protocols", "Connection: upgrade", "Upgrade: x"), "HTTP/1.1 200 \n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var r Response
		n, err := r.Parse(in, testLimits)
		switch {
		case err != nil:
			return
		case n == 0:
			if len(in) >= testLimits.Bytes {
				t.Fatal("asks for more beyond the limit")
			}
			return
		case r.Status < 100 || r.Status > 599 || n > len(in):
			t.Fatalf("%d %d", n, r.Status)
		}
		for _, k := range cuts(n) {
			var part Response
			if m, err := part.Parse(in[:k], testLimits); m != 0 || err != nil {
				t.Fatalf("the first %d of %d bytes: %d, %v", k, n, m, err)
			}
		}
		var w Writer
		w.Raw("HTTP/1.1 ")
		w.RawBytes([]byte{byte('0' + r.Status/100), byte('0' + r.Status/10%10), byte('0' + r.Status%10), ' '})
		w.RawBytes(r.Reason())
		w.Raw("\r\n")
		for i := range r.Len() {
			if _, name, value := r.At(i); !r.Dropped(i) {
				w.Bytes(name, value)
			}
		}
		if r.Chunked() {
			w.Raw("Transfer-Encoding: chunked\r\n")
		}
		w.Raw("\r\n")
		theirs, problem := http.ReadResponse(reader(w.B), nil)
		if problem != nil || theirs.StatusCode != r.Status {
			t.Fatalf("net/http reads what is sent on as %+v, %v\n%q", theirs, problem, w.B)
		}
		if r.HasBody(false) && !sameFraming(&r.Head, theirs.ContentLength, theirs.TransferEncoding) {
			t.Fatalf("net/http reads length %d, coding %v\n%q", theirs.ContentLength, theirs.TransferEncoding, w.B)
		}
	})
}

func FuzzChunked(f *testing.F) {
	f.Add([]byte("3\r\nabc\r\n0\r\n\r\n"), 1)
	f.Add([]byte("3;a=\"b\"\r\nabc\r\n0\r\nA: b\r\n\r\n"), 3)
	f.Add([]byte("3 ; a = \"b\\\"\" ;c\r\nabc\r\n0\r\n\r\nGET"), 2)
	f.Add([]byte("fffffffffffffff\r\nabc"), 2)
	f.Fuzz(func(t *testing.T, in []byte, step int) {
		if step < 1 || len(in) > 1<<14 {
			return
		}
		c1, t1, l1, e1 := decode(string(in), step)
		c2, t2, l2, e2 := decode(string(in), len(in)+1)
		// However the bytes are cut, the same is read; an error may only come earlier.
		if (e1 == nil) != (e2 == nil) || e1 == nil && (c1 != c2 || t1 != t2 || l1 != l2) {
			t.Fatalf("%q %q %d %v\n%q %q %d %v", c1, t1, l1, e1, c2, t2, l2, e2)
		}
		if e1 != nil || l1 < 0 {
			return
		}
		// A whole body has the same content, and ends at the same byte, for somebody else.
		br := reader(in)
		theirs, err := io.ReadAll(httputil.NewChunkedReader(br))
		if err != nil && (bytes.Contains(in, []byte(" ;")) || bytes.Contains(in, []byte("\t;"))) {
			return // white space before an extension, which RFC 9112 section 7.1.1 has a recipient read
		}
		if err != nil || string(theirs) != c1 {
			t.Fatalf("net/http reads %q, %v; this package %q\n%q", theirs, err, c1, in)
		}
		for { // its trailers
			line, err := br.ReadString('\n')
			if err != nil {
				t.Fatalf("net/http finds no end of the trailers in %q", in)
			}
			if line == "\r\n" {
				break
			}
		}
		if rest, _ := io.ReadAll(br); len(rest) != l1 {
			t.Fatalf("%d bytes are left for net/http, %d for this package\n%q", len(rest), l1, in)
		}
	})
}
