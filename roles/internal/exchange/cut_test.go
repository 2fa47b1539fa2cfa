package exchange

import (
	"bufio"
	"context"
	"net"
	"testing"
	"time"
)

// A plain stop does not wait for peers that keep a connection without using it, and
// does not cut one that is in use.
func TestDrainEndsSilentConnections(t *testing.T) {
	patient := testTimeouts()
	patient.Idle, patient.Tunnel = time.Minute, time.Minute
	p := passTo(t, tcpEcho(t))
	p.Timeouts.Tunnel = time.Minute
	for _, c := range []struct {
		name  string
		front *Frontend
		open  func(net.Conn)
	}{
		{"keep-alive", &Frontend{Handler: hello("hi"), Timeouts: patient}, func(c net.Conn) { keepAliveGet(t, c, bufio.NewReader(c)) }},
		{"tunnel", &Frontend{Name: "tcp", TCP: p, Timeouts: patient}, func(c net.Conn) {
			c.Write([]byte("x"))
			c.Read(make([]byte, 1))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 1, c.front)
			conn, err := net.Dial("tcp", r.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			c.open(conn)
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			if err := r.set.Drain(ctx, nil); err != nil {
				t.Error(err)
			}
		})
	}
}
