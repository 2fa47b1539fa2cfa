package apply

import (
	"context"
	"fmt"
	"slices"

	"github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/binlog/event"
	"stack/roles/db/txn"
)

// change is a rows event and the map of its table.
type change struct {
	of   *mapped
	kind event.Type
	ev   []byte
}

// Invert takes back in tx what table maps and rows in the order of a log have done, the newest
// first. Every row must be as the log has left it: else an error that wraps txn.ErrDiverged.
func (a *Applier) Invert(ctx context.Context, tx *txn.Txn, events [][]byte) error {
	var changes []change
	for _, ev := range events {
		h, err := event.ParseHeader(ev)
		if err != nil {
			return err
		}
		if h.Type == event.TypeTableMap {
			if err := a.tableMap(ev); err != nil {
				return err
			}
			continue
		}
		kind, first := h.Type.Rows()
		if kind == 0 || first || !event.RowsSayAll(ev) {
			return fmt.Errorf("an event of type %v of another kind of server cannot be taken back", h.Type)
		}
		t, err := a.mapOf(ev)
		if err != nil {
			return err
		}
		changes = append(changes, change{t, kind, ev})
	}
	for _, c := range slices.Backward(changes) {
		if err := a.invert(ctx, tx, &c); err != nil {
			return err
		}
	}
	return nil
}

// invert takes back the rows of an event, the last first.
func (a *Applier) invert(ctx context.Context, tx *txn.Txn, c *change) error {
	if err := c.of.resolve(tx); err != nil {
		return err
	}
	table, images := c.of.table, c.of.images
	type pair struct{ before, after event.Image }
	var rows []pair
	if err := images.ReadRows(ctx, c.ev, func(before, after event.Image) error {
		rows = append(rows, pair{before, after})
		return ctx.Err()
	}); err != nil {
		return err
	}
	for _, r := range slices.Backward(rows) {
		left := r.before // what the change has left
		if c.kind == event.TypeUpdateRows {
			left = r.after
		}
		same := func(stored sql.Row) (bool, error) { return images.Equal(ctx, stored, left) }
		var err error
		switch c.kind {
		case event.TypeWriteRows:
			err = tx.DeleteLogged(ctx, table, left.Row, same)
		case event.TypeUpdateRows:
			err = tx.UpdateLogged(ctx, table, left.Row, r.before.Row, same)
		default:
			err = tx.InsertLogged(ctx, table, left.Row)
		}
		if err := told(err); err != nil {
			return err
		}
	}
	return nil
}

// mapOf is the table that a rows event belongs to.
func (a *Applier) mapOf(ev []byte) (*mapped, error) {
	id, err := event.RowsTable(ev)
	if err != nil {
		return nil, err
	}
	t := a.maps[id]
	if t == nil {
		return nil, fmt.Errorf("it has rows of table number %d, which it does not describe: %w", id, event.ErrCorrupt)
	}
	return t, nil
}

// resolve finds the table that the map stands for now.
func (t *mapped) resolve(tx *txn.Txn) (err error) {
	table := tx.Catalog().Table(t.m.Database, t.m.Name)
	if table == nil {
		return fmt.Errorf("table %s.%s does not exist here: %w", t.m.Database, t.m.Name, txn.ErrDiverged)
	}
	if t.table == table {
		return nil
	}
	if t.images, err = t.m.Images(table); err != nil {
		return fmt.Errorf("%w: %w", err, txn.ErrDiverged)
	}
	t.table = table
	return nil
}
