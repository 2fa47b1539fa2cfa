package wire

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"golang.org/x/sys/unix"
)

// untilAlone sends commands until the kernel waits for the connection.
func (r *raw) untilAlone(s *Server) *socket {
	r.t.Helper()
	for range 100 * aloneAfter {
		r.query("ok")
		r.expectOK()
		s.mu.Lock()
		sock := s.conns[r.id].sock
		s.mu.Unlock()
		if s.alone.place.holder.Load() == sock {
			return sock
		}
	}
	r.t.Fatal("the kernel does not wait for the only connection that sends commands")
	return nil
}

func needsTwoProcessors(t *testing.T) {
	if runtime.GOMAXPROCS(0) < 2 {
		t.Skip("with one processor the poller always waits")
	}
}

// The kernel waits for the one connection that sends commands, in clear text and within TLS, until that pauses
// or another sends as many.
func TestAlone(t *testing.T) {
	needsTwoProcessors(t)
	cert, _ := certificate(t)
	s, addr := serve(t, Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}}, newStub())
	for _, secure := range []bool{false, true} {
		r := dial(t, addr)
		if secure {
			r.startTLS()
		}
		r.write(r.hello(basicCaps, "root", "", ""))
		r.expectOK()
		for range 3 {
			r.untilAlone(s)
			r.query("rows 20000")
			if got, _ := r.rows(false); len(got) != 20000 {
				t.Fatalf("%d rows", len(got))
			}
			eventually(t, "it pauses", func() bool { return s.alone.place.holder.Load() == nil })
		}
		r.command(comQuit)
		r.expectClosed()
	}
	a, b := login1(t, addr, basicCaps), login1(t, addr, basicCaps)
	for range 4 * aloneAfter {
		for _, r := range []*raw{a, b} {
			r.query("ok")
			r.expectOK()
		}
	}
	if c := s.alone.place.holder.Load(); c != nil {
		t.Errorf("the kernel waits for one of two")
	}
}

// waitInKernel has the connection run a statement that waits, with the place of the one that the kernel waits for.
func (r *raw) waitInKernel(s *Server, e *stub) {
	r.t.Helper()
	for {
		sock := r.untilAlone(s)
		r.query("wait here")
		receive(r.t, "the query runs", e.running)
		if s.alone.place.holder.Load() == sock {
			return
		}
		s.Kill(r.id, true) // it has taken more than 10 ms
		receive(r.t, "the query ends", e.causes)
		r.read()
	}
}

// What ends a connection ends one for which the kernel waits too.
func TestEndAlone(t *testing.T) {
	needsTwoProcessors(t)
	e := newStub()
	s, addr := serve(t, Config{NetWriteTimeout: time.Second}, e)
	for name, end := range map[string]func(t *testing.T, r *raw){
		"killed while it waits": func(t *testing.T, r *raw) { s.Kill(r.id, false); r.expectClosed() },
		"killed in a statement": func(t *testing.T, r *raw) {
			r.waitInKernel(s, e)
			s.Kill(r.id, false)
			if why := receive(t, "the cause", e.causes); !errors.Is(why, ErrConnectionKilled) {
				t.Errorf("the statement ended because %v", why)
			}
		},
		"its client leaves": func(t *testing.T, r *raw) { r.nc.Close() },
		"its client resets": func(t *testing.T, r *raw) { r.nc.(*net.TCPConn).SetLinger(0); r.nc.Close() },
		"its client leaves a statement": func(t *testing.T, r *raw) {
			r.waitInKernel(s, e)
			r.nc.Close()
			if why := receive(t, "the cause", e.causes); !errors.Is(why, ErrClientGone) {
				t.Errorf("the statement ended because %v", why)
			}
		},
		"its client reads nothing": func(t *testing.T, r *raw) {
			r.query("flood")
			receive(t, "the query runs", e.running)
			if err := receive(t, "the flood ends", e.causes); err == nil {
				t.Error("writing to one who does not read went well")
			}
		},
		"cut by the server": func(t *testing.T, r *raw) {
			r.waitInKernel(s, e)
			s.mu.Lock()
			c := s.conns[r.id]
			s.mu.Unlock()
			c.cut()
			c.cancel(ErrClientGone)
			receive(t, "the statement ends", e.causes)
			if _, err := io.Copy(io.Discard, r.nc); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			files := openFiles(t)
			r := login1(t, addr, basicCaps)
			r.untilAlone(s)
			end(t, r)
			eventually(t, "the connection has ended", func() bool { return s.Stats().Connections == 0 && s.alone.place.holder.Load() == nil })
			r.nc.Close()
			eventually(t, "no descriptor is left over", func() bool { return openFiles(t) <= files })
		})
	}
	r := login1(t, addr, basicCaps)
	r.untilAlone(s)
	if err := s.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	r.seq = 0
	r.expectErr(1053, "08S01", "Server shutdown in progress")
	r.expectClosed()
}

// A connection for which the kernel waits is closed by wait_timeout, shorter than the kernel's wait and longer, and by
// net_read_timeout; in clear text and within TLS.
func TestAloneStaysSilent(t *testing.T) {
	needsTwoProcessors(t)
	cert, _ := certificate(t)
	s, addr := serve(t, Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}, NetReadTimeout: 200 * time.Millisecond}, newStub())
	files := openFiles(t)
	for _, secure := range []bool{false, true} {
		for _, silent := range []struct {
			name  string
			begin func(r *raw)
			told  bool
		}{
			{"for 5 ms", func(r *raw) { r.query("idle 5"); r.expectOK() }, true},
			{"for 50 ms", func(r *raw) { r.query("idle 50"); r.expectOK() }, true},
			{"in a packet", func(r *raw) { r.nc.Write([]byte{9, 0, 0, 0, comQuery}) }, false},
		} {
			t.Run(fmt.Sprintf("%s, TLS %v", silent.name, secure), func(t *testing.T) {
				closed := s.Stats().IdleClosed
				r := dial(t, addr)
				if secure {
					r.startTLS()
				}
				r.write(r.hello(basicCaps, "root", "", ""))
				r.expectOK()
				r.untilAlone(s)
				silent.begin(r)
				if silent.told {
					r.seq = 0
					r.expectErr(4031, "HY000", "The client was disconnected by the server because of inactivity. "+
						"See wait_timeout and interactive_timeout for configuring this behavior.")
					closed++
				}
				r.expectClosed()
				eventually(t, "the connection has ended", func() bool { return s.Stats().Connections == 0 && s.alone.place.holder.Load() == nil })
				if n := s.Stats().IdleClosed; n != closed {
					t.Errorf("%d idle connections were closed, want %d", n, closed)
				}
				r.nc.Close()
				eventually(t, "no descriptor is left over", func() bool { return openFiles(t) <= files })
			})
		}
	}
}

// The socket stays what it was, whoever waits: answers of all sizes arrive whole at a slow client, and its
// options are those that were set.
func TestAloneAndBack(t *testing.T) {
	needsTwoProcessors(t)
	s, addr := serve(t, Config{}, newStub())
	r := login1(t, addr, basicCaps)
	for range 3 {
		sock := r.untilAlone(s)
		const large = 20 << 20
		r.query("wide 20971520")
		time.Sleep(50 * time.Millisecond) // the answer fills the buffers
		for range 3 {
			r.read()
		}
		text := reader{p: r.read()}
		if got := string(text.lenbytes()); len(got) != large || strings.Trim(got, "w") != "" {
			t.Errorf("%d bytes", len(got))
		}
		r.read()
		eventually(t, "it pauses", func() bool { return s.alone.place.holder.Load() == nil })
		var idle, nodelay int
		err := sock.control(func(fd uintptr) {
			idle, _ = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPIDLE)
			nodelay, _ = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NODELAY)
		})
		if err != nil || idle != 60 || nodelay == 0 {
			t.Errorf("keepalive after %d s, nodelay %d, %v", idle, nodelay, err)
		}
	}
}

// A connection that runs a statement does not keep the place from another, and gives it up without harm.
func TestAloneBesideALongStatement(t *testing.T) {
	needsTwoProcessors(t)
	e := newStub()
	s, addr := serve(t, Config{}, e)
	long, other := login1(t, addr, basicCaps), login1(t, addr, basicCaps)
	long.waitInKernel(s, e)
	other.untilAlone(s)
	s.Kill(long.id, true)
	long.expectErr(1317, "70100", "Query execution was interrupted")
	for range 4 * aloneAfter {
		for _, r := range []*raw{long, other} {
			r.query("ok")
			r.expectOK()
		}
	}
}

// The kernel waits over a Unix socket, below compression, and while a file of the client is read.
func TestAloneOfEverySort(t *testing.T) {
	needsTwoProcessors(t)
	e := newStub()
	s, addr := serve(t, Config{}, e)
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "sql.sock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go s.Serve(l)
	nc, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	r := &raw{t: t, nc: nc}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	r.greet(r.read())
	r.write(r.hello(basicCaps, "root", "", ""))
	r.expectOK()
	r.untilAlone(s)
	r.command(comQuit)
	r.expectClosed()

	db := open(t, "root@tcp("+addr+")/?compress=true")
	db.SetMaxOpenConns(1)
	for n := 0; s.alone.place.holder.Load() == nil; n++ {
		if _, err := db.Exec("ok"); err != nil || n > 100*aloneAfter {
			t.Fatalf("the poller waits after %d commands (%v)", n, err)
		}
	}
	mysql.RegisterReaderHandler("alone", func() io.Reader { return io.LimitReader(&slowly{}, 100) })
	result, err := db.Exec("infile Reader::alone")
	if err != nil {
		t.Fatal(err)
	}
	if n, _ := result.RowsAffected(); n != 100 {
		t.Errorf("%d bytes of 100 were read", n)
	}
}

// slowly gives ten bytes at a time, with longer pauses than the kernel waits.
type slowly struct{}

func (*slowly) Read(p []byte) (int, error) {
	time.Sleep(3 * kernelWait / 2)
	return copy(p, "0123456789"), nil
}
