package store

import (
	"encoding/json"
	"fmt"
	"strings"
)

// DatabaseDesc describes a database.
type DatabaseDesc struct {
	Name      string `json:"name"`
	Collation uint16 `json:"collation"`
	Comment   string `json:"comment,omitempty"`
}

// TableDesc describes a table. Ids and Version are given by package txn.
type TableDesc struct {
	ID       uint32 `json:"id"`      // never reused, kept over renames and rebuilds
	Version  uint32 `json:"version"` // grows with every change of the descriptor
	Database string `json:"database"`
	Name     string `json:"name"`

	Columns     []ColumnDesc     `json:"columns"`
	Primary     IndexDesc        `json:"primary"` // no columns: hidden 8-byte row id
	Indexes     []IndexDesc      `json:"indexes,omitempty"`
	Checks      []CheckDesc      `json:"checks,omitempty"`
	ForeignKeys []ForeignKeyDesc `json:"foreign_keys,omitempty"`

	// Layouts are the column lists under which rows since the last rebuild were
	// written; a row names its layout by Layout.Version. The last one is current.
	Layouts []Layout `json:"layouts"`
	// NextColumnID and NextLayout are never reused within a table.
	NextColumnID uint16 `json:"next_column_id"`

	Collation uint16 `json:"collation"`
	Comment   string `json:"comment,omitempty"`
	Extra     []byte `json:"extra,omitempty"` // opaque, for the SQL layer
}

// ColumnDesc describes a column.
type ColumnDesc struct {
	ID            uint16     `json:"id"` // unique in its table, kept over renames; 0 = new, to be given
	Name          string     `json:"name"`
	Type          ColumnType `json:"type"`
	Nullable      bool       `json:"nullable,omitempty"`
	Default       *Expr      `json:"default,omitempty"`
	Generated     *Expr      `json:"generated,omitempty"`
	OnUpdate      *Expr      `json:"on_update,omitempty"`
	Virtual       bool       `json:"virtual,omitempty"` // computed when read, never stored in the row
	AutoIncrement bool       `json:"auto_increment,omitempty"`
	Hidden        bool       `json:"hidden,omitempty"`
	Comment       string     `json:"comment,omitempty"`
	Extra         []byte     `json:"extra,omitempty"` // opaque, for the SQL layer
	// Missing is the encoded value that rows older than the column have
	// (ADD COLUMN … DEFAULT without a rebuild); nil means NULL.
	Missing []byte `json:"missing"`
}

// Expr is an expression kept as SQL text for the SQL layer to parse again.
type Expr struct {
	Text          string `json:"text"`
	Literal       bool   `json:"literal,omitempty"`
	Parenthesized bool   `json:"parenthesized,omitempty"`
	ReturnNil     bool   `json:"return_nil,omitempty"`
}

// IndexDesc describes an index; the primary key is one.
type IndexDesc struct {
	ID     uint32 `json:"id"` // unique in the store, never reused
	Name   string `json:"name"`
	Unique bool   `json:"unique,omitempty"`
	// FullText: the entries are the words of the columns' texts.
	FullText bool              `json:"fulltext,omitempty"`
	Columns  []IndexColumnDesc `json:"columns,omitempty"`
	Comment  string            `json:"comment,omitempty"`
	Extra    []byte            `json:"extra,omitempty"` // opaque, for the SQL layer
}

// IndexColumnDesc is one column of an index.
type IndexColumnDesc struct {
	Column uint16 `json:"column"`           // ColumnDesc.ID
	Prefix uint32 `json:"prefix,omitempty"` // characters (bytes for binary types) indexed; 0 = all
	Desc   bool   `json:"desc,omitempty"`
}

// CheckDesc is a CHECK constraint.
type CheckDesc struct {
	Name     string `json:"name"`
	Expr     string `json:"expr"`
	Enforced bool   `json:"enforced"`
}

// ForeignKeyDesc is a foreign key as its child table declares it.
type ForeignKeyDesc struct {
	Name           string   `json:"name"`
	Columns        []string `json:"columns"`
	ParentDatabase string   `json:"parent_database"`
	ParentTable    string   `json:"parent_table"`
	ParentColumns  []string `json:"parent_columns"`
	OnUpdate       string   `json:"on_update,omitempty"`
	OnDelete       string   `json:"on_delete,omitempty"`
	Resolved       bool     `json:"resolved,omitempty"`
}

// Layout is the column list of a row format version.
type Layout struct {
	Version uint32         `json:"version"`
	Columns []LayoutColumn `json:"columns"`
}

// LayoutColumn is one stored column of a layout, with the type it had then.
type LayoutColumn struct {
	ID   uint16     `json:"id"`
	Type ColumnType `json:"type"`
}

// Object is a named blob for what the SQL layer persists beside tables: views,
// triggers, routines, events, grants.
type Object struct {
	Kind     string `json:"kind"`
	Database string `json:"database"` // empty = of the whole server
	Name     string `json:"name"`
	Data     []byte `json:"data"`
}

// Catalog key kinds, the byte after SpaceCatalog.
const (
	catalogDatabase = 'd' // + name
	catalogTable    = 't' // + table id, u32
	catalogObject   = 'o' // + kind, 0, database, 0, name
)

// DatabaseKey is the catalog key of a database.
func DatabaseKey(name string) []byte {
	return append([]byte{byte(SpaceCatalog), catalogDatabase}, name...)
}

// TableKey is the catalog key of a table's descriptor.
func TableKey(id uint32) []byte {
	key := []byte{byte(SpaceCatalog), catalogTable, 0, 0, 0, 0}
	key[2], key[3], key[4], key[5] = byte(id>>24), byte(id>>16), byte(id>>8), byte(id)
	return key
}

// ObjectKey is the catalog key of an object. Names cannot contain NUL in MySQL.
func ObjectKey(kind, database, name string) []byte {
	key := append([]byte{byte(SpaceCatalog), catalogObject}, kind...)
	key = append(append(key, 0), database...)
	return append(append(key, 0), name...)
}

// EncodeDesc renders a descriptor as the catalog stores it.
func EncodeDesc(desc any) ([]byte, error) {
	b, err := json.Marshal(desc)
	if err != nil {
		return nil, fmt.Errorf("encode catalog descriptor: %w", err)
	}
	return b, nil
}

// Internal reports whether a database belongs to this node alone, such as that of
// temporary tables: its name begins with #, which no client can create. What happens in
// it is not in the binary log.
func Internal(database string) bool { return strings.HasPrefix(database, "#") }

// Clone returns a copy that shares nothing that a caller may change.
func (d *TableDesc) Clone() *TableDesc {
	c := *d
	c.Columns = append([]ColumnDesc(nil), d.Columns...)
	c.Indexes = append([]IndexDesc(nil), d.Indexes...)
	for i := range c.Indexes {
		c.Indexes[i].Columns = append([]IndexColumnDesc(nil), c.Indexes[i].Columns...)
	}
	c.Primary.Columns = append([]IndexColumnDesc(nil), d.Primary.Columns...)
	c.Checks = append([]CheckDesc(nil), d.Checks...)
	c.ForeignKeys = append([]ForeignKeyDesc(nil), d.ForeignKeys...)
	c.Layouts = append([]Layout(nil), d.Layouts...)
	return &c
}

// Column returns the column with this id and its position; nil, -1 if there is none.
func (d *TableDesc) Column(id uint16) (*ColumnDesc, int) {
	for i := range d.Columns {
		if d.Columns[i].ID == id {
			return &d.Columns[i], i
		}
	}
	return nil, -1
}
