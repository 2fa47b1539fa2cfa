package exchange

import (
	"bufio"
	"context"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"stack/roles/internal/loop"
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

// unreachable is the address of a server to which connections are neither opened nor refused: its queue is full.
func unreachable(t testing.TB) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	addr := loop.LocalAddr(fd).String()
	first, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { first.Close() })
	return addr
}

// Connections that are being opened to a server whose role has gone go to the next one: nothing was sent.
func TestCutServerBeforeItIsReached(t *testing.T) {
	p := passTo(t, unreachable(t), tcpEcho(t))
	p.Timeouts.Connect = time.Minute
	picker := p.Picker.(*one)
	r := newRig(t, 1, &Frontend{Name: "tcp", TCP: p})
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	eventually(t, "a connection to the server is being opened", func() bool {
		opening := false
		r.set.inTurn(func(w *Worker) {
			for c := w.conns; c != nil; c = c.next {
				opening = c.x != nil && c.x.fwd.phase == fwdConnect && c.x.fwd.srv == picker.srvs[0]
			}
		})
		return opening
	})
	r.set.CutServer(picker.srvs[0])
	answer := make([]byte, 1)
	if _, err := conn.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(answer); err != nil || answer[0] != 'x' {
		t.Errorf("%q, %v", answer, err)
	}
	if o := picker.outcomes(); len(o) != 1 || o[0].Cause != ConnectFailed {
		t.Errorf("%+v", o)
	}
}
