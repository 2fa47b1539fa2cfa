package txn

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/binlog"
	"stack/roles/db/store"
)

// CheckReport is what Check found.
type CheckReport struct {
	Tables   int
	Rows     uint64
	Entries  uint64   // of secondary indexes
	Large    uint64   // large values
	Problems []string // one sentence each, at most problemLimit
	More     int      // problems beyond the limit
}

const problemLimit = 100

func (r *CheckReport) problem(format string, args ...any) {
	if len(r.Problems) < problemLimit {
		r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
	} else {
		r.More++
	}
}

// OK reports whether nothing is wrong.
func (r *CheckReport) OK() bool { return len(r.Problems) == 0 }

// Check reads the whole store at one view: every row decodes, every row has its
// index entries and every entry its row, every large value is there and has its
// hash, every key belongs to somebody, and the tail of the binary log has no hole and
// ends where the data does. Reading verifies the block checksums.
// virtual gives a row its virtual columns, nil where no table has any; without it,
// indexes over virtual columns are checked from the entry to the row only. An error
// means that the check could not go on.
func (e *Engine) Check(ctx context.Context, virtual func(*store.Table, sql.Row) (sql.Row, error)) (*CheckReport, error) {
	c := &checker{ctx: ctx, view: e.currentView(), virtual: virtual, owners: map[uint32]bool{}}
	if c.view == nil {
		return nil, ErrClosed
	}
	defer e.releaseView(c.view)
	return c.all()
}

// all checks everything that the view holds.
func (c *checker) all() (*CheckReport, error) {
	for _, db := range c.view.catalog.Databases() {
		for _, table := range c.view.catalog.Tables(db.Name) {
			if err := c.table(table); err != nil {
				return nil, err
			}
		}
	}
	for _, space := range []store.Space{store.SpaceRows, store.SpaceLarge, store.SpaceStatistics} {
		if err := c.strangers(space); err != nil {
			return nil, err
		}
	}
	if err := binlog.Check(c.view.snap, c.view.done.Server, c.view.done.Seq); errors.Is(err, store.ErrCorrupt) {
		c.problem("%v", err)
	} else if err != nil {
		return nil, err
	}
	return &c.CheckReport, nil
}

// CheckTable checks one table as Check does, at the newest view. A table that is no
// longer there gives a report without tables.
func (e *Engine) CheckTable(ctx context.Context, database, name string) (*CheckReport, error) {
	c := &checker{ctx: ctx, view: e.currentView(), owners: map[uint32]bool{}}
	if c.view == nil {
		return nil, ErrClosed
	}
	defer e.releaseView(c.view)
	table := c.view.catalog.Table(database, name)
	if table == nil {
		return &c.CheckReport, nil
	}
	if err := c.table(table); err != nil {
		return nil, err
	}
	return &c.CheckReport, nil
}

type checker struct {
	CheckReport
	ctx     context.Context
	view    *view
	virtual func(*store.Table, sql.Row) (sql.Row, error)
	owners  map[uint32]bool
	words   map[uint32]uint64 // entries that the rows have, by FULLTEXT index
}

// table checks the rows and index entries of one table.
func (c *checker) table(table *store.Table) error {
	c.Tables++
	c.owners[table.Primary.Desc.ID] = true
	if err := c.rows(table); err != nil {
		return err
	}
	for _, ix := range table.Indexes {
		c.owners[ix.Desc.ID] = true
		if c.allWords(ix) {
			continue
		}
		if err := c.entries(ix); err != nil {
			return err
		}
	}
	return nil
}

// each calls f for every key of the range, with ctx checked on the way.
func (c *checker) each(r store.KeyRange, f func(key, value []byte) error) error {
	it, err := c.view.snap.NewIter(&pebble.IterOptions{LowerBound: r.Start, UpperBound: r.End})
	if err != nil {
		return fmt.Errorf("check: %w", err)
	}
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		if err = c.ctx.Err(); err == nil {
			err = f(it.Key(), it.Value())
		}
	}
	if closed := it.Close(); err == nil && closed != nil {
		err = fmt.Errorf("check: %w", closed)
	}
	return err
}

func (c *checker) get(key []byte) ([]byte, error) { return store.Get(c.view.snap, key) }

func (c *checker) large(primary []byte, ref store.LargeRef) ([]byte, error) {
	c.Large++
	return readLarge(ref, primary, c.get)
}

// rows checks every row of a table and looks for its entries and chunks.
func (c *checker) rows(table *store.Table) error {
	name := table.Desc.Database + "." + table.Desc.Name
	chunks := uint64(0)
	err := c.each(store.IndexSpan(store.SpaceRows, table.Primary.Desc.ID), func(key, data []byte) error {
		c.Rows++
		row := make(sql.Row, len(table.Types))
		if err := table.DecodeRow(c.ctx, key, data, nil, c.large, row); err != nil {
			return c.note(err, "table %s, row % x", name, key)
		}
		refs, err := table.LargeRefs(data)
		if err != nil {
			return c.note(err, "table %s, row % x", name, key)
		}
		for _, ref := range refs {
			chunks += uint64(store.LargeChunks(ref.Length))
		}
		if table.HasPrimaryKey() {
			if own, err := table.PrimaryKey(row); err != nil || !bytes.Equal(own, key) {
				c.problem("table %s: the row under key % x has another primary key", name, key)
			}
		}
		return c.rowEntries(table, key, row)
	})
	if err != nil {
		return err
	}
	found := uint64(0)
	if err := c.each(store.IndexSpan(store.SpaceLarge, table.Primary.Desc.ID), func(_, _ []byte) error { found++; return nil }); err != nil {
		return err
	}
	if found != chunks {
		c.problem("table %s: rows name %d chunks of large values, %d are stored", name, chunks, found)
	}
	return nil
}

// note records corruption and lets the check go on; other errors end it.
func (c *checker) note(err error, format string, args ...any) error {
	if !errors.Is(err, store.ErrCorrupt) {
		return err
	}
	c.problem("%s: %s", fmt.Sprintf(format, args...), err)
	return nil
}

func (c *checker) rowEntries(table *store.Table, key []byte, row sql.Row) error {
	if c.virtual != nil {
		var err error
		if row, err = c.virtual(table, row); err != nil {
			return err
		}
	}
	for _, ix := range table.Indexes {
		if c.virtual == nil && overVirtual(ix) {
			continue
		}
		if ix.Desc.FullText {
			if err := c.rowWords(ix, key, row); err != nil {
				return err
			}
			continue
		}
		k, v, _, err := ix.Entry(row, key)
		if err != nil {
			return err
		}
		have, err := c.get(k)
		if err != nil {
			return err
		}
		if have == nil {
			c.problem("table %s.%s: row % x has no entry in index %s", table.Desc.Database, table.Desc.Name, key, ix.Desc.Name)
		} else if !bytes.Equal(have, v) {
			c.problem("table %s.%s: the entry of row % x in index %s names another row", table.Desc.Database, table.Desc.Name, key, ix.Desc.Name)
		}
	}
	return nil
}

func overVirtual(ix *store.Index) bool {
	for _, at := range ix.ColumnPositions() {
		if ix.Table.Desc.Columns[at].Virtual {
			return true
		}
	}
	return false
}

// entries checks that every entry of an index names a row that has it.
func (c *checker) entries(ix *store.Index) error {
	table := ix.Table
	return c.each(store.IndexSpan(store.SpaceRows, ix.Desc.ID), func(key, value []byte) error {
		c.Entries++
		primary, err := ix.PrimaryKeyOf(key, value)
		if err != nil {
			return c.note(err, "table %s.%s", table.Desc.Database, table.Desc.Name)
		}
		data, err := c.get(primary)
		if err != nil {
			return err
		}
		if data == nil {
			c.problem("table %s.%s: entry % x of index %s names no row", table.Desc.Database, table.Desc.Name, key, ix.Desc.Name)
			return nil
		}
		return c.entryOf(ix, key, primary, data)
	})
}

// entryOf checks that the row which an entry names would have this entry.
func (c *checker) entryOf(ix *store.Index, key, primary, data []byte) error {
	if c.virtual == nil && overVirtual(ix) {
		return nil
	}
	table := ix.Table
	row := make(sql.Row, len(table.Types))
	if err := table.DecodeRow(c.ctx, primary, data, nil, func(p []byte, ref store.LargeRef) ([]byte, error) {
		return readLarge(ref, p, c.get)
	}, row); err != nil {
		return c.note(err, "table %s.%s, row % x", table.Desc.Database, table.Desc.Name, primary)
	}
	if c.virtual != nil {
		var err error
		if row, err = c.virtual(table, row); err != nil {
			return err
		}
	}
	own, err := ownEntry(ix, row, key, primary)
	if err != nil {
		return err
	}
	if !own {
		c.problem("table %s.%s: entry % x of index %s is not the one of the row that it names", table.Desc.Database, table.Desc.Name, key, ix.Desc.Name)
	}
	return nil
}

// strangers looks for keys of indexes that nobody owns and nobody is about to delete.
func (c *checker) strangers(space store.Space) error {
	r := store.SpaceRange(space)
	for {
		it, err := c.view.snap.NewIter(&pebble.IterOptions{LowerBound: r.Start, UpperBound: r.End})
		if err != nil {
			return fmt.Errorf("check: %w", err)
		}
		var key []byte
		if it.First() {
			key = append(key, it.Key()...)
		}
		if err := it.Close(); err != nil {
			return fmt.Errorf("check: %w", err)
		}
		if key == nil {
			return nil
		}
		if len(key) < 5 {
			c.problem("key % x belongs to no index", key)
			return nil
		}
		id, _ := store.U32(key[1:5])
		if !c.owners[id] && !c.pending(id) {
			c.problem("index %d has keys and belongs to no table", id)
		}
		r.Start = store.IndexSpan(space, id).End
	}
}

func (c *checker) pending(id uint32) bool {
	for _, key := range [][]byte{store.MetaPendingDropKey(id), store.MetaBuildingKey(id)} {
		if b, err := store.Get(c.view.snap, key); err == nil && b != nil {
			return true
		}
	}
	return false
}
