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

// A server whose role has gone loses its tunnels, and no other does.
func TestCutServer(t *testing.T) {
	pass := passTo(t, tcpEcho(t))
	other := passTo(t, tcpEcho(t))
	gone := pass.Picker.(*one).srvs[0]
	for _, p := range []*Pass{pass, other} {
		p.Timeouts.Tunnel = time.Minute
		r := newRig(t, 2, &Frontend{Name: "tcp", TCP: p, Timeouts: testTimeouts()})
		conn, err := net.Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		echo := func() error {
			if _, err := conn.Write([]byte("x")); err != nil {
				return err
			}
			_, err := conn.Read(make([]byte, 1))
			return err
		}
		if err := echo(); err != nil {
			t.Fatal(err)
		}
		r.set.CutServer(gone)
		if err := echo(); (err == nil) != (p == other) {
			t.Errorf("after the cut: %v", err)
		}
	}
}
