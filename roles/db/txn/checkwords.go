package txn

import (
	"bytes"
	"slices"

	"github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/store"
)

// rowWords looks for the entries of a row in a FULLTEXT index and counts them.
func (c *checker) rowWords(ix *store.Index, key []byte, row sql.Row) error {
	words, err := ix.Words(row, key)
	if err != nil {
		return err
	}
	for _, k := range words {
		have, err := c.get(k)
		if err != nil {
			return err
		}
		if have == nil {
			c.problem("table %s.%s: row % x has no entry % x in index %s", ix.Table.Desc.Database, ix.Table.Desc.Name, key, k, ix.Desc.Name)
		}
	}
	if c.words == nil {
		c.words = map[uint32]uint64{}
	}
	c.words[ix.Desc.ID] += uint64(len(words))
	return nil
}

// allWords says whether an index is a FULLTEXT one with as many entries as its rows have:
// each row's are there, so none belongs to nobody. To look from each entry at its row
// would read a row once for every word.
func (c *checker) allWords(ix *store.Index) bool {
	if !ix.Desc.FullText || c.virtual == nil && overVirtual(ix) {
		return false
	}
	found := uint64(0)
	if err := c.each(store.IndexSpan(store.SpaceRows, ix.Desc.ID), func(_, _ []byte) error { found++; return nil }); err != nil {
		return false // the search for what is wrong meets it again
	}
	if found != c.words[ix.Desc.ID] {
		return false
	}
	c.Entries += found
	return true
}

// ownEntry says whether a row has this entry in an index.
func ownEntry(ix *store.Index, row sql.Row, key, primary []byte) (bool, error) {
	if ix.Desc.FullText {
		words, err := ix.Words(row, primary)
		_, found := slices.BinarySearchFunc(words, key, bytes.Compare)
		return found, err
	}
	want, _, _, err := ix.Entry(row, primary)
	return bytes.Equal(want, key), err
}
