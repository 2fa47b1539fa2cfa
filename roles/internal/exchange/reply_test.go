package exchange

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestReplyFromMemory(t *testing.T) {
	r := newRig(t, 1, &Frontend{Name: "f", Handler: hello("hi"), Server: "stack"})
	got := raw(t, r.addr, "GET /a?b=c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	contains(t, got, "HTTP/1.1 200 OK\r\nDate: ")
	contains(t, got, "\r\nServer: stack\r\nContent-Type: text/plain\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")
	rec := r.logs.wait(t, 1)[0]
	if string(rec.Method) != "GET" || string(rec.Target) != "/a?b=c" || rec.Status != 200 || rec.BytesOut != int64(len(got)) {
		t.Errorf("%+v", rec)
	}
}

func TestPipelining(t *testing.T) {
	r := newRig(t, 1, &Frontend{Handler: HandlerFunc(func(x *Exchange) {
		x.Start(200)
		x.End(x.Req.Path())
	})})
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const n = 50
	go io.WriteString(c, strings.Repeat("GET /p HTTP/1.1\r\nHost: x\r\n\r\n", n))
	br := bufio.NewReader(c)
	for range n {
		if _, body := readResponse(t, br, "GET"); body != "/p" {
			t.Fatalf("%q", body)
		}
	}
}

func TestForward(t *testing.T) {
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Seen", r.Header.Get("X-Forwarded-For")+" "+r.Host+" "+r.Method)
		w.Write(b)
		io.WriteString(w, "done")
	}))
	defer origin.Close()
	pass := passTo(t, strings.TrimPrefix(origin.URL, "http://"))
	r := newRig(t, 1, &Frontend{Handler: HandlerFunc(func(x *Exchange) { x.Forward(pass) })})
	for _, body := range []string{"", "short", strings.Repeat("long ", 200_000)} {
		resp, err := http.Post("http://"+r.addr+"/x", "text/plain", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		if err != nil || string(b) != body+"done" {
			t.Fatalf("%d bytes, %v, want %d", len(b), err, len(body)+4)
		}
		if got := resp.Header.Get("X-Seen"); got != "127.0.0.1 "+r.addr+" POST" {
			t.Error(got)
		}
	}
}
