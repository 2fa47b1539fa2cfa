package txn

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/store"
)

// touchedTables bounds the tables of a transaction whose changes are counted one by one.
const touchedTables = 64

// touched counts the rows that a transaction changes, by table; those that a rollback
// takes back included. An update that leaves all index entries as they are leaves the
// statistics true, and is not counted.
type touched struct{ tables []touchedTable }

type touchedTable struct {
	primary uint32
	rows    uint64
	more    int64
}

func (t *touched) add(primary uint32, rows uint64, more int64) {
	for i := len(t.tables) - 1; i >= 0; i-- {
		if x := &t.tables[i]; x.primary == primary {
			x.rows += rows
			x.more += more
			return
		}
	}
	if len(t.tables) < touchedTables {
		t.tables = append(t.tables, touchedTable{primary, rows, more})
	}
}

// changedRows counts the rows that commits have changed since the statistics of their
// table were gathered, by primary index.
type changedRows struct {
	mu     sync.Mutex
	tables map[uint32]RowChanges
}

// RowChanges are changes of a table's rows.
type RowChanges struct {
	Rows uint64 // inserted, deleted, updated in an index
	More int64  // rows there are more than before
}

func (c *changedRows) committed(t *touched) {
	if len(t.tables) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tables == nil {
		c.tables = map[uint32]RowChanges{}
	}
	for _, x := range t.tables {
		n := c.tables[x.primary]
		n.Rows += x.rows
		n.More += x.more
		c.tables[x.primary] = n
	}
}

func (c *changedRows) forget(primary uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.tables, primary)
}

// ChangedRows are the changes since SettleChanges, of tables that there were any of, by
// the id of their primary index. They are counted in memory.
func (e *Engine) ChangedRows() map[uint32]RowChanges {
	e.changed.mu.Lock()
	defer e.changed.mu.Unlock()
	all := make(map[uint32]RowChanges, len(e.changed.tables))
	for id, n := range e.changed.tables {
		all[id] = n
	}
	return all
}

// ChangesOf are those of one table.
func (e *Engine) ChangesOf(table *store.Table) RowChanges {
	e.changed.mu.Lock()
	defer e.changed.mu.Unlock()
	return e.changed.tables[table.Primary.Desc.ID]
}

// SettleChanges takes changes that are in the table's statistics now from the count.
func (e *Engine) SettleChanges(table *store.Table, n RowChanges) {
	e.changed.mu.Lock()
	defer e.changed.mu.Unlock()
	id := table.Primary.Desc.ID
	left := e.changed.tables[id]
	left.Rows -= min(left.Rows, n.Rows)
	left.More -= n.More
	if left.Rows == 0 {
		delete(e.changed.tables, id)
		return
	}
	e.changed.tables[id] = left
}

// Entry is an index entry of what is published.
type Entry struct {
	Key, Value []byte // valid until the next
	view       *view
	ix         *store.Index
}

// Row reads the row of an entry of the same index, the columns of the index: the one with this
// key and, if it is not the primary index, value. nil where it is not there.
func (n *Entry) Row(ctx context.Context, key, value []byte) (sql.Row, error) {
	primary, table := key, n.ix.Table
	if !n.ix.IsPrimary() {
		var err error
		if primary, err = n.ix.PrimaryKeyOf(key, value); err != nil {
			return nil, err
		}
	}
	data, err := store.Get(n.view.snap, primary)
	if err != nil || data == nil {
		return nil, err
	}
	row := make(sql.Row, len(table.Types))
	large := func(primary []byte, ref store.LargeRef) ([]byte, error) {
		return readLarge(ref, primary, func(key []byte) ([]byte, error) { return store.Get(n.view.snap, key) })
	}
	return row, table.DecodeRow(ctx, primary, data, n.ix.ColumnPositions(), large, row)
}

// Entries calls each for up to limit entries of an index, in order (descending where
// reverse) from the one at rest of the call before; nil: the first. rest is nil at the end,
// where each is called once more, with an entry without a key. Every call reads the state that is
// published then, and takes no lock. It fails with ErrTableChanged where the table is not there
// in this form.
func (e *Engine) Entries(ctx context.Context, ix *store.Index, reverse bool, from []byte, limit int, each func(*Entry) error) (rest []byte, err error) {
	v := e.currentView()
	if v == nil {
		return nil, ErrClosed
	}
	defer e.releaseView(v)
	if now := v.catalog.TableByID(ix.Table.Desc.ID); now == nil || now.Desc.Version != ix.Table.Desc.Version {
		return nil, fmt.Errorf("%s.%s: %w", ix.Table.Desc.Database, ix.Table.Desc.Name, ErrTableChanged)
	}
	span := store.IndexSpan(store.SpaceRows, ix.Desc.ID)
	bounds := &pebble.IterOptions{LowerBound: span.Start, UpperBound: span.End}
	if from != nil && reverse {
		bounds.UpperBound = from
	} else if from != nil {
		bounds.LowerBound = from
	}
	it, err := v.snap.NewIter(bounds)
	if err != nil {
		return nil, fmt.Errorf("read index %s of table %s.%s: %w", ix.Desc.Name, ix.Table.Desc.Database, ix.Table.Desc.Name, err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	first, next := it.First, it.Next
	if reverse {
		first, next = it.Last, it.Prev
	}
	entry := &Entry{view: v, ix: ix}
	n := 0
	for ok := first(); ok; ok = next() {
		if n == limit {
			if reverse {
				return bytes.Clone(entry.Key), nil // the bound is the one before it
			}
			return bytes.Clone(it.Key()), nil
		}
		if n++; n%256 == 0 {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
		}
		entry.Key, entry.Value = append(entry.Key[:0], it.Key()...), it.Value()
		if err := each(entry); err != nil {
			return nil, err
		}
	}
	if err := it.Error(); err != nil {
		return nil, err
	}
	entry.Key, entry.Value = nil, nil
	return nil, each(entry)
}

// Statistics are what is known of an index; nil where nothing is.
func (e *Engine) Statistics(ix *store.Index) (*store.IndexStatistics, error) {
	b, err := store.Get(e.store.DB, store.StatisticsKey(ix.Desc.ID))
	if err != nil || b == nil {
		return nil, err
	}
	return store.DecodeStatistics(b)
}

// PutStatistics keeps statistics of indexes of a table. They are no part of any
// transaction and of no log, and a crash may take them back. It fails with ErrTableChanged
// where the table is not there any more in this form.
func (e *Engine) PutStatistics(table *store.Table, stats map[uint32]*store.IndexStatistics) error {
	b := e.store.DB.NewBatch()
	defer b.Close()
	for id, s := range stats {
		value, err := s.Encode()
		if err != nil {
			return err
		}
		if err := b.Set(store.StatisticsKey(id), value, nil); err != nil {
			return fmt.Errorf("keep statistics of table %s.%s: %w", table.Desc.Database, table.Desc.Name, err)
		}
	}
	if err := e.store.CheckSpace(uint64(b.Len())); err != nil {
		return err
	}
	v := e.currentView()
	if v == nil {
		return ErrClosed
	}
	// While the view is held, nothing sweeps away indexes that are dropped after it.
	defer e.releaseView(v)
	if now := v.catalog.TableByID(table.Desc.ID); now == nil || now.Desc.Version != table.Desc.Version {
		return fmt.Errorf("%s.%s: %w", table.Desc.Database, table.Desc.Name, ErrTableChanged)
	}
	if err := b.Commit(pebble.NoSync); err != nil {
		return fmt.Errorf("keep statistics of table %s.%s: %w", table.Desc.Database, table.Desc.Name, err)
	}
	return nil
}
