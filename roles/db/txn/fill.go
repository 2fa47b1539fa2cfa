package txn

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/store"
)

const (
	fillMemory = 32 << 20 // bytes of keys that a fill sorts in memory
	fillSpace  = 64 << 20 // bytes after which it looks at the free space again
	fillReport = 1000     // rows after which it tells of its progress
)

// Fill writes what the build lacks from the state that it began with: in table files, sorted,
// which become part of the store one index after the other. Nobody has written under the
// new ids, so nothing that has been deleted can come back by them. Errors:
// *DuplicateKeyError, what convert returns, ErrDiskFull, ctx's.
func (b *Build) Fill(ctx context.Context) (err error) {
	f, err := b.newFiller()
	if err != nil {
		return err
	}
	defer func() { err = also(err, errors.Join(f.close(), b.closeReferences())) }()
	if err := b.openReferences(b.reader()); err != nil {
		return err
	}
	n := 0
	err = b.eachRow(ctx, func(key []byte, row sql.Row) error {
		if n++; n%fillReport == 0 {
			b.report(n)
		}
		return f.add(ctx, key, row)
	})
	if err != nil {
		return err
	}
	b.report(n)
	return f.finish(ctx)
}

// also adds an error of closing to err, which stays what it is where there is none: the SQL
// layer knows its own by their types.
func also(err, closing error) error {
	if closing == nil {
		return err
	}
	return errors.Join(err, closing)
}

func (b *Build) report(rows int) {
	if b.progress != nil {
		b.progress(rows)
	}
}

// reader is the state up to which everything is built.
func (b *Build) reader() pebble.Reader {
	if b.view != nil {
		return b.view.snap
	}
	return b.snap
}

// eachRow calls f for the rows that the build began with, as they were.
func (b *Build) eachRow(ctx context.Context, f func(key []byte, row sql.Row) error) (err error) {
	it, err := b.t.newIter(b.reader(), store.IndexSpan(store.SpaceRows, b.from.Primary.Desc.ID), false, b.t.set.seq)
	if err != nil {
		return err
	}
	defer func() { err = also(err, it.close()) }()
	for it.next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		row, err := b.decode(ctx, b.reader(), it.key, it.value)
		if err == nil {
			err = f(it.key, row)
		}
		if err != nil {
			return err
		}
	}
	return it.err
}

// decode reads a stored row of the table.
func (b *Build) decode(ctx context.Context, from pebble.Reader, key, data []byte) (sql.Row, error) {
	row := make(sql.Row, len(b.read.Types))
	large := func(primary []byte, ref store.LargeRef) ([]byte, error) {
		return readLarge(ref, primary, func(key []byte) ([]byte, error) { return b.t.getAt(from, key, b.t.set.seq) })
	}
	return row, b.read.DecodeRow(ctx, key, data, b.columns, large, row)
}

// converted is a decoded row in its new form.
func (b *Build) converted(row sql.Row) (sql.Row, error) {
	if b.convert == nil {
		return row, nil
	}
	return b.convert(row)
}

// newKey is the key of a row in the new primary index; old is its key in the old one.
func (b *Build) newKey(old []byte, row sql.Row) ([]byte, error) {
	if !b.rewrite {
		return old, nil
	}
	switch b.keys {
	case keysStay:
		key := store.AppendIndexPrefix(nil, store.SpaceRows, b.to.Primary.Desc.ID)
		return append(key, old[len(key):]...), nil
	case keysFresh:
		return b.freshKey(old, row)
	}
	return b.to.PrimaryKey(row)
}

// freshKey is the key that a row was given, or a new one, which is noted where rows change
// meanwhile: their old keys must lead to it.
func (b *Build) freshKey(old []byte, row sql.Row) ([]byte, error) {
	if b.given == 0 {
		return b.t.newKey(b.to, row)
	}
	key, err := store.Get(b.batch, b.givenKey(old))
	if err != nil || key != nil {
		return key, err
	}
	if key, err = b.t.newKey(b.to, row); err != nil {
		return nil, err
	}
	return key, b.batch.Set(b.givenKey(old), key, nil)
}

// givenKey is where the fresh key of an old one is.
func (b *Build) givenKey(old []byte) []byte {
	key := store.AppendIndexPrefix(nil, store.SpaceRows, b.given)
	return append(key, old[len(key):]...)
}

// filler sends the keys of a fill on their ways.
type filler struct {
	b           *Build
	rows, large *filling   // nil where the rows stay
	given       *filling   // of fresh keys by old ones, nil where nobody asks for them
	entries     []*filling // of b.indexes
	spellings   []*filling // beside entries and rows: what must be distinct up to trailing spaces
	all         []*filling
	bytes       int64 // since the space was looked at
}

// filling is the keys of one index on their way into table files.
type filling struct {
	index   *store.Index
	ordered bool // the keys come in order
	kept    bool // else they are only to be distinct
	sorter  *store.Sorter
	tables  *store.Tables
}

func (b *Build) newFiller() (*filler, error) {
	st := b.t.e.store
	if err := st.CheckSpace(fillSpace); err != nil {
		return nil, err
	}
	f := &filler{b: b}
	ordered := b.keys != keysOfRows
	if b.rewrite {
		f.rows = f.filling(b.to.Primary, ordered, true)
		f.large = f.filling(b.to.Primary, ordered, true)
	}
	if b.given != 0 {
		f.given = f.filling(b.to.Primary, true, true)
	}
	for _, ix := range b.indexes {
		f.entries = append(f.entries, f.filling(ix, false, true))
	}
	if b.rewrite && !ordered && b.to.Primary.Padded() {
		f.spellings = append(f.spellings, f.filling(b.to.Primary, false, false))
	}
	for _, ix := range b.indexes {
		if ix.Desc.Unique && ix.Padded() {
			f.spellings = append(f.spellings, f.filling(ix, false, false))
		}
	}
	sorted := 0
	for _, x := range f.all {
		if !x.ordered {
			sorted++
		}
	}
	for _, x := range f.all {
		if !x.ordered {
			x.sorter = st.NewSorter(fillMemory / sorted)
		}
		if !x.kept {
			continue
		}
		var err error
		if x.tables, err = st.NewTables(); err != nil {
			return nil, errors.Join(err, f.close())
		}
	}
	return f, nil
}

func (f *filler) filling(ix *store.Index, ordered, kept bool) *filling {
	x := &filling{index: ix, ordered: ordered, kept: kept}
	f.all = append(f.all, x)
	return x
}

func (f *filler) close() error {
	var err error
	for _, x := range f.all {
		if x.sorter != nil {
			err = errors.Join(err, x.sorter.Close())
		}
		if x.tables != nil {
			err = errors.Join(err, x.tables.Close())
		}
	}
	return err
}

// put adds a key to a filling.
func (f *filler) put(x *filling, key, value []byte) error {
	if f.bytes += int64(len(key) + len(value)); f.bytes >= fillSpace {
		f.bytes = 0
		if err := f.b.t.e.store.CheckSpace(fillSpace); err != nil {
			return err
		}
	}
	if x.ordered {
		return x.tables.Set(key, value)
	}
	return x.sorter.Add(key, value)
}

// add takes a row of the table.
func (f *filler) add(ctx context.Context, old []byte, row sql.Row) error {
	b := f.b
	row, err := b.converted(row)
	if err == nil {
		err = b.refer(b.reader(), row)
	}
	if err != nil {
		return err
	}
	key, err := f.newKey(old, row)
	if err != nil {
		return err
	}
	if b.rewrite {
		if err := f.addRow(ctx, key, row); err != nil {
			return err
		}
	}
	for i, ix := range b.indexes {
		if ix.Desc.FullText {
			words, err := ix.Words(row, key)
			if err != nil {
				return err
			}
			for _, k := range words {
				if err := f.put(f.entries[i], k, nil); err != nil {
					return err
				}
			}
			continue
		}
		k, v, enforced, err := ix.Entry(row, key)
		if err != nil {
			return err
		}
		if err := f.put(f.entries[i], k, v); err != nil {
			return err
		}
		if !enforced {
			continue
		}
		if err := f.addSpelling(ix, key, row); err != nil {
			return err
		}
	}
	return nil
}

// newKey is the key of a row that has none yet.
func (f *filler) newKey(old []byte, row sql.Row) ([]byte, error) {
	if f.given == nil {
		return f.b.newKey(old, row)
	}
	key, err := f.b.t.newKey(f.b.to, row)
	if err != nil {
		return nil, err
	}
	return key, f.put(f.given, f.b.givenKey(old), key)
}

func (f *filler) addRow(ctx context.Context, key []byte, row sql.Row) error {
	b := f.b
	if at := b.to.AutoIncrementColumn(); at >= 0 {
		if err := b.t.noteAutoIncrement(b.to, row[at]); err != nil {
			return err
		}
	}
	data, large, err := b.to.EncodeRow(ctx, row)
	if err != nil {
		return fmt.Errorf("table %s.%s: %w", b.to.Desc.Database, b.to.Desc.Name, err)
	}
	err = eachChunk(key, large, func(key, part []byte) error { return f.put(f.large, key, part) })
	if err == nil {
		err = f.put(f.rows, key, data)
	}
	if err == nil {
		err = f.addSpelling(b.to.Primary, key, row)
	}
	return err
}

// addSpelling adds the one spelling of a row's values in an index that stands for all that
// differ in trailing spaces, where that matters.
func (f *filler) addSpelling(ix *store.Index, key []byte, row sql.Row) error {
	for _, x := range f.spellings {
		if x.index != ix {
			continue
		}
		trimmed, err := ix.TrimmedKey(row)
		if err == nil && trimmed != nil {
			err = f.put(x, trimmed, key[len(store.AppendIndexPrefix(nil, store.SpaceRows, 0)):]) // to find the row again
		}
		return err
	}
	return nil
}

// eachChunk calls f for the chunks of a row's large values, in the order of their keys.
func eachChunk(key []byte, large []store.LargeValue, f func(key, part []byte) error) error {
	slices.SortFunc(large, func(a, b store.LargeValue) int { return cmp.Compare(a.Column, b.Column) })
	for _, v := range large {
		for chunk := range store.LargeChunks(v.Length) {
			from := uint64(chunk) * store.LargeChunkSize
			if err := f(store.LargeKey(key, v.Column, chunk), v.Bytes[from:min(from+store.LargeChunkSize, v.Length)]); err != nil {
				return err
			}
		}
	}
	return nil
}

// finish makes the files part of the store; the rows first, in which those are found that
// are in each other's way.
func (f *filler) finish(ctx context.Context) error {
	for _, x := range f.all {
		if err := f.ingest(ctx, x); err != nil {
			return err
		}
	}
	return nil
}

func (f *filler) ingest(ctx context.Context, x *filling) error {
	if !x.ordered {
		if err := f.sort(ctx, x); err != nil {
			return err
		}
	}
	if !x.kept {
		return nil
	}
	f.b.t.e.waitForMemtables()
	return x.tables.Ingest()
}

// sort puts the keys into table files in order; no two may be the same.
func (f *filler) sort(ctx context.Context, x *filling) error {
	var last []byte
	err := x.sorter.Each(func(key, value []byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if last != nil && bytes.Equal(key, last) {
			return f.duplicate(ctx, x, key, value)
		}
		last = append(last[:0], key...)
		if !x.kept {
			return nil
		}
		return x.tables.Set(key, value)
	})
	sorter := x.sorter
	x.sorter = nil
	return also(err, sorter.Close())
}

// duplicate is the error for two rows that an index holds equal; key and value are what the
// second of them has put into a filling.
func (f *filler) duplicate(ctx context.Context, x *filling, key, value []byte) (err error) {
	b := f.b
	d := &DuplicateKeyError{Table: b.to, Index: x.index, Existing: make(sql.Row, len(b.to.Types))}
	data := value
	if x != f.rows {
		if x.kept {
			key, err = x.index.PrimaryKeyOf(key, value)
		} else {
			key = append(store.AppendIndexPrefix(nil, store.SpaceRows, b.to.Primary.Desc.ID), value...)
		}
		if err != nil {
			return err
		}
		from := b.reader()
		if b.rewrite {
			from = b.t.e.store.DB // the rows are there already
		}
		if data, err = b.t.getAt(from, key, b.t.set.seq); err != nil {
			return err
		}
	}
	large := func(primary []byte, ref store.LargeRef) ([]byte, error) {
		return readLarge(ref, primary, func(key []byte) ([]byte, error) { return store.Get(b.t.e.store.DB, key) })
	}
	// The values are for the message only, which is better without them than not at all.
	if err := b.to.DecodeRow(ctx, key, data, x.index.ColumnPositions(), large, d.Existing); err != nil {
		b.t.e.log.Warn("read a row for the message about its duplicate", "error", err)
	}
	return d
}
