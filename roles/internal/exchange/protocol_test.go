package exchange

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"stack/appliance/config"
)

// What is ambiguous is refused and the connection closed, so that nothing behind it is
// read as another request.
func TestRefusedRequestsCloseTheConnection(t *testing.T) {
	r := newRig(t, 1, &Frontend{Handler: HandlerFunc(func(x *Exchange) {
		x.ReadBody(&echoBody{})
	}), Limits: limitsWithBody(1000)})
	smuggled := "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
	for name, c := range map[string]struct{ in, status string }{
		"length and coding":  {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"},
		"two lengths":        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 0\r\n\r\n", "400"},
		"bare line feeds":    {"GET / HTTP/1.1\nHost: x\n\n", "400"},
		"space before colon": {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length : 4\r\n\r\n", "400"},
		"folded":             {"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", "400"},
		"no host":            {"GET / HTTP/1.1\r\n\r\n", "400"},
		"long target":        {"GET /" + strings.Repeat("a", 20<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n", "414"},
		"long head":          {"GET / HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("a", 20<<10) + "\r\n\r\n", "431"},
		"unknown coding":     {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", "501"},
		"HTTP/2":             {"GET / HTTP/2.0\r\nHost: x\r\n\r\n", "505"},
		"long body":          {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n", "413"},
		"long chunked body":  {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" + strings.Repeat("a", 1001) + "\r\n0\r\n\r\n", "413"},
		"bad chunk size":     {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "400"},
		"bad chunk end":      {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n", "400"},
	} {
		t.Run(name, func(t *testing.T) {
			got := raw(t, r.addr, c.in+smuggled)
			if !strings.HasPrefix(got, "HTTP/1.1 "+c.status+" ") || strings.Count(got, "HTTP/1.1 ") != 1 {
				t.Errorf("got %.300q", got)
			}
			contains(t, got, "Connection: close\r\n")
		})
	}
	for _, rec := range r.logs.wait(t, 14) {
		if rec.Cause != BadRequest && rec.Cause != TooLarge {
			t.Errorf("%s %s", rec.Target, rec.Cause)
		}
	}
}

func limitsWithBody(n int64) config.Limits {
	l := testLimits()
	l.BodyBytes = n
	return l
}

// echoBody answers with what it was sent.
type echoBody struct{ got []byte }

func (e *echoBody) Body(x *Exchange, p []byte, last bool) {
	e.got = append(e.got, p...)
	if last {
		x.Start(200)
		x.End(e.got)
	}
}
func (e *echoBody) Drained(*Exchange)     {}
func (e *echoBody) Gone(*Exchange, Cause) {}

func TestHeadInPieces(t *testing.T) {
	r := newRig(t, 1, &Frontend{Handler: HandlerFunc(func(x *Exchange) { x.ReadBody(&echoBody{}) })})
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	br := bufio.NewReader(c)
	for range 3 {
		for _, b := range []byte("POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: u\r\n\r\n") {
			if _, err := c.Write([]byte{b}); err != nil {
				t.Fatal(err)
			}
		}
		if _, body := readResponse(t, br, "POST"); body != "abcde" {
			t.Fatalf("%q", body)
		}
	}
}

func TestExpectContinue(t *testing.T) {
	r := newRig(t, 1, &Frontend{Handler: HandlerFunc(func(x *Exchange) {
		if string(x.Req.Path()) == "/refuse" {
			x.Start(403)
			x.End([]byte("no"))
			return
		}
		x.ReadBody(&echoBody{})
	})})
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	br := bufio.NewReader(c)
	io.WriteString(c, "POST /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
	if line, _ := br.ReadString('\n'); line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("%q", line)
	}
	br.ReadString('\n')
	io.WriteString(c, "abc")
	if _, body := readResponse(t, br, "POST"); body != "abc" {
		t.Fatal(body)
	}
	// A refused body may or may not follow, so the connection ends.
	got := raw(t, r.addr, "POST /refuse HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
	contains(t, got, "HTTP/1.1 403 ")
	contains(t, got, "Connection: close\r\n")
	if strings.Contains(got, "100 Continue") {
		t.Error("asked for a body that nobody wants")
	}
}

func TestUnwantedBodies(t *testing.T) {
	r := newRig(t, 1, &Frontend{Handler: hello("hi")})
	small := "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n" + strings.Repeat("b", 1000)
	chunked := "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n" + strings.Repeat("b", 1000) + "\r\n0\r\n\r\n"
	last := "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
	if n := strings.Count(raw(t, r.addr, small+chunked+small+last), "HTTP/1.1 200 OK"); n != 4 {
		t.Errorf("%d of 4 answers", n)
	}
	// A long one is not worth reading: the answer arrives all the same.
	got := raw(t, r.addr, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n"+strings.Repeat("b", 900000))
	contains(t, got, "Connection: close\r\n")
	if !strings.HasSuffix(got, "\r\n\r\nhi") {
		t.Errorf("%q", got)
	}
}

func TestConnectionRules(t *testing.T) {
	r := newRig(t, 1, &Frontend{Handler: hello("hi")})
	if got := raw(t, r.addr, "GET / HTTP/1.0\r\n\r\n"); !strings.Contains(got, "Connection: close") {
		t.Error(got)
	}
	two := raw(t, r.addr, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n")
	if strings.Count(two, "hi") != 2 || !strings.Contains(two, "Connection: keep-alive") {
		t.Error(two)
	}
	head := raw(t, r.addr, "HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	contains(t, head, "Content-Length: 2\r\n")
	if !strings.HasSuffix(head, "\r\n\r\n") {
		t.Error(head)
	}
}

func TestClientTimeouts(t *testing.T) {
	short := testTimeouts()
	short.RequestHead, short.Idle, short.Body = 50*time.Millisecond, 80*time.Millisecond, 60*time.Millisecond
	r := newRig(t, 1, &Frontend{Handler: HandlerFunc(func(x *Exchange) { x.ReadBody(&echoBody{}) }), Timeouts: short})
	if got := raw(t, r.addr, "GET / HTTP/1.1\r\nHos"); !strings.HasPrefix(got, "HTTP/1.1 408 ") {
		t.Errorf("%q", got)
	}
	if got := raw(t, r.addr, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab"); !strings.HasPrefix(got, "HTTP/1.1 408 ") {
		t.Errorf("%q", got)
	}
	if got := raw(t, r.addr, ""); got != "" {
		t.Errorf("%q", got)
	}
	if got := raw(t, r.addr, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); strings.Count(got, "HTTP/1.1") != 1 {
		t.Errorf("%q", got)
	}
}

// Bytes that trickle in do not extend the time for a head.
func TestSlowHeadIsCutOff(t *testing.T) {
	short := testTimeouts()
	short.RequestHead = 150 * time.Millisecond
	r := newRig(t, 1, &Frontend{Handler: hello("hi"), Timeouts: short})
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	done := make(chan string)
	go func() {
		b, _ := io.ReadAll(c)
		done <- string(b)
	}()
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nA: ")
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case got := <-done:
			if !strings.HasPrefix(got, "HTTP/1.1 408 ") {
				t.Errorf("%q", got)
			}
			return
		case <-tick.C:
			io.WriteString(c, "a")
		case <-time.After(10 * time.Second):
			t.Fatal("never cut off")
		}
	}
}
