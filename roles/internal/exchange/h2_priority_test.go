package exchange

import (
	"fmt"
	"strings"
	"testing"

	h2 "golang.org/x/net/http2"
)

// order asks for three answers that wait for the connection's window, opens it step by step,
// and returns the streams in the order of their DATA frames.
func order(t *testing.T, prepare func(e *end2), priorities ...string) string {
	t.Helper()
	r := newRig(t, 1, &Frontend{HTTP2: true, Limits: defaultLimits(), Handler: HandlerFunc(func(x *Exchange) {
		n := 4000
		if string(x.Req.Path()) == "/fill" {
			n = 65535
		}
		x.Start(200)
		x.End(make([]byte, n))
	})})
	e := dial2(t, r.addr, window(1<<20))
	e.ask(1, "GET", "/fill", true) // uses up the window of the connection
	for n := 0; n < 65535; {
		if f, ok := e.next().(*h2.DataFrame); ok {
			n += len(f.Data())
		}
	}
	for i, p := range priorities {
		e.ask(uint32(3+2*i), "GET", "/", true, "priority", p)
	}
	for range priorities { // the heads
		e.next()
	}
	if prepare != nil {
		prepare(e)
	}
	var got []string
	for n := 0; n < 4000*len(priorities); {
		e.fr.WriteWindowUpdate(0, 1000)
		for step := 0; step < 1000; {
			if f, ok := e.next().(*h2.DataFrame); ok {
				step += len(f.Data())
				n += len(f.Data())
				got = append(got, fmt.Sprint(f.StreamID))
			}
		}
	}
	return strings.Join(got, " ")
}

// Answers go out by urgency; those of one urgency in turn where they are incremental, else
// one after the other (RFC 9218).
func TestHTTP2Priorities(t *testing.T) {
	update := func(id byte, value string) func(e *end2) {
		return func(e *end2) {
			e.fr.WriteRawFrame(0x10, 0, 0, append([]byte{0, 0, 0, id}, value...))
			e.ping()
		}
	}
	for _, c := range []struct {
		prepare    func(e *end2)
		priorities []string
		want       string
	}{
		{nil, []string{"u=5", "u=3", "u=1"}, "7 7 7 7 5 5 5 5 3 3 3 3"},
		{nil, []string{"", "", ""}, "3 3 3 3 5 5 5 5 7 7 7 7"},
		{nil, []string{"i", "i", "i"}, "3 5 7 3 5 7 3 5 7 3 5 7"},
		{nil, []string{"u=1, i", "u=4", "u=1,i=?1"}, "3 7 3 7 3 7 3 7 5 5 5 5"},
		{nil, []string{"u=9", "nonsense", "u=0"}, "7 7 7 7 3 3 3 3 5 5 5 5"},
		{update(7, "u=0"), []string{"u=1", "u=2", "u=3"}, "7 7 7 7 3 3 3 3 5 5 5 5"},
		{update(3, "u=6"), []string{"u=1", "u=2", "u=3"}, "5 5 5 5 7 7 7 7 3 3 3 3"},
	} {
		if got := order(t, c.prepare, c.priorities...); got != c.want {
			t.Errorf("%q: %s, want %s", c.priorities, got, c.want)
		}
	}
}

// PRIORITY_UPDATE that breaks the rules ends the connection.
func TestHTTP2BadPriorityUpdate(t *testing.T) {
	r := rig2(t, hello("x"))
	for _, p := range []struct {
		stream uint32
		data   string
	}{{1, "\x00\x00\x00\x01u=1"}, {0, "\x00\x00\x00\x00u=1"}, {0, "\x00\x00"}} {
		e := dial2(t, r.addr)
		e.fr.WriteRawFrame(0x10, 0, p.stream, []byte(p.data))
		if e.ping() {
			t.Errorf("%+v is taken", p)
		}
	}
}
