package sql

import (
	"fmt"
	"io"
	"slices"

	gms "github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/store"
)

// Table is a stored table within one statement: the descriptor that the statement was
// planned with, and the columns asked for.
type Table struct {
	db     *Database
	name   string
	stored *store.Table
	full   gms.Schema // every column
	keys   gms.PrimaryKeySchema

	projected []string // nil: every column
	columns   []int    // positions of projected
	schema    gms.Schema
	own       bool // read for a foreign key: sees what the running statement has written
	lock      *rowLock
	empty     bool                                      // shows no rows: its definition is being changed
	filter    func(*gms.Context, gms.Row) (bool, error) // drops rows of the schema above
	match     *match                                    // nil: all rows are read; else those that may match
	where     *store.Predicate                          // nil: of every row; else what holds of the rows to return
	unused    []bool                                    // see scanned
	skip      *int64                                    // rows to leave out first
}

var (
	_ gms.Table                    = (*Table)(nil)
	_ gms.CommentedTable           = (*Table)(nil)
	_ gms.ProjectedTable           = (*Table)(nil)
	_ gms.PrimaryKeyTable          = (*Table)(nil)
	_ gms.IndexAddressableTable    = (*Table)(nil)
	_ gms.StatisticsTable          = (*Table)(nil)
	_ gms.Databaseable             = (*Table)(nil)
	_ gms.InsertableTable          = (*Table)(nil)
	_ gms.UpdatableTable           = (*Table)(nil)
	_ gms.DeletableTable           = (*Table)(nil)
	_ gms.ReplaceableTable         = (*Table)(nil)
	_ gms.TruncateableTable        = (*Table)(nil)
	_ gms.TemporaryTable           = (*Table)(nil)
	_ gms.AutoIncrementTable       = (*Table)(nil)
	_ gms.AlterableTable           = (*Table)(nil)
	_ gms.RewritableTable          = (*Table)(nil)
	_ gms.IndexAlterableTable      = (*Table)(nil)
	_ gms.IndexBuildingTable       = (*Table)(nil)
	_ gms.PrimaryKeyAlterableTable = (*Table)(nil)
	_ gms.CheckAlterableTable      = (*Table)(nil)
	_ gms.CheckTable               = (*Table)(nil)
	_ gms.ForeignKeyTable          = (*Table)(nil)
	_ gms.CommentAlterableTable    = (*Table)(nil)
	_ gms.CollationAlterableTable  = (*Table)(nil)
)

func newTable(db *Database, st *store.Table) *Table {
	return newNamedTable(db, st, st.Desc.Name)
}

// newNamedTable shows a stored table under another database and name.
func newNamedTable(db *Database, st *store.Table, name string) *Table {
	keys := tableSchema(st, db.name, name)
	return &Table{db: db, name: name, stored: st, full: keys.Schema, keys: keys}
}

// refresh takes over what this statement has changed of the table.
func (t *Table) refresh(ctx *gms.Context) error {
	s, err := sessionOf(ctx)
	if err != nil {
		return err
	}
	st := s.catalog().TableByID(t.stored.Desc.ID)
	if st == nil {
		return gms.ErrTableNotFound.New(t.name)
	}
	*t = *newNamedTable(t.db, st, t.name)
	return nil
}

// Name is the table's name.
func (t *Table) Name() string { return t.name }

// String is the table's name.
func (t *Table) String() string { return t.name }

// Database is the name of the table's database.
func (t *Table) Database() string { return t.db.name }

// Schema is that of the rows returned.
func (t *Table) Schema(*gms.Context) gms.Schema {
	if t.projected != nil {
		return t.schema
	}
	return t.full
}

// PrimaryKeySchema is the whole table's, with the primary key's columns.
func (t *Table) PrimaryKeySchema(*gms.Context) gms.PrimaryKeySchema { return t.keys }

// Collation is the default of the table's columns.
func (t *Table) Collation() gms.CollationID { return gms.CollationID(t.stored.Desc.Collation) }

// Comment is the table's comment.
func (t *Table) Comment() string { return t.stored.Desc.Comment }

// WithProjections returns the table with only these columns.
func (t *Table) WithProjections(_ *gms.Context, names []string) (gms.Table, error) {
	p := *t
	p.projected, p.columns, p.schema = names, nil, nil
	if names == nil {
		return &p, nil
	}
	if slices.ContainsFunc(t.full, func(c *gms.Column) bool { return c.HiddenSystem }) {
		// The planner looks in here for the columns behind indexes over expressions, and for those
		// that they are computed of, in the table's order.
		names = make([]string, len(t.full))
		for i, c := range t.full {
			names[i] = c.Name
		}
	}
	p.projected = names
	p.columns = make([]int, len(names))
	p.schema = make(gms.Schema, len(names))
	for i, name := range names {
		at := t.full.IndexOfColName(name)
		if at < 0 {
			return nil, gms.ErrTableColumnNotFound.New(t.name, name)
		}
		p.columns[i], p.schema[i] = at, t.full[at]
	}
	return &p, nil
}

// Projections are the columns asked for, nil for all.
func (t *Table) Projections() []string { return t.projected }

// RowCount is an estimate.
func (t *Table) RowCount(ctx *gms.Context) (uint64, bool, error) {
	s, err := sessionOf(ctx)
	if err != nil {
		return 0, false, err
	}
	return s.engine.sizes.rows(ctx, t.stored), false, nil
}

// DataLength is the bytes that the table takes, estimated.
func (t *Table) DataLength(ctx *gms.Context) (uint64, error) {
	s, err := sessionOf(ctx)
	if err != nil {
		return 0, err
	}
	return s.engine.sizes.bytes(t.stored), nil
}

// GetIndexes returns the primary key, if any, and the other indexes.
func (t *Table) GetIndexes(ctx *gms.Context) ([]gms.Index, error) {
	var list []gms.Index
	if len(t.stored.Desc.Primary.Columns) > 0 {
		list = append(list, newIndex(t, t.stored.Primary, "PRIMARY", true))
	}
	s, err := sessionOf(ctx)
	if err != nil {
		return nil, err
	}
	for _, ix := range t.stored.Indexes {
		if ix.Desc.FullText && s.hidesFullText() {
			continue
		}
		x := newIndex(t, ix, ix.Desc.Name, false)
		x.ordinary = s.runs && s.kind.changesCatalog() && !s.describes
		list = append(list, x)
	}
	return list, nil
}

// PreciseMatch is false, so that filters are kept above lookups: the planner makes a range
// of everything out of some of them (d <> 9.99 of a DECIMAL).
func (t *Table) PreciseMatch() bool { return false }

// IndexedAccess returns the table read through an index.
func (t *Table) IndexedAccess(_ *gms.Context, lookup gms.IndexLookup) gms.IndexedTable {
	return &IndexedTable{Table: t, lookup: lookup}
}

// IndexedTable is a table read through ranges of one index.
type IndexedTable struct {
	*Table
	lookup gms.IndexLookup
}

var _ gms.IndexedTable = (*IndexedTable)(nil)

// WithProjections returns the table with only these columns.
func (t *IndexedTable) WithProjections(ctx *gms.Context, names []string) (gms.Table, error) {
	p, err := t.Table.WithProjections(ctx, names)
	if err != nil {
		return nil, err
	}
	return &IndexedTable{Table: p.(*Table), lookup: t.lookup}, nil
}

// partition is the one partition of a table: all rows, or those of some spans.
type partition struct {
	index   *store.Index
	spans   []span
	reverse bool
	keys    [][]byte // not nil: the rows with these keys in the primary index, instead of spans
}

func (p *partition) Key() []byte { return []byte{0} }

// one is a PartitionIter over a single partition.
type one struct{ p *partition }

func (o *one) Next(*gms.Context) (gms.Partition, error) {
	if o.p == nil {
		return nil, io.EOF
	}
	p := o.p
	o.p = nil
	return p, nil
}

func (o *one) Close(*gms.Context) error { return nil }

// Partitions is the whole table in primary key order.
func (t *Table) Partitions(ctx *gms.Context) (gms.PartitionIter, error) {
	s, err := sessionOf(ctx)
	if err != nil {
		return nil, err
	}
	if t.empty || s.altering(t.stored) {
		return &one{}, nil
	}
	if t.match != nil {
		keys, ok, err := t.match.search.candidates(ctx, t.match.against)
		if err != nil {
			return nil, err
		}
		if ok {
			return &one{&partition{index: t.stored.Primary, keys: keys}}, nil
		}
	}
	return &one{&partition{
		index: t.stored.Primary,
		spans: []span{{lo: store.Bound{Inclusive: true}, hi: store.Bound{Inclusive: true}}},
	}}, nil
}

// LookupPartitions translates a lookup's ranges.
func (t *IndexedTable) LookupPartitions(ctx *gms.Context, lookup gms.IndexLookup) (gms.PartitionIter, error) {
	x, ok := lookup.Index.(*Index)
	if !ok {
		return nil, fmt.Errorf("index %s is not one of table %s", lookup.Index.ID(), t.name)
	}
	ranges, ok := lookup.Ranges.(gms.MySQLRangeCollection)
	if !ok {
		return nil, fmt.Errorf("lookup in index %s of table %s has ranges of an unknown kind", x.name, t.name)
	}
	p := &partition{index: x.index, reverse: lookup.IsReverse}
	if lookup.IsEmptyRange {
		return &one{p}, nil
	}
	session, err := sessionOf(ctx)
	if err != nil {
		return nil, err
	}
	types, zone := x.types(), session.zone()
	for _, r := range ranges {
		s, err := spanOf(ctx, x.index, types, x.columns, r, zone)
		if err != nil {
			return nil, err
		}
		if !s.empty {
			p.spans = append(p.spans, s)
		}
	}
	p.spans, err = distinctSpans(ctx, x.index, p.spans)
	return &one{p}, err
}

// PartitionRows reads the rows of a partition as the session's statement sees them.
func (t *Table) PartitionRows(ctx *gms.Context, p gms.Partition) (gms.RowIter, error) {
	part, ok := p.(*partition)
	if !ok {
		return nil, gms.ErrPartitionNotFound.New(p.Key())
	}
	s, err := sessionOf(ctx)
	if err != nil {
		return nil, err
	}
	return newScan(s, t, part), nil
}
