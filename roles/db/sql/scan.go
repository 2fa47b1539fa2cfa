package sql

import (
	"bytes"
	"io"
	"time"

	gms "github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/store"
	"stack/roles/db/txn"
)

// scan reads a partition's spans one after the other.
type scan struct {
	session *Session
	table   *Table
	part    *partition
	next    int // span to open; those of keys are one
	rows    *txn.Rows
	rest    []columnCheck  // what the open span leaves to check
	single  bool           // the open span has had its only row
	moved   []int          // see openChanged
	zone    *time.Location // of the rows that are returned, nil for UTC
	stored  *store.Table   // that the rows are read from
}

func newScan(s *Session, t *Table, p *partition) *scan {
	return &scan{session: s, table: t, part: p, zone: s.zone(), stored: t.stored}
}

// open starts the next span.
func (r *scan) open(ctx *gms.Context) error {
	if r.part.keys != nil {
		return r.openKeys(ctx)
	}
	s := &r.part.spans[r.next]
	r.next++
	r.rest = s.rest
	columns := r.columns()
	if columns != nil {
		for _, c := range s.rest {
			columns = append(columns[:len(columns):len(columns)], c.column)
		}
	}
	rng, err := r.part.index.Range(s.lo, s.hi)
	if err != nil {
		return err
	}
	tx, read, err := r.session.reader(r.table)
	if err != nil {
		return err
	}
	if now := r.session.changed(r.table.stored); now != nil && r.part.index.IsPrimary() && whole(r.part.index, rng) {
		return r.openChanged(ctx, now, tx, read)
	}
	read.Index, read.Range, read.Reverse, read.Columns = r.part.index, rng, r.part.reverse, columns
	read.Point = s.single && bytes.Equal(rng.End, store.PrefixEnd(rng.Start))
	r.restrict(&read)
	if len(r.rest) > 0 || r.table.filter != nil {
		read.Accept = func(row gms.Row) (bool, error) {
			if len(r.stored.Timestamps) > 0 {
				row = shownRow(r.stored, row, r.zone)
			}
			return r.accepts(ctx, row)
		}
	}
	r.rows, err = tx.Scan(ctx, r.table.stored, read)
	return err
}

// columns are the positions of those to decode, nil for all.
func (r *scan) columns() []int {
	t := r.table
	if t.unused == nil {
		if t.projected != nil && t.columns == nil {
			return []int{}
		}
		return t.columns
	}
	all := t.columns
	if t.projected == nil {
		all = make([]int, len(t.full))
		for i := range all {
			all[i] = i
		}
	}
	used := make([]int, 0, len(all))
	for _, at := range all {
		if !t.unused[at] {
			used = append(used, at)
		}
	}
	return used
}

// restrict makes a scan leave out what the condition above the table drops.
func (r *scan) restrict(read *txn.Scan) {
	if r.table.where != nil {
		read.Where = r.table.stored.NewTest(r.table.where)
	}
	read.Skip = r.table.skip
}

// scans is how many scans of the store a partition takes.
func (p *partition) scans() int {
	if p.keys != nil {
		return 1
	}
	return len(p.spans)
}

// openKeys reads the rows that a search has found.
func (r *scan) openKeys(ctx *gms.Context) error {
	r.next++
	tx, read, err := r.session.reader(r.table)
	if err != nil {
		return err
	}
	read.Keys, read.Columns = r.part.keys, r.columns()
	r.restrict(&read)
	r.rows, err = tx.Scan(ctx, r.table.stored, read)
	return err
}

// Next returns the next row; io.EOF after the last.
func (r *scan) Next(ctx *gms.Context) (gms.Row, error) {
	for {
		if r.rows == nil {
			if r.next == r.part.scans() {
				return nil, io.EOF
			}
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if err := r.open(ctx); err != nil {
				return nil, err
			}
		}
		// After the only row of a point the store would walk over its older versions.
		if r.single || !r.rows.Next() {
			r.single = false
			err := r.rows.Err()
			r.rows.Close()
			r.rows = nil
			if err != nil {
				return nil, err
			}
			continue
		}
		r.single = r.part.keys == nil && r.part.spans[r.next-1].single
		row := r.rows.Row()
		showRow(r.stored, row, r.zone)
		return r.asked(r.asBefore(row)), nil
	}
}

// asked is the row of the columns that the planner has asked for.
func (r *scan) asked(row gms.Row) gms.Row {
	if r.table.projected == nil {
		return row
	}
	asked := make(gms.Row, len(r.table.columns))
	for i, c := range r.table.columns {
		asked[i] = row[c]
	}
	return asked
}

// accepts says whether a row meets what the span leaves to check and what is filtered
// above.
func (r *scan) accepts(ctx *gms.Context, row gms.Row) (bool, error) {
	if ok, err := r.holds(ctx, row); !ok || err != nil || r.table.filter == nil {
		return ok, err
	}
	return r.table.filter(ctx, r.asked(row))
}

func (r *scan) holds(ctx *gms.Context, row gms.Row) (bool, error) {
	for _, c := range r.rest {
		if ok, err := c.holds(ctx, row[c.column]); err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

// Close releases the store's iterator.
func (r *scan) Close(*gms.Context) error {
	if r.rows != nil {
		r.rows.Close()
		r.rows = nil
	}
	r.next = r.part.scans()
	return nil
}
