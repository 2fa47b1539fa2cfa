package store

import (
	"fmt"

	"github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/fulltext"
)

// Index is an index of a table, ready to encode its entries. It is immutable and
// safe for concurrent use.
type Index struct {
	Desc  *IndexDesc
	Table *Table

	columns []indexColumn
	lexicon *fulltext.Lexicon // of a FULLTEXT index
}

type indexColumn struct {
	codec  *codec
	at     int // position in the table's rows
	prefix uint32
	desc   bool
}

// IsPrimary reports whether the index is the primary key (or the hidden row id).
func (ix *Index) IsPrimary() bool { return ix == ix.Table.Primary }

// ColumnPositions are the positions in the table's rows of the index's columns.
func (ix *Index) ColumnPositions() []int {
	at := make([]int, len(ix.columns))
	for i := range ix.columns {
		at[i] = ix.columns[i].at
	}
	return at
}

// Prefixed reports whether any column is indexed by a prefix only.
func (ix *Index) Prefixed() bool {
	for i := range ix.columns {
		if ix.columns[i].prefix > 0 {
			return true
		}
	}
	return false
}

// appendColumns appends the key columns of row and reports whether one is NULL.
func (ix *Index) appendColumns(dst []byte, row sql.Row) (key []byte, null bool, err error) {
	start := len(dst)
	for i := range ix.columns {
		c := &ix.columns[i]
		null = null || row[c.at] == nil
		if dst, err = c.codec.appendKey(dst, row[c.at], c.prefix, c.desc); err != nil {
			return nil, false, fmt.Errorf("column %s of index %s: %w", ix.Table.Desc.Columns[c.at].Name, ix.Desc.Name, err)
		}
	}
	if len(dst)-start > maxKeySize {
		return nil, false, fmt.Errorf("index %s of table %s.%s: %w", ix.Desc.Name, ix.Table.Desc.Database, ix.Table.Desc.Name, ErrKeyTooLong)
	}
	return dst, null, nil
}

// Entry returns the key and value of the index entry of row. primary is the row's
// key in the primary index (Table.PrimaryKey). enforced is true where the entry must
// be the only one with these columns: a unique index and no column NULL. Then the
// value names the row; else the key ends with the primary-key columns and the value
// is empty. A FULLTEXT index has Words instead.
func (ix *Index) Entry(row sql.Row, primary []byte) (key, value []byte, enforced bool, err error) {
	key, null, err := ix.appendColumns(AppendIndexPrefix(nil, SpaceRows, ix.Desc.ID), row)
	if err != nil {
		return nil, nil, false, err
	}
	suffix := primary[indexPrefixSize:]
	if ix.Desc.Unique && !null {
		return key, append([]byte(nil), suffix...), true, nil
	}
	return append(key, suffix...), nil, false, nil
}

const indexPrefixSize = 5 // space and index id

// PrimaryKeyOf returns the key in the primary index of the row that an entry of a
// secondary index names.
func (ix *Index) PrimaryKeyOf(key, value []byte) ([]byte, error) {
	primary := AppendIndexPrefix(nil, SpaceRows, ix.Table.Primary.Desc.ID)
	if len(value) > 0 {
		return append(primary, value...), nil
	}
	if ix.lexicon != nil {
		_, columns, err := ix.WordOf(key)
		return append(primary, columns...), err
	}
	if len(key) < indexPrefixSize {
		return nil, fmt.Errorf("entry % x of index %s: %w", key, ix.Desc.Name, ErrCorrupt)
	}
	rest := key[indexPrefixSize:]
	for i := range ix.columns {
		n, err := ix.columns[i].codec.keySize(rest, ix.columns[i].desc)
		if err != nil {
			return nil, fmt.Errorf("entry % x of index %s: %w", key, ix.Desc.Name, err)
		}
		rest = rest[n:]
	}
	if len(rest) == 0 {
		return nil, fmt.Errorf("entry % x of index %s names no row: %w", key, ix.Desc.Name, ErrCorrupt)
	}
	return append(primary, rest...), nil
}

// Covers reports whether the columns at these positions can all be read from an
// entry of the index, without the row.
func (ix *Index) Covers(positions []int) bool {
	if ix.lexicon != nil {
		return false
	}
	for _, at := range positions {
		if ix.recoverableAt(at) == nil && (ix.IsPrimary() || ix.Table.Primary.recoverableAt(at) == nil) {
			return false
		}
	}
	return true
}

func (ix *Index) recoverableAt(at int) *indexColumn {
	for i := range ix.columns {
		if c := &ix.columns[i]; c.at == at && c.prefix == 0 && c.codec.recoverable() {
			return c
		}
	}
	return nil
}

// RowOf fills row with the values that an entry of the index holds itself; the
// others stay as they are. primary is PrimaryKeyOf of the entry.
func (ix *Index) RowOf(key, primary []byte, row sql.Row) error {
	if err := ix.fill(key, row); err != nil {
		return err
	}
	return ix.Table.Primary.fill(primary, row)
}

func (ix *Index) fill(key []byte, row sql.Row) error {
	rest := key[indexPrefixSize:]
	for i := range ix.columns {
		c := &ix.columns[i]
		n, err := c.codec.keySize(rest, c.desc)
		if err != nil {
			return fmt.Errorf("entry % x of index %s: %w", key, ix.Desc.Name, err)
		}
		if c.prefix == 0 && c.codec.recoverable() {
			if row[c.at], err = c.codec.keyValueOf(rest[:n], c.desc); err != nil {
				return fmt.Errorf("entry % x of index %s: %w", key, ix.Desc.Name, err)
			}
		}
		rest = rest[n:]
	}
	return nil
}
