package exchange

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
)

func TestMaxForwards(t *testing.T) {
	heads := make(chan string, 1)
	addr := origin(t, func(c net.Conn, br *bufio.Reader) {
		heads <- readHead(br)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\norigin")
	})
	r := forwardRig(t, passTo(t, addr))
	for _, c := range []struct{ method, value, status, passed string }{
		{"OPTIONS", "0", "200", ""}, {"OPTIONS", "00", "200", ""}, {"TRACE", "0", "501", ""},
		{"OPTIONS", "1", "200", "0"}, {"TRACE", "10", "200", "9"},
		{"GET", "0", "200", "0"}, {"OPTIONS", "x", "200", "x"}, {"OPTIONS", "-1", "200", "-1"}, {"OPTIONS", "", "200", ""},
	} {
		got := raw(t, r.addr, c.method+" / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nMax-Forwards: "+c.value+"\r\n\r\n")
		if !strings.HasPrefix(got, "HTTP/1.1 "+c.status+" ") {
			t.Errorf("%s %q: %q", c.method, c.value, got)
		}
		select {
		case head := <-heads:
			contains(t, head, "Max-Forwards: "+c.passed+"\r\n")
			if !strings.HasSuffix(got, "origin") || strings.Count(head, "Max-Forwards") != 1 {
				t.Errorf("%s %q: %q", c.method, c.value, head)
			}
		default:
			if strings.HasSuffix(got, "origin") || c.passed != "" || c.value == "" {
				t.Errorf("%s %q was not passed on", c.method, c.value)
			}
		}
	}
}
