package sql

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/planbuilder"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/vt/sqlparser"

	"stack/roles/db/direct"
	"stack/roles/db/wire"
)

// statement is a prepared statement of the binary protocol. It is planned anew at each
// execution: the planner keeps no plans.
type statement struct {
	session  *Session
	text     string
	parsed   sqlparser.Statement
	database string   // the current one when it was prepared
	names    []string // of the placeholders, in order
	columns  gms.Schema
	context  *gms.Context // that columns were found with

	direct   direct.Text // the statement taken apart, if it could be
	isDirect bool
	values   []direct.Value // of an execution
}

var _ wire.Statement = (*statement)(nil)

// Prepare parses a statement and finds out what it will return.
func (s *Session) Prepare(ctx context.Context, query string) (wire.Statement, error) {
	st, err := s.prepare(ctx, query)
	if err != nil {
		return nil, s.count(err)
	}
	return st, nil
}

func (s *Session) prepare(ctx context.Context, query string) (*statement, error) {
	query = s.asRead(query)
	gctx := s.context(ctx, query)
	parsed, text, _, err := s.parse(gctx, query, false)
	if err != nil {
		return nil, refuseUnparsed(written(query), clientError(err, s.GetCurrentDatabase()))
	}
	if _, err := s.classify(parsed); err != nil {
		return nil, err
	}
	st := &statement{session: s, text: text, parsed: parsed, database: s.GetCurrentDatabase()}
	if err := st.placeholders(); err != nil {
		return nil, err
	}
	// What the parser has just read by an unusual sql_mode the scanner would read otherwise.
	st.isDirect = !s.settingsNow().unusual && st.direct.Scan(query) && st.direct.Params() == len(st.names)
	gctx, err = gctx.ProcessList.BeginOperation(gctx)
	if err != nil {
		return nil, err
	}
	defer gctx.ProcessList.EndOperation(gctx)
	defer s.lendDatabase(parsed)()
	if err := st.describe(gctx); err != nil {
		return nil, s.tell(err)
	}
	return st, nil
}

// placeholders lists the parameters; the parser numbers them v1, v2 ….
func (p *statement) placeholders() error {
	n := 0
	var visit sqlparser.Visit
	visit = func(node sqlparser.SQLNode) (bool, error) {
		if op, ok := node.(*sqlparser.SetOp); ok && op != nil { // of which the parser's walk visits the parts alone
			if err := sqlparser.Walk(visit, op.With, op.OrderBy, op.Limit); err != nil {
				return false, err
			}
		}
		if v, ok := node.(*sqlparser.SQLVal); ok && v.Type == sqlparser.ValArg {
			i, err := strconv.Atoi(string(v.Val[2:])) // ":v" and the number
			if err != nil {
				return false, mysqlError(1064, "placeholder %s is not a question mark", v.Val)
			}
			n = max(n, i)
		}
		return true, nil
	}
	err := sqlparser.Walk(visit, p.parsed)
	for i := 1; i <= n; i++ {
		p.names = append(p.names, "v"+strconv.Itoa(i))
	}
	return err
}

// describe binds the statement without running it. It reads only the catalog, in a
// transaction of its own where the session has none.
func (p *statement) describe(ctx *gms.Context) (err error) {
	s := p.session
	switch p.parsed.(type) {
	case *ownStatement, *sqlparser.Call:
		return nil // what comes shows when it runs
	}
	if s.tx == nil {
		tx, err := s.StartTransaction(ctx, gms.ReadWrite)
		if err != nil {
			return err
		}
		s.BaseSession.SetTransaction(tx)
		defer func() {
			s.rollback()
			s.BaseSession.SetTransaction(nil)
		}()
	}
	defer func() {
		if r := recover(); r != nil {
			err = &panicError{value: r}
		}
	}()
	plain, _, err := s.withoutGenerated(p.parsed)
	if err != nil {
		return err
	}
	binder := planbuilder.New(ctx, s.engine.gms.Analyzer.Catalog, nil)
	node, _, err := binder.BindOnly(plain, p.text, nil)
	if err != nil && namedAggregates(plain, err) {
		node, _, err = planbuilder.New(ctx, s.engine.gms.Analyzer.Catalog, nil).BindOnly(plain, p.text, nil)
	}
	if err != nil {
		return err
	}
	switch n := node.(type) {
	case *plan.InsertInto:
		if n.Returning == nil {
			return nil
		}
	case *plan.Update, *plan.UpdateJoin:
		return nil
	case *plan.DeleteFrom:
		if len(n.Returning) == 0 {
			return nil
		}
	}
	if schema := node.Schema(ctx); !types.IsOkResultSchema(schema) && len(schema) > 0 {
		p.columns, p.context = schema, ctx
	}
	return nil
}

// Params is the number of placeholders.
func (p *statement) Params() int { return len(p.names) }

// Columns is the shape of the result set, nil without one.
func (p *statement) Columns() (*gms.Context, gms.Schema) { return p.context, p.columns }

// HasCursor is false for CALL, which may have several results: as in MySQL it is answered at once.
func (p *statement) HasCursor() bool {
	_, call := p.session.unprepared(p.parsed).(*sqlparser.Call)
	return !call
}

// Close forgets the statement.
func (p *statement) Close() { p.parsed = nil }

// Execute runs the statement with values for its placeholders.
func (p *statement) Execute(ctx context.Context, params []wire.Param, out *wire.Results) error {
	return p.execute(ctx, params, out)
}

func (p *statement) execute(ctx context.Context, params []wire.Param, out sink) error {
	p.session.observe(p.text)
	err := p.run(ctx, params, out)
	p.session.observedEnd(out, err)
	return err
}

func (p *statement) run(ctx context.Context, params []wire.Param, out sink) error {
	s := p.session
	if len(params) != len(p.names) {
		return s.count(mysqlError(1210, "Incorrect arguments to EXECUTE: %d values for %d placeholders", len(params), len(p.names)))
	}
	defer s.asPrepared(p.database)()
	if done, err := p.executeDirect(ctx, params, out); done {
		return s.count(err)
	}
	bindings, err := p.bindings(params)
	if err != nil {
		return s.count(err)
	}
	return s.count(s.execute(ctx, p.text, p.parsed, bindings, out))
}

// bindings are the values of the placeholders as the planner takes them.
func (p *statement) bindings(params []wire.Param) (map[string]sqlparser.Expr, error) {
	bindings := make(map[string]sqlparser.Expr, len(params))
	for i, v := range params {
		expr, err := sqlparser.ExprFromValue(v.SQL())
		if err != nil {
			return nil, mysqlError(1210, "Incorrect arguments to EXECUTE: parameter %d: %s", i+1, fmt.Sprint(err))
		}
		bindings[p.names[i]] = expr
	}
	return bindings, nil
}

// executeDirect runs the statement without the planner if it is one of those that can be;
// false: nothing has happened.
func (p *statement) executeDirect(ctx context.Context, params []wire.Param, out sink) (bool, error) {
	s := p.session
	if reason := s.directAllowed(); reason != direct.None {
		return s.left(reason)
	}
	if len(params) == 0 && !s.tablesLocked() {
		if done, err := s.directControl(ctx, p.text, out); done {
			return true, err
		}
	}
	if !p.isDirect || p.parsed == nil {
		return s.left(direct.Words)
	}
	p.values = append(p.values[:0], p.direct.Values...)
	for i := range p.values {
		if v := &p.values[i]; v.Kind == direct.Param {
			*v = directValue(params[v.Int])
		}
	}
	t := p.direct
	t.Values = p.values
	done, err := s.directRun(ctx, &t, source{query: p.text, parsed: p.parsed, params: p, values: params}, out)
	clear(p.values)
	return done, err
}

// directValue is a parameter as a literal of its type would be.
func directValue(v wire.Param) direct.Value {
	switch v.Kind {
	case wire.ParamNull:
		return direct.Value{Kind: direct.Null}
	case wire.ParamInt:
		return direct.Value{Kind: direct.Int, Int: int64(v.Num)}
	case wire.ParamUint:
		if v.Num > math.MaxInt64 {
			return direct.Value{Kind: direct.Uint, Int: int64(v.Num)}
		}
		return direct.Value{Kind: direct.Int, Int: int64(v.Num)}
	case wire.ParamString:
		if utf8.Valid(v.Bytes) {
			return direct.Value{Kind: direct.String, Text: string(v.Bytes)}
		}
	}
	return direct.Value{Kind: direct.Other}
}
