package sql

import (
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/vt/sqlparser"

	"stack/roles/db/fit"
	"stack/roles/db/store"
)

// ShouldRewriteTable is false: what the planner calls instead says what becomes of the
// table, and the store whether its rows must be written anew for it.
func (t *Table) ShouldRewriteTable(*gms.Context, gms.PrimaryKeySchema, gms.PrimaryKeySchema, *gms.Column, *gms.Column) bool {
	return false
}

// RewriteInserter gives the table another schema when closed. It takes no rows: those that
// there are get their new form beside the planner, and the table has none to show meanwhile.
func (t *Table) RewriteInserter(ctx *gms.Context, _, schema gms.PrimaryKeySchema, old, changed *gms.Column, primary []gms.IndexColumn) (gms.RowInserter, error) {
	desc, rewrite, err := t.rewritten(ctx, schema, old, changed, primary)
	if err != nil {
		return nil, err
	}
	t.empty = true
	return &redefinition{noRows{}, t, desc, rewrite}, nil
}

// redefinition is a new schema on its way to a table.
type redefinition struct {
	noRows
	table   *Table
	desc    *store.TableDesc
	rewrite bool
}

// Close makes it the table's.
func (r *redefinition) Close(ctx *gms.Context) error { return r.table.define(ctx, r.desc, r.rewrite) }

// noRows is an inserter to which nothing comes.
type noRows struct{}

func (noRows) StatementBegin(*gms.Context)              {}
func (noRows) DiscardChanges(*gms.Context, error) error { return nil }
func (noRows) StatementComplete(*gms.Context) error     { return nil }
func (noRows) Insert(*gms.Context, gms.Row) error       { return nil }
func (noRows) Close(*gms.Context) error                 { return nil }

// rewritten is the descriptor of the table under a new schema. Columns are the same
// when their names are, or when old was renamed to changed.
// It says whether the rows must be written anew for the values of a new column.
func (t *Table) rewritten(ctx *gms.Context, schema gms.PrimaryKeySchema, old, changed *gms.Column, primary []gms.IndexColumn) (*store.TableDesc, bool, error) {
	was := t.stored.Desc
	desc := was.Clone()
	desc.Columns = nil
	kept := map[uint16]bool{}
	rewrite := false
	for _, c := range schema.Schema {
		name := c.Name
		if old != nil && changed != nil && strings.EqualFold(name, changed.Name) {
			name = old.Name
		}
		at := columnNamed(was, name)
		var had *store.ColumnType
		if at >= 0 {
			had = &was.Columns[at].Type
		}
		cd, err := columnDesc(ctx, c, had)
		if err != nil {
			return nil, false, err
		}
		if at >= 0 {
			cd.ID, cd.Missing = was.Columns[at].ID, was.Columns[at].Missing
			kept[cd.ID] = true
		} else if !sameForAll(ctx, c) {
			rewrite = true
		} else if cd.Missing, err = missingValue(ctx, c, cd.Type); err != nil {
			return nil, false, err
		}
		desc.Columns = append(desc.Columns, cd)
	}
	// Of several clauses with indexes over expressions, each comes with the schema that the
	// statement began with.
	for _, c := range was.Columns {
		if string(c.Extra) == hiddenSystem && !kept[c.ID] && (old == nil || !strings.EqualFold(old.Name, c.Name)) {
			desc.Columns, kept[c.ID] = append(desc.Columns, c), true
		}
	}
	if err := numberColumns(desc, schema, gms.IndexDef{Columns: primary}); err != nil {
		return nil, false, err
	}
	if len(was.Primary.Columns) > 0 && len(desc.Primary.Columns) == 0 && onlyClause(ctx) {
		if err := gms.ValidatePrimaryKeyDrop(ctx, t, t.keys); err != nil {
			return nil, false, err
		}
	}
	desc.Indexes = indexesWithout(desc.Indexes, func(column uint16) bool { return !kept[column] })
	return desc, rewrite, nil
}

// missingValue is what rows that lack a new column have in it, as the catalog keeps it.
func missingValue(ctx *gms.Context, c *gms.Column, t store.ColumnType) ([]byte, error) {
	v, err := newColumnValue(ctx, c, nil)
	if err != nil {
		return nil, err
	}
	if types.IsTimestampType(c.Type) {
		s, err := sessionOf(ctx)
		if err != nil {
			return nil, err
		}
		v = fit.Stored(v, s.zone())
	}
	if t.Narrow() {
		var problem *fit.Problem
		if v, problem = fit.NewNarrow(c.Type, t.Unsigned, t.Digits()).Restrict(v, false); problem != nil {
			return nil, mysqlError(1067, "Invalid default value for '%s'", c.Name)
		}
	}
	return store.EncodeMissing(ctx, t, v)
}

// onlyClause says whether the running ALTER TABLE has no other clause, such as one that gives
// an AUTO_INCREMENT column another key.
func onlyClause(ctx *gms.Context) bool {
	s, err := sessionOf(ctx)
	if err != nil {
		return false
	}
	alter, ok := s.runningStatement().(*sqlparser.AlterTable)
	return ok && len(alter.Statements) == 1
}

// ShouldBuildIndex is false: the planner need not fill an index.
func (t *Table) ShouldBuildIndex(*gms.Context, gms.IndexDef) (bool, error) { return false, nil }

// BuildIndex is called for unique indexes in any case; there is nothing to fill.
func (t *Table) BuildIndex(*gms.Context, gms.IndexDef) (gms.RowInserter, error) {
	t.empty = true
	return noRows{}, nil
}
