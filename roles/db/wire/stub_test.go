package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// stub is an engine of a few words, with which the front can be driven into every
// corner: it needs no parser, and says what it was asked.
type stub struct {
	mu       sync.Mutex
	accounts []Account
	sessions []*stubSession
	open     int

	running chan string // gets the name of a statement that blocks
	causes  chan error  // gets why its context ended
}

func newStub() *stub {
	return &stub{
		accounts: []Account{
			{User: "root", Host: "%", Plugin: pluginNative, Admin: true},
			{User: "native", Host: "%", Plugin: pluginNative, AuthString: NativeHash("secret")},
			{User: "sha2", Host: "%", Plugin: pluginSha2, AuthString: Sha2Hash("s3cret")},
			{User: "site", Host: "%", Plugin: pluginNative, AuthString: NativeHash("secret"), Site: true},
		},
		running: make(chan string, 100),
		causes:  make(chan error, 100),
	}
}

func (e *stub) Accounts(_ context.Context, user string) ([]Account, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if user == "broken" {
		return nil, errors.New("the account table is on fire")
	}
	var out []Account
	for _, a := range e.accounts {
		if a.User == user || a.User == "" {
			out = append(out, a)
		}
	}
	return out, nil
}

func (e *stub) Open(_ context.Context, c Client) (Session, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c.User == "noentry" {
		return nil, Errorf(1226, "User '%s' has exceeded the 'max_user_connections' resource", c.User)
	}
	s := &stubSession{engine: e, client: c, state: State{Autocommit: true}}
	s.ctx = sql.NewContext(context.Background(), sql.WithSession(sql.NewBaseSession()))
	e.sessions = append(e.sessions, s)
	e.open++
	return s, nil
}

func (e *stub) last() *stubSession {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.sessions[len(e.sessions)-1]
}

func (e *stub) openSessions() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.open
}

type stubSession struct {
	engine *stub
	client Client
	state  State
	ctx    *sql.Context

	mu      sync.Mutex
	queries []string
	params  []Param // of the last execute, copied
}

func (s *stubSession) Use(_ context.Context, db string) error {
	if db == "missing" {
		return Errorf(1049, "Unknown database '%s'", db)
	}
	s.state.Database = db
	return nil
}

func (s *stubSession) State() State {
	st := s.state
	s.state.Changes = nil
	return st
}

func (s *stubSession) Close() {
	s.engine.mu.Lock()
	s.engine.open--
	s.engine.mu.Unlock()
}

var oneSchema = sql.Schema{{Name: "1", Type: types.Int64}}

// Query knows: one, rows N, wide N (one row with a string of N bytes), ok, begin,
// commit, wait, fail N, drop, panic, latin1, and ;-separated lists of them.
func (s *stubSession) Query(ctx context.Context, q string, multi bool, out *Results) (rest string, err error) {
	if multi {
		q, rest, _ = strings.Cut(q, ";")
	}
	s.mu.Lock()
	s.queries = append(s.queries, q)
	s.mu.Unlock()
	return rest, s.do(ctx, strings.TrimSpace(q), out)
}

func (s *stubSession) do(ctx context.Context, q string, out *Results) error {
	word, arg, _ := strings.Cut(q, " ")
	n := 0
	if arg != "" {
		fmt.Sscan(arg, &n)
	}
	switch word {
	case "one":
		if err := out.Columns(s.ctx, oneSchema); err != nil {
			return err
		}
		return out.Row(sql.Row{int64(1)})
	case "rows":
		if err := out.Columns(s.ctx, sql.Schema{{Name: "n", Type: types.Int64, Source: "t"}, {Name: "s", Type: types.Text, Nullable: true}}); err != nil {
			return err
		}
		for i := range n {
			if err := out.Row(sql.Row{int64(i), "row"}); err != nil {
				return err
			}
		}
		return nil
	case "wide":
		if err := out.Columns(s.ctx, sql.Schema{{Name: "w", Type: types.LongText}}); err != nil {
			return err
		}
		return out.Row(sql.Row{strings.Repeat("w", n)})
	case "half":
		if err := out.Columns(s.ctx, oneSchema); err != nil {
			return err
		}
		if err := out.Row(sql.Row{int64(1)}); err != nil {
			return err
		}
		return Errorf(1317, "half way")
	case "two":
		if err := out.Columns(s.ctx, oneSchema); err != nil {
			return err
		}
		if err := out.Row(sql.Row{int64(1)}); err != nil {
			return err
		}
		if err := out.Next(); err != nil {
			return err
		}
		out.OK(0, 0, "")
		return nil
	case "begin":
		s.state.InTransaction = true
		out.OK(0, 0, "")
		return nil
	case "commit":
		s.state.InTransaction = false
		out.OK(0, 0, "")
		return nil
	case "use":
		return s.Use(ctx, arg)
	case "variable":
		s.state.Changes = []Change{{ChangeVariable, arg, "new"}, {ChangeGTID, "", "u:1"}}
		if arg == "broken" {
			return Errorf(1231, "as asked")
		}
		return nil
	case "quiet":
		s.state.QuietDatabase = true
		return s.Use(ctx, arg)
	case "idle":
		s.state.WaitTimeout = time.Duration(n) * time.Millisecond
		return nil
	case "limit":
		s.state.MaxAllowedPacket = n
		return nil
	case "latin1":
		s.state.ClientCharset = sql.CharacterSet_latin1
		return nil
	case "insert":
		s.state.Warnings = 3
		out.OK(2, 41, "Records: 2  Duplicates: 0  Warnings: 3")
		return nil
	case "wait":
		s.engine.running <- q
		<-ctx.Done()
		s.engine.causes <- context.Cause(ctx)
		return ctx.Err()
	case "flood":
		if err := out.Columns(s.ctx, oneSchema); err != nil {
			return err
		}
		s.engine.running <- q
		for {
			if err := out.Row(sql.Row{int64(1)}); err != nil {
				s.engine.causes <- err
				return err
			}
		}
	case "fail":
		return &Error{Code: uint16(n), Message: "as asked"}
	case "infile": // reads the client's file; its length is the number of affected rows
		f, err := out.LocalFile(ctx, arg)
		if err != nil {
			return err
		}
		s.engine.running <- q
		n, err := io.Copy(io.Discard, f)
		if err != nil {
			s.engine.causes <- err
			return err
		}
		out.OK(uint64(n), 0, "")
		return nil
	case "infile-fail": // gives up after the first byte
		f, err := out.LocalFile(ctx, arg)
		if err != nil {
			return err
		}
		if _, err := f.Read(make([]byte, 1)); err != nil {
			return err
		}
		return Errorf(1261, "Row 1 doesn't contain data for all columns")
	case "drop":
		return fmt.Errorf("commit: %w", ErrDrop)
	case "panic":
		panic("as asked")
	case "panic-in-row":
		if err := out.Columns(s.ctx, oneSchema); err != nil {
			return err
		}
		out.c.begin() // as Row does before it converts values
		panic("as asked")
	case "":
		return Errorf(1065, "Query was empty")
	}
	out.OK(0, 0, "")
	return nil
}

func (s *stubSession) Prepare(_ context.Context, q string) (Statement, error) {
	if strings.HasPrefix(q, "fail") {
		return nil, Errorf(1064, "You have an error in your SQL syntax")
	}
	return &stubStatement{s: s, text: q, n: strings.Count(q, "?")}, nil
}

type stubStatement struct {
	s      *stubSession
	text   string
	n      int
	closed bool
}

func (st *stubStatement) Params() int { return st.n }

func (st *stubStatement) Columns() (*sql.Context, sql.Schema) {
	if strings.HasPrefix(st.text, "one") {
		return st.s.ctx, oneSchema
	}
	return st.s.ctx, nil
}

func (st *stubStatement) Execute(ctx context.Context, params []Param, out *Results) error {
	st.s.mu.Lock()
	st.s.params = nil
	for _, p := range params {
		p.Bytes = bytes.Clone(p.Bytes)
		st.s.params = append(st.s.params, p)
	}
	st.s.mu.Unlock()
	return st.s.do(ctx, strings.TrimRight(st.text, " ?,"), out)
}

func (st *stubStatement) HasCursor() bool { return !strings.HasPrefix(st.text, "two") }

func (st *stubStatement) Close() { st.closed = true }

// serve starts a server for engine on loopback and returns its address. It is closed,
// and every goroutine of it has ended, when the test is over.
func serve(t testing.TB, cfg Config, engine Engine) (*Server, string) {
	t.Helper()
	if cfg.Version == "" {
		cfg.Version = "8.0.36-stack"
	}
	s, err := New(cfg, engine)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
		l.Close()
	})
	return s, l.Addr().String()
}

// eventually waits for something that another goroutine brings about.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("still not so after a minute: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// receive takes from a channel, or fails after a minute.
func receive[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(time.Minute):
		t.Fatalf("did not happen within a minute: %s", what)
		panic("unreachable")
	}
}
