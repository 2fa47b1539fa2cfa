package event

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/store"
)

// rowsEventSize is the size in bytes at which an event of rows ends and the next one
// begins (binlog_row_event_max_size of MySQL).
const rowsEventSize = 8 << 10

// rowsFirst is room for a table map and a row of most tables, in bytes.
const rowsFirst = 512

// Flags of a rows event.
const (
	// rowsEnd marks the last event of a table map's rows.
	rowsEnd = 1
	// rowsNoForeignKeys: what foreign keys do to other rows is logged as rows of its
	// own, a replica must not do it again.
	rowsNoForeignKeys = 2
)

// Rows collects the table maps and rows of a transaction, in the order in which they
// are written. Consecutive rows of one table and kind share an event. The zero value,
// with Server set, is ready. What is complete can be moved out of memory. One goroutine
// at a time uses it.
type Rows struct {
	Server uint32 // server id in the events

	buf    []byte
	base   int64 // where buf begins: bytes moved out
	events int64 // begun so far
	open   run
}

// run is the event that the next row may be added to.
type run struct {
	table *Table // nil: none
	kind  Type
	start int64 // of the event
}

// RowsMark is a point that a transaction's rows can go back to.
type RowsMark struct {
	size   int64
	events int64
	open   run
}

// Mark is where the rows stand.
func (r *Rows) Mark() RowsMark { return RowsMark{r.Size(), r.events, r.open} }

// RollbackTo forgets the rows added since m. Marks taken after m are invalid. read gives
// back what was moved out; it is called only where that is needed, and its error is
// returned: the rows are of no more use then.
func (r *Rows) RollbackTo(m RowsMark, read func(b []byte, at int64) (int, error)) error {
	from := m.size
	if m.open.table != nil {
		from = m.open.start // the event is needed whole
	}
	if from < r.base {
		r.buf, r.base = make([]byte, m.size-from), from
		if len(r.buf) > 0 {
			if _, err := read(r.buf, from); err != nil && !errors.Is(err, io.EOF) {
				return fmt.Errorf("read back events: %w", err)
			}
		}
	}
	r.buf, r.events, r.open = r.buf[:m.size-r.base], m.events, m.open
	return nil
}

// Size is the number of bytes collected, without checksums.
func (r *Rows) Size() int64 { return r.base + int64(len(r.buf)) }

// FileSize is the number of bytes that the events will have in a file.
func (r *Rows) FileSize() uint64 { return uint64(r.Size() + r.events*ChecksumSize) }

// InMemory is the number of bytes that have not been moved out.
func (r *Rows) InMemory() int { return len(r.buf) }

// MoveOut gives the events that are complete to write, with their offset among all.
func (r *Rows) MoveOut(write func(b []byte, at int64) (int, error)) error {
	n := len(r.buf)
	if r.open.table != nil {
		n = int(r.open.start - r.base)
	}
	if n == 0 {
		return nil
	}
	if _, err := write(r.buf[:n], r.base); err != nil {
		return err
	}
	r.base += int64(n)
	r.buf = append(r.buf[:0], r.buf[n:]...)
	return nil
}

// Insert logs a new row.
func (r *Rows) Insert(ctx context.Context, t *store.Table, row sql.Row) error {
	return r.add(ctx, t, TypeWriteRows, row, nil)
}

// Delete logs a row that is no more.
func (r *Rows) Delete(ctx context.Context, t *store.Table, row sql.Row) error {
	return r.add(ctx, t, TypeDeleteRows, row, nil)
}

// Update logs a changed row. One that is the same is not logged.
func (r *Rows) Update(ctx context.Context, t *store.Table, before, after sql.Row) error {
	return r.add(ctx, t, TypeUpdateRows, before, after)
}

func (r *Rows) add(ctx context.Context, of *store.Table, kind Type, row, after sql.Row) error {
	t, err := TableOf(of)
	if err != nil {
		return err
	}
	if r.buf == nil {
		r.buf = make([]byte, 0, rowsFirst)
	}
	m, base, held := r.Mark(), r.base, len(r.buf)
	undo := func() { r.buf, r.base, r.events, r.open = r.buf[:held], base, m.events, m.open }
	if r.open.table != t || r.open.kind != kind {
		r.closeRun(rowsEnd)
		now := uint32(time.Now().Unix())
		r.buf = t.appendMap(r.buf, r.Server, now)
		r.events++
		r.begin(t, kind, now)
	} else if r.Size()-r.open.start >= rowsEventSize {
		r.closeRun(0)
		r.begin(t, kind, uint32(time.Now().Unix()))
	}
	r.buf = store.Room(r.buf, rowRoom(row)+rowRoom(after))
	first := len(r.buf)
	r.buf, err = t.appendRow(ctx, r.buf, row)
	if err == nil && kind == TypeUpdateRows {
		second := len(r.buf)
		if r.buf, err = t.appendRow(ctx, r.buf, after); err == nil && bytes.Equal(r.buf[first:second], r.buf[second:]) {
			undo()
			return nil
		}
	}
	if err == nil && r.Size()-r.open.start > MaxSize-ChecksumSize {
		err = fmt.Errorf("a row of more than %d bytes cannot be logged", MaxSize-ChecksumSize)
	}
	if err != nil {
		undo()
		return fmt.Errorf("table %s.%s: %w", of.Desc.Database, of.Desc.Name, err)
	}
	return nil
}

// rowRoom is about the most bytes that a row takes in an event.
func rowRoom(row sql.Row) int {
	n := 16 * len(row)
	for _, v := range row {
		switch v := v.(type) {
		case []byte:
			n += len(v)
		case string:
			n += len(v)
		}
	}
	return n
}

// begin begins a rows event:
//
//	19  table id, 6 bytes   25  flags, u16   27  length of extra data, u16: 2
//	29  number of columns; bitmap of those in the row images: all; before and after for
//	    an update
//	..  rows
func (r *Rows) begin(t *Table, kind Type, now uint32) {
	r.open = run{t, kind, r.Size()}
	r.events++
	r.buf = appendHeader(r.buf, kind, r.Server, now, 0)
	r.buf = appendLittle(r.buf, t.id, 6)
	r.buf = append(r.buf, 0, 0, 2, 0)
	r.buf = appendLength(r.buf, uint64(len(t.columns)))
	images := 1
	if kind == TypeUpdateRows {
		images = 2
	}
	for range images {
		for i := range t.bitmap {
			used := byte(0xff)
			if rest := len(t.columns) - 8*i; rest < 8 {
				used = 1<<rest - 1
			}
			r.buf = append(r.buf, used)
		}
	}
}

// closeRun ends the event that is open.
func (r *Rows) closeRun(flags uint16) {
	if r.open.table == nil {
		return
	}
	start := int(r.open.start - r.base)
	binary.LittleEndian.PutUint16(r.buf[start+HeaderSize+6:], flags|rowsNoForeignKeys)
	r.buf = end(r.buf, start)
	r.open.table = nil
}

// Close ends the last event and returns those that have not been moved out. Nothing may
// be added afterwards.
func (r *Rows) Close() []byte {
	r.closeRun(rowsEnd)
	return r.buf
}
