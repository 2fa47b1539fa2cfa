package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
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
	eventually(t, "the connection is forgotten", func() bool { return !s.Kill(idle.id, false) })
	if s.Kill(99999, true) {
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

// A connection that is dropped ends without a word, idle or within a statement: no error may look like the
// statement's own.
func TestDrop(t *testing.T) {
	e := newStub()
	s, addr := serve(t, Config{}, e)
	r := login1(t, addr, basicCaps)
	r.query("wait here")
	receive(t, "the query runs", e.running)
	s.Drop(r.id)
	if why := receive(t, "the cause", e.causes); !errors.Is(why, ErrRoleLost) {
		t.Errorf("the statement ended because %v", why)
	}
	r.expectClosed()
	idle := login1(t, addr, basicCaps)
	s.Drop(idle.id)
	idle.expectClosed()
	eventually(t, "the sessions are closed", func() bool { return e.openSessions() == 0 })
	s.Drop(99999) // there is none
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
			// A second, and room for a machine that is busy with other tests.
			if took := time.Since(start); took > 10*time.Second {
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
	cert, _ := certificate(t)
	s, addr := serve(t, Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}}, e)
	idle := login1(t, addr, basicCaps)
	secure := dial(t, addr)
	secure.startTLS()
	secure.write(secure.hello(basicCaps, "root", "", ""))
	secure.expectOK()
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
	secure.seq = 0
	secure.expectErr(1053, "08S01", "Server shutdown in progress")
	secure.expectClosed()
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
	s, addr := serve(t, Config{MaxConnections: 2, NetReadTimeout: 200 * time.Millisecond}, e)
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
	plain().expectErr(1040, "08004", "Too many connections")
	// The servers of the site come in however many there are, and take no seat.
	var ofSite []*raw
	for range 2 {
		r := dial(t, addr)
		r.write(r.hello(basicCaps, "site", "secret", ""))
		r.expectOK()
		ofSite = append(ofSite, r)
	}
	// One of them that becomes a client needs a seat.
	client := dial(t, addr)
	client.write(client.hello(basicCaps, "site", "secret", ""))
	client.expectOK()
	client.command(comChangeUser, append(append([]byte("native\x00\x00\x00"), collationUTF8mb4, 0), pluginNative+"\x00"...)...)
	q := reader{p: client.read()[1:]}
	q.nulbytes()
	client.write(nativeResponse("secret", q.nulbytes()))
	client.expectErr(1040, "08004", "Too many connections")
	// Beyond those that may be on their way to a login nobody is greeted; the packet has no SQLSTATE.
	eventually(t, "who was refused has ended", func() bool { return s.Stats().Connections == 5 })
	var silence []*raw
	for range loginRoom - 1 {
		silence = append(silence, dial(t, addr))
	}
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	text, err := io.ReadAll(nc)
	if err != nil || string(text) != "\x17\x00\x00\x00\xff\x10\x04Too many connections" {
		t.Errorf("one too many gets %q, %v", text, err)
	}
	if got := s.Stats().Refused[1040]; got != 4 {
		t.Errorf("counted %d refusals", got)
	}
	for _, r := range append(silence, ofSite...) {
		r.nc.Close()
	}
	admin.command(comQuit)
	admin.expectClosed()
	first.command(comQuit)
	first.expectClosed()
	eventually(t, "they have ended", func() bool { return s.Stats().Connections == 1 })
	// Silence during the handshake.
	connectTimeout := func(d time.Duration) {
		if err := s.Reconfigure(Config{Version: "8", MaxConnections: 2, NetReadTimeout: 200 * time.Millisecond, ConnectTimeout: d}); err != nil {
			t.Fatal(err)
		}
	}
	connectTimeout(300 * time.Millisecond)
	start := time.Now()
	silent := dial(t, addr)
	silent.expectClosed()
	if took := time.Since(start); took < 300*time.Millisecond || took > 8*time.Second {
		t.Errorf("connect_timeout of 300ms took %v", took)
	}
	connectTimeout(0)
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
