package wire

import (
	"errors"

	"github.com/dolthub/go-mysql-server/sql"
)

// Results takes the answer of one statement from the engine and writes it to the
// client in the text or the binary protocol, straight into the connection's buffer.
// It is valid until the call that was given it returns, on the goroutine of that call.
//
// A statement announces either Columns and then its Rows, or OK. An error of Columns,
// Row or Next means that the client has gone or takes nothing: the statement should
// stop and return it.
type Results struct {
	c      *conn
	binary bool

	// What the statement has said so far.
	kind     resultKind
	columns  []column
	ctx      *sql.Context
	affected uint64
	insertID uint64
	info     string
	sent     uint64 // of all result sets of the statement

	// spool takes the rows in place of the client, for a cursor. It is made when
	// Columns is called.
	wantCursor bool
	spool      *spool

	local   *LocalFile // asked for and not read to its end yet
	scratch []byte
}

type resultKind uint8

const (
	resultNone resultKind = iota
	resultRows
	resultOK
)

var errResultOrder = errors.New("wire: Columns, OK or Row called out of order")

// Columns begins a result set. ctx is used by the rows too: for the character set of
// results and for converting values whose type needs it.
func (r *Results) Columns(ctx *sql.Context, schema sql.Schema) error {
	if r.kind != resultNone {
		return errResultOrder
	}
	r.kind, r.ctx = resultRows, ctx
	r.columns = appendColumns(r.columns[:0], ctx, schema, r.c.columnCharset())
	if r.wantCursor {
		r.spool = newSpool(r.c)
		return nil
	}
	return r.c.writeColumns(r.columns)
}

// Row writes one row. It keeps nothing of row.
//
// Hot path: BenchmarkTextRow, BenchmarkBinaryRow.
func (r *Results) Row(row sql.Row) error {
	if r.kind != resultRows || len(row) < len(r.columns) {
		return errResultOrder
	}
	r.sent++
	s := &r.c.stream
	s.begin()
	var err error
	if r.binary {
		s.wbuf, err = r.appendBinaryRow(s.wbuf, row)
	} else {
		s.wbuf, err = r.appendTextRow(s.wbuf, row)
	}
	if err != nil {
		s.abort()
		return err
	}
	if r.spool != nil {
		// The same bytes, put aside instead of sent.
		err = r.spool.add(s.wbuf[s.wstart+headerSize:])
		s.abort()
		return err
	}
	return s.end()
}

// Sent is the number of rows of the statement so far.
func (r *Results) Sent() uint64 { return r.sent }

// OK says that the statement has no result set. affected is the number of rows changed,
// or found where the client asked for CLIENT_FOUND_ROWS; insertID the AUTO_INCREMENT
// value that LAST_INSERT_ID() now gives, 0 if none; info a text such as
// "Records: 3  Duplicates: 0  Warnings: 0".
func (r *Results) OK(affected, insertID uint64, info string) {
	r.kind, r.affected, r.insertID, r.info = resultOK, affected, insertID, info
}

// Next ends the current result of a statement that has several (CALL); another
// follows.
func (r *Results) Next() error {
	if r.kind == resultNone || r.wantCursor {
		return errResultOrder
	}
	if err := r.finish(true); err != nil {
		return err
	}
	r.reset()
	return nil
}

// reset readies r for the next result.
func (r *Results) reset() {
	r.kind, r.ctx = resultNone, nil
	r.affected, r.insertID, r.info = 0, 0, ""
}

// finish writes the last packet of a result; more says that another follows.
func (r *Results) finish(more bool) error {
	if r.kind == resultRows {
		return r.c.writeEnd(more)
	}
	return r.c.writeOK(r.affected, r.insertID, r.info, more)
}

// closeLocal ends the exchange that LocalFile began. An error ends the connection.
func (r *Results) closeLocal() error {
	f := r.local
	if r.local = nil; f == nil {
		return nil
	}
	return f.close()
}
