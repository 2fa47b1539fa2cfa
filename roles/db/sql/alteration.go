package sql

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	convert *conversion // nil: the rows are right as they are
	build   *txn.Build  // nil: nothing is to be written
	counter *uint64     // what AUTO_INCREMENT = n sets
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
)

// beginAlteration prepares a statement that can leave the writers of its table alone; nil
// for every other. Nobody else changes the table's definition from now on.
func (s *Session) beginAlteration(ctx *gms.Context, text string, st sqlparser.Statement) (*alteration, error) {
	if ex, ok := st.(*sqlparser.Execute); ok {
		st, text = s.unprepared(st), s.preparedTexts[ex.Name]
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
	if addsForeignKey(st) {
		return nil, a.options.allow(true, "rows are compared with those of another table")
	}
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

// addsForeignKey says whether rows must be compared with those of another table, which
// takes both tables' writers out of the way.
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
	if err := a.draft(ctx, text, st, bindings); err != nil {
		return err
	}
	waits := ""
	if a.needsRows() && !txn.CanBuildOnline(a.table, a.to) {
		waits = countedInOrder
	}
	if err := a.options.allow(a.needsRows(), waits); err != nil {
		return err
	}
	if err := a.prepare(ctx, st); err != nil {
		return a.named(ctx, err)
	}
	s.ClearWarnings()
	if err := a.stream(ctx, text, st, bindings, out); err != nil {
		return err
	}
	return a.adopt(ctx)
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
	a.convert, err = newConversion(ctx, a.s, a.table, a.to, true)
	return err
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
func (a *alteration) needsRows() bool { return a.convert != nil || txn.NeedsBuild(a.table, a.to) }

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
		m := s.tx.Mark()
		defer s.tx.Release(m)
		err := a.follow(ctx, st)
		if !errors.Is(err, errCounted) {
			return err
		}
		if err := a.options.allow(true, countedInOrder); err != nil {
			return err
		}
		closed := a.build.Close()
		s.tx.RollbackTo(m)
		if a.build = nil; closed != nil {
			return closed
		}
	}
	if err := s.lockDefinitions(ctx, st); err != nil {
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
	a.say("following changes")
	for {
		began := time.Now()
		n, err := a.build.CatchUp(ctx)
		if err != nil {
			return err
		}
		if n < caughtUp || time.Since(began) < caughtUpTime {
			break
		}
	}
	return a.lock(ctx, st)
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
	if a.build, err = a.s.tx.NewBuild(ctx, a.table, a.to, a.convert.each(), online, progress); err != nil {
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
		if err := pause(ctx, min(switchPause, limit)); err != nil {
			return err
		}
		if _, err := a.build.CatchUp(ctx); err != nil {
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

// named gives a duplicate key the planner's form.
func (a *alteration) named(ctx *gms.Context, err error) error {
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
