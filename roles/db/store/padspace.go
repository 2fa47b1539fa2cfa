package store

import (
	"bytes"

	"github.com/dolthub/go-mysql-server/sql"
)

// Padded reports whether a column of the index is text under a PAD SPACE collation,
// where values that differ in trailing spaces only count as equal in unique checks.
func (ix *Index) Padded() bool {
	for i := range ix.columns {
		if ix.columns[i].codec.padSpace {
			return true
		}
	}
	return false
}

// PadEqual calls each for every entry of a unique index whose columns equal those of
// row up to trailing spaces, until each returns an error, which it returns. seek
// returns the first key of the index ≥ k, nil at the end; the key is valid until the
// next call. Entries with a NULL never count.
func (ix *Index) PadEqual(row sql.Row, seek func(k []byte) ([]byte, error), each func(key []byte) error) error {
	return ix.padEqual(AppendIndexPrefix(nil, SpaceRows, ix.Desc.ID), 0, row, seek, each)
}

// TrimmedKey is the key that an entry of row in a unique index would have without the
// trailing spaces of its columns: one key for all spellings that PadEqual holds equal. nil
// where a column is NULL.
func (ix *Index) TrimmedKey(row sql.Row) ([]byte, error) {
	key := AppendIndexPrefix(nil, SpaceRows, ix.Desc.ID)
	for i := range ix.columns {
		c := &ix.columns[i]
		if row[c.at] == nil {
			return nil, nil
		}
		if s, ok := row[c.at].(string); ok && c.codec.padSpace {
			key = append(c.codec.appendTrimmed(append(key, keyValue), s, c.prefix), textEnd)
			continue
		}
		var err error
		if key, err = c.codec.appendKey(key, row[c.at], c.prefix, c.desc); err != nil {
			return nil, err
		}
	}
	return key, nil
}

// padEqual goes on at column i below prefix. The keys with n trailing spaces are
// looked for by seeks that jump over what lies between, so that the cost is one seek
// for every spelling that exists and one more, not one for every length.
func (ix *Index) padEqual(prefix []byte, i int, row sql.Row, seek func(k []byte) ([]byte, error), each func(key []byte) error) error {
	if i == len(ix.columns) {
		found, err := seek(prefix)
		if err != nil || !bytes.Equal(found, prefix) {
			return err
		}
		return each(found)
	}
	c := &ix.columns[i]
	if !c.codec.padSpace {
		next, err := c.codec.appendKey(bytes.Clone(prefix), row[c.at], c.prefix, c.desc)
		if err != nil {
			return err
		}
		return ix.padEqual(next, i+1, row, seek, each)
	}
	s, ok := row[c.at].(string)
	if !ok {
		return c.codec.mismatch(row[c.at])
	}
	space := c.codec.appendWeights(nil, " ", 0)
	base := c.codec.appendTrimmed(append(bytes.Clone(prefix), keyValue), s, c.prefix)
	for n := 0; ; n++ {
		at := append(bytes.Clone(base), bytes.Repeat(space, n)...)
		found, err := seek(append(at, textEnd))
		if err != nil || !bytes.HasPrefix(found, base) {
			return err
		}
		rest, have := found[len(base):], 0
		for bytes.HasPrefix(rest, space) {
			rest, have = rest[len(space):], have+1
		}
		switch {
		case len(rest) > 0 && rest[0] == textEnd && have >= n:
			next := append(bytes.Clone(found[:len(found)-len(rest)]), textEnd)
			if err := ix.padEqual(next, i+1, row, seek, each); err != nil {
				return err
			}
		case bytes.Compare(rest, space) > 0:
			return nil // sorts after any further number of spaces
		}
		n = max(n, have)
	}
}

// appendTrimmed appends the weights of s up to the last that is not a space's.
func (c *codec) appendTrimmed(dst []byte, s string, runes uint32) []byte {
	space := c.appendWeights(nil, " ", 0)
	end := len(dst)
	for n := uint32(0); len(s) > 0 && (runes == 0 || n < runes); n++ {
		_, size := c.nextRune(s)
		size = max(size, 1)
		at := len(dst)
		if dst = c.appendWeights(dst, s[:size], 0); !bytes.Equal(dst[at:], space) {
			end = len(dst)
		}
		s = s[size:]
	}
	return dst[:end]
}
