package dump_test

import (
	"context"
	gosql "database/sql"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"

	"stack/roles/db/binlog"
	"stack/roles/db/sql"
	"stack/roles/db/store"
	"stack/roles/db/txn"
	"stack/roles/db/wire"
	"stack/roles/internal/freeport"
)

// server is a whole database that listens on the loopback.
type server struct {
	t      testing.TB
	dir    string
	port   uint16
	log    binlog.Options
	cfg    wire.Config
	store  *store.Store
	txn    *txn.Engine
	engine *sql.Engine
	front  *wire.Server
	l      *net.TCPListener
	served chan error
	db     *gosql.DB
}

func newServer(t testing.TB, log binlog.Options) *server {
	t.Helper()
	s := &server{t: t, dir: t.TempDir(), port: uint16(freeport.TCP(t)), log: log}
	s.start()
	t.Cleanup(func() {
		if s.front != nil {
			s.stop()
		}
	})
	s.must("CREATE DATABASE test")
	s.must("CREATE USER replica IDENTIFIED WITH mysql_native_password BY 'secret'")
	s.must("GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO replica")
	return s
}

func (s *server) check(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// start opens the database, each time on the same port.
func (s *server) start() {
	s.t.Helper()
	var err error
	s.store, err = store.Open(store.Options{Dir: s.dir, Reserve: 1})
	s.check(err)
	s.txn, err = txn.Open(s.store, txn.Options{Binlog: s.log})
	s.check(err)
	s.engine, err = sql.New(s.store, s.txn, sql.Options{Server: s.store.Server, KillConnection: func(id uint32) error {
		s.front.Kill(id, false)
		return nil
	}})
	s.check(err)
	s.check(s.engine.SetAdministrator(context.Background(), "root", "%", "secret"))
	s.cfg.Version = sql.Version
	s.front, err = wire.New(s.cfg, s.engine)
	s.check(err)
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", s.port))
	s.check(err)
	s.l = l.(*net.TCPListener)
	s.served = make(chan error, 1)
	go func(front *wire.Server, l net.Listener, served chan error) { served <- front.Serve(l) }(s.front, s.l, s.served)
	s.db, err = gosql.Open("mysql", fmt.Sprintf("root:secret@tcp(127.0.0.1:%d)/?allowNativePasswords=true&interpolateParams=true", s.port))
	s.check(err)
}

func (s *server) stop() {
	s.t.Helper()
	s.db.Close()
	s.check(s.front.Close())
	s.check(<-s.served)
	s.l.Close()
	s.check(s.engine.Close())
	s.check(s.txn.Close())
	s.check(s.store.Close())
	s.front = nil
}

// must runs statements on one connection.
func (s *server) must(statements ...string) {
	s.t.Helper()
	conn, err := s.db.Conn(context.Background())
	s.check(err)
	defer conn.Close()
	for _, q := range statements {
		if _, err := conn.ExecContext(context.Background(), q); err != nil {
			s.t.Fatalf("%.200s: %v", q, err)
		}
	}
}

// rows are the rows of a query, their columns separated by bars.
func rows(t testing.TB, db *gosql.DB, query string) []string {
	t.Helper()
	list, err := tryRows(db, query)
	if err != nil {
		t.Fatalf("%.200s: %v", query, err)
	}
	return list
}

func tryRows(db *gosql.DB, query string) ([]string, error) {
	r, err := db.QueryContext(context.Background(), query)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	names, err := r.Columns()
	if err != nil {
		return nil, err
	}
	var list []string
	for r.Next() {
		values, into := make([]gosql.RawBytes, len(names)), make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		if err := r.Scan(into...); err != nil {
			return nil, err
		}
		text := make([]string, len(names))
		for i, v := range values {
			if text[i] = string(v); v == nil {
				text[i] = "NULL"
			}
		}
		list = append(list, strings.Join(text, "|"))
	}
	return list, r.Err()
}

// waitFor waits until something holds.
func waitFor(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("a minute has passed without: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// logged are the events of the log as the files have them.
func (s *server) logged(from binlog.Position) (list []binlog.Event) {
	s.t.Helper()
	r, err := s.txn.Binlog().Open(from)
	s.check(err)
	defer r.Close()
	for {
		ev, err := r.TryNext()
		s.check(err)
		if ev == nil {
			return list
		}
		list = append(list, binlog.Event{Position: ev.Position, End: ev.End, Bytes: append([]byte(nil), ev.Bytes...)})
	}
}
