package txn

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/store"
)

const buildBatch = 4 << 20 // bytes written at once by a CatchUp

// CatchUp brings what has been built up to the state of now, and returns how many rows
// had changed. Nothing of it is synced: the commit that adopts it syncs all that was
// written before. Errors as Fill's; after one the build is of no use.
func (b *Build) CatchUp(ctx context.Context) (n int, err error) {
	if b.capture == nil {
		return 0, nil
	}
	next, changed, err := b.t.e.cut(b.capture)
	if err != nil {
		return 0, err
	}
	defer func() {
		b.t.e.releaseView(b.view)
		b.view = next
	}()
	if n, err = b.catchUp(ctx, &changed[0], next); err != nil {
		return 0, err
	}
	parents, err := b.followParents(ctx, changed[1:], next)
	return n + parents, err
}

// SlowWriters tells whoever writes the tables of the build to rest for a while after each commit (Txn.Rest),
// until the build is closed: those that outrun CatchUp would keep it from ever ending.
func (b *Build) SlowWriters(rest time.Duration) {
	if b.capture != nil {
		b.capture.rest.Store(int64(rest))
	}
}

// catchUp brings what has been built of the table itself up to the next state.
func (b *Build) catchUp(ctx context.Context, changed *changes, next *view) (n int, err error) {
	if changed.empty() {
		return 0, nil
	}
	// What goes makes room for what comes: two rows may have exchanged their values.
	err = b.eachChange(ctx, changed, next, func(key, old, _ []byte) error {
		n++
		if old == nil {
			return nil
		}
		return b.remove(ctx, key, old)
	})
	if err != nil {
		return 0, err
	}
	err = b.eachChange(ctx, changed, next, func(key, _, data []byte) error {
		if data == nil {
			return nil
		}
		return b.add(ctx, next.snap, key, data)
	})
	if err == nil {
		err = b.flush()
	}
	return n, err
}

// eachChange calls f for every row that differs between the view that is built and the next,
// nil where there is none; what f writes is flushed on the way.
func (b *Build) eachChange(ctx context.Context, c *changes, next *view, f func(key, old, data []byte) error) error {
	step := func(key, old, data []byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if bytes.Equal(old, data) && (old == nil) == (data == nil) {
			return nil
		}
		if err := f(key, old, data); err != nil {
			return err
		}
		if b.batch.Len() < buildBatch {
			return nil
		}
		return b.flush()
	}
	if c.span.Start != nil {
		return eachDifference(b.view.snap, next.snap, c.span, step)
	}
	for _, k := range slices.Sorted(maps.Keys(c.keys)) {
		key := []byte(k)
		old, err := store.Get(b.view.snap, key)
		if err != nil {
			return err
		}
		data, err := store.Get(next.snap, key)
		if err != nil {
			return err
		}
		if err := step(key, old, data); err != nil {
			return err
		}
	}
	return nil
}

// eachDifference walks over a range in two states side by side.
func eachDifference(before, after pebble.Reader, r store.KeyRange, f func(key, old, data []byte) error) (err error) {
	opts := &pebble.IterOptions{LowerBound: r.Start, UpperBound: r.End}
	a, err := before.NewIter(opts)
	if err != nil {
		return fmt.Errorf("read the rows before a change: %w", err)
	}
	defer func() { err = also(err, a.Close()) }()
	z, err := after.NewIter(opts)
	if err != nil {
		return fmt.Errorf("read the rows after a change: %w", err)
	}
	defer func() { err = also(err, z.Close()) }()
	a.First()
	z.First()
	for a.Valid() || z.Valid() {
		order := 0
		switch {
		case !z.Valid():
			order = -1
		case !a.Valid():
			order = 1
		default:
			order = bytes.Compare(a.Key(), z.Key())
		}
		switch {
		case order < 0:
			err = f(a.Key(), a.Value(), nil)
			a.Next()
		case order > 0:
			err = f(z.Key(), nil, z.Value())
			z.Next()
		default:
			err = f(a.Key(), a.Value(), z.Value())
			a.Next()
			z.Next()
		}
		if err != nil {
			return err
		}
	}
	return errors.Join(a.Error(), z.Error())
}

func (b *Build) flush() error {
	if err := b.t.e.store.CheckSpace(uint64(b.batch.Len())); err != nil {
		return err
	}
	if err := b.batch.Commit(pebble.NoSync); err != nil {
		return fmt.Errorf("write table %s.%s: %w", b.to.Desc.Database, b.to.Desc.Name, err)
	}
	err := b.batch.Close()
	b.batch = b.t.e.store.DB.NewIndexedBatch()
	return err
}

// remove takes away what was built of a row as it was.
func (b *Build) remove(ctx context.Context, key, old []byte) error {
	if !b.rewrite {
		row, err := b.decode(ctx, b.view.snap, key, old)
		if err != nil {
			return err
		}
		return b.removeEntries(b.indexes, key, row)
	}
	newKey, err := b.keyOfOld(ctx, key, old)
	if err != nil {
		return err
	}
	data, err := store.Get(b.batch, newKey)
	if err != nil {
		return err
	}
	if data == nil {
		return fmt.Errorf("table %s.%s: a row that was changed meanwhile is not where its primary key says (% x); run the statement again with LOCK=SHARED: %w",
			b.to.Desc.Database, b.to.Desc.Name, newKey, ErrRowNotFound)
	}
	row := make(sql.Row, len(b.to.Types))
	large := func(primary []byte, ref store.LargeRef) ([]byte, error) {
		return readLarge(ref, primary, func(key []byte) ([]byte, error) { return store.Get(b.batch, key) })
	}
	var columns []int
	for _, ix := range b.to.Indexes {
		columns = append(columns, ix.ColumnPositions()...)
	}
	if len(columns) > 0 {
		if err := b.to.DecodeRow(ctx, newKey, data, columns, large, row); err != nil {
			return err
		}
	}
	refs, err := b.to.LargeRefs(data)
	if err != nil {
		return err
	}
	for _, ref := range refs {
		for chunk := range store.LargeChunks(ref.Length) {
			if err := b.batch.Delete(store.LargeKey(newKey, ref.Column, chunk), nil); err != nil {
				return err
			}
		}
	}
	if err := b.batch.Delete(newKey, nil); err != nil {
		return err
	}
	return b.removeEntries(b.to.Indexes, newKey, row)
}

// keyOfOld is the new key of a row as it was.
func (b *Build) keyOfOld(ctx context.Context, key, old []byte) ([]byte, error) {
	if b.keys != keysOfRows {
		return b.newKey(key, nil)
	}
	row, err := b.decode(ctx, b.view.snap, key, old)
	if err == nil {
		row, err = b.converted(row)
	}
	if err != nil {
		return nil, err
	}
	return b.newKey(key, row)
}

func (b *Build) removeEntries(indexes []*store.Index, key []byte, row sql.Row) error {
	for _, ix := range indexes {
		if ix.Desc.FullText {
			words, err := ix.Words(row, key)
			for _, k := range words {
				err = errors.Join(err, b.batch.Delete(k, nil))
			}
			if err != nil {
				return err
			}
			continue
		}
		k, _, _, err := ix.Entry(row, key)
		if err == nil {
			err = b.batch.Delete(k, nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// add builds a row as it is in a state.
func (b *Build) add(ctx context.Context, from pebble.Reader, old, data []byte) error {
	row, err := b.decode(ctx, from, old, data)
	if err == nil {
		row, err = b.converted(row)
	}
	if err == nil {
		err = b.refer(from, row)
	}
	if err != nil {
		return err
	}
	key, err := b.newKey(old, row)
	if err != nil {
		return err
	}
	if b.rewrite {
		if err := b.addRow(ctx, key, row); err != nil {
			return err
		}
	}
	for _, ix := range b.indexes {
		if ix.Desc.FullText {
			words, err := ix.Words(row, key)
			for _, k := range words {
				err = errors.Join(err, b.batch.Set(k, nil, nil))
			}
			if err != nil {
				return err
			}
			continue
		}
		k, v, enforced, err := ix.Entry(row, key)
		if err == nil && enforced {
			err = b.unique(ix, row, k)
		}
		if err == nil {
			err = b.batch.Set(k, v, nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (b *Build) addRow(ctx context.Context, key []byte, row sql.Row) error {
	if b.keys == keysOfRows {
		if err := b.unique(b.to.Primary, row, key); err != nil {
			return err
		}
	}
	if at := b.to.AutoIncrementColumn(); at >= 0 {
		if err := b.t.noteAutoIncrement(b.to, row[at]); err != nil {
			return err
		}
	}
	encoded, large, err := b.to.EncodeRow(ctx, row)
	if err != nil {
		return fmt.Errorf("table %s.%s: %w", b.to.Desc.Database, b.to.Desc.Name, err)
	}
	if err := eachChunk(key, large, func(key, part []byte) error { return b.batch.Set(key, part, nil) }); err != nil {
		return err
	}
	return b.batch.Set(key, encoded, nil)
}

// unique refuses an entry that the index has already, up to trailing spaces where
// the collation ignores them.
func (b *Build) unique(ix *store.Index, row sql.Row, key []byte) error {
	duplicate := &DuplicateKeyError{Table: b.to, Index: ix, Existing: row}
	found, err := store.Get(b.batch, key)
	if err != nil {
		return err
	}
	if found != nil {
		return duplicate
	}
	if !ix.Padded() {
		return nil
	}
	span := store.IndexSpan(store.SpaceRows, ix.Desc.ID)
	it, err := b.batch.NewIter(&pebble.IterOptions{LowerBound: span.Start, UpperBound: span.End})
	if err != nil {
		return err
	}
	defer it.Close()
	return ix.PadEqual(row, func(k []byte) ([]byte, error) {
		if !it.SeekGE(k) {
			return nil, it.Error()
		}
		return it.Key(), nil
	}, func([]byte) error { return duplicate })
}
