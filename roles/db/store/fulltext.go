package store

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/fulltext"
)

// A FULLTEXT index has an entry without value for each word of a row: the word's weights
// as a text column of the key, then the primary-key columns.

// newFullText makes the index ready: its columns are texts of one collation.
func (ix *Index) newFullText() error {
	for i := range ix.columns {
		c := &ix.columns[i]
		if c.codec.kind != kindString {
			return fmt.Errorf("FULLTEXT index %s: column %s is no text", ix.Desc.Name, ix.Table.Desc.Columns[c.at].Name)
		}
		if c.codec.collation != ix.columns[0].codec.collation {
			return fmt.Errorf("FULLTEXT index %s: its columns have different collations", ix.Desc.Name)
		}
	}
	c := ix.columns[0].codec
	ix.lexicon = fulltext.NewLexicon(func(dst []byte, word string) []byte { return c.appendWeights(dst, word, 0) })
	return nil
}

// Lexicon compares the words of a FULLTEXT index; nil for other indexes.
func (ix *Index) Lexicon() *fulltext.Lexicon { return ix.lexicon }

// Words are the keys of the entries of row in a FULLTEXT index, each once and in order.
// primary is the row's key in the primary index.
func (ix *Index) Words(row sql.Row, primary []byte) ([][]byte, error) {
	seen := map[string]bool{}
	for i := range ix.columns {
		c := &ix.columns[i]
		if row[c.at] == nil {
			continue
		}
		text, ok := row[c.at].(string)
		if !ok {
			return nil, fmt.Errorf("column %s of index %s: %w", ix.Table.Desc.Columns[c.at].Name, ix.Desc.Name, c.codec.mismatch(row[c.at]))
		}
		ix.lexicon.Each(text, func(word []byte) {
			if !seen[string(word)] {
				seen[string(word)] = true
			}
		})
	}
	keys := make([][]byte, 0, len(seen))
	for word := range seen {
		key := append(AppendIndexPrefix(make([]byte, 0, len(word)+len(primary)+2), SpaceRows, ix.Desc.ID), keyValue)
		keys = append(keys, append(append(append(key, word...), textEnd), primary[indexPrefixSize:]...))
	}
	slices.SortFunc(keys, bytes.Compare)
	return keys, nil
}

// WordRange is the entries of a word, or of every word that begins with it.
func (ix *Index) WordRange(word []byte, prefix bool) KeyRange {
	start := append(append(AppendIndexPrefix(nil, SpaceRows, ix.Desc.ID), keyValue), word...)
	if !prefix {
		start = append(start, textEnd)
	}
	return KeyRange{Start: start, End: PrefixEnd(start)}
}

// WordOf takes the entry of a FULLTEXT index apart: its word and the columns of the
// primary key, as they are in its key.
func (ix *Index) WordOf(key []byte) (word, columns []byte, err error) {
	if len(key) < indexPrefixSize {
		return nil, nil, fmt.Errorf("entry % x of index %s: %w", key, ix.Desc.Name, ErrCorrupt)
	}
	rest := key[indexPrefixSize:]
	n, err := ix.columns[0].codec.keySize(rest, false)
	if err != nil || n < 2 || n == len(rest) {
		return nil, nil, fmt.Errorf("entry % x of index %s: %w", key, ix.Desc.Name, ErrCorrupt)
	}
	return rest[1 : n-1], rest[n:], nil
}
