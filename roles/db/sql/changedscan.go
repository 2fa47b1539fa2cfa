package sql

import (
	"bytes"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/plan"

	"stack/roles/db/store"
	"stack/roles/db/txn"
)

// changed is what the running ALTER TABLE has made of a table that a later step of it
// still knows as it was; nil if nothing.
func (s *Session) changed(was *store.Table) *store.Table {
	if s.kind != kindDDL {
		return nil
	}
	now := s.catalog().TableByID(was.Desc.ID)
	if now == nil || now.Desc.Version == was.Desc.Version {
		return nil
	}
	return now
}

// openChanged reads all rows of the table as it is now; Next gives them the columns that
// it had.
func (r *scan) openChanged(ctx *gms.Context, now *store.Table, tx *txn.Txn, read txn.Scan) error {
	at := map[uint16]int{}
	for i, c := range now.Desc.Columns {
		at[c.ID] = i
	}
	r.moved = make([]int, len(r.table.stored.Desc.Columns))
	for i, c := range r.table.stored.Desc.Columns {
		r.moved[i] = -1
		if p, ok := at[c.ID]; ok {
			r.moved[i] = p
		}
	}
	r.stored = now
	var err error
	r.rows, err = tx.Scan(ctx, now, txn.Scan{Mode: read.Mode, Before: read.Before})
	return err
}

// asBefore gives a row of the changed table the columns that it had before; a column
// that is gone is NULL.
func (r *scan) asBefore(row gms.Row) gms.Row {
	if r.moved == nil {
		return row
	}
	old := make(gms.Row, len(r.moved))
	for i, p := range r.moved {
		if p >= 0 {
			old[i] = row[p]
		}
	}
	return old
}

// whole says whether a range is all of an index.
func whole(ix *store.Index, r store.KeyRange) bool {
	all := store.IndexSpan(store.SpaceRows, ix.Desc.ID)
	return bytes.Equal(r.Start, all.Start) && bytes.Equal(r.End, all.End)
}

// checkNewRows makes a new CHECK look at the rows as the clauses before it have left them:
// it may be about a column that the same ALTER TABLE has added.
func checkNewRows(ctx *gms.Context, n *plan.CreateCheck) error {
	t := readTable(n.Table)
	if t == nil {
		return nil
	}
	now := *t
	if err := now.refresh(ctx); err != nil {
		return err
	}
	n.Table = plan.NewResolvedTable(&now, n.Table.SqlDatabase, nil)
	return nil
}
