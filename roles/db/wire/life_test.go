package wire

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestKill ends queries and connections, running and idle, by the server's Kill and by
// COM_PROCESS_KILL.
func TestKill(t *testing.T) {
	e := newStub()
	s, addr := serve(t, Config{}, e)
	r := login1(t, addr, basicCaps)
	r.query("wait here")
	receive(t, "the query runs", e.running)
	if !s.Kill(r.id, true) {
		t.Fatal("no such connection")
	}
	r.expectErr(1317, "70100", "Query execution was interrupted")
	if why := receive(t, "the cause", e.causes); !errors.Is(why, ErrQueryKilled) {
		t.Errorf("the statement ended because %v", why)
	}
	s.Kill(r.id, true) // nothing runs: nothing happens
	r.query("ok")
	r.expectOK()
	r.query("wait again")
	receive(t, "the query runs", e.running)
	s.Kill(r.id, false)
	if why := receive(t, "the cause", e.causes); !errors.Is(why, ErrConnectionKilled) {
		t.Errorf("the statement ended because %v", why)
	}
	r.expectErr(1317, "70100", "Query execution was interrupted")
	r.expectClosed()
	idle := login1(t, addr, basicCaps)
	s.Kill(idle.id, false)
	idle.expectClosed()
	eventually(t, "the sessions are closed", func() bool { return e.openSessions() == 0 })
	if s.Kill(idle.id, false) || s.Kill(99999, true) {
		t.Error("a connection that is not there was killed")
	}
	by := login1(t, addr, basicCaps)
	by.command(comProcessKill, 7, 0, 0, 0)
	by.expectOK()
	if got := e.last().queries; len(got) != 1 || got[0] != "KILL 7" {
		t.Errorf("COM_PROCESS_KILL runs %q", got)
	}
	// One that is still logging in.
	early := dial(t, addr)
	s.Kill(early.id, false)
	early.expectClosed()
	// One whose client reads nothing.
	flood := login1(t, addr, basicCaps)
	flood.query("flood")
	receive(t, "the query runs", e.running)
	s.Kill(flood.id, false)
	receive(t, "the flood ends", e.causes)
}

// TestClientGone cancels the statement of a client that leaves, within a second.
func TestClientGone(t *testing.T) {
	e := newStub()
	cert, _ := certificate(t)
	s, addr := serve(t, Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}}, e)
	for name, leave := range map[string]func(r *raw){
		"close": func(r *raw) { r.nc.Close() },
		"reset": func(r *raw) { r.nc.(*net.TCPConn).SetLinger(0); r.nc.Close() },
		"close with unread commands": func(r *raw) {
			r.nc.Write(packet(0, []byte{comPing}))
			r.nc.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := login1(t, addr, basicCaps)
			r.query("wait")
			receive(t, "the query runs", e.running)
			start := time.Now()
			leave(r)
			if why := receive(t, "the cause", e.causes); !errors.Is(why, ErrClientGone) {
				t.Errorf("the statement ended because %v", why)
			}
			if took := time.Since(start); took > time.Second {
				t.Errorf("noticed after %v", took)
			}
		})
	}
	r := login1(t, addr, basicCaps)
	r.query("flood")
	receive(t, "the query runs", e.running)
	r.nc.Close()
	if err := receive(t, "the flood ends", e.causes); err == nil {
		t.Error("writing to nobody went well")
	}
	eventually(t, "the sessions are closed", func() bool { return e.openSessions() == 0 })
	if s.Stats().ClientsGone != 3 {
		t.Errorf("counted %d clients that left", s.Stats().ClientsGone)
	}
}

// TestDrain stops the server with connections of every kind.
func TestDrain(t *testing.T) {
	e := newStub()
	s, addr := serve(t, Config{}, e)
	idle := login1(t, addr, basicCaps)
	inside := login1(t, addr, basicCaps)
	inside.query("begin")
	inside.expectOK()
	busy := login1(t, addr, basicCaps)
	busy.query("wait")
	receive(t, "the query runs", e.running)
	ctx, cancel := context.WithCancel(t.Context())
	drained := make(chan error, 1)
	go func() { drained <- s.Drain(ctx) }()
	idle.seq = 0
	idle.expectErr(1053, "08S01", "Server shutdown in progress")
	idle.expectClosed()
	inside.query("insert")
	inside.expectOK()
	inside.query("commit")
	inside.expectOK()
	inside.seq = 0
	inside.expectErr(1053, "08S01", "Server shutdown in progress")
	inside.expectClosed()
	select {
	case err := <-drained:
		t.Fatalf("Drain returned with a statement running: %v", err)
	default:
	}
	cancel() // the deadline
	if why := receive(t, "the cause", e.causes); !errors.Is(why, ErrShutdown) {
		t.Errorf("the statement ended because %v", why)
	}
	busy.expectErr(1053, "08S01", "Server shutdown in progress")
	busy.expectClosed()
	if err := receive(t, "Drain", drained); !errors.Is(err, context.Canceled) {
		t.Errorf("Drain says %v", err)
	}
	if e.openSessions() != 0 {
		t.Error("a session is still open")
	}
	if err := s.Drain(t.Context()); err != nil {
		t.Errorf("a second Drain says %v", err)
	}
}

// TestListenerSurvives checks that the listening socket stays open after the server:
// clients wait in its queue for the next one.
func TestListenerSurvives(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for range 2 {
		s, err := New(Config{Version: "8"}, newStub())
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- s.Serve(l) }()
		r := login1(t, l.Addr().String(), basicCaps)
		r.command(comPing)
		r.expectOK()
		s.Close()
		if err := receive(t, "Serve returns", done); err != nil {
			t.Error(err)
		}
		waiting, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatalf("the socket does not listen any more: %v", err)
		}
		waiting.Close()
	}
}

// TestLimits covers max_connections, the administrator's place, and the time limits.
func TestLimits(t *testing.T) {
	e := newStub()
	s, addr := serve(t, Config{MaxConnections: 2, ConnectTimeout: 300 * time.Millisecond, NetReadTimeout: 200 * time.Millisecond}, e)
	plain := func() *raw {
		r := dial(t, addr)
		r.write(r.hello(basicCaps, "native", "secret", ""))
		return r
	}
	first, second := plain(), plain()
	first.expectOK()
	second.expectOK()
	plain().expectErr(1040, "08004", "Too many connections")
	eventually(t, "the place is free again", func() bool { return s.Stats().Connections == 2 })
	admin := login1(t, addr, basicCaps)
	// Beyond the administrator nobody is greeted; the packet has no SQLSTATE.
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	text, err := io.ReadAll(nc)
	if err != nil || string(text) != "\x17\x00\x00\x00\xff\x10\x04Too many connections" {
		t.Errorf("one too many gets %q, %v", text, err)
	}
	if got := s.Stats().Refused[1040]; got != 2 {
		t.Errorf("counted %d refusals", got)
	}
	admin.command(comQuit)
	admin.expectClosed()
	first.command(comQuit)
	first.expectClosed()
	eventually(t, "they have ended", func() bool { return s.Stats().Connections == 1 })
	// Silence during the handshake.
	silent := dial(t, addr)
	start := time.Now()
	silent.expectClosed()
	if took := time.Since(start); took < 200*time.Millisecond || took > 2*time.Second {
		t.Errorf("connect_timeout of 300ms took %v", took)
	}
	// Silence between commands.
	second.query("idle 50")
	second.expectOK()
	second.seq = 0
	second.expectErr(4031, "HY000", "The client was disconnected by the server because of inactivity. "+
		"See wait_timeout and interactive_timeout for configuring this behavior.")
	second.expectClosed()
	// Silence inside a packet.
	third := plain()
	third.expectOK()
	third.nc.Write([]byte{9, 0, 0, 0, comQuery})
	third.expectClosed()
}

// TestWriteTimeout ends a connection whose client takes nothing.
func TestWriteTimeout(t *testing.T) {
	e := newStub()
	_, addr := serve(t, Config{NetWriteTimeout: 200 * time.Millisecond}, e)
	r := login1(t, addr, basicCaps)
	r.query("flood")
	receive(t, "the query runs", e.running)
	if err := receive(t, "the flood ends", e.causes); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("writing ended with %v", err)
	}
	eventually(t, "the session is closed", func() bool { return e.openSessions() == 0 })
}

// TestDropAndPanic: an unknown outcome is not answered, and a defect of the engine
// costs one connection.
func TestDropAndPanic(t *testing.T) {
	e := newStub()
	s, addr := serve(t, Config{}, e)
	r := login1(t, addr, basicCaps)
	r.query("drop")
	r.expectClosed()
	r = login1(t, addr, basicCaps)
	r.query("panic")
	r.expectErr(1105, "HY000", "internal error: the statement made the engine fail")
	r.expectClosed()
	r = login1(t, addr, basicCaps)
	r.query("panic-in-row")
	if values, last := r.rows(false); len(values) != 0 || errText(last) != "1105 #HY000internal error: the statement made the engine fail" {
		t.Errorf("a panic between rows: %q %q", values, last)
	}
	r.expectClosed()
	eventually(t, "the sessions are closed", func() bool { return e.openSessions() == 0 && s.Stats().Panics == 2 })
	login1(t, addr, basicCaps)
}

// TestProxy takes the client's address from PROXY headers of both versions, cut
// anywhere.
func TestProxy(t *testing.T) {
	e := newStub()
	e.accounts = append(e.accounts, Account{User: "app", Host: "203.0.113.%", Plugin: pluginNative})
	_, addr := serve(t, Config{ProxyFrom: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, e)
	v2 := func(command, family byte, body string) string {
		return proxySignature2 + string([]byte{0x20 | command, family, byte(len(body) >> 8), byte(len(body))}) + body
	}
	v4 := "\xcb\x00\x71\x09\x0a\x00\x00\x01\x30\x39\x0c\xea"
	v6 := string(net.ParseIP("2001:db8::7")) + string(net.ParseIP("2001:db8::1")) + "\x30\x39\x0c\xea"
	for name, c := range map[string]struct{ header, want string }{
		"none":         {"", "127.0.0.1"},
		"v1":           {"PROXY TCP4 203.0.113.9 10.0.0.1 12345 3306\r\n", "203.0.113.9:12345"},
		"v1 IPv6":      {"PROXY TCP6 2001:db8::7 2001:db8::1 12345 3306\r\n", "[2001:db8::7]:12345"},
		"v1 unknown":   {"PROXY UNKNOWN\r\n", "127.0.0.1"},
		"v2":           {v2(1, 0x11, v4), "203.0.113.9:12345"},
		"v2 with TLVs": {v2(1, 0x11, v4+"\x04\x00\x03abc"), "203.0.113.9:12345"},
		"v2 IPv6":      {v2(1, 0x21, v6), "[2001:db8::7]:12345"},
		"v2 LOCAL":     {v2(0, 0, ""), "127.0.0.1"},
		"v2 unspec":    {v2(1, 0, ""), "127.0.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, cut := range []int{0, 1, 5, 15, 17} {
				if cut >= len(c.header) && cut > 0 {
					continue
				}
				r := dial(t, addr)
				if cut > 0 {
					r.nc.Write([]byte(c.header[:cut]))
					time.Sleep(2 * time.Millisecond) // so that it is two segments; the result is the same if not
				}
				r.nc.Write([]byte(c.header[cut:]))
				r.write(r.hello(basicCaps, "root", "", ""))
				r.expectOK()
				if got := e.last().client.Addr.String(); !strings.HasPrefix(got, c.want) {
					t.Errorf("the client is %s, want %s", got, c.want)
				}
			}
		})
	}
	for name, c := range map[string]struct{ header, want string }{
		"wrong word":      {"PROXZ TCP4 1.2.3.4 5.6.7.8 1 2\r\n", ""},
		"signature":       {"PROXYX1.2.3.4\r\n", "1043 Bad handshake: the PROXY header has a wrong signature"},
		"long line":       {"PROXY TCP4 " + strings.Repeat("1", 120), "1043 Bad handshake: the PROXY line is longer than 107 bytes"},
		"address":         {"PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n", "1043 Bad handshake: the PROXY line has an address or port that does not parse"},
		"family":          {"PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n", "1043 Bad handshake: the PROXY line has an address or port that does not parse"},
		"fields":          {"PROXY TCP4 1.2.3.4\r\n", "1043 Bad handshake: the PROXY line is not of the form PROXY TCP4 SOURCE DESTINATION PORT PORT"},
		"v2 version":      {proxySignature2 + "\x11\x11\x00\x00", "1043 Bad handshake: the PROXY header has a version or command that does not exist"},
		"v2 short":        {v2(1, 0x11, "\x01\x02"), "1043 Bad handshake: the PROXY header is too short for its addresses"},
		"v2 too long":     {proxySignature2 + "\x21\x11\xff\xff", "1043 Bad handshake: the PROXY header is longer than 2048 bytes"},
		"v2 bad greeting": {"\r\n\r\n\x00\r\nQUIX\nxxxx", "1043 Bad handshake: the PROXY header has a wrong signature"},
	} {
		t.Run(name, func(t *testing.T) {
			r := dial(t, addr)
			r.nc.Write([]byte(c.header))
			if c.want == "" {
				c.want = "1043 Bad handshake: the PROXY header has a wrong signature"
			}
			r.seq = 2
			if got := errText(r.read()); got != c.want {
				t.Errorf("got %s\nwant %s", got, c.want)
			}
			r.expectClosed()
		})
	}
	// Host patterns see the client, not the balancer.
	r := dial(t, addr)
	r.nc.Write([]byte("PROXY TCP4 203.0.113.9 10.0.0.1 12345 3306\r\n"))
	r.write(r.hello(basicCaps, "app", "", ""))
	r.expectOK()
	if got := e.last().client; got.Account.Host != "203.0.113.%" || got.Via.Addr().String() != "127.0.0.1" {
		t.Errorf("client %+v", got)
	}
	r = dial(t, addr)
	r.write(r.hello(basicCaps, "app", "", ""))
	p := r.read()
	if p[0] == 0xfe { // the decoy of this name has the other plugin
		r.write(nil)
		p = r.read()
	}
	if got := errText(p); got != "1045 #28000Access denied for user 'app'@'localhost' (using password: NO)" {
		t.Error(got)
	}
}

// TestUnixSocket logs in over a Unix socket, where the password may be sent as it is.
func TestUnixSocket(t *testing.T) {
	e := newStub()
	s, err := New(Config{Version: "8.0.36"}, e)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	defer func() { s.Close(); <-done }()
	out, err := program(t, "SELECT 1", "mariadb", "--no-defaults", "-S", path, "-usha2", "-ps3cret", "-BN", "-e", "ok")
	if err != nil || out != "" {
		t.Errorf("got %q, %v", out, err)
	}
	if c := e.last().client; !c.Unix || c.Host != "localhost" || c.Addr.IsValid() {
		t.Errorf("client %+v", c)
	}
	if s.Stats().FullAuth != 1 {
		t.Error("no full authentication took place")
	}
}

// TestReset: COM_RESET_CONNECTION and COM_CHANGE_USER give a new session.
func TestReset(t *testing.T) {
	e := newStub()
	_, addr := serve(t, Config{}, e)
	r := login1(t, addr, basicCaps)
	r.command(comInitDB, []byte("shop")...)
	r.expectOK()
	r.command(comStmtPrepare, []byte("insert")...)
	r.expectOK()
	before := e.last()
	r.command(comResetConnection)
	r.expectOK()
	if after := e.last(); after == before || after.state.Database != "shop" || after.client.ID != before.client.ID || e.openSessions() != 1 {
		t.Errorf("session after the reset: %+v, %d open", after, e.openSessions())
	}
	r.command(comStmtExecute, 1, 0, 0, 0, 0, 1, 0, 0, 0)
	r.expectErr(1243, "HY000", "Unknown prepared statement handler (1) given to mysqld_stmt_execute")
	change := func(user, password, database string) {
		arg := append([]byte(user), 0, 0)
		arg = append(append(arg, database...), 0, collationUTF8mb4, 0)
		r.command(comChangeUser, append(append(arg, pluginNative...), 0)...)
		p := r.read()
		if p[0] != 0xfe {
			return
		}
		q := reader{p: p[1:]}
		if plugin := string(q.nulbytes()); plugin != pluginNative {
			t.Fatalf("asked for %s", plugin)
		}
		r.write(nativeResponse(password, q.nulbytes()))
	}
	change("native", "secret", "news")
	r.expectOK()
	if c := e.last(); c.client.User != "native" || c.state.Database != "news" || e.openSessions() != 1 {
		t.Errorf("session after the change: %+v", c)
	}
	change("native", "wrong", "")
	r.expectErr(1045, "28000", "Access denied for user 'native'@'localhost' (using password: YES)")
	r.expectClosed()
	eventually(t, "the session is closed", func() bool { return e.openSessions() == 0 })
}

// TestLeaks opens and closes connections of all kinds: what is left afterwards is what
// was there before.
func TestLeaks(t *testing.T) {
	e := newStub()
	s, addr := serve(t, Config{MaxConnections: 5000}, e)
	login1(t, addr, basicCaps).nc.Close()
	eventually(t, "the first has ended", func() bool { return s.Stats().Connections == 0 })
	goroutines, files := runtime.NumGoroutine(), openFiles(t)
	const total, width = 2000, 50
	var wg sync.WaitGroup
	next := make(chan int)
	for range width {
		wg.Go(func() {
			for i := range next {
				nc, err := net.Dial("tcp", addr)
				if err != nil {
					t.Error(err)
					return
				}
				r := &raw{t: t, nc: nc}
				nc.SetDeadline(time.Now().Add(20 * time.Second))
				if i%4 != 0 { // the rest leaves as a TCP check does
					r.greet(r.read())
					r.write(r.hello(basicCaps, "root", "", ""))
					r.expectOK()
					r.query("rows 3")
					r.rows(false)
					if i%4 == 1 {
						r.command(comQuit)
					}
				}
				nc.Close()
			}
		})
	}
	for i := range total {
		next <- i
	}
	close(next)
	wg.Wait()
	eventually(t, "all connections have ended", func() bool { return s.Stats().Connections == 0 && e.openSessions() == 0 })
	eventually(t, "no goroutine is left over", func() bool { return runtime.NumGoroutine() <= goroutines+1 })
	eventually(t, "no descriptor is left over", func() bool { return openFiles(t) <= files })
	st := s.Stats()
	if st.Opened != total+1 || st.AbortedConnects < total/4 || st.Commands["query"] != total*3/4 || st.BytesIn == 0 || st.BytesOut == 0 {
		t.Errorf("counted %+v", st)
	}
}

func openFiles(t testing.TB) int {
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(d)
}

// TestCursor reads a large result through a server-side cursor, in memory and from a
// file, and lets the limits be met.
func TestCursor(t *testing.T) {
	dir := t.TempDir()
	e := newStub()
	s, addr := serve(t, Config{CursorMemory: 4 << 10, CursorDir: dir, CursorLimit: 1 << 20}, e)
	for _, caps := range []uint32{basicCaps, basicCaps | capDeprecateEOF} {
		for _, n := range []int{0, 1, 100, 20000} {
			r := login1(t, addr, caps)
			r.command(comStmtPrepare, fmt.Appendf(nil, "rows %d", n)...)
			r.read()
			r.command(comStmtExecute, 1, 0, 0, 0, cursorReadOnly, 1, 0, 0, 0)
			if head := r.read(); !bytes.Equal(head, []byte{2}) {
				t.Fatalf("execute says %q", head)
			}
			r.read()
			r.read()
			if end := r.read(); end[0] != 0xfe || eofStatus(caps, end)&statusCursorExists == 0 {
				t.Fatalf("the columns end with %q", end)
			}
			// Other commands may come between the fetches.
			r.command(comPing)
			r.expectOK()
			got := 0
			for last := false; !last; {
				r.command(comStmtFetch, 1, 0, 0, 0, 0x20, 3, 0, 0) // 800 rows
				for {
					p := r.read()
					if p[0] == 0xfe {
						last = eofStatus(caps, p)&statusLastRowSent != 0
						break
					}
					if id := binary.LittleEndian.Uint64(p[2:]); id != uint64(got) || string(p[10:]) != "\x03row" {
						t.Fatalf("row %d is %q", got, p)
					}
					got++
				}
			}
			if got != n {
				t.Errorf("fetched %d rows, want %d", got, n)
			}
			r.command(comStmtFetch, 1, 0, 0, 0, 1, 0, 0, 0)
			r.expectErr(1421, "HY000", "The statement (1) has no open cursor.")
			r.nc.Close()
		}
	}
	if st := s.Stats(); st.CursorFiles != 2 || st.Cursors != 0 {
		t.Errorf("%d cursor files, %d open cursors", st.CursorFiles, st.Cursors)
	}
	r := login1(t, addr, basicCaps)
	r.command(comStmtPrepare, []byte("rows 20000")...)
	r.read()
	for range 5 { // each execute replaces the cursor before
		r.command(comStmtExecute, 1, 0, 0, 0, cursorReadOnly, 1, 0, 0, 0)
		for range 4 {
			r.read()
		}
	}
	for i := 2; i < 4; i++ {
		r.command(comStmtPrepare, []byte("rows 20000")...)
		r.read()
		r.command(comStmtExecute, byte(i), 0, 0, 0, cursorReadOnly, 1, 0, 0, 0)
		p := r.read()
		if p[0] != 0xff {
			for range 3 {
				r.read()
			}
			continue
		}
		if got := errText(p); got != "1041 #HY000The open cursors of this connection hold more than 1 MiB: fetch without a cursor, or close some" {
			t.Error(got)
		}
	}
	r.command(comStmtReset, 1, 0, 0, 0)
	r.expectOK()
	r.nc.Close()
	eventually(t, "the cursors are closed", func() bool { return s.Stats().Cursors == 0 && s.Stats().Statements == 0 })
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("files are left over: %v", left)
	}
}

func eofStatus(caps uint32, p []byte) uint16 {
	return binary.LittleEndian.Uint16(p[3:]) // behind 0xfe and warnings, or two lenenc zeros
}

// TestLongData sends parameters in pieces, and too much of them.
func TestLongData(t *testing.T) {
	e := newStub()
	_, addr := serve(t, Config{MaxAllowedPacket: 1 << 20}, e)
	r := login1(t, addr, basicCaps)
	r.command(comStmtPrepare, []byte("insert ?,?")...)
	for range 4 {
		r.read()
	}
	piece := bytes.Repeat([]byte("p"), 1000)
	send := func(param byte, n int) {
		for range n {
			r.command(comStmtSendLong, append([]byte{1, 0, 0, 0, param, 0}, piece...)...)
		}
	}
	execute := func() { r.command(comStmtExecute, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 252, 0, 253, 0, 1, 'x') }
	send(0, 500)
	execute()
	r.expectOK()
	if p := e.last().params; len(p[0].Bytes) != 500_000 || p[0].Kind != ParamBytes || string(p[1].Bytes) != "x" || p[1].Kind != ParamString {
		t.Errorf("params: %d bytes of kind %d, %v", len(p[0].Bytes), p[0].Kind, p[1])
	}
	// Used up: the next execute needs a value again.
	execute()
	r.expectErr(1835, "HY000", "Malformed communication packet: the parameters do not fit the statement")
	send(0, 1100)
	execute()
	r.expectErr(1105, "HY000", "Parameter of prepared statement which is set through mysql_send_long_data() is longer than 'max_allowed_packet' bytes")
	send(0, 1)
	execute()
	r.expectOK()
	send(7, 1) // no such parameter
	execute()
	r.expectErr(1105, "HY000", "Parameter of prepared statement which is set through mysql_send_long_data() is longer than 'max_allowed_packet' bytes")
	send(0, 3)
	r.command(comStmtReset, 1, 0, 0, 0)
	r.expectOK()
	r.command(comStmtSendLong, 9, 0, 0, 0, 0, 0, 'x') // no such statement: no answer
	r.command(comStmtSendLong, append([]byte{1, 0, 0, 0, 0, 0}, "empty is a value too"[:0]...)...)
	execute()
	r.expectOK()
	if p := e.last().params; p[0].Bytes == nil || len(p[0].Bytes) != 0 {
		t.Errorf("long data of no bytes arrives as %v", p[0])
	}
}
