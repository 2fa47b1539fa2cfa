package sql

import (
	"errors"
	"io"

	gms "github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/direct"
)

// withDistinctMemory is err, or what the client is told of a DISTINCT without the planner
// that keeps too much.
func withDistinctMemory(err error) error {
	if errors.Is(err, direct.ErrMemory) {
		return errQueryMemory()
	}
	return err
}

// distinctKeys are the keys of the rows that a DISTINCT has seen.
type distinctKeys struct {
	kept kept
	each int64 // bytes of a key
	seen map[uint64]struct{}
}

func newDistinctKeys(ctx *gms.Context) (*distinctKeys, error) {
	kept, err := newKept(ctx)
	return &distinctKeys{kept, keyMemory, map[uint64]struct{}{}}, err
}

// add says whether a key is new.
func (d *distinctKeys) add(key uint64) (bool, error) {
	if _, seen := d.seen[key]; seen {
		return false, nil
	}
	if err := d.kept.add(d.each); err != nil {
		return false, err
	}
	d.seen[key] = struct{}{}
	return true, nil
}

// forget gives the memory back.
func (d *distinctKeys) forget() {
	d.kept.forget()
	d.seen = nil
}

// distinctRowsIter leaves out rows that are equal to one before.
type distinctRowsIter struct {
	gms.RowIter
	hash distinctRows
	keys *distinctKeys
}

func newDistinctRows(ctx *gms.Context, rows gms.RowIter, hash distinctRows) (gms.RowIter, error) {
	keys, err := newDistinctKeys(ctx)
	return &distinctRowsIter{rows, hash, keys}, err
}

// Next returns the next row that is new.
func (d *distinctRowsIter) Next(ctx *gms.Context) (gms.Row, error) {
	for {
		row, err := d.RowIter.Next(ctx)
		if errors.Is(err, io.EOF) {
			d.keys.forget()
		}
		if err != nil {
			return nil, err
		}
		key, err := d.hash.HashOf(ctx, row)
		if err != nil {
			return nil, err
		}
		if fresh, err := d.keys.add(key); fresh || err != nil {
			return row, err
		}
	}
}

// Close lets go of the keys.
func (d *distinctRowsIter) Close(ctx *gms.Context) error {
	d.keys.forget()
	return d.RowIter.Close(ctx)
}
