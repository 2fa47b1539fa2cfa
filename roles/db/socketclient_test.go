package db

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

// socketClient is one connection of the Go driver in clear text whose socket the test holds.
type socketClient struct {
	t testing.TB
	*sql.Conn
	nc net.Conn
	id uint32
}

const clearPassword = "clear text"

// allowClear makes the account that clients log in to without TLS.
func (r *running) allowClear(root *sql.DB) {
	r.t.Helper()
	mustExec(r.t, root.Exec, "CREATE USER clear@'%' IDENTIFIED WITH mysql_native_password BY '"+clearPassword+"'", "GRANT ALL ON *.* TO clear@'%'")
}

// onSocket opens a connection, with CLIENT_INTERACTIVE where it is to be interactive.
func (r *running) onSocket(t testing.TB, interactive bool) *socketClient {
	t.Helper()
	s := &socketClient{t: t}
	c := mysql.NewConfig()
	c.User, c.Passwd, c.DBName, c.Net, c.Addr = "clear", clearPassword, "wordpress", "tcp", r.addr.String()
	c.AllowNativePasswords, c.Logger = true, &mysql.NopLogger{}
	c.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := new(net.Dialer).DialContext(ctx, network, addr)
		s.nc = nc
		if interactive && err == nil {
			return &atTerminal{Conn: nc}, nil
		}
		return nc, err
	}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	t.Cleanup(func() { db.Close() })
	if s.Conn, err = db.Conn(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := s.QueryRowContext(context.Background(), "SELECT CONNECTION_ID()").Scan(&s.id); err != nil {
		t.Fatal(err)
	}
	return s
}

// atTerminal says in the handshake response that the client is interactive, which the driver never says.
type atTerminal struct {
	net.Conn
	said bool
}

func (c *atTerminal) Write(p []byte) (int, error) {
	if !c.said {
		p = bytes.Clone(p)
		p[5] |= 1 << (10 - 8) // CLIENT_INTERACTIVE, of the flags behind the packet's header
		c.said = true
	}
	return c.Conn.Write(p)
}

func (c *socketClient) do(queries ...string) {
	c.t.Helper()
	for _, q := range queries {
		if _, err := c.ExecContext(context.Background(), q); err != nil {
			c.t.Fatalf("%s: %v", q, err)
		}
	}
}

// leave closes the socket without a word.
func (c *socketClient) leave() { c.nc.Close() }

// reset ends the connection with a reset.
func (c *socketClient) reset() {
	c.nc.(*net.TCPConn).SetLinger(0)
	c.nc.Close()
}

// send sends one command that nobody waits for.
func (c *socketClient) send(query string) {
	c.t.Helper()
	p := binary.LittleEndian.AppendUint32(nil, uint32(1+len(query)))
	p = append(append(p, 3), query...) // COM_QUERY
	if _, err := c.nc.Write(p); err != nil {
		c.t.Fatal(err)
	}
}

// lastWord is what the server says unasked until it closes: the error packet's number and text, or nothing.
func (c *socketClient) lastWord() string {
	c.t.Helper()
	c.nc.SetReadDeadline(time.Now().Add(time.Minute))
	p, err := io.ReadAll(c.nc)
	switch {
	case err != nil:
		c.t.Fatalf("the server does not close: %v after %q", err, p)
	case len(p) == 0:
		return ""
	case len(p) < 7 || p[4] != 0xff:
		c.t.Fatalf("the server closes with %q", p)
	}
	_, text, _ := strings.Cut(string(p[7:]), "#")
	return fmt.Sprintf("%d %s", binary.LittleEndian.Uint16(p[5:]), text)
}

// lockedRow is a row of another's transaction for which a session of its own waits.
type lockedRow struct {
	free chan time.Time // when the session had it
	err  error
}

// awaitRow lets a session wait for row 1 of table t, and returns when it does.
func (r *running) awaitRow(t testing.TB, waiters uint64) *lockedRow {
	t.Helper()
	w := &lockedRow{free: make(chan time.Time, 1)}
	db := r.rootDB("wordpress")
	go func() {
		_, w.err = db.Exec("UPDATE t SET n = n + 1 WHERE id = 1")
		w.free <- time.Now()
		db.Close()
	}()
	until(t, time.Minute, "the row is waited for", func() bool {
		return len(w.free) > 0 || r.role.data.db.Stats().LockWaiting >= waiters
	})
	if len(w.free) > 0 {
		t.Fatalf("the row is not locked (%v)", w.err)
	}
	return w
}

// since is how long after a moment the row was free.
func (w *lockedRow) since(t testing.TB, began time.Time) time.Duration {
	t.Helper()
	select {
	case at := <-w.free:
		if w.err != nil {
			t.Fatal(w.err)
		}
		return at.Sub(began)
	case <-time.After(time.Minute):
		t.Fatal("the row is locked for more than a minute")
		return 0
	}
}
