package wire

import (
	"context"
	"fmt"
)

// statement is a prepared statement of one connection.
type statement struct {
	id     uint32
	st     Statement
	types  []uint16 // of the parameters, as last bound: type, and 0x8000 for unsigned
	long   [][]byte // COM_STMT_SEND_LONG_DATA; nil where a parameter got none
	longOK bool
	size   int // bytes in long
	params []Param
	spool  *spool // an open cursor
}

// cursorReadOnly is the flag of COM_STMT_EXECUTE that asks for a cursor.
const cursorReadOnly = 1

// prepare answers with "COM_STMT_PREPARE_OK", the parameters and the columns:
//
//	1 byte   0x00
//	4 bytes  statement id
//	2 bytes  columns
//	2 bytes  parameters
//	1 byte   0x00
//	2 bytes  warnings
func (c *conn) prepare(arg []byte) error {
	if len(c.stmts) >= c.cfg.MaxPreparedStatements {
		return c.writeErr(Errorf(erTooManyStatements, "Can't create more than max_prepared_stmt_count statements (current value: %d)", c.cfg.MaxPreparedStatements))
	}
	query, err := c.decodeText(arg)
	if err != nil {
		return c.answer(nil, err)
	}
	var st Statement
	var cols []column
	cause, err := c.run(func(ctx context.Context) (err error) {
		if st, err = c.session.Prepare(ctx, string(query)); err == nil {
			sqlCtx, schema := st.Columns()
			cols = appendColumns(nil, sqlCtx, schema, c.columnCharset())
		}
		return err
	})
	if err != nil {
		return c.answer(cause, err)
	}
	n := st.Params()
	if n > 65535 {
		st.Close()
		return c.writeErr(Errorf(1390, "Prepared statement contains too many placeholders"))
	}
	if c.stmts == nil {
		c.stmts = map[uint32]*statement{}
	}
	for c.lastStmt++; c.lastStmt == 0 || c.stmts[c.lastStmt] != nil; {
		c.lastStmt++
	}
	s := &statement{id: c.lastStmt, st: st, long: make([][]byte, n), longOK: true, params: make([]Param, n)}
	c.stmts[s.id] = s
	c.srv.stats.statements.Add(1)
	c.begin()
	b := appendU32(append(c.wbuf, 0), s.id)
	b = appendU16(b, uint16(len(cols)))
	b = appendU16(b, uint16(n))
	c.wbuf = appendU16(append(b, 0), c.state.Warnings)
	if err := c.stream.end(); err != nil {
		return err
	}
	if n > 0 {
		placeholders := make([]column, n)
		for i := range placeholders {
			placeholders[i] = placeholder
		}
		if err := c.writeDefinitions(placeholders, 0); err != nil {
			return err
		}
	}
	if len(cols) > 0 {
		return c.writeDefinitions(cols, 0)
	}
	return nil
}

// find reads the statement id at the beginning of arg.
func (c *conn) find(arg []byte, command string) (*statement, reader, *Error) {
	r := reader{p: arg}
	id := r.u32()
	if r.bad {
		return nil, r, Errorf(erMalformedPacket, "Malformed communication packet: %s", command)
	}
	s := c.stmts[id]
	if s == nil {
		return nil, r, Errorf(erUnknownStmt, "Unknown prepared statement handler (%d) given to %s", id, command)
	}
	return s, r, nil
}

// execute runs a statement:
//
//	4 bytes  statement id
//	1 byte   flags: 1 asks for a cursor
//	4 bytes  always 1
//
// and the parameters; see parseParams.
func (c *conn) execute(arg []byte) error {
	s, r, e := c.find(arg, "mysqld_stmt_execute")
	if e != nil {
		return c.writeErr(e)
	}
	defer c.dropLong(s)
	c.dropCursor(s)
	flags := r.u8()
	r.u32()
	if r.bad {
		return c.malformed("COM_STMT_EXECUTE")
	}
	if !s.longOK {
		return c.writeErr(Errorf(erUnknownError, "Parameter of prepared statement which is set through "+
			"mysql_send_long_data() is longer than 'max_allowed_packet' bytes"))
	}
	if err := s.parseParams(&r, c.decodeText); err != nil {
		return c.writeErr(asError(err))
	}
	res := &c.results
	res.reset()
	res.binary, res.wantCursor, res.spool, res.sent = true, flags&cursorReadOnly != 0 && s.st.HasCursor(), nil, 0
	cause, err := c.run(func(ctx context.Context) error { return s.st.Execute(ctx, s.params, res) })
	clear(s.params)
	opened := res.spool
	res.spool = nil
	if err != nil {
		if opened != nil {
			opened.close()
		}
		return c.answer(cause, err)
	}
	if opened == nil {
		return res.finish(false)
	}
	if err := opened.rewind(); err != nil {
		opened.close()
		return c.writeErr(asError(err))
	}
	s.spool = opened
	c.srv.stats.cursors.Add(1)
	// The columns and one packet that ends them, whatever the capabilities.
	c.begin()
	c.wbuf = appendLenenc(c.wbuf, uint64(len(res.columns)))
	if err := c.stream.end(); err != nil {
		return err
	}
	for i := range res.columns {
		c.begin()
		c.wbuf = appendColumn(c.wbuf, &res.columns[i])
		if err := c.stream.end(); err != nil {
			return err
		}
	}
	return c.writeEOF(statusCursorExists)
}

// fetch sends the next rows of a cursor:
//
//	4 bytes  statement id
//	4 bytes  how many rows at most
func (c *conn) fetch(arg []byte) error {
	s, r, e := c.find(arg, "mysqld_stmt_fetch")
	if e != nil {
		return c.writeErr(e)
	}
	n := r.u32()
	if r.bad {
		return c.malformed("COM_STMT_FETCH")
	}
	if s.spool == nil {
		return c.writeErr(Errorf(erStmtHasNoOpenCursor, "The statement (%d) has no open cursor.", s.id))
	}
	for range n {
		row, err := s.spool.next()
		if err != nil {
			return c.writeErr(asError(fmt.Errorf("reading a cursor's temporary file: %w", err)))
		}
		if row == nil {
			break
		}
		c.begin()
		c.wbuf = append(c.wbuf, row...)
		if err := c.stream.end(); err != nil {
			return err
		}
		if err := c.mustStop(); err != nil {
			return err
		}
	}
	if s.spool.atEnd() {
		c.dropCursor(s)
		return c.writeEOF(statusLastRowSent)
	}
	return c.writeEOF(statusCursorExists)
}

// mustStop says whether a long answer outside the engine has to be cut short.
func (c *conn) mustStop() error {
	if c.ctx.Err() != nil {
		return context.Cause(c.ctx)
	}
	return nil
}

// sendLongData adds to a parameter. It has no answer; what is wrong is said by the
// next execute.
//
//	4 bytes  statement id
//	2 bytes  parameter
//	bytes    data
func (c *conn) sendLongData(arg []byte) {
	s, r, e := c.find(arg, "mysqld_stmt_send_long_data")
	if e != nil {
		return
	}
	i := int(r.u16())
	if r.bad || i >= len(s.long) {
		s.longOK = false
		return
	}
	if !s.longOK || len(s.long[i])+len(r.p) > c.maxPacket() || c.longBytes+len(r.p) > 4*c.maxPacket() {
		c.dropLong(s)
		s.longOK = false
		return
	}
	if s.long[i] == nil {
		s.long[i] = []byte{}
	}
	s.long[i] = append(s.long[i], r.p...)
	s.size += len(r.p)
	c.longBytes += len(r.p)
}

// dropLong forgets the long data of a statement.
func (c *conn) dropLong(s *statement) {
	c.longBytes -= s.size
	s.size, s.longOK = 0, true
	clear(s.long)
}

func (c *conn) dropCursor(s *statement) {
	if s.spool != nil {
		s.spool.close()
		s.spool = nil
		c.srv.stats.cursors.Add(-1)
	}
}

func (c *conn) resetStatement(arg []byte) error {
	s, _, e := c.find(arg, "mysqld_stmt_reset")
	if e != nil {
		return c.writeErr(e)
	}
	c.dropLong(s)
	c.dropCursor(s)
	return c.writeOK(0, 0, "", false)
}

// closeStatement has no answer.
func (c *conn) closeStatement(arg []byte) {
	if s, _, e := c.find(arg, "mysqld_stmt_close"); e == nil {
		c.forget(s)
	}
}

func (c *conn) forget(s *statement) {
	c.dropLong(s)
	c.dropCursor(s)
	s.st.Close()
	delete(c.stmts, s.id)
	c.srv.stats.statements.Add(-1)
}

func (c *conn) closeStatements() {
	for _, s := range c.stmts {
		c.forget(s)
	}
}
