package txn

import (
	"sync/atomic"
	"time"

	"stack/roles/db/store"
)

// Client is for whom transactions run. Work is written by the goroutine that uses them;
// the rest may be read by anybody.
type Client struct {
	ID        uint32
	Statement atomic.Pointer[string] // that runs, nil if none is known
	Work      Work
}

// Work is what transactions have done.
type Work struct {
	Keys   uint64 // reads of one key: all columns of a unique index given
	Ranges uint64 // reads of a part of an index
	Scans  uint64 // reads of a whole index
	// Rows looked at, those that a condition then dropped included: by a key, in a part of an
	// index, in a whole one.
	KeyRows, RangeRows, ScanRows uint64

	Inserted, Updated, Deleted uint64 // rows written, those that a rollback takes back included

	Sorted uint64 // rows sorted, by whom the transaction runs for

	RowWait, TableWait time.Duration // for locks of rows, and of the definitions of tables
}

// Examined is the number of rows looked at.
func (w *Work) Examined() uint64 { return w.KeyRows + w.RangeRows + w.ScanRows }

// SetClient says for whom the transaction runs: what it does from now on is added to the
// client's work, until it has ended.
func (t *Txn) SetClient(c *Client) { t.owner.client = c }

// work is nil where nobody counts.
func (o *Owner) work() *Work {
	if o.client == nil {
		return nil
	}
	return &o.client.Work
}

// readKind says how rows are found.
type readKind uint8

const (
	readKey readKind = iota
	readRange
	readWhole
)

func (t *Txn) countRead(k readKind) {
	w := t.owner.work()
	if w == nil {
		return
	}
	switch k {
	case readKey:
		w.Keys++
	case readRange:
		w.Ranges++
	default:
		w.Scans++
	}
}

func (t *Txn) countRow(k readKind) {
	w := t.owner.work()
	if w == nil {
		return
	}
	switch k {
	case readKey:
		w.KeyRows++
	case readRange:
		w.RangeRows++
	default:
		w.ScanRows++
	}
}

// kindOf is how a scan finds its rows. A bound that names no column is the index's own.
func kindOf(s *Scan) readKind {
	switch {
	case s.Point:
		return readKey
	case len(s.Range.Start) <= store.IndexPrefixLen && len(s.Range.End) <= store.IndexPrefixLen:
		return readWhole
	}
	return readRange
}

// countWritten adds a row to what the transaction's work has written.
func (t *Txn) countWritten(row func(w *Work) *uint64) {
	if w := t.owner.work(); w != nil {
		*row(w)++
	}
}

// CountSorted adds rows that were sorted to what the transaction's work is.
func (t *Txn) CountSorted(rows int) {
	if w := t.owner.work(); w != nil {
		w.Sorted += uint64(rows)
	}
}

func inserted(w *Work) *uint64 { return &w.Inserted }
func updated(w *Work) *uint64  { return &w.Updated }
func deleted(w *Work) *uint64  { return &w.Deleted }

// waited adds a wait for a lock to what its owner's work is, and to the totals.
func (l *locks) waited(o *Owner, space lockSpace, took time.Duration) {
	sum, most := &l.rowWait, &l.rowWaitMost
	if space.ofTable() || space == catalogSpace {
		sum, most = &l.tableWait, &l.tableWaitMost
	}
	sum.Add(int64(took))
	for old := most.Load(); int64(took) > old && !most.CompareAndSwap(old, int64(took)); old = most.Load() {
	}
	w := o.work()
	switch {
	case w == nil:
	case sum == &l.rowWait:
		w.RowWait += took
	default:
		w.TableWait += took
	}
}
