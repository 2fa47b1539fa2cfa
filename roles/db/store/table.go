package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"sync"

	"github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/vitess/go/sqltypes"
)

// Table is a TableDesc made ready to encode and decode. It is immutable and safe for
// concurrent use; a change of the table makes another one.
type Table struct {
	Desc    *TableDesc // not to be changed
	Types   []sql.Type // of the columns, in order
	Primary *Index
	Indexes []*Index // secondary, in the order of Desc.Indexes
	// Timestamps are the positions of the TIMESTAMP columns, whose values are stored in UTC.
	Timestamps []int
	// Narrow are those of columns that take less than their type: ColumnType.Narrow.
	Narrow []int

	codecs    []codec
	all       []int // every position
	missing   []any // value of columns that a row's layout does not have
	layouts   map[uint32]*layout
	current   *layout
	positions []int // current layout column → row position
	autoInc   int   // position of the AUTO_INCREMENT column, -1 if none

	derive     sync.Once
	derived    any
	deriveFail error
}

// NewTable compiles a descriptor. It fails for types that this version does not
// know and for indexes over types that cannot be ordered, naming the column.
func NewTable(desc *TableDesc) (*Table, error) {
	t := &Table{Desc: desc, layouts: make(map[uint32]*layout, len(desc.Layouts)), autoInc: -1}
	fail := func(err error) (*Table, error) {
		return nil, fmt.Errorf("table %s.%s: %w", desc.Database, desc.Name, err)
	}
	for i := range desc.Columns {
		if err := t.addColumn(&desc.Columns[i], i); err != nil {
			return fail(fmt.Errorf("column %s: %w", desc.Columns[i].Name, err))
		}
	}
	for _, l := range desc.Layouts {
		compiled, err := newLayout(l)
		if err != nil {
			return fail(err)
		}
		t.layouts[l.Version] = compiled
		t.current = compiled
	}
	if t.current == nil {
		return fail(fmt.Errorf("the descriptor has no row layout: %w", ErrCorrupt))
	}
	for _, lc := range t.current.columns {
		_, at := desc.Column(lc.id)
		if at < 0 {
			return fail(fmt.Errorf("row layout %d names column %d, which is not there: %w", t.current.version, lc.id, ErrCorrupt))
		}
		t.positions = append(t.positions, at)
	}
	if err := t.addIndexes(); err != nil {
		return fail(err)
	}
	return t, nil
}

func (t *Table) addColumn(c *ColumnDesc, at int) error {
	typ, err := c.Type.SQL()
	if err != nil {
		return err
	}
	cd, err := newCodec(typ)
	if err != nil {
		return err
	}
	var missing any
	if c.Missing != nil {
		if missing, err = cd.decodeValue(context.Background(), c.Missing); err != nil {
			return err
		}
	}
	if c.AutoIncrement {
		t.autoInc = at
	}
	if typ.Type() == sqltypes.Timestamp {
		t.Timestamps = append(t.Timestamps, at)
	}
	if c.Type.Narrow() {
		t.Narrow = append(t.Narrow, at)
	}
	t.Types = append(t.Types, typ)
	t.codecs = append(t.codecs, cd)
	t.missing = append(t.missing, missing)
	t.all = append(t.all, at)
	return nil
}

func (t *Table) addIndexes() error {
	var err error
	if t.Primary, err = t.newIndex(&t.Desc.Primary); err != nil {
		return err
	}
	for i := range t.Desc.Indexes {
		if len(t.Desc.Indexes[i].Columns) == 0 {
			return fmt.Errorf("index %s has no columns", t.Desc.Indexes[i].Name)
		}
		ix, err := t.newIndex(&t.Desc.Indexes[i])
		if err != nil {
			return err
		}
		t.Indexes = append(t.Indexes, ix)
	}
	return nil
}

func (t *Table) newIndex(desc *IndexDesc) (*Index, error) {
	ix := &Index{Desc: desc, Table: t}
	for _, c := range desc.Columns {
		_, at := t.Desc.Column(c.Column)
		if at < 0 {
			return nil, fmt.Errorf("index %s names column %d, which is not there", desc.Name, c.Column)
		}
		cd := &t.codecs[at]
		if err := cd.indexable(); err != nil {
			return nil, fmt.Errorf("index %s, column %s: %w", desc.Name, t.Desc.Columns[at].Name, err)
		}
		if c.Desc && desc.Unique && cd.padSpace {
			return nil, fmt.Errorf("index %s, column %s: a unique index cannot be descending over text of collation %s", desc.Name, t.Desc.Columns[at].Name, cd.collation.Name())
		}
		prefix := c.Prefix
		if cd.kind != kindString && cd.kind != kindBytes {
			prefix = 0
		}
		ix.columns = append(ix.columns, indexColumn{codec: cd, at: at, prefix: prefix, desc: c.Desc})
	}
	if desc.FullText {
		return ix, ix.newFullText()
	}
	return ix, nil
}

// Derived is what the binary log makes of the table, by build at the first call; later
// calls return the same.
func (t *Table) Derived(build func() (any, error)) (any, error) {
	t.derive.Do(func() { t.derived, t.deriveFail = build() })
	return t.derived, t.deriveFail
}

// Index returns the index of this name (as MySQL, without regard to case);
// "PRIMARY" is the primary key. nil if there is none.
func (t *Table) Index(name string) *Index {
	if strings.EqualFold(name, "PRIMARY") && t.HasPrimaryKey() {
		return t.Primary
	}
	for _, ix := range t.Indexes {
		if strings.EqualFold(ix.Desc.Name, name) {
			return ix
		}
	}
	return nil
}

// HasPrimaryKey is false where rows are kept under a hidden 8-byte row id.
func (t *Table) HasPrimaryKey() bool { return len(t.Primary.columns) > 0 }

// AutoIncrementColumn is the position of the AUTO_INCREMENT column, -1 if none.
func (t *Table) AutoIncrementColumn() int { return t.autoInc }

// PrimaryKey is the key of row in the primary index. It fails for a table without
// primary key (see RowIDKey) and where a key column is NULL.
func (t *Table) PrimaryKey(row sql.Row) ([]byte, error) {
	if !t.HasPrimaryKey() {
		return nil, fmt.Errorf("table %s.%s has no primary key", t.Desc.Database, t.Desc.Name)
	}
	key, null, err := t.Primary.appendColumns(AppendIndexPrefix(nil, SpaceRows, t.Primary.Desc.ID), row)
	if err != nil {
		return nil, err
	}
	if null {
		return nil, fmt.Errorf("a primary key column of table %s.%s is NULL", t.Desc.Database, t.Desc.Name)
	}
	return key, nil
}

// RowIDKey is the key in the primary index of the row with this hidden id.
func (t *Table) RowIDKey(id uint64) []byte {
	return binary.BigEndian.AppendUint64(AppendIndexPrefix(nil, SpaceRows, t.Primary.Desc.ID), id)
}

// EncodeMissing encodes the value that rows older than a new column have, for
// ColumnDesc.Missing.
func EncodeMissing(ctx context.Context, ct ColumnType, v any) ([]byte, error) {
	if v == nil {
		return nil, nil
	}
	typ, err := ct.SQL()
	if err != nil {
		return nil, err
	}
	c, err := newCodec(typ)
	if err != nil {
		return nil, err
	}
	if c.width > 0 {
		return c.appendFixed([]byte{}, v)
	}
	b, err := c.variable(ctx, v)
	return append([]byte{}, b...), err
}

func (c *codec) decodeValue(ctx context.Context, b []byte) (any, error) {
	if c.width > 0 {
		return c.fixed(b)
	}
	return c.value(ctx, b)
}
