package wire

import (
	"context"
	"io"
	"strconv"
	"strings"
	"sync"
	"testing"

	sqle "github.com/dolthub/go-mysql-server"
	"github.com/dolthub/go-mysql-server/memory"
	"github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// memoryEngine runs go-mysql-server on its memory tables: real SQL and real types for
// the clients' tests, without a store.
type memoryEngine struct {
	engine   *sqle.Engine
	provider *memory.DbProvider
	accounts []Account
	kill     func(id uint32, queryOnly bool) bool

	mu sync.Mutex // the memory backend is not safe for writers at once
}

func newMemoryEngine(t testing.TB) *memoryEngine {
	db := memory.NewDatabase("shop")
	provider := memory.NewDBProvider(db)
	e := &memoryEngine{engine: sqle.NewDefault(provider), provider: provider, accounts: newStub().accounts}
	t.Cleanup(func() { e.engine.Close() })
	return e
}

func (e *memoryEngine) Accounts(_ context.Context, user string) (out []Account, _ error) {
	for _, a := range e.accounts {
		if a.User == user {
			out = append(out, a)
		}
	}
	return out, nil
}

func (e *memoryEngine) Open(ctx context.Context, c Client) (Session, error) {
	base := sql.NewBaseSessionWithClientServer("test", sql.Client{User: c.User, Address: c.Host, Capabilities: c.Capabilities}, c.ID)
	s := &memorySession{e: e, id: c.ID, s: memory.NewSession(base, e.provider)}
	if c.Collation != 0 {
		sqlCtx := s.context(ctx)
		for _, name := range []string{"character_set_client", "character_set_results", "character_set_connection"} {
			if err := s.s.SetSessionVariable(sqlCtx, name, c.Collation.CharacterSet().Name()); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}

type memorySession struct {
	e  *memoryEngine
	id uint32
	s  *memory.Session
}

func (s *memorySession) context(ctx context.Context) *sql.Context {
	return sql.NewContext(ctx, sql.WithSession(s.s))
}

func (s *memorySession) Use(ctx context.Context, name string) error {
	if !s.e.provider.HasDatabase(s.context(ctx), name) {
		return sql.ErrDatabaseNotFound.New(name)
	}
	s.s.SetCurrentDatabase(name)
	return nil
}

func (s *memorySession) State() State {
	ctx := s.context(context.Background())
	auto, _ := s.s.GetSessionVariable(ctx, "autocommit")
	charset, _ := s.s.GetSessionVariable(ctx, "character_set_client")
	name, _ := charset.(string)
	id, _ := sql.ParseCharacterSet(name)
	return State{
		Autocommit: auto == int8(1), InTransaction: s.s.GetIgnoreAutoCommit(),
		Database: s.s.GetCurrentDatabase(), Warnings: s.s.WarningCount(), ClientCharset: id,
	}
}

func (s *memorySession) Close() { s.e.engine.CloseSession(s.id) }

func (s *memorySession) Query(ctx context.Context, q string, multi bool, out *Results) (string, error) {
	if id, ok := strings.CutPrefix(q, "KILL "); ok {
		n, _ := strconv.Atoi(id)
		if !s.e.kill(uint32(n), false) {
			return "", Errorf(1094, "Unknown thread id: %d", n)
		}
		return "", nil
	}
	sqlCtx := s.context(ctx)
	var rest string
	if multi {
		_, first, remainder, err := s.e.engine.Parser.Parse(sqlCtx, q, true)
		if err != nil {
			return "", err
		}
		if first != "" {
			q = first
		}
		rest = remainder
	}
	return rest, s.run(sqlCtx, q, nil, out)
}

func (s *memorySession) run(ctx *sql.Context, q string, bind map[string]sqlparser.Expr, out *Results) error {
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	schema, iter, _, err := s.e.engine.QueryWithBindings(ctx, q, nil, bind, nil)
	if err != nil {
		return err
	}
	if !types.IsOkResultSchema(schema) && len(schema) > 0 {
		if err := out.Columns(ctx, schema); err != nil {
			iter.Close(ctx)
			return err
		}
	}
	for {
		row, err := iter.Next(ctx)
		if err == io.EOF {
			return iter.Close(ctx)
		}
		if err != nil {
			iter.Close(ctx)
			return err
		}
		if types.IsOkResult(row) {
			ok := types.GetOkResult(row)
			info := ""
			if ok.Info != nil {
				info = ok.Info.String()
			}
			out.OK(ok.RowsAffected, ok.InsertID, info)
		} else if len(schema) > 0 {
			if err := out.Row(row); err != nil {
				iter.Close(ctx)
				return err
			}
		}
	}
}

func (s *memorySession) Prepare(ctx context.Context, q string) (Statement, error) {
	parsed, err := sqlparser.Parse(q)
	if err != nil {
		return nil, err
	}
	n := 0
	sqlparser.Walk(func(node sqlparser.SQLNode) (bool, error) {
		if v, ok := node.(*sqlparser.SQLVal); ok && v.Type == sqlparser.ValArg {
			n++
		}
		return true, nil
	}, parsed)
	st := &memoryStatement{s: s, text: q, n: n, ctx: s.context(ctx)}
	node, err := s.e.engine.PrepareQuery(st.ctx, q)
	if err != nil {
		return nil, err
	}
	if schema := node.Schema(st.ctx); !types.IsOkResultSchema(schema) {
		if _, isSelect := parsed.(sqlparser.SelectStatement); isSelect {
			st.schema = schema
		}
	}
	return st, nil
}

type memoryStatement struct {
	s      *memorySession
	text   string
	n      int
	ctx    *sql.Context
	schema sql.Schema
}

func (st *memoryStatement) Params() int                         { return st.n }
func (st *memoryStatement) Columns() (*sql.Context, sql.Schema) { return st.ctx, st.schema }
func (st *memoryStatement) HasCursor() bool                     { return true }
func (st *memoryStatement) Close()                              {}

func (st *memoryStatement) Execute(ctx context.Context, params []Param, out *Results) error {
	bind := map[string]sqlparser.Expr{}
	for i, p := range params {
		expr, err := sqlparser.ExprFromValue(p.SQL())
		if err != nil {
			return err
		}
		bind["v"+strconv.Itoa(i+1)] = expr
	}
	return st.s.run(st.s.context(ctx), st.text, bind, out)
}
