package apply

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"

	"github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/binlog"
	"stack/roles/db/binlog/event"
	"stack/roles/db/store"
	"stack/roles/db/txn"
)

// Source gives the events of a log in order.
type Source interface {
	// Next returns the next event without its checksum, valid until the next call;
	// io.EOF at the end.
	Next(ctx context.Context) ([]byte, error)
}

// Statements runs statements of a log.
type Statements interface {
	// Replay runs a statement as it ran where it was logged, and commits it under the GTID
	// of o. rows, where not nil, is called with its transaction before the commit.
	Replay(ctx context.Context, q *event.Query, o binlog.Origin, rows func(context.Context, *txn.Txn) error) error
}

// Bounds of what shares a transaction, and so a write to disk.
const (
	batchTransactions = 256
	batchBytes        = 1 << 20
)

// Applier repeats the transactions of one source. One goroutine at a time uses it, and
// one Applier works on an engine. Close must be called.
type Applier struct {
	db         *txn.Engine
	statements Statements

	// Done, where not nil, is called in the transaction at the end of each that is repeated:
	// for what has to be stored together with it.
	Done func(context.Context, *txn.Txn) error
	// Durable, where not nil, is called when transactions for which Done was called are
	// durable, with their number.
	Durable func(n int)

	tx   *txn.Txn // nil: nothing waits for Flush
	n    int      // transactions in it
	ids  map[event.ID]bool
	size uint64 // bytes in the log of what waits
	maps map[uint64]*mapped
	refs references
}

// New makes an applier.
func New(db *txn.Engine, statements Statements) *Applier {
	return &Applier{db: db, statements: statements, ids: map[event.ID]bool{}, maps: map[uint64]*mapped{}}
}

// Close forgets what was not flushed.
func (a *Applier) Close() {
	if a.tx != nil {
		a.tx.Rollback()
		a.tx = nil
	}
}

// Next moves the source to the next transaction that has not been executed and returns
// what its first event says. io.EOF: there is none.
func (a *Applier) Next(ctx context.Context, src Source) (event.GTID, uint32, error) {
	for {
		ev, h, err := next(ctx, src)
		if err != nil {
			return event.GTID{}, 0, err
		}
		switch h.Type {
		case event.TypeFormatDescription, event.TypePreviousGTIDs, event.TypeRotate:
			continue
		case event.TypeGTID, event.TypeAnonymousGTID:
		default:
			if h.Ignorable() {
				continue
			}
			return event.GTID{}, 0, fmt.Errorf("the log has an event of type %v outside of a transaction, which cannot be applied", h.Type)
		}
		g, err := event.ParseGTID(ev)
		if err != nil {
			return g, 0, err
		}
		if g.Committed == 0 { // MySQL 5.7 says it nowhere else
			g.Committed = int64(h.Timestamp) * 1e6
		}
		if g.Number == 0 || !a.db.HasExecuted(g.ID()) && !a.ids[g.ID()] {
			return g, h.Server, nil
		}
		if err := skip(ctx, src, g.ID()); err != nil {
			return g, 0, err
		}
	}
}

// next reads an event and its header.
func next(ctx context.Context, src Source) ([]byte, event.Header, error) {
	ev, err := src.Next(ctx)
	if err != nil {
		return nil, event.Header{}, err
	}
	h, err := event.ParseHeader(ev)
	return ev, h, err
}

// within is next inside a transaction, where the log may not end.
func within(ctx context.Context, src Source) ([]byte, event.Header, error) {
	ev, h, err := next(ctx, src)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return ev, h, err
}

// skip reads over a transaction.
func skip(ctx context.Context, src Source, id event.ID) error {
	for {
		ev, h, err := within(ctx, src)
		if err != nil {
			return fmt.Errorf("transaction %s: %w", id, err)
		}
		switch h.Type {
		case event.TypeXID:
			return nil
		case event.TypeQuery:
			q, err := event.ParseQuery(ev)
			if err != nil {
				return fmt.Errorf("transaction %s: %w", id, err)
			}
			if !q.RowsFollow() {
				return nil
			}
		}
	}
}

// Apply repeats the transaction that Next has found; its server id is what Next returned.
// It may wait for Flush with others. After an error nothing of it is kept, and those
// before it are flushed; the source then stands within it. An error that wraps txn.ErrDiverged says that the data
// here is another than where the log comes from.
func (a *Applier) Apply(ctx context.Context, src Source, g event.GTID, server uint32) error {
	committed := g.Committed
	if g.Original != 0 {
		committed = g.Original
	}
	o := binlog.Origin{ID: g.ID(), Server: server, Committed: committed}
	err := a.apply(ctx, src, g, o)
	if err != nil {
		name := "the transaction"
		if g.Number > 0 {
			name = "transaction " + g.String()
		}
		err = fmt.Errorf("%s cannot be applied: %w", name, err)
		return errors.Join(err, a.Flush(ctx))
	}
	return nil
}

func (a *Applier) done(ctx context.Context, tx *txn.Txn) error {
	if a.Done == nil {
		return nil
	}
	return a.Done(ctx, tx)
}

func (a *Applier) apply(ctx context.Context, src Source, g event.GTID, o binlog.Origin) error {
	ev, h, err := within(ctx, src)
	if err != nil {
		return err
	}
	if h.Type != event.TypeQuery {
		return fmt.Errorf("it begins with an event of type %v", h.Type)
	}
	q, err := event.ParseQuery(ev)
	if err != nil {
		return err
	}
	if q.Text != "BEGIN" {
		return a.statement(ctx, src, q, o)
	}
	// Where the size is not told, it may be anything.
	alone := g.Size == 0 || g.Size > batchBytes
	if alone || a.size+g.Size > batchBytes || a.n == batchTransactions {
		if err := a.Flush(ctx); err != nil {
			return err
		}
	}
	if a.tx == nil {
		a.tx = a.db.Begin(txn.ReadCommitted)
	}
	a.tx.NewStatement()
	mark := a.tx.Mark()
	a.tx.Apply(o)
	err = a.rows(ctx, src, a.tx)
	if err == nil {
		err = a.done(ctx, a.tx)
	}
	if err != nil {
		a.tx.CancelApply(mark)
		return err
	}
	full, err := a.tx.EndApply()
	if err != nil {
		a.tx.CancelApply(mark)
		return err
	}
	a.tx.Release(mark)
	if o.Named() {
		a.ids[o.ID] = true
	}
	a.n++
	a.size += g.Size
	if full || alone {
		return a.Flush(ctx)
	}
	return nil
}

// statement runs a statement, alone.
func (a *Applier) statement(ctx context.Context, src Source, q *event.Query, o binlog.Origin) error {
	if err := a.Flush(ctx); err != nil {
		return err
	}
	rows := a.done
	if q.RowsFollow() {
		rows = func(ctx context.Context, tx *txn.Txn) error {
			if err := a.rows(ctx, src, tx); err != nil {
				return err
			}
			return a.done(ctx, tx)
		}
	}
	if err := a.statements.Replay(ctx, q, o, rows); err != nil {
		return fmt.Errorf("statement %s: %w", shown(q.Text), err)
	}
	a.durable(1)
	return nil
}

func (a *Applier) durable(n int) {
	if a.Durable != nil {
		a.Durable(n)
	}
}

// shown cuts a statement for a message.
func shown(text string) string {
	if len(text) > 200 {
		text = text[:200] + "…"
	}
	return fmt.Sprintf("%q", text)
}

// Flush commits what has been applied and waits: all of it, durably.
func (a *Applier) Flush(ctx context.Context) error {
	tx := a.tx
	if tx == nil {
		return nil
	}
	n := a.n
	a.tx, a.size, a.n = nil, 0, 0
	clear(a.ids)
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("commit transactions of the log: %w", err)
	}
	a.durable(n)
	return nil
}

// Waiting is the number of transactions that wait for Flush.
func (a *Applier) Waiting() int { return a.n }

// savepoint is a statement that some servers log among rows. It does nothing: what was
// rolled back to one is not in the log.
var savepoint = regexp.MustCompile(`(?i)^\s*(release\s+)?savepoint\s`)

// rows applies table maps and rows up to the end of the transaction.
func (a *Applier) rows(ctx context.Context, src Source, tx *txn.Txn) error {
	if len(a.maps) > mapsKept {
		clear(a.maps)
	}
	for {
		ev, h, err := within(ctx, src)
		if err != nil {
			return err
		}
		switch h.Type {
		case event.TypeXID:
			return nil
		case event.TypeTableMap:
			err = a.tableMap(ev)
		case event.TypeWriteRows, event.TypeUpdateRows, event.TypeDeleteRows,
			event.TypeWriteRowsV1, event.TypeUpdateRowsV1, event.TypeDeleteRowsV1:
			kind, _ := h.Type.Rows()
			err = a.rowsEvent(ctx, tx, kind, ev)
		case event.TypeQuery:
			q, e := event.ParseQuery(ev)
			if e == nil && q.Text == "COMMIT" {
				return nil
			}
			if err = e; e == nil && !savepoint.MatchString(q.Text) {
				err = fmt.Errorf("it has the statement %s among its rows: log rows only (binlog_format=ROW) where it comes from", shown(q.Text))
			}
		default:
			if !h.Ignorable() {
				err = fmt.Errorf("it has an event of type %v, which cannot be applied", h.Type)
			}
		}
		if err != nil {
			return err
		}
	}
}

// mapped is a table map with the table that it stood for when its rows were applied last.
type mapped struct {
	raw    []byte
	m      *event.TableMap
	table  *store.Table
	images *event.Images
}

// mapsKept is how many table maps are remembered from one transaction to the next. Within one none is forgotten: those of
// all tables of a statement come before its rows.
const mapsKept = 1000

func (a *Applier) tableMap(ev []byte) error {
	m, err := event.ParseTableMap(ev)
	if err != nil {
		return err
	}
	body := ev[event.HeaderSize:]
	if known := a.maps[m.ID]; known != nil && bytes.Equal(known.raw, body) {
		return nil
	}
	a.maps[m.ID] = &mapped{raw: bytes.Clone(body), m: m}
	return nil
}

// rowsEvent writes the rows of an event.
func (a *Applier) rowsEvent(ctx context.Context, tx *txn.Txn, kind event.Type, ev []byte) error {
	t, err := a.mapOf(ev)
	if err != nil {
		return err
	}
	if err := t.resolve(tx); err != nil {
		return err
	}
	table := t.table
	whole := event.RowsSayAll(ev)
	return t.images.ReadRows(ctx, ev, func(before, after event.Image) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		same := func(stored sql.Row) (bool, error) { return t.images.Equal(ctx, stored, before) }
		switch kind {
		case event.TypeWriteRows:
			return told(tx.InsertLogged(ctx, table, before.Row))
		case event.TypeUpdateRows:
			err := told(tx.UpdateLogged(ctx, table, before.Row, after.Row, same))
			if err == nil && !whole {
				err = a.cascade(ctx, tx, table, before.Row, after.Row, 0)
			}
			return err
		default:
			err := tx.DeleteLogged(ctx, table, before.Row, same)
			if err == nil && !whole {
				err = a.cascade(ctx, tx, table, before.Row, nil, 0)
			}
			return err
		}
	})
}

// told makes an error about a key that is there already one about data that has
// diverged.
func told(err error) error {
	var dup *txn.DuplicateKeyError
	if errors.As(err, &dup) {
		mismatch := &txn.MismatchError{Table: dup.Table, Logged: dup.Existing, Stored: dup.Existing}
		return fmt.Errorf("table %s.%s, %s, is there already: %w: %w", dup.Table.Desc.Database, dup.Table.Desc.Name, mismatch.Key(), dup, txn.ErrDiverged)
	}
	return err
}
