package exchange

import (
	"bufio"
	"io"
	"net"
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
