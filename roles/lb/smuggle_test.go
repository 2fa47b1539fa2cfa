package lb

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Each of these has been read in two ways by some pair of proxy and server. They end
// with 400 (or 501), the connection is closed, and no server sees a byte.
func TestSmugglingIsRefused(t *testing.T) {
	var reached atomic.Int64
	lb, addr := simple(t, at("a", serve(t, func(w http.ResponseWriter, r *http.Request) { reached.Add(1) })))
	start(t, lb)
	const hidden = "GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n"
	for name, head := range map[string]string{
		"length and chunked":         "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
		"two lengths":                "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 35\r\n\r\n" + hidden,
		"list of lengths":            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0, 35\r\n\r\n" + hidden,
		"signed length":              "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nhello",
		"hex length":                 "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0x5\r\n\r\nhello",
		"length overflows":           "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551617\r\n\r\n" + hidden,
		"space before colon":         "POST / HTTP/1.1\r\nHost: x\r\nContent-Length : 5\r\n\r\nhello",
		"tab before colon":           "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
		"folded field":               "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
		"bare line feed":             "GET / HTTP/1.1\nHost: x\n\n",
		"bare line feed in a head":   "GET / HTTP/1.1\r\nHost: x\r\nA: b\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"carriage return in a value": "GET / HTTP/1.1\r\nHost: x\r\nA: b\rTransfer-Encoding: chunked\r\n\r\n",
		"NUL in a value":             "GET / HTTP/1.1\r\nHost: x\r\nA: b\x00c\r\n\r\n",
		"chunked twice":              "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"chunked then identity":      "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
		"chunked with a control":     "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
		"xchunked":                   "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
		"chunked in HTTP/1.0":        "POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"two hosts":                  "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
		"no host":                    "GET / HTTP/1.1\r\n\r\n",
		"space in the target":        "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
		"first line folded":          " GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"empty name":                 "GET / HTTP/1.1\r\nHost: x\r\n: b\r\n\r\n",
		"no colon":                   "GET / HTTP/1.1\r\nHost: x\r\nfoo\r\n\r\n",
	} {
		c, err := net.Dial("tcp", addr.String())
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(10 * time.Second))
		io.WriteString(c, head)
		r := bufio.NewReader(c)
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Errorf("%s: no answer: %v", name, err)
			c.Close()
			continue
		}
		io.Copy(io.Discard, resp.Body)
		if resp.StatusCode != 400 && !(resp.StatusCode == 501 && (strings.Contains(name, "chunked") || name == "folded field")) {
			t.Errorf("%s: answered %d", name, resp.StatusCode)
		}
		if rest, _ := io.ReadAll(r); len(rest) > 0 {
			t.Errorf("%s: a second answer follows: %q", name, rest)
		}
		c.Close()
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("%d requests reached the server", n)
	}
}

// A chunk that is malformed after a valid head breaks the request off and nothing
// behind it is taken for a request.
func TestSmugglingInChunks(t *testing.T) {
	var hidden atomic.Int64
	lb, addr := simple(t, at("a", serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hidden" {
			hidden.Add(1)
		}
		io.Copy(io.Discard, r.Body)
	})))
	start(t, lb)
	for _, chunks := range []string{
		"5\nhello\r\n0\r\n\r\n", "5;\nx\r\nhello\r\n0\r\n\r\n", "+5\r\nhello\r\n0\r\n\r\n", "5 \r\nhello0\r\n\r\n", "0x5\r\nhello\r\n0\r\n\r\n",
		"ffffffffffffffff5\r\nhello\r\n0\r\n\r\n", "5\r\nhelloXX0\r\n\r\n", "-1\r\n\r\n", "\r\n0\r\n\r\n", "5\r\nhello\n0\r\n\r\n",
	} {
		c, err := net.Dial("tcp", addr.String())
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(10 * time.Second))
		io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"+chunks+"GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n")
		all, _ := io.ReadAll(c)
		if n := strings.Count(string(all), "HTTP/1.1 "); n > 1 || n == 1 && !strings.HasPrefix(string(all), "HTTP/1.1 400") {
			t.Errorf("%q: %q", chunks, all)
		}
		c.Close()
	}
	if hidden.Load() != 0 {
		t.Error("a hidden request reached the server")
	}
}
