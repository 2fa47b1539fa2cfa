package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Commands of the protocol.
const (
	comQuit            = 1
	comInitDB          = 2
	comQuery           = 3
	comFieldList       = 4
	comRefresh         = 7
	comStatistics      = 9
	comProcessKill     = 12
	comPing            = 14
	comChangeUser      = 17
	comBinlogDump      = 18
	comRegisterSlave   = 21
	comStmtPrepare     = 22
	comStmtExecute     = 23
	comStmtSendLong    = 24
	comStmtClose       = 25
	comStmtReset       = 26
	comSetOption       = 27
	comStmtFetch       = 28
	comBinlogDumpGTID  = 30
	comResetConnection = 31
)

// command answers one command. An error ends the connection.
func (c *conn) command(p []byte) error {
	if len(p) == 0 {
		c.srv.stats.command(0)
		return c.writeErr(Errorf(erMalformedPacket, "Malformed communication packet: the command is missing"))
	}
	c.srv.stats.command(p[0])
	c.traffic.command(p[0])
	arg := p[1:]
	switch p[0] {
	case comQuit:
		return io.EOF
	case comInitDB:
		return c.initDB(arg)
	case comQuery:
		query, err := c.decodeText(arg)
		if err != nil {
			return c.answer(nil, err)
		}
		return c.runQuery(string(query), c.caps&capMultiStatements != 0)
	case comFieldList:
		return c.fieldList(arg)
	case comStatistics:
		return c.statistics()
	case comProcessKill:
		r := reader{p: arg}
		id := r.u32()
		if r.bad {
			return c.malformed("KILL")
		}
		return c.runQuery("KILL "+strconv.FormatUint(uint64(id), 10), false)
	case comRefresh:
		return c.refresh(arg)
	case comPing:
		return c.writeOK(0, 0, "", false)
	case comChangeUser:
		return c.changeUser(arg)
	case comRegisterSlave:
		return c.register(arg)
	case comBinlogDump:
		from, ok := parseDump(arg)
		return c.dump("COM_BINLOG_DUMP", from, ok)
	case comBinlogDumpGTID:
		from, ok := parseDumpGTID(arg)
		return c.dump("COM_BINLOG_DUMP_GTID", from, ok)
	case comStmtPrepare:
		return c.prepare(arg)
	case comStmtExecute:
		return c.execute(arg)
	case comStmtSendLong:
		c.sendLongData(arg)
		return nil
	case comStmtClose:
		c.closeStatement(arg)
		return nil
	case comStmtReset:
		return c.resetStatement(arg)
	case comSetOption:
		return c.setOption(arg)
	case comStmtFetch:
		return c.fetch(arg)
	case comResetConnection:
		return c.resetConnection()
	}
	return c.writeErr(Errorf(erUnknownCommand, "Unknown command"))
}

func (c *conn) malformed(what string) error {
	return c.writeErr(Errorf(erMalformedPacket, "Malformed communication packet: %s", what))
}

// run calls the engine with a context that KILL and a vanishing client end, and takes
// over the session's state. What it returns is for answer.
func (c *conn) run(call func(ctx context.Context) error) (cause, err error) {
	ctx := c.started()
	err = call(ctx)
	cause = context.Cause(ctx)
	c.finished()
	c.state = c.session.State()
	c.noteChanges()
	return cause, err
}

// answer tells the client of a failed statement, or returns why the connection ends.
// cause is why the statement's context ended, nil if it had not.
func (c *conn) answer(cause, err error) error {
	if c.broken != nil {
		return c.broken
	}
	if errors.Is(err, ErrDrop) {
		c.cfg.Log.Error("the outcome of a statement is not known: the connection is dropped", "connection", c.id, "error", err)
		return ErrDrop
	}
	if errors.Is(err, ErrRoleLost) {
		return ErrRoleLost
	}
	switch {
	case cause == nil:
		return c.writeErr(asError(err))
	case errors.Is(cause, ErrQueryKilled):
		return c.writeErr(Errorf(erQueryInterrupted, "Query execution was interrupted"))
	case errors.Is(cause, ErrConnectionKilled):
		if err := c.writeErr(Errorf(erQueryInterrupted, "Query execution was interrupted")); err != nil {
			return err
		}
		c.flush()
		return cause
	}
	return cause
}

// What COM_REFRESH asks for, bits.
const (
	refreshGrants = 1 << iota
	refreshLog
	refreshTables
)

// refresh answers COM_REFRESH, a byte of bits, as FLUSH: the deprecated command is what MariaDB's dump sends for
// --flush-logs. Beside the log nothing has to be done, but for the check of who may.
func (c *conn) refresh(arg []byte) error {
	if len(arg) != 1 {
		return c.malformed("COM_REFRESH")
	}
	switch what := arg[0]; {
	case what == 0 || what&^(refreshGrants|refreshLog|refreshTables) != 0:
		return c.writeErr(Errorf(erUnknownCommand, "Unknown command: COM_REFRESH of grants, logs and tables only; use FLUSH"))
	case what&refreshLog != 0:
		return c.runQuery("FLUSH LOGS", false)
	case what&refreshTables != 0:
		return c.runQuery("FLUSH TABLES", false)
	}
	return c.runQuery("FLUSH PRIVILEGES", false)
}

// runQuery answers the statements of a text, one result each, until one fails.
func (c *conn) runQuery(query string, multi bool) error {
	for {
		r := &c.results
		r.reset()
		r.binary, r.wantCursor, r.sent = false, false, 0
		var rest string
		cause, err := c.run(func(ctx context.Context) (err error) {
			rest, err = c.session.Query(ctx, query, multi, r)
			return err
		})
		if e := r.closeLocal(); e != nil {
			return e
		}
		if err != nil {
			return c.answer(cause, err)
		}
		last := !multi || strings.TrimSpace(rest) == ""
		if err := r.finish(!last); err != nil {
			return err
		}
		if c.state.Released {
			c.flush()
			return io.EOF
		}
		if last {
			return nil
		}
		query = rest
	}
}

func (c *conn) initDB(arg []byte) error {
	name, err := c.decodeText(arg)
	if err != nil {
		return c.answer(nil, err)
	}
	cause, err := c.run(func(ctx context.Context) error { return c.session.Use(ctx, string(name)) })
	if err != nil {
		return c.answer(cause, err)
	}
	return c.writeOK(0, 0, "", false)
}

// fieldList describes the columns of a table whose names fit a pattern, each with its
// default, which is always given as NULL here. (The command is deprecated; mysqldump's
// ancestors and the command line's completion use it.)
func (c *conn) fieldList(arg []byte) error {
	r := reader{p: arg}
	table, pattern := r.nulbytes(), string(r.p)
	if r.bad {
		return c.malformed("the table name of COM_FIELD_LIST does not end")
	}
	name, err := c.decodeText(table)
	if err != nil {
		return c.answer(nil, err)
	}
	query := "SELECT * FROM `" + strings.ReplaceAll(string(name), "`", "``") + "`"
	var cols []column
	cause, err := c.run(func(ctx context.Context) error {
		st, err := c.session.Prepare(ctx, query)
		if err != nil {
			return err
		}
		defer st.Close()
		sqlCtx, schema := st.Columns()
		cols = appendColumns(nil, sqlCtx, schema, c.columnCharset())
		return nil
	})
	if err != nil {
		return c.answer(cause, err)
	}
	for i := range cols {
		if pattern != "" && !wildcard(strings.ToLower(pattern), strings.ToLower(cols[i].name)) {
			continue
		}
		c.begin()
		c.wbuf = append(appendColumn(c.wbuf, &cols[i]), 0xfb)
		if err := c.stream.end(); err != nil {
			return err
		}
	}
	return c.writeEOF(0)
}

// statistics answers with a line of text and no status, as mysqladmin status shows it.
func (c *conn) statistics() error {
	s := c.srv
	up := max(1, int64(time.Since(s.start)/time.Second))
	s.mu.Lock()
	threads := len(s.conns)
	s.mu.Unlock()
	questions := s.stats.questions()
	c.begin()
	c.wbuf = fmt.Appendf(c.wbuf, "Uptime: %d  Threads: %d  Questions: %d  Queries per second avg: %.3f",
		up, threads, questions, float64(questions)/float64(up))
	return c.stream.end()
}

// setOption switches multi statements on (0) and off (1).
func (c *conn) setOption(arg []byte) error {
	r := reader{p: arg}
	switch option := r.u16(); {
	case r.bad:
		return c.malformed("COM_SET_OPTION without an option")
	case option == 0:
		c.caps |= capMultiStatements
	case option == 1:
		c.caps &^= capMultiStatements
	default:
		return c.writeErr(Errorf(erUnknownCommand, "Unknown command"))
	}
	return c.writeEOF(0)
}

// resetConnection gives the client a new session in the same database.
func (c *conn) resetConnection() error {
	c.closeStatements()
	database := c.state.Database
	c.session.Close()
	c.session = nil
	if err := c.newSession(c.ctx, database); err != nil {
		if c.session == nil {
			return c.lastWords(err)
		}
		// The database has been dropped meanwhile: the session is in none.
		c.state = c.session.State()
	}
	return c.writeOK(0, 0, "", false)
}

// lastWords answers with an error and ends the connection.
func (c *conn) lastWords(err error) error {
	c.fail(asError(err))
	return io.EOF
}

// changeUser logs in again on the same connection:
//
//	string    user, NUL
//	1 byte    length, authentication response
//	string    database, NUL
//	2 bytes   collation id
//	string    plugin name, NUL (capPluginAuth)
//	lenenc    attributes (capConnectAttrs)
//
// A failure ends the connection, as it does in MySQL.
func (c *conn) changeUser(arg []byte) error {
	r := reader{p: arg}
	l := login{user: string(r.nulbytes())}
	l.response = append([]byte(nil), r.take(int(r.u8()))...)
	database := string(r.nulbytes())
	collation := c.client.Collation
	var err error
	if !r.bad && len(r.p) >= 2 {
		if collation, err = handshakeCollation(r.u16()); err != nil {
			return c.lastWords(err)
		}
	}
	if c.caps&capPluginAuth != 0 && !r.bad && len(r.p) > 0 {
		r.tailbytes() // answered by switchPlugin: the scramble has to be a new one
	}
	var attrs []Attr
	if c.caps&capConnectAttrs != 0 && !r.bad && len(r.p) > 0 {
		attrs = parseAttrs(&r)
	}
	if r.bad {
		return c.malformed("COM_CHANGE_USER")
	}
	l.scramble = c.scramble
	c.closeStatements()
	c.session.Close()
	c.session = nil
	c.fixed = time.Now().Add(c.cfg.ConnectTimeout)
	defer func() { c.fixed = time.Time{} }()
	ctx, cancel := context.WithDeadline(c.ctx, c.fixed)
	defer cancel()
	c.client.User, c.client.Database, c.client.Collation, c.client.Attrs = l.user, database, collation, attrs
	if err := c.login(ctx, l); err != nil {
		var e *Error
		if errors.As(err, &e) {
			return c.lastWords(e)
		}
		return err
	}
	if err := c.srv.takeSeat(c); err != nil {
		return c.lastWords(err)
	}
	if err := c.open(ctx); err != nil {
		return c.lastWords(err)
	}
	return nil
}
