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
	// LockShared and LockExclusive read the newest rows and lock them: under
	// REPEATABLE READ and SERIALIZABLE the keys passed and what lies between them, so
	// that nothing new comes between; under READ COMMITTED the rows returned.
	LockShared
	LockExclusive
)

// locks says whether the mode locks, and how.
func (m ReadMode) locks() (LockMode, bool) {
	return LockMode(m - LockShared), m >= LockShared
}

// Waiting says what a locking read does with rows that others have locked.
type Waiting int

const (
	WaitLocked Waiting = iota // wait for them
	FailLocked                // fail with ErrLocked (NOWAIT)
	SkipLocked                // leave them out; only the rows returned are locked
)

// Scan says what Txn.Scan reads.
type Scan struct {
	Index   *store.Index   // nil: the primary index
	Range   store.KeyRange // zero: the whole index
	Point   bool           // Range begins with the only key that can be in it: all columns of a unique index, none NULL
	Reverse bool
	Mode    ReadMode
	Waiting Waiting
	Columns []int // positions of the columns to decode; nil: all. Others are nil in the rows.
	Reuse   bool  // Rows.Row returns the same slice for every row
	Before  Mark  // zero: all own writes are seen; else those made before this mark, which must be live
	// Keys, where not nil, are the rows to read, by their keys in the primary index, which
	// Index must be, in ascending order; those that are not there are left out. A locking mode
	// locks these rows and nothing between them.
	Keys [][]byte
	// Where, where not nil, is what holds of the rows to return; the others are not decoded
	// and, where the isolation allows it, not locked. A Test belongs to one scan.
	Where *store.Test
	// Skip, where not nil, is how many of the rows to leave out first; the scan counts it
	// down. They are not decoded where Accept need not see them. The mode must be one without
	// locks.
	Skip *int64
	// Accept, where not nil, says which of those rows to return. The others are not locked where
	// the isolation allows it. It may be asked twice for a row and keeps none.
	Accept func(row sql.Row) (bool, error)
}

// Rows iterates over the rows of a scan. It sees the transaction's writes made before
// the scan was opened and none that follow. Close must be called; the end of the
// transaction closes what is open.
type Rows struct {
	t       *Txn
	ctx     context.Context
	table   *store.Table
	index   *store.Index
	scan    Scan
	next    func() (bool, error) // moves to the next row and decodes it
	reader  pebble.Reader        // of the rows' data
	view    *view                // held by this scan alone; nil where it is the transaction's, or none
	it      *iter                // nil: a point
	seq     uint64               // own writes up to this number are seen
	covered bool
	track   bool // remember row ids
	kind    readKind
	locked  lockedRows
	primary []byte
	data    []byte
	row     sql.Row
	err     error
	closed  bool
}

// Scan opens rows of table. Errors: ErrTableChanged, ErrLockWaitTimeout, ErrDeadlock,
// ctx's.
func (t *Txn) Scan(ctx context.Context, table *store.Table, s Scan) (*Rows, error) {
	if err := t.usable(); err != nil {
		return nil, err
	}
	r := &Rows{t: t, ctx: ctx, table: table, index: s.Index, scan: s, seq: t.set.seq}
	if r.index == nil {
		r.index = table.Primary
	}
	if s.Range.Start == nil && s.Range.End == nil {
		r.scan.Range = store.IndexSpan(store.SpaceRows, r.index.Desc.ID)
	}
	r.covered = !r.index.IsPrimary() && s.Columns != nil && r.index.Covers(s.Columns) && (s.Where == nil || r.index.Covers(s.Where.Columns()))
	if s.Before != (Mark{}) {
		i := t.find(s.Before)
		if i < 0 {
			return nil, fmt.Errorf("scan of table %s.%s: the mark is not live", table.Desc.Database, table.Desc.Name)
		}
		r.seq = t.set.marks[i].seq
	}
	r.kind = kindOf(&r.scan)
	t.countRead(r.kind)
	if err := r.open(); err != nil {
		r.dropView()
		return nil, err
	}
	if t.rows == nil {
		t.rows = map[*Rows]struct{}{}
	}
	t.rows[r] = struct{}{}
	return r, nil
}

// open chooses how the rows are read.
func (r *Rows) open() error {
	_, locks := r.scan.Mode.locks()
	if locks {
		if err := r.t.lockTable(r.ctx, r.table); err != nil {
			return err
		}
		r.track = !r.table.HasPrimaryKey()
		if !r.t.owns(r.table) && !r.t.hasTable(r.table) {
			return r.openLocked()
		}
		r.scan.Mode = Latest // nobody else can write the table
	}
	var err error
	if r.reader, r.view, err = r.t.reader(r.table, r.scan.Mode); err != nil {
		return err
	}
	if r.scan.Keys != nil {
		r.next = r.nextOfKeys
		return nil
	}
	r.next = r.nextUnlocked
	if r.it, err = r.t.newIter(r.reader, r.scan.Range, r.scan.Reverse, r.seq); err == nil && r.scan.Mode == Consistent {
		r.it.mix = r.t.mix(r.reader, r.index, r.seq)
	}
	return err
}

// reader chooses the state that a read without locks sees and checks that the table is
// in it as the caller knows it. A view that is returned belongs to the caller.
func (t *Txn) reader(table *store.Table, mode ReadMode) (pebble.Reader, *view, error) {
	if t.owns(table) {
		// Made or changed by this transaction: its rows stand in the store, past any view.
		return t.e.store.DB, nil, nil
	}
	if mode == Latest {
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

// owns reports whether the transaction itself made the table what it is. It has the
// table for itself then.
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
	if r.err = r.ctx.Err(); r.err != nil {
		return false
	}
	var ok bool
	ok, r.err = r.next()
	return ok && r.err == nil
}

func (r *Rows) nextUnlocked() (bool, error) {
	for r.it.next() {
		if ok, err := r.decode(r.it.key, r.it.value); ok || err != nil {
			return ok, err
		}
		if err := r.ctx.Err(); err != nil {
			return false, err
		}
	}
	return false, r.it.err
}

// nextOfKeys moves to the next of the rows asked for that is there.
func (r *Rows) nextOfKeys() (bool, error) {
	for len(r.scan.Keys) > 0 {
		key := r.scan.Keys[0]
		r.scan.Keys = r.scan.Keys[1:]
		data, err := r.t.getAt(r.reader, key, r.seq)
		if err != nil {
			return false, err
		}
		if data == nil {
			continue
		}
		if ok, err := r.decode(key, data); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

// decode makes the entry under key the current row; false where it is none to return.
func (r *Rows) decode(key, value []byte) (bool, error) {
	r.t.countRow(r.kind)
	if r.index.IsPrimary() {
		r.primary = append(r.primary[:0], key...)
		return r.decodeRow(value)
	}
	if r.scan.Where == nil && r.skips() {
		return false, nil
	}
	primary, err := r.index.PrimaryKeyOf(key, value)
	if err != nil {
		return false, err
	}
	r.primary = primary
	if r.covered {
		return r.decodeCovered(key)
	}
	data, err := r.t.getAt(r.reader, primary, r.seq)
	if err != nil {
		return false, err
	}
	if data == nil {
		return false, fmt.Errorf("index %s of table %s.%s names a row that is not there (key % x): %w",
			r.index.Desc.Name, r.table.Desc.Database, r.table.Desc.Name, key, store.ErrCorrupt)
	}
	return r.decodeRow(data)
}

// decodeCovered makes a row of an entry alone.
func (r *Rows) decodeCovered(key []byte) (bool, error) {
	row := r.blank()
	if err := r.index.RowOf(key, r.primary, row); err != nil {
		return false, err
	}
	r.row = row
	if r.scan.Where != nil {
		if ok, err := r.scan.Where.Values(r.ctx, row); !ok || err != nil {
			return false, err
		}
		if r.skips() {
			return false, nil
		}
	}
	return r.accepted()
}

func (r *Rows) decodeRow(data []byte) (bool, error) {
	r.data = data
	if r.scan.Where != nil {
		if ok, err := r.scan.Where.Row(r.ctx, r.primary, data, r.large); err != nil {
			return false, fmt.Errorf("table %s.%s, row % x: %w", r.table.Desc.Database, r.table.Desc.Name, r.primary, err)
		} else if !ok {
			return false, nil
		}
	}
	if (r.scan.Where != nil || r.index.IsPrimary()) && r.skips() {
		return false, nil
	}
	row := r.blank()
	if err := r.table.DecodeRow(r.ctx, r.primary, data, r.scan.Columns, r.large, row); err != nil {
		return false, err
	}
	if r.track {
		r.t.rowIDs.note(r.table, r.primary, data)
	}
	r.row = row
	return r.accepted()
}

// skips counts a row that is to be left out before it is decoded.
func (r *Rows) skips() bool {
	if r.scan.Skip == nil || *r.scan.Skip == 0 || r.scan.Accept != nil {
		return false
	}
	*r.scan.Skip--
	return true
}

// accepted says whether the current row, which is decoded, is one to return.
func (r *Rows) accepted() (bool, error) {
	if r.scan.Accept == nil {
		return true, nil
	}
	ok, err := r.scan.Accept(r.row)
	if ok && r.scan.Skip != nil && *r.scan.Skip > 0 {
		*r.scan.Skip--
		return false, err
	}
	return ok, err
}

// blank is where the next row goes.
func (r *Rows) blank() sql.Row {
	if r.scan.Reuse && r.row != nil {
		return r.row
	}
	return make(sql.Row, len(r.table.Types))
}

// getAt reads a row with the writes of the transaction up to number seq: a row that it
// has changed since a scan began is read in its state of then.
func (t *Txn) getAt(reader pebble.Reader, key []byte, seq uint64) ([]byte, error) {
	if !t.set.empty() {
		value, deleted, found, err := t.set.get(key, seq)
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
	return r.t.largeAt(r.reader, primary, ref, r.seq)
}

// largeAt reads a large value of a row that getAt has given. The write set has the chunks that it has changed.
// The others of a row of its own, which is locked, are the newest, whatever the row was in reader.
func (t *Txn) largeAt(reader pebble.Reader, primary []byte, ref store.LargeRef, seq uint64) ([]byte, error) {
	if !t.set.empty() {
		if _, _, own, err := t.set.get(primary, seq); err != nil {
			return nil, err
		} else if own {
			reader = t.e.store.DB
		}
	}
	return readLarge(ref, primary, func(key []byte) ([]byte, error) { return t.getAt(reader, key, seq) })
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

// Close releases what the scan holds; locks stay. It may be called again.
func (r *Rows) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	delete(r.t.rows, r)
	var err error
	if r.it != nil {
		err = r.it.close()
	}
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
// do not fit the columns' types match no row. A locking mode locks the key, whether a
// row is there or (but under READ COMMITTED) not. Errors as Scan's.
func (t *Txn) Get(ctx context.Context, table *store.Table, values []any, columns []int, mode ReadMode) (sql.Row, error) {
	if err := t.usable(); err != nil {
		return nil, err
	}
	key, ok, err := table.PointKey(values)
	if err != nil || !ok {
		return nil, err
	}
	t.countRead(readKey)
	if lock, locks := mode.locks(); locks {
		if err := t.lockTable(ctx, table); err != nil {
			return nil, err
		}
		space := indexSpace(table.Primary.Desc.ID)
		fresh, err := t.point(ctx, space, key, lock, t.lockWait)
		if err != nil {
			return nil, err
		}
		// What is locked is published: whoever applied something to it would hold it still.
		data, err := t.getLocked(key, fresh)
		if err != nil {
			return nil, err
		}
		row, err := t.rowOf(ctx, t.e.store.DB, table, key, data, columns)
		if row != nil {
			t.countRow(readKey)
		}
		if err == nil && row == nil && fresh && t.isolation == ReadCommitted {
			t.unlock(space, key)
		}
		return row, err
	}
	reader, v, err := t.reader(table, mode)
	if v != nil {
		defer t.e.releaseView(v)
	}
	if err != nil {
		return nil, err
	}
	return t.rowByKey(ctx, reader, table, key, columns)
}

// rowByKey is rowAt, counted.
func (t *Txn) rowByKey(ctx context.Context, reader pebble.Reader, table *store.Table, key []byte, columns []int) (sql.Row, error) {
	row, err := t.rowAt(ctx, reader, table, key, columns)
	if row != nil {
		t.countRow(readKey)
	}
	return row, err
}

// rowAt decodes the row under a primary key, nil if there is none.
func (t *Txn) rowAt(ctx context.Context, reader pebble.Reader, table *store.Table, key []byte, columns []int) (sql.Row, error) {
	data, err := t.get(reader, key)
	if err != nil {
		return nil, err
	}
	return t.rowOf(ctx, reader, table, key, data, columns)
}

// rowOf decodes a row as it is stored, nil for none.
func (t *Txn) rowOf(ctx context.Context, reader pebble.Reader, table *store.Table, key, data []byte, columns []int) (sql.Row, error) {
	if data == nil {
		return nil, nil
	}
	row := make(sql.Row, len(table.Types))
	large := func(primary []byte, ref store.LargeRef) ([]byte, error) {
		return t.largeAt(reader, primary, ref, t.set.seq)
	}
	if err := table.DecodeRow(ctx, key, data, columns, large, row); err != nil {
		return nil, err
	}
	return row, nil
}
