package sql

import (
	"bytes"
	"io"

	gms "github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/store"
	"stack/roles/db/txn"
)

// scan reads a partition's spans one after the other.
type scan struct {
	session *Session
	table   *Table
	part    *partition
	next    int // span to open
	rows    *txn.Rows
	rest    []columnCheck // what the open span leaves to check
	single  bool          // the open span has had its only row
	moved   []int         // see openChanged
}

func newScan(s *Session, t *Table, p *partition) *scan {
	return &scan{session: s, table: t, part: p}
}

// open starts the next span.
func (r *scan) open(ctx *gms.Context) error {
	s := &r.part.spans[r.next]
	r.next++
	r.rest = s.rest
	columns := r.table.columns
	if r.table.projected != nil {
		if columns == nil {
			columns = []int{}
		}
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
	if len(r.rest) > 0 || r.table.filter != nil {
		read.Accept = func(row gms.Row) (bool, error) { return r.accepts(ctx, row) }
	}
	r.rows, err = tx.Scan(ctx, r.table.stored, read)
	return err
}

// Next returns the next row; io.EOF after the last.
func (r *scan) Next(ctx *gms.Context) (gms.Row, error) {
	for {
		if r.rows == nil {
			if r.next == len(r.part.spans) {
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
		r.single = r.part.spans[r.next-1].single
		return r.asked(r.asBefore(r.rows.Row())), nil
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
	r.next = len(r.part.spans)
	return nil
}
