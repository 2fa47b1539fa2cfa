package sql

import (
	"bytes"
	"context"
	"time"

	gms "github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/store"
	"stack/roles/db/txn"
)

const (
	// histogramBuckets is what buckets are merged down to when there are twice as many.
	histogramBuckets = 32
	// gatherSlice is how many entries are read at a time, of one state of the store.
	gatherSlice = 2000
	// boundLength is up to where a text or binary value stands in a histogram, characters or bytes.
	boundLength = 64
)

// counter counts the values of an index, whose entries come in order.
type counter struct {
	ix      *store.Index
	rows    uint64
	nulls   uint64
	values  []uint64 // by number of leading columns
	buckets []store.StatisticsBucket
	width   uint64 // rows at which a bucket ends

	open       store.StatisticsBucket // the one being filled; Bound is of the value that is last now
	key, value []byte                 // the last entry
	ends       []int
	spare      []int
}

func newCounter(ix *store.Index) *counter {
	return &counter{ix: ix, values: make([]uint64, len(ix.Desc.Columns)), width: 1}
}

// add takes the next entry; one without a key is the end.
func (c *counter) add(ctx context.Context, n *txn.Entry) error {
	if n.Key == nil {
		return c.finish(ctx, n)
	}
	c.rows++
	if len(c.values) == 0 {
		return nil // rows without a primary key
	}
	ends, err := c.ix.ColumnEnds(c.spare[:0], n.Key)
	if err != nil {
		return err
	}
	changed := c.firstChange(n.Key, ends)
	if changed < len(ends) {
		if c.open.Rows >= c.width {
			if err := c.close(ctx, n); err != nil {
				return err
			}
		}
		c.open.Distinct++
		c.open.Bound = 0
	}
	for i := changed; i < len(ends); i++ {
		c.values[i]++
	}
	c.open.Rows++
	c.open.Bound++
	if store.NullKeyColumn(n.Key[store.IndexPrefixLen:ends[0]]) {
		c.nulls++
		c.open.Nulls++
	}
	c.key = append(c.key[:0], n.Key...)
	if !c.ix.IsPrimary() {
		c.value = append(c.value[:0], n.Value...)
	}
	c.ends, c.spare = ends, c.ends
	return nil
}

// firstChange is the first column in which an entry differs from the last one.
func (c *counter) firstChange(key []byte, ends []int) int {
	if c.key == nil {
		return 0
	}
	from := store.IndexPrefixLen
	for i, end := range ends {
		if end != c.ends[i] || !bytes.Equal(key[from:end], c.key[from:end]) {
			return i
		}
		from = end
	}
	return len(ends)
}

// close ends the open bucket at the last entry. Where its row is not there any more, the
// bucket goes on.
func (c *counter) close(ctx context.Context, n *txn.Entry) error {
	row, err := n.Row(ctx, c.key, c.value)
	if err != nil || row == nil {
		return err
	}
	for _, at := range c.ix.ColumnPositions() {
		b, err := c.ix.Table.EncodeColumn(ctx, at, shortened(row[at]))
		if err != nil {
			return err
		}
		c.open.Upper = append(c.open.Upper, b)
	}
	c.buckets = append(c.buckets, c.open)
	c.open = store.StatisticsBucket{}
	if len(c.buckets) > 2*histogramBuckets {
		c.merge()
	}
	return nil
}

// shortened cuts long values.
func shortened(v any) any {
	switch v := v.(type) {
	case string:
		if len(v) > boundLength {
			n := 0
			for i := range v {
				if n++; n > boundLength {
					return v[:i]
				}
			}
		}
	case []byte:
		return v[:min(len(v), boundLength)]
	}
	return v
}

// merge makes fewer buckets, of neighbours that have few rows together: a value that many
// rows have keeps a bucket of its own.
func (c *counter) merge() {
	for len(c.buckets) > histogramBuckets {
		c.width *= 2
		merged := c.buckets[:1]
		for _, b := range c.buckets[1:] {
			last := &merged[len(merged)-1]
			if last.Rows+b.Rows > c.width {
				merged = append(merged, b)
				continue
			}
			b.Rows, b.Distinct, b.Nulls = b.Rows+last.Rows, b.Distinct+last.Distinct, b.Nulls+last.Nulls
			*last = b
		}
		c.buckets = merged
	}
}

// finish ends the last bucket.
func (c *counter) finish(ctx context.Context, n *txn.Entry) error {
	if c.open.Rows == 0 {
		return nil
	}
	if err := c.close(ctx, n); err != nil {
		return err
	}
	if c.open.Rows > 0 && len(c.buckets) > 0 { // its last row has just gone
		last := &c.buckets[len(c.buckets)-1]
		last.Rows, last.Distinct, last.Nulls = last.Rows+c.open.Rows, last.Distinct+c.open.Distinct, last.Nulls+c.open.Nulls
	}
	return nil
}

// gather counts the values in the indexes of a table and keeps what it finds. pause is called
// after each slice with the time that it took. Indexes whose statistics somebody has
// set stay as they are, unless all.
func (e *Engine) gather(ctx context.Context, t *store.Table, all bool, pause func(time.Duration) error) error {
	changes := e.db.ChangesOf(t)
	found := map[uint32]*store.IndexStatistics{}
	rows := uint64(0)
	for _, ix := range append([]*store.Index{t.Primary}, t.Indexes...) {
		if !all {
			if old := e.statistics.of(ix); old != nil && (old.Given || old.Dropped) {
				continue
			}
		}
		if ix.Desc.FullText { // one document is many entries
			found[ix.Desc.ID] = &store.IndexStatistics{At: time.Now().UTC(), Rows: rows}
			continue
		}
		c := newCounter(ix)
		// Buckets are in ascending order of the first column.
		reverse := len(ix.Desc.Columns) > 0 && ix.Desc.Columns[0].Desc
		var from []byte
		for more := true; more; more = from != nil {
			started := time.Now()
			var err error
			if from, err = e.db.Entries(ctx, ix, reverse, from, gatherSlice, func(n *txn.Entry) error { return c.add(ctx, n) }); err != nil {
				return err
			}
			if from != nil {
				if err := pause(time.Since(started)); err != nil {
					return err
				}
			}
		}
		if ix.IsPrimary() {
			rows = c.rows
		}
		found[ix.Desc.ID] = &store.IndexStatistics{At: time.Now().UTC(), Rows: c.rows, Distinct: c.values, Nulls: c.nulls, Buckets: c.buckets}
	}
	if err := e.db.PutStatistics(t, found); err != nil {
		return err
	}
	e.db.SettleChanges(t, changes)
	e.statistics.forget(t)
	return nil
}

// decodedBound reads the values of a bucket's upper bound.
func decodedBound(ctx context.Context, ix *store.Index, b *store.StatisticsBucket) (gms.Row, error) {
	positions := ix.ColumnPositions()
	row := make(gms.Row, min(len(positions), len(b.Upper)))
	for i := range row {
		v, err := ix.Table.DecodeColumn(ctx, positions[i], b.Upper[i])
		if err != nil {
			return nil, err
		}
		row[i] = v
	}
	return row, nil
}
