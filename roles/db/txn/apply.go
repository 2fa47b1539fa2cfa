package txn

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/binlog"
	"stack/roles/db/binlog/event"
	"stack/roles/db/store"
)

// Transactions that another server has committed first are repeated by their rows. They
// keep their GTID, which goes into the executed set and into this server's own log in the
// batch of the rows. Several of them, one after another, can share a transaction here, and
// with it the write to disk.

var (
	// ErrExecuted: the transaction to repeat has been executed already.
	ErrExecuted = errors.New("it has been executed already")
	// ErrDiverged is wrapped by a *MismatchError.
	ErrDiverged = errors.New("the data is not what it was where the log comes from")
)

// MismatchError says that a row is not the one that the log changes.
type MismatchError struct {
	Table  *store.Table
	Logged sql.Row // as the log has it before the change
	Stored sql.Row // as it is; nil: there is no such row
}

// Error names the table and the key.
func (e *MismatchError) Error() string {
	what := "the row is another one"
	if e.Stored == nil {
		what = "there is no such row"
	}
	return fmt.Sprintf("table %s.%s, %s: %s: %v", e.Table.Desc.Database, e.Table.Desc.Name, e.Key(), what, ErrDiverged)
}

// Unwrap is ErrDiverged.
func (*MismatchError) Unwrap() error { return ErrDiverged }

// mismatchShown bounds what an error shows of each value, in bytes.
const mismatchShown = 60

// Key is the primary key of the row as text; all columns where the table has none.
func (e *MismatchError) Key() string {
	at := e.Table.Primary.ColumnPositions()
	if !e.Table.HasPrimaryKey() {
		for i := range e.Table.Types {
			at = append(at, i)
		}
	}
	text := "key"
	for _, i := range at {
		value := fmt.Sprint(e.Logged[i])
		if len(value) > mismatchShown {
			value = value[:mismatchShown] + "…"
		}
		text += " " + e.Table.Desc.Columns[i].Name + "=" + value
	}
	return text
}

// Apply begins the repetition of a transaction: what the transaction writes until EndApply,
// or else until it is committed, is logged under the GTID of o. It works on a server that is read-only.
func (t *Txn) Apply(o binlog.Origin) {
	t.applies, t.newest = true, true
	t.origin = &o
	t.rowLog.Server = o.Server
}

// SetMeta stores a value under a key of the server itself, with what the transaction writes.
func (t *Txn) SetMeta(key, value []byte) error { return t.set.set(key, value) }

// EndApply ends the repetition of a transaction. full says that the transaction must be
// committed before another Apply.
func (t *Txn) EndApply() (full bool, err error) {
	log, err := t.logged()
	if err != nil {
		return false, err
	}
	t.repeated = append(t.repeated, log)
	t.origin, t.statement, t.changes = nil, nil, false
	if t.rowLog.file != nil {
		return true, nil
	}
	t.rowLog = rowLog{Rows: event.Rows{Server: t.e.binlog.ServerID()}}
	return t.set.spill != nil, nil
}

// CancelApply ends a repetition that has failed and takes back what it wrote since m.
// Those before it stay.
func (t *Txn) CancelApply(m Mark) {
	t.RollbackTo(m)
	t.Release(m)
	t.origin, t.statement, t.changes = nil, nil, false
}

// InsertLogged repeats an insert. A *DuplicateKeyError means that the data is not what it
// was where the log comes from.
func (t *Txn) InsertLogged(ctx context.Context, table *store.Table, row sql.Row) error {
	return t.InsertRow(ctx, table, row)
}

// UpdateLogged repeats an update. same says whether a stored row is the one that the log
// calls before. *MismatchError where it is not there.
func (t *Txn) UpdateLogged(ctx context.Context, table *store.Table, before, after sql.Row, same func(sql.Row) (bool, error)) error {
	if err := t.beginWrite(ctx, table); err != nil {
		return err
	}
	f, err := t.findLogged(ctx, table, before, same)
	if err != nil {
		return err
	}
	return t.changeRow(ctx, table, f.key, f.data, f.row, after)
}

// DeleteLogged repeats a delete, as UpdateLogged.
func (t *Txn) DeleteLogged(ctx context.Context, table *store.Table, before sql.Row, same func(sql.Row) (bool, error)) error {
	if err := t.beginWrite(ctx, table); err != nil {
		return err
	}
	f, err := t.findLogged(ctx, table, before, same)
	if err != nil {
		return err
	}
	return t.takeRow(ctx, table, f.key, f.data, f.row)
}

// foundRow is a stored row, locked.
type foundRow struct {
	key, data []byte
	row       sql.Row
}

// findLogged finds and locks the row that the log means.
func (t *Txn) findLogged(ctx context.Context, table *store.Table, before sql.Row, same func(sql.Row) (bool, error)) (*foundRow, error) {
	if !table.HasPrimaryKey() {
		return t.findByValue(ctx, table, before, same)
	}
	key, err := table.PrimaryKey(before)
	if err != nil {
		return nil, err
	}
	f, err := t.lockFound(ctx, table, key, before)
	if err != nil {
		return nil, err
	}
	if f == nil {
		return nil, &MismatchError{Table: table, Logged: before}
	}
	ok, err := same(f.row)
	if err == nil && !ok {
		err = &MismatchError{Table: table, Logged: before, Stored: f.row}
	}
	return f, err
}

// lockFound locks a key and reads its row; nil without one. Virtual columns are not
// stored: they are as the log has them.
func (t *Txn) lockFound(ctx context.Context, table *store.Table, key []byte, before sql.Row) (*foundRow, error) {
	if _, err := t.lockKey(ctx, table.Primary, key); err != nil {
		return nil, err
	}
	data, err := t.get(t.e.store.DB, key)
	if err != nil || data == nil {
		return nil, err
	}
	row, err := t.rowAt(ctx, t.e.store.DB, table, key, nil)
	if err != nil {
		return nil, err
	}
	for i, c := range table.Desc.Columns {
		if c.Virtual {
			row[i] = before[i]
		}
	}
	return &foundRow{key, bytes.Clone(data), row}, nil
}

// findByValue finds a row of a table without primary key: by the best index, else by
// reading the table from where the last one was found, as statements change rows in
// order. Rows that are equal in every column are as good as each other.
func (t *Txn) findByValue(ctx context.Context, table *store.Table, before sql.Row, same func(sql.Row) (bool, error)) (*foundRow, error) {
	scans := []Scan{{Mode: Latest}}
	if ix := bestIndex(table, before); ix != nil {
		values := make([]any, 0, len(ix.Desc.Columns))
		for _, at := range ix.ColumnPositions() {
			values = append(values, before[at])
		}
		bound := store.Bound{Values: values, Inclusive: true}
		r, err := ix.Range(bound, bound)
		if err != nil {
			return nil, err
		}
		scans[0].Index, scans[0].Range = ix, r
	} else if last := t.foundAt[table.Primary.Desc.ID]; last != nil {
		whole := store.IndexSpan(store.SpaceRows, table.Primary.Desc.ID)
		scans[0].Range = store.KeyRange{Start: last, End: whole.End}
		scans = append(scans, Scan{Mode: Latest, Range: store.KeyRange{Start: whole.Start, End: last}})
	}
	for _, s := range scans {
		f, err := t.findIn(ctx, table, s, before, same)
		if f == nil && err == nil {
			continue
		}
		if f != nil {
			if t.foundAt == nil {
				t.foundAt = map[uint32][]byte{}
			}
			t.foundAt[table.Primary.Desc.ID] = f.key
		}
		return f, err
	}
	return nil, &MismatchError{Table: table, Logged: before}
}

// bestIndex is the index that leads to the fewest rows like this one; nil without any: a
// unique one, else the one with the most columns. Words of a text lead to rows of other texts too,
// so an index of them is none.
func bestIndex(table *store.Table, row sql.Row) (best *store.Index) {
	most := 0
	for _, ix := range table.Indexes {
		if ix.Desc.FullText {
			continue
		}
		rank := len(ix.Desc.Columns)
		if ix.Desc.Unique && !hasNull(ix, row) {
			rank += len(table.Types)
		}
		if rank > most {
			best, most = ix, rank
		}
	}
	return best
}

func hasNull(ix *store.Index, row sql.Row) bool {
	for _, at := range ix.ColumnPositions() {
		if row[at] == nil {
			return true
		}
	}
	return false
}

func (t *Txn) findIn(ctx context.Context, table *store.Table, s Scan, before sql.Row, same func(sql.Row) (bool, error)) (*foundRow, error) {
	rows, err := t.Scan(ctx, table, s)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		if ok, err := same(rows.Row()); err != nil {
			return nil, err
		} else if !ok {
			continue
		}
		f, err := t.lockFound(ctx, table, bytes.Clone(rows.Key()), before)
		if err != nil {
			return nil, err
		}
		if f == nil {
			continue
		}
		if ok, err := same(f.row); err != nil || ok { // it may have changed before it was locked
			return f, err
		}
	}
	return nil, rows.Err()
}
