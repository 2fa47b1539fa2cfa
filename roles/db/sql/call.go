package sql

import (
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/vitess/go/vt/sqlparser"

	"stack/roles/db/txn"
)

// maxRoutineDepth bounds routines that call one another, in levels.
const maxRoutineDepth = 128

// callTop runs CALL of a client. Each statement of the body is one of its own: it has its
// own place in transactions, and what an earlier one did stays when a later one fails.
func (s *Session) callTop(ctx *gms.Context, st *sqlparser.Call, bindings map[string]sqlparser.Expr, out sink) error {
	counted, ok := out.(*countingSink)
	if ok {
		out = counted.sink
	}
	top := &frame{s: s, r: &routine{}, out: out, given: bindings}
	top.push()
	if err := s.call(ctx, st, top, out); err != nil {
		return err
	}
	if top.results > 0 {
		if err := nextResult(out); err != nil {
			return err
		}
	}
	out.OK(top.affected, top.insertID, "")
	return nil
}

// call runs a procedure for a frame, whose variables may be arguments.
func (s *Session) call(ctx *gms.Context, st *sqlparser.Call, caller *frame, out sink) error {
	if st.AsOf != nil {
		return notAvailable("CALL … AS OF")
	}
	database := st.ProcName.Qualifier.String()
	if database == "" {
		database = s.GetCurrentDatabase()
	}
	if database == "" {
		return gms.ErrNoDatabaseSelected.New()
	}
	handler := s.engine.gms.Analyzer.Catalog.AuthorizationHandler()
	if err := handler.HandleAuth(ctx, handler.NewQueryState(ctx), st.Auth); err != nil {
		return err
	}
	d := findDatabase(s.catalog(), database)
	if d == nil {
		return gms.ErrDatabaseNotFound.New(database)
	}
	r, err := s.routineNamed(objectProcedure, d.Name, st.ProcName.Name.String())
	if err != nil {
		return err
	}
	if r == nil {
		return gms.ErrStoredProcedureDoesNotExist.New(st.ProcName.Name.String())
	}
	if len(st.Params) != len(r.params) {
		return gms.ErrCallIncorrectParameterCount.New(r.name, len(r.params), len(st.Params))
	}
	f := &frame{s: s, r: r, out: out, inside: caller.inside, results: caller.results}
	if err := f.arguments(ctx, caller, st.Params); err != nil {
		return err
	}
	err = s.enter(ctx, r, func() error { return f.start(ctx) })
	caller.results, caller.affected, caller.insertID = f.results, f.affected, f.insertID
	if err != nil {
		return err
	}
	return f.giveBack(ctx, caller, st.Params)
}

// arguments makes variables of the parameters.
func (f *frame) arguments(ctx *gms.Context, caller *frame, args []sqlparser.Expr) error {
	b := f.push()
	for i, p := range f.r.params {
		v := &variable{typ: f.r.types[i]}
		b.variables[strings.ToLower(p.Name)] = v
		if p.Direction != sqlparser.ProcedureParamDirection_In && !caller.assignable(args[i]) {
			return mysqlError(1414, "OUT or INOUT argument %d for routine %s.%s is not a variable or NEW pseudo-variable in BEFORE trigger", i+1, f.r.database, f.r.name)
		}
		if p.Direction == sqlparser.ProcedureParamDirection_Out {
			continue
		}
		row, _, err := caller.evaluate(ctx, args[i])
		if err != nil {
			return err
		}
		if err := f.assign(ctx, p.Name, v, row[0]); err != nil {
			return err
		}
	}
	return nil
}

// assignable says whether an argument is a variable.
func (f *frame) assignable(e sqlparser.Expr) bool {
	c, ok := e.(*sqlparser.ColName)
	if !ok || !c.Qualifier.IsEmpty() {
		return false
	}
	name := c.Name.String()
	return strings.HasPrefix(name, "@") && !strings.HasPrefix(name, "@@") || f.variable(name) != nil
}

// giveBack puts OUT and INOUT parameters into the caller's variables.
func (f *frame) giveBack(ctx *gms.Context, caller *frame, args []sqlparser.Expr) error {
	for i, p := range f.r.params {
		if p.Direction == sqlparser.ProcedureParamDirection_In {
			continue
		}
		v := f.blocks[0].variables[strings.ToLower(p.Name)]
		name := args[i].(*sqlparser.ColName).Name.String()
		row, schema := gms.Row{v.value}, gms.Schema{{Name: p.Name, Type: v.typ}}
		if err := caller.into(ctx, []string{name}, row, schema); err != nil {
			return err
		}
	}
	return nil
}

// start runs the body. EXIT handlers and LEAVE end in blocks, RETURN in the function.
func (f *frame) start(ctx *gms.Context) error {
	return f.list(ctx, sqlparser.Statements{f.r.body})
}

// enter runs a routine as its definer, in its database and with the sql_mode that it was
// made with.
func (s *Session) enter(ctx *gms.Context, r *routine, run func() error) error {
	if len(s.calls) >= maxRoutineDepth {
		return mysqlError(1436, "Thread stack overrun: more than %d routines call one another", maxRoutineDepth)
	}
	recursion := 0
	for _, running := range s.calls {
		if running.kind == r.kind && running.database == r.database && running.name == r.name {
			recursion++
		}
	}
	if recursion > s.recursionLimit(r) {
		if r.kind == objectFunction {
			return mysqlError(1424, "Recursive stored functions and triggers are not allowed.")
		}
		return mysqlError(1456, "Recursive limit %d (as set by the max_sp_recursion_depth variable) was exceeded for routine %s", s.recursionLimit(r), r.name)
	}
	s.calls = append(s.calls, r)
	database, mode := s.GetCurrentDatabase(), gms.LoadSqlMode(ctx).String()
	defer func() {
		s.calls = s.calls[:len(s.calls)-1]
		s.SetCurrentDatabase(database)
		_ = s.SetSessionVariable(ctx, "sql_mode", mode)
	}()
	s.SetCurrentDatabase(r.database)
	if err := s.SetSessionVariable(ctx, "sql_mode", r.data.SQLMode); err != nil {
		return err
	}
	if !r.invoker && r.data.Definer != "" {
		back, err := s.actAs(plainAccount(r.data.Definer))
		if err != nil {
			return err
		}
		defer back()
	}
	return run()
}

func (s *Session) recursionLimit(r *routine) int {
	if r.kind == objectFunction {
		return 0
	}
	v, err := s.GetSessionVariable(nil, "max_sp_recursion_depth")
	if err != nil {
		return 0
	}
	switch n := v.(type) {
	case int64:
		return int(n)
	case uint64:
		return int(n)
	}
	return 0
}

// alone runs a statement of a procedure as one of its own.
func (s *Session) alone(ctx *gms.Context, text string, st sqlparser.Statement, bindings map[string]sqlparser.Expr, out sink) error {
	defer s.executing(st)()
	defer s.lendDatabase(st)()
	k, err := s.classify(st)
	if err != nil {
		return err
	}
	if set, ok := setsNext(st); ok {
		return s.setNext(set)
	}
	if flush, ok := st.(*sqlparser.Flush); ok && isFlushTables(flush) {
		return errFlushInRoutine() // by EXECUTE
	}
	s.countStatement(k, commandOf(st, text), byPlanner)
	if err := s.admit(ctx, k, st); err != nil {
		return err
	}
	ctx = s.context(ctx, text) // the planner ends the one that the process list knows
	kind, prepared, preparedText, running := s.kind, s.prepared, s.preparedText, s.running
	defer func() { s.kind, s.prepared, s.preparedText, s.running = kind, prepared, preparedText, running }()
	return s.perform(ctx, k, text, st, bindings, out)
}

// within runs a statement of a function inside the statement that calls it: under its
// locks, reading what it reads, and undone with it.
func (s *Session) within(ctx *gms.Context, text string, st sqlparser.Statement, bindings map[string]sqlparser.Expr, out sink) error {
	defer s.executing(st)()
	k, err := s.classify(st)
	if err != nil {
		return err
	}
	if k.commits() || k == kindControl {
		return errCommitInRoutine
	}
	if k.locks() && !s.kind.locks() {
		return notAvailable("a routine that writes, in a statement that reads")
	}
	s.countStatement(k, commandOf(st, text), byPlanner)
	if err := s.authorize(ctx, st); err != nil {
		return err
	}
	ctx = s.context(ctx, text)
	hold, prepared, preparedText, kept, outer := s.hold, s.prepared, s.preparedText, s.kept, s.running
	s.hold, s.prepared, s.preparedText = true, nil, text
	if k == kindTemporary { // which looks at how it is written
		s.running = running{st, text, bindings}
	}
	if bindings != nil {
		s.prepared = st
	}
	mark := s.tx.Mark()
	defer func() {
		s.hold, s.prepared, s.preparedText, s.kept, s.running = hold, prepared, preparedText, kept, outer
	}()
	err = s.stream(ctx, text, st, bindings, out)
	if err != nil {
		s.tx.RollbackTo(mark)
	}
	s.tx.Release(mark)
	return err
}

// leaveCall ends the transaction that a CALL may have left behind; one that the client
// or the procedure has begun stays.
func (s *Session) leaveCall() {
	s.hold = false
	if s.tx != nil && !s.explicit() {
		s.rollback()
		s.leaveTransaction()
	}
	if s.tx == nil {
		s.BaseSession.SetTransaction(nil)
	}
}

// runCall is perform for CALL.
func (s *Session) runCall(ctx *gms.Context, mark txn.Mark, st *sqlparser.Call, bindings map[string]sqlparser.Expr, out sink) (err error) {
	s.tx.Release(mark) // the body may end this transaction and begin another
	defer s.leaveCall()
	defer recovered(&err)
	return s.callTop(ctx, st, bindings, out)
}
