package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// conn is one client connection. Everything but the part under mu belongs to its
// goroutine.
type conn struct {
	stream
	srv  *Server
	cfg  *Config // as it was when the current command began
	sock *socket // what raw is; nil where the transport has no descriptor
	id   uint32
	seat seat // under srv.mu

	ctx    context.Context // ends with the connection
	cancel context.CancelCauseFunc

	caps    uint32
	client  Client
	session Session
	state   State
	told    string   // the database that the client knows it is in
	changes []Change // that the client has not heard of
	results Results
	traffic Traffic

	stmts       map[uint32]*statement
	lastStmt    uint32
	cursorBytes int64  // in the spools of all cursors
	longBytes   int    // sent as long data and not executed yet
	scramble    []byte // that the client last answered

	ready atomic.Bool // the handshake is over
	// receiving: the running statement reads a file from the client, and waits for the network.
	receiving atomic.Bool
	lingers   bool // the last packet has to arrive before the socket is closed

	commandsSeen uint32 // by chooseWait

	// since is when the running statement began (Unix nanoseconds), 0 between them.
	since atomic.Int64

	mu       sync.Mutex
	query    context.CancelCauseFunc // of the running statement, else nil
	ending   error                   // ErrConnectionKilled, ErrRoleLost or ErrShutdown: end soon
	draining bool                    // end when outside a transaction

	// Of a dump of the binary log: the context of its waits, and that it ends where the log does.
	idle       context.Context
	endIdle    context.CancelFunc
	lastEvents bool
}

func newConn(s *Server, cfg *Config, nc net.Conn, id uint32) *conn {
	c := &conn{srv: s, cfg: cfg, id: id}
	c.stream = stream{nc: nc, raw: nc, bytesIn: countTwice{&s.stats.bytesIn, &c.traffic.In}, bytesOut: countTwice{&s.stats.bytesOut, &c.traffic.Out}}
	c.client.Traffic = &c.traffic
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	c.results.c = c
	c.results.scratch = make([]byte, 0, 64)
	if c.sock = newSocket(nc, &c.since); c.sock != nil {
		c.nc, c.raw = c.sock, c.sock
	}
	switch a := nc.RemoteAddr().(type) {
	case *net.TCPAddr:
		ap := a.AddrPort()
		c.client.Addr = netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
	case *net.UnixAddr:
		c.client.Unix = true
	}
	c.client.ID = id
	return c
}

// serve runs the connection to its end.
func (c *conn) serve() {
	defer c.close()
	defer func() {
		if c.recovered(recover()) {
			c.abort()
			c.fail(Errorf(erUnknownError, "internal error: the statement made the engine fail"))
		}
	}()
	c.readTimeout, c.writeTimeout = c.cfg.NetReadTimeout, c.cfg.NetWriteTimeout
	c.fixed = time.Now().Add(c.cfg.ConnectTimeout)
	if err := c.handshake(); err != nil {
		c.handshakeFailed(err)
		return
	}
	c.fixed = time.Time{}
	c.ready.Store(true)
	c.srv.stats.connected.Add(1)
	err := c.commands()
	c.commandsEnded(err)
}

// recovered counts and logs a panic of the engine: a defect there costs this
// connection, not the server.
func (c *conn) recovered(p any) bool {
	if p == nil {
		return false
	}
	c.srv.stats.panics.Add(1)
	c.cfg.Log.Error("the database engine panicked: the connection is dropped",
		"connection", c.id, "panic", p, "stack", string(debug.Stack()))
	return true
}

// handshakeFailed tells the client and the log why there is no session.
func (c *conn) handshakeFailed(err error) {
	c.srv.stats.abortedConnects.Add(1)
	var e *Error
	switch {
	case errors.As(err, &e):
		c.cfg.Log.Info("database login refused", "connection", c.id, "client", c.clientText(), "user", c.client.User, "error", e)
		c.fail(e)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, errReadStall):
		c.cfg.Log.Info("database login took longer than connect_timeout", "connection", c.id, "client", c.clientText())
	case errors.Is(err, errSequence):
		c.fail(Errorf(erNetPacketsOutOfOrder, "Got packets out of order"))
	case errors.Is(err, errTooLarge):
		c.fail(Errorf(erNetPacketTooLarge, "Got a packet bigger than 'max_allowed_packet' bytes"))
	case errors.Is(err, errMalformed):
		c.fail(Errorf(erHandshake, "Bad handshake"))
	default:
		// A peer that connects and goes, as a TCP check does, is no news.
		c.cfg.Log.Debug("database login not completed", "connection", c.id, "client", c.clientText(), "error", err)
	}
}

// commandsEnded says the last word of a session.
func (c *conn) commandsEnded(err error) {
	switch {
	case err == nil, errors.Is(err, io.EOF):
		return
	case errors.Is(err, ErrShutdown):
		c.farewell(Errorf(erServerShutdown, "Server shutdown in progress"))
	case errors.Is(err, errIdle):
		c.srv.stats.idleClosed.Add(1)
		c.farewell(Errorf(erIdleTimeout, "The client was disconnected by the server because of inactivity. "+
			"See wait_timeout and interactive_timeout for configuring this behavior."))
	case errors.Is(err, errSequence):
		c.fail(Errorf(erNetPacketsOutOfOrder, "Got packets out of order"))
	case errors.Is(err, errTooLarge):
		c.fail(Errorf(erNetPacketTooLarge, "Got a packet bigger than 'max_allowed_packet' bytes"))
	case errors.Is(err, ErrConnectionKilled), errors.Is(err, ErrDrop), errors.Is(err, ErrRoleLost):
	default:
		c.srv.stats.abortedClients.Add(1)
		c.cfg.Log.Debug("database connection broke", "connection", c.id, "client", c.clientText(), "error", err)
	}
}

// farewell sends a last error to a client that waits for nothing.
func (c *conn) farewell(e *Error) {
	c.writeTimeout = min(c.writeTimeout, time.Second)
	c.fixed = time.Time{}
	if c.writeErr(e) == nil {
		c.flush()
	}
}

// fail sends a last error to a client that may still be sending; close lets it arrive.
func (c *conn) fail(e *Error) {
	c.farewell(e)
	c.lingers = c.broken == nil
}

// close gives back everything, the engine's session first: its locks must not wait for
// the client.
func (c *conn) close() {
	c.cancel(ErrClientGone)
	func() {
		defer func() { c.recovered(recover()) }()
		c.closeStatements()
		if c.session != nil {
			c.session.Close()
			c.session = nil
		}
	}()
	if c.lingers {
		nc := c.nc
		if c.zip != nil {
			nc = c.zip.Conn
		}
		if t, ok := nc.(*tls.Conn); ok {
			t.CloseWrite()
		}
		linger(c.raw)
	}
	c.nc.Close()
}

func (c *conn) clientText() string {
	if c.client.Unix {
		return "unix socket"
	}
	return c.client.Addr.String()
}

// commands answers commands until the client leaves or the connection has to end.
func (c *conn) commands() error {
	for {
		c.startCommand()
		if err := c.mustEnd(); err != nil {
			return err
		}
		c.chooseWait()
		p, err := c.readPacket(c.maxPacket(), or(c.state.WaitTimeout, c.cfg.WaitTimeout))
		if errors.Is(err, errWoken) {
			continue
		}
		if err != nil {
			return err
		}
		c.cfg = c.srv.cfg.Load()
		c.writeTimeout = or(c.state.NetWriteTimeout, c.cfg.NetWriteTimeout)
		if err := c.command(p); err != nil {
			return err
		}
		if err := c.flush(); err != nil {
			return err
		}
		c.rest()
		c.readTimeout = or(c.state.NetReadTimeout, c.cfg.NetReadTimeout)
	}
}

// or is the session's own setting, or else the server's.
func or[T int | time.Duration](own, server T) T {
	if own > 0 {
		return own
	}
	return server
}

func (c *conn) maxPacket() int { return or(c.state.MaxAllowedPacket, c.cfg.MaxAllowedPacket) }

// mustEnd says why the connection may not take another command.
func (c *conn) mustEnd() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending != nil {
		return c.ending
	}
	if c.draining && !c.state.InTransaction {
		return ErrShutdown
	}
	return nil
}

// started marks the beginning of a statement that may be killed, and returns its context.
func (c *conn) started() context.Context {
	ctx, cancel := context.WithCancelCause(c.ctx)
	c.mu.Lock()
	c.query = cancel
	c.mu.Unlock()
	c.since.Store(time.Now().UnixNano())
	return ctx
}

// finished ends what started began.
func (c *conn) finished() {
	c.since.Store(0)
	c.mu.Lock()
	c.query(nil)
	c.query = nil
	c.mu.Unlock()
}

func (c *conn) killQuery() {
	c.mu.Lock()
	if c.query != nil {
		c.query(ErrQueryKilled)
		if c.receiving.Load() {
			c.wake()
		}
	}
	c.mu.Unlock()
	c.srv.stats.killedQueries.Add(1)
}

// drain asks for an end outside statements and transactions.
func (c *conn) drain() {
	c.mu.Lock()
	c.draining = true
	c.mu.Unlock()
	c.wake()
}

// end cancels the running statement and ends the connection after it, or now.
func (c *conn) end(why error) {
	c.mu.Lock()
	if c.ending == nil {
		c.ending = why
	}
	c.mu.Unlock()
	if why == ErrConnectionKilled {
		c.srv.stats.killedConnections.Add(1)
	}
	c.cancel(why)
	c.wake()
	if !c.ready.Load() {
		c.cut()
	}
	c.hurryUp()
}

// cut ends what the connection's goroutine reads and writes.
func (c *conn) cut() {
	if c.sock != nil {
		c.sock.cut()
		return
	}
	c.raw.Close()
}

var _ slog.LogValuer = (*Error)(nil)

// LogValue keeps what a client is told in one attribute.
func (e *Error) LogValue() slog.Value { return slog.StringValue(e.Error()) }
