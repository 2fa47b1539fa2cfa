package txn

import (
	"context"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/store"
)

// ReadMode says which state a read sees. The transaction's own writes are part of
// every one.
type ReadMode int

const (
	// Consistent reads the transaction's view and takes no lock.
	Consistent ReadMode = iota
	// Latest reads what is published now and takes no lock (sources of DML under
	// READ COMMITTED).
	Latest
	// LockShared and LockExclusive lock the range first and read the newest state.
	LockShared
	LockExclusive
)

// Scan says what Txn.Scan reads.
type Scan struct {
	Index   *store.Index   // nil: the primary index
	Range   store.KeyRange // zero: the whole index
	Reverse bool
	Mode    ReadMode
	Columns []int // positions of the columns to decode; nil: all. Others are nil in the rows.
	Reuse   bool  // Rows.Row returns the same slice for every row
	Before  Mark  // zero: all own writes are seen; else those made before this mark, which must be live
}

// Rows iterates over the rows of a scan. It sees the transaction's writes made before
// the scan was opened and none that follow. Close must be called; the end of the
// transaction closes what is open.
type Rows struct {
	t       *Txn
	ctx     context.Context
	table   *store.Table
	index   *store.Index
	reader  pebble.Reader
	view    *view // held by this scan alone (Latest); nil otherwise
	it      *iter
	columns []int
	covered bool
	track   bool // remember row ids
	reuse   bool // as Scan.Reuse
	primary []byte
	data    []byte
	row     sql.Row
	err     error
	closed  bool
}

// Scan opens rows of table. Errors: ErrTableChanged, ErrLockWaitTimeout, ctx's.
func (t *Txn) Scan(ctx context.Context, table *store.Table, s Scan) (*Rows, error) {
	if t.ended {
		return nil, ErrDone
	}
	r := &Rows{t: t, ctx: ctx, table: table, index: s.Index, columns: s.Columns, reuse: s.Reuse}
	if r.index == nil {
		r.index = table.Primary
	}
	if s.Range.Start == nil && s.Range.End == nil {
		s.Range = store.IndexSpan(store.SpaceRows, r.index.Desc.ID)
	}
	r.covered = !r.index.IsPrimary() && s.Columns != nil && r.index.Covers(s.Columns)
	var err error
	if r.reader, r.view, err = t.reader(ctx, table, s.Range, s.Mode); err != nil {
		return nil, err
	}
	seq := t.set.seq
	if s.Before != (Mark{}) {
		i := t.find(s.Before)
		if i < 0 {
			r.dropView()
			return nil, fmt.Errorf("scan of table %s.%s: the mark is not live", table.Desc.Database, table.Desc.Name)
		}
		seq = t.set.marks[i].seq
	}
	if r.it, err = t.newIter(r.reader, s.Range, s.Reverse, seq); err != nil {
		r.dropView()
		return nil, err
	}
	r.track = !table.HasPrimaryKey() && (s.Mode == LockExclusive || s.Mode == LockShared)
	if t.rows == nil {
		t.rows = map[*Rows]struct{}{}
	}
	t.rows[r] = struct{}{}
	return r, nil
}

// reader chooses the state that a read mode sees and checks that the table is in it
// as the caller knows it. A view that is returned belongs to the caller.
func (t *Txn) reader(ctx context.Context, table *store.Table, r store.KeyRange, mode ReadMode) (pebble.Reader, *view, error) {
	if t.owns(table) {
		// Made or changed by this transaction: its rows stand in the store, past any view.
		return t.e.store.DB, nil, nil
	}
	switch mode {
	case LockShared, LockExclusive:
		lock := Exclusive
		if mode == LockShared {
			lock = Shared
		}
		if err := t.lock(ctx, r, lock); err != nil {
			return nil, nil, err
		}
		return t.e.store.DB, nil, t.checkTable(table, t.e.Catalog())
	case Latest:
		v := t.e.currentView()
		if v == nil {
			return nil, nil, ErrClosed
		}
		if err := t.checkTable(table, v.catalog); err != nil {
			t.e.releaseView(v)
			return nil, nil, err
		}
		return v.snap, v, nil
	}
	v := t.takeView()
	if v == nil {
		return nil, nil, ErrClosed
	}
	t.pinned = true
	return v.snap, nil, t.checkTable(table, v.catalog)
}

// checkTable refuses a table that is not the one in the catalog that goes with the
// state to be read or written: its index ids may belong to nothing there.
func (t *Txn) checkTable(table *store.Table, catalog *store.Catalog) error {
	if t.staged != nil {
		if t.owns(table) {
			return nil
		}
		if own := t.staged.TableByID(table.Desc.ID); own == nil || own.Desc.Version != table.Desc.Version {
			return fmt.Errorf("%s.%s: %w", table.Desc.Database, table.Desc.Name, ErrTableChanged)
		}
	}
	in := catalog.TableByID(table.Desc.ID)
	if in == table || in != nil && in.Desc.Version == table.Desc.Version {
		return nil
	}
	return fmt.Errorf("%s.%s: %w", table.Desc.Database, table.Desc.Name, ErrTableChanged)
}

// owns reports whether the transaction itself made the table what it is. It holds
// the lock then.
func (t *Txn) owns(table *store.Table) bool {
	if t.staged == nil || t.staged.TableByID(table.Desc.ID) != table {
		return false
	}
	published := t.e.Catalog().TableByID(table.Desc.ID)
	return published == nil || published.Desc.Version != table.Desc.Version
}

// Next moves to the next row; false at the end or on error (see Err).
func (r *Rows) Next() bool {
	if r.err != nil || r.closed {
		return false
	}
	if r.err = r.ctx.Err(); r.err != nil || !r.it.next() {
		if r.err == nil {
			r.err = r.it.err
		}
		return false
	}
	r.err = r.decode()
	return r.err == nil
}

func (r *Rows) decode() error {
	row := r.row
	if row == nil || !r.reuse {
		row = make(sql.Row, len(r.table.Types))
	}
	if r.index.IsPrimary() {
		r.primary, r.data = append(r.primary[:0], r.it.key...), r.it.value
	} else {
		primary, err := r.index.PrimaryKeyOf(r.it.key, r.it.value)
		if err != nil {
			return err
		}
		r.primary = primary
		if r.covered {
			r.row = row
			return r.index.RowOf(r.it.key, primary, row)
		}
		if r.data, err = r.t.getAt(r.reader, primary, r.it); err != nil {
			return err
		}
		if r.data == nil {
			return fmt.Errorf("index %s of table %s.%s names a row that is not there (key % x): %w",
				r.index.Desc.Name, r.table.Desc.Database, r.table.Desc.Name, r.it.key, store.ErrCorrupt)
		}
	}
	if err := r.table.DecodeRow(r.ctx, r.primary, r.data, r.columns, r.large, row); err != nil {
		return err
	}
	if r.track {
		r.t.rowIDs.note(r.table, r.primary, r.data)
	}
	r.row = row
	return nil
}

// getAt reads a row as the iterator sees it: a row that the transaction has changed
// since the scan began is read in its state of then.
func (t *Txn) getAt(reader pebble.Reader, key []byte, it *iter) ([]byte, error) {
	if it.set != nil {
		value, deleted, found, err := t.set.get(key, it.set.seq)
		switch {
		case err != nil || deleted:
			return nil, err
		case found:
			return value, nil
		}
	}
	return store.Get(reader, key)
}

func (r *Rows) large(primary []byte, ref store.LargeRef) ([]byte, error) {
	return readLarge(ref, primary, func(key []byte) ([]byte, error) { return r.t.getAt(r.reader, key, r.it) })
}

// readLarge puts the chunks of a large value together.
func readLarge(ref store.LargeRef, primary []byte, get func(key []byte) ([]byte, error)) ([]byte, error) {
	out := make([]byte, 0, min(ref.Length, 16<<20))
	for chunk := range store.LargeChunks(ref.Length) {
		b, err := get(store.LargeKey(primary, ref.Column, chunk))
		if err != nil {
			return nil, err
		}
		if b == nil {
			return nil, fmt.Errorf("chunk %d of a large value is missing: %w", chunk, store.ErrCorrupt)
		}
		out = append(out, b...)
	}
	return out, nil
}

// Row is the current row: a value per column of the table, nil for virtual columns
// and those not asked for. It is the caller's, until Next where Scan.Reuse is set.
func (r *Rows) Row() sql.Row { return r.row }

// Key is the key of the current row in the primary index, valid until Next.
func (r *Rows) Key() []byte { return r.primary }

// Err is the error that ended the iteration, nil at its regular end.
func (r *Rows) Err() error { return r.err }

// Close releases what the scan holds. It may be called again.
func (r *Rows) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	delete(r.t.rows, r)
	err := r.it.close()
	r.dropView()
	if r.err == nil {
		r.err = err
	}
	return err
}

func (r *Rows) dropView() {
	if r.view != nil {
		r.t.e.releaseView(r.view)
		r.view = nil
	}
}

// Get reads the row with these primary-key values, nil if there is none. Values that
// do not fit the columns' types match no row.
func (t *Txn) Get(ctx context.Context, table *store.Table, values []any, columns []int, mode ReadMode) (sql.Row, error) {
	if t.ended {
		return nil, ErrDone
	}
	key, ok, err := table.PointKey(values)
	if err != nil || !ok {
		return nil, err
	}
	reader, v, err := t.reader(ctx, table, pointRange(key), mode)
	if v != nil {
		defer t.e.releaseView(v)
	}
	if err != nil {
		return nil, err
	}
	return t.rowAt(ctx, reader, table, key, columns)
}

// rowAt decodes the row under a primary key, nil if there is none.
func (t *Txn) rowAt(ctx context.Context, reader pebble.Reader, table *store.Table, key []byte, columns []int) (sql.Row, error) {
	data, err := t.get(reader, key)
	if err != nil || data == nil {
		return nil, err
	}
	row := make(sql.Row, len(table.Types))
	large := func(primary []byte, ref store.LargeRef) ([]byte, error) {
		return readLarge(ref, primary, func(key []byte) ([]byte, error) { return t.get(reader, key) })
	}
	if err := table.DecodeRow(ctx, key, data, columns, large, row); err != nil {
		return nil, err
	}
	return row, nil
}
