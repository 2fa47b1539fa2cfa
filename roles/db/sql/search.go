package sql

import (
	"bytes"
	"slices"

	gms "github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/fulltext"
	"stack/roles/db/store"
	"stack/roles/db/txn"
)

// search is a search of a statement in one FULLTEXT index: all places of the statement
// that search it for the same share it.
type search struct {
	table *Table
	index *store.Index
	mode  fulltext.Mode
	found *found // of the text that was searched for last
}

// found is what the index says of a search.
type found struct {
	text  string
	query *fulltext.Query
	stats fulltext.Statistics
	// rows are the keys of the rows with a word, by the words' order in the query.
	rows [][][]byte
	many bool // rows are not complete: they are too many to keep
}

// maxFoundRows is how many keys of rows a search keeps; beyond them the table is read.
const maxFoundRows = 200_000

// of reads a search and what the index says of its words. Words that the statement itself
// has written count as far as it goes.
func (s *search) of(ctx *gms.Context, text string) (*found, error) {
	if s.found != nil && s.found.text == text {
		return s.found, nil
	}
	query, err := s.index.Lexicon().Parse(text, s.mode)
	if err != nil {
		return nil, searchError(err)
	}
	session, err := sessionOf(ctx)
	if err != nil {
		return nil, err
	}
	f := &found{text: text, query: query, stats: fulltext.Statistics{Docs: map[string]uint64{}}}
	f.stats.Rows = session.engine.sizes.rows(ctx, s.table.stored)
	mode := txn.Latest
	if session.consistent(s.table) {
		mode = txn.Consistent
	}
	kept := 0
	query.Terms(func(word []byte, prefix bool) {
		var rows [][]byte
		counted := map[string]uint64{}
		e := session.tx.Words(ctx, s.index, word, prefix, mode, func(word, primary []byte) error {
			counted[string(word)]++
			if kept++; kept <= maxFoundRows {
				rows = append(rows, bytes.Clone(primary))
			}
			return nil
		})
		if err == nil {
			err = e
		}
		for word, n := range counted {
			f.stats.Docs[word] = n
		}
		f.rows = append(f.rows, rows)
	})
	if err != nil {
		return nil, err
	}
	f.many = kept > maxFoundRows
	s.found = f
	return f, nil
}

// consistent says whether the running statement reads a table in its view, without locks.
func (s *Session) consistent(t *Table) bool {
	return s.reads == txn.Consistent && !s.kind.locks() && t.lock == nil && !t.own
}

// searches says whether a statement reads only the rows that an index names. One that locks
// does so as InnoDB does: rows with the words that others put in afterwards are not kept
// out, but under SERIALIZABLE, where the table is read.
func (s *Session) searches(t *Table) bool {
	return !t.own && s.kind != kindDDL && (s.consistent(t) || s.isolation() != txn.Serializable)
}

// candidates are the keys of the rows that may match, in order; ok is false where the
// table has to be read.
func (s *search) candidates(ctx *gms.Context, against gms.Expression) (keys [][]byte, ok bool, err error) {
	session, err := sessionOf(ctx)
	if err != nil || !session.searches(s.table) {
		return nil, false, err
	}
	keys = [][]byte{}
	text, null, err := searchText(ctx, against, nil)
	if err != nil || null {
		return keys, true, err
	}
	f, err := s.of(ctx, text)
	if err != nil || f.many {
		return nil, false, err
	}
	terms, ok := f.query.Needed(func(term int) uint64 { return uint64(len(f.rows[term])) })
	if !ok {
		return nil, false, nil
	}
	for _, term := range terms {
		keys = append(keys, f.rows[term]...)
	}
	slices.SortFunc(keys, bytes.Compare)
	return slices.CompactFunc(keys, bytes.Equal), true, nil
}
