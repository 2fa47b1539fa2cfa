package sql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/vitess/go/vt/sqlparser"

	"stack/roles/db/store"
	"stack/roles/db/txn"
)

// alteration is a running ALTER TABLE or CREATE or DROP INDEX of a stored table. It runs
// through the planner twice: first as a draft, without locks, which tells the definition
// that comes out; then, with the rows and indexes that this definition lacks written beside
// the table and the table locked, for good. The planner sees no row in either.
type alteration struct {
	s       *Session
	table   *store.Table   // as it is
	locks   []*store.Table // those whose definitions change: it first
	to      *store.Table   // as it becomes
	options alterOptions
	convert *conversion      // nil: the rows are right as they are
	parents []*txn.Reference // foreign keys whose rows are looked at
	plain   bool             // one of these cannot be followed: the planner looks at the rows
	build   *txn.Build       // nil: nothing is to be written
	counter *uint64          // what AUTO_INCREMENT = n sets
	start   txn.Mark         // where the statement began
}

const (
	// switchWait is how long the writers of a table are made to wait for those among them
	// that have not committed; then all go on for a while.
	switchWait  = 500 * time.Millisecond
	switchPause = time.Second
	// caughtUp is a number of changed rows, and a time in which they were followed, that
	// leave little for when the writers wait.
	caughtUp     = 200
	caughtUpTime = 50 * time.Millisecond
	// Writers who leave each round at least half of the rows of the one before rest after each
	// commit, twice as long each time: else they might never be caught up with.
	shortestRest = time.Millisecond
	longestRest  = 200 * time.Millisecond
)

// beginAlteration prepares a statement that can leave the writers of its table alone; nil
// for every other. Nobody else changes the table's definition from now on.
func (s *Session) beginAlteration(ctx *gms.Context, text string, st sqlparser.Statement) (*alteration, error) {
	if ex, ok := st.(*sqlparser.Execute); ok {
		st, text = s.unprepared(st), s.preparedTexts[ex.Name].text
	}
	if !alters(st) {
		return nil, nil
	}
	names := s.changedTables(st)
	one := func(cat *store.Catalog) bool { return len(tablesNamed(cat, names)) == 1 }
	if !one(s.engine.db.Catalog()) {
		return nil, nil
	}
	a := &alteration{s: s, options: alterOptionsOf(text)}
	var err error
	if a.locks, err = s.tx.LockChanges(ctx, s.definitionsOf(st)); err != nil {
		return nil, err
	}
	if !one(s.catalog()) {
		return nil, nil
	}
	a.table = a.locks[0]
	return a, s.refuseUnsafeDefaults(st, a.table)
}

// alters says whether a statement changes the definition of one table.
func alters(st sqlparser.Statement) bool {
	switch st := st.(type) {
	case *sqlparser.AlterTable:
		return true
	case *sqlparser.DDL:
		return st.Action == sqlparser.AlterStr && st.ViewSpec == nil && st.TriggerSpec == nil && st.ProcedureSpec == nil && st.EventSpec == nil
	}
	return false
}

// addsForeignKey says whether a statement adds one.
func addsForeignKey(st sqlparser.Statement) bool {
	switch st := st.(type) {
	case *sqlparser.AlterTable:
		return slices.ContainsFunc(st.Statements, func(d *sqlparser.DDL) bool { return addsForeignKey(d) })
	case *sqlparser.DDL:
		return st.TableSpec != nil && slices.ContainsFunc(st.TableSpec.Constraints, func(c *sqlparser.ConstraintDefinition) bool {
			_, ok := c.Details.(*sqlparser.ForeignKeyDefinition)
			return ok && st.ConstraintAction == sqlparser.AddStr
		})
	}
	return false
}

// run runs the statement.
func (a *alteration) run(ctx *gms.Context, text string, st sqlparser.Statement, bindings map[string]sqlparser.Expr, out sink) (err error) {
	s := a.s
	defer s.state.Store(nil)
	defer func() {
		if a.build == nil {
			return
		}
		if closed := a.build.Close(); err == nil {
			err = closed
		}
	}()
	tx := s.tx
	a.start = tx.Mark()
	defer func() { tx.Release(a.start) }()
	if err := a.draft(ctx, text, st, bindings); err != nil {
		return err
	}
	waits := ""
	switch {
	case a.plain:
		waits = "rows are compared with those of another table, which has them in another form"
	case a.needsRows() && !txn.CanBuildOnline(a.table, a.to):
		waits = a.cannotFollow()
	}
	if err := a.options.allow(a.needsRows() || addsForeignKey(st), waits); err != nil {
		return err
	}
	if a.plain {
		s.alter = nil
		if err := s.lockDefinitions(ctx, st); err != nil {
			return err
		}
		return s.stream(ctx, text, st, bindings, out)
	}
	err = a.prepare(ctx, st)
	if errors.Is(err, errCounted) {
		err = a.countInOrder(ctx, text, st, bindings)
	}
	if err != nil {
		return a.named(ctx, err)
	}
	s.ClearWarnings()
	if err := a.stream(ctx, text, st, bindings, out); err != nil {
		return err
	}
	if err := a.adopt(ctx); err != nil {
		return err
	}
	if a.convert != nil && a.convert.counted && !a.table.HasPrimaryKey() && s.replay == nil && s.logsChanges() {
		// They are counted in the order of their insertion. Where clients inserted beside each other, that of the log is another one.
		ctx.Warn(1592, "Unsafe statement written to the binary log: table '%s' has no primary key, so its rows may get other numbers on a replica", a.table.Desc.Name)
	}
	return nil
}

// stream runs the statement through the planner, which would commit at its end, and end the
// query that the process list knows.
func (a *alteration) stream(ctx *gms.Context, text string, st sqlparser.Statement, bindings map[string]sqlparser.Expr, out sink) error {
	a.s.hold = true
	defer func() { a.s.hold = false }()
	own := a.s.context(ctx, text)
	own.SetQueryTime(ctx.QueryTime()) // NOW() is the same both times
	return a.s.stream(own, text, st, bindings, out)
}

// draft finds out what becomes of the table.
func (a *alteration) draft(ctx *gms.Context, text string, st sqlparser.Statement, bindings map[string]sqlparser.Expr) error {
	tx := a.s.tx
	m := tx.Mark()
	tx.Draft(true)
	defer func() {
		tx.RollbackTo(m)
		tx.Release(m)
		tx.Draft(false)
	}()
	if err := a.stream(ctx, text, st, bindings, discard{}); err != nil {
		return err
	}
	var err error
	if a.to, err = a.defined(ctx); err != nil {
		return err
	}
	if err := refuseLostColumns(a.table.Desc, a.to.Desc); err != nil {
		return err
	}
	if err := a.refuseLostKeys(ctx); err != nil {
		return err
	}
	a.refer()
	if err := refuseZoned(a.table, a.to); err != nil {
		return err
	}
	a.convert, err = newConversion(ctx, a.s, a.table, a.to, true)
	return err
}

// refer lists the foreign keys that are new, but those that foreign_key_checks = 0 leaves for later.
func (a *alteration) refer() {
	for _, fk := range a.to.Desc.ForeignKeys {
		had := func(f store.ForeignKeyDesc) bool { return f.Resolved && a.sameReference(&f, &fk) }
		if !fk.Resolved || slices.ContainsFunc(a.table.Desc.ForeignKeys, had) {
			continue
		}
		r := &txn.Reference{Name: fk.Name, Columns: fk.Columns, Named: fk.ParentColumns}
		cat := a.s.engine.db.Catalog()
		if d := findDatabase(cat, fk.ParentDatabase); d != nil {
			r.Parent = findTable(cat, d.Name, fk.ParentTable)
		}
		if r.Parent == nil || !txn.CanFollow(a.table, a.to, r) {
			a.plain = true
			return
		}
		a.parents = append(a.parents, r)
	}
}

// sameReference says whether a foreign key of the table and one of what it becomes have the same
// columns, whatever their names are now.
func (a *alteration) sameReference(was, is *store.ForeignKeyDesc) bool {
	refers := func(t *store.Table, f *store.ForeignKeyDesc) bool {
		return strings.EqualFold(f.ParentDatabase, t.Desc.Database) && strings.EqualFold(f.ParentTable, t.Desc.Name)
	}
	same := func(was, is []string) bool {
		return slices.EqualFunc(was, is, func(was, is string) bool {
			at, now := columnNamed(a.table.Desc, was), columnNamed(a.to.Desc, is)
			return at >= 0 && now >= 0 && a.table.Desc.Columns[at].ID == a.to.Desc.Columns[now].ID
		})
	}
	if !same(was.Columns, is.Columns) {
		return false
	}
	if refers(a.table, was) && refers(a.to, is) {
		return same(was.ParentColumns, is.ParentColumns)
	}
	return strings.EqualFold(was.ParentDatabase, is.ParentDatabase) && strings.EqualFold(was.ParentTable, is.ParentTable) && slices.EqualFunc(was.ParentColumns, is.ParentColumns, strings.EqualFold)
}

// defined is what the planner has made of the table. Where rows are written anew, nothing of
// how they were stored before, or between two clauses, is kept.
func (a *alteration) defined(ctx *gms.Context) (*store.Table, error) {
	to := a.s.tx.Catalog().TableByID(a.table.Desc.ID)
	switch {
	case to == nil:
		return nil, fmt.Errorf("%s.%s: %w", a.table.Desc.Database, a.table.Desc.Name, txn.ErrTableChanged)
	case a.options.copies() || to.Desc.Primary.ID != a.table.Desc.Primary.ID:
		return a.s.tx.Define(ctx, to, to.Desc, true)
	}
	return to, nil
}

// needsRows says whether the rows must at least be read.
func (a *alteration) needsRows() bool {
	return a.convert != nil || len(a.parents) > 0 || txn.NeedsBuild(a.table, a.to)
}

// online says whether writers can go on meanwhile.
func (a *alteration) online() bool {
	return !a.options.stopsWriters() && txn.CanBuildOnline(a.table, a.to)
}

// prepare writes what the definition lacks and locks the table.
func (a *alteration) prepare(ctx *gms.Context, st sqlparser.Statement) error {
	s := a.s
	if !a.needsRows() {
		return s.lockDefinitions(ctx, st)
	}
	if a.online() {
		return a.follow(ctx, st)
	}
	if err := s.lockDefinitions(ctx, st); err != nil {
		return err
	}
	return a.fill(ctx, false)
}

// cannotFollow is why writers must wait where the new rows do not follow from the old ones alone.
func (a *alteration) cannotFollow() string {
	if at := a.to.AutoIncrementColumn(); at >= 0 {
		if was, _ := a.table.Desc.Column(a.to.Desc.Columns[at].ID); was == nil {
			return "Adding an auto-increment column requires a lock"
		}
	}
	return "the primary key gets a column that rows do not have yet"
}

// countInOrder begins anew with the writers waiting, in another definition: what has been built under
// the ids of the first is deleted, sooner or later.
func (a *alteration) countInOrder(ctx *gms.Context, text string, st sqlparser.Statement, bindings map[string]sqlparser.Expr) error {
	s := a.s
	if err := a.options.allow(true, countedInOrder); err != nil {
		return err
	}
	err := a.build.Close()
	s.tx.RollbackTo(a.start)
	a.build, a.parents = nil, nil
	if err != nil {
		return err
	}
	if err := s.lockDefinitions(ctx, st); err != nil {
		return err
	}
	if err := a.draft(ctx, text, st, bindings); err != nil {
		return err
	}
	return a.fill(ctx, false)
}

// countedInOrder is why writers must wait for a column that becomes AUTO_INCREMENT.
const countedInOrder = "rows are counted in their order"

// follow writes what the definition lacks while others write the table, and locks it.
func (a *alteration) follow(ctx *gms.Context, st sqlparser.Statement) error {
	if err := a.fill(ctx, true); err != nil {
		return err
	}
	return a.lock(ctx, st)
}

// catchUp follows what has changed until little is left. Writers who are faster rest meanwhile, and go on doing so:
// the table is to be locked next.
func (a *alteration) catchUp(ctx *gms.Context) error {
	a.say("following changes")
	var rest time.Duration
	for last := 0; ; {
		began := time.Now()
		n, err := a.build.CatchUp(ctx)
		if err != nil || n < caughtUp || time.Since(began) < caughtUpTime {
			return err
		}
		if last > 0 && n > last/2 {
			rest = min(max(2*rest, shortestRest), longestRest)
			a.build.SlowWriters(rest)
			a.say("following changes, writers rest for %v after each commit", rest)
		}
		last = n
	}
}

// fill copies the table as it is now.
func (a *alteration) fill(ctx *gms.Context, online bool) error {
	total := a.s.engine.sizes.rows(ctx, a.table)
	what := "building indexes"
	switch {
	case a.table.Desc.Primary.ID != a.to.Desc.Primary.ID:
		what = "copying rows"
	case !txn.NeedsBuild(a.table, a.to):
		what = "looking at rows"
	}
	a.say("%s: 0 of about %d", what, total)
	progress := func(rows int) { a.say("%s: %d of about %d", what, rows, max(total, uint64(rows))) }
	if a.convert != nil {
		a.convert.follows = online
	}
	var err error
	if a.build, err = a.s.tx.NewBuild(ctx, a.table, a.to, a.convert.each(), a.parents, online, progress); err != nil {
		return err
	}
	return a.build.Fill(ctx)
}

// lock stops the writers of the table, at most for a moment at a time, and follows their last
// changes.
func (a *alteration) lock(ctx *gms.Context, st sqlparser.Statement) error {
	s := a.s
	limit := s.seconds("lock_wait_timeout")
	for began := time.Now(); ; {
		if err := a.catchUp(ctx); err != nil {
			return err
		}
		a.say("waiting for the table's writers")
		if err := s.engine.locks.admit(ctx, s, kindDDL, st); err != nil {
			return err
		}
		locked, err := s.tx.TryLockTables(ctx, a.locks, min(switchWait, limit))
		if err != nil {
			return err
		}
		if locked {
			break
		}
		if time.Since(began) > limit {
			return txn.ErrLockWaitTimeout
		}
		a.build.SlowWriters(0) // it may take as long as somebody's open transaction
		if err := pause(ctx, min(switchPause, limit)); err != nil {
			return err
		}
	}
	a.say("switching")
	_, err := a.build.CatchUp(ctx)
	return err
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// adopt makes what has been built part of what the statement has staged.
func (a *alteration) adopt(ctx *gms.Context) error {
	tx := a.s.tx
	staged, err := a.defined(ctx)
	if err != nil {
		return err
	}
	if a.build != nil {
		if staged, err = tx.Adopt(ctx, a.build); err != nil {
			return err
		}
	} else if txn.NeedsBuild(a.table, staged) {
		// The draft was made of another definition.
		return fmt.Errorf("%s.%s: %w", a.table.Desc.Database, a.table.Desc.Name, txn.ErrTableChanged)
	}
	if a.counter != nil {
		return tx.SetAutoIncrement(staged, *a.counter)
	}
	return nil
}

// named gives a duplicate key, or a row without a parent, the planner's form.
func (a *alteration) named(ctx *gms.Context, err error) error {
	var lonely *txn.ReferenceError
	if errors.As(err, &lonely) {
		r := lonely.Reference
		return gms.ErrForeignKeyChildViolation.New(r.Name, a.table.Desc.Name, r.Parent.Desc.Name, fmt.Sprint(lonely.Values))
	}
	var dup *txn.DuplicateKeyError
	if errors.As(err, &dup) {
		return duplicateKey(dup, a.table.Desc.Name, nil, a.s.zoneFor(dup.Table))
	}
	return err
}

// say shows in the process list what the statement does.
func (a *alteration) say(format string, args ...any) {
	text := "altering " + a.table.Desc.Name + ": " + fmt.Sprintf(format, args...)
	a.s.state.Store(&text)
}

// altering says whether the running statement changes this table's definition, and looks
// after its rows itself.
func (s *Session) altering(t *store.Table) bool {
	return s.alter != nil && s.alter.table.Desc.ID == t.Desc.ID
}
