package sql

import (
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression"

	"stack/roles/db/store"
)

// Index is an index of a stored table as the planner sees it.
type Index struct {
	table   *Table
	index   *store.Index
	name    string
	primary bool
	columns []int // positions in the table, in key order
	// ordinary: a FULLTEXT index says that it is none (see ownFullText).
	ordinary bool
}

var (
	_ gms.Index         = (*Index)(nil)
	_ gms.FilteredIndex = (*Index)(nil)
	_ gms.OrderedIndex  = (*Index)(nil)
)

func newIndex(t *Table, ix *store.Index, name string, primary bool) *Index {
	x := &Index{table: t, index: ix, name: name, primary: primary}
	for _, c := range ix.Desc.Columns {
		_, at := t.stored.Desc.Column(c.Column)
		x.columns = append(x.columns, at)
	}
	return x
}

// ID is the index's name.
func (x *Index) ID() string { return x.name }

// Database is the name of the table's database.
func (x *Index) Database() string { return x.table.db.name }

// Table is the name of the table.
func (x *Index) Table() string { return x.table.name }

// Expressions are the indexed columns as table.column.
func (x *Index) Expressions() []string {
	names := make([]string, len(x.columns))
	for i, at := range x.columns {
		names[i] = x.table.name + "." + x.table.full[at].Name
	}
	return names
}

// ColumnExpressions are the indexed columns as fields of the table's row.
func (x *Index) ColumnExpressions(*gms.Context) []gms.Expression {
	fields := make([]gms.Expression, len(x.columns))
	for i, at := range x.columns {
		c := x.table.full[at]
		fields[i] = expression.NewGetFieldWithTable(at, 0, c.Type, x.table.db.name, x.table.name, c.Name, c.Nullable)
	}
	return fields
}

// ColumnExpressionTypes are the types of the indexed columns.
func (x *Index) ColumnExpressionTypes(*gms.Context) []gms.ColumnExpressionType {
	cets := make([]gms.ColumnExpressionType, len(x.columns))
	for i, at := range x.columns {
		c := x.table.full[at]
		cets[i] = gms.ColumnExpressionType{Expression: x.table.name + "." + c.Name, Type: c.Type}
	}
	return cets
}

func (x *Index) types() []gms.Type {
	types := make([]gms.Type, len(x.columns))
	for i, at := range x.columns {
		types[i] = x.table.full[at].Type
	}
	return types
}

func (x *Index) IsUnique() bool    { return x.primary || x.index.Desc.Unique }
func (x *Index) IsSpatial() bool   { return false }
func (x *Index) IsFullText() bool  { return x.index.Desc.FullText && !x.ordinary }
func (x *Index) IsVector() bool    { return false }
func (x *Index) IsGenerated() bool { return false }
func (x *Index) Comment() string   { return x.index.Desc.Comment }

// IndexType is BTREE or FULLTEXT.
func (x *Index) IndexType() string {
	if x.index.Desc.FullText {
		return "FULLTEXT"
	}
	return "BTREE"
}

// CanSupport says that every range can be looked up, but for words.
func (x *Index) CanSupport(*gms.Context, ...gms.Range) bool { return !x.index.Desc.FullText }

// CanSupportOrderBy is about distance functions, which no index here has.
func (x *Index) CanSupportOrderBy(gms.Expression) bool { return false }

// CoversColumns is false: a key of a string column is made of collation weights, from
// which the string cannot be had back.
func (x *Index) CoversColumns([]string) bool { return false }

// PrefixLengths are the indexed characters of each column, nil if all are whole. A FULLTEXT
// index that says it is none has some, so that no foreign key takes it.
func (x *Index) PrefixLengths() []uint16 {
	if x.index.Desc.FullText {
		if x.ordinary {
			return make([]uint16, len(x.columns))
		}
		return nil
	}
	var lengths []uint16
	for i, c := range x.index.Desc.Columns {
		if c.Prefix == 0 {
			continue
		}
		if lengths == nil {
			lengths = make([]uint16, len(x.columns))
		}
		lengths[i] = uint16(min(c.Prefix, 1<<16-1))
	}
	return lengths
}

// HandledFilters are none: the planner keeps them above a lookup.
func (x *Index) HandledFilters(*gms.Context, []gms.Expression) []gms.Expression { return nil }

// Order is ascending unless a prefix ties values that differ.
func (x *Index) Order(*gms.Context) gms.IndexOrder {
	if x.PrefixLengths() != nil || x.index.Desc.FullText {
		return gms.IndexOrderNone
	}
	return gms.IndexOrderAsc
}

// Reversible says that the index can be read backwards.
func (x *Index) Reversible(*gms.Context) bool {
	return x.PrefixLengths() == nil && !x.index.Desc.FullText
}

func isPrimaryName(name string) bool { return strings.EqualFold(name, "PRIMARY") }
