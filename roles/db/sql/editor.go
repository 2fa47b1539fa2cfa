package sql

import (
	"errors"
	"fmt"
	"strings"
	"time"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"

	"stack/roles/db/txn"
)

// editor writes rows of one table into the session's transaction. Several editors of a
// statement (triggers, cascades) write into the same write set, in order.
type editor struct {
	*Table
	session *Session
	zone    *time.Location // of the rows that come, nil for UTC
	mark    txn.Mark
	marked  bool
}

var (
	_ gms.TableEditor         = (*editor)(nil)
	_ gms.ForeignKeyEditor    = (*editor)(nil)
	_ gms.AutoIncrementSetter = (*editor)(nil)
)

func (t *Table) editor(ctx *gms.Context) *editor {
	s, err := sessionOf(ctx)
	if err != nil {
		// Only a context that this package has not made lacks its session.
		panic(err)
	}
	return &editor{Table: t, session: s, zone: s.zoneFor(t.stored)}
}

func (t *Table) Inserter(ctx *gms.Context) gms.RowInserter                    { return t.editor(ctx) }
func (t *Table) Updater(ctx *gms.Context) gms.RowUpdater                      { return t.editor(ctx) }
func (t *Table) Replacer(ctx *gms.Context) gms.RowReplacer                    { return t.editor(ctx) }
func (t *Table) Deleter(ctx *gms.Context) gms.RowDeleter                      { return t.editor(ctx) }
func (t *Table) AutoIncrementSetter(ctx *gms.Context) gms.AutoIncrementSetter { return t.editor(ctx) }
func (t *Table) GetForeignKeyEditor(ctx *gms.Context) gms.ForeignKeyEditor    { return t.editor(ctx) }

// StatementBegin marks where a failing statement, or row, goes back to.
func (e *editor) StatementBegin(ctx *gms.Context) {
	e.StatementComplete(ctx)
	e.mark, e.marked = e.session.tx.Mark(), true
}

// DiscardChanges undoes what was written since StatementBegin.
func (e *editor) DiscardChanges(ctx *gms.Context, _ error) error {
	if e.marked {
		// False where an editor of the same statement went back further: nothing is left.
		e.session.tx.RollbackTo(e.mark)
	}
	return e.StatementComplete(ctx)
}

// StatementComplete keeps what was written.
func (e *editor) StatementComplete(*gms.Context) error {
	if e.marked {
		e.session.tx.Release(e.mark)
		e.marked = false
	}
	return nil
}

// Close has nothing to release: rows are in the write set already.
func (e *editor) Close(*gms.Context) error { return nil }

// Insert adds a row.
func (e *editor) Insert(ctx *gms.Context, row gms.Row) error {
	if err := e.check(ctx, row); err != nil {
		return err
	}
	missing := e.session.missing
	e.session.missing = ""
	err := e.session.tx.InsertRow(ctx, e.stored, storedRow(e.stored, row, e.zone))
	e.session.ids.came(e.Table, row, err == nil)
	if err != nil || missing == "" {
		return e.duplicate(err, row)
	}
	return mysqlError(1364, "%s", missing)
}

// Update replaces a row.
func (e *editor) Update(ctx *gms.Context, old, new gms.Row) error {
	if err := e.check(ctx, new); err != nil {
		return err
	}
	if err := e.session.ids.changed(ctx, e.Table, old, new); err != nil {
		return err
	}
	from, to := storedUpdate(e.stored, old, new, e.zone)
	return e.duplicate(e.session.tx.UpdateRow(ctx, e.stored, from, to), new)
}

// Delete removes a row. One that is gone was removed by this very statement: a join
// leads to it again, or a cascade came first.
func (e *editor) Delete(ctx *gms.Context, row gms.Row) error {
	err := e.session.tx.DeleteRow(ctx, e.stored, storedRow(e.stored, row, e.zone))
	if errors.Is(err, txn.ErrRowNotFound) {
		return nil
	}
	return err
}

// IndexedAccess reads for foreign keys, which look at what the statement has written.
func (e *editor) IndexedAccess(ctx *gms.Context, lookup gms.IndexLookup) gms.IndexedTable {
	t := *e.Table
	t.own, t.lock, t.filter = true, nil, nil
	return t.IndexedAccess(ctx, lookup)
}

// check brings the values to the columns' types: the store takes nothing else.
func (e *editor) check(ctx *gms.Context, row gms.Row) error {
	if len(row) != len(e.full) {
		return gms.ErrUnexpectedRowLength.New(len(e.full), len(row))
	}
	for i, c := range e.full {
		if row[i] == nil {
			if !c.Nullable && !c.Virtual {
				return gms.ErrInsertIntoNonNullableProvidedNull.New(c.Name)
			}
			continue
		}
		if _, isTime := row[i].(time.Time); isTime && types.IsTimestampType(c.Type) {
			continue // its type would refuse what a clock ahead of UTC shows at the end of its range
		}
		to := c.Type
		if oneByte(to) {
			to = exactText{to.(gms.StringType)}
		}
		v, inRange, err := to.Convert(ctx, row[i])
		if err != nil {
			return err
		}
		if inRange != gms.InRange {
			return gms.ErrValueOutOfRange.New(row[i], c.Type)
		}
		row[i] = v
	}
	return nil
}

// duplicate turns the store's error into the planner's. row is what was to be written.
func (e *editor) duplicate(err error, row gms.Row) error {
	var dup *txn.DuplicateKeyError
	if !errors.As(err, &dup) {
		return err
	}
	return duplicateKey(dup, e.name, row, e.zone)
}

// duplicateKey is the planner's error, which REPLACE and ON DUPLICATE KEY UPDATE look
// for, for a row that a unique index refuses; its text is MySQL's. row is what was to be
// written, nil if it is not known; zone is the session's where the table has TIMESTAMPs.
func duplicateKey(dup *txn.DuplicateKeyError, table string, row gms.Row, zone *time.Location) error {
	name := dup.Index.Desc.Name
	if dup.Index.IsPrimary() {
		name = "PRIMARY"
	}
	existing := shownRow(dup.Table, dup.Existing, zone)
	if row == nil {
		row = existing
	}
	var values []string
	for _, at := range dup.Index.ColumnPositions() {
		if at < len(row) {
			values = append(values, valueText(dup.Table.Types[at], row[at]))
		}
	}
	text := fmt.Sprintf("Duplicate entry '%s' for key '%s.%s'", strings.Join(values, "-"), table, name)
	return gms.NewUniqueKeyErr(text, dup.Index.IsPrimary(), existing)
}

// valueText is a value as MySQL's message shows it.
func valueText(t gms.Type, v any) string {
	if v == nil {
		return "NULL"
	}
	if sv, err := printedType(t).SQL(gms.NewEmptyContext(), nil, v); err == nil {
		return sv.ToString()
	}
	return fmt.Sprint(v)
}

// SetAutoIncrementValue sets the next value: ALTER TABLE … AUTO_INCREMENT = n.
func (e *editor) SetAutoIncrementValue(ctx *gms.Context, n uint64) error {
	if e.session.altering(e.stored) {
		e.session.alter.counter = &n // once it has the ids that it is going to have
		return nil
	}
	return e.session.tx.SetAutoIncrement(e.stored, n)
}

// AcquireAutoIncrementLock locks nothing: a statement takes the values for the rows that it
// names at once.
func (e *editor) AcquireAutoIncrementLock(*gms.Context) (func(), error) {
	return func() {}, nil
}

// PeekNextAutoIncrementValue is the value that the next insert would get.
func (t *Table) PeekNextAutoIncrementValue(ctx *gms.Context) (uint64, error) {
	s, err := sessionOf(ctx)
	if err != nil {
		return 0, err
	}
	return s.engine.db.PeekAutoIncrement(t.stored)
}

// GetNextAutoIncrementValue takes the next value when given is NULL or 0; else it says
// what was given, of which InsertRow takes note.
func (t *Table) GetNextAutoIncrementValue(ctx *gms.Context, given any) (uint64, error) {
	s, err := sessionOf(ctx)
	if err != nil {
		return 0, err
	}
	s.inserts.expect(s.tx, t, given != nil)
	if given == nil {
		id, err := s.tx.NextAutoIncrement(t.stored)
		s.ids.make(t, id)
		return id, err
	}
	s.ids.make(t, 0)
	return toUint64(given), nil
}

func toUint64(v any) uint64 {
	switch v := v.(type) {
	case int8:
		return uint64(max(v, 0))
	case int16:
		return uint64(max(v, 0))
	case int32:
		return uint64(max(v, 0))
	case int64:
		return uint64(max(v, 0))
	case int:
		return uint64(max(v, 0))
	case uint8:
		return uint64(v)
	case uint16:
		return uint64(v)
	case uint32:
		return uint64(v)
	case uint64:
		return v
	case float32:
		return uint64(max(v, 0))
	case float64:
		return uint64(max(v, 0))
	}
	return 0
}

// Truncate removes every row: TRUNCATE TABLE under new ids; a DELETE without WHERE row
// by row, since it can be rolled back and keeps the AUTO_INCREMENT counter.
func (t *Table) Truncate(ctx *gms.Context) (int, error) {
	s, err := sessionOf(ctx)
	if err != nil {
		return 0, err
	}
	if s.kind == kindTruncate {
		if err := s.refuseReferenced(t.stored.Desc); err != nil {
			return 0, err
		}
		if _, err := s.tx.TruncateTable(ctx, t.stored); err != nil {
			return 0, err
		}
		return 0, t.refresh(ctx)
	}
	t.lock = &rowLock{mode: txn.LockExclusive}
	parts, err := t.Partitions(ctx)
	if err != nil {
		return 0, err
	}
	rows := gms.NewTableRowIter(ctx, t, parts)
	defer rows.Close(ctx)
	n := 0
	for {
		row, err := rows.Next(ctx)
		if err != nil {
			return n, eofIsNil(err)
		}
		if err := s.tx.DeleteRow(ctx, t.stored, storedRow(t.stored, row, s.zoneFor(t.stored))); err != nil {
			return n, err
		}
		n++
	}
}
