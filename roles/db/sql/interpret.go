package sql

import (
	"context"
	"errors"
	"strconv"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/vt/sqlparser"

	"stack/roles/db/wire"
)

// errNoData is the condition NOT FOUND.
var errNoData = &wire.Error{Code: 1329, State: "02000", Message: "No data - zero rows fetched, selected, or processed"}

// errFetchEnd is the same of FETCH: it is an error where nobody waits for it, while
// SELECT … INTO without a row only warns.
var errFetchEnd = &wire.Error{Code: errNoData.Code, State: errNoData.State, Message: errNoData.Message}

// list runs statements in order. An error goes to the handler that waits for it.
func (f *frame) list(ctx *gms.Context, list sqlparser.Statements) error {
	for _, st := range list {
		err := f.statement(ctx, st)
		if err == nil {
			continue
		}
		if err = f.handle(ctx, err); err != nil {
			return err
		}
	}
	return nil
}

func (f *frame) statement(ctx *gms.Context, st sqlparser.Statement) error {
	switch st := st.(type) {
	case *sqlparser.BeginEndBlock:
		return f.block(ctx, st)
	case *sqlparser.IfStatement:
		for _, branch := range st.Conditions {
			if ok, err := f.holds(ctx, branch.Expr); err != nil {
				return err
			} else if ok {
				return f.list(ctx, branch.Statements)
			}
		}
		return f.list(ctx, st.Else)
	case *sqlparser.CaseStatement:
		return f.choose(ctx, st)
	case *sqlparser.Loop:
		return f.loop(ctx, st.Label, func() (bool, error) { return true, nil }, nil, st.Statements)
	case *sqlparser.While:
		return f.loop(ctx, st.Label, func() (bool, error) { return f.holds(ctx, st.Condition) }, nil, st.Statements)
	case *sqlparser.Repeat:
		return f.loop(ctx, st.Label, func() (bool, error) { return true, nil }, func() (bool, error) { return f.holds(ctx, st.Condition) }, st.Statements)
	case *sqlparser.Leave:
		return leaveBlock{strings.ToLower(st.Label)}
	case *sqlparser.Iterate:
		return iterateLoop{strings.ToLower(st.Label)}
	case *sqlparser.Return:
		row, _, err := f.evaluate(ctx, st.Expr)
		if err != nil {
			return err
		}
		return returned{row[0]}
	case *sqlparser.Declare:
		return f.declare(ctx, st)
	case *sqlparser.OpenCursor:
		return f.open(ctx, st)
	case *sqlparser.FetchCursor:
		return f.fetch(ctx, st)
	case *sqlparser.CloseCursor:
		c, err := f.cursor(st.Name)
		if err != nil {
			return err
		}
		if !c.open {
			return gms.ErrCursorNotOpen.New(st.Name)
		}
		c.close()
		return nil
	case *sqlparser.Signal:
		return f.signal(ctx, st)
	case *sqlparser.Resignal:
		return f.resignal(ctx, st)
	case *sqlparser.Set:
		if d, ok := diagnosticsOf(st); ok {
			return f.diagnose(ctx, d)
		}
		return f.set(ctx, st)
	case *sqlparser.Call:
		return f.s.call(ctx, st, f, f.out)
	}
	return f.plain(ctx, st)
}

func (f *frame) block(ctx *gms.Context, st *sqlparser.BeginEndBlock) error {
	b := f.push()
	defer f.pop()
	err := f.list(ctx, st.Statements)
	switch e := err.(type) {
	case exitBlock:
		if e.block == b {
			return nil
		}
	case leaveBlock:
		if st.Label != "" && e.label == strings.ToLower(st.Label) {
			return nil
		}
	}
	return err
}

func (f *frame) choose(ctx *gms.Context, st *sqlparser.CaseStatement) error {
	for _, branch := range st.Cases {
		test := branch.Case
		if st.Expr != nil {
			test = &sqlparser.ComparisonExpr{Operator: sqlparser.EqualStr, Left: st.Expr, Right: branch.Case}
		}
		if ok, err := f.holds(ctx, test); err != nil {
			return err
		} else if ok {
			return f.list(ctx, branch.Statements)
		}
	}
	if st.Else == nil {
		return mysqlError(1339, "Case not found for CASE statement")
	}
	return f.list(ctx, st.Else)
}

// loop runs statements while before is true and, where there is an after, until it is.
func (f *frame) loop(ctx *gms.Context, label string, before, after func() (bool, error), body sqlparser.Statements) error {
	label = strings.ToLower(label)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if ok, err := before(); err != nil || !ok {
			return err
		}
		err := f.list(ctx, body)
		if e, ok := err.(leaveBlock); ok && label != "" && e.label == label {
			return nil
		}
		if e, ok := err.(iterateLoop); ok && label != "" && e.label == label {
			err = nil
		}
		if err != nil {
			return err
		}
		if after == nil {
			continue
		}
		if done, err := after(); err != nil || done {
			return err
		}
	}
}

func (f *frame) declare(ctx *gms.Context, st *sqlparser.Declare) error {
	b := f.blocks[len(f.blocks)-1]
	switch {
	case st.Variables != nil:
		t, err := types.ColumnTypeToType(&st.Variables.VarType)
		if err != nil {
			return err
		}
		var value any
		if e := st.Variables.VarType.Default; e != nil {
			row, _, err := f.evaluate(ctx, e)
			if err != nil {
				return err
			}
			value = row[0]
		}
		for _, n := range st.Variables.Names {
			v := &variable{typ: t}
			if err := f.assign(ctx, n.String(), v, value); err != nil {
				return err
			}
			b.variables[n.Lowered()] = v
		}
	case st.Condition != nil:
		c := condition{state: st.Condition.SqlStateValue}
		if st.Condition.MysqlErrorCode != nil {
			code, err := strconv.ParseUint(string(st.Condition.MysqlErrorCode.Val), 10, 16)
			if err != nil || code == 0 {
				return mysqlError(1407, "Bad SQLSTATE: '%s'", st.Condition.MysqlErrorCode.Val)
			}
			c.code = uint16(code)
		}
		b.conditions[strings.ToLower(st.Condition.Name)] = c
	case st.Cursor != nil:
		b.cursors[strings.ToLower(st.Cursor.Name)] = &cursor{query: st.Cursor.SelectStmt}
	case st.Handler != nil:
		b.handlers = append(b.handlers, handler{st.Handler.ConditionValues, st.Handler.Action, st.Handler.Statement})
	}
	return nil
}

func (f *frame) open(ctx *gms.Context, st *sqlparser.OpenCursor) error {
	c, err := f.cursor(st.Name)
	if err != nil {
		return err
	}
	if c.open {
		return gms.ErrCursorAlreadyOpen.New(st.Name)
	}
	c.kept = kept{session: f.s, in: &f.s.cursors}
	got := &rowsSink{kept: &c.kept}
	if err := f.run(ctx, c.query, got); err != nil {
		c.close()
		return err
	}
	c.open, c.schema, c.rows = true, got.schema, got.rows
	return nil
}

func (f *frame) fetch(ctx *gms.Context, st *sqlparser.FetchCursor) error {
	c, err := f.cursor(st.Name)
	if err != nil {
		return err
	}
	if !c.open {
		return gms.ErrCursorNotOpen.New(st.Name)
	}
	if len(c.schema) != len(st.Variables) {
		return gms.ErrFetchIncorrectCount.New()
	}
	if len(c.rows) == 0 {
		return errFetchEnd
	}
	row := c.rows[0]
	c.rows[0], c.rows = nil, c.rows[1:]
	if err := c.kept.add(-memoryOf(row)); err != nil {
		return err
	}
	return f.into(ctx, st.Variables, row, c.schema)
}

// into puts a row into variables of the routine and of the session.
func (f *frame) into(ctx *gms.Context, names []string, row gms.Row, schema gms.Schema) error {
	for i, name := range names {
		if user, ok := strings.CutPrefix(name, "@"); ok {
			if err := ctx.SetUserVariable(ctx, user, row[i], schema[i].Type); err != nil {
				return err
			}
			continue
		}
		v := f.variable(name)
		if v == nil {
			return mysqlError(1327, "Undeclared variable: %s", name)
		}
		if err := f.assign(ctx, name, v, row[i]); err != nil {
			return err
		}
	}
	return nil
}

// set assigns variables of the routine; others are the session's.
func (f *frame) set(ctx *gms.Context, st *sqlparser.Set) error {
	for _, e := range st.Exprs {
		name := e.Name.Name.String()
		v := f.variable(name)
		if v == nil || e.Scope != sqlparser.SetScope_None || !e.Name.Qualifier.IsEmpty() {
			one := &sqlparser.Set{Comments: st.Comments, Exprs: sqlparser.SetVarExprs{{Scope: e.Scope, Name: e.Name, Expr: e.Expr}}}
			if err := f.runSet(ctx, one); err != nil {
				return err
			}
			continue
		}
		row, _, err := f.evaluate(ctx, e.Expr)
		if err != nil {
			return err
		}
		if err := f.assign(ctx, name, v, row[0]); err != nil {
			return err
		}
	}
	return nil
}

// runSet runs SET of a session's variable, whose name may be that of a variable of the
// routine.
func (f *frame) runSet(ctx *gms.Context, st *sqlparser.Set) error {
	bindings, err := f.bind(ctx, st.Exprs[0].Expr)
	if err != nil {
		return err
	}
	st.Exprs[0].Name.StoredProcVal = nil
	if f.inside {
		return f.s.within(ctx, f.r.text, st, bindings, &rowsSink{})
	}
	return f.s.alone(ctx, f.r.text, st, bindings, &rowsSink{})
}

// plain runs a statement that is not of the routine language.
func (f *frame) plain(ctx *gms.Context, st sqlparser.Statement) error {
	if into := intoOf(st); into != nil && len(into.Variables) > 0 {
		return f.selectInto(ctx, st, into)
	}
	var out sink = &doneSink{}
	switch st.(type) {
	case *sqlparser.Select, *sqlparser.SetOp, *sqlparser.ParenSelect, *sqlparser.Show, *sqlparser.Explain, *sqlparser.Execute:
		if f.out == nil {
			return mysqlError(1415, "Not allowed to return a result set from a function")
		}
		out = &resultSink{sink: f.out, frame: f}
	}
	if err := f.run(ctx, st, out); err != nil {
		return err
	}
	if done, ok := out.(*doneSink); ok {
		f.affected, f.insertID = done.affected, done.insertID
	}
	return nil
}

func (f *frame) selectInto(ctx *gms.Context, st sqlparser.Statement, into *sqlparser.Into) error {
	got := &rowsSink{limit: 1}
	if err := f.run(ctx, withoutInto(st), got); err != nil {
		return err
	}
	names := make([]string, len(into.Variables))
	for i, v := range into.Variables {
		names[i] = v.String()
	}
	if len(got.schema) != len(names) {
		return mysqlError(1222, "The used SELECT statements have a different number of columns")
	}
	if len(got.rows) == 0 {
		return errNoData
	}
	return f.into(ctx, names, got.rows[0], got.schema)
}

// resultSink passes a result set on to the client, behind those before it.
type resultSink struct {
	sink
	frame *frame
}

func (r *resultSink) Columns(ctx *gms.Context, schema gms.Schema) error {
	if r.frame.results > 0 {
		if err := nextResult(r.sink); err != nil {
			return err
		}
	}
	r.frame.results++
	return r.sink.Columns(ctx, schema)
}

func (r *resultSink) OK(affected, insertID uint64, _ string) {
	r.frame.affected, r.frame.insertID = affected, insertID
}

// nextResult ends a result set that another answer follows.
func nextResult(out sink) error {
	if several, ok := out.(interface{ Next() error }); ok {
		return several.Next()
	}
	return mysqlError(1312, "a procedure can't return more than one result set in the given context")
}

// handle gives an error to the handler that waits for it. What is left is the error, or
// where the handler moves control to.
func (f *frame) handle(ctx *gms.Context, err error) error {
	switch err.(type) {
	case leaveBlock, iterateLoop, returned, exitBlock:
		return err
	}
	if ctx.Err() != nil || errors.Is(err, context.Canceled) || errors.Is(err, wire.ErrDrop) || errors.Is(err, wire.ErrRoleLost) {
		return err
	}
	what := f.conditionOf(err)
	h, at := f.handlerOf(what)
	if h == nil {
		if strings.HasPrefix(what.state, "02") || strings.HasPrefix(what.state, "01") {
			if err == error(errFetchEnd) {
				return err
			}
			ctx.Warn(int(what.code), "%s", told(f.s.tell(err)))
			return nil
		}
		return err
	}
	blocks, current := f.blocks, f.current
	f.blocks, f.current = blocks[:at+1:at+1], err
	blocks[at].handling = true
	herr := f.statement(ctx, h.run)
	blocks[at].handling = false
	f.blocks, f.current = blocks, current
	if herr != nil {
		return herr
	}
	if h.action == sqlparser.DeclareHandlerAction_Exit {
		return exitBlock{blocks[at]}
	}
	return nil
}

// told is an error's text as the client would see it.
func told(err error) string {
	var e *wire.Error
	if errors.As(err, &e) {
		return e.Message
	}
	return err.Error()
}

// handlerOf finds the handler for a condition: of the innermost block that has one, the
// most specific.
func (f *frame) handlerOf(what condition) (*handler, int) {
	for at := len(f.blocks) - 1; at >= 0; at-- {
		if f.blocks[at].handling {
			continue
		}
		var best *handler
		rank := 0
		for i := range f.blocks[at].handlers {
			h := &f.blocks[at].handlers[i]
			for _, on := range h.on {
				if r := f.matches(on, what); r > rank {
					best, rank = h, r
				}
			}
		}
		if best != nil {
			return best, at
		}
	}
	return nil, 0
}

// matches says how specifically a handler waits for a condition: 0 not at all.
func (f *frame) matches(on sqlparser.DeclareHandlerCondition, what condition) int {
	switch on.ValueType {
	case sqlparser.DeclareHandlerCondition_MysqlErrorCode:
		if string(on.MysqlErrorCode.Val) == strconv.Itoa(int(what.code)) {
			return 3
		}
	case sqlparser.DeclareHandlerCondition_SqlState:
		if on.String == what.state {
			return 2
		}
	case sqlparser.DeclareHandlerCondition_ConditionName:
		c, ok := f.condition(on.String)
		switch {
		case !ok:
		case c.code != 0 && c.code == what.code:
			return 3
		case c.code == 0 && c.state == what.state:
			return 2
		}
	case sqlparser.DeclareHandlerCondition_SqlWarning:
		if strings.HasPrefix(what.state, "01") {
			return 1
		}
	case sqlparser.DeclareHandlerCondition_NotFound:
		if strings.HasPrefix(what.state, "02") {
			return 1
		}
	case sqlparser.DeclareHandlerCondition_SqlException:
		if !strings.HasPrefix(what.state, "01") && !strings.HasPrefix(what.state, "02") && !strings.HasPrefix(what.state, "00") {
			return 1
		}
	}
	return 0
}

func (f *frame) condition(name string) (condition, bool) {
	for i := len(f.blocks) - 1; i >= 0; i-- {
		if c, ok := f.blocks[i].conditions[strings.ToLower(name)]; ok {
			return c, true
		}
	}
	return condition{}, false
}
