package http1

import (
	"bytes"
	"strings"
	"testing"
)

// decode feeds in, in pieces of step bytes, and returns content and trailers.
func decode(in string, step int) (content, trailers string, left int, err *Error) {
	var c Chunked
	var pending []byte
	rest := []byte(in)
	for {
		part, b, n, err := c.Next(pending)
		if err != nil {
			return content, trailers, 0, err
		}
		switch part {
		case Data:
			content += string(b)
		case TrailerLine:
			trailers += string(b) + "\n"
		case End:
			return content, trailers, len(pending) - n + len(rest), nil
		}
		pending = pending[n:]
		if part == More {
			if len(rest) == 0 {
				return content, trailers, -1, nil
			}
			k := min(step, len(rest))
			pending = append(bytes.Clone(pending), rest[:k]...)
			rest = rest[k:]
		}
	}
}

func TestChunked(t *testing.T) {
	for name, c := range map[string]struct{ in, content, trailers string }{
		"one":           {"3\r\nabc\r\n0\r\n\r\n", "abc", ""},
		"several":       {"3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n", "abc0123456789", ""},
		"leading zeros": {"0003\r\nabc\r\n000\r\n\r\n", "abc", ""},
		"extension":     {"3;a;b=c;d=\"e;\\\"f\"\r\nabc\r\n0;x\r\n\r\n", "abc", ""},
		"blanks":        {"3 ; a\t=\t\"b\" ;c\r\nabc\r\n0\t;d\r\n\r\n", "abc", ""},
		"trailers":      {"1\r\na\r\n0\r\nX: y\r\nZ:\r\n\r\n", "a", "X: y\nZ:\n"},
		"empty":         {"0\r\n\r\n", "", ""},
	} {
		for _, step := range []int{1, 2, 3, 7, 1000} {
			content, trailers, left, err := decode(c.in+"next", step)
			if err != nil || content != c.content || trailers != c.trailers || left != 4 {
				t.Errorf("%s in steps of %d: %q %q %d %v", name, step, content, trailers, left, err)
			}
		}
	}
}

func TestChunkedRefused(t *testing.T) {
	for name, in := range map[string]string{
		"no size":                     "\r\nabc\r\n0\r\n\r\n",
		"signed size":                 "+3\r\nabc\r\n0\r\n\r\n",
		"negative size":               "-3\r\nabc\r\n0\r\n\r\n",
		"prefixed size":               "0x3\r\nabc\r\n0\r\n\r\n",
		"space before the size":       " 3\r\nabc\r\n0\r\n\r\n",
		"space after the size":        "3 \r\nabc\r\n0\r\n\r\n",
		"overflow":                    "ffffffffffffffffff\r\nabc\r\n0\r\n\r\n",
		"bare LF after the size":      "3\nabc\r\n0\r\n\r\n",
		"bare CR after the size":      "3\rabc\r\n0\r\n\r\n",
		"long chunk":                  "3\r\nabcd\r\n0\r\n\r\n",
		"bare LF after the chunk":     "3\r\nabc\n0\r\n\r\n",
		"empty extension":             "3;\r\nabc\r\n0\r\n\r\n",
		"blanks without an extension": "3 \t\r\nabc\r\n0\r\n\r\n",
		"blanks behind an extension":  "3;a \r\nabc\r\n0\r\n\r\n",
		"blanks behind a value":       "3;a=b \r\nabc\r\n0\r\n\r\n",
		"name without a value":        "3;a=\r\nabc\r\n0\r\n\r\n",
		"endless blanks":              "3;a" + strings.Repeat(" ", 400),
		"endless blanks before":       "3" + strings.Repeat(" ", 400),
		"control in an extension":     "3;a=\x01\r\nabc\r\n0\r\n\r\n",
		"LF in a quoted value":        "3;a=\"\n\"\r\nabc\r\n0\r\n\r\n",
		"endless extension":           "3;" + strings.Repeat("a", 400),
		"endless quoted value":        "3;a=\"" + strings.Repeat("a", 400),
		"folded trailer":              "0\r\nA: b\r\n c\r\n\r\n",
		"bare LF in trailers":         "0\r\nA: b\n\r\n",
		"trailer without colon":       "0\r\nAb\r\n\r\n",
		"control in a trailer":        "0\r\nA: \x00\r\n\r\n",
		"too many trailers":           "0\r\n" + strings.Repeat("A: "+strings.Repeat("b", 100)+"\r\n", 100) + "\r\n",
		"endless trailer":             "0\r\nA: " + strings.Repeat("b", 10_000),
	} {
		for _, step := range []int{1, 1 << 20} {
			if content, _, left, err := decode(in, step); err == nil {
				t.Errorf("%s in steps of %d: accepted %q, %d left", name, step, content, left)
			}
		}
	}
}

func TestAllowedTrailer(t *testing.T) {
	for line, want := range map[string]bool{"X-Checksum: 1": true, "Content-Length: 1": false, "transfer-encoding: x": false,
		"Host: x": false, "Set-Cookie: x": false, "authorization: x": false, "Grpc-Status: 0": true} {
		if AllowedTrailer([]byte(line)) != want {
			t.Error(line)
		}
	}
}
