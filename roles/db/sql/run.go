package sql

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"runtime/debug"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/vt/sqlparser"

	"stack/roles/db/txn"
	"stack/roles/db/wire"
)

// sink takes a statement's answer; wire.Results is one.
type sink interface {
	Columns(ctx *gms.Context, schema gms.Schema) error
	Row(row gms.Row) error
	OK(affected, insertID uint64, info string)
}

// maxTableChanges is how often a statement is tried when a table changes between its
// plan and its first row.
const maxTableChanges = 3

// Query runs the first statement of query.
func (s *Session) Query(ctx context.Context, query string, multi bool, out *wire.Results) (string, error) {
	return s.query(ctx, query, multi, out)
}

func (s *Session) query(ctx context.Context, query string, multi bool, out sink) (rest string, err error) {
	query = s.asRead(query)
	s.observe(query)
	rest, err = s.runFirst(ctx, query, multi, out)
	s.observedEnd(out, err)
	if mark := markOf(query); mark != "" {
		rest = markedReading(mark).turnBack(rest)
	}
	return rest, err
}

func (s *Session) runFirst(ctx context.Context, query string, multi bool, out sink) (string, error) {
	if done, err := s.directQuery(ctx, query, out); done {
		return "", s.count(err)
	}
	if done, rest, err := s.setStatement(ctx, query, multi, out); done {
		return rest, err
	}
	gctx := s.context(ctx, query)
	st, text, rest, err := s.parse(gctx, query, multi)
	if err != nil {
		if errors.Is(err, sqlparser.ErrEmpty) {
			return "", s.count(mysqlError(1065, "Query was empty"))
		}
		return "", s.count(refuseUnparsed(written(query), withCause(clientError(err, s.GetCurrentDatabase()), err)))
	}
	return rest, s.count(s.execute(ctx, text, st, nil, out))
}

// forShare is MySQL 8's FOR SHARE, which the parser does not know: it is made a FOR UPDATE
// OF with this table before the others.
var forShare = regexp.MustCompile(`(?i)\bfor\s+share(\s+of\b|\s+nowait\b|\s+skip\s+locked\b|\s*(?:;|\)|$))`)

const shareTable = "#share"

func updateForShare(clause string) string {
	rest := forShare.FindStringSubmatch(clause)[1]
	if strings.EqualFold(strings.TrimSpace(rest), "of") {
		return "FOR UPDATE OF `" + shareTable + "`,"
	}
	return "FOR UPDATE OF `" + shareTable + "`" + rest
}

// parse parses the first statement of a text.
func (s *Session) parse(ctx *gms.Context, query string, multi bool) (sqlparser.Statement, string, string, error) {
	query = asParserReads(query)
	if st, text, rest, err := s.ownSyntax(query, multi); st != nil || err != nil {
		return st, text, rest, err
	}
	st, text, rest, err := s.engine.gms.Parser.Parse(ctx, query, multi)
	if err == nil {
		uniqueColumns(st)
		changedColumns(st)
		if own := ownForm(st, text); own != nil {
			st = own
		}
		return st, text, rest, nil
	}
	if st, text := s.parseLog(ctx, query); st != nil {
		return st, text, "", nil
	}
	if cut, text, rest, ok := cutIndexOptions(query); ok && (multi || rest == "") {
		if st, _, _, e := s.engine.gms.Parser.Parse(ctx, cut, false); e == nil {
			return st, text, rest, nil
		}
	}
	if plain, ok := plainForms(query); ok {
		if st, text, rest, e := s.engine.gms.Parser.Parse(ctx, plain, multi); e == nil {
			if own := ownForm(st, text); own != nil {
				st = own
			}
			return st, text, rest, s.needView(query, st)
		}
	}
	if quoted, ok := s.quotedWords(ctx, query, multi, err); ok {
		return s.parse(ctx, quoted, multi)
	}
	if !forShare.MatchString(query) {
		return nil, "", "", err
	}
	other := forShare.ReplaceAllStringFunc(query, updateForShare)
	if st, text, rest, e := s.engine.gms.Parser.Parse(ctx, other, multi); e == nil {
		return st, text, rest, nil
	}
	return nil, "", "", err
}

// plainForms says a text that does not parse in forms that the parser knows; ok is false where it has no others.
func plainForms(text string) (plain string, ok bool) {
	plain = text
	for _, form := range []func(string) (string, bool){plainYears, plainDefinitions, plainRevoke, plainAlterView} {
		if said, changed := form(plain); changed {
			plain, ok = said, true
		}
	}
	return plain, ok
}

// count counts an error that the client will see.
func (s *Session) count(err error) error {
	var e *wire.Error
	if errors.As(err, &e) {
		s.engine.stats.failed(e.Code)
	} else if err != nil {
		s.engine.stats.failed(1105)
	}
	return err
}

// execute runs one statement and ends its transaction where it is its own.
func (s *Session) execute(ctx context.Context, text string, st sqlparser.Statement, bindings map[string]sqlparser.Expr, out sink) error {
	defer s.executing(st)()
	k, err := s.classify(st)
	if err != nil {
		return err
	}
	s.observedParsed(k, st, text)
	if set, ok := setsNext(st); ok {
		if err := s.setNext(set); err != nil {
			return err
		}
		out.OK(0, 0, "")
		return nil
	}
	if set, ok := st.(*sqlparser.Set); ok {
		if d, ok := diagnosticsOf(set); ok {
			f := &frame{s: s, r: &routine{}, inside: true}
			if err := f.diagnose(s.context(ctx, text), d); err != nil {
				return err
			}
			out.OK(0, 0, "")
			return nil
		}
	}
	if k == kindOther || k == kindRead {
		switch st.(type) {
		case *sqlparser.Show, *sqlparser.Explain:
			out = newDescribeSink(out)
		}
	}
	ctx, stop := limited(ctx, s.executionTime(k, st))
	defer stop()
	own, isOwn := st.(*ownStatement)
	if most := s.settingsNow().maxStatement; most > 0 && s.replay == nil && !(isOwn && own.unlimited) {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, most, errStatementTime)
		defer stop()
	}
	counted := &countingSink{sink: out}
	for try := 1; ; try++ {
		s.again = try > 1
		err = s.once(ctx, k, text, st, bindings, counted)
		// What reads the newest rows is planned anew for the table of now; a view stays old.
		retry := !s.explicit() || s.reads != txn.Consistent || k.locks()
		again := err != nil && errors.Is(gms.UnwrapError(err), txn.ErrTableChanged) && retry && !counted.begun && try < maxTableChanges
		if !again {
			return s.tell(tookTooLong(ctx, err))
		}
	}
}

// tell makes err the client's; defects are logged with where they happened.
func (s *Session) tell(err error) error {
	var p *panicError
	if errors.As(err, &p) {
		s.engine.log.Error("a statement met an internal error", "connection", s.ID(), "error", fmt.Sprint(p.value), "stack", string(p.stack))
	}
	if told := s.foreignKeyError(err); told != nil {
		return withCause(told, err)
	}
	if told := s.unknownVariable(err); told != nil {
		return withCause(told, err)
	}
	return withCause(clientError(err, s.GetCurrentDatabase()), err)
}

// countingSink notes whether anything was answered.
type countingSink struct {
	sink
	begun bool
}

func (c *countingSink) Columns(ctx *gms.Context, schema gms.Schema) error {
	c.begun = true
	return c.sink.Columns(ctx, schema)
}

// once runs a statement in the session's transaction, or in one of its own.
func (s *Session) once(ctx context.Context, k kind, text string, st sqlparser.Statement, bindings map[string]sqlparser.Expr, out sink) error {
	gctx, err := s.statementBegins(s.context(ctx, text), text)
	if err != nil {
		return err
	}
	defer s.engine.gms.ProcessList.EndQuery(gctx)
	defer s.lendDatabase(st)()

	defer s.engine.locks.gone(s)
	if err := s.admit(gctx, k, st); err != nil {
		s.endDeadlock(gctx, k, err)
		return err
	}
	switch k {
	case kindTables:
		return s.lockOrUnlockTables(gctx, st, out)
	case kindLog:
		return s.runLog(gctx, st, out)
	}
	defer s.showOwnGrants(st)()
	return s.perform(gctx, k, text, st, bindings, out)
}

// perform runs an admitted statement and ends its transaction where it is its own.
func (s *Session) perform(gctx *gms.Context, k kind, text string, st sqlparser.Statement, bindings map[string]sqlparser.Expr, out sink) error {
	wasAutocommit := s.autocommit()
	chain, release := chainOf(text, st)
	like := s.characteristics()
	mark, err := s.begin(gctx, k, text, st)
	if err != nil {
		s.abandon(gctx, k, txn.Mark{}, err)
		return err
	}
	if call, ok := st.(*sqlparser.Call); ok {
		return s.runCall(gctx, mark, call, bindings, out)
	}
	st = s.plainPrepare(gctx, st)
	plain, ignored, err := s.withoutGenerated(st)
	if err != nil {
		s.abandon(gctx, k, mark, err)
		return err
	}
	if ignored != nil && len(ignored.ignored) > 0 {
		st, bindings, out = plain, boundIn(plain, bindings), &ignoredSink{out, s, ignored}
	}
	s.prepared, s.preparedText = nil, text
	s.running, s.dropsTemporary = running{st, text, bindings}, false
	s.missing, s.divided = "", false
	if len(s.calls) > 0 && k.changesCatalog() { // text is the routine's
		s.running.text = s.sourceOf(gctx, st)
		if view, ok := s.viewAlone(gctx, st, s.running.text); ok {
			st, text = view, s.running.text
			s.running.st, s.preparedText = st, text
		}
	}
	if bindings != nil {
		s.prepared = st
	}
	own, isOwn := st.(*ownStatement)
	switch {
	case isOwn:
		err = own.execute(gctx, s, out)
	case s.alter != nil:
		err = s.alter.run(gctx, text, st, bindings, out)
		s.alter = nil
	default:
		ids := &s.ids
		err = s.stream(gctx, text, st, bindings, &identified{out, ids})
		ids.keep(s.GetLastQueryInfo())
	}
	s.prepared, s.preparedText = nil, ""
	if err != nil {
		s.abandon(gctx, k, mark, err)
		return err
	}
	s.snapshotNow(gctx, text, st)
	if err := s.finish(gctx, k, mark, wasAutocommit); err != nil || !chain {
		s.released = s.released || release && err == nil
		return err
	}
	return s.chain(gctx, like)
}

// admit refuses writes where the server or the transaction takes none, does the
// account's checks and waits for tables that another session has locked.
func (s *Session) admit(ctx *gms.Context, k kind, st sqlparser.Statement) error {
	if inner := s.unprepared(st); inner != nil {
		st = inner
	}
	if k.writes() && s.replay == nil {
		everybody, others := s.engine.readOnly()
		if everybody || others && !s.administrator(ctx) {
			return errReadOnly
		}
		tx, ok := s.GetTransaction().(*transaction)
		readOnly := ok && tx.readOnly
		if s.tx == nil && s.next.readOnly != nil {
			readOnly = *s.next.readOnly
		}
		if readOnly && !k.commits() && !s.writesTemporary(k, st) {
			return gms.ErrReadOnlyTransaction.New()
		}
	}
	if s.replay == nil {
		if err := s.authorize(ctx, st); err != nil {
			return err
		}
	}
	switch k {
	case kindAccount:
		if err := s.prepareAccounts(st); err != nil {
			return err
		}
	case kindOther:
		if set, ok := st.(*sqlparser.Set); ok {
			if err := s.admitReadOnly(set); err != nil {
				return err
			}
		}
		if kill, ok := st.(*sqlparser.Kill); ok {
			if err := s.admitKill(ctx, kill); err != nil {
				return err
			}
		}
	}
	return s.engine.locks.admit(ctx, s, k, st)
}

// begin readies the transaction for a statement and returns the mark to go back to.
func (s *Session) begin(ctx *gms.Context, k kind, text string, st sqlparser.Statement) (txn.Mark, error) {
	s.ids = s.idsOf(st)
	if k.commits() && s.tx != nil {
		if err := s.CommitTransaction(ctx, nil); err != nil {
			return txn.Mark{}, err
		}
		s.leaveTransaction()
	}
	if s.tx == nil {
		s.BaseSession.SetTransaction(nil)
	}
	if k == kindControl {
		s.runs = false
		s.kind, s.reads, s.hold, s.start = k, txn.Consistent, false, txn.Mark{}
		if b, ok := st.(*sqlparser.Begin); ok && b.TransactionCharacteristic == "" && s.next.readOnly == nil && s.characteristic() == gms.ReadOnly {
			readOnly := true // the planner would begin one that writes
			s.next.readOnly = &readOnly
		}
		switch st.(type) {
		case *sqlparser.Begin, *sqlparser.Commit, *sqlparser.Rollback:
			if s.tx == nil {
				// The planner would begin a transaction before it begins or ends one.
				s.BaseSession.SetTransaction(&transaction{})
			}
		}
		return txn.Mark{}, nil
	}
	s.takesNext = s.next != (nextTransaction{}) && s.touchesTables(k, st)
	err := s.openStatement(ctx, k, readsAs(k, st))
	s.takesNext = false
	if err != nil {
		return txn.Mark{}, err
	}
	s.inserts = s.insertedBy(st)
	if s.again && (k == kindWrite || k == kindLockingRead || s.reads != txn.Consistent) && !k.changesCatalog() {
		if err := s.keepDefinitions(ctx, st); err != nil {
			return txn.Mark{}, err
		}
	}
	if k.changesCatalog() {
		if k.commits() {
			s.tx.Spare()
		}
		var err error
		if s.alter, err = s.beginAlteration(ctx, text, st); err == nil && s.alter == nil {
			// Before planning: what is planned is what is there until the end.
			err = s.lockDefinitions(ctx, st)
		}
		s.engine.locks.gone(s)
		if err != nil {
			return txn.Mark{}, err
		}
	}
	mark := s.tx.Mark()
	s.start = s.startOf(k, st, mark)
	return mark, nil
}

// beginDirect is begin for a statement that writes one table, which has no triggers, and
// is not planned.
func (s *Session) beginDirect(ctx *gms.Context) (txn.Mark, error) {
	if s.tx == nil {
		s.BaseSession.SetTransaction(nil)
	}
	if err := s.openStatement(ctx, kindWrite, kindWrite); err != nil {
		return txn.Mark{}, err
	}
	s.inserts, s.ids, s.start = insertedRows{}, insertIDs{}, s.tx.Mark()
	return s.start, nil
}

// readsAs is the kind that a statement reads tables as: what SET assigns may be of them.
func readsAs(k kind, st sqlparser.Statement) kind {
	if _, set := st.(*sqlparser.Set); set {
		return kindRead
	}
	return k
}

// openStatement sees to it that there is a transaction, and sets how the statement reads: as one of kind as.
func (s *Session) openStatement(ctx *gms.Context, k, as kind) error {
	if s.tx == nil {
		tx, err := s.StartTransaction(ctx, s.characteristic())
		if err != nil {
			return err
		}
		s.BaseSession.SetTransaction(tx)
	}
	s.kind, s.runs, s.kept, s.measure = k, false, 0, measureNothing
	// The planner takes a SELECT from a view for DDL, and CREATE TEMPORARY TABLE too.
	s.hold = s.explicit() && !k.commits()
	s.reads = s.readsOf(as)
	s.tx.NewStatement()
	if k.locks() || s.reads != txn.Consistent {
		s.tx.UseNewest()
	}
	return nil
}

func (s *Session) characteristic() gms.TransactionCharacteristic {
	if s.settingsNow().readOnly {
		return gms.ReadOnly
	}
	return gms.ReadWrite
}

// panicError is a panic of planner or executor.
type panicError struct {
	value any
	stack []byte
}

func (p *panicError) Error() string { return fmt.Sprintf("internal error: %v", p.value) }

// recovered makes an error of a panic.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = &panicError{p, debug.Stack()}
	}
}

// stream plans and runs the statement and hands its answer to out.
func (s *Session) stream(ctx *gms.Context, text string, st sqlparser.Statement, bindings map[string]sqlparser.Expr, out sink) (err error) {
	defer recovered(&err)
	s.runs, s.narrow = false, nil
	defer s.keepBound(st, bindings)()
	schema, rows, _, err := s.engine.gms.QueryWithBindings(ctx, text, st, bindings, &gms.QueryFlags{})
	if err != nil && namedAggregates(st, err) {
		schema, rows, _, err = s.engine.gms.QueryWithBindings(ctx, text, st, bindings, &gms.QueryFlags{})
	}
	if err != nil {
		return err
	}
	return s.drain(ctx, s.narrowed(schema), rows, out)
}

// drain runs a plan to its end and hands its answer to out.
func (s *Session) drain(ctx *gms.Context, schema gms.Schema, rows gms.RowIter, out sink) error {
	closed := false
	defer func() {
		if !closed {
			// The planner's iterators commit when closed: a failed statement must not.
			s.hold = true
			_ = rows.Close(ctx)
			s.hold = false
		}
	}()
	ok, err := pump(ctx, schema, rows, out)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.refuseDivision(); err != nil {
		return err
	}
	closed = true
	if err := rows.Close(ctx); err != nil {
		return err
	}
	if ok != nil {
		info := ""
		if ok.Info != nil {
			info = ok.Info.String()
		}
		out.OK(ok.RowsAffected, ok.InsertID, info)
	}
	return nil
}

// pump moves rows from the executor to the client as they come. It returns what a
// statement without a result set answers.
func pump(ctx *gms.Context, schema gms.Schema, rows gms.RowIter, out sink) (*types.OkResult, error) {
	plain := len(schema) == 0 || types.IsOkResultSchema(schema)
	if !plain {
		if err := out.Columns(ctx, schema); err != nil {
			return nil, err
		}
	}
	ok := &types.OkResult{}
	for {
		row, err := rows.Next(ctx)
		if errors.Is(err, io.EOF) {
			if plain {
				return ok, nil
			}
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if types.IsOkResult(row) {
			*ok = row[0].(types.OkResult)
			continue
		}
		if plain {
			continue
		}
		if err := out.Row(row); err != nil {
			return nil, err
		}
	}
}

// finish ends a statement that went well: the transaction too where it is its own.
func (s *Session) finish(ctx *gms.Context, k kind, mark txn.Mark, wasAutocommit bool) error {
	s.hold = false
	if k == kindAccount {
		// What was authorised while the statement ran was so by the old grants.
		defer s.engine.accounts.version.Add(1)
	}
	if s.tx == nil {
		return nil
	}
	s.tx.Release(mark)
	// SET autocommit = 1 ends what was open.
	switched := !wasAutocommit && s.autocommit() && !s.GetIgnoreAutoCommit()
	if s.explicit() && !k.commits() && !switched {
		return nil
	}
	err := s.CommitTransaction(ctx, nil)
	s.leaveTransactionIf(k)
	if err != nil && k == kindAccount {
		s.engine.accounts.reload(s.engine.db.Catalog())
	}
	return err
}

func (s *Session) leaveTransactionIf(kind) { s.BaseSession.SetTransaction(nil) }

// abandon ends a statement that failed: what it wrote is undone. The victim of a deadlock
// loses its whole transaction.
func (s *Session) abandon(ctx *gms.Context, k kind, mark txn.Mark, err error) {
	s.hold = false
	if s.tx == nil {
		s.BaseSession.SetTransaction(nil)
	} else if s.explicit() && !k.commits() && !errors.Is(gms.UnwrapError(err), txn.ErrDeadlock) {
		s.tx.RollbackTo(mark)
		s.tx.Release(mark)
	} else {
		s.rollback()
		s.leaveTransaction()
	}
	if k == kindAccount {
		s.engine.accounts.reload(s.engine.db.Catalog())
	}
}

// endDeadlock ends the transaction that was given up before the statement had begun.
func (s *Session) endDeadlock(ctx *gms.Context, k kind, err error) {
	if errors.Is(err, txn.ErrDeadlock) {
		s.abandon(ctx, k, txn.Mark{}, err)
	}
}

// runner runs the statements inside others, such as a trigger's body.
type runner struct{ engine *Engine }

// QueryWithBindings runs st within the running statement: as a part of it, reading as it
// reads.
func (r *runner) QueryWithBindings(ctx *gms.Context, query string, st sqlparser.Statement, bindings map[string]sqlparser.Expr, flags *gms.QueryFlags) (gms.Schema, gms.RowIter, *gms.QueryFlags, error) {
	s, err := sessionOf(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	if st == nil {
		if st, _, _, err = r.engine.gms.Parser.Parse(ctx, query, false); err != nil {
			return nil, nil, nil, err
		}
	}
	k, err := s.classify(st)
	if err != nil {
		return nil, nil, nil, err
	}
	if k.locks() && !s.kind.locks() {
		return nil, nil, nil, notAvailable("a routine that writes, in a statement that reads")
	}
	if k.commits() || k == kindControl {
		return nil, nil, nil, mysqlError(1422, "Explicit or implicit commit is not allowed in stored function or trigger.")
	}
	s.runs = false
	schema, rows, used, err := r.engine.gms.QueryWithBindings(ctx, query, st, bindings, flags)
	if err != nil && namedAggregates(st, err) {
		return r.engine.gms.QueryWithBindings(ctx, query, st, bindings, flags)
	}
	return schema, rows, used, err
}
