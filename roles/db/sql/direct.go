package sql

import (
	"context"
	"errors"
	"runtime/debug"
	"strconv"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/planbuilder"
	"github.com/dolthub/go-mysql-server/sql/transform"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/vt/sqlparser"

	"stack/roles/db/direct"
	"stack/roles/db/fit"
	"stack/roles/db/store"
	"stack/roles/db/txn"
	"stack/roles/db/wire"
)

// clientFoundRows is CLIENT_FOUND_ROWS of the protocol.
const clientFoundRows = 2

// keptValues is how many values the memory for a statement's literals holds between
// statements.
const keptValues = 1024

// directStatement is what the session keeps for statements without the planner.
type directStatement struct {
	text direct.Text
	meta *gms.Context  // describes columns and converts values
	note *[]assignment // while a SET is watched
}

// source is a statement as the planner would get it, should it come to that.
type source struct {
	query  string
	parsed sqlparser.Statement // nil: to be parsed
	// Of a prepared statement.
	params *statement
	values []wire.Param
}

func (d *directStatement) context(s *Session) *gms.Context {
	if d.meta == nil {
		d.meta = s.context(context.Background(), "")
	}
	return d.meta
}

// directQuery answers a query without the planner if it is one of those that can be;
// false: nothing has happened.
func (s *Session) directQuery(ctx context.Context, query string, out sink) (done bool, err error) {
	if reason := s.directAllowed(); reason != direct.None {
		return s.left(reason)
	}
	if !s.tablesLocked() {
		if done, err := s.directControl(ctx, query, out); done {
			return true, err
		}
		if done, err := s.directSet(ctx, query, out); done {
			return true, err
		}
	}
	t := &s.direct.text
	// Strings point into the text: an idle session must not hold on to its last one.
	defer t.Forget(keptValues)
	if !t.Scan(query) || t.Params() > 0 {
		return s.left(direct.Words)
	}
	return s.directRun(ctx, t, source{query: query}, out)
}

// directAllowed says why the session's statements all go to the planner.
func (s *Session) directAllowed() direct.Reason {
	switch n := s.settingsNow(); {
	case !n.direct:
		return direct.Off
	case n.unusual, len(s.temporary) > 0, s.tx == nil && (!n.autocommit || s.next != (nextTransaction{})), n.maxStatement > 0, s.kind == kindTemporary:
		return direct.Session
	}
	return direct.None
}

// tablesLocked says whether LOCK TABLES, of this session or of others, has a say in what
// runs: then only writes do without the planner, which a dump has between LOCK TABLES
// and UNLOCK TABLES.
func (s *Session) tablesLocked() bool {
	return len(s.tables) > 0 || s.engine.locks.held.Load() > 0
}

// left counts a statement that is left to the planner.
func (s *Session) left(reason direct.Reason) (bool, error) {
	s.engine.stats.direct[reason].Add(1)
	return false, nil
}

// directRun runs a statement that has been taken apart.
func (s *Session) directRun(ctx context.Context, t *direct.Text, from source, out sink) (done bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			done, err = true, s.tell(&panicError{p, debug.Stack()})
		}
	}()
	entry := s.engine.plans.Get(t.Template, s.planKey())
	catalog, accounts := s.directCatalog(), s.engine.accounts.version.Load()
	if entry == nil || entry.Catalog != catalog.Version || entry.Accounts != accounts ||
		entry.Reason == direct.Coerced && entry.Plan != nil && entry.Plan.Binds(t) {
		entry = s.directEntry(ctx, t, from, catalog, accounts)
		entry.Digest = s.engine.digests.of(s.GetCurrentDatabase(), string(t.Template))
		s.engine.plans.Put(t.Template, s.planKey(), entry)
	}
	s.seen.digest, _ = entry.Digest.(*digest)
	if entry.Reason != direct.None {
		return s.left(entry.Reason)
	}
	if s.tablesLocked() && !entry.Plan.Writes() {
		return s.left(direct.Session)
	}
	if entry.Plan.Writes() {
		return s.directWrite(ctx, entry, t, from.query, out)
	}
	if what := entry.Plan.System(); what != nil {
		return s.directSystem(what, entry.Plan.Schema, out)
	}
	return s.directRead(ctx, entry, t, from.query, out)
}

// directCatalog is what the statement is planned with.
func (s *Session) directCatalog() *store.Catalog {
	if s.tx != nil {
		s.tx.NewStatement()
	}
	return s.catalog()
}

// directEntry finds out whether a statement can do without the planner.
func (s *Session) directEntry(ctx context.Context, t *direct.Text, from source, catalog *store.Catalog, accounts uint64) *direct.Entry {
	entry := &direct.Entry{Catalog: catalog.Version, Accounts: accounts}
	gctx := s.context(ctx, from.query)
	st, _, _, err := s.engine.gms.Parser.Parse(gctx, string(t.Template), false)
	if err != nil {
		entry.Reason = direct.Rejected
		return entry
	}
	entry.Plan, entry.Reason = direct.Compile(st, func(database, name string, writes bool) (*store.Table, direct.Reason) {
		return s.directTable(catalog, database, name, writes)
	})
	if entry.Reason != direct.None {
		entry.Plan = nil
		return entry
	}
	if !entry.Plan.Binds(t) {
		entry.Reason = direct.Coerced // until it comes with other values
		return entry
	}
	finished := false
	if entry.Reason, finished = s.directPlan(gctx, entry, t, from); finished && entry.Reason != direct.None {
		entry.Plan = nil
	}
	return entry
}

// directTable finds a stored table; for writes only one whose rows concern nobody else.
func (s *Session) directTable(catalog *store.Catalog, database, name string, writes bool) (*store.Table, direct.Reason) {
	if database == "" {
		database = s.GetCurrentDatabase()
	}
	t := catalog.Table(database, name)
	if t == nil || database == temporaryDatabase {
		return nil, direct.Table
	}
	if !writes {
		return t, direct.None
	}
	if len(catalog.Objects(objectTrigger, database)) > 0 || len(t.Desc.ForeignKeys) > 0 || len(t.Desc.Checks) > 0 ||
		len(s.engine.references.of(catalog, database, name)) > 0 {
		return nil, direct.Guarded
	}
	for i := range t.Desc.Columns {
		if t.Desc.Columns[i].Generated != nil {
			return nil, direct.Guarded
		}
	}
	return t, direct.None
}

// directPlan asks the planner what it makes of the statement: whether the account may,
// how the result looks, and through which index the rows come. finished is false where
// it only knows that there are no rows with these values.
func (s *Session) directPlan(gctx *gms.Context, entry *direct.Entry, t *direct.Text, from source) (reason direct.Reason, finished bool) {
	node, err := s.planOnly(gctx, from)
	if err != nil {
		return direct.Rejected, true
	}
	planned := direct.Planned{Schema: s.narrowed(node.Schema(gctx)), KeepsZero: gms.LoadSqlMode(gctx).ModeEnabled(gms.NoAutoValueOnZero)}
	accesses, empty := 0, false
	var problem *fit.Problem
	var look func(n gms.Node)
	look = func(n gms.Node) {
		transform.InspectWithOpaque(gctx, n, func(ctx *gms.Context, n gms.Node) bool {
			switch n := n.(type) {
			case *plan.IndexedTableAccess:
				accesses++
				x, ok := n.Index().(*Index)
				if !ok || !entry.Plan.Reads(x.table.stored) {
					reason = direct.Changed
					return false
				}
				planned.Index = x.index
			case *plan.EmptyTable:
				empty = true
			case *plan.Sort, *plan.TopN:
				planned.Sorts = true
			case *plan.InsertInto:
				planned.Defaults = literalDefaults(ctx, n)
				for at, v := range planned.Defaults {
					if n, ok := columnType(entry.Plan.Table, at).(fit.Narrow); ok {
						if planned.Defaults[at], problem = n.Restrict(v, false); problem != nil {
							delete(planned.Defaults, at)
						}
						continue
					}
					if types.IsTimestampType(n.Destination.Schema(ctx)[at].Type) {
						planned.Defaults[at] = fit.Stored(v, s.zone())
					}
				}
			}
			return true
		})
	}
	look(node)
	switch {
	case empty && !entry.Plan.Empty(t):
		return direct.Coerced, false
	case accesses > 1 && !entry.Plan.Joins():
		return direct.Index, true
	case s.catalog().Version != entry.Catalog:
		return direct.Changed, true
	case reason != direct.None:
		return reason, true
	}
	if entry.Plan.Writes() {
		planned.Schema = nil
	}
	return entry.Plan.Finish(planned), true
}

// planOnly binds and analyses a statement in a transaction of its own where the session
// has none, and runs nothing.
func (s *Session) planOnly(ctx *gms.Context, from source) (node gms.Node, err error) {
	s.asks = true // the plan is kept for statements with other values
	defer func() { s.asks = false }()
	s.kind, s.runs = kindRead, false // FULLTEXT indexes are none for the planner: see hidesFullText
	if s.tx == nil {
		tx, err := s.StartTransaction(ctx, gms.ReadWrite)
		if err != nil {
			return nil, err
		}
		s.BaseSession.SetTransaction(tx)
		defer func() {
			s.rollback()
			s.BaseSession.SetTransaction(nil)
		}()
	}
	defer func() {
		if p := recover(); p != nil {
			err = &panicError{value: p}
		}
	}()
	st, text := from.parsed, from.query
	if st == nil {
		if st, text, _, err = s.parse(ctx, from.query, false); err != nil {
			return nil, err
		}
	}
	if _, err := s.classify(st); err != nil {
		return nil, err
	}
	if err := s.authorize(ctx, st); err != nil {
		return nil, err
	}
	binder := planbuilder.New(ctx, s.engine.gms.Analyzer.Catalog, nil)
	if from.params != nil {
		bindings, err := from.params.bindings(from.values)
		if err != nil {
			return nil, err
		}
		binder.SetBindings(bindings)
	}
	warnings := s.WarningCount()
	bound, flags, err := binder.BindOnly(st, text, &gms.QueryFlags{})
	if err != nil {
		return nil, err
	}
	node, err = s.engine.gms.Analyzer.Analyze(ctx, bound, nil, flags)
	if err == nil && s.WarningCount() != warnings {
		return nil, errPlannerWarns
	}
	return node, err
}

var errPlannerWarns = errors.New("the planner has a warning for the statement")

// literalDefaults are the values of the columns that an INSERT leaves out, by position,
// of defaults that are literals.
func literalDefaults(ctx *gms.Context, n *plan.InsertInto) map[int]any {
	values := map[int]any{}
	schema := n.Destination.Schema(ctx)
	source := n.Source
	for source != nil {
		project, ok := source.(*plan.Project)
		if !ok || len(project.Projections) != len(schema) {
			children := source.Children()
			if len(children) != 1 {
				return nil
			}
			source = children[0]
			continue
		}
		for i, e := range project.Projections {
			if _, given := e.(*expression.GetField); given {
				continue
			}
			d, ok := e.(*gms.ColumnDefaultValue)
			if !ok || !d.IsLiteral() {
				continue
			}
			v, err := d.Eval(ctx, nil)
			if err != nil {
				continue
			}
			if v != nil {
				var inRange gms.ConvertInRange
				if v, inRange, err = schema[i].Type.Convert(ctx, v); err != nil || inRange != gms.InRange {
					continue
				}
			}
			values[i] = v
		}
		return values
	}
	return nil
}

// directRead runs a SELECT.
func (s *Session) directRead(ctx context.Context, entry *direct.Entry, t *direct.Text, query string, out sink) (bool, error) {
	tx := s.tx
	if tx == nil {
		tx = s.engine.db.Begin(txn.RepeatableRead)
		tx.SetClient(&s.doing)
		defer tx.Rollback()
		if tx.Catalog().Version != entry.Catalog {
			return s.left(direct.Changed)
		}
	} else if s.isolation() == txn.Serializable {
		return s.left(direct.Session)
	}
	if !entry.Plan.Point() {
		limit, stop := limited(ctx, s.settingsNow().maxExecution)
		defer stop()
		ctx = limit
		gctx, err := s.statementBegins(s.context(ctx, query), query)
		if err != nil {
			return true, err
		}
		defer s.engine.gms.ProcessList.EndQuery(gctx)
		ctx = gctx
	}
	if zone := s.zone(); zone != nil {
		out = &zonedSink{sink: out, zone: zone}
	}
	answered := &countingSink{sink: out}
	rows, reason, err := entry.Plan.Select(ctx, s.metaContext(), tx, t, answered, s.engine.queryMemory.Load())
	if err = withDistinctMemory(err); err == nil && reason == direct.None {
		err = ctx.Err()
	}
	switch {
	case reason != direct.None:
		return s.left(reason)
	case errors.Is(err, txn.ErrTableChanged) && !answered.begun:
		return s.left(direct.Changed)
	}
	s.ran(kindRead, commandSelect)
	if err != nil {
		return true, s.tell(tookTooLong(ctx, err))
	}
	info := s.GetLastQueryInfo()
	info.RowCount.Store(-1)
	info.FoundRows.Store(rows)
	return true, nil
}

// ran counts a statement that is run here, as the planner counts its own, and forgets the
// warnings of the one before.
func (s *Session) ran(k kind, c command) {
	s.ClearWarnings()
	s.engine.stats.direct[direct.None].Add(1)
	s.observedDirect(k, c)
}

// directWrite runs an INSERT, UPDATE or DELETE, in the session's transaction or in one
// of its own.
func (s *Session) directWrite(ctx context.Context, entry *direct.Entry, t *direct.Text, query string, out sink) (bool, error) {
	everybody, others := s.engine.readOnly()
	if tx, ok := s.GetTransaction().(*transaction); everybody || others || ok && tx.readOnly {
		return s.left(direct.Session)
	}
	gctx, err := s.statementBegins(s.context(ctx, query), query)
	if err != nil {
		return true, err
	}
	defer s.engine.gms.ProcessList.EndQuery(gctx)
	if err := s.engine.locks.admit(gctx, s, kindWrite, entry.Plan.Statement); err != nil {
		s.endDeadlock(gctx, kindWrite, err)
		s.ran(kindWrite, commandOf(entry.Plan.Statement, query))
		return true, s.tell(err)
	}
	wasAutocommit := s.autocommit()
	mark, err := s.beginDirect(gctx)
	if err != nil {
		s.ran(kindWrite, commandOf(entry.Plan.Statement, query))
		s.abandon(gctx, kindWrite, txn.Mark{}, err)
		return true, s.tell(err)
	}
	if tx, ok := s.GetTransaction().(*transaction); ok && tx.readOnly || s.tx.Catalog().Version != entry.Catalog {
		s.abandon(gctx, kindWrite, mark, nil)
		return s.left(direct.Changed)
	}
	result, reason, err := s.directChange(gctx, entry.Plan, t)
	if errors.Is(err, txn.ErrTableChanged) {
		reason = direct.Changed // between the plan and the lock of the table's definition
	}
	if reason != direct.None {
		s.abandon(gctx, kindWrite, mark, nil)
		return s.left(reason)
	}
	s.ran(kindWrite, commandOf(entry.Plan.Statement, query))
	if result.Generated {
		s.GetLastQueryInfo().LastInsertId.Store(result.GeneratedID)
	}
	if err == nil {
		err = gctx.Err()
	}
	if err != nil {
		s.abandon(gctx, kindWrite, mark, err)
		return true, s.tell(err)
	}
	if err := s.finish(gctx, kindWrite, mark, wasAutocommit); err != nil {
		return true, s.tell(err)
	}
	s.directAnswer(entry.Plan, result, out)
	return true, nil
}

func (s *Session) directChange(ctx *gms.Context, p *direct.Plan, t *direct.Text) (result direct.Result, reason direct.Reason, err error) {
	defer func() {
		if p := recover(); p != nil {
			// Like any other error it ends the statement, and its transaction with it.
			reason, err = direct.None, &panicError{p, debug.Stack()}
		}
	}()
	read := txn.Scan{Mode: txn.LockExclusive, Before: s.start}
	result, reason, err = p.Change(ctx, ctx, s.tx, read, t, s.zone(), s.client.Capabilities&clientFoundRows != 0)
	var dup *direct.DuplicateError
	if errors.As(err, &dup) {
		zone := s.zoneFor(dup.Table)
		err = duplicateKey(dup.DuplicateKeyError, dup.Table.Desc.Name, shownRow(dup.Table, dup.Row, zone), zone)
	}
	return result, reason, err
}

// directAnswer answers a write as the planner does, and remembers what functions such as
// LAST_INSERT_ID() are asked for next.
func (s *Session) directAnswer(p *direct.Plan, r direct.Result, out sink) {
	info := s.GetLastQueryInfo()
	info.RowCount.Store(r.Affected)
	switch p.Statement.(type) {
	case *sqlparser.Insert:
		id := r.LastID
		if r.Generated {
			id = r.GeneratedID
		}
		out.OK(uint64(r.Affected), uint64(id), "")
	case *sqlparser.Update:
		info.FoundRows.Store(r.Matched)
		// As plan.UpdateInfo says it, which takes longer.
		out.OK(uint64(r.Affected), 0, "Rows matched: "+strconv.FormatInt(r.Matched, 10)+"  Changed: "+strconv.FormatInt(r.Changed, 10)+"  Warnings: 0")
	default:
		out.OK(uint64(r.Affected), 0, "")
	}
}
