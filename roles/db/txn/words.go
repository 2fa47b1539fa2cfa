package txn

import (
	"bytes"
	"context"

	"github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/store"
)

// The entries of FULLTEXT indexes are not locked: only searches read them, which lock
// rows if anything, and a row's entries are written under the row's own lock.

// putWords adds the entries of a new row in the FULLTEXT indexes.
func (t *Txn) putWords(table *store.Table, row sql.Row, primary []byte) error {
	return eachWords(table, row, primary, func(_ *store.Index, keys [][]byte) error {
		for _, key := range keys {
			if err := t.set.set(key, nil); err != nil {
				return err
			}
		}
		return nil
	})
}

// removeWords removes the entries of a row that goes.
func (t *Txn) removeWords(table *store.Table, row sql.Row, primary []byte) error {
	return eachWords(table, row, primary, func(_ *store.Index, keys [][]byte) error {
		for _, key := range keys {
			if err := t.set.delete(key); err != nil {
				return err
			}
		}
		return nil
	})
}

func eachWords(table *store.Table, row sql.Row, primary []byte, do func(*store.Index, [][]byte) error) error {
	for _, ix := range table.Indexes {
		if !ix.Desc.FullText {
			continue
		}
		keys, err := ix.Words(row, primary)
		if err != nil {
			return err
		}
		if err := do(ix, keys); err != nil {
			return err
		}
	}
	return nil
}

// replaceWords changes the entries of a row from the old one's to the new one's; what is
// in both is left alone, or, with all, written as well.
func (t *Txn) replaceWords(table *store.Table, old, row sql.Row, oldPrimary, primary []byte, all bool) error {
	moved := !bytes.Equal(oldPrimary, primary)
	for _, ix := range table.Indexes {
		if !ix.Desc.FullText || !moved && !all && sameTexts(ix, old, row) {
			continue
		}
		had, err := ix.Words(old, oldPrimary)
		if err != nil {
			return err
		}
		has, err := ix.Words(row, primary)
		if err != nil {
			return err
		}
		if err := t.replaceKeys(had, has, all); err != nil {
			return err
		}
	}
	return nil
}

// replaceKeys deletes the keys that are only in had and sets those that are only in has;
// both are in order. all sets those that are in both, too.
func (t *Txn) replaceKeys(had, has [][]byte, all bool) error {
	for len(had) > 0 || len(has) > 0 {
		var err error
		switch {
		case len(has) == 0 || len(had) > 0 && bytes.Compare(had[0], has[0]) < 0:
			err, had = t.set.delete(had[0]), had[1:]
		case len(had) == 0 || bytes.Compare(has[0], had[0]) < 0:
			err, has = t.set.set(has[0], nil), has[1:]
		default:
			if all {
				err = t.set.set(has[0], nil)
			}
			had, has = had[1:], has[1:]
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func sameTexts(ix *store.Index, old, row sql.Row) bool {
	for _, at := range ix.ColumnPositions() {
		was, isText := old[at].(string)
		now, stillText := row[at].(string)
		if isText != stillText || was != now {
			return false
		}
	}
	return true
}

// Words calls each for the entries of a word in a FULLTEXT index, or of every word that
// begins with it, as the mode sees them: with the word and the key of the row in the
// primary index, both valid until each returns. The mode must be one without locks.
// Entries of rows that the transaction changes meanwhile are not seen.
func (t *Txn) Words(ctx context.Context, ix *store.Index, word []byte, prefix bool, mode ReadMode, each func(word, primary []byte) error) error {
	if err := t.usable(); err != nil {
		return err
	}
	reader, v, err := t.reader(ix.Table, mode)
	if v != nil {
		defer t.e.releaseView(v)
	}
	if err != nil {
		return err
	}
	it, err := t.newIter(reader, ix.WordRange(word, prefix), false, t.set.seq)
	if err != nil {
		return err
	}
	defer it.close()
	if mode == Consistent {
		it.mix = t.mix(reader, ix, t.set.seq)
	}
	primary := store.AppendIndexPrefix(nil, store.SpaceRows, ix.Table.Primary.Desc.ID)
	start := len(primary)
	for n := 0; it.next(); n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		word, columns, err := ix.WordOf(it.key)
		if err != nil {
			return err
		}
		primary = append(primary[:start], columns...)
		if err := each(word, primary); err != nil {
			return err
		}
	}
	return it.err
}
