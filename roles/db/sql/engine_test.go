package sql

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	gms "github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/store"
	"stack/roles/db/txn"
	"stack/roles/db/wire"
)

// server is an engine on a store of its own.
type server struct {
	t      testing.TB
	dir    string
	fs     vfs.FS // nil: the operating system's
	store  *store.Store
	db     *txn.Engine
	engine *Engine
	ids    uint32

	reserve     uint64 // of the next start; default 1 byte
	writeSet    int64
	queryMemory int64
}

func newServer(t testing.TB) *server {
	t.Helper()
	s := &server{t: t, dir: t.TempDir()}
	s.start()
	t.Cleanup(s.stop)
	if err := s.engine.SetAdministrator(context.Background(), "root", "%", "secret"); err != nil {
		t.Fatal(err)
	}
	s.root().must("CREATE DATABASE test")
	return s
}

func (s *server) start() {
	s.t.Helper()
	var err error
	if s.store, err = store.Open(store.Options{Dir: s.dir, FS: s.fs, Reserve: max(s.reserve, 1)}); err != nil {
		s.t.Fatal(err)
	}
	if s.db, err = txn.Open(s.store, txn.Options{WriteSetLimit: s.writeSet}); err != nil {
		s.t.Fatal(err)
	}
	if s.engine, err = New(s.store, s.db, Options{QueryMemory: s.queryMemory, NoStatistics: true}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) stop() {
	if s.engine == nil {
		return
	}
	s.engine.mu.Lock()
	var open []*Session
	for _, sess := range s.engine.sessions {
		open = append(open, sess)
	}
	s.engine.mu.Unlock()
	for _, sess := range open {
		sess.Close()
	}
	if err := s.engine.Close(); err != nil {
		s.t.Error(err)
	}
	if err := s.db.Close(); err != nil {
		s.t.Error(err)
	}
	if err := s.store.Close(); err != nil {
		s.t.Error(err)
	}
	s.engine = nil
}

// restart closes everything and opens it again.
func (s *server) restart() {
	s.stop()
	s.start()
}

// client is a session with its answers collected.
type client struct {
	t testing.TB
	*Session
}

func (s *server) login(user, host, database string) *client {
	s.t.Helper()
	accounts, err := s.engine.Accounts(context.Background(), user)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, a := range accounts {
		if a.User == user && a.Host == host {
			s.ids++
			sess, err := s.engine.newSession(wire.Client{ID: s.ids, User: user, Host: "localhost", Account: a})
			if err != nil {
				s.t.Fatal(err)
			}
			c := &client{s.t, sess}
			if database != "" {
				if err := sess.Use(context.Background(), database); err != nil {
					s.t.Fatal(err)
				}
			}
			return c
		}
	}
	s.t.Fatalf("there is no account %s@%s", user, host)
	return nil
}

func (s *server) root() *client { s.t.Helper(); return s.login("root", "%", "") }
func (s *server) test() *client { s.t.Helper(); return s.login("root", "%", "test") }

// collected is a sink that keeps the answer as text.
type collected struct {
	ctx      *gms.Context
	schema   gms.Schema
	rows     []string
	affected uint64
	insertID uint64
	info     string
}

func (c *collected) Columns(ctx *gms.Context, schema gms.Schema) error {
	c.ctx, c.schema = ctx, schema
	return nil
}

func (c *collected) Row(row gms.Row) error {
	values := make([]string, len(c.schema))
	for i, col := range c.schema {
		if row[i] == nil {
			values[i] = "NULL"
			continue
		}
		v, err := printedType(col.Type).SQL(c.ctx, nil, row[i])
		if err != nil {
			return err
		}
		values[i] = v.ToString()
	}
	c.rows = append(c.rows, strings.Join(values, "|"))
	return nil
}

// Sent is the number of rows.
func (c *collected) Sent() uint64 { return uint64(len(c.rows)) }

func (c *collected) OK(affected, insertID uint64, info string) {
	c.affected, c.insertID, c.info = affected, insertID, info
}

// Next begins another result: its rows follow those before it.
func (c *collected) Next() error { c.rows = append(c.rows, "--"); return nil }

// run runs one statement.
func (c *client) run(query string) (*collected, error) {
	out := &collected{}
	_, err := c.query(context.Background(), query, false, out)
	return out, err
}

// must runs statements that must succeed.
func (c *client) must(queries ...string) *collected {
	c.t.Helper()
	var out *collected
	for _, q := range queries {
		var err error
		if out, err = c.run(q); err != nil {
			c.t.Fatalf("%s\n%v", q, err)
		}
	}
	return out
}

// want runs a query and compares its rows, columns joined by |.
func (c *client) want(query string, rows ...string) {
	c.t.Helper()
	got := c.must(query).rows
	if strings.Join(got, "\n") != strings.Join(rows, "\n") {
		c.t.Errorf("%s\n got: %s\nwant: %s", query, strings.Join(got, "\n      "), strings.Join(rows, "\n      "))
	}
}

// fails runs a statement that must fail with this error number and, if given, a text.
func (c *client) fails(code uint16, query string, text ...string) {
	c.t.Helper()
	_, err := c.run(query)
	if err == nil {
		c.t.Errorf("%s\nsucceeded, want error %d", query, code)
		return
	}
	var e *wire.Error
	if !errors.As(err, &e) {
		if cast := gms.CastSQLError(err); cast != nil {
			e = wire.Errorf(uint16(cast.Num), "%s", cast.Message)
		}
	}
	if e.Code != code {
		c.t.Errorf("%s\nfailed with %v, want error %d", query, err, code)
	}
	for _, want := range text {
		if !strings.Contains(e.Message, want) {
			c.t.Errorf("%s\nfailed with %q, want a text with %q", query, e.Message, want)
		}
	}
}

func TestFirstSteps(t *testing.T) {
	s := newServer(t)
	c := s.test()
	c.must("CREATE TABLE t (id BIGINT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(50), n INT DEFAULT 7, KEY (name), UNIQUE KEY un (n))")
	out := c.must("INSERT INTO t (name, n) VALUES ('a', 1), ('b', 2)")
	if out.affected != 2 || out.insertID != 1 {
		t.Errorf("affected %d, insert id %d", out.affected, out.insertID)
	}
	c.must("INSERT INTO t (name) VALUES ('c')")
	c.want("SELECT * FROM t ORDER BY id", "1|a|1", "2|b|2", "3|c|7")
	c.want("SELECT id FROM t WHERE name = 'B'", "2")
	c.fails(1062, "INSERT INTO t (name, n) VALUES ('d', 1)", "Duplicate entry '1' for key 't.un'")
	c.fails(1062, "INSERT INTO t (id) VALUES (1)", "Duplicate entry '1' for key 't.PRIMARY'")
	c.must("UPDATE t SET n = n + 10 WHERE id >= 2")
	c.want("SELECT n FROM t ORDER BY n DESC", "17", "12", "1")
	c.must("DELETE FROM t WHERE name = 'a'")
	c.want("SELECT COUNT(*), SUM(n) FROM t", "2|29")
	s.restart()
	s.test().want("SELECT id, name, n FROM t ORDER BY id", "2|b|12", "3|c|17")
}
